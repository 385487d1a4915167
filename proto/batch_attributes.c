/*
 * Attributes, events and links of spans: checking them when the batch comes,
 * walking them when a span is written; see batch.h.
 */
#include "batch_internal.h"
#include "utf8.h"

/* ---- Checking: is the whole of it well-formed? -------------------------- */

/* An element of a list may hold no list; one that does is left out. */
static int check_element(struct slice bytes)
{
	struct cursor cursor = cursor_of_slice(bytes);

	while (cursor_more(&cursor))
		cursor_skip(&cursor, cursor_tag(&cursor));
	return cursor.error;
}

/* Checks all that stands under a tag. */
static int check_nested(struct slice bytes, uint32_t wanted, int (*check)(struct slice))
{
	struct cursor cursor = cursor_of_slice(bytes);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == wanted) {
			int error = check(cursor_bytes(&cursor));

			if (error != 0)
				return error;
		} else {
			cursor_skip(&cursor, tag);
		}
	}
	return cursor.error;
}

static int check_list(struct slice bytes)
{
	return check_nested(bytes, TAG_VALUES_VALUES, check_element);
}

static int check_value(struct slice bytes)
{
	return check_nested(bytes, TAG_VALUE_LIST, check_list);
}

int batch_check_key_value(struct slice bytes)
{
	return check_nested(bytes, TAG_KEY_VALUE_VALUE, check_value);
}

int batch_check_event(struct slice bytes)
{
	return check_nested(bytes, TAG_EVENT_ATTRIBUTES, batch_check_key_value);
}

int batch_check_link(struct slice bytes)
{
	return check_nested(bytes, TAG_LINK_ATTRIBUTES, batch_check_key_value);
}

/* ---- Values ------------------------------------------------------------- */

void batch_read_value(struct slice bytes, struct value *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);

	*ret = (struct value){.type = VALUE_NONE};
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_VALUE_TEXT:
			*ret = (struct value){.type = VALUE_TEXT, .text = cursor_bytes(&cursor)};
			break;
		case TAG_VALUE_BOOLEAN:
			*ret = (struct value){
				.type = VALUE_BOOL, .boolean = cursor_varint(&cursor) != 0};
			break;
		case TAG_VALUE_INTEGER:
			*ret = (struct value){.type = VALUE_INT,
				.integer = zigzag_decode(cursor_varint(&cursor))};
			break;
		case TAG_VALUE_NUMBER:
			*ret = (struct value){.type = VALUE_DOUBLE,
				.number = double_from_bits(cursor_fixed64(&cursor))};
			break;
		case TAG_VALUE_LIST:
			*ret = (struct value){.type = VALUE_LIST, .list = cursor_bytes(&cursor)};
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
}

bool value_list_next(struct cursor *list, enum value_type *kind, struct value *ret)
{
	while (cursor_more(list)) {
		uint32_t tag = cursor_tag(list);

		if (tag != TAG_VALUES_VALUES) {
			cursor_skip(list, tag);
			continue;
		}
		batch_read_value(cursor_bytes(list), ret);
		if (ret->type == VALUE_NONE || ret->type == VALUE_LIST)
			continue;
		if (*kind == VALUE_NONE)
			*kind = ret->type;
		if (ret->type == *kind)
			return true;
	}
	return false;
}

/* The value of a shape's key, at the offset that decoding noted. */
static void read_shape_value(
	const struct batch *batch, unsigned int type, uint32_t offset, struct value *ret)
{
	struct cursor cursor = batch_cursor(batch, offset, (uint32_t)batch->length);

	switch (type) {
	case WIRE_KEY_STRING:
		*ret = (struct value){.type = VALUE_TEXT, .text = cursor_bytes(&cursor)};
		break;
	case WIRE_KEY_INT32:
		*ret = (struct value){
			.type = VALUE_INT, .integer = (int32_t)cursor_fixed32(&cursor)};
		break;
	case WIRE_KEY_INT64:
		*ret = (struct value){
			.type = VALUE_INT, .integer = (int64_t)cursor_fixed64(&cursor)};
		break;
	case WIRE_KEY_DOUBLE:
		*ret = (struct value){
			.type = VALUE_DOUBLE, .number = double_from_bits(cursor_fixed64(&cursor))};
		break;
	default:
		*ret = (struct value){.type = VALUE_BOOL, .boolean = cursor_varint(&cursor) != 0};
	}
}

static void read_key_value(struct slice bytes, struct attribute *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);

	*ret = (struct attribute){0};
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_KEY_VALUE_KEY)
			ret->key = cursor_bytes(&cursor);
		else if (tag == TAG_KEY_VALUE_VALUE)
			batch_read_value(cursor_bytes(&cursor), &ret->value);
		else
			cursor_skip(&cursor, tag);
	}
}

/* ---- Walking ------------------------------------------------------------ */

/* The next of a list that has key and value. */
static bool list_next(
	struct attribute_iter *iter, struct cursor *list, uint32_t wanted, struct attribute *ret)
{
	while (cursor_more(list)) {
		uint32_t tag = cursor_tag(list);

		if (tag != wanted) {
			cursor_skip(list, tag);
			continue;
		}
		read_key_value(cursor_bytes(list), ret);
		if (ret->key.length > 0 && ret->value.type != VALUE_NONE)
			return true;
		iter->repairs |= REPAIR_ATTRIBUTES;
	}
	return false;
}

static bool shape_next(struct attribute_iter *iter, struct attribute *ret)
{
	const struct span_view *view = iter->view;

	while (iter->key < view->shape->key_count) {
		uint32_t index = iter->key++;
		const struct batch_key *key = &iter->batch->keys[view->shape->keys + index];

		if ((view->present >> index & 1) == 0)
			continue;
		ret->key = batch_slice(iter->batch, key->name);
		read_shape_value(iter->batch, key->type, view->values[index], &ret->value);
		if (ret->key.length > 0)
			return true;
		iter->repairs |= REPAIR_ATTRIBUTES;
	}
	return false;
}

static bool any_next(struct attribute_iter *iter, struct attribute *ret)
{
	bool found = list_next(iter, &iter->trace, TAG_TRACE_ATTRIBUTES, ret) ||
		     (iter->view != NULL && shape_next(iter, ret)) ||
		     list_next(iter, &iter->list, iter->list_tag, ret);

	if (!found)
		return false;
	if (iter->index == WIRE_ATTRIBUTES_LIMIT) {
		iter->repairs |= REPAIR_ATTRIBUTES;
		return false;
	}
	iter->index++;
	return true;
}

bool attribute_next(struct attribute_iter *iter, struct attribute *ret)
{
	while (any_next(iter, ret)) {
		uint32_t index = iter->index - 1;

		if (!iter->filtered || (iter->shadowed[index / 64] >> index % 64 & 1) == 0)
			return true;
	}
	return false;
}

/* ---- Keys that come twice ----------------------------------------------- */

enum { FILTER_SLOTS = 2 * WIRE_ATTRIBUTES_LIMIT };

struct filter {
	struct slice keys[WIRE_ATTRIBUTES_LIMIT];
	uint32_t hashes[WIRE_ATTRIBUTES_LIMIT];
	uint16_t slots[FILTER_SLOTS]; /* index + 1 of the latest with the key */
	uint32_t mask;
};

static uint32_t hash_key(struct slice key)
{
	uint64_t hash = key.length;

	for (size_t i = 0; i < key.length; i += 8) {
		uint64_t word = 0;

		memcpy(&word, key.data + i, key.length - i < 8 ? key.length - i : 8);
		hash = id_mix(hash ^ word);
	}
	return (uint32_t)hash;
}

/* Notes a key; the index of the earlier one with the same, or -1. */
static int filter_add(struct filter *filter, uint32_t index, struct slice key)
{
	uint32_t hash = hash_key(key);
	uint32_t slot = hash & filter->mask;

	filter->keys[index] = key;
	filter->hashes[index] = hash;
	for (; filter->slots[slot] != 0; slot = (slot + 1) & filter->mask) {
		uint32_t earlier = filter->slots[slot] - 1u;

		if (filter->hashes[earlier] == hash && slice_equal(filter->keys[earlier], key)) {
			filter->slots[slot] = (uint16_t)(index + 1);
			return (int)earlier;
		}
	}
	filter->slots[slot] = (uint16_t)(index + 1);
	return -1;
}

/* Finds which attributes a later one replaces. at_most: how many there can be.
 * A span's own over its trace's is what is meant; any other is a repair. */
static void filter_run(struct attribute_iter *iter, uint64_t at_most, uint32_t trace_count)
{
	struct attribute_iter walk = *iter;
	struct attribute attribute;
	struct filter filter;

	if (at_most > WIRE_ATTRIBUTES_LIMIT)
		at_most = WIRE_ATTRIBUTES_LIMIT;
	filter.mask = 15;
	while (filter.mask < 2 * at_most - 1)
		filter.mask = filter.mask * 2 + 1;
	memset(filter.slots, 0, (filter.mask + 1) * sizeof(filter.slots[0]));
	memset(iter->shadowed, 0, sizeof(iter->shadowed));
	while (any_next(&walk, &attribute)) {
		uint32_t index = walk.index - 1;
		int earlier = filter_add(&filter, index, attribute.key);

		if (earlier < 0)
			continue;
		iter->shadowed[earlier / 64] |= UINT64_C(1) << earlier % 64;
		if ((uint32_t)earlier >= trace_count || index < trace_count)
			iter->repairs |= REPAIR_ATTRIBUTES;
	}
	iter->repairs |= walk.repairs;
	iter->filtered = true;
}

static uint64_t count_fields(struct slice message, uint32_t wanted)
{
	struct cursor cursor = cursor_of_slice(message);
	uint64_t count = 0;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		count += tag == wanted;
		cursor_skip(&cursor, tag);
	}
	return count;
}

static inline void iter_clear(struct attribute_iter *iter)
{
	iter->batch = NULL;
	iter->view = NULL;
	iter->trace = iter->list = cursor_of_slice((struct slice){0});
	iter->list_tag = iter->index = iter->key = iter->repairs = 0;
	iter->filtered = false;
}

void span_attributes(
	const struct batch *batch, const struct span_view *view, struct attribute_iter *ret_iter)
{
	uint32_t trace_count = view->trace->attribute_count;

	iter_clear(ret_iter);
	ret_iter->batch = batch;
	ret_iter->view = view;
	ret_iter->list_tag = TAG_DETAIL_ATTRIBUTES;
	if (trace_count > 0)
		ret_iter->trace = cursor_of_slice(view->trace->bytes);
	if (view->attribute_count > 0)
		ret_iter->list = cursor_of_slice(view->detail);
	if (trace_count > 0 || view->attribute_count > 0 || view->shape->odd_keys)
		filter_run(ret_iter,
			(uint64_t)trace_count + view->shape->key_count + view->attribute_count,
			trace_count);
}

void attribute_iter_list(struct slice message, uint32_t tag, struct attribute_iter *ret_iter)
{
	uint64_t count = count_fields(message, tag);

	iter_clear(ret_iter);
	ret_iter->list_tag = tag;
	if (count == 0)
		return;
	ret_iter->list = cursor_of_slice(message);
	if (count > 1)
		filter_run(ret_iter, count, 0);
}

void batch_resource(const struct batch *batch, struct attribute_iter *ret_iter)
{
	attribute_iter_list(batch->producer.bytes, TAG_PRODUCER_RESOURCE, ret_iter);
}

void event_attributes(const struct span_event *event, struct attribute_iter *ret_iter)
{
	attribute_iter_list(event->bytes, TAG_EVENT_ATTRIBUTES, ret_iter);
}

void link_attributes(const struct span_link *link, struct attribute_iter *ret_iter)
{
	attribute_iter_list(link->bytes, TAG_LINK_ATTRIBUTES, ret_iter);
}

/* ---- Events and links --------------------------------------------------- */

bool span_event_next(const struct batch *batch, struct cursor *detail, struct span_event *ret)
{
	while (cursor_more(detail)) {
		uint32_t tag = cursor_tag(detail);
		struct cursor cursor;
		uint64_t raw = 0;

		if (tag != TAG_DETAIL_EVENTS) {
			cursor_skip(detail, tag);
			continue;
		}
		*ret = (struct span_event){.bytes = cursor_bytes(detail)};
		cursor = cursor_of_slice(ret->bytes);
		while (cursor_more(&cursor)) {
			tag = cursor_tag(&cursor);
			if (tag == TAG_EVENT_NAME)
				ret->name = cursor_bytes(&cursor);
			else if (tag == TAG_EVENT_RAW)
				raw = cursor_fixed64(&cursor);
			else
				cursor_skip(&cursor, tag);
		}
		ret->time_ns = batch_time_ns(batch, raw);
		return true;
	}
	return false;
}

static void link_read(struct span_link *link)
{
	struct cursor cursor = cursor_of_slice(link->bytes);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_LINK_TRACE_ID) {
			struct slice id = cursor_bytes(&cursor);

			memset(&link->trace_id, 0, sizeof(link->trace_id));
			if (id.length == sizeof(link->trace_id.bytes))
				memcpy(link->trace_id.bytes, id.data, id.length);
		} else if (tag == TAG_LINK_SPAN_ID) {
			link->span_id = cursor_fixed64(&cursor);
		} else if (tag == TAG_LINK_STATE) {
			link->state = cursor_bytes(&cursor);
		} else {
			cursor_skip(&cursor, tag);
		}
	}
	if (link->state.length == 0)
		link->state.data = NULL;
}

bool span_link_next(struct cursor *detail, struct span_link *ret)
{
	while (cursor_more(detail)) {
		uint32_t tag = cursor_tag(detail);

		if (tag != TAG_DETAIL_LINKS) {
			cursor_skip(detail, tag);
			continue;
		}
		*ret = (struct span_link){.bytes = cursor_bytes(detail)};
		link_read(ret);
		if (ret->span_id != 0 && !trace_id_is_zero(&ret->trace_id))
			return true;
	}
	return false;
}
