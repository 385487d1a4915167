/*
 * /waft.v1.Collector/Export: the protocol by which libwaft sends spans
 * (docs/PROTOCOL.md, "Export").
 *
 * A session is one call; a client is what its hello says, and outlives the
 * session while batches of it are on their way to the log. Sits between
 * connection.h (calls) and ingest.h (durability). Loop thread.
 */
#ifndef WAFT_COLLECTOR_EXPORT_SERVICE_H
#define WAFT_COLLECTOR_EXPORT_SERVICE_H

#include "clients.h"
#include "clock.h"
#include "connection.h"
#include "ingest.h"
#include "regions.h"

#include <stdbool.h>

struct export_service;

struct export_config {
	struct ingest *ingest; /* borrowed, like the next two */
	struct clients *clients;
	const struct clock *clock;
	struct regions *regions; /* NULL: none are held */
	uint8_t store_id[16];
};

struct export_counts {
	uint64_t sessions; /* open now */
	uint64_t hellos;
	uint64_t replaced; /* sessions ended by a newer hello */
	uint64_t forgotten;
	uint64_t unasked; /* descriptors that came with a hello of no region */
	uint64_t fenced;  /* told that they were salvaged */
	uint64_t duplicates;
	uint64_t gaps;
	uint64_t overdrawn; /* sessions ended for sending beyond their credit */
	uint64_t stalled;   /* sessions ended because there was no room */
};

int export_service_new(const struct export_config *config, struct export_service **ret) MUST_CHECK;

/* After all connections were closed and the ingest is. NULL is ignored. */
void export_service_free(struct export_service *service);

/* Its entry for connection_config's table. */
void export_service_method(struct export_service *service, struct service_method *ret_method);

/* Sends what is to be acknowledged, and new credit. After each round of commits,
 * and when the ingest's window grew. */
void export_service_flush(struct export_service *service);

/* Stops or resumes reading from all senders, old and new. */
void export_service_pause(struct export_service *service, bool paused);

/* Ends all sessions with UNAVAILABLE; their clients try again. */
void export_service_shut(struct export_service *service, const char *message);

void export_service_count(const struct export_service *service, struct export_counts *ret);

/* Whether a client has a session, or messages that are not durable yet. */
bool export_service_knows(const struct export_service *service, const uint8_t client[16]);

/* Ends a client's session, if it has one: its process is no more. */
void export_service_end(struct export_service *service, const uint8_t client[16]);

/* Whether a client has a session now. */
bool export_service_connected(const struct export_service *service, const uint8_t client[16]);

#endif
