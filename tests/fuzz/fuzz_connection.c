/*
 * The connection as a state machine (connection_world.h), in front of real Export sessions
 * and of a service that does whatever its callers say. Memory runs out and the stream is
 * full when the input says so. Its own commands:
 *   0  how 0: what was offered is committed; 1: it fails; 2: what was queued is sent;
 *      3: reading stops; 4: goes on; 5: the queue is full; 6: empty; 7: the peer is gone
 *   4  the allocation `how` is refused
 */
#include "export_service.h"

#include "fuzz/connection_world.h"
#include "refuse.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A service that does what its callers say ------------------------------------- */

static void obey_message(struct call *call, struct slice message, uint64_t now_ms)
{
	uint8_t how = message.length > 0 ? message.data[0] : 0;
	uint8_t *frame;
	int status = 0;

	(void)now_ms;
	if (how == 1) {
		frame = malloc(WIRE_FRAME_HEADER_BYTES + 10);
		if (frame == NULL)
			abort();
		memset(frame, 'a', WIRE_FRAME_HEADER_BYTES + 10);
		frame_header_write(
			frame, FRAME_MESSAGE, call->stream_id, frame + WIRE_FRAME_HEADER_BYTES, 10);
		status = call_send_frame(call, frame, WIRE_FRAME_HEADER_BYTES + 10);
	} else if (how == 2) {
		status = call_send(call, slice_of(message.data, WIRE_PAYLOAD_LIMIT + 1), true);
	} else if (how == 3) {
		connection_shut(call->connection, GRPC_UNAVAILABLE, NULL, 5);
	} else if (how == 4) {
		call_finish(call, GRPC_OK, "", 0);
		call_finish(call, GRPC_OK, "", 0);
		status = call_send(call, message, true);
	} else {
		status = call_send(call, message, how == 5);
	}
	if (status == 1)
		abort();
}

static void obey_end(struct call *call, uint64_t now_ms)
{
	(void)now_ms;
	call_finish(call, GRPC_OK, "", 0);
}

static void obey_writable(struct call *call, uint64_t now_ms)
{
	obey_message(call, slice_of((const uint8_t *)"more", 4), now_ms);
}

static void obey_closed(struct call *call)
{
	if (!call->finished)
		abort();
}

static enum grpc_status obey_open(void *service, struct call *call,
	const struct call_header *header, uint64_t now_ms, const char **ret_message)
{
	(void)service;
	(void)call;
	(void)now_ms;
	if (header->deadline_ms != 7)
		return GRPC_OK;
	*ret_message = "seven is no deadline";
	return GRPC_INVALID_ARGUMENT;
}

static const struct call_ops obey_ops = {
	.on_message = obey_message, .on_end = obey_end, .on_closed = obey_closed};
static const struct call_ops obey_more_ops = {.on_message = obey_message,
	.on_end = obey_end,
	.on_writable = obey_writable,
	.on_closed = obey_closed};

static const char rules[] = "token sender:%s send\ntoken asker:%s query\n";

/* Rules with the tokens `send` and `query`. */
static struct access *make_access(void)
{
	char send[65];
	char query[65];
	char text[sizeof(rules) + 130];
	char why[ACCESS_WHY_BYTES];
	struct access *access;
	int length;

	if (access_hash("send", 4, send) != 0 || access_hash("query", 5, query) != 0)
		abort();
	length = snprintf(text, sizeof(text), rules, send, query);
	if (access_new("fuzz", text, (size_t)length, &access, why) != 0)
		abort();
	return access;
}

/* ---- The connections ------------------------------------------------------------- */

/* Someone from the machine who may send, a stranger, someone without rights, one with all
 * of them. */
static const struct peer *peer(struct connection_world *world, unsigned int which, unsigned int how)
{
	static const struct peer peers[] = {
		{.known = true, .rights = ACCESS_SEND},
		{.known = false},
		{.known = true, .name = "cert.example"},
		{.known = true, .rights = ACCESS_ALL},
	};

	(void)world;
	(void)which;
	return &peers[how % (sizeof(peers) / sizeof(peers[0]))];
}

/* What comes neither from the peer nor from the clock. */
static void happen(struct connection_world *world, unsigned int which, unsigned int how)
{
	struct connection *connection = world->connections[which];
	struct world_stream *stream = &world->streams[which];

	if (how < 2)
		connection_world_commit(world, how == 0 ? 0 : -EIO, 0);
	else if (how == 2 && !stream->gone)
		connection_on_drained(connection, world->now_ms);
	else if (how == 3 || how == 4)
		connection_set_reading(connection, how == 4);
	else if (how == 5 || how == 6)
		stream->full = how == 5;
	else if (how == 7)
		connection_on_gone(connection);
	stream->gone |= how == 7;
	if (connection_pending_bytes(connection) > WIRE_PAYLOAD_LIMIT ||
		connection_stream(connection) != &stream->stream ||
		(connection_is_stranger(connection) && connection_peer(connection)->rights != 0))
		abort();
}

static bool own_command(
	struct connection_world *world, unsigned int which, unsigned int command, unsigned int how)
{
	if (command == 0)
		happen(world, which, how);
	else if (command == 4)
		refuse_allocation(how);
	return command == 0 || command == 4;
}

static void flush(void *service)
{
	export_service_flush(service);
}

static void make_methods(struct export_service *service, struct service_method *methods)
{
	export_service_method(service, &methods[0]);
	methods[1] = (struct service_method){
		.path = "/q", .right = ACCESS_QUERY, .ops = &obey_more_ops, .open = obey_open};
	methods[2] = (struct service_method){
		.path = "/f", .right = ACCESS_FORWARD, .ops = &obey_ops, .open = obey_open};
	methods[3] =
		(struct service_method){.path = "/n", .ops = &obey_more_ops, .open = obey_open};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct connection_world_ops ops = {peer, own_command, flush, NULL};
	static struct access *access;
	struct connection_world world;
	struct export_config config = {.clock = &clock_system};
	struct export_service *service;
	struct service_method methods[4];

	if (access == NULL)
		access = make_access();
	refuse_allocation(0);
	connection_world_init(&world, &ops);
	config.ingest = &world.ingest.ingest;
	config.clients = world.clients;
	if (export_service_new(&config, &service) < 0)
		abort();
	make_methods(service, methods);
	world.service = service;
	world.config.methods = methods;
	world.config.method_count = 4;
	world.config.access = access;
	connection_world_run(&world, data, size);
	refuse_allocation(0);
	export_service_free(service);
	clients_free(world.clients);
	return 0;
}
