/*
 * The catalog of closed parts: traces are found by it as without, and in few parts; with its
 * files missing, damaged, stale or another store's, with parts sealed and removed, over new starts.
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
#include <unistd.h>

#include <cmocka.h>

#include "catalog.h"
#include "crc32c.h"
#include "index.h"
#include "index_run.h"
#include "query.h"
#include "reader.h"
#include "scratch.h"
#include "seal.h"
#include "support/index_dirs.h"
#include "support/part_source.h"
#include "support/test_store.h"

/* Two tables, and three parts that none has. */
enum { PARTS = 19, PER_PART = 40, TRACES = PARTS * PER_PART, LINE_BYTES = 640 };

static const uint8_t store_id[16] = {9, 8, 7};

static struct test_store store;
static struct disk disk;
static struct index *idx;
static int top_dir, waft_dir, index_dir;
static struct index_part parts[PARTS];
static uint32_t crcs[PARTS];
static unsigned int lines_of[TRACES + PER_PART];
static int32_t day_of[TRACES + PER_PART];
static struct part_source source;
static struct scratch scratch;

static void open_index(void)
{
	struct index_report report;

	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, parts, PARTS, &idx, &report), 0);
	assert_int_equal(report.rebuilt_runs, 0);
}

static void put_run(size_t part, uint32_t trace, uint32_t span)
{
	const struct test_span what = {.trace = trace,
		.span = span,
		.parent = UINT32_MAX,
		.start_us = 1000 * (int64_t)trace,
		.duration_us = 5};
	char line[LINE_BYTES], name[PART_NAME_BYTES];
	size_t length = (size_t)test_store_line(&what, line, sizeof(line));
	struct index_run run;

	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	test_store_append(&store, name, line);
	assert_int_equal(index_run_of_lines(
				 slice_of(line, length), parts[part].length_bytes, &scratch, &run),
		0);
	parts[part].length_bytes += length;
	crcs[part] = crc32c(crcs[part], line, length);
	assert_int_equal(index_add(idx, &parts[part].name, &run), 0);
	lines_of[trace]++;
	day_of[trace] = parts[part].name.day;
}

static void close_part(size_t part)
{
	index_flush(idx);
	assert_int_equal(index_close_part(idx, &parts[part].name), 0);
	parts[part].closed = true;
}

/* Every seventh trace has a further run, two parts on. All of one day. */
static void fill(void)
{
	for (uint32_t part = 0; part < PARTS; part++) {
		for (uint32_t i = 0; i < PER_PART; i++) {
			uint32_t trace = part * PER_PART + i;

			put_run(part, trace, 10 * trace);
			if (i % 7 == 0 && part >= 2)
				put_run(part, trace - 2 * PER_PART, 10 * trace + 1);
		}
		close_part(part);
	}
}

static int setup(void **state)
{
	(void)state;
	test_store_init(&store);
	disk_real(&disk);
	if (!index_dirs_open(&disk, store.path, &top_dir, &waft_dir, &index_dir))
		return -1;
	memset(lines_of, 0, sizeof(lines_of));
	memset(crcs, 0, sizeof(crcs));
	for (uint32_t i = 0; i < PARTS; i++)
		parts[i] = (struct index_part){.name = {.day = 3, .number = 1 + i}};
	part_source_init(&source, store_id, parts, PARTS);
	open_index();
	fill();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	index_close(idx);
	scratch_done(&scratch);
	index_dirs_close(&disk, top_dir, waft_dir, index_dir);
	test_store_done(&store);
	return 0;
}

/* ---- Questions ------------------------------------------------------------------- */

/* Each trace is given whole by a new reader, and what isn't there is not. step: of all of them
 * each so many-th. */
static void ask(uint32_t step)
{
	struct reader_config config = {.directory = store.path, .live = &source.live};
	struct reader *reader;

	assert_int_equal(reader_open(&config, &reader), 0);
	for (uint32_t trace = 0; trace < TRACES + PER_PART; trace += step) {
		struct query_records records = {0};
		uint8_t id[16];
		int ret;

		test_trace_id(trace, id);
		ret = query_get(reader, id, 0, slice_of("", 0), &records);
		assert_int_equal(ret, lines_of[trace] > 0 ? 0 : -ENOENT);
		assert_int_equal(records.count, lines_of[trace]);
		query_records_done(&records);
	}
	reader_close(reader);
}

static void ask_days(void)
{
	for (uint32_t trace = 0; trace < TRACES + PER_PART; trace++) {
		uint8_t id[16];
		int32_t day = -1;

		test_trace_id(trace, id);
		assert_int_equal(index_day_of_trace(idx, id, &day), lines_of[trace] > 0);
		if (lines_of[trace] > 0)
			assert_int_equal(day, day_of[trace]);
	}
}

/* How many parts the catalog has, and in how many tables. */
static size_t count_parts(size_t *ret_tables)
{
	struct catalog catalog;
	size_t ret = 0;

	*ret_tables = 0;
	if (catalog_load(&disk, index_dir, store_id, &catalog) != 0)
		return 0;
	for (size_t i = 0; i < catalog.count; i++)
		for (uint32_t k = 0; k < catalog.tables[i].part_count; k++)
			ret += catalog.tables[i].parts[k].number != 0;
	*ret_tables = catalog.count;
	catalog_done(&catalog);
	return ret;
}

static void path_of(const char *name, char ret[512])
{
	snprintf(ret, 512, "%s/.waft/index/%s", store.path, name);
}

static void path_of_table(size_t number, char ret[512])
{
	char name[CATALOG_NAME_BYTES];
	struct catalog catalog;

	assert_int_equal(catalog_load(&disk, index_dir, store_id, &catalog), 0);
	assert_true(number < catalog.count);
	catalog_table_name(catalog.tables[number].id, name);
	catalog_done(&catalog);
	path_of(name, ret);
}

static void copy_file(const char *from, const char *to)
{
	char command[1100];

	snprintf(command, sizeof(command), "cp %s %s", from, to);
	assert_int_equal(system(command), 0);
}

/* ---- Tests --------------------------------------------------------------------------- */

static void tells_parts(void **state)
{
	struct catalog catalog;
	size_t told = 0, right = 0;

	(void)state;
	assert_int_equal(catalog_load(&disk, index_dir, store_id, &catalog), 0);
	assert_int_equal(catalog.count, 2);
	for (size_t i = 0; i < catalog.count; i++) {
		const struct catalog_table *table = &catalog.tables[i];
		int file = catalog_table_open(&disk, index_dir, table);

		assert_true(file >= 0);
		for (uint32_t trace = 0; trace < TRACES; trace++) {
			uint32_t part = trace / PER_PART;
			uint8_t id[16];
			uint64_t mask;

			test_trace_id(trace, id);
			mask = catalog_table_ask(&disk, file, store_id, table, index_hash_id(id));
			told += (size_t)__builtin_popcountll(mask);
			for (uint32_t k = 0; k < table->part_count; k++)
				if (table->parts[k].number == part + 1) {
					assert_true((mask >> k & 1) != 0);
					right++;
				}
		}
		disk_close(&disk, file);
	}
	catalog_done(&catalog);
	/* Beside those, further runs of a seventh, and nearly nothing. */
	assert_int_equal(right, 16 * PER_PART);
	assert_in_range(told, right, right + right / 6);
	ask(1);
	ask_days();
}

static void opened_again(void **state)
{
	size_t tables;
	char path[512];

	(void)state;
	index_close(idx);
	open_index();
	assert_int_equal(count_parts(&tables), 16);
	assert_int_equal(tables, 2);
	ask_days();
	/* Made anew where it is gone, or a part of it. */
	index_close(idx);
	path_of("catalog", path);
	assert_int_equal(unlink(path), 0);
	ask(3);
	open_index();
	assert_int_equal(count_parts(&tables), 16);
	index_close(idx);
	path_of_table(1, path);
	assert_int_equal(unlink(path), 0);
	ask(3);
	open_index();
	assert_int_equal(count_parts(&tables), 16);
	ask(3);
	ask_days();
}

/* Every flipped bit is found out. */
static void flipped_bits(void **state)
{
	(void)state;
	for (size_t which = 0; which < 2; which++) {
		struct stat stat;
		char path[512];
		int file;

		if (which == 0)
			path_of("catalog", path);
		else
			path_of_table(0, path);
		file = open(path, O_RDWR);
		assert_true(file >= 0 && fstat(file, &stat) == 0);
		srand(4);
		for (off_t at = 0; at < stat.st_size; at += 1 + rand() % (which == 0 ? 40 : 300)) {
			uint8_t byte, flipped;

			assert_int_equal(pread(file, &byte, 1, at), 1);
			flipped = byte ^ (uint8_t)(1u << rand() % 8);
			assert_int_equal(pwrite(file, &flipped, 1, at), 1);
			ask(31);
			assert_int_equal(pwrite(file, &byte, 1, at), 1);
		}
		/* A page that says it is empty. */
		if (which == 1) {
			uint8_t count[2];

			assert_int_equal(pread(file, count, 2, 4), 2);
			assert_int_equal(pwrite(file, "\0\0", 2, 4), 2);
			ask(5);
			assert_int_equal(pwrite(file, count, 2, 4), 2);
		}
		/* A writer that opens it finds out, too. */
		assert_int_equal(pwrite(file, "xxxx", 4, which == 0 ? 40 : stat.st_size - 70), 4);
		close(file);
		index_close(idx);
		open_index();
		ask_days();
		ask(5);
	}
}

static void of_another_store(void **state)
{
	(void)state;
	source.live.store_id[0] ^= 1;
	ask(3);
	source.live.store_id[0] ^= 1;
}

/* What was said of a part doesn't hold of one that has its name later. */
static void stale(void **state)
{
	enum { PART = 4 };
	char path[512], kept[512], name[PART_NAME_BYTES];
	size_t tables;

	(void)state;
	path_of("catalog", path);
	snprintf(kept, sizeof(kept), "%s/kept", store.path);
	copy_file(path, kept);
	index_remove_part(idx, &parts[PART].name);
	assert_int_equal(count_parts(&tables), 15);
	assert_int_equal(part_name_format(&parts[PART].name, name), 0);
	assert_int_equal(disk_unlink(&disk, top_dir, name), 0);
	/* Its first runs, and its own further ones of others. */
	for (uint32_t i = 0; i < PER_PART; i++) {
		lines_of[PART * PER_PART + i]--;
		if (i % 7 == 0)
			lines_of[(PART - 2) * PER_PART + i]--;
	}
	parts[PART].length_bytes = 0;
	parts[PART].closed = false;
	ask(1);
	ask_days();
	for (uint32_t i = 0; i < PER_PART; i += 2)
		put_run(PART, TRACES + i, 77);
	index_flush(idx);
	copy_file(kept, path);
	ask(1);
	ask_days();
	index_close(idx);
	open_index();
	ask(1);
	ask_days();
	assert_int_equal(count_parts(&tables), 15);
}

static bool has_trace(struct reader *reader, uint32_t trace)
{
	struct query_records records = {0};
	uint8_t id[16];
	int ret;

	test_trace_id(trace, id);
	ret = query_get(reader, id, 0, slice_of("", 0), &records);
	assert_true(ret == 0 || ret == -ENOENT);
	query_records_done(&records);
	return ret == 0;
}

/* A reader that goes on takes the list anew when it is another of as many tables: here a part
 * came in the place of one, of its name and length. */
static void replaced_beside_reader(void **state)
{
	enum { PART = 1 };
	struct reader_config config = {.directory = store.path, .live = &source.live};
	uint64_t length = parts[PART].length_bytes;
	char name[PART_NAME_BYTES];
	struct reader *reader;
	uint32_t trace = TRACES;
	size_t tables;

	(void)state;
	assert_int_equal(reader_open(&config, &reader), 0);
	assert_true(has_trace(reader, PART * PER_PART));
	assert_false(has_trace(reader, TRACES));
	index_remove_part(idx, &parts[PART].name);
	assert_int_equal(part_name_format(&parts[PART].name, name), 0);
	assert_int_equal(disk_unlink(&disk, top_dir, name), 0);
	parts[PART].length_bytes = 0;
	parts[PART].closed = false;
	while (parts[PART].length_bytes < length)
		put_run(PART, trace++, 1);
	index_flush(idx);
	assert_int_equal(parts[PART].length_bytes, length);
	assert_int_equal(count_parts(&tables), 15);
	assert_int_equal(tables, 2);
	assert_false(has_trace(reader, PART * PER_PART + 1));
	while (trace-- > TRACES)
		assert_true(has_trace(reader, trace));
	reader_close(reader);
}

static void all_removed(void **state)
{
	size_t tables;
	char path[512];

	(void)state;
	path_of_table(0, path);
	for (size_t i = 0; i < 16; i++) {
		char name[PART_NAME_BYTES];

		index_remove_part(idx, &parts[i].name);
		assert_int_equal(part_name_format(&parts[i].name, name), 0);
		assert_int_equal(disk_unlink(&disk, top_dir, name), 0);
		assert_int_equal(count_parts(&tables), 15 - i);
		assert_int_equal(tables, i < 7 ? 2 : i < 15 ? 1 : 0);
	}
	assert_int_not_equal(access(path, F_OK), 0);
}

static void seal(size_t part)
{
	struct store_dirs dirs = {
		.top = top_dir, .waft = waft_dir, .log = -1, .quarantine = -1, .lock = -1};
	struct seal_job job = {.disk = &disk,
		.dirs = &dirs,
		.index_dir = index_dir,
		.level = 1,
		.part = {.name = parts[part].name,
			.length_bytes = parts[part].length_bytes,
			.crc = crcs[part],
			.verified = true,
			.state = PART_CLOSED}};
	struct seal_result result;
	char name[PART_NAME_BYTES];

	memcpy(job.store_id, store_id, 16);
	assert_int_equal(seal_part(&job, &result), 0);
	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	assert_int_equal(disk_unlink(&disk, top_dir, name), 0);
	parts[part].name.sealed = true;
	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	assert_int_equal(disk_rename(&disk, waft_dir, SEAL_NEW_NAME, top_dir, name, false), 0);
	assert_int_equal(index_seal_part(idx, &parts[part]), 0);
}

/* A part is in the catalog under either form. */
static void sealed_after(void **state)
{
	size_t tables;

	(void)state;
	for (size_t i = 0; i < PARTS; i += 3)
		seal(i);
	assert_int_equal(count_parts(&tables), 16);
	ask(1);
	ask_days();
	index_close(idx);
	open_index();
	assert_int_equal(count_parts(&tables), 16);
	for (size_t i = 1; i < PARTS; i += 3)
		seal(i);
	ask(1);
	ask_days();
	/* From sealed ones it is made as well. */
	index_close(idx);
	assert_int_equal(disk_unlink(&disk, index_dir, CATALOG_NAME), 0);
	open_index();
	assert_int_equal(count_parts(&tables), 16);
	ask(1);
	ask_days();
}

/* ---- Tables by themselves ---------------------------------------------------------------- */

struct made_of {
	uint32_t per_part;
	uint32_t second; /* 0: all differ; else trace 0 and this one, in turns */
};

static void made_id(const struct made_of *of, size_t part, uint32_t i, uint8_t ret[16])
{
	test_trace_id(
		of->second == 0 ? (uint32_t)part * of->per_part + i : i % 2 * of->second, ret);
}

static int for_each_made(
	void *ctx, size_t part, int (*on_id)(void *arg, const uint8_t trace_id[16]), void *arg)
{
	const struct made_of *of = ctx;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < of->per_part; i++) {
		uint8_t id[16];

		made_id(of, part, i, id);
		ret = on_id(arg, id);
	}
	return ret;
}

static void make_table(struct made_of *of, struct catalog_table *table)
{
	const struct catalog_ids ids = {.for_each_id = for_each_made, .ctx = of};
	uint8_t *bloom;

	*table = (struct catalog_table){.id = of->per_part,
		.runs = 2 * of->per_part,
		.part_count = 2,
		.parts = {{.day = 9, .number = 1, .length_bytes = of->per_part},
			{.day = 9, .number = 2, .length_bytes = of->per_part}}};
	assert_int_equal(catalog_table_make(&disk, index_dir, store_id, &ids, table, &bloom), 0);
	free(bloom);
}

/* That it says so of each step-th id. */
static void ask_table(const struct made_of *of, const struct catalog_table *table, uint32_t step)
{
	int file = catalog_table_open(&disk, index_dir, table);

	assert_true(file >= 0);
	for (size_t part = 0; part < 2; part++)
		for (uint32_t i = 0; i < of->per_part; i += step) {
			uint8_t id[16];

			made_id(of, part, i, id);
			assert_true((catalog_table_ask(
					     &disk, file, store_id, table, index_hash_id(id)) >>
						    part &
					    1) != 0);
		}
	disk_close(&disk, file);
}

/* More pages than are made at once. */
static void many_pages(void **state)
{
	struct made_of of = {.per_part = 600000};
	struct catalog_table table;

	(void)state;
	make_table(&of, &table);
	ask_table(&of, &table, 3);
}

/* A page with more ids than there is room for says nothing. */
static void full_page(void **state)
{
	enum { RUNS = 3000, PAGES = 2 * RUNS / 660 + 1 };
	struct made_of of = {.per_part = RUNS};
	struct catalog_table table;
	uint64_t pages[2] = {0, 1};
	uint8_t id[16];

	(void)state;
	/* Two ids of one page. */
	for (; pages[0] != pages[1];) {
		of.second++;
		for (size_t i = 0; i < 2; i++) {
			test_trace_id((uint32_t)i * of.second, id);
			pages[i] = (uint64_t)((unsigned __int128)index_hash_id(id) * PAGES >> 64);
		}
	}
	make_table(&of, &table);
	ask_table(&of, &table, 1);
}

/* A page that stands in the place of another, of this table or another one, is found out. */
static void page_elsewhere(void **state)
{
	struct made_of of = {.per_part = 1500}, other = {.per_part = 1501};
	uint8_t pages[2][CATALOG_PAGE_BYTES], swapped[2][CATALOG_PAGE_BYTES];
	struct catalog_table table, another;
	char name[CATALOG_NAME_BYTES];
	int file;

	(void)state;
	make_table(&other, &another);
	make_table(&of, &table);
	catalog_table_name(table.id, name);
	file = disk_open(&disk, index_dir, name, DISK_WRITE);
	assert_true(file >= 0);
	assert_int_equal(disk_read(&disk, file, pages, sizeof(pages), 0), sizeof(pages));
	memcpy(swapped[0], pages[1], CATALOG_PAGE_BYTES);
	memcpy(swapped[1], pages[0], CATALOG_PAGE_BYTES);
	assert_int_equal(disk_write(&disk, file, swapped, sizeof(swapped), 0), 0);
	ask_table(&of, &table, 1);
	assert_int_equal(disk_write(&disk, file, pages, sizeof(pages), 0), 0);
	ask_table(&of, &table, 1);
	disk_close(&disk, file);
	/* The file of another table, under this one's name. */
	catalog_table_name(another.id, name);
	file = disk_open(&disk, index_dir, name, DISK_READ);
	assert_true(file >= 0);
	for (uint32_t i = 0; i < 100; i++) {
		uint8_t id[16];

		made_id(&of, 0, i, id);
		assert_int_equal(
			catalog_table_ask(&disk, file, store_id, &table, index_hash_id(id)), 3);
	}
	/* What another store says of the same. */
	{
		static const uint8_t other_id[16] = {9, 8, 8};
		struct catalog list;
		uint8_t id[16];

		made_id(&of, 0, 0, id);
		assert_int_equal(
			catalog_table_ask(&disk, file, other_id, &another, index_hash_id(id)), 3);
		assert_int_equal(catalog_load(&disk, index_dir, other_id, &list), ERR_INDEX);
	}
	disk_close(&disk, file);
}

/* Parts that take appends, or are longer than they were, are not what a table has. */
static void not_as_it_was(void **state)
{
	const struct test_span what = {.trace = TRACES + 1, .parent = UINT32_MAX, .duration_us = 5};
	char line[LINE_BYTES], name[PART_NAME_BYTES];
	size_t length = (size_t)test_store_line(&what, line, sizeof(line)), tables;
	struct index_report report;

	(void)state;
	index_close(idx);
	/* One open again, of the first table; one that has grown, of the second. */
	parts[2].closed = false;
	assert_int_equal(part_name_format(&parts[9].name, name), 0);
	test_store_append(&store, name, line);
	parts[9].length_bytes += length;
	crcs[9] = crc32c(crcs[9], line, length);
	lines_of[TRACES + 1]++;
	day_of[TRACES + 1] = 3;
	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, parts, PARTS, &idx, &report), 0);
	assert_int_equal(report.rebuilt_runs, 1);
	put_run(2, TRACES + 2, 5);
	index_flush(idx);
	assert_int_equal(count_parts(&tables), 14);
	ask(1);
	ask_days();
}

/* A run that the index wasn't told of stands in the sealed part, and in no table. */
static void sealed_with_more(void **state)
{
	enum { PART = 18 };
	const struct test_span what = {.trace = TRACES + 1, .parent = UINT32_MAX, .duration_us = 5};
	char line[LINE_BYTES], name[PART_NAME_BYTES];
	size_t length = (size_t)test_store_line(&what, line, sizeof(line)), tables;
	uint8_t id[16];
	int32_t day;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct part_name more = {.day = 4, .number = 1 + (uint32_t)i};
		char text[LINE_BYTES];
		const struct test_span other = {
			.trace = 5000 + (uint32_t)i, .parent = UINT32_MAX, .duration_us = 5};
		size_t size = (size_t)test_store_line(&other, text, sizeof(text));
		struct index_run run;

		if (i == 0) {
			/* The last bytes of part 18, unknown to the index. */
			assert_int_equal(part_name_format(&parts[PART].name, name), 0);
			test_store_append(&store, name, line);
			parts[PART].length_bytes += length;
			crcs[PART] = crc32c(crcs[PART], line, length);
			lines_of[TRACES + 1]++;
			day_of[TRACES + 1] = 3;
		}
		assert_int_equal(index_run_of_lines(slice_of(text, size), 0, &scratch, &run), 0);
		assert_int_equal(index_add(idx, &more, &run), 0);
		index_flush(idx);
		assert_int_equal(index_close_part(idx, &more), 0);
	}
	assert_int_equal(count_parts(&tables), 24);
	seal(PART);
	test_trace_id(TRACES + 1, id);
	assert_int_equal(index_day_of_trace(idx, id, &day), 1);
}

/* Parts are sealed right after a reader has listed the directory. */
static struct disk_ops racing_ops;
static bool race_now;
static struct disk racing;

static int list_then_seal(struct disk *d, int dir, disk_on_name on_name, void *ctx)
{
	int ret = disk.ops->list(d, dir, on_name, ctx);

	if (race_now && dir != index_dir) {
		race_now = false;
		/* The view was made before: its parts are plain. */
		seal(4);
	}
	return ret;
}

static struct index_part before[PARTS];

static void sealed_while_listed(void **state)
{
	struct reader_config config = {
		.directory = store.path, .live = &source.live, .disk = &racing};
	struct query_records records = {0};
	struct reader *reader;
	uint8_t id[16];

	(void)state;
	racing_ops = *disk.ops;
	racing_ops.list = list_then_seal;
	racing = disk;
	racing.ops = &racing_ops;
	memcpy(before, parts, sizeof(before));
	source.parts = before;
	test_trace_id(4 * PER_PART + 3, id);
	assert_int_equal(reader_open(&config, &reader), 0);
	race_now = true;
	assert_int_equal(query_get(reader, id, 0, slice_of("", 0), &records), 0);
	assert_false(race_now);
	assert_int_equal(records.count, 1);
	query_records_done(&records);
	reader_close(reader);
}

/* One that can't be read when a table is made keeps none of the others out. */
static void part_unreadable(void **state)
{
	enum { PART_BYTE = 2000 };
	char path[512];
	size_t tables;
	uint8_t byte;
	int file;

	(void)state;
	index_close(idx);
	path_of("catalog", path);
	assert_int_equal(unlink(path), 0);
	path_of("1970-01-04.0003.jsonl.ids", path);
	file = open(path, O_RDWR);
	assert_true(file >= 0);
	assert_int_equal(pread(file, &byte, 1, PART_BYTE), 1);
	byte ^= 1;
	assert_int_equal(pwrite(file, &byte, 1, PART_BYTE), 1);
	close(file);
	open_index();
	assert_int_equal(count_parts(&tables), 16);
	assert_int_equal(tables, 2);
	ask_days();
	ask(3);
}

/* A part whose own index is damaged is read again; the catalog holds. */
static void part_damaged(void **state)
{
	char path[512];

	(void)state;
	path_of("1970-01-04.0003.jsonl.ids", path);
	assert_int_equal(truncate(path, 900), 0);
	path_of("1970-01-04.0005.jsonl.ids", path);
	assert_int_equal(unlink(path), 0);
	ask_days();
	ask(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tells_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(opened_again, setup, teardown),
		cmocka_unit_test_setup_teardown(flipped_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(of_another_store, setup, teardown),
		cmocka_unit_test_setup_teardown(stale, setup, teardown),
		cmocka_unit_test_setup_teardown(replaced_beside_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(all_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(sealed_after, setup, teardown),
		cmocka_unit_test_setup_teardown(many_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(full_page, setup, teardown),
		cmocka_unit_test_setup_teardown(page_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(not_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(sealed_with_more, setup, teardown),
		cmocka_unit_test_setup_teardown(sealed_while_listed, setup, teardown),
		cmocka_unit_test_setup_teardown(part_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(part_damaged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
