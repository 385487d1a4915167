/*
 * batch_hot.h: spans in the form that libwaft gives nearly all of them, decoded without a
 * cursor and without a look at what they could have besides; and what this shares with
 * the long way, in batch.c, which takes whatever is not of this form. Both make the same
 * view of the same bytes. For batch.c alone.
 */
#ifndef WAFT_PROTO_BATCH_HOT_H
#define WAFT_PROTO_BATCH_HOT_H

#include "batch_internal.h"

/* What a span's fields said, before it is turned into a view. */
struct span_fields {
	uint64_t times;
	uint64_t ids;
	uint64_t parent_id;
	uint64_t end_raw;
	uint64_t duration_raw;
	struct slice trace;
	uint32_t trace_at;
	uint8_t next[WIRE_KEY_TYPES + 2]; /* next of each type, as in first_of_type */
};

/* All that span_decode does not set anyway. Field by field: a memset of these
 * 200 bytes took a third of the time of a hot span. */
static inline void view_clear(struct span_view *view)
{
	view->status = WIRE_STATUS_SUCCESS;
	view->kind = WIRE_KIND_INTERNAL;
	view->repairs = 0;
	view->input = view->output = view->error = view->detail = (struct slice){0};
	view->dropped_attributes = view->dropped_events = view->dropped_links = 0;
	view->attribute_count = view->event_count = view->link_count = 0;
	view->present = 0;
}

/* An id and nothing else, which nearly all traces are: sets it. */
static inline bool set_plain_trace(struct batch_iter *iter, uint32_t at, struct slice bytes)
{
	uint64_t id[2];

	if (bytes.length != 2 + sizeof(id) || bytes.data[0] != TAG_TRACE_TRACE_ID ||
		bytes.data[1] != sizeof(id))
		return false;
	memcpy(id, bytes.data + 2, sizeof(id));
	if ((id[0] | id[1]) == 0)
		return false;
	iter->trace = (struct batch_trace){.bytes = bytes};
	memcpy(iter->trace.id.bytes, id, sizeof(id));
	iter->trace_at = at;
	return true;
}

static inline void set_ids(
	const struct batch_iter *iter, const struct span_fields *fields, struct span_view *view)
{
	uint64_t base = iter->id_base + (uint32_t)fields->ids;
	uint16_t distance = (uint16_t)(fields->ids >> 32);

	view->span_id = id_mix(base);
	view->parent_id = fields->parent_id;
	if (distance != 0) {
		view->parent_id = id_mix(base - distance);
		if (view->parent_id == 0)
			view->repairs |= REPAIR_PARENT_ID;
	}
}

static inline void set_times(const struct batch *batch, const struct batch_iter *iter,
	const struct span_fields *fields, struct span_view *view)
{
	const struct batch_clock *clock = &batch->clock;
	uint64_t end =
		fields->end_raw != 0 ? fields->end_raw : iter->clock_base + (uint32_t)fields->times;
	uint64_t duration = fields->duration_raw != 0 ? fields->duration_raw : fields->times >> 32;
	bool bad = false;
	uint64_t end_ns = batch_convert_time(clock, end, &bad);

	if (bad)
		view->repairs |= REPAIR_TIMESTAMP;
	if (clock->ns_per_tick != 1) {
		double ns = (double)duration * clock->ns_per_tick + 0.5;

		duration = ns < 9.2e18 ? (uint64_t)(int64_t)ns : UINT64_MAX;
	}
	if (duration > end_ns) {
		view->repairs |= REPAIR_DURATION;
		duration = 0;
	}
	view->duration_ns = duration;
	view->start_ns = end_ns - duration;
}

/* ---- Hot spans ---------------------------------------------------------- */

/* The values of a span that has those of the shape's first keys in their order, each as
 * libwaft writes it; returns where they end. */
static inline const uint8_t *ordered_values(
	const struct batch *batch, const uint8_t *at, const uint8_t *end, struct span_view *view)
{
	const struct batch_key *keys = &batch->keys[view->shape->keys];
	unsigned int count = view->shape->plain_keys;
	unsigned int key = 0;

	for (; key < count && end - at >= 2 && at[0] == keys[key].tag; key++) {
		unsigned int width = keys[key].width;

		/* A text of up to 127 bytes, or a bool. */
		if (width <= 2) {
			if (at[1] >= 0x80)
				break;
			width = width == 0 ? 2 + (unsigned int)at[1] : width;
		}
		if (end - at < (ptrdiff_t)width)
			break;
		view->values[key] = batch_offset(batch, at + 1);
		at += width;
	}
	view->present = key > 0 ? ~UINT64_C(0) >> (64 - key) : 0;
	return at;
}

/* A length in three bytes, as libwaft writes those of snapshots, and so many bytes. */
static inline const uint8_t *hot_snapshot(
	const uint8_t *at, const uint8_t *end, uint8_t tag, struct slice *ret)
{
	uint32_t length;

	if (end - at < 4 || at[0] != tag || at[1] < 0x80 || at[2] < 0x80 || at[3] >= 0x80)
		return at;
	length = (at[1] & 0x7f) | (uint32_t)(at[2] & 0x7f) << 7 | (uint32_t)at[3] << 14;
	if (length == 0 || length > (size_t)(end - at) - 4)
		return at;
	*ret = slice_of(at + 4, length);
	return at + 4 + length;
}

static inline const uint8_t *hot_snapshots(
	const uint8_t *at, const uint8_t *end, struct span_view *view)
{
	at = hot_snapshot(at, end, TAG_SPAN_INPUT, &view->input);
	return hot_snapshot(at, end, TAG_SPAN_OUTPUT, &view->output);
}

/* A span as nearly all are: times and ids, the id of a new trace, values in the order of
 * the shape's keys, a parent of another section, snapshots; nothing is to be repaired. False: it
 * may be another, span_decode_any has to look. */
static inline bool span_decode_hot(const struct batch *batch, struct batch_iter *iter,
	uint32_t place, struct slice bytes, struct span_view *view)
{
	const uint8_t *at = bytes.data;
	const uint8_t *end = at + bytes.length;
	struct span_fields fields;
	uint32_t shape_id;
	uint32_t index;

	if (bytes.length < 18 || at[0] != TAG_SPAN_TIMES || at[9] != TAG_SPAN_IDS)
		return false;
	fields.times = le64_read(at + 1);
	fields.ids = le64_read(at + 10);
	fields.end_raw = fields.duration_raw = fields.parent_id = 0;
	shape_id = (uint32_t)(fields.ids >> 48);
	index = shape_id < batch->id_capacity ? batch->shape_by_id[shape_id] : 0;
	if (index == 0)
		return false;
	view_clear(view);
	view->wire_bytes = (uint32_t)bytes.length;
	view->shape = &batch->shapes[index - 1];
	at += 18;
	if (end - at >= 20 && at[0] == TAG_SPAN_TRACE && at[1] == 18) {
		if (!set_plain_trace(iter, batch_offset(batch, at), slice_of(at + 2, 18)))
			return false;
		at += 20;
	}
	at = ordered_values(batch, at, end, view);
	if (end - at >= 9 && at[0] == TAG_SPAN_PARENT_ID) {
		fields.parent_id = le64_read(at + 1);
		at += 9;
	}
	if (at != end)
		at = hot_snapshots(at, end, view);
	if (at != end || bytes.length > WIRE_SPAN_LIMIT)
		return false;
	view->trace = &iter->trace;
	view->thread = iter->thread;
	view->place = (struct span_place){iter->section, place, iter->trace_at};
	set_ids(iter, &fields, view);
	set_times(batch, iter, &fields, view);
	view->repairs |= iter->trace.repairs;
	return view->span_id != 0;
}

/* The Span field at `at`, if its length has two or three bytes, as libwaft writes it. */
static inline bool hot_field(
	const struct batch *batch, uint32_t at, uint32_t end, struct slice *ret_bytes)
{
	const uint8_t *from = batch->bytes + at;
	uint32_t head = 3;
	uint32_t length;

	if (at >= end || end - at < 4 || from[0] != TAG_SECTION_SPANS || from[1] < 0x80)
		return false;
	length = (from[1] & 0x7f) | (uint32_t)(from[2] & 0x7f) << 7;
	if (from[2] >= 0x80) {
		if (from[3] >= 0x80)
			return false;
		length |= (uint32_t)from[3] << 14;
		head = 4;
	}
	*ret_bytes = slice_of(from + head, length);
	return length <= end - at - head;
}

#endif
