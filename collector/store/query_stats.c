/*
 * query_stats.c: query_stats. Every trace that may match is read as a whole, since
 * self times need its tree, and counted once.
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
};

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
		ret = trace_load_stats(load, counter->stats);
	return ret;
}

static int count_all(struct counter *counter)
{
	int64_t floor_ns = counter->filter->since_ns != 0 ? counter->filter->since_ns : INT64_MIN;
	struct walk_trace trace;
	int ret = view_refresh(counter->reader);

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

int query_stats(struct reader *reader, const struct filter *filter, struct stats *into)
{
	struct counter counter = {.reader = reader, .filter = filter};
	unsigned int tries = 0;
	int ret;

	do {
		stats_free(counter.stats);
		counter.stats = stats_new();
		if (counter.stats == NULL) {
			ret = -ENOMEM;
			break;
		}
		ret = count_all(&counter);
		trace_walk_done(&counter.walk);
		counter.walk = (struct trace_walk){0};
	} while (view_retry(reader, ret, &tries));
	if (ret == 0)
		ret = stats_merge(into, counter.stats);
	trace_load_done(&counter.load);
	stats_free(counter.stats);
	return ret == ERR_INDEX ? -EIO : ret;
}
