/*
 * settings.c, settings_load.c, paths.c, listener.c, pressure.c: what the daemon
 * is told, where it puts things, and how much it takes.
 */
#include "listener.h"
#include "log_line.h"
#include "paths.h"
#include "pressure.h"
#include "seal.h"
#include "settings_table.h"
#include "support/program.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int read_text(const char *text, struct settings *settings, struct settings_error *error)
{
	assert_int_equal(settings_init(settings), 0);
	return settings_read_text(settings, "test", text, error);
}

static void check_bad_text(const char *text, const char *wanted)
{
	struct settings settings;
	struct settings_error error = {""};

	assert_true(read_text(text, &settings, &error) < 0);
	if (strstr(error.text, wanted) == NULL)
		fail_msg("'%s' gives '%s', not '%s'", text, error.text, wanted);
	settings_done(&settings);
}

static void test_defaults(void **state)
{
	struct settings settings;
	struct settings_error error;

	(void)state;
	assert_int_equal(settings_init(&settings), 0);
	assert_int_equal(settings.memory_limit, 128u << 20);
	assert_int_equal(settings.quiet_ms, 500);
	assert_int_equal(settings.hold_ms, 10000);
	assert_int_equal(settings.client_age_ms, UINT64_C(7) * 86400 * 1000);
	assert_int_equal(settings.socket_mode, 0600);
	assert_int_equal(settings.log_level, LOG_LINE_INFO);
	assert_null(settings.socket);
	/* Each entry takes its own default. */
	for (size_t i = 0; i < settings_table_length; i++)
		if (settings_table[i].initial != NULL)
			assert_int_equal(settings_set(&settings, settings_table[i].name,
						 settings_table[i].initial, &error),
				0);
	settings_done(&settings);
}

static void test_file(void **state)
{
	struct settings settings;
	struct settings_error error;
	char line[512];

	(void)state;
	assert_int_equal(read_text("# comment\n; another\n\n[collector]\nquiet = 2 s\n"
				   "memory-limit=1G\nstore = /a b/c\nlog-level = debug\n"
				   "socket-mode = 0666\nretention-age = 30d",
				 &settings, &error),
		0);
	assert_int_equal(settings.quiet_ms, 2000);
	assert_int_equal(settings.memory_limit, 1u << 30);
	assert_string_equal(settings.store, "/a b/c");
	assert_int_equal(settings.socket_mode, 0666);
	assert_int_equal(settings.retention_age_ms, UINT64_C(30) * 86400 * 1000);
	settings_done(&settings);

	check_bad_text("quiet = 1s\nquiet = 2s\n", "test:2: the setting is given twice");
	check_bad_text("\nnonsense = 1\n", "test:2: there is no setting 'nonsense'");
	check_bad_text("[other]\nquiet = 1s\n", "no section but [collector]");
	check_bad_text("just text\n", "test:1: expected 'name = value'");
	check_bad_text("quiet =\n", "quiet: ''");
	check_bad_text("memory-limit = 99999999999999999999\n", "memory-limit");
	check_bad_text("memory-limit = 18446744073709551615K\n", "memory-limit");
	check_bad_text("memory-limit = 1\n", "not a SIZE that fits");
	check_bad_text("memory-limit = -1G\n", "not a SIZE that fits");
	check_bad_text("socket-mode = 0888\n", "socket-mode");
	memset(line, 'x', sizeof(line));
	memcpy(line, "store = /", 9);
	line[sizeof(line) - 1] = '\0';
	check_bad_text(line, "too long");
}

static void check_threads(const char *text, const char *refused)
{
	struct settings settings;
	struct settings_error error = {""};

	assert_int_equal(read_text(text, &settings, &error), 0);
	assert_int_equal(settings_check(&settings, &error), refused != NULL ? -EINVAL : 0);
	if (refused != NULL)
		assert_non_null(strstr(error.text, refused));
	settings_done(&settings);
}

/* Threads take memory whatever comes: 8M each, but for the one shard that is always there. */
static void test_threads(void **state)
{
	(void)state;
	check_threads("memory-limit = 16M\n", NULL);
	check_threads("memory-limit = 16M\nshards = 2\n", NULL);
	check_threads("memory-limit = 16M\nshards = 3\n", "shards");
	check_threads("memory-limit = 16M\ndecoders = 2\n", NULL);
	check_threads("memory-limit = 16M\ndecoders = 3\n", "decoders");
	check_threads("memory-limit = 32M\ndecoders = 2\nshards = 2\n", NULL);
	check_threads("memory-limit = 32M\ndecoders = 3\nshards = 2\n", "decoders");
}

static void test_command_line(void **state)
{
	char *directory = scratch_new();
	char file[256];
	char name[] = "waft-collectord";
	char config[] = "--config";
	char hold[] = "--hold";
	char three[] = "3s";
	char *const argv[] = {name, config, file, hold, three, NULL};
	enum settings_result result;
	struct settings settings;
	struct settings_error error;
	FILE *out;

	(void)state;
	snprintf(file, sizeof(file), "%s/conf.d", directory);
	assert_int_equal(mkdir(file, 0700), 0);
	snprintf(file, sizeof(file), "%s/conf.d/20.conf", directory);
	out = fopen(file, "w");
	fputs("quiet = 7s\n", out);
	fclose(out);
	snprintf(file, sizeof(file), "%s/main.conf", directory);
	out = fopen(file, "w");
	fputs("hold = 2s\nquiet = 1s\nidle = 4s\n", out);
	fclose(out);
	assert_int_equal(settings_load(5, argv, NULL, &settings, &result, &error), 0);
	assert_int_equal(result, SETTINGS_RUN);
	/* Command line over conf.d over file over default. */
	assert_int_equal(settings.hold_ms, 3000);
	assert_int_equal(settings.quiet_ms, 7000);
	assert_int_equal(settings.idle_ms, 4000);
	assert_int_equal(settings.drain_ms, 5000);
	settings_done(&settings);
	assert_int_equal(
		settings_load(1, argv, "/nonexistent/file", &settings, &result, &error), 0);
	settings_done(&settings);
	scratch_remove(directory);
}

static void test_restart(void **state)
{
	struct settings a;
	struct settings b;
	struct settings_error error;
	char text[64];

	(void)state;
	assert_int_equal(settings_init(&a), 0);
	assert_int_equal(settings_init(&b), 0);
	assert_int_equal(settings_set(&b, "quiet", "9s", &error), 0);
	assert_int_equal(settings_need_restart(&a, &b, text, sizeof(text)), 0);
	assert_int_equal(settings_set(&b, "store", "/x", &error), 0);
	assert_int_equal(settings_set(&b, "part-size", "8K", &error), 0);
	assert_int_equal(settings_need_restart(&a, &b, text, sizeof(text)), 2);
	assert_string_equal(text, "store, part-size");
	settings_done(&a);
	settings_done(&b);
}

/* ---- Places ------------------------------------------------------------------------ */

static void check_socket(const struct paths_environment *environment, const char *wanted)
{
	char *path = NULL;
	int status = paths_socket(environment, &path);

	if (wanted == NULL) {
		assert_int_equal(status, -ENOENT);
		return;
	}
	assert_int_equal(status, 0);
	assert_string_equal(path, wanted);
	free(path);
}

static void test_paths(void **state)
{
	char *directory = scratch_new();
	char run[256];
	char temporary[256];
	char wanted[300];
	struct paths_environment environment = {
		.runtime_dir = directory, .run_dir = run, .temporary = temporary, .uid = geteuid()};
	char *store;

	(void)state;
	snprintf(run, sizeof(run), "%s/no/such", directory);
	snprintf(temporary, sizeof(temporary), "%s/tmp", directory);
	snprintf(wanted, sizeof(wanted), "%s/waft/collector.sock", directory);
	check_socket(&environment, wanted);
	environment.runtime_dir = "relative";
	check_socket(&environment, NULL);
	assert_int_equal(mkdir(temporary, 0777), 0);
	snprintf(wanted, sizeof(wanted), "%s/waft-%u/collector.sock", temporary, geteuid());
	check_socket(&environment, wanted);
	/* A directory that others may write to, or that is a link, won't do. */
	snprintf(wanted, sizeof(wanted), "%s/waft-%u", temporary, geteuid());
	assert_int_equal(chmod(wanted, 0770), 0);
	check_socket(&environment, NULL);
	assert_int_equal(rmdir(wanted), 0);
	assert_int_equal(symlink(directory, wanted), 0);
	check_socket(&environment, NULL);

	assert_int_equal(paths_store(&environment, &store), 0);
	assert_string_equal(store, "_pyrite/analytics/traces");
	free(store);
	environment.state_dir = "/var/lib/waft:/other";
	assert_int_equal(paths_store(&environment, &store), 0);
	assert_string_equal(store, "/var/lib/waft/traces");
	free(store);
	scratch_remove(directory);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		int wanted;
	} cases[] = {{"127.0.0.1:80", 1}, {"127.9.9.9:0", 1}, {"[::1]:65535", 1},
		{"localhost:1", 1}, {"0.0.0.0:80", 0}, {"192.0.2.1:80", 0}, {"[::]:80", 0},
		{"127.0.0.1", -EINVAL}, {":80", -EINVAL}, {"127.0.0.1:65536", -EINVAL},
		{"127.0.0.1:", -EINVAL}, {"127.0.0.1:8x", -EINVAL}, {"example.org:80", -EINVAL}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_storage address;
		socklen_t length;

		assert_int_equal(
			listener_parse_address(cases[i].text, &address, &length), cases[i].wanted);
	}
}

static void test_listener(void **state)
{
	char *directory = scratch_new();
	struct listener listener;
	struct listener second;
	struct listener_error error;
	char path[256];
	char lock[300];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/s", directory);
	assert_int_equal(listener_open_unix(path, 0666, &listener, &error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(listener_open_unix(path, 0600, &second, &error), -EADDRINUSE);
	assert_int_equal(stat(path, &st), 0);
	/* Another program's socket, without our lock, is left alone as well. */
	snprintf(lock, sizeof(lock), "%s.lock", path);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(listener_open_unix(path, 0600, &second, &error), -EADDRINUSE);
	listener_close(&listener, false);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(listener_open_unix(path, 0600, &listener, &error), 0);
	/* Someone replaced it: not ours to remove. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	listener_close(&listener, false);
	assert_int_equal(access(path, F_OK), 0);
	scratch_remove(directory);
}

/* ---- Pressure ------------------------------------------------------------------------ */

static struct pressure pressure_at(struct pressure_input input)
{
	struct pressure_limits limits;
	struct pressure pressure;

	if (input.drain_ms == 0)
		input.drain_ms = 5000;
	pressure_limits_of(128u << 20, true, 1u << 30, 64u << 20, &limits);
	pressure_of(&limits, &input, &pressure);
	return pressure;
}

static void test_limits(void **state)
{
	struct pressure_limits limits;

	(void)state;
	/* What is sealed is kept free of spans, down to the least limit that there is. */
	for (uint64_t memory = 16; memory <= 1024; memory *= 2) {
		pressure_limits_of(memory << 20, true, 1u << 30, 64u << 20, &limits);
		assert_true(limits.seal_bytes >= SEAL_MEMORY_MIN);
		assert_true(limits.seal_bytes + limits.memory_bytes <= memory << 19);
		assert_true(limits.memory_bytes >= memory << 18);
		/* What lies in memory besides, by the limit as well. */
		assert_in_range(limits.spare_bytes, 1, memory << 14);
		assert_in_range(limits.buffer_bytes, 1, memory << 17);
	}
	pressure_limits_of(128u << 20, false, 1u << 30, 64u << 20, &limits);
	assert_int_equal(limits.seal_bytes, 0);
	assert_int_equal(limits.memory_bytes, 64u << 20);
	assert_int_equal(limits.spare_bytes, 2u << 20);
	assert_int_equal(limits.buffer_bytes, 16u << 20);
}

static void test_pressure(void **state)
{
	struct pressure pressure = pressure_at((struct pressure_input){0});

	(void)state;
	assert_null(pressure.reason);
	assert_int_equal(pressure.window_bytes, 1u << 20);
	assert_false(pressure.pause || pressure.free_log || pressure.write_spans);
	/* Many senders share what may be on its way. */
	pressure = pressure_at((struct pressure_input){.sessions = 64});
	assert_in_range(pressure.window_bytes, 1, 8u << 20 >> 6);
	pressure = pressure_at((struct pressure_input){.commit_error = -ENOSPC});
	assert_int_equal(pressure.window_bytes, 0);
	assert_non_null(pressure.reason);
	pressure = pressure_at((struct pressure_input){.held_spans = 2000000});
	assert_int_equal(pressure.window_bytes, 0);
	assert_true(pressure.pause && pressure.write_spans > 0);
	/* What the index of a large store has, spans don't; some they have beside any store. */
	pressure = pressure_at((struct pressure_input){
		.held_spans = 500000, .spans_per_s = 400000, .index_bytes = 8u << 20});
	assert_null(pressure.reason);
	assert_int_equal(pressure.write_spans, 0);
	pressure = pressure_at((struct pressure_input){
		.held_spans = 500000, .spans_per_s = 400000, .index_bytes = 28u << 20});
	assert_non_null(pressure.reason);
	assert_false(pressure.pause);
	assert_true(pressure.write_spans > 0);
	pressure = pressure_at((struct pressure_input){
		.held_spans = 650000, .spans_per_s = 400000, .index_bytes = 28u << 20});
	assert_true(pressure.pause);
	pressure = pressure_at((struct pressure_input){
		.held_spans = 100000, .spans_per_s = 400000, .index_bytes = UINT64_C(1) << 40});
	assert_null(pressure.reason);
	/* Traces of one span take more for each. */
	pressure = pressure_at((struct pressure_input){.held_spans = 60000,
		.held_traces = 60000,
		.spans_per_s = 400000,
		.index_bytes = UINT64_C(1) << 40});
	assert_null(pressure.reason);
	assert_in_range(pressure.write_spans, 20000, 40000);
	/* What is flying already need not be handed over again. */
	pressure = pressure_at(
		(struct pressure_input){.held_spans = 1200000, .flying_spans = 1200000});
	assert_int_equal(pressure.write_spans, 0);
	/* A backlog is brought down before it stops senders, however long traces are held. */
	pressure =
		pressure_at((struct pressure_input){.held_spans = 310000, .spans_per_s = 200000});
	assert_int_equal(pressure.write_spans, 110000);
	assert_null(pressure.reason);
	pressure =
		pressure_at((struct pressure_input){.held_spans = 290000, .spans_per_s = 200000});
	assert_int_equal(pressure.write_spans, 0);
	pressure = pressure_at((struct pressure_input){.log_bytes = 800u << 20});
	assert_true(pressure.free_log && pressure.window_bytes > 0);
	pressure = pressure_at((struct pressure_input){.log_bytes = UINT64_C(1) << 30});
	assert_int_equal(pressure.window_bytes, 0);
	/* No more waits than a drain can write: in 2 s, with what is on its way, in 2.7 s. */
	pressure =
		pressure_at((struct pressure_input){.held_spans = 200000, .spans_per_s = 100000});
	assert_int_equal(pressure.window_bytes, 0);
	assert_false(pressure.pause);
	pressure =
		pressure_at((struct pressure_input){.held_spans = 270000, .spans_per_s = 100000});
	assert_true(pressure.pause);
	pressure =
		pressure_at((struct pressure_input){.held_spans = 200000, .spans_per_s = 200000});
	assert_true(pressure.window_bytes > 0);
	pressure = pressure_at((struct pressure_input){
		.held_spans = 200000, .spans_per_s = 200000, .drain_ms = 2000});
	assert_int_equal(pressure.window_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_listener),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
