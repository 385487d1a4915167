/* Sets bytes aside. See quarantine.h. */
#include "quarantine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"

enum {
	NAME_BYTES = 200,
	CHUNK_BYTES = 64 << 10,
};

#define TEMPORARY_NAME "incoming"

/* Bytes from a file or from memory. */
struct source {
	struct disk *disk;
	int file;
	uint64_t offset;
	const uint8_t *data; /* NULL: the file */
};

static ssize_t source_read(const struct source *source, void *data, size_t length, uint64_t at)
{
	if (source->data == NULL)
		return disk_read(source->disk, source->file, data, length, source->offset + at);
	memcpy(data, source->data + at, length);
	return (ssize_t)length;
}

void quarantine_entry_done(struct manifest_quarantine *entry)
{
	free(entry->name);
	free(entry->source);
	free(entry->why);
	*entry = (struct manifest_quarantine){0};
}

/* Copies into the temporary file and syncs it; *length is what there was. */
static int copy_bytes(struct disk *disk, int dir, const struct source *source, uint64_t *length,
	uint32_t *ret_crc)
{
	uint8_t *chunk = malloc(CHUNK_BYTES);
	uint32_t crc = 0;
	uint64_t at = 0;
	int file, ret;

	if (chunk == NULL)
		return -ENOMEM;
	/* One that was left by a kill. */
	disk_unlink_quietly(disk, dir, TEMPORARY_NAME);
	file = disk_open(disk, dir, TEMPORARY_NAME, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	ret = file < 0 ? file : 0;
	while (ret == 0 && at < *length) {
		size_t want = *length - at < CHUNK_BYTES ? (size_t)(*length - at) : CHUNK_BYTES;
		ssize_t got = source_read(source, chunk, want, at);

		if (got <= 0) {
			ret = (int)got;
			break;
		}
		ret = disk_write(disk, file, chunk, (size_t)got, at);
		crc = crc32c(crc, chunk, (size_t)got);
		at += (uint64_t)got;
	}
	if (ret == 0)
		ret = disk_sync(disk, file);
	if (file >= 0)
		disk_close(disk, file);
	free(chunk);
	*length = at;
	*ret_crc = crc;
	return ret;
}

/* The name tells source, offset and content, so the same bytes have the same. */
static char *make_name(const char *source, uint64_t offset, uint64_t length, uint32_t crc)
{
	char name[NAME_BYTES + 64];
	size_t used = 0;

	for (; source[used] != '\0' && used < NAME_BYTES; used++)
		name[used] = source[used] == '/' ? '_' : source[used];
	snprintf(name + used, sizeof(name) - used, "@%llu+%llu-%08x", (unsigned long long)offset,
		(unsigned long long)length, crc);
	return strdup(name);
}

static int copy(struct disk *disk, int dir, const struct source *from, uint64_t offset,
	uint64_t length, const char *source, const char *why, struct manifest_quarantine *ret)
{
	struct manifest_quarantine entry = {.offset = offset};
	uint32_t crc;
	int error = copy_bytes(disk, dir, from, &length, &crc);

	if (error == 0) {
		entry.length_bytes = length;
		entry.name = make_name(source, offset, length, crc);
		entry.source = strndup(source, NAME_BYTES);
		entry.why = strndup(why, NAME_BYTES);
		if (entry.name == NULL || entry.source == NULL || entry.why == NULL)
			error = -ENOMEM;
	}
	if (error == 0)
		error = disk_rename(disk, dir, TEMPORARY_NAME, dir, entry.name, true);
	if (error == 0)
		error = disk_sync_dir(disk, dir);
	if (error != 0) {
		disk_unlink_quietly(disk, dir, TEMPORARY_NAME);
		quarantine_entry_done(&entry);
		return error;
	}
	*ret = entry;
	return 0;
}

int quarantine_copy(struct disk *disk, int dir, int file, uint64_t offset, uint64_t length,
	const char *source, const char *why, struct manifest_quarantine *ret)
{
	struct source from = {.disk = disk, .file = file, .offset = offset};

	return copy(disk, dir, &from, offset, length, source, why, ret);
}

int quarantine_put(struct disk *disk, int dir, const void *data, size_t length, uint64_t offset,
	const char *source, const char *why, struct manifest_quarantine *ret)
{
	static const uint8_t nothing[1];
	struct source from = {.disk = disk, .file = -1, .data = data != NULL ? data : nothing};

	return copy(disk, dir, &from, offset, length, source, why, ret);
}
