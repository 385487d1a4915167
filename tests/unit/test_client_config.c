/* Settings: options, environment, defaults, and what is said of wrong ones. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "cursor.h"
#include "fake_collector.h"
#include "redact.h"
#include "wire.h"

static struct config config;

static const char *const variables[] = {"WAFT_ENDPOINT", "OTEL_SERVICE_NAME",
	"OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "WAFT_REDACT",
	"WAFT_CAPTURE", "WAFT_SNAPSHOT_LIMIT", "WAFT_BATCH_AGE_MS", "WAFT_EXIT_TIMEOUT_MS",
	"OTEL_SDK_DISABLED", "WAFT_TLS_CA", "WAFT_TLS_CERT", "WAFT_TLS_KEY", "WAFT_TOKEN",
	"WAFT_TOKEN_FILE"};

static void nothing_set(void)
{
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	redact_set_names(NULL);
}

/* Reads the settings with one variable set, in a process of its own, where words
 * are said anew: what it printed, and 0 or -EINVAL. */
static int said(const char *name, const char *value, char *ret_text, size_t size,
	void (*look)(const struct config *))
{
	size_t length = 0;
	int status;
	int text[2];
	pid_t pid;
	ssize_t got;

	assert_int_equal(pipe(text), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int ret;

		nothing_set();
		dup2(text[1], STDERR_FILENO);
		setenv(name, value, 1);
		ret = config_read(&config, NULL);
		if (look != NULL)
			look(&config);
		_exit(ret == 0 ? 0 : ret == -EINVAL ? 22 : 1);
	}
	close(text[1]);
	while ((got = read(text[0], ret_text + length, size - 1 - length)) > 0)
		length += (size_t)got;
	close(text[0]);
	ret_text[length] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- Wrong values ------------------------------------------------------------ */

static void test_wrong(void **state)
{
	static char longest[5000];
	static const struct {
		const char *name, *value, *words;
	} cases[] = {
		{"WAFT_ENDPOINT", "/run/collector.sock", "is not unix:PATH, file:DIR"},
		{"WAFT_ENDPOINT", "http://host:4318", "is not unix:PATH, file:DIR"},
		{"WAFT_ENDPOINT", "unix:", "a path of a usable length"},
		{"WAFT_ENDPOINT", "file:", "a path of a usable length"},
		{"WAFT_ENDPOINT", longest, "a path of a usable length"},
		{"WAFT_ENDPOINT", "tls://host", "has no port"},
		{"WAFT_ENDPOINT", "tls://host:", "has no port"},
		{"WAFT_ENDPOINT", "tls://host:0", "has no port from 1 to 65535"},
		{"WAFT_ENDPOINT", "tls://host:65536", "has no port from 1 to 65535"},
		{"WAFT_ENDPOINT", "tls://host:12x", "has no port from 1 to 65535"},
		{"WAFT_ENDPOINT", "tls://:4000", "has no usable host"},
		{"WAFT_ENDPOINT", "tcp://10.0.0.1:4000", "where tls:// is needed"},
		{"WAFT_ENDPOINT", "tcp://example.org:4000", "where tls:// is needed"},
		{"WAFT_ENDPOINT", "tcp://[2001:db8::1]:4000", "where tls:// is needed"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "is not always_on, always_off"},
		{"WAFT_CAPTURE", "yes", "is not on or off"},
		{"WAFT_CAPTURE", "OFF", "is not on or off"},
		{"WAFT_SNAPSHOT_LIMIT", "0", "a number in its range"},
		{"WAFT_SNAPSHOT_LIMIT", "30001", "a number in its range"},
		{"WAFT_SNAPSHOT_LIMIT", "18446744073709551617", "a number in its range"},
		{"WAFT_SNAPSHOT_LIMIT", "-5", "a number in its range"},
		{"WAFT_SNAPSHOT_LIMIT", "1k", "a number in its range"},
		{"WAFT_BATCH_AGE_MS", "60001", "a number in its range"},
		{"WAFT_BATCH_AGE_MS", "1.5", "a number in its range"},
		{"WAFT_EXIT_TIMEOUT_MS", "600001", "a number in its range"},
		{"OTEL_SDK_DISABLED", "1", "is not true or false"},
		{"OTEL_RESOURCE_ATTRIBUTES", "novalue", "is not key=value"},
		{"OTEL_RESOURCE_ATTRIBUTES", "a=1,=2", "is not key=value"},
		{"WAFT_TOKEN_FILE", longest, "a path of a usable length"},
		{"WAFT_TLS_CA", longest, "a path of a usable length"},
	};
	char text[2048];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	memcpy(longest, "unix:", 5);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int ret = said(cases[i].name, cases[i].value, text, sizeof(text), NULL);

		if (ret != 22 || strncmp(text, "waft: ", 6) != 0 ||
			strstr(text, cases[i].name) == NULL || strstr(text, cases[i].words) == NULL)
			fail_msg("%s=%.40s: %d: %s", cases[i].name, cases[i].value, ret, text);
		/* One line, with an end. */
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	}
}

static void test_wrong_ratio(void **state)
{
	char text[2048];

	(void)state;
	setenv("OTEL_TRACES_SAMPLER_ARG", "half", 1);
	assert_int_equal(config_read(&config, NULL), 0);
	setenv("OTEL_TRACES_SAMPLER", "traceidratio", 1);
	assert_int_equal(config_read(&config, NULL), -EINVAL);
	assert_int_equal(config.sampler.threshold, 0);
	assert_true(config.sampler.parent_based);
	nothing_set();
	assert_int_equal(said("OTEL_TRACES_SAMPLER_ARG", "half", text, sizeof(text), NULL), 0);
	assert_string_equal(text, "");
}

/* A secret is not said, not even when it is wrong. */
static void test_token_not_said(void **state)
{
	char token[1100];
	char text[2048];

	(void)state;
	memset(token, 's', sizeof(token) - 1);
	token[sizeof(token) - 1] = '\0';
	assert_int_equal(said("WAFT_TOKEN", token, text, sizeof(text), NULL), 22);
	assert_non_null(strstr(text, "WAFT_TOKEN"));
	assert_null(strstr(text, "sss"));
}

/* ---- Right ones ---------------------------------------------------------------- */

static void look(const struct config *seen)
{
	printf("%d %s %u|%s|%d%d|%u %u %u", seen->endpoint, seen->path, seen->port, seen->service,
		seen->capture, seen->disabled, seen->snapshot_limit_bytes, seen->batch_age_ms,
		seen->exit_timeout_ms);
	fflush(stdout);
}

static void look_said(const struct config *seen)
{
	dup2(STDERR_FILENO, STDOUT_FILENO);
	look(seen);
}

static void test_right(void **state)
{
	static const struct {
		const char *name, *value, *seen;
	} cases[] = {
		{"WAFT_ENDPOINT", "", "0  0|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "unix:/a b", "1 /a b 0|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "unix:a", "1 a 0|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "file:d", "2 d 0|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "tcp://127.9.9.9:1",
			"3 127.9.9.9 1|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "tcp://localhost:65535",
			"3 127.0.0.1 65535|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "tcp://[::1]:4000",
			"3 ::1 4000|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "tls://example.org:4000",
			"4 example.org 4000|test_client_config|10|1000 100 1000"},
		{"WAFT_ENDPOINT", "tls://[2001:db8::1]:4000",
			"4 2001:db8::1 4000|test_client_config|10|1000 100 1000"},
		{"OTEL_SERVICE_NAME", "shop", "0  0|shop|10|1000 100 1000"},
		{"OTEL_RESOURCE_ATTRIBUTES", "a=1, service.name = of%20all ,b=2",
			"0  0|of all|10|1000 100 1000"},
		{"WAFT_CAPTURE", "off", "0  0|test_client_config|00|1000 100 1000"},
		{"WAFT_CAPTURE", "on", "0  0|test_client_config|10|1000 100 1000"},
		{"OTEL_SDK_DISABLED", "TRUE", "0  0|test_client_config|11|1000 100 1000"},
		{"OTEL_SDK_DISABLED", "false", "0  0|test_client_config|10|1000 100 1000"},
		{"WAFT_SNAPSHOT_LIMIT", "30000", "0  0|test_client_config|10|30000 100 1000"},
		{"WAFT_BATCH_AGE_MS", "1", "0  0|test_client_config|10|1000 1 1000"},
		{"WAFT_EXIT_TIMEOUT_MS", "600000", "0  0|test_client_config|10|1000 100 600000"},
	};
	char text[2048];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int ret = said(cases[i].name, cases[i].value, text, sizeof(text), look_said);

		if (ret != 0 || strcmp(text, cases[i].seen) != 0)
			fail_msg("%s=%s: %d: \"%s\"", cases[i].name, cases[i].value, ret, text);
	}
}

/* Options come before the environment, and say nothing of what they leave at 0. */
static void test_options(void **state)
{
	struct waft_options options = {.size = sizeof(options),
		.endpoint = "unix:option",
		.service = "option",
		.resource = "k=v",
		.sampler = "always_off",
		.redact = "plum",
		.capture = WAFT_CAPTURE_ON,
		.snapshot_limit_bytes = 7,
		.batch_age_ms = 8};

	(void)state;
	setenv("WAFT_ENDPOINT", "unix:environment", 1);
	setenv("OTEL_SERVICE_NAME", "environment", 1);
	setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=resource", 1);
	setenv("OTEL_TRACES_SAMPLER", "always_on", 1);
	setenv("WAFT_REDACT", "pear", 1);
	setenv("WAFT_CAPTURE", "off", 1);
	setenv("WAFT_SNAPSHOT_LIMIT", "9", 1);
	setenv("WAFT_BATCH_AGE_MS", "9", 1);
	setenv("WAFT_EXIT_TIMEOUT_MS", "10", 1);
	assert_int_equal(config_read(&config, &options), 0);
	assert_string_equal(config.path, "option");
	assert_string_equal(config.service, "option");
	assert_true(config.sampler.threshold > 0);
	assert_true(config.capture);
	assert_int_equal(config.snapshot_limit_bytes, 7);
	assert_int_equal(config.batch_age_ms, 8);
	assert_int_equal(config.exit_timeout_ms, 10);
	assert_true(redact_key_matches("plum", 4));
	assert_false(redact_key_matches("pear", 4));
	assert_true(redact_key_matches("password", 8));
	assert_true(config.resource_bytes > 0);
	/* The options of a program built against an older, shorter struct. */
	options.size = offsetof(struct waft_options, service);
	assert_int_equal(config_read(&config, &options), 0);
	assert_string_equal(config.path, "option");
	assert_string_equal(config.service, "environment");
	options.size = 0;
	assert_int_equal(config_read(&config, &options), 0);
	assert_string_equal(config.path, "environment");
	assert_int_equal(config.snapshot_limit_bytes, 9);
	assert_false(config.capture);
	nothing_set();
}

static void test_service(void **state)
{
	char name[400];

	(void)state;
	/* Cut at a character: 255 bytes would end in the middle of one. */
	for (int i = 0; i < 100; i++)
		memcpy(name + 3 * i, "\xe2\x82\xac", 3);
	name[300] = '\0';
	name[0] = 'x';
	name[1] = 'y';
	name[2] = 'z';
	memmove(name + 1, name, 299);
	name[300] = '\0';
	setenv("OTEL_SERVICE_NAME", name, 1);
	assert_int_equal(config_read(&config, NULL), 0);
	assert_int_equal(strlen(config.service), 253);
	assert_memory_equal(config.service, name, 253);
	nothing_set();
}

/* ---- Resource --------------------------------------------------------------------- */

static void resource(const char *text, const char *key, const char *value)
{
	uint8_t expected[256];
	struct writer writer = writer_of(expected, sizeof(expected));
	size_t outer = writer_nested_begin(&writer, TAG_PRODUCER_RESOURCE);
	size_t inner;

	writer_field_bytes(&writer, TAG_KEY_VALUE_KEY, slice_of_text(key));
	inner = writer_nested_begin(&writer, TAG_KEY_VALUE_VALUE);
	writer_field_bytes_always(&writer, TAG_VALUE_TEXT, slice_of_text(value));
	writer_nested_end(&writer, inner);
	writer_nested_end(&writer, outer);
	setenv("OTEL_RESOURCE_ATTRIBUTES", text, 1);
	assert_int_equal(config_read(&config, NULL), 0);
	if (memmem(config.resource, config.resource_bytes, expected, writer_length(&writer)) ==
		NULL)
		fail_msg("%s: no %s=%s", text, key, value);
	nothing_set();
}

static void test_resource(void **state)
{
	(void)state;
	resource("a=1", "a", "1");
	resource("a=1,b=2", "b", "2");
	resource(" a = 1 ,, b=2 ", "a", "1");
	resource("a=x%2Cy%3Dz", "a", "x,y=z");
	resource("a=100%", "a", "100%");
	resource("a=b=c", "a", "b=c");
	resource("a=", "a", "");
	resource("db.password=x,b=2", "db.password", "[redacted]");
}

/* ---- A set-uid program -------------------------------------------------------------- */

static void test_getenv(void **state)
{
	(void)state;
	setenv("WAFT_ENDPOINT", "", 1);
	assert_null(config_env("WAFT_ENDPOINT"));
	setenv("WAFT_ENDPOINT", "unix:x", 1);
	assert_string_equal(config_env("WAFT_ENDPOINT"), "unix:x");
	unsetenv("WAFT_ENDPOINT");
	assert_null(config_env("WAFT_ENDPOINT"));
}

enum { PLAIN = 3 };

/* What the copy does: sees none of it, when the kernel says that it has rights
 * that its caller does not. */
static int secure_look(void)
{
	if (getauxval(AT_SECURE) == 0)
		return PLAIN;
	if (config_env("WAFT_ENDPOINT") != NULL || config_env("TRACEPARENT") != NULL)
		return 1;
	return config_read(&config, NULL) == 0 && config.endpoint == ENDPOINT_SEARCH &&
			       config.capture && !config.disabled
		       ? 0
		       : 2;
}

static void copy_self(const char *path)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	assert_true(from >= 0 && to >= 0);
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		continue;
	/* root gives it to another; others can't, and make one that is as plain as
	 * this program. */
	if (geteuid() == 0)
		assert_int_equal(fchown(to, 65534, 65534), 0);
	assert_int_equal(fchmod(to, 04755), 0);
	close(from);
	close(to);
}

static void test_set_uid(void **state)
{
	char path[] = "./test_client_config.setuid.XXXXXX";
	int status;
	int fd = mkstemp(path);
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	copy_self(path);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("WAFT_ENDPOINT", "file:/elsewhere", 1);
		setenv("WAFT_CAPTURE", "off", 1);
		setenv("OTEL_SDK_DISABLED", "true", 1);
		setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 1);
		execl(path, path, "look", (char *)NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(path);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == PLAIN)
		print_message("no set-uid program can be made here\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- The process goes on -------------------------------------------------------------- */

/* A wrong value is told to waft_init's caller and does not stop the tracer; one
 * that runs already is not touched. */
static void init_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_options options = {.size = sizeof(options),
		.endpoint = "unix:sock",
		.sampler = "sometimes",
		.batch_age_ms = 5};
	struct waft_span span;

	CHECK_INT(waft_init(&options), -EINVAL);
	options.endpoint = "unix:other";
	CHECK_INT(waft_init(&options), -EALREADY);
	WAFT_BEGIN(&span, "kept");
	waft_end(&span);
	tracer_end(fake, NULL);
	CHECK_INT(fake->span_count, 1);
	fake_free(fake);
}

/* Spans meant for one place do not go to another; and nobody is waited for. */
static void unusable_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "tcp://192.0.2.1:4000", .batch_age_ms = 5};
	struct timespec before, after;
	struct waft_stats stats;
	struct waft_span span;

	CHECK_INT(waft_init(&options), -EINVAL);
	WAFT_BEGIN(&span, "lost");
	waft_end(&span);
	clock_gettime(CLOCK_MONOTONIC, &before);
	CHECK_INT(waft_shutdown(60000, &stats), -ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec - before.tv_sec < 30);
	CHECK_INT(stats.emitted, 1);
	CHECK_INT(stats.dropped[WAFT_DROP_SHUTDOWN], 1);
}

static void test_init(void **state)
{
	(void)state;
	run_apart(init_body);
}

static void test_unusable(void **state)
{
	(void)state;
	run_apart(unusable_body);
}

static int set_up(void **state)
{
	(void)state;
	nothing_set();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "look") == 0)
		_exit(secure_look());

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_wrong_ratio),
		cmocka_unit_test(test_token_not_said),
		cmocka_unit_test(test_right),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_service),
		cmocka_unit_test(test_resource),
		cmocka_unit_test(test_getenv),
		cmocka_unit_test(test_set_uid),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_unusable),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
