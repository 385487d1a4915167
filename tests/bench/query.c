/* See query.h. */
#include "query.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store/query.h"
#include "collector/store/reader.h"
#include "collector/store/stats.h"
#include "measure.h"
#include "profile.h"
#include "world.h"

enum { SHOWS = 300 };

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

/* A trace by its id, by a reader that knows nothing yet, as `trace show` does it. */
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
	bench_check(query_show(reader, slice_of(hex, 32), &found, &records), "showing a trace");
	if (records.count != PROFILE_TREE)
		bench_check(-EIO, "a trace's spans");
	query_records_done(&records);
	reader_close(reader);
	return (clock_now_ns(CLOCK_MONOTONIC) - begin) / 1e6;
}

/* `trace show` is a process of its own, which takes its pages once, however large the store. In
 * one that shows many, glibc gives the heap's top back when some 500 KiB of it are free, which a
 * trace of a large store comes to and one of a small store doesn't quite: 0.15 ms of page faults
 * that would be taken for the store's. */
static void keep_heap(void)
{
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

double query_show_ms(const char *path, uint64_t traces, uint64_t number, bool cold)
{
	keep_heap();
	if (cold)
		make_cold(path);
	return show_ms(path, profile_number(31, number) % traces);
}

/* With the size of the store. */
static const char *group(void)
{
	static char name[32];

	snprintf(name, sizeof(name), "query-%.3gM", (double)bench_spans() / 1e6);
	return name;
}

static void row_show(const char *path, const char *profile, bool cold)
{
	struct samples times = {0};
	char note[64];
	struct row row = {.group = group(), .profile = profile, .unit = "ms", .note = note};
	double p50;

	for (uint64_t i = 0; i < SHOWS; i++)
		samples_add(&times, query_show_ms(path, bench_spans() / PROFILE_TREE, i, cold));
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
	struct row row = {.group = group(), .profile = profile, .unit = "ms"};
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
	filter = (struct filter){.grep = slice_of_text(PROFILE_NEEDLE_TEXT)};
	row.what = "--grep, the whole store: 1 span in 1M";
	row_list(path, &row, &filter);
	filter.grep = slice_of_text("no such text anywhere");
	row.what = "--grep, the whole store: found nowhere";
	row_list(path, &row, &filter);
	/* Too short for filters: all is unpacked. */
	filter.grep = slice_of_text("~~~");
	row.what = "--grep of three bytes: found nowhere";
	row.must = row.aim = (struct goal){0};
	row_list(path, &row, &filter);
}

static void row_stats(const char *path, const char *profile)
{
	struct samples times = {0};
	struct filter filter = {.since_ns = (int64_t)(WORLD_FIRST_NS + 5 * WORLD_DAY_NS),
		.until_ns = (int64_t)(WORLD_FIRST_NS + 6 * WORLD_DAY_NS)};
	char note[64] = "";
	struct row row = {.group = group(),
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
	const char *profile = bench_has_word(argc, argv, "snapshots") ? "PS" : "P";
	bool all;

	if (argc < 2) {
		fputs("waft-bench: query needs the directory of a store\n", stderr);
		return 2;
	}
	all = !bench_has_word(argc, argv, "show") && !bench_has_word(argc, argv, "list") &&
	      !bench_has_word(argc, argv, "stats");
	if (all || bench_has_word(argc, argv, "show")) {
		row_show(argv[1], profile, true);
		row_show(argv[1], profile, false);
	}
	if (all || bench_has_word(argc, argv, "list"))
		rows_list(argv[1], profile);
	if (all || bench_has_word(argc, argv, "stats"))
		row_stats(argv[1], profile);
	return EXIT_SUCCESS;
}
