/*
 * /waft.v1.Query: list, get, stats, open spans, health, status. Tail is in tail_service.h.
 *
 * A query runs on libuv's thread pool with a view of the store of the moment it
 * began; the loop never waits for it. Deadline and CANCEL end the call at once and
 * the work soon. Beyond a number that run at once, queries wait in line; beyond the
 * line they are refused. Loop thread.
 */
#ifndef WAFT_COLLECTOR_QUERY_SERVICE_H
#define WAFT_COLLECTOR_QUERY_SERVICE_H

#include "answers.h"
#include "connection.h"
#include "live.h"

#include <uv.h>

struct query_service;

struct query_service_config {
	uv_loop_t *loop;
	struct disk *disk; /* borrowed, like the next two */
	struct live *live;
	struct regions *regions;
	const char *store; /* its directory */
	uint32_t max_queries;
	/* Answer at once, on the loop. */
	void (*health)(void *context, uint32_t stream_id, struct answer *ret);
	void (*status)(void *context, uint32_t stream_id, struct answer *ret);
	void *context;
};

struct query_counts {
	uint64_t queries;
	uint64_t running;
	uint64_t waiting;
	uint64_t refused;
	uint64_t failed;
	uint64_t cancelled;
	uint64_t bad_lines;  /* passed over, each time that one is met */
	uint64_t longest_ns; /* of the work of one, since the start */
};

int query_service_new(
	const struct query_service_config *config, struct query_service **ret) MUST_CHECK;

/* All calls must be closed. Queries that run are waited for: on_closed comes when
 * the last has ended, then the service is freed. */
void query_service_close(
	struct query_service *service, void (*on_closed)(void *context), void *context);

void query_service_configure(struct query_service *service, uint32_t max_queries);

/* Its entries for connection_config's table; returns how many (at most 6). */
size_t query_service_methods(struct query_service *service, struct service_method *ret_methods);

void query_service_count(const struct query_service *service, struct query_counts *ret);

#endif
