/*
 * inbox_read.h: the batches in an inbox file (docs/PROTOCOL.md, "Inbox files"), read
 * in place. Bounded memory: one frame at a time. One thread at a time.
 */
#ifndef WAFT_STORE_INBOX_READ_H
#define WAFT_STORE_INBOX_READ_H

#include <stdint.h>

#include "disk.h"
#include "errors.h"
#include "slice.h"

#define INBOX_DIR "inbox"

struct inbox_frame {
	uint64_t offset; /* of the frame in its file */
	uint64_t next;	 /* of the one after it */
	uint64_t sequence;
	struct slice batch; /* the Batch message; absent: the frame holds something else */
};

struct inbox_buffer {
	uint8_t *data; /* owned */
};

void inbox_buffer_done(struct inbox_buffer *buffer);

/* The frame at offset: 1; 0 at the end or at a torn frame; ERR_… for bytes that are no
 * frame, -EIO, -ENOMEM. ret_frame->batch is in the buffer. */
int inbox_frame_at(struct disk *disk, int file, uint64_t offset, struct inbox_buffer *buffer,
	struct inbox_frame *ret_frame) MUST_CHECK;

#endif
