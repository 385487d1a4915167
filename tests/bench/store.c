/* waft-bench generate, put and query: the store without the daemon. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store/query.h"
#include "collector/store/reader.h"
#include "collector/store/stats.h"
#include "measure.h"
#include "world.h"

/* The daemon's level, and that for lack of room. */
enum { DAYS = 10, SHOWS = 300, SEAL_LEVEL = 9, SEAL_LEVEL_PRESSED = 1 };
/* 2026-01-05, so that stores are the same whenever they are made. */
#define FIRST_NS UINT64_C(1767571200000000000)
#define SPANS_DEFAULT UINT64_C(10000000)

static uint64_t span_count(void)
{
	return bench_options.spans > 0 ? bench_options.spans : SPANS_DEFAULT;
}

/* ---- generate, put --------------------------------------------------------- */

/* How many traces, from number first on, are of the same day. */
static uint64_t left_in_day(uint64_t first, uint64_t gap_ns)
{
	uint64_t offset_ns = first * gap_ns;
	uint64_t end_ns = (offset_ns / DAY_NS + 1) * DAY_NS;

	return (end_ns - offset_ns + gap_ns - 1) / gap_ns;
}

/* sealed: parts of days that are full are sealed meanwhile; NULL: all stay plain. */
static void fill(struct world *world, bool snapshots, int level, struct world_sealed *sealed)
{
	uint64_t traces = span_count() / PROFILE_TREE;
	uint64_t gap_ns = DAYS * DAY_NS / (traces + 1);
	uint64_t day = 0;

	while (world->traces < traces) {
		uint64_t left = traces - world->traces;
		uint64_t of_day = left_in_day(world->traces, gap_ns);

		left = left < of_day ? left : of_day;
		(void)world_store(world, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX, snapshots,
			FIRST_NS + world->traces * gap_ns, gap_ns);
		if (sealed != NULL && world->traces * gap_ns / DAY_NS != day) {
			day = world->traces * gap_ns / DAY_NS;
			world_seal(world, level, sealed);
		}
	}
	if (sealed != NULL)
		world_seal(world, level, sealed);
}

static bool has_word(int argc, char **argv, const char *word)
{
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], word) == 0)
			return true;
	return false;
}

int bench_generate(int argc, char **argv)
{
	struct world_sealed sealed = {0};
	struct world world;

	if (argc < 2) {
		fputs("waft-bench: generate needs a directory\n", stderr);
		return 2;
	}
	world_open(argv[1], &world);
	fill(&world, has_word(argc, argv, "snapshots"), SEAL_LEVEL,
		has_word(argc, argv, "plain") ? NULL : &sealed);
	world_close(&world);
	return EXIT_SUCCESS;
}

int bench_put(int argc, char **argv)
{
	struct row row = {.group = "store",
		.what = "store's thread: log read, lines, part, manifest, index; CPU a span",
		.unit = "ns"};

	if (bench_options.spans == 0)
		bench_options.spans = 1000000;
	for (int snapshots = 0; snapshots < 2; snapshots++) {
		struct samples rounds = {0};

		if (argc > 1 && strcmp(argv[1], snapshots ? "plain" : "snapshots") == 0)
			continue;
		for (unsigned int i = 0; i < bench_options.rounds; i++) {
			char *directory = bench_directory_new();
			struct world world;

			world_open(directory, &world);
			fill(&world, snapshots == 1, 0, NULL);
			samples_add(
				&rounds, world.put_cpu_ns / (double)(world.traces * PROFILE_TREE));
			world_close(&world);
			bench_directory_remove(directory);
			free(directory);
		}
		row.profile = snapshots ? "PS" : "P";
		row_print(&row, &rounds);
		samples_done(&rounds);
	}
	return EXIT_SUCCESS;
}

/* ---- seal ------------------------------------------------------------------- */

/* Bytes of the files below path whose names end so. */
static uint64_t files_bytes(const char *path, const char *ending)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	uint64_t bytes = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		size_t length = strlen(entry->d_name);
		struct stat st;

		if (length < strlen(ending) ||
			strcmp(entry->d_name + length - strlen(ending), ending) != 0)
			continue;
		if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_size;
	}
	if (directory != NULL)
		closedir(directory);
	return bytes;
}

static void rows_seal(const char *profile, int level)
{
	struct row row = {.group = "store", .profile = profile};
	struct world_sealed sealed = {0};
	char *directory = bench_directory_new();
	char index[4096], note[64], what[96];
	struct world world;
	double spans;

	world_open(directory, &world);
	fill(&world, strcmp(profile, "PS") == 0, level, &sealed);
	spans = (double)(world.traces * PROFILE_TREE);
	world_close(&world);
	snprintf(note, sizeof(note), "%.0f B a span before, level %d",
		(double)sealed.text_bytes / spans, level);
	row.note = note;
	row.what = level == SEAL_LEVEL ? "sealed, a span" : "sealed for lack of room, a span";
	row.unit = "B";
	if (level == SEAL_LEVEL) {
		row.must = (struct goal){"<= 45 B", 45};
		row.aim = (struct goal){"<= 30 B", 30};
	}
	row_print_one(&row, (double)sealed.file_bytes / spans);
	row.must = row.aim = (struct goal){0};
	snprintf(what, sizeof(what), "sealing, CPU a span, level %d", level);
	row.what = what;
	row.unit = "ns";
	row_print_one(&row, sealed.cpu_ns / spans);
	if (level == SEAL_LEVEL) {
		snprintf(index, sizeof(index), "%s/.waft/index", directory);
		row.what = "index of sealed files, a span";
		row.unit = "B";
		row.note = "8 spans a run";
		row.must = (struct goal){"<= 6 B", 6};
		row.aim = (struct goal){"<= 4 B", 4};
		row_print_one(&row, (double)files_bytes(index, ".pack") / spans);
	}
	bench_directory_remove(directory);
	free(directory);
}

int bench_seal(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (bench_options.spans == 0)
		bench_options.spans = 1000000;
	rows_seal("P", SEAL_LEVEL);
	rows_seal("PS", SEAL_LEVEL);
	rows_seal("PS", SEAL_LEVEL_PRESSED);
	return EXIT_SUCCESS;
}

/* ---- query ------------------------------------------------------------------ */

/* Lets the kernel forget what it holds of the files below path. */
static void make_cold(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		char name[4096];
		struct stat st;
		int fd;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (lstat(name, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			make_cold(name);
			continue;
		}
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			continue;
		(void)fdatasync(fd);
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	if (directory != NULL)
		closedir(directory);
}

static struct reader *open_reader(const char *path)
{
	struct reader_config config = {.directory = path};
	struct reader *reader;

	bench_check(reader_open(&config, &reader), path);
	return reader;
}

/* A trace by its id, by a reader that knows nothing yet. */
static double show_ms(const char *path, uint64_t trace)
{
	struct query_records records = {0};
	struct query_found found;
	struct trace_id id;
	char hex[33];
	double begin = clock_now_ns(CLOCK_MONOTONIC);
	struct reader *reader = open_reader(path);

	profile_trace_id(trace, &id);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", id.bytes[i]);
	bench_check(query_find(reader, slice_of(hex, 32), &found), "finding a trace");
	bench_check(query_get(reader, found.trace_id, 0, (struct slice){0}, &records),
		"getting a trace");
	if (records.count != PROFILE_TREE)
		bench_check(-EIO, "a trace's spans");
	query_records_done(&records);
	reader_close(reader);
	return (clock_now_ns(CLOCK_MONOTONIC) - begin) / 1e6;
}

static void row_show(const char *path, const char *profile, bool cold)
{
	struct samples times = {0};
	char note[64];
	struct row row = {.group = "query", .profile = profile, .unit = "ms", .note = note};
	double p50;

	for (uint64_t i = 0; i < SHOWS; i++) {
		if (cold)
			make_cold(path);
		samples_add(&times,
			show_ms(path, profile_number(31, i) % (span_count() / PROFILE_TREE)));
	}
	p50 = samples_rank(&times, 0.5);
	snprintf(note, sizeof(note), "%d traces", SHOWS);
	row.what = cold ? "trace show by id, cold, p50" : "trace show by id, warm, p50";
	if (cold) {
		row.must = (struct goal){"<= 2 ms", 2};
		row.aim = (struct goal){"<= 1 ms", 1};
	}
	row_print_one(&row, p50);
	row.what = cold ? "trace show by id, cold, p99" : "trace show by id, warm, p99";
	if (cold) {
		row.must = (struct goal){"<= 10 ms", 10};
		row.aim = (struct goal){"<= 3 ms", 3};
	}
	row_print_one(&row, samples_rank(&times, 0.99));
	samples_done(&times);
}

static void row_list(const char *path, struct row *row, const struct filter *filter)
{
	struct samples times = {0};
	char note[64];
	size_t found = 0;

	for (unsigned int i = 0; i < bench_options.rounds; i++) {
		struct query_list list = {0};
		double begin = clock_now_ns(CLOCK_MONOTONIC);
		struct reader *reader = open_reader(path);

		bench_check(query_list(reader, filter, 20, (struct slice){0}, &list), "listing");
		found = list.count;
		query_list_done(&list);
		reader_close(reader);
		samples_add(&times, (clock_now_ns(CLOCK_MONOTONIC) - begin) / 1e6);
	}
	snprintf(note, sizeof(note), "%zu found", found);
	row->note = note;
	row_print(row, &times);
	samples_done(&times);
}

static void rows_list(const char *path, const char *profile)
{
	struct row row = {.group = "query", .profile = profile, .unit = "ms"};
	struct filter filter = {0};
	struct filter_attribute attribute = {
		slice_of_text("customer"), slice_of_text(PROFILE_NEEDLE)};

	row.what = "trace list -n 20, newest";
	row.must = (struct goal){"<= 5 ms", 5};
	row.aim = (struct goal){"<= 2 ms", 2};
	row_list(path, &row, &filter);
	filter.service = slice_of_text("billing");
	bench_check(filter_set_status(&filter, slice_of_text("error")), "a status");
	filter.min_duration_ns = (int64_t)PROFILE_RARE_NS;
	row.what = "list by service, status, duration: 1 trace in 100,000";
	row.must = (struct goal){"<= 100 ms", 100};
	row.aim = (struct goal){"<= 20 ms", 20};
	row_list(path, &row, &filter);
	filter = (struct filter){.attributes = &attribute, .attribute_count = 1};
	row.what = "list by attribute: 1 span in 1M";
	row.must = (struct goal){"<= 3 s", 3000};
	row.aim = (struct goal){"<= 0.5 s", 500};
	row_list(path, &row, &filter);
	filter = (struct filter){.grep = slice_of_text("no such text anywhere")};
	row.what = "--grep, the whole store";
	row_list(path, &row, &filter);
}

static void row_stats(const char *path, const char *profile)
{
	struct samples times = {0};
	struct filter filter = {.since_ns = (int64_t)(FIRST_NS + 5 * DAY_NS),
		.until_ns = (int64_t)(FIRST_NS + 6 * DAY_NS)};
	char note[64] = "";
	struct row row = {.group = "query",
		.profile = profile,
		.what = "stats of a day",
		.unit = "ms",
		.note = note,
		.must = {"<= 1 s for 10M spans", 1000},
		.aim = {"<= 50 ms", 50}};

	for (unsigned int i = 0; i < bench_options.rounds; i++) {
		struct stats *stats = stats_new();
		double begin = clock_now_ns(CLOCK_MONOTONIC);
		struct reader *reader = open_reader(path);
		uint64_t spans = 0;

		if (stats == NULL)
			bench_check(-ENOMEM, "memory");
		bench_check(query_stats(reader, &filter, stats), "stats");
		reader_close(reader);
		samples_add(&times, (clock_now_ns(CLOCK_MONOTONIC) - begin) / 1e6);
		for (size_t k = 0; k < stats_count(stats); k++)
			spans += stats_at(stats, k)->count;
		snprintf(note, sizeof(note), "%llu spans in %zu rows", (unsigned long long)spans,
			stats_count(stats));
		stats_free(stats);
	}
	row_print(&row, &times);
	samples_done(&times);
}

int bench_query(int argc, char **argv)
{
	const char *profile = has_word(argc, argv, "snapshots") ? "PS" : "P";
	bool all;

	if (argc < 2) {
		fputs("waft-bench: query needs the directory of a store\n", stderr);
		return 2;
	}
	all = !has_word(argc, argv, "show") && !has_word(argc, argv, "list") &&
	      !has_word(argc, argv, "stats");
	if (all || has_word(argc, argv, "show")) {
		row_show(argv[1], profile, true);
		row_show(argv[1], profile, false);
	}
	if (all || has_word(argc, argv, "list"))
		rows_list(argv[1], profile);
	if (all || has_word(argc, argv, "stats"))
		row_stats(argv[1], profile);
	return EXIT_SUCCESS;
}
