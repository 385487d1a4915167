/*
 * Forward sessions, of agents, as a state machine; see connection_world.h. Its own commands:
 *   0  what was offered is committed; bit 0 of how: it fails; bit 1: it is refused
 *   2  with bit 0 of how: sessions are paused (bit 1) or go on
 */
#include "forward_service.h"
#include "forward_wire.h"
#include "fuzz/connection_world.h"

#include <errno.h>
#include <stdlib.h>

static const struct peer *peer(struct connection_world *world, unsigned int which, unsigned int how)
{
	static const struct peer agents[WORLD_CONNECTIONS] = {
		{.known = true, .local = true, .pid = 1, .uid = 0, .rights = ACCESS_FORWARD},
		{.known = true, .local = true, .pid = 1, .uid = 1, .rights = ACCESS_FORWARD}};

	(void)world;
	(void)how;
	return &agents[which];
}

static bool own_command(
	struct connection_world *world, unsigned int which, unsigned int command, unsigned int how)
{
	(void)which;
	if (command == 0)
		connection_world_commit(
			world, (how & 1) != 0 ? -ECANCELED : 0, (how & 2) != 0 ? ERR_MALFORMED : 0);
	else if (command == 2 && (how & 1) != 0)
		forward_service_pause(world->service, (how & 2) != 0);
	else
		return false;
	return true;
}

static void flush(void *service)
{
	forward_service_flush(service);
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
	static const struct connection_world_ops ops = {peer, own_command, flush, check};
	const struct quota_limits limits = {.in_flight_bytes = 100};
	struct connection_world world;
	struct forward_service_config config = {.clock = &clock_system};
	struct forward_service *service;
	struct service_method method;

	connection_world_init(&world, &ops);
	config.ingest = &world.ingest.ingest;
	config.clients = world.clients;
	if (quotas_new(&limits, NULL, NULL, &world.config.quotas) < 0 ||
		forward_service_new(&config, &service) < 0)
		abort();
	forward_service_method(service, &method);
	world.service = service;
	world.config.methods = &method;
	world.config.method_count = 1;
	connection_world_run(&world, data, size);
	forward_service_free(service);
	quotas_free(world.config.quotas);
	clients_free(world.clients);
	return 0;
}
