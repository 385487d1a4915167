/* See timeline.h. */
#include "timeline.h"

#include <string.h>

enum { BASELINE_NS = 100 * 1000 };

void timeline_init(struct timeline *timeline, enum wire_clock_source source)
{
	timeline->source = source;
	timeline->count = 1;
	clock_pair_read(source, &timeline->pairs[0]);
	timeline->origin = timeline->pairs[0];
}

void timeline_add(struct timeline *timeline)
{
	if (timeline->count == TIMELINE_PAIRS) {
		for (uint32_t i = 1; i < TIMELINE_PAIRS / 2; i++)
			timeline->pairs[i] = timeline->pairs[2 * i];
		timeline->count = TIMELINE_PAIRS / 2;
	}
	clock_pair_read(timeline->source, &timeline->pairs[timeline->count++]);
}

static double rate_between(const struct clock_pair *from, const struct clock_pair *to)
{
	if (to->raw == from->raw)
		return 1;
	return (double)(to->monotonic_ns - from->monotonic_ns) / (double)(to->raw - from->raw);
}

double timeline_rate(const struct timeline *timeline)
{
	struct clock_pair now;

	if (timeline->source == WIRE_CLOCK_MONOTONIC)
		return 1;
	do {
		clock_pair_read(timeline->source, &now);
	} while (now.monotonic_ns - timeline->origin.monotonic_ns < BASELINE_NS);
	return rate_between(&timeline->origin, &now);
}

void timeline_span(const struct timeline *timeline, uint64_t raw, struct clock_span *ret_span)
{
	const struct clock_pair *open = &timeline->pairs[0];
	struct clock_pair close;

	for (uint32_t i = 1; i < timeline->count && timeline->pairs[i].raw <= raw; i++)
		open = &timeline->pairs[i];
	clock_pair_read(timeline->source, &close);
	clock_span_make(ret_span, timeline->source, open, &close, timeline_rate(timeline));
}
