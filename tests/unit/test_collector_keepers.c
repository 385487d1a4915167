/*
 * keepers.c and keeper_chores.c: which shard writes what, when all of it is written, and what
 * a keeper does that has nothing to write.
 */
#include "keeper_internal.h"
#include "keepers.h"
#include "store_world.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHARDS 3u

/* ---- A clock that stands ------------------------------------------------------- */

struct still_clock {
	struct clock base; /* first */
	uint64_t now_ns;
};

static uint64_t still_ns(const struct clock *clock)
{
	return ((const struct still_clock *)clock)->now_ns;
}

static struct still_clock clock_at(uint64_t now_ns)
{
	return (struct still_clock){{still_ns, still_ns}, now_ns};
}

/* ---- Stores that write when they are let --------------------------------------- */

struct slow_store {
	struct store base; /* first */
	uint32_t number;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct store_put *puts;
	struct store_put **end;
	uint32_t count;	 /* of all puts so far */
	uint32_t behind; /* of these */
	bool writes;
};

/* On the keeper's thread: one that fails here can't say so to the test. */
static void check_run(const struct slow_store *store, const struct store_run *run)
{
	if (run->trace_id.bytes[0] == store->number)
		return;
	fprintf(stderr, "shard %u was given a run of shard %u\n", store->number,
		run->trace_id.bytes[0]);
	abort();
}

static void slow_put(struct store *base, struct store_put *put)
{
	struct slow_store *store = (struct slow_store *)base;

	put->next = NULL;
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < put->run_count; i++)
		check_run(store, &put->runs[i]);
	*store->end = put;
	store->end = &put->next;
	store->count++;
	store->behind += put->behind;
	pthread_cond_signal(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

static void end_puts(struct slow_store *store, int status)
{
	struct store_put *put;

	pthread_mutex_lock(&store->lock);
	put = store->puts;
	store->puts = NULL;
	store->end = &store->puts;
	pthread_mutex_unlock(&store->lock);
	while (put != NULL) {
		struct store_put *next = put->next;

		put->on_durable(put, status);
		put = next;
	}
}

static uint64_t slow_work(struct store *base, uint64_t now_ns, int *ret_error)
{
	struct slow_store *store = (struct slow_store *)base;
	bool writes;

	(void)now_ns;
	*ret_error = 0;
	pthread_mutex_lock(&store->lock);
	writes = store->writes;
	pthread_mutex_unlock(&store->lock);
	if (!writes)
		return 3600 * CLOCK_NS_PER_S;
	end_puts(store, 0);
	return 0;
}

static uint64_t slow_queued_spans(struct store *base)
{
	(void)base;
	return 0;
}

static void slow_close(struct store *base)
{
	end_puts((struct slow_store *)base, -ECANCELED);
}

static const struct store_ops slow_ops = {
	.name = "slow",
	.put = slow_put,
	.work = slow_work,
	.queued_spans = slow_queued_spans,
	.close = slow_close,
};

static void let_write(struct slow_store *store, bool writes)
{
	pthread_mutex_lock(&store->lock);
	store->writes = writes;
	pthread_mutex_unlock(&store->lock);
}

/* Until the keeper has passed so many puts on. */
static void await_puts(struct slow_store *store, uint32_t count)
{
	pthread_mutex_lock(&store->lock);
	while (store->count < count)
		pthread_cond_wait(&store->changed, &store->lock);
	pthread_mutex_unlock(&store->lock);
}

/* ---- Keepers over them ----------------------------------------------------------- */

struct shards {
	uv_loop_t loop;
	struct still_clock clock;
	struct slow_store stores[SHARDS];
	struct keepers *keepers;
	struct run *last; /* that is never written */
	uint64_t written;
	bool closed;
};

static void on_written(void *context, struct run *run)
{
	((struct shards *)context)->written += run->count;
	free(run);
}

static void on_progress(void *context, int error)
{
	(void)context;
	assert_int_equal(error, 0);
}

static void shards_open(struct shards *shards)
{
	struct store *stores[SHARDS];

	memset(shards, 0, sizeof(*shards));
	shards->clock = clock_at(0);
	assert_int_equal(uv_loop_init(&shards->loop), 0);
	for (uint32_t i = 0; i < SHARDS; i++) {
		struct slow_store *store = &shards->stores[i];

		store->base.ops = &slow_ops;
		store->number = i;
		store->end = &store->puts;
		pthread_mutex_init(&store->lock, NULL);
		pthread_cond_init(&store->changed, NULL);
		stores[i] = &store->base;
	}
	assert_int_equal(keepers_start(&(struct keeper_config){.loop = &shards->loop,
					       .clock = &shards->clock.base,
					       .on_written = on_written,
					       .on_progress = on_progress,
					       .context = shards},
				 stores, SHARDS, &shards->keepers),
		0);
}

static struct run *put_run(struct shards *shards, uint32_t shard, uint32_t spans)
{
	struct run *run = calloc(1, sizeof(*run) + spans * sizeof(run->refs[0]));

	assert_non_null(run);
	run->trace_id.bytes[0] = (uint8_t)shard;
	run->shard = shard;
	run->count = spans;
	for (uint32_t i = 0; i < spans; i++)
		run->refs[i] = (struct span_ref){.span_id = i + 1, .start_ns = i, .segment = 1};
	keepers_put(shards->keepers, run);
	return run;
}

static void await_written(struct shards *shards, uint64_t spans)
{
	keepers_hurry(shards->keepers);
	while (shards->written < spans)
		uv_run(&shards->loop, UV_RUN_ONCE);
	assert_int_equal(shards->written, spans);
}

static void on_keepers_closed(void *context, uint64_t spans)
{
	struct shards *shards = context;

	assert_int_equal(spans, shards->last->count);
	shards->closed = true;
}

static void shards_close(struct shards *shards)
{
	uint32_t puts = shards->stores[0].count;

	/* With nothing on its way the first one would trim a log, which slow stores have not. */
	let_write(&shards->stores[0], false);
	shards->last = put_run(shards, 0, 7);
	await_puts(&shards->stores[0], puts + 1);
	keepers_close(shards->keepers, on_keepers_closed);
	assert_int_equal(uv_run(&shards->loop, UV_RUN_DEFAULT), 0);
	assert_true(shards->closed);
	assert_int_equal(uv_loop_close(&shards->loop), 0);
	free(shards->last);
	for (uint32_t i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&shards->stores[i].lock);
		pthread_cond_destroy(&shards->stores[i].changed);
	}
}

/* Each shard's runs are written by its keeper. */
static void test_own_runs(void **state)
{
	struct shards shards;
	uint64_t spans = 0;

	(void)state;
	shards_open(&shards);
	for (uint32_t i = 0; i < SHARDS; i++)
		let_write(&shards.stores[i], true);
	for (uint32_t i = 0; i < 10 * SHARDS; i++) {
		put_run(&shards, i % SHARDS, i % 5 + 1);
		spans += i % 5 + 1;
	}
	await_written(&shards, spans);
	shards_close(&shards);
}

/* What was marked isn't written because as much was that came later, of another shard. */
static void test_marks(void **state)
{
	struct shards shards;

	(void)state;
	shards_open(&shards);
	assert_true(keepers_are_past_mark(shards.keepers));
	put_run(&shards, 0, 2);
	put_run(&shards, 1, 1);
	put_run(&shards, 2, 1);
	keepers_mark(shards.keepers);
	assert_false(keepers_are_past_mark(shards.keepers));
	put_run(&shards, 1, 50);
	put_run(&shards, 2, 50);
	let_write(&shards.stores[1], true);
	let_write(&shards.stores[2], true);
	await_written(&shards, 102);
	assert_false(keepers_are_past_mark(shards.keepers));
	let_write(&shards.stores[0], true);
	await_written(&shards, 104);
	assert_true(keepers_are_past_mark(shards.keepers));
	shards_close(&shards);
}

/* A put is behind when it can't take all that waits. */
static void test_behind(void **state)
{
	struct shards shards;

	(void)state;
	shards_open(&shards);
	put_run(&shards, 0, 3);
	await_puts(&shards.stores[0], 1);
	put_run(&shards, 0, 4000);
	/* Enough to go on with, and too much for one. */
	put_run(&shards, 0, 16000);
	await_puts(&shards.stores[0], 3);
	pthread_mutex_lock(&shards.stores[0].lock);
	assert_int_equal(shards.stores[0].behind, 1);
	pthread_mutex_unlock(&shards.stores[0].lock);
	let_write(&shards.stores[0], true);
	await_written(&shards, 20003);
	shards_close(&shards);
}

/* Runs of puts that ended before the loop looked: all of them come back. */
static void test_puts_end_together(void **state)
{
	struct keeper_counts counts = {0};
	struct shards shards;

	(void)state;
	shards_open(&shards);
	put_run(&shards, 0, 3);
	await_puts(&shards.stores[0], 1);
	/* What a store that gathers is given more of. */
	put_run(&shards, 0, 4000);
	put_run(&shards, 0, 96);
	await_puts(&shards.stores[0], 2);
	let_write(&shards.stores[0], true);
	keepers_hurry(shards.keepers);
	while (counts.spans < 4099) {
		keepers_count(shards.keepers, &counts);
		sched_yield();
	}
	assert_int_equal(counts.waiting_runs, 0);
	assert_int_equal(shards.written, 0);
	for (int i = 0; i < 10; i++)
		uv_run(&shards.loop, UV_RUN_NOWAIT);
	assert_int_equal(shards.written, 4099);
	shards_close(&shards);
}

/* ---- Idle -------------------------------------------------------------------------- */

static uint32_t first_segment(struct world *world)
{
	return manifest_state(world->recovery.manifest)->first_segment;
}

/* A keeper that has had nothing to write for long lets go of segments that are deleted. */
static void test_idle_lets_go(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct world world = {.segment_bytes = 3000, .part_bytes = 1 << 20, .shards = 2};
	struct still_clock clock = clock_at(3600 * CLOCK_NS_PER_S);
	struct keeper first = {0};
	struct keeper idle = {.config = {.clock = &clock.base, .first = &first}};
	struct random random = {.state = 1};
	size_t open;

	(void)state;
	assert_int_equal(world_open(&world, fake, history), 0);
	for (uint32_t i = 0; i < 40; i++) {
		world_send(&world, &random);
		assert_int_equal(world_commit(&world), 0);
	}
	assert_int_equal(world_write(&world, &random, true), 0);
	assert_int_equal(world.put_status, 0);
	/* Both have read the log's end. */
	log_roll(world.recovery.log);
	world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	assert_int_equal(writer_trim_log(world.stores[0]), 0);
	assert_true(first_segment(&world) > 1);
	open = fake_disk_open_handles(fake);
	assert_int_equal(uv_mutex_init(&idle.lock), 0);
	idle.config.store = world.stores[1];
	idle.trimmed_ns = clock.now_ns;
	clock.now_ns += CLOCK_NS_PER_S;
	/* Two minutes at most. */
	for (int i = 0; i < 2 && fake_disk_open_handles(fake) == open; i++) {
		uint64_t wait_ns = keeper_do_chores(&idle);

		assert_in_range(wait_ns, 1, 60 * CLOCK_NS_PER_S);
		clock.now_ns += wait_ns;
	}
	assert_true(fake_disk_open_handles(fake) < open);
	uv_mutex_destroy(&idle.lock);
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

/* ---- Sealing ----------------------------------------------------------------------- */

static void await_seal(struct keeper *keeper)
{
	bool done = false;

	while (!done) {
		sched_yield();
		uv_mutex_lock(&keeper->lock);
		done = keeper->seal_done;
		uv_mutex_unlock(&keeper->lock);
	}
}

/* A file that can't be sealed, here for lack of room, is tried again after longer and longer. */
static void test_seal_fails(void **state)
{
	enum { MINUTES = 10, TRIED_MAX = 6 + MINUTES };
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct world world = {.segment_bytes = 3000, .part_bytes = 20000};
	struct still_clock clock = clock_at(3600 * CLOCK_NS_PER_S);
	struct keeper keeper = {.config = {.clock = &clock.base}, .sealing = {.on = true}};
	struct sealer_config config = {
		.index_dir = -1, .on_done = keeper_on_sealed, .context = &keeper};
	struct random random = {.state = 1};
	unsigned int tried = 0;
	uint64_t end_ns;

	(void)state;
	assert_int_equal(world_open(&world, fake, history), 0);
	for (uint32_t i = 0; i < 60; i++) {
		world_send(&world, &random);
		assert_int_equal(world_commit(&world), 0);
	}
	assert_int_equal(world_write(&world, &random, true), 0);
	assert_int_equal(world.put_status, 0);
	assert_int_equal(uv_mutex_init(&keeper.lock), 0);
	assert_int_equal(uv_cond_init(&keeper.wake), 0);
	keeper.config.store = world.store;
	keeper.config.manifest = world.recovery.manifest;
	config.disk = world.disk;
	config.dirs = &world.dirs;
	assert_int_equal(sealer_new(&config, &keeper.sealer), 0);
	keeper.retained_ns = clock.now_ns;
	fake_disk_set_capacity(fake, 1);
	end_ns = clock.now_ns + MINUTES * 60 * CLOCK_NS_PER_S;
	while (clock.now_ns < end_ns && tried <= TRIED_MAX) {
		(void)keeper_do_chores(&keeper);
		if (sealer_is_busy(keeper.sealer)) {
			await_seal(&keeper);
			tried++;
			continue;
		}
		clock.now_ns += CLOCK_NS_PER_S / 10;
	}
	assert_in_range(tried, MINUTES, TRIED_MAX);
	/* With room it is sealed. */
	fake_disk_set_capacity(fake, 0);
	while (keeper.counts.sealed_parts == 0 && clock.now_ns < end_ns + 120 * CLOCK_NS_PER_S) {
		(void)keeper_do_chores(&keeper);
		if (sealer_is_busy(keeper.sealer))
			await_seal(&keeper);
		else
			clock.now_ns += CLOCK_NS_PER_S / 10;
	}
	assert_int_equal(keeper.counts.sealed_parts, 1);
	sealer_free(keeper.sealer);
	uv_cond_destroy(&keeper.wake);
	uv_mutex_destroy(&keeper.lock);
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_runs),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_puts_end_together),
		cmocka_unit_test(test_idle_lets_go),
		cmocka_unit_test(test_seal_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
