/*
 * Inbox files of any bytes: the first byte says whether they stand in the file as they
 * are, or each piece (two bytes of length) in a frame with a right checksum. What is
 * found lies in the file, in order, and is found again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "frame.h"
#include "inbox_read.h"
#include "support/fake_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(const uint8_t *data, size_t size, struct bytes *out)
{
	size_t at = 0;

	while (at + 2 <= size) {
		uint8_t header[WIRE_FRAME_HEADER_BYTES];
		size_t length = data[at] | (size_t)(data[at + 1] & 15) << 8;

		at += 2;
		if (length > size - at)
			length = size - at;
		frame_header_write(header, data[at - 1] & 16 ? FRAME_PING : FRAME_MESSAGE,
			data[at - 1] & 32 ? 2 : 1, data + at, length);
		if (bytes_put(out, header, sizeof(header)) != 0 ||
			bytes_put(out, data + at, length) != 0)
			abort();
		at += length;
	}
}

/* A sum over all frames. */
static uint64_t walk(struct disk *disk, int file, uint64_t size)
{
	struct inbox_buffer buffer = {0};
	struct inbox_frame frame;
	uint64_t at = 0, sum = 0;

	while (inbox_frame_at(disk, file, at, &buffer, &frame) == 1) {
		if (frame.offset != at || frame.next <= at || frame.next > size)
			abort();
		sum = sum * 31 + frame.sequence + frame.next;
		for (size_t i = 0; i < frame.batch.length; i++)
			sum = sum * 31 + frame.batch.data[i];
		at = frame.next;
	}
	inbox_buffer_done(&buffer);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake_disk *fake = fake_disk_new();
	struct disk *disk = fake_disk_disk(fake);
	struct bytes text = {0};
	uint64_t sum;
	int dir, file;

	if (size == 0)
		goto done;
	if (data[0] % 2 == 1)
		build(data + 1, size - 1, &text);
	else if (bytes_put(&text, data + 1, size - 1) != 0)
		abort();
	fake_disk_put(fake, "one.waft", text.data, text.length);
	dir = disk_open_root(disk, "store", false);
	file = disk_open(disk, dir, "one.waft", DISK_READ);
	if (file < 0)
		abort();
	sum = walk(disk, file, text.length);
	if (walk(disk, file, text.length) != sum)
		abort();
	disk_close(disk, file);
	disk_close(disk, dir);
done:
	bytes_done(&text);
	fake_disk_free(fake);
	return 0;
}
