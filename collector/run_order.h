/*
 * The order of a run's spans in its file: parents before children, siblings by
 * start, then by span id (docs/STORE.md, "Which file a trace goes to").
 *
 * Depth first; spans whose parent isn't in the run stand where roots do. Of a
 * ring of parents the earliest is taken for a root. The order depends on the
 * spans alone, not on the order of their arrival. Not thread-safe.
 */
#ifndef WAFT_COLLECTOR_RUN_ORDER_H
#define WAFT_COLLECTOR_RUN_ORDER_H

#include "assembler.h"

/* Zero-initialised is empty; memory is reused from run to run. */
struct run_order {
	uint32_t *memory; /* owned */
	uint32_t capacity;
};

void run_order_done(struct run_order *order);

/* Fills *ret_indices with the indices of refs in their order; they stay valid
 * until the next call. 0 or -ENOMEM. */
int run_order_make(struct run_order *order, const struct span_ref *refs, uint32_t count,
	const uint32_t **ret_indices) MUST_CHECK;

#endif
