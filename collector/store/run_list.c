/*
 * run_list.c: see run_list.h. Blocks are numbered over the indexed runs first, then
 * the scanned ones; the last indexed block may be short.
 */
#include "run_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index_run.h"

/* How many slots at the end of an index may be torn before it is given up. */
#define TORN_SLOTS_MAX 4096
/* After so many searches a sorted table is worth its making. */
#define SEARCHES_UNSORTED 64

void run_list_init(struct run_list *list, struct disk *disk, bool foreign)
{
	*list = (struct run_list){.file = -1, .ids_file = -1, .disk = disk, .foreign = foreign};
}

static void drop_index(struct run_list *list)
{
	pack_close(list->pack);
	list->pack = NULL;
	disk_close(list->disk, list->file);
	disk_close(list->disk, list->ids_file);
	list->file = -1;
	list->ids_file = -1;
	list->indexed = 0;
	list->indexed_bytes = 0;
	list->ids_runs = 0;
}

static void drop_hashes(struct run_list *list)
{
	free(list->hashes);
	free(list->table);
	list->hashes = NULL;
	list->table = NULL;
	list->hash_count = 0;
	list->searches = 0;
}

void run_list_done(struct run_list *list)
{
	if (list->disk == NULL)
		return;
	drop_index(list);
	drop_hashes(list);
	run_array_done(&list->scanned);
	scan_buffer_done(&list->buffer);
	*list = (struct run_list){.file = -1, .ids_file = -1};
}

void run_list_distrust(struct run_list *list)
{
	drop_index(list);
	drop_hashes(list);
	run_array_done(&list->scanned);
	list->scanned_bytes = 0;
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

/* Of the first `runs`, how many lie in the part as far as it is committed: the writer
 * may have gone on since. */
static int count_committed(struct run_list *list, uint64_t runs, uint64_t length_bytes)
{
	uint64_t low = 0;
	struct index_run run;

	while (low < runs) {
		uint64_t middle = low + (runs - low) / 2;
		int ret = read_run(list, middle, &run);

		if (ret != 0)
			return ret;
		if (run.offset + run.length_bytes <= length_bytes) {
			low = middle + 1;
			list->indexed_bytes = run.offset + run.length_bytes;
		} else {
			runs = middle;
		}
	}
	list->indexed = low;
	return 0;
}

/* Finds the last run that is whole: a stop of the machine may have torn some. */
static void find_end(struct run_list *list, uint64_t runs, uint64_t length_bytes)
{
	uint64_t least = runs > TORN_SLOTS_MAX ? runs - TORN_SLOTS_MAX : 0;
	struct index_run run = {0};

	while (runs > least && read_run(list, runs - 1, &run) != 0)
		runs--;
	if (runs == least)
		return;
	list->indexed = runs;
	list->indexed_bytes = run.offset + run.length_bytes;
	if (list->indexed_bytes > length_bytes && count_committed(list, runs, length_bytes) != 0)
		list->indexed = 0;
}

static void open_ids(struct run_list *list, int index_dir, const uint8_t store_id[16],
	const struct part_name *part)
{
	char name[INDEX_NAME_BYTES];

	if (index_file_name(part, INDEX_IDS, name) != 0)
		return;
	list->ids_seed = index_seed(INDEX_IDS, store_id, part);
	list->ids_file = disk_open(list->disk, index_dir, name, DISK_READ);
	if (list->ids_file < 0 ||
		ids_open(list->disk, list->ids_file, list->ids_seed, &list->ids) != 0)
		return;
	list->ids_runs = list->ids.runs < list->indexed ? list->ids.runs : list->indexed;
}

/* A sealed part doesn't change: what is open stays. */
static void open_pack(struct run_list *list, int index_dir, const uint8_t store_id[16],
	const struct part_name *part, uint64_t length_bytes)
{
	if (list->pack != NULL && !list->distrusted && pack_covered(list->pack) == length_bytes)
		return;
	drop_index(list);
	if (list->distrusted || index_dir < 0 ||
		pack_open(list->disk, index_dir, store_id, part, &list->pack) != 0)
		return;
	if (pack_covered(list->pack) != length_bytes) {
		drop_index(list);
		return;
	}
	list->indexed = list->ids_runs = pack_runs(list->pack);
	list->indexed_bytes = length_bytes;
}

/* Opens what is there now; indexed is 0 when it doesn't hold. */
static void open_files(struct run_list *list, int index_dir, const uint8_t store_id[16],
	const struct part_name *part, uint64_t length_bytes)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	char name[INDEX_NAME_BYTES];
	struct disk_stat stat;

	if (list->distrusted || index_dir < 0 || part->sealed) {
		open_pack(list, index_dir, store_id, part, length_bytes);
		return;
	}
	drop_index(list);
	if (index_file_name(part, INDEX_RUNS, name) != 0)
		return;
	list->seed = index_seed(INDEX_RUNS, store_id, part);
	list->file = disk_open(list->disk, index_dir, name, DISK_READ);
	if (list->file >= 0 && disk_stat_file(list->disk, list->file, &stat) == 0 &&
		read_exactly(list->disk, list->file, slot, sizeof(slot), 0) == 0 &&
		index_header_check(list->seed, slot))
		find_end(list, index_runs_in_file(stat.length_bytes), length_bytes);
	if (list->indexed > 0)
		open_ids(list, index_dir, store_id, part);
	else
		drop_index(list);
}

void run_list_open_index(struct run_list *list, int index_dir, const uint8_t store_id[16],
	const struct part_name *part, uint64_t length_bytes)
{
	uint64_t before = list->indexed;
	uint64_t ids_before = list->ids_runs;

	open_files(list, index_dir, store_id, part, length_bytes);
	if (list->indexed == before && list->ids_runs == ids_before)
		return;
	/* The scanned runs join on to another place now. */
	drop_hashes(list);
	run_array_done(&list->scanned);
	list->scanned_bytes = list->indexed_bytes;
}

/* ---- Scanning ------------------------------------------------------------ */

struct scan_sink {
	struct run_list *list;
	run_list_on_bad on_bad;
	void *ctx;
};

static int on_scanned(void *ctx, const struct index_run *run)
{
	struct scan_sink *sink = ctx;

	return run_array_add(&sink->list->scanned, run);
}

static void on_bad_line(void *ctx, uint64_t offset, uint64_t number, const char *why)
{
	struct scan_sink *sink = ctx;

	if (sink->on_bad != NULL)
		sink->on_bad(sink->ctx, offset, number, why);
}

int run_list_scan(struct run_list *list, struct source *source, uint64_t length_bytes,
	run_list_on_bad on_bad, void *ctx)
{
	struct scan_sink sink = {.list = list, .on_bad = on_bad, .ctx = ctx};
	const struct run_scan_ops ops = {.on_run = on_scanned,
		.on_bad = on_bad_line,
		.ctx = &sink,
		.open_end = list->foreign};

	if (list->scanned_bytes >= length_bytes)
		return 0;
	drop_hashes(list);
	return run_scan(source, list->scanned_bytes, length_bytes, &list->buffer, &ops,
		&list->scanned_bytes);
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
	if (list->ids_runs != list->indexed)
		return false;
	if (list->pack != NULL)
		pack_zone(list->pack, ret);
	else
		*ret = list->ids.zone;
	for (size_t i = 0; i < blocks_of(list->scanned.count); i++)
		index_zone_join(ret, &list->scanned.zones[i]);
	return true;
}

/* Those of an indexed block, as they are. */
static int read_slots(const struct run_list *list, size_t block,
	uint8_t ret[INDEX_BLOCK_RUNS * INDEX_SLOT_BYTES], size_t *ret_count)
{
	uint64_t first = (uint64_t)block * INDEX_BLOCK_RUNS;
	uint64_t left = list->indexed - first;

	*ret_count = left < INDEX_BLOCK_RUNS ? (size_t)left : INDEX_BLOCK_RUNS;
	return read_exactly(list->disk, list->file, ret, *ret_count * INDEX_SLOT_BYTES,
		index_run_slot(first) * INDEX_SLOT_BYTES);
}

static int read_block(const struct run_list *list, size_t block,
	struct index_run ret[INDEX_BLOCK_RUNS], size_t *ret_count)
{
	uint8_t slots[INDEX_BLOCK_RUNS * INDEX_SLOT_BYTES];
	uint64_t first = (uint64_t)block * INDEX_BLOCK_RUNS;
	int error = read_slots(list, block, slots, ret_count);

	for (size_t i = 0; error == 0 && i < *ret_count; i++)
		if (!index_run_get(list->seed, first + i, slots + i * INDEX_SLOT_BYTES, &ret[i]))
			error = read_run(list, first + i, &ret[i]);
	return error;
}

int run_list_block(const struct run_list *list, size_t block,
	struct index_run ret[INDEX_BLOCK_RUNS], size_t *ret_count)
{
	size_t indexed = blocks_of(list->indexed);
	size_t first, left;

	if (block < indexed && list->pack != NULL)
		return pack_block(list->pack, block, ret, ret_count);
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
	if (list->pack != NULL)
		return pack_block_zone(list->pack, block, ret);
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

int run_list_groups(const struct run_list *list, size_t block,
	const struct index_question *question, uint32_t *ret_groups)
{
	*ret_groups = UINT32_MAX;
	if (list->pack == NULL || block >= blocks_of(list->indexed) || question->hash_count == 0)
		return 0;
	return pack_block_groups(
		list->pack, block, question->hashes, question->hash_count, ret_groups);
}

int run_list_texts(const struct run_list *list, size_t block, const struct index_question *question,
	uint32_t *ret_groups)
{
	*ret_groups = UINT32_MAX;
	if (list->pack == NULL || block >= blocks_of(list->indexed) || question->gram_count == 0)
		return 0;
	return pack_block_texts(
		list->pack, block, question->grams, question->gram_count, ret_groups);
}

/* ---- Searching ----------------------------------------------------------- */

typedef int (*on_run_fn)(void *ctx, const struct index_run *run);

struct id_sink {
	const struct run_list *list;
	const uint8_t *trace_id;
	on_run_fn on_run;
	void *ctx;
};

static int on_number(void *ctx, uint32_t number)
{
	struct id_sink *sink = ctx;
	struct index_run run;
	int ret;

	if (number >= sink->list->indexed)
		return 0; /* committed since */
	ret = read_run(sink->list, number, &run);
	if (ret == 0 && memcmp(run.trace_id, sink->trace_id, 16) != 0)
		ret = ERR_INDEX;
	return ret != 0 ? ret : sink->on_run(sink->ctx, &run);
}

static int find_in_ids(
	const struct run_list *list, const uint8_t trace_id[16], on_run_fn on_run, void *ctx)
{
	struct id_sink sink = {.list = list, .trace_id = trace_id, .on_run = on_run, .ctx = ctx};

	if (list->pack != NULL)
		return pack_find(list->pack, trace_id, on_run, ctx);
	return ids_find(
		list->disk, list->ids_file, list->ids_seed, &list->ids, trace_id, on_number, &sink);
}

/* A run that .ids doesn't cover, counted from there. */
static int run_behind_ids(const struct run_list *list, uint64_t number, struct index_run *ret)
{
	number += list->ids_runs;
	if (number < list->indexed)
		return read_run(list, number, ret);
	*ret = list->scanned.runs[number - list->indexed];
	return 0;
}

typedef int (*on_id_fn)(void *ctx, const uint8_t trace_id[16]);

static int continuing_of_block(const struct run_list *list, size_t block, on_id_fn on_id, void *ctx)
{
	struct index_run runs[INDEX_BLOCK_RUNS];
	struct index_zone zone;
	size_t count;
	int ret = run_list_block_zone(list, block, &zone);

	if (ret != 0 || (zone.flags & INDEX_CONTINUES) == 0)
		return ret;
	ret = run_list_block(list, block, runs, &count);
	for (size_t i = 0; ret == 0 && i < count; i++)
		if ((runs[i].flags & INDEX_CONTINUES) != 0)
			ret = on_id(ctx, runs[i].trace_id);
	return ret;
}

int run_list_for_each_continuing(
	const struct run_list *list, int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx)
{
	size_t block = (size_t)(list->ids_runs / INDEX_BLOCK_RUNS);
	int ret = 0;

	if (list->pack != NULL)
		return pack_for_each_continuing(list->pack, on_id, ctx);
	if (list->ids_runs > 0)
		ret = ids_for_each_continuing(list->disk, list->ids_file, &list->ids, on_id, ctx);
	for (; ret == 0 && block < blocks_of(list->indexed); block++)
		ret = continuing_of_block(list, block, on_id, ctx);
	return ret;
}

/* What a run behind .ids is told by. */
static uint32_t hash_of(const uint8_t trace_id[16])
{
	return (uint32_t)(index_hash_id(trace_id) >> 32);
}

/* Of the runs of a block that .ids doesn't cover. */
static int hash_block(struct run_list *list, size_t block)
{
	uint8_t slots[INDEX_BLOCK_RUNS * INDEX_SLOT_BYTES];
	uint64_t first = (uint64_t)block * INDEX_BLOCK_RUNS;
	size_t count;
	int error = read_slots(list, block, slots, &count);

	for (size_t i = 0; error == 0 && i < count; i++) {
		const uint8_t *slot = slots + i * INDEX_SLOT_BYTES;
		struct index_run again;

		if (first + i < list->ids_runs)
			continue;
		if (index_run_check(list->seed, first + i, slot)) {
			list->hashes[list->hash_count++] = hash_of(index_run_id(slot));
			continue;
		}
		error = read_run(list, first + i, &again);
		if (error == 0)
			list->hashes[list->hash_count++] = hash_of(again.trace_id);
	}
	return error;
}

static int make_hashes(struct run_list *list)
{
	uint64_t count = list->indexed + list->scanned.count - list->ids_runs;
	int ret = 0;

	list->hashes = reallocarray(NULL, count, sizeof(*list->hashes));
	if (list->hashes == NULL)
		return -ENOMEM;
	for (size_t block = (size_t)(list->ids_runs / INDEX_BLOCK_RUNS);
		ret == 0 && block < blocks_of(list->indexed) && list->ids_runs < list->indexed;
		block++)
		ret = hash_block(list, block);
	for (size_t i = 0; ret == 0 && i < list->scanned.count; i++)
		list->hashes[list->hash_count++] = hash_of(list->scanned.runs[i].trace_id);
	if (ret != 0)
		drop_hashes(list);
	return ret;
}

static int compare_keys(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* Hashes with the numbers of their runs, sorted. */
static int make_table(struct run_list *list)
{
	list->table = reallocarray(NULL, list->hash_count, sizeof(*list->table));
	if (list->table == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < list->hash_count; i++)
		list->table[i] = (uint64_t)list->hashes[i] << 32 | i;
	qsort(list->table, list->hash_count, sizeof(*list->table), compare_keys);
	return 0;
}

/* A run whose hash is like that of the id: it may be another's. */
static int give_if_wanted(const struct run_list *list, uint64_t number, const uint8_t trace_id[16],
	on_run_fn on_run, void *ctx)
{
	struct index_run run;
	int ret = run_behind_ids(list, number, &run);

	return ret == 0 && memcmp(run.trace_id, trace_id, 16) == 0 ? on_run(ctx, &run) : ret;
}

static int find_in_hashes(
	const struct run_list *list, const uint8_t trace_id[16], on_run_fn on_run, void *ctx)
{
	uint32_t hash = hash_of(trace_id);
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < list->hash_count; i++)
		if (list->hashes[i] == hash)
			ret = give_if_wanted(list, i, trace_id, on_run, ctx);
	return ret;
}

static int find_in_table(
	const struct run_list *list, const uint8_t trace_id[16], on_run_fn on_run, void *ctx)
{
	uint64_t hash = hash_of(trace_id);
	size_t low = 0;
	size_t high = list->hash_count;
	int ret = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->table[middle] >> 32 < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; ret == 0 && low < list->hash_count && list->table[low] >> 32 == hash; low++)
		ret = give_if_wanted(list, (uint32_t)list->table[low], trace_id, on_run, ctx);
	return ret;
}

int run_list_find(struct run_list *list, const uint8_t trace_id[16],
	int (*on_run)(void *ctx, const struct index_run *run), void *ctx)
{
	uint64_t behind = list->indexed + list->scanned.count - list->ids_runs;
	int ret = list->ids_runs > 0 ? find_in_ids(list, trace_id, on_run, ctx) : 0;

	if (ret != 0 || behind == 0)
		return ret;
	if (list->hashes == NULL)
		ret = make_hashes(list);
	if (ret == 0 && list->table == NULL && list->searches++ == SEARCHES_UNSORTED)
		ret = make_table(list);
	if (ret != 0)
		return ret;
	return list->table != NULL ? find_in_table(list, trace_id, on_run, ctx)
				   : find_in_hashes(list, trace_id, on_run, ctx);
}
