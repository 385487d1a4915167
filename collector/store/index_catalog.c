/*
 * index_catalog.c: see index_catalog.h.
 */
#include "index_catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Of a table. All ids are gone through for each 1.2 million that there are (catalog.c): beyond that
 * making it takes its square, and the thread that writes parts waits. */
#define TABLE_RUNS_MAX (UINT64_C(4) << 20)

static bool is_of(const struct catalog_part *entry, const struct index_state *part)
{
	return entry->day == part->name.day && entry->number == part->name.number &&
	       entry->length_bytes == part->covered;
}

static int save(const struct index_catalog *catalog)
{
	const struct index_place *place = catalog->place;

	return catalog_save(place->disk, place->index_dir, place->store_id, &catalog->catalog);
}

/* Without a list, what of it is in memory holds still. */
static void save_or_drop(const struct index_catalog *catalog)
{
	const struct index_place *place = catalog->place;

	if (save(catalog) != 0)
		disk_unlink_quietly(place->disk, place->index_dir, CATALOG_NAME);
}

static void unlink_table(const struct index_catalog *catalog, uint32_t id)
{
	const struct index_place *place = catalog->place;
	char name[CATALOG_NAME_BYTES];

	catalog_table_name(id, name);
	disk_unlink_quietly(place->disk, place->index_dir, name);
}

/* Its file stays. */
static void forget_table(struct index_catalog *catalog, size_t table)
{
	struct catalog *list = &catalog->catalog;
	size_t behind = --list->count - table;

	free(catalog->covers[table].bloom);
	memmove(list->tables + table, list->tables + table + 1, behind * sizeof(*list->tables));
	memmove(catalog->covers + table, catalog->covers + table + 1,
		behind * sizeof(*catalog->covers));
}

static void drop_table(struct index_catalog *catalog, size_t table)
{
	unlink_table(catalog, catalog->catalog.tables[table].id);
	forget_table(catalog, table);
}

/* ---- Ids ----------------------------------------------------------------------- */

/* By a table that is there, or by what is being merged, whose tables are told by their ids. */
static bool is_taken(const struct index_catalog *catalog, uint32_t id)
{
	const struct catalog_source *sources;
	size_t count;

	for (size_t i = 0; i < catalog->catalog.count; i++)
		if (catalog->catalog.tables[i].id == id)
			return true;
	if (catalog->merge == NULL)
		return false;
	sources = catalog_merge_sources(catalog->merge, &count);
	for (size_t i = 0; i < count; i++)
		if (sources[i].table.id == id)
			return true;
	return catalog_merge_table(catalog->merge)->id == id;
}

/* Random: readers may have a table open that went, and take one of its id for it. */
static int give_id(const struct index_catalog *catalog, struct catalog_table *table)
{
	do
		if (getrandom(&table->id, sizeof(table->id), 0) != (ssize_t)sizeof(table->id))
			return -EIO;
	while (is_taken(catalog, table->id));
	return 0;
}

/* ---- Loading ------------------------------------------------------------------- */

static struct index_state *find_state(
	struct index_state *const *parts, size_t count, const struct catalog_part *entry)
{
	for (size_t i = 0; i < count; i++)
		if (!parts[i]->catalogued && index_part_is_whole(parts[i]) &&
			is_of(entry, parts[i]))
			return parts[i];
	return NULL;
}

/* Which parts a table is of; those of others are gone. Returns how many it has. */
static size_t link_parts(struct catalog_table *table, struct index_cover *cover,
	struct index_state *const *parts, size_t count, bool *changed)
{
	size_t left = 0;

	for (uint32_t i = 0; i < table->part_count; i++) {
		struct catalog_part *entry = &table->parts[i];

		if (entry->number == 0)
			continue;
		cover->parts[i] = find_state(parts, count, entry);
		if (cover->parts[i] != NULL) {
			left++;
			continue;
		}
		entry->number = 0;
		*changed = true;
	}
	return left;
}

static bool load_table(struct index_catalog *catalog, size_t table,
	struct index_state *const *parts, size_t count, bool *changed)
{
	struct catalog_table *entry = &catalog->catalog.tables[table];
	struct index_cover *cover = &catalog->covers[table];
	const struct index_place *place = catalog->place;

	if (link_parts(entry, cover, parts, count, changed) == 0 ||
		catalog_table_filter(
			place->disk, place->index_dir, place->store_id, entry, &cover->bloom) != 0)
		return false;
	cover->bloom_bytes = catalog_filter_bytes(entry);
	for (uint32_t i = 0; i < entry->part_count; i++)
		if (cover->parts[i] != NULL)
			index_part_cover(cover->parts[i]);
	return true;
}

bool index_catalog_load(
	struct index_catalog *catalog, struct index_state *const *parts, size_t count)
{
	const struct index_place *place = catalog->place;
	bool changed = false;

	if (catalog_load(place->disk, place->index_dir, place->store_id, &catalog->catalog) != 0)
		return false;
	catalog->covers = calloc(catalog->catalog.count + 1, sizeof(*catalog->covers));
	if (catalog->covers == NULL) {
		catalog_done(&catalog->catalog);
		return false;
	}
	for (size_t i = 0; i < catalog->catalog.count;) {
		if (load_table(catalog, i, parts, count, &changed)) {
			i++;
			continue;
		}
		drop_table(catalog, i);
		changed = true;
	}
	if (changed)
		save_or_drop(catalog);
	return changed;
}

void index_catalog_done(struct index_catalog *catalog)
{
	catalog_merge_free(catalog->merge);
	catalog->merge = NULL;
	for (size_t i = 0; i < catalog->catalog.count; i++)
		free(catalog->covers[i].bloom);
	free(catalog->covers);
	catalog->covers = NULL;
	catalog_done(&catalog->catalog);
}

/* ---- Gathering ------------------------------------------------------------------- */

static int for_each_id(
	void *ctx, size_t part, int (*on_id)(void *arg, const uint8_t trace_id[16]), void *arg)
{
	const struct index_cover *cover = ctx;
	int ret = index_part_for_each_id(cover->parts[part], on_id, arg);

	if (ret != 0)
		cover->parts[part]->uncoverable = true;
	return ret;
}

/* No table could be made of them: the next is without the one that couldn't be read, or, if that
 * wasn't why, without any. */
static void leave_out(const struct index_cover *cover, size_t count)
{
	bool unread = false;

	for (size_t i = 0; i < count; i++)
		unread |= cover->parts[i]->uncoverable;
	for (size_t i = 0; i < count && !unread; i++)
		cover->parts[i]->uncoverable = true;
}

/* The oldest parts that none covers, as many as make a table; returns how many, 0: there are too
 * few. */
static size_t choose(struct index_state *const *parts, size_t count, struct catalog_table *table,
	struct index_cover *cover)
{
	size_t found = 0;
	bool full = false;

	for (size_t i = 0; i < count && found < CATALOG_GATHER; i++) {
		struct index_state *part = parts[i];

		if (part->catalogued || part->uncoverable || part->runs > TABLE_RUNS_MAX ||
			!index_part_is_whole(part))
			continue;
		full = table->runs + part->runs > TABLE_RUNS_MAX;
		if (full)
			break;
		table->parts[found] = (struct catalog_part){.day = part->name.day,
			.number = part->name.number,
			.length_bytes = part->covered};
		table->runs += part->runs;
		cover->parts[found++] = part;
	}
	table->part_count = (uint32_t)found;
	return full || found == CATALOG_GATHER ? found : 0;
}

static int make_table(
	struct index_catalog *catalog, struct catalog_table *table, struct index_cover *cover)
{
	const struct catalog_ids ids = {.for_each_id = for_each_id, .ctx = cover};
	const struct index_place *place = catalog->place;
	struct index_cover *covers =
		reallocarray(catalog->covers, catalog->catalog.count + 1, sizeof(*catalog->covers));
	int ret;

	if (covers == NULL)
		return -ENOMEM;
	catalog->covers = covers;
	ret = give_id(catalog, table);
	if (ret == 0)
		ret = catalog_table_make(
			place->disk, place->index_dir, place->store_id, &ids, table, &cover->bloom);
	if (ret != 0)
		return ret;
	ret = catalog_add(&catalog->catalog, table);
	if (ret != 0) {
		free(cover->bloom);
		return ret;
	}
	cover->bloom_bytes = catalog_filter_bytes(table);
	covers[catalog->catalog.count - 1] = *cover;
	return 0;
}

void index_catalog_gather(struct index_catalog *catalog, struct index_state *const *parts,
	size_t count, unsigned int most)
{
	bool made = false;

	for (unsigned int i = 0; i < most; i++) {
		struct catalog_table table = {0};
		struct index_cover cover = {0};
		size_t found = choose(parts, count, &table, &cover);
		bool good = found > 0 && make_table(catalog, &table, &cover) == 0;

		made |= good;
		if (found == 0)
			break;
		if (!good)
			leave_out(&cover, found);
		for (size_t k = 0; good && k < found; k++)
			index_part_cover(cover.parts[k]);
	}
	if (made)
		save_or_drop(catalog);
}

/* ---- Merging --------------------------------------------------------------------- */

/* Puts what is left of a table's parts behind those that the merged one has. */
static void place_parts(const struct catalog_table *table, const struct index_cover *cover,
	struct catalog_source *source, struct catalog_table *merged)
{
	source->table = *table;
	memset(source->places, CATALOG_NO_PART, sizeof(source->places));
	for (uint32_t i = 0; i < table->part_count; i++) {
		if (cover->parts[i] == NULL)
			continue;
		source->places[i] = (uint8_t)merged->part_count;
		merged->parts[merged->part_count++] = table->parts[i];
	}
	/* Of parts that went no more is known than that they had some of them. */
	merged->runs += table->runs;
}

/* The oldest tables that aren't merged, as many as make one. Returns how many, 0: there are too
 * few. */
static size_t choose_tables(const struct index_catalog *catalog,
	struct catalog_source sources[CATALOG_MERGE_TABLES], struct catalog_table *merged)
{
	size_t found = 0;

	for (size_t i = 0; i < catalog->catalog.count && found < CATALOG_MERGE_TABLES; i++) {
		const struct catalog_table *table = &catalog->catalog.tables[i];

		if (table->merged || catalog->covers[i].unmergeable ||
			merged->part_count + table->part_count > CATALOG_TABLE_PARTS ||
			merged->runs + table->runs > UINT32_MAX)
			continue;
		place_parts(table, &catalog->covers[i], &sources[found++], merged);
	}
	return found == CATALOG_MERGE_TABLES ? found : 0;
}

static struct index_cover *cover_of(const struct index_catalog *catalog, uint32_t id, size_t *ret)
{
	for (*ret = 0; *ret < catalog->catalog.count; ++*ret)
		if (catalog->catalog.tables[*ret].id == id)
			return &catalog->covers[*ret];
	return NULL;
}

static void give_up(
	struct index_catalog *catalog, const struct catalog_source *sources, size_t count)
{
	size_t at;

	for (size_t i = 0; i < count; i++) {
		struct index_cover *cover = cover_of(catalog, sources[i].table.id, &at);

		if (cover != NULL)
			cover->unmergeable = true;
	}
}

static bool begin_merge(struct index_catalog *catalog)
{
	const struct index_place *place = catalog->place;
	struct catalog_source sources[CATALOG_MERGE_TABLES];
	struct catalog_table merged = {0};
	size_t count = choose_tables(catalog, sources, &merged);

	if (count == 0)
		return false;
	if (give_id(catalog, &merged) != 0 ||
		catalog_merge_begin(place->disk, place->index_dir, place->store_id, sources, count,
			&merged, &catalog->merge) != 0)
		give_up(catalog, sources, count);
	return true;
}

/* Takes what is left of a source's parts over. Returns how many. */
static size_t take_parts(const struct index_cover *from, const struct catalog_source *source,
	struct catalog_table *table, struct index_cover *cover)
{
	size_t left = 0;

	for (uint32_t i = 0; i < source->table.part_count; i++) {
		uint8_t to = source->places[i];

		if (to == CATALOG_NO_PART)
			continue;
		cover->parts[to] = from != NULL ? from->parts[i] : NULL;
		if (cover->parts[to] != NULL)
			left++;
		else
			table->parts[to].number = 0;
	}
	return left;
}

/* Those that were merged make place for what they are now, where the oldest stood. */
static void replace_tables(struct index_catalog *catalog, const struct catalog_source *sources,
	size_t count, const struct catalog_table *table, const struct index_cover *cover)
{
	bool placed = false;
	size_t at;

	for (size_t i = 0; i < count; i++) {
		if (cover_of(catalog, sources[i].table.id, &at) == NULL)
			continue;
		if (placed) {
			forget_table(catalog, at);
			continue;
		}
		free(catalog->covers[at].bloom);
		catalog->catalog.tables[at] = *table;
		catalog->covers[at] = *cover;
		placed = true;
	}
}

static void end_merge(struct index_catalog *catalog)
{
	struct catalog_table table = *catalog_merge_table(catalog->merge);
	struct index_cover cover = {.bloom = catalog_merge_filter(catalog->merge),
		.bloom_bytes = catalog_filter_bytes(&table)};
	size_t count, at, left = 0;
	const struct catalog_source *sources = catalog_merge_sources(catalog->merge, &count);

	for (size_t i = 0; i < count; i++)
		left += take_parts(
			cover_of(catalog, sources[i].table.id, &at), &sources[i], &table, &cover);
	if (left == 0) {
		unlink_table(catalog, table.id);
		free(cover.bloom);
		return;
	}
	replace_tables(catalog, sources, count, &table, &cover);
	save_or_drop(catalog);
	/* A list that names them is gone now. */
	for (size_t i = 0; i < count; i++)
		unlink_table(catalog, sources[i].table.id);
}

bool index_catalog_merge(struct index_catalog *catalog)
{
	const struct catalog_source *sources;
	size_t count;
	int ret;

	if (catalog->merge == NULL)
		return begin_merge(catalog);
	ret = catalog_merge_step(catalog->merge);
	if (ret == 0)
		end_merge(catalog);
	if (ret < 0) {
		sources = catalog_merge_sources(catalog->merge, &count);
		give_up(catalog, sources, count);
	}
	if (ret <= 0) {
		catalog_merge_free(catalog->merge);
		catalog->merge = NULL;
	}
	return true;
}

void index_catalog_remove(struct index_catalog *catalog, const struct index_state *part)
{
	bool changed = false;

	for (size_t i = catalog->catalog.count; i-- > 0;) {
		struct catalog_table *table = &catalog->catalog.tables[i];
		struct index_cover *cover = &catalog->covers[i];
		size_t left = 0;

		for (uint32_t k = 0; k < table->part_count; k++) {
			if (cover->parts[k] == part) {
				cover->parts[k] = NULL;
				table->parts[k].number = 0;
				changed = true;
			}
			left += cover->parts[k] != NULL;
		}
		if (left == 0)
			drop_table(catalog, i);
	}
	if (changed)
		save_or_drop(catalog);
}

/* ---- Asking ------------------------------------------------------------------------- */

uint64_t index_catalog_ask(const struct index_catalog *catalog, size_t table, uint64_t hash)
{
	const struct index_place *place = catalog->place;
	const struct catalog_table *entry = &catalog->catalog.tables[table];
	const struct index_cover *cover = &catalog->covers[table];
	uint64_t ret;
	int file;

	if (!index_bloom_has(cover->bloom, cover->bloom_bytes, catalog_filter_hash(entry, hash)))
		return 0;
	file = catalog_table_open(place->disk, place->index_dir, entry);
	ret = catalog_table_ask(place->disk, file, place->store_id, entry, hash);
	disk_close(place->disk, file);
	return ret;
}

void index_catalog_expect(const struct index_catalog *catalog, uint64_t hash)
{
	for (size_t i = 0; i < catalog->catalog.count; i++) {
		const struct index_cover *cover = &catalog->covers[i];

		__builtin_prefetch(cover->bloom +
				   index_bloom_block(cover->bloom_bytes,
					   catalog_filter_hash(&catalog->catalog.tables[i], hash)));
	}
}

bool index_catalog_has_file(const struct index_catalog *catalog, const char *name)
{
	char expected[CATALOG_NAME_BYTES];

	if (strcmp(name, CATALOG_NAME) == 0)
		return catalog->catalog.count > 0;
	for (size_t i = 0; i < catalog->catalog.count; i++) {
		catalog_table_name(catalog->catalog.tables[i].id, expected);
		if (strcmp(name, expected) == 0)
			return true;
	}
	return false;
}

size_t index_catalog_memory(const struct index_catalog *catalog)
{
	size_t bytes = catalog->merge != NULL ? catalog_merge_memory(catalog->merge) : 0;

	for (size_t i = 0; i < catalog->catalog.count; i++)
		bytes += sizeof(catalog->catalog.tables[i]) + sizeof(catalog->covers[i]) +
			 (size_t)catalog->covers[i].bloom_bytes;
	return bytes;
}
