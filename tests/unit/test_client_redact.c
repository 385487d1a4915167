/* Which keys are not to be seen, and JSON without their values. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buffer.h"
#include "redact.h"

static void test_keys(void **state)
{
	static const char *const seen[] = {"input_tokens", "tokens", "tokenizer", "keyboard",
		"monkey", "api", "key", "keyApi", "cookies", "passwords", "secretary", "user",
		"authorizations", "", "-", "private", "public_key", "Xtoken", "token2",
		"the_keys_to_api"};
	static const char *const hidden[] = {"password", "PASSWORD", "userPassword", "user.passwd",
		"db_password_old", "X-Api-Key", "apiKey", "api_key", "API_KEY", "APIKey", "apikey",
		"api key", "accessToken", "access_token", "refresh-token", "token", "Token",
		"myTOKEN", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie",
		"privateKey", "ssh_private_key", "client_secret", "secret", "a.b.secret.c",
		"headers[cookie]", "pass\\u0077ord", "\\u0074oken", "C:\\token", "pass_word"};

	(void)state;
	assert_int_equal(redact_set_names(NULL), 0);
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
		if (redact_key_matches(seen[i], strlen(seen[i])))
			fail_msg("%s is redacted", seen[i]);
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (!redact_key_matches(hidden[i], strlen(hidden[i])))
			fail_msg("%s is not redacted", hidden[i]);
}

/* The same by the ways of a processor without the wide ones. */
static bool narrow_holds(const char *text, size_t length)
{
	struct scan scan = redact_scan;
	bool ret;

	scan_limit(&redact_scan, SCAN_NARROW);
	ret = redact_text_holds(text, length);
	redact_scan = scan;
	return ret;
}

static size_t copy_room(size_t length)
{
	return (length + SCAN_COPY_ROOM) / SCAN_COPY_ROOM * SCAN_COPY_ROOM;
}

/* A copy is the text, and no name is in it unless it is suspect. */
static void copy_check_at(
	const struct scan *scan, char *to, const char *text, size_t length, bool held)
{
	enum scan_seen seen;

	if (!scan_can_copy(scan, length))
		return;
	seen = scan_copy(scan, to, text, length);
	assert_memory_equal(to, text, length);
	if (held && seen != SCAN_SUSPECT)
		fail_msg("%.*s: copied it does not", (int)length, text);
	for (size_t i = 0; i < length && seen == SCAN_NOTHING; i++)
		assert_in_range((unsigned char)text[i], 0, 0x7f);
}

/* By all that this processor can. */
static void copy_check(char *to, const char *text, size_t length, bool held)
{
	struct scan scan = redact_scan;

	copy_check_at(&scan, to, text, length, held);
	scan_limit(&scan, SCAN_WIDE);
	copy_check_at(&scan, to, text, length, held);
}

/* Whether it holds a name, asked in each way that there is: of no byte more than it has. */
static bool copy_holds(const char *text, size_t length)
{
	char *exact = malloc(length + 1);
	char *copied = malloc(copy_room(length));
	bool ret;

	assert_true(exact != NULL && copied != NULL);
	exact = realloc(exact, length > 0 ? length : 1);
	assert_non_null(exact);
	memcpy(exact, text, length);
	ret = redact_text_holds(exact, length);
	if (narrow_holds(exact, length) != ret)
		fail_msg("%.*s: narrow it %s", (int)length, text, ret ? "does not" : "does");
	copy_check(copied, exact, length, ret);
	free(exact);
	free(copied);
	return ret;
}

static bool holds(const char *before, const char *text, const char *after)
{
	char whole[512];
	int length = snprintf(whole, sizeof(whole), "%s%s%s", before, text, after);

	return copy_holds(whole, (size_t)length);
}

/* Long texts are searched 32 places at a time where the processor can, short ones are
 * not; and those with a backslash are searched by another way too. All find the same. */
static unsigned int search_all(const char *names, uint64_t seed)
{
	static const char *const parts[] = {"pass", "word", "Pass", "passwd", "api", "Api", "key",
		"Key", "to", "ken", "sec", "ret", "coo", "kie", "priv", "ate", "author", "ization",
		"-", "_", " ", ".", "s", "S", "p", "a", "t", "c", "assword", "piKey", "ecret",
		"oken", "ookie", "uthorization", "ss", "sn", "n", "ssn", "1", "\xc3\xa9", "x"};
	static const char dots[] = "................................................";
	static const char twice[] = "..............................................."
				    "................................................";
	unsigned int found = 0;

	assert_int_equal(redact_set_names(names), 0);
	for (int i = 0; i < 12000; i++) {
		char text[64] = "";
		bool hit;

		for (int n = 0; n < 4; n++) {
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			strcat(text, parts[(seed >> 33) % (sizeof(parts) / sizeof(parts[0]))]);
		}
		hit = holds("", text, "");
		found += hit;
		if (holds(dots + i % 40, text, dots) != hit || holds("", text, dots) != hit ||
			holds(dots, text, "") != hit || holds(dots, text, ".\\x") != hit ||
			holds(twice + i % 70, text, dots) != hit || holds(twice, text, "") != hit)
			fail_msg("%s: not the same in a longer text", text);
	}
	return found;
}

static void test_search(void **state)
{
	(void)state;
	assert_in_range(search_all(NULL, 4711), 100, 10000);
	assert_in_range(search_all("ssn", 815), 200, 10000);
}

/* What the quick way is for: texts without a name whose words begin as one does. */
static void test_unsuspected(void **state)
{
	static const char text[] =
		"{\"ok\":true,\"path\":\"to a "
		"place\",\"created_at\":1,\"keys\":[\"audit\",\"past\"],"
		"\"price\":2,\"Time to Market\":\"any\",\"scores\":{\"Cost\":1.5}}";
	static const char accent[] = "{\"ok\":true,\"path\":\"to a place\",\"na\xc3\xafve "
				     "caf\xc3\xa9\":\"Cost\",\"total\":17.25}";
	static const char escaped[] = "{\"ok\":true,\"path\":\"to a place\",\"\\u0074oken"
				      "\":\"Cost\",\"total\":17.25}";
	char copied[256];
	struct scan scan;

	(void)state;
	assert_int_equal(redact_set_names(NULL), 0);
	if (!redact_can_copy(sizeof(accent) - 1))
		skip();
	scan = redact_scan;
	for (int narrower = 0; narrower < 2; narrower++) {
		assert_int_equal(scan_copy(&scan, copied, text, sizeof(text) - 1), SCAN_NOTHING);
		assert_int_equal(scan_copy(&scan, copied, accent, sizeof(accent) - 1), SCAN_HIGH);
		assert_int_equal(
			scan_copy(&scan, copied, escaped, sizeof(escaped) - 1), SCAN_SUSPECT);
		scan_limit(&scan, SCAN_WIDE);
	}
}

static void test_names(void **state)
{
	char many[4096] = "";

	(void)state;
	assert_int_equal(redact_set_names("credit card, ssn ,,iban"), 0);
	assert_true(redact_key_matches("creditCard", 10));
	assert_true(redact_key_matches("user_ssn", 8));
	assert_true(redact_key_matches("IBAN", 4));
	assert_true(redact_key_matches("token", 5));
	assert_false(redact_key_matches("credit", 6));
	for (int i = 0; i < 200; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "name%d,", i);
	assert_int_equal(redact_set_names(many), -EINVAL);
	assert_true(redact_key_matches("name3", 5));
	assert_int_equal(redact_set_names(NULL), 0);
	assert_false(redact_key_matches("iban", 4));
}

static void write_to(void *arg, const char *bytes, size_t length)
{
	buffer_add(arg, bytes, length);
}

struct pair {
	const char *before;
	const char *after; /* NULL: nothing to replace */
};

static void test_json(void **state)
{
	static const struct pair pairs[] = {
		{"{}", NULL},
		{"\"token\"", NULL},
		{"[\"token\",\"secret\"]", NULL},
		{"{\"a\":\"token\"}", NULL},
		{"{\"token\":\"x\"}", "{\"token\":\"[redacted]\"}"},
		{"{\"token\" : 12.5e3 , \"b\":1}", "{\"token\" : \"[redacted]\" , \"b\":1}"},
		{"{\"token\":true}", "{\"token\":\"[redacted]\"}"},
		{"{\"token\":null,\"n\":[1,2]}", "{\"token\":\"[redacted]\",\"n\":[1,2]}"},
		{"{\"token\":{\"a\":[1,{\"b\":\"}]\"}]},\"c\":2}",
			"{\"token\":\"[redacted]\",\"c\":2}"},
		{"{\"token\":[[\"]\"],\"\\\"\"],\"c\":2}", "{\"token\":\"[redacted]\",\"c\":2}"},
		{"[{\"a\":[{\"api_key\":\"x\"}]}]", "[{\"a\":[{\"api_key\":\"[redacted]\"}]}]"},
		{"{\"a\":{\"secret\":1},\"secret\":2}",
			"{\"a\":{\"secret\":\"[redacted]\"},\"secret\":\"[redacted]\"}"},
		{"{\"pass\\u0077ord\":\"x\"}", "{\"pass\\u0077ord\":\"[redacted]\"}"},
		{"{\"a\\\"token\":\"x\"}", "{\"a\\\"token\":\"[redacted]\"}"},
		{" {\n\"token\"\t:\r\"x\\\\\" } ", " {\n\"token\"\t:\r\"[redacted]\" } "},
		{"{\"token\":-1}", "{\"token\":\"[redacted]\"}"},
		{"{\"token\":\"a\\\"b\",\"k\":\"token\"}",
			"{\"token\":\"[redacted]\",\"k\":\"token\"}"},
		{"{\"token\":\"sixteen bytes and more of it\\\"\\\\\",\"k\":0}",
			"{\"token\":\"[redacted]\",\"k\":0}"},
	};

	(void)state;
	assert_int_equal(redact_set_names(NULL), 0);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct buffer out = {0};
		bool replaced =
			redact_json(pairs[i].before, strlen(pairs[i].before), write_to, &out);

		assert_int_equal(replaced, pairs[i].after != NULL);
		buffer_add_byte(&out, '\0');
		assert_string_equal((char *)out.bytes, replaced ? pairs[i].after : "");
		buffer_done(&out);
	}
}

static void test_depth(void **state)
{
	char text[256] = "";
	char expected[256] = "";
	struct buffer out = {0};

	(void)state;
	for (int i = 0; i < 63; i++)
		strcat(text, "[");
	strcat(text, "{\"token\":1}");
	for (int i = 0; i < 63; i++)
		strcat(text, "]");
	memcpy(expected, text, 63);
	strcpy(expected + 63, "{\"token\":\"[redacted]\"}");
	strcat(expected, text + 63 + 11);
	assert_true(redact_json(text, strlen(text), write_to, &out));
	buffer_add_byte(&out, '\0');
	assert_string_equal((char *)out.bytes, expected);
	buffer_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_unsuspected),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
