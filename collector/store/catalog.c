/*
 * catalog.c: see catalog.h.
 */
#include "catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "catalog_page.h"
#include "crc32c.h"
#include "cursor.h"

#define MAGIC "WAFTCAT2"
#define NEW_NAME "catalog.new"

enum {
	TABLES_MAX = 4096,
	HEADER_BYTES = 16, /* CRC, magic, count of tables */
	PAGES_AT_ONCE = 64,
};

void catalog_table_name(uint32_t id, char ret[CATALOG_NAME_BYTES])
{
	snprintf(ret, CATALOG_NAME_BYTES, CATALOG_NAME "-%08x", (unsigned int)id);
}

uint32_t catalog_seed(enum catalog_kind kind, const uint8_t store_id[16], uint32_t id)
{
	const struct part_name place = {.number = id};

	return index_seed((enum index_kind)kind, store_id, &place);
}

/* ---- The list ----------------------------------------------------------------- */

static int put_parts(struct bytes *out, const struct catalog_table *table)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < table->part_count; i++) {
		const struct catalog_part *part = &table->parts[i];

		ret = bytes_u32(out, (uint32_t)part->day);
		if (ret == 0)
			ret = bytes_u32(out, part->number);
		if (ret == 0)
			ret = bytes_u64(out, part->length_bytes);
	}
	return ret;
}

static int put_table(struct bytes *out, const struct catalog_table *table)
{
	int ret = bytes_u32(out, table->id);

	if (ret == 0)
		ret = bytes_u32(out, table->hash_bits | (uint32_t)table->entry_bytes << 8 |
					     (uint32_t)table->merged << 16);
	if (ret == 0)
		ret = bytes_u64(out, table->runs);
	if (ret == 0)
		ret = bytes_u32(out, table->part_count);
	return ret == 0 ? put_parts(out, table) : ret;
}

static void take_table(struct cursor *in, struct catalog_table *ret)
{
	uint32_t shape;

	*ret = (struct catalog_table){.id = cursor_fixed32(in)};
	shape = cursor_fixed32(in);
	ret->hash_bits = (uint8_t)shape;
	ret->entry_bytes = (uint8_t)(shape >> 8);
	ret->merged = (shape >> 16 & 1) != 0;
	ret->runs = cursor_fixed64(in);
	ret->part_count = cursor_fixed32(in);
	if (shape >> 17 != 0 || !catalog_shape_holds(ret) || ret->part_count == 0 ||
		ret->part_count > CATALOG_TABLE_PARTS)
		cursor_fail(in, ERR_MALFORMED);
	for (uint32_t i = 0; in->error == 0 && i < ret->part_count; i++) {
		ret->parts[i].day = (int32_t)cursor_fixed32(in);
		ret->parts[i].number = cursor_fixed32(in);
		ret->parts[i].length_bytes = cursor_fixed64(in);
	}
}

static int parse(const uint8_t *data, size_t length, uint32_t seed, struct catalog *ret)
{
	struct cursor in = cursor_of(data + HEADER_BYTES, length - HEADER_BYTES);
	uint32_t count = le32_read(data + 12);

	if (le32_read(data) != crc32c(seed, data + 4, length - 4) ||
		memcmp(data + 4, MAGIC, 8) != 0 || count > TABLES_MAX)
		return ERR_INDEX;
	ret->tables = calloc((size_t)count + 1, sizeof(*ret->tables));
	if (ret->tables == NULL)
		return -ENOMEM;
	for (; in.error == 0 && ret->count < count; ret->count++)
		take_table(&in, &ret->tables[ret->count]);
	ret->crc = le32_read(data);
	return in.error != 0 || cursor_more(&in) ? ERR_INDEX : 0;
}

/* All of the file, owned by the caller. */
static int read_list(struct disk *disk, int file, uint8_t **ret, size_t *ret_length)
{
	struct disk_stat stat;
	uint8_t *data;

	if (disk_stat_file(disk, file, &stat) != 0 || stat.length_bytes < HEADER_BYTES ||
		stat.length_bytes > TABLES_MAX * sizeof(struct catalog_table))
		return ERR_INDEX;
	data = malloc((size_t)stat.length_bytes);
	if (data == NULL)
		return -ENOMEM;
	if (disk_read(disk, file, data, (size_t)stat.length_bytes, 0) !=
		(ssize_t)stat.length_bytes) {
		free(data);
		return ERR_INDEX;
	}
	*ret = data;
	*ret_length = (size_t)stat.length_bytes;
	return 0;
}

int catalog_load(struct disk *disk, int index_dir, const uint8_t store_id[16], struct catalog *ret)
{
	int file = disk_open(disk, index_dir, CATALOG_NAME, DISK_READ);
	uint8_t *data = NULL;
	size_t length;
	int error = file < 0 ? ERR_INDEX : read_list(disk, file, &data, &length);

	*ret = (struct catalog){0};
	if (error == 0)
		error = parse(data, length, catalog_seed(CATALOG_KIND_LIST, store_id, 0), ret);
	if (error != 0)
		catalog_done(ret);
	free(data);
	disk_close(disk, file);
	return error;
}

void catalog_will_load(struct disk *disk, int index_dir)
{
	int file = disk_open(disk, index_dir, CATALOG_NAME, DISK_READ);

	if (file >= 0)
		disk_will_read(disk, file, 0, CATALOG_PAGE_BYTES);
	disk_close(disk, file);
}

int catalog_save(
	struct disk *disk, int index_dir, const uint8_t store_id[16], const struct catalog *catalog)
{
	struct bytes out = {0};
	int file = -1;
	int ret = bytes_u32(&out, 0);

	if (ret == 0)
		ret = bytes_put(&out, MAGIC, 8);
	if (ret == 0)
		ret = bytes_u32(&out, (uint32_t)catalog->count);
	for (size_t i = 0; ret == 0 && i < catalog->count; i++)
		ret = put_table(&out, &catalog->tables[i]);
	if (ret == 0) {
		le32_write(out.data, crc32c(catalog_seed(CATALOG_KIND_LIST, store_id, 0),
					     out.data + 4, out.length - 4));
		ret = file = catalog_new_file(disk, index_dir, NEW_NAME);
	}
	if (ret >= 0) {
		ret = disk_write(disk, file, out.data, out.length, 0);
		ret = catalog_name_file(disk, index_dir, file, NEW_NAME, CATALOG_NAME, ret);
	}
	bytes_done(&out);
	return ret;
}

void catalog_done(struct catalog *catalog)
{
	free(catalog->tables);
	*catalog = (struct catalog){0};
}

int catalog_add(struct catalog *catalog, const struct catalog_table *table)
{
	struct catalog_table *tables =
		reallocarray(catalog->tables, catalog->count + 1, sizeof(*tables));

	if (tables == NULL)
		return -ENOMEM;
	catalog->tables = tables;
	tables[catalog->count++] = *table;
	return 0;
}

/* ---- A table ---------------------------------------------------------------------- */

int catalog_table_open(struct disk *disk, int index_dir, const struct catalog_table *table)
{
	char name[CATALOG_NAME_BYTES];

	catalog_table_name(table->id, name);
	return disk_open(disk, index_dir, name, DISK_READ);
}

void catalog_table_will_ask(
	struct disk *disk, int file, const struct catalog_table *table, uint64_t hash)
{
	struct catalog_shape shape = catalog_shape_of(table);
	uint64_t page = catalog_page_of(&shape, catalog_key(shape.hash_bits, hash));

	if (file >= 0)
		disk_will_read(disk, file, page * CATALOG_PAGE_BYTES, CATALOG_PAGE_BYTES);
}

uint64_t catalog_table_ask(struct disk *disk, int file, const uint8_t store_id[16],
	const struct catalog_table *table, uint64_t hash)
{
	uint64_t all =
		table->part_count == 64 ? UINT64_MAX : (UINT64_C(1) << table->part_count) - 1;
	struct catalog_shape shape = catalog_shape_of(table);
	uint64_t key = catalog_key(shape.hash_bits, hash);
	uint64_t number = catalog_page_of(&shape, key);
	uint8_t page[CATALOG_PAGE_BYTES];
	int count;

	if (file < 0 ||
		catalog_page_read(disk, file, catalog_seed(CATALOG_KIND_TABLE, store_id, table->id),
			number, page) != 0)
		return all;
	count = catalog_page_count(&shape, page);
	if (count < 0)
		return all;
	return all & catalog_page_parts(&shape, page, (unsigned int)count,
			     key - catalog_first_key(&shape, number));
}

/* Of pages from first on, whose number is in *ret_count. */
static int read_pages(struct disk *disk, int file, uint8_t *pages, uint64_t first,
	const struct catalog_shape *shape, uint64_t *ret_count)
{
	uint64_t left = shape->pages - first;
	size_t bytes;
	ssize_t got;

	*ret_count = left < PAGES_AT_ONCE ? left : PAGES_AT_ONCE;
	bytes = (size_t)*ret_count * CATALOG_PAGE_BYTES;
	got = disk_read(disk, file, pages, bytes, first * CATALOG_PAGE_BYTES);
	if (got < 0)
		return (int)got;
	return (size_t)got == bytes ? 0 : ERR_INDEX;
}

static int filter_of_pages(
	struct disk *disk, int file, uint32_t seed, uint8_t *pages, struct catalog_filter *filter)
{
	struct catalog_shape shape = catalog_shape_of(filter->table);
	uint64_t count;
	int ret = 0;

	for (uint64_t first = 0; ret == 0 && first < shape.pages; first += count) {
		ret = read_pages(disk, file, pages, first, &shape, &count);
		for (uint64_t i = 0; ret == 0 && i < count; i++) {
			const uint8_t *page = pages + i * CATALOG_PAGE_BYTES;

			if (le32_read(page) != catalog_page_crc(seed, first + i, page))
				ret = ERR_INDEX;
			else
				catalog_filter_add(filter, &shape, first + i, page);
		}
	}
	return ret;
}

static int read_filter(struct disk *disk, int file, const uint8_t store_id[16],
	const struct catalog_table *table, uint8_t **ret)
{
	struct catalog_shape shape = catalog_shape_of(table);
	struct catalog_filter filter;
	struct disk_stat stat;
	uint8_t *pages;
	int error;

	/* Before memory is taken for it. */
	if (disk_stat_file(disk, file, &stat) != 0 ||
		stat.length_bytes != shape.pages * CATALOG_PAGE_BYTES)
		return ERR_INDEX;
	pages = malloc((size_t)PAGES_AT_ONCE * CATALOG_PAGE_BYTES);
	error = pages != NULL ? catalog_filter_begin(table, &filter) : -ENOMEM;
	if (error == 0) {
		error = filter_of_pages(disk, file,
			catalog_seed(CATALOG_KIND_TABLE, store_id, table->id), pages, &filter);
		if (error == 0)
			*ret = catalog_filter_end(&filter);
		else
			catalog_filter_drop(&filter);
	}
	free(pages);
	return error;
}

int catalog_table_filter(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog_table *table, uint8_t **ret)
{
	int file = catalog_table_open(disk, index_dir, table);
	int error;

	if (file < 0)
		return file == -ENOENT ? ERR_INDEX : file;
	error = read_filter(disk, file, store_id, table, ret);
	disk_close(disk, file);
	return error;
}
