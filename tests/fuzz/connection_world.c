/* See connection_world.h. */
#include "fuzz/connection_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int world_offer(struct ingest *ingest, const struct ingest_offer *offer,
	ingest_on_committed on_committed, void *context)
{
	struct world_ingest *world = (struct world_ingest *)ingest;

	if (world->count == WORLD_OFFERS_MAX)
		return -EAGAIN;
	world->offers[world->count].on_committed = on_committed;
	world->offers[world->count].context = context;
	world->offers[world->count].account = offer->account;
	world->offers[world->count].bytes = offer->bytes.length;
	world->offers[world->count++].sequence = offer->sequence;
	quota_begin(offer->account, offer->bytes.length);
	return 0;
}

static size_t world_window(struct ingest *ingest)
{
	return WORLD_OFFERS_MAX - ((struct world_ingest *)ingest)->count;
}

static const struct ingest_ops ingest_ops = {world_offer, world_window};

static void world_write(struct stream *base, uint8_t *frame, size_t length)
{
	struct world_stream *stream = (struct world_stream *)base;
	struct frame parsed;

	/* What it says is well-formed, and nothing follows a close. */
	if (stream->closed || frame_parse(frame, length, &parsed) != (long)length)
		abort();
	if (parsed.type == FRAME_MESSAGE && stream->ops->check != NULL)
		stream->before =
			stream->ops->check(slice_of(parsed.payload, parsed.length), stream->before);
	free(frame);
}

static size_t world_queued(const struct stream *stream)
{
	return ((const struct world_stream *)stream)->full ? SIZE_MAX : 0;
}

static void world_set_reading(struct stream *stream, bool reading)
{
	(void)stream;
	(void)reading;
}

static void world_close(struct stream *stream)
{
	((struct world_stream *)stream)->closed = true;
}

static const struct stream_ops stream_ops = {.write = world_write,
	.queued_bytes = world_queued,
	.set_reading = world_set_reading,
	.close = world_close};

static void open_connection(struct connection_world *world, unsigned int which, unsigned int how)
{
	const struct peer *peer = world->ops->peer(world, which, how);
	struct world_stream *stream = &world->streams[which];

	*stream = (struct world_stream){.stream = {&stream_ops}, .ops = world->ops};
	for (int tries = 0; tries < 2; tries++) {
		if (connection_new(&world->config, &stream->stream, peer, world->now_ms,
			    &world->connections[which]) == 0)
			return;
	}
	/* A fuzzer that refuses memory does so once. */
	abort();
}

void connection_world_commit(struct connection_world *world, int status, int refused)
{
	struct world_ingest *ingest = &world->ingest;

	for (size_t i = 0; i < ingest->count; i++) {
		quota_end(ingest->offers[i].account, ingest->offers[i].bytes);
		ingest->offers[i].on_committed(
			ingest->offers[i].context, ingest->offers[i].sequence, status, refused);
	}
	ingest->count = 0;
	world->ops->flush(world->service);
}

/* Feeds a copy of exact size. */
static void feed(
	struct connection_world *world, unsigned int which, const uint8_t *data, size_t length)
{
	uint8_t *copy = malloc(length + 1);

	if (copy == NULL)
		abort();
	memcpy(copy, data, length);
	connection_feed(world->connections[which], copy, length, world->now_ms);
	free(copy);
}

/* A frame around the bytes; the connection's first call is stream 1. */
static void feed_frame(struct connection_world *world, unsigned int which, uint8_t type,
	uint8_t stream, const uint8_t *payload, size_t length)
{
	uint8_t frame[WIRE_FRAME_HEADER_BYTES + 256];

	frame_header_write(frame, (enum frame_type)type, stream, payload, length);
	memcpy(frame + WIRE_FRAME_HEADER_BYTES, payload, length);
	feed(world, which, frame, WIRE_FRAME_HEADER_BYTES + length);
}

/* One command; the bytes that it took. */
static size_t run_command(struct connection_world *world, const uint8_t *data, size_t size)
{
	unsigned int which = data[0] >> 7;
	unsigned int how = data[0] >> 3 & 15;
	size_t length;

	if (world->ops->own_command(world, which, data[0] & 7, how))
		return 1;
	switch (data[0] & 7) {
	case 1:
		world->now_ms += how * 128;
		for (unsigned int i = 0; i < WORLD_CONNECTIONS; i++)
			connection_tick(world->connections[i], world->now_ms);
		return 1;
	case 2:
		connection_free(world->connections[which]);
		open_connection(world, which, how);
		return 1;
	case 3:
		if (size < 2)
			return size;
		length = data[1] < size - 2 ? data[1] : size - 2;
		feed(world, which, data + 2, length);
		return 2 + length;
	default:
		if (size < 4)
			return size;
		length = data[3] < size - 4 ? data[3] : size - 4;
		feed_frame(world, which, data[1], data[2], data + 4, length);
		return 4 + length;
	}
}

void connection_world_init(struct connection_world *world, const struct connection_world_ops *ops)
{
	*world = (struct connection_world){
		.ops = ops, .ingest.ingest.ops = &ingest_ops, .now_ms = 1};
	world->config.counts = &world->counts;
	world->config.idle_ms = 1000;
	world->config.queue_limit_bytes = 1000;
	if (clients_new(100, &world->clients) < 0)
		abort();
}

void connection_world_run(struct connection_world *world, const uint8_t *data, size_t size)
{
	for (unsigned int i = 0; i < WORLD_CONNECTIONS; i++)
		open_connection(world, i, 0);
	while (size > 0) {
		size_t used = run_command(world, data, size);

		data += used;
		size -= used;
	}
	for (unsigned int i = 0; i < WORLD_CONNECTIONS; i++)
		connection_free(world->connections[i]);
	connection_world_commit(world, 0, 0);
}
