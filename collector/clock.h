/*
 * The two clocks that the collector reads, as a table of functions.
 *
 * Everything that depends on time takes a `struct clock` or the value read
 * from one, so that tests choose the time. MONOTONIC drives timers and
 * deadlines; REALTIME stamps what is stored and picks days. Any thread.
 */
#ifndef WAFT_COLLECTOR_CLOCK_H
#define WAFT_COLLECTOR_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_MS UINT64_C(1000000)
#define CLOCK_NS_PER_S UINT64_C(1000000000)

struct clock {
	/* Nanoseconds of CLOCK_MONOTONIC. */
	uint64_t (*monotonic_ns)(const struct clock *clock);
	/* Nanoseconds since 1970, of CLOCK_REALTIME. */
	uint64_t (*realtime_ns)(const struct clock *clock);
};

/* The system's clocks. Static, shared by everyone. */
extern const struct clock clock_system;

static inline uint64_t clock_monotonic_ns(const struct clock *clock)
{
	return clock->monotonic_ns(clock);
}

static inline uint64_t clock_realtime_ns(const struct clock *clock)
{
	return clock->realtime_ns(clock);
}

/* Milliseconds of the monotonic clock. */
static inline uint64_t clock_monotonic_ms(const struct clock *clock)
{
	return clock->monotonic_ns(clock) / CLOCK_NS_PER_MS;
}

#endif
