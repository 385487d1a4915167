/*
 * tree.h: the spans of one trace, in the order in which a person reads them.
 *
 * Spans go in by tree_add in any order; tree_build makes rows: roots by start,
 * below each span its children by start, then by span id. The rows are the same
 * for every order of the input. Used by the viewer and by stats. Nothing recurses;
 * O(n log n) time, about 250 bytes a span. Not thread-safe.
 */
#ifndef WAFT_STORE_TREE_H
#define WAFT_STORE_TREE_H

#include "record.h"

enum tree_flags {
	TREE_LATE = 1 << 0,	 /* ended more than 1 us after the root above it had */
	TREE_DUPLICATE = 1 << 1, /* another span with the same id and other content */
	TREE_ORPHAN = 1 << 2,	 /* its parent was not received */
	TREE_CYCLE = 1 << 3, /* is its own ancestor; the earliest of the ring is shown as a root */
	TREE_SKEW = 1 << 4,  /* started more than 1 us before its parent: clocks disagree */
};

/* A line of the tree. */
struct tree_row {
	bool missing;	  /* no span: stands for a parent that wasn't received, its orphans below */
	uint8_t id[16];	  /* the span's; of a missing one, what its orphans call their parent */
	uint32_t item;	  /* as given to tree_add; of no meaning when missing */
	uint32_t depth;	  /* 0 for roots and missing parents */
	uint32_t flags;	  /* enum tree_flags */
	uint32_t parent;  /* row number of the parent; UINT32_MAX when depth is 0 */
	int64_t start_ns; /* of a missing one: its first orphan's */
	int64_t duration_ns; /* -1 while open, or missing */
	int64_t open_ns;     /* of one that was given up: after so long; else -1 */
	int64_t self_ns; /* duration less what children cover of it; -1 while open, or missing */
	enum record_status status;
};

struct tree_span;

/* Zero-initialise; read rows, row_count and the numbers after tree_build. */
struct tree {
	struct tree_row *rows;
	size_t row_count;
	size_t span_count;  /* rows that are spans and no duplicates */
	size_t error_count; /* of these, those that failed */
	size_t open_count;  /* of these, those that are pending */
	int64_t end_ns;	    /* the latest end of any span that ended or was given up; else start */
	/* the row whose columns are the trace's: its earliest root, without one its
	 * earliest span; UINT32_MAX when there is no span */
	uint32_t head;

	struct tree_span *spans; /* private */
	size_t given_count;
	size_t given_capacity;
};

/* Adds a span; nothing of record is kept. item is the caller's own number for it.
 * Of spans with the same id a final one replaces pending ones, equal lines count
 * once, and others are kept and flagged as duplicates. 0, -ENOMEM, or -E2BIG
 * beyond 2^32 - 2 spans. */
int tree_add(struct tree *tree, const struct record *record, uint32_t item) MUST_CHECK;

/* Makes the rows of all spans added so far; more may be added and it be called again.
 * 0 or -ENOMEM. */
int tree_build(struct tree *tree) MUST_CHECK;

/* Forgets all spans, keeps memory for the next trace. */
void tree_reset(struct tree *tree);

/* Releases everything. A zero-initialised or released one is fine. */
void tree_done(struct tree *tree);

#endif
