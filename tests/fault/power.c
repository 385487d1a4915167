/*
 * Power loss, from a recorded disk: random lives of a store (rolls of log and parts, two
 * days, late spans, a trace in many runs, sealing, checkpoints, retention, the index, crashes'
 * own recoveries) are recorded, and every change of the disk is followed by a loss of power in
 * several ways: with nothing, with all, or with any part of what was not synced. Each state is
 * recovered and looked at (I1, I3, I5, I8), and its index, opened as a start does, is held
 * against the lines (I6); some are lived on from. A state counts once: by the hash of all
 * paths and contents outside the index.
 *
 *     fault_power [--short] [SEED]
 *
 * A lost or doubled span ends the program at once and says which. One thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/store_world.h"

enum {
	STEPS = 70,
	LIVES_MAX = 1000,
	WANTED = 20000,
	WANTED_SHORT = 400,
	TABLE = 1 << 22,
	RANDOM_WAYS = 3,
	LIVED_ON_EVERY = 5,
	RETAIN_BYTES = 20000,
	RUN_SPANS = 6,
	INDEX_ALONE_EVERY = 64,
};

/* Of the store at present: what one left another takes over. */
static uint32_t shards = 1;

/* Of the lives that are lived at present: with it a seed doesn't always give the same one. */
static bool pen;

struct run {
	uint64_t *seen; /* hashes, open addressing; 0: unused */
	uint64_t wanted;
	uint64_t states;
	uint64_t same;
	uint64_t index_alone; /* of those that differ from others in the index alone, looked at */
	uint64_t recoveries;  /* states that were a recovery cut short */
	struct world_history *scratch;
};

static _Noreturn void broken(const char *when, int status)
{
	fprintf(stderr, "%s: %d\n", when, status);
	abort();
}

static void must(const char *when, int status)
{
	if (status != 0)
		broken(when, status);
}

/* Whether the hash comes for the first time. */
static bool note(struct run *run, uint64_t hash)
{
	size_t at = hash % TABLE;

	while (run->seen[at] != 0 && run->seen[at] != hash)
		at = (at + 1) % TABLE;
	if (run->seen[at] == hash)
		return false;
	run->seen[at] = hash;
	return true;
}

static void mix_file(void *ctx, const char *path, const uint8_t *data, size_t length)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325), *sum = ctx;

	if (strncmp(path, ".waft/index/", 12) == 0)
		return;
	for (size_t i = 0; i <= strlen(path); i++)
		hash = (hash ^ (uint8_t)path[i]) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
	*sum += hash ^ hash >> 32;
}

/* True the first time, and now and then for what differs in the index alone. */
static bool is_new(struct run *run, struct fake_disk *disk)
{
	uint64_t hash = fake_disk_hash(disk) | 1, stored = 0;

	if (!note(run, hash)) {
		run->same++;
		return false;
	}
	fake_disk_each(disk, mix_file, &stored);
	if (note(run, stored << 1 | 2)) {
		run->states++;
		return true;
	}
	if ((hash >> 1) % INDEX_ALONE_EVERY != 0)
		return false;
	run->index_alone++;
	return true;
}

static void open_world(struct world *world, struct fake_disk *disk, struct world_history *history)
{
	*world = (struct world){.shards = shards,
		.pen = pen,
		.segment_bytes = 3000,
		.part_bytes = 4000,
		.retain_bytes = RETAIN_BYTES,
		.indexed = true,
		.run_spans = RUN_SPANS};
	must("recovery", world_open(world, disk, history));
	/* A loss of power is none. */
	if (recovery_found_damage(&world->recovery)) {
		char text[512];

		(void)recovery_text(&world->recovery, text, sizeof(text));
		broken(text, 0);
	}
}

/* Sends what is missing and writes all: then nothing may wait and nothing be cut. */
static void live_on(struct world *world, struct fake_disk *disk, struct run *run)
{
	world_resend(world);
	must("commit", world_commit(world));
	must("write", world_write(world, NULL, true));
	must("put", world->put_status);
	must("trim", writer_trim_log(world->store));
	world_check(world, SIZE_MAX - 1, "after the rest was sent");
	world_close(world);
	open_world(world, disk, run->scratch);
	if (world->waiting_count != 0 || world->recovery.bytes_cut != 0)
		broken("spans wait or bytes are cut after all was written", 0);
	world_check(world, SIZE_MAX - 1, "the start after");
}

static void check_state(struct run *run, struct fake_disk *disk,
	const struct world_history *history, size_t at, bool on)
{
	struct world world;

	memcpy(run->scratch, history, sizeof(*history));
	open_world(&world, disk, run->scratch);
	world_check(&world, at, "power loss");
	if (on)
		live_on(&world, disk, run);
	world_close(&world);
}

/* The recovery of this state, cut off after each of its own changes. */
static void cut_recovery(struct run *run, struct fake_disk *disk,
	const struct world_history *history, size_t at, uint64_t seed)
{
	size_t before = fake_disk_changes(disk);

	shards = shards % WORLD_SHARDS + 1;
	check_state(run, disk, history, at, false);
	for (size_t k = before; k <= fake_disk_changes(disk); k++) {
		struct fake_disk *again = fake_disk_crash(disk, k, FAKE_RANDOM, seed + k);

		if (is_new(run, again)) {
			run->recoveries++;
			check_state(run, again, history, at, false);
		}
		fake_disk_free(again);
	}
}

/* Two lives on one disk, so that a recovery is on record too. */
static struct fake_disk *live(uint64_t seed, struct world_history *history)
{
	struct fake_disk *disk = fake_disk_new();
	struct random random = {.state = seed};
	struct world world;

	for (int i = 0; i < 2; i++) {
		open_world(&world, disk, history);
		world_resend(&world);
		world_live(&world, &random, STEPS);
		world_close(&world);
	}
	return disk;
}

static void cut_life(struct run *run, uint64_t seed)
{
	struct world_history *history = world_history_new();
	uint32_t lived_with = shards;
	struct fake_disk *disk = live(seed, history);

	pen = false;
	for (size_t at = 0; at <= fake_disk_changes(disk) && run->states < run->wanted; at++) {
		for (int way = FAKE_KILLED; way < FAKE_RANDOM + RANDOM_WAYS; way++) {
			enum fake_crash mode =
				way < FAKE_RANDOM ? (enum fake_crash)way : FAKE_RANDOM;
			uint64_t one = seed + at * 16 + (unsigned)way;
			struct fake_disk *crashed = fake_disk_crash(disk, at, mode, one);

			if (!is_new(run, crashed)) {
				fake_disk_free(crashed);
				continue;
			}
			if (one % 16 == 3)
				cut_recovery(run, crashed, history, at, one);
			else
				check_state(run, crashed, history, at, one % LIVED_ON_EVERY == 0);
			shards = lived_with;
			fake_disk_free(crashed);
		}
	}
	free(history);
	fake_disk_free(disk);
}

int main(int argc, char **argv)
{
	bool is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
	uint64_t seed = argc > 1 + is_short ? strtoull(argv[1 + is_short], NULL, 0) : 1;
	struct run run = {.seen = calloc(TABLE, sizeof(*run.seen)),
		.wanted = is_short ? WANTED_SHORT : WANTED,
		.scratch = world_history_new()};
	unsigned lives = 0;

	if (run.seen == NULL)
		abort();
	printf("seed %llu\n", (unsigned long long)seed);
	for (; lives < LIVES_MAX && run.states < run.wanted; lives++) {
		shards = 1 + lives % WORLD_SHARDS;
		pen = lives / WORLD_SHARDS % 2 == 0;
		cut_life(&run, seed + lives * UINT64_C(1000003));
	}
	printf("figure: %llu states of %u lives, each of its own content, %llu of them and of "
	       "others "
	       "in a recovery; %llu more that differ in the index alone; %llu came again; 0 lost, "
	       "0 doubled\n",
		(unsigned long long)run.states, lives, (unsigned long long)run.recoveries,
		(unsigned long long)run.index_alone, (unsigned long long)run.same);
	free(run.seen);
	free(run.scratch);
	return run.states >= run.wanted ? EXIT_SUCCESS : EXIT_FAILURE;
}
