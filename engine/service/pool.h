/*
 * pool.h: the worker processes and who uses them. Each worker is a program
 * started with one end of a socket as its descriptor 3; it answers one frame at
 * a time until the socket closes. A worker that dies, or does not answer in
 * time, is replaced; one that is stopped gets no request. Thread-safe.
 */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include <sys/types.h>

#include "fault.h"
#include "frame.h"

struct pool;

enum { POOL_WORKER_FD = 3, POOL_WORKERS_MAX = 256 };

struct pool_options {
	const char *program;	 /* path of the worker's program */
	const char *const *argv; /* its arguments; outlives the pool */
	unsigned int workers;	 /* 1 to POOL_WORKERS_MAX */
	int64_t answer_ms;	 /* how long a worker may take for an answer */
	int64_t hand_on_ms;	 /* silent for this and 1 ms per 64 bytes: another is asked */
	int64_t wait_ms;	 /* how long a request waits for a free worker */
};

/* Starts the workers. 0, or a negative code with fault. */
int pool_start(const struct pool_options *options, struct pool **ret_pool, struct fault *fault)
	__attribute__((warn_unused_result));

/* Lets the workers finish: closes their sockets, waits up to timeout_ms for
 * them to leave, kills the rest. No call may be under way. NULL-safe. */
void pool_close(struct pool *pool, int64_t timeout_ms);

/* Has a worker answer request, which must be one that may be done twice. When the
 * worker dies, or is silent beyond hand_on_ms, it is replaced and another gets the
 * request, once, with the whole of answer_ms. 0 with *ret_answer owned by the
 * caller; else FAULT_UNAVAILABLE. */
int pool_call(struct pool *pool, const struct frame *request, struct frame *ret_answer,
	struct fault *fault) __attribute__((warn_unused_result));

/* Replaces idle workers that have died; for the SIGCHLD of the owner. */
void pool_reap(struct pool *pool);

#endif
