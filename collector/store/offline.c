/*
 * offline.c: see offline.h. The places of all waiting spans are kept, in order of the
 * log; a span's line is made when it is asked for.
 */
#include "offline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "bytes.h"
#include "consumed.h"
#include "inbox_read.h"
#include "line.h"
#include "log.h"

/* A manifest that changes this often while it is read is being written to without
 * a pause; by then something else is wrong. */
#define REFRESH_TRIES 50
#define INBOX_FILES_MAX 65536u

struct waiting_span {
	uint8_t trace_id[16];
	struct ordinal ordinal;
	struct span_place place;
};

struct inbox_file {
	char *name; /* owned */
	int file;   /* handle; -1: closed */
};

struct offline {
	struct disk *disk;
	const struct offline_dirs *dirs;
	struct manifest_state manifest;
	struct waiting_span *spans; /* owned; by ordinal */
	size_t span_count;
	size_t span_capacity;
	uint32_t *by_trace; /* owned; numbers of spans, by (trace id, number) */
	uint64_t log_bytes;
	struct inbox_file *inbox; /* owned; by name */
	size_t inbox_count;
	struct inbox_buffer inbox_buffer;
	struct live_source source;
	/* The batch that was read last, open for more spans of it. */
	struct log_reader *log_reader;
	struct batch batch;
	struct batch_iter iter;
	struct line_writer writer;
	struct log_place batch_place; /* segment 0: none */
	struct bytes line;
};

/* ---- Collecting ----------------------------------------------------------- */

static int add_span(
	struct offline *offline, const struct span_view *view, const struct ordinal *ordinal)
{
	struct waiting_span *span;

	if (offline->span_count == offline->span_capacity) {
		size_t capacity = offline->span_capacity > 0 ? offline->span_capacity * 2 : 256;
		struct waiting_span *spans = reallocarray(offline->spans, capacity, sizeof(*spans));

		if (spans == NULL)
			return -ENOMEM;
		offline->spans = spans;
		offline->span_capacity = capacity;
	}
	if (offline->span_count >= UINT32_MAX)
		return -EFBIG;
	span = &offline->spans[offline->span_count++];
	memcpy(span->trace_id, view->trace->id.bytes, 16);
	span->ordinal = *ordinal;
	span->place = view->place;
	return 0;
}

/* All spans of a batch that no COMMIT has consumed. A batch that doesn't decode
 * gives none: it can't have been acknowledged. */
static int add_batch(struct offline *offline, struct slice bytes, struct log_place place)
{
	struct ordinal ordinal = {.segment = place.segment, .offset = place.offset};
	struct batch_iter iter;
	struct span_view view;
	int ret = batch_open(&offline->batch, bytes.data, bytes.length);

	if (ret != 0)
		return ret == -ENOMEM ? ret : 0;
	batch_iter_init(&iter);
	while ((ret = batch_next(&offline->batch, &iter, &view)) > 0) {
		if (!consumed_has(&offline->manifest.consumed, &ordinal)) {
			ret = add_span(offline, &view, &ordinal);
			if (ret != 0)
				return ret;
		}
		ordinal.position++;
	}
	return ret == -ENOMEM ? ret : 0;
}

static int on_record(void *ctx, struct log_place place, const struct log_record *record)
{
	const struct offline *offline = ctx;

	if (record->kind != LOG_BATCH || record->format != LOG_FORMAT_WAFT_V1)
		return 0;
	/* Of a store at rest nearly all of the log is in files already. */
	if (record->spans > 0 &&
		consumed_in_record(&offline->manifest.consumed, place) == record->spans)
		return 0;
	return add_batch(ctx, slice_of(record->payload, record->payload_length), place);
}

static int on_segment(void *ctx, uint32_t number, uint64_t length_bytes)
{
	struct offline *offline = ctx;

	(void)number;
	offline->log_bytes += length_bytes;
	return 0;
}

static int scan_log(struct offline *offline)
{
	static const struct log_scan_ops ops = {.on_record = on_record, .on_segment = on_segment};
	const struct manifest_state *manifest = &offline->manifest;
	struct log_scan_result result;

	if (offline->dirs->log < 0)
		return 0;
	return log_scan(offline->disk, offline->dirs->log,
		manifest->generation > 0 ? manifest->store_id : NULL, manifest->first_segment, &ops,
		offline, &result);
}

/* ---- Inbox ---------------------------------------------------------------- */

static void close_inbox(struct offline *offline)
{
	for (size_t i = 0; i < offline->inbox_count; i++) {
		disk_close(offline->disk, offline->inbox[i].file);
		free(offline->inbox[i].name);
	}
	free(offline->inbox);
	offline->inbox = NULL;
	offline->inbox_count = 0;
}

static int on_inbox_name(void *ctx, const char *name)
{
	struct offline *offline = ctx;
	size_t length = strlen(name);
	struct inbox_file *inbox;

	if (length < 5 || strcmp(name + length - 5, ".waft") != 0 ||
		offline->inbox_count >= INBOX_FILES_MAX)
		return 0;
	inbox = reallocarray(offline->inbox, offline->inbox_count + 1, sizeof(*inbox));
	if (inbox == NULL)
		return -ENOMEM;
	offline->inbox = inbox;
	inbox += offline->inbox_count;
	inbox->file = -1;
	inbox->name = strdup(name);
	if (inbox->name == NULL)
		return -ENOMEM;
	offline->inbox_count++;
	return 0;
}

static int compare_inbox(const void *left, const void *right)
{
	return strcmp(
		((const struct inbox_file *)left)->name, ((const struct inbox_file *)right)->name);
}

/* One that goes while it is looked at has been taken into the log. */
static int read_inbox_file(struct offline *offline, size_t number)
{
	struct inbox_file *inbox = &offline->inbox[number];
	struct inbox_frame frame = {0};
	int ret;

	inbox->file = disk_open(offline->disk, offline->dirs->inbox, inbox->name, DISK_READ);
	if (inbox->file < 0)
		return inbox->file == -ENOMEM ? -ENOMEM : 0;
	for (;;) {
		struct log_place place = {.segment = OFFLINE_INBOX_SEGMENT + (uint32_t)number};

		ret = inbox_frame_at(
			offline->disk, inbox->file, frame.next, &offline->inbox_buffer, &frame);
		if (ret <= 0 || frame.offset > UINT32_MAX)
			return ret == -ENOMEM ? ret : 0;
		place.offset = (uint32_t)frame.offset;
		if (frame.batch.data != NULL)
			ret = add_batch(offline, frame.batch, place);
		if (ret < 0)
			return ret;
	}
}

static int read_inbox(struct offline *offline)
{
	int ret;

	close_inbox(offline);
	if (offline->dirs->inbox < 0)
		return 0;
	ret = disk_list(offline->disk, offline->dirs->inbox, on_inbox_name, offline);
	if (ret != 0)
		return ret == -ENOMEM ? ret : 0;
	if (offline->inbox_count > 0)
		qsort(offline->inbox, offline->inbox_count, sizeof(*offline->inbox), compare_inbox);
	for (size_t i = 0; ret == 0 && i < offline->inbox_count; i++) {
		ret = read_inbox_file(offline, i);
		/* Few descriptors: those of files with many readers are opened again. */
		disk_close(offline->disk, offline->inbox[i].file);
		offline->inbox[i].file = -1;
	}
	return ret;
}

/* ---- Refresh --------------------------------------------------------------- */

static int compare_by_trace(const void *left, const void *right, void *ctx)
{
	const struct waiting_span *spans = ctx;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;
	int ret = memcmp(spans[a].trace_id, spans[b].trace_id, 16);

	return ret != 0 ? ret : (a > b) - (a < b);
}

static int sort_by_trace(struct offline *offline)
{
	size_t count = offline->span_count;

	free(offline->by_trace);
	offline->by_trace = calloc(count > 0 ? count : 1, sizeof(*offline->by_trace));
	if (offline->by_trace == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		offline->by_trace[i] = (uint32_t)i;
	qsort_r(offline->by_trace, count, sizeof(*offline->by_trace), compare_by_trace,
		offline->spans);
	return 0;
}

static int look_once(struct offline *offline)
{
	int ret;

	offline->span_count = 0;
	offline->log_bytes = 0;
	offline->batch_place = (struct log_place){0};
	manifest_state_done(&offline->manifest);
	offline->manifest = (struct manifest_state){.first_segment = 1};
	if (offline->dirs->waft < 0)
		return 0;
	ret = manifest_load(offline->disk, offline->dirs->waft, NULL, NULL, &offline->manifest);
	if (ret == 0)
		ret = scan_log(offline);
	return ret == 0 ? read_inbox(offline) : ret;
}

int offline_refresh(struct offline *offline)
{
	for (int i = 0; i < REFRESH_TRIES; i++) {
		int ret = look_once(offline);

		if (ret != 0)
			return ret;
		if (offline->dirs->waft < 0)
			return sort_by_trace(offline);
		memcpy(offline->source.store_id, offline->manifest.store_id, 16);
		ret = manifest_unchanged(offline->disk, offline->dirs->waft, &offline->manifest);
		if (ret < 0)
			return ret;
		if (ret == 1)
			return sort_by_trace(offline);
	}
	return -EAGAIN;
}

/* ---- The source ------------------------------------------------------------ */

static int for_each_part(
	void *ctx, int (*on_part)(void *arg, const struct live_part *part), void *arg)
{
	struct offline *offline = ctx;

	for (size_t i = 0; i < offline->manifest.part_count; i++) {
		const struct manifest_part *part = &offline->manifest.parts[i];
		char name[PART_NAME_BYTES];
		struct live_part live = {.name = name, .length_bytes = part->length_bytes};
		struct disk_stat stat;
		int ret;

		if (part->state == PART_REMOVED || part_name_format(&part->name, name) != 0)
			continue;
		/* Named, never committed to, and not the file that was made: foreign. */
		if (part->length_bytes == 0 &&
			disk_stat_name(offline->disk, offline->dirs->top, name, &stat) == 0 &&
			stat.inode != part->inode)
			continue;
		ret = on_part(arg, &live);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* The bytes of the batch at place; borrowed until the next call. */
static int fetch_batch(struct offline *offline, struct log_place place, struct slice *ret_bytes,
	const struct log_peer **ret_peer)
{
	const struct log_record *record;
	struct inbox_frame frame;
	struct inbox_file *inbox;
	int ret;

	if (place.segment < OFFLINE_INBOX_SEGMENT) {
		ret = 0;
		if (offline->log_reader == NULL)
			ret = log_reader_new(
				offline->disk, offline->dirs->log, 0, &offline->log_reader);
		if (ret != 0)
			return ret;
		ret = log_reader_get(offline->log_reader, place, &record);
		if (ret != 0)
			return ret == -ENOENT || ret == -EBADMSG ? -ESTALE : ret;
		*ret_bytes = slice_of(record->payload, record->payload_length);
		*ret_peer = &record->peer;
		return 0;
	}
	inbox = &offline->inbox[place.segment - OFFLINE_INBOX_SEGMENT];
	inbox->file = disk_open(offline->disk, offline->dirs->inbox, inbox->name, DISK_READ);
	ret = inbox->file >= 0 ? inbox_frame_at(offline->disk, inbox->file, place.offset,
					 &offline->inbox_buffer, &frame)
			       : -ESTALE;
	disk_close(offline->disk, inbox->file);
	inbox->file = -1;
	if (ret != 1 || frame.batch.data == NULL)
		return ret == -ENOMEM ? ret : -ESTALE;
	*ret_bytes = frame.batch;
	*ret_peer = NULL;
	return 0;
}

static int open_batch(struct offline *offline, struct log_place place)
{
	const struct log_peer *peer;
	struct slice bytes;
	int ret;

	if (offline->batch_place.segment == place.segment &&
		offline->batch_place.offset == place.offset)
		return 0;
	offline->batch_place = (struct log_place){0};
	ret = fetch_batch(offline, place, &bytes, &peer);
	if (ret == 0)
		ret = batch_open(&offline->batch, bytes.data, bytes.length);
	if (ret == 0)
		ret = line_batch_begin(&offline->writer, &offline->batch, peer);
	if (ret != 0)
		return ret;
	batch_iter_init(&offline->iter);
	offline->batch_place = place;
	return 0;
}

static int give_span(struct offline *offline, const struct waiting_span *span,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	struct log_place place = {.segment = span->ordinal.segment, .offset = span->ordinal.offset};
	struct live_span live = {.ordinal = span->ordinal};
	struct span_view view;
	int ret = open_batch(offline, place);

	if (ret == 0)
		ret = batch_span_at(&offline->batch, &offline->iter, span->place, &view);
	offline->line.length = 0;
	if (ret == 0)
		ret = line_span(&offline->writer, &offline->batch, &view, &offline->line);
	if (ret != 0)
		return ret;
	memcpy(live.trace_id, span->trace_id, 16);
	live.line = slice_of(offline->line.data, offline->line.length - 1);
	return on_span(arg, &live);
}

static bool is_behind(const struct ordinal *ordinal, const struct ordinal *after)
{
	if (after == NULL)
		return true;
	if (ordinal->segment != after->segment)
		return ordinal->segment > after->segment;
	if (ordinal->offset != after->offset)
		return ordinal->offset > after->offset;
	return ordinal->position > after->position;
}

/* The first place in by_trace with this trace. */
static size_t first_of_trace(const struct offline *offline, const uint8_t trace_id[16])
{
	size_t low = 0;
	size_t high = offline->span_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct waiting_span *span = &offline->spans[offline->by_trace[middle]];

		if (memcmp(span->trace_id, trace_id, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int for_each_span(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	struct offline *offline = ctx;
	size_t i = trace_id != NULL ? first_of_trace(offline, trace_id) : 0;
	int ret = 0;

	for (; ret == 0 && i < offline->span_count; i++) {
		const struct waiting_span *span =
			&offline->spans[trace_id != NULL ? offline->by_trace[i] : i];

		if (trace_id != NULL && memcmp(span->trace_id, trace_id, 16) != 0)
			break;
		if (is_behind(&span->ordinal, after))
			ret = give_span(offline, span, on_span, arg);
	}
	return ret;
}

/* ---- Life ------------------------------------------------------------------ */

int offline_new(struct disk *disk, const struct offline_dirs *dirs, struct offline **ret)
{
	struct offline *offline = calloc(1, sizeof(*offline));

	if (offline == NULL)
		return -ENOMEM;
	offline->disk = disk;
	offline->dirs = dirs;
	offline->source = (struct live_source){
		.ctx = offline, .for_each_part = for_each_part, .for_each_span = for_each_span};
	*ret = offline;
	return 0;
}

void offline_free(struct offline *offline)
{
	if (offline == NULL)
		return;
	manifest_state_done(&offline->manifest);
	log_reader_free(offline->log_reader);
	batch_done(&offline->batch);
	line_writer_done(&offline->writer);
	bytes_done(&offline->line);
	close_inbox(offline);
	inbox_buffer_done(&offline->inbox_buffer);
	free(offline->spans);
	free(offline->by_trace);
	free(offline);
}

const struct live_source *offline_source(const struct offline *offline)
{
	return &offline->source;
}

const struct manifest_state *offline_manifest(const struct offline *offline)
{
	return &offline->manifest;
}

uint64_t offline_waiting_spans(const struct offline *offline)
{
	return offline->span_count;
}

uint64_t offline_log_bytes(const struct offline *offline)
{
	return offline->log_bytes;
}
