/*
 * depot.c, intake.c, decoders.c, committer.c, keeper.c together, with their threads, on a disk
 * in memory: what was acknowledged is found again, once, whatever the disk does.
 */
#include "batch_write.h"
#include "depot.h"
#include "fake_disk.h"
#include "intake.h"
#include "keepers.h"
#include "log_line.h"
#include "quotas.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TREE_SPANS 6u
#define LARGE_SPANS 400u
#define ACKS_MAX 256

static uint32_t shards = 1;
static uint32_t decoders; /* threads that look at batches */
static size_t pending_limit = 1 << 20;

/* The pipeline from ingest to store, and what it acknowledged. */
struct pipe {
	struct disk *disk;
	struct fake_disk *fake;
	uv_loop_t loop;
	uv_timer_t guard;
	struct depot depot;
	struct intake *intake;
	struct keepers *keepers;
	struct quotas *quotas;
	struct quota_account *account;
	uint64_t first_sequence;
	uint64_t next_sequence;
	uint64_t answered;     /* messages, in whatever way; their numbers come in order */
	uint64_t acknowledged; /* of these */
	uint64_t refused;
	size_t changes_at[ACKS_MAX]; /* of the disk, when each was acknowledged */
	int error;
	bool closed;
	uint64_t spans_left;
};

static void on_guard(uv_timer_t *timer)
{
	(void)timer;
	fputs("the pipeline hangs\n", stderr);
	abort();
}

static void on_round(void *context, int error)
{
	((struct pipe *)context)->error = error;
}

static void on_written(void *context, struct run *run)
{
	assembly_written(((struct pipe *)context)->depot.assembly, run);
}

static void on_progress(void *context, int error)
{
	(void)context;
	(void)error;
}

static void on_committed(void *context, uint64_t sequence, int status, int refused)
{
	struct pipe *pipe = context;

	assert_int_equal(sequence, pipe->first_sequence + pipe->answered++);
	if (status < 0)
		return;
	/* Never one behind another that isn't. */
	assert_int_equal(pipe->answered, pipe->acknowledged + 1);
	assert_true(pipe->acknowledged < ACKS_MAX);
	pipe->changes_at[pipe->acknowledged++] = fake_disk_changes(pipe->fake);
	pipe->refused += refused < 0;
}

static void pipe_open(struct pipe *pipe, struct fake_disk *fake)
{
	struct depot_config config = {.path = "store",
		.clock = &clock_system,
		.quiet_ms = 500,
		.hold_ms = 10000,
		.segment_bytes = 64 << 10,
		.part_bytes = 64 << 10,
		.pending_bytes = pending_limit,
		.max_clients = 100,
		.shards = shards,
		.reserve_bytes = 1};
	struct depot_error error;

	memset(pipe, 0, sizeof(*pipe));
	pipe->first_sequence = 1;
	pipe->fake = fake;
	pipe->disk = config.disk = fake_disk_disk(fake);
	assert_int_equal(uv_loop_init(&pipe->loop), 0);
	assert_int_equal(uv_timer_init(&pipe->loop, &pipe->guard), 0);
	assert_int_equal(uv_timer_start(&pipe->guard, on_guard, 60000, 0), 0);
	assert_int_equal(quotas_new(&(struct quota_limits){0}, NULL, NULL, &pipe->quotas), 0);
	assert_int_equal(quota_join(pipe->quotas, "someone", 0, &pipe->account), 0);
	if (depot_open(&config, &pipe->depot, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(intake_start(&(struct intake_config){.loop = &pipe->loop,
					      .log = pipe->depot.recovery.log,
					      .clients = pipe->depot.clients,
					      .assembly = pipe->depot.assembly,
					      .clock = &clock_system,
					      .decoders = decoders,
					      .pending_limit = pending_limit,
					      .on_round = on_round,
					      .context = pipe},
				 &pipe->intake),
		0);
	assert_int_equal(
		keepers_start(&(struct keeper_config){.loop = &pipe->loop,
				      .manifest = pipe->depot.recovery.manifest,
				      .clock = &clock_system,
				      .on_written = on_written,
				      .on_progress = on_progress,
				      .context = pipe},
			pipe->depot.stores, assembly_shards(pipe->depot.assembly), &pipe->keepers),
		0);
}

static void on_keepers_closed(void *context, uint64_t spans_left)
{
	struct pipe *pipe = context;

	pipe->spans_left = spans_left;
	pipe->closed = true;
	uv_close((uv_handle_t *)&pipe->guard, NULL);
}

static void on_intake_closed(void *context)
{
	struct pipe *pipe = context;

	keepers_close(pipe->keepers, on_keepers_closed);
	depot_leave_stores(&pipe->depot);
}

static void see_account(void *context, const struct quota_view *view)
{
	*(uint64_t *)context = view->in_flight_bytes;
}

/* What waits for its commit, by the account: as much as the intake says. */
static uint64_t in_flight(const struct pipe *pipe)
{
	struct intake_counts counts;
	uint64_t bytes = 0;

	quotas_each(pipe->quotas, see_account, &bytes);
	if (pipe->intake != NULL) {
		intake_count(pipe->intake, &counts);
		assert_int_equal(counts.pending_bytes, bytes);
		assert_int_equal(counts.pending_batches,
			pipe->next_sequence + 1 - pipe->first_sequence - pipe->answered);
		assert_int_equal(intake_busy(pipe->intake), counts.pending_batches > 0);
	}
	return bytes;
}

static void pipe_close(struct pipe *pipe)
{
	intake_close(pipe->intake, on_intake_closed);
	assert_int_equal(uv_run(&pipe->loop, UV_RUN_DEFAULT), 0);
	assert_true(pipe->closed);
	pipe->intake = NULL;
	assert_int_equal(pipe->first_sequence + pipe->answered, pipe->next_sequence + 1);
	assert_int_equal(in_flight(pipe), 0);
	quota_leave(pipe->account);
	quotas_free(pipe->quotas);
	depot_close(&pipe->depot);
	assert_int_equal(uv_loop_close(&pipe->loop), 0);
}

static void wait_acknowledged(struct pipe *pipe, uint64_t count)
{
	while (pipe->acknowledged < count)
		(void)uv_run(&pipe->loop, UV_RUN_ONCE);
}

/* Hands everything held to the store and waits for it. */
static void pipe_drain(struct pipe *pipe)
{
	struct run *run;

	while ((run = assembly_take_oldest(pipe->depot.assembly, RUN_DRAIN, 0)) != NULL)
		keepers_put(pipe->keepers, run);
	while (keepers_busy(pipe->keepers))
		(void)uv_run(&pipe->loop, UV_RUN_ONCE);
	(void)uv_run(&pipe->loop, UV_RUN_NOWAIT);
}

/* ---- Batches ---------------------------------------------------------------------- */

/* Spans `from` to `to` of the tree of a trace; span i has parent i / 2. */
static struct slice make_batch(uint8_t *buffer, uint32_t trace, uint32_t from, uint32_t to)
{
	const struct batch_clock clock = {.ns_per_tick = 1,
		.close_raw = 1000000000,
		.close_realtime_ns = UINT64_C(1767950000000000000)};
	const struct shape_write shape = {
		.id = 1, .name = slice_of_text("test.operation"), .layer = slice_of_text("core")};
	struct trace_write trace_write = {{{0}}, {0}, NULL, 0};
	struct batch_writer writer;
	long length;

	trace_write.id.bytes[0] = 1;
	memcpy(trace_write.id.bytes + 12, &trace, sizeof(trace));
	batch_writer_init(&writer, buffer, to > TREE_SPANS ? 32 * 1024 : 8192);
	batch_writer_producer(&writer, slice_of_text("service"), 1, slice_of_text("host"), NULL, 0);
	batch_writer_clock(&writer, &clock);
	batch_writer_shape(&writer, &shape);
	batch_writer_section_begin(
		&writer, (uint64_t)(trace + 1) << 20, 900000000, 1, &trace_write);
	for (uint32_t i = from; i < to; i++) {
		const struct span_write span = {.shape = &shape,
			.sequence = i + 1,
			.distance = (uint16_t)(i == 0 ? 0 : i - i / 2),
			.end_raw = 950000000 + i,
			.duration_raw = 1000};

		assert_true(batch_writer_span(&writer, &span));
	}
	batch_writer_section_end(&writer);
	length = batch_writer_finish(&writer);
	assert_true(length > 0);
	return slice_of(buffer, (size_t)length);
}

static int try_offer(struct pipe *pipe, enum log_kind kind, struct slice bytes)
{
	struct ingest_offer what = {.kind = kind,
		.format = LOG_FORMAT_WAFT_V1,
		.peer = {.known = true, .pid = 1, .name = "someone", .name_length = 7},
		.account = pipe->account,
		.bytes = bytes};
	int status;

	memset(what.client, 7, sizeof(what.client));
	what.sequence = pipe->next_sequence + 1;
	status = ingest_offer(intake_ingest(pipe->intake), &what, on_committed, pipe);
	pipe->next_sequence += status == 0;
	return status;
}

static void offer(struct pipe *pipe, struct slice bytes)
{
	assert_int_equal(try_offer(pipe, LOG_BATCH, bytes), 0);
}

static void offer_tree(struct pipe *pipe, uint32_t trace)
{
	uint8_t buffer[8192];

	offer(pipe, make_batch(buffer, trace, 0, TREE_SPANS));
}

/* ---- What is in files --------------------------------------------------------------- */

struct lines {
	char **items;
	size_t count;
};

static void on_file(void *context, const char *path, const uint8_t *data, size_t length)
{
	struct lines *lines = context;
	size_t path_length = strlen(path);

	if (path_length < 6 || strcmp(path + path_length - 6, ".jsonl") != 0)
		return;
	while (length > 0) {
		const uint8_t *end = memchr(data, '\n', length);
		size_t line = end == NULL ? length : (size_t)(end - data) + 1;

		lines->items = realloc(lines->items, (lines->count + 1) * sizeof(char *));
		assert_non_null(lines->items);
		lines->items[lines->count++] = strndup((const char *)data, line);
		data += line;
		length -= line;
	}
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lines in all files, each one different. */
static size_t count_lines(struct fake_disk *fake)
{
	struct lines lines = {NULL, 0};
	size_t count;

	fake_disk_each(fake, on_file, &lines);
	if (lines.count > 0)
		qsort(lines.items, lines.count, sizeof(*lines.items), compare_lines);
	for (size_t i = 0; i < lines.count; i++) {
		if (i > 0)
			assert_string_not_equal(lines.items[i - 1], lines.items[i]);
	}
	for (size_t i = 0; i < lines.count; i++)
		free(lines.items[i]);
	count = lines.count;
	free(lines.items);
	return count;
}

/* Starts on the disk, writes all that waits, and counts what is in files. */
static size_t recovered_lines(struct fake_disk *fake)
{
	struct pipe pipe;

	pipe_open(&pipe, fake);
	pipe_drain(&pipe);
	pipe_close(&pipe);
	return count_lines(fake);
}

/* ---- Tests ---------------------------------------------------------------------------- */

static void test_through(void **state)
{
	struct fake_disk *fake = fake_disk_new();
	struct pipe pipe;
	struct intake_counts counts;

	(void)state;
	pipe_open(&pipe, fake);
	assert_true(pipe.depot.recovery.fresh);
	for (uint32_t i = 0; i < 20; i++)
		offer_tree(&pipe, i);
	assert_int_equal(pipe.acknowledged, 0);
	wait_acknowledged(&pipe, 20);
	offer(&pipe, slice_of_text("no batch"));
	wait_acknowledged(&pipe, 21);
	assert_int_equal(pipe.refused, 1);
	intake_count(pipe.intake, &counts);
	assert_int_equal(counts.spans, 20 * TREE_SPANS);
	assert_int_equal(counts.refused, 1);
	pipe_drain(&pipe);
	pipe_close(&pipe);
	assert_int_equal(pipe.spans_left, 0);
	assert_int_equal(count_lines(fake), 20 * TREE_SPANS);
	assert_int_equal(recovered_lines(fake), 20 * TREE_SPANS);
	fake_disk_free(fake);
}

/* A large batch, small ones, ones that don't decode, and what is no batch: they come to the
 * log in the order of their offers, whoever looked at them and however long it took. */
static void test_order(void **state)
{
	static uint8_t buffer[32 * 1024];
	struct fake_disk *fake = fake_disk_new();
	struct intake_counts counts;
	struct pipe pipe;

	(void)state;
	pipe_open(&pipe, fake);
	for (uint32_t i = 0; i < 40; i++) {
		offer(&pipe, make_batch(buffer, i, 0, i % 4 == 0 ? LARGE_SPANS : TREE_SPANS));
		if (i % 5 == 4)
			offer(&pipe, slice_of_text("no batch"));
		if (i % 5 == 2)
			assert_int_equal(try_offer(&pipe, LOG_DROP, slice_of_text("")), 0);
		assert_true(in_flight(&pipe) > 0);
		if (i % 8 == 7)
			(void)uv_run(&pipe.loop, UV_RUN_NOWAIT);
	}
	wait_acknowledged(&pipe, 56);
	assert_int_equal(in_flight(&pipe), 0);
	assert_int_equal(pipe.refused, 8);
	intake_count(pipe.intake, &counts);
	assert_int_equal(counts.batches, 40);
	assert_int_equal(counts.refused, 8);
	assert_int_equal(counts.drops, 8);
	assert_int_equal(counts.spans, 10 * LARGE_SPANS + 30 * TREE_SPANS);
	/* With none before it, what is no batch goes straight to the log. */
	assert_int_equal(try_offer(&pipe, LOG_DROP, slice_of_text("")), 0);
	wait_acknowledged(&pipe, 57);
	pipe_drain(&pipe);
	pipe_close(&pipe);
	assert_int_equal(count_lines(fake), 10 * LARGE_SPANS + 30 * TREE_SPANS);
	fake_disk_free(fake);
}

/* While the disk fails as much is taken as the limit says, and no more. */
static void test_room(void **state)
{
	static uint8_t buffer[32 * 1024];
	struct fake_disk *fake = fake_disk_new();
	struct slice large;
	uint32_t taken = 0;
	struct pipe pipe;
	int status;

	(void)state;
	pending_limit = 96 << 10;
	pipe_open(&pipe, fake);
	pending_limit = 1 << 20;
	large = make_batch(buffer, 0, 0, LARGE_SPANS);
	fake_disk_fail(fake, 0, UINT64_MAX, FAKE_FAIL, -EIO);
	do {
		status = try_offer(&pipe, LOG_BATCH, make_batch(buffer, taken, 0, LARGE_SPANS));
		taken += status == 0;
		if (taken % 4 == 0)
			(void)uv_run(&pipe.loop, UV_RUN_NOWAIT);
	} while (status == 0 && taken < 100);
	assert_int_equal(status, -EAGAIN);
	assert_true(taken * large.length <= 96 << 10);
	assert_true((taken + 2) * large.length > 96 << 10);
	while (pipe.error == 0)
		(void)uv_run(&pipe.loop, UV_RUN_ONCE);
	assert_int_equal(try_offer(&pipe, LOG_BATCH, large), -EAGAIN);
	assert_int_equal(pipe.acknowledged, 0);
	assert_true(in_flight(&pipe) > taken * large.length);
	fake_disk_fail(fake, 0, 0, FAKE_FAIL, 0);
	wait_acknowledged(&pipe, taken);
	assert_int_equal(in_flight(&pipe), 0);
	pipe_drain(&pipe);
	pipe_close(&pipe);
	assert_int_equal(count_lines(fake), taken * LARGE_SPANS);
	fake_disk_free(fake);
}

/* What the log can't hold is said at once. */
static void test_too_long(void **state)
{
	static char name[LOG_PEER_NAME_BYTES_MAX];
	static uint8_t body[LOG_PAYLOAD_BYTES_MAX + 1];
	struct fake_disk *fake = fake_disk_new();
	struct ingest_offer what = {.kind = LOG_BATCH,
		.format = LOG_FORMAT_WAFT_V1,
		.sequence = 1,
		.peer = {.known = true, .name = name, .name_length = sizeof(name)}};
	struct pipe pipe;

	(void)state;
	pipe_open(&pipe, fake);
	assert_int_equal(
		ingest_offer(intake_ingest(pipe.intake), &what, on_committed, &pipe), -EINVAL);
	offer(&pipe, slice_of(body, sizeof(body)));
	assert_int_equal(try_offer(&pipe, LOG_DROP, slice_of(body, sizeof(body))), -EINVAL);
	wait_acknowledged(&pipe, 1);
	assert_int_equal(pipe.refused, 1);
	pipe_close(&pipe);
	fake_disk_free(fake);
}

/* Closed while batches are on their way: each is answered, and what was acknowledged is
 * found again. */
static void test_close(void **state)
{
	static uint8_t buffer[32 * 1024];

	(void)state;
	for (int rounds = 0; rounds < 4; rounds++) {
		struct fake_disk *fake = fake_disk_new();
		struct pipe pipe;

		pipe_open(&pipe, fake);
		for (uint32_t i = 0; i < 8; i++)
			offer(&pipe, make_batch(buffer, i, 0, LARGE_SPANS));
		for (int i = 0; i < rounds; i++)
			(void)uv_run(&pipe.loop, UV_RUN_NOWAIT);
		pipe_close(&pipe);
		assert_true(recovered_lines(fake) >= pipe.acknowledged * LARGE_SPANS);
		fake_disk_free(fake);
	}
}

/* While the disk fails nothing is acknowledged; then all of it is. */
static void test_failing_disk(void **state)
{
	struct fake_disk *fake = fake_disk_new();
	struct pipe pipe;

	(void)state;
	pipe_open(&pipe, fake);
	offer_tree(&pipe, 0);
	wait_acknowledged(&pipe, 1);
	fake_disk_fail(fake, 0, UINT64_MAX, FAKE_FAIL, -EIO);
	for (uint32_t i = 1; i < 10; i++)
		offer_tree(&pipe, i);
	while (pipe.error == 0)
		(void)uv_run(&pipe.loop, UV_RUN_ONCE);
	assert_int_equal(pipe.acknowledged, 1);
	fake_disk_fail(fake, 0, 0, FAKE_FAIL, 0);
	wait_acknowledged(&pipe, 10);
	while (pipe.error != 0)
		(void)uv_run(&pipe.loop, UV_RUN_ONCE);
	pipe_drain(&pipe);
	pipe_close(&pipe);
	assert_int_equal(count_lines(fake), 10 * TREE_SPANS);
	fake_disk_free(fake);
}

/* The store fails while the log is fine: what is acknowledged waits, is found
 * by the next start, and is written once. */
static void test_failing_store(void **state)
{
	struct fake_disk *fake = fake_disk_new();
	struct assembler_counts counts;
	struct pipe pipe;
	struct run *run;

	(void)state;
	pipe_open(&pipe, fake);
	for (uint32_t i = 0; i < 10; i++)
		offer_tree(&pipe, i);
	wait_acknowledged(&pipe, 10);
	fake_disk_fail(fake, 0, UINT64_MAX, FAKE_FAIL, -EIO);
	while ((run = assembly_take_oldest(pipe.depot.assembly, RUN_DRAIN, 0)) != NULL)
		keepers_put(pipe.keepers, run);
	assert_true(keepers_busy(pipe.keepers));
	assembly_count(pipe.depot.assembly, &counts);
	assert_int_equal(counts.spans, 10 * TREE_SPANS);
	pipe_close(&pipe);
	assert_int_equal(pipe.spans_left, 10 * TREE_SPANS);
	fake_disk_fail(fake, 0, 0, FAKE_FAIL, 0);
	assert_int_equal(recovered_lines(fake), 10 * TREE_SPANS);
	fake_disk_free(fake);
}

/* Trees cut into pieces, in any order, over restarts: every span once, and the
 * run of a tree that came whole has its root first. */
static void test_pieces(void **state)
{
	uint64_t random = 99;

	(void)state;
	for (int round = 0; round < 8; round++) {
		struct fake_disk *fake = fake_disk_new();
		uint8_t buffer[8192];
		struct pipe pipe;
		uint64_t sequence = 0;

		for (int start = 0; start < 3; start++) {
			pipe_open(&pipe, fake);
			pipe.next_sequence = sequence;
			pipe.first_sequence = sequence + 1;
			for (uint32_t i = 0; i < 24; i++) {
				/* Each start sends a third of each tree. */
				uint32_t piece = (uint32_t)(start + round) % 3 * TREE_SPANS / 3;
				uint32_t trace = (i * 7 + (uint32_t)round) % 24;

				offer(&pipe,
					make_batch(buffer, trace, piece, piece + TREE_SPANS / 3));
				random = random * 6364136223846793005u + 1;
				if (random >> 62 == 0)
					pipe_drain(&pipe);
			}
			wait_acknowledged(&pipe, 24);
			sequence = pipe.next_sequence;
			pipe_close(&pipe);
		}
		assert_int_equal(recovered_lines(fake), 24 * TREE_SPANS);
		fake_disk_free(fake);
	}
}

/* Power loss at any moment: what was acknowledged before it is there, once. */
static void test_crashes(void **state)
{
	struct fake_disk *fake = fake_disk_new();
	uint64_t acknowledged;
	struct pipe pipe;
	size_t changes;

	(void)state;
	pipe_open(&pipe, fake);
	for (uint32_t i = 0; i < 30; i++) {
		offer_tree(&pipe, i);
		wait_acknowledged(&pipe, i + 1);
		if (i % 5 == 4)
			pipe_drain(&pipe);
	}
	pipe_close(&pipe);
	changes = fake_disk_changes(fake);
	for (size_t at = 0; at <= changes; at += 1 + changes / 60) {
		for (enum fake_crash mode = FAKE_KILLED; mode <= FAKE_RANDOM; mode++) {
			struct fake_disk *after = fake_disk_crash(fake, at, mode, at + 1);
			size_t lines = recovered_lines(after);

			acknowledged = 0;
			while (acknowledged < pipe.acknowledged &&
				pipe.changes_at[acknowledged] <= at)
				acknowledged++;
			assert_true(lines >= acknowledged * TREE_SPANS);
			assert_int_equal(lines % TREE_SPANS, 0);
			fake_disk_free(after);
		}
	}
	fake_disk_free(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_through),
		cmocka_unit_test(test_failing_disk),
		cmocka_unit_test(test_failing_store),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_crashes),
	};
	const struct CMUnitTest intake_tests[] = {
		cmocka_unit_test(test_through),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_failing_disk),
	};

	int failed = 0;

	log_line_set_fd(-1);
	for (shards = 1; shards <= 3; shards++)
		failed += cmocka_run_group_tests(tests, NULL, NULL);
	shards = 1;
	for (decoders = 0; decoders <= 3; decoders++)
		failed += cmocka_run_group_tests(intake_tests, NULL, NULL);
	return failed;
}
