/*
 * when.c: moments and durations as people write and read them.
 */
#include "when.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define NS ((int64_t)WHEN_NS_PER_SECOND)

int64_t when_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

/* Splits ns so that the rest is never negative. */
static time_t seconds_of(int64_t ns, int64_t *ret_rest_ns)
{
	int64_t rest = ns % NS;

	if (rest < 0)
		rest += NS;
	*ret_rest_ns = rest;
	return (time_t)((ns - rest) / NS);
}

static void broken_down(int64_t ns, bool utc, struct tm *ret_tm, int64_t *ret_rest_ns)
{
	time_t seconds = seconds_of(ns, ret_rest_ns);

	if (utc ? gmtime_r(&seconds, ret_tm) == NULL : localtime_r(&seconds, ret_tm) == NULL)
		*ret_tm = (struct tm){.tm_year = 70, .tm_mday = 1};
}

/* Reads exactly `digits` digits. */
static bool read_digits(const char **at, int digits, int *ret_value)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		if (!isdigit((unsigned char)(*at)[i]))
			return false;
		value = value * 10 + ((*at)[i] - '0');
	}
	*at += digits;
	*ret_value = value;
	return true;
}

static bool read_char(const char **at, const char *any)
{
	if (**at == '\0' || strchr(any, **at) == NULL)
		return false;
	(*at)++;
	return true;
}

static bool read_date(const char **at, struct tm *tm)
{
	const char *here = *at;

	if (!read_digits(&here, 4, &tm->tm_year) || !read_char(&here, "-") ||
		!read_digits(&here, 2, &tm->tm_mon) || !read_char(&here, "-") ||
		!read_digits(&here, 2, &tm->tm_mday))
		return false;
	if (tm->tm_year < 1678 || tm->tm_year > 2261 || tm->tm_mon < 1 || tm->tm_mon > 12 ||
		tm->tm_mday < 1 || tm->tm_mday > 31)
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	*at = here;
	return true;
}

/* Digits after the point; those beyond nine are read and left out. */
static bool read_fraction(const char **at, int64_t *ret_ns)
{
	int64_t ns = 0;
	int64_t unit = NS / 10;

	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); (*at)++) {
		ns += unit * (**at - '0');
		unit /= 10;
	}
	*ret_ns = ns;
	return true;
}

static bool read_time(const char **at, struct tm *tm, int64_t *ret_fraction_ns)
{
	*ret_fraction_ns = 0;
	if (!read_digits(at, 2, &tm->tm_hour) || !read_char(at, ":") ||
		!read_digits(at, 2, &tm->tm_min))
		return false;
	if (read_char(at, ":") && !read_digits(at, 2, &tm->tm_sec))
		return false;
	if (read_char(at, ".") && !read_fraction(at, ret_fraction_ns))
		return false;
	return tm->tm_hour <= 23 && tm->tm_min <= 59 && tm->tm_sec <= 60;
}

/* Z, or an offset; *ret_offset_s is what to subtract. */
static bool read_zone(const char **at, int *ret_offset_s)
{
	int sign = **at == '-' ? -1 : 1;
	int hours;
	int minutes;

	*ret_offset_s = 0;
	if (read_char(at, "Zz"))
		return true;
	if (!read_char(at, "+-") || !read_digits(at, 2, &hours))
		return false;
	(void)read_char(at, ":");
	if (!read_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_offset_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

static int from_parts(struct tm *tm, int64_t fraction_ns, bool utc, int offset_s, int64_t *ret_ns)
{
	time_t seconds;

	tm->tm_isdst = -1;
	seconds = utc ? timegm(tm) : mktime(tm);
	if (seconds > INT64_MAX / NS - 86400 || seconds < INT64_MIN / NS + 86400)
		return -EINVAL;
	*ret_ns = ((int64_t)seconds - offset_s) * NS + fraction_ns;
	return 0;
}

static bool is_day_of_month(const struct tm *tm)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year = tm->tm_year + 1900;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return tm->tm_mday <= days[tm->tm_mon] + (leap && tm->tm_mon == 1 ? 1 : 0);
}

static int parse_absolute(const char *string, int64_t now_ns, bool utc, int64_t *ret_ns)
{
	struct tm tm = {0};
	int64_t fraction_ns = 0;
	int64_t rest;
	int offset_s = 0;
	bool dated = read_date(&string, &tm);

	if (!dated) {
		broken_down(now_ns, utc, &tm, &rest);
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	} else if (!is_day_of_month(&tm)) {
		return -EINVAL;
	}
	if (dated && *string == '\0')
		return from_parts(&tm, 0, utc, 0, ret_ns);
	if (dated && !read_char(&string, "Tt "))
		return -EINVAL;
	if (!read_time(&string, &tm, &fraction_ns))
		return -EINVAL;
	if (*string == '\0')
		return from_parts(&tm, fraction_ns, utc, 0, ret_ns);
	if (!read_zone(&string, &offset_s) || *string != '\0')
		return -EINVAL;
	return from_parts(&tm, fraction_ns, true, offset_s, ret_ns);
}

static int midnight(int64_t now_ns, bool utc, int days_back, int64_t *ret_ns)
{
	struct tm tm;
	int64_t rest;
	time_t seconds;

	broken_down(now_ns, utc, &tm, &rest);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_mday -= days_back;
	tm.tm_isdst = -1;
	seconds = utc ? timegm(&tm) : mktime(&tm);
	*ret_ns = (int64_t)seconds * NS;
	return 0;
}

int when_parse(const char *string, int64_t now_ns, bool utc, int64_t *ret_ns)
{
	size_t length = strlen(string);
	char shorter[64];
	uint64_t ago;

	if (strcmp(string, "now") == 0) {
		*ret_ns = now_ns;
		return 0;
	}
	if (strcmp(string, "today") == 0)
		return midnight(now_ns, utc, 0, ret_ns);
	if (strcmp(string, "yesterday") == 0)
		return midnight(now_ns, utc, 1, ret_ns);
	if (parse_absolute(string, now_ns, utc, ret_ns) == 0)
		return 0;
	if (length > 4 && length < sizeof shorter && strcmp(string + length - 4, " ago") == 0) {
		memcpy(shorter, string, length - 4);
		shorter[length - 4] = '\0';
		string = shorter;
	}
	/* A bare number has no unit: it would be milliseconds, which nobody means. */
	if (string[0] == '\0' || isdigit((unsigned char)string[strlen(string) - 1]))
		return -EINVAL;
	if (when_parse_duration(string, &ago) != 0 || (int64_t)ago > now_ns)
		return -EINVAL;
	*ret_ns = now_ns - (int64_t)ago;
	return 0;
}

static uint64_t read_unit(const char **at)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ns", 1},
		{"us", 1000},
		{"µs", 1000},
		{"ms", 1000000},
		{"s", (uint64_t)NS},
		{"m", 60 * (uint64_t)NS},
		{"h", 3600 * (uint64_t)NS},
		{"d", 86400 * (uint64_t)NS},
		{"w", 604800 * (uint64_t)NS},
	};

	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		size_t length = strlen(units[i].name);

		if (strncmp(*at, units[i].name, length) != 0)
			continue;
		if (strcmp(units[i].name, "m") == 0 && (*at)[1] == 's')
			continue;
		*at += length;
		return units[i].ns;
	}
	return 0;
}

int when_parse_duration(const char *string, uint64_t *ret_ns)
{
	uint64_t total = 0;

	if (*string == '\0')
		return -EINVAL;
	while (*string != '\0') {
		int64_t fraction_ns = 0;
		uint64_t whole = 0;
		uint64_t unit;

		if (!isdigit((unsigned char)*string))
			return -EINVAL;
		for (; isdigit((unsigned char)*string); string++) {
			if (whole > (uint64_t)INT64_MAX / 10 - 1)
				return -ERANGE;
			whole = whole * 10 + (uint64_t)(*string - '0');
		}
		if (read_char(&string, ".") && !read_fraction(&string, &fraction_ns))
			return -EINVAL;
		unit = read_unit(&string);
		if (unit == 0 && *string == '\0' && total == 0)
			unit = WHEN_NS_PER_MS;
		if (unit == 0)
			return -EINVAL;
		if (whole > ((uint64_t)INT64_MAX - total) / unit - 1)
			return -ERANGE;
		/* The fraction is in billionths of the unit. */
		total += whole * unit +
			 (uint64_t)((double)fraction_ns * ((double)unit / (double)NS));
	}
	*ret_ns = total;
	return 0;
}

void when_clock(struct strbuf *text, int64_t ns, bool utc, bool milliseconds)
{
	struct tm tm;
	int64_t rest;

	broken_down(ns, utc, &tm, &rest);
	strbuf_format(text, "%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (milliseconds)
		strbuf_format(text, ".%03d", (int)(rest / WHEN_NS_PER_MS));
}

void when_date(struct strbuf *text, int64_t ns, bool utc)
{
	struct tm tm;
	int64_t rest;

	broken_down(ns, utc, &tm, &rest);
	strbuf_format(text, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

void when_zone(struct strbuf *text, int64_t ns, bool utc)
{
	struct tm tm;
	int64_t rest;
	long offset;

	broken_down(ns, utc, &tm, &rest);
	offset = utc ? 0 : tm.tm_gmtoff / 60;
	if (offset == 0)
		strbuf_string(text, "UTC");
	else
		strbuf_format(text, "%c%02ld:%02ld", offset < 0 ? '-' : '+',
			(offset < 0 ? -offset : offset) / 60, (offset < 0 ? -offset : offset) % 60);
}

void when_rfc3339(struct strbuf *text, int64_t ns)
{
	struct tm tm;
	int64_t rest;

	broken_down(ns, true, &tm, &rest);
	strbuf_format(text, "%04d-%02d-%02dT%02d:%02d:%02d.%09" PRId64 "Z", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, rest);
}

void when_elapsed(struct strbuf *text, int64_t ns)
{
	int64_t minutes = ns / NS / 60;

	if (ns < 0)
		ns = 0;
	if (ns < 3600 * NS)
		strbuf_format(text, "%.2fs", (double)ns / (double)NS);
	else if (minutes < 24 * 60)
		strbuf_format(text, "%" PRId64 "h %" PRId64 "m", minutes / 60, minutes % 60);
	else
		strbuf_format(
			text, "%" PRId64 "d %" PRId64 "h", minutes / 60 / 24, minutes / 60 % 24);
}
