/* See attribute.h. */
#include "attribute.h"

#include <string.h>

#include "cursor.h"
#include "redact.h"
#include "wire.h"

size_t nested_begin(struct buffer *out, uint32_t tag)
{
	uint8_t head[4] = {(uint8_t)tag};

	buffer_add(out, head, sizeof(head));
	return out->length;
}

void nested_end(struct buffer *out, size_t begin)
{
	size_t length = out->length - begin;

	if (out->failed)
		return;
	out->bytes[begin - 3] = (uint8_t)(length | 0x80);
	out->bytes[begin - 2] = (uint8_t)(length >> 7 | 0x80);
	out->bytes[begin - 1] = (uint8_t)(length >> 14);
}

static void varint_add(struct buffer *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		buffer_add_byte(out, (char)(value | 0x80));
	buffer_add_byte(out, (char)value);
}

static void text_add(struct buffer *out, uint32_t tag, const char *text, size_t length)
{
	buffer_add_byte(out, (char)tag);
	varint_add(out, length);
	buffer_add(out, text, length);
}

static void integer_add(struct buffer *out, int64_t value)
{
	buffer_add_byte(out, TAG_VALUE_INTEGER);
	varint_add(out, zigzag_encode(value));
}

static void number_add(struct buffer *out, double value)
{
	uint8_t bytes[9] = {TAG_VALUE_NUMBER};

	le64_write(bytes + 1, double_to_bits(value));
	buffer_add(out, bytes, sizeof(bytes));
}

static void boolean_add(struct buffer *out, bool value)
{
	buffer_add_byte(out, TAG_VALUE_BOOLEAN);
	buffer_add_byte(out, value ? 1 : 0);
}

/* One element of an array as a Value. */
static void element_add(struct buffer *out, const struct waft_attribute *attribute, size_t i)
{
	size_t begin = nested_begin(out, TAG_VALUES_VALUES);
	const char *text;

	switch (attribute->type) {
	case WAFT_TYPE_STRINGS:
		text = attribute->value.strings[i];
		text_add(out, TAG_VALUE_TEXT, text != NULL ? text : "",
			text != NULL ? strlen(text) : 0);
		break;
	case WAFT_TYPE_BOOLS:
		boolean_add(out, attribute->value.booleans[i]);
		break;
	case WAFT_TYPE_INTS:
		integer_add(out, attribute->value.integers[i]);
		break;
	default:
		number_add(out, attribute->value.numbers[i]);
	}
	nested_end(out, begin);
}

/* Arrays over what a span holds are pointless to encode. */
static bool array_add(struct buffer *out, const struct waft_attribute *attribute)
{
	size_t begin;

	if (attribute->count > 0 && attribute->value.strings == NULL)
		return false;
	if (attribute->count > WIRE_SPAN_LIMIT / 8)
		return false;
	begin = nested_begin(out, TAG_VALUE_LIST);
	for (size_t i = 0; i < attribute->count; i++)
		element_add(out, attribute, i);
	nested_end(out, begin);
	return true;
}

static bool value_add(struct buffer *out, const struct waft_attribute *attribute)
{
	size_t length = attribute->count;

	switch (attribute->type) {
	case WAFT_TYPE_STRING:
		if (attribute->value.string == NULL)
			return false;
		if (length == SIZE_MAX)
			length = strlen(attribute->value.string);
		text_add(out, TAG_VALUE_TEXT, attribute->value.string, length);
		return true;
	case WAFT_TYPE_BOOL:
		boolean_add(out, attribute->value.boolean);
		return true;
	case WAFT_TYPE_INT:
		integer_add(out, attribute->value.integer);
		return true;
	case WAFT_TYPE_DOUBLE:
		number_add(out, attribute->value.number);
		return true;
	case WAFT_TYPE_STRINGS:
	case WAFT_TYPE_BOOLS:
	case WAFT_TYPE_INTS:
	case WAFT_TYPE_DOUBLES:
		return array_add(out, attribute);
	}
	return false;
}

bool attribute_add(struct buffer *out, uint32_t tag, const struct waft_attribute *attribute)
{
	size_t before = out->length;
	size_t outer;
	size_t inner;
	size_t key;
	bool good;

	/* What failed before in what this belongs to is not made good here. */
	if (out->failed || attribute == NULL || attribute->key == NULL || *attribute->key == '\0')
		return false;
	key = strlen(attribute->key);
	outer = nested_begin(out, tag);
	text_add(out, TAG_KEY_VALUE_KEY, attribute->key, key);
	inner = nested_begin(out, TAG_KEY_VALUE_VALUE);
	if (redact_key_matches(attribute->key, key)) {
		text_add(out, TAG_VALUE_TEXT, REDACT_TEXT, sizeof(REDACT_TEXT) - 1);
		good = true;
	} else {
		good = value_add(out, attribute);
	}
	nested_end(out, inner);
	nested_end(out, outer);
	if (good && !out->failed)
		return true;
	out->length = before;
	out->failed = false;
	return false;
}
