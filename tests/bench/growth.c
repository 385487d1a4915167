/* waft-bench growth: what a span costs to store, a trace to show and the daemon to start, as
 * a store grows. Three stores of the same days, of 1, 10 and 100 hundredths of --spans, are made
 * first and then measured in turns, so that the machine is the same for all of them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon.h"
#include "measure.h"
#include "query.h"
#include "world.h"

/* Flat: within a fifth of what it was in the smallest. */
#define FLAT 1.2

/* Samples of each store; and the day behind the last of those that it was made with. */
enum { SIZES = 3, PUTS = 40, SHOWS = 100, LATER = WORLD_DAYS + 1 };

struct grown {
	char *directory; /* owned */
	uint64_t spans;	 /* that it was made with */
	struct samples put_ns;
	struct samples cold_ms;
	struct samples warm_ms;
	struct samples start_ms;
};

static void on_stop(int signal)
{
	(void)signal;
	world_stop = 1;
}

/* A store takes an hour. */
static void fill(const char *path, const struct world_plan *plan)
{
	const struct sigaction stopping = {.sa_handler = on_stop};
	const struct sigaction usual = {.sa_handler = SIG_DFL};
	struct world world;

	(void)sigaction(SIGINT, &stopping, NULL);
	(void)sigaction(SIGTERM, &stopping, NULL);
	world_open(path, &world);
	world_fill(&world, plan, plan->traces_in_all);
	world_close(&world);
	(void)sigaction(SIGINT, &usual, NULL);
	(void)sigaction(SIGTERM, &usual, NULL);
	if (world_stop) {
		fprintf(stderr, "waft-bench: stopped; the next growth goes on with %s\n", path);
		exit(EXIT_FAILURE);
	}
}

/* A store that an earlier run kept is used again, one that it left unfinished goes on. */
static void make(uint64_t spans, bool snapshots, bool pressed, struct grown *grown)
{
	struct world_sealed sealed = {0};
	struct world_plan plan = {.traces_in_all = spans / PROFILE_TREE,
		.snapshots = snapshots,
		.level = pressed ? SEAL_LEVEL_PRESSED : SEAL_LEVEL,
		.sealed = &sealed};
	char *unfinished;

	if (asprintf(&grown->directory, "%s/growth-%llu%s", bench_options.directory,
		    (unsigned long long)spans, snapshots ? "-snapshots" : "") < 0 ||
		asprintf(&unfinished, "%s.unfinished", grown->directory) < 0)
		abort();
	if (access(grown->directory, F_OK) != 0) {
		fill(unfinished, &plan);
		bench_check(rename(unfinished, grown->directory) == 0 ? 0 : -errno, unfinished);
	}
	free(unfinished);
	grown->spans = spans;
}

/* Traces of a later day, a millisecond apart in each of the stores, so that what was there before
 * is all that makes them differ. */
static void put_more(struct world *world, bool snapshots, struct samples *put_ns)
{
	enum { TRACES = 1000, GAP_NS = 1000000 };
	uint64_t first = world->traces;
	double before_ns = world->put_cpu_ns;

	while (world->traces < first + TRACES)
		(void)world_store(world, (uint32_t)(first + TRACES - world->traces), snapshots,
			WORLD_FIRST_NS + LATER * WORLD_DAY_NS + world->traces * GAP_NS, GAP_NS);
	samples_add(put_ns, (world->put_cpu_ns - before_ns) / (TRACES * PROFILE_TREE));
}

static void put_in_turns(struct grown *grown, bool snapshots)
{
	struct world worlds[SIZES];

	for (int i = 0; i < SIZES; i++)
		world_open(grown[i].directory, &worlds[i]);
	for (int put = 0; put < PUTS; put++)
		for (int i = 0; i < SIZES; i++)
			put_more(&worlds[i], snapshots, &grown[i].put_ns);
	for (int i = 0; i < SIZES; i++)
		world_close(&worlds[i]);
}

static void show_in_turns(struct grown *grown)
{
	for (uint64_t show = 0; show < SHOWS; show++) {
		for (int i = 0; i < SIZES; i++) {
			const char *path = grown[i].directory;
			uint64_t traces = grown[i].spans / PROFILE_TREE;

			samples_add(&grown[i].cold_ms, query_show_ms(path, traces, show, true));
			samples_add(&grown[i].warm_ms, query_show_ms(path, traces, show, false));
		}
	}
}

static double start_ms(const char *path)
{
	const char *const options[] = {"--store", path, NULL};
	struct daemon daemon;
	struct wire_client client;
	uint8_t id[16];
	double ret;

	bench_check(getentropy(id, sizeof(id)) == 0 ? 0 : -errno, "a client's id");
	daemon_start(options, &daemon);
	wire_client_init(&client, id);
	bench_check(wire_client_hello(&client, daemon.socket, 0), "hello");
	daemon_probe(&client, 1);
	ret = (clock_now_ns(CLOCK_MONOTONIC) - daemon.started_ns) / 1e6;
	wire_client_done(&client);
	daemon_stop(&daemon, NULL);
	return ret;
}

static void start_in_turns(struct grown *grown)
{
	for (unsigned int round = 0; round < bench_options.rounds; round++)
		for (int i = 0; i < SIZES; i++)
			samples_add(&grown[i].start_ms, start_ms(grown[i].directory));
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
	bool snapshots = bench_has_word(argc, argv, "snapshots");
	struct row row = {.group = "growth", .profile = snapshots ? "PS" : "P"};

	if (bench_spans() < 100 * PROFILE_TREE) {
		fprintf(stderr, "waft-bench: growth needs --spans of %d or more\n",
			100 * PROFILE_TREE);
		return 2;
	}
	for (int i = 0, share = 100; i < SIZES; i++, share /= 10)
		make(bench_spans() / (uint64_t)share, snapshots,
			bench_has_word(argc, argv, "pressed"), &grown[i]);
	show_in_turns(grown);
	start_in_turns(grown);
	put_in_turns(grown, snapshots);
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
		bench_directory_remove(grown[i].directory);
		free(grown[i].directory);
	}
	return EXIT_SUCCESS;
}
