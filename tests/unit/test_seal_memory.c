/*
 * What a seal takes of malloc's, at most, held against what it may take: of parts that are many
 * times as large as that and have what takes most in it. And that its index says the same as one
 * that was made with all memory there is.
 *
 *     test_seal_memory MIB LIMIT_MIB   a part of so many MiB instead, to look at the figure
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "crc32c.h"
#include "index.h"
#include "pack.h"
#include "seal.h"
#include "seal_frame.h"
#include "spill.h"
#include "support/heap_peak.h"
#include "support/index_dirs.h"
#include "support/test_store.h"

enum { LINE_BYTES = 640, WRITE_BYTES = 1 << 20 };

static const uint8_t store_id[16] = {7, 8, 9};

static struct test_store store;
static struct disk disk;
static int top_dir, waft_dir, index_dir;
static struct index_part part;
static struct bytes text; /* that is not in the file yet */
static char part_text_name[PART_NAME_BYTES];
static int part_file;
static uint32_t part_crc;

static int setup(void **state)
{
	(void)state;
	test_store_init(&store);
	disk_real(&disk);
	if (!index_dirs_open(&disk, store.path, &top_dir, &waft_dir, &index_dir))
		return -1;
	part = (struct index_part){.name = {.day = 20000, .number = 1}};
	part_crc = 0;
	if (part_name_format(&part.name, part_text_name) != 0)
		return -1;
	part_file = disk_open(&disk, top_dir, part_text_name, DISK_WRITE | DISK_CREATE);
	return part_file >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	bytes_done(&text);
	disk_close(&disk, part_file);
	index_dirs_close(&disk, top_dir, waft_dir, index_dir);
	test_store_done(&store);
	return 0;
}

/* ---- Parts ------------------------------------------------------------------------- */

static void write_text(void)
{
	assert_int_equal(
		disk_write(&disk, part_file, text.data, text.length, part.length_bytes), 0);
	part_crc = crc32c(part_crc, text.data, text.length);
	part.length_bytes += text.length;
	text.length = 0;
}

/* A line of a trace, of as many kinds, operations and attributes as variety says. */
static void put_line(uint32_t trace, uint32_t number, uint32_t variety)
{
	char line[LINE_BYTES], operation[16], attribute[16];
	struct test_span span = {.trace = trace,
		.span = number,
		.parent = number == 0 ? UINT32_MAX : 0,
		.start_us = 10 * (int64_t)trace + number,
		.duration_us = (int64_t)(trace % 1000) * (trace % 7777) + 1,
		.operation = operation,
		.attribute = attribute};
	int length;

	snprintf(operation, sizeof(operation), "op%u", (unsigned int)(trace % variety));
	snprintf(attribute, sizeof(attribute), "v%u", (unsigned int)((trace + number) % variety));
	length = test_store_line(&span, line, sizeof(line));
	assert_int_equal(bytes_put(&text, line, (size_t)length), 0);
	if (text.length >= WRITE_BYTES)
		write_text();
}

/* Runs of one span each, late ones of every trace behind all others: each has two. */
static void put_many_runs(uint64_t bytes, uint32_t variety)
{
	uint32_t traces = 0;

	while (part.length_bytes + text.length < bytes / 2)
		put_line(++traces, 0, variety);
	for (uint32_t trace = 1; trace <= traces; trace++)
		put_line(trace, 1, variety);
	write_text();
}

/* Traces of about so many bytes, in turn, so that each has many runs. */
static void put_long_traces(uint32_t first, uint64_t bytes, uint64_t trace_bytes)
{
	uint32_t traces = (uint32_t)(bytes / trace_bytes);
	uint64_t end = part.length_bytes + text.length + bytes;

	for (uint32_t i = 0; part.length_bytes + text.length < end; i++)
		put_line(first + i / 8 % traces, i, 1000);
	write_text();
}

/* ---- Sealing ----------------------------------------------------------------------- */

static void index_plain(void)
{
	struct index_report report;
	struct index *index;

	part.closed = true;
	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, &part, 1, &index, &report), 0);
	index_close(index);
}

/* Returns what it took. */
static size_t seal(uint64_t memory_bytes, struct seal_result *result)
{
	const struct store_dirs dirs = {
		.top = top_dir, .waft = waft_dir, .log = -1, .quarantine = -1, .lock = -1};
	struct seal_job job = {.disk = &disk,
		.dirs = &dirs,
		.index_dir = index_dir,
		.level = 9,
		.memory_bytes = memory_bytes,
		.part = {.name = part.name,
			.length_bytes = part.length_bytes,
			.crc = part_crc,
			.verified = true,
			.state = PART_CLOSED}};

	memcpy(job.store_id, store_id, 16);
	bytes_done(&text);
	heap_peak_begin();
	assert_int_equal(seal_part(&job, result), 0);
	return heap_peak_bytes();
}

static void read_pack(struct bytes *ret)
{
	struct part_name name = part.name;
	char pack[PACK_NAME_BYTES];
	struct disk_stat stat;
	int file;

	name.sealed = true;
	assert_int_equal(pack_name(&name, pack), 0);
	file = disk_open(&disk, index_dir, pack, DISK_READ);
	assert_true(file >= 0);
	assert_int_equal(disk_stat_file(&disk, file, &stat), 0);
	ret->length = 0;
	assert_int_equal(bytes_reserve(ret, stat.length_bytes), 0);
	ret->length = stat.length_bytes;
	assert_int_equal(disk_read(&disk, file, ret->data, ret->length, 0), ret->length);
	disk_close(&disk, file);
}

static void check_peak(size_t peak, uint64_t allowed)
{
	if (peak > allowed)
		fail_msg("%zu KiB where %zu are allowed", peak >> 10, (size_t)allowed >> 10);
}

/* ---- Tests --------------------------------------------------------------------------- */

/* Little more than of a part half as large: less room than any of its shares would grow by. */
static void many_runs(void **state)
{
	struct seal_result result;

	(void)state;
	put_many_runs(8 << 20, 3000);
	check_peak(seal(SEAL_MEMORY_MIN, &result), SEAL_MEMORY_MIN / 16 * 13);
}

static void long_traces(void **state)
{
	struct seal_result result;
	size_t peak;

	(void)state;
	put_long_traces(1, 1 << 20, 100 << 10);
	/* Too long to be joined. */
	put_long_traces(1000, 4 << 20, 2 << 20);
	index_plain();
	peak = seal(SEAL_MEMORY_MIN, &result);
	check_peak(peak, SEAL_MEMORY_MIN);
	assert_true(result.joined > 0);
}

/* All of a window, so that the text is the same; what is gathered of it has gone through files. */
static void same_pack(void **state)
{
	struct bytes little = {0}, much = {0};
	struct seal_result first, second;

	(void)state;
	for (uint32_t trace = 1; trace <= 6000; trace++)
		put_line(trace, 0, 20);
	for (uint32_t trace = 1; trace <= 6000; trace += 7)
		put_line(trace, 1, 20);
	write_text();
	index_plain();
	(void)seal(SEAL_MEMORY_MIN, &first);
	read_pack(&little);
	(void)seal(64 << 20, &second);
	read_pack(&much);
	assert_int_equal(first.joined, second.joined);
	assert_int_equal(little.length, much.length);
	assert_memory_equal(little.data, much.data, much.length);
	bytes_done(&little);
	bytes_done(&much);
}

/* Sequences of its own take memory, and are left out where there is none for them. */
static void sequences_fit(void **state)
{
	enum { FIT_BYTES = 21 << 20 };
	struct seal_result result;
	size_t without, with;

	(void)state;
	for (uint32_t trace = 1; trace <= 6000; trace++)
		put_line(trace, 0, 20);
	write_text();
	without = seal(FIT_BYTES - 4, &result);
	with = seal(FIT_BYTES, &result);
	check_peak(with, FIT_BYTES);
	assert_true(with > without + SEQUENCES_MEMORY_BYTES / 2);
}

struct in_order {
	struct spill_id last;
	size_t count;
	uint64_t sum;
};

static int on_id(void *ctx, const struct spill_id *id)
{
	struct in_order *seen = ctx;

	if (seen->count > 0)
		assert_true(id->hash > seen->last.hash ||
			    (id->hash == seen->last.hash && id->run > seen->last.run));
	seen->last = *id;
	seen->count++;
	seen->sum += id->hash * (id->run + 1);
	return 0;
}

/* From none to many more than are kept in memory, of which some have the same hash. */
static void sorted_ids(void **state)
{
	enum { KEPT = 100 };
	const struct spill_place place = {.disk = &disk, .dir = index_dir, .name = "ids"};

	(void)state;
	for (uint32_t count = 0; count < 5000; count = count * 3 + 1) {
		struct in_order seen = {0};
		struct spill_ids ids;
		struct disk_stat stat;
		uint64_t sum = 0;

		spill_ids_init(&ids, &place, KEPT);
		for (uint32_t i = 0; i < count; i++) {
			uint64_t hash = (uint64_t)rand() % (count / 2 + 1) << 40;

			assert_int_equal(spill_ids_put(&ids, hash, i), 0);
			sum += hash * (i + 1);
		}
		assert_true(ids.allocated <= KEPT);
		assert_int_equal(spill_ids_sorted(&ids, on_id, &seen), 0);
		spill_ids_done(&ids);
		assert_int_equal(seen.count, count);
		assert_int_equal(seen.sum, sum);
		assert_int_equal(disk_stat_name(&disk, index_dir, "ids", &stat), -ENOENT);
	}
}

static int on_some(void *ctx, const struct spill_id *id)
{
	uint32_t *left = ctx;

	(void)id;
	return (*left)-- == 0 ? -ENOSPC : 0;
}

/* Who is given them may fail at any of them, at the end of a piece, too. */
static void sorted_ids_end_early(void **state)
{
	enum { KEPT = 64, COUNT = 4 * KEPT };
	const struct spill_place place = {.disk = &disk, .dir = index_dir, .name = "ids"};

	(void)state;
	for (uint32_t at = 0; at < COUNT; at++) {
		struct spill_ids ids;
		uint32_t left = at;

		spill_ids_init(&ids, &place, KEPT);
		for (uint32_t i = 0; i < COUNT; i++)
			assert_int_equal(spill_ids_put(&ids, (uint64_t)rand() << 32, i), 0);
		assert_int_equal(spill_ids_sorted(&ids, on_some, &left), -ENOSPC);
		spill_ids_done(&ids);
	}
}

/* More is not begun with. */
static void too_large(void **state)
{
	const struct store_dirs dirs = {.top = top_dir, .waft = waft_dir};
	struct seal_job job = {.disk = &disk,
		.dirs = &dirs,
		.index_dir = -1,
		.level = 1,
		.memory_bytes = SEAL_MEMORY_MIN,
		.part = {.name = part.name, .length_bytes = SEAL_MEMORY_MIN * 1024}};
	struct seal_result result;

	(void)state;
	assert_int_equal(seal_part(&job, &result), -EFBIG);
	job.memory_bytes = SEAL_MEMORY_MIN / 2;
	assert_int_equal(seal_part(&job, &result), -EINVAL);
}

static int look_at(uint64_t part_mib, uint64_t memory_mib)
{
	for (int kind = 0; kind < 3; kind++) {
		struct seal_result result;
		size_t peak;

		if (setup(NULL) != 0)
			return 1;
		if (kind < 2)
			put_many_runs(part_mib << 20, kind == 0 ? 50 : 1000000);
		else
			put_long_traces(1, part_mib << 20, memory_mib << 15);
		index_plain();
		peak = seal(memory_mib << 20, &result);
		printf("%s: %zu KiB of %zu; %llu runs, %llu of them joined\n",
			kind == 0   ? "short runs"
			: kind == 1 ? "short runs, all different"
				    : "long traces",
			peak >> 10, (size_t)memory_mib << 10, (unsigned long long)result.runs,
			(unsigned long long)result.joined);
		teardown(NULL);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(long_traces, setup, teardown),
		cmocka_unit_test_setup_teardown(same_pack, setup, teardown),
		cmocka_unit_test_setup_teardown(sequences_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(sorted_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(sorted_ids_end_early, setup, teardown),
		cmocka_unit_test_setup_teardown(too_large, setup, teardown),
	};

	if (argc == 3)
		return look_at(strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
