/*
 * reader.c: see reader.h and view.h.
 *
 * Files are kept from query to query, with their runs: a part that grew has only its new
 * lines looked at; a foreign file that changed is read again.
 */
#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

#define OPEN_SOURCES_MAX 64
#define RETRIES_MAX 20

/* ---- Life ------------------------------------------------------------------ */

static int open_optional(struct reader *reader, int parent, const char *name)
{
	int dir = parent >= 0 ? disk_open_dir(reader->disk, parent, name, false) : -ENOENT;

	return dir >= 0 ? dir : -1;
}

/* Directories that came up since the last look. */
static void open_dirs(struct reader *reader)
{
	struct offline_dirs *dirs = &reader->dirs;

	if (dirs->waft < 0)
		dirs->waft = open_optional(reader, dirs->top, ".waft");
	if (dirs->log < 0)
		dirs->log = open_optional(reader, dirs->waft, "log");
	if (dirs->inbox < 0)
		dirs->inbox = open_optional(reader, dirs->waft, "inbox");
	if (reader->index_dir < 0)
		reader->index_dir = open_optional(reader, dirs->waft, INDEX_DIR);
}

int reader_open(const struct reader_config *config, struct reader **ret)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	int error;

	if (reader == NULL)
		return -ENOMEM;
	disk_real(&reader->real);
	reader->disk = config->disk != NULL ? config->disk : &reader->real;
	reader->config = *config;
	reader->live = config->live;
	reader->dirs = (struct offline_dirs){.top = -1, .waft = -1, .log = -1, .inbox = -1};
	reader->index_dir = -1;
	error = disk_open_root(reader->disk, config->directory, false);
	if (error < 0) {
		reader_close(reader);
		return error;
	}
	reader->dirs.top = error;
	open_dirs(reader);
	*ret = reader;
	return 0;
}

static void close_source(struct reader *reader, struct view_file *file)
{
	if (file->source == NULL)
		return;
	source_close(file->source);
	file->source = NULL;
	reader->open_sources--;
}

static void free_file(struct reader *reader, struct view_file *file)
{
	close_source(reader, file);
	run_list_done(&file->runs);
	free(file->name);
	free(file);
}

void reader_close(struct reader *reader)
{
	if (reader == NULL)
		return;
	offline_free(reader->offline);
	for (size_t i = 0; i < reader->file_count; i++)
		free_file(reader, reader->files[i]);
	free(reader->files);
	scan_buffer_done(&reader->buffer);
	disk_close(reader->disk, reader->index_dir);
	disk_close(reader->disk, reader->dirs.inbox);
	disk_close(reader->disk, reader->dirs.log);
	disk_close(reader->disk, reader->dirs.waft);
	disk_close(reader->disk, reader->dirs.top);
	free(reader);
}

void reader_set_live(struct reader *reader, const struct live_source *live)
{
	reader->live = live;
}

const struct reader_report *reader_report(const struct reader *reader)
{
	return &reader->report;
}

/* ---- Reports --------------------------------------------------------------- */

void view_bad_line(
	struct reader *reader, const char *file, uint64_t offset, uint64_t number, const char *why)
{
	struct reader_report *report = &reader->report;

	if (report->bad_lines++ == 0) {
		snprintf(report->bad_file, sizeof(report->bad_file), "%s", file);
		report->bad_offset = offset;
		report->bad_line = number;
		report->bad_why = why;
	}
	if (reader->config.on_bad_line != NULL)
		reader->config.on_bad_line(reader->config.ctx, file, number, offset, why);
}

static void note_unreadable(struct reader *reader, struct view_file *file, int error)
{
	struct reader_report *report = &reader->report;

	file->failed = true;
	if (report->unreadable_files++ == 0) {
		snprintf(
			report->unreadable_file, sizeof(report->unreadable_file), "%s", file->name);
		report->unreadable_error = error;
	}
}

static void note_damaged(struct reader *reader, struct view_file *file, int error)
{
	struct reader_report *report = &reader->report;

	if (file->damaged)
		return;
	file->damaged = true;
	if (report->damaged_files++ == 0) {
		snprintf(report->damaged_file, sizeof(report->damaged_file), "%s", file->name);
		report->damaged_error = error;
	}
}

const char *reader_damaged_file(const struct reader *reader)
{
	for (size_t i = 0; i < reader->file_count; i++)
		if (reader->files[i]->damaged || reader->files[i]->failed)
			return reader->files[i]->name;
	for (size_t i = 0; i < reader->file_count; i++)
		if (reader->files[i]->known_damaged)
			return reader->files[i]->name;
	return NULL;
}

const char *reader_found_damage(const struct reader *reader)
{
	for (size_t i = 0; i < reader->file_count; i++) {
		const struct view_file *file = reader->files[i];

		if (file->ours && file->damaged && !file->known_damaged)
			return file->name;
	}
	return NULL;
}

/* ---- Which files there are -------------------------------------------------- */

static struct view_file *find_file(struct reader *reader, const char *name, uint64_t inode)
{
	for (size_t i = 0; i < reader->file_count; i++) {
		struct view_file *file = reader->files[i];

		if (file->inode == inode && strcmp(file->name, name) == 0)
			return file;
	}
	return NULL;
}

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

	close_source(reader, file);
	run_list_done(&file->runs);
	run_list_init(&file->runs, reader->disk, !file->ours);
	file->runs.distrusted = distrusted;
	file->ready = false;
	file->failed = file->damaged = false;
}

/* Takes a file into the view, as it was before where that is still true. */
static int take_file(struct reader *reader, const char *name, const struct part_name *part,
	uint64_t length_bytes, const struct disk_stat *stat)
{
	struct view_file *file = find_file(reader, name, stat->inode);
	bool same = file != NULL && file->ours == (part != NULL) &&
		    (part != NULL ? file->length_bytes <= length_bytes
				  : file->stored_bytes == stat->length_bytes &&
					    file->modified_ns == stat->modified_ns);

	if (file == NULL)
		file = new_file(reader, name);
	if (file == NULL)
		return -ENOMEM;
	file->ours = part != NULL;
	if (part != NULL)
		file->part = *part;
	file->inode = stat->inode;
	file->stored_bytes = stat->length_bytes;
	file->modified_ns = stat->modified_ns;
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
		close_source(reader, file);
		file->failed = file->damaged = false;
	}
	file->length_bytes = length_bytes;
	return 0;
}

static bool is_packed(const char *name)
{
	size_t length = strlen(name);

	return length > 4 && strcmp(name + length - 4, ".zst") == 0;
}

static int take_part(struct reader *reader, const char *name, const struct part_name *part,
	const struct live_part *live, const struct disk_stat *stat)
{
	int ret = take_file(reader, name, part, live->length_bytes, stat);

	if (ret == 0)
		find_file(reader, name, stat->inode)->known_damaged = live->damaged;
	return ret;
}

/* A part with committed lines, and no file has its name. The daemon tells of it by itself. */
static int note_missing(struct reader *reader, const char *name, const struct part_name *part)
{
	struct view_file *file = find_file(reader, name, 0);
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
		note_unreadable(reader, file, -ENOENT);
	}
	return 0;
}

/* A part of the manifest: under its plain name, or sealed meanwhile, or gone. */
static int on_part(void *arg, const struct live_part *live)
{
	struct reader *reader = arg;
	char name[PART_NAME_BYTES];
	struct part_name part;
	struct disk_stat stat;

	if (part_name_parse(live->name, &part) != 0)
		return 0;
	for (int sealed = part.sealed; sealed < 2; sealed++) {
		part.sealed = sealed != 0;
		if (part_name_format(&part, name) != 0 ||
			disk_stat_name(reader->disk, reader->dirs.top, name, &stat) != 0)
			continue;
		return take_part(reader, name, &part, live, &stat);
	}
	return reader->live != NULL || live->length_bytes == 0
		       ? 0
		       : note_missing(reader, live->name, &part);
}

static bool is_taken(const struct reader *reader, const char *name)
{
	for (size_t i = 0; i < reader->file_count; i++)
		if (reader->files[i]->present && reader->files[i]->ours &&
			strcmp(reader->files[i]->name, name) == 0)
			return true;
	return false;
}

/* A plain part beside its sealed form, or the other way round, is one part. */
static bool is_twin(const struct reader *reader, const char *name)
{
	char twin[PART_NAME_BYTES];
	struct part_name part;

	if (part_name_parse(name, &part) != 0)
		return false;
	part.sealed = !part.sealed;
	return part_name_format(&part, twin) == 0 && is_taken(reader, twin);
}

static int on_name(void *ctx, const char *name)
{
	struct reader *reader = ctx;
	struct disk_stat stat;
	uint64_t length;

	if (!part_name_is_traces(name) || is_taken(reader, name) || is_twin(reader, name) ||
		disk_stat_name(reader->disk, reader->dirs.top, name, &stat) != 0 || !stat.regular)
		return 0;
	/* How much a packed file holds is found out when it is opened. */
	length = is_packed(name) ? UINT64_MAX : stat.length_bytes;
	return take_file(reader, name, NULL, length, &stat);
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
			free_file(reader, reader->files[i]);
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

static int refresh_once(struct reader *reader)
{
	const struct live_source *live;
	int ret = 0;

	open_dirs(reader);
	if (reader->live == NULL)
		ret = refresh_offline(reader);
	else
		memcpy(reader->store_id, reader->live->store_id, 16);
	if (ret != 0)
		return ret;
	for (size_t i = 0; i < reader->file_count; i++)
		reader->files[i]->present = false;
	live = view_live(reader);
	ret = live->for_each_part(live->ctx, on_part, reader);
	if (ret == 0)
		ret = disk_list(reader->disk, reader->dirs.top, on_name, reader);
	drop_absent(reader);
	return ret;
}

int view_refresh(struct reader *reader)
{
	unsigned int tries = 0;
	int ret = refresh_once(reader);

	while (reader->live == NULL && ret == -ESTALE && ++tries < RETRIES_MAX)
		ret = refresh_once(reader);
	return ret;
}

bool view_retry(struct reader *reader, int error, unsigned int *tries)
{
	(void)reader;
	return (error == ERR_INDEX || error == -ESTALE) && ++*tries < RETRIES_MAX;
}

int view_distrust(struct view_file *file)
{
	run_list_distrust(&file->runs);
	file->ready = false;
	return ERR_INDEX;
}

/* ---- Reading them ------------------------------------------------------------ */

static void close_some_source(struct reader *reader, const struct view_file *but)
{
	for (size_t i = 0; i < reader->file_count; i++) {
		if (reader->files[i]->source != NULL && reader->files[i] != but) {
			close_source(reader, reader->files[i]);
			return;
		}
	}
}

static int open_source(struct reader *reader, struct view_file *file)
{
	int ret;

	if (file->source != NULL)
		return 0;
	if (reader->open_sources >= OPEN_SOURCES_MAX)
		close_some_source(reader, file);
	ret = source_open(reader->disk, reader->dirs.top, file->name, &file->source);
	if (ret != 0)
		return ret;
	reader->open_sources++;
	if (file->length_bytes == UINT64_MAX)
		file->length_bytes = source_size(file->source);
	/* A seek table that doesn't fit what was sealed would lead to wrong places. */
	if (file->ours && file->part.sealed && source_size(file->source) != file->length_bytes)
		ret = source_unpack(file->source);
	if (ret == 0 && source_damage(file->source) != 0)
		note_damaged(reader, file, source_damage(file->source));
	return ret;
}

struct bad_sink {
	struct reader *reader;
	struct view_file *file;
	bool from_start; /* line numbers are the file's */
};

static void on_bad(void *ctx, uint64_t offset, uint64_t number, const char *why)
{
	struct bad_sink *sink = ctx;

	view_bad_line(sink->reader, sink->file->name, offset, sink->from_start ? number : 0, why);
}

/* -ENOENT: removed or sealed since the view was made. */
static int give_up_file(struct reader *reader, struct view_file *file, int error)
{
	if (error == -ENOMEM || error == ERR_INDEX || error == -ESTALE)
		return error;
	if (error == -ENOENT)
		return -ESTALE;
	note_unreadable(reader, file, error);
	return 0;
}

int view_runs(struct reader *reader, struct view_file *file)
{
	struct bad_sink sink = {.reader = reader, .file = file};
	int ret = 0;

	if (file->ready || file->failed)
		return 0;
	if (file->ours)
		run_list_open_index(&file->runs, reader->index_dir, reader->store_id, &file->part,
			file->length_bytes);
	if (file->runs.scanned_bytes < file->length_bytes) {
		ret = open_source(reader, file);
		sink.from_start = file->runs.scanned_bytes == 0;
		if (ret == 0)
			ret = run_list_scan(
				&file->runs, file->source, file->length_bytes, on_bad, &sink);
		if (ret == 0 && file->runs.buffer.damage != 0)
			note_damaged(reader, file, file->runs.buffer.damage);
	}
	if (ret != 0)
		return give_up_file(reader, file, ret);
	file->ready = true;
	return 0;
}

static int pass_over(struct reader *reader, struct view_file *file, int error)
{
	reader->gaps++;
	note_damaged(reader, file, error);
	return 0;
}

int view_lines(struct reader *reader, struct view_file *file, uint64_t offset, uint64_t length,
	scan_on_line on_line, void *ctx)
{
	int ret = file->failed ? 0 : open_source(reader, file);

	if (ret != 0)
		return give_up_file(reader, file, ret);
	if (file->failed)
		return 0;
	if (offset + length > source_size(file->source))
		return pass_over(reader, file, -EIO);
	ret = scan_lines(file->source, offset, offset + length, &reader->buffer, on_line, ctx);
	if (reader->buffer.damage != 0)
		(void)pass_over(reader, file, reader->buffer.damage);
	if (ret == -EIO)
		return pass_over(reader, file, ret);
	/* on_line's results are positive, or ones that give_up_file passes on. */
	return ret < 0 ? give_up_file(reader, file, ret) : ret;
}

int view_source(struct reader *reader, struct view_file *file)
{
	int ret = file->failed ? -EIO : open_source(reader, file);

	return ret == -ENOMEM ? ret : ret == 0;
}

int view_bytes(
	struct reader *reader, struct view_file *file, uint64_t offset, size_t length, void *to)
{
	int ret = file->failed ? -EIO : open_source(reader, file);

	if (ret == 0 && offset + length > source_size(file->source))
		ret = -EIO;
	if (ret == 0)
		ret = source_read(file->source, offset, to, length);
	return ret == -ENOMEM ? ret : ret == 0;
}

int view_readable(struct reader *reader, struct view_file *file, uint64_t offset, uint64_t length)
{
	int ret = file->failed ? -EIO : open_source(reader, file);
	uint64_t end = offset + length;
	uint8_t byte;

	if (ret == 0 && end > source_size(file->source))
		ret = -EIO;
	while (ret == 0 && offset < end) {
		uint64_t piece = source_piece(file->source, offset);

		ret = source_read(file->source, offset, &byte, 1);
		offset += piece < end - offset ? piece : end - offset;
	}
	return ret == -ENOMEM ? ret : ret == 0;
}

uint64_t view_losses(const struct reader *reader)
{
	return reader->gaps + reader->report.bad_lines;
}

struct finding {
	struct view_file *file;
	int (*on_run)(void *ctx, struct view_file *file, const struct index_run *run);
	void *ctx;
};

static int on_found(void *ctx, const struct index_run *run)
{
	struct finding *finding = ctx;

	return finding->on_run(finding->ctx, finding->file, run);
}

int view_find(struct reader *reader, const uint8_t trace_id[16], const char *from,
	int (*on_run)(void *ctx, struct view_file *file, const struct index_run *run), void *ctx)
{
	for (size_t i = 0; i < reader->file_count; i++) {
		struct finding finding = {.file = reader->files[i], .on_run = on_run, .ctx = ctx};
		int ret;

		if (from != NULL && strcmp(finding.file->name, from) < 0)
			continue;
		ret = view_runs(reader, finding.file);
		if (ret == 0)
			ret = run_list_find(&finding.file->runs, trace_id, on_found, &finding);
		if (ret == ERR_INDEX)
			return view_distrust(finding.file);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static bool is_packed_part(const struct view_file *file)
{
	return file->ours && file->part.sealed && !file->failed;
}

void view_will_find(struct reader *reader, const uint8_t trace_id[16])
{
	if (reader->has_sought && memcmp(reader->sought, trace_id, 16) == 0)
		return;
	reader->has_sought = true;
	memcpy(reader->sought, trace_id, 16);
	for (size_t i = 0; i < reader->file_count && reader->index_dir >= 0; i++)
		if (is_packed_part(reader->files[i]) && reader->files[i]->runs.pack == NULL)
			pack_will_open(reader->disk, reader->index_dir, &reader->files[i]->part);
	for (enum pack_step step = PACK_STEP_IDS; step <= PACK_STEP_BLOCK; step++) {
		for (size_t i = 0; i < reader->file_count; i++) {
			struct view_file *file = reader->files[i];

			/* What is wrong with it comes up again. */
			if (!is_packed_part(file) || view_runs(reader, file) != 0 ||
				file->runs.pack == NULL ||
				!pack_will_find(file->runs.pack, trace_id, step))
				continue;
			if (step == PACK_STEP_DIRECTORY && file->source == NULL)
				source_will_open(reader->disk, reader->dirs.top, file->name,
					file->stored_bytes);
		}
	}
}

/* ---- Everything ---------------------------------------------------------------- */

static int count_span(void *arg, const struct live_span *span)
{
	(void)span;
	++*(uint64_t *)arg;
	return 0;
}

int reader_count(struct reader *reader, struct reader_counts *ret_counts)
{
	struct reader_counts counts = {0};
	int ret = view_refresh(reader);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < reader->file_count; i++) {
		struct view_file *file = reader->files[i];

		/* Offline, what must be passed over is told too. */
		if (file->length_bytes == UINT64_MAX || reader->live == NULL)
			(void)!view_runs(reader, file);
		counts.bytes += file->length_bytes != UINT64_MAX ? file->length_bytes : 0;
		counts.parts += file->ours;
		counts.foreign_files += !file->ours;
	}
	if (reader->live != NULL) {
		ret = reader->live->for_each_span(
			reader->live->ctx, NULL, NULL, count_span, &counts.waiting_spans);
	} else {
		counts.waiting_spans = offline_waiting_spans(reader->offline);
		counts.log_bytes = offline_log_bytes(reader->offline);
	}
	if (ret == 0)
		*ret_counts = counts;
	return ret;
}

struct line_sink {
	const char *file;
	int (*on_line)(void *ctx, const char *file, struct slice line);
	void *ctx;
};

static int give_file_line(void *ctx, const struct scan_line *line)
{
	struct line_sink *sink = ctx;

	return line->text.length > 0 ? sink->on_line(sink->ctx, sink->file, line->text) : 0;
}

static int give_live_line(void *arg, const struct live_span *span)
{
	struct line_sink *sink = arg;

	return sink->on_line(sink->ctx, sink->file, span->line);
}

int reader_for_each_line(struct reader *reader,
	int (*on_line)(void *ctx, const char *file, struct slice line), void *ctx)
{
	struct line_sink sink = {.file = "", .on_line = on_line, .ctx = ctx};
	const struct live_source *live;
	int ret = view_refresh(reader);

	for (size_t i = 0; ret == 0 && i < reader->file_count; i++) {
		struct view_file *file = reader->files[i];

		sink.file = file->name;
		if (file->failed)
			continue;
		ret = open_source(reader, file);
		if (ret != 0)
			ret = give_up_file(reader, file, ret);
		else
			ret = scan_lines(file->source, 0, file->length_bytes, &reader->buffer,
				give_file_line, &sink);
		if (ret == 0 && reader->buffer.damage != 0)
			note_damaged(reader, file, reader->buffer.damage);
	}
	if (ret != 0)
		return ret;
	live = view_live(reader);
	sink.file = "";
	return live->for_each_span(live->ctx, NULL, NULL, give_live_line, &sink);
}
