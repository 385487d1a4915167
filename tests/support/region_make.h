/*
 * A client's region made by hand, for tests and the fuzzer of what reads one. One
 * thread at a time.
 */
#ifndef WAFT_TESTS_REGION_MAKE_H
#define WAFT_TESTS_REGION_MAKE_H

#include "region_layout.h"

#include <stddef.h>
#include <stdint.h>

enum {
	REGION_MADE_UNIT = 2,	   /* of the first chunk, 2 units */
	REGION_MADE_SECOND = 5,	   /* of the other */
	REGION_MADE_SLOTS = 9,	   /* of the open spans */
	REGION_MADE_FINISHED = 7,  /* in both chunks */
	REGION_MADE_TAKEN = 1,	   /* of these are answered, by `taken` */
	REGION_MADE_CUT = 1,	   /* and one by the cut of message 3 */
	REGION_MADE_OPEN = 2,	   /* spans, the second in the first */
	REGION_MADE_DURABLE = 3,   /* messages */
	REGION_MADE_DROPPED = 4,   /* spans without a record */
	REGION_MADE_CLIENT = 0xc1, /* each byte of its uuid */
};

/* Writes it into REGION_BYTES of zeroes. */
void region_make(uint8_t *bytes);

/* Where the bytes of a chunk that has them end, in the region. */
size_t region_made_end(const uint8_t *bytes, uint32_t unit);

#endif
