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
 * line_writer is used by one thread at a time; what is written depends on batch,
 * span and peer alone.
 */
#ifndef WAFT_STORE_LINE_H
#define WAFT_STORE_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "batch.h"
#include "bytes.h"
#include "ids.h"
#include "json_write.h"
#include "line_index.h"
#include "log.h"

/* What was encoded ahead for one batch. Zero-initialised before the first
 * line_batch_begin; it can be used for one batch after another. Private. */
struct line_writer {
	struct bytes head;	/* metadata up to kind */
	struct bytes resource;	/* `,"resource":{…}` or nothing */
	struct bytes tail;	/* peer, end of metadata, `"error":` */
	struct bytes pieces;	/* of shapes and keys */
	struct bytes middle;	/* of most spans: status, no data, metadata up to resource */
	size_t middle_data_end; /* where `"data":{…` ends in it */
	bool hot;		/* spans of the batch may go to line_hot_span */
	bool live;		/* the caller's: pending spans are open just now */
	struct line_shape *shapes;
	size_t shape_capacity;
	struct line_key *keys;
	size_t key_capacity;
	struct json_second second;	 /* of the span before */
	struct trace_id trace;		 /* of the span before */
	char trace_text[ID_UUID_LENGTH]; /* its text; begins with 0: none yet */
	uint64_t thread;		 /* of the span before, 0: none */
	char thread_text[40];		 /* `,"thread.id":` and the number */
	uint8_t thread_length;
	struct line_index index; /* what it wants to know of the line written last */
};

void line_writer_done(struct line_writer *writer);

/* Prepares for the spans of batch (open). peer may be NULL. -ENOMEM. */
MUST_CHECK int line_batch_begin(
	struct line_writer *writer, const struct batch *batch, const struct log_peer *peer);

/* Appends the line of a span, with its newline. Calls span_validate: the text
 * is valid UTF-8 and JSON whatever the batch holds. -ENOMEM leaves out as it was. */
MUST_CHECK int line_span(
	struct line_writer *writer, struct batch *batch, struct span_view *view, struct bytes *out);

#endif
