/*
 * The store under crashes and faults: random lives on a fake disk, stopped after
 * each change of the disk in several ways, recovered, and looked at: nothing that was
 * acknowledged is lost, nothing is there twice, watermarks fit (I1, I3, I5, I8).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/store_world.h"

enum {
	LIVES = 4,
	STEPS = 70,
	FAULT_STEPS = 60,
};

static struct world_history *scratch;

/* Of the worlds that are opened from now on. */
static uint32_t shards = 1;
static bool pen;

static void set_sizes(struct world *world)
{
	*world = (struct world){
		.segment_bytes = 3000, .part_bytes = 4000, .shards = shards, .pen = pen};
}

static uint64_t states;

/* Recovers a crashed disk and checks it; with `on`, lives on until all is written. */
static void recover_and_check(struct fake_disk *crashed, const struct world_history *history,
	size_t at, const char *when, bool on)
{
	struct world world;

	states++;
	memcpy(scratch, history, sizeof(*scratch));
	set_sizes(&world);
	assert_int_equal(world_open(&world, crashed, scratch), 0);
	assert_false(world.recovery.log_cut);
	world_check(&world, at, when);
	if (on) {
		world_resend(&world);
		assert_int_equal(world_commit(&world), 0);
		assert_int_equal(world_write(&world, NULL, true), 0);
		assert_int_equal(world.put_status, 0);
		assert_int_equal(writer_rest(world.store, 0), 0);
		/* All is in files: nothing of the log is left to be read. */
		assert_int_equal(log_segments(world.recovery.log, NULL, 0), 0);
		world_check(&world, SIZE_MAX - 1, when);
		world_close(&world);
		set_sizes(&world);
		assert_int_equal(world_open(&world, crashed, scratch), 0);
		assert_int_equal(world.waiting_count, 0);
		assert_int_equal(world.recovery.bytes_cut, 0);
		world_check(&world, SIZE_MAX - 1, when);
	}
	world_close(&world);
}

/* A recovery that is itself stopped after each change that it makes. */
static void crash_recovery(
	struct fake_disk *crashed, const struct world_history *history, size_t at, uint64_t seed)
{
	size_t before = fake_disk_changes(crashed);

	recover_and_check(crashed, history, at, "first recovery", false);
	for (size_t k = before; k <= fake_disk_changes(crashed); k++) {
		for (int mode = FAKE_KILLED; mode <= FAKE_RANDOM; mode++) {
			struct fake_disk *again =
				fake_disk_crash(crashed, k, (enum fake_crash)mode, seed + k);

			recover_and_check(again, history, at, "second recovery", k % 3 == 0);
			fake_disk_free(again);
		}
	}
}

static struct fake_disk *live(uint64_t seed, struct world_history *history)
{
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = seed};
	struct world world;

	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	world_live(&world, &random, STEPS);
	world_close(&world);
	/* A second life, so that recovery is in the journal too; it gathers before it commits. */
	set_sizes(&world);
	world.gather_steps = 3;
	assert_int_equal(world_open(&world, fake, history), 0);
	world_resend(&world);
	world_live(&world, &random, STEPS);
	world_close(&world);
	return fake;
}

static void test_crash_anywhere(void **state)
{
	uint64_t seed = random_seed();
	uint32_t seals = 0;

	(void)state;
	for (unsigned i = 0; i < LIVES; i++) {
		struct world_history *history = world_history_new();
		struct fake_disk *fake;

		shards = 1 + i % WORLD_SHARDS;
		pen = i % 4 < 2;
		fake = live(seed + i, history);
		pen = false;
		seals += history->seals;
		for (size_t at = 0; at <= fake_disk_changes(fake); at++) {
			for (int mode = FAKE_KILLED; mode <= FAKE_RANDOM + 3; mode++) {
				struct fake_disk *crashed = fake_disk_crash(fake, at,
					mode > FAKE_RANDOM ? FAKE_RANDOM : (enum fake_crash)mode,
					seed + at * 8 + (unsigned)mode);

				recover_and_check(crashed, history, at, "recovery",
					(at + (unsigned)mode) % 6 == 0);
				fake_disk_free(crashed);
			}
		}
		free(history);
		fake_disk_free(fake);
	}
	shards = 1;
	printf("%llu crash states, %u parts sealed\n", (unsigned long long)states, seals);
	assert_true(seals > 0);
}

static void test_crash_in_recovery(void **state)
{
	uint64_t seed = random_seed();
	struct world_history *history = world_history_new();
	struct fake_disk *fake;

	(void)state;
	shards = 2;
	fake = live(seed, history);
	for (size_t at = 5; at <= fake_disk_changes(fake); at += 7) {
		struct fake_disk *crashed = fake_disk_crash(
			fake, at, at % 2 == 0 ? FAKE_KILLED : FAKE_RANDOM, seed + at);

		crash_recovery(crashed, history, at, seed);
		fake_disk_free(crashed);
	}
	shards = 1;
	free(history);
	fake_disk_free(fake);
}

/* ---- Faults ---------------------------------------------------------------------- */

/* A life in which steps may fail. */
static void live_on(struct world *world, struct random *random, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		switch (random_below(random, 9)) {
		case 8:
			world->faults = true;
			if (random_below(random, 3) == 0)
				(void)(world_seal(world) == 0);
			break;
		case 0:
		case 1:
		case 2:
			world_send(world, random);
			break;
		case 3:
		case 4:
			(void)(world_commit(world) == 0);
			break;
		case 5:
		case 6:
			(void)(world_write(world, random, random_below(random, 3) == 0) == 0);
			break;
		case 7:
			(void)(writer_rest(world->store, 0) == 0);
			break;
		default:
			(void)(writer_trim_log(world->store) == 0);
		}
	}
}

/* Lets the disk work again: everything must come to its place. */
static void heal_and_check(struct world *world, struct fake_disk *fake, const char *when)
{
	int error = 0;

	fake_disk_fail(fake, 0, 0, FAKE_FAIL, 0);
	world->faults = true;
	assert_int_equal(world_commit(world), 0);
	assert_int_equal(world_commit(world), 0);
	assert_int_equal(world_write(world, NULL, true), 0);
	assert_int_equal(world->put_status, 0);
	for (uint32_t i = 0; i < world->shards; i++) {
		(void)store_work(world->stores[i], 0, &error);
		assert_int_equal(error, 0);
		assert_int_equal(store_queued_spans(world->stores[i]), 0);
	}
	assert_int_equal(writer_trim_log(world->store), 0);
	assert_int_equal(world_seal(world), 0);
	assert_false(world->seal_pending);
	world_check(world, SIZE_MAX - 1, when);
	world_check_told(world, when);
}

static uint64_t fault_life(
	uint64_t seed, uint64_t n, uint64_t count, enum fake_fault fault, int error)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = seed};
	struct world world;
	struct fake_disk *crashed;
	uint64_t operations;
	size_t at;
	char when[64];

	shards = 2 - n % 2;
	pen = n / 2 % 2 == 1;
	snprintf(when, sizeof(when), "fault %d, operation %llu%s", error, (unsigned long long)n,
		pen ? ", with a pen" : "");
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	pen = false;
	operations = fake_disk_operations(fake);
	fake_disk_fail(fake, n, count, fault, error);
	live_on(&world, &random, FAULT_STEPS);
	/* Power is lost while things are bad. */
	at = fake_disk_changes(fake);
	operations = fake_disk_operations(fake) - operations;
	for (int mode = FAKE_KILLED; mode <= FAKE_RANDOM; mode += 2) {
		crashed = fake_disk_crash(fake, at, (enum fake_crash)mode, seed + n);
		recover_and_check(crashed, history, at, when, false);
		fake_disk_free(crashed);
	}
	heal_and_check(&world, fake, when);
	at = fake_disk_changes(fake);
	crashed = fake_disk_crash(fake, at, (enum fake_crash)(n % 3), seed + n);
	recover_and_check(crashed, history, at, when, true);
	fake_disk_free(crashed);
	world_close(&world);
	fake_disk_free(fake);
	free(history);
	shards = 1;
	return operations;
}

static void test_each_operation_fails(void **state)
{
	static const struct {
		uint64_t count;
		enum fake_fault fault;
		int error;
	} faults[] = {
		{1, FAKE_FAIL, -EIO},
		{3, FAKE_FAIL, -EIO},
		{9, FAKE_FAIL, -ENOSPC},
		{1, FAKE_SHORT, 0},
		{1, FAKE_FAIL, -EINTR},
		{40, FAKE_FAIL, -EIO},
	};
	uint64_t seed = random_seed();

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		uint64_t operations = 1;

		for (uint64_t n = 0; n < operations; n += i == 0 ? 1 : 1 + (seed + n) % 3) {
			uint64_t made = fault_life(
				seed, n, faults[i].count, faults[i].fault, faults[i].error);

			if (n == 0)
				operations = made;
		}
	}
}

static void test_disk_full_heals(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = random_seed()};
	struct world world;
	size_t at;

	(void)state;
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	for (uint64_t capacity = 6000; capacity < 30000; capacity += 3000) {
		fake_disk_set_capacity(fake, capacity);
		live_on(&world, &random, 60);
		at = fake_disk_changes(fake);
		fake_disk_set_capacity(fake, 0);
		heal_and_check(&world, fake, "disk was full");
		assert_true(fake_disk_changes(fake) >= at);
	}
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

/* Somebody deleted the log: what it held is gone, but what is sent from then on
 * must not be taken for spans that were written before. */
static void test_log_deleted(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = random_seed()};
	struct world world;
	uint8_t *counts;

	(void)state;
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	for (int i = 0; i < 4; i++)
		world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	assert_int_equal(world_write(&world, NULL, true), 0);
	world_close(&world);
	fake_disk_remove(fake, ".waft/log/0000000000000001.log");
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	for (int i = 0; i < 4; i++)
		world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	assert_int_equal(world_write(&world, NULL, true), 0);
	counts = calloc(history->span_count + 1, 1);
	assert_non_null(counts);
	world_count_lines(&world, counts);
	for (uint32_t i = 0; i < history->span_count; i++)
		assert_int_equal(counts[i], 1);
	free(counts);
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

/* A put of several commits fails at each place; the log is trimmed before it is tried
 * again, which must not forget what of it was committed. */
static void trim_between_tries(uint64_t operations, uint32_t segment_bytes, uint64_t seed)
{
	for (uint64_t n = 0; n < operations; n++) {
		struct world_history *history = world_history_new();
		struct fake_disk *fake = fake_disk_new();
		struct random random = {.state = seed};
		struct world world;
		int error;

		set_sizes(&world);
		world.segment_bytes = segment_bytes;
		assert_int_equal(world_open(&world, fake, history), 0);
		for (int i = 0; i < 24; i++) {
			world_send(&world, &random);
			if (i % 4 == 3 || segment_bytes < 1000)
				assert_int_equal(world_commit(&world), 0);
		}
		fake_disk_fail(fake, n, 2, FAKE_FAIL, -EIO);
		(void)(world_write(&world, NULL, true) == 0);
		fake_disk_fail(fake, 0, 0, FAKE_FAIL, 0);
		assert_int_equal(writer_trim_log(world.store), 0);
		for (uint32_t i = 0; i < world.shards; i++) {
			(void)store_work(world.stores[i], 0, &error);
			assert_int_equal(error, 0);
		}
		assert_int_equal(world.put_status, 0);
		/* None was looked for where it isn't any more. */
		assert_int_equal(manifest_state(world.recovery.manifest)->spans_quarantined, 0);
		world.faults = true;
		world_check(&world, SIZE_MAX - 1, "trim between tries");
		world_close(&world);
		fake_disk_free(fake);
		free(history);
	}
}

static void test_trim_between_tries(void **state)
{
	(void)state;
	trim_between_tries(40, 3000, 3);
	/* The first store, which trims, has done its part when the second one fails; and what that
	 * one has committed is all that some segments hold. */
	shards = 2;
	for (uint64_t seed = 1; seed <= 6; seed++)
		trim_between_tries(45, 600, seed);
	shards = 1;
}

/* Clients in the manifest are ahead of the log's first needed segment until the record
 * behind them: torn between the two, neither may count. */
static void test_torn_image(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = 4};
	struct world world;
	size_t from;

	(void)state;
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	for (int i = 0; i < 12; i++)
		world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	assert_int_equal(world_write(&world, NULL, true), 0);
	log_roll(world.recovery.log);
	for (int i = 0; i < 12; i++)
		world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	from = fake_disk_changes(fake);
	assert_int_equal(writer_trim_log(world.store), 0);
	assert_true(fake_disk_changes(fake) > from + 1);
	for (size_t at = from; at <= fake_disk_changes(fake); at++) {
		for (uint64_t seed = 0; seed < 100; seed++) {
			struct fake_disk *crashed = fake_disk_crash(fake, at, FAKE_RANDOM, seed);

			recover_and_check(crashed, history, at, "torn image", false);
			fake_disk_free(crashed);
		}
	}
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

/* While the index can't tell where a trace began, nothing of it is written: a guess
 * could give it a second day (on_commit looks). */
static void test_day_not_told(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = 5};
	struct world world;
	int error;

	(void)state;
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	/* Four batches a second, from half a minute before midnight on. */
	for (int i = 0; i < 60; i++) {
		for (int k = 0; k < 4; k++)
			world_send(&world, &random);
		assert_int_equal(world_commit(&world), 0);
		if (world.waiting_count == 0)
			continue;
		world.day_error = i % 2 == 0 ? -EIO : -ENOMEM;
		assert_int_equal(world_write(&world, NULL, true), world.day_error);
		assert_int_equal(world.put_status, 1);
		world.day_error = 0;
		(void)store_work(world.store, 0, &error);
		assert_int_equal(error, 0);
		assert_int_equal(world.put_status, 0);
	}
	world_check(&world, SIZE_MAX - 1, "day not told");
	world_check_told(&world, "day not told");
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

/* Batches that were logged and can't be read: their bytes are set aside, their spans
 * counted, and nothing keeps the log from forgetting them. */
static void test_unreadable_batches(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = 6};
	const struct manifest_state *found;
	struct world world;
	uint64_t lost;

	(void)state;
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	for (int i = 0; i < 12; i++)
		world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	world_close(&world);
	for (int again = 0; again < 2; again++) {
		set_sizes(&world);
		world.unreadable = again == 0 ? 3 : 0;
		assert_int_equal(world_open(&world, fake, history), 0);
		found = manifest_state(world.recovery.manifest);
		if (again == 0)
			lost = world.recovery.spans_unreadable;
		assert_int_not_equal(lost, 0);
		assert_int_equal(world.recovery.spans_unreadable, again == 0 ? lost : 0);
		assert_int_equal(world.recovery.spans_waiting, world.waiting_count);
		assert_int_equal(found->spans_quarantined, lost);
		assert_int_equal(found->quarantine_count, 3);
		assert_int_equal(world.waiting_count + lost, history->span_count);
		if (again == 0) {
			world_close(&world);
			continue;
		}
		assert_int_equal(world_write(&world, NULL, true), 0);
		log_roll(world.recovery.log);
		world_send(&world, &random);
		assert_int_equal(world_commit(&world), 0);
		assert_int_equal(writer_trim_log(world.store), 0);
		assert_true(manifest_state(world.recovery.manifest)->first_segment > 1);
		world_close(&world);
	}
	fake_disk_free(fake);
	free(history);
}

/* A drop has no spans that a file could hold: its segment stays until the clients' table, as
 * the manifest has it, includes it. */
static void test_rest_waits_for_clients(void **state)
{
	struct log_record record = {.kind = LOG_DROP, .spans = 3, .client = {77}, .receive_ns = 1};
	struct log_record first = {0};
	struct fake_disk *fake = fake_disk_new();
	struct log_committed committed;
	struct world world = {0};
	uint64_t ticket;

	(void)state;
	set_sizes(&world);
	memset(scratch, 0, sizeof(*scratch));
	assert_int_equal(world_open(&world, fake, scratch), 0);
	for (record.sequence = 1; record.sequence <= 2; record.sequence++) {
		if (record.sequence == 2)
			assert_int_equal(
				clients_durable(world.clients, committed.places[0], &first), 1);
		first = record;
		assert_int_equal(log_append(world.recovery.log, &record, &ticket), 0);
		assert_int_equal(log_commit(world.recovery.log, &committed), 0);
	}
	assert_int_equal(writer_rest(world.store, 0), 0);
	assert_int_equal(log_segments(world.recovery.log, NULL, 0), 1);
	assert_int_equal(clients_durable(world.clients, committed.places[0], &first), 1);
	assert_int_equal(writer_rest(world.store, 0), 0);
	assert_int_equal(log_segments(world.recovery.log, NULL, 0), 0);
	world_close(&world);
	fake_disk_free(fake);
}

static int setup(void **state)
{
	(void)state;
	scratch = world_history_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(scratch);
	return 0;
}

/* An argument is a pattern of the tests to run. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash_anywhere),
		cmocka_unit_test(test_crash_in_recovery),
		cmocka_unit_test(test_each_operation_fails),
		cmocka_unit_test(test_disk_full_heals),
		cmocka_unit_test(test_log_deleted),
		cmocka_unit_test(test_trim_between_tries),
		cmocka_unit_test(test_torn_image),
		cmocka_unit_test(test_day_not_told),
		cmocka_unit_test(test_unreadable_batches),
		cmocka_unit_test(test_rest_waits_for_clients),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, setup, teardown);
}
