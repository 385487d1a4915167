/*
 * A process that forks, in every way, and one whose descriptors are closed
 * behind the library's back. Not under TSan, which follows neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "wire.h"

static void spans_make(int count)
{
	struct waft_span span;

	for (int i = 0; i < count; i++) {
		WAFT_BEGIN(&span, "made");
		waft_end(&span);
	}
}

/* Until the sending thread sleeps: a sanitizer's locks, which it may hold while
 * it starts, do not survive a fork. */
static void quiet(void)
{
	CHECK_INT(waft_flush(20000), 0);
}

/* ---- Forks --------------------------------------------------------------------- */

static pid_t fork_raw(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

/* The child goes on under its own uuid, with the parent's open span as parent;
 * nothing of the parent's is sent twice, nothing of the child's counts there. */
static void fork_with(pid_t (*fork_how)(void))
{
	struct fake_collector *fake;
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store", .batch_age_ms = 60000};
	struct waft_span before, inside;
	struct waft_stats stats;
	int status;
	pid_t pid;

	CHECK_INT(waft_init(&options), 0);
	spans_make(5);
	quiet();
	WAFT_BEGIN(&before, "before");
	waft_attr_int(&before, "kept", 1);
	pid = fork_how();
	CHECK(pid >= 0);
	if (pid == 0) {
		WAFT_BEGIN(&inside, "inside");
		waft_attr_int(&inside, "i", 1);
		waft_end(&inside);
		waft_attr_int(&before, "lost", 1);
		waft_end(&before);
		WAFT_BEGIN(&inside, "inside again");
		waft_end(&inside);
		CHECK_INT(waft_shutdown(20000, &stats), 0);
		CHECK_INT(stats.emitted, 2);
		CHECK_INT(stats.durable, 2);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	waft_end(&before);
	CHECK_INT(waft_shutdown(20000, &stats), 0);
	CHECK_INT(stats.emitted, 6);
	fake = fake_from_inbox("store");
	CHECK_INT(fake->span_count, 8);
	CHECK_INT(fake->client_count, 2);
	CHECK_INT(fake_count(fake, "before"), 1);
	CHECK_TEXT(fake_find(fake, "before", 0)->attributes, "kept=1;");
	CHECK(fake_find(fake, "inside", 0)->parent == fake_find(fake, "before", 0)->id);
	CHECK(fake_find(fake, "inside again", 0)->parent == fake_find(fake, "before", 0)->id);
	CHECK(memcmp(fake_find(fake, "inside", 0)->trace, fake_find(fake, "before", 0)->trace,
		      16) == 0);
	CHECK_TEXT(fake_find(fake, "inside", 0)->attributes, "i=1;");
	fake_free(fake);
}

static void fork_body(void)
{
	fork_with(fork);
}

static void fork_quiet_body(void)
{
	fork_with(_Fork);
}

static void *wait_main(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
	return NULL;
}

/* Beside a thread of the host's, which may hold libc's locks: a child of _Fork is not
 * traced, one of fork is. */
static void fork_beside_body(void)
{
	struct waft_options options = {.size = sizeof(options), .endpoint = "file:store"};
	pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
	struct waft_stats stats;
	pthread_t thread;
	int status;
	pid_t pid;

	CHECK_INT(waft_init(&options), 0);
	spans_make(5);
	quiet();
	pthread_mutex_lock(&held);
	CHECK_INT(pthread_create(&thread, NULL, wait_main, &held), 0);
	for (int i = 0; i < 2; i++) {
		pid = i == 0 ? _Fork() : fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			spans_make(3);
			(void)waft_shutdown(20000, &stats);
			_exit(stats.emitted == (i == 0 ? 0 : 3) ? 0 : 1);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK_INT(status, 0);
	}
	pthread_mutex_unlock(&held);
	pthread_join(thread, NULL);
	CHECK_INT(waft_shutdown(20000, &stats), 0);
	CHECK_INT(stats.emitted, 5);
}

static void fork_raw_body(void)
{
	fork_with(fork_raw);
}

/* Children of children; each new, none confused, ids all different. */
static void generations_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store", .batch_age_ms = 60000};
	struct fake_collector *fake;
	int generation = 0;
	int status = 0;
	pid_t pid;

	CHECK_INT(waft_init(&options), 0);
	spans_make(3);
	quiet();
	while (generation < 5 && (pid = fork()) == 0) {
		generation++;
		spans_make(3);
		quiet();
	}
	if (generation < 5)
		CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(waft_shutdown(20000, NULL), 0);
	if (generation > 0)
		_exit(0);
	fake = fake_from_inbox("store");
	CHECK_INT(fake->span_count, 18);
	CHECK_INT(fake->client_count, 6);
	for (uint32_t i = 0; i < fake->span_count; i++)
		for (uint32_t j = 0; j < i; j++)
			CHECK(fake->spans[i].id != fake->spans[j].id);
	fake_free(fake);
}

/* A child that does not trace sends nothing, waits for nothing, and holds the
 * parent's connection open for nobody. */
static void silent_child_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	int hold[2];
	int status;
	pid_t pid;

	tracer_start("sock");
	spans_make(5);
	CHECK_INT(waft_flush(20000), 0);
	CHECK(pipe(hold) == 0);
	pid = fork();
	if (pid == 0) {
		char byte;

		close(hold[1]);
		(void)!read(hold[0], &byte, 1);
		exit(0);
	}
	spans_make(5);
	tracer_end(fake, NULL);
	close(hold[1]);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(fake->hellos, 1);
	CHECK_INT(fake->goodbyes, 1);
	CHECK_INT(fake->span_count, 10);
	fake_free(fake);
}

/* Across an exec nothing is inherited. */
static void exec_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	int status;
	pid_t pid;

	tracer_start("sock");
	spans_make(5);
	CHECK_INT(waft_flush(20000), 0);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c",
			"set -- /proc/self/fd/*; for f; do "
			"case $(readlink $f) in socket:*|*waft-region*) exit 1;; esac; done",
			(char *)NULL);
		_exit(2);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	tracer_end(fake, NULL);
	fake_free(fake);
}

/* Many forks while threads trace into a full buffer: no deadlock, exact counts on
 * both sides. */
static bool storm_over;

static void *storm_thread(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&storm_over, __ATOMIC_ACQUIRE))
		spans_make(3);
	return NULL;
}

static void storm_body(void)
{
	struct waft_stats all;
	pthread_t threads[2];
	int status;

	tracer_start("nobody");
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, storm_thread, NULL) == 0);
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct waft_stats stats;

			spans_make(3);
			(void)waft_flush(1);
			waft_stats(&stats);
			_exit(stats.emitted == 3 ? 0 : 1);
		}
		spans_make(3);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK_INT(status, 0);
	}
	__atomic_store_n(&storm_over, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(waft_shutdown(1, &all), -ETIMEDOUT);
	CHECK_INT(all.in_flight, 0);
	CHECK_INT(
		all.emitted, all.dropped[WAFT_DROP_SHUTDOWN] + all.dropped[WAFT_DROP_BUFFER_FULL]);
}

/* ---- The host's descriptors ------------------------------------------------------- */

/* The host closes all descriptors and opens its own: none of our bytes get there,
 * and tracing goes on. */
static void closed_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	int mine[64];
	struct waft_stats stats;
	struct stat status;
	int high;

	tracer_start("sock");
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	high = dup(0);
	for (int fd = 3; fd <= high + 8; fd++)
		if (fd != fake->listener && fd != fake->stop[0] && fd != fake->stop[1] &&
			fd != fake->connection && fd != fake->region_fd)
			close(fd);
	for (int i = 0; i < 64; i++) {
		mine[i] = open("mine", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		CHECK(mine[i] >= 0);
	}
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	for (int i = 0; i < 64; i++)
		CHECK_INT(fstat(mine[i], &status), 0);
	CHECK_INT(status.st_size, 0);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 30);
	for (int i = 0; i < 64; i++)
		CHECK_INT(fstat(mine[i], &status), 0);
	CHECK_INT(status.st_size, 0);
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(fork)
TEST(fork_quiet)
TEST(fork_raw)
TEST(fork_beside)
TEST(generations)
TEST(silent_child)
TEST(exec)
TEST(storm)
TEST(closed)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_fork_quiet),
		cmocka_unit_test(test_fork_raw),
		cmocka_unit_test(test_fork_beside),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_silent_child),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
