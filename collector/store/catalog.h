/*
 * catalog.h: which of many closed parts may have a trace, asked by reading one page
 * (docs/STORE.md, "Index").
 *
 * `catalog` lists tables, and the parts that each is of; `catalog-<id>` is a table: pages of
 * some bits of the hash of a trace id and the part that has it, by hash. A table is never changed,
 * several are merged into a new one, and a list is only replaced. A closed part takes no more
 * traces, sealed or not: so a table holds as long as the part is as long as it was.
 *
 * As all of the index it only leaves out: what it says is checked by CRCs that include the store,
 * the parts and the page, and whatever can't be told is taken for a part that may have the trace.
 * One thread at a time.
 */
#ifndef WAFT_STORE_CATALOG_H
#define WAFT_STORE_CATALOG_H

#include "disk.h"
#include "ids_file.h"
#include "index_format.h"

#define CATALOG_NAME "catalog"
#define CATALOG_NAME_BYTES 24
#define CATALOG_TABLE_PARTS 64
#define CATALOG_PAGE_BYTES 4096

struct catalog_part {
	int32_t day;
	uint32_t number; /* 0: it is gone */
	uint64_t length_bytes;
};

struct catalog_table {
	uint32_t id;	     /* random, and no other one's */
	uint8_t hash_bits;   /* of the hash of an id, that it tells */
	uint8_t entry_bytes; /* of each in a page */
	bool merged;	     /* of several tables */
	uint64_t runs;	     /* of all its parts */
	uint32_t part_count;
	struct catalog_part parts[CATALOG_TABLE_PARTS];
};

/* Zero-initialised: there are no tables. */
struct catalog {
	struct catalog_table *tables; /* owned; in order of their making */
	size_t count;
	uint32_t crc; /* of the file */
};

/* Reads the list. 0; ERR_INDEX: there is none that holds; -ENOMEM. *ret is empty unless 0. */
int catalog_load(struct disk *disk, int index_dir, const uint8_t store_id[16],
	struct catalog *ret) MUST_CHECK;
/* Begins to, without waiting. */
void catalog_will_load(struct disk *disk, int index_dir);

/* Replaces the list. 0 or a negative errno. */
int catalog_save(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog *catalog) MUST_CHECK;

void catalog_done(struct catalog *catalog);

/* Appends a copy. 0 or -ENOMEM. */
int catalog_add(struct catalog *catalog, const struct catalog_table *table) MUST_CHECK;

/* "catalog-0123abcd" */
void catalog_table_name(uint32_t id, char ret[CATALOG_NAME_BYTES]);

/* ---- A table ---------------------------------------------------------------------- */

/* Returns a handle or a negative errno. */
int catalog_table_open(
	struct disk *disk, int index_dir, const struct catalog_table *table) MUST_CHECK;

/* Begins to read what catalog_table_ask needs, without waiting. */
void catalog_table_will_ask(
	struct disk *disk, int file, const struct catalog_table *table, uint64_t hash);

/* Which parts may have a trace of that hash (index_hash_id): a bit each, all of them when it can't
 * be told. file may be negative. */
uint64_t catalog_table_ask(struct disk *disk, int file, const uint8_t store_id[16],
	const struct catalog_table *table, uint64_t hash);

/* A Bloom filter of all its ids, made of its pages, all of which are looked at. *ret is owned. 0,
 * ERR_INDEX: it isn't whole, -EIO, -ENOMEM. */
int catalog_table_filter(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog_table *table, uint8_t **ret) MUST_CHECK;

/* How long it is, and what is to be asked of it, instead of the hash (index_bloom_has). */
uint64_t catalog_filter_bytes(const struct catalog_table *table);
uint64_t catalog_filter_hash(const struct catalog_table *table, uint64_t hash);

/* ---- Checksums, for tests ---- */

/* Behind the kinds of index_format.h and the forms of pack_internal.h. */
enum catalog_kind { CATALOG_KIND_LIST = 5, CATALOG_KIND_TABLE = 6 };

/* id: of a table; else 0. */
uint32_t catalog_seed(enum catalog_kind kind, const uint8_t store_id[16], uint32_t id);
uint32_t catalog_page_crc(uint32_t seed, uint64_t number, const uint8_t *page);

/* ---- Making ------------------------------------------------------------------------- */

/* What a table is made of. for_each_id calls on_id for each run of one of table.parts. */
struct catalog_ids {
	int (*for_each_id)(void *ctx, size_t part,
		int (*on_id)(void *arg, const uint8_t trace_id[16]), void *arg);
	void *ctx;
};

/* Writes a table of table->parts, which have so many runs, by its id; its shape is set. *ret_bloom
 * is its filter, owned. Memory: 4 MiB and the filter. ERR_INDEX: there are more or fewer ids than
 * runs. */
int catalog_table_make(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct catalog_ids *ids, struct catalog_table *table, uint8_t **ret_bloom) MUST_CHECK;

#endif
