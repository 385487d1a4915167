/*
 * index_format.h: the bytes of index files (docs/STORE.md, "Index").
 *
 * `<part>.runs`: slots of 128 bytes. Slot 0 is the header; then runs, and as every
 * 256th slot after the header a zone, which says what is common to the 255
 * runs before it. `<part>.ids`: a header slot, a Bloom filter of trace ids, then
 * pages of (trace id, run number), sorted by both, then the trace ids of those runs that
 * continue a trace.
 *
 * Every piece has a CRC that also depends on its place, its part and the store,
 * so that what was moved, or belongs elsewhere, doesn't pass. Pure functions.
 */
#ifndef WAFT_STORE_INDEX_FORMAT_H
#define WAFT_STORE_INDEX_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index.h"
#include "part.h"

#define INDEX_DIR "index"
#define INDEX_SLOT_BYTES 128
#define INDEX_BLOCK_RUNS 255
#define INDEX_PAGE_BYTES 4096
#define INDEX_PAGE_IDS 204
#define INDEX_NAME_BYTES 48

/* What is common to some runs. */
struct index_zone {
	uint32_t runs;
	uint32_t flags;	 /* of any of them */
	uint32_t errors; /* of all together, at most 2^32 - 1 */
	int64_t max_start_ns;
	int64_t min_start_ns;
	int64_t max_duration_ns;	     /* of those that are sure; -1: none */
	uint64_t filter[INDEX_FILTER_WORDS]; /* of any of them */
};

/* The beginning of an .ids file. */
struct index_ids {
	uint64_t runs;	      /* the first so many of the part are in it */
	uint64_t covered;     /* bytes of the part up to the end of the last of them */
	uint64_t bloom_bytes; /* a multiple of 64 */
	uint32_t bloom_crc;
	uint32_t continuing; /* how many of the runs continue a trace */
	uint32_t continuing_crc;
	struct index_zone zone; /* of them all; without filter */
};

/* A trace id with the number of one of its runs. */
struct index_id {
	uint8_t trace_id[16];
	uint32_t run;
};

enum index_kind { INDEX_RUNS = 1, INDEX_IDS = 2 };

/* "2026-01-09.0002.jsonl.runs"; -EINVAL as part_name_format. */
int index_file_name(
	const struct part_name *part, enum index_kind kind, char ret[INDEX_NAME_BYTES]) MUST_CHECK;

/* Mixed into all CRCs of a file. */
uint32_t index_seed(enum index_kind kind, const uint8_t store_id[16], const struct part_name *part);

/* Where a run's slot lies, and how many runs are whole in a file of this length. */
static inline uint64_t index_run_slot(uint64_t run)
{
	return 1 + run + run / INDEX_BLOCK_RUNS;
}

static inline uint64_t index_zone_slot(uint64_t block)
{
	return 1 + block * (INDEX_BLOCK_RUNS + 1) + INDEX_BLOCK_RUNS;
}

static inline uint64_t index_runs_in_file(uint64_t file_bytes)
{
	uint64_t slots = file_bytes / INDEX_SLOT_BYTES;

	return slots == 0 ? 0 : slots - 1 - (slots - 1) / (INDEX_BLOCK_RUNS + 1);
}

/* The header of a .runs file. */
void index_header_put(uint32_t seed, uint8_t ret[INDEX_SLOT_BYTES]);
bool index_header_check(uint32_t seed, const uint8_t slot[INDEX_SLOT_BYTES]);

void index_run_put(
	uint32_t seed, uint64_t run, const struct index_run *from, uint8_t ret[INDEX_SLOT_BYTES]);
/* False when the slot isn't that run's. */
bool index_run_get(
	uint32_t seed, uint64_t run, const uint8_t slot[INDEX_SLOT_BYTES], struct index_run *ret);

/* Whether it is, and the trace id in it. */
bool index_run_check(uint32_t seed, uint64_t run, const uint8_t slot[INDEX_SLOT_BYTES]);
static inline const uint8_t *index_run_id(const uint8_t slot[INDEX_SLOT_BYTES])
{
	return slot + 8;
}

void index_zone_put(uint32_t seed, uint64_t block, const struct index_zone *from,
	uint8_t ret[INDEX_SLOT_BYTES]);
bool index_zone_get(uint32_t seed, uint64_t block, const uint8_t slot[INDEX_SLOT_BYTES],
	struct index_zone *ret);

void index_ids_put(uint32_t seed, const struct index_ids *from, uint8_t ret[INDEX_SLOT_BYTES]);
bool index_ids_get(uint32_t seed, const uint8_t slot[INDEX_SLOT_BYTES], struct index_ids *ret);

/* Where page number lies in an .ids file. */
static inline uint64_t index_page_offset(const struct index_ids *ids, uint64_t page)
{
	return INDEX_SLOT_BYTES + ids->bloom_bytes + page * INDEX_PAGE_BYTES;
}

static inline uint64_t index_pages(const struct index_ids *ids)
{
	return (ids->runs + INDEX_PAGE_IDS - 1) / INDEX_PAGE_IDS;
}

/* The trace ids of runs that continue a trace stand behind the pages, 16 bytes each. */
static inline uint64_t index_continuing_offset(const struct index_ids *ids)
{
	return index_page_offset(ids, index_pages(ids));
}

/* count: at most INDEX_PAGE_IDS; all but the last page are full. */
void index_page_put(uint32_t seed, uint64_t page, const struct index_id *ids, size_t count,
	uint8_t ret[INDEX_PAGE_BYTES]);
/* Returns the count, or -1 when it isn't that page. */
int index_page_get(uint32_t seed, uint64_t page, const uint8_t bytes[INDEX_PAGE_BYTES],
	struct index_id ret[INDEX_PAGE_IDS]);

/* Adds a run to a zone; a zeroed one is empty. */
void index_zone_add(struct index_zone *zone, const struct index_run *run);
/* Adds a zone. */
void index_zone_join(struct index_zone *zone, const struct index_zone *other);

/* Bloom filter: 6 bits in one of its blocks of 64 bytes; 10 bits a key. */
uint64_t index_bloom_bytes(uint64_t keys);
void index_bloom_set(uint8_t *bloom, uint64_t bytes, uint64_t hash);
/* The same in two steps, for who doesn't hold all of it: where the hash's INDEX_BLOOM_BLOCK bytes
 * begin, which grows with the hash, and its bits in them. */
#define INDEX_BLOOM_BLOCK 64
uint64_t index_bloom_block(uint64_t bytes, uint64_t hash);
void index_bloom_set_block(uint8_t block[INDEX_BLOOM_BLOCK], uint64_t hash);
bool index_bloom_has(const uint8_t *bloom, uint64_t bytes, uint64_t hash);

#endif
