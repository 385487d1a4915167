/*
 * catalog_page.h: the pages of a table of the catalog, and the filter that is made of them.
 * Private to catalog*.c.
 *
 * A table tells the first hash_bits bits of the hashes of its trace ids: the key of each. Its pages
 * have equal shares of all keys that there can be, in their order, and in a page a key stands as
 * its distance from the page's first one, which is exact. So tables are merged from their pages
 * alone (catalog_merge.h): a key of fewer bits is the beginning of one of more.
 */
#ifndef WAFT_STORE_CATALOG_PAGE_H
#define WAFT_STORE_CATALOG_PAGE_H

#include "catalog.h"

enum { CATALOG_PART_BITS = 6, CATALOG_PAGE_HEADER_BYTES = 8 };

struct catalog_shape {
	uint64_t pages;
	unsigned int hash_bits;
	unsigned int entry_bytes;
	unsigned int entries; /* that a page has room for */
};

struct catalog_entry {
	uint64_t key;
	unsigned int part;
};

/* Sets hash_bits and entry_bytes of a table of table->runs runs: of as many bits as its entries can
 * tell. */
void catalog_shape_most(struct catalog_table *table);
/* Whether a table can have that shape. */
bool catalog_shape_holds(const struct catalog_table *table);

struct catalog_shape catalog_shape_of(const struct catalog_table *table);

static inline uint64_t catalog_key(unsigned int hash_bits, uint64_t hash)
{
	return hash >> (64 - hash_bits);
}

/* The page of a key. */
static inline uint64_t catalog_page_of(const struct catalog_shape *shape, uint64_t key)
{
	return (uint64_t)((unsigned __int128)key * shape->pages >> shape->hash_bits);
}

/* The first key of a page; of the page behind the last, the first that there is none of. */
uint64_t catalog_first_key(const struct catalog_shape *shape, uint64_t page);

/* Adds an entry to a zeroed page, first_key being the page's, unless it is its last one. */
void catalog_page_put(const struct catalog_shape *shape, uint8_t page[CATALOG_PAGE_BYTES],
	uint64_t first_key, const struct catalog_entry *entry);

/* There are more than there is room for: any part may have any of its keys. */
void catalog_page_fill(uint8_t page[CATALOG_PAGE_BYTES]);

/* How many entries there are; -1: it is full, or holds what can't be. */
int catalog_page_count(const struct catalog_shape *shape, const uint8_t page[CATALOG_PAGE_BYTES]);

struct catalog_entry catalog_page_get(const struct catalog_shape *shape,
	const uint8_t page[CATALOG_PAGE_BYTES], uint64_t first_key, unsigned int i);

/* The parts of the first count entries that are so far from the page's first key: a bit each. */
uint64_t catalog_page_parts(const struct catalog_shape *shape,
	const uint8_t page[CATALOG_PAGE_BYTES], unsigned int count, uint64_t distance);

/* Page number of a table. 0; ERR_INDEX: it isn't that; a negative errno. */
int catalog_page_read(struct disk *disk, int file, uint32_t seed, uint64_t number,
	uint8_t ret[CATALOG_PAGE_BYTES]) MUST_CHECK;

/* Sets the CRCs of so many pages, and writes them where they belong. */
int catalog_pages_write(struct disk *disk, int file, uint32_t seed, uint8_t *pages, uint64_t first,
	uint64_t count) MUST_CHECK;

/* Makes a file anew under a name, which readers have open, or not at all. */
int catalog_new_file(struct disk *disk, int index_dir, const char *new_name) MUST_CHECK;
/* Closes it and, with error 0, gives it its name. Else it is gone. Returns the error. */
int catalog_name_file(struct disk *disk, int index_dir, int file, const char *new_name,
	const char *name, int error) MUST_CHECK;

/* ---- The filter ---------------------------------------------------------------- */

/* It is made page by page, in their order: memory is zeroed as it is come to. */
struct catalog_filter {
	const struct catalog_table *table; /* borrowed */
	uint8_t *bloom;			   /* owned */
	uint64_t bytes;
	uint64_t zeroed; /* so many of them */
};

/* 0 or -ENOMEM. */
int catalog_filter_begin(const struct catalog_table *table, struct catalog_filter *ret) MUST_CHECK;
/* Adds a page, whose CRC was seen. */
void catalog_filter_add(struct catalog_filter *filter, const struct catalog_shape *shape,
	uint64_t number, const uint8_t page[CATALOG_PAGE_BYTES]);
/* The filter, owned by the caller. */
uint8_t *catalog_filter_end(struct catalog_filter *filter);
void catalog_filter_drop(struct catalog_filter *filter);

#endif
