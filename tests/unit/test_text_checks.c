/*
 * UTF-8 and JSON checks: tables of good and bad, every length and offset, and
 * a slow reference for UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_check.h"
#include "support/random_batch.h"
#include "utf8.h"
#include "wire.h"

/* ---- UTF-8 -------------------------------------------------------------- */

/* By decoding: slow and plain. */
static bool reference_valid(const uint8_t *p, size_t length)
{
	while (length > 0) {
		size_t n = p[0] < 0x80	     ? 1
			   : p[0] >> 5 == 6  ? 2
			   : p[0] >> 4 == 14 ? 3
			   : p[0] >> 3 == 30 ? 4
					     : 0;
		static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
		uint32_t code = p[0];

		if (n == 0 || n > length)
			return false;
		if (n > 1)
			code = p[0] & (0x7fu >> n);
		for (size_t i = 1; i < n; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (p[i] & 0x3f);
		}
		if (code < lowest[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
			return false;
		p += n;
		length -= n;
	}
	return true;
}

static void test_utf8_reference(void **state)
{
	struct random random = {random_seed()};
	static const uint8_t edges[] = {0x00, 'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
		0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};

	(void)state;
	for (int round = 0; round < 300000; round++) {
		uint8_t text[40];
		uint8_t repaired[120];
		size_t length = random_below(&random, 6);
		size_t before = random_below(&random, 34);
		size_t out;

		memset(text, 'x', sizeof(text));
		for (size_t i = 0; i < length; i++)
			text[before + i] = edges[random_below(&random, sizeof(edges))];
		length += before;
		assert_int_equal(utf8_valid(text, length), reference_valid(text, length));
		out = utf8_repair(text, length, repaired);
		assert_true(reference_valid(repaired, out));
		if (reference_valid(text, length)) {
			assert_int_equal(out, length);
			assert_memory_equal(repaired, text, length);
		}
	}
}

/* Unicode 15, table 3-8 and the like: one U+FFFD for each maximal subpart. */
static void test_utf8_repair(void **state)
{
	static const char *const cases[][2] = {
		{"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
			"\xef\xbf\xbd\xef\xbf\xbd\x41"},
		{"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
		{"a\xff", "a\xef\xbf\xbd"},
		{"\xe2\x82\xac", "\xe2\x82\xac"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t out[64];
		size_t length = utf8_repair((const uint8_t *)cases[i][0], strlen(cases[i][0]), out);

		assert_int_equal(length, strlen(cases[i][1]));
		assert_memory_equal(out, cases[i][1], length);
	}
}

static void test_utf8_cut(void **state)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xac!";
	static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};

	(void)state;
	for (size_t limit = 0; limit < sizeof(expected) / sizeof(expected[0]); limit++)
		assert_int_equal(utf8_cut((const uint8_t *)text, limit), expected[limit]);
}

/* ---- JSON --------------------------------------------------------------- */

/* In memory of the exact size. */
static int check(const char *text, size_t length, size_t *ret_offset)
{
	uint8_t *exact = malloc(length > 0 ? length : 1);
	int ret;

	assert_non_null(exact);
	memcpy(exact, text, length);
	ret = json_check(exact, length, ret_offset);
	free(exact);
	return ret;
}

/* The same with zeros behind must be of the same mind, about the place too. */
static void check_padded(const char *text, size_t length)
{
	uint8_t *padded = calloc(1, length + JSON_CHECK_PAD);
	size_t offset = SIZE_MAX;
	size_t padded_offset = SIZE_MAX;

	assert_non_null(padded);
	memcpy(padded, text, length);
	if (check(text, length, &offset) != json_check_padded(padded, length, &padded_offset) ||
		offset != padded_offset)
		fail_msg("%.*s: not the same with zeros behind", (int)length, text);
	free(padded);
}

static uint32_t draw(uint64_t *seed, uint32_t most)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 33) % most;
}

static void value_make(uint64_t *seed, char *text, size_t size, int depth)
{
	static const char *const scalars[] = {"1", "0", "-0.5", "12.75", "3e5", "1234567890123456",
		"0.123456789012345", "true", "false", "null", "\"\"", "\"text\"", "\"\\n\"",
		"\"\xc3\xa9\"", "\"of sixteen bytes\"", "\"of more than thirty-two bytes, yes\"",
		"[]", "{}", " 7 ", "\"a,b:c]\""};
	bool object = draw(seed, 2) != 0;
	uint32_t members = 1 + draw(seed, 3);

	if (depth == 0 || draw(seed, 3) == 0) {
		strncat(text, scalars[draw(seed, sizeof(scalars) / sizeof(scalars[0]))],
			size - strlen(text) - 1);
		return;
	}
	strncat(text, object ? "{" : "[", size - strlen(text) - 1);
	for (uint32_t i = 0; i < members; i++) {
		if (i > 0)
			strncat(text, ",", size - strlen(text) - 1);
		if (object)
			strncat(text, draw(seed, 4) == 0 ? "\"a longer key\" :" : "\"k\":",
				size - strlen(text) - 1);
		value_make(seed, text, size, depth - 1);
	}
	strncat(text, object ? "}" : "]", size - strlen(text) - 1);
}

/* Texts of up to 64 bytes are not hurried over, but with zeros behind they are: good
 * ones, and what comes of them when bytes change. */
static void test_json_padded(void **state)
{
	static const char bytes[] = "{}[],:\"\\ 0123456789.-+eEtfnu\x01\x80\xc3\xff";
	uint64_t seed = 4711;
	char text[400];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t length;

		text[0] = '\0';
		value_make(&seed, text, sizeof(text), (int)draw(&seed, 4));
		length = strlen(text);
		check_padded(text, length);
		for (int change = 0; change < 4; change++) {
			size_t at = draw(&seed, (uint32_t)length);

			text[at] = bytes[draw(&seed, sizeof(bytes) - 1)];
			check_padded(text, length);
			check_padded(text, at);
		}
	}
}

static void test_json_good(void **state)
{
	static const char *const texts[] = {"null", "true", "false", "0", "-0", "10", "-1.5e+10",
		"1E5", "0.0", "1e-400", "123456789012345678901234567890", "\"\"", "\"a\"", "[]",
		"{}", " [ ] ", "\t{\n}\r", "[1,2]", "[[],[[]],{}]", "{\"a\":1}",
		"{\"a\":{\"b\":[1,{\"c\":null}]},\"a\":2}",
		"\"\\u0000\\uD800\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xac\x7f\"",
		"{\"a long key beyond sixteen bytes\" : \"and a value that is longer than that\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (check(texts[i], strlen(texts[i]), NULL) != 0)
			fail_msg("refused: %s", texts[i]);
}

static void test_json_bad(void **state)
{
	static const char *const texts[] = {"", " ", "nul", "nulll", "True", "01", "-", "+1", ".5",
		"1.", "1e", "1e+", "0x1", "NaN", "Infinity", "\"", "\"\\\"", "\"\\x\"",
		"\"\\u12g4\"", "\"\\u123", "\"\\", "\"\n\"", "\"\x01\"", "\"\xff\"",
		"\"\xed\xa0\x80\"", "\"\xc3\"", "\xc3\xa9", "[", "]", "[1", "[1,", "[1,]", "[,1]",
		"[1 2]", "[1]]", "{", "}", "{]", "[}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
		"{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{1:1}", "{\"a\":1 \"b\":2}", "1 2", "[] []",
		"null,", "// c\n1", "'a'"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (check(texts[i], strlen(texts[i]), NULL) != ERR_MALFORMED)
			fail_msg("taken: %s", texts[i]);
	assert_int_equal(check("\"a\0b\"", 5, NULL), ERR_MALFORMED);
	assert_int_equal(check("\"\\\0\"", 4, NULL), ERR_MALFORMED);
}

/* Members of short texts are passed over together where more text follows: what
 * holds of one alone must hold of it there, as the first and behind another. */
static void test_json_members(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} members[] = {{"\"a\":1", true}, {"\"a\":-0.25", true}, {"\"a\":\"b\"", true},
		{"\"\":\"\"", true}, {"\"a\":1e5", true}, {"\"a\":12345678901234567890", true},
		{"\"a\" : 1 ", true}, {"\"a\":{\"b\":1}", true}, {"\"a\":[1]", true},
		{"\"a\":\"\\n\"", true}, {"\"\\u0061\":null", true},
		{"\"a\":\"more than sixteen bytes\"", true}, {"\"a\":1\"", false},
		{"\"a\":01", false}, {"\"a\":1.", false}, {"\"a\":-", false}, {"\"a\":", false},
		{"\"a\"1", false}, {"\"a\":\"b\"\"", false}, {"\"a\":1.5.5", false},
		{"\"a\":\"\x01\"", false}, {"\"a\\\":1", false}, {"a:1", false}, {"\"a\"", false},
		{"", false}, {"\"a\":1e", false}, {"\"a\":\xff", false}, {"\"\xff\":1", false}};
	static const char tail[] = "\"a text that is longer than a member of short texts is\"}";
	static const struct {
		const char *before;
		const char *after;
		const char *tail;
	} forms[] = {{"{", "}", ""}, {"{", ",\"x\":", tail}, {"{\"x\":2,", ",\"x\":", tail}};

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
			char text[256];
			int length = snprintf(text, sizeof(text), "%s%s%s%s", forms[k].before,
				members[i].text, forms[k].after, forms[k].tail);

			/* An empty object is one. */
			if (k == 0 && *members[i].text == '\0')
				continue;
			if ((check(text, (size_t)length, NULL) == 0) != members[i].good)
				fail_msg("%s: %s", members[i].good ? "refused" : "taken", text);
		}
}

static void test_json_offset(void **state)
{
	size_t offset = 99;

	(void)state;
	assert_int_equal(check("[1, x]", 6, &offset), ERR_MALFORMED);
	assert_int_equal(offset, 4);
	offset = 99;
	assert_int_equal(check("[1]", 3, &offset), 0);
	assert_int_equal(offset, 99);
}

static void test_json_depth(void **state)
{
	char text[100000];

	(void)state;
	for (int depth = 1; depth <= 70; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		assert_int_equal(check(text, (size_t)depth * 2, NULL),
			depth <= WIRE_JSON_DEPTH_LIMIT ? 0 : ERR_LIMIT);
	}
	memset(text, '[', sizeof(text));
	assert_int_equal(check(text, sizeof(text), NULL), ERR_LIMIT);
	/* What one is nested in is remembered over the whole depth. */
	for (int i = 0; i < 32; i++)
		memcpy(text + 6 * i, "[{\"a\":", 6);
	text[192] = '1';
	for (int i = 0; i < 32; i++)
		memcpy(text + 193 + 2 * i, "}]", 2);
	assert_int_equal(check(text, 257, NULL), 0);
	text[193 + 10] = ']';
	text[193 + 11] = '}';
	assert_int_equal(check(text, 257, NULL), ERR_MALFORMED);
}

/* A string of every length, with something wrong at every place. */
static void test_json_strings(void **state)
{
	char text[64];

	(void)state;
	for (size_t length = 2; length < sizeof(text); length++) {
		memset(text, 'x', length);
		text[0] = text[length - 1] = '"';
		assert_int_equal(check(text, length, NULL), 0);
		for (size_t at = 1; at + 1 < length; at++) {
			text[at] = '\x1f';
			assert_int_equal(check(text, length, NULL), ERR_MALFORMED);
			text[at] = '\x80';
			assert_int_equal(check(text, length, NULL), ERR_MALFORMED);
			text[at] = '"';
			assert_int_equal(check(text, length, NULL), ERR_MALFORMED);
			text[at] = 'x';
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8_reference),
		cmocka_unit_test(test_utf8_repair),
		cmocka_unit_test(test_utf8_cut),
		cmocka_unit_test(test_json_padded),
		cmocka_unit_test(test_json_good),
		cmocka_unit_test(test_json_bad),
		cmocka_unit_test(test_json_members),
		cmocka_unit_test(test_json_offset),
		cmocka_unit_test(test_json_depth),
		cmocka_unit_test(test_json_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
