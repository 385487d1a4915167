/*
 * Snapshots that libwaft sends without having checked that they are JSON: the line that
 * the collector makes of them is, byte for byte, that of what libwaft makes of them
 * when it checks them itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_check.h"
#include "line.h"
#include "redact.h"
#include "snapshot.h"
#include "support/batch_write.h"

static struct buffer checked, sent;
static unsigned int raw, raw_texts;

/* The line of a span that has it for input and output; the caller frees. */
static char *line_of(const struct buffer *snapshot, bool texts, bool failed, size_t *ret_length)
{
	static uint8_t bytes[WIRE_BATCH_LIMIT];
	struct batch_writer writer;
	struct shape_write shape = {.id = 1, .name = slice_of_text("a")};
	struct trace_write trace = {.id.bytes = {1}};
	struct span_write span = {.shape = &shape,
		.span_id = 1,
		.end_raw = 1000,
		.duration_raw = 1,
		.input = slice_of(snapshot->bytes, snapshot->length),
		.output = slice_of(snapshot->bytes, snapshot->length),
		.error = failed ? slice_of_text("no") : (struct slice){0},
		.status = failed ? WIRE_STATUS_ERROR : WIRE_STATUS_SUCCESS};
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view view;
	struct line_writer lines = {0};
	struct bytes out = {0};
	long length;

	batch_writer_init(&writer, bytes, sizeof(bytes));
	writer.texts = texts;
	batch_writer_producer(&writer, slice_of_text("s"), 1, slice_of_text("h"), NULL, 0);
	batch_writer_shape(&writer, &shape);
	batch_writer_section_begin(&writer, 1, 0, 0, &trace);
	assert_true(batch_writer_span(&writer, &span));
	batch_writer_section_end(&writer);
	length = batch_writer_finish(&writer);
	assert_true(length > 0);
	assert_int_equal(batch_open(&batch, bytes, (size_t)length), 0);
	assert_int_equal(line_batch_begin(&lines, &batch, NULL), 0);
	batch_iter_init(&iter);
	assert_int_equal(batch_next(&batch, &iter, &view), 1);
	assert_int_equal(line_span(&lines, &batch, &view, &out), 0);
	batch_done(&batch);
	line_writer_done(&lines);
	*ret_length = out.length;
	return (char *)out.data;
}

static void same(const char *text, size_t length, size_t limit)
{
	snapshot_take(&checked, text, length, limit);
	snapshot_put(&sent, text, length, limit);
	assert_false(checked.failed || sent.failed);
	if (redact_text_holds(text, length) || length > limit) {
		assert_int_equal(sent.length, checked.length);
		assert_memory_equal(sent.bytes, checked.bytes, sent.length);
	}
	raw += sent.length == length && memcmp(sent.bytes, text, length) == 0;
	raw_texts += json_check(sent.bytes, sent.length, NULL) != 0;
	for (int failed = 0; failed < 2; failed++) {
		size_t wanted, got;
		char *before = line_of(&checked, false, failed != 0, &wanted);
		char *after = line_of(&sent, true, failed != 0, &got);

		assert_null(memmem(before, wanted, "waft.repaired", 13));
		if (got != wanted || memcmp(before, after, got) != 0)
			fail_msg("of %.*s\n%.*s%.*s", (int)length, text, (int)wanted, before,
				(int)got, after);
		free(before);
		free(after);
	}
}

static void same_text(const char *text, size_t limit)
{
	same(text, strlen(text), limit);
}

static void test_chosen(void **state)
{
	static const char *const texts[] = {"", " ", "{}", "{", "null", "nul", "12", "1 2", "\"",
		"\"\"", "{\"a\":1}", "{\"a\":1}}", " [1,\n\t2]\r\n", "plain text", "say \"hi\"\\",
		"\b\f\n\r\t\x01\x1f\x7f", "\xff", "\xc3", "\xc3\xa9", "\"\xff\"", "\xed\xa0\x80",
		"{\"a\":\"\xc3\"}", "\"\\u00e9\"", "\"pa\\u0073sword\"", "{\"pa\\u0073sword\":1}",
		"pa\\u0073sword", "{\"token\":1}", "token=1", "{'token':1}",
		"{\"n\":\"a\\ntoken\"}", "NaN", "[1,]", "\"a\tb\"", "// no\n{}"};
	char deep[200];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t limit = 1; limit < 40; limit++)
			same_text(texts[i], limit);
	for (size_t depth = 63; depth < 67; depth++) {
		memset(deep, '[', depth);
		memset(deep + depth, ']', depth);
		same(deep, 2 * depth, 1000);
		same(deep, 2 * depth, 100);
	}
	same("a\0b", 3, 10);
}

/* Where a byte that is no UTF-8 becomes three, what is within the limit may not stay so. */
static void test_repaired_length(void **state)
{
	char text[400];

	(void)state;
	memset(text, 'a', sizeof(text));
	for (size_t at = 0; at < 300; at += 7)
		text[at] = (char)0xff;
	for (size_t limit = 290; limit < 400; limit++)
		same(text, 300, limit);
	for (size_t length = 90; length < 105; length++)
		same(text, length, 300);
}

static void test_random(void **state)
{
	static const char *const parts[] = {"{\"", "\":", "}", "[", "]", ",", "\"",
		"\"name\":", "true", "1.5", "\\", "\\n", "\\u0074", "token", "to", "pass", "word",
		"\xc3\xa9", "\xc3", "\xff", "\n", "\b", "\x02", " ", "criteria",
		"the quick brown fox", "{\"a\":[1,2,{\"b\":null}]}", "0"};
	uint64_t seed = 815;

	(void)state;
	for (int i = 0; i < 6000; i++) {
		char text[1024] = "";
		size_t count;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		count = seed >> 33 & 31;
		for (size_t n = 0; n < count; n++) {
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			strcat(text, parts[(seed >> 33) % (sizeof(parts) / sizeof(parts[0]))]);
		}
		same_text(text, i % 3 == 0 ? strlen(text) + 1 - (seed >> 60) % 3 : 1000);
	}
	assert_in_range(raw, 2000, 30000);
	assert_in_range(raw_texts, 1500, 30000);
}

static int set_up(void **state)
{
	(void)state;
	return redact_set_names(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	buffer_done(&checked);
	buffer_done(&sent);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chosen),
		cmocka_unit_test(test_repaired_length),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
