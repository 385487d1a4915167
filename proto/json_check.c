/*
 * A JSON recogniser without recursion or memory; see json_check.h. What it is
 * nested in is a stack of bits: 1 object, 0 array.
 */
#include "json_check.h"

#include <stdbool.h>
#include <string.h>

#include "utf8.h"
#include "wire.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The position is passed in and returned, so that it stays in a register; NULL
 * tells of a failure, which is kept here. */
struct check {
	const uint8_t *end;
	uint64_t objects; /* bit 0: the innermost */
	unsigned int depth;
	int error;
	const uint8_t *failed_at;
};

static const uint8_t *fail(struct check *check, const uint8_t *at, int error)
{
	check->error = error;
	check->failed_at = at;
	return NULL;
}

static inline const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
	while (at != end && *at <= ' ' && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
		at++;
	return at;
}

/* Moves over bytes that mean nothing special inside a string. */
static inline const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
#if defined(__SSE2__)
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	for (; end - at >= 16; at += 16) {
		__m128i bytes = _mm_loadu_si128((const void *)at);
		/* Signed: below the space are control characters and all of 0x80…0xff. */
		__m128i special = _mm_or_si128(
			_mm_cmplt_epi8(bytes, space), _mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
							      _mm_cmpeq_epi8(bytes, backslash)));
		int mask = _mm_movemask_epi8(special);

		if (mask != 0)
			return at + __builtin_ctz((unsigned int)mask);
	}
#endif
	while (at != end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
		at++;
	return at;
}

static int is_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* At the backslash. */
static const uint8_t *skip_escape(struct check *check, const uint8_t *at)
{
	ptrdiff_t left = check->end - at;

	if (left < 2 || at[1] == 0)
		return fail(check, at, ERR_MALFORMED);
	if (at[1] == 'u') {
		if (left < 6 || !is_hex(at[2]) || !is_hex(at[3]) || !is_hex(at[4]) ||
			!is_hex(at[5]))
			return fail(check, at, ERR_MALFORMED);
		return at + 6;
	}
	if (strchr("\"\\/bfnrt", at[1]) == NULL)
		return fail(check, at, ERR_MALFORMED);
	return at + 2;
}

/* A character of a string that is neither plain nor its end. */
static const uint8_t *skip_special(struct check *check, const uint8_t *at)
{
	unsigned int bad;
	unsigned int step = 0;

	if (*at == '\\')
		return skip_escape(check, at);
	if (*at >= 0x80)
		step = utf8_step(at, (size_t)(check->end - at), &bad);
	return step != 0 ? at + step : fail(check, at, ERR_MALFORMED);
}

/* At the opening quote. */
static inline const uint8_t *skip_string(struct check *check, const uint8_t *at)
{
	at++;
	for (;;) {
		at = skip_plain(at, check->end);
		if (at == check->end)
			return fail(check, at, ERR_MALFORMED);
		if (*at == '"')
			return at + 1;
		at = skip_special(check, at);
		if (at == NULL)
			return NULL;
	}
}

static inline const uint8_t *skip_digits(struct check *check, const uint8_t *at)
{
	const uint8_t *begin = at;

	while (at != check->end && (uint8_t)(*at - '0') < 10)
		at++;
	return at != begin ? at : fail(check, at, ERR_MALFORMED);
}

static inline const uint8_t *skip_number(struct check *check, const uint8_t *at)
{
	const uint8_t *end = check->end;

	if (*at == '-')
		at++;
	if (at != end && *at == '0')
		at++;
	else
		at = skip_digits(check, at);
	if (at != NULL && at != end && *at == '.')
		at = skip_digits(check, at + 1);
	if (at != NULL && at != end && (*at | 0x20) == 'e') {
		at++;
		if (at != end && (*at == '+' || *at == '-'))
			at++;
		at = skip_digits(check, at);
	}
	return at;
}

static const uint8_t *skip_literal(
	struct check *check, const uint8_t *at, const char *text, size_t length)
{
	if ((size_t)(check->end - at) < length || memcmp(at, text, length) != 0)
		return fail(check, at, ERR_MALFORMED);
	return at + length;
}

/* A key and its colon, white space around both. */
static inline const uint8_t *skip_key(struct check *check, const uint8_t *at)
{
	at = skip_space(at, check->end);
	if (at == check->end || *at != '"')
		return fail(check, at, ERR_MALFORMED);
	at = skip_string(check, at);
	if (at == NULL)
		return NULL;
	at = skip_space(at, check->end);
	if (at == check->end || *at != ':')
		return fail(check, at, ERR_MALFORMED);
	return at + 1;
}

/* ---- Objects in their commonest form --------------------------------------- */

enum {
	SHORT_BYTES = 16,
	/* A member of short texts: quote, key, quote, colon, and as much for its value. */
	MEMBER_BYTES = 2 * (SHORT_BYTES + 2) + 2,
};

/* The quote that ends a string of plain characters whose first is at `at`, when it
 * is among the next SHORT_BYTES, which are there; else NULL. */
static inline const uint8_t *short_end(const uint8_t *at)
{
#if defined(__SSE2__)
	__m128i bytes = _mm_loadu_si128((const void *)at);
	/* Signed, as in skip_plain. */
	__m128i special = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(' ')),
		_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
			_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
	int mask = _mm_movemask_epi8(special);

	if (mask == 0)
		return NULL;
	at += __builtin_ctz((unsigned int)mask);
#else
	const uint8_t *end = at + SHORT_BYTES;

	while (at != end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
		at++;
	if (at == end)
		return NULL;
#endif
	return *at == '"' ? at : NULL;
}

/* Behind a number without exponent that ends among the next SHORT_BYTES, which are
 * there; else NULL. */
static inline const uint8_t *short_number(const uint8_t *at)
{
	const uint8_t *end = at + SHORT_BYTES;
	const uint8_t *begin;

	at += *at == '-';
	begin = at;
	while (at != end && (uint8_t)(*at - '0') < 10)
		at++;
	if (at == begin || at == end || (*begin == '0' && at != begin + 1))
		return NULL;
	if (*at == '.') {
		begin = ++at;
		while (at != end && (uint8_t)(*at - '0') < 10)
			at++;
		if (at == begin || at == end)
			return NULL;
	}
	return (*at | 0x20) != 'e' ? at : NULL;
}

/* At a key. Moves over members without white space whose key, and whose string or
 * number, are short, as far as text is left for one more: behind the last of them,
 * or not at all, or *ret_value: to a value of another form. Whatever else there
 * is, errors too, is left to the others. */
static inline const uint8_t *skip_members(const uint8_t *at, const uint8_t *end, bool *ret_value)
{
	const uint8_t *behind = at;

	*ret_value = false;
	while (end - at > MEMBER_BYTES && *at == '"') {
		const uint8_t *value = short_end(at + 1);

		if (value == NULL || value[1] != ':')
			break;
		value += 2;
		if (*value == '"') {
			at = short_end(value + 1);
			at = at != NULL ? at + 1 : NULL;
		} else {
			at = short_number(value);
		}
		if (at == NULL) {
			*ret_value = true;
			return value;
		}
		behind = at;
		if (*at != ',')
			break;
		at++;
	}
	return behind;
}

/* At '{' or '['. *ret_over: it is empty and over, or a value in it is; else a value
 * follows. */
static inline const uint8_t *open_nest(struct check *check, const uint8_t *at, bool *ret_over)
{
	bool object = *at == '{';
	const uint8_t *behind;
	bool value;

	if (check->depth == WIRE_JSON_DEPTH_LIMIT)
		return fail(check, at, ERR_LIMIT);
	at = skip_space(at + 1, check->end);
	*ret_over = at != check->end && *at == (object ? '}' : ']');
	if (*ret_over)
		return at + 1;
	check->depth++;
	check->objects = check->objects << 1 | object;
	if (!object)
		return at;
	behind = skip_members(at, check->end, &value);
	*ret_over = behind != at && !value;
	return behind != at ? behind : skip_key(check, at);
}

/* Behind a value: to the next one, or *ret_over when that was the whole. */
static inline const uint8_t *close_or_continue(
	struct check *check, const uint8_t *at, bool *ret_over)
{
	for (;;) {
		bool object = check->objects & 1;

		at = skip_space(at, check->end);
		*ret_over = check->depth == 0;
		if (*ret_over)
			return at;
		if (at == check->end)
			return fail(check, at, ERR_MALFORMED);
		if (*at == ',') {
			const uint8_t *key = at + 1;
			bool value;

			if (!object)
				return key;
			at = skip_members(key, check->end, &value);
			if (value || at == key)
				return value ? at : skip_key(check, key);
			continue;
		}
		if (*at != (object ? '}' : ']'))
			return fail(check, at, ERR_MALFORMED);
		at++;
		check->depth--;
		check->objects >>= 1;
	}
}

/* A scalar, or the beginning of an array or object. *ret_over: a value is over;
 * else one follows. */
static inline const uint8_t *begin_value(struct check *check, const uint8_t *at, bool *ret_over)
{
	at = skip_space(at, check->end);
	*ret_over = true;
	if (at == check->end)
		return fail(check, at, ERR_MALFORMED);
	switch (*at) {
	case '{':
	case '[':
		return open_nest(check, at, ret_over);
	case '"':
		return skip_string(check, at);
	case 't':
		return skip_literal(check, at, "true", 4);
	case 'f':
		return skip_literal(check, at, "false", 5);
	case 'n':
		return skip_literal(check, at, "null", 4);
	default:
		if (*at != '-' && (uint8_t)(*at - '0') >= 10)
			return fail(check, at, ERR_MALFORMED);
		return skip_number(check, at);
	}
}

int json_check(const uint8_t *text, size_t length_bytes, size_t *ret_offset)
{
	struct check check = {.end = length_bytes > 0 ? text + length_bytes : text};
	const uint8_t *at = text;
	bool whole = false;

	while (!whole) {
		bool over;

		at = begin_value(&check, at, &over);
		if (at != NULL && over)
			at = close_or_continue(&check, at, &whole);
		if (at == NULL)
			break;
	}
	if (at != NULL && at != check.end)
		(void)fail(&check, at, ERR_MALFORMED);
	if (check.error != 0 && ret_offset != NULL)
		*ret_offset = (size_t)(check.failed_at - text);
	return check.error;
}
