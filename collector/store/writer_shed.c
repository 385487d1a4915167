/*
 * Giving up what no gateway was ever sent, when an agent's log has no more room. See writer.h,
 * and docs/STORE.md, "Forwarding".
 *
 * A segment is rewritten under its name: its batches become drop records that tell how
 * many spans there were, one for each client in a stretch of batches; what is left of the
 * stretch is filled with marks, whose zeros are never written, so that the file has a hole
 * there. All other records stay where they are, and so does every offset behind them.
 * The clients' table in the manifest includes the segment before it is touched: a
 * restart counts nothing of it again.
 *
 * The new file is complete and synced before it gets the name; a kill before that leaves
 * the old one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "log_format.h"
#include "writer_internal.h"

#define NEW_NAME "shed.new"

enum {
	MERGED_MAX = 256, /* clients in a stretch */
	BATCH_BYTES_LEAST = 64,
	DROP_BYTES = 128, /* of a drop's payload, at most */
	FILL_BYTES_MAX = LOG_RECORD_HEADER_BYTES + LOG_PAYLOAD_BYTES_MAX,
};

/* What a client had in a stretch of batches. */
struct merged {
	uint8_t client[16];
	uint8_t share;
	uint64_t sequence; /* the last */
	uint64_t emitted;
	uint64_t receive_ns;
	uint64_t spans;
};

struct shed {
	struct disk *disk;
	int file; /* the new one */
	uint32_t number;
	uint32_t at;	  /* up to there the new file is what it is to be, or a stretch is open */
	uint32_t written; /* end of what was written */
	uint32_t stretch; /* where it begins; 0: none is open */
	struct merged merged[MERGED_MAX];
	size_t merged_count;
	uint64_t spans;	 /* given up */
	uint64_t freed;	 /* bytes of holes */
	uint8_t *record; /* FILL_BYTES_MAX, scratch */
};

/* Writes the first `head` bytes of the scratch record of some length; what is behind them is
 * zero. */
static int put_record(struct shed *shed, uint32_t offset, size_t length, size_t head)
{
	struct log_place place = {.segment = shed->number, .offset = offset};
	int ret;

	log_record_seal(shed->record, place, offset);
	ret = disk_write(shed->disk, shed->file, shed->record, head, offset);
	if (head < length)
		shed->freed += length - head;
	else
		shed->written = offset + (uint32_t)length;
	return ret;
}

/* Marks from one offset to another, which are apart by 0 or by 64 or more. */
static int put_marks(struct shed *shed, uint32_t from, uint32_t to)
{
	int ret = 0;

	while (from < to && ret == 0) {
		size_t length = to - from < FILL_BYTES_MAX ? to - from : FILL_BYTES_MAX;
		struct log_record mark = {.kind = LOG_MARK, .format = LOG_FORMAT_WAFT_V1};

		/* What is left must have room for a header. */
		if (to - from - length > 0 && to - from - length < LOG_RECORD_HEADER_BYTES)
			length -= LOG_RECORD_HEADER_BYTES;
		memset(shed->record, 0, length);
		log_record_encode(&mark, shed->record);
		le32_write(shed->record + 4, (uint32_t)(length - LOG_RECORD_HEADER_BYTES));
		ret = put_record(shed, from, length, LOG_RECORD_HEADER_BYTES);
		from += (uint32_t)length;
	}
	return ret;
}

/* One drop at *offset, moved on behind it; the last one takes up what is too little for a
 * mark. */
static int put_drop(struct shed *shed, const struct merged *merged, bool last, uint32_t *offset)
{
	static const uint8_t zeros[LOG_RECORD_HEADER_BYTES];
	uint8_t payload[DROP_BYTES];
	struct writer writer = writer_of(payload, sizeof(payload));
	struct log_record drop = {
		.kind = LOG_DROP,
		.format = LOG_FORMAT_WAFT_V1,
		.spans = merged->spans > UINT32_MAX ? UINT32_MAX : (uint32_t)merged->spans,
		.receive_ns = merged->receive_ns,
		.sequence = merged->sequence,
		.emitted = merged->emitted,
		.share = merged->share,
		.payload = payload,
	};
	size_t length, left;

	memcpy(drop.client, merged->client, sizeof(drop.client));
	writer_field_bytes(&writer, TAG_DROP_REASON, slice_of_text(WRITER_SHED_REASON));
	writer_field_varint(&writer, TAG_DROP_SPANS, merged->spans);
	drop.payload_length = writer_length(&writer) + 2;
	length = log_record_bytes(&drop);
	if (length > shed->at - *offset)
		return -EFBIG;
	left = last ? shed->at - *offset - length : 0;
	if (left >= LOG_RECORD_HEADER_BYTES)
		left = 0;
	writer_field_bytes_always(&writer, TAG_DROP_PADDING, slice_of(zeros, left));
	drop.payload_length = writer_length(&writer);
	length = log_record_bytes(&drop);
	log_record_encode(&drop, shed->record);
	shed->spans += merged->spans;
	*offset += (uint32_t)length;
	return put_record(shed, *offset - (uint32_t)length, length, length);
}

static int close_stretch(struct shed *shed)
{
	uint32_t offset = shed->stretch;
	int ret = 0;

	if (offset == 0)
		return 0;
	for (size_t i = 0; i < shed->merged_count && ret == 0; i++)
		ret = put_drop(shed, &shed->merged[i], i + 1 == shed->merged_count, &offset);
	if (ret == 0)
		ret = put_marks(shed, offset, shed->at);
	shed->merged_count = 0;
	shed->stretch = 0;
	return ret;
}

static struct merged *merged_of(struct shed *shed, const struct log_record *record)
{
	struct merged *merged;

	for (size_t i = 0; i < shed->merged_count; i++) {
		merged = &shed->merged[i];
		if (memcmp(merged->client, record->client, 16) == 0 &&
			merged->share == record->share)
			return merged;
	}
	merged = &shed->merged[shed->merged_count++];
	*merged = (struct merged){.share = record->share};
	memcpy(merged->client, record->client, 16);
	return merged;
}

static int on_record(void *ctx, struct log_place place, const struct log_record *record)
{
	struct shed *shed = ctx;
	size_t length = log_record_bytes(record);
	struct merged *merged;
	int ret = 0;

	/* Marks that stood between records. */
	if (shed->stretch == 0)
		ret = put_marks(shed, shed->at, place.offset);
	shed->at = place.offset;
	if (ret == 0 && (shed->merged_count == MERGED_MAX || record->kind != LOG_BATCH ||
				record->payload_length < BATCH_BYTES_LEAST))
		ret = close_stretch(shed);
	if (ret != 0)
		return ret;
	shed->at = place.offset + (uint32_t)length;
	if (record->kind != LOG_BATCH || record->payload_length < BATCH_BYTES_LEAST) {
		log_record_encode(record, shed->record);
		return put_record(shed, place.offset, length, length);
	}
	if (shed->stretch == 0)
		shed->stretch = place.offset;
	merged = merged_of(shed, record);
	merged->sequence = record->sequence;
	merged->emitted = record->emitted;
	merged->receive_ns = record->receive_ns;
	merged->spans += record->spans;
	return 0;
}

static int on_damage(void *ctx, const struct log_damage *damage)
{
	(void)ctx;
	return damage->kind == LOG_VOID ? 0 : -EBADMSG;
}

/* The end of the segment: what is behind the last record, and the file's length. */
static int on_segment(void *ctx, uint32_t number, uint64_t length_bytes)
{
	struct shed *shed = ctx;
	uint8_t end[8] = {0};
	int ret;

	(void)number;
	if (shed->stretch != 0)
		shed->at = (uint32_t)length_bytes;
	ret = close_stretch(shed);
	if (ret == 0)
		ret = put_marks(shed, shed->at, (uint32_t)length_bytes);
	if (ret == 0 && shed->written < length_bytes && shed->freed > 0)
		ret = disk_write(
			shed->disk, shed->file, end, sizeof(end), length_bytes - sizeof(end));
	return ret != 0 ? ret : 1;
}

/* Copies the segment's header, which is not changed. */
static int copy_header(struct jsonl_store *store, struct shed *shed)
{
	uint8_t header[LOG_SEGMENT_HEADER_BYTES];
	char name[LOG_NAME_BYTES];
	ssize_t got;
	int old;

	log_name(shed->number, name);
	old = disk_open(shed->disk, store->config.dirs->log, name, DISK_READ);
	if (old < 0)
		return old;
	got = disk_read(shed->disk, old, header, sizeof(header), 0);
	disk_close(shed->disk, old);
	if (got != (ssize_t)sizeof(header))
		return got < 0 ? (int)got : -EBADMSG;
	return disk_write(shed->disk, shed->file, header, sizeof(header), 0);
}

/* Makes the new file; it has its name when this returns 1. 0: there is nothing to give up. */
static int rewrite(struct jsonl_store *store, struct shed *shed)
{
	static const struct log_scan_ops ops = {
		.on_record = on_record, .on_damage = on_damage, .on_segment = on_segment};
	int dir = store->config.dirs->log;
	struct log_scan_result result;
	char name[LOG_NAME_BYTES];
	int ret = copy_header(store, shed);

	if (ret == 0)
		ret = log_scan(shed->disk, dir, NULL, shed->number, &ops, shed, &result);
	if (ret == 1 && shed->spans == 0)
		return 0;
	if (ret == 0)
		ret = -EBADMSG; /* it could not be read */
	if (ret == 1)
		ret = disk_sync(shed->disk, shed->file);
	log_name(shed->number, name);
	if (ret == 0)
		ret = disk_rename(shed->disk, dir, NEW_NAME, dir, name, true);
	if (ret == 0)
		ret = disk_sync_dir(shed->disk, dir);
	return ret < 0 ? ret : 1;
}

static int shed_segment(struct jsonl_store *store, uint32_t number, uint64_t *ret_spans)
{
	struct shed *shed = calloc(1, sizeof(*shed));
	int dir = store->config.dirs->log;
	int ret = -ENOMEM;

	if (shed == NULL)
		return ret;
	shed->disk = store->config.disk;
	shed->number = number;
	shed->at = shed->written = LOG_SEGMENT_HEADER_BYTES;
	shed->record = malloc(FILL_BYTES_MAX + LOG_RECORD_BYTES_MAX);
	disk_unlink_quietly(shed->disk, dir, NEW_NAME);
	shed->file =
		disk_open(shed->disk, dir, NEW_NAME, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	if (shed->record != NULL)
		ret = shed->file < 0 ? shed->file : rewrite(store, shed);
	disk_close(shed->disk, shed->file);
	if (ret != 1)
		disk_unlink_quietly(shed->disk, dir, NEW_NAME);
	if (ret == 1) {
		log_shed(store->config.log, number, shed->spans, shed->freed);
		*ret_spans += shed->spans;
	}
	free(shed->record);
	free(shed);
	return ret;
}

/* The clients as of now are in the manifest: no segment that is closed is counted again. */
static int account_clients(struct jsonl_store *store)
{
	const struct manifest_state *state = manifest_state(store->config.manifest);
	struct manifest_image image = {0};
	int ret;

	manifest_lock(store->config.manifest);
	ret = clients_image(store->config.clients, false, &image);
	if (ret == 0)
		ret = manifest_segment(store->config.manifest, state->first_segment, &image);
	manifest_unlock(store->config.manifest);
	if (ret == 0)
		ret = manifest_sync(store->config.manifest);
	if (ret == 0)
		clients_image_durable(store->config.clients);
	manifest_image_done(&image);
	return ret;
}

/* The next segment that may be given up; 0: none. */
static uint32_t next_segment(struct jsonl_store *store)
{
	const struct manifest_state *state = manifest_state(store->config.manifest);
	size_t capacity = log_segments(store->config.log, NULL, 0);
	struct log_segment *segments = calloc(capacity + 1, sizeof(*segments));
	uint32_t found = 0;
	size_t count = segments != NULL ? log_segments(store->config.log, segments, capacity) : 0;

	manifest_lock(store->config.manifest);
	for (size_t i = 0; i < count && i < capacity && found == 0; i++) {
		uint32_t number = segments[i].number;

		if (number <= state->forward.reached || number < store->shed_from)
			continue;
		if (segments[i].open) {
			log_roll(store->config.log);
			break;
		}
		if (number >= state->accounted.segment)
			break;
		if (segments[i].spans > 0 && consumed_in_segment(&state->consumed, number) == 0)
			found = number;
	}
	manifest_unlock(store->config.manifest);
	free(segments);
	return found;
}

int writer_shed(struct store *base, uint64_t max_bytes, uint64_t *ret_spans)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	int ret = 0;

	*ret_spans = 0;
	if (store->pause_ns != 0 || !manifest_state(store->config.manifest)->forward.known ||
		log_total_bytes(store->config.log) <= max_bytes)
		return 0;
	ret = writer_settle(store);
	if (ret == 0)
		ret = account_clients(store);
	while (ret == 0 && log_total_bytes(store->config.log) > max_bytes) {
		uint32_t number = next_segment(store);

		if (number == 0)
			break;
		/* One that can't be rewritten is not tried again. */
		store->shed_from = number + 1;
		ret = shed_segment(store, number, ret_spans);
		if (ret > 0)
			ret = 0;
	}
	return ret;
}
