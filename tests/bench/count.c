/*
 * waft-bench count WHAT: a fixed piece of work whose instructions callgrind
 * counts, inside the function counted_work alone
 * (--toggle-collect=counted_work). Prints how many spans (or lookups) it was, so
 * that check_instructions can tell instructions of each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <waft/waft.h>

#include "collector/assembler.h"
#include "collector/store/line.h"
#include "collector/store/query.h"
#include "collector/store/reader.h"
#include "emit.h"
#include "measure.h"
#include "proto/json_check.h"

enum { CLIENT_TREES = 1000, SNAPSHOT_TREES = 200, LOOKUPS = 5, TRACES = 2000 };

struct work {
	void (*run)(struct work *work);
	uint64_t units;
	struct profile_batch made;
	struct batch batch;
	struct line_writer lines;
	struct bytes out;
	struct assembler *assembler;
	const char *store;
	uint64_t traces;
};

/* Not static, so that callgrind knows it by name. */
__attribute__((noinline, used)) void counted_work(struct work *work);
void counted_work(struct work *work)
{
	work->run(work);
	__asm__ volatile("" ::: "memory");
}

static void run_client(struct work *work)
{
	for (uint64_t i = 0; i < CLIENT_TREES; i++)
		emit_tree(i);
	work->units = CLIENT_TREES * PROFILE_TREE;
}

static void run_client_snapshots(struct work *work)
{
	for (uint64_t i = 0; i < SNAPSHOT_TREES; i++)
		emit_tree_snapshots(i);
	work->units = SNAPSHOT_TREES * PROFILE_TREE;
}

static void run_decode(struct work *work)
{
	bench_check(batch_open(&work->batch, work->made.bytes, work->made.length), "a batch");
	bench_check(batch_check(&work->batch, &work->units), "a batch");
}

static void run_line(struct work *work)
{
	struct log_peer peer = {.known = true, .pid = 4711, .uid = 1000};
	uint64_t filter[INDEX_FILTER_WORDS] = {0};
	struct batch_iter iter;
	struct span_view view;

	bench_check(batch_open(&work->batch, work->made.bytes, work->made.length), "a batch");
	bench_check(line_batch_begin(&work->lines, &work->batch, &peer), "lines");
	work->lines.index.filter = filter;
	batch_iter_init(&iter);
	while (batch_next(&work->batch, &iter, &view) > 0) {
		bench_check(line_span(&work->lines, &work->batch, &view, &work->out), "a line");
		work->units++;
	}
}

/* Two visits to each trace, as of two services, and their runs. */
static void run_assemble(struct work *work)
{
	struct span_ref refs[PROFILE_TREE / 2];
	struct run *run;

	memset(refs, 0, sizeof(refs));
	for (uint64_t i = 0; i < 2 * TRACES; i++) {
		struct trace_id id;

		profile_trace_id(i % TRACES, &id);
		for (unsigned int k = 0; k < PROFILE_TREE / 2; k++) {
			refs[k].span_id = i * PROFILE_TREE + k + 1;
			refs[k].parent_id = k + i > 0 ? refs[0].span_id : 0;
			refs[k].segment = 1;
			refs[k].position = (uint32_t)(i * PROFILE_TREE + k);
		}
		bench_check(assembler_reserve(work->assembler, PROFILE_TREE / 2), "room");
		assembler_add(work->assembler, &id, refs, PROFILE_TREE / 2, 1000 + i / 100);
	}
	while ((run = assembler_take_oldest(work->assembler, RUN_DRAIN, 60000)) != NULL) {
		work->units += run->count;
		assembler_written(work->assembler, run);
	}
}

static void run_lookup(struct work *work)
{
	for (uint64_t i = 0; i < LOOKUPS; i++) {
		struct reader_config config = {.directory = work->store};
		struct query_records records = {0};
		struct reader *reader;
		struct trace_id id;

		bench_check(reader_open(&config, &reader), work->store);
		profile_trace_id(profile_number(31, i) % work->traces, &id);
		bench_check(query_get(reader, id.bytes, 0, (struct slice){0}, &records),
			"getting a trace");
		if (records.count != PROFILE_TREE)
			bench_check(-EIO, "a trace's spans");
		query_records_done(&records);
		reader_close(reader);
		work->units++;
	}
}

/* ---- Preparing --------------------------------------------------------------- */

/* Nobody listens: spans stay in the buffer, which has room for all of these, and
 * the sender has nothing to do. */
static void prepare_client(struct work *work)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "unix:/nonexistent/waft", .service = "shop"};

	(void)work;
	bench_check(waft_init(&options), "waft_init");
	emit_init();
	for (uint64_t i = 0; i < EMIT_FUNCTIONS; i++)
		emit_tree(i); /* interns names */
}

static void prepare_snapshots(struct work *work)
{
	prepare_client(work);
	for (uint64_t i = 0; i < EMIT_FUNCTIONS; i++)
		emit_tree_snapshots(i);
}

static void make_batch(struct work *work, bool snapshots)
{
	struct profile_batch_plan plan = {.traces = UINT32_MAX,
		.snapshots = snapshots,
		.start_ns = UINT64_C(1767953400000000000),
		.trace_gap_ns = 10000};

	profile_batch_make(&plan, &work->made);
}

static void prepare_plain(struct work *work)
{
	make_batch(work, false);
}

static void prepare_full(struct work *work)
{
	make_batch(work, true);
}

static void prepare_assembler(struct work *work)
{
	struct assembler_config config = {
		.quiet_ms = 500, .hold_ms = 10000, .trace_spans_max = 65536, .hash_key = {1, 2}};

	bench_check(assembler_new(&config, &work->assembler), "an assembler");
}

static void prepare_lookup(struct work *work)
{
	work->traces = (bench_options.spans > 0 ? bench_options.spans : 10000000) / PROFILE_TREE;
}

static const struct {
	const char *name;
	void (*prepare)(struct work *work);
	void (*run)(struct work *work);
} works[] = {
	{"client", prepare_client, run_client},
	{"client-snapshots", prepare_snapshots, run_client_snapshots},
	{"decode", prepare_plain, run_decode},
	{"decode-snapshots", prepare_full, run_decode},
	{"assemble", prepare_assembler, run_assemble},
	{"line", prepare_plain, run_line},
	{"line-snapshots", prepare_full, run_line},
	{"lookup", prepare_lookup, run_lookup},
};

int bench_count(int argc, char **argv)
{
	static struct work work;

	work.store = argc > 2 ? argv[2] : ".";
	for (size_t i = 0; argc > 1 && i < sizeof(works) / sizeof(works[0]); i++) {
		if (strcmp(argv[1], works[i].name) != 0)
			continue;
		works[i].prepare(&work);
		work.run = works[i].run;
		counted_work(&work);
		printf("%llu\n", (unsigned long long)work.units);
		fflush(stdout);
		_Exit(EXIT_SUCCESS);
	}
	fputs("waft-bench: count needs one of:", stderr);
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		fprintf(stderr, " %s", works[i].name);
	fputs("\n", stderr);
	return 2;
}
