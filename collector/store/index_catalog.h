/*
 * index_catalog.h: the catalog (catalog.h) as the writer keeps it: the filters of its tables in
 * memory in the place of those of the parts, so that a trace id is looked for in few places,
 * however many parts there are. Private to index.c; one thread at a time.
 *
 * A table is made of CATALOG_GATHER closed parts that none covers, or fewer that have some million
 * runs; one that has more by itself is in none. Of so many tables as CATALOG_MERGE_TABLES one is
 * made, step by step. What of it can't be written
 * or read is as if it weren't there. Memory: 2 bytes a run, twice that for those that are
 * merged; while a table is made, 4 MiB more.
 */
#ifndef WAFT_STORE_INDEX_CATALOG_H
#define WAFT_STORE_INDEX_CATALOG_H

#include "catalog.h"
#include "catalog_merge.h"
#include "index_part.h"

#define CATALOG_GATHER 8

struct index_cover {
	uint8_t *bloom; /* owned */
	uint64_t bloom_bytes;
	bool unmergeable; /* it failed: it isn't tried again before the next start */
	struct index_state *parts[CATALOG_TABLE_PARTS]; /* borrowed; NULL: gone */
};

/* Zero-initialise but for place. */
struct index_catalog {
	const struct index_place *place; /* borrowed */
	struct catalog catalog;
	struct index_cover *covers;  /* owned; as many as tables */
	struct catalog_merge *merge; /* owned; under way, or NULL */
};

/* Takes in what is there of these parts, and forgets what is said of others. True: files went, or
 * were made anew. */
bool index_catalog_load(
	struct index_catalog *catalog, struct index_state *const *parts, size_t count);
void index_catalog_done(struct index_catalog *catalog);

/* Makes tables of the parts, so many at most, as long as there are enough that none covers. */
void index_catalog_gather(struct index_catalog *catalog, struct index_state *const *parts,
	size_t count, unsigned int most);

/* Goes on merging tables, or begins where there are enough, for a millisecond or so. False: there
 * is nothing to do. */
bool index_catalog_merge(struct index_catalog *catalog);

/* The part goes: the caller syncs the directory. */
void index_catalog_remove(struct index_catalog *catalog, const struct index_state *part);

/* Which parts of a table may have a trace: a bit each of covers[table].parts. */
uint64_t index_catalog_ask(const struct index_catalog *catalog, size_t table, uint64_t hash);

/* index_catalog_ask is to come: fetches from memory what it looks at. */
void index_catalog_expect(const struct index_catalog *catalog, uint64_t hash);

/* Whether a file of the directory of indexes is the catalog's. */
bool index_catalog_has_file(const struct index_catalog *catalog, const char *name);

size_t index_catalog_memory(const struct index_catalog *catalog);

#endif
