/*
 * query_stats.c: query_stats. Every trace that may match is read as a whole, since
 * self times need its tree, and counted once. Of sealed parts whose runs all lie in the time
 * asked for, the sums that the index keeps are added instead; they count each run as a trace, so
 * that runs of a trace that has others are taken out of them again.
 */
#include <errno.h>

#include "query.h"
#include "stats.h"
#include "trace_load.h"
#include "trace_walk.h"

struct counter {
	struct reader *reader;
	const struct filter *filter;
	struct trace_walk walk;
	struct trace_load load;
	struct stats *stats; /* owned; of this try */
	bool exact;	     /* without sums */
	bool unsure;	     /* sums don't do */
};

static int on_summed_file(void *ctx, struct view_file *file)
{
	struct counter *counter = ctx;

	return pack_sums(file->runs.pack, counter->filter, counter->stats);
}

static int on_summed_run(void *ctx, struct view_file *file, const struct index_run *run)
{
	struct counter *counter = ctx;
	struct trace_load *load = &counter->load;
	int ret;

	trace_load_begin(load, counter->filter, run->trace_id);
	ret = trace_load_run(load, counter->reader, file, run);
	if (ret == 0)
		ret = trace_load_end(load);
	/* A part that can't be read any more: its sums say more than its lines. */
	if (ret == 0 && load->tree.span_count != run->spans)
		counter->unsure = true;
	return ret == 0 ? trace_load_stats(load, counter->stats, true) : ret;
}

/* Whether all that is asked for of traces is their time: sums know nothing else of them. */
static bool asks_sums(const struct filter *filter)
{
	return filter->attribute_count == 0 && !filter->has_status && !filter->errors &&
	       filter->min_duration_ns == 0 && filter->max_duration_ns == 0 &&
	       filter->grep.length == 0;
}

static int count_trace(struct counter *counter, const struct walk_trace *trace)
{
	struct trace_load *load = &counter->load;
	int ret;

	trace_load_begin(load, counter->filter, trace->trace_id);
	if (trace->single) {
		ret = trace_load_may_match(load, counter->reader, trace->file, trace->run);
		if (ret != 1)
			return ret;
	}
	ret = trace->single ? trace_load_run(load, counter->reader, trace->file, trace->run)
			    : trace_load_all(load, counter->reader);
	if (ret == 0)
		ret = trace_load_end(load);
	if (ret == 0 && trace_load_matches(load))
		ret = trace_load_stats(load, counter->stats, false);
	return ret;
}

static int count_all(struct counter *counter)
{
	int64_t floor_ns = counter->filter->since_ns != 0 ? counter->filter->since_ns : INT64_MIN;
	const struct walk_sums sums = {
		.on_file = on_summed_file, .on_run = on_summed_run, .ctx = counter};
	struct walk_trace trace;
	int ret = view_refresh(counter->reader);

	counter->walk.sums = !counter->exact && asks_sums(counter->filter) ? &sums : NULL;
	if (ret == 0)
		ret = trace_walk_start(&counter->walk, counter->reader, counter->filter);
	while (ret == 0) {
		ret = trace_walk_next(&counter->walk, floor_ns, &trace);
		if (ret <= 0)
			break;
		ret = count_trace(counter, &trace);
	}
	return ret;
}

static int try_once(struct counter *counter)
{
	int ret;

	stats_free(counter->stats);
	counter->stats = stats_new();
	if (counter->stats == NULL)
		return -ENOMEM;
	ret = count_all(counter);
	trace_walk_done(&counter->walk);
	counter->walk = (struct trace_walk){0};
	return ret;
}

int query_stats(struct reader *reader, const struct filter *filter, struct stats *into)
{
	struct counter counter = {.reader = reader, .filter = filter};
	unsigned int tries = 0;
	int ret;

	do {
		ret = try_once(&counter);
		if (ret == 0 && (counter.unsure || stats_is_unsure(counter.stats))) {
			counter.exact = true;
			counter.unsure = false;
			ret = try_once(&counter);
		}
	} while (view_retry(reader, ret, &tries));
	if (ret == 0)
		ret = stats_merge(into, counter.stats);
	trace_load_done(&counter.load);
	stats_free(counter.stats);
	return ret == ERR_INDEX ? -EIO : ret;
}
