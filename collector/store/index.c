/*
 * index.c: see index.h. Parts are searched newest first; the memory of their tails is
 * bounded by compacting the longest when they grow beyond TAIL_RUNS_MAX together.
 */
#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index_catalog.h"
#include "index_part.h"
#include "index_run.h"
#include "manifest.h"
#include "run_scan.h"
#include "source.h"

#define TAIL_RUNS_MAX ((size_t)64 << 10)
/* Files that are kept open. */
#define OPEN_MAX 16
/* What is made at once where there is no catalog yet: others wait for it. */
#define TABLES_AT_START 12
/* So many runs are added before it is looked how many there are. */
#define TAIL_CHECK_RUNS 256

struct index {
	struct index_place place;
	struct index_state **parts; /* owned; in order of their making */
	size_t count;
	size_t capacity;
	struct index_state **searched; /* owned; those that no table covers, newest first */
	size_t searched_count;
	struct index_catalog catalog;
	uint32_t added; /* runs, since tails were counted */
	uint64_t clock; /* counts uses */
	size_t bytes;	/* of memory, at the last flush; atomic: any thread asks */
};

/* ---- Parts -------------------------------------------------------------------- */

static bool same_name(const struct part_name *a, const struct part_name *b)
{
	return a->day == b->day && a->number == b->number && a->sealed == b->sealed;
}

static struct index_state *find_part(const struct index *index, const struct part_name *name)
{
	for (size_t i = index->count; i > 0; i--)
		if (same_name(&index->parts[i - 1]->name, name))
			return index->parts[i - 1];
	return NULL;
}

static struct index_state *new_part(struct index *index, const struct part_name *name)
{
	struct index_state *part;

	if (index->count == index->capacity) {
		size_t capacity = index->capacity > 0 ? index->capacity * 2 : 16;
		struct index_state **parts =
			reallocarray(index->parts, capacity, sizeof(struct index_state *));

		if (parts == NULL)
			return NULL;
		index->parts = parts;
		parts = reallocarray(index->searched, capacity, sizeof(struct index_state *));
		if (parts == NULL)
			return NULL;
		index->searched = parts;
		index->capacity = capacity;
	}
	part = malloc(sizeof(*part));
	if (part == NULL)
		return NULL;
	index_part_init(part, &index->place, name);
	index->parts[index->count++] = part;
	memmove(index->searched + 1, index->searched,
		index->searched_count++ * sizeof(struct index_state *));
	index->searched[0] = part;
	return part;
}

/* Parts went, or were covered. */
static void list_searched(struct index *index)
{
	index->searched_count = 0;
	for (size_t i = index->count; i > 0; i--)
		if (!index->parts[i - 1]->catalogued)
			index->searched[index->searched_count++] = index->parts[i - 1];
}

static void gather(struct index *index, unsigned int most)
{
	index_catalog_gather(&index->catalog, index->parts, index->count, most);
	list_searched(index);
}

/* Closes the files of parts not used for the longest time. */
static void limit_open(struct index *index)
{
	struct index_state *oldest = NULL;
	size_t open = 0;

	for (size_t i = 0; i < index->count; i++) {
		struct index_state *part = index->parts[i];

		if (part->file < 0)
			continue;
		open++;
		if (oldest == NULL || part->used < oldest->used)
			oldest = part;
	}
	if (open > OPEN_MAX) {
		index_part_flush(oldest);
		index_part_rest(oldest);
	}
}

static size_t tail_runs(const struct index *index, struct index_state **ret_longest)
{
	size_t runs = 0;

	*ret_longest = NULL;
	for (size_t i = 0; i < index->count; i++) {
		struct index_state *part = index->parts[i];

		/* A sealed part's ids are put away when it is packed. */
		if (part->name.sealed)
			continue;
		runs += part->tail_count;
		if (!part->stalled &&
			(*ret_longest == NULL || part->tail_count > (*ret_longest)->tail_count))
			*ret_longest = part;
	}
	return runs;
}

/* ---- Rebuilding ------------------------------------------------------------------ */

static int repair(
	struct index *index, struct index_state *part, uint64_t length_bytes, uint64_t *ret_runs);

struct rebuilding {
	struct index *index;
	struct index_state *part;
	struct source *source;
	struct bytes lines;
	uint64_t runs;
};

/* Runs that are larger are packed without being looked at. */
#define LINES_BYTES_MAX ((size_t)8 << 20)

/* The lines of a run of a sealed part, for its pack. */
static int read_lines(struct rebuilding *rebuilding, const struct index_run *run)
{
	struct bytes *lines = &rebuilding->lines;
	int ret;

	lines->length = 0;
	rebuilding->part->lines = (struct slice){0};
	if (!rebuilding->part->name.sealed || run->length_bytes > LINES_BYTES_MAX)
		return 0;
	ret = bytes_reserve(lines, run->length_bytes);
	if (ret == 0)
		ret = source_read(rebuilding->source, run->offset, lines->data, run->length_bytes);
	if (ret == 0)
		rebuilding->part->lines = slice_of(lines->data, run->length_bytes);
	return ret;
}

static int add_to(struct index *index, struct index_state *part, const struct index_run *run);

static int on_run(void *ctx, const struct index_run *run)
{
	struct rebuilding *rebuilding = ctx;
	int ret = read_lines(rebuilding, run);

	if (ret != 0)
		return ret;
	rebuilding->runs++;
	/* What lies before it are lines that are no records. */
	rebuilding->part->covered = run->offset;
	return add_to(rebuilding->index, rebuilding->part, run);
}

/* Adds what the part's lines have behind what is indexed. */
static int repair(
	struct index *index, struct index_state *part, uint64_t length_bytes, uint64_t *ret_runs)
{
	struct rebuilding rebuilding = {.index = index, .part = part};
	const struct run_scan_ops ops = {.on_run = on_run, .ctx = &rebuilding};
	struct scan_buffer buffer = {0};
	struct source *source = NULL;
	char name[PART_NAME_BYTES];
	uint64_t end;
	int ret = part_name_format(&part->name, name);

	if (ret == 0)
		ret = source_open(index->place.disk, index->place.parts_dir, name, &source);
	rebuilding.source = source;
	if (ret == 0)
		ret = run_scan(source, part->covered, length_bytes, &buffer, &ops, &end);
	part->lines = (struct slice){0};
	if (ret == 0)
		part->covered = end;
	/* All of it or nothing: it gets no more. */
	if (ret == 0 && part->name.sealed && index_part_compact(part) == -ENOMEM)
		ret = -ENOMEM;
	index_part_flush(part);
	bytes_done(&rebuilding.lines);
	source_close(source);
	scan_buffer_done(&buffer);
	*ret_runs = rebuilding.runs;
	return ret;
}

/* Takes in what is indexed of a part. */
static int load_part(struct index *index, const struct index_part *from)
{
	struct index_state *part = new_part(index, &from->name);
	int ret = part != NULL ? index_part_load(part, from->length_bytes) : -ENOMEM;

	if (ret == 0)
		part->closed = from->closed;
	return ret;
}

/* Indexes the rest of a part. One whose lines can't be read is indexed as far as it
 * went; readers find the same when they try. */
static int mend_part(struct index *index, struct index_state *part, const struct index_part *from,
	struct index_report *report)
{
	uint64_t runs = 0;
	int ret = 0;

	report->parts++;
	if (part->covered < from->length_bytes) {
		ret = repair(index, part, from->length_bytes, &runs);
		report->rebuilt_parts++;
		report->rebuilt_runs += runs;
	}
	if (ret == -ENOMEM)
		return ret;
	if (from->closed && index_part_compact(part) == -ENOMEM)
		return -ENOMEM;
	limit_open(index);
	return 0;
}

/* ---- Opening --------------------------------------------------------------------- */

struct cleaning {
	struct index *index;
	char (*names)[INDEX_NAME_BYTES + 8]; /* owned */
	size_t count;
};

static bool is_ours(const struct index *index, const char *name)
{
	char expected[INDEX_NAME_BYTES];

	if (index_catalog_has_file(&index->catalog, name))
		return true;
	for (size_t i = 0; i < index->count; i++) {
		const struct part_name *part = &index->parts[i]->name;

		if (part->sealed) {
			if (pack_name(part, expected) == 0 && strcmp(name, expected) == 0)
				return true;
			continue;
		}
		if (index_file_name(part, INDEX_RUNS, expected) == 0 && strcmp(name, expected) == 0)
			return true;
		if (index_file_name(part, INDEX_IDS, expected) == 0 && strcmp(name, expected) == 0)
			return true;
	}
	return false;
}

static int on_name(void *ctx, const char *name)
{
	struct cleaning *cleaning = ctx;
	void *names;

	if (strlen(name) >= sizeof(*cleaning->names) || is_ours(cleaning->index, name))
		return 0;
	names = reallocarray(cleaning->names, cleaning->count + 1, sizeof(*cleaning->names));
	if (names == NULL)
		return -ENOMEM;
	cleaning->names = names;
	strcpy(cleaning->names[cleaning->count++], name);
	return 0;
}

/* Names may be used again: then a file that came back would speak of another part. */
static void sync_names(const struct index *index)
{
	(void)!disk_sync_dir(index->place.disk, index->place.index_dir);
}

/* What is left over does no harm: failing to remove it neither. */
static void remove_others(struct index *index)
{
	struct cleaning cleaning = {.index = index};

	(void)!disk_list(index->place.disk, index->place.index_dir, on_name, &cleaning);
	for (size_t i = 0; i < cleaning.count; i++)
		(void)!disk_unlink(index->place.disk, index->place.index_dir, cleaning.names[i]);
	if (cleaning.count > 0)
		sync_names(index);
	free(cleaning.names);
}

static void count_memory(struct index *index)
{
	size_t bytes = sizeof(*index) + 2 * index->capacity * sizeof(struct index_state *) +
		       index_catalog_memory(&index->catalog);

	for (size_t i = 0; i < index->count; i++)
		bytes += index_part_memory(index->parts[i]);
	__atomic_store_n(&index->bytes, bytes, __ATOMIC_RELAXED);
}

struct index_part index_part_of(const struct manifest_part *part)
{
	struct index_part ret = {.name = part->name,
		.length_bytes = part->length_bytes,
		.closed = part->state != PART_OPEN};

	ret.name.sealed = part->state == PART_SEALED;
	return ret;
}

int index_open(struct disk *disk, int parts_dir, int index_dir, const uint8_t store_id[16],
	const struct index_part *parts, size_t part_count, struct index **ret,
	struct index_report *ret_report)
{
	struct index *index = calloc(1, sizeof(*index));
	struct index_report report = {0};
	int error = 0;

	if (index == NULL)
		return -ENOMEM;
	index->place =
		(struct index_place){.disk = disk, .parts_dir = parts_dir, .index_dir = index_dir};
	memcpy(index->place.store_id, store_id, 16);
	index->catalog.place = &index->place;
	/* All that is there first: what continues a trace is told by the other parts. */
	for (size_t i = 0; error == 0 && i < part_count; i++)
		error = load_part(index, &parts[i]);
	for (size_t i = 0; error == 0 && i < part_count; i++)
		error = mend_part(index, index->parts[i], &parts[i], &report);
	if (error != 0) {
		index_close(index);
		return error;
	}
	/* What it has forgotten of parts that went must not come back, as with their files. */
	if (index_catalog_load(&index->catalog, index->parts, index->count))
		sync_names(index);
	remove_others(index);
	gather(index, TABLES_AT_START);
	while (index_catalog_merge(&index->catalog)) {
	}
	count_memory(index);
	*ret_report = report;
	*ret = index;
	return 0;
}

void index_flush(struct index *index)
{
	for (size_t i = 0; i < index->count; i++)
		index_part_flush(index->parts[i]);
	(void)index_catalog_merge(&index->catalog);
	limit_open(index);
	count_memory(index);
}

void index_close(struct index *index)
{
	if (index == NULL)
		return;
	for (size_t i = 0; i < index->count; i++) {
		index_part_flush(index->parts[i]);
		index_part_done(index->parts[i]);
		free(index->parts[i]);
	}
	index_catalog_done(&index->catalog);
	free(index->searched);
	free(index->parts);
	free(index);
}

/* ---- Searching -------------------------------------------------------------------- */

/* Loads the part anew. What a table has of it holds: its runs are the same. */
static int load_again(struct index_state *part, uint64_t length_bytes)
{
	bool catalogued = part->catalogued, closed = part->closed;
	int ret;

	index_part_discard(part);
	ret = index_part_load(part, length_bytes);
	part->closed = closed;
	if (catalogued)
		index_part_cover(part);
	return ret;
}

/* Reads the ids of a part again from its runs, when .ids turned out to be damaged. */
static int forget_ids(struct index *index, struct index_state *part)
{
	uint64_t length_bytes = part->covered;
	uint64_t runs;
	int ret = load_again(part, length_bytes);

	return ret != 0 ? ret : repair(index, part, length_bytes, &runs);
}

/* Whether a part has a run of the trace: 1, 0, or an error. */
static int find_in_part(
	struct index *index, struct index_state *part, const uint8_t trace_id[16], uint64_t hash)
{
	int ret = index_part_find(part, trace_id, hash);

	if (ret != ERR_INDEX)
		return ret;
	ret = forget_ids(index, part);
	if (ret == 0)
		return index_part_find(part, trace_id, hash);
	/* A part whose file somebody took away holds nothing. */
	return ret == -ENOENT ? 0 : ret;
}

/* The same for the parts of a table. */
static int find_in_table(struct index *index, size_t table, const uint8_t trace_id[16],
	uint64_t hash, struct index_state **ret_part)
{
	uint64_t left = index_catalog_ask(&index->catalog, table, hash);

	while (left != 0) {
		unsigned int i = 63 - (unsigned int)__builtin_clzll(left);
		struct index_state *part = index->catalog.covers[table].parts[i];
		int ret = part != NULL ? find_in_part(index, part, trace_id, hash) : 0;

		left &= ~(UINT64_C(1) << i);
		if (ret == 1)
			*ret_part = part;
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* A part that has a run of the trace: 1, 0, or an error. */
static int find_trace(
	struct index *index, const uint8_t trace_id[16], struct index_state **ret_part)
{
	uint64_t hash = index_hash_id(trace_id);
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < index->searched_count; i++) {
		*ret_part = index->searched[i];
		ret = find_in_part(index, *ret_part, trace_id, hash);
	}
	for (size_t i = index->catalog.catalog.count; ret == 0 && i > 0; i--)
		ret = find_in_table(index, i - 1, trace_id, hash, ret_part);
	return ret;
}

void index_expect(const struct index *index, const uint8_t trace_id[16])
{
	uint64_t hash = index_hash_id(trace_id);

	for (size_t i = 0; i < index->searched_count; i++)
		index_part_expect(index->searched[i], hash);
	index_catalog_expect(&index->catalog, hash);
}

void index_expect_run(
	const struct index *index, const struct part_name *part, const uint8_t trace_id[16])
{
	const struct index_state *state = find_part(index, part);

	if (state != NULL)
		id_map_expect(&state->tail_map, index_hash_id(trace_id), true);
}

int index_day_of_trace(struct index *index, const uint8_t trace_id[16], int32_t *ret_day)
{
	struct index_state *part;
	int ret = find_trace(index, trace_id, &part);

	if (ret == 1)
		*ret_day = part->name.day;
	return ret == ERR_INDEX ? -EIO : ret;
}

/* ---- Adding ------------------------------------------------------------------------ */

static int add_told(
	struct index *index, struct index_state *part, const struct index_run *run, bool continues)
{
	struct index_run marked = *run;
	struct index_state *longest;
	int ret;

	if (continues)
		marked.flags |= INDEX_CONTINUES;
	part->used = ++index->clock;
	ret = index_part_add(part, &marked);
	if (ret != 0 || ++index->added < TAIL_CHECK_RUNS)
		return ret;
	index->added = 0;
	if (tail_runs(index, &longest) > TAIL_RUNS_MAX && longest != NULL)
		ret = index_part_compact(longest) == -ENOMEM ? -ENOMEM : 0;
	return ret;
}

static int add_to(struct index *index, struct index_state *part, const struct index_run *run)
{
	struct index_state *earlier;
	int ret = find_trace(index, run->trace_id, &earlier);

	if (ret < 0)
		return ret == ERR_INDEX ? -EIO : ret;
	return add_told(index, part, run, ret == 1);
}

static struct index_state *find_or_new(struct index *index, const struct part_name *part)
{
	struct index_state *state = find_part(index, part);

	return state != NULL ? state : new_part(index, part);
}

int index_add(struct index *index, const struct part_name *part, const struct index_run *run)
{
	struct index_state *state = find_or_new(index, part);

	return state != NULL ? add_to(index, state, run) : -ENOMEM;
}

int index_add_told(struct index *index, const struct part_name *part, const struct index_run *run,
	bool continues)
{
	struct index_state *state = find_or_new(index, part);

	return state != NULL ? add_told(index, state, run, continues) : -ENOMEM;
}

int index_close_part(struct index *index, const struct part_name *part)
{
	struct index_state *state = find_part(index, part);
	int ret;

	if (state == NULL)
		return 0;
	ret = index_part_compact(state);
	index_part_rest(state);
	state->closed = true;
	gather(index, 1);
	return ret == ERR_INDEX ? -EIO : ret;
}

int index_seal_part(struct index *index, const struct index_part *sealed)
{
	struct part_name plain = sealed->name;
	struct index_state *state;
	struct index_report report = {0};
	bool catalogued;
	int ret;

	plain.sealed = false;
	state = find_part(index, &plain);
	if (state == NULL)
		return 0;
	/* The place in the order of parts stays. What a table has of it holds where that was all:
	 * its last runs may not have been told (index_add). */
	catalogued = state->catalogued && state->covered == sealed->length_bytes;
	if (state->catalogued && !catalogued)
		index_catalog_remove(&index->catalog, state);
	index_part_discard(state);
	index_part_init(state, &index->place, &sealed->name);
	/* Its runs are looked for where they are added again. */
	list_searched(index);
	ret = index_part_load(state, sealed->length_bytes);
	if (ret == 0)
		ret = mend_part(index, state, sealed, &report);
	state->closed = true;
	if (catalogued)
		index_part_cover(state);
	gather(index, 1);
	return ret;
}

void index_remove_part(struct index *index, const struct part_name *part)
{
	struct index_state *state = find_part(index, part);
	struct part_name sealed = *part;
	size_t at = 0;

	sealed.sealed = true;
	if (state == NULL)
		state = find_part(index, &sealed);
	if (state == NULL)
		return;
	index_part_discard(state);
	index_catalog_remove(&index->catalog, state);
	sync_names(index);
	while (index->parts[at] != state)
		at++;
	index->count--;
	memmove(index->parts + at, index->parts + at + 1,
		(index->count - at) * sizeof(struct index_state *));
	list_searched(index);
	free(state);
}

size_t index_memory(const struct index *index)
{
	return __atomic_load_n(&index->bytes, __ATOMIC_RELAXED);
}
