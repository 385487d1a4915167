/*
 * A span as its line of JSON (docs/STORE.md, "Lines"). The span path of the
 * store: hand-written, one pass, no allocation but the growth of the output.
 *
 *     line_batch_begin(&writer, &batch, peer);
 *     for each span of it: batch_span_at(&batch, &iter, place, &view);
 *                          line_span(&writer, &batch, &view, &out);
 *
 * What is the same for the spans of a batch or of a shape (metadata's head,
 * operation, layer, call site, keys) is encoded once and copied. A struct
 * line_writer is used by one thread at a time; what the functions write depends
 * on their arguments alone.
 */
#ifndef WAFT_STORE_LINE_H
#define WAFT_STORE_LINE_H

#include <stdint.h>

#include "batch.h"
#include "bytes.h"
#include "log.h"

/* What was encoded ahead for one batch. Zero-initialised before the first
 * line_batch_begin; it can be used for one batch after another. */
struct line_writer {
	struct bytes head;	  /* private: metadata's constant beginning */
	struct bytes tail;	  /* private: peer and end */
	struct bytes shapes;	  /* private: pieces of lines by shape */
	struct line_shape *shape; /* private: places in shapes */
	size_t shape_capacity;
};

void line_writer_done(struct line_writer *writer);

/* Prepares for the spans of batch (open). peer may be NULL. -ENOMEM. */
MUST_CHECK int line_batch_begin(
	struct line_writer *writer, const struct batch *batch, const struct log_peer *peer);

/* Appends the line of a span, with its newline. Calls span_validate: the text
 * is valid UTF-8 and JSON whatever the batch holds. -ENOMEM leaves out as it was. */
MUST_CHECK int line_span(
	struct line_writer *writer, struct batch *batch, struct span_view *view, struct bytes *out);

/* ---- Pieces, exact and without locale; for others who write JSON --------- */

/* A JSON string with its quotes; what isn't UTF-8 becomes U+FFFD. */
MUST_CHECK int line_put_text(struct bytes *out, const void *text, size_t length);

/* The decimal digits of a number; returns how many bytes (at most 20). */
size_t line_format_u64(char ret[20], uint64_t value);
size_t line_format_i64(char ret[20], int64_t value);

/* The shortest decimal that reads back as the same double, at most 24 bytes:
 * "0.1", "1e+300", "-0.0". Not finite: as JSON strings with quotes, "NaN". */
size_t line_format_double(char ret[32], double value);

/* "2026-01-09T10:30:00.123456789Z", 30 bytes, for times until 9999; later ones
 * are written as the last nanosecond of 9999. */
#define LINE_TIMESTAMP_BYTES 30
void line_format_timestamp(char ret[LINE_TIMESTAMP_BYTES], uint64_t ns);

/* Nanoseconds as milliseconds, exact: "2.716", "0.000001", "0"; at most 24. */
size_t line_format_ms(char ret[24], uint64_t ns);

#endif
