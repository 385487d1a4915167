/*
 * The writing side of the write-ahead log. See log.h.
 *
 * Two threads meet here: whoever appends (the loop) and whoever commits. What
 * they share is under the mutex, which is held for copies in memory only, never
 * over a disk operation. `filling` takes appends; log_commit turns it into
 * `group`, which nobody but the committing thread touches and which stays until
 * it is durable.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cursor.h"
#include "log_format.h"

enum {
	PENDING_LIMIT = 16 << 20,
	RESERVE_BYTES = 16 << 20,
	KEEP_BYTES = 1 << 20, /* a larger buffer is given back when it was hardly used */
	NAME_TRIES = 64,
};

struct log {
	struct disk *disk;
	int dir;
	uint8_t store_id[16];
	uint32_t segment_bytes;
	size_t pending_limit;
	uint64_t reserve_bytes;

	pthread_mutex_t mutex; /* of all down to `busy` */
	struct bytes filling;
	size_t filling_count;
	uint64_t next_ticket;
	size_t group_bytes; /* of group.length, for the others to read */
	struct log_segment *segments;
	size_t segment_count;
	size_t segment_capacity;
	struct log_place end; /* behind the last good sync */
	uint32_t current;     /* segment that takes records, 0: none */
	bool roll;
	bool busy; /* log_commit is running */

	/* Of the committing thread. */
	struct bytes group;
	size_t group_count;
	uint64_t group_ticket;
	struct log_place *places;
	size_t place_capacity;
	uint32_t next_number;
	int file;	 /* of the current segment; -1 when none can be written to */
	uint32_t length; /* of the current segment, synced but for a mark at its end */
	bool marked;	 /* nothing came behind a mark */
};

int log_open(const struct log_config *config, struct log **ret)
{
	struct log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return -ENOMEM;
	log->disk = config->disk;
	log->dir = config->dir;
	memcpy(log->store_id, config->store_id, sizeof(log->store_id));
	log->segment_bytes = config->segment_bytes != 0 ? config->segment_bytes : LOG_SEGMENT_BYTES;
	log->pending_limit = config->pending_limit != 0 ? config->pending_limit : PENDING_LIMIT;
	log->reserve_bytes = config->reserve_bytes != 0 ? config->reserve_bytes : RESERVE_BYTES;
	log->end = config->end;
	log->next_number = config->next_segment;
	log->next_ticket = 1;
	log->file = -1;
	if (config->segment_count > 0) {
		log->segments = calloc(config->segment_count, sizeof(*log->segments));
		if (log->segments == NULL) {
			free(log);
			return -ENOMEM;
		}
		memcpy(log->segments, config->segments,
			config->segment_count * sizeof(*log->segments));
		log->segment_count = log->segment_capacity = config->segment_count;
	}
	pthread_mutex_init(&log->mutex, NULL);
	*ret = log;
	return 0;
}

void log_close(struct log *log)
{
	if (log == NULL)
		return;
	log_mark(log);
	disk_close(log->disk, log->file);
	pthread_mutex_destroy(&log->mutex);
	bytes_done(&log->filling);
	bytes_done(&log->group);
	free(log->segments);
	free(log->places);
	free(log);
}

/* ---- Appending ----------------------------------------------------------- */

bool log_record_fits(const struct log_record *record)
{
	return record->payload_length <= LOG_PAYLOAD_BYTES_MAX &&
	       record->peer.name_length + record->peer.agent_length < LOG_PEER_NAME_BYTES_MAX &&
	       record->share <= LOG_SHARE_MAX;
}

int log_append(struct log *log, const struct log_record *record, uint64_t *ret_ticket)
{
	size_t length;
	int ret;

	if (!log_record_fits(record))
		return -EINVAL;
	length = log_record_bytes(record);
	pthread_mutex_lock(&log->mutex);
	/* A record that is larger than the limit must still be possible. */
	if (log->filling.length + log->group_bytes > 0 &&
		log->filling.length + log->group_bytes + length > log->pending_limit)
		ret = -EAGAIN;
	else
		ret = bytes_reserve(&log->filling, length);
	if (ret == 0) {
		log_record_encode(record, log->filling.data + log->filling.length);
		log->filling.length += length;
		log->filling_count++;
		*ret_ticket = log->next_ticket++;
	}
	pthread_mutex_unlock(&log->mutex);
	return ret;
}

/* ---- Committing ---------------------------------------------------------- */

/* Takes what was appended, unless an older group still waits. */
static int take_group(struct log *log)
{
	struct log_place *places;
	struct bytes empty;

	pthread_mutex_lock(&log->mutex);
	if (log->group_count == 0 && log->filling_count > 0) {
		empty = log->group;
		empty.length = 0;
		log->group = log->filling;
		log->filling = empty;
		log->group_count = log->filling_count;
		log->group_ticket = log->next_ticket - log->filling_count;
		log->filling_count = 0;
		log->group_bytes = log->group.length;
	}
	log->busy = log->group_count > 0;
	pthread_mutex_unlock(&log->mutex);
	if (log->group_count <= log->place_capacity)
		return 0;
	places = reallocarray(log->places, log->group_count, sizeof(*places));
	if (places == NULL)
		return -ENOMEM;
	log->places = places;
	log->place_capacity = log->group_count;
	return 0;
}

/* Fills in checksums and places for a group that begins at offset. */
static uint64_t seal_group(struct log *log, uint32_t number, uint32_t offset, uint32_t synced)
{
	uint8_t *record = log->group.data;
	uint64_t spans = 0;

	for (size_t i = 0; i < log->group_count; i++) {
		size_t length = log_record_length(record);

		log->places[i] = (struct log_place){.segment = number, .offset = offset};
		log_record_seal(record, log->places[i], synced);
		if (record[8] == LOG_BATCH)
			spans += le32_read(record + 12);
		record += length;
		offset += (uint32_t)length;
	}
	return spans;
}

/* All of it is synced: makes it known. -ENOMEM must not happen here: room was made
 * before. */
static void group_is_durable(struct log *log, uint32_t number, uint32_t length, uint64_t spans)
{
	struct log_segment *segment;

	pthread_mutex_lock(&log->mutex);
	if (log->current != number) {
		log->segments[log->segment_count++] = (struct log_segment){.number = number};
		log->current = number;
		log->roll = false;
	}
	segment = &log->segments[log->segment_count - 1];
	segment->length_bytes = length;
	segment->spans += spans;
	segment->last_offset = log->places[log->group_count - 1].offset;
	log->end = (struct log_place){.segment = number, .offset = length};
	log->group_bytes = 0;
	pthread_mutex_unlock(&log->mutex);
	log->length = length;
	log->marked = false;
}

static int segments_reserve(struct log *log)
{
	struct log_segment *grown;
	int ret = 0;

	pthread_mutex_lock(&log->mutex);
	if (log->segment_count == log->segment_capacity) {
		size_t capacity = log->segment_capacity == 0 ? 8 : log->segment_capacity * 2;

		grown = reallocarray(log->segments, capacity, sizeof(*grown));
		if (grown != NULL) {
			log->segments = grown;
			log->segment_capacity = capacity;
		} else {
			ret = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&log->mutex);
	return ret;
}

/* Gives the current segment up: nothing is ever written to it again. */
static void leave_segment(struct log *log)
{
	disk_close(log->disk, log->file);
	log->file = -1;
	pthread_mutex_lock(&log->mutex);
	log->roll = true;
	pthread_mutex_unlock(&log->mutex);
}

static int append_group(struct log *log)
{
	uint64_t spans = seal_group(log, log->current, log->length, log->length);
	int ret = disk_write(log->disk, log->file, log->group.data, log->group.length, log->length);

	if (ret == 0)
		ret = disk_sync(log->disk, log->file);
	if (ret == 0)
		group_is_durable(
			log, log->current, log->length + (uint32_t)log->group.length, spans);
	else
		leave_segment(log);
	return ret;
}

/* Makes the next segment's file; sets *ret_number. Returns a handle. */
static int make_segment(struct log *log, char name[LOG_NAME_BYTES], uint32_t *ret_number)
{
	int file = -EEXIST;

	/* A file that is in the way is not ours to judge here: pass it. */
	for (int i = 0; i < NAME_TRIES && file == -EEXIST; i++) {
		*ret_number = log->next_number++;
		log_name(*ret_number, name);
		file = disk_open(
			log->disk, log->dir, name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	}
	return file;
}

/* Writes the group as the beginning of a new segment. */
static int begin_segment(struct log *log)
{
	struct log_segment_header header = {.fence = log->end};
	uint8_t raw[LOG_SEGMENT_HEADER_BYTES];
	char name[LOG_NAME_BYTES];
	uint64_t spans;
	uint32_t number;
	int file, ret;

	ret = segments_reserve(log);
	if (ret != 0)
		return ret;
	file = make_segment(log, name, &number);
	if (file < 0)
		return file;
	header.number = number;
	memcpy(header.store_id, log->store_id, sizeof(header.store_id));
	log_segment_header_encode(&header, raw);
	spans = seal_group(log, number, sizeof(raw), 0);
	ret = disk_write(log->disk, file, raw, sizeof(raw), 0);
	if (ret == 0)
		ret = disk_write(log->disk, file, log->group.data, log->group.length, sizeof(raw));
	if (ret == 0)
		ret = disk_sync(log->disk, file);
	if (ret == 0)
		ret = disk_sync_dir(log->disk, log->dir);
	if (ret != 0) {
		/* Nothing in it was acknowledged; if it can't be removed either, the next
		 * segment's fence voids it. */
		disk_close(log->disk, file);
		disk_unlink_quietly(log->disk, log->dir, name);
		return ret;
	}
	disk_close(log->disk, log->file);
	log->file = file;
	group_is_durable(log, number, (uint32_t)(sizeof(raw) + log->group.length), spans);
	return 0;
}

void log_mark(struct log *log)
{
	uint8_t mark[LOG_RECORD_HEADER_BYTES];
	struct log_record record = {.kind = LOG_MARK, .format = LOG_FORMAT_WAFT_V1};
	struct log_place place;
	bool roll;

	pthread_mutex_lock(&log->mutex);
	place = (struct log_place){.segment = log->current, .offset = log->length};
	roll = log->roll;
	pthread_mutex_unlock(&log->mutex);
	if (log->file < 0 || log->marked || roll)
		return;
	log_record_encode(&record, mark);
	log_record_seal(mark, place, log->length);
	if (disk_write(log->disk, log->file, mark, sizeof(mark), log->length) != 0) {
		leave_segment(log);
		return;
	}
	log->length += (uint32_t)sizeof(mark);
	log->marked = true;
}

static int write_group(struct log *log)
{
	uint64_t free_bytes;
	bool fits;
	int ret;

	/* Better to stop before the disk is full to the last byte: other files of the
	 * store must still be able to heal. */
	if (disk_free_bytes(log->disk, log->dir, &free_bytes) == 0 &&
		free_bytes < log->reserve_bytes + log->group.length)
		return -ENOSPC;
	pthread_mutex_lock(&log->mutex);
	fits = log->file >= 0 && !log->roll &&
	       log->length + log->group.length <= log->segment_bytes;
	pthread_mutex_unlock(&log->mutex);
	if (fits) {
		ret = append_group(log);
		if (ret == 0)
			return 0;
	}
	return begin_segment(log);
}

int log_commit(struct log *log, struct log_committed *ret)
{
	int error = take_group(log);

	*ret = (struct log_committed){.places = log->places};
	if (error == 0 && log->group_count > 0)
		error = write_group(log);
	pthread_mutex_lock(&log->mutex);
	log->busy = false;
	pthread_mutex_unlock(&log->mutex);
	if (error != 0)
		return error;
	ret->first_ticket = log->group_ticket;
	ret->count = log->group_count;
	if (log->group.capacity > KEEP_BYTES && log->group.length < log->group.capacity / 4)
		bytes_done(&log->group);
	log->group.length = 0;
	log->group_count = 0;
	return 0;
}

/* ---- Asking -------------------------------------------------------------- */

size_t log_pending_bytes(struct log *log)
{
	size_t bytes;

	pthread_mutex_lock(&log->mutex);
	bytes = log->filling.length + log->group_bytes;
	pthread_mutex_unlock(&log->mutex);
	return bytes;
}

uint64_t log_total_bytes(struct log *log)
{
	uint64_t bytes = 0;

	pthread_mutex_lock(&log->mutex);
	for (size_t i = 0; i < log->segment_count; i++)
		bytes += log->segments[i].length_bytes - log->segments[i].freed_bytes;
	pthread_mutex_unlock(&log->mutex);
	return bytes;
}

/* Whether records can still come into segment i. Under the mutex. */
static bool segment_open(const struct log *log, size_t i)
{
	return log->segments[i].number == log->current && (!log->roll || log->busy);
}

size_t log_segments(struct log *log, struct log_segment *ret, size_t capacity)
{
	size_t count;

	pthread_mutex_lock(&log->mutex);
	count = log->segment_count;
	for (size_t i = 0; i < count && i < capacity; i++) {
		ret[i] = log->segments[i];
		ret[i].open = segment_open(log, i);
	}
	pthread_mutex_unlock(&log->mutex);
	return count;
}

bool log_next(struct log *log, struct log_place *place)
{
	bool found = false;

	pthread_mutex_lock(&log->mutex);
	for (size_t i = 0; i < log->segment_count && !found; i++) {
		const struct log_segment *segment = &log->segments[i];

		if (segment->number < place->segment)
			continue;
		if (segment->number > place->segment || place->offset < LOG_SEGMENT_HEADER_BYTES)
			*place = (struct log_place){
				.segment = segment->number, .offset = LOG_SEGMENT_HEADER_BYTES};
		found = place->offset < segment->length_bytes;
	}
	pthread_mutex_unlock(&log->mutex);
	return found;
}

struct log_place log_end(struct log *log)
{
	struct log_place end;

	pthread_mutex_lock(&log->mutex);
	end = log->end;
	pthread_mutex_unlock(&log->mutex);
	return end;
}

void log_roll(struct log *log)
{
	pthread_mutex_lock(&log->mutex);
	log->roll = true;
	pthread_mutex_unlock(&log->mutex);
}

void log_shed(struct log *log, uint32_t number, uint64_t spans, uint64_t freed_bytes)
{
	pthread_mutex_lock(&log->mutex);
	for (size_t i = 0; i < log->segment_count; i++) {
		if (log->segments[i].number != number)
			continue;
		log->segments[i].spans -= spans;
		log->segments[i].freed_bytes += freed_bytes;
	}
	pthread_mutex_unlock(&log->mutex);
}

/* The oldest segment below first_needed that takes no records; 0: none. */
static uint32_t droppable(struct log *log, uint32_t first_needed, size_t skip)
{
	uint32_t number = 0;

	pthread_mutex_lock(&log->mutex);
	for (size_t i = skip; i < log->segment_count && number == 0; i++) {
		if (log->segments[i].number < first_needed && !segment_open(log, i))
			number = log->segments[i].number;
	}
	pthread_mutex_unlock(&log->mutex);
	return number;
}

static void forget_segment(struct log *log, uint32_t number)
{
	pthread_mutex_lock(&log->mutex);
	for (size_t i = 0; i < log->segment_count; i++) {
		if (log->segments[i].number != number)
			continue;
		memmove(&log->segments[i], &log->segments[i + 1],
			(log->segment_count - i - 1) * sizeof(*log->segments));
		log->segment_count--;
		break;
	}
	pthread_mutex_unlock(&log->mutex);
}

int log_drop_below(struct log *log, uint32_t first_needed)
{
	size_t failed = 0;
	int ret = 0;
	uint32_t number;

	while ((number = droppable(log, first_needed, failed)) != 0) {
		char name[LOG_NAME_BYTES];
		int error;

		log_name(number, name);
		error = disk_unlink(log->disk, log->dir, name);
		if (error == 0 || error == -ENOENT) {
			forget_segment(log, number);
		} else {
			ret = error;
			failed++;
		}
	}
	return ret;
}
