/*
 * view_files.c: which files there are at one moment; see view.h. The names of the
 * directory are read once; only files of which something is held, or whose length nobody
 * has told, are looked at themselves: so a store of many sealed parts is opened fast.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "view.h"

/* A name that a part of ours may have. */
struct listed {
	struct part_name part;
	struct view_file *file; /* that has it; NULL: none yet */
};

struct listing {
	struct reader *reader;
	struct listed *parts; /* owned; by day, number, plain first */
	size_t count;
	size_t capacity;
	struct bytes others; /* names that none of ours can have, each with its NUL */
};

/* ---- Names --------------------------------------------------------------------- */

static int add_part(struct listing *listing, const struct part_name *part)
{
	if (listing->count == listing->capacity) {
		size_t capacity = listing->capacity > 0 ? listing->capacity * 2 : 64;
		struct listed *parts =
			reallocarray(listing->parts, capacity, sizeof(struct listed));

		if (parts == NULL)
			return -ENOMEM;
		listing->parts = parts;
		listing->capacity = capacity;
	}
	listing->parts[listing->count++] = (struct listed){.part = *part};
	return 0;
}

static int on_name(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	struct part_name part;

	if (!part_name_is_traces(name))
		return 0;
	if (part_name_parse(name, &part) == 0)
		return add_part(listing, &part);
	return bytes_put(&listing->others, name, strlen(name) + 1);
}

static int compare_names(const void *left, const void *right)
{
	const struct part_name *a = &((const struct listed *)left)->part;
	const struct part_name *b = &((const struct listed *)right)->part;

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return a->sealed - b->sealed;
}

/* NULL: no file has that name. */
static struct listed *find_name(
	const struct listing *listing, const struct part_name *part, bool sealed)
{
	struct listed wanted = {.part = *part};

	wanted.part.sealed = sealed;
	return listing->count > 0 ? bsearch(&wanted, listing->parts, listing->count,
					    sizeof(struct listed), compare_names)
				  : NULL;
}

/* Those that are known from the look before, to their names. */
static void link_known(struct listing *listing)
{
	struct reader *reader = listing->reader;

	for (size_t i = 0; i < reader->file_count; i++) {
		struct view_file *file = reader->files[i];
		struct part_name part;
		struct listed *listed;

		file->present = false;
		if (part_name_parse(file->name, &part) != 0)
			continue;
		listed = find_name(listing, &part, part.sealed);
		if (listed != NULL)
			listed->file = file;
	}
}

static int list_names(struct listing *listing)
{
	struct reader *reader = listing->reader;
	int ret = disk_list(reader->disk, reader->dirs.top, on_name, listing);

	if (ret != 0)
		return ret;
	if (listing->count > 1)
		qsort(listing->parts, listing->count, sizeof(struct listed), compare_names);
	link_known(listing);
	return 0;
}

/* ---- Files ------------------------------------------------------------------------ */

static struct view_file *new_file(struct reader *reader, const char *name)
{
	struct view_file *file;

	if (reader->file_count == reader->file_capacity) {
		size_t capacity = reader->file_capacity > 0 ? reader->file_capacity * 2 : 16;
		struct view_file **files =
			reallocarray(reader->files, capacity, sizeof(struct view_file *));

		if (files == NULL)
			return NULL;
		reader->files = files;
		reader->file_capacity = capacity;
	}
	file = calloc(1, sizeof(*file));
	if (file == NULL)
		return NULL;
	file->name = strdup(name);
	if (file->name == NULL) {
		free(file);
		return NULL;
	}
	reader->files[reader->file_count++] = file;
	return file;
}

static void reset_runs(struct reader *reader, struct view_file *file)
{
	bool distrusted = file->runs.distrusted;

	view_close_source(reader, file);
	run_list_done(&file->runs);
	run_list_init(&file->runs, reader->disk, !file->ours);
	file->runs.distrusted = distrusted;
	file->ready = false;
	file->failed = file->damaged = false;
}

static bool is_packed(const char *name)
{
	size_t length = strlen(name);

	return length > 4 && strcmp(name + length - 4, ".zst") == 0;
}

/* Whether nothing is held of it that would be wrong if another file had its name now. */
static bool is_untouched(const struct view_file *file)
{
	return file->ours && file->source == NULL && !file->failed && !file->damaged;
}

/* Takes a file into the view, as it was before where that is still true. known: what had its name
 * before, or NULL; part: it is one of ours. */
static int take_file(struct reader *reader, struct view_file *known, const char *name,
	const struct part_name *part, uint64_t length_bytes, struct view_file **ret)
{
	struct view_file *file = known;
	struct disk_stat stat = {0};
	bool same;

	/* A sealed part is as the manifest has it, or who reads it finds out. */
	if (part == NULL || !part->sealed || (known != NULL && !is_untouched(known))) {
		if (disk_stat_name(reader->disk, reader->dirs.top, name, &stat) != 0 ||
			(part == NULL && !stat.regular))
			return 0;
		if (part == NULL && !is_packed(name))
			length_bytes = stat.length_bytes;
		/* One that was missing is another, too. */
		if (known != NULL && known->inode != stat.inode &&
			(known->inode != 0 || known->failed))
			file = NULL;
	}
	/* A plain part may have grown; a sealed one of another length is another. */
	same = file != NULL && file->ours == (part != NULL) &&
	       (part != NULL ? file->length_bytes == length_bytes ||
				       (!part->sealed && file->length_bytes < length_bytes)
			     : file->stored_bytes == stat.length_bytes &&
				       file->modified_ns == stat.modified_ns);
	if (file == NULL)
		file = new_file(reader, name);
	if (file == NULL)
		return -ENOMEM;
	*ret = file;
	file->ours = part != NULL;
	if (part != NULL)
		file->part = *part;
	if (stat.inode != 0)
		file->inode = stat.inode;
	file->stored_bytes = stat.length_bytes;
	file->modified_ns = stat.modified_ns;
	file->present = true;
	/* The index may have been made anew, or other flags been set in it. */
	if (file->ours)
		file->ready = false;
	if (same && (!file->ours || file->length_bytes == length_bytes))
		return 0;
	if (!same) {
		reset_runs(reader, file);
	} else {
		/* A source knows its size from when it was opened. */
		view_close_source(reader, file);
		file->failed = file->damaged = false;
	}
	file->length_bytes = length_bytes;
	return 0;
}

static struct view_file *find_missing(const struct reader *reader, const char *name)
{
	for (size_t i = 0; i < reader->file_count; i++) {
		struct view_file *file = reader->files[i];

		if (file->inode == 0 && file->failed && strcmp(file->name, name) == 0)
			return file;
	}
	return NULL;
}

/* A part with committed lines, and no file has its name. The daemon tells of it by itself. */
static int note_missing(struct reader *reader, const char *name, const struct part_name *part)
{
	struct view_file *file = find_missing(reader, name);
	int ret = manifest_unchanged(
		reader->disk, reader->dirs.waft, offline_manifest(reader->offline));

	/* Retention, or the file was sealed while we looked. */
	if (ret != 1)
		return ret < 0 ? ret : -ESTALE;
	if (file == NULL)
		file = new_file(reader, name);
	if (file == NULL)
		return -ENOMEM;
	file->ours = file->present = true;
	file->part = *part;
	if (!file->failed) {
		run_list_init(&file->runs, reader->disk, false);
		view_note_unreadable(reader, file, -ENOENT);
	}
	return 0;
}

/* A file that was known under a name that isn't listed as one of ours. */
static struct view_file *find_other(const struct reader *reader, const char *name)
{
	for (size_t i = 0; i < reader->file_count; i++)
		if (strcmp(reader->files[i]->name, name) == 0)
			return reader->files[i];
	return NULL;
}

/* A part that was sealed while its directory was listed, or since: what was listed may be neither
 * of its names. 0, also when it isn't there (*ret is NULL then), or -ENOMEM. */
static int take_just_sealed(struct reader *reader, const struct part_name *part,
	uint64_t length_bytes, struct view_file **ret)
{
	struct part_name sealed = *part;
	char name[PART_NAME_BYTES];
	struct disk_stat stat;

	sealed.sealed = true;
	if (part_name_format(&sealed, name) != 0 ||
		disk_stat_name(reader->disk, reader->dirs.top, name, &stat) != 0)
		return 0;
	return take_file(reader, find_other(reader, name), name, &sealed, length_bytes, ret);
}

/* A part of the manifest: under its plain name, or sealed meanwhile, or gone. */
static int on_part(void *arg, const struct live_part *live)
{
	struct listing *listing = arg;
	struct reader *reader = listing->reader;
	struct view_file *file = NULL;
	char name[PART_NAME_BYTES];
	struct part_name part;
	int ret;

	if (part_name_parse(live->name, &part) != 0)
		return 0;
	for (int sealed = part.sealed; sealed < 2; sealed++) {
		struct listed *listed = find_name(listing, &part, sealed != 0);

		part.sealed = sealed != 0;
		if (listed == NULL || part_name_format(&part, name) != 0)
			continue;
		ret = take_file(reader, listed->file, name, &part, live->length_bytes, &file);
		if (ret != 0)
			return ret;
		/* It has gone since. */
		if (file == NULL)
			continue;
		listed->file = file;
		file->known_damaged = live->damaged;
		return 0;
	}
	ret = live->length_bytes > 0 ? take_just_sealed(reader, &part, live->length_bytes, &file)
				     : 0;
	if (file != NULL)
		file->known_damaged = live->damaged;
	if (ret != 0 || file != NULL)
		return ret;
	return reader->live != NULL || live->length_bytes == 0
		       ? 0
		       : note_missing(reader, live->name, &part);
}

static bool is_taken(const struct listed *listed)
{
	return listed != NULL && listed->file != NULL && listed->file->present &&
	       listed->file->ours;
}

/* Those that no part of the manifest has. A plain part beside its sealed form, or the other way
 * round, is one part. How much a packed file holds is found out when it is opened. */
static int take_others(const struct listing *listing)
{
	struct view_file *file;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < listing->count; i++) {
		const struct listed *listed = &listing->parts[i];
		char name[PART_NAME_BYTES];

		if (is_taken(listed) ||
			is_taken(find_name(listing, &listed->part, !listed->part.sealed)) ||
			part_name_format(&listed->part, name) != 0)
			continue;
		ret = take_file(listing->reader, listed->file, name, NULL, UINT64_MAX, &file);
	}
	for (size_t at = 0; ret == 0 && at < listing->others.length;) {
		const char *name = (const char *)listing->others.data + at;

		ret = take_file(listing->reader, find_other(listing->reader, name), name, NULL,
			UINT64_MAX, &file);
		at += strlen(name) + 1;
	}
	return ret;
}

/* A part takes no more traces once a table has it, sealed or not, and is as long as it was. */
static void link_table(const struct listing *listing, size_t table)
{
	const struct catalog_table *entry = &listing->reader->catalog.list.tables[table];

	for (uint32_t i = 0; i < entry->part_count; i++) {
		const struct catalog_part *part = &entry->parts[i];
		const struct part_name name = {.day = part->day, .number = part->number};

		for (int sealed = 0; sealed < 2 && part->number != 0; sealed++) {
			const struct listed *listed = find_name(listing, &name, sealed != 0);

			if (!is_taken(listed) || listed->file->length_bytes != part->length_bytes)
				continue;
			listed->file->table = table + 1;
			listed->file->in_table = i;
		}
	}
}

static void link_catalog(const struct listing *listing)
{
	struct reader *reader = listing->reader;

	view_catalog_look(reader);
	for (size_t i = 0; i < reader->file_count; i++)
		reader->files[i]->table = 0;
	for (size_t i = 0; i < reader->catalog.list.count; i++)
		link_table(listing, i);
}

static int compare_files(const void *left, const void *right)
{
	return strcmp((*(struct view_file *const *)left)->name,
		(*(struct view_file *const *)right)->name);
}

static void drop_absent(struct reader *reader)
{
	size_t kept = 0;

	for (size_t i = 0; i < reader->file_count; i++) {
		if (reader->files[i]->present)
			reader->files[kept++] = reader->files[i];
		else
			view_free_file(reader, reader->files[i]);
	}
	reader->file_count = kept;
	if (kept > 1)
		qsort(reader->files, kept, sizeof(struct view_file *), compare_files);
}

static int refresh_offline(struct reader *reader)
{
	const struct manifest_state *manifest;
	int ret = 0;

	if (reader->offline == NULL)
		ret = offline_new(reader->disk, &reader->dirs, &reader->offline);
	if (ret == 0)
		ret = offline_refresh(reader->offline);
	if (ret != 0)
		return ret;
	manifest = offline_manifest(reader->offline);
	memcpy(reader->store_id, manifest->store_id, 16);
	reader->report.unverified =
		reader->dirs.waft >= 0 && (manifest->generation == 0 || manifest->damaged);
	reader->report.manifest_damaged = manifest->damaged;
	reader->report.log_cut = offline_log_cut(reader->offline);
	return 0;
}

const struct live_source *view_live(const struct reader *reader)
{
	return reader->live != NULL ? reader->live : offline_source(reader->offline);
}

int view_look(struct reader *reader)
{
	struct listing listing = {.reader = reader};
	const struct live_source *live;
	int ret = 0;

	view_open_dirs(reader);
	if (reader->index_dir >= 0)
		catalog_will_load(reader->disk, reader->index_dir);
	if (reader->live == NULL)
		ret = refresh_offline(reader);
	else
		memcpy(reader->store_id, reader->live->store_id, 16);
	if (ret == 0)
		ret = list_names(&listing);
	if (ret == 0) {
		live = view_live(reader);
		ret = live->for_each_part(live->ctx, on_part, &listing);
		if (ret == 0)
			ret = take_others(&listing);
		link_catalog(&listing);
		drop_absent(reader);
	}
	free(listing.parts);
	bytes_done(&listing.others);
	return ret;
}
