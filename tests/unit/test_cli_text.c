/* Tests of strbuf.c: escaping, widths, cutting, JSON strings. */
#include "strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *safe(const char *bytes, size_t length)
{
	struct strbuf text = {0};

	strbuf_safe(&text, bytes, length);
	return strbuf_take(&text);
}

static void expect_safe(const char *bytes, size_t length, const char *expected)
{
	char *made = safe(bytes, length);

	assert_string_equal(made, expected);
	free(made);
}

static void escapes_what_drives_a_terminal(void **state)
{
	(void)state;
	expect_safe("a\033[2Jb", 6, "a\\x1b[2Jb");
	expect_safe("\r\n\t\a\b\x7f", 6, "\\r\\n\\t\\x07\\x08\\x7f");
	expect_safe("nul\0nul", 7, "nul\\x00nul");
	/* C1 CSI as UTF-8 and as a raw byte. */
	expect_safe("\xc2\x9b"
		    "31m",
		5, "\\x9b31m");
	expect_safe("\x9b"
		    "31m",
		4, "\\x9b31m");
	/* Right-to-left override, line separator, a byte order mark, a tag. */
	expect_safe("\xe2\x80\xae", 3, "\\u202e");
	expect_safe("\xe2\x80\xa8", 3, "\\u2028");
	expect_safe("\xef\xbb\xbf", 3, "\\ufeff");
	expect_safe("\xf3\xa0\x81\x81", 4, "\\U000e0041");
}

static void escapes_what_is_not_utf8(void **state)
{
	(void)state;
	expect_safe("\xff", 1, "\\xff");
	expect_safe("\xc0\x80", 2, "\\xc0\\x80");
	expect_safe("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");
	/* Cut off in the middle. */
	expect_safe("x\xe4\xb8", 3, "x\\xe4\\xb8");
}

static void keeps_what_people_write(void **state)
{
	(void)state;
	expect_safe("größe 数据 café", strlen("größe 数据 café"), "größe 数据 café");
	/* An emoji of a family, held together by joiners. */
	expect_safe("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", 11,
		"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7");
}

static size_t columns(const char *bytes)
{
	return strbuf_columns(bytes, strlen(bytes));
}

static void counts_columns(void **state)
{
	(void)state;
	assert_int_equal(columns(""), 0);
	assert_int_equal(columns("abc"), 3);
	assert_int_equal(columns("✓ ✗ •"), 5);
	assert_int_equal(columns("数据"), 4);
	assert_int_equal(columns("한글"), 4);
	assert_int_equal(columns("ｆ"), 2);
	assert_int_equal(columns("\xf0\x9f\x98\x80"), 2);
	/* e and a combining acute. */
	assert_int_equal(columns("cafe\xcc\x81"), 4);
	assert_int_equal(columns("\033[31mred\033[0m"), 3);
}

static void expect_cut(const char *bytes, size_t width, const char *expected)
{
	struct strbuf text = {0};
	size_t used = strbuf_cut(&text, bytes, strlen(bytes), width);

	assert_string_equal(text.bytes, expected);
	assert_int_equal(used, columns(expected));
	assert_true(used <= width);
	strbuf_done(&text);
}

static void cuts_by_columns(void **state)
{
	(void)state;
	expect_cut("abcdef", 6, "abcdef");
	expect_cut("abcdefg", 6, "abcde…");
	expect_cut("abc", 1, "…");
	/* A wide character doesn't go into half of its columns. */
	expect_cut("数据数据", 7, "数据数…");
	expect_cut("数据数据", 6, "数据…");
	expect_cut("数据", 4, "数据");
	/* An accent stays with its letter. */
	expect_cut("cafe\xcc\x81s!", 5, "cafe\xcc\x81…");
	expect_cut("cafe\xcc\x81", 4, "cafe\xcc\x81");
	expect_cut("", 3, "");
}

static void cuts_by_characters(void **state)
{
	struct strbuf text = {0};

	(void)state;
	strbuf_head(&text, "数据ab", strlen("数据ab"), 3);
	assert_string_equal(text.bytes, "数据a…");
	strbuf_clear(&text);
	strbuf_head(&text, "\033b", 2, 2);
	assert_string_equal(text.bytes, "\\x1bb");
	strbuf_done(&text);
}

static void pads(void **state)
{
	struct strbuf text = {0};

	(void)state;
	strbuf_string(&text, "x ");
	strbuf_string(&text, "数");
	strbuf_pad(&text, 2, 4);
	strbuf_string(&text, "|");
	assert_string_equal(text.bytes, "x 数  |");
	strbuf_pad(&text, 0, 3);
	assert_string_equal(text.bytes, "x 数  |");
	strbuf_done(&text);
}

static void writes_json_strings(void **state)
{
	static const char bytes[] = "\"\\\n\t\x01\x7f\xff\0ü";
	struct strbuf text = {0};

	(void)state;
	strbuf_json(&text, bytes, sizeof bytes - 1);
	assert_string_equal(text.bytes, "\"\\\"\\\\\\n\\t\\u0001\\u007f\xef\xbf\xbd\\u0000ü\"");
	strbuf_done(&text);
}

static void grows(void **state)
{
	struct strbuf text = {0};
	char *taken;

	(void)state;
	for (int i = 0; i < 10000; i++)
		strbuf_format(&text, "%d,", i);
	assert_int_equal(text.length, 48890);
	assert_false(text.failed);
	taken = strbuf_take(&text);
	assert_int_equal(strlen(taken), 48890);
	assert_null(text.bytes);
	free(taken);
	/* Nothing appended is a text, too. */
	taken = strbuf_take(&text);
	assert_string_equal(taken, "");
	free(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_what_drives_a_terminal),
		cmocka_unit_test(escapes_what_is_not_utf8),
		cmocka_unit_test(keeps_what_people_write),
		cmocka_unit_test(counts_columns),
		cmocka_unit_test(cuts_by_columns),
		cmocka_unit_test(cuts_by_characters),
		cmocka_unit_test(pads),
		cmocka_unit_test(writes_json_strings),
		cmocka_unit_test(grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
