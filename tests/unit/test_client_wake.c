/*
 * How the sender sleeps where its descriptors are no good: where the host has put others on
 * their numbers, where none may be polled, and where it needs none. ppoll() is our own here.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_collector.h"

#define NS_PER_MS UINT64_C(1000000)

enum { IDLE_MS = 900, REFUSALS = 10 };

static int silent[2] = {-1, -1};  /* a pipe that nobody writes to */
static bool replace;		  /* before the next long sleep; all atomic */
static nfds_t limit = UINT32_MAX; /* RLIMIT_NOFILE, of the sender alone */
static uint32_t polled;
static uint32_t refused;
static uint64_t refused_first_ns;
static uint64_t refused_last_ns;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

static void refusal_note(void)
{
	uint32_t count = __atomic_load_n(&refused, __ATOMIC_RELAXED);

	if (count >= REFUSALS)
		return;
	if (count == 0)
		refused_first_ns = now_ns();
	refused_last_ns = now_ns();
	__atomic_store_n(&refused, count + 1, __ATOMIC_RELEASE);
}

/* The library's: linked before libc's. Only the sender calls it. */
int ppoll(struct pollfd *files, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	static const struct timespec soon = {.tv_nsec = 1000000};

	if ((timeout == NULL || (uint64_t)timeout->tv_sec * 1000 >= IDLE_MS) &&
		__atomic_load_n(&replace, __ATOMIC_ACQUIRE)) {
		for (nfds_t i = 0; i < count; i++)
			if (files[i].fd >= 0)
				CHECK(dup2(silent[0], files[i].fd) == files[i].fd);
		/* What has an end comes to it. */
		if (timeout != NULL)
			timeout = &soon;
		__atomic_store_n(&replace, false, __ATOMIC_RELEASE);
	}
	if (count > __atomic_load_n(&limit, __ATOMIC_ACQUIRE)) {
		refusal_note();
		errno = EINVAL;
		return -1;
	}
	__atomic_fetch_add(&polled, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_ppoll, files, count, timeout, mask, 8);
}

static void span_make(void)
{
	struct waft_span span;

	WAFT_BEGIN(&span, "made");
	waft_end(&span);
}

/* It waits between its looks, does what it is asked to, and goes on when it may. */
static void limited_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	uint32_t before;

	tracer_start("sock");
	span_make();
	CHECK_INT(waft_flush(20000), 0);
	for (nfds_t most = 0; most < 2; most++) {
		__atomic_store_n(&limit, most, __ATOMIC_RELEASE);
		span_make();
		CHECK_INT(waft_flush(20000), 0);
		__atomic_store_n(&refused, 0, __ATOMIC_RELEASE);
		while (__atomic_load_n(&refused, __ATOMIC_ACQUIRE) < REFUSALS)
			sched_yield();
		/* Between two refusals there is a wait of some milliseconds. */
		CHECK(refused_last_ns - refused_first_ns >= (REFUSALS - 1) * NS_PER_MS);
	}
	__atomic_store_n(&limit, UINT32_MAX, __ATOMIC_RELEASE);
	before = __atomic_load_n(&polled, __ATOMIC_RELAXED);
	while (__atomic_load_n(&polled, __ATOMIC_RELAXED) == before)
		sched_yield();
	span_make();
	CHECK_INT(waft_flush(20000), 0);
	tracer_end(fake, NULL);
	CHECK_INT(fake->hellos, 1);
	fake_free(fake);
}

/* The host puts silent files in the place of ours when both have just been asked for. */
static void replaced_body(void)
{
	struct fake_collector *fake = fake_start("sock");

	CHECK(pipe(silent) == 0);
	tracer_start("sock");
	span_make();
	CHECK_INT(waft_flush(20000), 0);
	__atomic_store_n(&replace, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&replace, __ATOMIC_ACQUIRE))
		sched_yield();
	span_make();
	CHECK_INT(waft_flush(20000), 0);
	tracer_end(fake, NULL);
	CHECK_INT(fake->hellos, 2);
	fake_free(fake);
}

/* A process that writes into a file has no descriptor to be woken by. */
static void file_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store", .batch_age_ms = 1};
	struct fake_collector *fake;

	CHECK_INT(waft_init(&options), 0);
	for (uint32_t i = 0; i < 3; i++) {
		span_make();
		if (i > 0)
			CHECK_INT(waft_flush(20000), 0);
		tracer_await_idle();
	}
	CHECK_INT(waft_shutdown(20000, NULL), 0);
	CHECK_INT(polled + refused, 0);
	fake = fake_from_inbox("store");
	CHECK_INT(fake->span_count, 3);
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(limited)
TEST(replaced)
TEST(file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limited),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
