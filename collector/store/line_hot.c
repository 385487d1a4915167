/*
 * The lines of ordinary spans: one pass with a pointer, no check of room but one. See
 * line_internal.h; what is written is docs/STORE.md's, "Lines", as line.c has it.
 */
#include <errno.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "json_check.h"
#include "line_internal.h"

enum { KEY_AT_ONCE = 16 };

/* ---- Ids and times ---------------------------------------------------------- */

/* 16 hex digits of an id, its least byte first. */
static inline void put_hex(char ret[16], uint64_t id)
{
#if defined(__SSE2__)
	const __m128i low_nibbles = _mm_set1_epi8(0x0f);
	__m128i bytes = _mm_cvtsi64_si128((long long)id);
	__m128i high = _mm_and_si128(_mm_srli_epi64(bytes, 4), low_nibbles);
	__m128i nibbles = _mm_unpacklo_epi8(high, _mm_and_si128(bytes, low_nibbles));
	__m128i letters = _mm_and_si128(
		_mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));

	_mm_storeu_si128((__m128i *)(void *)ret,
		_mm_add_epi8(_mm_add_epi8(nibbles, _mm_set1_epi8('0')), letters));
#else
	span_id_format_hex(id, ret);
#endif
}

/* As span_id_format, with the quote behind it. */
static inline uint8_t *put_span_id(uint8_t *at, uint64_t id)
{
	char hex[16];

	put_hex(hex, id);
	memcpy(at, "00000000-0000-8000-8000-000000000000\"", ID_UUID_LENGTH + 1);
	memcpy(at, hex, 8);
	memcpy(at + 9, hex + 8, 4);
	memcpy(at + 15, hex + 12, 2);
	at[17] = (uint8_t)hex[14];
	at[22] = (uint8_t)hex[15];
	return at + ID_UUID_LENGTH + 1;
}

/* As trace_id_format. */
static inline void put_trace_id(char ret[ID_UUID_LENGTH], const struct trace_id *id)
{
	char hex[32];

	put_hex(hex, le64_read(id->bytes));
	put_hex(hex + 16, le64_read(id->bytes + 8));
	memcpy(ret, "00000000-0000-0000-0000-000000000000", ID_UUID_LENGTH);
	memcpy(ret, hex, 8);
	memcpy(ret + 9, hex + 8, 4);
	memcpy(ret + 14, hex + 12, 4);
	memcpy(ret + 19, hex + 16, 4);
	memcpy(ret + 24, hex + 20, 12);
}

uint8_t *line_put_front(struct line_writer *writer, const struct span_view *view, uint8_t *at)
{
	at = PUT(at, "{\"trace_id\":\"");
	if (writer->trace_text[0] == 0 ||
		memcmp(&writer->trace, &view->trace->id, sizeof(writer->trace)) != 0) {
		writer->trace = view->trace->id;
		put_trace_id(writer->trace_text, &writer->trace);
	}
	memcpy(at, writer->trace_text, ID_UUID_LENGTH);
	at += ID_UUID_LENGTH;
	at = PUT(at, "\",\"span_id\":\"");
	at = put_span_id(at, view->span_id);
	if (view->parent_id == 0) {
		at = PUT(at, ",\"parent_span_id\":null,\"timestamp\":\"");
	} else {
		at = PUT(at, ",\"parent_span_id\":\"");
		at = put_span_id(at, view->parent_id);
		at = PUT(at, ",\"timestamp\":\"");
	}
	json_format_timestamp_near((char *)at, view->start_ns, &writer->second);
	at += JSON_TIMESTAMP_BYTES;
	at = PUT(at, "\",\"duration_ms\":");
	if (view->status == WIRE_STATUS_PENDING)
		return PUT(at, "null");
	return at + json_format_ms((char *)at, view->duration_ns);
}

/* ---- Values ------------------------------------------------------------------- */

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Whether one of 8 bytes is no ASCII, a control character, a quote or a backslash. The
 * subtractions may carry into bytes above one that is. */
static inline bool word_is_special(uint64_t word)
{
	uint64_t quotes = word ^ ONES * '"';
	uint64_t slashes = word ^ ONES * '\\';

	return (((word - ONES * 0x20) | (quotes - ONES) | (slashes - ONES) | word) & HIGHS) != 0;
}

/* The last 1 to 7 bytes of a text, spaces above. */
static inline uint64_t last_word(const uint8_t *from, size_t length)
{
	uint64_t word;

	if (length >= 4) {
		uint32_t low, high;

		memcpy(&low, from, 4);
		memcpy(&high, from + length - 4, 4);
		word = low | (uint64_t)high << 8 * (length - 4);
	} else {
		word = from[0] | (uint64_t)from[length / 2] << 8 * (length / 2) |
		       (uint64_t)from[length - 1] << 8 * (length - 1);
	}
	return word | (ONES * ' ') << 8 * length;
}

/* The text with its quotes, when it can be taken as it is; else NULL. Writes up to 8
 * bytes beyond the end. */
static inline uint8_t *put_text(uint8_t *at, struct slice text)
{
	const uint8_t *from = text.data;
	size_t left = text.length;
	uint64_t word;

	*at++ = '"';
	for (; left >= 8; left -= 8, from += 8, at += 8) {
		memcpy(&word, from, 8);
		if (word_is_special(word))
			return NULL;
		memcpy(at, &word, 8);
	}
	if (left > 0) {
		word = last_word(from, left);
		if (word_is_special(word))
			return NULL;
		memcpy(at, &word, 8);
		at += left;
	}
	*at++ = '"';
	return at;
}

/* The value of a key at `from`; NULL: it takes the long way. For the index: a text as it
 * is, a number as it stands in the line. */
static inline uint8_t *put_value(struct line_writer *writer, const struct batch *batch,
	unsigned int type, uint32_t from, uint64_t key_hash, uint8_t *at)
{
	struct cursor cursor = {.at = batch->bytes + from, .end = batch->bytes + batch->length};
	const uint8_t *start = at;
	struct slice text;

	switch (type) {
	case WIRE_KEY_STRING:
		text = cursor_bytes(&cursor);
		at = text.length > 0 ? put_text(at, text) : PUT(at, "\"\"");
		if (at == NULL)
			return NULL;
		if (writer->index.filter != NULL)
			index_filter_value(writer->index.filter, key_hash, text);
		return at;
	case WIRE_KEY_INT32:
		at += json_format_i64((char *)at, (int32_t)cursor_fixed32(&cursor));
		break;
	case WIRE_KEY_INT64:
		at += json_format_i64((char *)at, (int64_t)cursor_fixed64(&cursor));
		break;
	case WIRE_KEY_DOUBLE:
		at += json_format_double((char *)at, double_from_bits(cursor_fixed64(&cursor)));
		break;
	default:
		at = cursor_varint(&cursor) != 0 ? PUT(at, "true") : PUT(at, "false");
	}
	text = slice_of(start, (size_t)(at - start));
	if (writer->index.filter != NULL)
		index_filter_value(writer->index.filter, key_hash, line_bare_value(text));
	return at;
}

/* The values that the span has, behind `"attributes":{` and what is in it already. */
static uint8_t *put_values(struct line_writer *writer, const struct batch *batch,
	const struct span_view *view, bool first, uint8_t *at)
{
	const struct line_key *keys = &writer->keys[view->shape->keys];
	const struct batch_key *shape_keys = &batch->keys[view->shape->keys];

	for (uint64_t left = view->present; left != 0 && at != NULL; left &= left - 1) {
		unsigned int index = (unsigned int)__builtin_ctzll(left);
		struct line_piece piece = keys[index].text;
		const uint8_t *text = writer->pieces.data + piece.offset + first;

		memcpy(at, text, KEY_AT_ONCE);
		if (piece.length > KEY_AT_ONCE)
			memcpy(at + KEY_AT_ONCE, text + KEY_AT_ONCE, piece.length - KEY_AT_ONCE);
		at += piece.length - first;
		first = false;
		at = put_value(writer, batch, shape_keys[index].type, view->values[index],
			keys[index].hash, at);
	}
	return at;
}

/* ---- A span ------------------------------------------------------------------- */

/* A piece, or the end of one: PIECE_SLACK bytes at once, and beyond. Those that are longer
 * than that are mostly shorter than twice that. */
static inline uint8_t *put_piece(uint8_t *at, const uint8_t *from, size_t length)
{
	memcpy(at, from, PIECE_SLACK);
	if (length > PIECE_SLACK) {
		memcpy(at + PIECE_SLACK, from + PIECE_SLACK, PIECE_SLACK);
		if (length > 2 * PIECE_SLACK)
			memcpy(at + 2 * PIECE_SLACK, from + 2 * PIECE_SLACK,
				length - 2 * PIECE_SLACK);
	}
	return at + length;
}

static uint8_t *put_snapshot(uint8_t *at, struct slice json)
{
	if (json.data == NULL)
		return PUT(at, "null");
	return at + json_copy_json(at, json);
}

/* From the status to resource, which are the same for all spans but for snapshots. */
static uint8_t *put_middle(
	const struct line_writer *writer, const struct span_view *view, uint8_t *at)
{
	const struct bytes *middle = &writer->middle;

	if (view->input.data == NULL && view->output.data == NULL)
		return put_piece(at, middle->data, middle->length);
	at = PUT(at, "success\",\"data\":{\"input\":");
	at = put_snapshot(at, view->input);
	at = PUT(at, ",\"output\":");
	at = put_snapshot(at, view->output);
	return put_piece(at, middle->data + writer->middle_data_end,
		middle->length - writer->middle_data_end);
}

/* `,"thread.id":N`, mostly that of the span before. */
static uint8_t *put_thread(struct line_writer *writer, uint64_t thread, bool first, uint8_t *at)
{
	if (writer->thread != thread) {
		memcpy(writer->thread_text, ",\"thread.id\":", 13);
		writer->thread_length =
			13 + (uint8_t)json_format_u64(writer->thread_text + 13, thread);
		writer->thread = thread;
	}
	memcpy(at, writer->thread_text + first, sizeof(writer->thread_text) - 1);
	return at + writer->thread_length - first;
}

static bool snapshot_fits(struct slice json)
{
	return json.data == NULL || json_check(json.data, json.length, NULL) == 0;
}

static bool is_hot(const struct line_writer *writer, const struct line_shape *shape,
	const struct span_view *view)
{
	return writer->hot && shape->hot && view->repairs == 0 && view->detail.data == NULL &&
	       view->trace->attribute_count == 0 && view->trace->state.data == NULL &&
	       snapshot_fits(view->input) && snapshot_fits(view->output);
}

int line_hot_span(struct line_writer *writer, const struct batch *batch,
	const struct line_shape *shape, const struct span_view *view, struct bytes *out)
{
	bool first = shape->own == 0;
	uint8_t *at;

	if (!is_hot(writer, shape, view))
		return 0;
	/* No text is longer here than on the wire but for its quotes. */
	if (bytes_reserve(out, shape->hot_bytes + view->wire_bytes) != 0)
		return -ENOMEM;
	at = line_put_front(writer, view, out->data + out->length);
	at = put_piece(at, writer->pieces.data + shape->names.offset, shape->names.length);
	at = put_middle(writer, view, at);
	at = put_piece(at, writer->pieces.data + shape->site.offset, shape->site.length);
	if (view->thread != 0) {
		at = put_thread(writer, view->thread, first, at);
		first = false;
	}
	at = put_values(writer, batch, view, first, at);
	if (at == NULL)
		return 0;
	if (first && view->present == 0)
		at -= sizeof(",\"attributes\":{") - 1;
	else
		*at++ = '}';
	at = put_piece(at, writer->tail.data, writer->tail.length);
	at = PUT(at, "null}\n");
	out->length = (size_t)(at - out->data);
	return 1;
}
