/*
 * The thread that makes the log durable: group commit without a timer.
 *
 * The loop appends to the log and calls committer_kick. The thread commits as
 * long as there is something; each commit covers all that was appended before it
 * began. What became durable is handed to the loop in order. When a commit
 * fails it is tried again, with pauses of 10 ms to 200 ms, for ever; the log keeps
 * the records.
 */
#ifndef WAFT_COLLECTOR_COMMITTER_H
#define WAFT_COLLECTOR_COMMITTER_H

#include "clock.h"
#include "errors.h"
#include "log.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct committer;

struct committer_config {
	uv_loop_t *loop;
	struct log *log; /* borrowed */
	const struct clock *clock;
	/* On the loop: the records of these tickets are durable; in order. places is
	 * borrowed for the call. */
	void (*on_durable)(
		void *context, uint64_t first_ticket, const struct log_place *places, size_t count);
	/* On the loop, after on_durable was called for all that is known: what waits
	 * can be acknowledged. error: why commits fail at present, 0 when they don't. */
	void (*on_round)(void *context, int error);
	void *context;
};

/* Starts the thread. 0 or a negative errno; *ret is owned by the caller. */
int committer_start(const struct committer_config *config, struct committer **ret) MUST_CHECK;

/* Something was appended. Loop thread. */
void committer_kick(struct committer *committer);

/* A commit is running or wanted, or its result has not reached the loop yet. */
bool committer_busy(struct committer *committer);

struct committer_counts {
	uint64_t commits;
	uint64_t records;
	uint64_t failures;
	uint64_t last_ns;    /* what the last commit took */
	uint64_t longest_ns; /* since the counts were read last */
};
void committer_count(struct committer *committer, struct committer_counts *ret);

/* Stops the thread (a commit that runs is waited for; nothing is tried again),
 * hands over what is durable by now, and frees it once on_closed returned. */
void committer_close(struct committer *committer, void (*on_closed)(void *context));

#endif
