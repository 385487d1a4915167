/*
 * waft-bench client: what a span costs the process that makes it.
 *
 * Each case runs in a process of its own, which starts libwaft with the case's
 * options, so that all are of one build and none sees what the one before left.
 * The floors are timed in the same processes, in turns with the spans.
 *
 * Thread time is CLOCK_THREAD_CPUTIME_ID around bursts of some 1,600 spans, the
 * median of many; between bursts the buffer is flushed, so that nothing is dropped.
 * Process time is CLOCK_PROCESS_CPUTIME_ID around spans and flushes: the sender
 * thread and its system calls are in it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <waft/waft.h>

#include "daemon.h"
#include "emit.h"
#include "measure.h"
#include "sink.h"

enum {
	BURST_TREES = 200,
	SNAPSHOT_BURST_TREES = 100,
	BURSTS = 60,
	PROCESS_BURSTS = 400,
	CALLS = 20000,
};

/* What a case hands back, of each round. */
struct figures {
	double floor_clock;
	double floor_tsc;
	double value;
	double second;
};

struct client_case {
	struct waft_options options;
	void (*measure)(const struct client_case *this, struct figures *ret);
	void (*emit)(uint64_t n);
	unsigned int trees; /* a burst */
	bool lossless;	    /* a dropped span spoils it */
	unsigned int times; /* the rounds of others; 0: as many */
};

static void check_stats(const struct client_case *this)
{
	struct waft_stats stats;

	if (waft_flush(10000) != 0 && this->lossless)
		bench_check(-ETIMEDOUT, "flushing");
	waft_stats(&stats);
	if (this->lossless && (stats.durable != stats.emitted || stats.emitted == 0)) {
		fprintf(stderr, "waft-bench: %llu of %llu spans were dropped\n",
			(unsigned long long)(stats.emitted - stats.durable),
			(unsigned long long)stats.emitted);
		exit(EXIT_FAILURE);
	}
}

/* ---- Measurements --------------------------------------------------------- */

static double burst_ns(const struct client_case *this, uint64_t *n)
{
	double begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned int i = 0; i < this->trees; i++)
		this->emit((*n)++);
	return (clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / (this->trees * PROFILE_TREE);
}

static double thread_median(const struct client_case *this)
{
	static _Thread_local uint64_t n;
	struct samples bursts = {0};
	double median;

	for (int i = 0; i < BURSTS; i++) {
		samples_add(&bursts, burst_ns(this, &n));
		if (waft_flush(10000) != 0)
			bench_check(-ETIMEDOUT, "flushing");
	}
	median = samples_rank(&bursts, 0.5);
	samples_done(&bursts);
	return median;
}

static void measure_thread(const struct client_case *this, struct figures *ret)
{
	ret->floor_clock = floor_clock_ns();
	ret->floor_tsc = floor_tsc_ns();
	ret->value = thread_median(this);
}

/* Spans as fast as the sender takes them. */
static void measure_process(const struct client_case *this, struct figures *ret)
{
	static uint64_t n;
	double begin;

	ret->floor_clock = floor_clock_ns();
	ret->floor_tsc = floor_tsc_ns();
	begin = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < PROCESS_BURSTS; i++) {
		for (unsigned int k = 0; k < this->trees; k++)
			this->emit(n++);
		if (i % 10 == 9 && waft_flush(10000) != 0)
			bench_check(-ETIMEDOUT, "flushing");
	}
	ret->value = (clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) /
		     ((double)PROCESS_BURSTS * this->trees * PROFILE_TREE);
}

struct pair {
	const struct client_case *this;
	pthread_barrier_t barrier;
	double medians[2];
};

struct half {
	struct pair *pair;
	int which;
};

static void *run_half(void *arg)
{
	struct half *half = arg;

	pthread_barrier_wait(&half->pair->barrier);
	half->pair->medians[half->which] = thread_median(half->pair->this);
	pthread_barrier_wait(&half->pair->barrier);
	return NULL;
}

/* value: of one thread, second: of the slower of two at a time. */
static void measure_two(const struct client_case *this, struct figures *ret)
{
	struct pair pair = {.this = this};
	struct half halves[2] = {{&pair, 0}, {&pair, 1}};
	pthread_t threads[2];

	ret->value = thread_median(this);
	pthread_barrier_init(&pair.barrier, NULL, 2);
	for (int i = 0; i < 2; i++)
		bench_check(-pthread_create(&threads[i], NULL, run_half, &halves[i]), "a thread");
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&pair.barrier);
	ret->second = pair.medians[0] > pair.medians[1] ? pair.medians[0] : pair.medians[1];
}

/* Spans that are not recorded, less the loop around them. */
static void measure_calls(const struct client_case *this, struct figures *ret)
{
	double times[2] = {1e18, 1e18};

	ret->floor_clock = floor_clock_ns();
	for (int burst = 0; burst < 9; burst++) {
		for (int kind = 0; kind < 2; kind++) {
			double begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);

			for (uint64_t i = 0; i < CALLS; i += EMIT_FUNCTIONS)
				(kind == 0 ? this->emit : emit_round_empty)(i);
			begin = (clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin) /
				(CALLS * (double)PROFILE_TREE);
			times[kind] = begin < times[kind] ? begin : times[kind];
		}
	}
	ret->value = times[0] - times[1];
	ret->second = times[0];
}

/* ---- Running a case -------------------------------------------------------- */

/* All rounds in a child; its figures come by a pipe. */
static void run_case(const struct client_case *this, struct figures *ret, unsigned int rounds)
{
	int results[2], status;
	size_t length = rounds * sizeof(*ret);
	pid_t child = -1;

	fflush(NULL);
	if (pipe(results) == 0)
		child = fork();
	if (child < 0)
		bench_check(-errno, "starting a process");
	if (child == 0) {
		bench_check(waft_init(&this->options), "waft_init");
		emit_init();
		this->measure(this, ret); /* warms up */
		memset(ret, 0, length);
		for (unsigned int i = 0; i < rounds; i++)
			this->measure(this, &ret[i]);
		check_stats(this);
		if (write(results[1], ret, length) != (ssize_t)length)
			_exit(EXIT_FAILURE);
		_exit(EXIT_SUCCESS);
	}
	close(results[1]);
	if (read(results[0], ret, length) != (ssize_t)length)
		bench_check(-EIO, "a case's figures");
	close(results[0]);
	waitpid(child, &status, 0);
}

/* ---- Rows ------------------------------------------------------------------- */

enum { ROUNDS_MOST = 64 };

struct columns {
	struct samples floor_clock, floor_tsc, value, second;
};

static void run_columns(const struct client_case *this, struct columns *ret)
{
	static struct figures figures[ROUNDS_MOST];
	unsigned int rounds = bench_options.rounds * (this->times > 0 ? this->times : 1);

	if (rounds > ROUNDS_MOST)
		rounds = ROUNDS_MOST;
	*ret = (struct columns){0};
	run_case(this, figures, rounds);
	for (unsigned int i = 0; i < rounds; i++) {
		samples_add(&ret->floor_clock, figures[i].floor_clock);
		samples_add(&ret->floor_tsc, figures[i].floor_tsc);
		samples_add(&ret->value, figures[i].value);
		samples_add(&ret->second, figures[i].second);
	}
}

static void columns_done(struct columns *columns)
{
	samples_done(&columns->floor_clock);
	samples_done(&columns->floor_tsc);
	samples_done(&columns->value);
	samples_done(&columns->second);
}

static double median(struct samples *samples)
{
	return samples_rank(samples, 0.5);
}

static void row_floors(struct columns *columns)
{
	struct row row = {.group = "client", .profile = "-", .unit = "ns"};

	row.what = "floor F: 4 clock_gettime, 100 B copied";
	row_print(&row, &columns->floor_clock);
	row.what = "floor F_tsc: 2 rdtsc, 100 B copied";
	row_print(&row, &columns->floor_tsc);
}

static void row_times(const char *profile, const char *what, struct columns *columns,
	struct goal must, struct goal aim)
{
	char note[64];
	struct row row = {.group = "client",
		.profile = profile,
		.what = what,
		.unit = "ns",
		.note = note,
		.must = must,
		.aim = aim};

	snprintf(note, sizeof(note), "%.2f F, %.2f F_tsc",
		median(&columns->value) / median(&columns->floor_clock),
		median(&columns->value) / median(&columns->floor_tsc));
	row_print(&row, &columns->value);
}

static struct client_case case_of(const char *endpoint)
{
	return (struct client_case){.options = {.size = sizeof(struct waft_options),
					    .endpoint = endpoint,
					    .service = "shop"},
		.measure = measure_thread,
		.emit = emit_tree,
		.trees = BURST_TREES,
		.lossless = true};
}

static void rows_thread(const char *endpoint)
{
	struct client_case this = case_of(endpoint);
	struct columns plain, full;
	double clock, tsc;
	char note[96];
	struct row row = {.group = "client", .profile = "PS", .unit = "ns", .note = note};

	run_columns(&this, &plain);
	clock = median(&plain.floor_clock);
	tsc = median(&plain.floor_tsc);
	row_floors(&plain);
	row_times("P", "one span, thread's own time", &plain,
		(struct goal){"<= 0.35 F", 0.35 * clock},
		(struct goal){"<= 1.15 F_tsc", 1.15 * tsc});
	this.emit = emit_tree_snapshots;
	this.trees = SNAPSHOT_BURST_TREES;
	run_columns(&this, &full);
	row.what = "snapshots of 200 B in and out: more thread time";
	row.must = (struct goal){"<= F", clock};
	snprintf(note, sizeof(note), "%.2f F; %.0f ns with, %.0f without",
		(median(&full.value) - median(&plain.value)) / clock, median(&full.value),
		median(&plain.value));
	row_print_one(&row, median(&full.value) - median(&plain.value));
	columns_done(&plain);
	columns_done(&full);
}

static void rows_process(const char *endpoint, const char *sink)
{
	struct client_case this = case_of(endpoint);
	struct columns plain, full;
	double clock;
	char what[96], note[96];
	struct row row = {
		.group = "client", .profile = "PS", .unit = "ns", .note = note, .what = what};

	this.measure = measure_process;
	run_columns(&this, &plain);
	clock = median(&plain.floor_clock);
	snprintf(what, sizeof(what), "all CPU of the process, a span; %s", sink);
	row_times("P", what, &plain, (struct goal){"<= 0.6 F", 0.6 * clock},
		(struct goal){"<= 0.35 F", 0.35 * clock});
	this.emit = emit_tree_snapshots;
	this.trees = SNAPSHOT_BURST_TREES / 4;
	run_columns(&this, &full);
	snprintf(what, sizeof(what), "snapshots: more process CPU; %s", sink);
	row.must = (struct goal){"<= 3 F", 3 * clock};
	snprintf(note, sizeof(note), "%.2f F; %.0f ns with, %.0f without",
		(median(&full.value) - median(&plain.value)) / clock, median(&full.value),
		median(&plain.value));
	row_print_one(&row, median(&full.value) - median(&plain.value));
	columns_done(&plain);
	columns_done(&full);
}

static void row_two(const char *endpoint)
{
	struct client_case this = case_of(endpoint);
	struct columns columns;
	struct samples ratios = {0};
	struct row row = {.group = "client",
		.profile = "P",
		.what = "a span of two threads at a time, to one's",
		.unit = "times",
		.must = {"<= 1.2", 1.2},
		.aim = {"1.0", 1.02}};

	/* A round's threads are quick or slow by where the sender and others run meanwhile, one
	 * alone as well as two: the median is of those only when rounds are many. */
	this.times = 5;
	this.measure = measure_two;
	run_columns(&this, &columns);
	for (size_t i = 0; i < columns.value.count; i++)
		samples_add(&ratios, columns.second.at[i] / columns.value.at[i]);
	row_print(&row, &ratios);
	samples_done(&ratios);
	columns_done(&columns);
}

static void rows_off(const char *endpoint)
{
	struct client_case this = case_of(endpoint);
	struct columns columns;
	struct row row = {.group = "client", .profile = "P", .unit = "ns"};

	this.measure = measure_calls;
	this.emit = emit_round;
	this.lossless = false;
	this.options.disabled = true;
	run_columns(&this, &columns);
	row.what = "disabled, less the loop around it";
	row.must = (struct goal){"<= 1 ns", 1};
	row_print(&row, &columns.value);
	columns_done(&columns);
	this.options.disabled = false;
	this.options.sampler = "always_off";
	run_columns(&this, &columns);
	row.what = "not sampled, less the loop around it";
	row.must = (struct goal){"<= 10 ns", 10};
	row_print(&row, &columns.value);
	columns_done(&columns);
}

static void row_bytes(const char *endpoint, struct sink *sink)
{
	struct client_case this = case_of(endpoint);
	struct figures figures[1];
	struct sink_counts before = *sink->counts;
	double spans = 2.0 * PROCESS_BURSTS * BURST_TREES * PROFILE_TREE;
	char note[64];
	struct row row = {.group = "client",
		.profile = "P",
		.what = "bytes on the wire a span, frames included",
		.unit = "B",
		.note = note,
		.must = {"<= 44", 44},
		.aim = {"<= 36", 36}};

	this.measure = measure_process;
	run_case(&this, figures, 1);
	snprintf(note, sizeof(note), "%.0f spans a batch",
		spans / (double)(sink->counts->batches - before.batches));
	row_print_one(&row, (double)(sink->counts->wire_bytes - before.wire_bytes) / spans);
}

int bench_client(int argc, char **argv)
{
	char *directory = bench_directory_new(), *path, *endpoint;
	struct sink sink;
	struct daemon daemon;

	(void)argc;
	(void)argv;
	if (asprintf(&path, "%s/sink.sock", directory) < 0 ||
		asprintf(&endpoint, "unix:%s", path) < 0)
		abort();
	sink_start(path, &sink);
	rows_thread(endpoint);
	row_two(endpoint);
	rows_process(endpoint, "a bare reader");
	row_bytes(endpoint, &sink);
	rows_off(endpoint);
	sink_stop(&sink);
	free(endpoint);
	free(path);
	bench_directory_remove(directory);

	daemon_start(NULL, &daemon);
	if (asprintf(&endpoint, "unix:%s", daemon.socket) < 0)
		abort();
	rows_process(endpoint, "the collector");
	daemon_stop(&daemon, NULL);
	free(endpoint);
	free(directory);
	return EXIT_SUCCESS;
}
