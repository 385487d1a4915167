/*
 * scattered.c: see scattered.h. The ids are looked up in the file's own table of ids, in the order
 * of a pack's, so that each page of it is read once; of a pack the Bloom filter is asked first
 * where they are many.
 */
#include "scattered.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index_run.h"

enum {
	/* With more of them than a file has runs for each, reading its blocks takes less. Pages of
	 * .ids are found by several reads. */
	PACK_RUNS_EACH = 4,
	FILE_RUNS_EACH = 64,
	/* From so many on a pack's filter is worth to be read. */
	BLOOM_IDS = 64,
};

struct scattered_id {
	uint64_t hash;
	uint8_t id[16];
};

int scattered_add(struct scattered *scattered, const uint8_t trace_id[16])
{
	int ret = id_map_add(&scattered->map, trace_id, 0);

	return ret < 0 ? ret : 0;
}

void scattered_done(struct scattered *scattered)
{
	id_map_done(&scattered->map);
	free(scattered->ids);
	*scattered = (struct scattered){0};
}

static int compare_ids(const void *left, const void *right)
{
	const struct scattered_id *a = left;
	const struct scattered_id *b = right;

	return (a->hash > b->hash) - (a->hash < b->hash);
}

static int sort_ids(struct scattered *scattered)
{
	size_t count = scattered->map.count, at = 0;
	struct scattered_id *ids;

	if (scattered->ids != NULL)
		return 0;
	ids = calloc(count, sizeof(*ids));
	if (ids == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		memcpy(ids[i].id, id_map_next(&scattered->map, &at), 16);
		ids[i].hash = index_hash_id(ids[i].id);
	}
	qsort(ids, count, sizeof(*ids), compare_ids);
	scattered->ids = ids;
	return 0;
}

/* ---- Of a file -------------------------------------------------------------------- */

struct marking {
	uint8_t *blocks;
	uint64_t runs;
};

static void mark(const struct marking *marking, uint64_t run)
{
	size_t block = (size_t)(run / INDEX_BLOCK_RUNS);

	marking->blocks[block / 8] |= (uint8_t)(1u << block % 8);
}

static int on_run(void *ctx, uint32_t run)
{
	const struct marking *marking = ctx;

	if (run < marking->runs)
		mark(marking, run);
	return 0;
}

static int mark_pack(const struct scattered *scattered, struct pack *pack, struct marking *marking)
{
	size_t count = scattered->map.count;
	uint8_t *bloom = NULL;
	int ret = count >= BLOOM_IDS ? pack_bloom(pack, &bloom) : 0;

	for (size_t i = 0; ret == 0 && i < count; i++) {
		uint64_t hash = scattered->ids[i].hash;

		if (bloom == NULL ||
			index_bloom_has(bloom, index_bloom_bytes(pack_runs(pack)), hash))
			ret = pack_find_numbers(pack, hash, on_run, marking);
	}
	free(bloom);
	return ret;
}

static int mark_file(
	const struct scattered *scattered, const struct run_list *list, struct marking *marking)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < scattered->map.count; i++)
		ret = ids_find(list->disk, list->ids_file, list->ids_seed, &list->ids,
			scattered->ids[i].id, on_run, marking);
	/* Those behind the .ids file are not known. */
	for (uint64_t run = list->ids_runs; run < list->indexed; run += INDEX_BLOCK_RUNS)
		mark(marking, run);
	if (list->ids_runs < list->indexed)
		mark(marking, list->indexed - 1);
	return ret;
}

int scattered_blocks(struct scattered *scattered, const struct run_list *list, uint8_t **ret)
{
	struct marking marking = {.runs = list->indexed};
	unsigned int each = list->pack != NULL ? PACK_RUNS_EACH : FILE_RUNS_EACH;
	int error;

	*ret = NULL;
	if (list->ids_runs / each < scattered->map.count)
		return 0;
	error = sort_ids(scattered);
	if (error != 0)
		return error;
	marking.blocks = calloc(1, pack_blocks(list->indexed) / 8 + 1);
	if (marking.blocks == NULL)
		return -ENOMEM;
	error = list->pack != NULL ? mark_pack(scattered, list->pack, &marking)
				   : mark_file(scattered, list, &marking);
	if (error != 0)
		free(marking.blocks);
	else
		*ret = marking.blocks;
	return error;
}
