/*
 * What the files of the forwarding share: forward.c (thread, cursor), forward_shares.c
 * (from a record of the log to what gateways get). Its thread.
 */
#ifndef WAFT_COLLECTOR_FORWARD_INTERNAL_H
#define WAFT_COLLECTOR_FORWARD_INTERNAL_H

#include "batch_split.h"
#include "consumed.h"
#include "forward.h"
#include "forward_route.h"
#include "gateway.h"

#include <uv.h>

/* A record that was read and is not behind the cursor. */
struct record {
	struct record *next;
	struct log_place place;
	struct log_place after;
	enum log_kind kind;
	uint32_t spans;
	uint32_t unanswered; /* shares */
	size_t bytes;	     /* of memory, shares' included */
	bool shed;	     /* a drop of ours, in place of a batch */
	uint8_t client[16];
};

/* A client whose goodbye was answered. */
struct parting {
	struct parting *next;
	struct log_place after;
	uint8_t client[16];
};

struct forward {
	struct forward_config config;
	char *endpoints; /* owned; cut into texts */
	uv_thread_t thread;
	uv_loop_t loop;
	uv_async_t async;
	uv_timer_t tick;
	uv_timer_t cursor_timer;
	struct gateway *gateways[FORWARD_GATEWAYS_MAX];
	size_t gateway_count;
	size_t closing_gateways;
	struct route route;
	struct log_reader *reader;
	struct batch_split split;
	struct log_place place;	     /* of the next record to read */
	struct log_place split_from; /* from there on: as many gateways as now say */
	bool split_before;
	struct record *records; /* in order of the log */
	struct record **records_end;
	struct record *last;
	struct parting *partings; /* in order */
	struct parting **partings_end;
	struct manifest_forward cursor; /* all before it is answered */
	struct consumed passed;		/* ordinals since it was last written */
	uint32_t reached;		/* as the durable cursor has it */
	bool cursor_moved;		/* since it was last written */
	bool cursor_out;		/* it is being written */
	bool behind;			/* there may be something to be read */
	int read_error;
	struct forward_counts counts;
	uv_mutex_t lock; /* of all below */
	bool stop;
	bool ended; /* nothing may be sent to the loop */
	bool cursor_written;
	bool woken;
	bool any_open;
	bool idle;
	struct forward_counts published;
};

/* Whether what lies at a place is sent in partitions. */
bool forward_splits_at(const struct forward *forward, struct log_place place);

/* Makes the record's shares and sends them; appends it to the list. 0 or -ENOMEM:
 * nothing was sent. */
int forward_send_record(struct forward *forward, struct log_place place,
	const struct log_record *record) MUST_CHECK;

#endif
