/*
 * heap_peak.h: how much memory of malloc's the process holds, and held at most. It counts what
 * was asked for, not what the allocator adds. One thread: what others take is counted, too.
 */
#ifndef WAFT_TESTS_HEAP_PEAK_H
#define WAFT_TESTS_HEAP_PEAK_H

#include <stddef.h>

/* Counts from now on, from nothing. */
void heap_peak_begin(void);

/* The most that was held since, beyond what was held then. */
size_t heap_peak_bytes(void);

#endif
