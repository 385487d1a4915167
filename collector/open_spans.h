/*
 * The spans that are open at this moment in connected processes, as the lines that they
 * would be stored as: status pending, duration null. Read from the regions (regions.h);
 * nothing of it is stored. A worker thread's.
 */
#ifndef WAFT_COLLECTOR_OPEN_SPANS_H
#define WAFT_COLLECTOR_OPEN_SPANS_H

#include "regions.h"

struct open_line {
	uint32_t at; /* in text */
	uint32_t length;
	uint8_t trace_id[16];
};

/* Zero-initialise. */
struct open_spans {
	struct bytes text;
	struct open_line *lines; /* owned */
	size_t count;
	size_t capacity;
	uint64_t left_out;   /* beyond what one process may have listed */
	uint64_t unreadable; /* regions that made no sense */
};

/* Adds those of one process: of a trace (NULL: of all), without the first `skip`, as
 * many as `most` bytes of text take in all. The number of its spans passed over or
 * added; less than it has when there was no room. -ENOMEM; a region that can't be read
 * is counted. */
long open_spans_read(struct open_spans *open, const struct region_view *view,
	const uint8_t *trace_id, size_t skip, size_t most) MUST_CHECK;

/* Whether there was no room for all in the last open_spans_read. */
bool open_spans_full(const struct open_spans *open, size_t most);

/* The one trace among those of all processes that an id may mean: hex with or without
 * dashes, its beginning or its ending of at least 4 digits. 0; -ENOENT: none;
 * ERR_AMBIGUOUS; -ENOMEM. */
int open_spans_find(const struct region_view *views, size_t count, const char *id,
	uint8_t ret_trace_id[16]) MUST_CHECK;

void open_spans_done(struct open_spans *open);

#endif
