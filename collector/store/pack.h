/*
 * pack.h: the index of a sealed part, which never changes, in one small file
 * (docs/STORE.md, "Index"). It answers what `.runs` and `.ids` do of a part that takes
 * appends, and more: the columns that `trace list` shows of a run, and the sums of all
 * spans for stats.
 *
 * Made by pack_builder, as the part is sealed (seal.c) or when the file was
 * missing (index.c); read piece by piece, each with a CRC that includes the store, the part,
 * its kind and number. Memory of a reader: 64 bytes a block of 255 runs, 8 KiB when texts were
 * asked for. Of a builder: what it is allowed, whatever the part holds. Each is used by one
 * thread at a time.
 *
 * ERR_INDEX from any call: the file is damaged.
 */
#ifndef WAFT_STORE_PACK_H
#define WAFT_STORE_PACK_H

#include "disk.h"
#include "filter.h"
#include "ids_file.h"
#include "index_format.h"
#include "stats.h"

#define PACK_NAME_BYTES INDEX_NAME_BYTES
/* Runs that share a filter of attributes. */
#define PACK_GROUP_RUNS 32
#define PACK_GROUPS ((INDEX_BLOCK_RUNS + PACK_GROUP_RUNS - 1) / PACK_GROUP_RUNS)

/* "2026-01-09.0002.jsonl.zst.pack"; -EINVAL as part_name_format. */
int pack_name(const struct part_name *part, char ret[PACK_NAME_BYTES]) MUST_CHECK;

/* ---- Making ----------------------------------------------------------------- */

struct pack_builder;

struct pack_config {
	uint8_t store_id[16];
	struct part_name part;
	struct disk *disk; /* borrowed */
	int index_dir;
	/* That it may take, besides twice what trace_load takes of a run's lines; 0: 16 MiB. */
	size_t memory_bytes;
	/* Called before a change of the file system, and with false after it; may be NULL. */
	void (*hurry)(void *context, bool on);
	void *context;
};

/* NULL: no memory. */
struct pack_builder *pack_builder_new(const struct pack_config *config);
/* NULL is fine. */
void pack_builder_free(struct pack_builder *builder);

/* Adds the next run, with its lines; without (length 0) it is always read when it is asked for.
 * 0, -ENOMEM, -EFBIG: there are too many runs for a pack; or an error of the disk. */
int pack_builder_add(
	struct pack_builder *builder, const struct index_run *run, struct slice lines) MUST_CHECK;

/* Writes the file anew, once; covered: length of the part. 0 or a negative errno. */
int pack_builder_write(struct pack_builder *builder, uint64_t covered) MUST_CHECK;

/* ---- Reading ---------------------------------------------------------------- */

struct pack;

/* Opens a part's pack. 0, ERR_INDEX: there is none that holds, -ENOMEM. *ret is owned; disk is
 * borrowed. */
int pack_open(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct part_name *part, struct pack **ret) MUST_CHECK;
/* Begins to read what pack_open needs, without waiting. */
void pack_will_open(struct disk *disk, int index_dir, const struct part_name *part);
/* NULL is fine. */
void pack_close(struct pack *pack);

uint64_t pack_runs(const struct pack *pack);
uint64_t pack_covered(const struct pack *pack); /* length of the part that it is of */
/* Of all runs; without filter. */
void pack_zone(const struct pack *pack, struct index_zone *ret);

static inline size_t pack_blocks(uint64_t runs)
{
	return (size_t)((runs + INDEX_BLOCK_RUNS - 1) / INDEX_BLOCK_RUNS);
}

/* Without filter. */
int pack_block_zone(struct pack *pack, size_t block, struct index_zone *ret) MUST_CHECK;

/* The runs of a block. Their filters are full of ones: nothing is known by them. */
int pack_block(struct pack *pack, size_t block, struct index_run ret[INDEX_BLOCK_RUNS],
	size_t *ret_count) MUST_CHECK;

/* Which groups of a block may hold a span with all of these attributes, by index_hash_value:
 * a bit each. */
int pack_block_groups(struct pack *pack, size_t block, const uint64_t *hashes, size_t count,
	uint32_t *ret_groups) MUST_CHECK;

/* Hashes of what stands in a text four bytes by four, at most capacity of them. */
size_t pack_grams_of(struct slice text, uint16_t *ret, size_t capacity);

/* Which groups of a block may hold a span with a text for grep that has all of these grams: a bit
 * each. */
int pack_block_texts(struct pack *pack, size_t block, const uint16_t *grams, size_t count,
	uint32_t *ret_groups) MUST_CHECK;

/* Calls on_run for each run of the trace, in order of place. A result other than 0 ends it and is
 * returned. */
int pack_find(struct pack *pack, const uint8_t trace_id[16],
	int (*on_run)(void *ctx, const struct index_run *run), void *ctx) MUST_CHECK;

/* Calls on_number with the numbers of runs whose trace id may have this hash (index_hash_id): all
 * that do, and a few others. A result other than 0 ends it and is returned. */
int pack_find_numbers(struct pack *pack, uint64_t hash,
	int (*on_number)(void *ctx, uint32_t number), void *ctx) MUST_CHECK;

/* pack_find in steps, each of which begins to read, without waiting, what the next one needs, so
 * that many packs' are read at once. Ids come first; likely: the trace is probably there, so what
 * comes behind them is read with them. */
void pack_will_look(struct pack *pack, const uint8_t trace_id[16], bool likely);
/* False: the trace is not in this pack (or it is damaged, which pack_find tells). */
bool pack_may_find(struct pack *pack, const uint8_t trace_id[16]);
/* *ret_offset: about where its lines begin in the part. False: that isn't known. */
bool pack_will_find(struct pack *pack, const uint8_t trace_id[16], uint64_t *ret_offset);

/* Calls on_id for the trace of each run that continues one. */
int pack_for_each_continuing(struct pack *pack, int (*on_id)(void *ctx, const uint8_t trace_id[16]),
	void *ctx) MUST_CHECK;

/* Calls on_id for the trace of each run. ERR_INDEX also for packs of earlier builds. */
int pack_for_each_id(struct pack *pack, int (*on_id)(void *ctx, const uint8_t trace_id[16]),
	void *ctx) MUST_CHECK;

/* The filter of trace ids (index_bloom_has), of index_bloom_bytes(runs). *ret is owned. */
int pack_bloom(struct pack *pack, uint8_t **ret) MUST_CHECK;

/* What a list shows of a run's trace, when that is its only run and sure. Texts are borrowed
 * until the pack is closed. */
struct pack_kind {
	struct slice operation;
	struct slice layer;
	struct slice services; /* texts behind their lengths (varints), sorted */
	size_t service_count;
};

/* number: run.kind, not 0. */
int pack_kind(struct pack *pack, uint32_t number, struct pack_kind *ret) MUST_CHECK;
/* The next of kind.services; *services goes on. False at the end. */
bool pack_next_service(struct slice *services, struct slice *ret);

/* Whether all runs that are summed started in [since_ns, until_ns) (0: any), and there are
 * sums. */
bool pack_sums_within(const struct pack *pack, int64_t since_ns, int64_t until_ns);

/* Adds the sums of all runs without INDEX_UNSUMMED, each counted as a trace of its own, of those
 * rows that filter's service, operation and layer name. */
int pack_sums(struct pack *pack, const struct filter *filter, struct stats *into) MUST_CHECK;

#endif
