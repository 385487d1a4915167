/* Where a collector is looked for, on this machine and others, and what its socket may say. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "endpoint.h"
#include "support/names.h"

static char directory[] = "/tmp/waft-endpoint-XXXXXX";
static struct config config;

static int listener(const char *path, int backlog)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static int connect_unix(const char *path)
{
	config.endpoint = ENDPOINT_UNIX;
	snprintf(config.path, sizeof(config.path), "%s", path);
	return endpoint_connect(&config, 0);
}

static void test_unix(void **state)
{
	char path[64];
	char longest[200];
	int fd;
	int own;

	(void)state;
	snprintf(path, sizeof(path), "%s/sock", directory);
	assert_int_equal(connect_unix(path), -ENOENT);
	own = listener(path, -1);
	assert_int_equal(connect_unix(path), -ECONNREFUSED);
	assert_int_equal(listen(own, 4), 0);
	fd = connect_unix(path);
	assert_true(fd >= 0);
	close(fd);
	close(own);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(connect_unix(longest), -ENAMETOOLONG);
	config.endpoint = ENDPOINT_NONE;
	assert_int_equal(endpoint_connect(&config, 0), -EDESTADDRREQ);
}

/* A collector that has no room in its backlog is there: it is tried again, and
 * not passed over for another. */
static void test_search(void **state)
{
	char path[64];
	int taken[16];
	int count = 0;
	int own;

	(void)state;
	config.endpoint = ENDPOINT_SEARCH;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", directory, 1), 0);
	snprintf(path, sizeof(path), "%s/waft", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/waft/collector.sock", directory);
	own = listener(path, 0);
	while (count < 16 && (taken[count] = endpoint_connect(&config, 0)) >= 0)
		count++;
	assert_true(count > 0 && count < 16);
	assert_int_equal(taken[count], -EAGAIN);
	while (count > 0)
		close(taken[--count]);
	close(own);
	unlink(path);
	snprintf(path, sizeof(path), "%s/waft", directory);
	rmdir(path);
}

/* Without a runtime directory that can be used the usual sockets are looked for. Whether a
 * collector is there is the machine's matter. */
static void test_no_runtime_directory(void **state)
{
	char longest[300];
	int fd;

	(void)state;
	config.endpoint = ENDPOINT_SEARCH;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	for (int i = 0; i < 3; i++) {
		if (i == 0)
			assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
		else
			assert_int_equal(
				setenv("XDG_RUNTIME_DIR", i == 1 ? "relative" : longest, 1), 0);
		fd = endpoint_connect(&config, 0);
		assert_true(fd != -ENAMETOOLONG && fd != -EDESTADDRREQ);
		if (fd >= 0)
			close(fd);
	}
}

/* ---- Other machines ------------------------------------------------------------- */

static int tcp_listener(uint16_t *ret_port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void remote(enum endpoint_kind kind, const char *host, uint16_t port)
{
	config.endpoint = kind;
	snprintf(config.path, sizeof(config.path), "%s", host);
	config.port = port;
}

static void test_numeric(void **state)
{
	uint16_t port;
	int own = tcp_listener(&port);
	int fd;
	int taken;

	(void)state;
	remote(ENDPOINT_TCP, "127.0.0.1", port);
	fd = endpoint_connect(&config, 0);
	assert_true(fd >= 0);
	assert_false(endpoint_busy());
	taken = accept(own, NULL, NULL);
	assert_true(taken >= 0);
	close(taken);
	close(fd);
	close(own);
	/* Nobody can be connected to there. */
	remote(ENDPOINT_TLS, "255.255.255.255", port);
	assert_true(endpoint_connect(&config, 0) < 0);
	remote(ENDPOINT_TLS, "::1", port);
	fd = endpoint_connect(&config, 0);
	if (fd >= 0)
		close(fd);
}

static void test_no_descriptors(void **state)
{
	struct rlimit before;
	struct rlimit none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect_unix("/nowhere"), -EMFILE);
	remote(ENDPOINT_TCP, "127.0.0.1", 1);
	assert_int_equal(endpoint_connect(&config, 0), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Until the name is looked up. */
static int connect_resolved(uint64_t now_ns)
{
	int ret;

	while ((ret = endpoint_connect(&config, now_ns)) == -EINPROGRESS)
		(void)sched_yield();
	return ret;
}

/* A name's addresses come one after the other, then it is looked up anew. */
static void test_name(void **state)
{
	static const char *const hosts[] = {"255.255.255.255", "127.0.0.1"};
	uint16_t port;
	int own = tcp_listener(&port);

	(void)state;
	names_have(hosts, 2, 0);
	remote(ENDPOINT_TLS, "collector.example", port);
	for (unsigned int round = 1; round <= 2; round++) {
		int fd;

		assert_int_equal(endpoint_connect(&config, 0), -EINPROGRESS);
		assert_true(endpoint_busy());
		assert_true(connect_resolved(0) < 0);
		assert_true(endpoint_busy());
		fd = endpoint_connect(&config, 0);
		assert_true(fd >= 0);
		assert_false(endpoint_busy());
		assert_int_equal(names_lookups(), round);
		close(fd);
	}
	close(own);
}

static void test_no_name(void **state)
{
	(void)state;
	remote(ENDPOINT_TLS, "nowhere.example", 1);
	names_fail(EAI_NONAME);
	assert_int_equal(connect_resolved(0), -ENOENT);
	assert_false(endpoint_busy());
	names_fail(0);
	/* One that doesn't answer holds nobody up. */
	names_hold();
	assert_int_equal(endpoint_connect(&config, 0), -EINPROGRESS);
	assert_int_equal(endpoint_connect(&config, 9999999999u), -EINPROGRESS);
	assert_int_equal(endpoint_connect(&config, 10000000000u), -ETIMEDOUT);
	assert_false(endpoint_busy());
	names_release();
	memset(config.path, 'x', sizeof(config.path) - 1);
	assert_int_equal(endpoint_connect(&config, 0), -ENAMETOOLONG);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/sock", directory);
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_no_runtime_directory),
		cmocka_unit_test(test_numeric),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_no_name),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
