/*
 * catalog.c: see catalog.h. A page holds the hashes of an equal share of all that there are, in
 * no order: u32 CRC, u16 how many (FULL: more than it has room for), u16 0, then 3 bytes each, the
 * part in the low bits.
 */
#include "catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crc32c.h"
#include "cursor.h"
#include "index_run.h"

#define MAGIC "WAFTCATL"
#define NEW_NAME "catalog.new"

enum {
	TABLES_MAX = 4096,
	HEADER_BYTES = 16, /* CRC, magic, count of tables */
	PAGE_HEADER_BYTES = 8,
	PAGE_ENTRIES = (CATALOG_PAGE_BYTES - PAGE_HEADER_BYTES) / 3,
	/* Hashes are random: a page in a thousand million has six deviations more than that. */
	PAGE_ENTRIES_MEAN = 1150,
	FULL = 0xffff,
	PART_BITS = 6,
	HASH_BITS = 24 - PART_BITS,
	PAGES_AT_ONCE = 1024, /* in memory, while a table is made */
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
		ret = bytes_u32(out, table->bloom_crc);
	if (ret == 0)
		ret = bytes_u64(out, table->runs);
	if (ret == 0)
		ret = bytes_u32(out, table->part_count);
	return ret == 0 ? put_parts(out, table) : ret;
}

static void take_table(struct cursor *in, struct catalog_table *ret)
{
	*ret = (struct catalog_table){.id = cursor_fixed32(in)};
	ret->bloom_crc = cursor_fixed32(in);
	ret->runs = cursor_fixed64(in);
	ret->part_count = cursor_fixed32(in);
	if (ret->runs == 0 || ret->runs > UINT32_MAX || ret->part_count == 0 ||
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

/* Makes a file anew under a name, which readers have open, or not at all. */
static int new_file(struct disk *disk, int index_dir)
{
	disk_unlink_quietly(disk, index_dir, NEW_NAME);
	return disk_open(disk, index_dir, NEW_NAME, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
}

static int name_file(struct disk *disk, int index_dir, int file, const char *name, int error)
{
	disk_close(disk, file);
	if (error == 0)
		error = disk_rename(disk, index_dir, NEW_NAME, index_dir, name, true);
	if (error != 0)
		disk_unlink_quietly(disk, index_dir, NEW_NAME);
	return error;
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
		ret = file = new_file(disk, index_dir);
	}
	if (ret >= 0) {
		ret = disk_write(disk, file, out.data, out.length, 0);
		ret = name_file(disk, index_dir, file, CATALOG_NAME, ret);
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

static uint64_t pages_of(const struct catalog_table *table)
{
	return table->runs / PAGE_ENTRIES_MEAN + 1;
}

/* The page of a hash; *ret_rest is what it doesn't tell of it. */
static uint64_t page_of(uint64_t pages, uint64_t hash, uint32_t *ret_rest)
{
	unsigned __int128 place = (unsigned __int128)hash * pages;

	*ret_rest = (uint32_t)((uint64_t)place >> (64 - HASH_BITS));
	return (uint64_t)(place >> 64);
}

uint32_t catalog_page_crc(uint32_t seed, uint64_t number, const uint8_t *page)
{
	uint8_t place[8];

	le64_write(place, number);
	return crc32c(crc32c(seed, place, sizeof(place)), page + 4, CATALOG_PAGE_BYTES - 4);
}

/* By one load: behind the last one is another byte of the page. */
static uint32_t get_entry(const uint8_t *page, unsigned int i)
{
	_Static_assert(PAGE_HEADER_BYTES + 3 * PAGE_ENTRIES < CATALOG_PAGE_BYTES, "a byte more");
	return le32_read(page + PAGE_HEADER_BYTES + 3 * (size_t)i) & 0xffffff;
}

/* The next entry of that hash, from number i on; count: there is none. */
static unsigned int next_like(
	const uint8_t *page, unsigned int i, unsigned int count, uint32_t rest)
{
	while (i < count && get_entry(page, i) >> PART_BITS != rest)
		i++;
	return i;
}

int catalog_table_open(struct disk *disk, int index_dir, const struct catalog_table *table)
{
	char name[CATALOG_NAME_BYTES];

	catalog_table_name(table->id, name);
	return disk_open(disk, index_dir, name, DISK_READ);
}

void catalog_table_will_ask(
	struct disk *disk, int file, const struct catalog_table *table, uint64_t hash)
{
	uint32_t rest;
	uint64_t page = page_of(pages_of(table), hash, &rest);

	if (file >= 0)
		disk_will_read(disk, file, page * CATALOG_PAGE_BYTES, CATALOG_PAGE_BYTES);
}

uint64_t catalog_table_ask(struct disk *disk, int file, const uint8_t store_id[16],
	const struct catalog_table *table, uint64_t hash)
{
	uint64_t all =
		table->part_count == 64 ? UINT64_MAX : (UINT64_C(1) << table->part_count) - 1;
	uint8_t page[CATALOG_PAGE_BYTES];
	uint32_t rest;
	uint64_t number = page_of(pages_of(table), hash, &rest), ret = 0;
	unsigned int count;

	if (file < 0 || disk_read(disk, file, page, sizeof(page), number * sizeof(page)) !=
				(ssize_t)sizeof(page))
		return all;
	count = le16_read(page + 4);
	if (le32_read(page) !=
			catalog_page_crc(catalog_seed(CATALOG_KIND_TABLE, store_id, table->id),
				number, page) ||
		count > PAGE_ENTRIES)
		return all;
	for (unsigned int i = 0; (i = next_like(page, i, count, rest)) < count; i++)
		ret |= UINT64_C(1) << (get_entry(page, i) & (CATALOG_TABLE_PARTS - 1));
	return ret & all;
}

int catalog_table_bloom(
	struct disk *disk, int index_dir, const struct catalog_table *table, uint8_t **ret)
{
	size_t bytes = (size_t)index_bloom_bytes(table->runs);
	int file = catalog_table_open(disk, index_dir, table);
	struct disk_stat stat;
	uint8_t *bloom;
	ssize_t got;

	if (file < 0)
		return file == -ENOENT ? ERR_INDEX : file;
	/* Before memory is taken for it. */
	if (disk_stat_file(disk, file, &stat) != 0 ||
		stat.length_bytes != pages_of(table) * CATALOG_PAGE_BYTES + bytes) {
		disk_close(disk, file);
		return ERR_INDEX;
	}
	bloom = malloc(bytes);
	got = bloom == NULL
		      ? -ENOMEM
		      : disk_read(disk, file, bloom, bytes, pages_of(table) * CATALOG_PAGE_BYTES);
	disk_close(disk, file);
	if (got == (ssize_t)bytes && crc32c(0, bloom, bytes) == table->bloom_crc) {
		*ret = bloom;
		return 0;
	}
	free(bloom);
	return got < 0 ? (int)got : ERR_INDEX;
}

/* ---- Making ------------------------------------------------------------------------- */

struct making {
	const struct catalog_ids *ids;
	struct catalog_table *table;
	uint8_t *pages; /* from page first on */
	uint64_t first;
	uint64_t end;
	uint8_t *bloom;
	uint64_t found; /* ids, in the first round */
	uint32_t part;
};

static void put_entry(uint8_t *page, uint32_t entry)
{
	unsigned int count = le16_read(page + 4);
	uint8_t *at = page + PAGE_HEADER_BYTES + 3 * (size_t)count;

	/* Runs of a trace may follow each other. */
	if (count == FULL || (count > 0 && get_entry(page, count - 1) == entry))
		return;
	le16_write(page + 4, count < PAGE_ENTRIES ? (uint16_t)(count + 1) : FULL);
	if (count == PAGE_ENTRIES)
		return;
	at[0] = (uint8_t)entry;
	at[1] = (uint8_t)(entry >> 8);
	at[2] = (uint8_t)(entry >> 16);
}

static int on_id(void *arg, const uint8_t trace_id[16])
{
	struct making *making = arg;
	uint64_t hash = index_hash_id(trace_id);
	uint32_t rest;
	uint64_t page = page_of(pages_of(making->table), hash, &rest);

	if (making->first == 0) {
		index_bloom_set(making->bloom, index_bloom_bytes(making->table->runs), hash);
		making->found++;
	}
	if (page >= making->first && page < making->end)
		put_entry(making->pages + (page - making->first) * CATALOG_PAGE_BYTES,
			rest << PART_BITS | making->part);
	return 0;
}

/* The pages from first to end. */
static int make_pages(struct making *making, struct disk *disk, int file, uint32_t seed)
{
	size_t bytes = (size_t)(making->end - making->first) * CATALOG_PAGE_BYTES;
	int ret = 0;

	memset(making->pages, 0, bytes);
	for (making->part = 0; ret == 0 && making->part < making->table->part_count; making->part++)
		ret = making->ids->for_each_id(making->ids->ctx, making->part, on_id, making);
	if (ret == 0 && making->found != making->table->runs)
		ret = ERR_INDEX;
	for (uint64_t i = making->first; i < making->end; i++) {
		uint8_t *page = making->pages + (i - making->first) * CATALOG_PAGE_BYTES;

		le32_write(page, catalog_page_crc(seed, i, page));
	}
	if (ret == 0)
		ret = disk_write(
			disk, file, making->pages, bytes, making->first * CATALOG_PAGE_BYTES);
	return ret;
}

static int make_table(struct making *making, struct disk *disk, int file, uint32_t seed)
{
	uint64_t pages = pages_of(making->table);
	size_t bloom_bytes = (size_t)index_bloom_bytes(making->table->runs);
	int ret = 0;

	for (uint64_t first = 0; ret == 0 && first < pages; first = making->end) {
		making->first = first;
		making->end = pages - first < PAGES_AT_ONCE ? pages : first + PAGES_AT_ONCE;
		ret = make_pages(making, disk, file, seed);
	}
	making->table->bloom_crc = crc32c(0, making->bloom, bloom_bytes);
	if (ret == 0)
		ret = disk_write(
			disk, file, making->bloom, bloom_bytes, pages * CATALOG_PAGE_BYTES);
	return ret;
}

/* Equal parts make an equal table. */
static int give_id(const uint8_t store_id[16], struct catalog_table *table)
{
	struct bytes parts = {0};
	int ret = put_parts(&parts, table);

	if (ret == 0)
		table->id = crc32c(
			catalog_seed(CATALOG_KIND_TABLE, store_id, 0), parts.data, parts.length);
	bytes_done(&parts);
	return ret;
}

int catalog_table_make(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog_ids *ids, struct catalog_table *table, uint8_t **ret_bloom)
{
	uint64_t pages = pages_of(table);
	struct making making = {.ids = ids,
		.table = table,
		.pages = malloc(
			(pages < PAGES_AT_ONCE ? pages : PAGES_AT_ONCE) * CATALOG_PAGE_BYTES),
		.bloom = calloc(1, (size_t)index_bloom_bytes(table->runs))};
	int ret = making.pages == NULL || making.bloom == NULL ? -ENOMEM : give_id(store_id, table);
	char name[CATALOG_NAME_BYTES];
	int file = -1;

	if (ret == 0)
		ret = file = new_file(disk, index_dir);
	if (ret >= 0) {
		ret = make_table(
			&making, disk, file, catalog_seed(CATALOG_KIND_TABLE, store_id, table->id));
		catalog_table_name(table->id, name);
		ret = name_file(disk, index_dir, file, name, ret);
	}
	free(making.pages);
	if (ret == 0)
		*ret_bloom = making.bloom;
	else
		free(making.bloom);
	return ret;
}
