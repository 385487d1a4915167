/*
 * /waft.v1.Query/Tail: spans as they become durable, to readers that stay.
 *
 * Each reader has a bounded queue of batches' places; lines are made of them on
 * libuv's thread pool, a piece at a time, when the reader has credit. One that is
 * too slow loses whole batches, and is told how many spans. Nothing of it ever
 * delays ingest. Loop thread.
 */
#ifndef WAFT_COLLECTOR_TAIL_SERVICE_H
#define WAFT_COLLECTOR_TAIL_SERVICE_H

#include "connection.h"
#include "disk.h"
#include "log.h"

#include <uv.h>

struct tail_service;

struct tail_service_config {
	uv_loop_t *loop;
	struct disk *disk; /* borrowed */
	int log_dir;	   /* borrowed */
	uint32_t max_tails;
};

struct tail_counts {
	uint64_t tails;	 /* open now */
	uint64_t sent;	 /* spans */
	uint64_t missed; /* spans that readers were too slow for */
};

int tail_service_new(
	const struct tail_service_config *config, struct tail_service **ret) MUST_CHECK;

/* All calls must be closed. on_closed comes when the last work has ended; then the
 * service is freed. */
void tail_service_close(
	struct tail_service *service, void (*on_closed)(void *context), void *context);

void tail_service_configure(struct tail_service *service, uint32_t max_tails);

void tail_service_method(struct tail_service *service, struct service_method *ret_method);

/* A batch became durable there. */
void tail_service_on_batch(struct tail_service *service, struct log_place place, uint32_t spans);

void tail_service_count(const struct tail_service *service, struct tail_counts *ret);

#endif
