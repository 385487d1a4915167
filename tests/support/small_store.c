/* A small store to be damaged. See small_store.h. */
#include "small_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

static void must(const char *what, int status)
{
	if (status == 0)
		return;
	fprintf(stderr, "small_store: %s: %d\n", what, status);
	abort();
}

static void open_world(struct world *world, struct fake_disk *disk, struct world_history *history)
{
	*world = (struct world){.segment_bytes = 100000, .part_bytes = 100000, .damaged = true};
	must("recovery", world_open(world, disk, history));
}

void small_make(struct small *small)
{
	struct random random = {.state = 7};
	struct world world;

	small->history = world_history_new();
	small->fake = fake_disk_new();
	open_world(&world, small->fake, small->history);
	for (int i = 0; i < 6; i++) {
		world_send(&world, &random);
		if (i % 2 == 1)
			must("commit", world_commit(&world));
		if (i == 1 || i == 3)
			must("write", world_write(&world, &random, i == 3));
	}
	world_close(&world);
}

void small_make_trimmed(struct small *small)
{
	struct random random = {.state = 11};
	struct world world = {
		.segment_bytes = 1500, .part_bytes = 100000, .damaged = true, .indexed = true};

	small->history = world_history_new();
	small->fake = fake_disk_new();
	must("recovery", world_open(&world, small->fake, small->history));
	for (int i = 0; i < 12; i++) {
		world_send(&world, &random);
		must("commit", world_commit(&world));
		must("write", world_write(&world, &random, i < 10));
		must("trim", writer_trim_log(world.store));
	}
	if (manifest_state(world.recovery.manifest)->first_segment < 3)
		must("a log that was trimmed", -1);
	world_close(&world);
}

static void keep_plain(struct fake_disk *fake, uint8_t **ret_plain, size_t *ret_length)
{
	const uint8_t *content = fake_disk_content(fake, SMALL_PART, ret_length);

	must("a plain part", content != NULL ? 0 : -1);
	*ret_plain = malloc(*ret_length);
	must("memory", *ret_plain != NULL ? 0 : -1);
	memcpy(*ret_plain, content, *ret_length);
}

void small_make_sealed(struct small *small, bool alone, uint8_t **ret_plain, size_t *ret_length)
{
	struct random random = {.state = 13};
	struct world world = {.segment_bytes = 1500,
		.part_bytes = alone ? 100000 : 2500,
		.damaged = true,
		.indexed = true};

	small->history = world_history_new();
	small->fake = fake_disk_new();
	must("recovery", world_open(&world, small->fake, small->history));
	for (int i = 0; i < 14; i++) {
		world_send(&world, &random);
		must("commit", world_commit(&world));
		must("write", world_write(&world, &random, alone || i < 12));
		must("trim", writer_trim_log(world.store));
		if (i != (alone ? 13 : 8))
			continue;
		keep_plain(small->fake, ret_plain, ret_length);
		must("seal", world_seal(&world));
	}
	if (manifest_state(world.recovery.manifest)->parts[0].state != PART_SEALED ||
		manifest_state(world.recovery.manifest)->part_count < (alone ? 1 : 2))
		must("a sealed part and another", -1);
	if (alone)
		must("rest", writer_rest(world.store, 0));
	world_close(&world);
}

void small_free(struct small *small)
{
	fake_disk_free(small->fake);
	free(small->history);
}

struct fake_disk *small_changed(
	const struct small *small, const char *path, const uint8_t *data, size_t length)
{
	struct fake_disk *copy =
		fake_disk_crash(small->fake, fake_disk_changes(small->fake), FAKE_KILLED, 0);

	fake_disk_remove(copy, path);
	if (data != NULL)
		fake_disk_put(copy, path, data, length);
	return copy;
}

/* Adds to counts[span] for each line of a span. */
static void count_spans(uint8_t *counts, const uint8_t *data, size_t length)
{
	static const char key[] = ",\"operation\":\"op";

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

static void count_file(void *ctx, const char *path, const uint8_t *data, size_t length)
{
	if (strchr(path, '/') == NULL)
		count_spans(ctx, data, length);
}

static int count_line(void *ctx, const char *file, struct slice line)
{
	(void)file;
	count_spans(ctx, line.data, line.length);
	return 0;
}

void small_read(struct fake_disk *disk, const struct small *small, struct seen *ret)
{
	static uint8_t counts[WORLD_SPANS];
	const struct reader_config config = {.disk = fake_disk_disk(disk), .directory = "store"};
	const struct reader_report *report;
	struct reader *reader;

	memset(counts, 0, sizeof(counts));
	must("a reader", reader_open(&config, &reader));
	must("reading", reader_for_each_line(reader, count_line, counts));
	report = reader_report(reader);
	*ret = (struct seen){.told = report->unverified || report->log_cut ||
				     report->damaged_files > 0 || report->unreadable_files > 0};
	if (reader_damaged_file(reader) != NULL)
		snprintf(ret->file, sizeof(ret->file), "%s", reader_damaged_file(reader));
	for (uint32_t i = 0; i < small->history->span_count; i++)
		ret->lost += counts[i] == 0;
	reader_close(reader);
}

void small_look(struct fake_disk *disk, const struct small *small, struct found *ret)
{
	static uint8_t counts[WORLD_SPANS];
	const struct manifest_state *state;
	struct world world;
	uint32_t last_batch = UINT32_MAX;

	memset(counts, 0, sizeof(counts));
	*ret = (struct found){0};
	open_world(&world, disk, small->history);
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

void small_open_again(struct small *small)
{
	struct world world;

	open_world(&world, small->fake, small->history);
	world_close(&world);
}
