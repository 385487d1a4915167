/*
 * inbox_files.c: see inbox_files.h.
 */
#include "inbox_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"

#define FILES_MAX 65536u

struct inbox_file {
	char *name; /* owned */
	uint32_t segment;
};

void inbox_files_init(struct inbox_files *inbox, struct disk *disk)
{
	*inbox = (struct inbox_files){.disk = disk, .dir = -1};
}

static void forget_names(struct inbox_files *inbox)
{
	for (size_t i = 0; i < inbox->count; i++)
		free(inbox->files[i].name);
	free(inbox->files);
	inbox->files = NULL;
	inbox->count = 0;
}

void inbox_files_done(struct inbox_files *inbox)
{
	forget_names(inbox);
	inbox_buffer_done(&inbox->buffer);
}

static int on_name(void *ctx, const char *name)
{
	struct inbox_files *inbox = ctx;
	size_t length = strlen(name);
	struct inbox_file *file;

	if (length < 5 || strcmp(name + length - 5, ".waft") != 0 || inbox->count >= FILES_MAX)
		return 0;
	file = reallocarray(inbox->files, inbox->count + 1, sizeof(*file));
	if (file == NULL)
		return -ENOMEM;
	inbox->files = file;
	file += inbox->count;
	file->name = strdup(name);
	if (file->name == NULL)
		return -ENOMEM;
	file->segment = INBOX_SEGMENT | crc32c(0, name, length);
	inbox->count++;
	return 0;
}

static int compare_files(const void *left, const void *right)
{
	const struct inbox_file *a = left;
	const struct inbox_file *b = right;
	int by_segment = (a->segment > b->segment) - (a->segment < b->segment);

	return by_segment != 0 ? by_segment : strcmp(a->name, b->name);
}

/* Gives each file a number of its own, in their order. */
static void number_files(struct inbox_files *inbox)
{
	if (inbox->count > 0)
		qsort(inbox->files, inbox->count, sizeof(*inbox->files), compare_files);
	for (size_t i = 1; i < inbox->count; i++)
		if (inbox->files[i].segment <= inbox->files[i - 1].segment)
			inbox->files[i].segment = inbox->files[i - 1].segment + 1;
}

/* One that goes while it is looked at has been taken into the log. */
static int read_file(struct inbox_files *inbox, const struct inbox_file *which, size_t span_limit,
	struct span_places *places)
{
	int file = disk_open(inbox->disk, inbox->dir, which->name, DISK_READ);
	struct inbox_frame frame = {0};
	int ret = 1;

	if (file < 0)
		return file == -ENOMEM ? -ENOMEM : 0;
	while (ret == 1 && places->count < span_limit) {
		struct log_place place = {.segment = which->segment};

		ret = inbox_frame_at(inbox->disk, file, frame.next, &inbox->buffer, &frame);
		if (ret != 1 || frame.offset > UINT32_MAX)
			break;
		place.offset = (uint32_t)frame.offset;
		if (frame.batch.data != NULL) {
			int error = span_places_add(places, frame.batch, place, NULL);

			ret = error < 0 ? error : 1;
		}
	}
	/* Few descriptors: a file whose spans are asked for is opened again. */
	disk_close(inbox->disk, file);
	return ret == -ENOMEM || ret == -EFBIG ? ret : 0;
}

int inbox_files_read(
	struct inbox_files *inbox, int dir, size_t span_limit, struct span_places *places)
{
	int ret;

	forget_names(inbox);
	inbox->dir = dir;
	if (dir < 0)
		return 0;
	ret = disk_list(inbox->disk, dir, on_name, inbox);
	if (ret != 0)
		return ret == -ENOMEM ? ret : 0;
	number_files(inbox);
	for (size_t i = 0; ret == 0 && i < inbox->count; i++)
		ret = read_file(inbox, &inbox->files[i], span_limit, places);
	return ret;
}

int inbox_files_fetch(struct inbox_files *inbox, struct log_place place, struct slice *ret_bytes)
{
	const struct inbox_file *which = NULL;
	struct inbox_frame frame = {0};
	int file, ret;

	for (size_t i = 0; which == NULL && i < inbox->count; i++)
		if (inbox->files[i].segment == place.segment)
			which = &inbox->files[i];
	if (which == NULL)
		return -ESTALE;
	file = disk_open(inbox->disk, inbox->dir, which->name, DISK_READ);
	ret = file >= 0 ? inbox_frame_at(inbox->disk, file, place.offset, &inbox->buffer, &frame)
			: -ESTALE;
	disk_close(inbox->disk, file);
	if (ret != 1 || frame.batch.data == NULL)
		return ret == -ENOMEM ? ret : -ESTALE;
	*ret_bytes = frame.batch;
	return 0;
}
