/*
 * /waft.v1.Collector/Forward: takes what other collectors, agents, pass on of their
 * clients (docs/PROTOCOL.md, "Forward").
 *
 * An agent is what its hello says; it has one session at a time. Its records are
 * offered to the ingest under their clients' own ids and numbers; those that are
 * durable already are counted and answered only. Sits between connection.h and
 * ingest.h, beside export_service.h. Loop thread.
 */
#ifndef WAFT_COLLECTOR_FORWARD_SERVICE_H
#define WAFT_COLLECTOR_FORWARD_SERVICE_H

#include "clients.h"
#include "clock.h"
#include "connection.h"
#include "ingest.h"

#include <stdbool.h>

struct forward_service;

struct forward_service_config {
	struct ingest *ingest; /* borrowed, like the next two */
	struct clients *clients;
	const struct clock *clock;
	uint8_t store_id[16];
};

struct forward_service_counts {
	uint64_t sessions;   /* open now */
	uint64_t records;    /* taken since the start */
	uint64_t duplicates; /* that came again */
	uint64_t refused;
	uint64_t ended; /* sessions ended for a fault, a gap or want of room */
};

int forward_service_new(
	const struct forward_service_config *config, struct forward_service **ret) MUST_CHECK;

/* After all connections were closed and the ingest is. NULL is ignored. */
void forward_service_free(struct forward_service *service);

/* Its entry for connection_config's table. */
void forward_service_method(struct forward_service *service, struct service_method *ret_method);

/* Sends what is to be acknowledged, and new credit: as export_service_flush. */
void forward_service_flush(struct forward_service *service);

/* Stops or resumes reading from all agents, old and new. */
void forward_service_pause(struct forward_service *service, bool paused);

void forward_service_count(
	const struct forward_service *service, struct forward_service_counts *ret);

#endif
