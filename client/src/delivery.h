/*
 * What goes out: cuts what threads published into batches, brings them to the
 * collector or into a file, again after each failure, until they are answered.
 * Nothing waits in here: each turn does what can be done now. The sender's alone,
 * but for the ledger's counters, which anyone reads.
 *
 *     CLOSED ──connect──▶ CONNECTED (session.h says what then) ──failure──▶ CLOSED
 *
 * A failure closes the connection and sets retry_at; what was not answered goes
 * out again on the next one.
 */
#ifndef WAFT_CLIENT_DELIVERY_H
#define WAFT_CLIENT_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "descriptor.h"
#include "inbox.h"
#include "ledger.h"
#include "packer.h"
#include "session.h"
#include "slice.h"
#include "timeline.h"

#define DELIVERY_NEVER UINT64_MAX

struct delivery {
	struct ledger ledger;
	struct timeline *clocks; /* by source; borrowed */
	struct packer packer;
	struct session session;
	struct descriptor socket;
	struct inbox inbox;
	struct slice out;  /* what is left of the frame being sent */
	bool region_waits; /* the descriptor goes with the next byte */
	bool welcomed;	   /* a collector was there in this process's life */
	bool urgent;	   /* somebody waits: what there is goes now */
	bool leaving;	   /* the tracer stops: says goodbye when all is answered */
	uint32_t renewals; /* how often a new uuid was taken */
	uint64_t retry_at_ns;
	uint64_t retry_ms;
	uint64_t welcome_by_ns;
	uint64_t cut_at_ns; /* when the last batch was cut */
	uint64_t random;
	size_t producer_bytes;
	uint8_t producer[CONFIG_PRODUCER_BYTES + 1024];
};

/* Nothing in it is open. */
#define DELIVERY_INIT                                                \
	{                                                            \
		.socket = {.fd = -1}, .inbox = {.file = {.fd = -1} } \
	}

/* Before the first thread of an incarnation. clocks is borrowed for good. */
void delivery_prepare(struct delivery *delivery, struct timeline *clocks);

/* Memory for batches; once per process. 0 or -ENOMEM. */
int delivery_reserve(struct delivery *delivery);

/* In a child: closes what of the parent's is still there. May run twice. */
void delivery_fork_child(struct delivery *delivery);

/* Connects, sends, receives, writes: as far as it goes without waiting. */
void delivery_turn(struct delivery *delivery, uint64_t now_ns);

/* Not to wait any longer for the next try. */
void delivery_hurry(struct delivery *delivery);

/* Whether there is something that is in no batch yet. */
bool delivery_waits(const struct delivery *delivery);

/* Whether nothing is left to be answered. */
bool delivery_answered(const struct delivery *delivery);

/* Whether leaving has come to its end. */
bool delivery_left(const struct delivery *delivery);

/* When there is something to do at the latest, if the socket stays quiet and
 * nothing is published; DELIVERY_NEVER: not before. */
uint64_t delivery_until(const struct delivery *delivery, uint64_t now_ns);

/* What the socket is waited for: a descriptor, or -1, and poll's events. */
int delivery_poll(struct delivery *delivery, short *ret_events);

/* Gives up: what is not answered by now never will be, and is counted so. Without
 * counted the process is about to end and nobody asks: what is in its region may
 * still be salvaged. */
void delivery_close(struct delivery *delivery, bool counted);

#endif
