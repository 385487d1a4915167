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
#include "process.h"
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
static inline struct open *span_open(const struct waft_span *span)
{
	struct open *open;

	if (!waft_recording(span) || (!process_is_running() && !process_enter()))
		return NULL;
	open = open_of(span->open_);
	if (open->thread->epoch != process.epoch ||
		WAFT_LOAD_(&open->hot.generation) != span->generation_)
		return NULL;
	return open;
}

/* Its extra, made at first use; NULL: no memory, counted as dropped attribute of
 * nothing: the span goes without. */
struct extra *span_extra(struct waft_span *span, struct open *open);

/* Begins it: for span_extra_snapshots. */
struct extra *span_extra_begin(struct waft_span *span, struct open *open);

/* As span_extra, for who adds snapshots alone. */
static inline struct extra *span_extra_snapshots(struct waft_span *span, struct open *open)
{
	struct extra *extra = open->extra;

	if ((span->bits_ & WAFT_SPAN_EXTRA_) != 0)
		return extra;
	if (extra == NULL || extra->used)
		return span_extra_begin(span, open);
	/* It is empty. */
	extra->used = true;
	span->bits_ |= WAFT_SPAN_EXTRA_;
	return extra;
}

/* Ends the claimed slot's span as pending. The thread is the caller's; it writes. */
void span_write_pending(struct thread *thread, struct open *open);

/* At shutdown: all that is still open, of whatever thread, as pending. */
void span_write_all_pending(void);

#endif
