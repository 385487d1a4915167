/*
 * The store's thread: takes runs from the loop, orders their spans, has them
 * written and committed, and gives them back when they are durable.
 *
 * Also on this thread, since the manifest is used by one thread only: trimming
 * of the log, retention, the commits of sealed parts, and at the end the last checkpoint. A disk
 * that fails is tried again as the store says; runs stay here meanwhile.
 */
#ifndef WAFT_COLLECTOR_KEEPER_H
#define WAFT_COLLECTOR_KEEPER_H

#include "assembler.h"
#include "clock.h"
#include "sealer.h"
#include "writer.h"

#include <stdbool.h>
#include <uv.h>

struct keeper;

/* What is sealed when. */
struct keeper_sealing {
	bool on;
	uint64_t after_ns;
	uint64_t memory_bytes; /* of what is sealed; 0: as seal.h says */
};

struct keeper_config {
	uv_loop_t *loop;
	struct store *store;	   /* taken; closed on the thread at the end */
	struct keeper *first;	   /* does the chores of all stores; NULL: this one. Outlives it */
	struct manifest *manifest; /* borrowed; for the last checkpoint; may be NULL */
	const struct clock *clock;
	struct retention retention;
	const struct sealer_config *sealer; /* copied, but for on_done; NULL: nothing is sealed */
	/* On the loop: the run is in a committed part. */
	void (*on_written)(void *context, struct run *run);
	/* On the loop, now and then, and after on_written: why the store fails at
	 * present, 0 when it doesn't. */
	void (*on_progress)(void *context, int error);
	/* On the thread: a cursor given to keeper_forward is durable. May be NULL. */
	void (*on_forwarded)(void *context);
	void *context;
};

int keeper_start(const struct keeper_config *config, struct keeper **ret) MUST_CHECK;

/* Hands a run over until on_written. Loop thread. */
void keeper_put(struct keeper *keeper, struct run *run);

/* Runs are not committed as they come, but a few times a second (writer_config.gather_ns): those
 * that were handed over are now. */
void keeper_hurry(struct keeper *keeper);

/* New limits, applied within a minute. */
void keeper_retain(struct keeper *keeper, const struct retention *retention);

/* What is sealed from now on; nothing before the first call. */
void keeper_seal(struct keeper *keeper, const struct keeper_sealing *sealing);

/* Trims the log soon. */
void keeper_trim(struct keeper *keeper);

/* Makes a cursor of what is forwarded durable, soon, with the ordinals that were passed
 * since the call before; these are moved out of the set. 0 or -ENOMEM. Any thread. */
int keeper_forward(struct keeper *keeper, const struct manifest_forward *to,
	struct consumed *ordinals) MUST_CHECK;

/* Gives up what was never forwarded when the log takes more than this; see writer_shed. */
void keeper_shed(struct keeper *keeper, uint64_t max_bytes);

/* The cursor that is durable. Any thread. */
void keeper_forwarded(struct keeper *keeper, struct manifest_forward *ret);

/* Whether runs are on their way. Loop thread. */
bool keeper_busy(struct keeper *keeper);

struct keeper_counts {
	uint64_t runs;	       /* written */
	uint64_t spans;	       /* written since the start */
	uint64_t waiting_runs; /* here */
	uint64_t waiting_spans;
	uint64_t removed_parts; /* by retention */
	uint64_t sealed_parts;
	uint64_t trim_failures;
	uint64_t shed_spans;  /* given up by keeper_shed */
	uint64_t spans_per_s; /* what the store writes while it is busy; 0: not known yet */
};
void keeper_count(struct keeper *keeper, struct keeper_counts *ret);

/*
 * Ends the thread: what the store has is finished (or tried once more if it fails),
 * the log is trimmed, the manifest rewritten. Runs that are not written by then stay
 * the assembler's and in the log. Blocks until the thread has ended; on_closed
 * is called later, on the loop, with the number of spans not written.
 */
void keeper_close(
	struct keeper *keeper, void (*on_closed)(void *context, uint64_t spans_not_written));

#endif
