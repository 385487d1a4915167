/*
 * What other threads do for the store's: the pen writes lines, the remover frees what deleted
 * files took.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pen.h"
#include "support/store_world.h"

/* A fake disk that counts what other threads than the test's do. */
static const struct disk_ops *below;
static pthread_t own;
static atomic_uint other_writes;
static atomic_uint other_closes;
static atomic_int other_error; /* of their next write */

/* A slow pen, without a clock: each of its writes goes on when the store's thread waits for
 * another (pthread_cond_wait is this file's, by the linker's --wrap), or the test lets it. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool slow;
	bool awaited;
	unsigned waits; /* of the store's thread */
} pace = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);

/* Threads can't be made. */
static bool no_threads;

int __real_pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg);
int __wrap_pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg);

int __wrap_pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg)
{
	return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, start, arg);
}

static void set_awaited(bool awaited)
{
	pthread_mutex_lock(&pace.mutex);
	pace.awaited = awaited;
	pace.waits += awaited;
	pthread_cond_signal(&pace.changed);
	pthread_mutex_unlock(&pace.mutex);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	int ret;

	if (!pthread_equal(pthread_self(), own))
		return __real_pthread_cond_wait(condition, mutex);
	set_awaited(true);
	ret = __real_pthread_cond_wait(condition, mutex);
	set_awaited(false);
	return ret;
}

static void set_slow(bool slow)
{
	pthread_mutex_lock(&pace.mutex);
	pace.slow = slow;
	pace.waits = 0;
	pthread_cond_signal(&pace.changed);
	pthread_mutex_unlock(&pace.mutex);
}

static void wait_if_slow(void)
{
	pthread_mutex_lock(&pace.mutex);
	while (pace.slow && !pace.awaited)
		__real_pthread_cond_wait(&pace.changed, &pace.mutex);
	pthread_mutex_unlock(&pace.mutex);
}

static ssize_t count_write(
	struct disk *disk, int file, const struct iovec *parts, int count, uint64_t offset)
{
	int error;

	if (!pthread_equal(pthread_self(), own)) {
		atomic_fetch_add(&other_writes, 1);
		wait_if_slow();
		error = atomic_exchange(&other_error, 0);
		if (error != 0)
			return error;
	}
	return below->pwritev(disk, file, parts, count, offset);
}

/* A disk without room until what was removed is free, which is when that was asked once. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool full;
	bool asked;
} room = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void fill_room(void)
{
	room.full = true;
	room.asked = false;
}

static int unlink_error; /* of the next */
static unsigned own_closes;

static int fail_unlink(struct disk *disk, int dir, const char *name)
{
	int error = unlink_error;

	unlink_error = 0;
	return error != 0 ? error : below->unlink(disk, dir, name);
}

static int count_close(struct disk *disk, int file)
{
	if (!pthread_equal(pthread_self(), own)) {
		atomic_fetch_add(&other_closes, 1);
		pthread_mutex_lock(&room.mutex);
		while (room.full && !room.asked)
			__real_pthread_cond_wait(&room.changed, &room.mutex);
		room.full = false;
		pthread_mutex_unlock(&room.mutex);
	} else {
		own_closes++;
	}
	return below->close(disk, file);
}

static int ask_room(struct disk *disk, int dir, uint64_t *ret)
{
	bool full;

	pthread_mutex_lock(&room.mutex);
	full = room.full;
	room.asked |= full;
	pthread_cond_signal(&room.changed);
	pthread_mutex_unlock(&room.mutex);
	if (!full)
		return below->free_bytes(disk, dir, ret);
	*ret = 0;
	return 0;
}

/* All of what begins there is of one day, or the first three seconds. */
static const uint64_t noon_ns = 20499 * DAY_NS + DAY_NS / 2;
static const uint64_t late_ns = 20500 * DAY_NS - 3000000000;

static const struct world with_pen = {
	.segment_bytes = 1 << 20, .buffer_bytes = 100000, .pen = true};

struct run {
	struct fake_disk *fake;
	struct world_history *history;
	struct random random;
	struct world world;
	struct disk_ops ops;
};

/* Opens a world of these sizes, whose spans are from that time on. */
static void begin(struct run *run, const struct world *sizes, uint64_t base_ns)
{
	struct disk *disk;

	run->fake = fake_disk_new();
	run->history = world_history_new();
	run->history->base_ns = base_ns;
	run->random = (struct random){.state = 5};
	disk = fake_disk_disk(run->fake);
	below = disk->ops;
	run->ops = *below;
	run->ops.pwritev = count_write;
	run->ops.close = count_close;
	run->ops.free_bytes = ask_room;
	run->ops.unlink = fail_unlink;
	disk->ops = &run->ops;
	own = pthread_self();
	atomic_store(&other_writes, 0);
	atomic_store(&other_closes, 0);
	atomic_store(&other_error, 0);
	run->world = *sizes;
	assert_int_equal(world_open(&run->world, run->fake, run->history), 0);
}

static void end(struct run *run)
{
	world_close(&run->world);
	fake_disk_free(run->fake);
	free(run->history);
}

static int send_and_write(struct run *run, unsigned batches)
{
	for (unsigned i = 0; i < batches; i++)
		world_send(&run->world, &run->random);
	assert_int_equal(world_commit(&run->world), 0);
	return world_write(&run->world, NULL, true);
}

static void test_piece(void **state)
{
	static uint8_t data[2 * DISK_BLOCK_BYTES] __attribute__((aligned(DISK_BLOCK_BYTES)));
	struct fake_disk *fake = fake_disk_new();
	struct disk *disk = fake_disk_disk(fake);
	struct pen_piece piece = {.data = data, .length = sizeof(data)};
	const uint8_t *content;
	struct pen pen;
	size_t length;
	int root;

	(void)state;
	root = disk_open_root(disk, "/", false);
	piece.file = disk_open(disk, root, "x", DISK_WRITE | DISK_CREATE);
	pen_init(disk, &pen);
	assert_int_equal(pen_wait(&pen), 0);
	assert_true(pen_ready(&pen));
	for (uint8_t i = 1; i < 100; i++) {
		data[sizeof(data) - 1] = i;
		pen_write(&pen, &piece);
		assert_int_equal(pen_wait(&pen), 0);
		content = fake_disk_content(fake, "x", &length);
		assert_int_equal(length, sizeof(data));
		assert_int_equal(content[length - 1], i);
	}
	/* An error is told once. */
	fake_disk_fail(fake, 0, 1, FAKE_FAIL, -EIO);
	pen_write(&pen, &piece);
	assert_int_equal(pen_wait(&pen), -EIO);
	assert_int_equal(pen_wait(&pen), 0);
	/* What nobody waited for is written before the end. */
	data[sizeof(data) - 1] = 100;
	pen_write(&pen, &piece);
	pen_done(&pen);
	content = fake_disk_content(fake, "x", &length);
	assert_int_equal(content[length - 1], 100);
	disk_close(disk, piece.file);
	disk_close(disk, root);
	fake_disk_free(fake);
}

static void test_pen_writes_lines(void **state)
{
	struct run run;

	(void)state;
	begin(&run, &with_pen, noon_ns);
	for (unsigned int i = 1; i < 12; i++)
		assert_int_equal(send_and_write(&run, 12 * i), 0);
	assert_true(atomic_load(&other_writes) > 10);
	world_check(&run.world, SIZE_MAX - 1, "written by the pen");
	end(&run);
}

/* The same, but in the order of the store's thread. */
static void test_without_pen(void **state)
{
	struct world without = with_pen;
	struct run run;

	(void)state;
	without.pen = false;
	begin(&run, &without, noon_ns);
	for (unsigned int i = 1; i < 12; i++)
		assert_int_equal(send_and_write(&run, 12 * i), 0);
	assert_int_equal(atomic_load(&other_writes), 0);
	assert_true(fake_disk_direct_writes(run.fake) > 10);
	world_check(&run.world, SIZE_MAX - 1, "written without the pen");
	end(&run);
}

/* A day's lines are handed over when those of another are being written. */
static void test_two_days(void **state)
{
	struct run run;

	(void)state;
	begin(&run, &with_pen, late_ns);
	set_slow(true);
	assert_int_equal(send_and_write(&run, 240), 0);
	assert_true(pace.waits > 4);
	set_slow(false);
	assert_int_equal(manifest_state(run.world.recovery.manifest)->part_count, 2);
	world_check(&run.world, SIZE_MAX - 1, "two days");
	end(&run);
}

/* A round is forgotten while the pen writes for it: nothing comes behind what is cut off. */
static void test_forgotten(void **state)
{
	struct run run;
	uint64_t committed;
	size_t length;

	(void)state;
	begin(&run, &with_pen, noon_ns);
	assert_int_equal(send_and_write(&run, 12), 0);
	committed = manifest_state(run.world.recovery.manifest)->parts[0].length_bytes;
	set_slow(true);
	run.world.day_error = -EAGAIN;
	run.world.days_told = 20;
	atomic_store(&other_writes, 0);
	assert_int_equal(send_and_write(&run, 240), -EAGAIN);
	assert_int_equal(
		manifest_state(run.world.recovery.manifest)->parts[0].length_bytes, committed);
	set_slow(false);
	world_close(&run.world);
	assert_true(atomic_load(&other_writes) > 0);
	(void)fake_disk_content(run.fake, "2026-02-15.jsonl", &length);
	assert_int_equal(length, committed);
	fake_disk_free(run.fake);
	free(run.history);
}

/* The round is not committed, and its part as after any failed write; the lines are written once
 * when that works. */
static void pen_fails(int error, enum part_state then)
{
	const struct manifest_state *manifest;
	struct run run;
	int status;

	begin(&run, &with_pen, noon_ns);
	assert_int_equal(send_and_write(&run, 12), 0);
	atomic_store(&other_error, error);
	assert_int_equal(send_and_write(&run, 200), error);
	assert_int_equal(run.world.put_status, 1);
	assert_int_equal(atomic_load(&other_error), 0);
	manifest = manifest_state(run.world.recovery.manifest);
	assert_int_equal(manifest->part_count, 1);
	assert_int_equal(manifest->parts[0].state, then);
	assert_true(manifest->parts[0].length_bytes > 0);
	while (run.world.put_status == 1) {
		(void)store_work(run.world.store, STORE_NOW, &status);
		assert_int_equal(status, 0);
	}
	assert_int_equal(run.world.put_status, 0);
	assert_int_equal(manifest->part_count, then == PART_OPEN ? 1 : 2);
	world_check(&run.world, SIZE_MAX - 1, "written again");
	end(&run);
}

static void test_pen_fails(void **state)
{
	(void)state;
	pen_fails(-ENOSPC, PART_OPEN);
	pen_fails(-EIO, PART_CLOSED);
}

/* Gone when retention says so; freed by another thread. */
static void test_removal(void **state)
{
	static const struct world small_parts = {.segment_bytes = 1 << 20, .part_bytes = 4000};
	const struct retention by_size = {.max_bytes = 9000};
	struct run run;
	size_t length;
	int removed;

	(void)state;
	begin(&run, &small_parts, noon_ns);
	for (int i = 0; i < 10; i++)
		assert_int_equal(send_and_write(&run, 8), 0);
	assert_int_equal(atomic_load(&other_closes), 0);
	removed = writer_retain(run.world.store, &by_size);
	assert_true(removed > 1);
	assert_null(fake_disk_content(run.fake, "2026-02-15.jsonl", &length));
	assert_int_equal(send_and_write(&run, 8), 0);
	world_close(&run.world);
	assert_int_equal(atomic_load(&other_closes), removed);
	fake_disk_free(run.fake);
	free(run.history);
}

/* Bytes that are in parts. */
static uint64_t bytes_in_parts(const struct run *run)
{
	const struct manifest_state *state = manifest_state(run->world.recovery.manifest);
	uint64_t bytes = 0;

	for (size_t i = 0; i < state->part_count; i++)
		if (state->parts[i].state != PART_REMOVED)
			bytes += state->parts[i].length_bytes;
	return bytes;
}

/* Writing waits for the room of what was removed. */
static void test_room_of_removed(void **state)
{
	static const struct world small_parts = {.segment_bytes = 1 << 20, .part_bytes = 4000};
	struct retention one = {0};
	struct run run;

	(void)state;
	begin(&run, &small_parts, noon_ns);
	for (int i = 0; i < 10; i++)
		assert_int_equal(send_and_write(&run, 8), 0);
	for (unsigned i = 0; i < 8; i++)
		world_send(&run.world, &run.random);
	assert_int_equal(world_commit(&run.world), 0);
	one.max_bytes = bytes_in_parts(&run) - 1;
	fill_room();
	assert_int_equal(writer_retain(run.world.store, &one), 1);
	assert_int_equal(world_write(&run.world, NULL, true), 0);
	assert_false(room.full);
	end(&run);
}

/* What could not be deleted is told, and deleted the next time. */
static void test_removal_fails(void **state)
{
	static const struct world small_parts = {.segment_bytes = 1 << 20, .part_bytes = 4000};
	const struct retention nothing = {0};
	struct retention one = {0};
	struct run run;
	size_t length;

	(void)state;
	begin(&run, &small_parts, noon_ns);
	for (int i = 0; i < 10; i++)
		assert_int_equal(send_and_write(&run, 8), 0);
	one.max_bytes = bytes_in_parts(&run) - 1;
	unlink_error = -EIO;
	assert_int_equal(writer_retain(run.world.store, &one), -EIO);
	assert_non_null(fake_disk_content(run.fake, "2026-02-15.jsonl", &length));
	assert_int_equal(writer_retain(run.world.store, &nothing), 0);
	assert_null(fake_disk_content(run.fake, "2026-02-15.jsonl", &length));
	end(&run);
}

/* Without a thread it is freed by the store's. */
static void test_removal_without_thread(void **state)
{
	static const struct world small_parts = {.segment_bytes = 1 << 20, .part_bytes = 4000};
	struct retention one = {0};
	struct run run;
	unsigned closes;

	(void)state;
	begin(&run, &small_parts, noon_ns);
	for (int i = 0; i < 10; i++)
		assert_int_equal(send_and_write(&run, 8), 0);
	one.max_bytes = bytes_in_parts(&run) - 1;
	closes = own_closes;
	no_threads = true;
	assert_int_equal(writer_retain(run.world.store, &one), 1);
	no_threads = false;
	assert_int_equal(own_closes - closes, 1);
	assert_int_equal(atomic_load(&other_closes), 0);
	end(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_piece),
		cmocka_unit_test(test_pen_writes_lines),
		cmocka_unit_test(test_without_pen),
		cmocka_unit_test(test_two_days),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_pen_fails),
		cmocka_unit_test(test_removal),
		cmocka_unit_test(test_removal_fails),
		cmocka_unit_test(test_removal_without_thread),
		cmocka_unit_test(test_room_of_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
