/*
 * A small store whose files were damaged from outside: every bit flipped in turn,
 * every file cut at every length, deleted. Damage is found, at most one batch or run
 * is set aside, and what is whole stays.
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

#define LOG_NAME ".waft/log/0000000000000001.log"
#define MANIFEST_PATH ".waft/manifest"

struct small {
	struct fake_disk *fake;
	struct world_history *history;
};

static void set_sizes(struct world *world)
{
	*world = (struct world){.segment_bytes = 100000, .part_bytes = 100000, .damaged = true};
}

/* Six batches, of which half the traces are written. */
static void make_small(struct small *small)
{
	struct random random = {.state = 7};
	struct world world;

	small->history = world_history_new();
	small->fake = fake_disk_new();
	set_sizes(&world);
	assert_int_equal(world_open(&world, small->fake, small->history), 0);
	for (int i = 0; i < 6; i++) {
		world_send(&world, &random);
		if (i % 2 == 1)
			assert_int_equal(world_commit(&world), 0);
		if (i == 1 || i == 3)
			assert_int_equal(world_write(&world, &random, i == 3), 0);
	}
	world_close(&world);
}

static void free_small(struct small *small)
{
	fake_disk_free(small->fake);
	free(small->history);
}

/* The store with another content of one file; NULL: without it. */
static struct fake_disk *changed_copy(
	const struct small *small, const char *path, const uint8_t *data, size_t length)
{
	struct fake_disk *copy =
		fake_disk_crash(small->fake, fake_disk_changes(small->fake), FAKE_KILLED, 0);

	fake_disk_remove(copy, path);
	if (data != NULL)
		fake_disk_put(copy, path, data, length);
	return copy;
}

struct found {
	struct recovery recovery;
	bool parts_wrong;
	uint32_t lost;	  /* spans */
	uint32_t batches; /* with spans lost */
	uint32_t doubled;
};

static void count_file(void *ctx, const char *path, const uint8_t *data, size_t length)
{
	uint8_t *counts = ctx;
	static const char key[] = ",\"operation\":\"op";

	if (strchr(path, '/') != NULL)
		return;
	for (size_t at = 0; at < length;) {
		const uint8_t *hit = memmem(data + at, length - at, key, sizeof(key) - 1);
		uint32_t span = 0;

		if (hit == NULL)
			return;
		for (at = (size_t)(hit - data) + sizeof(key) - 1;
			at < length && data[at] >= '0' && data[at] <= '9'; at++)
			span = span * 10 + (uint32_t)(data[at] - '0');
		/* Cut off in the middle it would be another number. */
		if (at == length || data[at] != '"')
			continue;
		if (span < WORLD_SPANS)
			counts[span]++;
	}
}

static void look(struct fake_disk *disk, const struct small *small, struct found *ret)
{
	static uint8_t counts[WORLD_SPANS];
	const struct manifest_state *state;
	struct world world;
	uint32_t last_batch = UINT32_MAX;

	memset(counts, 0, sizeof(counts));
	*ret = (struct found){0};
	set_sizes(&world);
	assert_int_equal(world_open(&world, disk, small->history), 0);
	ret->recovery = world.recovery;
	state = manifest_state(world.recovery.manifest);
	for (size_t i = 0; i < state->part_count; i++)
		ret->parts_wrong |= state->parts[i].state != PART_REMOVED &&
				    recover_verify_part(fake_disk_disk(disk), &world.dirs,
					    &state->parts[i], NULL) != 1;
	fake_disk_each(disk, count_file, counts);
	for (size_t i = 0; i < world.waiting_count; i++)
		counts[world.waiting[i].span]++;
	for (uint32_t i = 0; i < small->history->span_count; i++) {
		ret->doubled += counts[i] > 1;
		if (counts[i] > 0)
			continue;
		ret->lost++;
		ret->batches += small->history->spans[i].batch != last_batch;
		last_batch = small->history->spans[i].batch;
	}
	world_close(&world);
}

static void test_whole(void **state)
{
	struct small small;
	struct found found;
	struct fake_disk *copy;

	(void)state;
	make_small(&small);
	copy = changed_copy(&small, "nothing", NULL, 0);
	look(copy, &small, &found);
	assert_int_equal(found.lost, 0);
	assert_int_equal(found.doubled, 0);
	assert_false(found.parts_wrong);
	assert_int_equal(found.recovery.log_bytes_damaged + found.recovery.log_bytes_torn, 0);
	assert_int_equal(found.recovery.bytes_cut, 0);
	fake_disk_free(copy);
	free_small(&small);
}

/* Calls check for the store with each bit of the file flipped. */
static void flip_all(const struct small *small, const char *path,
	void (*check)(const struct found *found, size_t at))
{
	size_t length;
	const uint8_t *content = fake_disk_content(small->fake, path, &length);
	uint8_t *data;

	assert_non_null(content);
	data = malloc(length);
	assert_non_null(data);
	memcpy(data, content, length);
	for (size_t bit = 0; bit < length * 8; bit += bit % 8 == 0 ? 3 : 5) {
		struct fake_disk *copy;
		struct found found;

		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		copy = changed_copy(small, path, data, length);
		look(copy, small, &found);
		check(&found, bit / 8);
		fake_disk_free(copy);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(data);
}

static void check_log(const struct found *found, size_t at)
{
	if (found->recovery.log_bytes_damaged + found->recovery.log_bytes_torn == 0)
		fail_msg("byte %zu of the log: not found", at);
	if (found->batches > 1 || found->doubled > 0)
		fail_msg("byte %zu of the log: %u batches lost, %u spans twice", at, found->batches,
			found->doubled);
}

static void check_manifest(const struct found *found, size_t at)
{
	if (!found->recovery.manifest_damaged && !found->recovery.manifest_lost)
		fail_msg("byte %zu of the manifest: not found", at);
	if (found->lost > 0)
		fail_msg("byte %zu of the manifest: %u spans lost", at, found->lost);
}

static void check_part(const struct found *found, size_t at)
{
	if (!found->parts_wrong)
		fail_msg("byte %zu of a part: not found", at);
	if (found->lost > 1)
		fail_msg("byte %zu of a part: %u spans lost", at, found->lost);
}

static void test_flips(void **state)
{
	struct small small;

	(void)state;
	make_small(&small);
	flip_all(&small, LOG_NAME, check_log);
	free_small(&small);
}

static void test_flips_in_manifest(void **state)
{
	struct small small;
	struct world world;

	(void)state;
	make_small(&small);
	/* Something synced behind the last records: else the last one could be torn. */
	set_sizes(&world);
	assert_int_equal(world_open(&world, small.fake, small.history), 0);
	world_close(&world);
	flip_all(&small, MANIFEST_PATH, check_manifest);
	free_small(&small);
}

static void test_flips_in_parts(void **state)
{
	struct small small;

	(void)state;
	make_small(&small);
	flip_all(&small, "2026-02-15.jsonl", check_part);
	free_small(&small);
}

static void test_cut_anywhere(void **state)
{
	static const char *const paths[] = {LOG_NAME, MANIFEST_PATH, "2026-02-15.jsonl"};
	struct small small;

	(void)state;
	make_small(&small);
	for (size_t i = 0; i < 3; i++) {
		size_t length;
		const uint8_t *content = fake_disk_content(small.fake, paths[i], &length);

		assert_non_null(content);
		for (size_t cut = 0; cut < length; cut++) {
			struct fake_disk *copy = changed_copy(&small, paths[i], content, cut);
			struct found found;

			look(copy, &small, &found);
			if (i == 1 && found.lost > 0)
				fail_msg("manifest cut at %zu: %u spans lost", cut, found.lost);
			if (i != 1 && found.doubled > 0)
				fail_msg("%s cut at %zu: %u spans twice", paths[i], cut,
					found.doubled);
			if (i == 2)
				assert_true(found.recovery.parts_short > 0 ||
					    found.recovery.parts_missing > 0);
			fake_disk_free(copy);
		}
	}
	free_small(&small);
}

static void test_deleted(void **state)
{
	struct small small;
	struct fake_disk *copy;
	struct found found;

	(void)state;
	make_small(&small);
	copy = changed_copy(&small, MANIFEST_PATH, NULL, 0);
	look(copy, &small, &found);
	assert_int_equal(found.lost, 0);
	fake_disk_free(copy);
	copy = changed_copy(&small, "2026-02-15.jsonl", NULL, 0);
	look(copy, &small, &found);
	assert_true(found.recovery.parts_missing > 0);
	assert_int_equal(found.doubled, 0);
	fake_disk_free(copy);
	free_small(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_flips_in_manifest),
		cmocka_unit_test(test_flips_in_parts),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
