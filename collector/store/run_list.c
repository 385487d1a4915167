/*
 * run_list.c: see run_list.h. Blocks are numbered over the indexed runs first, then
 * the scanned ones; the last indexed block may be short.
 */
#include "run_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index_run.h"
#include "scratch.h"

/* How many slots at the end of an index may be torn before it is given up. */
#define TORN_SLOTS_MAX 4096
/* So few runs are searched one by one, always. */
#define TABLE_RUNS_MIN 512

/* A run in the table: hash of the trace id, number of the run. */
struct run_key {
	uint64_t hash;
	uint32_t run; /* counted from the first that .ids does not cover */
};

void run_list_init(struct run_list *list, struct disk *disk, bool foreign)
{
	*list = (struct run_list){.file = -1, .ids_file = -1, .disk = disk, .foreign = foreign};
}

static void drop_index(struct run_list *list)
{
	disk_close(list->disk, list->file);
	disk_close(list->disk, list->ids_file);
	list->file = -1;
	list->ids_file = -1;
	list->indexed = 0;
	list->indexed_bytes = 0;
	list->ids = (struct index_ids){0};
}

static void drop_table(struct run_list *list)
{
	free(list->table);
	list->table = NULL;
	list->table_count = 0;
}

void run_list_done(struct run_list *list)
{
	if (list->disk == NULL)
		return;
	drop_index(list);
	drop_table(list);
	run_array_done(&list->scanned);
	scan_buffer_done(&list->buffer);
	*list = (struct run_list){.file = -1, .ids_file = -1};
}

void run_list_distrust(struct run_list *list)
{
	drop_index(list);
	drop_table(list);
	run_array_done(&list->scanned);
	list->scanned_bytes = 0;
	list->searches = 0;
	list->distrusted = true;
}

/* ---- The index file ------------------------------------------------------ */

static int read_exactly(struct disk *disk, int file, void *data, size_t length, uint64_t offset)
{
	ssize_t got = disk_read(disk, file, data, length, offset);

	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : ERR_INDEX;
}

static int read_run(const struct run_list *list, uint64_t run, struct index_run *ret)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	int error = read_exactly(
		list->disk, list->file, slot, sizeof(slot), index_run_slot(run) * INDEX_SLOT_BYTES);

	if (error != 0)
		return error;
	return index_run_get(list->seed, run, slot, ret) ? 0 : ERR_INDEX;
}

/* Finds the last run that is whole: a stop of the machine may have torn some. */
static void find_end(struct run_list *list, uint64_t runs, uint64_t length_bytes)
{
	uint64_t least = runs > TORN_SLOTS_MAX ? runs - TORN_SLOTS_MAX : 0;
	struct index_run run;

	for (; runs > least; runs--) {
		if (read_run(list, runs - 1, &run) != 0)
			continue;
		if (run.offset + run.length_bytes > length_bytes)
			return; /* of another time than the part: not to be trusted */
		list->indexed = runs;
		list->indexed_bytes = run.offset + run.length_bytes;
		return;
	}
}

static void open_ids(struct run_list *list, int index_dir, const uint8_t store_id[16],
	const struct part_name *part)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	char name[INDEX_NAME_BYTES];
	struct disk_stat stat;

	if (index_file_name(part, INDEX_IDS, name) != 0)
		return;
	list->ids_seed = index_seed(INDEX_IDS, store_id, part);
	list->ids = (struct index_ids){0};
	disk_close(list->disk, list->ids_file);
	list->ids_file = disk_open(list->disk, index_dir, name, DISK_READ);
	if (list->ids_file < 0)
		return;
	if (disk_stat_file(list->disk, list->ids_file, &stat) != 0 ||
		read_exactly(list->disk, list->ids_file, slot, sizeof(slot), 0) != 0 ||
		!index_ids_get(list->ids_seed, slot, &list->ids) ||
		list->ids.runs > list->indexed ||
		stat.length_bytes < index_page_offset(&list->ids, index_pages(&list->ids)))
		list->ids = (struct index_ids){0};
}

int run_list_open_index(struct run_list *list, int index_dir, const uint8_t store_id[16],
	const struct part_name *part, uint64_t length_bytes)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	char name[INDEX_NAME_BYTES];
	struct disk_stat stat;

	if (list->distrusted || index_dir < 0 || index_file_name(part, INDEX_RUNS, name) != 0)
		return 0;
	if (list->file < 0) {
		list->seed = index_seed(INDEX_RUNS, store_id, part);
		list->file = disk_open(list->disk, index_dir, name, DISK_READ);
		if (list->file < 0)
			return 0;
	}
	if (disk_stat_file(list->disk, list->file, &stat) != 0 ||
		read_exactly(list->disk, list->file, slot, sizeof(slot), 0) != 0 ||
		!index_header_check(list->seed, slot)) {
		drop_index(list);
		return 0;
	}
	drop_table(list);
	find_end(list, index_runs_in_file(stat.length_bytes), length_bytes);
	if (list->indexed == 0) {
		drop_index(list);
		return 0;
	}
	open_ids(list, index_dir, store_id, part);
	list->scanned_bytes = list->indexed_bytes;
	return 0;
}

/* ---- Scanning ------------------------------------------------------------ */

struct scanning {
	struct run_list *list;
	struct index_builder builder;
	struct scratch scratch;
	uint64_t end; /* of the lines taken so far */
	run_list_on_bad on_bad;
	void *ctx;
};

/* Ends the run under way, if any, at offset. */
static int end_run(struct scanning *scanning, uint64_t offset)
{
	struct index_run *run = &scanning->builder.run;

	if (run->spans == 0)
		return 0;
	index_builder_end(&scanning->builder);
	run->length_bytes = (uint32_t)(offset - run->offset);
	if (run_array_add(&scanning->list->scanned, run) != 0)
		return -ENOMEM;
	run->spans = 0;
	return 0;
}

static int scan_line(void *ctx, const struct scan_line *line)
{
	struct scanning *scanning = ctx;
	struct index_run *run = &scanning->builder.run;
	uint64_t end = line->offset + line->text.length + line->whole;
	const char *why = "line is too long";
	struct record record;
	int ret = ERR_LIMIT;

	/* What has no newline yet may still be written to. */
	if (!line->whole && scanning->list->foreign == false)
		return 0;
	if (line->text.data != NULL)
		ret = record_parse(line->text, &scanning->scratch, &record, &why);
	if (ret == -ENOMEM)
		return ret;
	if (ret != 0) {
		if (!line->whole)
			return 0;
		if (line->text.length > 0 && scanning->on_bad != NULL)
			scanning->on_bad(scanning->ctx, line->offset, line->number, why);
		scanning->end = end;
		return 0;
	}
	if (run->spans > 0 && (memcmp(run->trace_id, record.trace_id, 16) != 0 ||
				      end - run->offset > UINT32_MAX)) {
		ret = end_run(scanning, scanning->end);
		if (ret != 0)
			return ret;
	}
	if (run->spans == 0) {
		index_builder_begin(&scanning->builder, record.trace_id);
		run->offset = line->offset;
	}
	ret = index_builder_add(&scanning->builder, &record, &scanning->scratch);
	scratch_reset(&scanning->scratch);
	scanning->end = end;
	return ret;
}

int run_list_scan(struct run_list *list, struct source *source, uint64_t length_bytes,
	run_list_on_bad on_bad, void *ctx)
{
	struct scanning scanning = {
		.list = list, .end = list->scanned_bytes, .on_bad = on_bad, .ctx = ctx};
	int ret;

	if (list->scanned_bytes >= length_bytes)
		return 0;
	drop_table(list);
	ret = scan_lines(
		source, list->scanned_bytes, length_bytes, &list->buffer, scan_line, &scanning);
	if (ret == 0)
		ret = end_run(&scanning, scanning.end);
	if (ret == 0)
		list->scanned_bytes = scanning.end;
	index_builder_done(&scanning.builder);
	scratch_done(&scanning.scratch);
	return ret;
}

/* ---- Blocks -------------------------------------------------------------- */

static size_t blocks_of(uint64_t runs)
{
	return (size_t)((runs + INDEX_BLOCK_RUNS - 1) / INDEX_BLOCK_RUNS);
}

size_t run_list_blocks(const struct run_list *list)
{
	return blocks_of(list->indexed) + blocks_of(list->scanned.count);
}

bool run_list_is_sure(const struct run_list *list, size_t block)
{
	return !list->foreign && block < blocks_of(list->indexed);
}

bool run_list_zone(const struct run_list *list, struct index_zone *ret)
{
	if (list->ids.runs != list->indexed)
		return false;
	*ret = list->ids.zone;
	for (size_t i = 0; i < blocks_of(list->scanned.count); i++)
		index_zone_join(ret, &list->scanned.zones[i]);
	return true;
}

static int read_block(const struct run_list *list, size_t block,
	struct index_run ret[INDEX_BLOCK_RUNS], size_t *ret_count)
{
	uint8_t slots[INDEX_BLOCK_RUNS * INDEX_SLOT_BYTES];
	uint64_t first = (uint64_t)block * INDEX_BLOCK_RUNS;
	uint64_t left = list->indexed - first;
	size_t count = left < INDEX_BLOCK_RUNS ? (size_t)left : INDEX_BLOCK_RUNS;
	int error = read_exactly(list->disk, list->file, slots, count * INDEX_SLOT_BYTES,
		index_run_slot(first) * INDEX_SLOT_BYTES);

	if (error != 0)
		return error;
	for (size_t i = 0; error == 0 && i < count; i++)
		if (!index_run_get(list->seed, first + i, slots + i * INDEX_SLOT_BYTES, &ret[i]))
			error = read_run(list, first + i, &ret[i]);
	*ret_count = count;
	return error;
}

int run_list_block(const struct run_list *list, size_t block,
	struct index_run ret[INDEX_BLOCK_RUNS], size_t *ret_count)
{
	size_t indexed = blocks_of(list->indexed);
	size_t first, left;

	if (block < indexed)
		return read_block(list, block, ret, ret_count);
	first = (block - indexed) * INDEX_BLOCK_RUNS;
	left = list->scanned.count - first;
	*ret_count = left < INDEX_BLOCK_RUNS ? left : INDEX_BLOCK_RUNS;
	memcpy(ret, list->scanned.runs + first, *ret_count * sizeof(*ret));
	return 0;
}

int run_list_block_zone(const struct run_list *list, size_t block, struct index_zone *ret)
{
	size_t indexed = blocks_of(list->indexed);
	struct index_run runs[INDEX_BLOCK_RUNS];
	uint8_t slot[INDEX_SLOT_BYTES];
	size_t count;
	int error;

	if (block >= indexed) {
		*ret = list->scanned.zones[block - indexed];
		return 0;
	}
	if ((uint64_t)(block + 1) * INDEX_BLOCK_RUNS <= list->indexed &&
		read_exactly(list->disk, list->file, slot, sizeof(slot),
			index_zone_slot(block) * INDEX_SLOT_BYTES) == 0 &&
		index_zone_get(list->seed, block, slot, ret))
		return 0;
	/* The block is not full, or its zone not written yet or damaged. */
	error = read_block(list, block, runs, &count);
	if (error != 0)
		return error;
	*ret = (struct index_zone){0};
	for (size_t i = 0; i < count; i++)
		index_zone_add(ret, &runs[i]);
	return 0;
}

/* ---- Searching ----------------------------------------------------------- */

typedef int (*on_run_fn)(void *ctx, const struct index_run *run);

static int read_page(
	const struct run_list *list, uint64_t page, struct index_id ids[INDEX_PAGE_IDS])
{
	uint8_t bytes[INDEX_PAGE_BYTES];
	int ret = read_exactly(list->disk, list->ids_file, bytes, sizeof(bytes),
		index_page_offset(&list->ids, page));

	if (ret != 0)
		return ret;
	ret = index_page_get(list->ids_seed, page, bytes, ids);
	return ret < 0 ? ERR_INDEX : ret;
}

/* The first page that may hold the id: the last one whose first id is less. */
static int find_page(const struct run_list *list, const uint8_t trace_id[16], uint64_t *ret_page)
{
	struct index_id ids[INDEX_PAGE_IDS];
	uint64_t low = 0;
	uint64_t high = index_pages(&list->ids);

	while (low + 1 < high) {
		uint64_t middle = low + (high - low) / 2;
		int count = read_page(list, middle, ids);

		if (count < 0)
			return count;
		if (memcmp(ids[0].trace_id, trace_id, 16) < 0)
			low = middle;
		else
			high = middle;
	}
	*ret_page = low;
	return 0;
}

static int find_in_ids(
	const struct run_list *list, const uint8_t trace_id[16], on_run_fn on_run, void *ctx)
{
	struct index_id ids[INDEX_PAGE_IDS];
	struct index_run run;
	uint64_t page;
	int ret = find_page(list, trace_id, &page);

	for (; ret == 0 && page < index_pages(&list->ids); page++) {
		int count = read_page(list, page, ids);

		if (count < 0)
			return count;
		for (int i = 0; ret == 0 && i < count; i++) {
			int compared = memcmp(ids[i].trace_id, trace_id, 16);

			if (compared > 0)
				return 0;
			if (compared < 0)
				continue;
			if (ids[i].run >= list->ids.runs)
				return ERR_INDEX;
			ret = read_run(list, ids[i].run, &run);
			if (ret == 0 && memcmp(run.trace_id, trace_id, 16) != 0)
				ret = ERR_INDEX;
			if (ret == 0)
				ret = on_run(ctx, &run);
		}
	}
	return ret;
}

/* A run that .ids doesn't cover, counted from there. */
static int run_behind_ids(const struct run_list *list, uint64_t number, struct index_run *ret)
{
	number += list->ids.runs;
	if (number < list->indexed)
		return read_run(list, number, ret);
	*ret = list->scanned.runs[number - list->indexed];
	return 0;
}

static int for_each_behind_ids(const struct run_list *list, on_run_fn on_run, void *ctx)
{
	struct index_run runs[INDEX_BLOCK_RUNS];
	size_t block = (size_t)(list->ids.runs / INDEX_BLOCK_RUNS);
	uint64_t number = (uint64_t)block * INDEX_BLOCK_RUNS;
	int ret = 0;

	for (; ret == 0 && block < run_list_blocks(list); block++) {
		size_t count;

		ret = run_list_block(list, block, runs, &count);
		for (size_t i = 0; ret == 0 && i < count; i++, number++)
			if (number >= list->ids.runs)
				ret = on_run(ctx, &runs[i]);
	}
	return ret;
}

struct wanted {
	const uint8_t *trace_id;
	on_run_fn on_run;
	void *ctx;
};

static int give_if_wanted(void *ctx, const struct index_run *run)
{
	const struct wanted *wanted = ctx;

	return memcmp(run->trace_id, wanted->trace_id, 16) == 0 ? wanted->on_run(wanted->ctx, run)
								: 0;
}

static int add_key(void *ctx, const struct index_run *run)
{
	struct run_list *list = ctx;

	list->table[list->table_count].hash = index_hash_id(run->trace_id);
	list->table[list->table_count].run = (uint32_t)list->table_count;
	list->table_count++;
	return 0;
}

static int compare_keys(const void *left, const void *right)
{
	const struct run_key *a = left;
	const struct run_key *b = right;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->run > b->run) - (a->run < b->run);
}

static int make_table(struct run_list *list)
{
	uint64_t count = list->indexed + list->scanned.count - list->ids.runs;
	int ret;

	drop_table(list);
	list->table = calloc(count, sizeof(*list->table));
	if (list->table == NULL)
		return -ENOMEM;
	ret = for_each_behind_ids(list, add_key, list);
	if (ret != 0)
		drop_table(list);
	else
		qsort(list->table, list->table_count, sizeof(*list->table), compare_keys);
	return ret;
}

static int find_in_table(
	const struct run_list *list, const uint8_t trace_id[16], on_run_fn on_run, void *ctx)
{
	uint64_t hash = index_hash_id(trace_id);
	size_t low = 0;
	size_t high = list->table_count;
	struct index_run run;
	int ret = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->table[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; ret == 0 && low < list->table_count && list->table[low].hash == hash; low++) {
		ret = run_behind_ids(list, list->table[low].run, &run);
		if (ret == 0 && memcmp(run.trace_id, trace_id, 16) == 0)
			ret = on_run(ctx, &run);
	}
	return ret;
}

int run_list_find(struct run_list *list, const uint8_t trace_id[16],
	int (*on_run)(void *ctx, const struct index_run *run), void *ctx)
{
	struct wanted wanted = {.trace_id = trace_id, .on_run = on_run, .ctx = ctx};
	uint64_t behind = list->indexed + list->scanned.count - list->ids.runs;
	int ret = list->ids.runs > 0 ? find_in_ids(list, trace_id, on_run, ctx) : 0;

	if (ret != 0 || behind == 0)
		return ret;
	if (list->table == NULL && (list->searches++ == 0 || behind < TABLE_RUNS_MIN))
		return for_each_behind_ids(list, give_if_wanted, &wanted);
	if (list->table == NULL)
		ret = make_table(list);
	return ret != 0 ? ret : find_in_table(list, trace_id, on_run, ctx);
}

size_t run_list_memory(const struct run_list *list)
{
	return list->scanned.capacity * sizeof(*list->scanned.runs) +
	       list->scanned.zone_capacity * sizeof(*list->scanned.zones) +
	       list->table_count * sizeof(*list->table) + list->buffer.capacity;
}
