/*
 * Reading without the daemon: in whatever state a daemon was killed, or the
 * machine lost its power, a reader sees every acknowledged span, once (I1), and
 * writes nothing. And what lies in the inbox.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export.h"
#include "frame.h"
#include "query.h"
#include "reader.h"
#include "stats.h"
#include "support/store_world.h"

enum { LIVES = 2, STEPS = 50 };

static const struct filter everything;

static void set_sizes(struct world *world)
{
	*world = (struct world){.segment_bytes = 3000, .part_bytes = 4000, .indexed = true};
}

static struct fake_disk *live(uint64_t seed, struct world_history *history)
{
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = seed};
	struct world world;

	for (int lives = 0; lives < 2; lives++) {
		set_sizes(&world);
		assert_int_equal(world_open(&world, fake, history), 0);
		world_resend(&world);
		world_live(&world, &random, STEPS);
		world_close(&world);
	}
	return fake;
}

static struct reader *open_reader(struct fake_disk *fake)
{
	struct reader_config config = {.disk = fake_disk_disk(fake), .directory = "store"};
	struct reader *reader = NULL;

	assert_int_equal(reader_open(&config, &reader), 0);
	return reader;
}

/* Counts a record by the number in its operation, "op17". */
static void count_record(uint8_t *counts, uint32_t span_count, struct slice line)
{
	struct scratch scratch = {0};
	struct record record;
	unsigned int number = 0;
	char text[32];

	assert_int_equal(record_parse(line, &scratch, &record, NULL), 0);
	assert_true(record.operation.length < sizeof(text));
	memcpy(text, record.operation.data, record.operation.length);
	text[record.operation.length] = '\0';
	assert_int_equal(sscanf(text, "op%u", &number), 1);
	assert_true(number < span_count);
	counts[number]++;
	scratch_done(&scratch);
}

/* Gets every trace that a list gives. Returns how many spans the summaries have. */
static uint64_t get_all(struct reader *reader, uint8_t *counts, uint32_t span_count)
{
	struct query_list list = {0};
	uint64_t spans = 0;

	assert_int_equal(query_list(reader, &everything, 1000, slice_of("", 0), &list), 0);
	for (size_t i = 0; i < list.count; i++) {
		struct query_records records = {0};

		spans += list.traces[i].spans;
		assert_int_equal(
			query_get(reader, list.traces[i].trace_id, 0, slice_of("", 0), &records),
			0);
		for (size_t k = 0; k < records.count; k++)
			count_record(counts, span_count, records.lines[k]);
		query_records_done(&records);
	}
	query_list_done(&list);
	return spans;
}

static void check(struct fake_disk *fake, const struct world_history *history, size_t at)
{
	uint8_t *counts = calloc(history->span_count + 1, 1);
	size_t before = fake_disk_changes(fake);
	struct reader *reader = open_reader(fake);
	struct stats *stats = stats_new();
	uint64_t spans, seen = 0, counted = 0;

	spans = get_all(reader, counts, history->span_count);
	for (uint32_t i = 0; i < history->span_count; i++) {
		const struct world_batch *batch = &history->batches[history->spans[i].batch];

		assert_true(counts[i] <= 1);
		assert_true(counts[i] == 1 || batch->acknowledged_at > at);
		seen += counts[i];
	}
	assert_int_equal(spans, seen);
	assert_int_equal(query_stats(reader, &everything, stats), 0);
	for (size_t i = 0; i < stats_count(stats); i++)
		counted += stats_at(stats, i)->count;
	assert_int_equal(counted, seen);
	assert_int_equal(reader_report(reader)->bad_lines, 0);
	assert_int_equal(reader_report(reader)->unreadable_files, 0);
	assert_false(reader_report(reader)->manifest_damaged);
	assert_false(reader_report(reader)->log_cut);
	assert_int_equal(fake_disk_changes(fake), before);
	stats_free(stats);
	reader_close(reader);
	free(counts);
}

static void killed_anywhere(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= LIVES; seed++) {
		struct world_history *history = world_history_new();
		struct fake_disk *fake = live(seed, history);

		for (size_t at = 0; at <= fake_disk_changes(fake); at += 13) {
			for (int mode = FAKE_KILLED; mode <= FAKE_RANDOM; mode++) {
				struct fake_disk *crashed =
					fake_disk_crash(fake, at, (enum fake_crash)mode, seed + at);

				check(crashed, history, at);
				fake_disk_free(crashed);
			}
		}
		fake_disk_free(fake);
		free(history);
	}
}

/* One reader beside a daemon at work: each question sees all that was acknowledged. */
static void beside_a_daemon(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = 77};
	struct reader *reader = NULL;
	struct world world;

	(void)state;
	set_sizes(&world);
	assert_int_equal(world_open(&world, fake, history), 0);
	reader = open_reader(fake);
	for (int i = 0; i < 60; i++) {
		uint8_t *counts;

		world_live(&world, &random, 4);
		counts = calloc(history->span_count + 1, 1);
		get_all(reader, counts, history->span_count);
		for (uint32_t k = 0; k < history->span_count; k++) {
			const struct world_batch *batch =
				&history->batches[history->spans[k].batch];

			assert_true(counts[k] <= 1);
			assert_true(counts[k] == 1 || batch->acknowledged_at == SIZE_MAX);
		}
		free(counts);
	}
	reader_close(reader);
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

/* ---- Inbox -------------------------------------------------------------------- */

/* Records that are in files are passed over by headers that nobody checks: whatever is in these,
 * what waits behind them is seen. */
static void wrong_headers_of_consumed(void **state)
{
	struct world_history *history = world_history_new();
	struct fake_disk *fake = fake_disk_new();
	struct random random = {.state = 6};
	struct world world;
	size_t length, waiting;
	uint8_t *log;

	(void)state;
	set_sizes(&world);
	world.segment_bytes = 1 << 20;
	assert_int_equal(world_open(&world, fake, history), 0);
	for (int i = 0; i < 6; i++)
		world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	assert_int_equal(world_write(&world, NULL, true), 0);
	for (int i = 0; i < 3; i++)
		world_send(&world, &random);
	assert_int_equal(world_commit(&world), 0);
	waiting = world.waiting_count;
	assert_true(waiting > 0);
	log = (uint8_t *)(uintptr_t)fake_disk_content(
		fake, "store/.waft/log/0000000000000001.log", &length);
	if (log == NULL)
		log = (uint8_t *)(uintptr_t)fake_disk_content(
			fake, ".waft/log/0000000000000001.log", &length);
	assert_non_null(log);
	for (size_t at = 128; at < 128 + 64; at++) {
		uint8_t byte = log[at];
		uint8_t *counts = calloc(history->span_count + 1, 1);
		struct reader *reader;

		assert_non_null(counts);
		log[at] ^= (uint8_t)(1u << at % 8);
		reader = open_reader(fake);
		get_all(reader, counts, history->span_count);
		for (size_t i = 0; i < waiting; i++)
			assert_int_equal(counts[world.waiting[i].span], 1);
		reader_close(reader);
		free(counts);
		log[at] = byte;
	}
	world_close(&world);
	fake_disk_free(fake);
	free(history);
}

static size_t put_frame(uint8_t *out, size_t room, const struct export_request *request)
{
	struct writer writer = writer_of(out + WIRE_FRAME_HEADER_BYTES, room);

	export_request_encode(&writer, request);
	assert_int_equal(writer.error, 0);
	frame_header_write(
		out, FRAME_MESSAGE, 1, out + WIRE_FRAME_HEADER_BYTES, writer_length(&writer));
	return WIRE_FRAME_HEADER_BYTES + writer_length(&writer);
}

static int count_line(void *ctx, const char *file, struct slice line)
{
	(void)file;
	(void)line;
	++*(uint64_t *)ctx;
	return 0;
}

static void inbox(void **state)
{
	static uint8_t bytes[200000], batch[60000];
	static struct model model;
	struct fake_disk *fake = fake_disk_new();
	struct export_request request = {.body = EXPORT_HELLO, .hello = {.version = 1}};
	struct reader_counts counts;
	struct reader *reader;
	uint64_t spans = 0, lines = 0;
	size_t length = put_frame(bytes, 1000, &request);
	struct disk *disk = fake_disk_disk(fake);
	int top = disk_open_root(disk, "store", true);
	int waft = disk_open_dir(disk, top, ".waft", true);
	int inbox_dir = disk_open_dir(disk, waft, "inbox", true);
	int log_dir = disk_open_dir(disk, waft, "log", true);

	(void)state;
	assert_true(top >= 0 && waft >= 0 && inbox_dir >= 0 && log_dir >= 0);
	for (uint64_t i = 1; i <= 3; i++) {
		long batch_length = model_write(&model, i, batch, sizeof(batch));

		assert_true(batch_length > 0);
		request = (struct export_request){.sequence = i,
			.body = EXPORT_BATCH,
			.batch = slice_of(batch, (size_t)batch_length)};
		length += put_frame(bytes + length, sizeof(batch) + 1000, &request);
		spans += model.span_count;
	}
	/* What a kill leaves behind: half a frame. */
	fake_disk_put(fake, ".waft/inbox/00112233445566778899aabbccddeeff.waft", bytes, length);
	fake_disk_put(fake, ".waft/inbox/ff112233445566778899aabbccddeeff.waft", bytes, length / 3);
	fake_disk_put(fake, ".waft/inbox/note.txt", "x", 1);
	fake_disk_put(fake, ".waft/log/unrelated", "x", 1);
	reader = open_reader(fake);
	assert_int_equal(reader_count(reader, &counts), 0);
	assert_true(spans > 0 && counts.waiting_spans >= spans);
	assert_int_equal(reader_for_each_line(reader, count_line, &lines), 0);
	assert_int_equal(lines, counts.waiting_spans);
	fake_disk_remove(fake, ".waft/inbox/ff112233445566778899aabbccddeeff.waft");
	assert_int_equal(reader_count(reader, &counts), 0);
	assert_int_equal(counts.waiting_spans, spans);
	reader_close(reader);
	fake_disk_free(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_anywhere),
		cmocka_unit_test(beside_a_daemon),
		cmocka_unit_test(wrong_headers_of_consumed),
		cmocka_unit_test(inbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
