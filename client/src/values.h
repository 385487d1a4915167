/*
 * The encoded values that lie in the caller's struct waft_span, taken out of their
 * lanes (inline.h) and put back. Used by the thread that works on the span.
 */
#ifndef WAFT_CLIENT_VALUES_H
#define WAFT_CLIENT_VALUES_H

#include <stdbool.h>
#include <stdint.h>
#include <waft/waft.h>

/* All of a span's values in a row. */
struct values {
	uint32_t fill; /* bytes */
	uint8_t bytes[WAFT_VALUES_ROOM_];
};

void values_load(const struct waft_span *span, struct values *ret_values);

/* Puts them back, in as few lanes as there can be. */
void values_store(struct waft_span *span, const struct values *values);

/* One value more behind the others; false: there is no room. */
bool values_append(struct waft_span *span, const uint8_t *bytes, uint32_t length);

#endif
