/*
 * Shared by the files of the batch decoder (batch*.c) and by nothing else.
 */
#ifndef WAFT_PROTO_BATCH_INTERNAL_H
#define WAFT_PROTO_BATCH_INTERNAL_H

#include "batch.h"

/* The offset of a place in the batch's bytes. */
static inline uint32_t batch_offset(const struct batch *batch, const uint8_t *at)
{
	return (uint32_t)(at - batch->bytes);
}

static inline struct cursor batch_cursor(const struct batch *batch, uint32_t from, uint32_t to)
{
	return (struct cursor){.at = batch->bytes + from, .end = batch->bytes + to};
}

/* An id for one that was zero: the same each time, for these bytes and offset. */
uint64_t batch_made_id(struct batch *batch, uint32_t offset);

/* Walk a nested message: 0 or why the batch is to be refused. */
int batch_check_key_value(struct slice bytes);
int batch_check_event(struct slice bytes);
int batch_check_link(struct slice bytes);

/* Reads a Value; *ret is VALUE_NONE when it holds none. The bytes are checked. */
void batch_read_value(struct slice bytes, struct value *ret);

/* Key and every text in the value. */
bool attribute_valid_utf8(const struct attribute *attribute);

/* Walks the attributes under one tag of a message, without a span. */
void attribute_iter_list(struct slice message, uint32_t tag, struct attribute_iter *ret_iter);

/* The largest double below 2^63. */
#define BATCH_NS_MAX 9223372036854774784.0

/* Nanoseconds since 1970; *ret_bad is set (never cleared) when it was clamped. */
static inline uint64_t batch_convert_time(
	const struct batch_clock *clock, uint64_t raw, bool *ret_bad)
{
	int64_t delta = (int64_t)(raw - clock->close_raw);
	int64_t time;

	if (clock->ns_per_tick != 1) {
		double ns = (double)delta * clock->ns_per_tick;

		if (ns >= BATCH_NS_MAX || ns <= -BATCH_NS_MAX)
			goto beyond;
		delta = (int64_t)(ns + (ns < 0 ? -0.5 : 0.5));
	}
	if (!__builtin_add_overflow((int64_t)clock->close_realtime_ns, delta, &time) && time >= 0)
		return (uint64_t)time;
beyond:
	*ret_bad = true;
	return raw - clock->close_raw > INT64_MAX ? 0 : INT64_MAX;
}

#endif
