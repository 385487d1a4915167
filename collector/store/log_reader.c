/*
 * Single records by place. See log.h.
 *
 * A few records are kept, the one longest not asked for goes first. Some files
 * stay open, since runs mostly come from the newest segments.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log_format.h"

enum {
	CACHE_BYTES = 8 << 20,
	SETS = 64, /* a power of two */
	WAYS = 4,
	ENTRIES_MAX = SETS * WAYS,
	FILES = 4,
	FIRST_READ = 4096,
};

struct entry {
	struct log_place place; /* segment 0: free */
	uint8_t *data;		/* owned */
	size_t length;
	uint64_t used;
	struct log_record record;
};

struct open_file {
	uint32_t number; /* 0: free */
	int handle;
	uint64_t used;
};

struct log_reader {
	struct disk *disk;
	int dir;
	size_t cache_bytes;
	size_t bytes;
	uint64_t now;
	struct open_file files[FILES];
	struct entry entries[ENTRIES_MAX];
};

int log_reader_new(struct disk *disk, int dir, size_t cache_bytes, struct log_reader **ret)
{
	struct log_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		return -ENOMEM;
	reader->disk = disk;
	reader->dir = dir;
	reader->cache_bytes = cache_bytes != 0 ? cache_bytes : CACHE_BYTES;
	*ret = reader;
	return 0;
}

static void entry_drop(struct log_reader *reader, struct entry *entry)
{
	reader->bytes -= entry->length;
	free(entry->data);
	*entry = (struct entry){0};
}

static void file_drop(struct log_reader *reader, struct open_file *file)
{
	if (file->number != 0)
		disk_close(reader->disk, file->handle);
	*file = (struct open_file){0};
}

void log_reader_free(struct log_reader *reader)
{
	if (reader == NULL)
		return;
	for (size_t i = 0; i < ENTRIES_MAX; i++)
		entry_drop(reader, &reader->entries[i]);
	for (size_t i = 0; i < FILES; i++)
		file_drop(reader, &reader->files[i]);
	free(reader);
}

void log_reader_forget(struct log_reader *reader, uint32_t first_needed)
{
	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		if (reader->entries[i].place.segment < first_needed)
			entry_drop(reader, &reader->entries[i]);
	}
	for (size_t i = 0; i < FILES; i++) {
		if (reader->files[i].number < first_needed)
			file_drop(reader, &reader->files[i]);
	}
}

static int file_of(struct log_reader *reader, uint32_t number, int *ret_handle)
{
	struct open_file *oldest = &reader->files[0];
	char name[LOG_NAME_BYTES];
	int handle;

	for (size_t i = 0; i < FILES; i++) {
		struct open_file *file = &reader->files[i];

		if (file->number == number) {
			file->used = reader->now;
			*ret_handle = file->handle;
			return 0;
		}
		if (file->used < oldest->used)
			oldest = file;
	}
	log_name(number, name);
	handle = disk_open(reader->disk, reader->dir, name, DISK_READ);
	if (handle < 0)
		return handle;
	file_drop(reader, oldest);
	*oldest = (struct open_file){.number = number, .handle = handle, .used = reader->now};
	*ret_handle = handle;
	return 0;
}

static struct entry *set_of(struct log_reader *reader, struct log_place place)
{
	uint32_t hash = (place.segment * UINT32_C(31) + (place.offset >> 3)) * UINT32_C(2654435761);

	return &reader->entries[(size_t)(hash >> 16) % SETS * WAYS];
}

/* The one of count entries that was longest not asked for; a free one first. */
static struct entry *oldest_of(struct entry *entries, size_t count)
{
	struct entry *oldest = &entries[0];

	for (size_t i = 1; i < count; i++) {
		if (entries[i].used < oldest->used)
			oldest = &entries[i];
	}
	return oldest;
}

/* A free entry for place, after making room for length bytes. */
static struct entry *entry_make(struct log_reader *reader, struct log_place place, size_t length)
{
	struct entry *entry = oldest_of(set_of(reader, place), WAYS);

	entry_drop(reader, entry);
	while (reader->bytes > 0 && reader->bytes + length > reader->cache_bytes) {
		struct entry *oldest = NULL;

		for (size_t i = 0; i < ENTRIES_MAX; i++) {
			struct entry *other = &reader->entries[i];

			if (other->place.segment != 0 &&
				(oldest == NULL || other->used < oldest->used))
				oldest = other;
		}
		entry_drop(reader, oldest);
	}
	return entry;
}

/* Reads the record's bytes: first a little, then what its header tells. */
static int fetch(struct log_reader *reader, int handle, struct log_place place, struct bytes *into)
{
	ssize_t got;
	size_t length;

	into->length = 0;
	if (bytes_reserve(into, FIRST_READ) != 0)
		return -ENOMEM;
	got = disk_read(reader->disk, handle, into->data, FIRST_READ, place.offset);
	if (got < 0)
		return (int)got;
	into->length = (size_t)got;
	length = got < LOG_RECORD_HEADER_BYTES ? 0 : log_record_length(into->data);
	if (length == 0)
		return -EBADMSG;
	if (length <= (size_t)got)
		return 0;
	if (bytes_reserve(into, length - (size_t)got) != 0)
		return -ENOMEM;
	got = disk_read(reader->disk, handle, into->data + into->length, length - into->length,
		place.offset + into->length);
	if (got < 0)
		return (int)got;
	into->length += (size_t)got;
	return into->length < length ? -EBADMSG : 0;
}

int log_reader_read(struct log_reader *reader, struct log_place place, struct bytes *buffer,
	struct log_record *ret)
{
	uint32_t synced;
	int handle, error;

	buffer->length = 0;
	if (place.segment == 0 || place.offset < LOG_SEGMENT_HEADER_BYTES || place.offset % 8 != 0)
		return -EBADMSG;
	reader->now++;
	error = file_of(reader, place.segment, &handle);
	if (error == 0)
		error = fetch(reader, handle, place, buffer);
	if (error == 0 && log_record_decode(buffer->data, buffer->length, place, ret, &synced) == 0)
		error = -EBADMSG;
	return error;
}

static struct entry *entry_find(struct log_reader *reader, struct log_place place)
{
	struct entry *set = set_of(reader, place);

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].place.segment == place.segment && set[i].place.offset == place.offset)
			return &set[i];
	}
	return NULL;
}

int log_reader_get(struct log_reader *reader, struct log_place place, const struct log_record **ret)
{
	struct entry *entry = entry_find(reader, place);
	struct bytes data = {0};
	struct log_record record;
	int error;

	if (entry == NULL) {
		error = log_reader_read(reader, place, &data, &record);
		if (error != 0) {
			bytes_done(&data);
			return error;
		}
		entry = entry_make(reader, place, data.capacity);
		entry->place = place;
		entry->data = data.data;
		entry->length = data.capacity;
		entry->record = record;
		reader->bytes += data.capacity;
	}
	entry->used = ++reader->now;
	*ret = &entry->record;
	return 0;
}
