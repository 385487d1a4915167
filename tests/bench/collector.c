/*
 * waft-bench collector: waft-collectord of this build under load, with a store on
 * the disk of --dir.
 *
 * The load is three services with libwaft (load.h). Acknowledgements are timed by a
 * fourth client, which sends a batch of 8 spans, waits for its answer and sends
 * the next a while later. The floor (sink.h) then gets as many bytes at the same
 * rate, and writes and syncs as many as the daemon wrote; that of `sustained` for as long, and
 * in files of which it removes the oldest, so that both keep to the same cap.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "load.h"
#include "measure.h"
#include "profile.h"
#include "sink.h"
#include "tests/support/wire_client.h"

enum { PROBE_EVERY_MS = 5, LOOK_EVERY_MS = 500 };

/* What came out of one load. */
struct run {
	struct load_result load;
	struct daemon_usage usage;
	struct samples answers; /* ms */
	double rss_idle;
	double rss_most;
	double cpu_per_million;
	double first_answer_ms;
	double wire_bytes;  /* a span */
	double write_bytes; /* a span */
	double store_most;  /* bytes of its files, at most */
	unsigned int parts_made;
	unsigned int parts_sealed; /* that are there at the end */
	unsigned int parts_plain;
};

/* What lies in the store now. */
static void look_at_store(const struct daemon *daemon, struct run *run)
{
	DIR *directory = opendir(daemon->store);
	const struct dirent *entry;
	struct stat sealed;
	double bytes = 0;

	run->parts_sealed = run->parts_plain = 0;
	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		unsigned int number = 1;
		struct stat st;

		if (strstr(entry->d_name, ".jsonl") == NULL ||
			fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (entry->d_name[10] == '.' && entry->d_name[11] >= '0' &&
			entry->d_name[11] <= '9')
			number = (unsigned int)strtoul(entry->d_name + 11, NULL, 10);
		run->parts_made = number > run->parts_made ? number : run->parts_made;
		if (strstr(entry->d_name, ".zst") != NULL)
			run->parts_sealed++;
		else
			run->parts_plain++;
		bytes += (double)st.st_size;
	}
	/* What is being sealed is a file of the store, too. */
	if (directory != NULL &&
		fstatat(dirfd(directory), ".waft/sealed.new", &sealed, AT_SYMLINK_NOFOLLOW) == 0)
		bytes += (double)sealed.st_size;
	if (directory != NULL)
		closedir(directory);
	run->store_most = bytes > run->store_most ? bytes : run->store_most;
}

static void probe(struct daemon *daemon, struct wire_client *client, uint64_t *sequence,
	double until_ns, struct run *run)
{
	double looked_ns = 0;

	while (clock_now_ns(CLOCK_MONOTONIC) < until_ns) {
		double begin = clock_now_ns(CLOCK_MONOTONIC), rss;

		daemon_probe(client, ++*sequence);
		samples_add(&run->answers, (clock_now_ns(CLOCK_MONOTONIC) - begin) / 1e6);
		rss = daemon_rss_mib(daemon);
		run->rss_most = rss > run->rss_most ? rss : run->rss_most;
		if (begin - looked_ns > LOOK_EVERY_MS * 1e6) {
			look_at_store(daemon, run);
			looked_ns = begin;
		}
		clock_sleep_until_ns(begin + PROBE_EVERY_MS * 1e6);
	}
}

static void run_load(
	double rate, bool snapshots, double wire_bytes, const char *const *options, struct run *ret)
{
	static const uint8_t id[16] = "waft-bench-probe";
	struct daemon daemon;
	struct wire_client client;
	struct load load;
	struct load_plan plan = {
		.seconds = bench_options.seconds, .rate = rate, .snapshots = snapshots};
	char *endpoint;
	uint64_t sequence = 0;

	*ret = (struct run){.wire_bytes = wire_bytes};
	daemon_start(options, &daemon);
	wire_client_init(&client, id);
	bench_check(wire_client_hello(&client, daemon.socket, 0), "hello");
	daemon_probe(&client, ++sequence);
	ret->first_answer_ms = (clock_now_ns(CLOCK_MONOTONIC) - daemon.started_ns) / 1e6;
	ret->rss_idle = daemon_rss_mib(&daemon);
	if (asprintf(&endpoint, "unix:%s", daemon.socket) < 0)
		abort();
	plan.endpoint = endpoint;
	load_start(&plan, &load);
	probe(&daemon, &client, &sequence, load.begin_ns + plan.seconds * 1e9, ret);
	load_finish(&load, &ret->load);
	wire_client_done(&client);
	daemon_stop(&daemon, &ret->usage);
	ret->cpu_per_million = ret->usage.cpu_s / ret->load.durable * 1e6;
	ret->write_bytes = ret->usage.written_bytes / ret->load.durable;
	free(endpoint);
}

static void run_floor(const struct run *run, double rate, struct floor_result *ret)
{
	char *directory = bench_directory_new();
	struct floor_plan plan = {.directory = directory,
		.wire_bytes = run->wire_bytes,
		.write_bytes = run->write_bytes,
		.spans = (uint64_t)(rate > 0 ? rate * bench_options.seconds : 4e6),
		.rate = rate};

	floor_run(&plan, ret);
	bench_directory_remove(directory);
	free(directory);
}

/* 8G, 512M or so many bytes, which the daemon understood. */
static uint64_t size_of(const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 10);

	return number << (*end == 'G' ? 30 : *end == 'M' ? 20 : *end == 'K' ? 10 : 0);
}

/* For as long as the load was, under the same cap. */
static void run_capped_floor(
	const struct run *run, const char *cap, const char *part, struct floor_result *ret)
{
	char *directory = bench_directory_new();
	struct floor_plan plan = {.directory = directory,
		.wire_bytes = run->wire_bytes,
		.write_bytes = run->write_bytes,
		.seconds = bench_options.seconds,
		.file_bytes = size_of(part),
		.cap_bytes = size_of(cap)};

	floor_run(&plan, ret);
	bench_directory_remove(directory);
	free(directory);
}

/* ---- Rows ------------------------------------------------------------------- */

static void note_loss(const struct run *run, char note[160], size_t size)
{
	size_t length = strlen(note);

	if (run->load.durable < run->load.spans)
		snprintf(note + length, size - length, "; %.0f spans dropped",
			run->load.spans - run->load.durable);
}

static void rows_rate(
	const char *profile, const struct run *run, const struct floor_result *floor, double rate)
{
	struct samples answers = run->answers;
	char note[160], what[96];
	double ack = samples_rank(&answers, 0.99);
	struct row row = {.group = "collector", .profile = profile, .note = note, .what = what};

	snprintf(what, sizeof(what), "CPU-seconds a million spans, at %.0fk/s", rate / 1e3);
	snprintf(note, sizeof(note), "floor %.2f; %.0f B written a span",
		floor->cpu_s / rate / bench_options.seconds * 1e6, run->write_bytes);
	note_loss(run, note, sizeof(note));
	row.unit = "s";
	if (profile[1] == '\0') {
		row.must = (struct goal){"<= 1.0", 1.0};
		row.aim = (struct goal){"<= 0.6", 0.6};
	}
	row_print_one(&row, run->cpu_per_million);
	row.must = row.aim = (struct goal){0};
	if (profile[1] == '\0') {
		row.must = (struct goal){"<= 3 x floor's sync p99", 3 * floor->sync_p99_ms};
		row.aim = (struct goal){"<= 2 x", 2 * floor->sync_p99_ms};
	}
	snprintf(what, sizeof(what), "acknowledgement p99, at %.0fk/s", rate / 1e3);
	snprintf(note, sizeof(note), "p50 %.2f; floor's fdatasync p50 %.2f, p99 %.2f: %.1f x",
		samples_rank(&answers, 0.5), floor->sync_p50_ms, floor->sync_p99_ms,
		ack / floor->sync_p99_ms);
	row.unit = "ms";
	row_print_one(&row, ack);
	row.must = row.aim = (struct goal){0};
	if (profile[1] == '\0') {
		row.must = (struct goal){"<= 64 MiB", 64};
		row.aim = (struct goal){"<= 32 MiB", 32};
	}
	snprintf(what, sizeof(what), "resident memory at most, at %.0fk/s", rate / 1e3);
	row.unit = "MiB";
	row.note = NULL;
	row_print_one(&row, run->rss_most);
}

static void rows_idle(struct samples *first, struct samples *idle)
{
	struct row row = {.group = "collector", .profile = "-"};

	row.what = "resident memory when idle";
	row.unit = "MiB";
	row.must = (struct goal){"<= 16 MiB", 16};
	row.aim = (struct goal){"<= 8 MiB", 8};
	row_print(&row, idle);
	row.what = "start to first acknowledgement, empty store";
	row.unit = "ms";
	row.must = (struct goal){"<= 20 ms", 20};
	row.aim = (struct goal){0};
	row_print(&row, first);
}

static void rows_most(const char *group, const char *profile, const struct run *run,
	const struct floor_result *floor)
{
	double speed = run->load.durable / run->load.seconds;
	double must = 0.8 * floor->spans_per_s, aim = must;
	char note[160];
	struct row row = {.group = group,
		.profile = profile,
		.what = "sustained spans/s, the load generator included",
		.unit = "spans/s",
		.note = note,
		.more_is_better = true};

	snprintf(note, sizeof(note), "floor %.0fk/s, %.0f s; load %.2f CPU-s a million, %.0f s",
		floor->spans_per_s / 1e3, floor->seconds, run->load.cpu_s / run->load.spans * 1e6,
		run->load.seconds);
	note_loss(run, note, sizeof(note));
	if (profile[1] == '\0') {
		row.must = (struct goal){"500k or 0.8 floor", must < 5e5 ? must : 5e5};
		row.aim = (struct goal){"1M or 0.8 floor", aim < 1e6 ? aim : 1e6};
	}
	row_print_one(&row, speed);
	row.what = "CPU-seconds a million spans, at full load";
	row.unit = "s";
	row.more_is_better = false;
	row.must = row.aim = (struct goal){0};
	if (profile[1] == '\0') {
		row.must = (struct goal){"<= 1.0", 1.0};
		row.aim = (struct goal){"<= 0.6", 0.6};
	}
	snprintf(note, sizeof(note), "%.0f B written a span", run->write_bytes);
	row_print_one(&row, run->cpu_per_million);
	row.what = "resident memory at most, at full load";
	row.unit = "MiB";
	row.note = NULL;
	row.must = (struct goal){"<= 128 MiB", 128};
	row.aim = (struct goal){0};
	row_print_one(&row, run->rss_most);
}

/* Bytes on the wire a span, by a bare reader. */
static double wire_bytes(bool snapshots)
{
	char *directory = bench_directory_new(), *path, *endpoint;
	struct load_plan plan = {.seconds = 1, .rate = 50000, .snapshots = snapshots};
	struct load load;
	struct load_result result;
	struct sink sink;
	double bytes;

	if (asprintf(&path, "%s/sink.sock", directory) < 0 ||
		asprintf(&endpoint, "unix:%s", path) < 0)
		abort();
	sink_start(path, &sink);
	plan.endpoint = endpoint;
	load_start(&plan, &load);
	load_finish(&load, &result);
	bytes = (double)sink.counts->wire_bytes / result.durable;
	sink_stop(&sink);
	bench_directory_remove(directory);
	free(endpoint);
	free(path);
	free(directory);
	return bytes;
}

/* What is measured, by the words behind the command; none: all of it. */
struct choice {
	bool plain;
	bool snapshots;
	bool rate;
	bool full;
};

static void measure(const char *profile, const struct choice *choice, double rate,
	struct samples *first, struct samples *idle)
{
	bool snapshots = profile[1] != '\0';
	double bytes = wire_bytes(snapshots);
	struct floor_result floor;
	struct run run;

	for (int full = 0; full < 2; full++) {
		double at = full ? 0 : rate;

		if (!(full ? choice->full : choice->rate))
			continue;
		run_load(at, snapshots, bytes, NULL, &run);
		samples_add(first, run.first_answer_ms);
		samples_add(idle, run.rss_idle);
		run_floor(&run, at, &floor);
		if (full)
			rows_most("collector", profile, &run, &floor);
		else
			rows_rate(profile, &run, &floor, rate);
		samples_done(&run.answers);
	}
}

static struct choice choose(int argc, char **argv)
{
	struct choice choice = {0};

	for (int i = 1; i < argc; i++) {
		choice.plain |= strcmp(argv[i], "plain") == 0;
		choice.snapshots |= strcmp(argv[i], "snapshots") == 0;
		choice.rate |= strcmp(argv[i], "rate") == 0;
		choice.full |= strcmp(argv[i], "full") == 0;
	}
	if (!choice.plain && !choice.snapshots)
		choice.plain = choice.snapshots = true;
	if (!choice.rate && !choice.full)
		choice.rate = choice.full = true;
	return choice;
}

int bench_collector(int argc, char **argv)
{
	struct choice choice = choose(argc, argv);
	struct samples first = {0}, idle = {0};

	if (choice.plain)
		measure("P", &choice, bench_options.rate, &first, &idle);
	if (choice.snapshots)
		measure("PS", &choice, bench_options.rate / 4, &first, &idle);
	rows_idle(&first, &idle);
	samples_done(&first);
	samples_done(&idle);
	return EXIT_SUCCESS;
}

/* ---- sustained, beside-sealing ----------------------------------------------- */

/* As long as --seconds says, under a cap that its text fills many times over. */
int bench_sustained(int argc, char **argv)
{
	const char *options[] = {"--retention-size", argc > 1 ? argv[1] : "8G", "--part-size",
		argc > 2 ? argv[2] : "1G", NULL};
	double bytes = wire_bytes(false);
	struct floor_result floor;
	struct run run;
	char note[160], what[96];
	struct row row = {.group = "sustained", .profile = "P", .note = note};

	run_load(0, false, bytes, options, &run);
	run_capped_floor(&run, options[1], options[3], &floor);
	rows_most("sustained", "P", &run, &floor);
	snprintf(note, sizeof(note), "%u parts: %u sealed, %u plain, the others removed",
		run.parts_made, run.parts_sealed, run.parts_plain);
	snprintf(what, sizeof(what), "files of the store at most, under a cap of %s", options[1]);
	row.what = what;
	row.unit = "GiB";
	row_print_one(&row, run.store_most / (double)(UINT64_C(1) << 30));
	snprintf(note, sizeof(note), "p50 %.2f", samples_rank(&run.answers, 0.5));
	row.what = "acknowledgement p99 under that load";
	row.unit = "ms";
	row_print_one(&row, samples_rank(&run.answers, 0.99));
	samples_done(&run.answers);
	return EXIT_SUCCESS;
}

/* What syncs alone take longer for when a process does what a sealer does; ms, without and with. */
static unsigned int run_sealing_floor(
	double bytes, const struct run *run, const char *part, struct samples without_with[2])
{
	unsigned int sealed = 0;

	for (int sealing = 0; sealing < 2; sealing++) {
		char *directory = bench_directory_new();
		struct floor_plan plan = {.directory = directory,
			.wire_bytes = bytes,
			.write_bytes = run->write_bytes,
			.spans = (uint64_t)(bench_options.rate * bench_options.seconds),
			.rate = bench_options.rate,
			.file_bytes = size_of(part),
			.sealing = sealing == 1};
		struct floor_result result;

		floor_run(&plan, &result);
		samples_add(&without_with[sealing], result.sync_p99_ms);
		sealed += result.sealed;
		bench_directory_remove(directory);
		free(directory);
	}
	return sealed;
}

/* Rounds without and with a sealer that never rests, in turns: both see the same machine. */
int bench_beside_sealing(int argc, char **argv)
{
	static const char *const sealing[] = {
		"--part-size", "8M", "--seal-after", "1s", "--retention-size", "4G", NULL};
	static const char *const plain[] = {"--part-size", "8M", "--seal", "no", NULL};
	struct samples ratios = {0}, answers[2] = {0}, floor_ratios = {0}, syncs[2] = {0};
	unsigned int sealed = 0, floor_sealed = 0;
	double bytes = wire_bytes(false);
	char note[160];
	struct row row = {.group = "beside-sealing",
		.profile = "P",
		.what = "acknowledgement p99 beside sealing, to that without",
		.unit = "times",
		.note = note,
		.must = {"<= 1.2", 1.2}};

	(void)argc;
	(void)argv;
	for (unsigned int i = 0; i < bench_options.rounds; i++) {
		struct run run;

		for (int k = 0; k < 2; k++) {
			run_load(bench_options.rate, false, 0, k == 0 ? plain : sealing, &run);
			samples_add(&answers[k], samples_rank(&run.answers, 0.99));
			sealed += run.parts_sealed;
			samples_done(&run.answers);
		}
		floor_sealed += run_sealing_floor(bytes, &run, plain[1], syncs);
		samples_add(&ratios, answers[1].at[i] / answers[0].at[i]);
		samples_add(&floor_ratios, syncs[1].at[i] / syncs[0].at[i]);
	}
	snprintf(note, sizeof(note), "%.2f and %.2f ms at %.0fk/s, medians; %u parts were sealed",
		samples_rank(&answers[1], 0.5), samples_rank(&answers[0], 0.5),
		bench_options.rate / 1e3, sealed);
	/* Where the sealer got no time at all, nothing was shown. */
	if (sealed == 0)
		row.must = (struct goal){0};
	row_print(&row, &ratios);
	snprintf(note, sizeof(note), "%.2f and %.2f ms, medians; %u files were sealed",
		samples_rank(&syncs[1], 0.5), samples_rank(&syncs[0], 0.5), floor_sealed);
	row.what = "the floor's fdatasync p99 beside as much work, to that without";
	row.must = (struct goal){0};
	row_print(&row, &floor_ratios);
	samples_done(&ratios);
	samples_done(&floor_ratios);
	for (int k = 0; k < 2; k++) {
		samples_done(&answers[k]);
		samples_done(&syncs[k]);
	}
	return EXIT_SUCCESS;
}
