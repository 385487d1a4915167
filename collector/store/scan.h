/*
 * scan.h: the lines in a stretch of a source, one after the other.
 *
 * Memory: a buffer of 256 KiB, larger only while a longer line is in it. One
 * thread at a time.
 */
#ifndef WAFT_STORE_SCAN_H
#define WAFT_STORE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "errors.h"
#include "slice.h"
#include "source.h"

/* No line is longer; what is, is passed over. */
#define SCAN_LINE_BYTES_MAX ((size_t)16 << 20)

/* A line without its newline. whole: it has one. A line that is too long is given
 * with length 0 and data NULL. */
struct scan_line {
	uint64_t offset;
	uint64_t number; /* from 1, counted from where the scan began */
	struct slice text;
	bool whole;
};

typedef int (*scan_on_line)(void *ctx, const struct scan_line *line);

struct scan_buffer {
	uint8_t *data; /* owned */
	size_t capacity;
	int damage; /* why frames of a sealed file were passed over in the last scan; 0: none */
};

void scan_buffer_done(struct scan_buffer *buffer);

/* Calls on_line for each line that begins in [from, to); what lies beyond `to` is
 * not read, so that the last line may not be whole. Empty lines too. A non-zero
 * result of on_line ends it and is returned. buffer is reused from call to call.
 * A frame of a sealed file that is damaged is passed over, with the lines that lie in it
 * even in part. */
int scan_lines(struct source *source, uint64_t from, uint64_t to, struct scan_buffer *buffer,
	scan_on_line on_line, void *ctx) MUST_CHECK;

/* The same for bytes in memory; offset is that of the first. */
int scan_memory(struct slice bytes, uint64_t offset, scan_on_line on_line, void *ctx) MUST_CHECK;

#endif
