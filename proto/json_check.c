/*
 * A JSON recogniser without recursion or memory; see json_check.h. What it is
 * nested in is a stack of bits: 1 object, 0 array.
 */
#include "json_check.h"

#include <string.h>

#include "utf8.h"
#include "wire.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct check {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t objects; /* bit 0: the innermost */
	unsigned int depth;
	int error;
};

static int fail(struct check *check, int error)
{
	if (check->error == 0)
		check->error = error;
	return -1;
}

static inline void skip_space(struct check *check)
{
	const uint8_t *at = check->at;

	while (at != check->end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
		at++;
	check->at = at;
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
static int skip_escape(struct check *check)
{
	const uint8_t *at = check->at;

	if (check->end - at < 2)
		return fail(check, ERR_MALFORMED);
	if (at[1] == 'u') {
		if (check->end - at < 6 || !is_hex(at[2]) || !is_hex(at[3]) || !is_hex(at[4]) ||
			!is_hex(at[5]))
			return fail(check, ERR_MALFORMED);
		check->at += 6;
		return 0;
	}
	if (at[1] == 0 || strchr("\"\\/bfnrt", at[1]) == NULL)
		return fail(check, ERR_MALFORMED);
	check->at += 2;
	return 0;
}

/* At the opening quote. */
static inline int skip_string(struct check *check)
{
	check->at++;
	for (;;) {
		check->at = skip_plain(check->at, check->end);
		if (check->at == check->end)
			return fail(check, ERR_MALFORMED);
		if (*check->at == '"') {
			check->at++;
			return 0;
		}
		if (*check->at == '\\') {
			if (skip_escape(check) < 0)
				return -1;
		} else {
			unsigned int bad;
			unsigned int step = 0;

			if (*check->at >= 0x80)
				step = utf8_step(check->at, (size_t)(check->end - check->at), &bad);
			if (step == 0)
				return fail(check, ERR_MALFORMED);
			check->at += step;
		}
	}
}

static inline int skip_digits(struct check *check)
{
	const uint8_t *begin = check->at;

	while (check->at != check->end && (uint8_t)(*check->at - '0') < 10)
		check->at++;
	return check->at != begin ? 0 : fail(check, ERR_MALFORMED);
}

static inline int skip_number(struct check *check)
{
	if (*check->at == '-')
		check->at++;
	if (check->at != check->end && *check->at == '0')
		check->at++;
	else if (skip_digits(check) < 0)
		return -1;
	if (check->at != check->end && *check->at == '.') {
		check->at++;
		if (skip_digits(check) < 0)
			return -1;
	}
	if (check->at != check->end && (*check->at | 0x20) == 'e') {
		check->at++;
		if (check->at != check->end && (*check->at == '+' || *check->at == '-'))
			check->at++;
		return skip_digits(check);
	}
	return 0;
}

static int skip_literal(struct check *check, const char *text, size_t length)
{
	if ((size_t)(check->end - check->at) < length || memcmp(check->at, text, length) != 0)
		return fail(check, ERR_MALFORMED);
	check->at += length;
	return 0;
}

/* A key and its colon, white space around both. */
static inline int skip_key(struct check *check)
{
	skip_space(check);
	if (check->at == check->end || *check->at != '"')
		return fail(check, ERR_MALFORMED);
	if (skip_string(check) < 0)
		return -1;
	skip_space(check);
	if (check->at == check->end || *check->at != ':')
		return fail(check, ERR_MALFORMED);
	check->at++;
	return 0;
}

/* At '{' or '['. 1 when it is empty and over, 0 when a value follows. */
static inline int open_nest(struct check *check)
{
	int object = *check->at == '{';

	if (check->depth == WIRE_JSON_DEPTH_LIMIT)
		return fail(check, ERR_LIMIT);
	check->at++;
	skip_space(check);
	if (check->at != check->end && *check->at == (object ? '}' : ']')) {
		check->at++;
		return 1;
	}
	check->depth++;
	check->objects = check->objects << 1 | (uint64_t)object;
	return object ? skip_key(check) : 0;
}

/* After a value: 1 when the whole is over, 0 when another value follows. */
static inline int close_or_continue(struct check *check)
{
	for (;;) {
		int object = (int)(check->objects & 1);

		skip_space(check);
		if (check->depth == 0)
			return 1;
		if (check->at == check->end)
			return fail(check, ERR_MALFORMED);
		if (*check->at == ',') {
			check->at++;
			return object ? skip_key(check) : 0;
		}
		if (*check->at != (object ? '}' : ']'))
			return fail(check, ERR_MALFORMED);
		check->at++;
		check->depth--;
		check->objects >>= 1;
	}
}

/* 0 when a value is over, 1 when the beginning of one is (a value follows),
 * -1 on failure. */
static inline int begin_value(struct check *check)
{
	int ret;

	skip_space(check);
	if (check->at == check->end)
		return fail(check, ERR_MALFORMED);
	switch (*check->at) {
	case '{':
	case '[':
		ret = open_nest(check);
		return ret < 0 ? -1 : ret == 0;
	case '"':
		return skip_string(check);
	case 't':
		return skip_literal(check, "true", 4);
	case 'f':
		return skip_literal(check, "false", 5);
	case 'n':
		return skip_literal(check, "null", 4);
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		return skip_number(check);
	default:
		return fail(check, ERR_MALFORMED);
	}
}

int json_check(const uint8_t *text, size_t length_bytes, size_t *ret_offset)
{
	struct check check = {.at = text, .end = length_bytes > 0 ? text + length_bytes : text};
	int ret;

	do {
		ret = begin_value(&check);
		if (ret == 0)
			ret = close_or_continue(&check) == 0;
	} while (ret > 0);
	if (check.error == 0 && check.at != check.end)
		check.error = ERR_MALFORMED;
	if (check.error != 0 && ret_offset != NULL)
		*ret_offset = (size_t)(check.at - text);
	return check.error;
}
