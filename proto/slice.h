/* A stretch of bytes that somebody else owns. */
#ifndef WAFT_PROTO_SLICE_H
#define WAFT_PROTO_SLICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* data is NULL when the thing is absent; an empty one that is present has a
 * length of 0 and data that is not NULL. */
struct slice {
	const uint8_t *data;
	size_t length;
};

static inline struct slice slice_of(const void *data, size_t length_bytes)
{
	return (struct slice){.data = data, .length = length_bytes};
}

/* Of a NUL-terminated text; of NULL: absent. */
static inline struct slice slice_of_text(const char *text)
{
	return (struct slice){
		.data = (const uint8_t *)text, .length = text != NULL ? strlen(text) : 0};
}

static inline int slice_equal(struct slice a, struct slice b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

#endif
