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

/* Long texts are searched by 16 bytes: a name counts wherever it stands in them,
 * and whatever word is around. */
static void test_every_place(void **state)
{
	static const struct {
		const char *text;
		bool held;
	} words[] = {{" token ", true}, {"-API_key-", true}, {"\"authorization\"", true},
		{"xToken ", true}, {"XTOKEN ", false}, {"9token ", false}, {"9Token ", true},
		{"\xc3\xa9token ", false}, {" tokens ", false}, {" cook-ie ", true},
		{"[s e c r e t]", true}, {"@passwd`", true}, {"Zürich", false}};
	static const char fill[] = ". x";
	char text[96];

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].text);

		for (size_t k = 0; k < 2 * (sizeof(text) - length); k++) {
			memset(text, fill[k & 1], sizeof(text));
			memcpy(text + k / 2, words[i].text, length);
			assert_int_equal(redact_text_holds(text, sizeof(text)), words[i].held);
		}
	}
}

/* More names than the quick search has room for, with letters of all kinds. */
static void test_many_initials(void **state)
{
	static const char text[] = "0123456789abcdef 0123456789abcdef 4word ........";

	(void)state;
	assert_int_equal(redact_set_names("4word"), 0);
	assert_true(holds(text));
	assert_int_equal(redact_set_names("bee,dee,eee,eff,gee,haitch,4word"), 0);
	assert_true(holds(text));
	assert_true(holds("................ ................ haitch"));
	assert_int_equal(redact_set_names(NULL), 0);
	assert_false(holds(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_escapes_hide_nothing),
		cmocka_unit_test(test_backslashes_hide_nothing),
		cmocka_unit_test(test_every_place),
		cmocka_unit_test(test_many_initials),
	};

	if (redact_set_names(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
