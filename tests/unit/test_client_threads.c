/* Many threads: spans handed over, abandoned, ended twice, and a shutdown among
 * them. Runs under TSan. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "wire.h"

static void thread_run(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, body, arg) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

/* ---- Each for itself ------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 100 };
/* Some 1 MiB, where memory is 3. */
enum { FILLED_SPANS = 25000 };

static void *work(void *arg)
{
	struct waft_span root, child;

	for (int i = 0; i < ROUNDS; i++) {
		WAFT_BEGIN(&root, "work");
		waft_attr_int(&root, "thread", (int)(intptr_t)arg);
		WAFT_BEGIN(&child, "part");
		waft_output_int(&child, i);
		waft_end(&child);
		waft_end(&root);
	}
	return NULL;
}

static void parallel_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	pthread_t threads[THREADS];
	struct waft_stats stats;

	tracer_start("sock");
	for (intptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
	for (int i = 0; i < 20; i++) {
		waft_stats(&stats);
		CHECK(stats.in_flight <= stats.emitted);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, THREADS * ROUNDS * 2);
	/* Each child stands under the root of its own trace. */
	for (uint32_t i = 0; i < fake->span_count; i++) {
		CHECK_INT(fake->spans[i].status, WIRE_STATUS_SUCCESS);
		CHECK(fake->spans[i].thread != 0);
	}
	CHECK_INT(fake_count(fake, "part"), THREADS * ROUNDS);
	fake_free(fake);
}

/* More threads than there are chunks for, one after the other and all at once. */
static pthread_barrier_t barrier;

static void *hold(void *arg)
{
	struct waft_span span;

	(void)arg;
	WAFT_BEGIN(&span, "held");
	waft_end(&span);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void crowd_body(void)
{
	enum { CROWD = 700 };
	struct fake_collector *fake = fake_start("sock");
	static pthread_t threads[CROWD];
	pthread_attr_t attributes;
	struct waft_stats stats;

	tracer_start("sock");
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 * 1024);
	pthread_barrier_init(&barrier, NULL, CROWD);
	for (int i = 0; i < CROWD; i++)
		CHECK(pthread_create(&threads[i], &attributes, hold, NULL) == 0);
	for (int i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 10; i++)
		thread_run(work, NULL);
	CHECK_INT(waft_flush(20000), 0);
	tracer_end(fake, &stats);
	CHECK_INT(stats.emitted, CROWD + 10 * ROUNDS * 2);
	CHECK_INT(fake_count(fake, "held"), CROWD);
	fake_free(fake);
}

/* ---- Handed over ------------------------------------------------------------------ */

static void *end_it(void *arg)
{
	struct waft_span *span = arg;

	waft_attr_string(span, "ended", "elsewhere");
	waft_end(span);
	return NULL;
}

/* A span that another thread ends is ended, current no more, and its id and
 * parent are what they were. */
static void handed_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_span outer, detached, stacked, after;
	struct waft_context context;

	tracer_start("sock");
	WAFT_BEGIN(&outer, "outer");
	WAFT_OPEN(&detached, "detached");
	waft_attr_int(&detached, "i", 1);
	waft_context_of(&detached, &context);
	thread_run(end_it, &detached);
	waft_end(&detached);
	WAFT_BEGIN(&stacked, "stacked");
	thread_run(end_it, &stacked);
	WAFT_BEGIN(&after, "after");
	waft_end(&after);
	waft_end(&stacked);
	waft_end(&outer);
	for (int i = 0; i < 50; i++) { /* slots come back */
		WAFT_OPEN(&detached, "more");
		thread_run(end_it, &detached);
	}
	tracer_end(fake, NULL);
	CHECK_INT(fake->span_count, 54);
	CHECK_TEXT(fake_find(fake, "detached", 0)->attributes, "i=1;ended=elsewhere;");
	CHECK(memcmp(&fake_find(fake, "detached", 0)->id, context.span_id, 8) == 0);
	for (const char *const *name = (const char *const[]){"detached", "stacked", "after", NULL};
		*name != NULL; name++)
		CHECK(fake_find(fake, *name, 0)->parent == fake_find(fake, "outer", 0)->id);
	for (uint32_t i = 0; i < fake->span_count; i++)
		CHECK_INT(fake->spans[i].repairs, 0);
	fake_free(fake);
}

/* Ended by two threads at once: never a crash, and the ledger holds. */
struct race {
	struct waft_span span;
	struct waft_span copy; /* what two threads would see in their caches */
};

static void *race_end(void *arg)
{
	pthread_barrier_wait(&barrier);
	waft_end(arg);
	return NULL;
}

static void race_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	tracer_start("sock");
	pthread_barrier_init(&barrier, NULL, 2);
	for (int i = 0; i < 100; i++) {
		struct race race;
		pthread_t thread;

		WAFT_OPEN(&race.span, "raced");
		race.copy = race.span;
		CHECK(pthread_create(&thread, NULL, race_end, &race.copy) == 0);
		race_end(&race.span);
		pthread_join(thread, NULL);
	}
	tracer_end(fake, &stats);
	CHECK_INT(stats.emitted, 100);
	CHECK_INT(fake_count(fake, "raced"), 100);
	fake_free(fake);
}

/* ---- Abandoned ---------------------------------------------------------------------- */

static struct waft_span survivor;

static void *abandon(void *arg)
{
	struct waft_span span;

	(void)arg;
	WAFT_OPEN(&survivor, "survivor");
	WAFT_BEGIN(&span, "abandoned");
	waft_error(&span, "so far");
	WAFT_BEGIN(&span, "abandoned");
	pthread_exit(NULL);
}

/* A thread that exits leaves its current spans as pending; what was opened apart
 * from the stack lives on. */
static void exited_body(void)
{
	struct fake_collector *fake = fake_start("sock");

	tracer_start("sock");
	thread_run(abandon, NULL);
	CHECK(waft_flush(20000) == 0);
	pthread_mutex_lock(&fake->lock);
	CHECK_INT(fake_count(fake, "abandoned"), 2);
	CHECK_INT(fake_count(fake, "survivor"), 0);
	pthread_mutex_unlock(&fake->lock);
	waft_end(&survivor);
	tracer_end(fake, NULL);
	CHECK_INT(fake_find(fake, "abandoned", 0)->status, WIRE_STATUS_PENDING);
	CHECK_INT(fake_find(fake, "abandoned", 1)->status, WIRE_STATUS_PENDING);
	CHECK_INT(fake_find(fake, "survivor", 0)->status, WIRE_STATUS_SUCCESS);
	CHECK_INT(fake->span_count, 3);
	fake_free(fake);
}

/* ---- Shutdown among them --------------------------------------------------------------- */

static bool over;

static void *endless(void *arg)
{
	struct waft_span outer, span;

	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		WAFT_BEGIN(&outer, "outer");
		for (int i = 0; i < 20; i++) {
			WAFT_BEGIN(&span, "inner");
			waft_attr_int(&span, "i", i);
			waft_end(&span);
		}
		waft_end(&outer);
		(void)waft_flush(1000); /* the collector is slow: not too much at once */
	}
	return NULL;
}

static void shutdown_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	pthread_t threads[3];
	struct waft_stats stats;
	uint64_t dropped = 0;

	tracer_start("sock");
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, endless, NULL) == 0);
	CHECK(fake_wait_spans(fake, 1000));
	(void)waft_shutdown(20000, &stats);
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		dropped += stats.dropped[i];
	CHECK_INT(stats.emitted, stats.durable + dropped + stats.unknown);
	CHECK_INT(stats.in_flight, 0);
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_lock(&fake->lock);
	CHECK_INT(stats.durable, fake->span_count);
	CHECK_INT(fake->bad, 0);
	pthread_mutex_unlock(&fake->lock);
	waft_stats(&stats);
	CHECK_INT(stats.in_flight, 0);
	fake_free(fake);
}

/* After a pause in which the sender sleeps without limit, a span still gets
 * there: the bell wakes it. */
static void asleep_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_span span;

	tracer_start("sock");
	for (uint32_t i = 1; i <= 3; i++) {
		WAFT_BEGIN(&span, "late");
		waft_end(&span);
		CHECK(fake_wait_spans(fake, i));
		tracer_await_idle();
	}
	tracer_end(fake, NULL);
	fake_free(fake);
}

/* The sender is woken by as much as a batch takes, long before it would look by age. */
static void filled_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_options options = {
		.size = sizeof(options), .service = "test", .batch_age_ms = 60000};
	struct waft_span span;

	options.endpoint = "unix:sock";
	CHECK_INT(waft_init(&options), 0);
	WAFT_BEGIN(&span, "first");
	waft_end(&span);
	CHECK_INT(waft_flush(10000), 0);
	for (int i = 0; i < FILLED_SPANS; i++) {
		WAFT_BEGIN(&span, "many");
		waft_end(&span);
	}
	CHECK(fake_wait_spans(fake, 2));
	tracer_end(fake, NULL);
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(parallel)
TEST(crowd)
TEST(handed)
TEST(race)
TEST(exited)
TEST(shutdown)
TEST(asleep)
TEST(filled)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parallel),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_handed),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_exited),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_asleep),
		cmocka_unit_test(test_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
