/*
 * export_service.c on a fake ingest: what is acknowledged when, sequence numbers,
 * credit, and who takes over from whom.
 */
#include "export_service.h"

#include "cursor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OFFERS_MAX 256

/* An ingest that commits when the test says so. */
struct fake_ingest {
	struct ingest ingest; /* first */
	struct {
		struct log_record record;
		ingest_on_committed on_committed;
		void *context;
		uint8_t payload[256];
		int refused;
		struct quota_account *account;
	} offers[OFFERS_MAX];
	size_t count;
	size_t committed;
	size_t window;
	int result; /* of the next offers */
	struct clients *clients;
	uint32_t offset;
};

static int fake_offer(struct ingest *ingest, const struct ingest_offer *offer,
	ingest_on_committed on_committed, void *context)
{
	struct fake_ingest *fake = (struct fake_ingest *)ingest;
	struct log_record *record = &fake->offers[fake->count].record;

	if (fake->result != 0)
		return fake->result;
	assert_true(fake->count < OFFERS_MAX && offer->bytes.length <= 256);
	*record = (struct log_record){.kind = offer->kind,
		.format = offer->format,
		.spans = offer->kind == LOG_BATCH ? 1 : offer->dropped,
		.sequence = offer->sequence,
		.emitted = offer->emitted,
		.payload = fake->offers[fake->count].payload,
		.payload_length = offer->bytes.length};
	memcpy(record->client, offer->client, sizeof(record->client));
	memcpy(fake->offers[fake->count].payload, offer->bytes.data, offer->bytes.length);
	/* "bad" stands for a batch that doesn't decode. */
	if (offer->kind == LOG_BATCH && offer->bytes.length == 3) {
		struct writer writer = writer_of(fake->offers[fake->count].payload, 256);

		writer_field_varint(&writer, TAG_REFUSAL_SEQUENCE, offer->sequence);
		writer_field_varint(&writer, TAG_REFUSAL_CODE, GRPC_INVALID_ARGUMENT);
		record->kind = LOG_REFUSAL;
		record->spans = 0;
		record->payload_length = writer_length(&writer);
		fake->offers[fake->count].refused = ERR_MALFORMED;
	}
	fake->offers[fake->count].on_committed = on_committed;
	fake->offers[fake->count].context = context;
	fake->offers[fake->count].account = offer->account;
	quota_begin(offer->account, offer->bytes.length);
	fake->count++;
	return 0;
}

static size_t fake_window(struct ingest *ingest)
{
	return ((struct fake_ingest *)ingest)->window;
}

static const struct ingest_ops fake_ops = {fake_offer, fake_window};

struct world;

/* One connection with a session. */
struct line {
	struct stream stream; /* first */
	struct connection *connection;
	struct frame_reader reader;
	struct export_response last; /* of the responses */
	uint64_t durable;
	uint64_t credit;
	unsigned int responses;
	unsigned int refusals;
	bool known, forgotten, fenced, goodbye;
	int status; /* of the call; -1: none */
	bool closed;
	size_t longest; /* frame */
	bool held;	/* not read */
	uint64_t sent;	/* bytes of messages behind the hello */
};

struct world {
	struct fake_ingest ingest;
	struct clients *clients;
	struct export_service *service;
	struct service_method method;
	struct connection_counts counts;
	struct connection_config config;
};

static void line_write(struct stream *stream, uint8_t *bytes, size_t length)
{
	struct line *line = (struct line *)stream;
	const uint8_t *data = bytes;
	struct export_response response;
	struct call_status status;
	struct refusal refusal;
	struct frame frame;
	size_t position = 0;

	assert_int_equal(frame_reader_next(&line->reader, &data, &length, &frame), 1);
	if (frame.type == FRAME_STATUS && frame.stream == 1) {
		assert_int_equal(
			call_status_decode(slice_of(frame.payload, frame.length), &status), 0);
		line->status = (int)status.code;
	} else if (frame.type == FRAME_MESSAGE) {
		if (frame.length > line->longest)
			line->longest = frame.length;
		assert_int_equal(
			export_response_decode(slice_of(frame.payload, frame.length), &response),
			0);
		assert_true(response.durable_sequence >= line->durable);
		assert_true(response.credit_bytes >= line->credit);
		line->responses++;
		line->durable = response.durable_sequence;
		line->credit = response.credit_bytes;
		line->goodbye |= response.goodbye;
		if (response.has_welcome) {
			line->known = response.welcome.known;
			line->forgotten = response.welcome.forgotten;
			line->fenced = response.welcome.fence.data != NULL;
		}
		while (export_response_next_refusal(&response, &position, &refusal))
			line->refusals++;
	}
	free(bytes);
}

static size_t line_queued(const struct stream *stream)
{
	(void)stream;
	return 0;
}

static void line_set_reading(struct stream *stream, bool reading)
{
	((struct line *)stream)->held = !reading;
}

static void line_close(struct stream *stream)
{
	((struct line *)stream)->closed = true;
}

static const struct stream_ops line_ops = {.write = line_write,
	.queued_bytes = line_queued,
	.set_reading = line_set_reading,
	.close = line_close};

static struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));
	struct export_config config = {.clock = &clock_system};

	assert_non_null(world);
	assert_int_equal(clients_new(100, &world->clients), 0);
	world->ingest.ingest.ops = &fake_ops;
	world->ingest.window = 1000;
	world->ingest.clients = world->clients;
	config.ingest = &world->ingest.ingest;
	config.clients = world->clients;
	assert_int_equal(export_service_new(&config, &world->service), 0);
	export_service_method(world->service, &world->method);
	world->config = (struct connection_config){.methods = &world->method,
		.method_count = 1,
		.counts = &world->counts,
		.idle_ms = 1000,
		.queue_limit_bytes = 1000000};
	return world;
}

static void world_free(struct world *world)
{
	export_service_free(world->service);
	clients_free(world->clients);
	free(world);
}

/* The log's thread made everything offered durable. */
static void commit(struct world *world)
{
	struct fake_ingest *fake = &world->ingest;

	while (fake->committed < fake->count) {
		struct log_place place = {1, fake->offset += 64};

		quota_end(fake->offers[fake->committed].account,
			fake->offers[fake->committed].record.payload_length);
		assert_true(clients_durable(world->clients, place,
				    &fake->offers[fake->committed].record) >= 0);
		fake->offers[fake->committed].on_committed(fake->offers[fake->committed].context,
			fake->offers[fake->committed].record.sequence, 0,
			fake->offers[fake->committed].refused);
		fake->committed++;
	}
	export_service_flush(world->service);
}

static void send_frame(struct line *line, enum frame_type type, const void *payload, size_t length)
{
	uint8_t frame[2048];

	frame_header_write(frame, type, 1, payload, length);
	memcpy(frame + WIRE_FRAME_HEADER_BYTES, payload, length);
	connection_feed(line->connection, frame, WIRE_FRAME_HEADER_BYTES + length, 0);
}

static void send_request(struct line *line, const struct export_request *request)
{
	uint8_t buffer[1024];
	struct writer writer = writer_of(buffer, sizeof(buffer));

	export_request_encode(&writer, request);
	if (request->body != EXPORT_HELLO)
		line->sent += writer_length(&writer);
	send_frame(line, FRAME_MESSAGE, buffer, writer_length(&writer));
}

static struct line *line_open_as(struct world *world, uint32_t uid)
{
	const struct peer peer = {
		.known = true, .local = true, .pid = 1, .uid = uid, .rights = ACCESS_SEND};
	struct line *line = calloc(1, sizeof(*line));
	uint8_t buffer[128];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	const struct call_header header = {.method = slice_of_text(WIRE_METHOD_EXPORT)};

	assert_non_null(line);
	line->stream.ops = &line_ops;
	line->status = -1;
	assert_int_equal(
		connection_new(&world->config, &line->stream, &peer, 0, &line->connection), 0);
	call_header_encode(&writer, &header);
	send_frame(line, FRAME_CALL, buffer, writer_length(&writer));
	return line;
}

static struct line *line_open(struct world *world)
{
	return line_open_as(world, 0);
}

static struct line *line_hello_as(
	struct world *world, uint32_t uid, uint8_t client, uint64_t acknowledged)
{
	struct line *line = line_open_as(world, uid);
	struct export_request request = {.body = EXPORT_HELLO};

	memset(request.hello.client, client, sizeof(request.hello.client));
	request.hello.version = 1;
	request.hello.service = slice_of_text("test");
	request.hello.acknowledged_sequence = acknowledged;
	send_request(line, &request);
	return line;
}

static struct line *line_hello(struct world *world, uint8_t client, uint64_t acknowledged)
{
	return line_hello_as(world, 0, client, acknowledged);
}

static void line_free(struct line *line)
{
	connection_free(line->connection);
	frame_reader_done(&line->reader);
	free(line);
}

static void send_batch(struct line *line, uint64_t sequence, const char *bytes)
{
	const struct export_request request = {
		.sequence = sequence, .body = EXPORT_BATCH, .batch = slice_of_text(bytes)};

	send_request(line, &request);
}

static void send_goodbye(struct line *line)
{
	const struct export_request request = {.body = EXPORT_GOODBYE, .goodbye = {.emitted = 5}};

	send_request(line, &request);
}

/* ---- Quotas ------------------------------------------------------------------------- */

/* A client floods over two connections, as far as it is read and has credit: another's
 * batches are taken all the same, and its credit doesn't shrink. */
static void test_fair(void **state)
{
	const struct quota_limits limits = {.in_flight_bytes = 100};
	struct world *world = world_new();
	struct line *flood[2];
	struct line *other;
	uint64_t sent[2] = {0, 0};
	int held = 0;

	(void)state;
	assert_int_equal(quotas_new(&limits, NULL, NULL, &world->config.quotas), 0);
	for (int i = 0; i < 2; i++)
		flood[i] = line_hello_as(world, 1, (uint8_t)(i + 1), 0);
	other = line_hello_as(world, 2, 9, 0);
	assert_int_equal(flood[0]->credit, 100);
	assert_int_equal(flood[1]->credit, 50);
	assert_int_equal(other->credit, 100);
	for (uint64_t round = 1; round <= 20; round++) {
		/* Its last message may be beyond what is left. */
		for (int i = 0; i < 2; i++)
			while (!flood[i]->held && flood[i]->sent < flood[i]->credit)
				send_batch(flood[i], ++sent[i], "twenty bytes or more");
		assert_true(world->ingest.count - world->ingest.committed <= 7);
		assert_false(other->held);
		send_batch(other, round, "batch");
		export_service_flush(world->service);
		assert_true(flood[0]->held == flood[1]->held);
		held += flood[0]->held;
		commit(world);
		assert_int_equal(other->durable, round);
		assert_false(flood[0]->held || flood[1]->held);
	}
	assert_true(held > 5);
	assert_true(other->credit >= 100);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(flood[i]->status, -1);
		assert_int_equal(flood[i]->durable, sent[i]);
		line_free(flood[i]);
	}
	line_free(other);
	quotas_free(world->config.quotas);
	world_free(world);
}

/* Too fast: no credit for a while, nothing lost. */
static void test_too_fast(void **state)
{
	const struct quota_limits limits = {.bytes_per_second = 1};
	struct world *world = world_new();
	struct line *line;
	struct quota_counts counts;

	(void)state;
	world->ingest.window = 1 << 20;
	assert_int_equal(quotas_new(&limits, NULL, NULL, &world->config.quotas), 0);
	line = line_hello_as(world, 1, 1, 0);
	assert_int_equal(line->credit, WIRE_PAYLOAD_LIMIT);
	quota_received(connection_account(line->connection), WIRE_PAYLOAD_LIMIT,
		clock_monotonic_ms(&clock_system));
	send_batch(line, 1, "batch");
	commit(world);
	assert_int_equal(line->durable, 1);
	assert_int_equal(line->credit, WIRE_PAYLOAD_LIMIT);
	quotas_count(world->config.quotas, &counts);
	assert_true(counts.held > 0);
	/* Without the limit it goes on. */
	quotas_configure(world->config.quotas, &(struct quota_limits){0});
	export_service_flush(world->service);
	assert_true(line->credit > 1 << 20);
	line_free(line);
	quotas_free(world->config.quotas);
	world_free(world);
}

/* ---- Tests ------------------------------------------------------------------------ */

static void test_acknowledges_after_commit(void **state)
{
	struct world *world = world_new();
	struct line *line = line_hello(world, 1, 0);

	(void)state;
	assert_int_equal(line->responses, 1);
	assert_false(line->known || line->forgotten);
	for (uint64_t i = 1; i <= 3; i++)
		send_batch(line, i, "batch");
	export_service_flush(world->service);
	/* Offered is not durable. */
	assert_int_equal(line->durable, 0);
	commit(world);
	assert_int_equal(line->durable, 3);
	assert_int_equal(line->responses, 2);
	line_free(line);
	world_free(world);
}

static void test_order(void **state)
{
	struct world *world = world_new();
	struct line *line = line_hello(world, 1, 0);
	struct export_counts counts;

	(void)state;
	send_batch(line, 1, "batch");
	send_batch(line, 1, "batch"); /* on its way: no answer yet */
	assert_int_equal(world->ingest.count, 1);
	commit(world);
	send_batch(line, 1, "batch");
	assert_int_equal(world->ingest.count, 1);
	assert_int_equal(line->durable, 1);
	send_batch(line, 3, "batch");
	assert_int_equal(world->ingest.count, 1);
	assert_int_equal(line->status, GRPC_FAILED_PRECONDITION);
	assert_true(line->closed);
	export_service_count(world->service, &counts);
	assert_int_equal(counts.duplicates, 2);
	assert_int_equal(counts.gaps, 1);
	assert_int_equal(counts.sessions, 0);
	line_free(line);
	world_free(world);
}

static void test_reconnect_in_flight(void **state)
{
	struct world *world = world_new();
	struct line *line = line_hello(world, 1, 0);
	struct line *again;

	(void)state;
	send_batch(line, 1, "batch");
	commit(world);
	send_batch(line, 2, "batch");
	send_batch(line, 3, "batch");
	line_free(line);
	/* The newer one is told what is durable, sends the rest, which is on its way
	 * already, and learns when it is durable. */
	again = line_hello(world, 1, 1);
	assert_true(again->known);
	assert_int_equal(again->durable, 1);
	send_batch(again, 2, "batch");
	send_batch(again, 3, "batch");
	send_batch(again, 4, "batch");
	assert_int_equal(world->ingest.count, 4);
	commit(world);
	assert_int_equal(again->durable, 4);
	line_free(again);
	world_free(world);
}

static void test_newer_hello(void **state)
{
	struct world *world = world_new();
	struct line *older = line_hello(world, 1, 0);
	struct line *other = line_hello(world, 2, 0);
	struct line *newer;

	(void)state;
	send_batch(older, 1, "batch");
	newer = line_hello(world, 1, 0);
	assert_int_equal(older->status, GRPC_ABORTED);
	assert_true(older->closed);
	assert_int_equal(other->status, -1);
	commit(world);
	assert_int_equal(newer->durable, 1);
	assert_int_equal(older->durable, 0);
	line_free(older);
	send_batch(newer, 2, "batch");
	commit(world);
	assert_int_equal(newer->durable, 2);
	line_free(newer);
	line_free(other);
	world_free(world);
}

static void test_refusals(void **state)
{
	struct world *world = world_new();
	struct line *line;

	(void)state;
	world->ingest.window = 100000;
	line = line_hello(world, 1, 0);
	send_batch(line, 1, "batch");
	send_batch(line, 2, "bad");
	send_batch(line, 3, "batch");
	commit(world);
	assert_int_equal(line->durable, 3);
	assert_int_equal(line->refusals, 1);
	line_free(line);
	line = line_hello(world, 1, 1);
	assert_int_equal(line->refusals, 1);
	line_free(line);
	line = line_hello(world, 1, 2);
	assert_int_equal(line->refusals, 0);
	/* More refusals than one response holds: the number never runs ahead of them. */
	for (uint64_t i = 4; i < 154; i++)
		send_batch(line, i, "bad");
	commit(world);
	line_free(line);
	line = line_hello(world, 1, 3);
	assert_int_equal(line->refusals, 150);
	assert_int_equal(line->durable, 153);
	line_free(line);
	world_free(world);
}

static void test_credit(void **state)
{
	struct world *world = world_new();
	struct line *line;
	char large[200];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	world->ingest.window = 0;
	line = line_hello(world, 1, 0);
	assert_int_equal(line->credit, 0);
	world->ingest.window = 300;
	export_service_flush(world->service);
	assert_int_equal(line->credit, 300);
	send_batch(line, 1, large);
	world->ingest.window = 0;
	commit(world);
	/* What was granted stays granted; nothing new. */
	assert_int_equal(line->credit, 300);
	send_batch(line, 2, large); /* the last byte of credit lets a whole one pass */
	assert_int_equal(world->ingest.count, 2);
	send_batch(line, 3, large);
	assert_int_equal(world->ingest.count, 2);
	assert_int_equal(line->status, GRPC_RESOURCE_EXHAUSTED);
	line_free(line);
	commit(world);
	world_free(world);
}

static void test_no_room(void **state)
{
	struct world *world = world_new();
	struct line *line = line_hello(world, 1, 0);

	(void)state;
	world->ingest.result = -EAGAIN;
	send_batch(line, 1, "batch");
	assert_int_equal(line->status, GRPC_RESOURCE_EXHAUSTED);
	line_free(line);
	world->ingest.result = 0;
	line = line_hello(world, 1, 0);
	send_batch(line, 1, "batch");
	commit(world);
	assert_int_equal(line->durable, 1);
	line_free(line);
	world_free(world);
}

/* One whose client has too much in flight is not read; when its call ends meanwhile, it is
 * read again, or nobody would see its end. */
static void test_goodbye_while_held(void **state)
{
	const struct quota_limits limits = {.in_flight_bytes = 10};
	struct world *world = world_new();
	struct line *line;

	(void)state;
	assert_int_equal(quotas_new(&limits, NULL, NULL, &world->config.quotas), 0);
	line = line_hello_as(world, 1, 1, 0);
	send_batch(line, 1, "twenty bytes or more");
	send_goodbye(line);
	assert_true(line->held);
	commit(world);
	assert_int_equal(line->status, GRPC_OK);
	assert_false(line->held);
	line_free(line);
	quotas_free(world->config.quotas);
	world_free(world);
}

static void test_goodbye(void **state)
{
	struct world *world = world_new();
	struct line *line = line_hello(world, 1, 0);

	(void)state;
	send_batch(line, 1, "batch");
	send_goodbye(line);
	assert_false(line->goodbye);
	commit(world);
	assert_true(line->goodbye);
	assert_int_equal(line->status, GRPC_OK);
	assert_int_equal(line->durable, 1);
	line_free(line);
	line = line_hello(world, 1, 1);
	assert_true(line->forgotten);
	send_batch(line, 2, "batch");
	assert_int_equal(line->status, GRPC_FAILED_PRECONDITION);
	line_free(line);
	world_free(world);
}

/* One that was salvaged is told so, and nothing of it is taken. */
/* Makes the client 1 a salvaged one. */
static void put_fence(struct world *world)
{
	struct log_record fence = {
		.kind = LOG_FENCE, .payload = (const uint8_t *)"fence", .payload_length = 5};

	memset(fence.client, 1, sizeof(fence.client));
	assert_int_equal(clients_durable(world->clients,
				 (struct log_place){1, world->ingest.offset += 64}, &fence),
		1);
}

/* All refusals that are kept come with the fence, in one frame that a client takes. */
static void test_fenced_refusals(void **state)
{
	struct world *world = world_new();
	struct line *line = line_hello(world, 1, 0);

	(void)state;
	world->ingest.window = 1 << 20;
	export_service_flush(world->service);
	for (uint64_t i = 1; i <= 200; i++)
		send_batch(line, i, "bad");
	commit(world);
	assert_int_equal(line->refusals, 200);
	line_free(line);
	put_fence(world);
	line = line_hello(world, 1, 50);
	assert_true(line->fenced);
	assert_int_equal(line->responses, 1);
	assert_int_equal(line->refusals, 150);
	assert_int_equal(line->durable, 200);
	assert_true(line->longest < 64 << 10);
	line_free(line);
	world_free(world);
}

static void test_fenced(void **state)
{
	static const uint8_t message[] = {TAG_FENCE_SEQUENCE, 1};
	struct world *world = world_new();
	struct line *line = line_hello(world, 1, 0);
	struct log_record fence = {.kind = LOG_FENCE,
		.format = LOG_FORMAT_WAFT_V1,
		.sequence = 1,
		.payload = message,
		.payload_length = sizeof(message)};

	(void)state;
	send_batch(line, 1, "batch");
	commit(world);
	line_free(line);
	memset(fence.client, 1, sizeof(fence.client));
	assert_int_equal(clients_durable(world->clients,
				 (struct log_place){1, world->ingest.offset += 64}, &fence),
		1);
	line = line_hello(world, 1, 1);
	assert_true(line->fenced && line->forgotten && line->known);
	assert_int_equal(line->durable, 1);
	send_batch(line, 2, "batch");
	assert_int_equal(line->status, GRPC_FAILED_PRECONDITION);
	assert_int_equal(world->ingest.count, 1);
	line_free(line);
	world_free(world);
}

static void test_bad_requests(void **state)
{
	struct world *world = world_new();
	struct line *line = line_open(world);

	(void)state;
	send_batch(line, 1, "batch");
	assert_int_equal(line->status, GRPC_FAILED_PRECONDITION);
	line_free(line);
	line = line_hello(world, 1, 0);
	send_frame(line, FRAME_MESSAGE, "\xff", 1);
	assert_int_equal(line->status, GRPC_INVALID_ARGUMENT);
	line_free(line);
	line = line_hello(world, 1, 0);
	send_goodbye(line);
	send_batch(line, 1, "batch");
	assert_int_equal(line->status, GRPC_FAILED_PRECONDITION);
	line_free(line);
	commit(world);
	line = line_hello(world, 2, 0);
	export_service_shut(world->service, "stopping");
	assert_int_equal(line->status, GRPC_UNAVAILABLE);
	line_free(line);
	assert_int_equal(world->ingest.count, 1);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acknowledges_after_commit),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_too_fast),
		cmocka_unit_test(test_reconnect_in_flight),
		cmocka_unit_test(test_newer_hello),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_goodbye),
		cmocka_unit_test(test_goodbye_while_held),
		cmocka_unit_test(test_fenced),
		cmocka_unit_test(test_fenced_refusals),
		cmocka_unit_test(test_bad_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
