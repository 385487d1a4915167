/*
 * Ids of runs in the order of the index: random ones, and such as share their first bytes; and
 * found in an .ids file that is replaced while it is open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ids_file.h"
#include "index_part.h"
#include "index_run.h"
#include "support/random_batch.h"
#include "support/test_store.h"

enum { MANY = 20000 };

static struct index_id ids[MANY], expected[MANY];

/* So many first bytes of the ids are one of two. */
static void make_ids(struct random *random, size_t count, uint32_t alike)
{
	for (size_t i = 0; i < count; i++) {
		for (uint32_t at = 0; at < 16; at++)
			ids[i].trace_id[at] = (uint8_t)random_below(random, at < alike ? 2 : 256);
		ids[i].run = random_below(random, 8);
		/* Several runs of one trace. */
		if (i > 0 && random_below(random, 4) == 0)
			memcpy(ids[i].trace_id, ids[random_below(random, (uint32_t)i)].trace_id,
				16);
	}
}

static void test_as_qsort(void **state)
{
	static const size_t counts[] = {0, 1, 2, 63, 64, 65, 1000, MANY};
	struct random random = {random_seed()};

	(void)state;
	for (uint32_t alike = 0; alike <= 16; alike += 2) {
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
			make_ids(&random, counts[i], alike);
			memcpy(expected, ids, counts[i] * sizeof(*ids));
			if (counts[i] > 0)
				qsort(expected, counts[i], sizeof(*expected), ids_compare);
			ids_sort(ids, counts[i]);
			assert_memory_equal(ids, expected, counts[i] * sizeof(*ids));
		}
	}
}

static void add_runs(struct index_state *part, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct index_run run = {.offset = part->covered, .length_bytes = 100, .spans = 1};

		memcpy(run.trace_id, ids[i].trace_id, sizeof(run.trace_id));
		assert_int_equal(index_part_add(part, &run), 0);
	}
}

static void assert_has(struct index_state *part, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(
			index_part_find(part, ids[i].trace_id, index_hash_id(ids[i].trace_id)), 1);
}

static void test_replaced_file(void **state)
{
	enum { STEP = 500, STEPS = 4 };
	const struct part_name name = {.day = 20000, .number = 1};
	struct random random = {random_seed()};
	struct test_store store;
	struct disk disk;
	struct index_place place = {.disk = &disk};
	struct index_state part;

	(void)state;
	make_ids(&random, STEP * STEPS, 0);
	test_store_init(&store);
	disk_real(&disk);
	place.parts_dir = disk_open_root(&disk, store.path, false);
	place.index_dir = disk_open_dir(&disk, place.parts_dir, "index", true);
	index_part_init(&part, &place, &name);
	for (uint32_t step = 0; step < STEPS; step++) {
		add_runs(&part, STEP * step, STEP * (step + 1));
		assert_int_equal(index_part_compact(&part), 0);
		assert_has(&part, STEP * (step + 1));
		/* It was kept, and goes with the runs'. */
		assert_true(part.file >= 0 && part.ids_file >= 0);
		if (step % 2 == 1) {
			index_part_rest(&part);
			assert_int_equal(part.ids_file, -1);
			assert_has(&part, STEP * (step + 1));
			assert_int_equal(part.ids_file, -1);
		}
	}
	index_part_done(&part);
	disk_close(&disk, place.index_dir);
	disk_close(&disk, place.parts_dir);
	test_store_done(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_qsort), cmocka_unit_test(test_replaced_file)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
