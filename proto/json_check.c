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

/* ---- The commonest form ------------------------------------------------------ */

/* What follows knows text without white space, short strings of ASCII without escapes,
 * short numbers without exponent. Whatever else there is, errors too, is left to the
 * others. It may look at JSON_CHECK_PAD bytes from where it stands. */
enum { SHORT_BYTES = 16 };

#if defined(__SSE2__)
/* Of 16 bytes those that are not plain inside a string. */
static inline unsigned int specials(const uint8_t *at)
{
	__m128i bytes = _mm_loadu_si128((const void *)at);

	/* Signed, as in skip_plain. */
	return (unsigned int)_mm_movemask_epi8(
		_mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(' ')),
			_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
				_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')))));
}
#endif

/* The quote that ends a string of plain characters whose first is at `at`, when it
 * is among the next 2 * SHORT_BYTES; else NULL. */
static inline const uint8_t *short_end(const uint8_t *at)
{
#if defined(__SSE2__)
	unsigned int mask = specials(at);

	if (mask == 0) {
		at += SHORT_BYTES;
		mask = specials(at);
		if (mask == 0)
			return NULL;
	}
	at += __builtin_ctz(mask);
#else
	const uint8_t *end = at + 2 * SHORT_BYTES;

	while (at != end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
		at++;
	if (at == end)
		return NULL;
#endif
	return *at == '"' ? at : NULL;
}

/* Of 16 bytes those that are no digits, and one more. */
static inline unsigned int no_digits(const uint8_t *at)
{
#if defined(__SSE2__)
	__m128i value = _mm_sub_epi8(_mm_loadu_si128((const void *)at), _mm_set1_epi8('0'));
	__m128i digits = _mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value);

	return ~(unsigned int)_mm_movemask_epi8(digits);
#else
	unsigned int mask = 1u << SHORT_BYTES;

	for (unsigned int i = 0; i < SHORT_BYTES; i++)
		mask |= (unsigned int)((uint8_t)(at[i] - '0') >= 10) << i;
	return mask;
#endif
}

/* Behind a number, of which the first digit is at `at`; else NULL. Without a branch by
 * how many digits there are. */
static inline const uint8_t *short_number(const uint8_t *at)
{
	unsigned int mask = no_digits(at);
	unsigned int length = (unsigned int)__builtin_ctz(mask);
	unsigned int part;

	if (*at == '0' && length != 1)
		return NULL;
	if (at[length] == '.') {
		part = (unsigned int)__builtin_ctz(mask >> (length + 1));
		length += 1 + part;
		if (part == 0)
			return NULL;
	}
	return length < SHORT_BYTES && (at[length] | 0x20) != 'e' ? at + length : NULL;
}

/* Behind true, false or null; else NULL. */
static inline const uint8_t *short_literal(const uint8_t *at)
{
	if (memcmp(at, "true", 4) == 0 || memcmp(at, "null", 4) == 0)
		return at + 4;
	return memcmp(at, "false", 5) == 0 ? at + 5 : NULL;
}

/* Where a text is, between two tokens. */
enum place { VALUE, AFTER };

static inline bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

/* From where a value is to begin to another place further on, or the same, where one of
 * the others is to go on: at *ret_place, or with *ret_key at a key. Below limit as many
 * bytes as said above are there; NULL: everywhere, and the text ends in zeros. */
static inline __attribute__((always_inline)) const uint8_t *skip_common(struct check *check,
	const uint8_t *at, const uint8_t *limit, enum place *ret_place, bool *ret_key)
{
	uint64_t objects = check->objects;
	unsigned int depth = check->depth;
	const uint8_t *next;

	*ret_key = false;
	*ret_place = VALUE;
	/* Behind a value that is in nothing there is no place. */
	if (depth == 0 && (limit == NULL || at < limit) && *at != '{' && *at != '[')
		return at;
value:
	*ret_place = VALUE;
	if (limit != NULL && at >= limit)
		goto out;
	if (is_digit(*at)) {
		next = short_number(at);
	} else if (*at == '"') {
		next = short_end(at + 1);
		next = next != NULL ? next + 1 : NULL;
	} else if (*at == '{') {
		if (at[1] != '"' || depth == WIRE_JSON_DEPTH_LIMIT)
			goto out;
		depth++;
		objects = objects << 1 | 1;
		at++;
		goto key;
	} else if (*at == '[') {
		if (at[1] <= ' ' || at[1] == ']' || depth == WIRE_JSON_DEPTH_LIMIT)
			goto out;
		depth++;
		objects <<= 1;
		at++;
		goto value;
	} else if (*at == '-') {
		next = is_digit(at[1]) ? short_number(at + 1) : NULL;
	} else {
		next = short_literal(at);
	}
	if (next == NULL)
		goto out;
	at = next;
after:
	*ret_place = AFTER;
	if (limit != NULL && at >= limit)
		goto out;
	if (*at == ',') {
		if ((objects & 1) == 0) {
			at++;
			goto value;
		}
		if (at[1] != '"')
			goto out;
		at++;
		goto key;
	}
	if (*at == ((objects & 1) != 0 ? '}' : ']')) {
		at++;
		objects >>= 1;
		if (--depth > 0)
			goto after;
	}
	goto out;
key:
	next = limit == NULL || at < limit ? short_end(at + 1) : NULL;
	if (next != NULL && next[1] == ':') {
		at = next + 2;
		goto value;
	}
	*ret_place = VALUE;
	*ret_key = true;
out:
	check->objects = objects;
	check->depth = depth;
	return at;
}

static const uint8_t *skip_limited(struct check *check, const uint8_t *at, const uint8_t *limit,
	enum place *ret_place, bool *ret_key)
{
	return skip_common(check, at, limit, ret_place, ret_key);
}

static const uint8_t *skip_padded(
	struct check *check, const uint8_t *at, enum place *ret_place, bool *ret_key)
{
	return skip_common(check, at, NULL, ret_place, ret_key);
}

/* ---- Any form ------------------------------------------------------------------ */

/* At '{' or '['. *ret_over: it is empty and over; else a value follows. */
static inline const uint8_t *open_nest(struct check *check, const uint8_t *at, bool *ret_over)
{
	bool object = *at == '{';

	if (check->depth == WIRE_JSON_DEPTH_LIMIT)
		return fail(check, at, ERR_LIMIT);
	at = skip_space(at + 1, check->end);
	*ret_over = at != check->end && *at == (object ? '}' : ']');
	if (*ret_over)
		return at + 1;
	check->depth++;
	check->objects = check->objects << 1 | object;
	return object ? skip_key(check, at) : at;
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
		if (*at == ',')
			return object ? skip_key(check, at + 1) : at + 1;
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

/* limit: as skip_common has it. */
static inline __attribute__((always_inline)) int check_text(
	const uint8_t *text, size_t length_bytes, const uint8_t *limit, size_t *ret_offset)
{
	struct check check = {.end = length_bytes > 0 ? text + length_bytes : text};
	const uint8_t *at = text;
	enum place place = VALUE;
	bool whole = false;

	while (!whole) {
		bool over = true;
		bool key;

		if (limit == NULL || at < limit) {
			at = limit == NULL ? skip_padded(&check, at, &place, &key)
					   : skip_limited(&check, at, limit, &place, &key);
			if (key)
				at = skip_key(&check, at);
		}
		if (at != NULL && place == VALUE)
			at = begin_value(&check, at, &over);
		if (at != NULL && over)
			at = close_or_continue(&check, at, &whole);
		if (at == NULL)
			break;
		place = VALUE;
	}
	if (at != NULL && at != check.end)
		(void)fail(&check, at, ERR_MALFORMED);
	if (check.error != 0 && ret_offset != NULL)
		*ret_offset = (size_t)(check.failed_at - text);
	return check.error;
}

int json_check(const uint8_t *text, size_t length_bytes, size_t *ret_offset)
{
	const uint8_t *limit = text;

	if (length_bytes > JSON_CHECK_PAD)
		limit += length_bytes - JSON_CHECK_PAD;
	else if (limit == NULL)
		limit = (const uint8_t *)"";
	return check_text(text, length_bytes, limit, ret_offset);
}

int json_check_padded(const uint8_t *text, size_t length_bytes, size_t *ret_offset)
{
	return check_text(text, length_bytes, NULL, ret_offset);
}
