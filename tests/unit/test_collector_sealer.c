/* The thread that seals: what it does behind all others, and how it writes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "crc32c.h"
#include "seal.h"
#include "sealer.h"

enum {
	SHORT_BYTES = 2 << 20,
	LONG_BYTES = 12 << 20,
	LINE_BYTES = 512,
	PIECE_BYTES_MAX = 512 << 10
};

/* What the real disk was asked for. */
static struct {
	const struct disk_ops *real;
	int write_out_fails;  /* -EIO …; 0 */
	uint64_t wait_ns;     /* for a processor, from the third read on */
	int hold_read;	      /* hold the thread up at the n-th read */
	atomic_bool released; /* it was, since it is no longer behind */
	atomic_uint reads_behind, changes, changes_behind;
	uint64_t written, written_out, synced, largest_piece, ahead;
	bool bare;
	unsigned int syncs;
} seen;

static struct disk_ops ops;
static struct disk disk;
static struct store_dirs dirs;
static char directory[] = "/tmp/waft-sealer-XXXXXX";
static struct manifest_part part;
static sem_t done, held, never;
static int policy_at_end, nice_at_end;

static bool wait_s(sem_t *of, unsigned int seconds)
{
	struct timespec end;
	int ret;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += seconds;
	while ((ret = sem_timedwait(of, &end)) != 0 && errno == EINTR)
		;
	return ret == 0;
}

static bool waited_ns(uint64_t *ret)
{
	*ret = atomic_load(&seen.reads_behind) >= 3 ? seen.wait_ns : 0;
	return true;
}

static bool is_behind(void)
{
	return sched_getscheduler(0) == SCHED_IDLE;
}

static void note_change(void)
{
	atomic_fetch_add(&seen.changes, 1);
	atomic_fetch_add(&seen.changes_behind, is_behind());
}

static ssize_t on_pread(struct disk *of, int file, void *data, size_t length, uint64_t offset)
{
	if (is_behind() && (int)atomic_fetch_add(&seen.reads_behind, 1) + 1 == seen.hold_read) {
		sem_post(&held);
		for (int i = 0; i < 20 && is_behind(); i++)
			wait_s(&never, 1);
		atomic_store(&seen.released, !is_behind());
	}
	return seen.real->pread(of, file, data, length, offset);
}

static void on_read_bare(struct disk *of, int file)
{
	seen.bare = true;
	seen.real->read_bare(of, file);
}

static void on_will_read(struct disk *of, int file, uint64_t offset, uint64_t length)
{
	/* One piece behind the other, none of them large. */
	assert_true(seen.bare);
	assert_true(offset == 0 || offset == seen.ahead);
	assert_in_range(length, 1, 1 << 20);
	seen.ahead = offset + length;
	seen.real->will_read(of, file, offset, length);
}

static ssize_t on_pwritev(
	struct disk *of, int file, const struct iovec *parts, int count, uint64_t offset)
{
	ssize_t put = seen.real->pwritev(of, file, parts, count, offset);

	note_change();
	seen.written += put > 0 ? (uint64_t)put : 0;
	return put;
}

static int on_write_out(struct disk *of, int file, uint64_t offset, uint64_t length)
{
	note_change();
	if (seen.write_out_fails != 0)
		return seen.write_out_fails;
	assert_int_equal(offset, seen.written_out);
	seen.written_out += length;
	assert_int_equal(seen.written_out, seen.written);
	seen.largest_piece = length > seen.largest_piece ? length : seen.largest_piece;
	return seen.real->write_out(of, file, offset, length);
}

static int on_sync(struct disk *of, int file)
{
	note_change();
	seen.syncs++;
	seen.synced = seen.written;
	return seen.real->sync(of, file);
}

static int on_open(struct disk *of, int dir, const char *name, unsigned flags)
{
	if ((flags & DISK_CREATE) != 0)
		note_change();
	return seen.real->open(of, dir, name, flags);
}

static int on_unlink(struct disk *of, int dir, const char *name)
{
	note_change();
	return seen.real->unlink(of, dir, name);
}

/* Lines that no one can shrink much. */
static void make_part(size_t length)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(length);
	char name[PART_NAME_BYTES], path[128];
	uint64_t state = 88172645463325252u;
	FILE *file;

	assert_non_null(text);
	for (size_t i = 0; i < length; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		text[i] = i % LINE_BYTES == LINE_BYTES - 1 ? '\n' : digits[state >> 60];
	}
	part = (struct manifest_part){.id = 1,
		.name = {.day = 20000, .number = 1},
		.length_bytes = length,
		.crc = crc32c(0, text, length),
		.verified = true,
		.state = PART_CLOSED};
	assert_int_equal(part_name_format(&part.name, name), 0);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	free(text);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	sem_init(&done, 0, 0);
	sem_init(&held, 0, 0);
	sem_init(&never, 0, 0);
	disk_real(&disk);
	seen.real = disk.ops;
	ops = *disk.ops;
	ops.pread = on_pread;
	ops.read_bare = on_read_bare;
	ops.will_read = on_will_read;
	ops.pwritev = on_pwritev;
	ops.write_out = on_write_out;
	ops.sync = on_sync;
	ops.open = on_open;
	ops.unlink = on_unlink;
	dirs = (struct store_dirs){.log = -1, .quarantine = -1, .lock = -1};
	dirs.top = disk_open_root(&disk, directory, false);
	dirs.waft = disk_open_dir(&disk, dirs.top, ".waft", true);
	assert_true(dirs.top >= 0 && dirs.waft >= 0);
	disk.ops = &ops;
	return 0;
}

static int tear_down(void **state)
{
	char name[PART_NAME_BYTES], path[128];

	(void)state;
	assert_int_equal(part_name_format(&part.name, name), 0);
	(void)unlinkat(dirs.top, name, 0);
	(void)unlinkat(dirs.waft, SEAL_NEW_NAME, 0);
	disk_close(&disk, dirs.waft);
	disk_close(&disk, dirs.top);
	snprintf(path, sizeof(path), "%s/.waft", directory);
	return rmdir(path) != 0 || rmdir(directory) != 0;
}

static void on_done(void *context)
{
	(void)context;
	policy_at_end = sched_getscheduler(0);
	nice_at_end = getpriority(PRIO_PROCESS, (id_t)gettid());
	sem_post(&done);
}

static struct sealer *begin(bool pressed)
{
	const struct sealer_config config = {.disk = &disk,
		.dirs = &dirs,
		.index_dir = -1,
		.on_done = on_done,
		.waited_ns = waited_ns};
	const struct disk_ops *real = seen.real;
	int fails = seen.write_out_fails, hold = seen.hold_read;
	uint64_t wait_ns = seen.wait_ns;
	struct sealer *sealer;

	(void)unlinkat(dirs.waft, SEAL_NEW_NAME, 0);
	while (sem_trywait(&done) == 0)
		;
	memset(&seen, 0, sizeof(seen));
	seen.real = real;
	seen.write_out_fails = fails;
	seen.hold_read = hold;
	seen.wait_ns = wait_ns;
	assert_int_equal(sealer_new(&config, &sealer), 0);
	assert_int_equal(sealer_begin(sealer, &part, pressed, 0), 0);
	return sealer;
}

static int seal(bool pressed)
{
	struct sealer *sealer = begin(pressed);
	struct seal_result result;
	int status;

	assert_true(wait_s(&done, 600));
	assert_true(sealer_result(sealer, &status, &result));
	sealer_free(sealer);
	return status;
}

static void *probe(void *ret)
{
	*(bool *)ret = setpriority(PRIO_PROCESS, (id_t)gettid(), 19) == 0 &&
		       setpriority(PRIO_PROCESS, (id_t)gettid(), 0) == 0;
	return NULL;
}

/* Whether a thread that steps back may step forward again. */
static bool may_return(void)
{
	pthread_t thread;
	bool ret = false;

	assert_int_equal(pthread_create(&thread, NULL, probe, &ret), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return ret;
}

/* Behind all others it reads and compresses; what others may wait for it does as they do. */
static void steps_back(void **state)
{
	(void)state;
	make_part(SHORT_BYTES);
	seen.write_out_fails = seen.hold_read = 0;
	assert_int_equal(seal(false), 0);
	assert_true(atomic_load(&seen.changes) > 8);
	assert_int_equal(atomic_load(&seen.changes_behind), 0);
	assert_int_equal(policy_at_end, SCHED_OTHER);
	if (may_return())
		assert_true(atomic_load(&seen.reads_behind) > 0);
	else
		assert_int_equal(atomic_load(&seen.reads_behind), 0);
}

/* So does who makes room. */
static void pressed_steps_back(void **state)
{
	(void)state;
	make_part(SHORT_BYTES);
	seen.write_out_fails = seen.hold_read = 0;
	assert_int_equal(seal(true), 0);
	assert_int_equal(atomic_load(&seen.changes_behind), 0);
	if (may_return())
		assert_true(atomic_load(&seen.reads_behind) > 0);
}

/* Small pieces go to the device without a sync; the sync at the end has all of it. */
static void writes_in_pieces(void **state)
{
	(void)state;
	make_part(LONG_BYTES);
	seen.write_out_fails = seen.hold_read = 0;
	assert_int_equal(seal(true), 0);
	assert_true(seen.written > LONG_BYTES / 2);
	assert_true(seen.written - seen.written_out < PIECE_BYTES_MAX);
	assert_true(seen.largest_piece < PIECE_BYTES_MAX);
	assert_int_equal(seen.syncs, 1);
	assert_int_equal(seen.synced, seen.written);
	assert_int_equal(seen.ahead, LONG_BYTES);
}

static void syncs_where_pieces_cannot_be_written(void **state)
{
	(void)state;
	make_part(LONG_BYTES);
	seen.write_out_fails = -ENOSYS;
	seen.hold_read = 0;
	assert_int_equal(seal(true), 0);
	assert_in_range(seen.syncs, 2, 4);
	assert_int_equal(seen.synced, seen.written);
}

/* The kernel tells it once: a sync after it would be believed. */
static void error_of_a_piece_counts(void **state)
{
	struct disk_stat stat;

	(void)state;
	make_part(SHORT_BYTES);
	seen.write_out_fails = -EIO;
	seen.hold_read = 0;
	assert_int_equal(seal(true), -EIO);
	assert_int_equal(seen.syncs, 0);
	assert_int_equal(disk_stat_name(&disk, dirs.waft, SEAL_NEW_NAME, &stat), -ENOENT);
}

/* Where others leave it no time it goes on as before there was SCHED_IDLE. */
static void starved_gets_time(void **state)
{
	(void)state;
	make_part(SHORT_BYTES);
	if (!may_return())
		skip();
	seen.write_out_fails = seen.hold_read = 0;
	seen.wait_ns = 3000000000;
	assert_int_equal(seal(false), 0);
	assert_in_range(nice_at_end, 19, 19);
	assert_int_equal(atomic_load(&seen.changes_behind), 0);
}

/* Behind all others it might not look for long whether it is stopped. */
static void stop_takes_it_from_behind(void **state)
{
	struct disk_stat stat;
	struct sealer *sealer;

	(void)state;
	if (!may_return())
		skip();
	make_part(SHORT_BYTES);
	seen.write_out_fails = 0;
	seen.wait_ns = 0;
	seen.hold_read = 3;
	sealer = begin(false);
	assert_true(wait_s(&held, 600));
	sealer_free(sealer);
	assert_true(atomic_load(&seen.released));
	assert_int_equal(atomic_load(&seen.changes_behind), 0);
	assert_int_equal(disk_stat_name(&disk, dirs.waft, SEAL_NEW_NAME, &stat), -ENOENT);
}

/* What is stopped leaves nothing, and another can be begun with; while it is under way it says how
 * much room it takes. */
static void goes_on_when_stopped(void **state)
{
	struct seal_result result;
	struct sealer *sealer;
	int status;

	(void)state;
	if (!may_return())
		skip();
	make_part(LONG_BYTES);
	seen.write_out_fails = 0;
	seen.wait_ns = 0;
	seen.hold_read = 3;
	sealer = begin(false);
	assert_true(wait_s(&held, 600));
	assert_int_equal(sealer_part(sealer), part.id);
	assert_int_equal(sealer_bytes(sealer), part.length_bytes / 8);
	sealer_stop(sealer);
	assert_true(wait_s(&done, 600));
	assert_true(sealer_result(sealer, &status, &result));
	assert_int_equal(status, -ECANCELED);
	assert_int_equal(sealer_part(sealer), 0);
	assert_int_equal(sealer_bytes(sealer), 0);
	seen.hold_read = 0;
	assert_int_equal(sealer_begin(sealer, &part, true, 0), 0);
	assert_true(wait_s(&done, 600));
	assert_true(sealer_result(sealer, &status, &result));
	assert_int_equal(status, 0);
	sealer_free(sealer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_back),
		cmocka_unit_test(pressed_steps_back),
		cmocka_unit_test(writes_in_pieces),
		cmocka_unit_test(syncs_where_pieces_cannot_be_written),
		cmocka_unit_test(error_of_a_piece_counts),
		cmocka_unit_test(starved_gets_time),
		cmocka_unit_test(stop_takes_it_from_behind),
		cmocka_unit_test(goes_on_when_stopped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
