/*
 * line_index.h: what the index wants to know of a span, taken while its line is
 * written, so that nobody has to read the line again.
 *
 * Texts that are the same for all spans of a batch or of a shape are hashed
 * once. Spans that are out of the ordinary (repaired, a clock that stepped, a
 * tracestate, …) are read from their line, so that a run is always what
 * index_run_of_lines makes of its lines. Used by line.c and writer.c, one thread.
 */
#ifndef WAFT_STORE_LINE_INDEX_H
#define WAFT_STORE_LINE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "index_run.h"

struct line_index_shape {
	uint64_t filter[INDEX_FILTER_WORDS];
	bool built;
};

/* Of one batch after another. Zero-initialised is empty. Private but for filter, which
 * is the run's for who makes an index. */
struct line_index {
	uint64_t *filter; /* line_span adds the span's own attributes; NULL: nobody asks */
	uint64_t head[INDEX_FILTER_WORDS]; /* of producer and resource */
	struct line_index_shape *shapes;
	size_t shape_capacity;
	uint64_t with[INDEX_FILTER_WORDS]; /* of the kind and thread that follow */
	uint64_t with_thread;
	int with_kind; /* + 1; 0: with is of none yet */
	bool plain;    /* nothing of the batch needs a look at the lines */
};

void line_index_done(struct line_index *index);

/* A batch begins. -ENOMEM. */
MUST_CHECK int line_index_begin(struct line_index *index, const struct batch *batch);

/* Adds a span whose line (with its newline) was just written by line_span, which
 * has added its attributes to builder->run.filter. 0, -ENOMEM, -EFBIG, or ERR_MALFORMED. */
MUST_CHECK int line_index_add(struct line_index *index, const struct batch *batch,
	const struct span_view *view, struct slice line, struct scratch *scratch,
	struct index_builder *builder);

#endif
