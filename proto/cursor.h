/*
 * Bounded reading and writing of little-endian numbers and protobuf fields.
 *
 * Both sides have a sticky error: after the first failure every call is a
 * no-op that reads zeroes, so a caller checks once at the end. Neither
 * allocates, and no length from outside is used before it was checked.
 * Not thread-safe; each is used by one thread at a time.
 */
#ifndef WAFT_PROTO_CURSOR_H
#define WAFT_PROTO_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "errors.h"
#include "slice.h"
#include "wire.h"

/* ---- Little-endian bytes ------------------------------------------------ */

static inline uint16_t le16_read(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32_read(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t le64_read(const uint8_t *p)
{
	return le32_read(p) | (uint64_t)le32_read(p + 4) << 32;
}

static inline void le16_write(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

static inline void le32_write(uint8_t *p, uint32_t value)
{
	le16_write(p, (uint16_t)value);
	le16_write(p + 2, (uint16_t)(value >> 16));
}

static inline void le64_write(uint8_t *p, uint64_t value)
{
	le32_write(p, (uint32_t)value);
	le32_write(p + 4, (uint32_t)(value >> 32));
}

static inline double double_from_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint64_t double_to_bits(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* ---- Reading ------------------------------------------------------------ */

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
	int error; /* 0 or the first ERR_ code */
};

static inline struct cursor cursor_of(const void *data, size_t length_bytes)
{
	return (struct cursor){.at = data, .end = (const uint8_t *)data + length_bytes};
}

static inline struct cursor cursor_of_slice(struct slice slice)
{
	static const uint8_t nothing[1];

	return slice.data != NULL ? cursor_of(slice.data, slice.length) : cursor_of(nothing, 0);
}

static inline size_t cursor_left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* Ends the reading; the first error stays. */
static inline void cursor_fail(struct cursor *cursor, int error)
{
	if (cursor->error == 0)
		cursor->error = error;
	cursor->at = cursor->end;
}

/* True while there is something to read and no error. */
static inline bool cursor_more(const struct cursor *cursor)
{
	return cursor->at != cursor->end;
}

/* A varint of at most limit bytes, 1 to 10; more are ERR_MALFORMED. */
uint64_t cursor_varint_long(struct cursor *cursor, unsigned int limit);

/* Padded forms are taken; more than 10 bytes are ERR_MALFORMED. */
static inline uint64_t cursor_varint(struct cursor *cursor)
{
	if (cursor->at != cursor->end && *cursor->at < 0x80)
		return *cursor->at++;
	return cursor_varint_long(cursor, 10);
}

/* Of a tag or a length: at most 5 bytes, as every protobuf reader has it. */
static inline uint64_t cursor_varint_short(struct cursor *cursor)
{
	const uint8_t *at = cursor->at;

	if (at != cursor->end && at[0] < 0x80) {
		cursor->at = at + 1;
		return at[0];
	}
	/* Lengths that libwaft has padded. */
	if (cursor->end - at >= 2 && at[1] < 0x80) {
		cursor->at = at + 2;
		return (at[0] & 0x7f) | (uint32_t)at[1] << 7;
	}
	return cursor_varint_long(cursor, 5);
}

/* A varint that must fit 32 bits; ERR_LIMIT if it does not. */
static inline uint32_t cursor_varint32(struct cursor *cursor)
{
	uint64_t value = cursor_varint(cursor);

	if (value > UINT32_MAX) {
		cursor_fail(cursor, ERR_LIMIT);
		return 0;
	}
	return (uint32_t)value;
}

static inline uint32_t cursor_fixed32(struct cursor *cursor)
{
	uint32_t value;

	if (cursor_left(cursor) < 4) {
		cursor_fail(cursor, ERR_TRUNCATED);
		return 0;
	}
	value = le32_read(cursor->at);
	cursor->at += 4;
	return value;
}

static inline uint64_t cursor_fixed64(struct cursor *cursor)
{
	uint64_t value;

	if (cursor_left(cursor) < 8) {
		cursor_fail(cursor, ERR_TRUNCATED);
		return 0;
	}
	value = le64_read(cursor->at);
	cursor->at += 8;
	return value;
}

/* length bytes as they are; data is NULL after an error. */
static inline struct slice cursor_take(struct cursor *cursor, uint64_t length_bytes)
{
	struct slice slice = {.data = cursor->at, .length = (size_t)length_bytes};

	if (length_bytes > cursor_left(cursor)) {
		cursor_fail(cursor, ERR_TRUNCATED);
		return (struct slice){0};
	}
	cursor->at += length_bytes;
	return slice;
}

/* A length and that many bytes; data is NULL after an error. */
static inline struct slice cursor_bytes(struct cursor *cursor)
{
	uint64_t length = cursor_varint_short(cursor);

	if (cursor->error != 0)
		return (struct slice){0};
	return cursor_take(cursor, length);
}

/* A field's tag: never one of field 0, nor over 29 bits of field number.
 * 0 after an error. */
static inline uint32_t cursor_tag(struct cursor *cursor)
{
	uint64_t tag = cursor_varint_short(cursor);

	if (cursor->error == 0 && (tag < 8 || tag > UINT32_MAX)) {
		cursor_fail(cursor, ERR_MALFORMED);
		return 0;
	}
	return (uint32_t)tag;
}

/* The value of a field that is not known; groups are ERR_MALFORMED. */
void cursor_skip(struct cursor *cursor, uint32_t tag);

static inline int64_t zigzag_decode(uint64_t value)
{
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static inline uint64_t zigzag_encode(int64_t value)
{
	return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

/* ---- Writing ------------------------------------------------------------ */

struct writer {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	int error; /* 0 or ERR_NO_ROOM */
};

static inline struct writer writer_of(void *buffer, size_t size_bytes)
{
	return (struct writer){
		.start = buffer, .at = buffer, .end = (uint8_t *)buffer + size_bytes};
}

static inline size_t writer_length(const struct writer *writer)
{
	return (size_t)(writer->at - writer->start);
}

/* True, or a sticky ERR_NO_ROOM. */
static inline bool writer_room(struct writer *writer, size_t length_bytes)
{
	if (writer->error == 0 && (size_t)(writer->end - writer->at) >= length_bytes)
		return true;
	writer->error = ERR_NO_ROOM;
	return false;
}

static inline void writer_bytes(struct writer *writer, const void *data, size_t length_bytes)
{
	if (length_bytes > 0 && writer_room(writer, length_bytes)) {
		memcpy(writer->at, data, length_bytes);
		writer->at += length_bytes;
	}
}

static inline void writer_byte(struct writer *writer, uint8_t byte)
{
	if (writer_room(writer, 1))
		*writer->at++ = byte;
}

static inline void writer_fixed32(struct writer *writer, uint32_t value)
{
	if (writer_room(writer, 4)) {
		le32_write(writer->at, value);
		writer->at += 4;
	}
}

static inline void writer_fixed64(struct writer *writer, uint64_t value)
{
	if (writer_room(writer, 8)) {
		le64_write(writer->at, value);
		writer->at += 8;
	}
}

void writer_varint(struct writer *writer, uint64_t value);

/* value in exactly width bytes, padded; it must fit. protobuf readers take
 * padded lengths of up to 5 bytes. */
void writer_varint_padded(struct writer *writer, uint64_t value, unsigned int width);

/* Bytes that writer_varint takes. */
size_t varint_length(uint64_t value);

/* Fields with their tag. Those of proto3: zero, false, empty and absent are
 * left out. */
void writer_field_varint(struct writer *writer, uint32_t tag, uint64_t value);
void writer_field_fixed64(struct writer *writer, uint32_t tag, uint64_t value);
void writer_field_bytes(struct writer *writer, uint32_t tag, struct slice value);
/* The same, and written even when empty. */
void writer_field_bytes_always(struct writer *writer, uint32_t tag, struct slice value);

/* A nested message of up to 2 MiB whose length is known when it ends: begin
 * returns what end wants, and end fills in the length (3 bytes, padded). */
size_t writer_nested_begin(struct writer *writer, uint32_t tag);
void writer_nested_end(struct writer *writer, size_t begin);

#endif
