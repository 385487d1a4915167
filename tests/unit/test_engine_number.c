/*
 * The engine's numbers: Python's float() grammar, shortest output, any locale.
 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "number.h"
#include "unicode.h"

static void parse_is(const char *text, size_t length_bytes, double expected)
{
	double value = -12345;
	if (number_parse(text, length_bytes, &value) != 0)
		fail_msg("'%s' was refused", text);
	if (isnan(expected) ? !isnan(value) : memcmp(&value, &expected, sizeof(value)) != 0)
		fail_msg("'%s' is %.17g, not %.17g", text, value, expected);
}

static void test_parses_what_python_does(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double value;
	} cases[] = {
		{"5", 5},
		{"+5", 5},
		{"-0", -0.0},
		{" .5 ", .5},
		{"5.", 5},
		{"1e3", 1e3},
		{"1E+3", 1e3},
		{"1.e-3", 1e-3},
		{"1_000", 1000},
		{"1_0.2_5e1_0", 10.25e10},
		{"0.1", 0.1},
		{"  0.1\t", 0.1},
		{"\n\v\f\r7\n", 7},
		{"\u00a0\u2003\u30007\u2028\xc2\x85", 7},
		{"inf", INFINITY},
		{"-Infinity", -INFINITY},
		{"+iNf", INFINITY},
		{"NaN", NAN},
		{"-nan", NAN},
		{"1e400", INFINITY},
		{"-1e400", -INFINITY},
		{"1e-400", 0},
		{"4.9e-324", 4.9e-324},
		{"9007199254740993", 9007199254740992.0},
		{"٣.٤", 3.4},
		{"٣٤_٥", 345},
		{"１２", 12},
		{"𝟙𝟚", 12},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		parse_is(cases[i].text, strlen(cases[i].text), cases[i].value);
}

static void test_refuses_what_python_does(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		" ",
		".",
		"+",
		"-",
		"e5",
		"1e",
		"1e+",
		"0x10",
		"1_",
		"_1",
		"1__0",
		"1_.5",
		"1._5",
		"1e_5",
		"1_e5",
		"+-1",
		"- 1",
		"1 2",
		"1.2.3",
		"1,5",
		"in f",
		"infinit",
		"nan(1)",
		"1f",
		"0b1",
		"½",
		"ınf",
		"\0341",
		"1\x1f",
		"\xff",
		"\xd9",
		"٣x",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double value = 42;
		if (number_parse(cases[i], strlen(cases[i]), &value) != -EINVAL)
			fail_msg("'%s' was read as %g", cases[i], value);
		assert_true(value == 42);
	}
	double value = 42;
	assert_int_equal(number_parse("1\0", 2, &value), -EINVAL);
}

static void test_formats_the_shortest(void **state)
{
	(void)state;
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0, "0.0"},
		{-0.0, "-0.0"},
		{1, "1.0"},
		{-0.25, "-0.25"},
		{0.1, "0.1"},
		{0.1 + 0.2, "0.30000000000000004"},
		{5.3420000000000005, "5.3420000000000005"},
		{100, "100.0"},
		{123456789, "123456789.0"},
		{1e15, "1000000000000000.0"},
		{9007199254740993.0, "9007199254740992.0"},
		{1e16, "1e+16"},
		{1.5e16, "1.5e+16"},
		{1e22, "1e+22"},
		{1e100, "1e+100"},
		{0.0001, "0.0001"},
		{0.00012345, "0.00012345"},
		{0.00001, "1e-05"},
		{4.9e-324, "5e-324"},
		{2.2250738585072014e-308, "2.2250738585072014e-308"},
		{1.7976931348623157e308, "1.7976931348623157e+308"},
		{INFINITY, "inf"},
		{-INFINITY, "-inf"},
		{NAN, "nan"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[NUMBER_TEXT_SIZE];
		size_t length = number_format(cases[i].value, text);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(length, strlen(text));
	}
}

/* Every double survives writing and reading: patterns from a fixed generator. */
static void test_round_trip(void **state)
{
	(void)state;
	uint64_t bits = 0x9e3779b97f4a7c15u;
	for (int i = 0; i < 20000; i++) {
		bits = bits * 6364136223846793005u + 1442695040888963407u;
		double value;
		memcpy(&value, &bits, sizeof(value));
		if (isnan(value))
			continue;
		char text[NUMBER_TEXT_SIZE];
		size_t length = number_format(value, text);
		assert_true(length < NUMBER_TEXT_SIZE);
		parse_is(text, length, value);
	}
}

/* A locale with a decimal comma is made, not assumed to be installed: the
 * numeric category of such a locale when there is one, else the test's point is
 * that C's own functions are given a locale of their own. */
static void test_ignores_the_locale(void **state)
{
	(void)state;
	static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (setlocale(LC_ALL, names[i]))
			break;
	char text[NUMBER_TEXT_SIZE];
	number_format(1234.5, text);
	assert_string_equal(text, "1234.5");
	parse_is("1234.5", 6, 1234.5);
	double value;
	assert_int_equal(number_parse("1234,5", 6, &value), -EINVAL);
	setlocale(LC_ALL, "C");
}

static void trim_is(const char *text, const char *expected)
{
	struct span_of_text trimmed = unicode_trim(text, strlen(text), unicode_is_space);
	assert_int_equal(trimmed.length_bytes, strlen(expected));
	assert_memory_equal(trimmed.text, expected, trimmed.length_bytes);
}

static void test_trims_unicode_space(void **state)
{
	(void)state;
	trim_is("", "");
	trim_is(" \t\n", "");
	trim_is("a", "a");
	trim_is(" a b ", "a b");
	trim_is("\x1c\x1d\x1e\x1f\xc2\x85\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000x",
		"x");
	trim_is("x\u3000\u00a0", "x");
	/* Not white space: zero-width space, BOM, Mongolian vowel separator. */
	trim_is("\u200bx\ufeff", "\u200bx\ufeff");
	trim_is("\u180ex", "\u180ex");
	trim_is(" 東京 ", "東京");
}

static void test_cuts_between_characters(void **state)
{
	(void)state;
	assert_int_equal(unicode_cut("abc", 3, 3), 3);
	assert_int_equal(unicode_cut("abcd", 4, 3), 3);
	assert_int_equal(unicode_cut("aé", 3, 2), 1);
	assert_int_equal(unicode_cut("🚀🚀", 8, 7), 4);
	assert_int_equal(unicode_cut("🚀", 4, 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parses_what_python_does),
		cmocka_unit_test(test_refuses_what_python_does),
		cmocka_unit_test(test_formats_the_shortest),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_ignores_the_locale),
		cmocka_unit_test(test_trims_unicode_space),
		cmocka_unit_test(test_cuts_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
