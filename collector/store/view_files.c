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

/* What is made of the names. */
struct viewing {
	struct reader *reader;
	const struct part_names *names;
	struct view_file **files; /* owned; that has the name; NULL: none yet */
	size_t near;		  /* names are asked for in their order, mostly */
};

/* ---- Names --------------------------------------------------------------------- */

/* Where the part's names begin; names->count: it has none. */
static size_t find_names(struct viewing *viewing, const struct part_name *part)
{
	size_t at = part_names_find(viewing->names, part, viewing->near);

	if (at < viewing->names->count)
		viewing->near = at + 1;
	return at;
}

static bool is_name_of(const struct viewing *viewing, size_t at, const struct part_name *part)
{
	return at < viewing->names->count && part_names_is_same(&viewing->names->parts[at], part);
}

/* Those that are known from the look before, to their names. */
static void link_known(struct viewing *viewing)
{
	struct reader *reader = viewing->reader;

	for (size_t i = 0; i < reader->file_count; i++) {
		struct view_file *file = reader->files[i];
		struct part_name part;

		file->present = false;
		if (part_name_parse(file->name, &part) != 0)
			continue;
		for (size_t at = find_names(viewing, &part); is_name_of(viewing, at, &part); at++)
			if (viewing->names->parts[at].sealed == part.sealed)
				viewing->files[at] = file;
	}
}

static int link_names(struct viewing *viewing)
{
	viewing->files = calloc(viewing->names->count + 1, sizeof(struct view_file *));
	if (viewing->files == NULL)
		return -ENOMEM;
	link_known(viewing);
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
		if (part == NULL && !part_name_is_packed(name))
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
static int note_missing(struct reader *reader, const struct part_name *part)
{
	struct view_file *file;
	char name[PART_NAME_BYTES];
	int ret = manifest_unchanged(
		reader->disk, reader->dirs.waft, offline_manifest(reader->offline));

	/* Retention, or the file was sealed while we looked. */
	if (ret != 1)
		return ret < 0 ? ret : -ESTALE;
	if (part_name_format(part, name) != 0)
		return 0;
	file = find_missing(reader, name);
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
	struct viewing *viewing = arg;
	struct reader *reader = viewing->reader;
	const struct part_name *part = &live->part;
	struct view_file *file = NULL;
	char name[PART_NAME_BYTES];
	int ret = 0;

	for (size_t at = find_names(viewing, part);
		ret == 0 && file == NULL && is_name_of(viewing, at, part); at++) {
		const struct part_name *listed = &viewing->names->parts[at];

		if ((part->sealed && !listed->sealed) || part_name_format(listed, name) != 0)
			continue;
		/* None: it has gone since. */
		ret = take_file(
			reader, viewing->files[at], name, listed, live->length_bytes, &file);
		if (file != NULL)
			viewing->files[at] = file;
	}
	if (ret == 0 && file == NULL && live->length_bytes > 0)
		ret = take_just_sealed(reader, part, live->length_bytes, &file);
	if (file != NULL)
		file->known_damaged = live->damaged;
	if (ret != 0 || file != NULL)
		return ret;
	return reader->live != NULL || live->length_bytes == 0 ? 0 : note_missing(reader, part);
}

static bool is_taken(const struct view_file *file)
{
	return file != NULL && file->present && file->ours;
}

/* Whether the part has been taken under the name, or the other one that it may have. */
static bool has_part(const struct viewing *viewing, size_t at)
{
	const struct part_name *part = &viewing->names->parts[at];

	return is_taken(viewing->files[at]) ||
	       (is_name_of(viewing, at + 1, part) && is_taken(viewing->files[at + 1])) ||
	       (at > 0 && is_name_of(viewing, at - 1, part) && is_taken(viewing->files[at - 1]));
}

/* Those that no part of the manifest has. A plain part beside its sealed form, or the other way
 * round, is one part. How much a packed file holds is found out when it is opened. */
static int take_others(const struct viewing *viewing)
{
	const struct part_names *names = viewing->names;
	struct reader *reader = viewing->reader;
	struct view_file *file;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < names->count; i++) {
		char name[PART_NAME_BYTES];

		if (has_part(viewing, i) || part_name_format(&names->parts[i], name) != 0)
			continue;
		ret = take_file(reader, viewing->files[i], name, NULL, UINT64_MAX, &file);
	}
	for (size_t at = 0; ret == 0 && at < names->others.length;) {
		const char *name = (const char *)names->others.data + at;

		ret = take_file(reader, find_other(reader, name), name, NULL, UINT64_MAX, &file);
		at += strlen(name) + 1;
	}
	return ret;
}

/* A part takes no more traces once a table has it, sealed or not, and is as long as it was. */
static void link_table(struct viewing *viewing, size_t table)
{
	const struct catalog_table *entry = &viewing->reader->catalog.list.tables[table];

	for (uint32_t i = 0; i < entry->part_count; i++) {
		const struct catalog_part *part = &entry->parts[i];
		const struct part_name name = {.day = part->day, .number = part->number};

		if (part->number == 0)
			continue;
		for (size_t at = find_names(viewing, &name); is_name_of(viewing, at, &name); at++) {
			struct view_file *file = viewing->files[at];

			if (!is_taken(file) || file->length_bytes != part->length_bytes)
				continue;
			file->table = table + 1;
			file->in_table = i;
		}
	}
}

static void link_catalog(struct viewing *viewing)
{
	struct reader *reader = viewing->reader;

	view_catalog_look(reader);
	viewing->near = 0;
	for (size_t i = 0; i < reader->file_count; i++)
		reader->files[i]->table = 0;
	for (size_t i = 0; i < reader->catalog.list.count; i++)
		link_table(viewing, i);
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
	struct viewing viewing = {.reader = reader};
	struct part_names names = {0};
	const struct live_source *live;
	int ret;

	view_open_dirs(reader);
	if (reader->index_dir >= 0)
		catalog_will_load(reader->disk, reader->index_dir);
	if (reader->live == NULL) {
		ret = refresh_offline(reader);
		if (ret == 0)
			viewing.names = offline_names(reader->offline);
	} else {
		memcpy(reader->store_id, reader->live->store_id, 16);
		ret = part_names_read(&names, reader->disk, reader->dirs.top);
		viewing.names = &names;
	}
	if (ret == 0)
		ret = link_names(&viewing);
	if (ret == 0) {
		live = view_live(reader);
		ret = live->for_each_part(live->ctx, on_part, &viewing);
		if (ret == 0)
			ret = take_others(&viewing);
		link_catalog(&viewing);
		drop_absent(reader);
	}
	free(viewing.files);
	part_names_done(&names);
	return ret;
}
