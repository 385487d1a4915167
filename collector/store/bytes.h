/*
 * A growing buffer of bytes. Reading is done with proto's struct cursor.
 *
 * Zero-initialised is empty and valid. Not thread-safe. Growth is the only
 * failure (-ENOMEM); it leaves the buffer as it was. The writers on hot paths
 * reserve once and then use the _fast forms, which check nothing.
 *
 * One that is lent writes into memory of someone else, who keeps it as long; when that
 * gets too small, it moves to memory of its own.
 */
#ifndef WAFT_STORE_BYTES_H
#define WAFT_STORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "errors.h"

struct bytes {
	uint8_t *data; /* owned, unless lent; NULL while capacity is 0 */
	size_t length;
	size_t capacity;
	bool lent;
};

/* An empty one that is lent. */
static inline struct bytes bytes_lend(void *memory, size_t capacity)
{
	return (struct bytes){.data = memory, .capacity = capacity, .lent = true};
}

/* Moves what is lent to memory of its own. */
MUST_CHECK int bytes_own(struct bytes *bytes);

/* Frees what it holds and makes it empty. */
void bytes_done(struct bytes *bytes);

/* Makes capacity at least wanted, in steps that at least double. */
MUST_CHECK int bytes_grow(struct bytes *bytes, size_t wanted);

/* Makes room for more bytes beyond length. */
MUST_CHECK static inline int bytes_reserve(struct bytes *bytes, size_t more)
{
	if (__builtin_expect(bytes->capacity - bytes->length >= more, 1))
		return 0;
	return bytes_grow(bytes, bytes->length + more);
}

/* Appends; data may be NULL when length is 0. */
MUST_CHECK static inline int bytes_put(struct bytes *bytes, const void *data, size_t length)
{
	int ret = bytes_reserve(bytes, length);

	if (ret != 0 || length == 0)
		return ret;
	memcpy(bytes->data + bytes->length, data, length);
	bytes->length += length;
	return 0;
}

/* The most bytes that bytes_varint_fast writes. */
#define BYTES_VARINT_MAX 10

/* LEB128; room for BYTES_VARINT_MAX must be reserved. */
static inline void bytes_varint_fast(struct bytes *bytes, uint64_t value)
{
	while (value >= 0x80) {
		bytes->data[bytes->length++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	bytes->data[bytes->length++] = (uint8_t)value;
}

MUST_CHECK int bytes_varint(struct bytes *bytes, uint64_t value);
MUST_CHECK int bytes_u32(struct bytes *bytes, uint32_t value);
MUST_CHECK int bytes_u64(struct bytes *bytes, uint64_t value);
/* A varint of the length, then the bytes. */
MUST_CHECK int bytes_text(struct bytes *bytes, const void *text, size_t length);

#endif
