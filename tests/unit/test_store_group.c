/* writer_group.c: stores that share a manifest, and what one does while another ends or tells of
 * its parts. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "store_world.h"

enum { TOLD_MAX = 64, WAIT_MS = 100 };

/* All parts are older. */
static const struct retention remove_all = {.max_age_ns = 1};

struct told {
	uint32_t part;
	enum part_state state;
};

/* Two stores of the world's manifest. */
struct pair {
	struct world world; /* whose own store is idle */
	struct world_history *history;
	struct fake_disk *fake;
	struct store_group *group;
	struct store *stores[2];
	pthread_mutex_t lock;
	pthread_cond_t removed;
	struct told told[TOLD_MAX]; /* in the order in which the calls ended */
	size_t told_count;
	bool any_removed;
	bool retains; /* the first part that is closed is removed while it is told of */
	bool retaining;
	pthread_t retainer;
	int retained;
};

struct pair_put {
	struct store_put base; /* first */
	struct pair *pair;
	struct store_run run;
	struct store_span *spans;
	unsigned int calls;
	int status;
	bool retains; /* another store removes all parts while this is given back */
};

static uint64_t years_later(void *ctx)
{
	const struct pair *pair = ctx;

	return pair->history->base_ns + 1000 * DAY_NS;
}

static void *retain(void *ctx)
{
	struct pair *pair = ctx;

	pair->retained = writer_retain(pair->stores[0], &remove_all);
	return NULL;
}

/* Until another thread was told that a part is removed; not for ever: with the group's order kept
 * it waits for this one. */
static void await_removed(struct pair *pair)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += WAIT_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&pair->lock);
	while (!pair->any_removed &&
		pthread_cond_timedwait(&pair->removed, &pair->lock, &until) == 0)
		continue;
	pthread_mutex_unlock(&pair->lock);
}

static void on_part(void *ctx, const struct manifest_part *part)
{
	struct pair *pair = ctx;

	if (part->state == PART_CLOSED && pair->retains && !pair->retaining) {
		pair->retaining = true;
		assert_int_equal(pthread_create(&pair->retainer, NULL, retain, pair), 0);
		await_removed(pair);
	}
	pthread_mutex_lock(&pair->lock);
	assert_true(pair->told_count < TOLD_MAX);
	pair->told[pair->told_count++] = (struct told){part->id, part->state};
	pair->any_removed |= part->state == PART_REMOVED;
	pthread_cond_broadcast(&pair->removed);
	pthread_mutex_unlock(&pair->lock);
}

static void pair_open(struct pair *pair, uint64_t part_bytes, uint64_t gather_ns)
{
	struct writer_config config = {.part_bytes = part_bytes,
		.gather_ns = gather_ns,
		.reserve_bytes = 1,
		.clock_ns = years_later,
		.clock_ctx = pair,
		.hooks = {.on_part = on_part, .ctx = pair}};
	struct random random = {.state = 7};

	memset(pair, 0, sizeof(*pair));
	pair->world.segment_bytes = 1 << 20;
	pair->world.part_bytes = part_bytes;
	pair->history = world_history_new();
	pair->fake = fake_disk_new();
	pthread_mutex_init(&pair->lock, NULL);
	pthread_cond_init(&pair->removed, NULL);
	assert_int_equal(world_open(&pair->world, pair->fake, pair->history), 0);
	config.disk = pair->world.disk;
	config.dirs = &pair->world.dirs;
	config.manifest = pair->world.recovery.manifest;
	config.log = pair->world.recovery.log;
	config.clients = pair->world.clients;
	assert_int_equal(store_group_new(&pair->group), 0);
	config.group = pair->group;
	for (int i = 0; i < 2; i++)
		assert_int_equal(writer_new(&config, &pair->stores[i]), 0);
	for (int i = 0; i < 60; i++)
		world_send(&pair->world, &random);
	assert_int_equal(world_commit(&pair->world), 0);
}

static void pair_close(struct pair *pair)
{
	for (int i = 0; i < 2; i++)
		if (pair->stores[i] != NULL)
			store_close(pair->stores[i]);
	store_group_free(pair->group);
	world_close(&pair->world);
	fake_disk_free(pair->fake);
	free(pair->history);
	pthread_mutex_destroy(&pair->lock);
	pthread_cond_destroy(&pair->removed);
}

static void on_durable(struct store_put *base, int status)
{
	struct pair_put *put = (struct pair_put *)base;
	struct pair *pair = put->pair;

	put->calls++;
	put->status = status;
	if (put->calls == 1 && put->retains)
		pair->retained = writer_retain(pair->stores[0], &remove_all);
}

/* All spans of the log as a run of one trace. */
static void put_all(struct pair *pair, struct store *store, struct pair_put *put)
{
	const struct world *world = &pair->world;

	*put = (struct pair_put){.pair = pair};
	put->spans = calloc(world->waiting_count, sizeof(*put->spans));
	assert_non_null(put->spans);
	for (size_t i = 0; i < world->waiting_count; i++)
		put->spans[i] = world->waiting[i].at;
	memset(put->run.trace_id.bytes, 0x41, sizeof(put->run.trace_id.bytes));
	put->run.spans = put->spans;
	put->run.span_count = world->waiting_count;
	put->base.runs = &put->run;
	put->base.run_count = 1;
	put->base.on_durable = on_durable;
	store_put(store, &put->base);
}

/* What a store gathered and gave back, because it ends, isn't committed by another that wants all
 * at rest. */
static void test_closes_alone(void **state)
{
	struct pair pair;
	struct pair_put put;
	int error = 0;

	(void)state;
	pair_open(&pair, 1 << 20, 1000);
	put_all(&pair, pair.stores[1], &put);
	put.retains = true;
	assert_true(store_work(pair.stores[1], 1, &error) > 0);
	assert_int_equal(error, 0);
	assert_int_equal(put.calls, 0);
	store_close(pair.stores[1]);
	pair.stores[1] = NULL;
	assert_int_equal(put.calls, 1);
	assert_int_equal(put.status, -ECANCELED);
	assert_true(pair.retained > 0);
	assert_int_equal(manifest_state(pair.world.recovery.manifest)->spans_written, 0);
	free(put.spans);
	pair_close(&pair);
}

/* A part that one store tells of as closed while another removes it is told of as removed last. */
static void test_told_last(void **state)
{
	struct pair pair;
	struct pair_put put;
	enum part_state last = PART_OPEN;
	uint32_t part = 0;
	int error = 0;

	(void)state;
	pair_open(&pair, 4000, 0);
	pair.retains = true;
	put_all(&pair, pair.stores[1], &put);
	assert_int_equal(store_work(pair.stores[1], STORE_NOW, &error), 0);
	assert_int_equal(error, 0);
	assert_true(pair.retaining);
	assert_int_equal(pthread_join(pair.retainer, NULL), 0);
	assert_true(pair.retained > 0);
	for (size_t i = 0; i < pair.told_count; i++) {
		if (part == 0 && pair.told[i].state == PART_CLOSED)
			part = pair.told[i].part;
	}
	assert_true(part != 0);
	for (size_t i = 0; i < pair.told_count; i++) {
		if (pair.told[i].part == part)
			last = pair.told[i].state;
	}
	assert_int_equal(last, PART_REMOVED);
	free(put.spans);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closes_alone),
		cmocka_unit_test(test_told_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
