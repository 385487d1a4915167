/* Lines of stores, Waft's own and others', taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ids.h"
#include "index_run.h"
#include "record.h"
#include "scratch.h"

#define OWN                                                                                   \
	"{\"trace_id\":\"a5f4b680-d790-4370-8c95-d37b79bd6322\","                             \
	"\"span_id\":\"00f067aa-0ba9-802b-8007-000000000000\",\"parent_span_id\":null,"       \
	"\"timestamp\":\"2026-01-09T10:30:00.123456789Z\",\"duration_ms\":2.716,"             \
	"\"operation\":\"shop.\\u0070rice\",\"layer\":\"core\",\"status\":\"error\","         \
	"\"data\":{\"input\":{\"a\":[1,2]},\"output\":\"x\"},"                                \
	"\"metadata\":{\"service\":\"shop\",\"pid\":12,\"host\":\"h\",\"kind\":\"internal\"," \
	"\"resource\":{\"zone\":\"eu\"},\"attributes\":{\"n\":3,\"s\":\"t\\n\",\"l\":[1]}},"  \
	"\"error\":\"it \\\"broke\\\"\"}"

static void assert_text(struct slice text, const char *expected)
{
	assert_int_equal(text.length, strlen(expected));
	assert_memory_equal(text.data, expected, text.length);
}

static int64_t open_of(const char *status, const char *events)
{
	struct scratch scratch = {0};
	struct record record;
	char line[512];

	snprintf(line, sizeof(line),
		"{\"trace_id\":\"01000000-0000-4000-8000-000000000000\",\"span_id\":"
		"\"01000000-0000-4000-8000-000000000001\",\"parent_span_id\":null,\"timestamp\":"
		"\"2026-01-09T10:00:00Z\",\"duration_ms\":null,\"operation\":\"o\",\"status\":"
		"\"%s\",\"data\":{},\"metadata\":{%s},\"error\":null}",
		status, events);
	assert_int_equal(record_parse(slice_of_text(line), &scratch, &record, NULL), 0);
	scratch_done(&scratch);
	return record.open_ns;
}

/* How long a pending span was open is known from when it was given up. */
static void abandoned(void **state)
{
#define GIVEN_UP(time) "\"events\":[{\"name\":\"waft.abandoned\",\"timestamp\":\"" time
	(void)state;
	assert_int_equal(
		open_of("pending", GIVEN_UP("2026-01-09T10:00:03.2Z\"}]")), INT64_C(3200000000));
	assert_int_equal(open_of("pending", ""), -1);
	assert_int_equal(open_of("success", GIVEN_UP("2026-01-09T10:00:03.2Z\"}]")), -1);
	/* Before its start, no time, and no end. */
	assert_int_equal(open_of("pending", GIVEN_UP("2026-01-09T09:59:59Z\"}]")), -1);
	assert_int_equal(open_of("pending", GIVEN_UP("soon\"}]")), -1);
	assert_int_equal(open_of("pending", GIVEN_UP("\"}]")), -1);
}

static void own_line(void **state)
{
	struct scratch scratch = {0};
	struct record record;
	char id[RECORD_ID_TEXT_BYTES];

	(void)state;
	assert_int_equal(record_parse(slice_of_text(OWN), &scratch, &record, NULL), 0);
	record_format_id(record.trace_id, id);
	assert_string_equal(id, "a5f4b680-d790-4370-8c95-d37b79bd6322");
	record_format_id(record.span_id, id);
	assert_string_equal(id, "00f067aa-0ba9-802b-8007-000000000000");
	assert_false(record.has_parent);
	assert_int_equal(record.start_ns, INT64_C(1767954600123456789));
	assert_int_equal(record.duration_ns, 2716000);
	assert_text(record.operation, "shop.price");
	assert_text(record.layer, "core");
	assert_text(record.service, "shop");
	assert_int_equal(record.status, RECORD_ERROR);
	assert_true(record.has_error);
	assert_text(record.error, "it \"broke\"");
	assert_text(record.input, "{\"a\":[1,2]}");
	assert_text(record.output, "\"x\"");
	assert_text(record.resource, "{\"zone\":\"eu\"}");
	assert_text(record.line, OWN);
	scratch_done(&scratch);
}

static int append_attribute(void *ctx, struct slice key, struct slice value)
{
	char *out = ctx;

	sprintf(out + strlen(out), "%.*s=%.*s;", (int)key.length, key.data, (int)value.length,
		value.data);
	return 0;
}

static void attributes(void **state)
{
	struct scratch scratch = {0};
	struct record record;
	char seen[256] = "";

	(void)state;
	assert_int_equal(record_parse(slice_of_text(OWN), &scratch, &record, NULL), 0);
	assert_int_equal(record_for_each_attribute(&record, &scratch, append_attribute, seen), 0);
	assert_string_equal(
		seen, "n=3;s=t\n;l=[1];zone=eu;service=shop;pid=12;host=h;kind=internal;");
	scratch_done(&scratch);
}

/* Every line of the original's file, at its own places and in its own shapes. */
static void original_file(void **state)
{
	FILE *file = fopen(TEST_DATA "/original-traces-2026-01-09.jsonl", "r");
	struct scratch scratch = {0};
	struct record record;
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int count = 0;

	(void)state;
	assert_non_null(file);
	while ((length = getline(&line, &capacity, file)) > 0) {
		struct slice text = slice_of(line, (size_t)length - (line[length - 1] == '\n'));

		assert_int_equal(record_parse(text, &scratch, &record, NULL), 0);
		assert_true(record.status == RECORD_SUCCESS);
		assert_int_equal(record.service.length, 0);
		if (++count == 6) {
			assert_text(record.operation, "input_transformer.transform_input");
			assert_false(record.has_parent);
			assert_int_equal(record.start_ns, INT64_C(1767949632933617000));
			assert_int_equal(record.duration_ns, 1737356);
			assert_text(record.output, "{\"matrix_created\": true}");
			assert_text(record.input,
				"{\"input_keys\": [\"alternatives\", \"criteria\", \"scores\", "
				"\"methodology\"],\"methodology\": \"WSM\",\"num_alternatives\": 3,"
				"\"num_criteria\": 3}");
		}
		if (count == 1) {
			assert_true(record.has_parent);
			assert_text(record.input, "null");
			assert_text(record.output, "null");
		}
		scratch_reset(&scratch);
	}
	assert_int_equal(count, 9);
	free(line);
	scratch_done(&scratch);
	fclose(file);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: no time */
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:00", 0},
		{"1970-01-01 00:00:00.5", 500000000},
		{"2000-02-29T12:00:00.000000001Z", INT64_C(951825600000000001)},
		{"2026-01-09T10:30:00.1234567899999Z", INT64_C(1767954600123456789)},
		{"2026-01-09T11:30:00+01:00", INT64_C(1767954600000000000)},
		{"2026-01-09T05:00:00-0530", INT64_C(1767954600000000000)},
		{"2026-01-09T11:30:00+01", INT64_C(1767954600000000000)},
		{"2026-02-29T00:00:00Z", -1},
		{"2026-13-01T00:00:00Z", -1},
		{"2026-01-09T24:00:00Z", -1},
		{"2026-01-09T10:30Z", -1},
		{"2026-01-09T10:30:00.Z", -1},
		{"2026-01-09T10:30:00Zx", -1},
		{"9999-01-01T00:00:00Z", -1},
		{"", -1},
		{"2026", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ns = -1;

		assert_int_equal(record_parse_time(slice_of_text(cases[i].text), &ns),
			cases[i].ns < 0 ? ERR_MALFORMED : 0);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: no number */
	} cases[] = {
		{"0", 0},
		{"2.716", 2716000},
		{"0.000001", 1},
		{"0.0000004", 0},
		{"0.0000005", 1},
		{"0.0064373016357421875", 6437},
		{"1e3", 1000000000},
		{"1.5E-3", 1500},
		{"-4", 0},
		{"9223372036854.775807", INT64_MAX},
		{"9223372036854.775808", INT64_MAX},
		{"1e400", INT64_MAX},
		{"1e-400", 0},
		{"123456789012345678901234567890", INT64_MAX},
		{"0.00000000000000000000000000000000000001e38", 1000000},
		{"x", -1},
		{"", -1},
		{"\"1\"", -1},
		{"true", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t ns = -1;

		assert_int_equal(record_parse_duration(slice_of_text(cases[i].text), &ns),
			cases[i].ns < 0 ? ERR_MALFORMED : 0);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void ids(void **state)
{
	static const char *const same[] = {
		"a5f4b680-d790-4370-8c95-d37b79bd6322",
		"A5F4B680-D790-4370-8C95-D37B79BD6322",
		"a5f4b680d79043708c95d37b79bd6322",
		"{a5f4b680-d790-4370-8c95-d37b79bd6322}",
		"urn:uuid:a5f4b680-d790-4370-8c95-d37b79bd6322",
		"a5f4-b680-d790-4370-8c95-d37b-79bd-6322",
	};
	static const char *const bad[] = {"", "a5f4", "a5f4b680-d790-4370-8c95-d37b79bd632",
		"a5f4b680-d790-4370-8c95-d37b79bd63222", "g5f4b680-d790-4370-8c95-d37b79bd6322",
		"a5f4b680 d790-4370-8c95-d37b79bd6322"};
	char text[RECORD_ID_TEXT_BYTES];
	uint8_t id[16];

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		memset(id, 0, sizeof(id));
		assert_int_equal(record_parse_id(slice_of_text(same[i]), id), 0);
		record_format_id(id, text);
		assert_string_equal(text, same[0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(record_parse_id(slice_of_text(bad[i]), id), ERR_MALFORMED);
	assert_int_equal(record_parse_id(slice_of_text("00f067aa0ba902b7"), id), 0);
	record_format_id(id, text);
	assert_string_equal(text, "00f067aa-0ba9-802b-8007-000000000000");
}

#define IDS "\"trace_id\":\"a5f4b680d79043708c95d37b79bd6322\",\"span_id\":\"00f067aa0ba902b7\","
#define TIME "\"timestamp\":\"2026-01-09T10:30:00\","

static void bad_lines(void **state)
{
	static const struct {
		const char *line;
		const char *why;
	} cases[] = {
		{"", "not JSON"},
		{"[]", "not JSON"},
		{"{", "not JSON"},
		{"{}", "no trace_id"},
		{"{} {}", "more than one JSON value"},
		{"{" IDS TIME "\"operation\":\"x\"", "not JSON"},
		{"{" IDS TIME "\"operation\":\"x\"},", "more than one JSON value"},
		{"{" IDS TIME "\"operation\":\"x\",}", "not JSON"},
		{"{" IDS TIME "\"operation\":\"\xff\"}", "not UTF-8"},
		{"{" IDS TIME "\"operation\":\"\\x\"}", "not JSON"},
		{"{" IDS TIME "\"operation\":\"\\ud8\"}", "not JSON"},
		{"{" IDS TIME "\"operation\":\"a\tb\"}", "not JSON"},
		{"{" IDS TIME "\"operation\":01}", "not JSON"},
		{"{" IDS TIME "\"operation\":nul}", "not JSON"},
		{"{" IDS TIME "\"operation\":7}", "operation is no text"},
		{"{" IDS TIME "\"layer\":\"x\"}", "no operation"},
		{"{" IDS "\"operation\":\"x\"}", "no timestamp"},
		{"{" IDS "\"timestamp\":\"soon\",\"operation\":\"x\"}", "timestamp is no time"},
		{"{" IDS TIME "\"operation\":\"x\",\"duration_ms\":\"1\"}",
			"duration_ms is no number"},
		{"{\"trace_id\":\"zz\"}", "trace_id is no id"},
		{"{" IDS "\"parent_span_id\":5}", "parent_span_id is no id"},
	};
	struct scratch scratch = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct record record;
		const char *why = NULL;

		assert_int_equal(
			record_parse(slice_of_text(cases[i].line), &scratch, &record, &why),
			ERR_MALFORMED);
		assert_string_equal(why, cases[i].why);
	}
	scratch_done(&scratch);
}

static void depth(void **state)
{
	struct scratch scratch = {0};
	struct record record;
	const char *why;
	char *line = malloc(300000);
	size_t length;

	(void)state;
	for (int deep = 127; deep <= 100127; deep += 100000) {
		length = (size_t)sprintf(
			line, "{" IDS TIME "\"operation\":\"x\",\"data\":{\"input\":");
		memset(line + length, '[', (size_t)deep);
		memset(line + length + deep, ']', (size_t)deep);
		strcpy(line + length + 2 * deep, "}}");
		assert_int_equal(record_parse(slice_of_text(line), &scratch, &record, &why),
			deep <= 128 ? 0 : ERR_LIMIT);
	}
	assert_string_equal(why, "nested too deep");
	free(line);
	scratch_done(&scratch);
}

static void other_shapes(void **state)
{
	static const struct {
		const char *members;
		const char *input;
		const char *output;
		enum record_status status;
		int64_t duration_ns;
	} cases[] = {
		{"\"data\":null", "null", "null", RECORD_PENDING, -1},
		{"\"data\":[1]", "[1]", "null", RECORD_PENDING, -1},
		{"\"data\":{},\"duration_ms\":1", "null", "null", RECORD_SUCCESS, 1000000},
		{"\"data\":{\"output\":5},\"error\":\"e\"", "null", "5", RECORD_ERROR, 0},
		{"\"data\":{\"input\":1,\"x\":2,\"output\":3},\"status\":\"pending\"",
			"{\"input\":1,\"x\":2}", "3", RECORD_PENDING, -1},
		{"\"data\":{\"outp\\u0075t\":7},\"status\":\"success\"", "null", "7",
			RECORD_SUCCESS, 0},
		{"\"status\":\"started\",\"x\":{\"y\":[{}]}", "null", "null", RECORD_PENDING, -1},
		{"\"status\":5,\"duration_ms\":1", "null", "null", RECORD_SUCCESS, 1000000},
		{"\"status\":\"success\",\"status\":\"error\",\"duration_ms\":1", "null", "null",
			RECORD_SUCCESS, 1000000},
	};
	struct scratch scratch = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct record record;
		char line[512];

		sprintf(line, " { %s , " IDS TIME "\"operation\" : \"x\" } \r", cases[i].members);
		assert_int_equal(record_parse(slice_of_text(line), &scratch, &record, NULL), 0);
		assert_text(record.input, cases[i].input);
		assert_text(record.output, cases[i].output);
		assert_int_equal(record.status, cases[i].status);
		assert_int_equal(record.duration_ns, cases[i].duration_ns);
		assert_text(record.layer, "core");
	}
	scratch_done(&scratch);
}

static void escapes(void **state)
{
	struct scratch scratch = {0};
	struct record record;

	(void)state;
	assert_int_equal(record_parse(slice_of_text("{" IDS TIME "\"operation\":"
						    "\"\\b\\f\\n\\r\\t\\/\\\\\\\"\\u00e9\\u20AC"
						    "\\ud83d\\ude00\\ud83dx\\udc00\"}"),
				 &scratch, &record, NULL),
		0);
	assert_text(record.operation,
		"\b\f\n\r\t/\\\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbdx\xef\xbf\xbd");
	scratch_done(&scratch);
}

/* The quick look and the whole agree; every cut of a line is bad and is not read
 * beyond (the copy has its exact size for ASan). */
static void peek_and_cut(void **state)
{
	struct scratch scratch = {0};
	struct record record;
	uint8_t id[16];

	(void)state;
	assert_int_equal(record_parse(slice_of_text(OWN), &scratch, &record, NULL), 0);
	assert_int_equal(record_peek_trace_id(slice_of_text(OWN), id), 0);
	assert_memory_equal(id, record.trace_id, 16);
	assert_int_equal(
		record_peek_trace_id(slice_of_text(" {\"x\":[1,{\"trace_id\":1}], \"trace_id\" : "
						   "\"A5F4B680D79043708C95D37B79BD6322\"}"),
			id),
		0);
	assert_memory_equal(id, record.trace_id, 16);
	assert_int_equal(record_peek_trace_id(slice_of_text("{\"x\":1}"), id), ERR_MALFORMED);
	assert_int_equal(
		record_peek_trace_id(slice_of_text("{\"trace_id\":null}"), id), ERR_MALFORMED);
	for (size_t length = 0; length < sizeof(OWN) - 1; length++) {
		char *cut = malloc(length + 1);

		memcpy(cut, OWN, length);
		memmove(cut + 1, cut, length);
		assert_int_not_equal(
			record_parse(slice_of(cut + 1, length), &scratch, &record, NULL), 0);
		(void)!record_peek_trace_id(slice_of(cut + 1, length), id);
		free(cut);
	}
	scratch_done(&scratch);
}

/* A run of a span by its number and one by its line: unsure when they have one id, and only
 * then. */
static void ids_of_both_kinds(void **state)
{
	(void)state;
	for (uint64_t i = 1; i < 2000; i++) {
		uint64_t id = i * UINT64_C(0x9fb21c651e98df25) | 1;
		/* Once the same, else one that differs in a bit. */
		uint64_t other = i % 65 == 64 ? id : id ^ UINT64_C(1) << i % 65;
		struct index_builder builder = {0};
		struct scratch scratch = {0};
		char text[640], uuid[ID_UUID_LENGTH];
		struct record record;

		span_id_format(other, uuid);
		snprintf(text, sizeof(text),
			"{\"trace_id\":\"6dbb3af5-48d8-4234-9181-f8b55595fadc\",\"span_id\":\"%."
			"36s\","
			"\"parent_span_id\":\"00f067aa-0ba9-802b-8007-000000000000\",\"timestamp\":"
			"\"2026-01-05T00:00:00.000000000Z\",\"duration_ms\":1,\"operation\":\"o\","
			"\"layer\":\"core\",\"status\":\"success\",\"data\":{\"input\":null,"
			"\"output\":null},\"metadata\":{\"service\":\"s\",\"pid\":1,\"host\":\"h\","
			"\"kind\":\"internal\"},\"error\":null}",
			uuid);
		assert_int_equal(record_parse(slice_of_text(text), &scratch, &record, NULL), 0);
		index_builder_begin(&builder, record.trace_id);
		assert_int_equal(index_builder_add_span(&builder,
					 &(struct index_span){.span_id = id, .duration_ns = 1}),
			0);
		assert_int_equal(index_builder_add(&builder, &record, &scratch), 0);
		index_builder_end(&builder);
		assert_int_equal((builder.run.flags & INDEX_UNSURE) != 0, other == id);
		index_builder_done(&builder);
		scratch_done(&scratch);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(abandoned),
		cmocka_unit_test(own_line),
		cmocka_unit_test(attributes),
		cmocka_unit_test(original_file),
		cmocka_unit_test(times),
		cmocka_unit_test(durations),
		cmocka_unit_test(ids),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(depth),
		cmocka_unit_test(other_shapes),
		cmocka_unit_test(escapes),
		cmocka_unit_test(peek_and_cut),
		cmocka_unit_test(ids_of_both_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
