/* waft-bench growth: what a span costs to store, a trace to show and the daemon to start, as
 * a store grows. Three stores of the same days, of 1, 10 and 100 hundredths of --spans. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "measure.h"
#include "query.h"
#include "world.h"

/* Flat: within a fifth of what it was in the smallest. */
#define FLAT 1.2

enum { SIZES = 3 };

struct grown {
	uint64_t spans;
	struct samples put_ns; /* of a span, the last tenths of the store */
	struct samples cold_ms;
	struct samples warm_ms;
	struct samples start_ms;
};

/* The put of the last tenth of the store, in tenths of that. */
static void fill(const char *path, const struct world_plan *plan, struct grown *grown)
{
	enum { PIECES = 10 };
	struct world world;

	world_open(path, &world);
	world_fill(&world, plan, plan->traces_in_all * 9 / 10);
	for (uint64_t i = 1; i <= PIECES; i++) {
		uint64_t traces = world.traces;
		double put_ns = world.put_cpu_ns;

		world_fill(&world, plan, plan->traces_in_all * (90 + i) / 100);
		if (world.traces > traces)
			samples_add(&grown->put_ns,
				(world.put_cpu_ns - put_ns) /
					(double)((world.traces - traces) * PROFILE_TREE));
	}
	world_close(&world);
}

static void start(const char *path, struct samples *ms)
{
	const char *const options[] = {"--store", path, NULL};

	for (unsigned int i = 0; i < bench_options.rounds; i++) {
		struct daemon daemon;
		struct wire_client client;
		uint8_t id[16] = "waft-bench-start";

		id[0] = (uint8_t)i;
		daemon_start(options, &daemon);
		wire_client_init(&client, id);
		bench_check(wire_client_hello(&client, daemon.socket, 0), "hello");
		daemon_probe(&client, 1);
		samples_add(ms, (clock_now_ns(CLOCK_MONOTONIC) - daemon.started_ns) / 1e6);
		wire_client_done(&client);
		daemon_stop(&daemon, NULL);
	}
}

static void grow(int argc, char **argv, struct grown *grown)
{
	char *directory = bench_directory_new();
	struct world_sealed sealed = {0};
	struct world_plan plan = {.traces_in_all = grown->spans / PROFILE_TREE,
		.snapshots = bench_has_word(argc, argv, "snapshots"),
		.level = bench_has_word(argc, argv, "pressed") ? SEAL_LEVEL_PRESSED : SEAL_LEVEL,
		.sealed = &sealed};

	fill(directory, &plan, grown);
	query_show_times(directory, plan.traces_in_all, true, &grown->cold_ms);
	query_show_times(directory, plan.traces_in_all, false, &grown->warm_ms);
	start(directory, &grown->start_ms);
	bench_directory_remove(directory);
	free(directory);
}

/* A row; to the smallest store's figure, where that must stay flat. */
static void row_of(struct row *row, uint64_t spans, struct samples *samples, struct samples *least)
{
	char what[128], note[64];
	struct row full = *row;

	snprintf(what, sizeof(what), "%s; %.3gM spans stored", row->what, (double)spans / 1e6);
	full.what = what;
	if (least != NULL && least != samples) {
		double base = samples_rank(least, 0.5);

		snprintf(note, sizeof(note), "%.2f x the smallest's",
			samples_rank(samples, 0.5) / base);
		full.note = note;
		full.must = (struct goal){"flat within 20 %", FLAT * base};
	}
	row_print(&full, samples);
}

int bench_growth(int argc, char **argv)
{
	struct grown grown[SIZES] = {0};
	struct row row = {
		.group = "growth", .profile = bench_has_word(argc, argv, "snapshots") ? "PS" : "P"};

	if (bench_spans() < 100 * PROFILE_TREE) {
		fprintf(stderr, "waft-bench: growth needs --spans of %d or more\n",
			100 * PROFILE_TREE);
		return 2;
	}
	for (int i = 0, share = 100; i < SIZES; i++, share /= 10) {
		grown[i].spans = bench_spans() / (uint64_t)share;
		grow(argc, argv, &grown[i]);
	}
	row.unit = "ns";
	row.what = "store's thread, CPU a span";
	for (int i = 0; i < SIZES; i++)
		row_of(&row, grown[i].spans, &grown[i].put_ns, &grown[0].put_ns);
	row.unit = "ms";
	row.what = "trace show by id, cold";
	for (int i = 0; i < SIZES; i++)
		row_of(&row, grown[i].spans, &grown[i].cold_ms, &grown[0].cold_ms);
	row.what = "trace show by id, warm";
	for (int i = 0; i < SIZES; i++)
		row_of(&row, grown[i].spans, &grown[i].warm_ms, &grown[0].warm_ms);
	row.what = "start to first acknowledgement";
	row.must = (struct goal){"<= 1 s", 1000};
	for (int i = 0; i < SIZES; i++)
		row_of(&row, grown[i].spans, &grown[i].start_ms, NULL);
	for (int i = 0; i < SIZES; i++) {
		samples_done(&grown[i].put_ns);
		samples_done(&grown[i].cold_ms);
		samples_done(&grown[i].warm_ms);
		samples_done(&grown[i].start_ms);
	}
	return EXIT_SUCCESS;
}
