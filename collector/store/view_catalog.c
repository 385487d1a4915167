/*
 * view_catalog.c: the catalog of closed parts, as readers ask it; see view.h and catalog.h. Of a
 * table that can't be read all parts may have a trace. Which file is which of a table's parts is
 * told by view_files.c.
 */
#include <stdlib.h>
#include <string.h>

#include "index_run.h"
#include "view.h"

static void close_tables(struct reader *reader)
{
	struct view_catalog *catalog = &reader->catalog;

	for (size_t i = 0; catalog->tables != NULL && i < catalog->list.count; i++)
		disk_close(reader->disk, catalog->tables[i].file);
	free(catalog->tables);
	catalog->tables = NULL;
	catalog->asked = false;
}

void view_catalog_done(struct reader *reader)
{
	close_tables(reader);
	catalog_done(&reader->catalog.list);
}

/* What is not there, or doesn't hold, is not missed. */
void view_catalog_look(struct reader *reader)
{
	struct view_catalog *catalog = &reader->catalog;
	struct catalog now = {0};

	if (reader->index_dir < 0 ||
		catalog_load(reader->disk, reader->index_dir, reader->store_id, &now) != 0)
		now = (struct catalog){0};
	/* Tables with these ids don't change. */
	if (now.crc == catalog->list.crc && now.count == catalog->list.count) {
		catalog_done(&now);
		return;
	}
	view_catalog_done(reader);
	catalog->tables = calloc(now.count + 1, sizeof(*catalog->tables));
	if (catalog->tables == NULL) {
		catalog_done(&now);
		return;
	}
	catalog->list = now;
	for (size_t i = 0; i < now.count; i++)
		catalog->tables[i].file = -1;
}

static void open_table(struct reader *reader, size_t number)
{
	struct view_table *table = &reader->catalog.tables[number];

	if (table->file < 0)
		table->file = catalog_table_open(
			reader->disk, reader->index_dir, &reader->catalog.list.tables[number]);
}

void view_catalog_will_ask(struct reader *reader, const uint8_t trace_id[16])
{
	struct view_catalog *catalog = &reader->catalog;
	uint64_t hash = index_hash_id(trace_id);

	for (size_t i = 0; i < catalog->list.count; i++) {
		open_table(reader, i);
		catalog_table_will_ask(
			reader->disk, catalog->tables[i].file, &catalog->list.tables[i], hash);
	}
}

static void ask(struct reader *reader, const uint8_t trace_id[16])
{
	struct view_catalog *catalog = &reader->catalog;
	uint64_t hash;

	if (catalog->asked && memcmp(catalog->trace_id, trace_id, 16) == 0)
		return;
	hash = index_hash_id(trace_id);
	for (size_t i = 0; i < catalog->list.count; i++) {
		open_table(reader, i);
		catalog->tables[i].parts = catalog_table_ask(reader->disk, catalog->tables[i].file,
			reader->store_id, &catalog->list.tables[i], hash);
	}
	catalog->asked = true;
	memcpy(catalog->trace_id, trace_id, 16);
}

bool view_may_have(struct reader *reader, const struct view_file *file, const uint8_t trace_id[16])
{
	if (file->table == 0)
		return true;
	ask(reader, trace_id);
	return (reader->catalog.tables[file->table - 1].parts >> file->in_table & 1) != 0;
}
