/*
 * A service of the collector as a state machine, for fuzzers: two connections with real
 * sessions, on an ingest that commits now and then, with time passing and quotas.
 *
 * Input: commands, each a byte and what it needs. Arbitrary bytes can be fed in arbitrary
 * pieces; frames can be given without a header, which is then made with a right checksum.
 */
#ifndef WAFT_TESTS_FUZZ_SERVICE_WORLD_H
#define WAFT_TESTS_FUZZ_SERVICE_WORLD_H

#include "clients.h"
#include "clock.h"
#include "connection.h"
#include "ingest.h"
#include "quotas.h"

/* The service under test. */
struct service_under_test {
	unsigned int right; /* that its callers have */
	/* Makes it, and its entry of the table of methods. */
	void *(*make)(struct ingest *ingest, struct clients *clients, const struct clock *clock,
		struct service_method *ret_method);
	void (*flush)(void *service);
	void (*pause)(void *service, bool paused);
	void (*free)(void *service);
	/* Aborts when a message that it sent makes no sense. before: of the message before on
	 * that connection, 0 at first; returns what the next one gets. */
	uint64_t (*check)(struct slice message, uint64_t before);
};

void service_world_run(const struct service_under_test *under, const uint8_t *data, size_t size);

#endif
