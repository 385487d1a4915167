/* Snapshots: redacted, then cut, whatever the text is. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <waft/waft.h>

#include <cmocka.h>

#include "json.h"
#include "json_check.h"
#include "redact.h"
#include "snapshot.h"

static struct buffer out;

static const char *take(const char *text, size_t length, size_t limit)
{
	snapshot_take(&out, text, length, limit);
	assert_false(out.failed);
	assert_int_equal(json_check(out.bytes, out.length, NULL), 0);
	buffer_add_byte(&out, '\0');
	out.length--;
	return (const char *)out.bytes;
}

static const char *take_text(const char *text, size_t limit)
{
	return take(text, strlen(text), limit);
}

static void test_whole(void **state)
{
	(void)state;
	assert_string_equal(take_text("{\"a\": [1, 2.50]}", 100), "{\"a\": [1, 2.50]}");
	assert_string_equal(take_text("{\"token\":1}", 100), "{\"token\":\"[redacted]\"}");
	assert_string_equal(
		take_text("plain \"text\"\n\x01", 100), "\"plain \\\"text\\\"\\n\\u0001\"");
	assert_string_equal(take_text("", 100), "\"\"");
}

/* Text that is no JSON: hidden when it holds a name, for nobody knows where its
 * value ends. */
static void test_invalid(void **state)
{
	(void)state;
	assert_string_equal(take_text("{\"token\":\"x\"", 100), "\"[invalid JSON, 12 bytes]\"");
	assert_string_equal(take_text("password=hunter2", 100), "\"[invalid JSON, 16 bytes]\"");
	assert_string_equal(
		take_text("{'pass\\u0077ord': 1}", 100), "\"[invalid JSON, 20 bytes]\"");
	assert_string_equal(take_text("C:\\token=x", 100), "\"[invalid JSON, 10 bytes]\"");
	assert_string_equal(take("a\0b", 3, 100), "\"a\\u0000b\"");
	assert_string_equal(take_text("\xff", 100), "\"\xef\xbf\xbd\"");
}

/* At a character, never in one; and what the cut leaves out was redacted first,
 * so that no half of a value stays. */
static void test_cut(void **state)
{
	char text[64];

	(void)state;
	assert_string_equal(take_text("[1,2,3,4]", 4), "\"[1,2... (truncated, total length: 9)\"");
	assert_string_equal(take_text("[1,2,3,4]", 9), "[1,2,3,4]");
	assert_string_equal(take_text("{\"k\":\"\\n\"}", 7),
		"\"{\\\"k\\\":\\\"\\\\... (truncated, total length: 10)\"");
	for (size_t limit = 1; limit < 12; limit++) {
		size_t at = limit <= 1 ? limit : 1 + (limit - 1) / 3 * 3;

		take_text("\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\"", limit);
		snprintf(text, sizeof(text), "\"\\\"%.*s... (truncated, total length: 14)\"",
			(int)at - 1, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
		assert_string_equal((char *)out.bytes, text);
	}
	assert_string_equal(take_text("{\"a\":1,\"password\":\"hunter2hunter2\"}", 24),
		"\"{\\\"a\\\":1,\\\"password\\\":\\\"[reda... (truncated, total length: 31)\"");
	assert_string_equal(
		take_text("no json at all", 7), "\"no json... (truncated, total length: 14)\"");
}

static void test_long(void **state)
{
	static char text[5000];
	char tail[64];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[0] = text[sizeof(text) - 2] = '"';
	take_text(text, 1000);
	snprintf(tail, sizeof(tail), "x... (truncated, total length: %zu)\"", strlen(text));
	assert_string_equal((char *)out.bytes + out.length - strlen(tail), tail);
	/* Quote, 1000 bytes of which one is escaped, the tail but its x. */
	assert_int_equal(out.length, 1 + 1001 + strlen(tail) - 1);
}

/* Deeper than is taken anywhere: no JSON for us. */
static void test_deep(void **state)
{
	char text[200];

	(void)state;
	memset(text, '[', 80);
	memset(text + 80, ']', 80);
	text[160] = '\0';
	take_text(text, 1000);
	assert_int_equal(out.bytes[0], '"');
}

static void number(double value, const char *expected)
{
	char text[JSON_NUMBER_BYTES];

	assert_int_equal(json_double_format(value, text), strlen(expected));
	assert_string_equal(text, expected);
}

static void test_numbers(void **state)
{
	(void)state;
	number(0.1, "0.1");
	number(1.0 / 3, "0.3333333333333333");
	number(1e300, "1e+300");
	number(5e-324, "4.94065645841247e-324");
	number(-2, "-2");
	number(NAN, "null");
	number(-INFINITY, "null");
	/* A locale with a decimal comma, where one is installed. */
	if (setlocale(LC_NUMERIC, "de_DE.UTF-8") != NULL)
		number(1.5, "1.5");
	setlocale(LC_NUMERIC, "C");
}

static void test_builder(void **state)
{
	struct waft_json json = {0};

	(void)state;
	waft_json_object(&json);
	waft_json_key(&json, "a\"");
	waft_json_array(&json);
	waft_json_array(&json);
	waft_json_end_array(&json);
	waft_json_object(&json);
	waft_json_end_object(&json);
	waft_json_string_n(&json, "xyz", 2);
	waft_json_string(&json, NULL);
	waft_json_end_array(&json);
	waft_json_key(&json, "b");
	waft_json_raw(&json, "[1]", SIZE_MAX);
	waft_json_end_object(&json);
	assert_true(json_valid(&json));
	buffer_add_byte(&json.text, '\0');
	assert_string_equal((char *)json.text.bytes, "{\"a\\\"\":[[],{},\"xy\",null],\"b\":[1]}");
	buffer_done(&json.text);
}

/* Each mistake is noticed, and nothing after it counts. */
static void test_mistakes(void **state)
{
	static const char *const mistakes[] = {
		"", "[", "{", "]", "{]", "[}", "{k", "{v}", "{kk", "vv", "[k", "{k}", "[]v"};

	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct waft_json json = {0};

		for (const char *at = mistakes[i]; *at != '\0'; at++) {
			if (*at == '[')
				waft_json_array(&json);
			else if (*at == ']')
				waft_json_end_array(&json);
			else if (*at == '{')
				waft_json_object(&json);
			else if (*at == '}')
				waft_json_end_object(&json);
			else if (*at == 'k')
				waft_json_key(&json, "k");
			else
				waft_json_int(&json, 1);
		}
		if (json_valid(&json))
			fail_msg("%s is taken", mistakes[i]);
		buffer_done(&json.text);
	}
	waft_json_object(NULL);
	waft_json_key(NULL, "k");
	waft_json_null(NULL);
}

static int set_up(void **state)
{
	(void)state;
	return redact_set_names(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	buffer_done(&out);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_builder),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
