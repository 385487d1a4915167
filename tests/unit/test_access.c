/* Who may send, query and administer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "access.h"

static struct access *rules(const char *text)
{
	struct access *access = NULL;
	char why[ACCESS_WHY_BYTES];
	if (access_new("access", text, strlen(text), &access, why))
		fail_msg("%s", why);
	return access;
}

static void test_without_rules(void **state)
{
	(void)state;
	gid_t groups[] = {4242};
	char name[ACCESS_NAME_BYTES];
	assert_int_equal(access_of_socket(NULL, geteuid(), groups, 1), ACCESS_ALL);
	assert_int_equal(access_of_socket(NULL, 0, groups, 1), ACCESS_ALL);
	assert_int_equal(access_of_socket(NULL, 4242, groups, 1), ACCESS_SEND);
	assert_int_equal(access_of_cert(NULL, "agent"), 0);
	assert_int_equal(access_of_token(NULL, "secret", 6, name), 0);
}

static void test_socket_peers(void **state)
{
	(void)state;
	struct access *access = rules("# people\nuid 4242 send\n\n  gid 77 query admin \r\n");
	gid_t none[] = {1}, both[] = {1, 77};
	assert_int_equal(access_of_socket(access, 4242, none, 1), ACCESS_SEND);
	assert_int_equal(
		access_of_socket(access, 4242, both, 2), ACCESS_SEND | ACCESS_QUERY | ACCESS_ADMIN);
	assert_int_equal(access_of_socket(access, 4243, both, 2), ACCESS_QUERY | ACCESS_ADMIN);
	assert_int_equal(access_of_socket(access, 4243, none, 1), 0); /* there are rules */
	assert_int_equal(access_of_socket(access, 0, none, 1), ACCESS_ALL);
	access_free(access);
}

static void test_certificates(void **state)
{
	(void)state;
	struct access *access =
		rules("cert agent-7 send forward\ncert *.agents.example send query");
	assert_int_equal(access_of_cert(access, "Agent-7"), ACCESS_SEND | ACCESS_FORWARD);
	assert_int_equal(access_of_cert(access, "agent-77"), 0);
	assert_int_equal(access_of_cert(access, "a.agents.example"), ACCESS_SEND | ACCESS_QUERY);
	assert_int_equal(access_of_cert(access, ".agents.example"), 0);
	assert_int_equal(access_of_cert(access, "agents.example"), 0);
	access_free(access);
}

static void test_tokens(void **state)
{
	(void)state;
	char hash[2][65], text[512], name[ACCESS_NAME_BYTES], longest[ACCESS_TOKEN_LIMIT + 2];
	assert_int_equal(access_hash("old-token", 9, hash[0]), 0);
	assert_int_equal(access_hash("new-token", 9, hash[1]), 0);
	/* FIPS 180-4's example */
	char abc[65];
	assert_int_equal(access_hash("abc", 3, abc), 0);
	assert_string_equal(
		abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	snprintf(text, sizeof(text), "token build:%s send\ntoken build:%s send query\n", hash[0],
		hash[1]);
	struct access *access = rules(text);
	assert_int_equal(access_of_token(access, "old-token", 9, name), ACCESS_SEND);
	assert_string_equal(name, "build");
	assert_int_equal(access_of_token(access, "new-token", 9, name), ACCESS_SEND | ACCESS_QUERY);
	assert_int_equal(access_of_token(access, "new-tokem", 9, name), 0);
	assert_string_equal(name, "");
	assert_int_equal(access_of_token(access, "new-token", 8, name), 0);
	assert_int_equal(access_of_token(access, "", 0, name), 0);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(access_of_token(access, longest, sizeof(longest), name), 0);
	access_free(access);
}

static void test_faults_name_their_line(void **state)
{
	(void)state;
	static const char *const faults[] = {"uid\n", "uid 1\n", "uid 1 fly\n",
		"uid nobody-here send\n", "uid -1 send\n", "gid 99999999999 send\n",
		"cert a*b send\n", "token abc send\n",
		"token :ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad send\n",
		"token a:ba78 send\n", "password x send\n"};
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct access *access = NULL;
		char why[ACCESS_WHY_BYTES], text[256];
		snprintf(text, sizeof(text), "\n# fine\n%s", faults[i]);
		assert_int_equal(access_new("access", text, strlen(text), &access, why), -EINVAL);
		if (strncmp(why, "access:3: ", 10) != 0)
			fail_msg("%s: %s", faults[i], why);
		assert_null(access);
	}
	struct access *access = NULL;
	char why[ACCESS_WHY_BYTES];
	assert_int_equal(access_new("access", "uid 1 send\0x", 12, &access, why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_rules),
		cmocka_unit_test(test_socket_peers),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_faults_name_their_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
