/*
 * The slower parts of reading and writing protobuf fields; see cursor.h.
 */
#include "cursor.h"

uint64_t cursor_varint_long(struct cursor *cursor, unsigned int limit)
{
	const uint8_t *at = cursor->at;
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 7 * limit; shift += 7) {
		if (at == cursor->end) {
			cursor_fail(cursor, ERR_TRUNCATED);
			return 0;
		}
		/* Bits beyond 64 of a tenth byte are dropped, as protobuf does. */
		value |= (uint64_t)(*at & 0x7f) << shift;
		if (*at++ < 0x80) {
			cursor->at = at;
			return value;
		}
	}
	cursor_fail(cursor, ERR_MALFORMED);
	return 0;
}

void cursor_skip(struct cursor *cursor, uint32_t tag)
{
	switch (tag & 7) {
	case WIRE_VARINT:
		(void)cursor_varint(cursor);
		break;
	case WIRE_FIXED64:
		(void)cursor_take(cursor, 8);
		break;
	case WIRE_BYTES:
		(void)cursor_bytes(cursor);
		break;
	case WIRE_FIXED32:
		(void)cursor_take(cursor, 4);
		break;
	default:
		cursor_fail(cursor, ERR_MALFORMED);
	}
}

void writer_varint(struct writer *writer, uint64_t value)
{
	if (!writer_room(writer, varint_length(value)))
		return;
	for (; value >= 0x80; value >>= 7)
		*writer->at++ = (uint8_t)(value | 0x80);
	*writer->at++ = (uint8_t)value;
}

void writer_varint_padded(struct writer *writer, uint64_t value, unsigned int width)
{
	if (!writer_room(writer, width))
		return;
	for (; width > 1; width--, value >>= 7)
		*writer->at++ = (uint8_t)(value | 0x80);
	*writer->at++ = (uint8_t)(value & 0x7f);
}

size_t varint_length(uint64_t value)
{
	return value == 0 ? 1 : (size_t)(63 - __builtin_clzll(value)) / 7 + 1;
}

void writer_field_varint(struct writer *writer, uint32_t tag, uint64_t value)
{
	if (value == 0)
		return;
	writer_varint(writer, tag);
	writer_varint(writer, value);
}

void writer_field_fixed64(struct writer *writer, uint32_t tag, uint64_t value)
{
	if (value == 0)
		return;
	writer_varint(writer, tag);
	writer_fixed64(writer, value);
}

void writer_field_bytes(struct writer *writer, uint32_t tag, struct slice value)
{
	if (value.length > 0)
		writer_field_bytes_always(writer, tag, value);
}

void writer_field_bytes_always(struct writer *writer, uint32_t tag, struct slice value)
{
	writer_varint(writer, tag);
	writer_varint(writer, value.length);
	writer_bytes(writer, value.data, value.length);
}

enum { NESTED_LENGTH_WIDTH = 3 };

size_t writer_nested_begin(struct writer *writer, uint32_t tag)
{
	writer_varint(writer, tag);
	writer_varint_padded(writer, 0, NESTED_LENGTH_WIDTH);
	return writer_length(writer);
}

void writer_nested_end(struct writer *writer, size_t begin)
{
	struct writer length;

	if (writer->error != 0)
		return;
	if (writer_length(writer) - begin >= UINT64_C(1) << (7 * NESTED_LENGTH_WIDTH)) {
		writer->error = ERR_NO_ROOM;
		return;
	}
	length = writer_of(writer->start + begin - NESTED_LENGTH_WIDTH, NESTED_LENGTH_WIDTH);
	writer_varint_padded(&length, writer_length(writer) - begin, NESTED_LENGTH_WIDTH);
}
