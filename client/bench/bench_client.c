/*
 * waft-bench-client: what a span costs its thread, its process and the wire,
 * beside the floors of the same machine in the same run.
 *
 *     waft-bench-client [--rounds N] [--json]
 *
 * A span: begin, two attributes (a text of 4 to 12 bytes known only at run time,
 * and an integer), end; 100 call sites, 4 levels deep, through the public API
 * and the shared library. F = 2 × clock_gettime(MONOTONIC) + 2 × (REALTIME) +
 * memcpy of 100 bytes; F_tsc = 2 × rdtsc + memcpy of 100 bytes. Each figure is
 * the least of the rounds. The other end of the socket is a child that reads,
 * checks nothing and answers everything, whose time does not count.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <waft/waft.h>

#include "sink.h"

enum { TREE = 8, TREES = 400, BATCHES = 40, TEXTS = 64 };

static char texts[TEXTS][16];
static int rounds = 20;
static char directory[] = "/tmp/waft-bench-XXXXXX";
static char endpoint[64];

/* ---- Time ---------------------------------------------------------------------- */

static double now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double process_ns(void)
{
	return now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static double thread_ns(void)
{
	return now_ns(CLOCK_THREAD_CPUTIME_ID);
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* ---- Floors ---------------------------------------------------------------------- */

static char from[128];
static char to[128];

static double floor_clock(void)
{
	struct timespec now;
	double begin = thread_ns();

	for (int i = 0; i < 100000; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		clock_gettime(CLOCK_REALTIME, &now);
		memcpy(to, from, 100);
		__asm__ volatile("" : : "r"(to) : "memory");
		clock_gettime(CLOCK_MONOTONIC, &now);
		clock_gettime(CLOCK_REALTIME, &now);
	}
	return (thread_ns() - begin) / 100000;
}

static double floor_tsc(void)
{
#if defined(__x86_64__)
	volatile uint64_t ticks;
	double begin = thread_ns();

	for (int i = 0; i < 100000; i++) {
		ticks = __builtin_ia32_rdtsc();
		memcpy(to, from, 100);
		__asm__ volatile("" : : "r"(to) : "memory");
		ticks = __builtin_ia32_rdtsc();
	}
	(void)ticks;
	return (thread_ns() - begin) / 100000;
#else
	return 0;
#endif
}

/* ---- The work ----------------------------------------------------------------------- */

/* 100 call sites by macro: each LEAF is one of its own. */
#define SPAN_OPEN(span, name, i)                            \
	WAFT_BEGIN(span, name);                             \
	waft_attr_string(span, "item", texts[(i) % TEXTS]); \
	waft_attr_int(span, "index", (i))
#define LEAF(i)                                     \
	do {                                        \
		struct waft_span leaf_;             \
		SPAN_OPEN(&leaf_, "bench.leaf", i); \
		waft_end(&leaf_);                   \
	} while (0)

/* One tree of 8 spans, 4 levels deep: 8 call sites of its own each time. */
#define TREE_OF(n)                                            \
	static __attribute__((noinline)) void tree_##n(int i) \
	{                                                     \
		struct waft_span a, b, c;                     \
                                                              \
		SPAN_OPEN(&a, "bench.request", i);            \
		SPAN_OPEN(&b, "bench.handler", i + 1);        \
		SPAN_OPEN(&c, "bench.query", i + 2);          \
		LEAF(i + 3);                                  \
		LEAF(i + 4);                                  \
		waft_end(&c);                                 \
		LEAF(i + 5);                                  \
		LEAF(i + 6);                                  \
		waft_end(&b);                                 \
		LEAF(i + 7);                                  \
		waft_end(&a);                                 \
	}
TREE_OF(0)
TREE_OF(1)
TREE_OF(2)
TREE_OF(3)
TREE_OF(4)
TREE_OF(5)
TREE_OF(6)
TREE_OF(7)
TREE_OF(8)
TREE_OF(9)
TREE_OF(10)
TREE_OF(11)
TREE_OF(12)

static void (*const trees[])(int) = {tree_0, tree_1, tree_2, tree_3, tree_4, tree_5, tree_6, tree_7,
	tree_8, tree_9, tree_10, tree_11, tree_12};

static void spans_make(int count)
{
	for (int i = 0; i < count; i++)
		trees[i % 13](i);
}

/* PS: snapshots of 200 bytes in and out on the leaf's place. */
static char snapshot[256];

static void snapshots_make(int count)
{
	for (int i = 0; i < count; i++) {
		struct waft_span span;

		SPAN_OPEN(&span, "bench.snapshot", i);
		waft_input_json(&span, snapshot, 200);
		waft_output_json(&span, snapshot, 200);
		waft_end(&span);
	}
}

/* ---- Rounds --------------------------------------------------------------------------- */

struct figures {
	double thread; /* ns per span */
	double process;
	double wire; /* bytes per span */
};

/* So few at a time that the buffer holds them: nothing may be dropped. */
static struct figures measure(void (*make)(int), int units, int spans_per_unit)
{
	struct figures best = {1e9, 1e9, 0};

	for (int round = 0; round < rounds; round++) {
		uint64_t bytes = sink_bytes();
		double thread = 0;
		double process = process_ns();
		double spans = (double)units * spans_per_unit * BATCHES;

		for (int i = 0; i < BATCHES; i++) {
			double begin = thread_ns();

			make(units);
			thread += thread_ns() - begin;
			if (waft_flush(10000) != 0)
				exit(3);
		}
		best.process = least(best.process, (process_ns() - process) / spans);
		best.thread = least(best.thread, thread / spans);
		best.wire = (double)(sink_bytes() - bytes) / spans;
	}
	return best;
}

/* Two threads at once, each as above; the slower one's time. */
static pthread_barrier_t start;

static void *twin(void *arg)
{
	double *ret = arg;

	*ret = 1e9;
	for (int round = 0; round < rounds * 4; round++) {
		double begin;

		pthread_barrier_wait(&start);
		begin = thread_ns();
		spans_make(TREES);
		*ret = least(*ret, (thread_ns() - begin) / (TREES * TREE));
		pthread_barrier_wait(&start);
		(void)waft_flush(10000);
	}
	return NULL;
}

static double measure_two(void)
{
	pthread_t threads[2];
	double times[2];

	pthread_barrier_init(&start, NULL, 2);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, twin, &times[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	return times[0] > times[1] ? times[0] : times[1];
}

static double measure_plain(void)
{
	double best = 1e9;

	for (int round = 0; round < rounds; round++) {
		double begin = thread_ns();

		spans_make(20000);
		best = least(best, (thread_ns() - begin) / (20000 * TREE));
	}
	return best;
}

/* Disabled or not sampled: in a process of its own. */
static double measure_apart(const char *name, const char *value)
{
	double figure = 0;
	int result[2];
	pid_t pid;

	if (pipe(result) != 0)
		exit(3);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		setenv(name, value, 1);
		setenv("WAFT_ENDPOINT", endpoint, 1);
		figure = measure_plain();
		(void)!write(result[1], &figure, sizeof(figure));
		_exit(0);
	}
	close(result[1]);
	if (read(result[0], &figure, sizeof(figure)) != sizeof(figure))
		exit(3);
	close(result[0]);
	waitpid(pid, NULL, 0);
	return figure;
}

static void row(const char *what, double value, const char *unit, const char *limit, double ratio)
{
	printf("%-34s %8.2f %-8s %-14s", what, value, unit, limit);
	if (ratio > 0)
		printf(" %6.2f", ratio);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct waft_options options = {.size = sizeof(options), .service = "bench"};
	double f = 1e9;
	double f_tsc = 1e9;
	struct figures p;
	struct figures ps;
	struct waft_stats stats;
	double disabled;
	double unsampled;
	double two;

	if (argc == 3 && strcmp(argv[1], "--rounds") == 0)
		rounds = atoi(argv[2]) > 0 ? atoi(argv[2]) : rounds;
	else if (argc != 1) {
		fprintf(stderr, "usage: waft-bench-client [--rounds N]\n");
		return 2;
	}
	for (int i = 0; i < TEXTS; i++)
		snprintf(texts[i], sizeof(texts[i]), "%.*s", 4 + i % 9, "abcdefghijkl");
	snprintf(snapshot, sizeof(snapshot),
		"{\"problem\":\"Which "
		"language\",\"alternatives\":[\"Python\",\"JavaScript\",\"Go\"],"
		"\"criteria\":{\"Performance\":0.4,\"Ease of Learning\":0.3,\"Ecosystem\":0.3},"
		"\"scores\":[7,9,10,6,8,9,9,7,6],\"note\":\"padding..");
	memset(snapshot + strlen(snapshot), '.', 200 - strlen(snapshot));
	memcpy(snapshot + 198, "\"}", 3);
	if (mkdtemp(directory) == NULL)
		return 3;
	snprintf(endpoint, sizeof(endpoint), "unix:%s/sock", directory);
	disabled = measure_apart("OTEL_SDK_DISABLED", "true");
	unsampled = measure_apart("OTEL_TRACES_SAMPLER", "always_off");
	sink_start(endpoint + 5);
	options.endpoint = endpoint;
	if (waft_init(&options) != 0)
		return 3;
	spans_make(TREES);
	for (int i = 0; i < rounds; i++) {
		f = least(f, floor_clock());
		f_tsc = least(f_tsc, floor_tsc());
	}
	p = measure(spans_make, TREES, TREE);
	ps = measure(snapshots_make, TREES, 1);
	two = measure_two();
	printf("%-34s %8s %-8s %-14s %6s\n", "what (profile P)", "", "", "must", "ratio");
	row("F", f, "ns", "", 0);
	row("F_tsc", f_tsc, "ns", "", 0);
	row("one span, thread", p.thread, "ns", "0.35 F", p.thread / f);
	row("one span, thread", p.thread, "ns", "aim 1.15 F_tsc", p.thread / f_tsc);
	row("one span, process", p.process, "ns", "0.6 F", p.process / f);
	row("two threads against one", two, "ns", "1.2 x", two / p.thread);
	row("disabled", disabled, "ns", "1 ns", 0);
	row("not sampled", unsampled, "ns", "10 ns", 0);
	row("on the wire", p.wire, "bytes", "44", 0);
	row("snapshots (PS), more thread", ps.thread - p.thread, "ns", "F",
		(ps.thread - p.thread) / f);
	row("snapshots (PS), more process", ps.process - p.process, "ns", "3 F",
		(ps.process - p.process) / f);
	(void)waft_shutdown(10000, &stats);
	sink_stop();
	unlink(endpoint + 5);
	rmdir(directory);
	printf("emitted %llu, durable %llu\n", (unsigned long long)stats.emitted,
		(unsigned long long)stats.durable);
	return stats.emitted == stats.durable ? 0 : 1;
}
