/*
 * The memory of a process that outlives it: one memfd of fixed size, mapped
 * shared, whose descriptor goes to the collector with the hello, so that a
 * killed process's spans can be read from it (by pread; nothing in it trusted).
 *
 * Layout, version 1; little-endian; offsets in bytes from the start:
 *
 *     0         struct region_header
 *     4096      kinds: a byte per unit, enum region_kind
 *     8192      cuts: REGION_CUTS × struct region_cut
 *     131072    shapes: encoded `Batch.shapes` entries (tag 0x1a, length, Shape),
 *               one after the other, header.shapes_bytes of them; append-only
 *     1048576   units: REGION_UNITS × 1 KiB, given out in contiguous runs
 *
 * A run of kind REGION_SLOTS holds 16 open-span slots (struct waft_slot_ in
 * <waft/inline.h>). A slot is open when bit 0 of its state is set; a reader
 * takes the other members between two readings of the same state.
 *
 * A run of kind REGION_CHUNK is a struct region_chunk and then finished spans up
 * to `published` (an offset in the chunk): entries of `Section.spans` exactly as
 * they go on the wire (tag 0x2a, length, Span), in between
 *     00  id_base(8)  clock_base(8)  thread(8)
 * where the section changes; the first is that of the chunk's head. A Span's
 * `trace` stands behind `ids` when there is one; as on the wire, a span without
 * it is of the trace of the span before, back to the start of the section.
 * Everything before `taken` was answered by the collector.
 *
 * A cut says which stretch of a chunk went into the batch of which sequence:
 * what is published, not taken and in no cut was never sent. A cut is valid
 * when its sequence is not 0 (written last, cleared first).
 *
 * Sizes and seals (F_SEAL_SHRINK, _GROW, _FUTURE_WRITE, _SEAL) hold from before
 * anyone else gets the descriptor. In the process: MADV_DONTFORK. Giving out
 * units is the caller's to serialise.
 */
#ifndef WAFT_CLIENT_REGION_H
#define WAFT_CLIENT_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "descriptor.h"

enum {
	REGION_BYTES = 4 * 1024 * 1024,
	REGION_KINDS_AT = 4096,
	REGION_CUTS_AT = 8192,
	REGION_CUTS = 1024,
	REGION_SHAPES_AT = 128 * 1024,
	REGION_UNITS_AT = 1024 * 1024,
	REGION_SHAPES_BYTES = REGION_UNITS_AT - REGION_SHAPES_AT,
	REGION_UNIT_BYTES = 1024,
	REGION_UNITS = (REGION_BYTES - REGION_UNITS_AT) / REGION_UNIT_BYTES,
	REGION_PRODUCER_BYTES = 3072,
	REGION_MARK_BYTES = 25,
	REGION_VERSION = 1,
};

#define REGION_MAGIC "WAFTRGN1"

enum region_kind {
	REGION_FREE = 0,
	REGION_SLOTS = 1,
	REGION_CHUNK = 2,
	REGION_MORE = 3, /* the run before goes on */
};

struct region_clock {
	uint64_t version; /* odd while being written */
	uint64_t source;
	uint64_t open_raw;
	uint64_t open_realtime_ns;
	uint64_t close_raw;
	uint64_t close_realtime_ns;
	double ns_per_tick;
	uint64_t stepped;
};

struct region_header {
	char magic[8];
	uint32_t version;
	uint32_t bytes;
	uint32_t units_at;
	uint32_t unit_bytes;
	uint32_t unit_count;
	uint32_t kinds_at;
	uint32_t cuts_at;
	uint32_t cut_count;
	uint32_t shapes_at;
	uint32_t shapes_bytes; /* published last */
	uint8_t client[16];
	uint64_t pid;
	uint64_t emitted_before; /* spans that an earlier uuid of this process counted */
	struct region_clock clock;
	uint32_t producer_bytes; /* 0: too long to stand here */
	uint32_t reserved;
	uint8_t producer[REGION_PRODUCER_BYTES]; /* an encoded Producer */
};

struct region_cut {
	uint64_t sequence;
	uint32_t unit; /* of the chunk */
	uint32_t from; /* offsets in the chunk */
	uint32_t to;
	uint32_t trace_at; /* of the Span.trace that holds at `from`; 0: none */
	uint64_t id_base;  /* of the section at `from` */
	uint64_t clock_base;
	uint64_t thread;
};

struct region_chunk {
	uint32_t published; /* first: inlined code knows it */
	uint32_t bytes;
	uint32_t taken;
	uint32_t clock; /* enum wire_clock_source of all times in it */
	uint64_t id_base;
	uint64_t clock_base;
	uint64_t thread;
	uint64_t reserved[3];
};

struct region {
	uint8_t *base;
	struct region_header *header;
	uint8_t *kinds;
	struct region_cut *cuts;
	struct descriptor file;
	uint32_t next_unit; /* where the last search ended */
	uint32_t free_units;
};

/* Maps a new region. 0 or a negative errno; nothing is held after a failure. */
int region_init(struct region *region, const uint8_t client[16], uint64_t pid);

/* Forgets the region of the parent in a forked child, where it isn't mapped;
 * closes the descriptor. */
void region_forget(struct region *region);

/* A run of count units, zeroed in its first cache line, such that `reserve` units
 * stay free; -1: there is none. */
int region_take(struct region *region, uint32_t count, enum region_kind kind, uint32_t reserve);
/* Gives a run back, and its memory when it is large. */
void region_give(struct region *region, uint32_t unit, uint32_t count);

static inline void *region_unit(const struct region *region, uint32_t unit)
{
	return region->base + REGION_UNITS_AT + (size_t)unit * REGION_UNIT_BYTES;
}

/* Publishes what the spans now in memory can be dated with. Sender only. */
void region_set_clock(struct region *region, const struct clock_span *clock);

#endif
