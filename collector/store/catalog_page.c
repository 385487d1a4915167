/*
 * catalog_page.c: see catalog_page.h. A page: u32 CRC, u16 how many (FULL: more than it has room
 * for), u16 0, then entries of 4 or 5 bytes, in no order, the part in the low bits.
 */
#include "catalog_page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"
#include "huge.h"
#include "index_run.h"

enum { FULL = 0xffff, ENTRY_BYTES_MIN = 4, ENTRY_BYTES_MAX = 5 };

/* A small table tells so many bits, too: a merged one tells no more than the least of its tables,
 * and of many million runs that is not to be too few. */
#define HASH_BITS_MIN 34
/* Of the filter, for each run: a key that it lets pass wrongly costs reading a page. */
#define FILTER_BITS 16

/* ---- Shape --------------------------------------------------------------------- */

/* Hashes are random: a page in fifty million has five and a half deviations more than that. */
static unsigned int mean_entries(unsigned int entry_bytes)
{
	static const uint16_t mean[] = {[4] = 860, [5] = 660};

	return mean[entry_bytes];
}

static uint64_t pages_of(const struct catalog_table *table)
{
	return table->runs / mean_entries(table->entry_bytes) + 1;
}

/* What is told of a key beside its page fits an entry. */
static unsigned int bits_at_most(const struct catalog_table *table)
{
	return 8u * table->entry_bytes - CATALOG_PART_BITS + 63 -
	       (unsigned int)__builtin_clzll(pages_of(table));
}

void catalog_shape_most(struct catalog_table *table)
{
	table->entry_bytes = ENTRY_BYTES_MIN;
	if (bits_at_most(table) < HASH_BITS_MIN)
		table->entry_bytes = ENTRY_BYTES_MAX;
	table->hash_bits = (uint8_t)bits_at_most(table);
}

bool catalog_shape_holds(const struct catalog_table *table)
{
	return table->runs > 0 && table->runs <= UINT32_MAX &&
	       table->entry_bytes >= ENTRY_BYTES_MIN && table->entry_bytes <= ENTRY_BYTES_MAX &&
	       table->hash_bits > 0 && table->hash_bits <= bits_at_most(table);
}

struct catalog_shape catalog_shape_of(const struct catalog_table *table)
{
	return (struct catalog_shape){.pages = pages_of(table),
		.hash_bits = table->hash_bits,
		.entry_bytes = table->entry_bytes,
		.entries = (CATALOG_PAGE_BYTES - CATALOG_PAGE_HEADER_BYTES) / table->entry_bytes};
}

uint64_t catalog_first_key(const struct catalog_shape *shape, uint64_t page)
{
	unsigned __int128 keys = (unsigned __int128)page << shape->hash_bits;

	return (uint64_t)((keys + shape->pages - 1) / shape->pages);
}

/* ---- Pages --------------------------------------------------------------------- */

uint32_t catalog_page_crc(uint32_t seed, uint64_t number, const uint8_t *page)
{
	uint8_t place[8];

	le64_write(place, number);
	return crc32c(crc32c(seed, place, sizeof(place)), page + 4, CATALOG_PAGE_BYTES - 4);
}

void catalog_page_fill(uint8_t page[CATALOG_PAGE_BYTES])
{
	le16_write(page + 4, FULL);
}

static uint64_t get_raw(const struct catalog_shape *shape, const uint8_t *page, unsigned int i)
{
	const uint8_t *at = page + CATALOG_PAGE_HEADER_BYTES + shape->entry_bytes * (size_t)i;

	return le32_read(at) |
	       (shape->entry_bytes > ENTRY_BYTES_MIN ? (uint64_t)at[ENTRY_BYTES_MIN] << 32 : 0);
}

void catalog_page_put(const struct catalog_shape *shape, uint8_t page[CATALOG_PAGE_BYTES],
	uint64_t first_key, const struct catalog_entry *entry)
{
	unsigned int count = le16_read(page + 4);
	uint64_t raw = (entry->key - first_key) << CATALOG_PART_BITS | entry->part;
	uint8_t *at = page + CATALOG_PAGE_HEADER_BYTES + shape->entry_bytes * (size_t)count;

	/* Runs of a trace may follow each other. */
	if (count == FULL || (count > 0 && get_raw(shape, page, count - 1) == raw))
		return;
	if (count == shape->entries) {
		catalog_page_fill(page);
		return;
	}
	le16_write(page + 4, (uint16_t)(count + 1));
	le32_write(at, (uint32_t)raw);
	if (shape->entry_bytes > ENTRY_BYTES_MIN)
		at[ENTRY_BYTES_MIN] = (uint8_t)(raw >> 32);
}

int catalog_page_count(const struct catalog_shape *shape, const uint8_t page[CATALOG_PAGE_BYTES])
{
	unsigned int count = le16_read(page + 4);

	return count <= shape->entries ? (int)count : -1;
}

struct catalog_entry catalog_page_get(const struct catalog_shape *shape,
	const uint8_t page[CATALOG_PAGE_BYTES], uint64_t first_key, unsigned int i)
{
	uint64_t raw = get_raw(shape, page, i);

	return (struct catalog_entry){.key = first_key + (raw >> CATALOG_PART_BITS),
		.part = (unsigned int)raw & (CATALOG_TABLE_PARTS - 1)};
}

/* The next entry of that distance, from number i on; count: there is none. */
static unsigned int next_like(const struct catalog_shape *shape, const uint8_t *page,
	unsigned int i, unsigned int count, uint64_t distance)
{
	const uint8_t *entries = page + CATALOG_PAGE_HEADER_BYTES;

	if (shape->entry_bytes == ENTRY_BYTES_MIN)
		while (i < count &&
			le32_read(entries + ENTRY_BYTES_MIN * (size_t)i) >> CATALOG_PART_BITS !=
				distance)
			i++;
	else
		while (i < count && get_raw(shape, page, i) >> CATALOG_PART_BITS != distance)
			i++;
	return i;
}

uint64_t catalog_page_parts(const struct catalog_shape *shape,
	const uint8_t page[CATALOG_PAGE_BYTES], unsigned int count, uint64_t distance)
{
	uint64_t ret = 0;

	for (unsigned int i = 0; (i = next_like(shape, page, i, count, distance)) < count; i++)
		ret |= UINT64_C(1) << (get_raw(shape, page, i) & (CATALOG_TABLE_PARTS - 1));
	return ret;
}

int catalog_page_read(struct disk *disk, int file, uint32_t seed, uint64_t number,
	uint8_t ret[CATALOG_PAGE_BYTES])
{
	ssize_t got = disk_read(disk, file, ret, CATALOG_PAGE_BYTES, number * CATALOG_PAGE_BYTES);

	if (got < 0)
		return (int)got;
	return got == CATALOG_PAGE_BYTES && le32_read(ret) == catalog_page_crc(seed, number, ret)
		       ? 0
		       : ERR_INDEX;
}

int catalog_pages_write(
	struct disk *disk, int file, uint32_t seed, uint8_t *pages, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *page = pages + i * CATALOG_PAGE_BYTES;

		le32_write(page, catalog_page_crc(seed, first + i, page));
	}
	return disk_write(
		disk, file, pages, (size_t)count * CATALOG_PAGE_BYTES, first * CATALOG_PAGE_BYTES);
}

/* ---- Files --------------------------------------------------------------------- */

int catalog_new_file(struct disk *disk, int index_dir, const char *new_name)
{
	disk_unlink_quietly(disk, index_dir, new_name);
	return disk_open(disk, index_dir, new_name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
}

int catalog_name_file(struct disk *disk, int index_dir, int file, const char *new_name,
	const char *name, int error)
{
	disk_close(disk, file);
	if (error == 0)
		error = disk_rename(disk, index_dir, new_name, index_dir, name, true);
	if (error != 0)
		disk_unlink_quietly(disk, index_dir, new_name);
	return error;
}

/* ---- The filter ---------------------------------------------------------------- */

uint64_t catalog_filter_bytes(const struct catalog_table *table)
{
	return (table->runs * FILTER_BITS / 8 / INDEX_BLOOM_BLOCK + 1) * INDEX_BLOOM_BLOCK;
}

/* The first so many bits of a key pick the block as those of a hash would; the others, which pick
 * the bits in it, are made of all of it: it may have few of them. */
enum { BLOCK_BITS = 10 };
#define BITS_IN_BLOCK (UINT64_MAX >> BLOCK_BITS)

static uint64_t spread(unsigned int hash_bits, uint64_t key)
{
	uint64_t mixed = (key ^ key >> 31) * UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return key << (64 - hash_bits) ^ (mixed ^ mixed >> 32) >> BLOCK_BITS;
}

uint64_t catalog_filter_hash(const struct catalog_table *table, uint64_t hash)
{
	return spread(table->hash_bits, catalog_key(table->hash_bits, hash));
}

int catalog_filter_begin(const struct catalog_table *table, struct catalog_filter *ret)
{
	size_t bytes = (size_t)catalog_filter_bytes(table);

	*ret = (struct catalog_filter){.table = table, .bytes = bytes};
	/* A block is a cache line. */
	ret->bloom =
		bytes < HUGE_BYTES ? aligned_alloc(INDEX_BLOOM_BLOCK, bytes) : huge_alloc(bytes);
	return ret->bloom != NULL ? 0 : -ENOMEM;
}

/* Where the last block begins that keys up to this one may be in. */
static uint64_t last_block(const struct catalog_filter *filter, uint64_t key)
{
	return index_bloom_block(
		filter->bytes, key << (64 - filter->table->hash_bits) | BITS_IN_BLOCK);
}

void catalog_filter_add(struct catalog_filter *filter, const struct catalog_shape *shape,
	uint64_t number, const uint8_t page[CATALOG_PAGE_BYTES])
{
	uint64_t first = catalog_first_key(shape, number);
	uint64_t next = catalog_first_key(shape, number + 1);
	uint64_t end;
	int count = catalog_page_count(shape, page);

	if (next == first)
		return;
	end = last_block(filter, next - 1) + INDEX_BLOOM_BLOCK;
	if (end > filter->zeroed) {
		memset(filter->bloom + filter->zeroed, 0, (size_t)(end - filter->zeroed));
		filter->zeroed = end;
	}
	if (count < 0) {
		uint64_t from = index_bloom_block(
			filter->bytes, first << (64 - shape->hash_bits) & ~BITS_IN_BLOCK);

		memset(filter->bloom + from, 0xff, (size_t)(end - from));
	}
	for (int i = 0; i < count; i++) {
		struct catalog_entry entry = catalog_page_get(shape, page, first, (unsigned int)i);

		index_bloom_set(filter->bloom, filter->bytes, spread(shape->hash_bits, entry.key));
	}
}

uint8_t *catalog_filter_end(struct catalog_filter *filter)
{
	uint8_t *ret = filter->bloom;

	memset(ret + filter->zeroed, 0, (size_t)(filter->bytes - filter->zeroed));
	filter->bloom = NULL;
	return ret;
}

void catalog_filter_drop(struct catalog_filter *filter)
{
	free(filter->bloom);
	filter->bloom = NULL;
}
