/*
 * waiting.c: see waiting.h.
 */
#include "waiting.h"

#include <errno.h>
#include <string.h>

#include "index_run.h"
#include "scratch.h"

struct collecting {
	struct waiting *waiting;
	struct index_builder builder;
	struct scratch scratch;
};

/* Adds a run of one span to that of its trace. Unsure: start_ns is the latest, which
 * is no less than the trace's. */
static void join(struct index_run *run, const struct index_run *one)
{
	run->spans++;
	run->errors += one->errors;
	if (one->start_ns > run->start_ns)
		run->start_ns = one->start_ns;
	for (size_t i = 0; i < INDEX_FILTER_WORDS; i++)
		run->filter[i] |= one->filter[i];
}

static int on_span(void *arg, const struct live_span *span)
{
	struct collecting *collecting = arg;
	struct waiting *waiting = collecting->waiting;
	struct record record;
	uint32_t number;
	int ret = record_parse(span->line, &collecting->scratch, &record, NULL);

	if (ret == 0) {
		index_builder_begin(&collecting->builder, record.trace_id);
		ret = index_builder_add(&collecting->builder, &record, &collecting->scratch);
	}
	scratch_reset(&collecting->scratch);
	if (ret != 0)
		return ret == -ENOMEM ? ret : 0;
	index_builder_end(&collecting->builder);
	collecting->builder.run.flags |= INDEX_UNSURE;
	if (id_map_find(&waiting->map, record.trace_id, &number)) {
		join(&waiting->runs.runs[number], &collecting->builder.run);
		return 0;
	}
	ret = id_map_add(&waiting->map, record.trace_id, (uint32_t)waiting->runs.count);
	return ret < 0 ? ret : run_array_add(&waiting->runs, &collecting->builder.run);
}

int waiting_collect(struct waiting *waiting, struct reader *reader)
{
	const struct live_source *live = view_live(reader);
	struct collecting collecting = {.waiting = waiting};
	int ret = live->for_each_span(live->ctx, NULL, NULL, on_span, &collecting);

	index_builder_done(&collecting.builder);
	scratch_done(&collecting.scratch);
	if (ret != 0)
		return ret;
	/* Runs have grown since they were added. */
	for (size_t i = 0; i < waiting->runs.count; i++) {
		struct index_zone *zone = &waiting->runs.zones[i / INDEX_BLOCK_RUNS];

		if (i % INDEX_BLOCK_RUNS == 0)
			*zone = (struct index_zone){0};
		index_zone_add(zone, &waiting->runs.runs[i]);
	}
	return 0;
}

void waiting_done(struct waiting *waiting)
{
	run_array_done(&waiting->runs);
	id_map_done(&waiting->map);
}
