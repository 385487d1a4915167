/*
 * Tables of the catalog made one, step by step: what is told of parts stays right, also in the
 * middle, with parts removed meanwhile, tables that can't be read, writes that fail, and starts
 * after an end at any point.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog.h"
#include "catalog_merge.h"
#include "index.h"
#include "index_run.h"
#include "support/index_dirs.h"
#include "support/test_store.h"

/* Eight tables of eight, and parts that none has; more pages than a step makes. Then as many again.
 */
enum { PARTS = 70, IN_TABLES = 64, MORE = 128, PER_PART = 800, RUN_BYTES = 100, STEPS_MAX = 20 };
/* Of the traces of a part, each so many-th is asked for. */
enum { STEP = 16, ABSENT = 100000 };

static const uint8_t store_id[16] = {9, 8, 7};

static struct test_store store;
static struct disk disk;
static struct disk_ops ops;
static struct index *idx;
static int top_dir, waft_dir, index_dir;
static struct index_part parts[MORE];
static bool removed[PARTS];
static bool fail_writes, fail_renames;
/* Ids of tables to come; then they are random. */
static uint32_t forced_ids[8];
static size_t forced_count;

ssize_t __real_getrandom(void *to, size_t bytes, unsigned int flags);
ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned int flags);

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned int flags)
{
	if (forced_count == 0)
		return __real_getrandom(to, bytes, flags);
	assert_int_equal(bytes, sizeof(*forced_ids));
	memcpy(to, forced_ids, bytes);
	memmove(forced_ids, forced_ids + 1, --forced_count * sizeof(*forced_ids));
	return (ssize_t)bytes;
}

static ssize_t failing_write(
	struct disk *d, int file, const struct iovec *from, int count, uint64_t offset)
{
	struct disk real;

	disk_real(&real);
	(void)d;
	return fail_writes ? -ENOSPC : real.ops->pwritev(&real, file, from, count, offset);
}

static int failing_rename(
	struct disk *d, int from_dir, const char *from, int to_dir, const char *to, bool replace)
{
	struct disk real;

	disk_real(&real);
	(void)d;
	return fail_renames ? -EIO : real.ops->rename(&real, from_dir, from, to_dir, to, replace);
}

static void open_index(void)
{
	struct index_part there[PARTS];
	struct index_report report;
	size_t count = 0;

	for (size_t i = 0; i < PARTS; i++)
		if (!removed[i])
			there[count++] = parts[i];
	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, there, count, &idx, &report), 0);
	assert_int_equal(report.rebuilt_runs, 0);
}

static void reopen(void)
{
	index_close(idx);
	open_index();
}

static void add_run(size_t part, uint32_t trace)
{
	struct index_run run = {
		.offset = parts[part].length_bytes, .length_bytes = RUN_BYTES, .spans = 1};

	test_trace_id(trace, run.trace_id);
	parts[part].length_bytes += RUN_BYTES;
	assert_int_equal(index_add_told(idx, &parts[part].name, &run, false), 0);
}

static void fill_part(size_t part, uint32_t first)
{
	for (uint32_t i = 0; i < PER_PART; i++)
		add_run(part, first + i);
	assert_int_equal(index_close_part(idx, &parts[part].name), 0);
	parts[part].closed = true;
}

static int setup(void **state)
{
	(void)state;
	test_store_init(&store);
	disk_real(&disk);
	ops = *disk.ops;
	ops.pwritev = failing_write;
	ops.rename = failing_rename;
	disk.ops = &ops;
	fail_writes = fail_renames = false;
	forced_count = 0;
	memset(removed, 0, sizeof(removed));
	if (!index_dirs_open(&disk, store.path, &top_dir, &waft_dir, &index_dir))
		return -1;
	for (uint32_t i = 0; i < MORE; i++)
		parts[i] = (struct index_part){.name = {.day = (int32_t)i, .number = 1}};
	{
		struct index_report report;

		assert_int_equal(
			index_open(&disk, top_dir, index_dir, store_id, NULL, 0, &idx, &report), 0);
	}
	for (uint32_t i = 0; i < PARTS; i++)
		fill_part(i, i * PER_PART);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	index_close(idx);
	index_dirs_close(&disk, top_dir, waft_dir, index_dir);
	test_store_done(&store);
	return 0;
}

/* ---- Questions ------------------------------------------------------------------- */

/* What a look into all parts would tell. */
static void ask_index(void)
{
	for (uint32_t trace = 0; trace < (PARTS + 1) * PER_PART; trace += STEP) {
		uint32_t part = trace / PER_PART;
		bool there = part < PARTS && !removed[part];
		uint8_t id[16];
		int32_t day = -1;

		test_trace_id(trace, id);
		assert_int_equal(index_day_of_trace(idx, id, &day), there);
		if (there)
			assert_int_equal(day, part);
	}
}

/* Counts what is told of traces, each of which is in one part that is asked of. */
struct told {
	size_t right;
	size_t all;
};

static void ask_table(const struct catalog_table *table, struct told *told)
{
	int file = catalog_table_open(&disk, index_dir, table);

	assert_true(file >= 0);
	for (uint32_t trace = 0; trace < PARTS * PER_PART; trace += STEP) {
		uint64_t mask;
		uint8_t id[16];

		test_trace_id(trace, id);
		mask = catalog_table_ask(&disk, file, store_id, table, index_hash_id(id));
		for (uint32_t k = 0; k < table->part_count; k++) {
			bool said = (mask >> k & 1) != 0;

			told->all += said;
			if (table->parts[k].number == 0 ||
				table->parts[k].day != (int32_t)(trace / PER_PART))
				continue;
			assert_true(said);
			told->right++;
		}
	}
	disk_close(&disk, file);
}

/* As readers see it: tables, and the parts that they speak of. */
static struct told ask_catalog(size_t tables, size_t parts_told)
{
	struct told ret = {0};
	struct catalog catalog;
	size_t count = 0;

	assert_int_equal(catalog_load(&disk, index_dir, store_id, &catalog), 0);
	assert_int_equal(catalog.count, tables);
	for (size_t i = 0; i < catalog.count; i++) {
		for (uint32_t k = 0; k < catalog.tables[i].part_count; k++)
			count += catalog.tables[i].parts[k].number != 0;
		ask_table(&catalog.tables[i], &ret);
	}
	catalog_done(&catalog);
	assert_int_equal(count, parts_told);
	assert_int_equal(ret.right, parts_told * PER_PART / STEP);
	return ret;
}

static int on_catalog_name(void *ctx, const char *name)
{
	*(size_t *)ctx += strncmp(name, CATALOG_NAME, strlen(CATALOG_NAME)) == 0;
	return 0;
}

static size_t count_files(void)
{
	size_t ret = 0;

	assert_int_equal(disk_list(&disk, index_dir, on_catalog_name, &ret), 0);
	return ret;
}

/* In the store's directory. */
static void run_command(const char *text)
{
	char command[512];

	snprintf(command, sizeof(command), "cd %s && %s", store.path, text);
	assert_int_equal(system(command), 0);
}

static bool merging(void)
{
	struct disk_stat stat;

	return disk_stat_name(&disk, index_dir, CATALOG_MERGE_NAME, &stat) == 0;
}

/* Begins, and makes the first pages. */
static void begin(void)
{
	assert_false(merging());
	index_flush(idx);
	assert_true(merging());
	index_flush(idx);
	assert_true(merging());
}

static void finish(void)
{
	for (int i = 0; i < STEPS_MAX && merging(); i++)
		index_flush(idx);
	assert_false(merging());
}

/* ---- Tests --------------------------------------------------------------------------- */

static void merged(void **state)
{
	struct told told;

	(void)state;
	told = ask_catalog(8, IN_TABLES);
	assert_in_range(told.all, told.right, told.right + told.right / 100);
	begin();
	ask_index();
	(void)ask_catalog(8, IN_TABLES);
	finish();
	ask_index();
	told = ask_catalog(1, IN_TABLES);
	assert_in_range(told.all, told.right, told.right + told.right / 100);
	assert_int_equal(count_files(), 2);
	index_flush(idx);
	assert_false(merging());
	reopen();
	ask_index();
	(void)ask_catalog(1, IN_TABLES);
}

/* An end at any point of it. */
static void ended(void **state)
{
	(void)state;
	begin();
	run_command("cp -r .waft/index middle");
	reopen();
	ask_index();
	(void)ask_catalog(1, IN_TABLES);
	assert_int_equal(count_files(), 2);
	/* Killed in the middle: what was begun is there. */
	index_close(idx);
	run_command("rm .waft/index/* && cp middle/* .waft/index/");
	assert_true(merging());
	open_index();
	ask_index();
	(void)ask_catalog(1, IN_TABLES);
	assert_int_equal(count_files(), 2);
	/* With its name, but not in the list. */
	index_close(idx);
	run_command("cp middle/catalog* .waft/index/");
	open_index();
	ask_index();
	(void)ask_catalog(1, IN_TABLES);
	assert_int_equal(count_files(), 2);
	/* In the list, and the others are not gone. */
	index_close(idx);
	run_command("cp middle/catalog-* .waft/index/");
	open_index();
	ask_index();
	(void)ask_catalog(1, IN_TABLES);
	assert_int_equal(count_files(), 2);
	/* In the list, and torn. */
	index_close(idx);
	run_command("for t in .waft/index/catalog-*; do truncate -s 100000 $t; done");
	open_index();
	ask_index();
	(void)ask_catalog(1, IN_TABLES);
}

static void remove_part(size_t part)
{
	index_remove_part(idx, &parts[part].name);
	removed[part] = true;
}

/* Another part that has the name of one that was removed, and is as long. */
static uint32_t refilled_from(size_t part)
{
	return (PARTS + 10 + (uint32_t)part) * PER_PART;
}

static void ask_refilled(size_t part)
{
	for (uint32_t k = 0; k < PER_PART; k++) {
		uint8_t id[16];
		int32_t day;

		test_trace_id(refilled_from(part) + k, id);
		assert_int_equal(index_day_of_trace(idx, id, &day), 1);
		assert_int_equal(day, part);
	}
}

static void refill(size_t part)
{
	uint64_t length_bytes = parts[part].length_bytes;

	parts[part].length_bytes = 0;
	fill_part(part, refilled_from(part));
	assert_int_equal(parts[part].length_bytes, length_bytes);
	ask_refilled(part);
}

static void parts_removed(void **state)
{
	enum { ALONE = 5, ANEW = 9 };

	(void)state;
	remove_part(ANEW);
	begin();
	remove_part(ALONE);
	/* All of a table, and its file. */
	for (size_t i = 16; i < 24; i++)
		remove_part(i);
	ask_index();
	finish();
	ask_index();
	(void)ask_catalog(1, IN_TABLES - 10);
	refill(ALONE);
	refill(ANEW);
	ask_index();
	removed[ALONE] = removed[ANEW] = false;
	reopen();
	removed[ALONE] = removed[ANEW] = true;
	ask_index();
}

/* All of it goes while it is made. */
static void all_removed(void **state)
{
	(void)state;
	begin();
	for (size_t i = 0; i < IN_TABLES; i++)
		remove_part(i);
	finish();
	ask_index();
	assert_int_equal(count_files(), 1);
	reopen();
	ask_index();
}

static uint32_t id_of_table(size_t number)
{
	struct catalog catalog;
	uint32_t ret;

	assert_int_equal(catalog_load(&disk, index_dir, store_id, &catalog), 0);
	assert_true(number < catalog.count);
	ret = catalog.tables[number].id;
	catalog_done(&catalog);
	return ret;
}

/* What was merged stays, and those that come are. */
static void merged_again(void **state)
{
	uint32_t first;

	(void)state;
	begin();
	finish();
	first = id_of_table(0);
	for (size_t i = PARTS; i < MORE; i++)
		fill_part(i, refilled_from(i));
	begin();
	finish();
	assert_int_equal(id_of_table(0), first);
	assert_int_not_equal(id_of_table(1), first);
	assert_int_equal(count_files(), 3);
	ask_index();
	for (size_t i = PARTS; i < MORE; i++)
		ask_refilled(i);
}

static void force_id(uint32_t id)
{
	forced_ids[forced_count++] = id;
}

/* No table gets the id of another one, of what is being merged, or of what that is made of: here
 * of the first table, whose parts went. */
static void ids_taken(void **state)
{
	enum { MERGED = 77, ADDED = 99 };
	uint32_t first = id_of_table(0), third = id_of_table(2);

	(void)state;
	force_id(third);
	force_id(MERGED);
	begin();
	assert_int_equal(forced_count, 0);
	for (size_t i = 0; i < 8; i++)
		remove_part(i);
	assert_int_not_equal(id_of_table(0), first);
	force_id(third);
	force_id(MERGED);
	force_id(first);
	force_id(ADDED);
	/* A table of these, and of those that none has. */
	refill(1);
	assert_int_equal(forced_count, 4);
	refill(2);
	assert_int_equal(forced_count, 0);
	finish();
	assert_int_equal(id_of_table(0), MERGED);
	assert_int_equal(id_of_table(1), ADDED);
	assert_int_equal(count_files(), 3);
	ask_index();
	ask_refilled(1);
	ask_refilled(2);
}

static void damage_table(size_t number, off_t at)
{
	char path[512], name[CATALOG_NAME_BYTES];
	struct catalog catalog;
	struct stat stat;
	int file;

	assert_int_equal(catalog_load(&disk, index_dir, store_id, &catalog), 0);
	assert_true(number < catalog.count);
	catalog_table_name(catalog.tables[number].id, name);
	catalog_done(&catalog);
	snprintf(path, sizeof(path), "%s/.waft/index/%s", store.path, name);
	file = open(path, O_RDWR);
	assert_true(file >= 0 && fstat(file, &stat) == 0);
	assert_int_equal(pwrite(file, "torn", 4, at >= 0 ? at : stat.st_size + at), 4);
	close(file);
}

/* A page of a table: of those yet to come, in its first bytes, or its number of ids. */
static void unreadable(void **state)
{
	static const off_t places[] = {-50, -4096, -4092};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		index_close(idx);
		assert_int_equal(disk_unlink(&disk, index_dir, CATALOG_NAME), 0);
		disk_unlink_quietly(&disk, index_dir, CATALOG_MERGE_NAME);
		fail_writes = false;
		open_index();
		(void)ask_catalog(1, IN_TABLES);
		/* As the merged one, and of a store that goes on. */
		damage_table(0, places[i]);
		ask_index();
		reopen();
		(void)ask_catalog(1, IN_TABLES);
		ask_index();
	}
}

static void unreadable_in_merge(void **state)
{
	(void)state;
	begin();
	damage_table(3, -50);
	finish();
	ask_index();
	assert_int_equal(count_files(), 9);
	(void)ask_catalog(8, IN_TABLES);
	/* Not again and again. */
	index_flush(idx);
	assert_false(merging());
	reopen();
	ask_index();
	(void)ask_catalog(1, IN_TABLES);
	assert_int_equal(count_files(), 2);
}

static void failing(void **state)
{
	(void)state;
	begin();
	fail_writes = true;
	index_flush(idx);
	fail_writes = false;
	assert_false(merging());
	ask_index();
	(void)ask_catalog(8, IN_TABLES);
	/* Neither the table's name nor the list can be written. */
	index_close(idx);
	fail_renames = true;
	open_index();
	ask_index();
	assert_int_equal(count_files(), 9);
	fail_renames = false;
	reopen();
	(void)ask_catalog(1, IN_TABLES);
	ask_index();
}

/* ---- Tables by themselves ---------------------------------------------------------------- */

/* Ids of one table's only part: from first on, or first and second in turns. */
struct made_of {
	uint32_t first;
	uint32_t count;
	uint32_t second; /* 0: none */
};

static void made_id(const struct made_of *of, uint32_t i, uint8_t ret[16])
{
	test_trace_id(of->second == 0 ? of->first + i : i % 2 == 0 ? of->first : of->second, ret);
}

static int for_each_made(
	void *ctx, size_t part, int (*on_id)(void *arg, const uint8_t trace_id[16]), void *arg)
{
	const struct made_of *of = ctx;
	int ret = 0;

	(void)part;
	for (uint32_t i = 0; ret == 0 && i < of->count; i++) {
		uint8_t id[16];

		made_id(of, i, id);
		ret = on_id(arg, id);
	}
	return ret;
}

static void make_source(struct made_of *of, size_t number, struct catalog_source *ret)
{
	const struct catalog_ids ids = {.for_each_id = for_each_made, .ctx = of};
	uint8_t *bloom;

	*ret = (struct catalog_source){
		.table = {.id = (uint32_t)number,
			.runs = of->count,
			.part_count = 1,
			.parts = {{.day = 9, .number = 1 + (uint32_t)number, .length_bytes = 1}}},
		.places = {(uint8_t)number}};
	assert_int_equal(
		catalog_table_make(&disk, index_dir, store_id, &ids, &ret->table, &bloom), 0);
	free(bloom);
}

/* Merges, and asks for what each part has. Returns how many others are told of on the way; of ids
 * that are in none, *ret_passed pass the filter. */
static size_t merge(struct made_of of[CATALOG_MERGE_TABLES], size_t *ret_asked, size_t *ret_passed)
{
	struct catalog_source sources[CATALOG_MERGE_TABLES];
	struct catalog_table table = {
		.id = CATALOG_MERGE_TABLES, .part_count = CATALOG_MERGE_TABLES};
	struct catalog_merge *merge;
	size_t others = 0;
	uint8_t *bloom, *read;
	int file, ret;

	for (size_t i = 0; i < CATALOG_MERGE_TABLES; i++) {
		make_source(&of[i], i, &sources[i]);
		table.parts[i] = sources[i].table.parts[0];
		table.runs += of[i].count;
	}
	assert_int_equal(catalog_merge_begin(&disk, index_dir, store_id, sources,
				 CATALOG_MERGE_TABLES, &table, &merge),
		0);
	while ((ret = catalog_merge_step(merge)) == 1) {
	}
	assert_int_equal(ret, 0);
	table = *catalog_merge_table(merge);
	bloom = catalog_merge_filter(merge);
	catalog_merge_free(merge);
	assert_int_equal(catalog_table_filter(&disk, index_dir, store_id, &table, &read), 0);
	assert_memory_equal(bloom, read, (size_t)catalog_filter_bytes(&table));
	file = catalog_table_open(&disk, index_dir, &table);
	assert_true(file >= 0);
	*ret_asked = 0;
	for (size_t i = 0; i < CATALOG_MERGE_TABLES; i++) {
		for (uint32_t k = 0; k < of[i].count; k += STEP + 1) {
			uint8_t id[16];
			uint64_t mask, hash;

			made_id(&of[i], k, id);
			hash = index_hash_id(id);
			assert_true(index_bloom_has(bloom, catalog_filter_bytes(&table),
				catalog_filter_hash(&table, hash)));
			mask = catalog_table_ask(&disk, file, store_id, &table, hash);
			assert_true((mask >> i & 1) != 0);
			others += (size_t)__builtin_popcountll(mask) - 1;
			++*ret_asked;
		}
	}
	disk_close(&disk, file);
	*ret_passed = 0;
	for (uint32_t k = 0; k < ABSENT; k++) {
		uint8_t id[16];

		test_trace_id(UINT32_MAX - k, id);
		*ret_passed += index_bloom_has(bloom, catalog_filter_bytes(&table),
			catalog_filter_hash(&table, index_hash_id(id)));
	}
	free(bloom);
	free(read);
	return others;
}

/* Small ones do not spoil what large ones tell. */
static void unequal(void **state)
{
	struct made_of of[CATALOG_MERGE_TABLES];
	size_t asked, others, passed;
	uint32_t first = 0;

	(void)state;
	for (size_t i = 0; i < CATALOG_MERGE_TABLES; i++) {
		of[i] = (struct made_of){.first = first,
			.count = i % 3 == 0 ? 1 + (uint32_t)i : 20000 * (uint32_t)i};
		first += of[i].count;
	}
	others = merge(of, &asked, &passed);
	assert_in_range(others, 0, asked / 1000);
	/* Each costs reading a page. */
	assert_in_range(passed, 0, ABSENT / 400);
}

/* Of so many. */
static uint64_t page_of_trace(uint32_t trace, uint64_t pages)
{
	uint8_t id[16];

	test_trace_id(trace, id);
	return (uint64_t)((unsigned __int128)index_hash_id(id) * pages >> 64);
}

/* Of a page that had no room for all, the merged one says nothing: neither of its first keys nor
 * of its last ones. */
static void full_pages(void **state)
{
	enum {
		/* The first of these pages begins amid a stretch of the filter that it fills. */
		RUNS = 40000,
		PAGES = RUNS / 660 + 1,
		MERGED = CATALOG_MERGE_TABLES * RUNS / 860 + 1,
		PAGE = 1
	};
	struct made_of of[CATALOG_MERGE_TABLES];
	size_t asked, passed;
	uint32_t ends[2];

	(void)state;
	for (size_t i = 0; i < CATALOG_MERGE_TABLES; i++)
		of[i] = (struct made_of){.first = RUNS * (uint32_t)i, .count = RUNS};
	/* Two ids whose runs take turns: of the merged pages that their page lies in, of the first
	 * and of the last. */
	for (uint32_t i = 0; i < 2; i++) {
		ends[i] = RUNS * CATALOG_MERGE_TABLES;
		while (page_of_trace(ends[i], PAGES) != PAGE ||
			page_of_trace(ends[i], MERGED) != (PAGE + i) * MERGED / PAGES)
			ends[i]++;
	}
	of[4].first = ends[0];
	of[4].second = ends[1];
	(void)merge(of, &asked, &passed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(merged, setup, teardown),
		cmocka_unit_test_setup_teardown(ended, setup, teardown),
		cmocka_unit_test_setup_teardown(merged_again, setup, teardown),
		cmocka_unit_test_setup_teardown(parts_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(all_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(ids_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(unreadable_in_merge, setup, teardown),
		cmocka_unit_test_setup_teardown(failing, setup, teardown),
		cmocka_unit_test_setup_teardown(unequal, setup, teardown),
		cmocka_unit_test_setup_teardown(full_pages, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
