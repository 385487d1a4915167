/*
 * Where finished spans wait: chunks of the region, written by one thread each
 * without lock, read by the sender up to what is published (region.h says what
 * stands in them). Threads that find no room share one chunk under a lock.
 *
 * A chunk is open until its thread moves on, and free when it is closed and all
 * of it is answered; only the sender frees. The list of chunks is appended to
 * under process.lock and walked by the sender without it.
 */
#ifndef WAFT_CLIENT_CHUNK_H
#define WAFT_CLIENT_CHUNK_H

#include <stdbool.h>
#include <stdint.h>
#include <waft/waft.h>

#include "region.h"

struct extra;
struct thread;
struct waft_carry;

enum {
	CHUNK_UNITS_FIRST = 4,
	CHUNK_UNITS_MOST = 64,
	CHUNK_UNITS_LEAST = 2,
	CHUNK_TRACE_BYTES = 2 + 18, /* of Span.trace without carry */
	/* The most that inlined code writes from an offset it finds within limit. */
	CHUNK_HOT_BYTES = 21 + WAFT_VALUES_ROOM_ + WAFT_LANE_STRIDE_,
};

struct chunk {
	struct chunk *next; /* atomic */
	uint32_t unit;
	uint32_t units;
	uint32_t closed; /* atomic: nothing more will be published */
	/* The sender's. */
	uint32_t cut;	   /* before it everything is in a batch */
	uint32_t trace_at; /* of the trace that holds at cut; 0: none */
	uint32_t flush_to; /* what a flush waits to see cut */
	uint64_t id_base;  /* of the section at cut */
	uint64_t clock_base;
	uint64_t thread;
};

struct span_data {
	uint64_t trace[2];
	struct waft_carry *carry; /* borrowed; NULL: none */
	uint64_t raw;
	uint64_t id;	    /* not 0: instead of raw */
	uint64_t parent_id; /* 0: distance, or a root */
	uint16_t distance;
	uint64_t start; /* by the writer's clock */
	uint64_t end;
	uint32_t shape;
	const unsigned char *values;
	uint32_t fill;
	const struct extra *extra; /* NULL: nothing beyond the values */
	bool pending;
};

/* Encodes the span into the thread's chunk, or where there is room, and counts
 * it: as ended, or as dropped. The thread is the caller's own. */
void chunk_write(struct thread *thread, const struct span_data *span);

/* The shortest way for a hot span (waft_end's conditions hold but for the trace)
 * that is the first of its trace in a row: ends it. False: nothing was done. */
bool chunk_write_first(struct thread *thread, struct waft_span *span, struct waft_open_ *open);

/* Of a span that has snapshots, too, and nothing else beyond its values; the first of its
 * trace or not. Returns behind it, to be published; NULL: nothing was done. */
uint8_t *chunk_write_snapshots(struct thread *thread, const struct waft_span *span,
	const struct waft_open_ *open, const struct extra *extra);

/* The same from a thread that has no chunk of its own: to the shared one. The
 * span has an id. */
void chunk_write_shared(const struct span_data *span);

/* No more will be published to the thread's chunk. */
void chunk_close(struct thread *thread);

/* Closes the shared chunk: before the last cut. */
void chunk_close_shared(void);

/* Sender only: the chunk that begins at a unit; NULL: none does. */
struct chunk *chunk_find(uint32_t unit);

/* Sender only: frees what is closed and answered. */
void chunk_collect(void);

static inline struct region_chunk *chunk_head(
	const struct region *region, const struct chunk *chunk)
{
	return region_unit(region, chunk->unit);
}

void chunk_fork_child(void);

#endif
