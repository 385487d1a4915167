/* Forward sessions, of agents, as a state machine; see service_world.h. */
#include "forward_service.h"
#include "forward_wire.h"
#include "fuzz/service_world.h"

#include <stdlib.h>

static void *make(struct ingest *ingest, struct clients *clients, const struct clock *clock,
	struct service_method *ret_method)
{
	const struct forward_service_config config = {
		.ingest = ingest, .clients = clients, .clock = clock};
	struct forward_service *service;

	if (forward_service_new(&config, &service) < 0)
		abort();
	forward_service_method(service, ret_method);
	return service;
}

static void flush(void *service)
{
	forward_service_flush(service);
}

static void pause_reading(void *service, bool paused)
{
	forward_service_pause(service, paused);
}

static void free_service(void *service)
{
	forward_service_free(service);
}

/* Answers never go back. */
static uint64_t check(struct slice message, uint64_t before)
{
	struct forward_response response;

	if (forward_response_decode(message, &response) != 0 || response.durable_number < before ||
		response.refused > response.durable_number)
		abort();
	return response.durable_number;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct service_under_test forward = {
		ACCESS_FORWARD, make, flush, pause_reading, free_service, check};

	service_world_run(&forward, data, size);
	return 0;
}
