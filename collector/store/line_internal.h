/*
 * What line.c, line_hot.c (spans that are like nearly all) and line_rest.c (what few have)
 * share: what is encoded once for a shape. One thread at a time per line_writer.
 */
#ifndef WAFT_STORE_LINE_INTERNAL_H
#define WAFT_STORE_LINE_INTERNAL_H

#include "line.h"

/* A stretch of line_writer.pieces. Behind the last one, and behind
 * middle and tail, PIECE_SLACK bytes can be read. */
struct line_piece {
	uint32_t offset;
	uint32_t length;
};

enum { PIECE_SLACK = 64 };

/* A key of a shape, encoded, and which of ours it is: 0, or one of own_attribute. */
struct line_key {
	struct line_piece text; /* `,"key":` */
	unsigned int own;
	uint64_t hash; /* for the index */
};

struct line_shape {
	struct line_piece names; /* `,"operation":…,"layer":…,"status":"` */
	struct line_piece site;	 /* scope and `,"attributes":{` with the call site */
	bool built;
	bool hot;	  /* its spans may go to line_hot_span */
	unsigned int own; /* attributes that site has: own_attribute */
	size_t hot_bytes; /* what the pieces of a line need, and its numbers */
};

/* All that a line has outside of texts and pieces, with room to spare. */
enum { FIXED_BYTES = 1024 };

/* Appends a literal. */
#define APPEND(out, text) bytes_put((out), (text), sizeof(text) - 1)

/* ---- line.c ------------------------------------------------------------------- */

MUST_CHECK int line_append_u64(struct bytes *out, uint64_t value);

/* `"key":` with a comma before it unless *first. */
MUST_CHECK int line_append_key(struct bytes *out, struct slice key, bool repair, bool *first);

/* All that are left, as members of an object. */
MUST_CHECK int line_append_attributes(
	struct bytes *out, struct attribute_iter *iter, bool repair, bool *first);

/* ---- line_rest.c --------------------------------------------------------------- */

/* What few spans have, behind the attributes. */
MUST_CHECK int line_append_rest(const struct line_writer *writer, const struct batch *batch,
	const struct span_view *view, struct bytes *out);

/* ---- line_hot.c ---------------------------------------------------------------- */

#define PUT(at, text) (memcpy((at), (text), sizeof(text) - 1), (at) + sizeof(text) - 1)

/* A value that is no text as filters know it: as it stands in the line, but for the quotes
 * of numbers that JSON has none for (NaN, infinities). */
static inline struct slice line_bare_value(struct slice value)
{
	return value.length >= 2 && value.data[0] == '"'
		       ? slice_of(value.data + 1, value.length - 2)
		       : value;
}

/* Appends the line of a span that has nothing but values of its shape's keys, their texts
 * in ASCII without escapes, and snapshots: nearly all spans. The same bytes as the long
 * way's. 1; 0: the span is none of these, and nothing was appended; -ENOMEM. */
MUST_CHECK int line_hot_span(struct line_writer *writer, const struct batch *batch,
	const struct line_shape *shape, const struct span_view *view, struct bytes *out);

/* `{"trace_id":…,"span_id":…,"parent_span_id":…,"timestamp":…,"duration_ms":` and the
 * duration, at most FIXED_BYTES / 2; returns the end. */
uint8_t *line_put_front(struct line_writer *writer, const struct span_view *view, uint8_t *at);

#endif
