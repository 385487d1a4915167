/*
 * Memory for what is large and asked for here and there: in the processor's larger pages
 * where the kernel has some, so that it knows where all of it lies. What the kernel hands
 * to a device from there is one piece, too, instead of one for each 4 KiB.
 */
#ifndef WAFT_STORE_HUGE_H
#define WAFT_STORE_HUGE_H

#include <stddef.h>

#include "errors.h"

enum { HUGE_BYTES = 2 << 20 };

/* Of any bytes, for free(); as malloc below HUGE_BYTES, of whole such pages from there on.
 * NULL without memory. */
MUST_CHECK void *huge_alloc(size_t bytes);

/* The same, all 0. */
MUST_CHECK void *huge_calloc(size_t bytes);

#endif
