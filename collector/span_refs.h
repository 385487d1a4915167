/*
 * The spans of a batch as references, grouped by trace: what the intake keeps
 * from the decoding of a batch until it is durable. Not thread-safe.
 */
#ifndef WAFT_COLLECTOR_SPAN_REFS_H
#define WAFT_COLLECTOR_SPAN_REFS_H

#include "assembly.h"
#include "batch.h"

/* Zero-initialised is empty; memory is reused from batch to batch. */
struct span_refs {
	struct span_ref *refs;	   /* owned */
	struct span_group *groups; /* owned */
	uint32_t count;
	uint32_t capacity;
	uint32_t group_count;
	uint32_t group_capacity;
};

void span_refs_done(struct span_refs *refs);

/* Takes in all spans of an open batch, checking all of it. `skip` (may be NULL)
 * tells which positions to leave out. 0, -ENOMEM, or the ERR_ code for which the
 * batch is to be refused. Segment and offset are left 0. */
int span_refs_read(struct span_refs *refs, struct batch *batch,
	bool (*skip)(void *context, uint32_t position), void *context) MUST_CHECK;

/* Room for all of them in the assembly. */
int span_refs_reserve(const struct span_refs *refs, struct assembly *assembly) MUST_CHECK;
void span_refs_unreserve(const struct span_refs *refs, struct assembly *assembly);

/* Says where the batch has come to lie, and adds all to the assembly, where room
 * must be reserved. */
void span_refs_add(struct span_refs *refs, struct assembly *assembly, uint32_t segment,
	uint32_t offset, uint64_t now_ms);

#endif
