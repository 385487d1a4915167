/*
 * offline.c: see offline.h. The places of all waiting spans are kept, in order of the
 * log; a span's line is made when it is asked for.
 */
#include "offline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inbox_files.h"
#include "log.h"
#include "lost_end.h"
#include "span_places.h"

/* A manifest that changes this often while it is read is being written to without
 * a pause; by then something else is wrong. */
#define REFRESH_TRIES 50

struct offline {
	struct disk *disk;
	const struct offline_dirs *dirs;
	struct manifest_state manifest;
	struct part_names names; /* of the trace directory */
	struct span_places places;
	uint64_t log_bytes;
	bool log_cut;
	uint32_t log_missing; /* segments that a later one says were there */
	struct inbox_files inbox;
	struct live_source source;
	struct log_reader *log_reader;
};

/* ---- Collecting ----------------------------------------------------------- */

static int on_record(void *ctx, struct log_place place, const struct log_record *record)
{
	struct offline *offline = ctx;

	if (record->kind != LOG_BATCH || record->format != LOG_FORMAT_WAFT_V1)
		return 0;
	/* Of a store at rest nearly all of the log is in files already. */
	if (record->spans > 0 &&
		consumed_in_record(&offline->manifest.consumed, place) == record->spans)
		return 0;
	return span_places_add(&offline->places, slice_of(record->payload, record->payload_length),
		place, &offline->manifest.consumed);
}

/* Consumed, or of no spans at all. */
static bool is_done(void *ctx, struct log_place place, enum log_kind kind, uint32_t spans)
{
	const struct offline *offline = ctx;

	return kind != LOG_BATCH ||
	       (spans > 0 && consumed_in_record(&offline->manifest.consumed, place) == spans);
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
	static const struct log_scan_ops ops = {
		.on_record = on_record, .on_segment = on_segment, .is_done = is_done};
	const struct manifest_state *manifest = &offline->manifest;
	struct log_scan_result result;
	int ret;

	offline->log_cut = false;
	offline->log_missing = 0;
	if (offline->dirs->log < 0)
		return 0;
	ret = log_scan(offline->disk, offline->dirs->log,
		manifest->generation > 0 ? manifest->store_id : NULL, manifest->first_segment, &ops,
		offline, &result);
	/* Beside a daemon the log may be longer than the manifest knows, never shorter. */
	offline->log_cut = ret == 0 && lost_end_of_log(manifest, result.end);
	offline->log_missing = result.segments_missing;
	return ret;
}

/* ---- Refresh --------------------------------------------------------------- */

/* What a daemon would make of a manifest that was cut off or damaged when it starts: committed
 * lines are there whatever it says. */
static int mend_manifest(struct offline *offline)
{
	const struct store_dirs dirs = {.top = offline->dirs->top,
		.waft = offline->dirs->waft,
		.log = offline->dirs->log,
		.quarantine = -1,
		.lock = -1};
	struct manifest_state *manifest = &offline->manifest;
	int ret = 0;

	if (!manifest->damaged && manifest->generation > 0 && offline->log_missing > 0)
		ret = 1;
	else if (!manifest->damaged)
		ret = lost_end_by_names(offline->disk, &dirs, manifest, &offline->names);
	if (ret == 1)
		manifest->damaged = true;
	for (size_t i = 0; ret >= 0 && manifest->damaged && i < manifest->part_count; i++) {
		ret = lost_end_find(offline->disk, dirs.top, &manifest->parts[i]);
		/* Whoever reads the part finds out what is wrong with it. */
		if (ret != -ENOMEM)
			ret = 0;
	}
	return ret < 0 ? ret : 0;
}

static int look_once(struct offline *offline)
{
	int ret;

	span_places_clear(&offline->places);
	offline->log_bytes = 0;
	manifest_state_done(&offline->manifest);
	offline->manifest = (struct manifest_state){.first_segment = 1};
	if (offline->dirs->waft < 0)
		return part_names_read(&offline->names, offline->disk, offline->dirs->top);
	ret = manifest_load(offline->disk, offline->dirs->waft, NULL, NULL, &offline->manifest);
	if (ret == 0)
		ret = part_names_read(&offline->names, offline->disk, offline->dirs->top);
	if (ret == 0)
		ret = scan_log(offline);
	if (ret == 0)
		ret = mend_manifest(offline);
	if (ret == 0)
		ret = inbox_files_read(
			&offline->inbox, offline->dirs->inbox, SIZE_MAX, &offline->places);
	return ret;
}

int offline_refresh(struct offline *offline)
{
	for (int i = 0; i < REFRESH_TRIES; i++) {
		int ret = look_once(offline);

		if (ret != 0)
			return ret;
		if (offline->dirs->waft < 0)
			return span_places_sort(&offline->places);
		memcpy(offline->source.store_id, offline->manifest.store_id, 16);
		ret = manifest_unchanged(offline->disk, offline->dirs->waft, &offline->manifest);
		if (ret < 0)
			return ret;
		if (ret == 1)
			return span_places_sort(&offline->places);
	}
	return -EAGAIN;
}

/* ---- The source ------------------------------------------------------------ */

/* A part that was named and never committed to: whether its file is the one that was made. If not
 * it is foreign, as is a sealed file of that name. */
static bool is_its(const struct offline *offline, const struct manifest_part *part)
{
	char name[PART_NAME_BYTES];
	struct disk_stat stat;

	return part_name_format(&part->name, name) == 0 &&
	       disk_stat_name(offline->disk, offline->dirs->top, name, &stat) == 0 &&
	       stat.inode == part->inode;
}

static int for_each_part(
	void *ctx, int (*on_part)(void *arg, const struct live_part *part), void *arg)
{
	struct offline *offline = ctx;

	for (size_t i = 0; i < offline->manifest.part_count; i++) {
		const struct manifest_part *part = &offline->manifest.parts[i];
		struct live_part live = {.part = part->name, .length_bytes = part->length_bytes};
		int ret;

		if (part->state == PART_REMOVED ||
			(part->length_bytes == 0 && !is_its(offline, part)))
			continue;
		ret = on_part(arg, &live);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int fetch_batch(void *ctx, struct log_place place, struct slice *ret_bytes,
	const struct log_peer **ret_peer)
{
	struct offline *offline = ctx;
	const struct log_record *record;
	int ret = 0;

	*ret_peer = NULL;
	if (place.segment >= INBOX_SEGMENT)
		return inbox_files_fetch(&offline->inbox, place, ret_bytes);
	if (offline->log_reader == NULL)
		ret = log_reader_new(offline->disk, offline->dirs->log, 0, &offline->log_reader);
	if (ret == 0)
		ret = log_reader_get(offline->log_reader, place, &record);
	if (ret != 0)
		return ret == -ENOENT || ret == -EBADMSG ? -ESTALE : ret;
	*ret_bytes = slice_of(record->payload, record->payload_length);
	*ret_peer = &record->peer;
	return 0;
}

static int for_each_span(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	struct offline *offline = ctx;

	return span_places_each(&offline->places, trace_id, after, on_span, arg);
}

/* ---- Life ------------------------------------------------------------------ */

int offline_new(struct disk *disk, const struct offline_dirs *dirs, struct offline **ret)
{
	struct offline *offline = calloc(1, sizeof(*offline));

	if (offline == NULL)
		return -ENOMEM;
	offline->disk = disk;
	offline->dirs = dirs;
	span_places_init(&offline->places, fetch_batch, offline);
	inbox_files_init(&offline->inbox, disk);
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
	part_names_done(&offline->names);
	log_reader_free(offline->log_reader);
	span_places_done(&offline->places);
	inbox_files_done(&offline->inbox);
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

const struct part_names *offline_names(const struct offline *offline)
{
	return &offline->names;
}

uint64_t offline_waiting_spans(const struct offline *offline)
{
	return offline->places.count;
}

bool offline_log_cut(const struct offline *offline)
{
	return offline->log_cut;
}

uint64_t offline_log_bytes(const struct offline *offline)
{
	return offline->log_bytes;
}
