/*
 * Opening a batch: its producer, clock and shapes, into tables that are reused;
 * see batch.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "batch_internal.h"
#include "crc32c.h"
#include "utf8.h"

/* What a batch's tables may grow to: with shapes of 72 and keys of 12 bytes
 * less than 4 bytes for each of the batch's. A shape and a span that uses it
 * take at least 28 bytes on the wire, a key and its value at least 8. */
enum { SHAPE_WIRE_BYTES = 28, KEY_WIRE_BYTES = 8, TABLE_SLACK = 64, ID_STEP = 256 };

_Static_assert(sizeof(struct batch_shape) <= 72, "4 bytes of table per byte of wire");
_Static_assert(sizeof(struct batch_key) <= 12, "4 bytes of table per byte of wire");
_Static_assert(sizeof(struct span_place) == 12, "the assembler keeps one per span");

/* Room for one more element: doubles, at most to limit. */
static int table_grow(
	void **table, uint32_t *capacity, uint32_t used, uint32_t limit, size_t element_bytes)
{
	uint32_t wanted = *capacity < 8 ? 16 : *capacity * 2;
	void *grown;

	if (used < *capacity)
		return used < limit ? 0 : ERR_LIMIT;
	if (used >= limit)
		return ERR_LIMIT;
	if (wanted > limit)
		wanted = limit;
	grown = realloc(*table, wanted * element_bytes);
	if (grown == NULL)
		return -ENOMEM;
	*table = grown;
	*capacity = wanted;
	return 0;
}

static int id_table_grow(struct batch *batch, uint32_t id)
{
	uint32_t wanted = (id / ID_STEP + 1) * ID_STEP;
	uint16_t *grown;

	if (id < batch->id_capacity)
		return 0;
	grown = realloc(batch->shape_by_id, wanted * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	memset(grown + batch->id_capacity, 0, (wanted - batch->id_capacity) * sizeof(*grown));
	batch->shape_by_id = grown;
	batch->id_capacity = wanted;
	return 0;
}

static struct batch_text take_text(
	const struct batch *batch, struct cursor *cursor, struct batch_shape *shape)
{
	struct slice slice = cursor_bytes(cursor);

	if (slice.length == 0)
		return (struct batch_text){0};
	if (!utf8_valid(slice.data, slice.length))
		shape->bad_utf8 = true;
	return (struct batch_text){batch_offset(batch, slice.data), (uint32_t)slice.length};
}

static void key_parse(struct batch *batch, struct cursor *outer, struct batch_shape *shape)
{
	struct slice bytes = cursor_bytes(outer);
	struct cursor cursor = cursor_of_slice(bytes);
	struct batch_key key = {0};
	int ret;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);
		uint64_t type;

		if (tag == TAG_KEY_NAME) {
			key.name = take_text(batch, &cursor, shape);
		} else if (tag == TAG_KEY_TYPE) {
			/* A type that is not known has its values in a field that is not
			 * known: the attribute is absent. */
			type = cursor_varint(&cursor);
			key.type = type < WIRE_KEY_TYPES ? (uint8_t)type : WIRE_KEY_NONE;
		} else {
			cursor_skip(&cursor, tag);
		}
	}
	if (shape->key_count == WIRE_SHAPE_KEYS_LIMIT)
		cursor_fail(&cursor, ERR_LIMIT);
	ret = cursor.error != 0
		      ? cursor.error
		      : table_grow((void **)&batch->keys, &batch->key_capacity, batch->key_count,
				(uint32_t)batch->length / KEY_WIRE_BYTES + TABLE_SLACK,
				sizeof(*batch->keys));
	if (ret < 0) {
		cursor_fail(outer, ret);
		return;
	}
	batch->keys[batch->key_count++] = key;
	shape->key_count++;
}

/* Says of the first keys what their values look like, up to one of no known type. */
static void shape_plain_keys(struct batch *batch, struct batch_shape *shape)
{
	static const struct {
		uint8_t tag;
		uint8_t width;
	} forms[WIRE_KEY_TYPES] = {
		[WIRE_KEY_STRING] = {TAG_SPAN_STRINGS, 0},
		[WIRE_KEY_INT32] = {TAG_SPAN_INTS, 5},
		[WIRE_KEY_INT64] = {TAG_SPAN_LONGS, 9},
		[WIRE_KEY_DOUBLE] = {TAG_SPAN_DOUBLES, 9},
		[WIRE_KEY_BOOL] = {TAG_SPAN_BOOLS, 2},
	};
	struct batch_key *keys = batch->keys + shape->keys;

	while (shape->plain_keys < shape->key_count &&
		keys[shape->plain_keys].type != WIRE_KEY_NONE) {
		struct batch_key *key = &keys[shape->plain_keys++];

		key->tag = forms[key->type].tag;
		key->width = forms[key->type].width;
	}
}

/* Orders the keys by type, so that the n-th value of a type finds its key. */
static void shape_order_keys(struct batch *batch, struct batch_shape *shape)
{
	struct batch_key *keys = batch->keys + shape->keys;
	uint8_t next = 0;

	for (unsigned int type = 0; type < WIRE_KEY_TYPES; type++) {
		shape->first_of_type[type] = next;
		for (uint8_t i = 0; i < shape->key_count; i++)
			if (keys[i].type == type)
				keys[next++].typed = i;
	}
	shape->first_of_type[WIRE_KEY_TYPES] = next;
	for (uint8_t i = 0; i < shape->key_count && !shape->odd_keys; i++) {
		if (keys[i].name.length == 0)
			shape->odd_keys = true;
		for (uint8_t k = 0; k < i; k++)
			if (slice_equal(batch_slice(batch, keys[i].name),
				    batch_slice(batch, keys[k].name)))
				shape->odd_keys = true;
	}
}

static void shape_field(
	struct batch *batch, struct cursor *cursor, uint32_t *id, struct batch_shape *shape)
{
	uint32_t tag = cursor_tag(cursor);

	switch (tag) {
	case TAG_SHAPE_ID:
		*id = cursor_varint32(cursor);
		break;
	case TAG_SHAPE_NAME:
		shape->name = take_text(batch, cursor, shape);
		break;
	case TAG_SHAPE_LAYER:
		shape->layer = take_text(batch, cursor, shape);
		break;
	case TAG_SHAPE_KEYS:
		key_parse(batch, cursor, shape);
		break;
	case TAG_SHAPE_FILE:
		shape->file = take_text(batch, cursor, shape);
		break;
	case TAG_SHAPE_LINE:
		shape->line = (uint32_t)cursor_varint(cursor);
		break;
	case TAG_SHAPE_FUNCTION:
		shape->function = take_text(batch, cursor, shape);
		break;
	case TAG_SHAPE_SCOPE:
		shape->scope = take_text(batch, cursor, shape);
		break;
	case TAG_SHAPE_SCOPE_VERSION:
		shape->scope_version = take_text(batch, cursor, shape);
		break;
	default:
		cursor_skip(cursor, tag);
	}
}

static int shape_parse(struct batch *batch, struct slice bytes)
{
	struct batch_shape shape = {.keys = batch->key_count};
	struct cursor cursor = cursor_of_slice(bytes);
	uint32_t id = 0;
	int ret;

	while (cursor_more(&cursor))
		shape_field(batch, &cursor, &id, &shape);
	if (cursor.error != 0)
		return cursor.error;
	if (id == 0 || id > WIRE_SHAPE_ID_LIMIT)
		return ERR_SHAPE;
	ret = table_grow((void **)&batch->shapes, &batch->shape_capacity, batch->shape_count,
		(uint32_t)batch->length / SHAPE_WIRE_BYTES + TABLE_SLACK, sizeof(*batch->shapes));
	if (ret == 0)
		ret = id_table_grow(batch, id);
	if (ret < 0)
		return ret;
	if (batch->shape_by_id[id] != 0)
		return ERR_SHAPE;
	shape.id = (uint16_t)id;
	shape_order_keys(batch, &shape);
	shape_plain_keys(batch, &shape);
	batch->shapes[batch->shape_count++] = shape;
	batch->shape_by_id[id] = (uint16_t)batch->shape_count;
	return 0;
}

static int producer_parse(struct batch *batch, struct slice bytes)
{
	struct batch_producer producer = {.bytes = bytes};
	struct cursor cursor = cursor_of_slice(bytes);
	struct attribute_iter iter;
	struct attribute attribute;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);
		int error = 0;

		if (tag == TAG_PRODUCER_SERVICE)
			producer.service = cursor_bytes(&cursor);
		else if (tag == TAG_PRODUCER_PID)
			producer.pid = cursor_varint(&cursor);
		else if (tag == TAG_PRODUCER_HOST)
			producer.host = cursor_bytes(&cursor);
		else if (tag == TAG_PRODUCER_TEXTS)
			producer.texts = cursor_varint(&cursor) != 0;
		else if (tag == TAG_PRODUCER_RESOURCE)
			error = batch_check_key_value(cursor_bytes(&cursor));
		else
			cursor_skip(&cursor, tag);
		if (error != 0)
			cursor_fail(&cursor, error);
	}
	if (cursor.error != 0)
		return cursor.error;
	producer.bad_utf8 = !utf8_valid(producer.service.data, producer.service.length) ||
			    !utf8_valid(producer.host.data, producer.host.length);
	attribute_iter_list(bytes, TAG_PRODUCER_RESOURCE, &iter);
	while (attribute_next(&iter, &attribute))
		if (!attribute_valid_utf8(&attribute))
			producer.bad_utf8 = true;
	batch->producer = producer;
	return 0;
}

static int clock_parse(struct slice bytes, struct batch_clock *clock)
{
	struct cursor cursor = cursor_of_slice(bytes);

	*clock = (struct batch_clock){0};
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);
		uint64_t source;

		switch (tag) {
		case TAG_CLOCK_SOURCE:
			source = cursor_varint(&cursor);
			clock->source = source <= WIRE_CLOCK_TSC ? (uint8_t)source : UINT8_MAX;
			break;
		case TAG_CLOCK_OPEN_RAW:
			clock->open_raw = cursor_fixed64(&cursor);
			break;
		case TAG_CLOCK_OPEN_REALTIME_NS:
			clock->open_realtime_ns = cursor_fixed64(&cursor);
			break;
		case TAG_CLOCK_CLOSE_RAW:
			clock->close_raw = cursor_fixed64(&cursor);
			break;
		case TAG_CLOCK_CLOSE_REALTIME_NS:
			clock->close_realtime_ns = cursor_fixed64(&cursor);
			break;
		case TAG_CLOCK_NS_PER_TICK:
			clock->ns_per_tick = double_from_bits(cursor_fixed64(&cursor));
			break;
		case TAG_CLOCK_STEPPED:
			clock->stepped = cursor_varint(&cursor) != 0;
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	return cursor.error;
}

/* A clock that says nothing: raw values are nanoseconds since 1970. */
static int clock_check(struct batch_clock *clock)
{
	if (clock->ns_per_tick == 0 && clock->source == WIRE_CLOCK_MONOTONIC)
		clock->ns_per_tick = 1;
	/* The comparisons are false for NaN. */
	if (!(clock->ns_per_tick > 0 && clock->ns_per_tick <= 1e9))
		return ERR_CLOCK;
	if (clock->close_realtime_ns > INT64_MAX)
		return ERR_CLOCK;
	return 0;
}

static void forget(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->shape_count; i++)
		batch->shape_by_id[batch->shapes[i].id] = 0;
	batch->shape_count = 0;
	batch->key_count = 0;
	batch->salt = 0;
	batch->producer = (struct batch_producer){0};
	batch->clock = (struct batch_clock){0};
}

int batch_open(struct batch *batch, const void *bytes, size_t length_bytes)
{
	static const uint8_t nothing[1];
	struct cursor cursor;

	forget(batch);
	batch->bytes = length_bytes > 0 ? bytes : nothing;
	batch->length = length_bytes;
	if (length_bytes > WIRE_BATCH_LIMIT)
		return ERR_LIMIT;
	/* There is always a table of keys, so that a shape without any can point
	 * into it. */
	if (batch->keys == NULL && table_grow((void **)&batch->keys, &batch->key_capacity, 0, 1,
					   sizeof(*batch->keys)) < 0)
		return -ENOMEM;
	cursor = cursor_of(batch->bytes, length_bytes);
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);
		int ret = 0;

		switch (tag) {
		case TAG_BATCH_PRODUCER:
			ret = producer_parse(batch, cursor_bytes(&cursor));
			break;
		case TAG_BATCH_CLOCK:
			ret = clock_parse(cursor_bytes(&cursor), &batch->clock);
			break;
		case TAG_BATCH_SHAPES:
			ret = shape_parse(batch, cursor_bytes(&cursor));
			/* A truncated one has no id; truncation is the better reason. */
			ret = cursor.error != 0 ? cursor.error : ret;
			break;
		default:
			cursor_skip(&cursor, tag);
		}
		if (ret != 0)
			return ret;
	}
	return cursor.error != 0 ? cursor.error : clock_check(&batch->clock);
}

void batch_rebase(struct batch *batch, const void *bytes)
{
	const uint8_t *to = bytes;
	struct slice *slices[] = {
		&batch->producer.service, &batch->producer.host, &batch->producer.bytes};

	for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++)
		if (slices[i]->data != NULL)
			slices[i]->data = to + (slices[i]->data - batch->bytes);
	batch->bytes = to;
}

void batch_done(struct batch *batch)
{
	if (batch == NULL)
		return;
	free(batch->shapes);
	free(batch->keys);
	free(batch->shape_by_id);
	*batch = (struct batch){0};
}

size_t batch_memory(const struct batch *batch)
{
	return batch->shape_capacity * sizeof(*batch->shapes) +
	       batch->key_capacity * sizeof(*batch->keys) +
	       batch->id_capacity * sizeof(*batch->shape_by_id);
}

uint64_t batch_made_id(struct batch *batch, uint32_t offset)
{
	uint64_t id;

	if (batch->salt == 0)
		batch->salt = id_mix((uint64_t)crc32c(0, batch->bytes, batch->length) << 32 |
				      (uint64_t)batch->length) |
			      1;
	id = id_mix(batch->salt + offset);
	return id != 0 ? id : 1;
}

/* ---- Time --------------------------------------------------------------- */

uint64_t batch_time_ns(const struct batch *batch, uint64_t raw)
{
	bool bad = false;

	return batch_convert_time(&batch->clock, raw, &bad);
}
