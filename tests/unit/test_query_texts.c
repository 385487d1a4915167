/*
 * Filters of texts in packs: what grep would find in a run is never denied, whatever blocks are
 * asked for before, and most groups are left out where a text is nowhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "index_run.h"
#include "pack.h"
#include "pack_texts.h"
#include "scratch.h"
#include "support/fake_disk.h"
#include "support/test_store.h"

enum {
	/* Two sets of common grams, the second of a block and a piece of one. */
	BLOCKS = PACK_COMMON_BLOCKS + 2,
	SPECIAL = 16, /* of so many runs one has a text of its own */
	RUNS = (BLOCKS - 1) * INDEX_BLOCK_RUNS + 40,
	UNKNOWN_RUN = 1000, /* added without its lines */
	LINE_BYTES = 1024,
};

static const uint8_t store_id[16] = {8};
static const struct part_name name = {.day = 1, .number = 1, .sealed = true};

static struct fake_disk *fake;
static struct pack *pack;

/* What is written, and looked for, is the number's alone, or that of its stretch of runs; some of
 * it stands with escapes. */
static void write_texts(uint32_t run, char input[256], char operation[64])
{
	uint32_t stretch = run / (PACK_COMMON_BLOCKS * INDEX_BLOCK_RUNS);

	sprintf(operation, "%s.place_%u", stretch == 0 ? "early" : "later", run % 7);
	if (run % SPECIAL != 0) {
		strcpy(input, "{\"order\":\"customer number of run in all\"}");
		return;
	}
	switch (run / SPECIAL % 3) {
	case 0:
		sprintf(input, "{\"order\":%u,\"of\":\"stretch %u\"}", 2654435769u * run, stretch);
		break;
	case 1:
		sprintf(input, "\"t\\u0065xt %u\\nof run\"", 2246822519u * run);
		break;
	default:
		sprintf(input, "\"customer number %u in all\"", 3266489917u * run);
		break;
	}
}

/* What the second of these decodes to. */
static bool write_decoded(uint32_t run, char ret[256])
{
	if (run % SPECIAL != 0 || run / SPECIAL % 3 != 1)
		return false;
	sprintf(ret, "\"text %u\nof run\"", 2246822519u * run);
	return true;
}

static void add_run(struct pack_builder *builder, uint32_t number, uint64_t *at)
{
	char line[LINE_BYTES], input[256], operation[64];
	struct test_span span = {.trace = number + 1,
		.span = number + 1,
		.parent = UINT32_MAX,
		.start_us = number,
		.failed = number % 500 == 0,
		.operation = operation,
		.input = input};
	struct scratch scratch = {0};
	struct index_run run;
	struct slice lines;

	write_texts(number, input, operation);
	lines = slice_of(line, (size_t)test_store_line(&span, line, sizeof(line)));
	assert_int_equal(index_run_of_lines(lines, *at, &scratch, &run), 0);
	*at += lines.length;
	assert_int_equal(
		pack_builder_add(builder, &run, number == UNKNOWN_RUN ? (struct slice){0} : lines),
		0);
	scratch_done(&scratch);
}

static int setup(void **state)
{
	struct pack_config config = {.part = name};
	struct pack_builder *builder;
	struct disk *disk;
	uint64_t at = 0;
	int dir;

	(void)state;
	fake = fake_disk_new();
	disk = fake_disk_disk(fake);
	dir = disk_open_root(disk, "index", true);
	assert_true(dir >= 0);
	memcpy(config.store_id, store_id, sizeof(config.store_id));
	config.disk = disk;
	config.index_dir = dir;
	builder = pack_builder_new(&config);
	assert_non_null(builder);
	for (uint32_t i = 0; i < RUNS; i++)
		add_run(builder, i, &at);
	assert_int_equal(pack_builder_write(builder, at), 0);
	pack_builder_free(builder);
	assert_int_equal(pack_open(disk, dir, store_id, &name, &pack), 0);
	assert_int_equal(pack_blocks(pack_runs(pack)), BLOCKS);
	disk_close(disk, dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pack_close(pack);
	fake_disk_free(fake);
	return 0;
}

static uint32_t groups_with(uint32_t block, const char *text, size_t length)
{
	uint16_t grams[INDEX_QUESTION_GRAMS];
	size_t count = pack_grams_of(slice_of(text, length), grams, INDEX_QUESTION_GRAMS);
	uint32_t groups;

	assert_int_equal(pack_block_texts(pack, block, grams, count, &groups), 0);
	return groups;
}

static void must_pass(uint32_t run, const char *text, size_t length)
{
	uint32_t groups = groups_with(run / INDEX_BLOCK_RUNS, text, length);

	assert_true((groups >> run % INDEX_BLOCK_RUNS / PACK_GROUP_RUNS & 1) != 0);
}

/* Any piece of a text of a run. */
static void must_pass_pieces(uint32_t run, const char *text)
{
	size_t length = strlen(text), from = (size_t)rand() % length;

	must_pass(run, text, length);
	must_pass(run, text + from, 1 + (size_t)rand() % (length - from));
}

static void nothing_is_denied(void **state)
{
	(void)state;
	srand(1);
	for (uint32_t i = 0; i < RUNS; i++) {
		/* Blocks share what is common: now and then another. */
		uint32_t run = rand() % 8 > 0 ? i : (uint32_t)rand() % RUNS;
		char input[256], operation[64];

		write_texts(run, input, operation);
		must_pass_pieces(run, input);
		must_pass_pieces(run, operation);
		if (write_decoded(run, input))
			must_pass_pieces(run, input);
		if (run % 500 == 0)
			must_pass_pieces(run, "it broke");
	}
}

static unsigned int count_groups(const char *text)
{
	unsigned int count = 0;

	for (uint32_t block = 0; block < BLOCKS; block++)
		count += (unsigned int)__builtin_popcount(
			groups_with(block, text, strlen(text)) & ((1u << PACK_GROUPS) - 1));
	return count;
}

static void most_are_left_out(void **state)
{
	unsigned int all = (BLOCKS - 1) * PACK_GROUPS + 2;
	char text[32];

	(void)state;
	/* But one of them is not known. */
	assert_int_equal(count_groups("no such words, anywhere"), 1);
	/* That of one stretch, and the same. */
	assert_in_range(count_groups("early."), PACK_COMMON_BLOCKS * PACK_GROUPS,
		(PACK_COMMON_BLOCKS + 1) * PACK_GROUPS);
	for (uint32_t run = 2 * SPECIAL; run < RUNS; run += 51 * SPECIAL) {
		sprintf(text, "number %u in", 3266489917u * run);
		assert_in_range(count_groups(text), 2, all / 4);
	}
	/* Of less than four bytes nothing is known. */
	assert_int_equal(count_groups("~~~"), BLOCKS * PACK_GROUPS);
}

/* A block's filters end behind those of attributes, or with the zeros of a group too many. */
static void older_packs_pass(void **state)
{
	static const uint8_t zeros[2];
	static struct pack_grams common;

	(void)state;
	for (size_t length = 0; length <= sizeof(zeros); length += sizeof(zeros)) {
		struct cursor in = cursor_of(zeros, length);

		assert_false(pack_texts_common(&in, &common));
		assert_int_equal(in.error, 0);
		in = cursor_of(zeros, length);
		assert_int_equal(pack_texts_groups(&in, 0, 1, NULL, 0), UINT32_MAX);
		assert_int_equal(in.error, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_denied),
		cmocka_unit_test(most_are_left_out),
		cmocka_unit_test(older_packs_pass),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
