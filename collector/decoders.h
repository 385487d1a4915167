/*
 * Threads that look at batches beside the loop.
 *
 *     decoders_put ─▶ queue ─▶ a thread: job->run ─▶ on_done, on the loop
 *
 * A job belongs to the threads from decoders_put until decode_job_is_done says so, or
 * decoders_stop has returned. They take jobs in the order in which they were put and end
 * them in any: whoever needs an order keeps it. Loop thread.
 */
#ifndef WAFT_COLLECTOR_DECODERS_H
#define WAFT_COLLECTOR_DECODERS_H

#include "batch.h"
#include "errors.h"
#include "span_refs.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define DECODERS_MAX 64

struct decoders;

struct decode_job {
	/* On a thread; batch and refs are the thread's, for reuse. */
	void (*run)(struct decode_job *job, struct batch *batch, struct span_refs *refs);
	struct decode_job *next; /* private, like the next */
	bool done;
};

struct decoders_config {
	uv_loop_t *loop;
	uint32_t count; /* 1 … DECODERS_MAX */
	/* Jobs were done since the last call, or decoders_again was called. */
	void (*on_done)(void *context);
	void *context;
};

/* Starts the threads. 0 or a negative errno; *ret is owned by the caller. */
int decoders_start(const struct decoders_config *config, struct decoders **ret) MUST_CHECK;

/* job->run is set. */
void decoders_put(struct decoders *decoders, struct decode_job *job);

/* Whether its run has returned: what it wrote can be read. */
bool decode_job_is_done(const struct decode_job *job);

/* Has on_done called once more in a little while. */
void decoders_again(struct decoders *decoders);

/* Ends the threads when they have done what they are at; jobs that none has begun are
 * left as they are. on_done isn't called any more. */
void decoders_stop(struct decoders *decoders);

/* Stops them and frees all once on_closed returned. */
void decoders_close(struct decoders *decoders, void (*on_closed)(void *context));

#endif
