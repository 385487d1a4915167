/*
 * The memory of a process that outlives it: one memfd of fixed size, mapped
 * shared, whose descriptor goes to the collector with the hello, so that a
 * killed process's spans can be read from it (by pread; nothing in it trusted).
 *
 * Its layout is that of region_layout.h.
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
#include "region_layout.h"

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

/* The process goes on under another uuid: what the region says of the old one's
 * numbers is void. Sender only; no cut is valid. said: of each reason, the drops that
 * are accounted for. */
void region_renew(struct region *region, const uint8_t client[16], const uint64_t *said);

/* Nothing that is left will be counted as sent: it is not to be salvaged. */
void region_close(struct region *region);

/* Publishes what the spans now in memory can be dated with. Sender only. */
void region_set_clock(struct region *region, const struct clock_span *clock);

#endif
