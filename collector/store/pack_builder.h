/*
 * pack_builder.h: a pack in the making; see pack.h. pack_write.c gathers what the runs say,
 * pack_file.c puts the file together. Private to them.
 *
 * What grows with the runs (blocks, directory, ids) lies in files without a name beyond what
 * memory allows for it; what grows with the variety of texts (kinds, sums, the filter of a group)
 * is given up beyond it: readers ask the lines then.
 */
#ifndef WAFT_STORE_PACK_BUILDER_H
#define WAFT_STORE_PACK_BUILDER_H

#include "pack_internal.h"
#include "pack_texts.h"
#include "scratch.h"
#include "spill.h"
#include "trace_load.h"

struct pack_builder {
	struct pack_config config;
	uint32_t seed;
	struct pack_header header;
	char name[PACK_NAME_BYTES];
	char spill_names[4][PACK_NAME_BYTES + 4];
	struct spill blocks; /* whole ones, and filters, as they stand in the file behind the
				header and PACK_PAGES_FIRST */
	struct spill directory;
	struct spill continuing;
	struct spill_ids ids;
	/* The block under way. */
	struct bytes block;
	uint8_t trace_ids[INDEX_BLOCK_RUNS][16];
	uint64_t columns[PACK_COLUMNS][INDEX_BLOCK_RUNS];
	struct bytes filter;
	struct index_zone zone;
	uint64_t block_offset;	/* of its text */
	uint64_t end;		/* of the last run's text */
	int64_t block_start_ns; /* of its first run */
	int64_t start_ns;	/* of the last run in the block */
	size_t block_runs;
	/* The group under way: hashes of its attributes, each once in a table. */
	uint64_t *hashes;
	size_t hash_count, hash_capacity;
	size_t hashes_max;
	uint64_t group_spans;
	bool hashes_pass;	  /* there are too many */
	bool group_passes;	  /* not all of its attributes are known */
	struct pack_texts *texts; /* of the block under way */
	/* Of all runs. */
	struct bytes kinds; /* each behind its length */
	uint32_t *kind_ends;
	uint32_t *kind_slots; /* number; 0: free */
	uint32_t kind_count;
	uint32_t kinds_max; /* a power of two */
	size_t kind_bytes_max;
	struct bytes kind;  /* the one under way */
	struct stats *sums; /* NULL: given up */
	size_t sums_bytes_max;
	struct trace_load load;
	struct scratch scratch;
};

/* pack_builder_write, when the last block is ended: writes the file under its name. */
int pack_file_write(struct pack_builder *builder) MUST_CHECK;

static inline struct slice pack_kind_at(const struct pack_builder *builder, uint32_t number)
{
	uint32_t from = builder->kind_ends[number - 1];

	return slice_of(builder->kinds.data + from, builder->kind_ends[number] - from);
}

#endif
