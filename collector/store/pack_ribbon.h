/*
 * pack_ribbon.h: a set of hashes in few bits: a ribbon filter (Dillinger, Walzer: "Ribbon filter:
 * practically smaller than Bloom and Xor"). Private to pack_read.c and pack_write.c.
 *
 * Each hash asks that r sums (of bits, modulo 2) be as it says: each over some of 64 slots in a
 * row, of one of r columns of m slots. The slots are chosen so that all hashes of the set are
 * content; of others 1 in 2^r is. With r bits in m slots of about 1.05 a hash that takes a third
 * less than a Bloom filter.
 *
 * Bytes: u8 (r in the low half; in the high half the number of the try that did it), then the
 * columns, one behind the other, of as many slots as there is room for.
 */
#ifndef WAFT_STORE_PACK_RIBBON_H
#define WAFT_STORE_PACK_RIBBON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "slice.h"

/* Appends a set of count (more than 0) different hashes; table has them, and zeros. It has as many
 * columns as max_bits allow, columns_max at most. *ret: its length; 0: there is no room for one, or
 * (with hashes that are alike) it can't be made. 0 or -ENOMEM. */
int ribbon_put(const uint64_t *table, size_t capacity, size_t count, size_t max_bits,
	unsigned int columns_max, struct bytes *to, size_t *ret) MUST_CHECK;

/* Whether all of these may be in the set. What is no set has all. */
bool ribbon_may_have(struct slice set, const uint64_t *hashes, size_t count);

#endif
