/*
 * The log alone: places, limits, records in groups, and what a scan makes of torn and
 * damaged ones.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumed.h"
#include "cursor.h"
#include "log.h"
#include "support/fake_disk.h"

#define FIRST_SEGMENT "log/0000000000000001.log"

struct rig {
	struct fake_disk *fake;
	struct disk *disk;
	int root;
	int dir;
	struct log *log;
};

static void begin(struct rig *rig, const struct log_config *extra)
{
	struct log_config config = *extra;

	rig->fake = fake_disk_new();
	rig->disk = fake_disk_disk(rig->fake);
	rig->root = disk_open_root(rig->disk, "store", true);
	rig->dir = disk_open_dir(rig->disk, rig->root, "log", true);
	config.disk = rig->disk;
	config.dir = rig->dir;
	config.next_segment = 1;
	config.reserve_bytes = 1;
	assert_int_equal(log_open(&config, &rig->log), 0);
}

static void end(struct rig *rig)
{
	log_close(rig->log);
	disk_close(rig->disk, rig->dir);
	disk_close(rig->disk, rig->root);
	fake_disk_free(rig->fake);
}

/* A record whose payload is its sequence, `length` bytes of it. */
static int append(struct rig *rig, uint64_t sequence, size_t length, uint64_t *ret_ticket)
{
	static uint8_t payload[LOG_PAYLOAD_BYTES_MAX + 1];
	struct log_record record = {.kind = LOG_BATCH,
		.format = LOG_FORMAT_WAFT_V1,
		.spans = 2,
		.receive_ns = sequence * 1000,
		.client = {1, 2, 3},
		.sequence = sequence,
		.emitted = sequence * 2,
		.peer = {.known = true, .pid = 4, .uid = 5, .name = "name", .name_length = 4},
		.payload = payload,
		.payload_length = length};

	memset(payload, (int)sequence, length);
	return log_append(rig->log, &record, ret_ticket);
}

static void commit(struct rig *rig, size_t expected, struct log_committed *ret)
{
	assert_int_equal(log_commit(rig->log, ret), 0);
	assert_int_equal(ret->count, expected);
}

struct seen {
	uint64_t sequences[64];
	size_t count;
};

static int on_record(void *ctx, struct log_place place, const struct log_record *record)
{
	struct seen *seen = ctx;

	assert_true(place.offset >= LOG_SEGMENT_HEADER_BYTES);
	assert_int_equal(record->emitted, record->sequence * 2);
	assert_int_equal(record->peer.name_length, 4);
	assert_memory_equal(record->peer.name, "name", 4);
	for (size_t i = 0; i < record->payload_length; i++)
		assert_int_equal(record->payload[i], (uint8_t)record->sequence);
	assert_true(seen->count < 64);
	seen->sequences[seen->count++] = record->sequence;
	return 0;
}

static void scan(struct rig *rig, struct seen *seen, struct log_scan_result *ret)
{
	static const struct log_scan_ops ops = {.on_record = on_record};

	*seen = (struct seen){0};
	assert_int_equal(log_scan(rig->disk, rig->dir, NULL, 1, &ops, seen, ret), 0);
}

static void test_places(void **state)
{
	const struct log_config config = {.segment_bytes = 2000};
	struct log_committed committed;
	struct log_segment segments[8];
	struct log_reader *reader;
	struct log_place places[20];
	struct log_scan_result result;
	struct seen seen;
	struct rig rig;
	uint64_t ticket;

	(void)state;
	begin(&rig, &config);
	commit(&rig, 0, &committed);
	for (uint64_t i = 1; i <= 20; i++) {
		assert_int_equal(append(&rig, i, 10 + i * 7, &ticket), 0);
		assert_int_equal(ticket, i);
		if (i % 2 == 1)
			continue;
		assert_true(log_pending_bytes(rig.log) > 0);
		commit(&rig, 2, &committed);
		assert_int_equal(committed.first_ticket, i - 1);
		memcpy(&places[i - 2], committed.places, 2 * sizeof(places[0]));
		assert_int_equal(log_pending_bytes(rig.log), 0);
	}
	assert_true(log_segments(rig.log, segments, 8) > 1);
	assert_int_equal(segments[0].spans % 4, 0);
	assert_int_equal(log_reader_new(rig.disk, rig.dir, 0, &reader), 0);
	for (uint64_t i = 20; i >= 1; i--) {
		const struct log_record *record;

		assert_int_equal(log_reader_get(reader, places[i - 1], &record), 0);
		assert_int_equal(record->sequence, i);
		assert_int_equal(record->payload_length, 10 + i * 7);
		places[i - 1].offset += 8;
		assert_int_equal(log_reader_get(reader, places[i - 1], &record), -EBADMSG);
		places[i - 1].segment = 77;
		assert_int_equal(log_reader_get(reader, places[i - 1], &record), -ENOENT);
	}
	log_reader_free(reader);
	scan(&rig, &seen, &result);
	assert_int_equal(seen.count, 20);
	assert_int_equal(result.damaged_bytes + result.torn_bytes, 0);
	assert_int_equal(log_drop_below(rig.log, UINT32_MAX), 0);
	assert_int_equal(log_segments(rig.log, segments, 8), 1);
	assert_true(segments[0].open);
	end(&rig);
}

static void test_limits(void **state)
{
	const struct log_config config = {.pending_limit = 1000};
	struct log_committed committed;
	struct rig rig;
	uint64_t ticket;

	(void)state;
	begin(&rig, &config);
	assert_int_equal(append(&rig, 1, LOG_PAYLOAD_BYTES_MAX + 1, &ticket), -EINVAL);
	/* A single record may be larger than the limit. */
	assert_int_equal(append(&rig, 1, LOG_PAYLOAD_BYTES_MAX, &ticket), 0);
	assert_int_equal(append(&rig, 2, 1, &ticket), -EAGAIN);
	commit(&rig, 1, &committed);
	assert_int_equal(append(&rig, 2, 1, &ticket), 0);
	commit(&rig, 1, &committed);
	end(&rig);
}

/* Flips a bit of the first segment's file. */
static void flip(struct rig *rig, size_t at)
{
	size_t length;
	const uint8_t *content = fake_disk_content(rig->fake, FIRST_SEGMENT, &length);
	uint8_t *changed = malloc(length);

	assert_non_null(changed);
	memcpy(changed, content, length);
	changed[at] ^= 4;
	fake_disk_remove(rig->fake, FIRST_SEGMENT);
	fake_disk_put(rig->fake, FIRST_SEGMENT, changed, length);
	free(changed);
}

/* Of a group that nothing proves to have been synced, a broken record takes those
 * behind it with it: the client would else miss one that it never hears of again. */
static void test_torn_group(void **state)
{
	const struct log_config config = {0};
	struct log_committed committed;
	struct log_scan_result result;
	struct seen seen;
	struct rig rig;
	uint64_t ticket;

	(void)state;
	begin(&rig, &config);
	assert_int_equal(append(&rig, 1, 50, &ticket), 0);
	commit(&rig, 1, &committed);
	for (uint64_t i = 2; i <= 4; i++)
		assert_int_equal(append(&rig, i, 50, &ticket), 0);
	commit(&rig, 3, &committed);
	flip(&rig, committed.places[0].offset + 70);
	scan(&rig, &seen, &result);
	assert_int_equal(seen.count, 1);
	assert_int_equal(result.damaged_bytes, 0);
	assert_true(result.torn_bytes > 0);
	end(&rig);
}

/* A later group, or a mark, proves it: then it is damage of that record alone. */
static void test_damaged_record(void **state)
{
	const struct log_config config = {0};
	struct log_committed committed;
	struct log_scan_result result;
	struct log_place broken;
	struct seen seen;
	struct rig rig;
	uint64_t ticket;

	(void)state;
	for (int proof = 0; proof < 2; proof++) {
		begin(&rig, &config);
		for (uint64_t i = 1; i <= 3; i++)
			assert_int_equal(append(&rig, i, 50, &ticket), 0);
		commit(&rig, 3, &committed);
		broken = committed.places[0];
		if (proof == 0) {
			log_mark(rig.log);
		} else {
			assert_int_equal(append(&rig, 4, 50, &ticket), 0);
			commit(&rig, 1, &committed);
		}
		flip(&rig, broken.offset + 70);
		scan(&rig, &seen, &result);
		assert_int_equal(seen.count, 2 + proof);
		assert_int_equal(seen.sequences[0], 2);
		assert_true(result.damaged_bytes > 0);
		assert_int_equal(result.torn_bytes, 0);
		end(&rig);
	}
}

/* What a failed sync left behind counts for nothing, even when the bytes are whole. */
static void test_fence(void **state)
{
	const struct log_config config = {0};
	struct log_committed committed;
	struct log_scan_result result;
	struct seen seen;
	struct rig rig;
	uint64_t ticket;

	(void)state;
	begin(&rig, &config);
	assert_int_equal(append(&rig, 1, 50, &ticket), 0);
	commit(&rig, 1, &committed);
	assert_int_equal(append(&rig, 2, 50, &ticket), 0);
	/* The write succeeds, the sync does not. */
	fake_disk_fail(rig.fake, 1, 1, FAKE_FAIL, -EIO);
	commit(&rig, 1, &committed);
	assert_int_equal(committed.places[0].segment, 2);
	scan(&rig, &seen, &result);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.sequences[1], 2);
	assert_int_equal(result.damaged_bytes + result.torn_bytes, 0);
	end(&rig);
}

/* What is encoded comes back, in one piece or added to what was there. */
static void test_consumed_comes_back(void **state)
{
	struct consumed set = {0}, back = {0};
	struct bytes out = {0};
	struct cursor in;

	(void)state;
	srand(4);
	for (int i = 0; i < 3000; i++) {
		const struct ordinal ordinal = {.segment = 1 + (uint32_t)rand() % 3,
			.offset = 128 + 8 * ((uint32_t)rand() % 5),
			.position = (uint32_t)rand() % (i % 2 == 0 ? 130 : 1000)};

		assert_true(consumed_add(&set, &ordinal) >= 0);
		if (i == 500)
			assert_int_equal(consumed_merge(&back, &set), 0);
	}
	assert_int_equal(consumed_encode(&set, &out), 0);
	in = cursor_of_slice(slice_of(out.data, out.length));
	assert_int_equal(consumed_decode(&back, &in), 0);
	assert_int_equal(consumed_total(&back), consumed_total(&set));
	for (uint32_t at = 0; at < 3 * 5 * 1100; at++) {
		const struct ordinal ordinal = {.segment = 1 + at % 3,
			.offset = 128 + 8 * (at / 3 % 5),
			.position = at / 15};

		assert_int_equal(consumed_has(&back, &ordinal), consumed_has(&set, &ordinal));
	}
	consumed_done(&set);
	consumed_done(&back);
	bytes_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_torn_group),
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_consumed_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
