/*
 * catalog_merge.h: several tables of the catalog made one, of their pages alone. In small steps,
 * for the thread that takes them has other things to do; what the tables are of may go meanwhile.
 * One thread at a time.
 */
#ifndef WAFT_STORE_CATALOG_MERGE_H
#define WAFT_STORE_CATALOG_MERGE_H

#include "catalog.h"

#define CATALOG_MERGE_TABLES 8
#define CATALOG_MERGE_NAME "catalog.merging"
#define CATALOG_NO_PART 0xff

/* A table, and where its parts stand in the merged one; CATALOG_NO_PART: they are left out. */
struct catalog_source {
	struct catalog_table table;
	uint8_t places[CATALOG_TABLE_PARTS];
};

struct catalog_merge;

/* Begins: of tables, CATALOG_MERGE_TABLES at most, and of the id, parts and runs of table. *ret is
 * owned (catalog_merge_free). 0 or a negative error. */
int catalog_merge_begin(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog_source *sources, size_t count, const struct catalog_table *table,
	struct catalog_merge **ret) MUST_CHECK;

/* Goes on for a millisecond or less. 1: there is more; 0: the table is there, whole; ERR_INDEX: a
 * page of the tables doesn't hold; a negative errno. */
int catalog_merge_step(struct catalog_merge *merge) MUST_CHECK;

/* What is merged, and of what. */
const struct catalog_table *catalog_merge_table(const struct catalog_merge *merge);
const struct catalog_source *catalog_merge_sources(
	const struct catalog_merge *merge, size_t *ret_count);

/* The filter of what was merged, owned by the caller; once. */
uint8_t *catalog_merge_filter(struct catalog_merge *merge);

size_t catalog_merge_memory(const struct catalog_merge *merge);

/* What isn't done is gone. NULL is fine. */
void catalog_merge_free(struct catalog_merge *merge);

#endif
