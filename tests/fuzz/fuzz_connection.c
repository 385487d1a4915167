/*
 * The connection as a state machine: arbitrary bytes in arbitrary pieces, with
 * time passing, in front of real Export sessions on an ingest that commits now and
 * then, and of a service that does whatever its callers say. Memory runs out and the
 * stream is full when the input says so.
 *
 * Input: commands, each a byte and what it needs. Bits 0-2 say what, 3-6 how (a
 * number), 7 which connection:
 *   0  how 0: what was offered is committed; 1: it fails; 2: what was queued is sent;
 *      3: reading stops; 4: goes on; 5: the queue is full; 6: empty; 7: the peer is gone
 *   1  time passes                         2  another connection, of peer `how`
 *   3  bytes as they are (length, bytes)   4  the allocation `how` is refused
 *   5… a frame: type, stream, length, payload; its header is made here
 */
#include "export_service.h"

#include "refuse.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFERS_MAX 64
#define CONNECTIONS 2

struct fuzz_ingest {
	struct ingest ingest; /* first */
	struct {
		ingest_on_committed on_committed;
		void *context;
		uint64_t sequence;
	} offers[OFFERS_MAX];
	size_t count;
};

static int fuzz_offer(struct ingest *ingest, const struct ingest_offer *offer,
	ingest_on_committed on_committed, void *context)
{
	struct fuzz_ingest *fuzz = (struct fuzz_ingest *)ingest;

	if (fuzz->count == OFFERS_MAX)
		return -EAGAIN;
	fuzz->offers[fuzz->count].on_committed = on_committed;
	fuzz->offers[fuzz->count].context = context;
	fuzz->offers[fuzz->count++].sequence = offer->sequence;
	return 0;
}

static size_t fuzz_window(struct ingest *ingest)
{
	return OFFERS_MAX - ((struct fuzz_ingest *)ingest)->count;
}

static const struct ingest_ops fuzz_ops = {fuzz_offer, fuzz_window};

struct fuzz_stream {
	struct stream stream; /* first */
	bool closed;
	bool full;
	bool gone;
};

static void fuzz_write(struct stream *stream, uint8_t *frame, size_t length)
{
	struct frame parsed;

	/* What it says is well-formed, and nothing follows a close. */
	if (((struct fuzz_stream *)stream)->closed ||
		frame_parse(frame, length, &parsed) != (long)length)
		abort();
	free(frame);
}

static size_t fuzz_queued(const struct stream *stream)
{
	return ((const struct fuzz_stream *)stream)->full ? SIZE_MAX : 0;
}

static void fuzz_set_reading(struct stream *stream, bool reading)
{
	(void)stream;
	(void)reading;
}

static void fuzz_close(struct stream *stream)
{
	((struct fuzz_stream *)stream)->closed = true;
}

static const struct stream_ops stream_ops = {.write = fuzz_write,
	.queued_bytes = fuzz_queued,
	.set_reading = fuzz_set_reading,
	.close = fuzz_close};

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

struct fuzz {
	struct fuzz_ingest ingest;
	struct clients *clients;
	struct export_service *service;
	struct service_method methods[4];
	struct connection_counts counts;
	struct connection_config config;
	struct fuzz_stream streams[CONNECTIONS];
	struct connection *connections[CONNECTIONS];
	uint64_t now_ms;
};

/* Someone from the machine who may send, a stranger, someone without rights, one with all
 * of them. */
static const struct peer peers[] = {
	{.known = true, .rights = ACCESS_SEND},
	{.known = false},
	{.known = true, .name = "cert.example"},
	{.known = true, .rights = ACCESS_ALL},
};

static void open_connection(struct fuzz *fuzz, unsigned int which, unsigned int how)
{
	struct fuzz_stream *stream = &fuzz->streams[which];

	*stream = (struct fuzz_stream){.stream = {&stream_ops}};
	if (connection_new(&fuzz->config, &stream->stream,
		    &peers[how % (sizeof(peers) / sizeof(peers[0]))], fuzz->now_ms,
		    &fuzz->connections[which]) == 0)
		return;
	if (!refuse_happened() || connection_new(&fuzz->config, &stream->stream, &peers[0],
					  fuzz->now_ms, &fuzz->connections[which]) != 0)
		abort();
}

static void commit(struct fuzz *fuzz, int status)
{
	for (size_t i = 0; i < fuzz->ingest.count; i++)
		fuzz->ingest.offers[i].on_committed(
			fuzz->ingest.offers[i].context, fuzz->ingest.offers[i].sequence, status, 0);
	fuzz->ingest.count = 0;
	export_service_flush(fuzz->service);
}

/* What comes neither from the peer nor from the clock. */
static void happen(struct fuzz *fuzz, unsigned int which, unsigned int how)
{
	struct connection *connection = fuzz->connections[which];
	struct fuzz_stream *stream = &fuzz->streams[which];

	if (how < 2)
		commit(fuzz, how == 0 ? 0 : -EIO);
	else if (how == 2 && !stream->gone)
		connection_on_drained(connection, fuzz->now_ms);
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

/* Feeds a copy of exact size. */
static void feed(struct fuzz *fuzz, unsigned int which, const uint8_t *data, size_t length)
{
	uint8_t *copy = malloc(length + 1);

	if (copy == NULL)
		abort();
	memcpy(copy, data, length);
	connection_feed(fuzz->connections[which], copy, length, fuzz->now_ms);
	free(copy);
}

/* A frame around the bytes; the connection's first call is stream 1. */
static void feed_frame(struct fuzz *fuzz, unsigned int which, uint8_t type, uint8_t stream,
	const uint8_t *payload, size_t length)
{
	uint8_t frame[WIRE_FRAME_HEADER_BYTES + 256];

	frame_header_write(frame, (enum frame_type)type, stream, payload, length);
	memcpy(frame + WIRE_FRAME_HEADER_BYTES, payload, length);
	feed(fuzz, which, frame, WIRE_FRAME_HEADER_BYTES + length);
}

/* One command; the bytes that it took. */
static size_t run_command(struct fuzz *fuzz, const uint8_t *data, size_t size)
{
	unsigned int which = data[0] >> 7;
	unsigned int how = data[0] >> 3 & 15;
	size_t length;

	switch (data[0] & 7) {
	case 0:
		happen(fuzz, which, how);
		return 1;
	case 1:
		fuzz->now_ms += how * 128;
		for (unsigned int i = 0; i < CONNECTIONS; i++)
			connection_tick(fuzz->connections[i], fuzz->now_ms);
		return 1;
	case 2:
		connection_free(fuzz->connections[which]);
		open_connection(fuzz, which, how);
		return 1;
	case 3:
		if (size < 2)
			return size;
		length = data[1] < size - 2 ? data[1] : size - 2;
		feed(fuzz, which, data + 2, length);
		return 2 + length;
	case 4:
		refuse_allocation(how);
		return 1;
	default:
		if (size < 4)
			return size;
		length = data[3] < size - 4 ? data[3] : size - 4;
		feed_frame(fuzz, which, data[1], data[2], data + 4, length);
		return 4 + length;
	}
}

static void make_methods(struct fuzz *fuzz)
{
	export_service_method(fuzz->service, &fuzz->methods[0]);
	fuzz->methods[1] = (struct service_method){
		.path = "/q", .right = ACCESS_QUERY, .ops = &obey_more_ops, .open = obey_open};
	fuzz->methods[2] = (struct service_method){
		.path = "/f", .right = ACCESS_FORWARD, .ops = &obey_ops, .open = obey_open};
	fuzz->methods[3] =
		(struct service_method){.path = "/n", .ops = &obey_more_ops, .open = obey_open};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct access *access;
	struct fuzz fuzz = {.now_ms = 1};
	struct export_config config = {.clock = &clock_system};

	if (access == NULL)
		access = make_access();
	refuse_allocation(0);
	if (clients_new(100, &fuzz.clients) < 0)
		abort();
	fuzz.ingest.ingest.ops = &fuzz_ops;
	config.ingest = &fuzz.ingest.ingest;
	config.clients = fuzz.clients;
	if (export_service_new(&config, &fuzz.service) < 0)
		abort();
	make_methods(&fuzz);
	fuzz.config = (struct connection_config){.methods = fuzz.methods,
		.method_count = 4,
		.access = access,
		.counts = &fuzz.counts,
		.idle_ms = 1000,
		.queue_limit_bytes = 1000};
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		open_connection(&fuzz, i, 0);
	while (size > 0) {
		size_t used = run_command(&fuzz, data, size);

		data += used;
		size -= used;
	}
	refuse_allocation(0);
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		connection_free(fuzz.connections[i]);
	commit(&fuzz, 0);
	export_service_free(fuzz.service);
	clients_free(fuzz.clients);
	return 0;
}
