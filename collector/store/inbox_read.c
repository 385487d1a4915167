/*
 * inbox_read.c: see inbox_read.h.
 */
#include "inbox_read.h"

#include <errno.h>
#include <stdlib.h>

#include "export.h"
#include "frame.h"

void inbox_buffer_done(struct inbox_buffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
}

int inbox_frame_at(struct disk *disk, int file, uint64_t offset, struct inbox_buffer *buffer,
	struct inbox_frame *ret_frame)
{
	struct export_request request;
	struct frame frame;
	ssize_t got;
	long taken;

	if (buffer->data == NULL)
		buffer->data = malloc(WIRE_FRAME_HEADER_BYTES + WIRE_PAYLOAD_LIMIT);
	if (buffer->data == NULL)
		return -ENOMEM;
	got = disk_read(
		disk, file, buffer->data, WIRE_FRAME_HEADER_BYTES + WIRE_PAYLOAD_LIMIT, offset);
	if (got <= 0)
		return (int)got;
	taken = frame_parse(buffer->data, (size_t)got, &frame);
	if (taken <= 0)
		return (int)taken;
	*ret_frame = (struct inbox_frame){.offset = offset, .next = offset + (uint64_t)taken};
	if (frame.type == FRAME_MESSAGE &&
		export_request_decode(slice_of(frame.payload, frame.length), &request) == 0 &&
		request.body == EXPORT_BATCH) {
		ret_frame->batch = request.batch;
		ret_frame->sequence = request.sequence;
	}
	return 1;
}
