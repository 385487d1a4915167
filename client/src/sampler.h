/*
 * Which traces are recorded: the samplers of OTEL_TRACES_SAMPLER. By the last
 * 56 bits of the trace id alone (OpenTelemetry, "TraceState: Probability
 * Sampling": sampled when R >= T), so that every process of a trace decides
 * alike. Pure and thread-safe.
 */
#ifndef WAFT_CLIENT_SAMPLER_H
#define WAFT_CLIENT_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

struct sampler {
	bool parent_based;  /* a parent's decision is taken over */
	uint64_t threshold; /* 0: all; 2^56: none */
};

/* name: always_on, always_off, traceidratio, parentbased_ with one of these; arg:
 * the ratio, 0 to 1. -EINVAL, with parentbased_always_on set. */
int sampler_parse(const char *name, const char *arg, struct sampler *ret_sampler);

static inline bool sampler_decide(const struct sampler *sampler, const uint8_t trace_id[16])
{
	const uint8_t *at = trace_id + 8;
	uint64_t r;

	if (sampler->threshold == 0)
		return true;
	/* All eight bytes, so that it becomes one load. */
	r = (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 |
	    (uint64_t)at[3] << 32 | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 |
	    (uint64_t)at[6] << 8 | at[7];
	r &= (UINT64_C(1) << 56) - 1;
	return r >= sampler->threshold;
}

#endif
