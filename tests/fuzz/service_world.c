/* See service_world.h. */
#include "service_world.h"

#include <errno.h>
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
		struct quota_account *account;
		size_t bytes;
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
	fuzz->offers[fuzz->count].account = offer->account;
	fuzz->offers[fuzz->count].bytes = offer->bytes.length;
	fuzz->offers[fuzz->count++].sequence = offer->sequence;
	quota_begin(offer->account, offer->bytes.length);
	return 0;
}

static size_t fuzz_window(struct ingest *ingest)
{
	return OFFERS_MAX - ((struct fuzz_ingest *)ingest)->count;
}

static const struct ingest_ops fuzz_ops = {fuzz_offer, fuzz_window};

struct fuzz_stream {
	struct stream stream; /* first */
	const struct service_under_test *under;
	uint64_t before;
	bool closed;
};

static void fuzz_write(struct stream *base, uint8_t *frame, size_t length)
{
	struct fuzz_stream *stream = (struct fuzz_stream *)base;
	struct frame parsed;

	/* What it says is well-formed, and nothing follows a close. */
	if (stream->closed || frame_parse(frame, length, &parsed) != (long)length)
		abort();
	if (parsed.type == FRAME_MESSAGE)
		stream->before = stream->under->check(
			slice_of(parsed.payload, parsed.length), stream->before);
	free(frame);
}

static size_t fuzz_queued(const struct stream *stream)
{
	(void)stream;
	return 0;
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

struct fuzz {
	const struct service_under_test *under;
	struct fuzz_ingest ingest;
	struct clients *clients;
	void *service;
	struct service_method method;
	struct connection_counts counts;
	struct connection_config config;
	struct fuzz_stream streams[CONNECTIONS];
	struct connection *connections[CONNECTIONS];
	uint64_t now_ms;
};

static void open_connection(struct fuzz *fuzz, unsigned int which)
{
	const struct peer peer = {
		.known = true, .pid = 1, .uid = which, .rights = fuzz->under->right};

	fuzz->streams[which] = (struct fuzz_stream){.stream = {&stream_ops}, .under = fuzz->under};
	if (connection_new(&fuzz->config, &fuzz->streams[which].stream, &peer, fuzz->now_ms,
		    &fuzz->connections[which]) < 0)
		abort();
}

static void commit(struct fuzz *fuzz, int status, int refused)
{
	for (size_t i = 0; i < fuzz->ingest.count; i++) {
		quota_end(fuzz->ingest.offers[i].account, fuzz->ingest.offers[i].bytes);
		fuzz->ingest.offers[i].on_committed(fuzz->ingest.offers[i].context,
			fuzz->ingest.offers[i].sequence, status, refused);
	}
	fuzz->ingest.count = 0;
	fuzz->under->flush(fuzz->service);
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
	size_t length;

	switch (data[0] & 7) {
	case 0:
		commit(fuzz, (data[0] & 8) != 0 ? -ECANCELED : 0,
			(data[0] & 16) != 0 ? ERR_MALFORMED : 0);
		return 1;
	case 1:
		fuzz->now_ms += (data[0] & 0x78u) * 16;
		for (unsigned int i = 0; i < CONNECTIONS; i++)
			connection_tick(fuzz->connections[i], fuzz->now_ms);
		return 1;
	case 2:
		if ((data[0] & 8) != 0) {
			fuzz->under->pause(fuzz->service, (data[0] & 16) != 0);
			return 1;
		}
		connection_free(fuzz->connections[which]);
		open_connection(fuzz, which);
		return 1;
	case 3:
		if (size < 2)
			return size;
		length = data[1] < size - 2 ? data[1] : size - 2;
		feed(fuzz, which, data + 2, length);
		return 2 + length;
	default:
		if (size < 4)
			return size;
		length = data[3] < size - 4 ? data[3] : size - 4;
		feed_frame(fuzz, which, data[1], data[2], data + 4, length);
		return 4 + length;
	}
}

void service_world_run(const struct service_under_test *under, const uint8_t *data, size_t size)
{
	const struct quota_limits limits = {.in_flight_bytes = 100};
	struct fuzz fuzz = {.under = under, .now_ms = 1};

	if (clients_new(100, &fuzz.clients) < 0 ||
		quotas_new(&limits, NULL, NULL, &fuzz.config.quotas) < 0)
		abort();
	fuzz.ingest.ingest.ops = &fuzz_ops;
	fuzz.service = under->make(&fuzz.ingest.ingest, fuzz.clients, &clock_system, &fuzz.method);
	fuzz.config.methods = &fuzz.method;
	fuzz.config.method_count = 1;
	fuzz.config.counts = &fuzz.counts;
	fuzz.config.idle_ms = 1000;
	fuzz.config.queue_limit_bytes = 1000;
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		open_connection(&fuzz, i);
	while (size > 0) {
		size_t used = run_command(&fuzz, data, size);

		data += used;
		size -= used;
	}
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		connection_free(fuzz.connections[i]);
	commit(&fuzz, 0, 0);
	under->free(fuzz.service);
	quotas_free(fuzz.config.quotas);
	clients_free(fuzz.clients);
}
