/*
 * worker.h: what is asked of a worker process, and the two ends of it. The
 * worker computes (transform_input, decision_evaluate); the service asks. The
 * trace goes along in the frame's header, as in HTTP's.
 */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "analysis.h"
#include "pool.h"

/* Answers frames on fd until it closes. One thread. 0, or a negative errno. */
int worker_run(int fd);

/* A core whose steps run in pool's workers; pool is its context. Any thread. */
struct analysis_core worker_core(struct pool *pool);

#endif
