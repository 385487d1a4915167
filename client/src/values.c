/* See values.h. */
#include "values.h"

#include <string.h>

void values_load(const struct waft_span *span, struct values *ret_values)
{
	uint32_t lanes = span->lanes_ / WAFT_LANE_STRIDE_;

	ret_values->fill = 0;
	for (uint32_t i = 0; i < lanes && i < WAFT_LANES_; i++) {
		const uint8_t *lane = (const uint8_t *)&span->values_[i];
		uint32_t length = lane[WAFT_LANE_BYTES_];

		memcpy(ret_values->bytes + ret_values->fill, lane, length);
		ret_values->fill += length;
	}
}

/* Into lanes from `first` on, which are enough. */
static void lanes_fill(
	struct waft_span *span, uint32_t first, const uint8_t *bytes, uint32_t length)
{
	struct waft_lane_ *lane = &span->values_[first];

	for (; length > 0; lane++) {
		uint32_t part = length < WAFT_LANE_BYTES_ ? length : WAFT_LANE_BYTES_;
		uint8_t value[WAFT_LANE_STRIDE_] = {0};

		memcpy(value, bytes, part);
		value[WAFT_LANE_BYTES_] = (uint8_t)part;
		WAFT_PAIR_(lane->value) = WAFT_PAIR_(value);
		bytes += part;
		length -= part;
	}
	span->lanes_ = (uint32_t)(lane - span->values_) * WAFT_LANE_STRIDE_;
}

void values_store(struct waft_span *span, const struct values *values)
{
	lanes_fill(span, 0, values->bytes, values->fill);
}

bool values_append(struct waft_span *span, const uint8_t *bytes, uint32_t length)
{
	uint32_t first = span->lanes_ / WAFT_LANE_STRIDE_;
	uint32_t lanes = (length + WAFT_LANE_BYTES_ - 1) / WAFT_LANE_BYTES_;
	struct values values;

	if (first + lanes <= WAFT_LANES_) {
		lanes_fill(span, first, bytes, length);
		return true;
	}
	values_load(span, &values);
	if (length > sizeof(values.bytes) - values.fill)
		return false;
	memcpy(values.bytes + values.fill, bytes, length);
	values.fill += length;
	values_store(span, &values);
	return true;
}
