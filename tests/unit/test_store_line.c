/*
 * Lines of JSON: exact ones, those of random batches read back by another
 * reader and held against what was written, and what a store says of its own.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "json_check.h"
#include "json_write.h"
#include "line.h"
#include "part.h"
#include "support/random_batch.h"
#include "support/store_world.h"

/* ---- Exact lines ------------------------------------------------------------ */

/* Writes the batch's first span as a line, without newline; the caller frees. */
static char *first_line(const uint8_t *data, size_t length, const struct log_peer *peer)
{
	struct line_writer writer = {0};
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view view;
	struct bytes out = {0};
	char *line;

	assert_int_equal(batch_open(&batch, data, length), 0);
	assert_int_equal(line_batch_begin(&writer, &batch, peer), 0);
	batch_iter_init(&iter);
	assert_int_equal(batch_next(&batch, &iter, &view), 1);
	assert_int_equal(line_span(&writer, &batch, &view, &out), 0);
	assert_int_equal(out.data[out.length - 1], '\n');
	line = strndup((char *)out.data, out.length - 1);
	assert_non_null(line);
	line_writer_done(&writer);
	batch_done(&batch);
	bytes_done(&out);
	return line;
}

static const struct batch_clock clock_2026 = {
	.close_raw = 1000000000,
	.close_realtime_ns = UINT64_C(1767954600123456789),
	.open_raw = 1000000000,
	.open_realtime_ns = UINT64_C(1767954600123456789),
	.ns_per_tick = 1,
};

struct sample {
	struct shape_write shape;
	struct span_write span;
	struct trace_write trace;
	const struct attribute_write *resource;
	size_t resource_count;
	uint64_t thread;
};

static size_t write_sample(const struct sample *sample, uint8_t *buffer, size_t size)
{
	struct batch_writer writer;
	struct span_write span = sample->span;
	long length;

	span.shape = &sample->shape;
	batch_writer_init(&writer, buffer, size);
	batch_writer_producer(&writer, slice_of_text("shop"), 42, slice_of_text("host"),
		sample->resource, sample->resource_count);
	batch_writer_clock(&writer, &clock_2026);
	batch_writer_shape(&writer, &sample->shape);
	batch_writer_section_begin(
		&writer, 0, clock_2026.close_raw, sample->thread, &sample->trace);
	assert_true(batch_writer_span(&writer, &span));
	batch_writer_section_end(&writer);
	length = batch_writer_finish(&writer);
	assert_true(length > 0);
	return (size_t)length;
}

#define TRACE                                                                                 \
	{                                                                                     \
		.id.bytes = { 0x0a, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15 } \
	}

static void test_smallest(void **state)
{
	struct sample sample = {.shape = {.id = 1, .name = slice_of_text("a.b")},
		.trace = TRACE,
		.span = {.span_id = UINT64_C(0xb702a90b7a06f000),
			.end_raw = 1000000000,
			.duration_raw = 2716000}};
	uint8_t buffer[4096];
	char *line = first_line(buffer, write_sample(&sample, buffer, sizeof(buffer)), NULL);

	(void)state;
	assert_string_equal(line,
		"{\"trace_id\":\"0a010203-0405-4607-8809-0a0b0c0d0e0f\",\"span_id\":"
		"\"00f0067a-0ba9-802b-8007-000000000000\",\"parent_span_id\":null,\"timestamp\":"
		"\"2026-01-09T10:30:00.120740789Z\",\"duration_ms\":2.716,\"operation\":\"a.b\","
		"\"layer\":\"core\",\"status\":\"success\",\"data\":{\"input\":null,\"output\":"
		"null},\"metadata\":{\"service\":\"shop\",\"pid\":42,\"host\":\"host\",\"kind\":"
		"\"internal\"},\"error\":null}");
	free(line);
}

/* The line of a span that has all there is. */
static const char everything[] =
	"{\"trace_id\":\"0a010203-0405-4607-8809-0a0b0c0d0e0f\",\"span_id\":"
	"\"01000000-0000-8000-8000-000000000000\",\"parent_span_id\":"
	"\"02000000-0000-8000-8000-000000000000\",\"timestamp\":"
	"\"2026-01-09T10:30:00.123456788Z\",\"duration_ms\":0.000001,\"operation\":\"a\","
	"\"layer\":\"api\",\"status\":\"error\",\"data\":{\"input\":{\"a\":[1, 2]},"
	"\"output\":\"[invalid JSON, 5 bytes]\"},\"metadata\":{\"service\":\"shop\","
	"\"pid\":42,\"host\":\"host\",\"kind\":\"server\",\"resource\":"
	"{\"service.version\":\"1.2\"},\"scope\":{\"name\":\"lib\",\"version\":\"2\"},"
	"\"attributes\":{\"code.file.path\":\"src/a.c\",\"code.line.number\":7,"
	"\"code.function.name\":\"run\",\"thread.id\":99,\"tenant\":\"t1\",\"text\":"
	"\"a\\\"b\\\\\\n\\u0001\",\"count\":-9223372036854775808,\"ratio\":0.1,\"ok\":true,"
	"\"list\":[1,-2],\"not\":\"NaN\",\"waft.repaired\":[\"output\"]},\"events\":"
	"[{\"name\":\"retry\",\"timestamp\":\"2026-01-09T10:30:00.123456789Z\","
	"\"attributes\":{\"tenant\":\"t1\"}}],\"links\":[{\"trace_id\":"
	"\"01000000-0000-0000-0000-000000000000\",\"span_id\":"
	"\"02000000-0000-8000-8000-000000000000\",\"attributes\":{\"waft.trace_state\":"
	"\"x=y\"}}],\"trace_state\":\"k=v\",\"dropped\":{\"events\":3},\"peer\":{\"pid\":5,"
	"\"uid\":6,\"name\":\"agent\"}},\"error\":\"it failed\"}";

static void test_everything(void **state)
{
	const struct key_write keys[] = {{slice_of_text("text"), WIRE_KEY_STRING},
		{slice_of_text("count"), WIRE_KEY_INT64}, {slice_of_text("ratio"), WIRE_KEY_DOUBLE},
		{slice_of_text("ok"), WIRE_KEY_BOOL}};
	const struct value values[] = {{.type = VALUE_TEXT, .text = slice_of_text("a\"b\\\n\x01")},
		{.type = VALUE_INT, .integer = INT64_MIN}, {.type = VALUE_DOUBLE, .number = 0.1},
		{.type = VALUE_BOOL, .boolean = true}};
	const struct value list[] = {
		{.type = VALUE_INT, .integer = 1}, {.type = VALUE_INT, .integer = -2}};
	const struct attribute_write attributes[] = {{.key = slice_of_text("list"),
							     .value = {.type = VALUE_LIST},
							     .elements = list,
							     .element_count = 2},
		{.key = slice_of_text("not"), .value = {.type = VALUE_DOUBLE, .number = NAN}}};
	const struct attribute_write resource[] = {{.key = slice_of_text("service.version"),
		.value = {.type = VALUE_TEXT, .text = slice_of_text("1.2")}}};
	const struct attribute_write of_trace[] = {{.key = slice_of_text("tenant"),
		.value = {.type = VALUE_TEXT, .text = slice_of_text("t1")}}};
	const struct event_write event = {.name = slice_of_text("retry"),
		.raw = 1000000000,
		.attributes = of_trace,
		.attribute_count = 1};
	const struct link_write link = {
		.trace_id.bytes = {1}, .span_id = 2, .state = slice_of_text("x=y")};
	const struct log_peer peer = {
		.known = true, .pid = 5, .uid = 6, .name = "agent", .name_length = 5};
	struct sample sample = {.shape = {.id = 1,
					.name = slice_of_text("a"),
					.layer = slice_of_text("api"),
					.file = slice_of_text("src/a.c"),
					.line = 7,
					.function = slice_of_text("run"),
					.scope = slice_of_text("lib"),
					.scope_version = slice_of_text("2"),
					.keys = keys,
					.key_count = 4},
		.trace = TRACE,
		.thread = 99,
		.resource = resource,
		.resource_count = 1,
		.span = {.span_id = 1,
			.parent_id = 2,
			.end_raw = 1000000000,
			.duration_raw = 1,
			.values = values,
			.input = slice_of_text("{\"a\":\n\t[1, 2]}"),
			.output = slice_of_text("{oops"),
			.error = slice_of_text("it failed"),
			.status = WIRE_STATUS_ERROR,
			.kind = WIRE_KIND_SERVER,
			.attributes = attributes,
			.attribute_count = 2,
			.events = &event,
			.event_count = 1,
			.links = &link,
			.link_count = 1,
			.dropped_events = 3}};
	uint8_t buffer[4096];
	char *line;

	(void)state;
	sample.trace.state = slice_of_text("k=v");
	sample.trace.attributes = of_trace;
	sample.trace.attribute_count = 1;
	line = first_line(buffer, write_sample(&sample, buffer, sizeof(buffer)), &peer);
	assert_string_equal(line, everything);
	free(line);
}

static void test_pending_and_stepped(void **state)
{
	struct sample sample = {.shape = {.id = 1, .name = slice_of_text("a")},
		.trace = TRACE,
		.span = {.span_id = 1,
			.end_raw = 1000000000,
			.duration_raw = 1,
			.status = WIRE_STATUS_PENDING}};
	uint8_t buffer[4096];
	char *line = first_line(buffer, write_sample(&sample, buffer, sizeof(buffer)), NULL);

	(void)state;
	assert_non_null(strstr(line, "\"duration_ms\":null,"));
	assert_non_null(strstr(line, "\"status\":\"pending\","));
	/* When it was given up stands as an event. */
	assert_non_null(strstr(line, ",\"events\":[{\"name\":\"waft.abandoned\",\"timestamp\":"
				     "\"2026-01-09T10:30:00.123456789Z\",\"attributes\":{}}]"));
	free(line);
}

/* How often text stands in line. */
static int count_of(const char *line, const char *text)
{
	int count = 0;

	for (const char *at = strstr(line, text); at != NULL; at = strstr(at + 1, text))
		count++;
	return count;
}

static void test_keys_of_ours(void **state)
{
	const struct key_write keys[] = {{slice_of_text("thread.id"), WIRE_KEY_INT64},
		{slice_of_text("code.file.path"), WIRE_KEY_STRING},
		{slice_of_text("waft.repaired"), WIRE_KEY_BOOL}};
	const struct value values[] = {{.type = VALUE_INT, .integer = 7},
		{.type = VALUE_TEXT, .text = slice_of_text("own.c")},
		{.type = VALUE_BOOL, .boolean = true}};
	const struct attribute_write attributes[] = {
		{.key = slice_of_text("code.line.number"),
			.value = {.type = VALUE_INT, .integer = 8}},
		{.key = slice_of_text("waft.clock"),
			.value = {.type = VALUE_TEXT, .text = slice_of_text("mine")}}};
	struct sample sample = {.shape = {.id = 1,
					.name = slice_of_text("a"),
					.file = slice_of_text("ours.c"),
					.line = 1,
					.function = slice_of_text("run"),
					.scope = slice_of_text("lib"),
					.keys = keys,
					.key_count = 3},
		.trace = TRACE,
		.thread = 99,
		.span = {.span_id = 1,
			.end_raw = 1000000000,
			.duration_raw = 1,
			.values = values,
			.output = slice_of_text("{oops"),
			.attributes = attributes,
			.attribute_count = 2}};
	uint8_t buffer[4096];
	char *line = first_line(buffer, write_sample(&sample, buffer, sizeof(buffer)), NULL);

	(void)state;
	assert_non_null(strstr(line,
		"\"scope\":{\"name\":\"lib\",\"version\":\"\"},\"attributes\":{"
		"\"code.function.name\":\"run\",\"thread.id\":7,\"code.file.path\":\"own.c\","
		"\"code.line.number\":8,\"waft.clock\":\"mine\",\"waft.repaired\":"
		"[\"output\"]}"));
	free(line);

	/* Nothing of ours is left, and what the collector says wins where it says it. */
	sample.shape.line = 0;
	sample.shape.function = (struct slice){0};
	sample.span.output = (struct slice){0};
	line = first_line(buffer, write_sample(&sample, buffer, sizeof(buffer)), NULL);
	assert_non_null(strstr(line,
		"\"attributes\":{\"thread.id\":7,\"code.file.path\":\"own.c\","
		"\"waft.repaired\":true,\"code.line.number\":8,\"waft.clock\":\"mine\"}"));
	assert_int_equal(count_of(line, "\"scope\""), 1);
	free(line);
}

/* ---- Random batches ----------------------------------------------------------- */

static const char *const keys_in_order[] = {"trace_id", "span_id", "parent_span_id", "timestamp",
	"duration_ms", "operation", "layer", "status", "data", "metadata", "error"};

static void check_line(
	const char *line, size_t length, const struct batch *batch, const struct span_view *view)
{
	json_error_t error;
	/* Keys that are no UTF-8 may be the same when they are repaired. */
	size_t strict = (view->repairs & REPAIR_UTF8) == 0 ? JSON_REJECT_DUPLICATES : 0;
	json_t *root = json_loadb(line, length, strict | JSON_ALLOW_NUL, &error);
	struct slice name = batch_slice(batch, view->shape->name);
	json_t *metadata;
	const char *key;
	json_t *value;
	size_t i = 0;

	assert_int_equal(json_check((const uint8_t *)line, length, NULL), 0);
	/* What jansson can't hold and JSON can. */
	if (root == NULL && (json_error_code(&error) == json_error_null_byte_in_key ||
				    json_error_code(&error) == json_error_numeric_overflow))
		return;
	if (root == NULL)
		fail_msg("%s at %d in %.*s", error.text, error.position, (int)length, line);
	assert_null(memchr(line, '\n', length - 1));
	json_object_foreach(root, key, value)
	{
		assert_true(i < 11);
		assert_string_equal(key, keys_in_order[i++]);
	}
	assert_int_equal(i, 11);
	if ((view->repairs & REPAIR_UTF8) == 0) {
		value = json_object_get(root, "operation");
		assert_int_equal(json_string_length(value), name.length);
		assert_memory_equal(json_string_value(value), name.data, name.length);
	}
	assert_true(json_is_null(json_object_get(root, "duration_ms")) ==
		    (view->status == WIRE_STATUS_PENDING));
	metadata = json_object_get(root, "metadata");
	assert_true(json_is_string(json_object_get(metadata, "service")));
	assert_int_equal(json_object_get(metadata, "dropped") != NULL,
		(view->dropped_attributes | view->dropped_events | view->dropped_links) != 0);
	value = json_object_get(metadata, "attributes");
	assert_true(value == NULL || json_object_size(value) > 0);
	assert_int_equal(json_object_get(value, "waft.repaired") != NULL, view->repairs != 0);
	json_decref(root);
}

/* What most spans come out by must write what the long way writes. */
static void check_long_way(struct line_writer *writer, struct batch *batch, struct span_view view,
	const uint8_t *line, size_t length, const uint64_t *filter)
{
	uint64_t found[INDEX_FILTER_WORDS] = {0};
	struct bytes out = {0};

	writer->hot = false;
	writer->index.filter = found;
	assert_int_equal(line_span(writer, batch, &view, &out), 0);
	assert_int_equal(out.length, length);
	assert_memory_equal(out.data, line, length);
	assert_memory_equal(found, filter, sizeof(found));
	bytes_done(&out);
}

static void check_batch(const uint8_t *data, size_t length)
{
	struct log_peer peer = {.known = true, .pid = 1, .uid = 2};
	struct line_writer writer = {0};
	struct line_writer other = {0};
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view view;
	struct bytes out = {0};
	int ret;

	if (batch_open(&batch, data, length) == 0) {
		assert_int_equal(line_batch_begin(&writer, &batch, &peer), 0);
		assert_int_equal(line_batch_begin(&other, &batch, &peer), 0);
		batch_iter_init(&iter);
		while ((ret = batch_next(&batch, &iter, &view)) == 1) {
			uint64_t filter[INDEX_FILTER_WORDS] = {0};
			struct span_view as_read = view;
			size_t before = out.length;

			writer.index.filter = filter;
			assert_int_equal(line_span(&writer, &batch, &view, &out), 0);
			check_long_way(&other, &batch, as_read, out.data + before,
				out.length - before, filter);
			check_line((char *)out.data + before, out.length - before, &batch, &view);
		}
	}
	line_writer_done(&writer);
	line_writer_done(&other);
	batch_done(&batch);
	bytes_done(&out);
}

static void test_random_batches(void **state)
{
	static struct model model;
	static uint8_t buffer[WIRE_BATCH_LIMIT];
	uint64_t seed = random_seed();

	(void)state;
	for (uint64_t i = 0; i < 60; i++) {
		long length = model_write(&model, seed + i, buffer, sizeof(buffer));
		struct random random = {.state = seed ^ i};

		if (length < 0)
			continue;
		check_batch(buffer, (size_t)length);
		/* And with a few bytes changed: what decodes must come out as JSON. */
		for (int k = 0; k < 20; k++) {
			uint8_t *at = &buffer[random_below(&random, (uint32_t)length)];
			uint8_t before = *at;

			*at = (uint8_t)random_next(&random);
			check_batch(buffer, (size_t)length);
			*at = before;
		}
	}
}

/* ---- Pieces --------------------------------------------------------------------- */

/* A span of nothing, or of texts of each length with something odd at each place. */
static void test_ordinary_spans(void **state)
{
	static const char odd[] = {'x', '"', '\\', 0x1f, ' ', 0x7f, (char)0x85};
	static const struct key_write key = {
		{(const uint8_t *)"some key of 17 B", 16}, WIRE_KEY_STRING};
	const struct shape_write shapes[2] = {{.id = 1, .name = {(const uint8_t *)"a", 1}},
		{.id = 2, .name = {(const uint8_t *)"b", 1}, .keys = &key, .key_count = 1}};
	struct trace_write trace = {.id = {{1, 2, 3}}};
	static uint8_t buffer[WIRE_BATCH_LIMIT];
	uint32_t sequence = 1;

	(void)state;
	for (size_t length = 0; length <= 20; length++) {
		struct batch_writer writer;
		long bytes;

		batch_writer_init(&writer, buffer, sizeof(buffer));
		batch_writer_producer(&writer, slice_of_text("s"), 1, slice_of_text("h"), NULL, 0);
		batch_writer_clock(&writer,
			&(struct batch_clock){.source = WIRE_CLOCK_MONOTONIC, .ns_per_tick = 1});
		batch_writer_shape(&writer, &shapes[0]);
		batch_writer_shape(&writer, &shapes[1]);
		batch_writer_section_begin(&writer, 1, 1000000, length % 2, &trace);
		for (size_t at = 0; at < length || at == 0; at++) {
			for (size_t i = 0; i < sizeof(odd); i++) {
				char text[21] = "abcdefghijklmnopqrst";
				struct value value = {
					.type = VALUE_TEXT, .text = slice_of(text, length)};
				struct span_write span = {.shape = &shapes[i == 0 ? 0 : 1],
					.sequence = sequence++,
					.end_raw = 1000000 + at,
					.duration_raw = at,
					.values = &value};

				text[at] = odd[i];
				assert_true(batch_writer_span(&writer, &span));
			}
		}
		batch_writer_section_end(&writer);
		bytes = batch_writer_finish(&writer);
		assert_true(bytes > 0);
		check_batch(buffer, (size_t)bytes);
	}
}

static void expect_double(double value, const char *expected)
{
	char text[JSON_DOUBLE_BYTES + 1];

	text[json_format_double(text, value)] = '\0';
	assert_string_equal(text, expected);
}

static void test_doubles(void **state)
{
	struct random random = {.state = random_seed()};
	char text[JSON_DOUBLE_BYTES + 1];

	(void)state;
	expect_double(0, "0.0");
	expect_double(-0.0, "-0.0");
	expect_double(1, "1.0");
	expect_double(-8.5, "-8.5");
	expect_double(0.1, "0.1");
	expect_double(0.001, "0.001");
	expect_double(0.30000000000000004, "0.30000000000000004");
	expect_double(1e300, "1e+300");
	expect_double(5e-324, "5e-324");
	expect_double(1.7976931348623157e308, "1.7976931348623157e+308");
	expect_double(123456789012345680.0, "1.2345678901234568e+17");
	expect_double(INFINITY, "\"Infinity\"");
	expect_double(-INFINITY, "\"-Infinity\"");
	expect_double(NAN, "\"NaN\"");
	for (int i = 0; i < 200000; i++) {
		uint64_t bits = random_next(&random);
		double value = double_from_bits(bits);
		char shorter[64];

		if (i % 2 == 0)
			value = (double)(int64_t)(bits >> 40) / pow(10, i % 9);
		if (!isfinite(value))
			continue;
		text[json_format_double(text, value)] = '\0';
		assert_true(double_to_bits(strtod(text, NULL)) == double_to_bits(value));
		if (i % 100 != 0)
			continue;
		/* Not longer than any %g that reads back, but for the ".0". */
		for (int digits = 1; digits <= 17; digits++) {
			snprintf(shorter, sizeof(shorter), "%.*e", digits - 1, value);
			if (strtod(shorter, NULL) != value)
				continue;
			snprintf(shorter, sizeof(shorter), "%.*g", digits, value);
			assert_true(strlen(text) <= strlen(shorter) + 2);
			break;
		}
	}
}

static void test_integers_and_times(void **state)
{
	struct random random = {.state = random_seed()};
	struct json_second second = {0};
	char text[64], expected[64];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t value = random_next(&random) >> (i % 64);
		time_t seconds = (time_t)(value / 1000000000);
		struct tm tm;
		size_t length = json_format_u64(text, value);

		text[length] = '\0';
		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
		assert_string_equal(text, expected);
		text[json_format_i64(text, (int64_t)value)] = '\0';
		snprintf(expected, sizeof(expected), "%lld", (long long)value);
		assert_string_equal(text, expected);
		json_format_timestamp_near(text, value + (i & 1), &second);
		json_format_timestamp(expected, value + (i & 1));
		assert_memory_equal(text, expected, JSON_TIMESTAMP_BYTES);
		json_format_timestamp_near(text, value, &second);
		text[JSON_TIMESTAMP_BYTES] = '\0';
		assert_non_null(gmtime_r(&seconds, &tm));
		length = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(expected + length, sizeof(expected) - length, ".%09lluZ",
			(unsigned long long)(value % 1000000000));
		assert_string_equal(text, expected);
		length = json_format_ms(text, value);
		text[length] = '\0';
		snprintf(expected, sizeof(expected), "%llu.%06llu",
			(unsigned long long)(value / 1000000),
			(unsigned long long)(value % 1000000));
		length = strlen(expected);
		while (expected[length - 1] == '0')
			length--;
		expected[expected[length - 1] == '.' ? length - 1 : length] = '\0';
		assert_string_equal(text, expected);
	}
}

static void test_texts(void **state)
{
	struct bytes out = {0};

	(void)state;
	/* Every byte at every place of the 8 that are looked at together. */
	for (unsigned place = 0; place < 17; place++) {
		for (unsigned byte = 0; byte < 0x80; byte++) {
			char text[18];
			json_t *json;

			memset(text, 'x', sizeof(text));
			text[place] = (char)byte;
			out.length = 0;
			assert_int_equal(
				json_put_text(&out, slice_of(text, sizeof(text)), false), 0);
			json = json_loadb((char *)out.data, out.length,
				JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			assert_non_null(json);
			assert_int_equal(json_string_length(json), sizeof(text));
			assert_memory_equal(json_string_value(json), text, sizeof(text));
			json_decref(json);
		}
	}
	out.length = 0;
	assert_int_equal(json_put_text(&out, slice_of_text("a\xff\xc3("), true), 0);
	assert_int_equal(out.length, 2 + 1 + 3 + 3 + 1);
	assert_memory_equal(out.data, "\"a\xef\xbf\xbd\xef\xbf\xbd(\"", out.length);
	bytes_done(&out);
}

/* ---- In a store ------------------------------------------------------------------ */

/* The world holds what a store tells of each run against its lines, filter and all: here with
 * attributes of all types of keys, several spans a run and runs in pieces. */
static void test_runs_with_attributes(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = 23};
	struct world world = {.segment_bytes = 1 << 20,
		.part_bytes = 100000,
		.buffer_bytes = 10000,
		.run_spans = 1000};

	(void)state;
	history->attributes = true;
	assert_int_equal(world_open(&world, fake, history), 0);
	for (int put = 0; put < 3; put++) {
		for (int i = 0; i < 40; i++)
			world_send(&world, &random);
		assert_int_equal(world_commit(&world), 0);
		assert_int_equal(world_write(&world, NULL, true), 0);
	}
	assert_true(history->span_count > 200);
	assert_int_equal(world.told, history->span_count);
	world_check(&world, SIZE_MAX - 1, "runs with attributes");
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_pending_and_stepped),
		cmocka_unit_test(test_keys_of_ours),
		cmocka_unit_test(test_random_batches),
		cmocka_unit_test(test_ordinary_spans),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_integers_and_times),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_runs_with_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
