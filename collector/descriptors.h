/*
 * descriptors.h: descriptors, shared out between connections and everything else.
 *
 * A peer that is turned away is told so and costs nothing; a store that can't open
 * its files stops everybody. So connections get what is left when store, log and
 * queries have theirs. Loop thread.
 */
#ifndef WAFT_COLLECTOR_DESCRIPTORS_H
#define WAFT_COLLECTOR_DESCRIPTORS_H

#include <stdint.h>

/* Raises the limit of open files as far as the hard limit allows, at the start. */
void descriptors_raise(void);

/* At most `wanted` connections: as many as the limit of open files leaves beside those
 * that are open now, less `connections` of these, and those that the store and
 * `queries` at once may need. At least 1. */
uint32_t descriptors_for_connections(uint32_t wanted, uint32_t connections, uint32_t queries);

#endif
