/*
 * Looking into a span's texts and snapshots before they are written: what must
 * be repaired there; see span_validate in batch.h. The batch has been checked,
 * so everything here is well-formed.
 */
#include "batch_internal.h"
#include "json_check.h"
#include "utf8.h"

static bool valid(struct slice text)
{
	return utf8_valid(text.data, text.length);
}

static bool list_valid_utf8(struct slice list)
{
	struct cursor cursor = cursor_of_slice(list);
	enum value_type kind = VALUE_NONE;
	struct value value;

	while (value_list_next(&cursor, &kind, &value))
		if (value.type == VALUE_TEXT && !valid(value.text))
			return false;
	return true;
}

bool attribute_valid_utf8(const struct attribute *attribute)
{
	if (!valid(attribute->key))
		return false;
	if (attribute->value.type == VALUE_TEXT)
		return valid(attribute->value.text);
	return attribute->value.type != VALUE_LIST || list_valid_utf8(attribute->value.list);
}

/* True when value_list_next leaves some out. */
static bool list_is_mixed(struct slice list)
{
	struct cursor cursor = cursor_of_slice(list);
	enum value_type kind = VALUE_NONE;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);
		struct value value;

		if (tag != TAG_VALUES_VALUES) {
			cursor_skip(&cursor, tag);
			continue;
		}
		batch_read_value(cursor_bytes(&cursor), &value);
		if (value.type == VALUE_NONE || value.type == VALUE_LIST ||
			(kind != VALUE_NONE && value.type != kind))
			return true;
		kind = value.type;
	}
	return false;
}

/* Walks to the end; own: the bit for faults of these attributes. */
static uint32_t validate_attributes(struct attribute_iter *iter, uint32_t own)
{
	struct attribute attribute;
	uint32_t repairs = 0;

	while (attribute_next(iter, &attribute)) {
		if (!attribute_valid_utf8(&attribute))
			repairs |= REPAIR_UTF8;
		if (attribute.value.type == VALUE_LIST && list_is_mixed(attribute.value.list))
			repairs |= own;
	}
	if (iter->repairs != 0)
		repairs |= own;
	return repairs;
}

static uint32_t validate_events(const struct batch *batch, const struct span_view *view)
{
	struct cursor detail = cursor_of_slice(view->detail);
	struct attribute_iter iter;
	struct span_event event;
	uint32_t repairs = 0;

	while (span_event_next(batch, &detail, &event)) {
		if (!valid(event.name))
			repairs |= REPAIR_UTF8;
		event_attributes(&event, &iter);
		repairs |= validate_attributes(&iter, REPAIR_EVENTS);
	}
	return repairs;
}

static uint32_t validate_links(const struct span_view *view)
{
	struct cursor detail = cursor_of_slice(view->detail);
	struct attribute_iter iter;
	struct span_link link;
	uint32_t repairs = 0;
	uint32_t count = 0;

	while (span_link_next(&detail, &link)) {
		count++;
		if (!valid(link.state))
			repairs |= REPAIR_UTF8;
		link_attributes(&link, &iter);
		repairs |= validate_attributes(&iter, REPAIR_LINKS);
	}
	return count != view->link_count ? repairs | REPAIR_LINKS : repairs;
}

static uint32_t validate_detail(const struct batch *batch, const struct span_view *view)
{
	uint32_t repairs = valid(view->error) ? 0 : REPAIR_UTF8;

	if (view->event_count > 0)
		repairs |= validate_events(batch, view);
	if (view->link_count > 0)
		repairs |= validate_links(view);
	return repairs;
}

/* The texts among the values of the shape's keys: all there is in a hot span. */
static bool shape_texts_valid(const struct batch *batch, const struct span_view *view)
{
	const struct batch_key *keys = batch->keys + view->shape->keys;
	unsigned int first = view->shape->first_of_type[WIRE_KEY_STRING];
	unsigned int end = view->shape->first_of_type[WIRE_KEY_STRING + 1];

	for (unsigned int i = first; i < end; i++) {
		unsigned int index = keys[i].typed;
		struct cursor cursor;

		if ((view->present >> index & 1) == 0)
			continue;
		cursor = batch_cursor(batch, view->values[index], (uint32_t)batch->length);
		if (!valid(cursor_bytes(&cursor)))
			return false;
	}
	return true;
}

static bool is_json(struct slice snapshot)
{
	return snapshot.data == NULL || json_check(snapshot.data, snapshot.length, NULL) == 0;
}

void span_validate(struct batch *batch, struct span_view *view)
{
	uint32_t repairs = 0;

	if (view->shape->bad_utf8 || batch->producer.bad_utf8 || !shape_texts_valid(batch, view) ||
		!valid(view->trace->state))
		repairs |= REPAIR_UTF8;
	if (view->trace->attribute_count > 0 || view->attribute_count > 0 ||
		view->shape->odd_keys) {
		struct attribute_iter iter;

		span_attributes(batch, view, &iter);
		repairs |= validate_attributes(&iter, REPAIR_ATTRIBUTES);
	}
	if (view->detail.data != NULL)
		repairs |= validate_detail(batch, view);
	view->input_is_text = !is_json(view->input);
	view->output_is_text = !is_json(view->output);
	if (!batch->producer.texts) {
		if (view->input_is_text)
			repairs |= REPAIR_INPUT;
		if (view->output_is_text)
			repairs |= REPAIR_OUTPUT;
		view->input_is_text = view->output_is_text = false;
	}
	view->repairs |= repairs;
}

const char *repair_name(enum repair bit)
{
	static const char *const names[REPAIR_BITS] = {"utf8", "trace_id", "span_id",
		"parent_span_id", "timestamp", "duration", "input", "output", "attributes",
		"events", "links", "status", "kind", "size"};

	return names[__builtin_ctz((unsigned int)bit)];
}
