/* Addresses of other machines: what is split how, and what is this machine's own. */
#include "address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_split(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: refused */
		unsigned port;
		const char *lacks;
	} cases[] = {
		{"example.org:4318", "example.org", 4318, NULL},
		{"127.0.0.1:0", "127.0.0.1", 0, NULL},
		{"[::1]:65535", "::1", 65535, NULL},
		{"::1:80", "::1", 80, NULL},
		{"h:0080", "h", 80, NULL},
		{"h", NULL, 0, "has no port"},
		{"h:", NULL, 0, "has no port"},
		{"h:8x", NULL, 0, "has no port from 1 to 65535"},
		{"h:-1", NULL, 0, "has no port"},
		{"h: 1", NULL, 0, "has no port"},
		{"[::1]", NULL, 0, "has no port"},
		{"h:65536", NULL, 0, "has no port from 1 to 65535"},
		{"h:99999999999999999999999999", NULL, 0, "has no port from 1 to 65535"},
		{":80", NULL, 0, "has no usable host"},
		{"", NULL, 0, "has no port"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address address;
		const char *lacks = NULL;
		int status = address_split(cases[i].text, &address, &lacks);

		if (cases[i].host == NULL) {
			assert_int_equal(status, -EINVAL);
			assert_string_equal(lacks, cases[i].lacks);
			continue;
		}
		assert_int_equal(status, 0);
		assert_string_equal(address.host, cases[i].host);
		assert_int_equal(address.port, cases[i].port);
	}
}

static void test_longest_host(void **state)
{
	struct address address;
	const char *lacks;
	char text[300];

	(void)state;
	memset(text, 'a', sizeof(text));
	strcpy(text + 253, ":1");
	assert_int_equal(address_split(text, &address, &lacks), 0);
	assert_int_equal(strlen(address.host), 253);
	assert_string_equal(address.service, "1");
	memset(text, 'a', sizeof(text));
	strcpy(text + 254, ":1");
	assert_int_equal(address_split(text, &address, &lacks), -EINVAL);
}

static void test_loopback(void **state)
{
	static const struct {
		const char *text;
		int wanted; /* 1: loopback, 0: another, -EINVAL: a name */
	} cases[] = {{"127.0.0.1:80", 1}, {"127.9.9.9:0", 1}, {"[::1]:65535", 1},
		{"localhost:1", 1}, {"0.0.0.0:80", 0}, {"192.0.2.1:80", 0}, {"126.0.0.1:1", 0},
		{"128.0.0.1:1", 0}, {"[::]:80", 0}, {"[::ffff:127.0.0.1]:80", 0},
		{"example.org:80", -EINVAL}, {"127.1:80", -EINVAL}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_storage numeric;
		struct address address;
		const char *lacks;
		socklen_t length;
		int status;

		assert_int_equal(address_split(cases[i].text, &address, &lacks), 0);
		status = address_numeric(&address, &numeric, &length);
		if (status == 0)
			status = address_is_loopback((struct sockaddr *)&numeric);
		assert_int_equal(status, cases[i].wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_longest_host),
		cmocka_unit_test(test_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
