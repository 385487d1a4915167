/*
 * What a span has beyond its shape's values: snapshots, status, attributes that
 * no shape holds, events and links; in its process's private memory until it
 * ends. Belongs to a slot; used by one thread at a time.
 */
#ifndef WAFT_CLIENT_EXTRA_H
#define WAFT_CLIENT_EXTRA_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "wire.h"

enum {
	EXTRA_KEEP_BYTES = 4096, /* buffers of idle slots are no larger */
	EXTRA_DETAIL_LIMIT = 48 * 1024,
	EXTRA_EVENTS_LIMIT = 128,
	EXTRA_LINKS_LIMIT = 128,
	EXTRA_ERROR_BYTES = 4096,
};

struct extra {
	bool used;   /* by the span of now */
	bool more;   /* there may be something but snapshots */
	bool failed; /* an error was set */
	uint8_t kind;
	struct buffer input;
	struct buffer output;
	struct buffer error;
	struct buffer detail; /* encoded fields attributes, events, links of Detail */
	uint32_t attributes;
	uint32_t events;
	uint32_t links;
	uint32_t dropped_attributes;
	uint32_t dropped_events;
	uint32_t dropped_links;
};

/* Empties it, of which there are only snapshots. */
static inline void extra_clear_snapshots(struct extra *extra)
{
	buffer_clear(&extra->input, EXTRA_KEEP_BYTES);
	buffer_clear(&extra->output, EXTRA_KEEP_BYTES);
	extra->used = false;
}

/* Empties it for the next span. Takes NULL. */
void extra_clear(struct extra *extra);

/* The length of the Detail message and its fields into to; both without what is
 * empty. pending: whatever the status was. span_id 0: none. */
size_t extra_detail_length(const struct extra *extra, bool pending, uint64_t span_id);
uint8_t *extra_detail_write(uint8_t *to, const struct extra *extra, bool pending, uint64_t span_id);

#endif
