/*
 * index_part.c: see index_part.h.
 */
#include "index_part.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "index_run.h"

/* The buffer is written when it holds so much. */
#define BUFFER_BYTES ((size_t)32 << 10)
/* How many slots at the end of a file may be torn before it is given up. */
#define TORN_SLOTS_MAX 4096
#define NEW_NAME_BYTES (INDEX_NAME_BYTES + 4)

void index_part_init(
	struct index_state *part, const struct index_place *place, const struct part_name *name)
{
	*part = (struct index_state){
		.place = place,
		.name = *name,
		.seed = index_seed(INDEX_RUNS, place->store_id, name),
		.ids_seed = index_seed(INDEX_IDS, place->store_id, name),
		.file = -1,
	};
}

static void drop_tail(struct index_state *part);

void index_part_rest(struct index_state *part)
{
	disk_close(part->place->disk, part->file);
	part->file = -1;
}

void index_part_done(struct index_state *part)
{
	index_part_rest(part);
	pack_builder_free(part->builder);
	bytes_done(&part->buffer);
	free(part->bloom);
	drop_tail(part);
	index_part_init(part, part->place, &part->name);
}

static int open_file(struct index_state *part)
{
	char name[INDEX_NAME_BYTES];
	int ret;

	if (part->file >= 0)
		return 0;
	ret = index_file_name(&part->name, INDEX_RUNS, name);
	if (ret == 0)
		ret = disk_open(
			part->place->disk, part->place->index_dir, name, DISK_WRITE | DISK_CREATE);
	if (ret < 0)
		return ret;
	part->file = ret;
	return 0;
}

/* ---- Tail ------------------------------------------------------------------- */

static int add_tail(struct index_state *part, const uint8_t trace_id[16], uint32_t run)
{
	int ret;

	if (part->tail_count == part->tail_capacity) {
		size_t capacity = part->tail_capacity > 0 ? part->tail_capacity * 2 : 64;
		struct index_id *tail = reallocarray(part->tail, capacity, sizeof(*tail));

		if (tail == NULL)
			return -ENOMEM;
		part->tail = tail;
		part->tail_capacity = capacity;
	}
	ret = id_map_add(&part->tail_map, trace_id, run);
	if (ret < 0)
		return ret;
	memcpy(part->tail[part->tail_count].trace_id, trace_id, 16);
	part->tail[part->tail_count++].run = run;
	return 0;
}

static int add_continuing(struct index_state *part, const uint8_t trace_id[16])
{
	return bytes_put(&part->continuing, trace_id, 16);
}

static void drop_tail(struct index_state *part)
{
	bytes_done(&part->continuing);
	free(part->tail);
	part->tail = NULL;
	part->tail_count = part->tail_capacity = 0;
	id_map_done(&part->tail_map);
}

/* ---- Writing ---------------------------------------------------------------- */

static void remove_files(struct index_state *part)
{
	const struct index_place *place = part->place;
	char name[INDEX_NAME_BYTES];

	if (index_file_name(&part->name, INDEX_RUNS, name) == 0)
		(void)!disk_unlink(place->disk, place->index_dir, name);
	if (index_file_name(&part->name, INDEX_IDS, name) == 0)
		(void)!disk_unlink(place->disk, place->index_dir, name);
	if (part->name.sealed && pack_name(&part->name, name) == 0)
		(void)!disk_unlink(place->disk, place->index_dir, name);
}

/* Without its files the part is read by its lines; with files that lack what could not
 * be written it would be read wrongly. */
static void stall(struct index_state *part)
{
	part->stalled = true;
	part->buffer.length = 0;
	index_part_rest(part);
	remove_files(part);
}

void index_part_flush(struct index_state *part)
{
	if (part->stalled || part->buffer.length == 0)
		return;
	if (open_file(part) != 0 ||
		disk_write(part->place->disk, part->file, part->buffer.data, part->buffer.length,
			part->buffer_slot * INDEX_SLOT_BYTES) != 0) {
		stall(part);
		return;
	}
	part->buffer_slot += part->buffer.length / INDEX_SLOT_BYTES;
	part->buffer.length = 0;
}

static int put_slot(struct index_state *part, const uint8_t slot[INDEX_SLOT_BYTES])
{
	int ret = bytes_put(&part->buffer, slot, INDEX_SLOT_BYTES);

	if (ret == 0 && part->buffer.length >= BUFFER_BYTES)
		index_part_flush(part);
	return ret;
}

static int put_run(struct index_state *part, const struct index_run *run)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	int ret = 0;

	if (part->runs == 0) {
		index_header_put(part->seed, slot);
		part->buffer_slot = 0;
		part->buffer.length = 0;
		ret = put_slot(part, slot);
	}
	index_run_put(part->seed, part->runs, run, slot);
	if (ret == 0)
		ret = put_slot(part, slot);
	if (ret != 0)
		return ret;
	index_zone_add(&part->block, run);
	if ((part->runs + 1) % INDEX_BLOCK_RUNS != 0)
		return 0;
	index_zone_put(part->seed, part->runs / INDEX_BLOCK_RUNS, &part->block, slot);
	part->block = (struct index_zone){0};
	return put_slot(part, slot);
}

static struct pack_builder *new_builder(const struct index_state *part)
{
	struct pack_config config = {.part = part->name,
		.disk = part->place->disk,
		.index_dir = part->place->index_dir,
		.memory_bytes = part->pack_memory_bytes,
		.hurry = part->pack_hurry,
		.context = part->pack_context};

	memcpy(config.store_id, part->place->store_id, sizeof(config.store_id));
	return pack_builder_new(&config);
}

/* Into the builder; what can't be packed is read by its lines. */
static int add_to_pack(struct index_state *part, const struct index_run *run)
{
	int ret = 0;

	if (part->builder == NULL && part->runs == 0)
		part->builder = new_builder(part);
	if (part->builder == NULL)
		ret = part->runs == 0 ? -ENOMEM : -EINVAL;
	if (ret == 0)
		ret = pack_builder_add(part->builder, run, part->lines);
	if (ret == 0 || ret == -ENOMEM)
		return ret;
	pack_builder_free(part->builder);
	part->builder = NULL;
	part->pack_error = ret;
	stall(part);
	return 0;
}

static int add_sealed(struct index_state *part, const struct index_run *run)
{
	int ret = part->forgets_ids ? 0 : add_tail(part, run->trace_id, (uint32_t)part->runs);

	if (ret == 0 && !part->stalled)
		ret = add_to_pack(part, run);
	if (ret != 0)
		return ret;
	part->runs++;
	part->covered = run->offset + run->length_bytes;
	return 0;
}

int index_part_add(struct index_state *part, const struct index_run *run)
{
	int ret;

	if (part->name.sealed)
		return add_sealed(part, run);
	ret = add_tail(part, run->trace_id, (uint32_t)part->runs);
	if (ret == 0 && (run->flags & INDEX_CONTINUES) != 0)
		ret = add_continuing(part, run->trace_id);
	if (ret != 0)
		return ret;
	/* What lies in a gap is unknown here, and readers would take it for known. */
	if (run->offset != part->covered || part->runs >= UINT32_MAX)
		stall(part);
	if (!part->stalled && put_run(part, run) != 0)
		stall(part);
	index_zone_add(&part->all, run);
	part->runs++;
	part->covered = run->offset + run->length_bytes;
	return 0;
}

/* ---- Searching -------------------------------------------------------------- */

static int on_number(void *ctx, uint32_t run)
{
	(void)ctx;
	(void)run;
	return 1;
}

static int on_run(void *ctx, const struct index_run *run)
{
	(void)ctx;
	(void)run;
	return 1;
}

static int open_pack(const struct index_state *part, struct pack **ret)
{
	const struct index_place *place = part->place;

	return pack_open(place->disk, place->index_dir, place->store_id, &part->name, ret);
}

static int find_in_pack(const struct index_state *part, const uint8_t trace_id[16])
{
	struct pack *pack;
	int ret = open_pack(part, &pack);

	if (ret != 0)
		return ret;
	ret = pack_find(pack, trace_id, on_run, NULL);
	pack_close(pack);
	return ret;
}

/* Returns a handle or a negative error. */
static int open_ids(const struct index_state *part)
{
	char name[INDEX_NAME_BYTES];
	int ret = index_file_name(&part->name, INDEX_IDS, name);

	if (ret == 0)
		ret = disk_open(part->place->disk, part->place->index_dir, name, DISK_READ);
	return ret == -ENOENT ? ERR_INDEX : ret;
}

static int find_in_ids(const struct index_state *part, const uint8_t trace_id[16])
{
	int file = open_ids(part);
	int ret;

	if (file < 0)
		return file;
	ret = ids_find(
		part->place->disk, file, part->ids_seed, &part->ids, trace_id, on_number, NULL);
	disk_close(part->place->disk, file);
	return ret;
}

int index_part_find(struct index_state *part, const uint8_t trace_id[16], uint64_t hash)
{
	/* Of what is covered, a table has told that it may be there. */
	if (part->ids.runs > 0 && (part->bloom == NULL || index_bloom_has(part->bloom,
								  part->ids.bloom_bytes, hash))) {
		int ret = part->name.sealed ? find_in_pack(part, trace_id)
					    : find_in_ids(part, trace_id);

		if (ret != 0)
			return ret;
	}
	return id_map_find(&part->tail_map, trace_id, NULL);
}

void index_part_expect(const struct index_state *part, uint64_t hash)
{
	if (part->bloom != NULL)
		__builtin_prefetch(part->bloom + index_bloom_block(part->ids.bloom_bytes, hash));
	id_map_expect(&part->tail_map, hash, false);
}

bool index_part_is_whole(const struct index_state *part)
{
	return part->closed && !part->stalled && part->tail_count == 0 && part->runs > 0 &&
	       part->ids.runs == part->runs;
}

int index_part_for_each_id(
	struct index_state *part, int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx)
{
	struct pack *pack;
	int file, ret;

	if (part->name.sealed) {
		ret = open_pack(part, &pack);
		if (ret != 0)
			return ret;
		ret = pack_for_each_id(pack, on_id, ctx);
		pack_close(pack);
		return ret;
	}
	file = open_ids(part);
	if (file < 0)
		return file;
	ret = ids_for_each(part->place->disk, file, part->ids_seed, &part->ids, on_id, ctx);
	disk_close(part->place->disk, file);
	return ret;
}

void index_part_cover(struct index_state *part)
{
	part->catalogued = true;
	free(part->bloom);
	part->bloom = NULL;
}

/* ---- Compacting ------------------------------------------------------------- */

static int write_ids(struct index_state *part, const char *old_name, const char *new_name,
	struct index_ids *ids, uint8_t **ret_bloom)
{
	const struct index_place *place = part->place;
	struct ids_input input = {.old_file = -1,
		.old_ids = &part->ids,
		.more = part->tail,
		.more_count = part->tail_count,
		.continuing = (const uint8_t(*)[16])part->continuing.data,
		.continuing_count = part->continuing.length / 16};
	int file, ret;

	if (part->ids.runs > 0) {
		input.old_file = disk_open(place->disk, place->index_dir, old_name, DISK_READ);
		if (input.old_file < 0)
			return input.old_file == -ENOENT ? ERR_INDEX : input.old_file;
	}
	(void)!disk_unlink(place->disk, place->index_dir, new_name);
	ret = file = disk_open(
		place->disk, place->index_dir, new_name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	if (file >= 0)
		ret = ids_write(place->disk, file, part->ids_seed, &input, ids, ret_bloom);
	disk_close(place->disk, file);
	disk_close(place->disk, input.old_file);
	return ret;
}

/* Takes over the pack that is there, when it is of the whole part. */
static int load_pack(struct index_state *part, uint64_t length_bytes)
{
	const struct index_place *place = part->place;
	struct pack *pack;
	int ret = pack_open(place->disk, place->index_dir, place->store_id, &part->name, &pack);
	uint8_t *bloom;

	if (ret != 0)
		return ret;
	ret = pack_covered(pack) == length_bytes ? pack_bloom(pack, &bloom) : ERR_INDEX;
	if (ret == 0) {
		drop_tail(part);
		free(part->bloom);
		part->bloom = bloom;
		part->runs = part->ids.runs = pack_runs(pack);
		part->ids.bloom_bytes = index_bloom_bytes(part->runs);
		part->covered = length_bytes;
	}
	pack_close(pack);
	return ret;
}

static int write_pack(struct index_state *part)
{
	int ret;

	if (part->builder == NULL)
		return part->stalled ? -EIO : 0;
	ret = pack_builder_write(part->builder, part->covered);
	pack_builder_free(part->builder);
	part->builder = NULL;
	if (ret == 0 && !part->forgets_ids)
		ret = load_pack(part, part->covered);
	if (ret != 0 && ret != -ENOMEM)
		stall(part);
	return ret;
}

int index_part_compact(struct index_state *part)
{
	const struct index_place *place = part->place;
	char name[INDEX_NAME_BYTES], new_name[NEW_NAME_BYTES];
	struct index_ids ids = {.runs = part->runs, .covered = part->covered, .zone = part->all};
	uint8_t *bloom = NULL;
	int ret;

	if (part->name.sealed)
		return write_pack(part);
	if (part->stalled || part->tail_count == 0)
		return part->stalled ? -EIO : 0;
	/* Readers take no .ids that is ahead of .runs. */
	index_part_flush(part);
	ret = part->stalled ? -EIO : index_file_name(&part->name, INDEX_IDS, name);
	if (ret != 0)
		return ret;
	memcpy(new_name, name, sizeof(name));
	strcat(new_name, ".new");
	ids_sort(part->tail, part->tail_count);
	ret = write_ids(part, name, new_name, &ids, &bloom);
	if (ret == 0)
		ret = disk_rename(
			place->disk, place->index_dir, new_name, place->index_dir, name, true);
	if (ret != 0) {
		free(bloom);
		return ret;
	}
	free(part->bloom);
	part->bloom = bloom;
	part->ids = ids;
	drop_tail(part);
	return 0;
}

/* ---- Loading ---------------------------------------------------------------- */

static int read_run(struct index_state *part, uint64_t number, struct index_run *ret)
{
	uint8_t slot[INDEX_SLOT_BYTES];

	if (disk_read(part->place->disk, part->file, slot, sizeof(slot),
		    index_run_slot(number) * INDEX_SLOT_BYTES) != sizeof(slot) ||
		!index_run_get(part->seed, number, slot, ret))
		return ERR_INDEX;
	return 0;
}

/* How many runs hold: down to the last whole one, which must lie in the part. */
static int find_end(struct index_state *part, uint64_t runs, uint64_t length_bytes)
{
	uint64_t least = runs > TORN_SLOTS_MAX ? runs - TORN_SLOTS_MAX : 0;
	struct index_run run;

	for (; runs > least; runs--) {
		if (read_run(part, runs - 1, &run) != 0)
			continue;
		if (run.offset + run.length_bytes > length_bytes)
			return ERR_INDEX;
		part->runs = runs;
		part->covered = run.offset + run.length_bytes;
		part->buffer_slot = index_run_slot(runs - 1) + 1;
		return disk_truncate(
			part->place->disk, part->file, part->buffer_slot * INDEX_SLOT_BYTES);
	}
	return ERR_INDEX;
}

static void load_ids(struct index_state *part)
{
	const struct index_place *place = part->place;
	char name[INDEX_NAME_BYTES];
	int file, ret;

	if (index_file_name(&part->name, INDEX_IDS, name) != 0)
		return;
	file = disk_open(place->disk, place->index_dir, name, DISK_READ);
	if (file < 0)
		return;
	ret = ids_open(place->disk, file, part->ids_seed, &part->ids);
	if (ret == 0 && part->ids.runs <= part->runs) {
		size_t bytes = (size_t)part->ids.bloom_bytes;

		part->bloom = malloc(bytes);
		if (part->bloom != NULL &&
			disk_read(place->disk, file, part->bloom, bytes, INDEX_SLOT_BYTES) ==
				(ssize_t)bytes &&
			crc32c(0, part->bloom, bytes) == part->ids.bloom_crc) {
			disk_close(place->disk, file);
			return;
		}
	}
	disk_close(place->disk, file);
	free(part->bloom);
	part->bloom = NULL;
	part->ids = (struct index_ids){0};
}

/* Reads the runs that .ids doesn't cover into the tail, and those of the last block for its
 * zone. */
static int load_tail(struct index_state *part)
{
	uint64_t block = part->runs - part->runs % INDEX_BLOCK_RUNS;
	uint64_t from = part->ids.runs < block ? part->ids.runs : block;
	struct index_run run;

	part->all = part->ids.zone;
	for (uint64_t number = from; number < part->runs; number++) {
		int ret = read_run(part, number, &run);

		if (ret == 0 && number >= part->ids.runs) {
			index_zone_add(&part->all, &run);
			ret = add_tail(part, run.trace_id, (uint32_t)number);
			if (ret == 0 && (run.flags & INDEX_CONTINUES) != 0)
				ret = add_continuing(part, run.trace_id);
		}
		if (ret != 0)
			return ret;
		if (number >= block)
			index_zone_add(&part->block, &run);
	}
	return 0;
}

/* The zone of a block that was filled when the machine stopped may be missing. */
static int mend_zone(struct index_state *part)
{
	uint64_t block = part->runs / INDEX_BLOCK_RUNS;
	struct index_zone zone = {0};
	uint8_t slot[INDEX_SLOT_BYTES];
	struct index_run run;

	if (part->runs == 0 || part->runs % INDEX_BLOCK_RUNS != 0)
		return 0;
	for (uint64_t number = part->runs - INDEX_BLOCK_RUNS; number < part->runs; number++) {
		int ret = read_run(part, number, &run);

		if (ret != 0)
			return ret;
		index_zone_add(&zone, &run);
	}
	index_zone_put(part->seed, block - 1, &zone, slot);
	return put_slot(part, slot);
}

static int load_files(struct index_state *part, uint64_t length_bytes)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	struct disk_stat stat;
	int ret = open_file(part);

	if (ret != 0)
		return ret;
	if (disk_stat_file(part->place->disk, part->file, &stat) != 0 ||
		disk_read(part->place->disk, part->file, slot, sizeof(slot), 0) != sizeof(slot) ||
		!index_header_check(part->seed, slot))
		return ERR_INDEX;
	ret = find_end(part, index_runs_in_file(stat.length_bytes), length_bytes);
	if (ret != 0)
		return ret;
	load_ids(part);
	ret = load_tail(part);
	return ret == 0 ? mend_zone(part) : ret;
}

void index_part_discard(struct index_state *part)
{
	index_part_done(part);
	remove_files(part);
}

int index_part_load(struct index_state *part, uint64_t length_bytes)
{
	int ret;

	if (length_bytes == 0) {
		index_part_discard(part);
		return 0;
	}
	ret = part->name.sealed ? load_pack(part, length_bytes) : load_files(part, length_bytes);
	if (ret == -ENOMEM)
		return ret;
	if (ret != 0)
		index_part_discard(part);
	return 0;
}

size_t index_part_memory(const struct index_state *part)
{
	return sizeof(*part) + part->buffer.capacity +
	       (part->bloom != NULL ? (size_t)part->ids.bloom_bytes : 0) +
	       part->tail_capacity * sizeof(*part->tail) + id_map_memory(&part->tail_map) +
	       part->continuing.capacity;
}
