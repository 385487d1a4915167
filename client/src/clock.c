/* See clock.h. */
#include "clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PAIR_TRIES = 5,
	STEP_NS = 1000,
	BASELINE_NS = 20000000, /* shorter: the pairs' own error counts */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t clock_raw(enum wire_clock_source source)
{
#if defined(__x86_64__)
	if (source == WIRE_CLOCK_TSC)
		return __builtin_ia32_rdtsc();
#endif
	(void)source;
	return clock_monotonic_ns();
}

void clock_pair_read(enum wire_clock_source source, struct clock_pair *ret_pair)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < PAIR_TRIES; i++) {
		uint64_t before = clock_raw(source);
		uint64_t realtime = clock_realtime_ns();
		uint64_t middle = clock_raw(source);
		uint64_t monotonic = clock_monotonic_ns();
		uint64_t after = clock_raw(source);

		if (after - before >= best)
			continue;
		best = after - before;
		/* Both readings moved to the moment `middle`, as if each were taken half
		 * way between its neighbours; what is left is the same in every pair. */
		ret_pair->raw = middle;
		ret_pair->realtime_ns = realtime;
		ret_pair->monotonic_ns = monotonic;
	}
}

enum wire_clock_source clock_watch_source(struct clock_watch *watch)
{
#if defined(__x86_64__)
	char name[8];
	ssize_t length;

	if (!descriptor_check(&watch->file))
		descriptor_set(&watch->file,
			open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
				O_RDONLY | O_CLOEXEC));
	if (watch->file.fd < 0)
		return WIRE_CLOCK_MONOTONIC;
	length = pread(watch->file.fd, name, sizeof(name), 0);
	if (length == 4 && memcmp(name, "tsc\n", 4) == 0)
		return WIRE_CLOCK_TSC;
#else
	(void)watch;
#endif
	return WIRE_CLOCK_MONOTONIC;
}

void clock_watch_done(struct clock_watch *watch)
{
	descriptor_close(&watch->file);
}

void clock_span_make(struct clock_span *ret_span, enum wire_clock_source source,
	const struct clock_pair *open, const struct clock_pair *close, double fallback)
{
	int64_t monotonic = (int64_t)(close->monotonic_ns - open->monotonic_ns);
	int64_t realtime = (int64_t)(close->realtime_ns - open->realtime_ns);
	int64_t apart = realtime - monotonic;
	uint64_t ticks = close->raw - open->raw;

	*ret_span = (struct clock_span){
		.source = source, .open = *open, .close = *close, .ns_per_tick = fallback};
	if (source == WIRE_CLOCK_MONOTONIC)
		ret_span->ns_per_tick = 1;
	else if (monotonic >= BASELINE_NS && ticks > 0)
		ret_span->ns_per_tick = (double)monotonic / (double)ticks;
	ret_span->stepped = apart > STEP_NS || apart < -STEP_NS;
}
