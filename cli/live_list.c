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

/* A trace that has an open span, and since when. */
struct running {
	const char *trace_id;
	int64_t start_ns;
};

static int compare_ids(const void *left, const void *right)
{
	const struct running *a = left;
	const struct running *b = right;
	int order = strcmp(a->trace_id, b->trace_id);

	return order != 0 ? order : (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

static int compare_starts(const void *left, const void *right)
{
	const struct running *a = left;
	const struct running *b = right;

	return (a->start_ns < b->start_ns) - (a->start_ns > b->start_ns);
}

/* The traces of the open spans, each once, the newest first. Owned by the caller. */
static int gather(
	const struct waft_open_list *open, struct running **ret_running, size_t *ret_count)
{
	struct running *running;
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
				running[count++] = (struct running){
					thread->spans[k].trace_id, thread->spans[k].start_ns};
		}
	}
	qsort(running, count, sizeof *running, compare_ids);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || strcmp(running[kept - 1].trace_id, running[i].trace_id) != 0)
			running[kept++] = running[i];
	}
	qsort(running, kept, sizeof *running, compare_starts);
	*ret_running = running;
	*ret_count = kept;
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
	struct trace_build build = {0};
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
	/* It has ended since, or can't be had as a whole: the list has what it had. */
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

int live_list_merge(struct backend *backend, const struct waft_trace_filter *filter, size_t limit,
	struct listing *into)
{
	struct open_build build = {0};
	struct waft_open_list *open = NULL;
	struct running *running = NULL;
	struct store_filter made = {0};
	size_t count = 0;
	int result = backend->ops->open_spans(backend, "", &build);

	if (result == 0)
		result = open_build_finish(&build, &open);
	open_build_done(&build);
	if (result != 0) {
		strbuf_clear(&backend->error);
		return result == -ENOMEM ? result : 0;
	}
	result = gather(open, &running, &count);
	if (result == 0 && count > 0)
		result = store_filter_init(&made, backend, filter);
	for (size_t i = 0; result == 0 && i < count && i < limit; i++)
		result = put_whole(backend, &made, running[i].trace_id, into);
	if (result == 0 && count > 0)
		qsort(into->traces, into->count, sizeof *into->traces, compare_traces);
	if (into->count > limit)
		into->count = limit;
	store_filter_done(&made);
	free(running);
	waft_open_list_free(open);
	return result;
}
