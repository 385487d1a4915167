/*
 * Going through the spans of an opened batch; see batch.h. One pass over the
 * bytes per span: the hot fields are in a fixed place, values are noted by
 * offset, and only spans with a Detail are looked into further.
 */
#include "batch.h"

#include "batch_hot.h"
#include "batch_internal.h"

/* ---- Trace -------------------------------------------------------------- */

static int trace_parse(struct slice bytes, struct batch_trace *ret)
{
	struct batch_trace trace = {.bytes = bytes};
	struct cursor cursor = cursor_of_slice(bytes);
	struct slice id = {0};

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_TRACE_TRACE_ID) {
			id = cursor_bytes(&cursor);
		} else if (tag == TAG_TRACE_STATE) {
			trace.state = cursor_bytes(&cursor);
		} else if (tag == TAG_TRACE_ATTRIBUTES) {
			int error = batch_check_key_value(cursor_bytes(&cursor));

			if (error != 0)
				cursor_fail(&cursor, error);
			trace.attribute_count++;
		} else {
			cursor_skip(&cursor, tag);
		}
	}
	if (cursor.error != 0)
		return cursor.error;
	if (id.length != 0 && id.length != sizeof(trace.id.bytes))
		return ERR_MALFORMED;
	if (id.length != 0)
		memcpy(trace.id.bytes, id.data, id.length);
	if (trace.state.length == 0)
		trace.state.data = NULL;
	*ret = trace;
	return 0;
}

static int set_any_trace(
	struct batch *batch, struct batch_iter *iter, uint32_t at, struct slice bytes)
{
	struct batch_trace trace;
	int ret = trace_parse(bytes, &trace);

	if (ret != 0)
		return ret;
	if (trace_id_is_zero(&trace.id)) {
		uint32_t seed = at != 0 ? at : iter->section;

		trace.repairs = REPAIR_TRACE_ID;
		le64_write(trace.id.bytes, batch_made_id(batch, seed));
		le64_write(trace.id.bytes + 8, batch_made_id(batch, ~seed));
		/* UUIDv4, as new trace ids are. */
		trace.id.bytes[6] = (trace.id.bytes[6] & 0x0f) | 0x40;
		trace.id.bytes[8] = (trace.id.bytes[8] & 0x3f) | 0x80;
	}
	iter->trace = trace;
	iter->trace_at = at;
	return 0;
}

/* Makes it the trace of the spans from here on. at: of the field's tag, 0 when
 * there is none. */
static inline int set_trace(
	struct batch *batch, struct batch_iter *iter, uint32_t at, struct slice bytes)
{
	return set_plain_trace(iter, at, bytes) ? 0 : set_any_trace(batch, iter, at, bytes);
}

/* ---- Detail ------------------------------------------------------------- */

static void set_status(struct span_view *view, uint64_t status)
{
	view->repairs &= ~(uint32_t)REPAIR_STATUS;
	view->status = (uint8_t)status;
	if (status > WIRE_STATUS_PENDING) {
		view->repairs |= REPAIR_STATUS;
		view->status = WIRE_STATUS_SUCCESS;
	}
}

static void set_kind(struct span_view *view, uint64_t kind)
{
	view->repairs &= ~(uint32_t)REPAIR_KIND;
	view->kind = (uint8_t)kind;
	if (kind >= WIRE_KINDS) {
		view->repairs |= REPAIR_KIND;
		view->kind = WIRE_KIND_INTERNAL;
	}
}

static uint32_t cut_to_32_bits(uint64_t value)
{
	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static int detail_field(
	struct cursor *cursor, uint32_t tag, struct span_view *view, uint64_t *span_id)
{
	switch (tag) {
	case TAG_DETAIL_STATUS:
		set_status(view, cursor_varint(cursor));
		return 0;
	case TAG_DETAIL_ERROR:
		view->error = cursor_bytes(cursor);
		return 0;
	case TAG_DETAIL_KIND:
		set_kind(view, cursor_varint(cursor));
		return 0;
	case TAG_DETAIL_ATTRIBUTES:
		view->attribute_count++;
		return batch_check_key_value(cursor_bytes(cursor));
	case TAG_DETAIL_EVENTS:
		view->event_count++;
		return batch_check_event(cursor_bytes(cursor));
	case TAG_DETAIL_LINKS:
		view->link_count++;
		return batch_check_link(cursor_bytes(cursor));
	case TAG_DETAIL_DROPPED_ATTRIBUTES:
		view->dropped_attributes = cut_to_32_bits(cursor_varint(cursor));
		return 0;
	case TAG_DETAIL_DROPPED_EVENTS:
		view->dropped_events = cut_to_32_bits(cursor_varint(cursor));
		return 0;
	case TAG_DETAIL_DROPPED_LINKS:
		view->dropped_links = cut_to_32_bits(cursor_varint(cursor));
		return 0;
	case TAG_DETAIL_SPAN_ID:
		*span_id = cursor_fixed64(cursor);
		return 0;
	default:
		cursor_skip(cursor, tag);
		return 0;
	}
}

static int detail_parse(struct span_view *view)
{
	struct cursor cursor = cursor_of_slice(view->detail);
	uint64_t span_id = 0;

	while (cursor_more(&cursor)) {
		int error = detail_field(&cursor, cursor_tag(&cursor), view, &span_id);

		if (error != 0)
			cursor_fail(&cursor, error);
	}
	if (cursor.error != 0)
		return cursor.error;
	if (view->error.length == 0)
		view->error.data = NULL;
	if (view->repairs & REPAIR_STATUS && view->error.data != NULL)
		view->status = WIRE_STATUS_ERROR;
	if (span_id != 0)
		view->span_id = span_id;
	return 0;
}

/* ---- Span --------------------------------------------------------------- */

/* Notes where the next value of a type is. */
static inline void place_value(const struct batch *batch, struct span_view *view,
	struct span_fields *fields, unsigned int type, const uint8_t *at)
{
	const struct batch_shape *shape = view->shape;
	unsigned int n = fields->next[type];
	unsigned int key;

	if (n >= shape->first_of_type[type + 1]) {
		view->repairs |= REPAIR_ATTRIBUTES;
		return;
	}
	fields->next[type] = (uint8_t)(n + 1);
	key = batch->keys[shape->keys + n].typed;
	view->values[key] = batch_offset(batch, at);
	view->present |= UINT64_C(1) << key;
}

/* Values in protobuf's packed form, which waft.proto does not ask for but every
 * protobuf reader takes. width 0: varints. */
static void packed_values(const struct batch *batch, struct cursor *outer, struct span_view *view,
	struct span_fields *fields, unsigned int type, unsigned int width)
{
	struct cursor cursor = cursor_of_slice(cursor_bytes(outer));

	while (cursor_more(&cursor)) {
		const uint8_t *at = cursor.at;

		if (width == 0)
			(void)cursor_varint(&cursor);
		else
			(void)cursor_take(&cursor, width);
		if (cursor.error == 0)
			place_value(batch, view, fields, type, at);
	}
	if (cursor.error != 0)
		cursor_fail(outer, cursor.error);
}

static void rare_field(const struct batch *batch, struct cursor *cursor, uint32_t tag,
	const uint8_t *tag_at, struct span_view *view, struct span_fields *fields)
{
	switch (tag) {
	case TAG_SPAN_TRACE:
		fields->trace_at = batch_offset(batch, tag_at);
		fields->trace = cursor_bytes(cursor);
		break;
	case TAG_SPAN_PARENT_ID:
		fields->parent_id = cursor_fixed64(cursor);
		break;
	case TAG_SPAN_DETAIL:
		view->detail = cursor_bytes(cursor);
		break;
	case TAG_SPAN_END_RAW:
		fields->end_raw = cursor_fixed64(cursor);
		break;
	case TAG_SPAN_DURATION_RAW:
		fields->duration_raw = cursor_fixed64(cursor);
		break;
	case WIRE_TAG(5, WIRE_BYTES):
		packed_values(batch, cursor, view, fields, WIRE_KEY_INT32, 4);
		break;
	case WIRE_TAG(6, WIRE_BYTES):
		packed_values(batch, cursor, view, fields, WIRE_KEY_INT64, 8);
		break;
	case WIRE_TAG(7, WIRE_BYTES):
		packed_values(batch, cursor, view, fields, WIRE_KEY_DOUBLE, 8);
		break;
	case WIRE_TAG(8, WIRE_BYTES):
		packed_values(batch, cursor, view, fields, WIRE_KEY_BOOL, 0);
		break;
	default:
		cursor_skip(cursor, tag);
	}
}

/* The values of a hot span, as far as they come in the forms that libwaft
 * writes; what is left is span_rest's. */
static void hot_values(const struct batch *batch, struct cursor *cursor, struct span_view *view,
	struct span_fields *fields)
{
	const uint8_t *at = cursor->at;
	size_t left = cursor_left(cursor);

	for (;;) {
		size_t width;

		if (left >= 2 && at[0] == TAG_SPAN_STRINGS && at[1] < 0x80) {
			width = 2 + (size_t)at[1];
			if (width > left)
				break;
			place_value(batch, view, fields, WIRE_KEY_STRING, at + 1);
		} else if (left >= 5 && at[0] == TAG_SPAN_INTS) {
			width = 5;
			place_value(batch, view, fields, WIRE_KEY_INT32, at + 1);
		} else if (left >= 9 && at[0] == TAG_SPAN_LONGS) {
			width = 9;
			place_value(batch, view, fields, WIRE_KEY_INT64, at + 1);
		} else if (left >= 9 && at[0] == TAG_SPAN_DOUBLES) {
			width = 9;
			place_value(batch, view, fields, WIRE_KEY_DOUBLE, at + 1);
		} else {
			break;
		}
		at += width;
		left -= width;
	}
	cursor->at = at;
}

/* Everything behind times and ids. ERR_ORDER when one of these comes again. */
static int span_rest(const struct batch *batch, struct cursor *cursor, bool scanned,
	struct span_view *view, struct span_fields *fields)
{
	while (cursor_more(cursor)) {
		const uint8_t *tag_at = cursor->at;
		uint32_t tag = cursor_tag(cursor);
		const uint8_t *at = cursor->at;

		switch (tag) {
		case TAG_SPAN_TIMES:
		case TAG_SPAN_IDS:
			if (!scanned)
				return ERR_ORDER;
			(void)cursor_take(cursor, 8);
			break;
		case TAG_SPAN_STRINGS:
			(void)cursor_bytes(cursor);
			place_value(batch, view, fields, WIRE_KEY_STRING, at);
			break;
		case TAG_SPAN_INTS:
			(void)cursor_take(cursor, 4);
			place_value(batch, view, fields, WIRE_KEY_INT32, at);
			break;
		case TAG_SPAN_LONGS:
			(void)cursor_take(cursor, 8);
			place_value(batch, view, fields, WIRE_KEY_INT64, at);
			break;
		case TAG_SPAN_DOUBLES:
			(void)cursor_take(cursor, 8);
			place_value(batch, view, fields, WIRE_KEY_DOUBLE, at);
			break;
		case TAG_SPAN_BOOLS:
			(void)cursor_varint(cursor);
			place_value(batch, view, fields, WIRE_KEY_BOOL, at);
			break;
		case TAG_SPAN_INPUT:
			view->input = cursor_bytes(cursor);
			break;
		case TAG_SPAN_OUTPUT:
			view->output = cursor_bytes(cursor);
			break;
		default:
			rare_field(batch, cursor, tag, tag_at, view, fields);
		}
	}
	return cursor->error;
}

/* The last times and ids, wherever they are: for writers with a layout other
 * than ours. */
static int span_scan_heads(struct cursor cursor, struct span_fields *fields)
{
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_SPAN_TIMES)
			fields->times = cursor_fixed64(&cursor);
		else if (tag == TAG_SPAN_IDS)
			fields->ids = cursor_fixed64(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	return cursor.error;
}

static int span_parse(const struct batch *batch, struct cursor cursor, bool scan,
	struct span_view *view, struct span_fields *fields)
{
	uint32_t shape_id;
	uint32_t index;

	view_clear(view);
	*fields = (struct span_fields){0};
	view->wire_bytes = (uint32_t)cursor_left(&cursor);
	if (scan) {
		int ret = span_scan_heads(cursor, fields);

		if (ret != 0)
			return ret;
	} else {
		fields->times = le64_read(cursor.at + 1);
		fields->ids = le64_read(cursor.at + 10);
		cursor.at += 18;
	}
	shape_id = (uint32_t)(fields->ids >> 48);
	index = shape_id < batch->id_capacity ? batch->shape_by_id[shape_id] : 0;
	if (index == 0)
		return ERR_SHAPE;
	view->shape = &batch->shapes[index - 1];
	memcpy(fields->next, view->shape->first_of_type, sizeof(view->shape->first_of_type));
	hot_values(batch, &cursor, view, fields);
	return cursor_more(&cursor) ? span_rest(batch, &cursor, scan, view, fields) : 0;
}

/* Of a span over the limit only what a reader of its trace needs is kept. */
static void strip(struct span_view *view)
{
	view->repairs |= REPAIR_SIZE;
	view->input = view->output = view->error = view->detail = (struct slice){0};
	view->present = 0;
	view->attribute_count = view->event_count = view->link_count = 0;
}

/* place: of the Span field's tag. */
static int span_decode_any(struct batch *batch, struct batch_iter *iter, uint32_t place,
	struct slice bytes, struct span_view *view)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct span_fields fields;
	bool scan = bytes.length < 18 || bytes.data[0] != TAG_SPAN_TIMES ||
		    bytes.data[9] != TAG_SPAN_IDS;
	int ret = span_parse(batch, cursor, scan, view, &fields);

	if (ret == ERR_ORDER)
		ret = span_parse(batch, cursor, true, view, &fields);
	if (ret == 0 && fields.trace.data != NULL)
		ret = set_trace(batch, iter, fields.trace_at, fields.trace);
	if (ret != 0)
		return ret;
	view->trace = &iter->trace;
	view->thread = iter->thread;
	view->place = (struct span_place){iter->section, place, iter->trace_at};
	set_ids(iter, &fields, view);
	set_times(batch, iter, &fields, view);
	view->repairs |= iter->trace.repairs;
	if (view->detail.data != NULL) {
		ret = detail_parse(view);
		if (ret != 0)
			return ret;
	}
	if (view->span_id == 0) {
		view->repairs |= REPAIR_SPAN_ID;
		view->span_id = batch_made_id(batch, place);
	}
	if (view->input.length == 0)
		view->input.data = NULL;
	if (view->output.length == 0)
		view->output.data = NULL;
	if (view->wire_bytes > WIRE_SPAN_LIMIT)
		strip(view);
	return 0;
}

/* ---- Sections ----------------------------------------------------------- */

void batch_iter_init(struct batch_iter *iter)
{
	*iter = (struct batch_iter){0};
}

/* Reads what stands before a section's first span. */
static int section_begin(
	struct batch *batch, struct batch_iter *iter, uint32_t section, uint32_t section_end)
{
	struct cursor cursor = batch_cursor(batch, section, section_end);
	struct slice trace = {0};
	uint32_t trace_at = 0;
	uint32_t at = section;

	iter->section = section;
	iter->section_end = section_end;
	iter->id_base = iter->clock_base = iter->thread = 0;
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_SECTION_SPANS)
			break;
		switch (tag) {
		case TAG_SECTION_ID_BASE:
			iter->id_base = cursor_fixed64(&cursor);
			break;
		case TAG_SECTION_CLOCK_BASE:
			iter->clock_base = cursor_fixed64(&cursor);
			break;
		case TAG_SECTION_THREAD:
			iter->thread = cursor_varint(&cursor);
			break;
		case TAG_SECTION_TRACE:
			trace_at = at;
			trace = cursor_bytes(&cursor);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
		at = batch_offset(batch, cursor.at);
	}
	if (cursor.error != 0)
		return cursor.error;
	iter->next_span = at;
	iter->in_section = true;
	return set_trace(batch, iter, trace_at, trace);
}

/* 1 when there is another section, 0 at the end of the batch. */
static int next_section(struct batch *batch, struct batch_iter *iter)
{
	struct cursor cursor = batch_cursor(batch, iter->next_field, (uint32_t)batch->length);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);
		struct slice section;
		int ret;

		if (tag != TAG_BATCH_SECTIONS) {
			cursor_skip(&cursor, tag);
			continue;
		}
		section = cursor_bytes(&cursor);
		if (cursor.error != 0)
			break;
		iter->next_field = batch_offset(batch, cursor.at);
		ret = section_begin(batch, iter, batch_offset(batch, section.data),
			batch_offset(batch, section.data + section.length));
		return ret < 0 ? ret : 1;
	}
	iter->next_field = (uint32_t)batch->length;
	return cursor.error;
}

/* 1 with a span, 0 at the end of the section. */
static int next_any_span(struct batch *batch, struct batch_iter *iter, struct span_view *view)
{
	struct cursor cursor = batch_cursor(batch, iter->next_span, iter->section_end);

	while (cursor_more(&cursor)) {
		uint32_t place = batch_offset(batch, cursor.at);
		uint32_t tag = cursor_tag(&cursor);
		struct slice bytes;
		int ret;

		if (tag >= TAG_SECTION_ID_BASE && tag < TAG_SECTION_SPANS) {
			/* One that should have stood before the spans. */
			return ERR_ORDER;
		}
		if (tag != TAG_SECTION_SPANS) {
			cursor_skip(&cursor, tag);
			continue;
		}
		bytes = cursor_bytes(&cursor);
		if (cursor.error != 0)
			break;
		iter->next_span = batch_offset(batch, cursor.at);
		ret = span_decode_any(batch, iter, place, bytes, view);
		return ret < 0 ? ret : 1;
	}
	return cursor.error;
}

static inline int next_span(struct batch *batch, struct batch_iter *iter, struct span_view *view)
{
	uint32_t place = iter->next_span;
	struct slice bytes;

	if (!hot_field(batch, place, iter->section_end, &bytes) ||
		!span_decode_hot(batch, iter, place, bytes, view))
		return next_any_span(batch, iter, view);
	iter->next_span = batch_offset(batch, bytes.data + bytes.length);
	return 1;
}

int batch_next(struct batch *batch, struct batch_iter *iter, struct span_view *ret_view)
{
	for (;;) {
		int ret;

		if (!iter->in_section) {
			ret = next_section(batch, iter);
			if (ret <= 0)
				return ret;
		}
		ret = next_span(batch, iter, ret_view);
		if (ret != 0)
			return ret;
		iter->in_section = false;
	}
}

static int trace_at_place(struct batch *batch, struct batch_iter *iter, uint32_t at)
{
	struct cursor cursor = batch_cursor(batch, at, (uint32_t)batch->length);
	struct slice bytes = {0};

	if (at != 0 && cursor_left(&cursor) >= 20 && cursor.at[1] == 18 &&
		(cursor.at[0] == TAG_SPAN_TRACE || cursor.at[0] == TAG_SECTION_TRACE) &&
		set_plain_trace(iter, at, slice_of(cursor.at + 2, 18)))
		return 0;
	if (at != 0) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag != TAG_SECTION_TRACE && tag != TAG_SPAN_TRACE)
			return cursor.error != 0 ? cursor.error : ERR_MALFORMED;
		bytes = cursor_bytes(&cursor);
		if (cursor.error != 0)
			return cursor.error;
	}
	return set_trace(batch, iter, at, bytes);
}

int batch_span_at(struct batch *batch, struct batch_iter *iter, struct span_place place,
	struct span_view *ret_view)
{
	struct cursor cursor;
	struct slice bytes;
	int ret = 0;

	if (place.section > batch->length || place.span >= batch->length ||
		place.trace >= batch->length)
		return ERR_TRUNCATED;
	if (!iter->in_section || iter->section != place.section)
		ret = section_begin(batch, iter, place.section, (uint32_t)batch->length);
	/* A trace inside the span itself is read with the span. */
	if (ret == 0 && iter->trace_at != place.trace && place.trace < place.span)
		ret = trace_at_place(batch, iter, place.trace);
	if (ret != 0) {
		iter->in_section = false;
		return ret;
	}
	if (hot_field(batch, place.span, (uint32_t)batch->length, &bytes) &&
		span_decode_hot(batch, iter, place.span, bytes, ret_view))
		return 0;
	cursor = batch_cursor(batch, place.span, (uint32_t)batch->length);
	if (cursor_tag(&cursor) != TAG_SECTION_SPANS)
		return cursor.error != 0 ? cursor.error : ERR_MALFORMED;
	bytes = cursor_bytes(&cursor);
	return cursor.error != 0 ? cursor.error
				 : span_decode_any(batch, iter, place.span, bytes, ret_view);
}

int batch_check(struct batch *batch, uint64_t *ret_spans)
{
	struct batch_iter iter;
	struct span_view view;
	uint64_t spans = 0;
	int ret;

	batch_iter_init(&iter);
	while ((ret = batch_next(batch, &iter, &view)) > 0)
		spans++;
	if (ret == 0)
		*ret_spans = spans;
	return ret;
}
