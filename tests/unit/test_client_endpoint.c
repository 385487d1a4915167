/* Where a collector is looked for on this machine, and what its socket may say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "endpoint.h"

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
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
