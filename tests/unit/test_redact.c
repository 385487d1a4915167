/*
 * Names in keys and in texts: how words are split, and that neither an escape
 * nor a plain backslash hides one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "redact.h"

static bool holds(const char *text)
{
	return redact_text_holds(text, strlen(text));
}

static void test_words(void **state)
{
	(void)state;
	assert_true(holds("token"));
	assert_true(holds("X-Api-Key"));
	assert_true(holds("accessToken"));
	assert_true(holds("APIKey"));
	assert_true(holds("user.private_key.pem"));
	assert_true(holds("my password: x"));
	assert_false(holds("input_tokens"));
	assert_false(holds("Passwords"));
	assert_false(holds("secretary"));
	assert_false(holds("key api"));
	assert_false(holds(""));
}

static void test_escapes_hide_nothing(void **state)
{
	(void)state;
	assert_true(holds("\\u0074oken"));
	assert_true(holds("pass\\u0077ord"));
	assert_true(holds("a\\ttoken"));
	assert_true(holds("a\\/token"));
}

/* Text that is no JSON: its backslashes are characters. */
static void test_backslashes_hide_nothing(void **state)
{
	(void)state;
	assert_true(holds("C:\\token=abc"));
	assert_true(holds("x\\password: abc"));
	assert_true(holds("\\\\server\\secret"));
	assert_false(holds("C:\\tokens"));
	assert_false(holds("\\"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_escapes_hide_nothing),
		cmocka_unit_test(test_backslashes_hide_nothing),
	};

	if (redact_set_names(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
