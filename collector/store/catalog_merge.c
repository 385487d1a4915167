/*
 * catalog_merge.c: see catalog_merge.h. The keys of a stretch of the merged table's pages lie in a
 * stretch of pages of each of the others.
 */
#include "catalog_merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_page.h"

/* The merged table's pages of a step. */
enum { STEP_PAGES = 32 };

struct input {
	struct catalog_shape shape;
	uint32_t seed;
	int file;
};

struct catalog_merge {
	struct disk *disk;
	int index_dir;
	struct catalog_table table;
	struct catalog_shape shape;
	uint32_t seed;
	struct catalog_source sources[CATALOG_MERGE_TABLES];
	struct input inputs[CATALOG_MERGE_TABLES];
	size_t count;
	struct catalog_filter filter;
	int file;	/* -1: it has its name */
	uint64_t first; /* the next page */
	uint64_t end;	/* of those of the step */
	uint64_t first_keys[STEP_PAGES + 1];
	uint8_t pages[STEP_PAGES * CATALOG_PAGE_BYTES];
};

/* ---- Beginning ----------------------------------------------------------------- */

static int open_input(struct catalog_merge *merge, const uint8_t store_id[16], size_t i)
{
	const struct catalog_table *table = &merge->sources[i].table;
	struct input *input = &merge->inputs[i];

	*input = (struct input){.shape = catalog_shape_of(table),
		.seed = catalog_seed(CATALOG_KIND_TABLE, store_id, table->id),
		.file = catalog_table_open(merge->disk, merge->index_dir, table)};
	return input->file < 0 ? input->file : 0;
}

static int begin(struct catalog_merge *merge, const uint8_t store_id[16])
{
	struct catalog_table *table = &merge->table;
	int ret = 0;

	catalog_shape_most(table);
	table->merged = true;
	/* No more than the least of them tells. */
	for (size_t i = 0; i < merge->count; i++)
		if (merge->sources[i].table.hash_bits < table->hash_bits)
			table->hash_bits = merge->sources[i].table.hash_bits;
	merge->shape = catalog_shape_of(&merge->table);
	for (size_t i = 0; ret == 0 && i < merge->count; i++)
		ret = open_input(merge, store_id, i);
	merge->seed = catalog_seed(CATALOG_KIND_TABLE, store_id, merge->table.id);
	if (ret == 0)
		ret = catalog_filter_begin(&merge->table, &merge->filter);
	if (ret == 0)
		ret = merge->file =
			catalog_new_file(merge->disk, merge->index_dir, CATALOG_MERGE_NAME);
	return ret < 0 ? ret : 0;
}

int catalog_merge_begin(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog_source *sources, size_t count, const struct catalog_table *table,
	struct catalog_merge **ret)
{
	struct catalog_merge *merge = calloc(1, sizeof(*merge));
	int error;

	if (merge == NULL)
		return -ENOMEM;
	merge->disk = disk;
	merge->index_dir = index_dir;
	merge->table = *table;
	merge->count = count;
	merge->file = -1;
	memcpy(merge->sources, sources, count * sizeof(*sources));
	for (size_t i = 0; i < count; i++)
		merge->inputs[i].file = -1;
	error = begin(merge, store_id);
	if (error == 0)
		*ret = merge;
	else
		catalog_merge_free(merge);
	return error;
}

/* ---- A step -------------------------------------------------------------------- */

static void put(struct catalog_merge *merge, const struct catalog_source *source,
	struct catalog_entry entry, unsigned int more_bits)
{
	uint64_t page;

	entry.key >>= more_bits;
	if (entry.key < merge->first_keys[0] ||
		entry.key >= merge->first_keys[merge->end - merge->first])
		return;
	entry.part = source->places[entry.part];
	if (entry.part == CATALOG_NO_PART)
		return;
	page = catalog_page_of(&merge->shape, entry.key) - merge->first;
	catalog_page_put(&merge->shape, merge->pages + page * CATALOG_PAGE_BYTES,
		merge->first_keys[page], &entry);
}

/* Of a page that says nothing, the keys from first to last may be anywhere. */
static void fill(struct catalog_merge *merge, uint64_t first, uint64_t last)
{
	uint64_t page = catalog_page_of(&merge->shape, first);

	for (page = page > merge->first ? page : merge->first;
		page < merge->end && page <= catalog_page_of(&merge->shape, last); page++)
		catalog_page_fill(merge->pages + (page - merge->first) * CATALOG_PAGE_BYTES);
}

static int take_page(struct catalog_merge *merge, size_t i, uint64_t number)
{
	const struct input *input = &merge->inputs[i];
	const struct catalog_shape *shape = &input->shape;
	unsigned int more_bits = shape->hash_bits - merge->shape.hash_bits;
	uint64_t first = catalog_first_key(shape, number);
	uint8_t page[CATALOG_PAGE_BYTES];
	int ret = catalog_page_read(merge->disk, input->file, input->seed, number, page);
	int count;

	if (ret != 0)
		return ret;
	count = catalog_page_count(shape, page);
	if (count < 0)
		fill(merge, first >> more_bits,
			(catalog_first_key(shape, number + 1) - 1) >> more_bits);
	for (int k = 0; k < count; k++)
		put(merge, &merge->sources[i],
			catalog_page_get(shape, page, first, (unsigned int)k), more_bits);
	return 0;
}

static int take_pages(struct catalog_merge *merge, size_t i)
{
	const struct catalog_shape *shape = &merge->inputs[i].shape;
	unsigned int more_bits = shape->hash_bits - merge->shape.hash_bits;
	uint64_t first = merge->first_keys[0] << more_bits;
	uint64_t last = (merge->first_keys[merge->end - merge->first] << more_bits) - 1;
	int ret = 0;

	/* Pages without a key. */
	if (merge->first_keys[0] == merge->first_keys[merge->end - merge->first])
		return 0;
	for (uint64_t page = catalog_page_of(shape, first);
		ret == 0 && page <= catalog_page_of(shape, last); page++)
		ret = take_page(merge, i, page);
	return ret;
}

static int make_pages(struct catalog_merge *merge)
{
	uint64_t count = merge->end - merge->first;
	int ret = 0;

	memset(merge->pages, 0, (size_t)count * CATALOG_PAGE_BYTES);
	for (uint64_t i = 0; i <= count; i++)
		merge->first_keys[i] = catalog_first_key(&merge->shape, merge->first + i);
	for (size_t i = 0; ret == 0 && i < merge->count; i++)
		ret = take_pages(merge, i);
	for (uint64_t i = 0; ret == 0 && i < count; i++)
		catalog_filter_add(&merge->filter, &merge->shape, merge->first + i,
			merge->pages + i * CATALOG_PAGE_BYTES);
	return ret == 0 ? catalog_pages_write(merge->disk, merge->file, merge->seed, merge->pages,
				  merge->first, count)
			: ret;
}

int catalog_merge_step(struct catalog_merge *merge)
{
	uint64_t left = merge->shape.pages - merge->first;
	char name[CATALOG_NAME_BYTES];
	int file = merge->file;
	int ret;

	merge->end = merge->first + (left < STEP_PAGES ? left : STEP_PAGES);
	ret = make_pages(merge);
	merge->first = merge->end;
	if (ret != 0 || merge->first < merge->shape.pages)
		return ret != 0 ? ret : 1;
	catalog_table_name(merge->table.id, name);
	merge->file = -1;
	return catalog_name_file(merge->disk, merge->index_dir, file, CATALOG_MERGE_NAME, name, 0);
}

/* ---- */

const struct catalog_table *catalog_merge_table(const struct catalog_merge *merge)
{
	return &merge->table;
}

const struct catalog_source *catalog_merge_sources(
	const struct catalog_merge *merge, size_t *ret_count)
{
	*ret_count = merge->count;
	return merge->sources;
}

uint8_t *catalog_merge_filter(struct catalog_merge *merge)
{
	return catalog_filter_end(&merge->filter);
}

size_t catalog_merge_memory(const struct catalog_merge *merge)
{
	return sizeof(*merge) + (size_t)merge->filter.bytes;
}

void catalog_merge_free(struct catalog_merge *merge)
{
	if (merge == NULL)
		return;
	for (size_t i = 0; i < merge->count; i++)
		disk_close(merge->disk, merge->inputs[i].file);
	if (merge->file >= 0)
		(void)!catalog_name_file(merge->disk, merge->index_dir, merge->file,
			CATALOG_MERGE_NAME, CATALOG_MERGE_NAME, -ECANCELED);
	catalog_filter_drop(&merge->filter);
	free(merge);
}
