/*
 * catalog_make.c: making a table of the ids of parts; see catalog.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_page.h"
#include "index_run.h"

#define NEW_NAME "catalog.new"

enum { PAGES_AT_ONCE = 1024 }; /* in memory */

struct making {
	const struct catalog_ids *ids;
	const struct catalog_table *table;
	struct catalog_shape shape;
	struct catalog_filter filter;
	uint8_t *pages;	      /* owned; from page first on */
	uint64_t *first_keys; /* owned; of each of them */
	uint64_t first;
	uint64_t end;
	uint64_t found; /* ids, in the first round */
	unsigned int part;
};

static int on_id(void *arg, const uint8_t trace_id[16])
{
	struct making *making = arg;
	struct catalog_entry entry = {
		.key = catalog_key(making->shape.hash_bits, index_hash_id(trace_id)),
		.part = making->part};
	uint64_t page = catalog_page_of(&making->shape, entry.key);

	making->found += making->first == 0;
	if (page >= making->first && page < making->end) {
		size_t at = (size_t)(page - making->first);

		catalog_page_put(&making->shape, making->pages + at * CATALOG_PAGE_BYTES,
			making->first_keys[at], &entry);
	}
	return 0;
}

/* The pages from first to end. */
static int make_pages(struct making *making, struct disk *disk, int file, uint32_t seed)
{
	uint64_t count = making->end - making->first;
	int ret = 0;

	memset(making->pages, 0, (size_t)count * CATALOG_PAGE_BYTES);
	for (uint64_t i = 0; i < count; i++)
		making->first_keys[i] = catalog_first_key(&making->shape, making->first + i);
	for (making->part = 0; ret == 0 && making->part < making->table->part_count; making->part++)
		ret = making->ids->for_each_id(making->ids->ctx, making->part, on_id, making);
	if (ret == 0 && making->found != making->table->runs)
		ret = ERR_INDEX;
	for (uint64_t i = 0; ret == 0 && i < count; i++)
		catalog_filter_add(&making->filter, &making->shape, making->first + i,
			making->pages + i * CATALOG_PAGE_BYTES);
	if (ret == 0)
		ret = catalog_pages_write(disk, file, seed, making->pages, making->first, count);
	return ret;
}

static int make_table(struct making *making, struct disk *disk, int file, uint32_t seed)
{
	uint64_t pages = making->shape.pages;
	int ret = 0;

	for (uint64_t first = 0; ret == 0 && first < pages; first = making->end) {
		making->first = first;
		making->end = pages - first < PAGES_AT_ONCE ? pages : first + PAGES_AT_ONCE;
		ret = make_pages(making, disk, file, seed);
	}
	return ret;
}

static int begin(struct making *making)
{
	uint64_t pages = making->shape.pages;
	size_t at_once = (size_t)(pages < PAGES_AT_ONCE ? pages : PAGES_AT_ONCE);

	making->pages = malloc(at_once * CATALOG_PAGE_BYTES);
	making->first_keys = malloc(at_once * sizeof(*making->first_keys));
	if (making->pages == NULL || making->first_keys == NULL)
		return -ENOMEM;
	return catalog_filter_begin(making->table, &making->filter);
}

int catalog_table_make(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog_ids *ids, struct catalog_table *table, uint8_t **ret_bloom)
{
	struct making making = {.ids = ids, .table = table};
	char name[CATALOG_NAME_BYTES];
	int file = -1, ret;

	catalog_shape_most(table);
	making.shape = catalog_shape_of(table);
	ret = begin(&making);
	if (ret == 0)
		ret = file = catalog_new_file(disk, index_dir, NEW_NAME);
	if (ret >= 0) {
		ret = make_table(
			&making, disk, file, catalog_seed(CATALOG_KIND_TABLE, store_id, table->id));
		catalog_table_name(table->id, name);
		ret = catalog_name_file(disk, index_dir, file, NEW_NAME, name, ret);
	}
	free(making.pages);
	free(making.first_keys);
	if (ret == 0)
		*ret_bloom = catalog_filter_end(&making.filter);
	else
		catalog_filter_drop(&making.filter);
	return ret;
}
