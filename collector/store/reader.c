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
/* So far from where a run's lines are expected they may be. */
#define LIKELY_BYTES 16384

/* ---- Life ------------------------------------------------------------------ */

static int open_optional(struct reader *reader, int parent, const char *name)
{
	int dir = parent >= 0 ? disk_open_dir(reader->disk, parent, name, false) : -ENOENT;

	return dir >= 0 ? dir : -1;
}

/* Directories that came up since the last look. */
void view_open_dirs(struct reader *reader)
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
	view_open_dirs(reader);
	*ret = reader;
	return 0;
}

void view_close_source(struct reader *reader, struct view_file *file)
{
	if (file->source == NULL)
		return;
	source_close(file->source);
	file->source = NULL;
	reader->open_sources--;
}

void view_free_file(struct reader *reader, struct view_file *file)
{
	view_close_source(reader, file);
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
		view_free_file(reader, reader->files[i]);
	free(reader->files);
	view_catalog_done(reader);
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

void view_note_unreadable(struct reader *reader, struct view_file *file, int error)
{
	struct reader_report *report = &reader->report;
	struct disk_stat stat;

	file->failed = true;
	/* By which a change is told. */
	if (file->inode == 0 &&
		disk_stat_name(reader->disk, reader->dirs.top, file->name, &stat) == 0)
		file->inode = stat.inode;
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

/* ---- One moment ------------------------------------------------------------ */

int view_refresh(struct reader *reader)
{
	unsigned int tries = 0;
	int ret = view_look(reader);

	while (reader->live == NULL && ret == -ESTALE && ++tries < RETRIES_MAX)
		ret = view_look(reader);
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
			view_close_source(reader, reader->files[i]);
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
	file->inode = source_inode(file->source);
	if (file->length_bytes == UINT64_MAX)
		file->length_bytes = source_size(file->source);
	/* A seek table that doesn't fit what was sealed would lead to wrong places. */
	if (file->ours && file->part.sealed && source_size(file->source) != file->length_bytes)
		ret = source_unpack(file->source);
	/* Half of it would be read as all that there is. */
	if (ret != 0) {
		view_close_source(reader, file);
		return ret;
	}
	if (source_damage(file->source) != 0)
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
	view_note_unreadable(reader, file, error);
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
		if (!view_may_have(reader, finding.file, trace_id))
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

/* What a table says is probably so. */
static bool is_told(const struct view_file *file)
{
	return file->table > 0;
}

/* The first step for a pack: its header, and where the trace is probably, where its frames lie. */
static void will_open(struct reader *reader, const struct view_file *file)
{
	if (file->runs.pack == NULL && reader->index_dir >= 0)
		pack_will_open(reader->disk, reader->index_dir, &file->part);
	if (is_told(file) && file->source == NULL)
		source_will_open(reader->disk, reader->dirs.top, file->name);
}

/* The last one: the run's block, and the frame, or two, in which its lines probably are. */
static void will_read(struct reader *reader, struct view_file *file, const uint8_t trace_id[16])
{
	uint64_t offset;

	if (pack_will_find(file->runs.pack, trace_id, &offset) && view_source(reader, file) == 1)
		source_will_read(file->source, offset > LIKELY_BYTES ? offset - LIKELY_BYTES : 0,
			offset + LIKELY_BYTES);
}

/* Whether the file's pack is open; what is wrong with it comes up again. */
static bool has_pack(struct reader *reader, struct view_file *file)
{
	return view_runs(reader, file) == 0 && file->runs.pack != NULL;
}

/* *files are those whose packs may have the trace. */
static void will_find(
	struct reader *reader, const uint8_t trace_id[16], struct view_file **files, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (has_pack(reader, files[i]))
			pack_will_look(files[i]->runs.pack, trace_id, is_told(files[i]));
	for (size_t i = 0; i < count; i++)
		if (has_pack(reader, files[i]) && pack_may_find(files[i]->runs.pack, trace_id))
			files[kept++] = files[i];
	for (size_t i = 0; i < kept; i++)
		if (!is_told(files[i]) && files[i]->source == NULL)
			source_will_open(reader->disk, reader->dirs.top, files[i]->name);
	for (size_t i = 0; i < kept; i++)
		will_read(reader, files[i], trace_id);
}

void view_will_find(struct reader *reader, const uint8_t trace_id[16])
{
	struct view_file **files;
	size_t count = 0;

	if (reader->has_sought && memcmp(reader->sought, trace_id, 16) == 0)
		return;
	reader->has_sought = true;
	memcpy(reader->sought, trace_id, 16);
	files = calloc(reader->file_count + 1, sizeof(struct view_file *));
	if (files == NULL)
		return;
	view_catalog_will_ask(reader, trace_id);
	/* First those that no table has: what tables say has to be waited for. */
	for (int told = 0; told < 2; told++) {
		for (size_t i = 0; i < reader->file_count; i++) {
			struct view_file *file = reader->files[i];

			if (is_told(file) != (told == 1) || !is_packed_part(file) ||
				!view_may_have(reader, file, trace_id))
				continue;
			will_open(reader, file);
			files[count++] = file;
		}
	}
	will_find(reader, trace_id, files, count);
	free(files);
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
