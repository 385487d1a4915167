/*
 * What is set on a span while it is open: attributes, events, links, status,
 * snapshots (waft.h). Attributes go into the caller's struct as values of the
 * span's shape while there is room; the rest into the slot's extra. Called by
 * the thread that works on the span.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <waft/waft.h>

#include "attribute.h"
#include "carry.h"
#include "cursor.h"
#include "json.h"
#include "process.h"
#include "redact.h"
#include "shape.h"
#include "snapshot.h"
#include "span.h"
#include "utf8.h"
#include "values.h"

/* A value as it stands among a span's values. */
struct value_bytes {
	enum wire_key_type type;
	uint32_t length; /* tag included */
	uint8_t bytes[WAFT_VALUES_ROOM_];
};

/* ---- Values in the caller's struct ------------------------------------------ */

static uint8_t tag_of(enum wire_key_type type)
{
	static const uint8_t tags[WIRE_KEY_TYPES] = {0, TAG_SPAN_STRINGS, TAG_SPAN_INTS,
		TAG_SPAN_LONGS, TAG_SPAN_DOUBLES, TAG_SPAN_BOOLS};

	return tags[type];
}

static uint32_t field_length(const unsigned char *field)
{
	switch (field[0]) {
	case TAG_SPAN_STRINGS:
		return 2u + field[1];
	case TAG_SPAN_INTS:
		return 5;
	case TAG_SPAN_BOOLS:
		return 2;
	default:
		return 9;
	}
}

/* Where the index-th value of a type stands; fill when there is none. */
static uint32_t value_at(const struct values *values, enum wire_key_type type, uint32_t index)
{
	uint32_t at = 0;

	while (at < values->fill) {
		if (values->bytes[at] == tag_of(type) && index-- == 0)
			return at;
		at += field_length(values->bytes + at);
	}
	return values->fill;
}

static void value_cut(struct values *values, uint32_t at)
{
	uint32_t length = field_length(values->bytes + at);

	memmove(values->bytes + at, values->bytes + at + length, values->fill - at - length);
	values->fill -= length;
}

/* False: too long to stand in the struct at all. */
static bool value_encode(const struct waft_attribute *attribute, struct value_bytes *ret)
{
	size_t length = attribute->count;
	int32_t small;

	switch (attribute->type) {
	case WAFT_TYPE_STRING:
		if (length == SIZE_MAX)
			length = strlen(attribute->value.string);
		if (length > WAFT_VALUES_ROOM_ - 2)
			return false;
		ret->type = WIRE_KEY_STRING;
		ret->bytes[1] = (uint8_t)length;
		memcpy(ret->bytes + 2, attribute->value.string, length);
		break;
	case WAFT_TYPE_BOOL:
		ret->type = WIRE_KEY_BOOL;
		ret->bytes[1] = attribute->value.boolean;
		break;
	case WAFT_TYPE_INT:
		small = (int32_t)attribute->value.integer;
		ret->type = small == attribute->value.integer ? WIRE_KEY_INT32 : WIRE_KEY_INT64;
		le64_write(ret->bytes + 1, (uint64_t)attribute->value.integer);
		break;
	case WAFT_TYPE_DOUBLE:
		ret->type = WIRE_KEY_DOUBLE;
		le64_write(ret->bytes + 1, double_to_bits(attribute->value.number));
		break;
	default:
		return false;
	}
	ret->bytes[0] = tag_of(ret->type);
	ret->length = field_length(ret->bytes);
	return true;
}

/* ---- Generic attributes -------------------------------------------------------- */

static bool key_is(struct slice key_value, const char *key)
{
	struct cursor cursor = cursor_of_slice(key_value);
	uint64_t length;

	if (cursor_left(&cursor) == 0 || *cursor.at != TAG_KEY_VALUE_KEY)
		return false;
	cursor.at++;
	length = cursor_varint(&cursor);
	return cursor.error == 0 && length <= cursor_left(&cursor) && strlen(key) == length &&
	       memcmp(cursor.at, key, length) == 0;
}

/* Takes a generic attribute away. */
static void generic_remove(struct extra *extra, const char *key)
{
	uint8_t *bytes = extra->detail.bytes;
	size_t at = 0;

	while (at + 4 <= extra->detail.length) {
		size_t length = (bytes[at + 1] & 0x7fu) | (bytes[at + 2] & 0x7fu) << 7 |
				(size_t)bytes[at + 3] << 14;
		size_t whole = 4 + length;

		if (bytes[at] == TAG_DETAIL_ATTRIBUTES &&
			key_is(slice_of(bytes + at + 4, length), key)) {
			memmove(bytes + at, bytes + at + whole, extra->detail.length - at - whole);
			extra->detail.length -= whole;
			extra->attributes--;
			return;
		}
		at += whole;
	}
}

static void generic_add(
	struct waft_span *span, struct open *open, const struct waft_attribute *attribute)
{
	struct extra *extra = span_extra(span, open);
	size_t before;

	if (extra == NULL)
		return;
	before = extra->detail.length;
	if (extra->attributes >=
			WIRE_ATTRIBUTES_LIMIT - WIRE_SHAPE_KEYS_LIMIT - CARRY_BAGGAGE_MEMBERS ||
		!attribute_add(&extra->detail, TAG_DETAIL_ATTRIBUTES, attribute)) {
		extra->dropped_attributes++;
		return;
	}
	if (extra->detail.length > EXTRA_DETAIL_LIMIT) {
		extra->detail.length = before;
		extra->dropped_attributes++;
		return;
	}
	extra->attributes++;
	span->bits_ |= WAFT_SPAN_GENERIC_;
	span->shape_ |= WAFT_SHAPE_APART_;
}

/* ---- Setting an attribute --------------------------------------------------------- */

/* The shape without one of its keys; 0: no room for it. */
static uint32_t shape_without(uint32_t shape, uint32_t key)
{
	uint32_t keys[WIRE_SHAPE_KEYS_LIMIT];
	enum wire_key_type types[WIRE_SHAPE_KEYS_LIMIT];
	uint32_t count = shape_keys(shape, keys, types);
	uint32_t without = shape_base(shape);

	for (uint32_t i = 0; i < count && without != 0; i++)
		if (keys[i] != key)
			without = shape_next(without, keys[i], types[i]);
	return without;
}

/* The span's shape is another. */
static void shape_set(struct waft_span *span, uint32_t shape)
{
	span->shape_ = shape | (span->shape_ & WAFT_SHAPE_APART_);
}

/* The key has a value already: put the new one in its place, or make room for it
 * elsewhere. True when it is done. */
static bool value_replace(struct waft_span *span, uint32_t key, const struct value_bytes *value)
{
	struct values values;
	enum wire_key_type type;
	uint32_t index;
	uint32_t at;
	uint32_t length;
	uint32_t without;

	if (!shape_find(span_shape(span), key, &type, &index))
		return false;
	values_load(span, &values);
	at = value_at(&values, type, index);
	length = field_length(values.bytes + at);
	if (value != NULL && type == value->type &&
		values.fill - length + value->length <= WAFT_VALUES_ROOM_) {
		memmove(values.bytes + at + value->length, values.bytes + at + length,
			values.fill - at - length);
		memcpy(values.bytes + at, value->bytes, value->length);
		values.fill = values.fill - length + value->length;
		values_store(span, &values);
		return true;
	}
	without = shape_without(span_shape(span), key);
	if (without == 0)
		return true; /* no shapes left: the old value stays */
	value_cut(&values, at);
	values_store(span, &values);
	shape_set(span, without);
	return false;
}

/* As inlined code makes it, which puts a value into one lane. */
static void step_remember(struct waft_key_ *site, uint32_t lanes, uint32_t before, uint32_t next)
{
	uint64_t unknown = 0;
	uint64_t to = next | (uint64_t)(lanes + WAFT_LANE_STRIDE_) << 32;

	if (lanes < WAFT_LANES_END_ && __atomic_compare_exchange_n(&site->to, &unknown, to, false,
					       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		__atomic_store_n(&site->from, before | (uint64_t)lanes << 32, __ATOMIC_RELEASE);
}

/* site: where the step may be remembered; NULL: nowhere. */
static void attribute_set(struct waft_span *span, struct open *open, struct waft_key_ *site,
	const struct waft_attribute *attribute)
{
	struct waft_attribute seen = *attribute;
	struct value_bytes value;
	uint32_t lanes = span->lanes_;
	uint32_t before;
	uint32_t key;
	uint32_t next = 0;
	bool redact;
	bool fits;

	key = shape_key(attribute->key, &redact);
	if (redact) {
		seen.type = WAFT_TYPE_STRING;
		seen.count = sizeof(REDACT_TEXT) - 1;
		seen.value.string = REDACT_TEXT;
		site = NULL;
	}
	fits = value_encode(&seen, &value);
	if ((span->bits_ & WAFT_SPAN_GENERIC_) != 0)
		generic_remove(open->extra, attribute->key);
	if (key != 0 && value_replace(span, key, fits ? &value : NULL))
		return;
	before = span_shape(span);
	if (key != 0 && fits)
		next = shape_next(before, key, value.type);
	if (next == 0 || !values_append(span, value.bytes, value.length)) {
		generic_add(span, open, &seen);
		return;
	}
	shape_set(span, next);
	/* The first step stays: a call site that sees several shapes would only push
	 * them out in turn. */
	if (site != NULL && value.type != WIRE_KEY_INT64)
		step_remember(site, lanes, before, next);
}

static void slow_set(
	struct waft_span *span, struct waft_key_ *key, const struct waft_attribute *attribute)
{
	struct open *open = span_open(span);

	if (open != NULL && key->name != NULL && *key->name != '\0')
		attribute_set(span, open, key, attribute);
}

/* Whether it is the shape of the step that is known here, if not the same lane. */
static bool step_known(const struct waft_span *span, const struct waft_key_ *key)
{
	uint32_t shape = (uint32_t)__atomic_load_n(&key->from, __ATOMIC_ACQUIRE);

	return shape != 0 && shape == span->shape_;
}

/* Of such a step: the next lane is the value. False: there is none. */
static bool lane_append(struct waft_span *span, const struct waft_key_ *key, waft_pair_ value)
{
	if (!step_known(span, key) || span->lanes_ >= WAFT_LANES_END_)
		return false;
	WAFT_PAIR_((unsigned char *)span->values_ + span->lanes_) = value;
	/* In one piece, as inlined code loads them. */
	WAFT_WORD_(&span->shape_) =
		(uint32_t)WAFT_LOAD_(&key->to) | (uint64_t)(span->lanes_ + WAFT_LANE_STRIDE_) << 32;
	return true;
}

/* A text of 4 to 12 bytes as a lane, without a branch by its length: one would be foretold
 * wrongly every other time. */
static waft_pair_ lane_of_text(const char *text, size_t length)
{
	size_t step = length < 8 ? length - 4 : 4;
	uint32_t first;
	uint32_t second;
	uint32_t last;
	uint64_t low;
	uint64_t high;

	memcpy(&first, text, 4);
	memcpy(&second, text + step, 4);
	memcpy(&last, text + length - 4, 4);
	low = first | (uint64_t)second << (8 * step);
	/* The bytes from the 9th on; where there are none, what lies behind the text. */
	high = (uint64_t)last >> ((8 * (12 - length)) & 63);
	return waft_pair_of_(TAG_SPAN_STRINGS | length << 8 | low << 16,
		low >> 48 | high << 16 | WAFT_LANE_LENGTH_(length + 2));
}

/* A text whose step of the shape is known, but which inlined code leaves to us. */
static bool text_append(
	struct waft_span *span, const struct waft_key_ *key, const char *value, size_t length)
{
	uint8_t bytes[WAFT_VALUES_ROOM_];

	if (length - 4 <= 8 && lane_append(span, key, lane_of_text(value, length)))
		return true;
	if (length > sizeof(bytes) - 2 || !step_known(span, key))
		return false;
	bytes[0] = TAG_SPAN_STRINGS;
	bytes[1] = (uint8_t)length;
	memcpy(bytes + 2, value, length);
	if (!values_append(span, bytes, (uint32_t)length + 2))
		return false;
	span->shape_ = (uint32_t)WAFT_LOAD_(&key->to);
	return true;
}

void waft_attr_string_slow_(struct waft_span *span, struct waft_key_ *key, const char *value)
{
	size_t length = strlen(value);

	if (text_append(span, key, value, length))
		return;
	slow_set(span, key,
		&(struct waft_attribute){.key = key->name,
			.type = WAFT_TYPE_STRING,
			.count = length,
			.value = {.string = value}});
}

void waft_attr_int_slow_(struct waft_span *span, struct waft_key_ *key, int64_t value)
{
	if ((int32_t)value == value && lane_append(span, key, waft_int_lane_((int32_t)value)))
		return;
	slow_set(span, key,
		&(struct waft_attribute){
			.key = key->name, .type = WAFT_TYPE_INT, .value = {.integer = value}});
}

void waft_attr_double_slow_(struct waft_span *span, struct waft_key_ *key, double value)
{
	if (lane_append(span, key, waft_double_lane_(value)))
		return;
	slow_set(span, key,
		&(struct waft_attribute){
			.key = key->name, .type = WAFT_TYPE_DOUBLE, .value = {.number = value}});
}

void waft_attr_bool_slow_(struct waft_span *span, struct waft_key_ *key, bool value)
{
	if (lane_append(span, key, waft_bool_lane_(value)))
		return;
	slow_set(span, key,
		&(struct waft_attribute){
			.key = key->name, .type = WAFT_TYPE_BOOL, .value = {.boolean = value}});
}

void waft_set(struct waft_span *span, const struct waft_attribute *attribute)
{
	struct open *open = span_open(span);

	if (open == NULL || attribute == NULL || attribute->key == NULL || *attribute->key == '\0')
		return;
	if (attribute->type == WAFT_TYPE_STRING && attribute->value.string == NULL)
		return;
	attribute_set(span, open, NULL, attribute);
}

/* ---- Events and links ---------------------------------------------------------------- */

static void attributes_add(
	struct buffer *out, uint32_t tag, const struct waft_attribute *attributes, size_t count)
{
	for (size_t i = 0; attributes != NULL && i < count && i < WIRE_ATTRIBUTES_LIMIT; i++)
		(void)attribute_add(out, tag, &attributes[i]);
}

static void fixed64_add(struct buffer *out, uint32_t tag, uint64_t value)
{
	uint8_t bytes[9] = {(uint8_t)tag};

	le64_write(bytes + 1, value);
	buffer_add(out, bytes, sizeof(bytes));
}

static void bytes_add(struct buffer *out, uint32_t tag, const void *bytes, size_t length)
{
	size_t begin = nested_begin(out, tag);

	buffer_add(out, bytes, length);
	nested_end(out, begin);
}

/* What was added since `before` stays if there is room for it. */
static bool detail_keep(struct extra *extra, size_t before)
{
	if (!extra->detail.failed && extra->detail.length <= EXTRA_DETAIL_LIMIT)
		return true;
	extra->detail.length = before;
	extra->detail.failed = false;
	return false;
}

void waft_event(struct waft_span *span, const char *name, const struct waft_attribute *attributes,
	size_t count)
{
	struct open *open = span_open(span);
	struct extra *extra = open != NULL && name != NULL ? span_extra(span, open) : NULL;
	size_t before;
	size_t begin;

	if (extra == NULL)
		return;
	if (extra->events >= EXTRA_EVENTS_LIMIT) {
		extra->dropped_events++;
		return;
	}
	before = extra->detail.length;
	begin = nested_begin(&extra->detail, TAG_DETAIL_EVENTS);
	bytes_add(&extra->detail, TAG_EVENT_NAME, name, strlen(name));
	fixed64_add(&extra->detail, TAG_EVENT_RAW,
		clock_raw((enum wire_clock_source)WAFT_LOAD_(&open->hot.slot->clock)));
	attributes_add(&extra->detail, TAG_EVENT_ATTRIBUTES, attributes, count);
	nested_end(&extra->detail, begin);
	if (detail_keep(extra, before))
		extra->events++;
	else
		extra->dropped_events++;
}

void waft_link(struct waft_span *span, const struct waft_context *to,
	const struct waft_attribute *attributes, size_t count)
{
	struct open *open = span_open(span);
	struct extra *extra;
	uint64_t id;
	size_t before;
	size_t begin;

	if (open == NULL || !waft_context_valid(to))
		return;
	extra = span_extra(span, open);
	if (extra == NULL)
		return;
	if (extra->links >= EXTRA_LINKS_LIMIT) {
		extra->dropped_links++;
		return;
	}
	memcpy(&id, to->span_id, sizeof(id));
	before = extra->detail.length;
	begin = nested_begin(&extra->detail, TAG_DETAIL_LINKS);
	bytes_add(&extra->detail, TAG_LINK_TRACE_ID, to->trace_id, sizeof(to->trace_id));
	fixed64_add(&extra->detail, TAG_LINK_SPAN_ID, id);
	attributes_add(&extra->detail, TAG_LINK_ATTRIBUTES, attributes, count);
	if (to->carry != NULL && to->carry->state_length > 0)
		bytes_add(&extra->detail, TAG_LINK_STATE, carry_state(to->carry),
			to->carry->state_length);
	nested_end(&extra->detail, begin);
	if (detail_keep(extra, before))
		extra->links++;
	else
		extra->dropped_links++;
}

void waft_trace_attr(struct waft_span *root, const char *key, const char *value)
{
	struct open *open;
	struct waft_carry *carry;

	if (root == NULL || root->open_ == NULL || key == NULL || value == NULL || !process_enter())
		return;
	open = open_of(root->open_);
	if (open->thread->epoch != process.epoch ||
		WAFT_LOAD_(&open->hot.generation) != root->generation_)
		return;
	carry = carry_add(open->carry, key, value);
	if (carry == NULL)
		return;
	carry_release(open->carry);
	open->carry = carry;
	open->hot.flags |= OPEN_CARRY;
}

/* ---- Status ------------------------------------------------------------------------------ */

void waft_set_kind(struct waft_span *span, enum waft_kind kind)
{
	struct open *open = span_open(span);
	struct extra *extra;

	if (open == NULL || (unsigned int)kind > WAFT_KIND_CONSUMER)
		return;
	extra = span_extra(span, open);
	if (extra != NULL)
		extra->kind = (uint8_t)kind;
}

static void error_set(struct extra *extra, const char *text, size_t length)
{
	if (length > EXTRA_ERROR_BYTES) {
		length = EXTRA_ERROR_BYTES;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	extra->failed = true;
	extra->error.length = 0;
	buffer_add(&extra->error, text, length);
}

void waft_error(struct waft_span *span, const char *text)
{
	struct open *open = span_open(span);
	struct extra *extra = open != NULL && text != NULL ? span_extra(span, open) : NULL;

	if (extra != NULL)
		error_set(extra, text, strlen(text));
}

__attribute__((format(printf, 2, 0))) static void error_format(
	struct waft_span *span, const char *format, va_list args)
{
	char text[EXTRA_ERROR_BYTES + 1];
	int length = vsnprintf(text, sizeof(text), format, args);

	waft_error(span, length >= 0 ? text : format);
}

void waft_errorf(struct waft_span *span, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (span_open(span) != NULL && format != NULL)
		error_format(span, format, args);
	va_end(args);
}

void waft_error_code(struct waft_span *span, int64_t code, const char *text)
{
	waft_error(span, text);
	waft_set(span,
		&(struct waft_attribute){
			.key = "error.code", .type = WAFT_TYPE_INT, .value = {.integer = code}});
}

void waft_errno(struct waft_span *span, int error_number, const char *doing)
{
	if (span_open(span) == NULL)
		return;
	if (doing != NULL && *doing != '\0')
		waft_errorf(span, "%s: %s", doing, waft_strerror(-error_number));
	else
		waft_error(span, waft_strerror(-error_number));
	waft_set(span, &(struct waft_attribute){.key = "error.code",
			       .type = WAFT_TYPE_INT,
			       .value = {.integer = error_number}});
}

/* ---- Snapshots ------------------------------------------------------------------------------ */

enum {
	CACHE_LINE_BYTES = 64,
	AHEAD_BYTES = 5 * CACHE_LINE_BYTES, /* 256 bytes lie in at most so many lines */
};

/* Where a snapshot goes; NULL: nowhere. */
static inline __attribute__((always_inline)) struct buffer *snapshot_place(
	struct waft_span *span, bool input)
{
	struct open *open = span_open(span);
	struct extra *extra;

	if (open == NULL || !process.config.capture)
		return NULL;
	extra = span_extra_snapshots(span, open);
	if (extra == NULL)
		return NULL;
	return input ? &extra->input : &extra->output;
}

static inline __attribute__((always_inline)) void snapshot_json(
	struct waft_span *span, bool input, const char *text, size_t length)
{
	struct buffer *place;

	if (text == NULL || !waft_recording(span))
		return;
	/* All lines at once, whatever the length is: it may be on its way from memory itself,
	 * and a loop that was foretold to end too early would ask for the last ones late. */
	for (size_t at = 0; at < AHEAD_BYTES; at += CACHE_LINE_BYTES)
		__builtin_prefetch(text + at);
	place = snapshot_place(span, input);
	if (place == NULL)
		return;
	snapshot_put(place, text, length == SIZE_MAX ? strlen(text) : length,
		process.config.snapshot_limit_bytes);
	if (place->failed)
		buffer_clear(place, 0);
}

static void snapshot_fn(struct waft_span *span, bool input, waft_snapshot_fn fn, void *arg)
{
	struct waft_json json = {0};
	struct buffer *place;

	if (fn == NULL || snapshot_place(span, input) == NULL)
		return;
	fn(&json, arg);
	/* The callback may have done anything, ended the span included. */
	place = snapshot_place(span, input);
	if (place != NULL && json_valid(&json))
		snapshot_put(place, (const char *)json.text.bytes, json.text.length,
			process.config.snapshot_limit_bytes);
	else if (place != NULL)
		snapshot_invalid(place, json.text.length);
	if (place != NULL && place->failed)
		buffer_clear(place, 0);
	buffer_done(&json.text);
}

void waft_input_json(struct waft_span *span, const char *text, size_t length_bytes)
{
	snapshot_json(span, true, text, length_bytes);
}

void waft_output_json(struct waft_span *span, const char *text, size_t length_bytes)
{
	snapshot_json(span, false, text, length_bytes);
}

void waft_input_fn(struct waft_span *span, waft_snapshot_fn fn, void *arg)
{
	snapshot_fn(span, true, fn, arg);
}

void waft_output_fn(struct waft_span *span, waft_snapshot_fn fn, void *arg)
{
	snapshot_fn(span, false, fn, arg);
}

static void snapshot_short(struct waft_span *span, bool input, const char *text)
{
	snapshot_json(span, input, text, SIZE_MAX);
}

static void snapshot_int(struct waft_span *span, bool input, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	snapshot_short(span, input, text);
}

static void snapshot_double(struct waft_span *span, bool input, double value)
{
	char text[JSON_NUMBER_BYTES];

	json_double_format(value, text);
	snapshot_short(span, input, text);
}

static void snapshot_bool(struct waft_span *span, bool input, bool value)
{
	snapshot_short(span, input, value ? "true" : "false");
}

static void string_write(struct waft_json *json, void *arg)
{
	waft_json_string(json, arg);
}

static void snapshot_text(struct waft_span *span, bool input, const char *text)
{
	if (text != NULL)
		snapshot_fn(span, input, string_write, (void *)text);
}

void waft_input_int(struct waft_span *span, int64_t value)
{
	snapshot_int(span, true, value);
}

void waft_input_double(struct waft_span *span, double value)
{
	snapshot_double(span, true, value);
}

void waft_input_bool(struct waft_span *span, bool value)
{
	snapshot_bool(span, true, value);
}

void waft_input_string(struct waft_span *span, const char *text)
{
	snapshot_text(span, true, text);
}

void waft_output_int(struct waft_span *span, int64_t value)
{
	snapshot_int(span, false, value);
}

void waft_output_unsigned_(struct waft_span *span, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	snapshot_short(span, false, text);
}

void waft_output_double(struct waft_span *span, double value)
{
	snapshot_double(span, false, value);
}

void waft_output_bool(struct waft_span *span, bool value)
{
	snapshot_bool(span, false, value);
}

void waft_output_string(struct waft_span *span, const char *text)
{
	snapshot_text(span, false, text);
}
