/*
 * store_tail.c: follows the files of a store, without a collector.
 *
 * Watches the directories (inotify; looks every two seconds besides, for file
 * systems that don't tell) and compares one moment of the store with the one
 * before. What became durable is in the log behind the last ordinal, in an
 * inbox file, or in a file behind its last length. A span that goes from log or
 * inbox to a file is told once: those told while they waited are remembered
 * until they are found in a file.
 */
#include "store_backend.h"

#include "inbox_files.h"
#include "offline.h"
#include "scan.h"
#include "seen_set.h"
#include "source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { LOOK_AGAIN_MS = 2000, NAME_BYTES = 64, REFRESH_TRIES = 100 };

/* How far a file has been told. */
struct followed {
	char name[NAME_BYTES]; /* without ".zst" */
	uint64_t length_bytes;
};

struct tail {
	struct store_backend *store;
	struct disk disk;
	struct offline_dirs dirs;
	struct offline *offline;
	struct filter filter;
	backend_line_fn on_line;
	void *arg;
	bool quiet; /* the first look: all that is there is old */
	struct followed *files;
	size_t file_count;
	size_t file_capacity;
	struct ordinal last; /* of the log */
	struct seen_set waiting;
	struct scratch scratch;
	struct scan_buffer buffer;
	uint64_t scanned_to;
	int watch; /* inotify; -1: there is none */
};

/* ---- Telling ---------------------------------------------------------- */

/* FNV-1a, over what makes a record the same one wherever it stands. */
static uint64_t key_of(const struct record *record)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < 16; i++)
		hash = (hash ^ record->trace_id[i]) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < 16; i++)
		hash = (hash ^ record->span_id[i]) * UINT64_C(0x100000001b3);
	hash = (hash ^ (uint64_t)record->status) * UINT64_C(0x100000001b3);
	hash ^= hash >> 32;
	return hash != 0 ? hash : 1;
}

static int tell(struct tail *tail, struct slice line, bool waiting)
{
	struct record record;
	int result;

	scratch_reset(&tail->scratch);
	result = record_parse(line, &tail->scratch, &record, NULL);
	if (result != 0)
		return result == -ENOMEM ? result : 0;
	if (waiting) {
		result = seen_set_add(&tail->waiting, key_of(&record));
		if (result != 0)
			return result < 0 ? result : 0;
	} else if (seen_set_remove(&tail->waiting, key_of(&record))) {
		return 0;
	}
	if (tail->quiet)
		return 0;
	result = filter_match_record(&tail->filter, &record, &tail->scratch);
	return result > 0 ? tail->on_line(line, 0, tail->arg) : result;
}

/* ---- Files ------------------------------------------------------------ */

static bool ends_with(const char *name, const char *ending)
{
	size_t length = strlen(name);
	size_t size = strlen(ending);

	return length > size && strcmp(name + length - size, ending) == 0;
}

static struct followed *find_file(struct tail *tail, const char *name, size_t length)
{
	struct followed *files = tail->files;

	for (size_t i = 0; i < tail->file_count; i++) {
		if (strncmp(files[i].name, name, length) == 0 && files[i].name[length] == '\0')
			return &files[i];
	}
	if (tail->file_count == tail->file_capacity) {
		size_t capacity = tail->file_capacity != 0 ? tail->file_capacity * 2 : 64;

		files = reallocarray(files, capacity, sizeof *files);
		if (files == NULL)
			return NULL;
		tail->files = files;
		tail->file_capacity = capacity;
	}
	files += tail->file_count++;
	*files = (struct followed){.length_bytes = 0};
	memcpy(files->name, name, length);
	return files;
}

static int on_file_line(void *ctx, const struct scan_line *line)
{
	struct tail *tail = ctx;

	/* A line that is being written is told when it is whole. */
	if (!line->whole)
		return 0;
	tail->scanned_to = line->offset + line->text.length + 1;
	return line->text.length == 0 ? 0 : tell(tail, line->text, false);
}

/* Behind the last newline of what is there: a line that is being written will be
 * told. */
static uint64_t whole_lines(struct source *source, uint64_t length)
{
	char end[4096];
	uint64_t from = length > sizeof end ? length - sizeof end : 0;
	const char *newline;

	if (source_read(source, from, end, (size_t)(length - from)) != 0)
		return length;
	newline = memrchr(end, '\n', (size_t)(length - from));
	return newline != NULL ? from + (uint64_t)(newline - end) + 1 : from;
}

/* Tells what a file holds beyond what was told, up to length. */
static int follow(struct tail *tail, const char *name, uint64_t length, bool ours)
{
	size_t stem = strlen(name) - (ends_with(name, ".zst") ? 4 : 0);
	struct followed *file = stem < NAME_BYTES ? find_file(tail, name, stem) : NULL;
	struct source *source;
	int result;

	if (file == NULL)
		return stem < NAME_BYTES ? -ENOMEM : 0;
	if (length <= file->length_bytes)
		return 0;
	/* Of what is old only the length counts; a part's is the end of a line. */
	if (tail->quiet && ours) {
		file->length_bytes = length;
		return 0;
	}
	result = source_open(&tail->disk, tail->dirs.top, name, &source);
	if (result != 0)
		return result == -ENOMEM ? result : 0;
	tail->scanned_to = file->length_bytes;
	if (tail->quiet)
		tail->scanned_to = whole_lines(source, length);
	else
		result = scan_lines(
			source, file->length_bytes, length, &tail->buffer, on_file_line, tail);
	source_close(source);
	file->length_bytes = tail->scanned_to;
	return result;
}

static int on_part(void *arg, const struct live_part *part)
{
	char name[PART_NAME_BYTES];

	return part_name_format(&part->part, name) == 0
		       ? follow(arg, name, part->length_bytes, true)
		       : 0;
}

/* Files that are none of ours are followed whole; compressed ones don't grow. */
static int on_name(void *ctx, const char *name)
{
	struct tail *tail = ctx;
	const struct manifest_state *manifest = offline_manifest(tail->offline);
	struct disk_stat stat;
	struct part_name part;

	if (!ends_with(name, ".jsonl") ||
		disk_stat_name(&tail->disk, tail->dirs.top, name, &stat) != 0 || !stat.regular)
		return 0;
	if (part_name_parse(name, &part) == 0 && manifest_part_by_name(manifest, &part) != NULL)
		return 0;
	return follow(tail, name, stat.length_bytes, false);
}

/* ---- Waiting spans ---------------------------------------------------- */

static int on_waiting(void *arg, const struct live_span *span)
{
	struct tail *tail = arg;

	if (span->ordinal.segment < INBOX_SEGMENT)
		tail->last = span->ordinal;
	return tell(tail, span->line, true);
}

/* Opens what has come to be since the last look. */
static void open_directories(struct tail *tail)
{
	static const uint32_t events = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE;
	static const char *const names[] = {"", "/.waft", "/.waft/log", "/.waft/inbox"};
	struct offline_dirs *dirs = &tail->dirs;
	struct strbuf path = {0};

	if (dirs->waft < 0)
		dirs->waft = disk_open_dir(&tail->disk, dirs->top, ".waft", false);
	if (dirs->waft >= 0 && dirs->log < 0)
		dirs->log = disk_open_dir(&tail->disk, dirs->waft, "log", false);
	if (dirs->waft >= 0 && dirs->inbox < 0)
		dirs->inbox = disk_open_dir(&tail->disk, dirs->waft, "inbox", false);
	for (size_t i = 0; tail->watch >= 0 && i < sizeof names / sizeof names[0]; i++) {
		strbuf_clear(&path);
		strbuf_format(&path, "%s%s", tail->store->directory, names[i]);
		/* The same directory twice is one watch; a missing one comes later. */
		if (!path.failed)
			(void)inotify_add_watch(tail->watch, path.bytes, events);
	}
	strbuf_done(&path);
}

/* One moment of the store, and all in it that is new. */
static int look(struct tail *tail)
{
	int result = -EAGAIN;

	open_directories(tail);
	for (int i = 0; i < REFRESH_TRIES && (result == -EAGAIN || result == -ESTALE); i++) {
		const struct live_source *live = offline_source(tail->offline);

		result = offline_refresh(tail->offline);
		/* What is waiting first: it is what a file's line is known by. */
		if (result == 0)
			result =
				live->for_each_span(live->ctx, NULL, &tail->last, on_waiting, tail);
		if (result == 0)
			result = live->for_each_part(live->ctx, on_part, tail);
	}
	if (result == 0)
		result = disk_list(&tail->disk, tail->dirs.top, on_name, tail);
	return result;
}

/* Until something happens to the files. */
static int wait_for_change(struct tail *tail)
{
	struct pollfd ready = {.fd = tail->watch, .events = POLLIN};
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	int result = poll(&ready, 1, LOOK_AGAIN_MS);

	if (result < 0 && errno != EINTR)
		return -errno;
	/* Which file it was doesn't matter; all that has happened is one change. */
	while (result > 0 && read(tail->watch, events, sizeof events) > 0)
		;
	return 0;
}

static int tail_open(struct tail *tail)
{
	disk_real(&tail->disk);
	tail->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	tail->dirs = (struct offline_dirs){-1, -1, -1, -1};
	tail->dirs.top = disk_open_root(&tail->disk, tail->store->directory, false);
	if (tail->dirs.top < 0)
		return tail->dirs.top;
	return offline_new(&tail->disk, &tail->dirs, &tail->offline);
}

static void tail_close(struct tail *tail)
{
	offline_free(tail->offline);
	disk_close(&tail->disk, tail->dirs.inbox);
	disk_close(&tail->disk, tail->dirs.log);
	disk_close(&tail->disk, tail->dirs.waft);
	disk_close(&tail->disk, tail->dirs.top);
	if (tail->watch >= 0)
		(void)close(tail->watch);
	free(tail->files);
	seen_set_done(&tail->waiting);
	scratch_done(&tail->scratch);
	scan_buffer_done(&tail->buffer);
}

int store_tail(struct backend *backend, const struct waft_trace_filter *filter,
	backend_line_fn on_line, void *arg)
{
	struct store_backend *store = (struct store_backend *)backend;
	struct tail tail = {.store = store, .on_line = on_line, .arg = arg, .quiet = true};
	struct store_filter made;
	int result = store_filter_init(&made, backend, filter);

	if (result != 0)
		return result;
	tail.filter = made.filter;
	result = tail_open(&tail);
	while (result == 0) {
		result = look(&tail);
		tail.quiet = false;
		if (result == 0)
			result = wait_for_change(&tail);
	}
	tail_close(&tail);
	store_filter_done(&made);
	if (result < 0 && result != -ENOMEM)
		result = backend_fail(
			backend, result, "the store %s: %s", store->directory, error_text(result));
	return result;
}
