/* query.h: queries of a store, as a program makes them that knows nothing of it yet. */
#ifndef WAFT_BENCH_QUERY_H
#define WAFT_BENCH_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "measure.h"

/* Milliseconds in which one of a store's first traces, another for each number, was found by its id
 * and read; cold: the kernel held nothing of the store's files before. */
double query_show_ms(const char *path, uint64_t traces, uint64_t number, bool cold);

#endif
