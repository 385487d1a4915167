/*
 * The raw clock of spans and its relation to real time. Raw is rdtsc while the
 * kernel itself keeps time by it, else CLOCK_MONOTONIC in nanoseconds.
 */
#ifndef WAFT_CLIENT_CLOCK_H
#define WAFT_CLIENT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "descriptor.h"
#include "wire.h"

/* Nanoseconds of a POSIX clock. */
uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);

/* The source that <waft/inline.h> reads by itself. */
#if defined(__x86_64__)
#define CLOCK_INLINED WIRE_CLOCK_TSC
#else
#define CLOCK_INLINED WIRE_CLOCK_MONOTONIC
#endif

/* The raw clock of a source. */
uint64_t clock_raw(enum wire_clock_source source);

/* The same moment on all clocks. */
struct clock_pair {
	uint64_t raw;
	uint64_t monotonic_ns;
	uint64_t realtime_ns;
};

/* Reads them as close together as a few tries allow (tens of nanoseconds). */
void clock_pair_read(enum wire_clock_source source, struct clock_pair *ret_pair);

/* Tells which source to use, again and again: keeps the kernel's file open. */
struct clock_watch {
	struct descriptor file;
};

/* The source of now. Opens the file at first, and again when the host closed it. */
enum wire_clock_source clock_watch_source(struct clock_watch *watch);
void clock_watch_done(struct clock_watch *watch);

/* What a batch says of its clock (waft.proto, Clock). */
struct clock_span {
	enum wire_clock_source source;
	struct clock_pair open;
	struct clock_pair close;
	double ns_per_tick;
	bool stepped;
};

/* Calibration between two pairs: ticks by the monotonic clock, and whether the
 * real-time clock went another way by more than 1 us. fallback: ns per tick
 * where the pairs are too close to tell. */
void clock_span_make(struct clock_span *ret_span, enum wire_clock_source source,
	const struct clock_pair *open, const struct clock_pair *close, double fallback);

#endif
