/* Slots of open spans: the row in which a thread's stand, and the raw clock that inlined
 * code doesn't read. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "process.h"
#include "thread.h"

/* ---- The row ---------------------------------------------------------------------- */

enum { STEPS = 20000, DEPTH = 40, DETACHED = 24 };

struct world {
	struct waft_span stack[DEPTH];
	struct waft_span detached[DETACHED];
	bool is_open[DETACHED];
	int depth;
	uint64_t random;
};

static uint32_t draw(struct world *world, uint32_t below)
{
	world->random = world->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(world->random >> 33) % below;
}

/* Every slot is in the row once, or apart; open ones stand first. */
static void row_check(const struct world *world)
{
	const struct thread *thread = waft_thread_.self;
	const struct waft_open_ *before = NULL;
	bool free = waft_thread_.current == NULL;
	uint32_t count = 0;
	uint32_t open = 0;

	for (const struct waft_open_ *at = thread->hot->first; at != NULL; at = at->next) {
		CHECK(at->prev == before);
		CHECK(!open_of((struct waft_open_ *)at)->apart);
		CHECK(!free || WAFT_LOAD_(&at->slot->state) == 0);
		open += !free;
		free = free || at == waft_thread_.current;
		before = at;
		count++;
	}
	for (const struct open_block *block = thread->blocks; block != NULL; block = block->next)
		for (uint32_t i = 0; i < THREAD_SLOTS; i++)
			count += block->opens[i].apart;
	CHECK_INT(count, thread->slots);
	CHECK(free);
	CHECK_INT(open, world->depth);
}

static void *end_elsewhere(void *arg)
{
	waft_end(arg);
	return NULL;
}

static void elsewhere(struct waft_span *span)
{
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, end_elsewhere, span), 0);
	CHECK_INT(pthread_join(thread, NULL), 0);
}

static void step_detached(struct world *world, uint32_t which)
{
	struct waft_span *span = &world->detached[which];

	if (!world->is_open[which])
		WAFT_OPEN_IN(span, "detached", "test");
	else if (draw(world, 50) == 0)
		elsewhere(span);
	else
		waft_end(span);
	world->is_open[which] = !world->is_open[which];
}

/* Ends one of the stack; those inside of it are left as pending. */
static void step_end(struct world *world)
{
	uint32_t up = draw(world, 10) == 0 ? draw(world, (uint32_t)world->depth) : 0;

	world->depth -= (int)up + 1;
	if (up == 0 && draw(world, 200) == 0) {
		struct waft_token token;

		/* By another thread: gone from here when the bell is answered. */
		elsewhere(&world->stack[world->depth]);
		waft_attach(NULL, &token);
		waft_detach(&token);
		return;
	}
	waft_end(&world->stack[world->depth]);
}

static void row_body(void)
{
	static struct world world = {.random = 20260109};
	struct fake_collector *fake = fake_start("sock");
	struct waft_span root;
	struct waft_stats stats;

	tracer_start("sock");
	WAFT_BEGIN(&root, "root");
	waft_end(&root);
	for (int i = 0; i < STEPS; i++) {
		uint32_t what = draw(&world, 10);

		if (what < 2)
			step_detached(&world, draw(&world, DETACHED));
		else if (what < 6 && world.depth < DEPTH)
			WAFT_BEGIN(&world.stack[world.depth++], "stack");
		else if (world.depth > 0)
			step_end(&world);
		row_check(&world);
	}
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, stats.emitted);
	fake_free(fake);
}

/* ---- Another raw clock -------------------------------------------------------------- */

static bool other; /* atomic: what the kernel says is not "tsc" */

/* Of the one that reads the name of the kernel's clock. */
ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
	if (size == 8 && offset == 0 && __atomic_load_n(&other, __ATOMIC_ACQUIRE)) {
		memcpy(bytes, "kvm-cloc", 8);
		return 8;
	}
	return syscall(SYS_pread64, fd, bytes, size, offset);
}

static uint32_t source(void)
{
	return __atomic_load_n(&process.source, __ATOMIC_ACQUIRE);
}

/* So long that it can be seen in a duration. */
static void pass_ms(uint64_t ms)
{
	uint64_t until = clock_monotonic_ns() + ms * 1000000;

	while (clock_monotonic_ns() < until)
		sched_yield();
}

/* Until the sender has found it out. */
static void clock_set_other(bool is)
{
	struct waft_span span;

	__atomic_store_n(&other, is, __ATOMIC_RELEASE);
	for (int i = 0; i < 2000 && (source() == WIRE_CLOCK_MONOTONIC) != is; i++) {
		WAFT_BEGIN_ROOT(&span, "waiting");
		waft_end(&span);
		pass_ms(10);
	}
	CHECK((source() == WIRE_CLOCK_MONOTONIC) == is);
}

static const struct fake_span *inside(
	const struct fake_collector *fake, const char *name, uint32_t n, const char *outer)
{
	const struct fake_span *span = fake_find(fake, name, n);
	const struct fake_span *around = fake_find(fake, outer, n);

	CHECK(span != NULL && around != NULL);
	CHECK(span->parent == around->id);
	CHECK(memcmp(span->trace, around->trace, 16) == 0);
	CHECK_INT(span->repairs, 0);
	/* To what the clocks are held against each other. */
	CHECK(span->start_ns + 20000 >= around->start_ns);
	CHECK(span->start_ns + span->duration_ns <= around->start_ns + around->duration_ns + 20000);
	return span;
}

static void emit(int values)
{
	struct waft_span root, child, leaf;

	WAFT_BEGIN(&root, "root");
	WAFT_BEGIN(&child, "child");
	waft_input_json(&child, "{\"a\":1}", SIZE_MAX);
	WAFT_BEGIN(&leaf, "leaf");
	for (int i = 0; i < values; i++) {
		char key[3] = {'k', (char)('0' + i), '\0'};
		struct waft_attribute attribute = {
			.key = key, .type = WAFT_TYPE_INT, .value = {.integer = i}};

		waft_set(&leaf, &attribute);
	}
	waft_end(&leaf);
	waft_end(&child);
	waft_end(&root);
}

enum { TREES = 3000 };

static void other_clock_body(void)
{
	static const char *const attributes[] = {
		"", "k0=0;", "k0=0;k1=1;", "k0=0;k1=1;k2=2;", "k0=0;k1=1;k2=2;k3=3;"};
	struct fake_collector *fake = fake_start("sock");
	struct waft_span outer, slow;
	struct waft_stats stats;

	__atomic_store_n(&other, true, __ATOMIC_RELEASE);
	tracer_start("sock");
	for (int i = 0; i < TREES; i++)
		emit(i % 5);
	for (int i = 0; i < 2; i++) {
		WAFT_BEGIN(&outer, "outer");
		WAFT_BEGIN(&slow, "slow");
		pass_ms(5);
		waft_end(&slow);
		waft_end(&outer);
	}
	CHECK_INT(source(), WIRE_CLOCK_MONOTONIC);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 3 * TREES + 4);
	for (uint32_t i = 0; i < 2; i++)
		CHECK(inside(fake, "slow", i, "outer")->duration_ns >= 5000000);
	for (uint32_t i = 0; i < 20; i++) {
		CHECK_TEXT(inside(fake, "leaf", i, "child")->attributes, attributes[i % 5]);
		CHECK_TEXT(inside(fake, "child", i, "root")->input, "{\"a\":1}");
	}
	fake_free(fake);
}

/* Spans that are open while it changes. */
static void changes_body(bool first)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_span outer, middle, inner;

	__atomic_store_n(&other, first, __ATOMIC_RELEASE);
	tracer_start("sock");
	WAFT_BEGIN(&outer, "outer");
	WAFT_OPEN_IN(&middle, "middle", "test");
	pass_ms(30);
	clock_set_other(!first);
	WAFT_BEGIN(&inner, "inner");
	pass_ms(2);
	waft_end(&inner);
	waft_end(&middle);
	waft_end(&outer);
	emit(2);
	tracer_end(fake, NULL);
	(void)inside(fake, "inner", 0, "outer");
	(void)inside(fake, "middle", 0, "outer");
	CHECK(fake_find(fake, "middle", 0)->duration_ns >= 30000000);
	(void)inside(fake, "leaf", 0, "child");
	fake_free(fake);
}

static bool has_tsc(void)
{
	struct clock_watch watch = {.file = {.fd = -1}};
	bool is = clock_watch_source(&watch) == WIRE_CLOCK_TSC;

	clock_watch_done(&watch);
	return is;
}

static void to_other_body(void)
{
	if (has_tsc())
		changes_body(false);
}

static void from_other_body(void)
{
	if (has_tsc())
		changes_body(true);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}

TEST(row)
TEST(other_clock)
TEST(to_other)
TEST(from_other)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_other_clock),
		cmocka_unit_test(test_to_other),
		cmocka_unit_test(test_from_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
