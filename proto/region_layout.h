/*
 * The layout of a process's region: the memory that outlives it. libwaft writes it
 * (client/src/region.h), a collector that was handed its descriptor reads a copy
 * (collector/region_image.h) and trusts nothing in it. Version 1; little-endian;
 * offsets in bytes from the start:
 *
 *     0         struct region_header
 *     4096      kinds: a byte per unit, enum region_kind
 *     8192      cuts: REGION_CUTS × struct region_cut
 *     131072    shapes: encoded `Batch.shapes` entries (tag 0x1a, length, Shape),
 *               one after the other, header.shapes_bytes of them; append-only
 *     1048576   units: REGION_UNITS × 1 KiB, given out in contiguous runs
 *
 * A run of kind REGION_SLOTS holds REGION_UNIT_SLOTS open-span slots. A slot is open
 * when REGION_SLOT_OPEN is set in its state; a reader takes the other members
 * between two readings of the same state.
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
 * when its sequence is not 0 (written last, cleared first). The cut of a drop
 * record has the unit REGION_CUT_DROP, the index of its reason in `from`, and in
 * `id_base` how many spans of that reason have a record with it.
 *
 * `drops` says of each reason how many spans the process has dropped, and how many
 * of them have a record that was answered. `epoch` is odd while the process takes
 * a new uuid: nothing in the region can then be said to belong to either.
 *
 * Sizes and seals (F_SEAL_SHRINK, F_SEAL_GROW) hold from before anyone else gets
 * the descriptor.
 */
#ifndef WAFT_PROTO_REGION_LAYOUT_H
#define WAFT_PROTO_REGION_LAYOUT_H

#include <stdint.h>

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
	REGION_UNIT_SLOTS = 16,
	REGION_PRODUCER_BYTES = 3072,
	REGION_MARK_BYTES = 25,
	REGION_CLOCKS = 2, /* by enum wire_clock_source */
	REGION_REASONS = 8,
	REGION_REASON_BYTES = 24,
	REGION_VERSION = 1,
};

#define REGION_MAGIC "WAFTRGN1"
#define REGION_CUT_DROP UINT32_MAX

enum region_kind {
	REGION_FREE = 0,
	REGION_SLOTS = 1,
	REGION_CHUNK = 2,
	REGION_MORE = 3, /* the run before goes on */
};

struct region_clock {
	uint64_t version; /* odd while being written; 0: never was */
	uint64_t source;
	uint64_t open_raw;
	uint64_t open_realtime_ns;
	uint64_t close_raw;
	uint64_t close_realtime_ns;
	double ns_per_tick;
	uint64_t stepped;
};

struct region_drops {
	uint64_t spans;			  /* dropped since the process began */
	uint64_t said;			  /* of these, in records that were answered */
	char reason[REGION_REASON_BYTES]; /* NUL-padded; "": none */
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
	uint32_t epoch;	 /* odd while client changes */
	uint32_t closed; /* not 0: the process has given up what is left, and counted it */
	struct region_clock clocks[REGION_CLOCKS];
	struct region_drops drops[REGION_REASONS];
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

/* struct waft_slot_ of <waft/inline.h>. */
struct region_slot {
	uint64_t state;	 /* REGION_SLOT_…, and bits that change; last written, first cleared */
	uint64_t start;	 /* raw clock */
	uint64_t raw;	 /* id before mixing */
	uint64_t parent; /* id before mixing, or with REGION_SLOT_PARENT_ID the id; 0: a root */
	uint64_t trace[2];
	uint32_t shape; /* of the call site */
	uint32_t clock; /* which clock start is of: enum wire_clock_source */
	uint64_t thread;
};
enum { REGION_SLOT_OPEN = 1, REGION_SLOT_PARENT_ID = 2 };

_Static_assert(sizeof(struct region_header) <= REGION_KINDS_AT, "the header fits its page");
_Static_assert(REGION_UNITS <= REGION_CUTS_AT - REGION_KINDS_AT, "a byte for each unit");
_Static_assert(REGION_CUTS * sizeof(struct region_cut) <= REGION_SHAPES_AT - REGION_CUTS_AT,
	"the cuts fit");
_Static_assert(sizeof(struct region_chunk) == 64, "a chunk's head is one cache line");
_Static_assert(sizeof(struct region_slot) * REGION_UNIT_SLOTS == REGION_UNIT_BYTES,
	"a unit holds its slots");

#endif
