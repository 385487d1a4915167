/*
 * What keeper.c (puts, the thread, the loop's side) and keeper_chores.c (log, sealing,
 * retention) share.
 */
#ifndef WAFT_COLLECTOR_KEEPER_INTERNAL_H
#define WAFT_COLLECTOR_KEEPER_INTERNAL_H

#include "keeper.h"
#include "run_order.h"

/* Of the thread. */
enum keeper_state {
	KEEPER_RUNS, /* → CLOSES by keeper_close */
	KEEPER_CLOSES,
	KEEPER_ENDED, /* the store is closed */
};

struct keeper {
	struct keeper_config config;
	uv_thread_t thread;
	uv_async_t async;
	uv_mutex_t lock;
	uv_cond_t wake;
	enum keeper_state state;
	struct run *queued; /* oldest first */
	struct run **queued_end;
	struct run *written;
	int error;
	bool trim_wanted;
	uint64_t shed_above; /* not 0: the log is to have no more bytes */
	struct retention retention;
	struct manifest_forward forward_to; /* known: to be made durable, with `passed` */
	struct consumed passed;
	struct manifest_forward forwarded; /* durable */
	struct keeper_sealing sealing;
	bool seal_wake;	   /* there are new orders */
	bool seal_done;	   /* the sealer has a result */
	bool retain_wake;  /* there are new orders */
	bool hurry;	   /* what the store gathers is to be committed now */
	bool wrote;	   /* runs were written here, to the first keeper: anywhere */
	bool gathering;	   /* the store has puts that it will commit later */
	unsigned int puts; /* at the store */
	uint64_t queued_spans;
	struct keeper_counts counts;
	uint64_t work_begin_ns; /* of what the store does now; 0: nothing */
	uint64_t work_spans;
	void (*on_closed)(void *context, uint64_t spans_not_written);
	/* The thread's own. */
	struct run_order order;
	bool cursor_failed;  /* it could not be written: it is tried again after a pause */
	bool dirty;	     /* something was written since the last trim */
	bool restless;	     /* and nothing was rested since */
	uint64_t took_ns;    /* by the store since its last commit */
	uint64_t rate_spans; /* written in rate_ns */
	uint64_t rate_ns;
	uint64_t trimmed_ns;
	uint64_t wrote_ns;
	uint64_t shed_after_ns;
	uint64_t retained_ns;
	bool removed; /* something, then */
	struct sealer *sealer;
	struct seal_result sealed; /* of a commit that is to be tried again */
	bool seal_pending;
	uint64_t sealed_ns;	    /* when it was looked for something to seal; 0: now */
	bool pressed;		    /* room was short then */
	unsigned int seal_failures; /* one after the other */
	struct {
		uint64_t since_ns; /* 0: never looked */
		uint64_t bytes;	   /* that had been written then */
		uint64_t bytes_per_s;
	} fill;
};

/* Does what is due; ns until there is more. On the thread. */
uint64_t keeper_do_chores(struct keeper *keeper);

/* Nothing was written for a while, or nothing will be: a log of so many bytes goes. On the
 * thread. */
void keeper_rest(struct keeper *keeper, uint64_t least_bytes);

/* Makes the cursor durable that the loop of the forwarding wants. When that fails it is
 * wanted on. On the thread. */
void keeper_write_cursor(struct keeper *keeper);

/* The sealer has a result. On its thread. */
void keeper_on_sealed(void *context);

#endif
