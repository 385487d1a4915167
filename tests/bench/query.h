/* query.h: queries of a store, as a program makes them that knows nothing of it yet. */
#ifndef WAFT_BENCH_QUERY_H
#define WAFT_BENCH_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "measure.h"

/* Adds the milliseconds in which some of a store's traces were found by their ids and
 * read; cold: the kernel holds nothing of its files before each. */
void query_show_times(const char *path, uint64_t traces, bool cold, struct samples *times);

#endif
