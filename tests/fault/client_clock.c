/*
 * Whether timestamps stay true: spans are begun and ended between readings of the
 * clocks, for 10 minutes (with --short a fraction of a second), while the wall clock is
 * set forward and back and, for an eighth of the time, runs 100 ppm fast. What arrives is
 * held against the readings: a start that its batch doesn't mark as stepped lies
 * within 1 us of CLOCK_REALTIME, a duration is always CLOCK_MONOTONIC's, and each time
 * that the clock was set some spans are marked, and in full soon none any more.
 *
 * clock_gettime is this program's, for libwaft too.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <waft/waft.h>

#include "unit/client/fake_collector.h"

#define SECOND_NS INT64_C(1000000000)
#define HOUR_NS (3600 * SECOND_NS)

enum {
	LONG_TICKS = 60000,
	LONG_PAUSE_NS = 10 * 1000 * 1000,
	SHORT_TICKS = 4000,
	SHORT_PAUSE_NS = 100 * 1000,
	/* In full. A short run's few pairs may all have been read on a busy processor. */
	EXACT_NS = 1000,
	SHORT_EXACT_NS = 100 * 1000,
	FAST_PPM = 100,
};

/* ---- The wall clock ------------------------------------------------------------- */

static int64_t clock_added_ns; /* atomic */
static int64_t fast_since_ns;  /* atomic; CLOCK_MONOTONIC, 0: not fast */

static int64_t kernel_ns(clockid_t id)
{
	struct timespec now;

	syscall(SYS_clock_gettime, id, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static int64_t gained_ns(void)
{
	int64_t since = __atomic_load_n(&fast_since_ns, __ATOMIC_ACQUIRE);

	return since == 0 ? 0 : (kernel_ns(CLOCK_MONOTONIC) - since) * FAST_PPM / 1000000;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int64_t ns = kernel_ns(id);

	if (id == CLOCK_REALTIME)
		ns += __atomic_load_n(&clock_added_ns, __ATOMIC_ACQUIRE) + gained_ns();
	ret->tv_sec = ns / SECOND_NS;
	ret->tv_nsec = ns % SECOND_NS;
	return 0;
}

static int64_t now_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void clock_add(int64_t ns)
{
	__atomic_add_fetch(&clock_added_ns, ns, __ATOMIC_RELEASE);
}

static void clock_fast(bool fast)
{
	if (!fast)
		clock_add(gained_ns());
	__atomic_store_n(&fast_since_ns, fast ? kernel_ns(CLOCK_MONOTONIC) : 0, __ATOMIC_RELEASE);
}

/* ---- Spans ------------------------------------------------------------------------ */

struct tick {
	int64_t real_before_ns, real_after_ns; /* its begin */
	int64_t least_ns, most_ns;	       /* its duration */
};

/* What happens to the clock before tick i of count. */
static void clock_disturb(uint32_t i, uint32_t count)
{
	if (i == count / 4)
		clock_add(HOUR_NS);
	else if (i == count / 2)
		clock_add(-48 * HOUR_NS);
	else if (i == count * 3 / 4)
		clock_fast(true);
	else if (i == count * 7 / 8)
		clock_fast(false);
}

static void tick_take(struct tick *tick, uint32_t i)
{
	struct waft_span span;
	int64_t from, begun, ending;

	from = now_ns(CLOCK_MONOTONIC);
	tick->real_before_ns = now_ns(CLOCK_REALTIME);
	WAFT_BEGIN(&span, "tick");
	tick->real_after_ns = now_ns(CLOCK_REALTIME);
	begun = now_ns(CLOCK_MONOTONIC);
	waft_attr_int(&span, "n", i);
	ending = now_ns(CLOCK_MONOTONIC);
	waft_end(&span);
	tick->most_ns = now_ns(CLOCK_MONOTONIC) - from;
	tick->least_ns = ending - begun;
}

static void ticks_take(struct tick *ticks, uint32_t count, long pause_ns)
{
	const struct itimerspec pace = {
		.it_interval = {.tv_nsec = pause_ns}, .it_value = {.tv_nsec = pause_ns}};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t due;

	CHECK(timer >= 0 && timerfd_settime(timer, 0, &pace, NULL) == 0);
	for (uint32_t i = 0; i < count; i++) {
		clock_disturb(i, count);
		tick_take(&ticks[i], i);
		CHECK(read(timer, &due, sizeof(due)) == sizeof(due));
	}
	close(timer);
}

/* ---- What arrived ----------------------------------------------------------------- */

struct found {
	uint64_t seen;
	uint64_t marked_in[4]; /* from each disturbance to the next */
	int64_t worst_ns;      /* of those not marked */
	int64_t worst_duration_ns;
};

static int64_t outside(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least - value : value > most ? value - most : 0;
}

static void larger(int64_t *largest, int64_t value)
{
	if (value > *largest)
		*largest = value;
}

static void span_hold(
	const struct fake_span *span, const struct tick *ticks, uint32_t count, struct found *ret)
{
	unsigned long n;
	int64_t apart;

	CHECK(sscanf(span->attributes, "n=%lu;", &n) == 1 && n < count);
	apart = outside((int64_t)span->start_ns, ticks[n].real_before_ns, ticks[n].real_after_ns);
	ret->seen++;
	if (span->stepped)
		ret->marked_in[n * 4 / count]++;
	else
		larger(&ret->worst_ns, apart);
	larger(&ret->worst_duration_ns,
		outside((int64_t)span->duration_ns, ticks[n].least_ns, ticks[n].most_ns));
}

int main(int argc, char **argv)
{
	bool brief = argc > 1 && strcmp(argv[1], "--short") == 0;
	uint32_t count = brief ? SHORT_TICKS : LONG_TICKS;
	int64_t exact_ns = brief ? SHORT_EXACT_NS : EXACT_NS;
	struct tick *ticks = calloc(count, sizeof(*ticks));
	struct fake_collector *fake = fake_start("clock.sock");
	struct waft_options options = {.size = sizeof(options),
		.service = "clock",
		.endpoint = "unix:clock.sock",
		.batch_age_ms = brief ? 5 : 0};
	struct found found = {0};
	bool held;

	CHECK(ticks != NULL);
	CHECK_INT(waft_init(&options), 0);
	ticks_take(ticks, count, brief ? SHORT_PAUSE_NS : LONG_PAUSE_NS);
	tracer_end(fake, NULL);
	for (uint32_t i = 0; i < fake->span_count; i++)
		span_hold(&fake->spans[i], ticks, count, &found);
	printf("figure: %llu spans, unmarked starts within %lld ns of CLOCK_REALTIME, durations "
	       "within %lld ns of CLOCK_MONOTONIC; marked %llu before, %llu after +1 h, %llu after "
	       "-48 h, %llu from 100 ppm on\n",
		(unsigned long long)found.seen, (long long)found.worst_ns,
		(long long)found.worst_duration_ns, (unsigned long long)found.marked_in[0],
		(unsigned long long)found.marked_in[1], (unsigned long long)found.marked_in[2],
		(unsigned long long)found.marked_in[3]);
	held = found.seen == count && found.worst_ns <= exact_ns &&
	       found.worst_duration_ns <= exact_ns;
	for (int i = 0; i < 4; i++) {
		held &= i == 0 || found.marked_in[i] > 0;
		held &= brief || found.marked_in[i] < count / 4;
	}
	fake_free(fake);
	free(ticks);
	return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
