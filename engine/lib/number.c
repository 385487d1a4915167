/*
 * number.c: see number.h.
 */
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "unicode.h"

static locale_t c_locale;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* (locale_t)0 when memory is short: then the thread's own locale serves. */
static locale_t get_c_locale(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_c_locale);
	return c_locale;
}

double number_from_c(const char *text)
{
	locale_t locale = get_c_locale();
	return locale == (locale_t)0 ? strtod(text, NULL) : strtod_l(text, NULL, locale);
}

/* Copies digits, dropping single underscores between them. False without any
 * digit or with an underscore elsewhere. */
static bool copy_digits(const char **in, char **out)
{
	const char *p = *in;
	if (!isdigit((unsigned char)*p))
		return false;
	for (;;) {
		*(*out)++ = *p++;
		if (*p == '_')
			p++;
		else if (!isdigit((unsigned char)*p))
			break;
		if (!isdigit((unsigned char)*p))
			return false;
	}
	*in = p;
	return true;
}

/* Checks the numeral at in and copies it to out without underscores. */
static bool copy_numeral(const char *in, char *out)
{
	bool whole = isdigit((unsigned char)*in);
	if (whole && !copy_digits(&in, &out))
		return false;
	if (*in == '.') {
		*out++ = *in++;
		bool fraction = isdigit((unsigned char)*in);
		if (fraction ? !copy_digits(&in, &out) : !whole)
			return false;
	} else if (!whole) {
		return false;
	}
	if (*in == 'e' || *in == 'E') {
		*out++ = *in++;
		if (*in == '+' || *in == '-')
			*out++ = *in++;
		if (!copy_digits(&in, &out))
			return false;
	}
	*out = '\0';
	return *in == '\0';
}

/* ascii: the trimmed text; scratch has room for a copy. */
static int parse_ascii(const char *ascii, char *scratch, double *ret_value)
{
	double sign = *ascii == '-' ? -1.0 : 1.0;
	if (*ascii == '+' || *ascii == '-')
		ascii++;
	if (strcasecmp(ascii, "inf") == 0 || strcasecmp(ascii, "infinity") == 0)
		*ret_value = sign * (double)INFINITY;
	else if (strcasecmp(ascii, "nan") == 0)
		*ret_value = (double)NAN;
	else if (copy_numeral(ascii, scratch))
		*ret_value = sign * number_from_c(scratch);
	else
		return -EINVAL;
	return 0;
}

int number_parse(const char *text, size_t length_bytes, double *ret_value)
{
	struct span_of_text trimmed = unicode_trim(text, length_bytes, unicode_is_number_space);
	char *ascii = malloc(2 * (trimmed.length_bytes + 1));
	if (ascii == NULL)
		return -ENOMEM;
	char *scratch = ascii + trimmed.length_bytes + 1;
	int r = unicode_to_ascii_digits(trimmed.text, trimmed.length_bytes, ascii);
	if (r == 0)
		r = parse_ascii(ascii, scratch, ret_value);
	free(ascii);
	return r;
}

/* Writes value with as many significant digits as %e gives for precision. */
static void format_exponent(double value, int precision, char *out, size_t size)
{
	locale_t locale = get_c_locale();
	locale_t before = locale == (locale_t)0 ? (locale_t)0 : uselocale(locale);
	snprintf(out, size, "%.*e", precision - 1, value);
	if (before != (locale_t)0)
		uselocale(before);
}

/* Splits "d.ddde±xx" into its digits, without trailing zeros, and exponent. */
static int split_exponent(const char *text, char digits[NUMBER_TEXT_SIZE])
{
	size_t count = 0;
	const char *p = text;
	for (; *p != 'e'; p++)
		if (*p != '.')
			digits[count++] = *p;
	while (count > 1 && digits[count - 1] == '0')
		count--;
	digits[count] = '\0';
	return (int)strtol(p + 1, NULL, 10);
}

/* Python writes exponents from 1e16 on and below 1e-4. */
static size_t layout_number(const char *digits, int exponent, bool negative, char *out)
{
	const char *sign = negative ? "-" : "";
	int count = (int)strlen(digits);
	if (exponent < -4 || exponent >= 16)
		return (size_t)snprintf(out, NUMBER_TEXT_SIZE, "%s%c%s%se%c%02d", sign, digits[0],
			count > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
	if (exponent < 0)
		return (size_t)snprintf(
			out, NUMBER_TEXT_SIZE, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
	if (count <= exponent + 1)
		return (size_t)snprintf(out, NUMBER_TEXT_SIZE, "%s%s%.*s.0", sign, digits,
			exponent + 1 - count, "0000000000000000");
	return (size_t)snprintf(out, NUMBER_TEXT_SIZE, "%s%.*s.%s", sign, exponent + 1, digits,
		digits + exponent + 1);
}

size_t number_format(double value, char ret_text[NUMBER_TEXT_SIZE])
{
	if (isnan(value))
		return (size_t)snprintf(ret_text, NUMBER_TEXT_SIZE, "nan");
	bool negative = signbit(value);
	double magnitude = fabs(value);
	if (isinf(value))
		return (size_t)snprintf(ret_text, NUMBER_TEXT_SIZE, "%sinf", negative ? "-" : "");
	char text[NUMBER_TEXT_SIZE];
	/* 15 digits survive the round trip through any normal double, so a number
	 * that has a shorter form shows it there, as trailing zeros. */
	int precision = magnitude < DBL_MIN ? 1 : 15;
	for (; precision <= 17; precision++) {
		format_exponent(magnitude, precision, text, sizeof(text));
		double back = number_from_c(text);
		if (back >= magnitude && back <= magnitude)
			break;
	}
	char digits[NUMBER_TEXT_SIZE];
	int exponent = split_exponent(text, digits);
	return layout_number(digits, exponent, negative, ret_text);
}
