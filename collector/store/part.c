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

/* At least so many digits. Returns where the text goes on. */
static char *put_digits(char *to, unsigned number, int digits)
{
	unsigned power = 1;

	for (int i = 1; i < digits || number / power >= 10; i++)
		power *= 10;
	for (; power > 0; power /= 10)
		*to++ = (char)('0' + number / power % 10);
	return to;
}

/* By hand: a reader makes and parses several of each part. */
int part_name_format(const struct part_name *name, char ret[PART_NAME_BYTES])
{
	unsigned month, day;
	char *to = ret;
	int year;

	day_to_date(name->day, &year, &month, &day);
	if (year < 0 || year > 9999 || name->number == 0 || name->number > PART_NUMBER_MAX)
		return -EINVAL;
	to = put_digits(to, (unsigned)year, 4);
	*to++ = '-';
	to = put_digits(to, month, 2);
	*to++ = '-';
	to = put_digits(to, day, 2);
	if (name->number > 1) {
		*to++ = '.';
		to = put_digits(to, name->number, 4);
	}
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

int part_name_parse(const char *text, struct part_name *ret)
{
	struct part_name name = {.number = 1};
	char again[PART_NAME_BYTES];
	size_t length = strlen(text);
	int year, month, day;

	if (length < strlen("YYYY-MM-DD.jsonl") || length >= PART_NAME_BYTES)
		return -EINVAL;
	year = parse_digits(text, 4);
	month = parse_digits(text + 5, 2);
	day = parse_digits(text + 8, 2);
	if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31)
		return -EINVAL;
	name.day = day_from_date(year, (unsigned)month, (unsigned)day);
	name.sealed = strcmp(text + length - 4, ".zst") == 0;
	if (text[11] >= '0' && text[11] <= '9') {
		name.number = 0;
		for (const char *at = text + 11; *at >= '0' && *at <= '9'; at++)
			name.number = name.number * 10 + (uint32_t)(*at - '0');
	}
	/* Only what we would write: this catches all the rest. */
	if (part_name_format(&name, again) != 0 || strcmp(again, text) != 0)
		return -EINVAL;
	*ret = name;
	return 0;
}

bool part_name_is_traces(const char *text)
{
	size_t length = strlen(text);

	if (text[0] == '.')
		return false;
	if (length > 4 && strcmp(text + length - 4, ".zst") == 0)
		length -= 4;
	return length > 6 && memcmp(text + length - 6, ".jsonl", 6) == 0;
}
