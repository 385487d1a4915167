/*
 * The cheapest collector there can be, for measuring a client: a child process
 * that reads frames, acknowledges all of them at once and forgets them.
 */
#ifndef WAFT_BENCH_SINK_H
#define WAFT_BENCH_SINK_H

#include <stdint.h>

/* Listens on the path before it returns; ends the program when it cannot. */
void sink_start(const char *path);

/* Payload bytes of batches it has read. */
uint64_t sink_bytes(void);

void sink_stop(void);

#endif
