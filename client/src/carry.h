/*
 * What travels along a trace: W3C tracestate and baggage. Immutable and shared
 * by reference count, so that contexts and spans can hold it on any thread.
 *
 * Baggage members are the trace's metadata: they are attributes of its spans
 * here, and go on to the next process. Those whose key must not be seen go on,
 * but their value is redacted here.
 */
#ifndef WAFT_CLIENT_CARRY_H
#define WAFT_CLIENT_CARRY_H

#include <stddef.h>
#include <stdint.h>

enum {
	CARRY_STATE_BYTES = 512, /* W3C Trace Context 2, 3.3.1.5: at least this propagates */
	CARRY_STATE_LARGE = 128, /* longer members go first */
	CARRY_STATE_MEMBERS = 32,
	CARRY_BAGGAGE_BYTES = 8192, /* W3C Baggage 3.3.2 */
	CARRY_BAGGAGE_MEMBERS = 64,
};

struct waft_carry {
	uint32_t references;
	uint32_t state_length;
	uint32_t baggage_length;
	uint32_t trace_length; /* of the fields of waft.proto's Trace behind the id */
	char text[];	       /* state, NUL, baggage, NUL, trace */
};

static inline const char *carry_state(const struct waft_carry *carry)
{
	return carry->text;
}

static inline const char *carry_baggage(const struct waft_carry *carry)
{
	return carry->text + carry->state_length + 1;
}

static inline const uint8_t *carry_trace(const struct waft_carry *carry)
{
	return (const uint8_t *)carry_baggage(carry) + carry->baggage_length + 1;
}

/* From header values, either of which may be NULL. What the standards call
 * invalid is left out: a tracestate as a whole, baggage by member. NULL when
 * nothing is left or memory is short. Owned: carry_release. */
struct waft_carry *carry_new(const char *state, const char *baggage);

/* One more baggage member, in place of an older one of the same key. key is an
 * RFC 7230 token; the value may be any text. NULL (and the old one stands) when
 * the key is none, there is no room, or no memory. Borrows carry (may be NULL). */
struct waft_carry *carry_add(const struct waft_carry *carry, const char *key, const char *value);

/* Takes NULL. */
struct waft_carry *carry_retain(struct waft_carry *carry);
void carry_release(struct waft_carry *carry);

#endif
