/*
 * Speed of the store's read side on a generated store: traces of 8 spans, about
 * 440 bytes a line, in one run each, a part a day, indexed. Prints milliseconds,
 * best of several rounds, each with a reader opened anew as waftctl would, and
 * the memory that the process has taken by then. Not a test: it asserts nothing.
 * Usage: bench_query [SPANS], default 1,000,000; the store goes to TMPDIR.
 */
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "index.h"
#include "query.h"
#include "reader.h"
#include "scratch.h"
#include "stats.h"

enum { PARTS = 10, TREE = 8, ROUNDS = 5, LINE_BYTES = 1024 };

static const uint8_t store_id[16] = {9};
static char directory[256];
static struct index_part parts[PARTS];
static uint64_t trace_count;

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "bench_query: %s: %s\n", what, error_text(ret));
	exit(1);
}

static int for_each_part(
	void *ctx, int (*on_part)(void *arg, const struct live_part *part), void *arg)
{
	int ret = 0;

	(void)ctx;
	for (size_t i = 0; ret == 0 && i < PARTS; i++) {
		char name[PART_NAME_BYTES];
		struct live_part part = {.name = name, .length_bytes = parts[i].length_bytes};

		must(part_name_format(&parts[i].name, name), "name");
		ret = on_part(arg, &part);
	}
	return ret;
}

static int for_each_span(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	(void)ctx;
	(void)trace_id;
	(void)after;
	(void)on_span;
	(void)arg;
	return 0;
}

static struct live_source live = {
	.store_id = {9}, .for_each_part = for_each_part, .for_each_span = for_each_span};

/* ---- The store ------------------------------------------------------------------ */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Day, time of day and so on are spread evenly over the traces in their order. */
static size_t put_line(char *out, uint64_t trace, unsigned int span)
{
	static const char *const services[] = {"shop", "stock", "pay"};
	uint64_t a = mix(2 * trace + 1), b = mix(2 * trace + 2);
	uint64_t us = trace % (trace_count / PARTS + 1) * 86000000000u / (trace_count / PARTS + 1);
	char parent[64] = "null";

	us += span * 100;
	if (span > 0)
		sprintf(parent, "\"%08x-0000-8000-8000-000000000000\"",
			(unsigned int)(a + (span - 1) / 2));
	return (size_t)sprintf(out,
		"{\"trace_id\":\"%08x-%04x-4%03x-8%03x-%012" PRIx64 "\","
		"\"span_id\":\"%08x-0000-8000-8000-000000000000\",\"parent_span_id\":%s,"
		"\"timestamp\":\"2026-01-%02uT%02u:%02u:%02u.%06u000Z\",\"duration_ms\":%u.%03u,"
		"\"operation\":\"%s.operation%u\",\"layer\":\"core\",\"status\":\"%s\","
		"\"data\":{\"input\":null,\"output\":null},"
		"\"metadata\":{\"service\":\"%s\",\"pid\":4711,\"host\":\"bench\","
		"\"kind\":\"internal\",\"attributes\":{\"user\":\"u%u\",\"count\":%u}},"
		"\"error\":%s}\n",
		(unsigned int)(a >> 32), (unsigned int)(a >> 16 & 0xffff),
		(unsigned int)(a & 0xfff), (unsigned int)(b >> 52), b & 0xffffffffffff,
		(unsigned int)(a + span), parent,
		1 + (unsigned int)(trace / (trace_count / PARTS + 1)),
		(unsigned int)(us / 3600000000u), (unsigned int)(us / 60000000 % 60),
		(unsigned int)(us / 1000000 % 60), (unsigned int)(us % 1000000),
		(unsigned int)(b % 50), (unsigned int)(a % 1000), services[span % 3], span,
		b % 1000 == 0 && span == 3 ? "error" : "success", services[span % 3],
		(unsigned int)trace, (unsigned int)(a % 100),
		b % 1000 == 0 && span == 3 ? "\"no stock\"" : "null");
}

static void make_part(size_t number, struct index *index)
{
	static char text[TREE * LINE_BYTES];
	uint64_t per_part = trace_count / PARTS + 1;
	struct scratch scratch = {0};
	char path[512], name[PART_NAME_BYTES];
	FILE *file;

	must(part_name_format(&parts[number].name, name), "name");
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	if (file == NULL)
		exit(1);
	for (uint64_t trace = number * per_part; trace < (number + 1) * per_part; trace++) {
		struct index_run run;
		size_t length = 0;

		for (unsigned int span = 0; span < TREE; span++)
			length += put_line(text + length, trace, span);
		fwrite(text, 1, length, file);
		must(index_run_of_lines(
			     slice_of(text, length), parts[number].length_bytes, &scratch, &run),
			"index_run_of_lines");
		must(index_add(index, &parts[number].name, &run), "index_add");
		parts[number].length_bytes += length;
	}
	fclose(file);
	scratch_done(&scratch);
	must(index_close_part(index, &parts[number].name), "index_close_part");
}

static void make_store(struct disk *disk, int top, int index_dir)
{
	struct index_report report;
	struct index *index = NULL;
	double start = now_ms();

	for (size_t i = 0; i < PARTS; i++)
		parts[i] = (struct index_part){
			.name = {.day = day_from_date(2026, 1, 1 + (unsigned int)i), .number = 1}};
	must(index_open(disk, top, index_dir, store_id, NULL, 0, &index, &report), "index_open");
	for (size_t i = 0; i < PARTS; i++)
		make_part(i, index);
	index_flush(index);
	printf("store and index made in %.0f ms; index holds %zu KiB of memory\n", now_ms() - start,
		index_memory(index) >> 10);
	index_close(index);
	start = now_ms();
	must(index_open(disk, top, index_dir, store_id, parts, PARTS, &index, &report),
		"index_open");
	printf("index opened again in %.2f ms, %" PRIu64 " parts rebuilt\n", now_ms() - start,
		report.rebuilt_parts);
	index_close(index);
}

/* ---- Questions -------------------------------------------------------------------- */

static void ask_list(struct reader *reader, const void *filter)
{
	struct query_list list = {0};

	must(query_list(reader, filter, 20, slice_of("", 0), &list), "query_list");
	query_list_done(&list);
}

static void ask_show(struct reader *reader, const void *id)
{
	struct query_records records = {0};
	struct query_found found;

	must(query_find(reader, slice_of_text(id), &found), "query_find");
	must(query_get(reader, found.trace_id, 0, slice_of("", 0), &records), "query_get");
	query_records_done(&records);
}

static void ask_stats(struct reader *reader, const void *filter)
{
	struct stats *stats = stats_new();

	must(query_stats(reader, filter, stats), "query_stats");
	stats_free(stats);
}

static void measure(
	const char *what, void (*ask)(struct reader *reader, const void *with), const void *with)
{
	struct reader_config config = {.directory = directory, .live = &live};
	struct rusage usage;
	double best = 1e300;

	for (int i = 0; i < ROUNDS; i++) {
		struct reader *reader = NULL;
		double start = now_ms();

		must(reader_open(&config, &reader), "reader_open");
		ask(reader, with);
		reader_close(reader);
		if (now_ms() - start < best)
			best = now_ms() - start;
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("%-44s %9.2f ms   peak %ld MiB\n", what, best, usage.ru_maxrss >> 10);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *where)
{
	(void)stat;
	(void)type;
	(void)where;
	return remove(path);
}

int main(int argc, char **argv)
{
	uint64_t spans = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	const char *tmp = getenv("TMPDIR");
	struct filter_attribute user = {slice_of_text("user"), slice_of_text("u77")};
	const struct filter everything = {0};
	const struct filter errors = {.errors = true, .service = slice_of_text("shop")};
	const struct filter rare = {.service = slice_of_text("pay"),
		.errors = true,
		.has_status = true,
		.min_duration_ns = 49900000};
	const struct filter attribute = {.attributes = &user, .attribute_count = 1};
	const struct filter grep = {.grep = slice_of_text("nowhere")};
	struct disk disk;
	char id[64], line[LINE_BYTES];
	int top;

	trace_count = spans / TREE;
	snprintf(directory, sizeof(directory), "%s/waft-bench-query-XXXXXX",
		tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(directory) == NULL || trace_count < 100)
		return 1;
	disk_real(&disk);
	top = disk_open_root(&disk, directory, false);
	must(top, "open");
	make_store(&disk, top,
		disk_open_dir(&disk, disk_open_dir(&disk, top, ".waft", true), "index", true));
	put_line(line, trace_count / 3, 0);
	snprintf(id, sizeof(id), "%.36s", strchr(line, ':') + 2);
	measure("list of 20", ask_list, &everything);
	measure("list of 20 with errors and a service", ask_list, &errors);
	measure("list, service + status + duration, rare", ask_list, &rare);
	measure("list, attribute of one trace", ask_list, &attribute);
	measure("list, grep for what is nowhere (a scan)", ask_list, &grep);
	measure("show by id", ask_show, id);
	id[12] = '\0';
	measure("show by a prefix of 12", ask_show, id);
	measure("show the newest", ask_show, "last");
	measure("stats over everything", ask_stats, &everything);
	nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
