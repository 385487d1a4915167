/*
 * live_list.c: see live_list.h.
 */
#include "live_list.h"

#include "merge.h"
#include "query.h"
#include "store_backend.h"
#include "trace_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Lines of one trace that are fetched for a list. */
enum { WHOLE_BYTES_MAX = 4 << 20 };

static int compare_ids(const void *left, const void *right)
{
	const struct live_trace *a = left;
	const struct live_trace *b = right;
	int order = strcmp(a->trace_id, b->trace_id);

	return order != 0 ? order : (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

static int compare_starts(const void *left, const void *right)
{
	const struct live_trace *a = left;
	const struct live_trace *b = right;

	return (a->start_ns < b->start_ns) - (a->start_ns > b->start_ns);
}

/* The traces of the open spans, each once, the newest first. */
static int gather(struct live_list *live)
{
	const struct waft_open_list *open = live->open;
	struct live_trace *running;
	size_t spans = 0;
	size_t count = 0;
	size_t kept = 0;

	for (size_t i = 0; i < open->count; i++)
		for (size_t j = 0; j < open->processes[i].count; j++)
			spans += open->processes[i].threads[j].count;
	running = calloc(spans + 1, sizeof *running);
	if (running == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < open->count; i++) {
		for (size_t j = 0; j < open->processes[i].count; j++) {
			const struct waft_open_thread *thread = &open->processes[i].threads[j];

			for (size_t k = 0; k < thread->count; k++)
				running[count++] = (struct live_trace){
					thread->spans[k].trace_id, thread->spans[k].start_ns};
		}
	}
	qsort(running, count, sizeof *running, compare_ids);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || strcmp(running[kept - 1].trace_id, running[i].trace_id) != 0)
			running[kept++] = running[i];
	}
	qsort(running, kept, sizeof *running, compare_starts);
	live->running = running;
	live->count = kept;
	return 0;
}

static void forget(struct listing *into, const char *trace_id)
{
	for (size_t i = 0; i < into->count; i++) {
		if (strcmp(into->traces[i].trace_id, trace_id) != 0)
			continue;
		memmove(&into->traces[i], &into->traces[i + 1],
			(into->count - i - 1) * sizeof *into->traces);
		into->count--;
		return;
	}
}

/* The trace as a whole in place of what the list has of it. */
static int put_whole(struct backend *backend, struct store_filter *made, const char *trace_id,
	struct listing *into)
{
	struct trace_build build = {.bytes_max = WHOLE_BYTES_MAX};
	struct trace_load load = {0};
	struct scratch scratch = {0};
	struct trace_summary summary;
	int result = backend->ops->get(backend, trace_id, &build);

	if (result == 0)
		trace_load_begin(&load, &made->filter, build.trace_id);
	for (size_t i = 0; result == 0 && i < build.count; i++)
		result = trace_load_add(&load, &build.records[i]);
	if (result == 0)
		result = trace_load_end(&load);
	if (result == 0)
		forget(into, trace_id);
	if (result == 0 && trace_load_matches(&load)) {
		result = trace_load_summary(&load, &scratch, &summary);
		if (result == 0)
			result = store_summary_add(into, &summary);
		/* It is open now, not until what was seen of it last. */
		if (result == 0)
			into->traces[into->count - 1].open_until_ns = 0;
	}
	trace_load_done(&load);
	trace_build_done(&build);
	scratch_done(&scratch);
	/* It has ended since, or is too large, or can't be had as a whole: the list has what
	 * it had. */
	if (result != 0 && result != -ENOMEM)
		strbuf_clear(&backend->error);
	return result == -ENOMEM ? result : 0;
}

static int compare_traces(const void *left, const void *right)
{
	const struct waft_trace_summary *a = left;
	const struct waft_trace_summary *b = right;

	if (a->start_ns != b->start_ns)
		return a->start_ns > b->start_ns ? -1 : 1;
	return strcmp(b->trace_id, a->trace_id);
}

int live_list_begin(struct backend *backend, struct live_list *ret)
{
	struct open_build build = {0};
	struct live_list live = {0};
	int result = backend->ops->open_spans(backend, "", &build);

	if (result == 0)
		result = open_build_finish(&build, &live.open);
	open_build_done(&build);
	if (result == 0)
		result = gather(&live);
	else if (result != -ENOMEM) {
		strbuf_clear(&backend->error);
		result = 0;
	}
	if (result != 0)
		live_list_done(&live);
	*ret = live;
	return result;
}

size_t live_list_wanted(const struct live_list *live, size_t limit)
{
	size_t looked_at = live->count < limit ? live->count : limit;

	return looked_at < SIZE_MAX - limit ? limit + looked_at : SIZE_MAX;
}

int live_list_merge(struct backend *backend, const struct live_list *live,
	const struct waft_trace_filter *filter, size_t limit, struct listing *into)
{
	struct store_filter made = {0};
	int result = 0;

	if (live->count > 0)
		result = store_filter_init(&made, backend, filter);
	for (size_t i = 0; result == 0 && i < live->count && i < limit; i++)
		result = put_whole(backend, &made, live->running[i].trace_id, into);
	if (result == 0 && live->count > 0)
		qsort(into->traces, into->count, sizeof *into->traces, compare_traces);
	if (into->count > limit)
		into->count = limit;
	store_filter_done(&made);
	return result;
}

void live_list_done(struct live_list *live)
{
	free(live->running);
	waft_open_list_free(live->open);
	*live = (struct live_list){0};
}
