/*
 * Fuzzes reading the catalog of closed parts: any bytes as the list, and as a page of a table.
 * As they come, and with checksums made right: whatever it says, reading ends well, tells no part
 * that a table hasn't, and what is written of it is read again as it was.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "crc32c.h"
#include "cursor.h"
#include "support/fake_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIST_BYTES_MIN = 16, HASHES = 8 };

static const uint8_t store_id[16] = {7};

static void must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_catalog: %s\n", what);
		abort();
	}
}

/* A table's first page is what the input ends with. */
static void put_page(
	struct fake_disk *fake, const struct catalog_table *table, const uint8_t *data, size_t size)
{
	uint8_t page[CATALOG_PAGE_BYTES] = {0};
	char name[CATALOG_NAME_BYTES], path[64];

	memcpy(page, data, size < sizeof(page) ? size : sizeof(page));
	le32_write(page,
		catalog_page_crc(catalog_seed(CATALOG_KIND_TABLE, store_id, table->id), 0, page));
	catalog_table_name(table->id, name);
	snprintf(path, sizeof(path), "index/%s", name);
	fake_disk_put(fake, path, page, sizeof(page));
}

static void ask(struct disk *disk, int dir, const struct catalog_table *table)
{
	int file = catalog_table_open(disk, dir, table);
	uint8_t *bloom = NULL;

	must(file >= 0, "a table");
	for (uint64_t i = 0; i < HASHES; i++) {
		uint64_t hash = i * UINT64_C(0x123456789abcdef);
		uint64_t parts = catalog_table_ask(disk, file, store_id, table, hash);

		catalog_table_will_ask(disk, file, table, hash);
		must(table->part_count == 64 || parts >> table->part_count == 0, "a part too many");
	}
	disk_close(disk, file);
	if (catalog_table_filter(disk, dir, store_id, table, &bloom) == 0)
		free(bloom);
}

static void read_all(struct fake_disk *fake, int dir, const uint8_t *data, size_t size)
{
	struct disk *disk = fake_disk_disk(fake);
	struct catalog catalog, again;

	if (catalog_load(disk, dir, store_id, &catalog) != 0)
		return;
	for (size_t i = 0; i < catalog.count && i < 4; i++) {
		put_page(fake, &catalog.tables[i], data, size);
		ask(disk, dir, &catalog.tables[i]);
	}
	must(catalog_save(disk, dir, store_id, &catalog) == 0, "writing it");
	must(catalog_load(disk, dir, store_id, &again) == 0, "reading it again");
	must(again.count == catalog.count && again.crc == catalog.crc, "it is another");
	catalog_done(&again);
	catalog_done(&catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake_disk *fake;
	struct catalog catalog;
	struct disk *disk;
	uint8_t *list;
	int top, dir;

	if (size < LIST_BYTES_MIN)
		return 0;
	fake = fake_disk_new();
	disk = fake_disk_disk(fake);
	top = disk_open_root(disk, "store", true);
	dir = disk_open_dir(disk, top, INDEX_DIR, true);
	must(dir >= 0, "directories");
	fake_disk_put(fake, "index/catalog", data, size);
	if (catalog_load(disk, dir, store_id, &catalog) == 0)
		catalog_done(&catalog);
	list = malloc(size);
	must(list != NULL, "memory");
	memcpy(list, data, size);
	memcpy(list + 4, "WAFTCAT2", 8);
	le32_write(list, crc32c(catalog_seed(CATALOG_KIND_LIST, store_id, 0), list + 4, size - 4));
	fake_disk_put(fake, "index/catalog", list, size);
	read_all(fake, dir, data, size);
	free(list);
	fake_disk_free(fake);
	return 0;
}
