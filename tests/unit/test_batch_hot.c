/*
 * Spans in the form that libwaft gives nearly all of them, which are decoded a shorter way
 * (batch_hot.h), against the same spans with a field more that nobody knows, for which they
 * take the long one: their lines are the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line.h"
#include "support/random_batch.h"

enum { KEYS = 6, SPANS = 40, UNKNOWN_FIELD = 1000 };

/* ---- The long way ------------------------------------------------------------ */

/* Copies the fields of a message, each but `nested` as it is; those by copy. */
static void copy_fields(struct writer *to, struct slice message, uint32_t nested,
	void (*copy)(struct writer *to, struct slice message))
{
	struct cursor cursor = cursor_of_slice(message);

	while (cursor_more(&cursor)) {
		const uint8_t *at = cursor.at;
		uint32_t tag = cursor_tag(&cursor);

		if (tag == nested) {
			size_t begin = writer_nested_begin(to, tag);

			copy(to, cursor_bytes(&cursor));
			writer_nested_end(to, begin);
		} else {
			cursor_skip(&cursor, tag);
			writer_bytes(to, at, (size_t)(cursor.at - at));
		}
	}
	assert_int_equal(cursor.error, 0);
	assert_int_equal(to->error, 0);
}

static void copy_span(struct writer *to, struct slice span)
{
	writer_bytes(to, span.data, span.length);
	writer_varint(to, WIRE_TAG(UNKNOWN_FIELD, WIRE_VARINT));
	writer_varint(to, 1);
}

static void copy_section(struct writer *to, struct slice section)
{
	copy_fields(to, section, TAG_SECTION_SPANS, copy_span);
}

/* ---- Comparing ----------------------------------------------------------------- */

struct lines {
	struct batch batch;
	struct line_writer writer;
	struct batch_iter iter;
	struct span_view view;
	struct bytes out;
};

static void begin(struct lines *lines, const uint8_t *bytes, size_t length)
{
	*lines = (struct lines){0};
	assert_int_equal(batch_open(&lines->batch, bytes, length), 0);
	assert_int_equal(line_batch_begin(&lines->writer, &lines->batch, NULL), 0);
	batch_iter_init(&lines->iter);
}

/* The next span's line, false after the last. */
static bool next(struct lines *lines)
{
	int ret = batch_next(&lines->batch, &lines->iter, &lines->view);

	assert_in_range(ret, 0, 1);
	lines->out.length = 0;
	if (ret == 1)
		assert_int_equal(
			line_span(&lines->writer, &lines->batch, &lines->view, &lines->out), 0);
	return ret == 1;
}

/* The line of a span by its place. */
static void again(struct lines *lines, struct batch_iter *iter)
{
	struct span_view view;

	assert_int_equal(batch_span_at(&lines->batch, iter, lines->view.place, &view), 0);
	lines->out.length = 0;
	assert_int_equal(line_span(&lines->writer, &lines->batch, &view, &lines->out), 0);
}

static void expect_same(const struct lines *a, const struct lines *b)
{
	/* What repairs make ids of are all of the batch's bytes. */
	if ((b->view.repairs & (REPAIR_SPAN_ID | REPAIR_TRACE_ID)) != 0)
		return;
	assert_int_equal(a->view.present, b->view.present);
	assert_int_equal(a->view.repairs, b->view.repairs);
	assert_int_equal(a->view.duration_ns, b->view.duration_ns);
	assert_int_equal(a->out.length, b->out.length);
	assert_memory_equal(a->out.data, b->out.data, b->out.length);
}

static void end(struct lines *lines)
{
	line_writer_done(&lines->writer);
	batch_done(&lines->batch);
	bytes_done(&lines->out);
}

static void compare(const uint8_t *bytes, size_t length)
{
	static uint8_t longer[WIRE_BATCH_LIMIT];
	struct writer writer = writer_of(longer, sizeof(longer));
	struct lines hot, other;
	struct batch_iter iter;

	copy_fields(&writer, slice_of(bytes, length), TAG_BATCH_SECTIONS, copy_section);
	begin(&hot, bytes, length);
	begin(&other, longer, writer_length(&writer));
	batch_iter_init(&iter);
	while (next(&other)) {
		assert_true(next(&hot));
		expect_same(&hot, &other);
		again(&hot, &iter);
		expect_same(&hot, &other);
	}
	assert_false(next(&hot));
	end(&hot);
	end(&other);
}

/* ---- Spans ---------------------------------------------------------------------- */

static const struct slice key_names[KEYS] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"bb", 2},
	{(const uint8_t *)"a key that is long", 18}, {(const uint8_t *)"d", 1},
	{(const uint8_t *)"waft.clock", 10}, {(const uint8_t *)"f", 1}};

static struct value random_value(struct random *random, enum wire_key_type type)
{
	static const char text[] = "some text, that goes on to be longer than a length in one byte "
				   "says, which is what libwaft writes for those of its call sites "
				   "that it has room for";
	struct value value = {.type = VALUE_INT, .integer = (int32_t)random_next(random)};

	if (type == WIRE_KEY_STRING)
		value = (struct value){.type = VALUE_TEXT,
			.text = slice_of(text, random_below(random, sizeof(text)))};
	else if (type == WIRE_KEY_BOOL)
		value = (struct value){.type = VALUE_BOOL, .boolean = random_below(random, 2) == 1};
	else if (type == WIRE_KEY_DOUBLE)
		value = (struct value){
			.type = VALUE_DOUBLE, .number = random_below(random, 1000) / 8.0};
	return value;
}

/* The first keys have values, all or most of them. */
static void write_span(struct batch_writer *writer, struct random *random,
	const struct shape_write *shape, uint32_t sequence)
{
	static const struct slice json = {(const uint8_t *)"{\"a\": [1, 2]}", 13};
	struct trace_write trace = {.id = {{1, 2, (uint8_t)random_below(random, 3)}}};
	size_t count = random_below(random, 4) == 0
			       ? random_below(random, (uint32_t)shape->key_count + 1)
			       : shape->key_count;
	struct value values[KEYS] = {{.type = VALUE_NONE}};
	struct span_write span = {.shape = shape,
		.sequence = sequence,
		.end_raw = 1000000000 + random_below(random, 1000000),
		.duration_raw = random_below(random, 100000),
		.values = values};

	for (size_t i = 0; i < count; i++)
		values[i] = random_value(random, shape->keys[i].type);
	if (random_below(random, 3) == 0)
		span.trace = &trace;
	if (random_below(random, 3) == 0)
		span.parent_id = random_next(random);
	else
		span.distance = (uint16_t)random_below(random, 3);
	if (random_below(random, 3) == 0)
		span.input = json;
	if (random_below(random, 3) == 0)
		span.output = json;
	if (random_below(random, 10) == 0)
		span.status = WIRE_STATUS_ERROR;
	if (random_below(random, 20) == 0)
		span.duration_raw <<= 32;
	assert_true(batch_writer_span(writer, &span));
}

static size_t write_batch(struct random *random, uint8_t *bytes, size_t size)
{
	static struct key_write keys[KEYS];
	struct shape_write shape = {.id = 1 + random_below(random, 300),
		.name = slice_of_text("a"),
		.keys = keys,
		.key_count = random_below(random, KEYS + 1)};
	struct batch_clock clock = {.source = WIRE_CLOCK_TSC,
		.ns_per_tick = random_below(random, 2) == 0 ? 1 : 0.4,
		.close_raw = 1000000000,
		.close_realtime_ns = UINT64_C(1767953400000000000)};
	struct trace_write trace = {.id = {{9, 9}}};
	struct batch_writer writer;
	long length;

	for (size_t i = 0; i < shape.key_count; i++)
		keys[i] = (struct key_write){key_names[i],
			(enum wire_key_type)(1 + random_below(random, WIRE_KEY_TYPES - 1))};
	batch_writer_init(&writer, bytes, size);
	batch_writer_producer(&writer, slice_of_text("s"), 1, slice_of_text("h"), NULL, 0);
	batch_writer_clock(&writer, &clock);
	batch_writer_shape(&writer, &shape);
	batch_writer_section_begin(&writer, 100, 1000000000, 7, &trace);
	for (uint32_t i = 0; i < SPANS; i++)
		write_span(&writer, random, &shape, i + 1);
	batch_writer_section_end(&writer);
	length = batch_writer_finish(&writer);
	assert_true(length > 0);
	return (size_t)length;
}

static void test_spans_of_libwaft(void **state)
{
	static uint8_t bytes[WIRE_BATCH_LIMIT / 2];
	struct random random = {.state = random_seed()};

	(void)state;
	for (int i = 0; i < 300; i++)
		compare(bytes, write_batch(&random, bytes, sizeof(bytes)));
}

static void test_random_batches(void **state)
{
	static struct model model;
	static uint8_t bytes[WIRE_BATCH_LIMIT / 2];
	uint64_t seed = random_seed();

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		long length = model_write(&model, seed + i, bytes, sizeof(bytes));

		if (length > 0)
			compare(bytes, (size_t)length);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans_of_libwaft),
		cmocka_unit_test(test_random_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
