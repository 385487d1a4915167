/* Pieces of JSON. See json_write.h. */
#include "json_write.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "cursor.h"
#include "part.h"
#include "utf8.h"

/* ---- Texts --------------------------------------------------------------- */

/* What stands for each byte in a string: 0 itself, 1 \u00XX, else \ and that. */
static const uint8_t escapes[256] = {1, 1, 1, 1, 1, 1, 1, 1, 'b', 't', 'n', 1, 'f', 'r', 1,
	1,						/* 0x00 */
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 0x10 */
	['"'] = '"', ['\\'] = '\\'};

/* The same with fewer letters. */
static const uint8_t snapshot_escapes[256] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 't', 'n', 1, 1, 'r', 1,
	1,						/* 0x00 */
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 0x10 */
	['"'] = '"', ['\\'] = '\\'};

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Whether one of 8 bytes is a control character (below 0x20). */
static inline bool word_has_control(uint64_t word)
{
	return ((word - ONES * 0x20) & ~word & HIGHS) != 0;
}

static inline bool word_has(uint64_t word, uint8_t byte)
{
	uint64_t differ = word ^ (ONES * byte);

	return ((differ - ONES) & ~differ & HIGHS) != 0;
}

static inline bool word_needs_escape(uint64_t word)
{
	return word_has_control(word) || word_has(word, '"') || word_has(word, '\\');
}

static inline uint8_t *put_escaped(uint8_t *at, uint8_t byte, const uint8_t *table)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t escape = table[byte];

	if (escape == 0) {
		*at++ = byte;
		return at;
	}
	*at++ = '\\';
	if (escape != 1) {
		*at++ = escape;
		return at;
	}
	memcpy(at, "u00", 3);
	at[3] = (uint8_t)digits[byte >> 4];
	at[4] = (uint8_t)digits[byte & 15];
	return at + 5;
}

static inline __attribute__((always_inline)) int put_text(
	struct bytes *out, struct slice text, bool repair, const uint8_t *table)
{
	/* An absent text has no address to count from. */
	const uint8_t *from = text.length > 0 ? text.data : (const uint8_t *)"";
	const uint8_t *end = from + text.length;
	uint8_t *repaired = NULL;
	uint8_t *at;

	if (repair && text.length > 0) {
		repaired = malloc(text.length * 3);
		if (repaired == NULL)
			return -ENOMEM;
		from = repaired;
		end = from + utf8_repair(text.data, text.length, repaired);
	}
	if (bytes_reserve(out, (size_t)(end - from) * 6 + 2 + 8) != 0) {
		free(repaired);
		return -ENOMEM;
	}
	at = out->data + out->length;
	*at++ = '"';
	while (end - from >= 8) {
		uint64_t word;

		memcpy(&word, from, 8);
		if (word_needs_escape(word)) {
			for (int i = 0; i < 8; i++)
				at = put_escaped(at, from[i], table);
		} else {
			memcpy(at, &word, 8);
			at += 8;
		}
		from += 8;
	}
	while (from < end)
		at = put_escaped(at, *from++, table);
	*at++ = '"';
	out->length = (size_t)(at - out->data);
	free(repaired);
	return 0;
}

int json_put_text(struct bytes *out, struct slice text, bool repair)
{
	return put_text(out, text, repair, escapes);
}

int json_put_snapshot(struct bytes *out, struct slice text)
{
	return put_text(out, text, !utf8_valid(text.data, text.length), snapshot_escapes);
}

#if defined(__SSE2__)
/* Copies 16 bytes a time as long as none is a control character; returns how many. */
static size_t copy_whole(uint8_t *ret, const uint8_t *from, size_t length)
{
	const __m128i controls = _mm_set1_epi8(0x1f);
	size_t at = 0;

	for (; length - at >= 16; at += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + at));

		if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, controls), bytes)) != 0)
			break;
		_mm_storeu_si128((__m128i *)(void *)(ret + at), bytes);
	}
	return at;
}
#else
static size_t copy_whole(uint8_t *ret, const uint8_t *from, size_t length)
{
	size_t at = 0;

	for (; length - at >= 8; at += 8) {
		uint64_t word;

		memcpy(&word, from + at, 8);
		if (word_has_control(word))
			break;
		memcpy(ret + at, &word, 8);
	}
	return at;
}
#endif

size_t json_copy_json(uint8_t *ret, struct slice json)
{
	size_t from = copy_whole(ret, json.data, json.length);
	size_t to = from;

	for (; from < json.length; from++) {
		if (json.data[from] >= 0x20)
			ret[to++] = json.data[from];
	}
	return to;
}

int json_put_json(struct bytes *out, struct slice json)
{
	int ret = bytes_reserve(out, json.length + 16);

	if (ret == 0)
		out->length += json_copy_json(out->data + out->length, json);
	return ret;
}

/* ---- Numbers -------------------------------------------------------------- */

static const char pairs[201] =
	"00010203040506070809101112131415161718192021222324252627282930313233"
	"34353637383940414243444546474849505152535455565758596061626364656667"
	"6869707172737475767778798081828384858687888990919293949596979899";

/* Eight digits with leading zeros, the first in the lowest byte. value < 10^8. Halves, pairs and
 * digits are divided side by side: a hundredth of up to 9999 is x * 10486 >> 20, a tenth of up
 * to 99 x * 103 >> 10. */
static inline uint64_t eight_digits(uint32_t value)
{
	uint64_t halves = value / 10000 | (uint64_t)(value % 10000) << 32;
	uint64_t hundredths = halves * 10486 >> 20 & UINT64_C(0x0000007f0000007f);
	uint64_t two = hundredths | (halves - hundredths * 100) << 16;
	uint64_t tenths = two * 103 >> 10 & UINT64_C(0x000f000f000f000f);

	return (tenths | (two - tenths * 10) << 8) + UINT64_C(0x3030303030303030);
}

/* Writes 8 bytes in any case. value < 10^8. */
static inline size_t format_short(char *ret, uint32_t value)
{
	uint64_t text = eight_digits(value);
	/* Leading zeros differ from '0' in no bit; the last digit is always kept. */
	uint64_t digits = text ^ UINT64_C(0x3030303030303030);
	unsigned int zeros = digits != 0 ? (unsigned int)__builtin_ctzll(digits) / 8 : 7;

	le64_write((uint8_t *)ret, text >> 8 * zeros);
	return 8 - zeros;
}

/* value >= 10. */
static size_t __attribute__((noinline)) format_long(char *ret, uint64_t value)
{
	char digits[JSON_INTEGER_BYTES];
	size_t at = sizeof(digits);

	while (value >= 100) {
		at -= 2;
		memcpy(digits + at, pairs + 2 * (value % 100), 2);
		value /= 100;
	}
	if (value >= 10) {
		at -= 2;
		memcpy(digits + at, pairs + 2 * value, 2);
	} else {
		digits[--at] = (char)('0' + value);
	}
	memcpy(ret, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

static inline size_t format_digits(char *ret, uint64_t value)
{
	if (value < 10) {
		ret[0] = (char)('0' + value);
		return 1;
	}
	return value < 100000000 ? format_short(ret, (uint32_t)value) : format_long(ret, value);
}

size_t json_format_u64(char ret[JSON_INTEGER_BYTES], uint64_t value)
{
	return format_digits(ret, value);
}

size_t json_format_i64(char ret[JSON_INTEGER_BYTES], int64_t value)
{
	if (value >= 0)
		return format_digits(ret, (uint64_t)value);
	ret[0] = '-';
	return 1 + format_digits(ret + 1, 0 - (uint64_t)value);
}

/* 9 digits, leading zeros included. */
static void format_nine(char *ret, uint32_t value)
{
	ret[0] = (char)('0' + value / 100000000);
	le64_write((uint8_t *)ret + 1, eight_digits(value % 100000000));
}

/* Most doubles that programs record have few decimals: they are m / 10^k with both
 * exact in a double, and then the quotient, being rounded correctly, is what any
 * reader makes of the digits (William Clinger, "How to read floating point numbers
 * accurately", 1990). Returns 0 when value is none of them. */
static size_t format_decimal(char *ret, double value)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10,
		1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17};
	double size = fabs(value);

	if (size >= 1e15 || size < 1e-5)
		return 0;
	for (size_t k = 0; k < sizeof(powers) / sizeof(powers[0]); k++) {
		double scaled = size * powers[k] + 0.5;
		char digits[JSON_INTEGER_BYTES];
		uint64_t whole;
		size_t count, at = 0;

		if (scaled >= 9007199254740992.0)
			return 0;
		whole = (uint64_t)scaled;
		if ((double)whole / powers[k] != size)
			continue;
		count = json_format_u64(digits, whole);
		if (value < 0)
			ret[at++] = '-';
		if (count > k) {
			memcpy(ret + at, digits, count - k);
			at += count - k;
		} else {
			ret[at++] = '0';
		}
		ret[at++] = '.';
		if (k == 0)
			ret[at++] = '0';
		for (size_t zeros = count; zeros < k; zeros++)
			ret[at++] = '0';
		memcpy(ret + at, digits + (count > k ? count - k : 0), count > k ? k : count);
		return at + (count > k ? k : count);
	}
	return 0;
}

/* The locale may have another decimal point, of several bytes. */
static size_t drop_locale(char *text)
{
	size_t at = 0;
	bool pointed = false;
	bool exponent = false;

	for (const char *from = text; *from != '\0'; from++) {
		bool kept = (*from >= '0' && *from <= '9') || *from == '-' || *from == '+' ||
			    *from == 'e';

		exponent |= *from == 'e';
		if (kept)
			text[at++] = *from;
		else if (!pointed)
			text[at++] = '.';
		pointed |= !kept;
	}
	if (!pointed && !exponent) {
		text[at++] = '.';
		text[at++] = '0';
	}
	return at;
}

enum { DOUBLE_TEXT_BYTES = 64 };

/* Writes it with so many digits; whether they give the same double again. */
static bool reads_back(char text[DOUBLE_TEXT_BYTES], double value, int digits)
{
	snprintf(text, DOUBLE_TEXT_BYTES, "%.*g", digits, value);
	return strtod(text, NULL) == value;
}

size_t json_format_double(char ret[JSON_DOUBLE_BYTES], double value)
{
	int lowest = 1;
	int highest = 16;
	char text[DOUBLE_TEXT_BYTES];
	size_t length;

	if (isnan(value) || isinf(value)) {
		const char *name = isnan(value) ? "\"NaN\""
				   : value > 0	? "\"Infinity\""
						: "\"-Infinity\"";

		memcpy(ret, name, strlen(name));
		return strlen(name);
	}
	length = value == 0 ? 0 : format_decimal(ret, value);
	if (length > 0)
		return length;
	/* 17 digits always do. Most that come here need 16 or 17: those are tried first,
	 * then halving finds the fewest. */
	if (!reads_back(text, value, 16)) {
		snprintf(text, sizeof(text), "%.17g", value);
	} else {
		while (lowest < highest) {
			int digits = highest == 16 ? 15 : (lowest + highest) / 2;

			if (reads_back(text, value, digits))
				highest = digits;
			else
				lowest = digits + 1;
		}
		snprintf(text, sizeof(text), "%.*g", highest, value);
	}
	length = drop_locale(text);
	memcpy(ret, text, length);
	return length;
}

/* ---- Times ---------------------------------------------------------------- */

void json_format_timestamp(char ret[JSON_TIMESTAMP_BYTES], uint64_t ns)
{
	int32_t day = day_of_ns(ns);
	uint64_t in_day = ns % DAY_NS;
	uint32_t seconds = (uint32_t)(in_day / 1000000000u);
	unsigned month, date;
	int year;

	day_to_date(day, &year, &month, &date);
	memcpy(ret, pairs + 2 * (size_t)(year / 100), 2);
	memcpy(ret + 2, pairs + 2 * (size_t)(year % 100), 2);
	ret[4] = '-';
	memcpy(ret + 5, pairs + 2 * (size_t)month, 2);
	ret[7] = '-';
	memcpy(ret + 8, pairs + 2 * (size_t)date, 2);
	ret[10] = 'T';
	memcpy(ret + 11, pairs + 2 * (size_t)(seconds / 3600), 2);
	ret[13] = ':';
	memcpy(ret + 14, pairs + 2 * (size_t)(seconds / 60 % 60), 2);
	ret[16] = ':';
	memcpy(ret + 17, pairs + 2 * (size_t)(seconds % 60), 2);
	ret[19] = '.';
	format_nine(ret + 20, (uint32_t)(in_day % 1000000000u));
	ret[29] = 'Z';
}

void json_format_timestamp_near(
	char ret[JSON_TIMESTAMP_BYTES], uint64_t ns, struct json_second *second)
{
	uint64_t after = ns / 1000000000u + 1;

	if (second->after != after) {
		json_format_timestamp(ret, ns);
		memcpy(second->text, ret, sizeof(second->text));
		second->after = after;
		return;
	}
	memcpy(ret, second->text, sizeof(second->text));
	format_nine(ret + JSON_SECOND_BYTES, (uint32_t)(ns % 1000000000u));
	ret[JSON_TIMESTAMP_BYTES - 1] = 'Z';
}

size_t json_format_ms(char ret[JSON_MS_BYTES], uint64_t ns)
{
	size_t at = json_format_u64(ret, ns / 1000000);
	uint32_t rest = (uint32_t)(ns % 1000000);
	uint64_t digits;

	if (rest == 0)
		return at;
	/* Six digits of eight; those behind the last that is not '0' are left out. */
	digits = eight_digits(rest) >> 16;
	ret[at++] = '.';
	le64_write((uint8_t *)ret + at, digits);
	digits ^= UINT64_C(0x303030303030);
	return at + 8 - (unsigned int)__builtin_clzll(digits) / 8;
}
