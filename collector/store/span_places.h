/*
 * span_places.h: where spans lie that no part holds yet, in batches of the log or of
 * inbox files; a span's line is made when it is asked for. 44 bytes a span. One thread
 * at a time.
 */
#ifndef WAFT_STORE_SPAN_PLACES_H
#define WAFT_STORE_SPAN_PLACES_H

#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "bytes.h"
#include "consumed.h"
#include "line.h"
#include "log.h"
#include "reader.h"

struct waiting_span;

struct span_places {
	/* The bytes of the batch at a place, valid until the next call, and who sent it
	 * (NULL: nobody is known). -ESTALE: it has gone. */
	int (*fetch)(void *ctx, struct log_place place, struct slice *ret_bytes,
		const struct log_peer **ret_peer);
	void *ctx;
	struct waiting_span *spans; /* owned; by ordinal */
	size_t count;
	size_t capacity;
	uint32_t *by_trace; /* owned; numbers of spans, by (trace id, number) */
	/* The batch that was read last, open for more spans of it. */
	struct batch batch;
	struct batch_iter iter;
	struct line_writer writer;
	struct log_place batch_place; /* segment 0: none */
	struct bytes line;
};

void span_places_init(struct span_places *places,
	int (*fetch)(void *ctx, struct log_place place, struct slice *ret_bytes,
		const struct log_peer **ret_peer),
	void *ctx);
void span_places_done(struct span_places *places);

/* Forgets all, keeps the memory. */
void span_places_clear(struct span_places *places);

/* Adds the spans of a batch, except those whose ordinals are in consumed (NULL: none are).
 * To be called in order of place. A batch that doesn't decode gives none. 0, -ENOMEM, -EFBIG. */
int span_places_add(struct span_places *places, struct slice bytes, struct log_place place,
	const struct consumed *consumed) MUST_CHECK;

/* All were added: makes them ready to be looked for. 0 or -ENOMEM. */
int span_places_sort(struct span_places *places) MUST_CHECK;

/* As for_each_span of struct live_source. */
int span_places_each(struct span_places *places, const uint8_t *trace_id,
	const struct ordinal *after, int (*on_span)(void *arg, const struct live_span *span),
	void *arg) MUST_CHECK;

#endif
