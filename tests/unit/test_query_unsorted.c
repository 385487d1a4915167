/*
 * Runs of a plain part that `.ids` doesn't cover: each is found, in its order, however many
 * searches there were before, and one that is damaged is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "run_list.h"
#include "support/fake_disk.h"
#include "support/test_store.h"

/* More than two blocks, and each trace has two runs. */
enum { RUNS = 600, TRACES = RUNS / 2, RUN_BYTES = 10, SLOTS = RUNS + RUNS / INDEX_BLOCK_RUNS + 1 };

static const struct part_name part = {.day = 20462, .number = 1};
static const uint8_t store_id[16] = {1, 2, 3};
static uint8_t slots[SLOTS][INDEX_SLOT_BYTES];

static void make_slots(void)
{
	uint32_t seed = index_seed(INDEX_RUNS, store_id, &part);

	index_header_put(seed, slots[0]);
	for (uint32_t i = 0; i < RUNS; i++) {
		struct index_run run = {
			.offset = (uint64_t)i * RUN_BYTES, .length_bytes = RUN_BYTES, .spans = 1};

		test_trace_id(i % TRACES, run.trace_id);
		index_run_put(seed, i, &run, slots[index_run_slot(i)]);
	}
}

struct found {
	uint64_t offsets[4];
	size_t count;
};

static int on_run(void *ctx, const struct index_run *run)
{
	struct found *found = ctx;

	assert_true(found->count < 4);
	found->offsets[found->count++] = run->offset;
	return 0;
}

/* The list of a file of these slots. */
static struct fake_disk *open_list(struct run_list *list)
{
	struct fake_disk *fake = fake_disk_new();
	struct disk *disk = fake_disk_disk(fake);
	int top = disk_open_root(disk, "store", true);
	int waft = disk_open_dir(disk, top, ".waft", true);
	int dir = disk_open_dir(disk, waft, INDEX_DIR, true);
	char name[INDEX_NAME_BYTES], path[INDEX_NAME_BYTES + 16] = ".waft/" INDEX_DIR "/";

	assert_true(top >= 0 && waft >= 0 && dir >= 0);
	assert_int_equal(index_file_name(&part, INDEX_RUNS, name), 0);
	fake_disk_put(fake, strcat(path, name), slots, sizeof(slots));
	run_list_init(list, disk, false);
	run_list_open_index(list, dir, store_id, &part, (uint64_t)RUNS * RUN_BYTES);
	assert_int_equal(list->indexed, RUNS);
	assert_int_equal(list->ids_runs, 0);
	return fake;
}

static void all_are_found(void **state)
{
	struct run_list list;
	struct fake_disk *fake;

	(void)state;
	make_slots();
	fake = open_list(&list);
	for (uint32_t trace = 0; trace < TRACES + 5; trace++) {
		struct found found = {.count = 0};
		uint8_t id[16];

		test_trace_id(trace, id);
		assert_int_equal(run_list_find(&list, id, on_run, &found), 0);
		assert_int_equal(found.count, trace < TRACES ? 2 : 0);
		for (size_t i = 0; i < found.count; i++)
			assert_int_equal(found.offsets[i], (trace + i * TRACES) * RUN_BYTES);
	}
	run_list_done(&list);
	fake_disk_free(fake);
}

/* Of whatever trace it was, the runs can't be told without it. */
static void damage_is_told(void **state)
{
	(void)state;
	make_slots();
	for (uint32_t run = 0; run + 1 < RUNS; run += 37) {
		uint8_t *byte = (uint8_t *)(uintptr_t)index_run_id(slots[index_run_slot(run)]) + 3;
		struct found found = {.count = 0};
		struct run_list list;
		struct fake_disk *fake;
		uint8_t id[16];

		*byte ^= 1;
		fake = open_list(&list);
		test_trace_id(run % TRACES, id);
		assert_int_equal(run_list_find(&list, id, on_run, &found), ERR_INDEX);
		assert_int_equal(run_list_find(&list, id, on_run, &found), ERR_INDEX);
		*byte ^= 1;
		run_list_done(&list);
		fake_disk_free(fake);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_found),
		cmocka_unit_test(damage_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
