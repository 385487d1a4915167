/*
 * An agent's way on: reads the log in order, sends each record to its gateway, and
 * moves the cursor behind what was answered (docs/STORE.md, "Forwarding").
 *
 *     log ─▶ record ─▶ shares ─▶ gateways ─▶ answered ─▶ cursor ─▶ the log forgets
 *
 * With one gateway a record is one share: the same bytes. With several, a batch is
 * split into partitions by trace, each with a gateway of its own (rendezvous hashing);
 * those of a gateway that is down for long go to the others. Records leave the list in
 * order, when all their shares are answered, and the cursor with them.
 *
 * A thread with a loop of its own; reading the log may block it. The functions here are
 * for the daemon's loop, but for forward_on_cursor.
 */
#ifndef WAFT_COLLECTOR_FORWARD_H
#define WAFT_COLLECTOR_FORWARD_H

#include "clients.h"
#include "disk.h"
#include "errors.h"
#include "log.h"
#include "manifest.h"

#include <stdbool.h>
#include <stdint.h>

enum { FORWARD_GATEWAYS_MAX = 16 };

struct forward;

struct forward_config {
	struct disk *disk; /* borrowed, as all of these */
	int log_dir;
	struct log *log;
	struct clients *clients;
	const char *endpoints; /* separated by commas or spaces */
	const char *tls_ca;
	const char *tls_cert;
	const char *tls_key;
	const char *token_file;
	uint8_t agent[16];
	uint64_t timeout_ms;	       /* a gateway that is silent or away for so long is down */
	struct manifest_forward begin; /* the cursor of the manifest */
	/* Wants a cursor made durable, with the ordinals that it passed, which it takes. 0 or
	 * -ENOMEM. When it is, forward_on_cursor has to be called. The forwarding's thread. */
	int (*write_cursor)(
		void *context, const struct manifest_forward *to, struct consumed *ordinals);
	/* The cursor that is durable. The same thread. */
	void (*read_cursor)(void *context, struct manifest_forward *ret);
	void *context;
};

struct forward_gateway_counts {
	const char *endpoint;
	bool open;
	char why[128]; /* it is not */
	uint64_t connections;
	uint64_t failures;
	uint64_t sent_bytes;
};

struct forward_counts {
	uint64_t records;    /* answered since the start */
	uint64_t spans;	     /* answered since forwarding began */
	uint64_t dropped;    /* given up for want of room, and answered, since then */
	uint64_t refused;    /* shares that a gateway refused for good, since then */
	uint64_t unreadable; /* records of the log that can't be read any more */
	uint64_t in_flight;  /* records that were read and are not answered */
	uint64_t in_flight_bytes;
	uint64_t moved; /* shares that went to another gateway */
	size_t gateway_count;
	struct forward_gateway_counts gateways[FORWARD_GATEWAYS_MAX];
};

/* Whether the text names gateways. On failure *ret_why is a constant text. -EINVAL. */
int forward_check(const char *endpoints, const char **ret_why) MUST_CHECK;

int forward_start(const struct forward_config *config, struct forward **ret) MUST_CHECK;

/* Something was made durable in the log. */
void forward_wake(struct forward *forward);

/* A cursor was written. Any thread. */
void forward_on_cursor(struct forward *forward);

/* Whether all that was in the log at some time since the last forward_wake is answered. */
bool forward_idle(struct forward *forward);

void forward_count(struct forward *forward, struct forward_counts *ret);

/* Ends the thread; the last cursor was given to write_cursor by then. Calls of the others
 * do nothing from then on. */
void forward_stop(struct forward *forward);
/* After that. NULL is ignored. */
void forward_free(struct forward *forward);

#endif
