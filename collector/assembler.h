/*
 * Collects the spans of each trace, in any order, until they are written.
 *
 * Holds references only, 48 bytes a span; what a span says stays in the log. A
 * trace is due when its root has ended and it was quiet for a while, when its
 * spans were held for long, when it grew big, or when someone is short of
 * memory or log. What is due is taken out as a run; a run stays visible until
 * it is given back, which the store's commit allows. Spans that come later make
 * a further run.
 *
 *     log ─▶ assembler_add ─▶ (due) ─▶ assembler_take… ─▶ store ─▶ assembler_written
 *                 └───────────── assembler_copy… ─▶ queries ──────────┘
 *
 * Thread-safe by one lock, held shortly: the loop adds and takes, queries copy.
 * Time is an argument: milliseconds of any clock that doesn't go back.
 */
#ifndef WAFT_COLLECTOR_ASSEMBLER_H
#define WAFT_COLLECTOR_ASSEMBLER_H

#include "batch.h"
#include "errors.h"
#include "ids.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A span of the log. */
struct span_ref {
	uint64_t span_id;
	uint64_t parent_id; /* 0: a root */
	uint64_t start_ns;  /* since 1970 */
	uint64_t place;	    /* span_ref_place; above it flags */
	uint32_t segment;   /* its ordinal */
	uint32_t offset;
	uint32_t position;
	uint32_t next; /* private */
};
_Static_assert(sizeof(struct span_ref) == 48, "48 bytes a span");

#define SPAN_REF_PENDING (UINT64_C(1) << 62)
#define SPAN_REF_USED (UINT64_C(1) << 63) /* private */
#define SPAN_PLACE_BITS 18		  /* an offset in a batch of 256 KiB */

static inline uint64_t span_ref_pack_place(struct span_place place)
{
	return place.section | (uint64_t)place.span << SPAN_PLACE_BITS |
	       (uint64_t)place.trace << (2 * SPAN_PLACE_BITS);
}

static inline struct span_place span_ref_place(const struct span_ref *ref)
{
	const uint64_t mask = (1u << SPAN_PLACE_BITS) - 1;

	return (struct span_place){
		.section = (uint32_t)(ref->place & mask),
		.span = (uint32_t)(ref->place >> SPAN_PLACE_BITS & mask),
		.trace = (uint32_t)(ref->place >> (2 * SPAN_PLACE_BITS) & mask),
	};
}

enum run_reason {
	RUN_ENDED,  /* its root ended and it was quiet */
	RUN_HELD,   /* held for as long as allowed */
	RUN_BIG,    /* more spans than a trace may hold in memory */
	RUN_MEMORY, /* memory is short */
	RUN_LOG,    /* the log is short */
	RUN_DRAIN,
	RUN_REASONS
};

/* Some spans of one trace on their way into a file, in order of arrival. */
struct run {
	struct trace_id trace_id;
	enum run_reason reason;
	uint32_t count;
	uint32_t shard;	       /* assembly.h: whose it is */
	struct run *next;      /* free for whoever holds the run */
	struct run *previous;  /* private */
	struct run *following; /* private */
	uint64_t written_at;   /* private: number of the commit */
	struct span_ref refs[];
};

enum keep_verdict {
	KEEP_WRITE,
	KEEP_WAIT, /* ask again after another quiet time, at the latest when held for long */
};

struct assembler_config {
	uint64_t quiet_ms;
	uint64_t hold_ms;
	uint32_t trace_spans_max; /* a trace with as many is due at once */
	uint64_t spare_bytes;	  /* of runs that are kept for further ones; 0: 2 MiB */
	uint64_t hash_key[2];	  /* secret */
	/* Whether a due trace is written; NULL: always. Called with the lock held. */
	enum keep_verdict (*keep)(void *context, const struct trace_id *trace_id, uint32_t spans);
	void *keep_context;
};

struct assembler_counts {
	uint64_t spans;		    /* held, runs on their way included */
	uint64_t traces;	    /* held, without those runs */
	uint64_t bytes;		    /* of memory */
	uint64_t runs[RUN_REASONS]; /* taken so far */
};

struct assembler;

int assembler_new(const struct assembler_config *config, struct assembler **ret) MUST_CHECK;
/* Frees all, runs on their way included. NULL is ignored. */
void assembler_free(struct assembler *assembler);

/* Takes over quiet_ms, hold_ms. */
void assembler_configure(struct assembler *assembler, uint64_t quiet_ms, uint64_t hold_ms);

/* Sets room aside for that many spans, of as many traces, which assembler_add
 * will then find. 0 or -ENOMEM. What isn't used is given back by
 * assembler_unreserve. */
int assembler_reserve(struct assembler *assembler, uint32_t spans) MUST_CHECK;
void assembler_unreserve(struct assembler *assembler, uint32_t spans);

/* Adds spans of one trace, for which room was reserved: copies, uses up the
 * room. `next` of the references is ignored. */
void assembler_add(struct assembler *assembler, const struct trace_id *trace_id,
	const struct span_ref *refs, uint32_t count, uint64_t now_ms);

/* Neighbouring spans of one trace. */
struct span_group {
	struct trace_id trace_id;
	uint32_t first; /* in refs */
	uint32_t count;
};

/* The same for many groups, whose spans are in refs. */
void assembler_add_groups(struct assembler *assembler, const struct span_group *groups,
	uint32_t group_count, const struct span_ref *refs, uint64_t now_ms);

/* The next trace that is due, as a run; NULL when none is, or no memory is there
 * for it. It stays the assembler's, until assembler_written. */
struct run *assembler_take_due(struct assembler *assembler, uint64_t now_ms);

/* The trace that is held longest, due or not; for RUN_MEMORY rather one with many spans.
 * NULL when none is held. */
struct run *assembler_take_oldest(
	struct assembler *assembler, enum run_reason reason, uint64_t now_ms);

/* The same, if it holds a span of a segment up to that one. */
struct run *assembler_take_from_segment(
	struct assembler *assembler, uint32_t segment, uint64_t now_ms);

/* When the next trace will be due; UINT64_MAX when none is held. */
uint64_t assembler_next_due_ms(struct assembler *assembler);

/* The run's spans are in a committed part: forgets it, as soon as no snapshot
 * needs it. The run must not be used after. */
void assembler_written(struct assembler *assembler, struct run *run);

void assembler_count(struct assembler *assembler, struct assembler_counts *ret);

/* ---- Snapshots ----------------------------------------------------------- */

/* Begins one: until its end no span that waits now gets lost to assembler_copy,
 * whether it is written meanwhile or not. Returns its number. */
uint64_t assembler_snapshot_begin(struct assembler *assembler);
void assembler_snapshot_end(struct assembler *assembler, uint64_t snapshot);

/* Copies all spans that wait, or waited when the oldest snapshot began: those of
 * one trace, or all (trace_id NULL), sorted by ordinal, each once. *ret_refs is
 * owned by the caller (free). The lock is given up now and then. 0 or -ENOMEM. */
int assembler_copy(struct assembler *assembler, const struct trace_id *trace_id,
	struct span_ref **ret_refs, size_t *ret_count) MUST_CHECK;

#endif
