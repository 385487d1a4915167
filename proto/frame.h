/*
 * Frames: the 20-byte header of docs/PROTOCOL.md, and a splitter that takes
 * bytes in arbitrary pieces and gives whole frames. It knows no socket: bytes
 * in, frames out. A splitter is used by one thread at a time.
 */
#ifndef WAFT_PROTO_FRAME_H
#define WAFT_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "errors.h"
#include "wire.h"

enum frame_type {
	FRAME_CALL = 1,
	FRAME_MESSAGE = 2,
	FRAME_END = 3,
	FRAME_STATUS = 4,
	FRAME_CREDIT = 5,
	FRAME_CANCEL = 6,
	FRAME_PING = 7,
	FRAME_PONG = 8,
	FRAME_VERSION = 9,
	FRAME_TYPES
};

struct frame {
	uint8_t version;
	uint8_t type; /* enum frame_type, or one that is not known */
	uint16_t flags;
	uint32_t stream;
	uint32_t length;	/* of the payload */
	const uint8_t *payload; /* borrowed */
};

/* "MESSAGE", or "unknown". */
const char *frame_type_name(unsigned int type);

/* Writes the header of a frame whose payload is given whole. length_bytes is
 * at most WIRE_PAYLOAD_LIMIT. */
void frame_header_write(uint8_t ret_header[WIRE_FRAME_HEADER_BYTES], enum frame_type type,
	uint32_t stream, const void *payload, size_t length_bytes);

/* The same for a payload in pieces: begin returns a checksum that the caller
 * carries over the pieces with crc32c() and gives to end. */
uint32_t frame_header_begin(uint8_t ret_header[WIRE_FRAME_HEADER_BYTES], enum frame_type type,
	uint32_t stream, size_t length_bytes);
void frame_header_end(uint8_t header[WIRE_FRAME_HEADER_BYTES], uint32_t crc);

/* Reads and checks the frame at the start of these bytes. Returns the bytes it
 * takes (header and payload; ret_frame->payload points into data), 0 when more
 * are needed, or ERR_MAGIC, ERR_VERSION, ERR_LIMIT (the length), ERR_CHECKSUM.
 * Magic and version are refused as soon as their bytes are there; with
 * ERR_VERSION ret_frame->version is set. */
long frame_parse(const uint8_t *data, size_t length_bytes, struct frame *ret_frame) MUST_CHECK;

/* Splits a byte stream. Members are private. It keeps at most one frame that
 * is not whole yet, in memory that grows with the bytes received, never with
 * what a header claims. */
struct frame_reader {
	uint8_t *buffer; /* owned */
	size_t have;	 /* bytes of a frame that is not whole yet */
	size_t capacity;
	int error; /* sticky */
};

/* Zero-initialised is as good. */
void frame_reader_init(struct frame_reader *reader);
/* Frees; takes NULL and a half-built one. */
void frame_reader_done(struct frame_reader *reader);

/* Takes from *data (of *length_bytes bytes, both moved on past what was taken)
 * until a frame is whole. Returns 1 with *ret_frame, whose payload is borrowed
 * until the next call or until the caller's bytes go; 0 when all was taken and
 * no frame is whole; a negative error as of frame_parse, or -ENOMEM. After an
 * error each call returns it again. A frame that lies whole in *data is not
 * copied. */
int frame_reader_next(struct frame_reader *reader, const uint8_t **data, size_t *length_bytes,
	struct frame *ret_frame) MUST_CHECK;

/* Bytes of a frame that is not whole yet: 0 between frames. */
size_t frame_reader_pending(const struct frame_reader *reader);

/* Gives memory back when nothing is pending: call it on idle connections. */
void frame_reader_trim(struct frame_reader *reader);

#endif
