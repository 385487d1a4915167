/* The file of a program that traces without a collector. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "inbox.h"
#include "process.h"

#define FILE_PATH "store/deep/.waft/inbox/000102030405060708090a0b0c0d0e0f.waft"

static const uint8_t client[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* In place of libc's: counts, and fails when told to. */
static int syncs;
static int syncs_to_fail;

int fdatasync(int fd)
{
	if (__atomic_load_n(&syncs_to_fail, __ATOMIC_SEQ_CST) > 0) {
		__atomic_fetch_sub(&syncs_to_fail, 1, __ATOMIC_SEQ_CST);
		errno = EIO;
		return -1;
	}
	__atomic_fetch_add(&syncs, 1, __ATOMIC_SEQ_CST);
	return (int)syscall(SYS_fdatasync, fd);
}

static int locks_to_fail;
static const char *remove_before_lock;

int flock(int fd, int operation)
{
	if (remove_before_lock != NULL) {
		CHECK_INT(unlink(remove_before_lock), 0);
		remove_before_lock = NULL;
	}
	if (__atomic_load_n(&locks_to_fail, __ATOMIC_SEQ_CST) > 0) {
		__atomic_fetch_sub(&locks_to_fail, 1, __ATOMIC_SEQ_CST);
		errno = EWOULDBLOCK;
		return -1;
	}
	return (int)syscall(SYS_flock, fd, operation);
}

static void file_is(const char *path, const char *text)
{
	char bytes[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = read(fd, bytes, sizeof(bytes) - 1);

	close(fd);
	CHECK(got >= 0);
	bytes[got] = '\0';
	CHECK_TEXT(bytes, text);
}

/* Made for its owner only, synced, locked while it grows. */
static void made_body(void)
{
	struct inbox inbox;
	struct stat status;
	int fd;

	umask(0);
	CHECK_INT(inbox_open(&inbox, "store/deep", client), 0);
	CHECK_INT(stat("store", &status), 0);
	CHECK_INT(status.st_mode & 07777, 0700);
	CHECK_INT(stat("store/deep/.waft/inbox", &status), 0);
	CHECK_INT(status.st_mode & 07777, 0700);
	CHECK_INT(stat(FILE_PATH, &status), 0);
	CHECK_INT(status.st_mode & 07777, 0600);
	CHECK_INT(inbox_append(&inbox, slice_of_text("one,")), 0);
	CHECK_INT(inbox.synced, 0);
	CHECK_INT(syncs, 0);
	CHECK_INT(inbox_sync(&inbox), 0);
	CHECK_INT(syncs, 1);
	CHECK_INT(inbox.synced, 4);
	CHECK_INT(inbox_sync(&inbox), 0);
	CHECK_INT(syncs, 1);
	CHECK_INT(inbox_append(&inbox, slice_of_text("two")), 0);
	CHECK_INT(inbox_sync(&inbox), 0);
	fd = open(FILE_PATH, O_RDONLY | O_CLOEXEC);
	CHECK(flock(fd, LOCK_SH | LOCK_NB) != 0);
	CHECK_INT(errno, EWOULDBLOCK);
	inbox_close(&inbox);
	CHECK_INT(flock(fd, LOCK_SH | LOCK_NB), 0);
	close(fd);
	file_is(FILE_PATH, "one,two");
}

/* Each in a directory of its own, where what is meant must not be written. */
static void refused_body(void)
{
	char longest[3000];
	struct inbox inbox;

	CHECK_INT(inbox_open(&inbox, "store/deep", client), 0);
	CHECK_INT(inbox_append(&inbox, slice_of_text("x")), 0);
	inbox_close(&inbox);
	CHECK_INT(inbox_open(&inbox, "store/deep", client), -EEXIST);
	CHECK_INT(inbox.file.fd, -1);
	/* Nor where a link says that it is elsewhere. */
	CHECK_INT(unlink(FILE_PATH), 0);
	CHECK_INT(symlink("/dev/null", FILE_PATH), 0);
	CHECK_INT(inbox_open(&inbox, "store/deep", client), -EEXIST);
	CHECK_INT(symlink("nowhere", "dangling"), 0);
	CHECK_INT(inbox_open(&inbox, "dangling", client), -ENOENT);
	CHECK_INT(close(open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	CHECK_INT(inbox_open(&inbox, "file", client), -ENOTDIR);
	CHECK_INT(inbox_open(&inbox, "/proc/nothing", client), -ENOENT);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	CHECK_INT(inbox_open(&inbox, longest, client), -ENAMETOOLONG);
	CHECK_INT(inbox_append(&inbox, slice_of_text("x")), -EBADF);
	CHECK_INT(inbox_sync(&inbox), -EBADF);
	inbox_close(&inbox);
}

/* Whoever looks through the inbox has a file that is empty yet under its name: it is not
 * removed for another of that name, and its removal by who has it is noticed. */
static void looked_at_body(void)
{
	struct inbox inbox;
	struct stat before, after;
	int fd;

	CHECK_INT(inbox_open(&inbox, "store/deep", client), 0);
	inbox_close(&inbox);
	fd = open(FILE_PATH, O_RDWR | O_CLOEXEC);
	CHECK_INT(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_INT(fstat(fd, &before), 0);
	CHECK_INT(inbox_open(&inbox, "store/deep", client), -EWOULDBLOCK);
	CHECK_INT(inbox.file.fd, -1);
	CHECK_INT(stat(FILE_PATH, &after), 0);
	CHECK_INT(after.st_ino, before.st_ino);
	close(fd);
	/* Empty, it is taken again. */
	CHECK_INT(inbox_open(&inbox, "store/deep", client), 0);
	CHECK_INT(inbox.file.inode, before.st_ino);
	inbox_close(&inbox);
	remove_before_lock = FILE_PATH;
	CHECK_INT(inbox_open(&inbox, "store/deep", client), -EAGAIN);
	CHECK_INT(inbox.file.fd, -1);
	CHECK_INT(inbox_open(&inbox, "store/deep", client), 0);
	CHECK_INT(stat(FILE_PATH, &after), 0);
	CHECK_INT(inbox.file.inode, after.st_ino);
	inbox_close(&inbox);
	/* Nor one that stands elsewhere, too. */
	CHECK_INT(link(FILE_PATH, "elsewhere"), 0);
	CHECK_INT(inbox_open(&inbox, "store/deep", client), -EEXIST);
}

static void limit(rlim_t bytes)
{
	struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};

	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No room in the middle of a frame: the file is as it was synced last. */
static void short_body(void)
{
	struct inbox inbox;

	signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(inbox_open(&inbox, "store/deep", client), 0);
	CHECK_INT(inbox_append(&inbox, slice_of_text("kept")), 0);
	CHECK_INT(inbox_sync(&inbox), 0);
	limit(6);
	CHECK_INT(inbox_append(&inbox, slice_of_text("more")), -EFBIG);
	CHECK_INT(inbox.written, 4);
	file_is(FILE_PATH, "kept");
	limit(RLIM_INFINITY);
	CHECK_INT(inbox_append(&inbox, slice_of_text("more")), 0);
	CHECK_INT(inbox_sync(&inbox), 0);
	file_is(FILE_PATH, "keptmore");
	inbox_close(&inbox);
}

/* The host closed our descriptor and has the number now. */
static void foreign_body(void)
{
	struct inbox inbox;
	struct stat status;
	int mine;
	int fd;

	CHECK_INT(inbox_open(&inbox, "store/deep", client), 0);
	fd = inbox.file.fd;
	mine = open("mine", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	CHECK_INT(dup2(mine, fd), fd);
	CHECK_INT(inbox_append(&inbox, slice_of_text("ours")), -EBADF);
	CHECK_INT(inbox_sync(&inbox), -EBADF);
	inbox_close(&inbox);
	CHECK_INT(fstat(fd, &status), 0);
	CHECK_INT(status.st_size, 0);
}

/* ---- By the tracer -------------------------------------------------------------- */

static void spans_make(int count)
{
	struct waft_span span;

	for (int i = 0; i < count; i++) {
		WAFT_BEGIN(&span, "made");
		waft_attr_int(&span, "i", i);
		waft_end(&span);
	}
}

/* A full disk that gets room again: nothing is lost, nothing doubled, and no one
 * is told of durability before it is. */
static void full_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store/deep", .batch_age_ms = 5};
	struct fake_collector *fake;
	struct waft_stats stats;

	signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(waft_init(&options), 0);
	spans_make(100);
	CHECK_INT(waft_flush(20000), 0);
	limit(1);
	spans_make(100);
	CHECK_INT(waft_flush(100), -ETIMEDOUT);
	waft_stats(&stats);
	CHECK_INT(stats.durable, 100);
	CHECK_INT(stats.in_flight, 100);
	limit(RLIM_INFINITY);
	CHECK_INT(waft_flush(20000), 0);
	spans_make(100);
	CHECK_INT(waft_shutdown(20000, &stats), 0);
	CHECK_INT(stats.durable, 300);
	fake = fake_from_inbox("store/deep");
	CHECK_INT(fake->span_count, 300);
	CHECK_INT(fake->bad + fake->gaps + fake->duplicates, 0);
	fake_free(fake);
}

/* Full before the first byte: all of it waits. */
static void full_first_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store/deep", .batch_age_ms = 5};
	struct fake_collector *fake;
	struct waft_stats stats;

	signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(waft_init(&options), 0);
	limit(0);
	spans_make(100);
	/* Each hurries a try. */
	for (int i = 0; i < 4; i++)
		CHECK_INT(waft_flush(100), -ETIMEDOUT);
	waft_stats(&stats);
	CHECK_INT(stats.unknown, 0);
	CHECK_INT(stats.in_flight, 100);
	limit(RLIM_INFINITY);
	CHECK_INT(waft_shutdown(20000, &stats), 0);
	CHECK_INT(stats.durable, 100);
	fake = fake_from_inbox("store/deep");
	CHECK_INT(fake->span_count, 100);
	CHECK_INT(fake->client_count, 1);
	fake_free(fake);
}

/* A failed sync is not tried again on its file: what was in it is unknown, and what
 * follows goes into another. */
static void sync_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store/deep", .batch_age_ms = 5};
	struct fake_collector *fake;
	struct waft_stats stats;

	CHECK_INT(waft_init(&options), 0);
	spans_make(100);
	CHECK_INT(waft_flush(20000), 0);
	__atomic_store_n(&syncs_to_fail, 1, __ATOMIC_SEQ_CST);
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	waft_stats(&stats);
	CHECK_INT(stats.durable + stats.unknown, 110);
	CHECK(stats.unknown > 0 && stats.unknown <= 10);
	spans_make(100);
	CHECK_INT(waft_shutdown(20000, &stats), -ETIMEDOUT);
	CHECK_INT(stats.durable + stats.unknown, 210);
	CHECK(stats.durable >= 200);
	fake = fake_from_inbox("store/deep");
	CHECK_INT(fake->span_count, 210);
	CHECK_INT(fake->client_count, 2);
	CHECK_INT(fake->goodbyes, 1);
	CHECK_INT(fake->bad + fake->gaps + fake->duplicates, 0);
	fake_free(fake);
}

/* The host takes our descriptor away between two batches: the file stands for a
 * uuid that is given up, what follows goes into another, and every span is in
 * one of them. */
static void taken_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store/deep", .batch_age_ms = 5};
	struct fake_collector *fake;
	struct waft_stats stats;
	char path[64];
	char to[256];
	ssize_t length;

	CHECK_INT(waft_init(&options), 0);
	spans_make(100);
	CHECK_INT(waft_flush(20000), 0);
	for (int fd = 3; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, to, sizeof(to) - 1);
		to[length > 0 ? length : 0] = '\0';
		if (strstr(to, "/inbox/") != NULL)
			close(fd);
	}
	spans_make(50);
	CHECK_INT(waft_shutdown(20000, &stats), 0);
	CHECK_INT(stats.durable, 150);
	fake = fake_from_inbox("store/deep");
	CHECK_INT(fake->span_count, 150);
	CHECK_INT(fake->client_count, 2);
	CHECK_INT(fake->bad + fake->gaps + fake->duplicates, 0);
	fake_free(fake);
}

/* Its file was made, but could not be locked (who looks through the inbox may have held it):
 * the next try makes it again. */
static void unlocked_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store/deep", .batch_age_ms = 5};
	struct fake_collector *fake;
	struct waft_stats stats;

	__atomic_store_n(&locks_to_fail, 2, __ATOMIC_SEQ_CST);
	CHECK_INT(waft_init(&options), 0);
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	CHECK_INT(waft_shutdown(20000, &stats), 0);
	CHECK_INT(stats.durable, 10);
	fake = fake_from_inbox("store/deep");
	CHECK_INT(fake->span_count, 10);
	CHECK_INT(fake->client_count, 1);
	fake_free(fake);
}

/* A file of its uuid stands there before anything was acknowledged (the host took the
 * descriptor away when the greeting was written): another uuid's takes what follows. */
static void there_already_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store/deep", .batch_age_ms = 5};
	struct fake_collector *fake;
	struct waft_stats stats;
	struct inbox inbox;
	char path[128] = "store/deep/.waft/inbox/";
	size_t at = strlen(path);

	CHECK_INT(waft_init(&options), 0);
	CHECK_INT(inbox_open(&inbox, "store/deep", process.client), 0);
	CHECK_INT(inbox_append(&inbox, slice_of_text("x")), 0);
	inbox_close(&inbox);
	for (int i = 0; i < 16; i++, at += 2)
		snprintf(path + at, sizeof(path) - at, "%02x.waft", process.client[i]);
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	spans_make(10);
	(void)waft_shutdown(20000, &stats);
	CHECK_INT(stats.durable + stats.unknown, 20);
	CHECK(stats.durable >= 10);
	file_is(path, "x");
	CHECK_INT(unlink(path), 0);
	fake = fake_from_inbox("store/deep");
	CHECK_INT(fake->span_count, stats.durable);
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(made)
TEST(refused)
TEST(short)
TEST(foreign)
TEST(full)
TEST(sync)
TEST(taken)
TEST(looked_at)
TEST(full_first)
TEST(unlocked)
TEST(there_already)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_looked_at),
		cmocka_unit_test(test_full_first),
		cmocka_unit_test(test_unlocked),
		cmocka_unit_test(test_there_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
