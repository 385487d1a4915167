/*
 * Reads a log from its first segment to its end. See log.h, and docs/STORE.md,
 * "Log", for what is damage, what a torn tail, and what a fence voids.
 *
 * First the headers of all segments, which say where older ones end; then the
 * segments in order, each in memory as a whole, but for records at its beginning that
 * nobody wants: of these only headers are read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cursor.h"
#include "log_format.h"

struct scan_segment {
	uint32_t number;
	uint64_t file_bytes;
	bool readable;
	int error;	 /* of opening or reading */
	unsigned copies; /* good header copies */
	uint64_t from;	 /* where the first record lies that was read; 0: where the header ends */
	struct log_segment_header header;
};

struct scan {
	struct disk *disk;
	int dir;
	const uint8_t *store_id;
	uint32_t from;
	const struct log_scan_ops *ops;
	void *ctx;
	struct log_scan_result *result;
	struct scan_segment *segments;
	size_t count;
	size_t capacity;
	int error;
	struct bytes data; /* of the segment being read */
};

/* One segment while it is read. */
struct walk {
	uint32_t number;
	const uint8_t *data;
	size_t length; /* up to the fence */
	size_t synced; /* known to have been synced up to here */
	bool looked_ahead;
};

static int on_name(void *ctx, const char *name)
{
	struct scan *scan = ctx;
	uint32_t number = log_name_number(name);
	struct scan_segment *grown;

	if (number == 0 || number < scan->from)
		return 0;
	if (scan->count == scan->capacity) {
		scan->capacity = scan->capacity == 0 ? 32 : scan->capacity * 2;
		grown = reallocarray(scan->segments, scan->capacity, sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		scan->segments = grown;
	}
	scan->segments[scan->count++] = (struct scan_segment){.number = number};
	return 0;
}

static int compare_segments(const void *a, const void *b)
{
	const struct scan_segment *left = a;
	const struct scan_segment *right = b;

	return (left->number > right->number) - (left->number < right->number);
}

static void read_header(struct scan *scan, struct scan_segment *segment)
{
	uint8_t raw[LOG_SEGMENT_HEADER_BYTES];
	struct disk_stat st = {0};
	char name[LOG_NAME_BYTES];
	ssize_t got;
	int file;

	log_name(segment->number, name);
	file = disk_open(scan->disk, scan->dir, name, DISK_READ);
	if (file < 0) {
		segment->error = file;
		return;
	}
	got = disk_stat_file(scan->disk, file, &st);
	if (got == 0)
		got = st.length_bytes > LOG_SEGMENT_BYTES_MAX
			      ? -EFBIG
			      : disk_read(scan->disk, file, raw, sizeof(raw), 0);
	disk_close(scan->disk, file);
	if (got < 0) {
		segment->error = (int)got;
		return;
	}
	segment->file_bytes = st.length_bytes;
	segment->readable = true;
	/* Half a header counts for nothing: the first sync covers all of it. */
	if (got == sizeof(raw))
		segment->copies = log_segment_header_decode(raw, &segment->header);
	if (segment->copies != 0 &&
		(segment->header.number != segment->number ||
			(scan->store_id != NULL &&
				memcmp(segment->header.store_id, scan->store_id, 16) != 0)))
		segment->readable = false;
}

/* Where the first record lies that is wanted, by headers that nobody has checked. A wrong one
 * leads astray, to no record: see load_segment. */
static uint64_t pass_done(struct scan *scan, const struct scan_segment *segment, int file)
{
	uint64_t at = LOG_SEGMENT_HEADER_BYTES;
	uint8_t header[LOG_RECORD_HEADER_BYTES];

	if (scan->ops->is_done == NULL || segment->copies != 3)
		return 0;
	while (at + sizeof(header) <= segment->file_bytes &&
		disk_read(scan->disk, file, header, sizeof(header), at) ==
			(ssize_t)sizeof(header)) {
		struct log_place place = {.segment = segment->number, .offset = (uint32_t)at};
		size_t length = log_record_length(header);

		if (length == 0 || at + length > segment->file_bytes ||
			!scan->ops->is_done(
				scan->ctx, place, (enum log_kind)header[8], le32_read(header + 12)))
			break;
		at += length;
	}
	return at > LOG_SEGMENT_HEADER_BYTES ? at : 0;
}

/* Whether a record lies at `from`, or the file ends there. */
static bool is_record_at(const struct scan *scan, uint32_t number, uint64_t from)
{
	struct log_place place = {.segment = number, .offset = (uint32_t)from};
	struct log_record record;
	uint32_t synced;

	return from == scan->data.length ||
	       log_record_decode(scan->data.data + from, scan->data.length - from, place, &record,
		       &synced) != 0;
}

/* The bytes before segment->from stay unread. */
static int load_segment(struct scan *scan, struct scan_segment *segment)
{
	char name[LOG_NAME_BYTES];
	ssize_t got;
	int file;

	scan->data.length = 0;
	if (bytes_reserve(&scan->data, segment->file_bytes + 1) != 0)
		return -ENOMEM;
	log_name(segment->number, name);
	file = disk_open(scan->disk, scan->dir, name, DISK_READ);
	got = file;
	if (file >= 0) {
		segment->from = pass_done(scan, segment, file);
		got = disk_read(scan->disk, file, scan->data.data + segment->from,
			segment->file_bytes - segment->from, segment->from);
		scan->data.length = got < 0 ? 0 : (size_t)got + segment->from;
		if (got >= 0 && segment->from > 0 &&
			!is_record_at(scan, segment->number, segment->from)) {
			segment->from = 0;
			got = disk_read(scan->disk, file, scan->data.data, segment->file_bytes, 0);
			scan->data.length = got < 0 ? 0 : (size_t)got;
		}
	}
	disk_close(scan->disk, file);
	if (got < 0) {
		segment->readable = false;
		segment->error = (int)got;
	}
	return 0;
}

/* ---- Records of one segment ---------------------------------------------- */

static size_t decode_at(
	const struct walk *walk, size_t at, struct log_record *record, uint32_t *ret_synced)
{
	struct log_place place = {.segment = walk->number, .offset = (uint32_t)at};

	return log_record_decode(walk->data + at, walk->length - at, place, record, ret_synced);
}

/* The next valid record from at on; walk->length when there is none. */
static size_t find_record(const struct walk *walk, size_t at)
{
	struct log_record record;
	uint32_t synced;

	for (; at < walk->length; at += 8) {
		if (decode_at(walk, at, &record, &synced) != 0)
			return at;
	}
	return walk->length;
}

/* What the records behind at say of how far the segment was synced. */
static void look_ahead(struct walk *walk, size_t at)
{
	walk->looked_ahead = true;
	at = find_record(walk, at);
	while (at < walk->length) {
		struct log_record record;
		uint32_t synced;
		size_t length = decode_at(walk, at, &record, &synced);

		if (length == 0) {
			at = find_record(walk, at);
			continue;
		}
		if (synced > walk->synced && synced <= at)
			walk->synced = synced;
		at += length;
	}
}

static int tell_damage(struct scan *scan, enum log_damage_kind kind, uint32_t number, size_t from,
	size_t to, const char *why)
{
	struct log_damage damage = {
		.kind = kind,
		.segment = number,
		.offset = (uint32_t)from,
		.bytes = scan->data.data + from,
		.length_bytes = to - from,
		.why = why,
	};

	if (from == to)
		return 0;
	if (kind == LOG_DAMAGED)
		scan->result->damaged_bytes += to - from;
	if (kind == LOG_TORN)
		scan->result->torn_bytes += to - from;
	return scan->ops->on_damage != NULL ? scan->ops->on_damage(scan->ctx, &damage) : 0;
}

/* Bytes at *at are no record: moves *at behind them, or ends the segment. */
static int pass_damage(struct scan *scan, struct walk *walk, size_t *at)
{
	size_t from = *at;
	size_t next;

	if (from >= walk->synced && !walk->looked_ahead)
		look_ahead(walk, from);
	if (from >= walk->synced) {
		walk->length = from;
		return tell_damage(scan, LOG_TORN, walk->number, from, scan->data.length,
			"written but never synced");
	}
	next = find_record(walk, (from + 8) & ~(size_t)7);
	*at = next;
	return tell_damage(scan, LOG_DAMAGED, walk->number, from, next, "checksum is wrong");
}

static int walk_records(struct scan *scan, struct walk *walk, size_t at)
{
	while (at < walk->length) {
		struct log_record record;
		uint32_t synced;
		size_t length = decode_at(walk, at, &record, &synced);
		int ret = 0;

		if (length == 0) {
			ret = pass_damage(scan, walk, &at);
		} else {
			struct log_place place = {.segment = walk->number, .offset = (uint32_t)at};

			at += length;
			scan->result->records += record.kind != LOG_MARK;
			scan->result->end =
				(struct log_place){.segment = walk->number, .offset = (uint32_t)at};
			if (scan->ops->on_record != NULL && record.kind != LOG_MARK)
				ret = scan->ops->on_record(scan->ctx, place, &record);
		}
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int walk_header(
	struct scan *scan, const struct scan_segment *segment, struct walk *walk, size_t *ret_at)
{
	size_t half = LOG_SEGMENT_HEADER_BYTES / 2;

	*ret_at = LOG_SEGMENT_HEADER_BYTES;
	if (segment->copies == 3)
		return 0;
	if (segment->copies != 0)
		return tell_damage(scan, LOG_DAMAGED, walk->number, segment->copies == 1 ? half : 0,
			segment->copies == 1 ? 2 * half : half, "one of two headers is wrong");
	*ret_at = 0;
	return pass_damage(scan, walk, ret_at);
}

/* fence: the first place that later segments void; later: there is a later one. */
static int scan_segment(
	struct scan *scan, struct scan_segment *segment, struct log_place fence, bool later)
{
	struct walk walk = {.number = segment->number};
	size_t at;
	int ret = segment->readable ? load_segment(scan, segment) : 0;

	if (ret != 0)
		return ret;
	if (!segment->readable) {
		scan->result->segments_unreadable++;
		if (scan->result->io_error == 0)
			scan->result->io_error = segment->error;
		return 0;
	}
	scan->result->segments++;
	walk.data = scan->data.data;
	walk.length = scan->data.length;
	if (later && fence.segment < segment->number)
		walk.length = 0;
	else if (later && fence.segment == segment->number && fence.offset < walk.length)
		walk.length = fence.offset;
	ret = tell_damage(scan, LOG_VOID, walk.number, walk.length, scan->data.length,
		"behind the fence of a later segment");
	scan->data.length = walk.length;
	walk.synced = later ? walk.length : 0;
	if (ret == 0 && walk.length > 0)
		ret = walk_header(scan, segment, &walk, &at);
	if (ret == 0 && segment->from > 0 && segment->from <= walk.length)
		scan->result->end = (struct log_place){
			.segment = walk.number, .offset = (uint32_t)segment->from};
	if (ret == 0 && walk.length > 0)
		ret = walk_records(scan, &walk, segment->from > 0 ? segment->from : at);
	if (ret == 0 && later && fence.segment == segment->number && fence.offset > walk.length)
		scan->result->damaged_bytes += fence.offset - walk.length;
	if (ret == 0 && scan->ops->on_segment != NULL)
		ret = scan->ops->on_segment(scan->ctx, segment->number, walk.length);
	return ret;
}

static bool place_before(struct log_place a, struct log_place b)
{
	return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

static bool has_segment(const struct scan *scan, uint32_t number)
{
	struct scan_segment key = {.number = number};

	return bsearch(&key, scan->segments, scan->count, sizeof(key), compare_segments) != NULL;
}

/* For each segment the lowest fence of those behind it. */
static struct log_place *find_fences(struct scan *scan)
{
	struct log_place lowest = {.segment = UINT32_MAX, .offset = UINT32_MAX};
	struct log_place *fences = calloc(scan->count + 1, sizeof(*fences));

	for (size_t i = scan->count; fences != NULL && i-- > 0;) {
		const struct scan_segment *segment = &scan->segments[i];

		fences[i] = lowest;
		if (!segment->readable || segment->copies == 0)
			continue;
		if (place_before(segment->header.fence, lowest))
			lowest = segment->header.fence;
		if (segment->header.fence.segment >= scan->from &&
			segment->header.fence.segment > 0 &&
			!has_segment(scan, segment->header.fence.segment))
			scan->result->segments_missing++;
		if (!scan->result->has_store_id)
			memcpy(scan->result->store_id, segment->header.store_id, 16);
		scan->result->has_store_id = true;
	}
	return fences;
}

/* Finds the segments, oldest first, with what their headers say. *ret_fences: owned. */
static int read_headers(struct scan *scan, struct log_place **ret_fences)
{
	int error = disk_list(scan->disk, scan->dir, on_name, scan);

	if (error != 0 || scan->count == 0)
		return error;
	qsort(scan->segments, scan->count, sizeof(*scan->segments), compare_segments);
	for (size_t i = 0; i < scan->count; i++)
		read_header(scan, &scan->segments[i]);
	scan->result->last_segment = scan->segments[scan->count - 1].number;
	*ret_fences = find_fences(scan);
	return *ret_fences == NULL ? -ENOMEM : 0;
}

int log_scan(struct disk *disk, int dir, const uint8_t *store_id, uint32_t from,
	const struct log_scan_ops *ops, void *ctx, struct log_scan_result *ret)
{
	struct scan scan = {.disk = disk,
		.dir = dir,
		.store_id = store_id,
		.from = from,
		.ops = ops,
		.ctx = ctx,
		.result = ret};
	struct log_place *fences = NULL;
	int error;

	*ret = (struct log_scan_result){0};
	error = read_headers(&scan, &fences);
	for (size_t i = 0; error == 0 && i < scan.count; i++)
		error = scan_segment(
			&scan, &scan.segments[i], fences[i], fences[i].segment != UINT32_MAX);
	bytes_done(&scan.data);
	free(scan.segments);
	free(fences);
	return error;
}

int log_count_missing(
	struct disk *disk, int dir, const uint8_t *store_id, uint32_t from, uint32_t *ret_missing)
{
	struct log_scan_result result = {0};
	struct scan scan = {
		.disk = disk, .dir = dir, .store_id = store_id, .from = from, .result = &result};
	struct log_place *fences = NULL;
	int error = read_headers(&scan, &fences);

	free(scan.segments);
	free(fences);
	*ret_missing = result.segments_missing;
	return error;
}
