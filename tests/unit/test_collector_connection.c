/*
 * connection.c: calls over frames, split at every byte; what ends a call and what
 * ends the connection.
 */
#include "connection.h"

#include "cursor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What happened, as text: two runs are the same when their texts are. */
struct world {
	struct stream stream; /* first */
	char text[65536];
	size_t length;
	struct frame_reader reader; /* of what the connection wrote */
	struct connection *connection;
	struct connection_counts counts;
	struct connection_config config;
	struct service_method methods[2];
	size_t queued;
	bool closed;
	bool reading;
	struct call *last;
	enum grpc_status refuse;
	bool finish_in_message;
	bool shut_in_message;
	int open_calls;
};

static struct world *world_of(struct call *call)
{
	return (struct world *)connection_stream(call->connection);
}

static void __attribute__((format(printf, 2, 3))) note(struct world *world, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(
		world->text + world->length, sizeof(world->text) - world->length, format, args);
	va_end(args);
	world->length += (size_t)length;
	assert_true(world->length < sizeof(world->text));
}

static void fake_write(struct stream *stream, uint8_t *bytes, size_t length)
{
	struct world *world = (struct world *)stream;
	const uint8_t *data = bytes;
	size_t left = length;
	struct frame frame;
	struct call_status status;

	assert_false(world->closed);
	assert_int_equal(frame_reader_next(&world->reader, &data, &left, &frame), 1);
	assert_int_equal(left, 0);
	if (frame.type == FRAME_STATUS) {
		assert_int_equal(
			call_status_decode(slice_of(frame.payload, frame.length), &status), 0);
		note(world, "STATUS %u %s\n", frame.stream, grpc_status_name(status.code));
	} else {
		note(world, "%s %u %.*s\n", frame_type_name(frame.type), frame.stream,
			frame.type == FRAME_VERSION ? 0 : (int)frame.length, frame.payload);
	}
	free(bytes);
}

static size_t fake_queued(const struct stream *stream)
{
	return ((const struct world *)stream)->queued;
}

static void fake_set_reading(struct stream *stream, bool reading)
{
	((struct world *)stream)->reading = reading;
}

static void fake_close(struct stream *stream)
{
	struct world *world = (struct world *)stream;

	world->closed = true;
	note(world, "close\n");
}

static const struct stream_ops fake_stream = {.write = fake_write,
	.queued_bytes = fake_queued,
	.set_reading = fake_set_reading,
	.close = fake_close};

static void on_message(struct call *call, struct slice message, uint64_t now_ms)
{
	struct world *world = world_of(call);

	note(world, "message %u %.*s at %llu\n", call->stream_id, (int)message.length, message.data,
		(unsigned long long)now_ms);
	if (world->shut_in_message) {
		connection_shut(call->connection, GRPC_ABORTED, "shut by the service", 0);
	} else if (world->finish_in_message) {
		call_finish(call, GRPC_OK, "", 0);
		assert_int_equal(call_send(call, message, true), -EPIPE);
	} else {
		note(world, "send %d\n", call_send(call, message, false));
	}
}

static void on_end(struct call *call, uint64_t now_ms)
{
	(void)now_ms;
	note(world_of(call), "end %u\n", call->stream_id);
	call_finish(call, GRPC_OK, "", 0);
}

static void on_writable(struct call *call, uint64_t now_ms)
{
	(void)now_ms;
	note(world_of(call), "writable %u\n", call->stream_id);
}

static void on_closed(struct call *call)
{
	struct world *world = call->context;

	world->open_calls--;
	note(world, "closed %u\n", call->stream_id);
}

static const struct call_ops fake_call = {on_message, on_end, on_writable, on_closed};

static enum grpc_status open_call(void *service, struct call *call,
	const struct call_header *header, uint64_t now_ms, const char **ret_message)
{
	struct world *world = service;

	(void)now_ms;
	note(world, "open %u %.*s\n", call->stream_id, (int)header->method.length,
		header->method.data);
	if (world->refuse != GRPC_OK) {
		*ret_message = "refused";
		return world->refuse;
	}
	call->context = world;
	world->last = call;
	world->open_calls++;
	return GRPC_OK;
}

static struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));
	const struct peer peer = {.known = true, .local = true, .pid = 1, .rights = ACCESS_SEND};

	assert_non_null(world);
	world->stream.ops = &fake_stream;
	world->reading = true;
	world->methods[0] =
		(struct service_method){"/a/B", ACCESS_SEND, &fake_call, open_call, world};
	world->config = (struct connection_config){.methods = world->methods,
		.method_count = 1,
		.counts = &world->counts,
		.idle_ms = 1000,
		.queue_limit_bytes = 1000};
	frame_reader_init(&world->reader);
	assert_int_equal(
		connection_new(&world->config, &world->stream, &peer, 0, &world->connection), 0);
	return world;
}

static void world_free(struct world *world)
{
	connection_free(world->connection);
	assert_int_equal(world->open_calls, 0);
	frame_reader_done(&world->reader);
	free(world);
}

/* ---- Frames to feed ----------------------------------------------------------- */

struct input {
	uint8_t bytes[32768];
	size_t length;
};

static void add_frame(struct input *input, enum frame_type type, uint32_t stream,
	const void *payload, size_t length)
{
	frame_header_write(input->bytes + input->length, type, stream, payload, length);
	input->length += WIRE_FRAME_HEADER_BYTES;
	memcpy(input->bytes + input->length, payload, length);
	input->length += length;
	assert_true(input->length < sizeof(input->bytes));
}

static void add_text(struct input *input, enum frame_type type, uint32_t stream, const char *text)
{
	add_frame(input, type, stream, text, strlen(text));
}

static void add_call(struct input *input, uint32_t stream, const char *method, uint32_t deadline_ms,
	uint64_t credit)
{
	uint8_t buffer[256];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	const struct call_header header = {.method = slice_of_text(method),
		.deadline_ms = deadline_ms,
		.credit_bytes = credit};

	call_header_encode(&writer, &header);
	add_frame(input, FRAME_CALL, stream, buffer, writer_length(&writer));
}

static void add_credit(struct input *input, uint32_t stream, uint64_t bytes)
{
	uint8_t buffer[16];
	struct writer writer = writer_of(buffer, sizeof(buffer));

	credit_encode(&writer, bytes);
	add_frame(input, FRAME_CREDIT, stream, buffer, writer_length(&writer));
}

static void feed(struct world *world, const struct input *input, uint64_t now_ms)
{
	connection_feed(world->connection, input->bytes, input->length, now_ms);
}

/* ---- Tests ---------------------------------------------------------------------- */

static void add_conversation(struct input *input)
{
	add_call(input, 1, "/a/B", 0, 0);
	add_text(input, FRAME_MESSAGE, 1, "one");
	add_call(input, 4, "/a/B", 0, 0);
	add_text(input, FRAME_PING, 0, "ping");
	add_text(input, FRAME_MESSAGE, 4, "two");
	add_text(input, FRAME_END, 1, "");
	add_text(input, FRAME_MESSAGE, 1, "crossed the status");
	add_call(input, 5, "/no/such", 0, 0);
	add_text(input, (enum frame_type)77, 4, "?");
	add_call(input, 6, "/a/B", 0, 0);
	add_text(input, FRAME_CANCEL, 6, "");
	add_text(input, FRAME_MESSAGE, 99, "never opened");
	add_text(input, FRAME_PING, 0, "not looked at");
}

static void test_split(void **state)
{
	struct input input = {.length = 0};
	struct world *whole = world_new();

	(void)state;
	add_conversation(&input);
	feed(whole, &input, 7);
	assert_non_null(strstr(whole->text,
		"open 1 /a/B\nmessage 1 one at 7\nMESSAGE 1 one\nsend 0\nopen 4 /a/B\nPONG 0 ping\n"
		"message 4 two at 7\nMESSAGE 4 two\nsend 0\nend 1\nSTATUS 1 OK\nclosed 1\n"
		"STATUS 5 UNIMPLEMENTED\nSTATUS 4 UNIMPLEMENTED\nclosed 4\nopen 6 /a/B\n"
		"STATUS 6 CANCELLED\nclosed 6\nSTATUS 0 INVALID_ARGUMENT\nclose\n"));
	for (size_t at = 0; at <= input.length; at++) {
		struct world *split = world_new();
		/* Exact copies, so that a sanitizer sees a byte too far. */
		uint8_t *first = malloc(at + 1);
		uint8_t *second = malloc(input.length - at + 1);

		memcpy(first, input.bytes, at);
		memcpy(second, input.bytes + at, input.length - at);
		connection_feed(split->connection, first, at, 7);
		connection_feed(split->connection, second, input.length - at, 7);
		free(first);
		free(second);
		assert_string_equal(split->text, whole->text);
		world_free(split);
	}
	world_free(whole);
}

static void test_bytewise(void **state)
{
	struct input input = {.length = 0};
	struct world *whole = world_new();
	struct world *split = world_new();

	(void)state;
	add_conversation(&input);
	feed(whole, &input, 7);
	for (size_t i = 0; i < input.length; i++)
		connection_feed(split->connection, input.bytes + i, 1, 7);
	assert_string_equal(split->text, whole->text);
	assert_int_equal(connection_pending_bytes(split->connection), 0);
	world_free(split);
	world_free(whole);
}

static void test_gone(void **state)
{
	struct input input = {.length = 0};
	struct world *world = world_new();

	(void)state;
	add_call(&input, 1, "/a/B", 0, 0);
	add_call(&input, 2, "/a/B", 0, 0);
	feed(world, &input, 0);
	assert_int_equal(world->open_calls, 2);
	world->length = 0;
	connection_on_gone(world->connection);
	assert_string_equal(world->text, "closed 2\nclosed 1\n");
	world_free(world);
}

static void test_service_ends(void **state)
{
	struct input input = {.length = 0};
	struct world *world = world_new();

	(void)state;
	world->finish_in_message = true;
	add_call(&input, 1, "/a/B", 0, 0);
	add_text(&input, FRAME_MESSAGE, 1, "x");
	feed(world, &input, 0);
	assert_string_equal(world->text, "open 1 /a/B\nmessage 1 x at 0\nSTATUS 1 OK\nclosed 1\n");
	world_free(world);

	world = world_new();
	world->shut_in_message = true;
	add_text(&input, FRAME_PING, 0, "ignored");
	feed(world, &input, 0);
	assert_string_equal(world->text,
		"open 1 /a/B\nmessage 1 x at 0\nSTATUS 1 ABORTED\nSTATUS 0 ABORTED\nclose\n"
		"closed 1\n");
	world_free(world);

	world = world_new();
	world->refuse = GRPC_PERMISSION_DENIED;
	feed(world, &input, 0);
	assert_string_equal(
		world->text, "open 1 /a/B\nSTATUS 1 PERMISSION_DENIED\nPONG 0 ignored\n");
	world_free(world);
}

static void test_credit(void **state)
{
	struct input input = {.length = 0};
	struct world *world = world_new();
	const struct slice ten = slice_of("0123456789", 10);

	(void)state;
	add_call(&input, 1, "/a/B", 0, 15);
	feed(world, &input, 0);
	/* One more may be sent while any credit is left. */
	assert_int_equal(call_send(world->last, ten, false), 0);
	assert_int_equal(call_send(world->last, ten, false), 0);
	assert_int_equal(call_send(world->last, ten, false), -EAGAIN);
	assert_int_equal(call_send(world->last, ten, true), 0);
	world->length = 0;
	input.length = 0;
	add_credit(&input, 1, 10); /* a repeated, older grant */
	add_credit(&input, 1, 21);
	feed(world, &input, 0);
	assert_string_equal(world->text, "writable 1\n");
	assert_int_equal(call_send(world->last, ten, false), 0);
	assert_int_equal(call_send(world->last, ten, false), -EAGAIN);
	input.length = 0;
	add_credit(&input, 1, 1000);
	feed(world, &input, 0);
	world->queued = 1000;
	assert_int_equal(call_send(world->last, ten, false), -EAGAIN);
	world->queued = 0;
	world->length = 0;
	connection_on_drained(world->connection, 0);
	assert_string_equal(world->text, "writable 1\n");
	assert_int_equal(call_send(world->last, ten, false), 0);
	world_free(world);
}

/* ---- Quotas ------------------------------------------------------------------------ */

static void new_connection(struct world *world, const struct peer *peer)
{
	connection_free(world->connection);
	world->closed = false;
	world->length = 0;
	world->text[0] = '\0';
	assert_int_equal(
		connection_new(&world->config, &world->stream, peer, 0, &world->connection), 0);
}

/* A connection more than its client may have is told so; others are not concerned. */
static void test_too_many(void **state)
{
	const struct quota_limits limits = {.connections = 1};
	const struct peer one = {
		.known = true, .local = true, .pid = 1, .uid = 1, .rights = ACCESS_SEND};
	const struct peer other = {
		.known = true, .local = true, .pid = 1, .uid = 2, .rights = ACCESS_SEND};
	struct world *world = world_new();
	struct connection *first;
	struct input input = {.length = 0};

	(void)state;
	assert_int_equal(quotas_new(&limits, NULL, NULL, &world->config.quotas), 0);
	assert_int_equal(connection_new(&world->config, &world->stream, &one, 0, &first), 0);
	new_connection(world, &one);
	assert_string_equal(world->text, "STATUS 0 RESOURCE_EXHAUSTED\nclose\n");
	assert_null(connection_account(world->connection));
	add_call(&input, 1, "/a/B", 0, 0);
	feed(world, &input, 0);
	assert_int_equal(world->open_calls, 0);
	new_connection(world, &other);
	feed(world, &input, 0);
	assert_string_equal(world->text, "open 1 /a/B\n");
	connection_free(first);
	new_connection(world, &one);
	feed(world, &input, 0);
	assert_string_equal(world->text, "open 1 /a/B\n");
	connection_free(world->connection);
	world->connection = NULL;
	quotas_free(world->config.quotas);
	world_free(world);
}

static void count_accounts(void *context, const struct quota_view *view)
{
	char *names = context;

	snprintf(names + strlen(names), 200 - strlen(names), "%s=%llu ", view->name,
		(unsigned long long)view->connections);
}

/* A stranger's connection counts from its token on, for the token's name. */
static void test_token_account(void **state)
{
	const struct quota_limits limits = {.connections = 1};
	const struct peer stranger = {.address = "192.0.2.7"};
	struct access *access;
	char rules[128];
	char why[ACCESS_WHY_BYTES];
	char hash[65];
	char names[200] = "";
	uint8_t buffer[256];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	struct input input = {.length = 0};
	struct world *world = world_new();
	struct connection *first;

	(void)state;
	assert_int_equal(access_hash("secret", 6, hash), 0);
	snprintf(rules, sizeof(rules), "token build:%s send", hash);
	assert_int_equal(access_new("rules", rules, strlen(rules), &access, why), 0);
	world->config.access = access;
	assert_int_equal(quotas_new(&limits, NULL, NULL, &world->config.quotas), 0);
	call_header_encode(&writer, &(struct call_header){.method = slice_of_text("/a/B"),
					    .metadata = {{slice_of_text("authorization"),
						    slice_of_text("Bearer secret")}},
					    .metadata_count = 1});
	add_frame(&input, FRAME_CALL, 1, buffer, writer_length(&writer));
	new_connection(world, &stranger);
	assert_null(connection_account(world->connection));
	feed(world, &input, 0);
	assert_string_equal(world->text, "open 1 /a/B\n");
	quotas_each(world->config.quotas, count_accounts, names);
	assert_string_equal(names, "token:build=1 ");
	/* So another stranger may come from there, but not with that name. */
	first = world->connection;
	world->connection = NULL;
	new_connection(world, &stranger);
	assert_string_equal(world->text, "");
	feed(world, &input, 0);
	assert_string_equal(world->text, "STATUS 0 RESOURCE_EXHAUSTED\nclose\n");
	connection_free(world->connection);
	world->connection = first;
	connection_free(first);
	world->connection = NULL;
	quotas_free(world->config.quotas);
	access_free(access);
	world_free(world);
}

static void test_deadline(void **state)
{
	struct input input = {.length = 0};
	struct world *world = world_new();

	(void)state;
	add_call(&input, 1, "/a/B", 500, 0);
	add_call(&input, 2, "/a/B", 0, 0);
	feed(world, &input, 100);
	world->length = 0;
	connection_tick(world->connection, 599);
	assert_int_equal(world->length, 0);
	connection_tick(world->connection, 600);
	assert_string_equal(world->text, "STATUS 1 DEADLINE_EXCEEDED\nclosed 1\n");
	world_free(world);
}

static void test_silence(void **state)
{
	struct input input = {.length = 0};
	struct world *world = world_new();

	(void)state;
	/* No call at all. */
	connection_tick(world->connection, 999);
	assert_false(world->closed);
	connection_tick(world->connection, 1000);
	assert_true(world->closed);
	world_free(world);

	/* An open call may be silent, half a frame may not. */
	world = world_new();
	add_call(&input, 1, "/a/B", 0, 0);
	feed(world, &input, 0);
	connection_tick(world->connection, 100000);
	assert_false(world->closed);
	connection_feed(world->connection, input.bytes, 5, 100000);
	connection_tick(world->connection, 100999);
	assert_false(world->closed);
	connection_set_reading(world->connection, false);
	assert_false(world->reading);
	connection_tick(world->connection, 200000);
	assert_false(world->closed);
	connection_set_reading(world->connection, true);
	connection_tick(world->connection, 201000);
	assert_true(world->closed);
	assert_int_equal(world->counts.timeouts, 1);
	world_free(world);

	/* Bytes that come one by one don't keep a frame open for ever. */
	world = world_new();
	input.length = 0;
	add_call(&input, 1, "/a/B", 0, 0);
	feed(world, &input, 0);
	for (uint64_t i = 0; i < 15 && !world->closed; i++) {
		connection_feed(world->connection, input.bytes + i, 1, i * 900);
		connection_tick(world->connection, i * 900);
	}
	assert_true(world->closed);
	world_free(world);
}

/* A tick whose time was read before a peer's bytes came finds nothing silent. */
static void test_tick_before_bytes(void **state)
{
	struct input input = {.length = 0};
	struct world *world = world_new();

	(void)state;
	add_call(&input, 1, "/a/B", 0, 0);
	connection_feed(world->connection, input.bytes, 5, 500);
	connection_tick(world->connection, 499);
	assert_false(world->closed);
	world_free(world);
}

static void test_limits(void **state)
{
	struct input input = {.length = 0};
	struct world *world = world_new();

	(void)state;
	for (uint32_t i = 1; i <= WIRE_OPEN_CALLS_LIMIT + 1; i++)
		add_call(&input, i, "/a/B", 0, 0);
	feed(world, &input, 0);
	assert_int_equal(world->open_calls, WIRE_OPEN_CALLS_LIMIT);
	assert_non_null(strstr(world->text, "STATUS 17 RESOURCE_EXHAUSTED"));
	input.length = 0;
	add_call(&input, 17, "/a/B", 0, 0);
	feed(world, &input, 0);
	assert_non_null(strstr(world->text, "STATUS 0 INVALID_ARGUMENT\nclose\n"));
	world_free(world);
}

static void check_bad(const uint8_t *bytes, size_t length, const char *wanted)
{
	struct world *world = world_new();

	connection_feed(world->connection, bytes, length, 0);
	assert_string_equal(world->text, wanted);
	world_free(world);
}

static void test_bad_frames(void **state)
{
	struct input input = {.length = 0};
	uint8_t bytes[64];

	(void)state;
	add_text(&input, FRAME_PING, 0, "x");
	for (size_t i = 0; i < input.length; i++) {
		memcpy(bytes, input.bytes, input.length);
		bytes[i] ^= 0x40;
		if (i == 4)
			check_bad(
				bytes, input.length, "VERSION 0 \nSTATUS 0 UNIMPLEMENTED\nclose\n");
		else if (i == 12 || i == 13)
			check_bad(bytes, input.length, ""); /* longer: waits for the rest */
		else
			check_bad(bytes, input.length, "STATUS 0 INVALID_ARGUMENT\nclose\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_bytewise),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_service_ends),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_token_account),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_tick_before_bytes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_bad_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
