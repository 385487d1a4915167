/*
 * pack_internal.h: the bytes of a pack; see pack.h. Private to pack_read.c and pack_write.c.
 *
 * The header, 256 bytes; the first hashes of the pages of ids; then, in any order, where the
 * header or the directory say: blocks of runs, the blocks' filters, the directory, pages of ids,
 * the Bloom filter of ids, ids of runs that continue a trace, kinds, sums.
 */
#ifndef WAFT_STORE_PACK_INTERNAL_H
#define WAFT_STORE_PACK_INTERNAL_H

#include "crc32c.h"
#include "cursor.h"
#include "pack.h"

enum {
	PACK_HEADER_BYTES = 256,
	PACK_ENTRY_BYTES = 64, /* of a block, in the directory */
	PACK_PAGE_BYTES = 4096,
	PACK_PAGE_IDS = (PACK_PAGE_BYTES - 8) / 4,
	PACK_RUNS_MAX = 1 << 24,
	PACK_HASH_COUNT = 3, /* form 1: bits of each attribute in a group's filter */
	PACK_PASSES_ALL = 0xffff,
	PACK_SUMS_BYTES_MAX = 32 << 20, /* that are compressed */
};

/* Pieces that the header tells of. */
enum pack_section {
	PACK_PAGES_FIRST, /* u32 a page: the high half of its first hash */
	PACK_DIRECTORY,
	PACK_IDS,
	PACK_BLOOM,
	PACK_CONTINUING,
	PACK_KINDS,
	PACK_SUMS,
	PACK_SECTIONS,
};

/* What else has a CRC of its own. */
enum { PACK_PIECE_HEADER = PACK_SECTIONS, PACK_PIECE_BLOCK, PACK_PIECE_FILTER, PACK_PIECE_PAGE };

struct pack_place {
	uint64_t offset;
	uint32_t length;
	uint32_t crc; /* of pages: theirs stand in them */
};

struct pack_header {
	uint64_t runs;
	uint64_t covered;
	struct index_zone zone; /* filter not kept */
	int64_t sum_min_ns;	/* starts of runs that are in the sums */
	int64_t sum_max_ns;
	struct pack_place places[PACK_SECTIONS];
};

/* A block in the directory. */
struct pack_entry {
	uint64_t offset;
	uint64_t text_offset; /* where its first run would stand without a gap */
	uint64_t filter_offset;
	uint32_t length; /* with the CRC */
	uint32_t filter_length;
	struct index_zone zone;
};

/* A block of form 2: the runs' trace ids, the first one's start (zigzag), then these. */
enum pack_column {
	PACK_FLAGS,
	PACK_GAPS, /* of text, before each run */
	PACK_LENGTHS,
	PACK_SPANS,
	PACK_ERRORS,
	PACK_STARTS,	/* zigzag, less that of the run before */
	PACK_DURATIONS, /* zigzag */
	PACK_RUN_KINDS,
	PACK_COLUMNS,
};

/* Bits of a run's first byte, in form 1, that aren't flags of it. */
enum { PACK_RUN_FLAGS = 0x3f, PACK_RUN_ERRORS = 1 << 6, PACK_RUN_GAP = 1 << 7 };

/* What a pack's pieces look like; earlier ones are read. */
enum pack_form {
	PACK_FORM_1 = 3, /* runs one behind the other, Bloom filters of attributes */
	PACK_FORM_2,	 /* columns, ribbon filters */
};

static inline uint32_t pack_seed(
	const uint8_t store_id[16], const struct part_name *part, enum pack_form form)
{
	return index_seed((enum index_kind)form, store_id, part);
}

static inline uint32_t pack_crc(
	uint32_t seed, unsigned int piece, uint64_t number, const void *bytes, size_t length)
{
	uint8_t place[12];

	le32_write(place, piece);
	le64_write(place + 4, number);
	return crc32c(crc32c(seed, place, sizeof(place)), bytes, length);
}

/* Takes the runs of a block. entry->text_offset becomes where the last one's text ends. */
void pack_take_runs(struct cursor *in, enum pack_form form, struct pack_entry *entry,
	struct index_run ret[INDEX_BLOCK_RUNS]);

/* How many of an entry's 32 bits are the run's number; the rest are of the hash. */
static inline unsigned int pack_run_bits(uint64_t runs)
{
	return runs <= 1 ? 1 : 64 - (unsigned int)__builtin_clzll(runs - 1);
}

static inline uint64_t pack_pages(uint64_t runs)
{
	return (runs + PACK_PAGE_IDS - 1) / PACK_PAGE_IDS;
}

static inline uint64_t pack_zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

/* A bit of a group's filter, in form 1. */
static inline uint32_t pack_filter_bit(uint64_t hash, unsigned int i, uint32_t bits)
{
	uint32_t mixed = (uint32_t)hash + i * (uint32_t)(hash >> 32 | 1);

	return (uint32_t)((uint64_t)(mixed * UINT32_C(2654435769)) * bits >> 32);
}

#endif
