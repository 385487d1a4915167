/*
 * Parts and what is done with them: names, days, rolling, foreign files, retention,
 * forgetting of the log; and the real disk's care for links and locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "export.h"
#include "support/store_world.h"

/* ---- Names and days ------------------------------------------------------------- */

static void test_names(void **state)
{
	static const char *const good[] = {"2026-01-09.jsonl", "2026-01-09.0002.jsonl",
		"2026-01-09.jsonl.zst", "2026-01-09.12345.jsonl.zst", "1970-01-01.jsonl",
		"2024-02-29.jsonl", "9999-12-31.jsonl", "0000-03-01.jsonl"};
	static const char *const bad[] = {"", "2026-01-09", "2026-01-09.json", "2026-1-9.jsonl",
		"2026-02-29.jsonl", "2026-13-01.jsonl", "2026-01-32.jsonl", "2026-01-09.0001.jsonl",
		"2026-01-09.2.jsonl", "2026-01-09.00002.jsonl", "2026-01-09.jsonl.gz",
		"2026-01-09.1000000.jsonl", "2026-01-09.0002.jsonl.zst.zst", "x026-01-09.jsonl",
		"2026-01-09.99999999999999999999.jsonl", "2026-01-09.-002.jsonl"};
	struct part_name name;
	char text[PART_NAME_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(part_name_parse(good[i], &name), 0);
		assert_int_equal(part_name_format(&name, text), 0);
		assert_string_equal(text, good[i]);
		assert_true(part_name_is_traces(good[i]));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(part_name_parse(bad[i], &name), -EINVAL);
	assert_false(part_name_is_traces(".hidden.jsonl"));
	assert_false(part_name_is_traces("notes.txt"));
	assert_true(part_name_is_traces("traces.jsonl"));
}

static void test_days(void **state)
{
	const uint64_t noon = 20462 * DAY_NS + DAY_NS / 2;

	(void)state;
	assert_int_equal(day_from_date(1970, 1, 1), 0);
	assert_int_equal(day_from_date(2026, 1, 9), 20462);
	for (int32_t day = -800000; day < 3000000; day += 97) {
		unsigned month, date;
		int year;

		day_to_date(day, &year, &month, &date);
		assert_int_equal(day_from_date(year, month, date), day);
	}
	assert_int_equal(day_of_run(noon, noon + 5), 20462);
	assert_int_equal(day_of_run(noon - DAY_NS, noon), 20461);
	assert_int_equal(day_of_run(noon - DAY_NS - 1, noon), 20462);
	assert_int_equal(day_of_run(noon + DAY_NS, noon), 20463);
	assert_int_equal(day_of_run(noon + DAY_NS + 1, noon), 20462);
	assert_int_equal(day_of_run(0, noon), 20462);
}

/* ---- Lent memory ------------------------------------------------------------------- */

/* What doesn't fit leaves it, whole, and nothing is written beyond it or freed. */
static void test_lent_bytes(void **state)
{
	char memory[16] = "";
	struct bytes bytes = bytes_lend(memory, 12);

	(void)state;
	assert_int_equal(bytes_put(&bytes, "0123456789", 10), 0);
	assert_ptr_equal(bytes.data, memory);
	assert_int_equal(bytes_put(&bytes, "abcdef", 6), 0);
	assert_ptr_not_equal(bytes.data, memory);
	assert_int_equal(bytes.length, 16);
	assert_memory_equal(bytes.data, "0123456789abcdef", 16);
	assert_memory_equal(memory, "0123456789\0\0\0\0\0", 16);
	assert_int_equal(bytes_own(&bytes), 0);
	assert_int_equal(bytes.length, 16);
	bytes_done(&bytes);
	bytes = bytes_lend(memory, sizeof(memory));
	assert_int_equal(bytes_put(&bytes, "xyz", 3), 0);
	assert_int_equal(bytes_own(&bytes), 0);
	memset(memory, 0, sizeof(memory));
	assert_memory_equal(bytes.data, "xyz", 3);
	bytes_done(&bytes);
	bytes = bytes_lend(memory, sizeof(memory));
	bytes_done(&bytes);
	assert_null(bytes.data);
}

/* ---- In the world ------------------------------------------------------------------ */

struct run {
	struct fake_disk *fake;
	struct world_history *history;
	struct random random;
	struct world world;
};

static void open_run(struct run *run, uint64_t part_bytes)
{
	run->world = (struct world){.segment_bytes = 3000, .part_bytes = part_bytes};
	assert_int_equal(world_open(&run->world, run->fake, run->history), 0);
}

static void begin(struct run *run)
{
	run->fake = fake_disk_new();
	run->history = world_history_new();
	run->random = (struct random){.state = 11};
}

static void end(struct run *run)
{
	world_close(&run->world);
	fake_disk_free(run->fake);
	free(run->history);
}

static void send_and_write(struct run *run, unsigned batches)
{
	for (unsigned i = 0; i < batches; i++)
		world_send(&run->world, &run->random);
	assert_int_equal(world_commit(&run->world), 0);
	assert_int_equal(world_write(&run->world, NULL, true), 0);
	assert_int_equal(run->world.put_status, 0);
}

static void test_foreign_files(void **state)
{
	static const char foreign[] = "{\"trace_id\":\"made by another tracer\"}\n";
	struct run run;
	const uint8_t *data;
	size_t length;

	(void)state;
	begin(&run);
	fake_disk_put(run.fake, "2026-02-15.jsonl", foreign, sizeof(foreign) - 1);
	fake_disk_put(run.fake, "2026-02-15.0002.jsonl.zst", foreign, sizeof(foreign) - 1);
	open_run(&run, 4000);
	send_and_write(&run, 10);
	data = fake_disk_content(run.fake, "2026-02-15.jsonl", &length);
	assert_int_equal(length, sizeof(foreign) - 1);
	assert_memory_equal(data, foreign, length);
	assert_null(fake_disk_content(run.fake, "2026-02-15.0002.jsonl", &length));
	assert_non_null(fake_disk_content(run.fake, "2026-02-15.0003.jsonl", &length));
	end(&run);
}

static void test_parts_roll(void **state)
{
	struct run run;
	size_t closed = 0;
	const struct manifest_state *manifest;

	(void)state;
	begin(&run);
	open_run(&run, 4000);
	for (int i = 0; i < 12; i++)
		send_and_write(&run, 8);
	world_check(&run.world, SIZE_MAX - 1, "rolled");
	manifest = manifest_state(run.world.recovery.manifest);
	for (size_t i = 0; i < manifest->part_count; i++) {
		closed += manifest->parts[i].state == PART_CLOSED;
		assert_int_equal(manifest->parts[i].state == PART_CLOSED,
			manifest->parts[i].length_bytes >= 4000);
	}
	assert_true(closed > 2);
	end(&run);
}

/* Parts that are written by whole blocks: lines before, behind and between them. */
static void test_whole_blocks(void **state)
{
	struct run run;

	(void)state;
	begin(&run);
	run.world = (struct world){.segment_bytes = 1 << 20, .buffer_bytes = 100000};
	assert_int_equal(world_open(&run.world, run.fake, run.history), 0);
	for (unsigned int i = 1; i < 12; i++)
		send_and_write(&run, 12 * i);
	assert_true(fake_disk_direct_writes(run.fake) > 40);
	world_check(&run.world, SIZE_MAX - 1, "whole blocks");
	end(&run);
}

/* A round whose runs are of two days by turns: each line is where its day's are. */
static void test_two_days_in_a_round(void **state)
{
	(void)state;
	for (uint64_t before = 1; before <= 6; before++) {
		struct run run;

		begin(&run);
		run.history->base_ns = 20500 * DAY_NS - before * (DAY_NS / 86400);
		run.world = (struct world){.segment_bytes = 1 << 20, .buffer_bytes = 100000};
		assert_int_equal(world_open(&run.world, run.fake, run.history), 0);
		send_and_write(&run, 24);
		send_and_write(&run, 24);
		assert_int_equal(manifest_state(run.world.recovery.manifest)->part_count, 2);
		world_check(&run.world, SIZE_MAX - 1, "two days");
		end(&run);
	}
}

/* A run of many bytes goes into its file in pieces (which world_open's store looks at),
 * all of one day, and each span once. */
static void test_pieces(void **state)
{
	struct run run;

	(void)state;
	begin(&run);
	run.world = (struct world){.segment_bytes = 1 << 20, .buffer_bytes = 4000};
	assert_int_equal(world_open(&run.world, run.fake, run.history), 0);
	for (unsigned int i = 0; i < 4; i++)
		send_and_write(&run, 100);
	world_check(&run.world, SIZE_MAX - 1, "in pieces");
	world_check_told(&run.world, "in pieces");
	end(&run);
}

static uint64_t written(const struct run *run)
{
	struct writer_stats stats;

	writer_get_stats(run->world.store, &stats);
	return stats.spans_written;
}

static void send_and_gather(struct run *run)
{
	int error = 0;

	for (unsigned i = 0; i < 8; i++)
		world_send(&run->world, &run->random);
	assert_int_equal(world_commit(&run->world), 0);
	assert_int_equal(world_write(&run->world, NULL, true), 0);
	assert_int_equal(run->world.put_status, 1);
	assert_true(store_work(run->world.store, run->world.now, &error) > 0);
	assert_int_equal(error, 0);
}

/* Commits are some way apart; what needs the files settled commits before that. */
static void test_gathers(void **state)
{
	const struct retention nothing = {.max_bytes = UINT64_MAX};
	struct manifest_part part;
	struct run run;
	uint64_t before;
	bool pressed;
	int error;

	(void)state;
	begin(&run);
	run.world = (struct world){
		.segment_bytes = 1 << 20, .buffer_bytes = 1 << 20, .gather_steps = 1000};
	assert_int_equal(world_open(&run.world, run.fake, run.history), 0);
	/* The first after a pause waits for nothing. */
	send_and_write(&run, 8);
	before = written(&run);
	assert_true(before > 0);
	send_and_gather(&run);
	send_and_gather(&run);
	assert_int_equal(written(&run), before);
	assert_int_equal(store_work(run.world.store, STORE_NOW, &error), 0);
	assert_int_equal(run.world.put_status, 0);
	assert_true(written(&run) > before);
	send_and_gather(&run);
	assert_int_equal(writer_trim_log(run.world.store), 0);
	assert_int_equal(run.world.put_status, 0);
	send_and_gather(&run);
	assert_int_equal(writer_retain(run.world.store, &nothing), 0);
	assert_int_equal(run.world.put_status, 0);
	send_and_gather(&run);
	assert_int_equal(writer_seal_next(run.world.store,
				 &(struct seal_rule){.after_ns = UINT64_MAX}, &part, &pressed),
		0);
	assert_int_equal(run.world.put_status, 0);
	send_and_gather(&run);
	assert_int_equal(store_work(run.world.store, run.world.now + 1000, &error), 0);
	assert_int_equal(run.world.put_status, 0);
	world_check(&run.world, SIZE_MAX - 1, "gathered");
	end(&run);
}

/* A span that stands in two runs of a put is stored once, also when the first of them was committed
 * before the second is looked at. */
static void test_put_has_spans_twice(void **state)
{
	struct world *world;
	struct run run;
	uint64_t before;
	size_t sent;

	(void)state;
	begin(&run);
	run.world = (struct world){.segment_bytes = 1 << 20, .buffer_bytes = 1, .run_spans = 1};
	world = &run.world;
	assert_int_equal(world_open(world, run.fake, run.history), 0);
	before = written(&run);
	for (unsigned int i = 0; i < 8; i++)
		world_send(world, &run.random);
	assert_int_equal(world_commit(world), 0);
	sent = world->waiting_count;
	assert_true(sent > 1);
	world->waiting = reallocarray(world->waiting, 2 * sent, sizeof(*world->waiting));
	assert_non_null(world->waiting);
	world->waiting_capacity = world->waiting_count = 2 * sent;
	memcpy(world->waiting + sent, world->waiting, sent * sizeof(*world->waiting));
	assert_int_equal(world_write(world, NULL, true), 0);
	assert_int_equal(written(&run), before + sent);
	world_check(world, SIZE_MAX - 1, "twice in a put");
	end(&run);
}

static struct world_waiting *copy_waiting(const struct world *world)
{
	struct world_waiting *copy = calloc(world->waiting_count + 1, sizeof(*copy));

	assert_non_null(copy);
	memcpy(copy, world->waiting, world->waiting_count * sizeof(*copy));
	return copy;
}

/* They are waiting (again), and nothing else. There were as many before. */
static void wait_again(struct world *world, const struct world_waiting *waiting, size_t count)
{
	assert_true(count <= world->waiting_capacity);
	memcpy(world->waiting, waiting, count * sizeof(*waiting));
	world->waiting_count = count;
}

/* Which spans are stored is asked of each put anew, also when nothing is committed in between. */
static void test_puts_of_a_round(void **state)
{
	struct world_waiting *stored;
	struct world *world;
	struct run run;
	size_t stored_count;
	uint64_t count;
	int error;

	(void)state;
	begin(&run);
	run.world = (struct world){
		.segment_bytes = 1 << 20, .buffer_bytes = 1 << 20, .gather_steps = 1000};
	world = &run.world;
	assert_int_equal(world_open(world, run.fake, run.history), 0);
	for (unsigned int i = 0; i < 8; i++)
		world_send(world, &run.random);
	assert_int_equal(world_commit(world), 0);
	stored = copy_waiting(world);
	stored_count = world->waiting_count;
	assert_int_equal(world_write(world, NULL, true), 0);
	count = written(&run);
	assert_int_equal(count, stored_count);
	for (int stored_first = 0; stored_first < 2; stored_first++) {
		if (stored_first == 1) {
			wait_again(world, stored, stored_count);
			assert_int_equal(world_write(world, NULL, true), 0);
		}
		for (unsigned int i = 0; i < 8; i++)
			world_send(world, &run.random);
		assert_int_equal(world_commit(world), 0);
		count += world->waiting_count;
		assert_int_equal(world_write(world, NULL, true), 0);
		if (stored_first == 0) {
			wait_again(world, stored, stored_count);
			assert_int_equal(world_write(world, NULL, true), 0);
		}
		assert_true(written(&run) < count);
		assert_int_equal(store_work(world->store, STORE_NOW, &error), 0);
		assert_int_equal(written(&run), count);
	}
	world_check(world, SIZE_MAX - 1, "puts of a round");
	free(stored);
	end(&run);
}

/* A long run of which some spans are stored, in pieces that begin anywhere. */
static void test_long_run_stored_in_part(void **state)
{
	struct world_waiting *all;
	struct world *world;
	struct run run;
	size_t sent;

	(void)state;
	begin(&run);
	run.world =
		(struct world){.segment_bytes = 1 << 20, .buffer_bytes = 10000, .run_spans = 1000};
	world = &run.world;
	assert_int_equal(world_open(world, run.fake, run.history), 0);
	for (unsigned int i = 0; i < 120; i++)
		world_send(world, &run.random);
	assert_int_equal(world_commit(world), 0);
	sent = world->waiting_count;
	assert_true(sent > 200);
	all = copy_waiting(world);
	world->waiting_count = 0;
	for (size_t i = 0; i < sent; i += 3)
		world->waiting[world->waiting_count++] = all[i];
	assert_int_equal(world_write(world, NULL, true), 0);
	assert_int_equal(written(&run), (sent + 2) / 3);
	wait_again(world, all, sent);
	assert_int_equal(world_write(world, NULL, true), 0);
	assert_int_equal(written(&run), sent);
	world_check(world, SIZE_MAX - 1, "stored in part");
	free(all);
	end(&run);
}

/* A span that comes again before the round that has it is committed is stored once; a round
 * that has gathered enough is committed before its time. */
static void test_round_knows_its_spans(void **state)
{
	struct run run;
	uint64_t before;
	size_t sent;
	int error;

	(void)state;
	begin(&run);
	run.world = (struct world){
		.segment_bytes = 1 << 20, .buffer_bytes = 20000, .gather_steps = 1000};
	assert_int_equal(world_open(&run.world, run.fake, run.history), 0);
	send_and_write(&run, 8);
	before = written(&run);
	for (unsigned int i = 0; i < 8; i++)
		world_send(&run.world, &run.random);
	assert_int_equal(world_commit(&run.world), 0);
	sent = run.world.waiting_count;
	assert_true(sent > 0);
	for (int again = 0; again < 2; again++) {
		run.world.waiting_count = sent;
		assert_int_equal(world_write(&run.world, NULL, true), 0);
	}
	assert_int_equal(written(&run), before);
	assert_int_equal(store_work(run.world.store, STORE_NOW, &error), 0);
	assert_int_equal(written(&run), before + sent);
	world_check(&run.world, SIZE_MAX - 1, "sent again");
	before = written(&run);
	for (unsigned int i = 0; i < 20; i++)
		send_and_gather(&run);
	assert_true(written(&run) > before);
	end(&run);
}

/* A buffer of less than a block is one of a block. */
static void test_tiny_buffers(void **state)
{
	struct run run;

	(void)state;
	for (size_t bytes = 1; bytes <= 5; bytes++) {
		begin(&run);
		run.world = (struct world){.segment_bytes = 1 << 20, .buffer_bytes = bytes};
		assert_int_equal(world_open(&run.world, run.fake, run.history), 0);
		send_and_write(&run, 8);
		world_check(&run.world, SIZE_MAX - 1, "tiny buffers");
		end(&run);
	}
}

static void test_log_is_forgotten(void **state)
{
	struct run run;
	struct log_segment segments[64];
	size_t before;

	(void)state;
	begin(&run);
	open_run(&run, 1 << 20);
	for (int i = 0; i < 10; i++)
		send_and_write(&run, 8);
	before = log_segments(run.world.recovery.log, segments, 64);
	assert_true(before > 3);
	assert_int_equal(writer_trim_log(run.world.store), 0);
	assert_int_equal(log_segments(run.world.recovery.log, segments, 64), 1);
	world_close(&run.world);
	open_run(&run, 1 << 20);
	assert_int_equal(run.world.waiting_count, 0);
	world_check(&run.world, SIZE_MAX - 1, "trimmed");
	end(&run);
}

/* A segment whose records the clients' table doesn't include yet must stay, even when
 * it holds no spans that wait. */
static void test_log_waits_for_clients(void **state)
{
	static const uint8_t client[16] = {9};
	struct log_record record = {.kind = LOG_DROP,
		.format = LOG_FORMAT_WAFT_V1,
		.spans = 5,
		.receive_ns = 1,
		.sequence = 1};
	struct log_committed committed;
	struct client_info info;
	struct run run;
	uint64_t ticket;

	(void)state;
	begin(&run);
	open_run(&run, 1 << 20);
	memcpy(record.client, client, sizeof(client));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(log_append(run.world.recovery.log, &record, &ticket), 0);
		assert_int_equal(log_commit(run.world.recovery.log, &committed), 0);
		log_roll(run.world.recovery.log);
		record.sequence++;
	}
	/* Durable, and nobody told the clients' table: a kill here must not lose it. */
	assert_int_equal(writer_trim_log(run.world.store), 0);
	world_close(&run.world);
	open_run(&run, 1 << 20);
	assert_int_equal(clients_get(run.world.clients, client, &info), 0);
	assert_int_equal(info.sequence, 3);
	assert_int_equal(info.counts.dropped, 15);
	end(&run);
}

static void test_retention(void **state)
{
	const struct retention by_size = {.max_bytes = 9000};
	const struct retention by_age = {.max_age_ns = DAY_NS};
	struct writer_stats stats;
	struct run run;
	uint64_t written;
	size_t length;

	(void)state;
	begin(&run);
	open_run(&run, 4000);
	for (int i = 0; i < 10; i++)
		send_and_write(&run, 8);
	writer_get_stats(run.world.store, &stats);
	written = stats.spans_written;
	assert_true(stats.part_bytes > 12000);
	assert_true(writer_retain(run.world.store, &by_size) > 0);
	writer_get_stats(run.world.store, &stats);
	assert_true(stats.part_bytes <= 9000);
	assert_int_equal(stats.spans_written, written);
	assert_true(stats.spans_expired > 0);
	assert_null(fake_disk_content(run.fake, "2026-02-15.jsonl", &length));
	/* Counts outlive a restart, and writing goes on. */
	world_close(&run.world);
	open_run(&run, 4000);
	writer_get_stats(run.world.store, &stats);
	assert_int_equal(stats.spans_written, written);
	assert_true(stats.spans_expired > 0);
	send_and_write(&run, 4);
	/* The clock is far behind the parts' days or far ahead: by the real one all is old. */
	assert_true(writer_retain(run.world.store, &by_age) >= 0);
	end(&run);
}

/* What is to be free of the cap. */
static void test_retention_ahead(void **state)
{
	struct retention retention = {.ahead_bytes = UINT64_C(1) << 40};
	struct writer_stats stats;
	uint64_t bytes;
	struct run run;

	(void)state;
	begin(&run);
	open_run(&run, 4000);
	for (int i = 0; i < 10; i++)
		send_and_write(&run, 8);
	writer_get_stats(run.world.store, &stats);
	bytes = stats.part_bytes;
	assert_int_equal(writer_retain(run.world.store, &retention), 0);
	retention.max_bytes = bytes * 2;
	retention.ahead_bytes = bytes;
	assert_int_equal(writer_retain(run.world.store, &retention), 0);
	/* The oldest isn't removed for the room that its own seal takes. */
	retention.seal_bytes = bytes / 2;
	retention.seal_part = 1;
	assert_int_equal(writer_retain(run.world.store, &retention), 0);
	retention.seal_part = UINT32_MAX;
	assert_true(writer_retain(run.world.store, &retention) > 0);
	writer_get_stats(run.world.store, &stats);
	assert_in_range(stats.part_bytes, 1, bytes / 2);
	end(&run);
}

/* For lack of room the newest is sealed, what retention removes last; none that it removes before
 * that was worth it. */
static void test_seal_for_room(void **state)
{
	struct seal_rule rule = {.after_ns = UINT64_MAX, .max_bytes = 1};
	struct manifest_part newest, next, part;
	struct writer_stats stats;
	struct run run;
	bool pressed;

	(void)state;
	begin(&run);
	open_run(&run, 4000);
	for (int i = 0; i < 10; i++)
		send_and_write(&run, 8);
	writer_get_stats(run.world.store, &stats);
	rule.max_bytes = stats.part_bytes * 2;
	assert_int_equal(writer_seal_next(run.world.store, &rule, &part, &pressed), 0);
	assert_false(pressed);
	rule.max_bytes = stats.part_bytes + 1000;
	assert_int_equal(writer_seal_next(run.world.store, &rule, &newest, &pressed), 1);
	assert_true(pressed);
	/* Of what is left it's the newest again. */
	writer_seal_refuse(run.world.store, newest.id);
	assert_int_equal(writer_seal_next(run.world.store, &rule, &next, &pressed), 1);
	assert_true(next.name.day < newest.name.day ||
		    (next.name.day == newest.name.day && next.name.number < newest.name.number));
	/* All behind it is written in less time than sealing it takes. */
	rule.fill_bytes_per_s = UINT64_C(1) << 40;
	assert_int_equal(writer_seal_next(run.world.store, &rule, &part, &pressed), 0);
	assert_true(pressed);
	rule.fill_bytes_per_s = 1000;
	assert_int_equal(writer_seal_next(run.world.store, &rule, &part, &pressed), 1);
	assert_int_equal(part.id, next.id);
	end(&run);
}

/* Killed between the record and the unlink: the file must not come back as foreign. */
static void test_retention_killed(void **state)
{
	const struct retention all = {.max_bytes = 1};
	struct run run;
	size_t from;

	(void)state;
	begin(&run);
	open_run(&run, 4000);
	for (int i = 0; i < 4; i++)
		send_and_write(&run, 8);
	from = fake_disk_changes(run.fake);
	assert_true(writer_retain(run.world.store, &all) > 0);
	for (size_t at = from; at <= fake_disk_changes(run.fake); at++) {
		for (int mode = FAKE_KILLED; mode <= FAKE_RANDOM; mode++) {
			struct fake_disk *crashed =
				fake_disk_crash(run.fake, at, (enum fake_crash)mode, at);
			struct world world = {.segment_bytes = 3000, .part_bytes = 4000};
			const struct manifest_state *manifest;
			size_t length;
			char name[PART_NAME_BYTES];

			assert_int_equal(world_open(&world, crashed, run.history), 0);
			manifest = manifest_state(world.recovery.manifest);
			assert_int_equal(world.recovery.parts_missing, 0);
			for (size_t i = 0; i < 3; i++) {
				struct part_name part = {.day = 20499, .number = (uint32_t)i + 1};

				assert_int_equal(part_name_format(&part, name), 0);
				if (fake_disk_content(crashed, name, &length) != NULL)
					assert_non_null(manifest_part_by_name(manifest, &part));
			}
			world_close(&world);
			fake_disk_free(crashed);
		}
	}
	end(&run);
}

/* A batch that rots in the log before it is written: its spans are given up, counted and
 * set aside; the others go on. */
static void test_rotten_record(void **state)
{
	struct writer_stats stats;
	struct run run;
	const uint8_t *data;
	uint8_t *changed;
	size_t length;

	(void)state;
	begin(&run);
	open_run(&run, 1 << 20);
	for (int i = 0; i < 6; i++)
		world_send(&run.world, &run.random);
	assert_int_equal(world_commit(&run.world), 0);
	data = fake_disk_content(run.fake, ".waft/log/0000000000000001.log", &length);
	changed = malloc(length);
	assert_non_null(changed);
	memcpy(changed, data, length);
	changed[LOG_SEGMENT_HEADER_BYTES + 100] ^= 1;
	fake_disk_remove(run.fake, ".waft/log/0000000000000001.log");
	fake_disk_put(run.fake, ".waft/log/0000000000000001.log", changed, length);
	free(changed);
	assert_int_equal(world_write(&run.world, NULL, true), 0);
	assert_int_equal(run.world.put_status, 0);
	writer_get_stats(run.world.store, &stats);
	assert_true(stats.spans_quarantined > 0 || run.history->batches[0].span_count == 0);
	assert_int_equal(stats.spans_written + stats.spans_quarantined, run.history->span_count);
	assert_int_equal(manifest_state(run.world.recovery.manifest)->quarantine_count,
		run.history->batches[0].span_count > 0);
	end(&run);
}

/* ---- The real disk ------------------------------------------------------------------- */

static void test_real_disk(void **state)
{
	char path[] = "test-store-XXXXXX";
	char below[64];
	struct disk disk;
	struct disk_stat st;
	struct store_dirs dirs, second;
	int file;

	(void)state;
	disk_real(&disk);
	assert_non_null(mkdtemp(path));
	snprintf(below, sizeof(below), "%s/a/traces", path);
	assert_int_equal(store_dirs_open(&disk, below, false, &dirs), -ENOENT);
	assert_int_equal(store_dirs_open(&disk, below, true, &dirs), 0);
	assert_int_equal(store_lock(&disk, &dirs), 0);
	assert_int_equal(store_dirs_open(&disk, below, true, &second), 0);
	assert_int_equal(store_lock(&disk, &second), -EWOULDBLOCK);
	store_dirs_close(&disk, &second);
	/* Neither links nor other things are taken for files. */
	file = disk_open(&disk, dirs.top, "file", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	assert_true(file >= 0);
	assert_int_equal(disk_write(&disk, file, "abc", 3, 5), 0);
	assert_int_equal(disk_sync(&disk, file), 0);
	assert_int_equal(disk_stat_file(&disk, file, &st), 0);
	assert_int_equal(st.length_bytes, 8);
	disk_close(&disk, file);
	assert_int_equal(
		disk_open(&disk, dirs.top, "file", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE),
		-EEXIST);
	assert_int_equal(symlinkat("file", dirs.top, "symbolic"), 0);
	assert_int_equal(disk_open(&disk, dirs.top, "symbolic", DISK_READ), -ELOOP);
	assert_int_equal(linkat(dirs.top, "file", dirs.top, "hard", 0), 0);
	assert_int_equal(disk_open(&disk, dirs.top, "file", DISK_READ), -EMLINK);
	assert_int_equal(mkfifoat(dirs.top, "fifo", 0600), 0);
	assert_int_equal(disk_open(&disk, dirs.top, "fifo", DISK_READ), -EINVAL);
	assert_int_equal(disk_open_dir(&disk, dirs.top, "symbolic", true), -ENOTDIR);
	assert_int_equal(disk_rename(&disk, dirs.top, "file", dirs.top, "hard", false), -EEXIST);
	assert_int_equal(disk_unlink(&disk, dirs.top, "hard"), 0);
	assert_int_equal(disk_rename(&disk, dirs.top, "file", dirs.waft, "moved", false), 0);
	assert_int_equal(disk_sync_dir(&disk, dirs.waft), 0);
	assert_int_equal(disk_stat_name(&disk, dirs.waft, "moved", &st), 0);
	store_dirs_close(&disk, &dirs);
	/* Ends with the test's directory gone. */
	snprintf(below, sizeof(below), "rm -r %s", path);
	assert_int_equal(system(below), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_lent_bytes),
		cmocka_unit_test(test_foreign_files),
		cmocka_unit_test(test_parts_roll),
		cmocka_unit_test(test_whole_blocks),
		cmocka_unit_test(test_two_days_in_a_round),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_gathers),
		cmocka_unit_test(test_put_has_spans_twice),
		cmocka_unit_test(test_puts_of_a_round),
		cmocka_unit_test(test_long_run_stored_in_part),
		cmocka_unit_test(test_round_knows_its_spans),
		cmocka_unit_test(test_tiny_buffers),
		cmocka_unit_test(test_log_is_forgotten),
		cmocka_unit_test(test_log_waits_for_clients),
		cmocka_unit_test(test_retention),
		cmocka_unit_test(test_retention_ahead),
		cmocka_unit_test(test_seal_for_room),
		cmocka_unit_test(test_retention_killed),
		cmocka_unit_test(test_rotten_record),
		cmocka_unit_test(test_real_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
