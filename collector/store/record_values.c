/*
 * record_values.c: the values of record.h: times, durations, ids. Pure.
 */
#include <limits.h>
#include <string.h>

#include "record.h"

#define NS_PER_S INT64_C(1000000000)

/* ---- Times --------------------------------------------------------------- */

struct digits {
	const uint8_t *at;
	const uint8_t *end;
};

/* Exactly count digits; -1 otherwise. */
static int take_number(struct digits *in, int count)
{
	int value = 0;

	if (in->end - in->at < count)
		return -1;
	for (int i = 0; i < count; i++) {
		uint8_t c = *in->at++;

		if (c < '0' || c > '9')
			return -1;
		value = value * 10 + (c - '0');
	}
	return value;
}

static bool take_char(struct digits *in, uint8_t c)
{
	if (in->at >= in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

/* Days since 1970 of a date of the proleptic Gregorian calendar (Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms", days_from_civil). */
static int64_t days_of_date(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static int days_in_month(int year, int month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(struct digits *in, int64_t *ret_days)
{
	int year = take_number(in, 4);
	int month = take_char(in, '-') ? take_number(in, 2) : -1;
	int day = take_char(in, '-') ? take_number(in, 2) : -1;

	if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	*ret_days = days_of_date(year, month, day);
	return true;
}

/* Decimals after the seconds, none too; digits beyond the ninth are passed over. */
static bool take_fraction(struct digits *in, int64_t *ret_ns)
{
	int64_t scale = NS_PER_S / 10;
	const uint8_t *start;

	*ret_ns = 0;
	if (!take_char(in, '.') && !take_char(in, ','))
		return true;
	start = in->at;
	for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
		*ret_ns += (*in->at - '0') * scale;
		scale /= 10;
	}
	return in->at > start;
}

/* Z, an offset such as +01:00, +0100 or +01, or nothing: UTC. */
static bool take_zone(struct digits *in, int64_t *ret_seconds)
{
	bool west = false;
	int hours, minutes = 0;

	*ret_seconds = 0;
	if (in->at == in->end || take_char(in, 'Z') || take_char(in, 'z'))
		return true;
	if (take_char(in, '-'))
		west = true;
	else if (!take_char(in, '+'))
		return false;
	hours = take_number(in, 2);
	if (in->at < in->end) {
		(void)take_char(in, ':');
		minutes = take_number(in, 2);
	}
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	*ret_seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

int record_parse_time(struct slice text, int64_t *ret_ns)
{
	struct digits in = {.at = text.data, .end = text.data + text.length};
	int64_t days, fraction, zone, seconds, ns;
	int hour, minute, second;

	if (!take_date(&in, &days) ||
		(!take_char(&in, 'T') && !take_char(&in, 't') && !take_char(&in, ' ')))
		return ERR_MALFORMED;
	hour = take_number(&in, 2);
	minute = take_char(&in, ':') ? take_number(&in, 2) : -1;
	second = take_char(&in, ':') ? take_number(&in, 2) : -1;
	/* 60: a leap second counts as the next one. */
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return ERR_MALFORMED;
	if (!take_fraction(&in, &fraction) || !take_zone(&in, &zone) || in.at != in.end)
		return ERR_MALFORMED;
	seconds = days * 86400 + hour * 3600 + minute * 60 + second - zone;
	if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) ||
		__builtin_add_overflow(ns, fraction, &ns))
		return ERR_MALFORMED;
	*ret_ns = ns;
	return 0;
}

/* ---- Durations ------------------------------------------------------------ */

/* A decimal number: mantissa * 10^exponent. */
struct decimal {
	uint64_t mantissa;
	int64_t exponent;
	bool negative;
};

#define EXPONENT_LIMIT 100000

static void take_digits(struct digits *in, struct decimal *number, int step)
{
	for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
		/* 19 digits are more than nanoseconds need; the rest only shifts. */
		if (number->mantissa < UINT64_C(1000000000000000000)) {
			number->mantissa = number->mantissa * 10 + (uint64_t)(*in->at - '0');
			number->exponent += step;
		} else if (step == 0) {
			number->exponent++;
		}
	}
}

static int take_decimal(struct slice text, struct decimal *ret)
{
	struct digits in = {.at = text.data, .end = text.data + text.length};
	const uint8_t *start;
	int64_t exponent = 0;
	bool down;

	*ret = (struct decimal){.negative = take_char(&in, '-')};
	start = in.at;
	take_digits(&in, ret, 0);
	if (in.at == start)
		return ERR_MALFORMED;
	if (take_char(&in, '.'))
		take_digits(&in, ret, -1);
	if (in.at < in.end && (*in.at == 'e' || *in.at == 'E')) {
		in.at++;
		down = take_char(&in, '-');
		if (!down)
			(void)take_char(&in, '+');
		for (; in.at < in.end && *in.at >= '0' && *in.at <= '9'; in.at++)
			if (exponent < EXPONENT_LIMIT)
				exponent = exponent * 10 + (*in.at - '0');
		ret->exponent += down ? -exponent : exponent;
	}
	return in.at == in.end ? 0 : ERR_MALFORMED;
}

int record_parse_duration(struct slice text, int64_t *ret_ns)
{
	struct decimal number;
	uint64_t value;
	uint64_t rest = 0;

	if (take_decimal(text, &number) != 0)
		return ERR_MALFORMED;
	value = number.negative ? 0 : number.mantissa;
	number.exponent += 6; /* of milliseconds */
	for (; number.exponent < 0 && value > 0; number.exponent++) {
		rest = value % 10;
		value /= 10;
	}
	if (number.exponent >= 0 && rest >= 5)
		value++;
	for (; number.exponent > 0 && value > 0 && value <= INT64_MAX; number.exponent--)
		if (__builtin_mul_overflow(value, UINT64_C(10), &value))
			value = UINT64_MAX;
	*ret_ns = value > INT64_MAX ? INT64_MAX : (int64_t)value;
	return 0;
}

/* ---- Ids ------------------------------------------------------------------ */

/* Value of a hex digit, 0x80 for what is none. */
static uint8_t nibble_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return (uint8_t)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (uint8_t)(c - 'a' + 10) : 0x80;
}

/* The usual form: 36 characters, dashes where they belong. */
static bool parse_uuid(const uint8_t *text, uint8_t ret_id[16])
{
	static const uint8_t at[16] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
	uint8_t bad = 0;

	for (int i = 0; i < 16; i++) {
		uint8_t high = nibble_of(text[at[i]]);
		uint8_t low = nibble_of(text[at[i] + 1]);

		bad |= high | low;
		ret_id[i] = (uint8_t)(high << 4 | (low & 0xf));
	}
	return (bad & 0x80) == 0 && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
	       text[23] == '-';
}

/* Hex digits with dashes and braces among them; how many, or -1. */
static int collect_digits(struct slice text, uint8_t ret_nibbles[32])
{
	int count = 0;

	if (text.length >= 9 && memcmp(text.data, "urn:uuid:", 9) == 0)
		text = slice_of(text.data + 9, text.length - 9);
	if (text.length >= 2 && text.data[0] == '{' && text.data[text.length - 1] == '}')
		text = slice_of(text.data + 1, text.length - 2);
	for (size_t i = 0; i < text.length; i++) {
		uint8_t nibble = nibble_of(text.data[i]);

		if (text.data[i] == '-')
			continue;
		if (nibble == 0x80 || count == 32)
			return -1;
		ret_nibbles[count++] = nibble;
	}
	return count;
}

static uint8_t byte_of(const uint8_t *nibbles, int index)
{
	return (uint8_t)(nibbles[2 * index] << 4 | nibbles[2 * index + 1]);
}

int record_parse_id(struct slice text, uint8_t ret_id[16])
{
	uint8_t nibbles[32];
	uint8_t id[16] = {0};
	int count;

	if (text.length == 36 && parse_uuid(text.data, id)) {
		memcpy(ret_id, id, 16);
		return 0;
	}
	count = collect_digits(text, nibbles);
	memset(id, 0, sizeof(id));
	if (count == 32) {
		for (int i = 0; i < 16; i++)
			id[i] = byte_of(nibbles, i);
	} else if (count == 16) {
		/* The layout of proto/ids.h. */
		for (int i = 0; i < 6; i++)
			id[i] = byte_of(nibbles, i);
		id[6] = 0x80 | nibbles[12];
		id[7] = (uint8_t)(nibbles[13] << 4 | nibbles[14]);
		id[8] = 0x80;
		id[9] = nibbles[15];
	} else {
		return ERR_MALFORMED;
	}
	memcpy(ret_id, id, 16);
	return 0;
}

void record_format_id(const uint8_t id[16], char ret_text[RECORD_ID_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	char *out = ret_text;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[id[i] >> 4];
		*out++ = digits[id[i] & 0xf];
	}
	*out = '\0';
}
