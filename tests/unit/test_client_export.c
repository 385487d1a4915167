/* The sender against every kind of collector: the ledger stays exact. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "region.h"
#include "wire.h"

static void spans_make(uint32_t count)
{
	struct waft_span root, span;

	for (uint32_t i = 0; i < count; i += 8) {
		WAFT_BEGIN(&root, "root");
		for (uint32_t j = 1; j < 8 && i + j < count; j++) {
			WAFT_BEGIN(&span, "leaf");
			waft_attr_int(&span, "i", i + j);
			waft_attr_string(&span, "text", "some text");
			waft_end(&span);
		}
		waft_end(&root);
	}
}

/* ---- Nothing unusual ------------------------------------------------------------ */

static void many_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->counting = true;
	tracer_start("sock");
	for (int i = 0; i < 20; i++) {
		spans_make(5000);
		CHECK_INT(waft_flush(20000), 0);
	}
	waft_stats(&stats);
	CHECK_INT(stats.durable, 100000);
	CHECK_INT(stats.in_flight, 0);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 100000);
	CHECK_INT(fake->goodbyes, 1);
	CHECK_INT(fake->goodbye_emitted, 100000);
	CHECK_INT(fake->duplicates, 0);
	CHECK(fake->batch_bytes / 100000 <= 44);
	fake_free(fake);
}

/* The region comes with the hello, sealed, and no one else can write to it. */
static void region_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct region_header header;
	struct waft_span span;
	uint8_t byte = 1;
	bool found = false;
	int seals;

	tracer_start("sock");
	WAFT_BEGIN(&span, "open");
	CHECK(fake_wait_hellos(fake, 1));
	pthread_mutex_lock(&fake->lock);
	CHECK_INT(fake->regions, 1);
	seals = fcntl(fake->region_fd, F_GET_SEALS);
	CHECK((seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) ==
		(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	CHECK(pread(fake->region_fd, &header, sizeof(header), 0) == sizeof(header));
	CHECK(memcmp(header.magic, REGION_MAGIC, 8) == 0);
	CHECK(memcmp(header.client, fake->client, 16) == 0);
	CHECK_INT(header.pid, getpid());
	CHECK_INT(header.bytes, REGION_BYTES);
	CHECK(pwrite(fake->region_fd, &byte, 1, 100) < 0);
	CHECK(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fake->region_fd, 0) == MAP_FAILED);
	/* The open span stands in one of the slots. */
	for (uint32_t unit = 0; unit < REGION_UNITS && !found; unit++) {
		struct waft_slot_ slots[16];
		uint8_t kind;

		CHECK(pread(fake->region_fd, &kind, 1, REGION_KINDS_AT + unit) == 1);
		if (kind != REGION_SLOTS)
			continue;
		CHECK(pread(fake->region_fd, slots, sizeof(slots),
			      REGION_UNITS_AT + unit * REGION_UNIT_BYTES) == sizeof(slots));
		for (int i = 0; i < 16; i++)
			found |= (slots[i].state & WAFT_SLOT_OPEN_) != 0 &&
				 memcmp(slots[i].trace, span.trace_, 16) == 0 &&
				 slots[i].raw == span.raw_ && slots[i].start != 0;
	}
	CHECK(found);
	pthread_mutex_unlock(&fake->lock);
	waft_end(&span);
	tracer_end(fake, NULL);
	fake_free(fake);
}

/* ---- Absent, restarted, stopped ----------------------------------------------------- */

static void absent_body(void)
{
	struct fake_collector *fake;
	struct waft_stats stats;

	tracer_start("sock");
	spans_make(3000);
	CHECK_INT(waft_flush(20), -ETIMEDOUT);
	fake = fake_start("sock");
	CHECK_INT(waft_flush(20000), 0);
	waft_stats(&stats);
	CHECK_INT(stats.durable, 3000);
	tracer_end(fake, NULL);
	fake_free(fake);
}

static void never_there_body(void)
{
	struct waft_stats stats;

	tracer_start("sock");
	spans_make(100);
	CHECK_INT(waft_shutdown(50, &stats), -ETIMEDOUT);
	CHECK_INT(waft_flush(50), -ECANCELED);
	CHECK_INT(stats.emitted, 100);
	CHECK_INT(stats.dropped[WAFT_DROP_SHUTDOWN], 100);
	CHECK_INT(stats.in_flight, 0);
}

/* A short program that begins beside its collector: exit waits for it. */
static void late_body(void)
{
	struct waft_options options = {.size = sizeof(options),
		.endpoint = "unix:sock",
		.batch_age_ms = 5,
		.exit_timeout_ms = 20000};
	struct fake_collector *fake;
	int done[2];
	int status;
	char byte;

	CHECK_INT(pipe(done), 0);
	if (fork() == 0) {
		CHECK_INT(waft_init(&options), 0);
		spans_make(10);
		CHECK_INT(waft_flush(30), -ETIMEDOUT);
		CHECK_INT(write(done[1], "x", 1), 1);
		exit(0);
	}
	CHECK_INT(read(done[0], &byte, 1), 1);
	fake = fake_start("sock");
	CHECK(wait(&status) > 0);
	CHECK_INT(status, 0);
	fake_stop(fake);
	CHECK_INT(fake->span_count, 10);
	CHECK_INT(fake->goodbyes, 1);
	fake_free(fake);
}

/* Batches without an answer are sent again, the same bytes, and count once. */
static void restarted_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->counting = true;
	tracer_start("sock");
	for (int i = 0; i < 10; i++) {
		pthread_mutex_lock(&fake->lock);
		fake->orders.close_after = 1;
		pthread_mutex_unlock(&fake->lock);
		spans_make(2000);
		if (i % 3 == 0) {
			fake_stop(fake);
			spans_make(2000);
			fake_restart(fake);
		}
		CHECK_INT(waft_flush(20000), 0);
	}
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 28000);
	CHECK_INT(fake->span_count, 28000);
	CHECK(fake->hellos > 10);
	fake_free(fake);
}

/* Nothing answered: what was sent is unknown, the rest dropped. */
static void silent_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->orders.silent = true;
	tracer_start("sock");
	spans_make(1000);
	CHECK_INT(waft_flush(50), -ETIMEDOUT);
	waft_stats(&stats);
	CHECK_INT(stats.in_flight, 1000);
	CHECK_INT(waft_shutdown(100, &stats), -ETIMEDOUT);
	CHECK_INT(stats.unknown, 1000);
	CHECK_INT(stats.in_flight, 0);
	CHECK_INT(stats.durable, 0);
	fake_free(fake);
}

/* The bounded buffer is full: drops are counted, told, and exact; and when the
 * collector answers again, everything goes on. */
static void full_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->counting = true;
	fake->orders.silent = true;
	tracer_start("sock");
	spans_make(200000);
	waft_stats(&stats);
	CHECK_INT(stats.emitted, 200000);
	CHECK(stats.dropped[WAFT_DROP_BUFFER_FULL] > 0);
	CHECK_INT(stats.in_flight, 200000 - stats.dropped[WAFT_DROP_BUFFER_FULL]);
	fake_stop(fake);
	fake->orders.silent = false;
	fake_restart(fake);
	CHECK_INT(waft_flush(20000), 0);
	spans_make(1000);
	CHECK_INT(waft_flush(20000), 0);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 201000 - stats.dropped[WAFT_DROP_BUFFER_FULL]);
	CHECK_INT(fake->emitted, 201000);
	fake_free(fake);
}

static void credit_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->orders.no_credit = true;
	tracer_start("sock");
	spans_make(100);
	CHECK(fake_wait_hellos(fake, 1));
	CHECK_INT(waft_flush(50), -ETIMEDOUT);
	CHECK_INT(fake->span_count, 0);
	fake_stop(fake);
	fake->orders.no_credit = false;
	fake->orders.credit = 500; /* less than a batch: one may go */
	fake_restart(fake);
	CHECK_INT(waft_flush(20000), 0);
	spans_make(100);
	CHECK_INT(waft_flush(50), -ETIMEDOUT);
	CHECK_INT(fake->span_count, 100);
	pthread_mutex_lock(&fake->lock);
	fake->orders.credit = 0;
	pthread_mutex_unlock(&fake->lock);
	fake_stop(fake);
	fake_restart(fake);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 200);
	fake_free(fake);
}

/* ---- Refused, forgotten, of another version, hostile ------------------------------------ */

static void refused_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->orders.refuse = 2;
	tracer_start("sock");
	for (int i = 0; i < 3; i++) {
		spans_make(10);
		CHECK_INT(waft_flush(20000), 0);
	}
	CHECK_INT(waft_shutdown(20000, &stats), -ENODATA);
	CHECK_INT(stats.emitted, 30);
	CHECK_INT(stats.durable, fake->span_count);
	CHECK_INT(stats.dropped[WAFT_DROP_REFUSED], 30 - stats.durable);
	CHECK(stats.dropped[WAFT_DROP_REFUSED] > 0);
	CHECK_INT(fake->duplicates, 0);
	fake_free(fake);
}

/* Told that it is forgotten, the client takes a new uuid: what had no answer is
 * unknown, what was never sent goes on from 1. */
static void forgotten_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	tracer_start("sock");
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	pthread_mutex_lock(&fake->lock);
	fake->orders.silent = true;
	pthread_mutex_unlock(&fake->lock);
	spans_make(20);
	CHECK_INT(waft_flush(50), -ETIMEDOUT);
	fake_stop(fake);
	/* Once the sender has met the end of its connection: what comes before may
	 * still be written to it, and is then sent without an answer too. */
	CHECK_INT(waft_flush(500), -ETIMEDOUT);
	spans_make(30);
	fake->orders.silent = false;
	fake->orders.forget = true;
	fake_restart(fake);
	CHECK_INT(waft_flush(20000), 0);
	tracer_end(fake, &stats);
	CHECK_INT(stats.emitted, 60);
	CHECK_INT(stats.unknown, 20);
	CHECK_INT(stats.durable, 40);
	CHECK_INT(fake->client_count, 2);
	CHECK_INT(fake->goodbye_emitted, 30);
	fake_free(fake);
}

static void status_end_body(void)
{
	static const uint32_t codes[] = {8, 14, 3, 10, 13};
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	tracer_start("sock");
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		pthread_mutex_lock(&fake->lock);
		fake->orders.status = codes[i];
		pthread_mutex_unlock(&fake->lock);
		spans_make(10);
		CHECK_INT(waft_flush(20000), 0);
	}
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 50);
	fake_free(fake);
}

static void hostile(const void *garbage, size_t length)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->orders.garbage = garbage;
	fake->orders.garbage_bytes = length;
	fake->orders.other_version = garbage == NULL;
	tracer_start("sock");
	spans_make(10);
	CHECK(fake_wait_hellos(fake, 3));
	fake_stop(fake);
	fake->orders.garbage = NULL;
	fake->orders.other_version = false;
	fake_restart(fake);
	CHECK_INT(waft_flush(20000), 0);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 10);
	fake_free(fake);
}

static void version_body(void)
{
	hostile(NULL, 0);
}

static void garbage_body(void)
{
	hostile("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

/* A frame that claims 4 GiB. */
static void giant_body(void)
{
	static const uint8_t frame[20] = {
		'W', 'A', 'F', 'T', 1, 2, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};

	hostile(frame, sizeof(frame));
}

/* An answer for what was never sent is no answer. */
static void overclaim_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_stats stats;

	fake->orders.overclaim = 1000;
	tracer_start("sock");
	spans_make(10);
	CHECK(fake_wait_hellos(fake, 2));
	waft_stats(&stats);
	CHECK_INT(stats.durable, 0);
	fake_stop(fake);
	fake->orders.overclaim = 0;
	fake_restart(fake);
	CHECK_INT(waft_flush(20000), 0);
	waft_stats(&stats);
	CHECK_INT(stats.durable, 10);
	fake_free(fake);
}

/* ---- The host's signals ------------------------------------------------------- */

/* Our thread takes none of the host's signals, and a socket that goes away
 * raises no SIGPIPE. */
static void signals_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	sigset_t none;

	sigemptyset(&none);
	CHECK(pthread_sigmask(SIG_SETMASK, &none, NULL) == 0);
	signal(SIGPIPE, SIG_DFL);
	tracer_start("sock");
	spans_make(10);
	CHECK_INT(waft_flush(20000), 0);
	fake_stop(fake);
	spans_make(1000);
	CHECK_INT(waft_flush(30), -ETIMEDOUT);
	fake_restart(fake);
	CHECK_INT(waft_flush(20000), 0);
	tracer_end(fake, NULL);
	fake_free(fake);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void inbox_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store/deep", .batch_age_ms = 5};
	struct fake_collector *fake;
	struct waft_stats stats;
	struct stat status;

	CHECK_INT(waft_init(&options), 0);
	spans_make(500);
	CHECK_INT(waft_flush(20000), 0);
	spans_make(500);
	CHECK_INT(waft_shutdown(20000, &stats), 0);
	CHECK_INT(waft_flush(50), 0);
	CHECK_INT(stats.durable, 1000);
	CHECK_INT(stat("store/deep/.waft/inbox", &status), 0);
	CHECK_INT(status.st_mode & 0777, 0700);
	fake = fake_from_inbox("store/deep");
	CHECK_INT(fake->hellos, 1);
	CHECK_INT(fake->goodbyes, 1);
	CHECK_INT(fake->span_count, 1000);
	CHECK_INT(fake->bad + fake->gaps + fake->duplicates, 0);
	fake_free(fake);
}

static void inbox_impossible_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:/proc/nothing", .batch_age_ms = 5};
	struct waft_stats stats;

	CHECK_INT(waft_init(&options), 0);
	spans_make(10);
	CHECK_INT(waft_flush(30), -ETIMEDOUT);
	CHECK_INT(waft_shutdown(30, &stats), -ETIMEDOUT);
	CHECK_INT(stats.emitted, 10);
	CHECK_INT(stats.in_flight, 0);
	CHECK_INT(stats.dropped[WAFT_DROP_SHUTDOWN] + stats.unknown, 10);
}

/* What is left at exit is sent; a span still open is stored as pending. */
static void exit_body(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store", .batch_age_ms = 60000};
	static struct waft_span open;

	CHECK_INT(waft_init(&options), 0);
	spans_make(10);
	WAFT_BEGIN(&open, "open");
	exit(0);
}

static void at_exit_body(void)
{
	struct fake_collector *fake;

	if (fork() == 0)
		exit_body();
	CHECK(wait(NULL) > 0);
	fake = fake_from_inbox("store");
	CHECK_INT(fake->span_count, 11);
	CHECK_INT(fake_find(fake, "open", 0)->status, WIRE_STATUS_PENDING);
	CHECK_INT(fake->goodbyes, 1);
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(many)
TEST(region)
TEST(absent)
TEST(never_there)
TEST(late)
TEST(restarted)
TEST(silent)
TEST(full)
TEST(credit)
TEST(refused)
TEST(forgotten)
TEST(status_end)
TEST(version)
TEST(garbage)
TEST(giant)
TEST(overclaim)
TEST(signals)
TEST(inbox)
TEST(inbox_impossible)
TEST(at_exit)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_region),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_never_there),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_restarted),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_status_end),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_giant),
		cmocka_unit_test(test_overclaim),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_inbox),
		cmocka_unit_test(test_inbox_impossible),
		cmocka_unit_test(test_at_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
