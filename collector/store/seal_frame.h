/*
 * seal_frame.h: a zstd frame of lines.
 *
 * Made by zstd alone, or from sequences of our own (seal_sequences.h): which makes less of the
 * text is tried now and then. A frame from sequences is unpacked and compared before it is given
 * out, since what makes them zstd calls experimental.
 */
#ifndef WAFT_STORE_SEAL_FRAME_H
#define WAFT_STORE_SEAL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "errors.h"

enum {
	SEQUENCES_LEVEL_MIN = 6,	     /* at lower ones time counts */
	SEQUENCES_MEMORY_BYTES = 1792 << 10, /* beside zstd's own, at most */
};

struct frame_packer;

/* level: zstd's, 1 to 19. *ret is owned (frame_packer_free). 0 or -ENOMEM. */
int frame_packer_new(int level, struct frame_packer **ret) MUST_CHECK;
/* NULL is fine. */
void frame_packer_free(struct frame_packer *packer);

/* From now on frames may be of sequences. 0 or -ENOMEM. */
int frame_packer_use_sequences(struct frame_packer *packer) MUST_CHECK;

/* text: at most SEQUENCES_TEXT_LIMIT bytes; capacity: ZSTD_compressBound of that or more.
 * *ret_length is the frame's. 0 or -EIO. */
int frame_packer_pack(struct frame_packer *packer, const uint8_t *text, size_t length,
	uint8_t *ret_frame, size_t capacity, size_t *ret_length) MUST_CHECK;

#endif
