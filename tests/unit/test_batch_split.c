/*
 * Batches split by trace: each part decodes alone, every span is in exactly one part, with
 * the very line that it has in the whole, and no part is larger than the whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "batch_split.h"
#include "line.h"
#include "random_batch.h"

enum { ROUNDS = 600, LINES_MAX = 4096 };

struct lines {
	char *texts[LINES_MAX];
	unsigned int partitions[LINES_MAX];
	size_t count;
};

static void lines_done(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->texts[i]);
	lines->count = 0;
}

/* The line of every span; what is made of the batch's own bytes is left out of it. */
static void read_lines(const uint8_t *bytes, size_t length, struct lines *lines)
{
	static struct line_writer writer;
	struct batch batch = {0};
	struct bytes out = {0};
	struct batch_iter iter;
	struct span_view view;
	int ret;

	assert_int_equal(batch_open(&batch, bytes, length), 0);
	assert_int_equal(line_batch_begin(&writer, &batch, NULL), 0);
	batch_iter_init(&iter);
	while ((ret = batch_next(&batch, &iter, &view)) > 0) {
		struct batch_trace trace = *view.trace;

		lines->partitions[lines->count] = trace_partition(&view.trace->id);
		if ((trace.repairs & REPAIR_TRACE_ID) != 0)
			memset(&trace.id, 0, sizeof(trace.id));
		if ((view.repairs & REPAIR_SPAN_ID) != 0)
			view.span_id = 1;
		view.trace = &trace;
		out.length = 0;
		assert_int_equal(line_span(&writer, &batch, &view, &out), 0);
		assert_true(lines->count < LINES_MAX);
		lines->texts[lines->count++] = strndup((const char *)out.data, out.length);
	}
	assert_int_equal(ret, 0);
	bytes_done(&out);
	batch_done(&batch);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check(const uint8_t *bytes, size_t length)
{
	static struct batch_split split;
	static struct lines whole, parts;
	uint8_t *part = malloc(length + 1);
	size_t in_parts = 0;

	lines_done(&whole);
	lines_done(&parts);
	read_lines(bytes, length, &whole);
	assert_int_equal(batch_split_open(&split, bytes, length), 0);
	for (unsigned int i = 0; i < WIRE_PARTITIONS; i++) {
		struct writer writer = writer_of(part, length + 1);
		size_t before = parts.count;

		assert_int_equal(split.partitions >> i & 1, split.spans[i] > 0);
		if (split.spans[i] == 0)
			continue;
		batch_split_write(&split, i, &writer);
		assert_int_equal(writer.error, 0);
		assert_true(writer_length(&writer) <= length);
		read_lines(part, writer_length(&writer), &parts);
		assert_int_equal(parts.count - before, split.spans[i]);
		for (size_t k = 0; k < whole.count; k++)
			in_parts += whole.partitions[k] == i;
	}
	assert_int_equal(parts.count, whole.count);
	assert_int_equal(in_parts, whole.count);
	qsort(whole.texts, whole.count, sizeof(char *), compare);
	qsort(parts.texts, parts.count, sizeof(char *), compare);
	for (size_t i = 0; i < whole.count; i++)
		assert_string_equal(whole.texts[i], parts.texts[i]);
	free(part);
}

static void test_random(void **state)
{
	static struct model model;
	static uint8_t buffer[1 << 20];

	(void)state;
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		long length = model_write(&model, seed, buffer, sizeof(buffer));

		assert_true(length > 0);
		if (length <= WIRE_BATCH_LIMIT)
			check(buffer, (size_t)length);
	}
}

static void test_refused(void **state)
{
	struct batch_split split = {0};
	static const uint8_t section_too_short[] = {
		TAG_BATCH_SECTIONS, 4, TAG_SECTION_SPANS, 9, 0, 0};

	(void)state;
	assert_true(batch_split_open(&split, section_too_short, sizeof(section_too_short)) < 0);
	assert_int_equal(batch_split_open(&split, "", 0), 0);
	assert_int_equal(split.partitions, 0);
	batch_split_done(&split);
}

/* The function is part of the protocol: the numbers never change. */
static void test_partition(void **state)
{
	struct trace_id id = {{0}};

	(void)state;
	assert_int_equal(trace_partition(&id), 0);
	id.bytes[15] = 1;
	assert_int_equal(trace_partition(&id), id_mix(1) >> 58);
	assert_int_equal(trace_partition(&id), 21);
	id.bytes[8] = 0xff; /* only the last 56 bits count */
	assert_int_equal(trace_partition(&id), 21);
	id.bytes[9] = 0x80;
	assert_int_not_equal(trace_partition(&id), 21);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_partition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
