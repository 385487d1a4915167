/*
 * Bytes that grow, on the heap, private to the process. Running out of memory
 * is sticky and seen in `failed`. One thread at a time.
 */
#ifndef WAFT_CLIENT_BUFFER_H
#define WAFT_CLIENT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_LEAST = 256 };

struct buffer {
	uint8_t *bytes;
	size_t length;
	size_t capacity; /* 0, or BUFFER_LEAST times a power of 2 */
	bool failed;
};

/* Room for more bytes behind those there; false when there is no memory. */
static inline bool buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t capacity = buffer->capacity != 0 ? buffer->capacity : BUFFER_LEAST;
	uint8_t *bytes;

	if (buffer->failed)
		return false;
	if (more <= buffer->capacity - buffer->length)
		return true;
	while (capacity - buffer->length < more && capacity < SIZE_MAX / 2)
		capacity *= 2;
	bytes = capacity - buffer->length >= more ? realloc(buffer->bytes, capacity) : NULL;
	if (bytes == NULL) {
		buffer->failed = true;
		return false;
	}
	buffer->bytes = bytes;
	buffer->capacity = capacity;
	return true;
}

static inline void buffer_add(struct buffer *buffer, const void *bytes, size_t length)
{
	if (length > 0 && buffer_reserve(buffer, length)) {
		memcpy(buffer->bytes + buffer->length, bytes, length);
		buffer->length += length;
	}
}

static inline void buffer_add_text(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

static inline void buffer_add_byte(struct buffer *buffer, char byte)
{
	buffer_add(buffer, &byte, 1);
}

/* Empties it; keeps the memory unless it is more than keep bytes. */
static inline void buffer_clear(struct buffer *buffer, size_t keep)
{
	buffer->length = 0;
	buffer->failed = false;
	if (buffer->capacity > keep) {
		free(buffer->bytes);
		buffer->bytes = NULL;
		buffer->capacity = 0;
	}
}

static inline void buffer_done(struct buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct buffer){0};
}

#endif
