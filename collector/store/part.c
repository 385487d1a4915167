/* Names and days of parts. See part.h. */
#include "part.h"

#include <errno.h>
#include <string.h>

int32_t day_from_date(int year, unsigned month, unsigned day)
{
	int y = year - (month <= 2);
	int era = (y >= 0 ? y : y - 399) / 400;
	unsigned year_of_era = (unsigned)(y - era * 400);
	unsigned day_of_year = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;
	unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + (int32_t)day_of_era - 719468;
}

void day_to_date(int32_t day, int *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	int32_t z = day + 719468;
	int32_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned day_of_era = (unsigned)(z - era * 146097);
	unsigned year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned month_from_march = (5 * day_of_year + 2) / 153;

	*ret_day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	*ret_month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	*ret_year = (int)year_of_era + era * 400 + (*ret_month <= 2);
}

int32_t day_of_run(uint64_t start_ns, uint64_t receive_ns)
{
	uint64_t apart = start_ns > receive_ns ? start_ns - receive_ns : receive_ns - start_ns;

	return day_of_ns(apart > DAY_NS ? receive_ns : start_ns);
}

/* By hand: a reader makes and parses a name of each part. */
static char *put_two(char *to, unsigned number)
{
	to[0] = (char)('0' + number / 10);
	to[1] = (char)('0' + number % 10);
	return to + 2;
}

static char *put_four(char *to, unsigned number)
{
	return put_two(put_two(to, number / 100), number % 100);
}

int part_name_format(const struct part_name *name, char ret[PART_NAME_BYTES])
{
	unsigned month, day;
	char *to = ret;
	int year;

	day_to_date(name->day, &year, &month, &day);
	if (year < 0 || year > 9999 || name->number == 0 || name->number > PART_NUMBER_MAX)
		return -EINVAL;
	to = put_four(to, (unsigned)year);
	*to++ = '-';
	to = put_two(to, month);
	*to++ = '-';
	to = put_two(to, day);
	if (name->number > 1)
		*to++ = '.';
	if (name->number >= 100000)
		*to++ = (char)('0' + name->number / 100000);
	if (name->number >= 10000)
		*to++ = (char)('0' + name->number / 10000 % 10);
	if (name->number > 1)
		to = put_four(to, name->number % 10000);
	strcpy(to, name->sealed ? ".jsonl.zst" : ".jsonl");
	return 0;
}

/* Exactly `digits` digits at text, or -1. */
static int parse_digits(const char *text, int digits)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

/* ".0002" and what is behind it, to the number: four digits, or five or six that don't begin with a
 * 0. Returns where the text goes on; NULL: that is no number of ours. */
static const char *parse_number(const char *text, uint32_t *ret)
{
	size_t digits = strspn(text + 1, "0123456789");

	if (digits < 4 || digits > 6 || (digits > 4 && text[1] == '0'))
		return NULL;
	*ret = (uint32_t)parse_digits(text + 1, (int)digits);
	/* The first has none. */
	return *ret > 1 ? text + 1 + digits : NULL;
}

static int days_of(int year, int month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

int part_name_parse(const char *text, struct part_name *ret)
{
	struct part_name name = {.number = 1};
	size_t length = strlen(text);
	int year, month, day;
	const char *at;

	if (length < strlen("YYYY-MM-DD.jsonl") || length >= PART_NAME_BYTES || text[4] != '-' ||
		text[7] != '-' || text[10] != '.')
		return -EINVAL;
	year = parse_digits(text, 4);
	month = parse_digits(text + 5, 2);
	day = parse_digits(text + 8, 2);
	if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_of(year, month))
		return -EINVAL;
	name.day = day_from_date(year, (unsigned)month, (unsigned)day);
	at = text + strlen("YYYY-MM-DD");
	if (at[1] >= '0' && at[1] <= '9')
		at = parse_number(at, &name.number);
	if (at == NULL)
		return -EINVAL;
	name.sealed = strcmp(at, ".jsonl.zst") == 0;
	if (!name.sealed && strcmp(at, ".jsonl") != 0)
		return -EINVAL;
	*ret = name;
	return 0;
}

bool part_name_is_packed(const char *text)
{
	size_t length = strlen(text);

	return length > 4 && strcmp(text + length - 4, ".zst") == 0;
}

bool part_name_is_traces(const char *text)
{
	size_t length = strlen(text);

	if (text[0] == '.')
		return false;
	if (part_name_is_packed(text))
		length -= 4;
	return length > 6 && memcmp(text + length - 6, ".jsonl", 6) == 0;
}
