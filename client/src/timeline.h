/*
 * Pairs of the raw and the real clock over time, so that a batch is dated by
 * what was read around its spans. The sender's alone.
 */
#ifndef WAFT_CLIENT_TIMELINE_H
#define WAFT_CLIENT_TIMELINE_H

#include <stdint.h>

#include "clock.h"

enum { TIMELINE_PAIRS = 32 };

struct timeline {
	enum wire_clock_source source;
	uint32_t count;
	struct clock_pair origin; /* the first ever: the longest baseline */
	struct clock_pair pairs[TIMELINE_PAIRS];
};

/* Begins with the pair of now. */
void timeline_init(struct timeline *timeline, enum wire_clock_source source);

/* Remembers the pair of now; older ones thin out. */
void timeline_add(struct timeline *timeline);

/* Nanoseconds per tick, over all that was seen. Waits some 100 us where there is
 * next to nothing. */
double timeline_rate(const struct timeline *timeline);

/* The clock of a batch that closes now and whose first span began about raw. */
void timeline_span(const struct timeline *timeline, uint64_t raw, struct clock_span *ret_span);

#endif
