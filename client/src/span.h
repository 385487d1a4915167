/*
 * Spans between their begin and their end: what of waft.h is not inlined.
 * Called by the thread that works on the span.
 */
#ifndef WAFT_CLIENT_SPAN_H
#define WAFT_CLIENT_SPAN_H

#include <stdbool.h>
#include <stdint.h>
#include <waft/waft.h>

#include "extra.h"
#include "thread.h"

/* A place in a trace: what is needed of a parent. */
struct place {
	uint64_t trace[2];
	uint64_t id;		  /* raw, or with is_id the id itself; 0: no span */
	struct waft_carry *carry; /* borrowed */
	bool is_id;
	bool sampled;
	bool remote;
	bool not_random; /* W3C's flag was not set */
};

/* The id as it is on the wire. */
uint64_t place_id(const struct place *place);

/* The thread's current place; trace zero: none. */
void place_current(struct place *ret_place);
/* A span's own place, open or ended; trace zero: not known. */
void place_of_span(const struct waft_span *span, struct place *ret_place);

/* The id of the span's shape. */
static inline uint32_t span_shape(const struct waft_span *span)
{
	return span->shape_ & ~WAFT_SHAPE_APART_;
}

/* The slot of a span on which something may be set: open, recorded, of this
 * process. NULL otherwise. */
struct open *span_open(const struct waft_span *span);

/* Its extra, made at first use; NULL: no memory, counted as dropped attribute of
 * nothing: the span goes without. */
struct extra *span_extra(struct waft_span *span, struct open *open);

/* Ends the claimed slot's span as pending. The thread is the caller's; it writes. */
void span_write_pending(struct thread *thread, struct open *open);

/* At shutdown: all that is still open, of whatever thread, as pending. */
void span_write_all_pending(void);

#endif
