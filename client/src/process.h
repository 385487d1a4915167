/*
 * What there is once per process: its state, settings, region and counters, and
 * how it comes to be, in a forked child again.
 *
 *     NONE ──first call──▶ RUNNING ──waft_shutdown, exit──▶ STOPPING ─▶ STOPPED
 *       └──disabled──▶ DISABLED
 *
 * A fork is noticed by a word in memory that the kernel wipes in the child
 * (MADV_WIPEONFORK), so that no way of forking is missed. The child then starts
 * anew: uuid, seeds, region, locks, counters; what it inherited of threads and
 * chunks is left alone, because spans begun before the fork point there.
 *
 * Locks: `lock` guards threads, chunks and units; it is held for microseconds
 * and nothing is waited for under it. Lock order: lock, then shape's.
 */
#ifndef WAFT_CLIENT_PROCESS_H
#define WAFT_CLIENT_PROCESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <waft/waft.h>

#include "clock.h"
#include "config.h"
#include "region.h"

enum process_state { STATE_NONE = 0, STATE_RUNNING, STATE_STOPPING, STATE_STOPPED, STATE_DISABLED };

struct thread;
struct chunk;

struct process {
	uint32_t state;	 /* enum process_state; atomic */
	uint32_t epoch;	 /* counts forks */
	uint64_t *alive; /* in wiped memory: enum alive_state; atomic */
	uint64_t pid;
	uint8_t client[16];
	struct config config;
	struct region region;
	pthread_mutex_t lock;

	/* Guarded by lock. */
	struct thread *threads; /* all that ever were, to be counted */
	struct thread *retired; /* those that a new thread can take over */
	struct chunk *chunks_tail;
	uint32_t filled; /* units that were filled since the sender was last woken for them */
	uint8_t *arena;	 /* what is left of the last page run */
	size_t arena_bytes;
	uint8_t *hots;
	size_t hots_bytes;

	struct chunk *chunks; /* oldest first; next pointers atomic */
	uint32_t source;      /* enum wire_clock_source; atomic */
	uint64_t ns_per_tick; /* of the TSC: a double's bits; atomic */
	uint64_t given;	      /* counts returned chunks; atomic */
	uint32_t idle;	      /* the sender sleeps until a bell; atomic */

	/* Spans that never reached a chunk; atomic. */
	uint64_t dropped[WAFT_DROP_REASONS];
};

extern struct process process;

/* True when there is a tracer to work for; starts it at first, and in a child. */
bool process_enter(void);

/* In the wiped word: 0 in a child that has not started anew. */
enum alive_state { ALIVE_WIPED = 0, ALIVE_STARTING = 1, ALIVE_YES = 2 };

/* True when it runs and this is not a child that has yet to start its own. */
static inline bool process_is_running(void)
{
	return __atomic_load_n(&process.state, __ATOMIC_ACQUIRE) == STATE_RUNNING &&
	       __atomic_load_n(process.alive, __ATOMIC_ACQUIRE) == ALIVE_YES;
}

/* The same with options; 0, -EALREADY, -EINVAL (started nevertheless). */
int process_start(const struct waft_options *options);

/* In a child of fork(), before anything else runs there. */
void process_fork_child(void);

/* Memory that is never given back, zeroed; NULL when there is none. lock held. */
void *process_alloc(size_t bytes);

/* The next place for a thread's hot words, in wiped memory. lock held. */
struct waft_hot_ *process_alloc_hot(void);

/* Counts spans that are dropped before they reach a chunk. */
void process_drop(enum waft_drop_reason reason, uint64_t spans);

/* One line on stderr, "waft: …", at most once for each `what`. */
void process_complain(const char *what, const char *text);

#endif
