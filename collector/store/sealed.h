/*
 * sealed.h: a part as zstd frames that can be sought.
 *
 * The file is what `zstdcat` reads: independent frames with content checksums, then
 * a seek table in a skippable frame, in the layout known as the zstd seekable format
 * (version 0.1.0: per frame u32 compressed and u32 decompressed size; a footer of
 * u32 frames, u8 descriptor 0, u32 0x8F92EAB1; all inside a skippable frame
 * 0x184D2A5E). Frames are cut where the writer's caller ends a run whenever that is
 * possible, so that a run needs one frame as a rule.
 *
 * Bytes in, bytes out: both sides do their I/O by a function of the caller's. Not
 * thread-safe; each object is used by one thread at a time.
 */
#ifndef WAFT_STORE_SEALED_H
#define WAFT_STORE_SEALED_H

#include <stddef.h>
#include <stdint.h>

#include "errors.h"

enum {
	SEALED_FRAME_BYTES = 262144,  /* of plain text, as a rule */
	SEALED_FRAME_LIMIT = 8388608, /* a reader takes no larger one */
	SEALED_TAIL_BYTES = 65536,    /* read first: the seek table of 8,000 frames */
};

/* ---- Writing ------------------------------------------------------------ */

struct sealed_writer;

/* Appends to the file: all of it or a negative errno. */
typedef int (*sealed_append_fn)(void *ctx, const void *data, size_t length_bytes);

/* level: zstd's, 1 to 19. *ret is owned (sealed_writer_free). 0 or -ENOMEM. */
int sealed_writer_new(
	int level, sealed_append_fn append, void *ctx, struct sealed_writer **ret) MUST_CHECK;
/* Before anything is added: looks itself for what lines repeat, which takes SEQUENCES_MEMORY_BYTES
 * (seal_frame.h). 0 or -ENOMEM. */
int sealed_writer_use_sequences(struct sealed_writer *writer) MUST_CHECK;
/* NULL is fine. */
void sealed_writer_free(struct sealed_writer *writer);

/* Adds a run's text, which begins in a new frame when the frame under way would
 * grow beyond SEALED_FRAME_BYTES. 0, -EIO for a failure of zstd's, or append's. */
int sealed_writer_add(
	struct sealed_writer *writer, const void *data, size_t length_bytes) MUST_CHECK;

/* Writes the last frame and the seek table. *ret_bytes: the file's length. */
int sealed_writer_finish(struct sealed_writer *writer, uint64_t *ret_bytes) MUST_CHECK;

/* ---- Reading ------------------------------------------------------------ */

struct sealed_reader;

/* Reads length_bytes at offset: all of them, or a negative errno. */
typedef int (*sealed_read_fn)(void *ctx, void *ret_data, size_t length_bytes, uint64_t offset);

/* Reads the seek table of a file of file_bytes. 0; ERR_MALFORMED: there is none, or
 * it doesn't fit the file (zstdcat may still read it); -ENOMEM, or read's. */
int sealed_reader_open(
	sealed_read_fn read, void *ctx, uint64_t file_bytes, struct sealed_reader **ret) MUST_CHECK;
/* NULL is fine. */
void sealed_reader_close(struct sealed_reader *reader);

/* Bytes of plain text. */
uint64_t sealed_reader_size(const struct sealed_reader *reader);

/* length_bytes of plain text at offset into data. Keeps the last frame. 0; -EINVAL
 * beyond the end; ERR_CHECKSUM or ERR_MALFORMED: the frame is damaged; read's. */
int sealed_reader_read(struct sealed_reader *reader, uint64_t offset, void *ret_data,
	size_t length_bytes) MUST_CHECK;

/* Where the frame ends that holds the text at offset. */
uint64_t sealed_reader_frame_end(const struct sealed_reader *reader, uint64_t offset);

/* ---- Frames, by several threads ------------------------------------------- */

/* What a thread unpacks into. Zero-initialise. */
struct sealed_unpacker {
	struct ZSTD_DCtx_s *zstd; /* owned, as what follows */
	uint8_t *text;
	size_t text_capacity;
	uint8_t *packed;
	size_t packed_capacity;
};

void sealed_unpacker_done(struct sealed_unpacker *unpacker);

/* The frame that holds the text at offset, which lies before the end. */
size_t sealed_reader_frame(const struct sealed_reader *reader, uint64_t offset);

/* Where frames lie in the file: from the one that holds the text at offset up to the one that holds
 * the text at end, both cut off at the text's end. */
void sealed_reader_place(const struct sealed_reader *reader, uint64_t offset, uint64_t end,
	uint64_t *ret_offset, uint64_t *ret_length);

/* Where a frame's text begins; that of the number behind the last is where the text ends. */
uint64_t sealed_reader_frame_offset(const struct sealed_reader *reader, size_t frame);

/* Unpacks a frame. *ret_text is the unpacker's. Changes nothing of the reader: any thread, one a
 * time with an unpacker, if the caller's function for reading can be called so. */
int sealed_reader_unpack(const struct sealed_reader *reader, size_t frame,
	struct sealed_unpacker *unpacker, const uint8_t **ret_text) MUST_CHECK;

/* Bytes of memory it holds. */
size_t sealed_reader_memory(const struct sealed_reader *reader);

#endif
