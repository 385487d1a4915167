/*
 * open_build.c: see open_build.h. The trees are made by sorting: spans of a thread by
 * start, then each behind its parent by a walk with a stack of its own.
 */
#include "open_build.h"

#include "build.h"
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct open_span {
	struct waft_trace_node node;
	const char *host;
	uint64_t pid;
	uint64_t thread;
	size_t child;	/* the first; NONE */
	size_t sibling; /* the next; NONE */
};

#define NONE SIZE_MAX

struct open_result {
	struct waft_open_list list;
	struct scratch scratch;
};

/* ---- Taking in --------------------------------------------------------- */

struct members {
	struct open_span *span;
	struct scratch *scratch;
};

static uint64_t number_of(struct slice text)
{
	char digits[24];

	if (text.length == 0 || text.length >= sizeof digits)
		return 0;
	memcpy(digits, text.data, text.length);
	digits[text.length] = '\0';
	return strtoull(digits, NULL, 10);
}

static int on_member(void *ctx, struct slice key, struct slice value)
{
	struct members *members = ctx;

	if (slice_equal(key, slice_of_text("pid"))) {
		members->span->pid = number_of(value);
	} else if (slice_equal(key, slice_of_text("thread.id"))) {
		members->span->thread = number_of(value);
	} else if (slice_equal(key, slice_of_text("host"))) {
		members->span->host = copy_text(members->scratch, value);
		return members->span->host == NULL ? -ENOMEM : 0;
	}
	return 0;
}

int open_build_add(struct open_build *build, struct slice line)
{
	struct open_span span = {.host = "", .child = NONE, .sibling = NONE};
	struct members members = {&span, &build->scratch};
	struct record record;
	int result = record_parse(line, &build->scratch, &record, NULL);

	if (result == 0)
		result = node_of_record(&build->scratch, &record, &span.node);
	if (result == 0)
		result = record_for_each_attribute(&record, &build->scratch, on_member, &members);
	if (result != 0)
		return result == -ENOMEM ? -ENOMEM : 0;
	if (build->count == build->capacity) {
		size_t larger = build->capacity != 0 ? build->capacity * 2 : 64;
		struct open_span *grown = reallocarray(build->spans, larger, sizeof *grown);

		if (grown == NULL)
			return -ENOMEM;
		build->spans = grown;
		build->capacity = larger;
	}
	build->spans[build->count++] = span;
	return 0;
}

void open_build_done(struct open_build *build)
{
	scratch_done(&build->scratch);
	free(build->spans);
	*build = (struct open_build){0};
}

/* ---- Ordering ---------------------------------------------------------- */

static int compare_processes(const struct open_span *a, const struct open_span *b)
{
	int order = strcmp(a->node.service, b->node.service);

	if (order == 0)
		order = (a->pid > b->pid) - (a->pid < b->pid);
	return order != 0 ? order : strcmp(a->host, b->host);
}

static int compare_spans(const void *left, const void *right)
{
	const struct open_span *a = left;
	const struct open_span *b = right;
	int order = compare_processes(a, b);

	if (order == 0)
		order = (a->thread > b->thread) - (a->thread < b->thread);
	if (order == 0)
		order = (a->node.start_ns > b->node.start_ns) -
			(a->node.start_ns < b->node.start_ns);
	return order != 0 ? order : strcmp(a->node.span_id, b->node.span_id);
}

struct by_id {
	const char *id;
	size_t place;
};

static int compare_ids(const void *left, const void *right)
{
	return strcmp(((const struct by_id *)left)->id, ((const struct by_id *)right)->id);
}

/* Hangs the spans of a thread, [from, to), under their parents; the roots' first, or
 * NONE. A span whose parents lead back to itself is left out: that is no thread's. */
static size_t link_thread(struct open_span *spans, struct by_id *ids, size_t from, size_t to)
{
	size_t first = NONE;

	for (size_t i = from; i < to; i++)
		ids[i - from] = (struct by_id){spans[i].node.span_id, i};
	qsort(ids, to - from, sizeof *ids, compare_ids);
	for (size_t i = to; i-- > from;) {
		const struct by_id wanted = {.id = spans[i].node.parent_span_id};
		const struct by_id *parent = wanted.id != NULL ? bsearch(&wanted, ids, to - from,
									 sizeof *ids, compare_ids)
							       : NULL;
		size_t *head =
			parent != NULL && parent->place != i ? &spans[parent->place].child : &first;

		spans[i].sibling = *head;
		*head = i;
	}
	return first;
}

/* The tree from `first` on into nodes, top down; how many. */
static size_t walk_thread(const struct open_span *spans, size_t first, size_t most, size_t *stack,
	struct waft_trace_node *nodes)
{
	size_t depth = 0;
	size_t count = 0;
	size_t at = first;

	while (count < most) {
		while (at == NONE && depth > 0)
			at = stack[--depth];
		if (at == NONE)
			break;
		nodes[count] = spans[at].node;
		nodes[count++].depth = (uint32_t)depth;
		stack[depth++] = spans[at].sibling;
		at = spans[at].child;
	}
	return count;
}

struct ordering {
	struct open_span *spans;
	size_t count;
	struct by_id *ids;
	size_t *stack;
	struct waft_trace_node *nodes;
	struct waft_open_thread *threads;
	struct waft_open_process *processes;
};

static void order_all(struct ordering *all, struct waft_open_list *list)
{
	size_t node = 0;
	size_t thread = 0;
	size_t process = 0;

	for (size_t from = 0, to; from < all->count; from = to) {
		const struct open_span *span = &all->spans[from];
		struct waft_open_thread *made = &all->threads[thread];

		for (to = from + 1;
			to < all->count && compare_processes(span, &all->spans[to]) == 0 &&
			all->spans[to].thread == span->thread;
			to++)
			continue;
		made->thread = span->thread;
		made->spans = all->nodes + node;
		made->count = walk_thread(all->spans, link_thread(all->spans, all->ids, from, to),
			to - from, all->stack, all->nodes + node);
		node += made->count;
		if (from == 0 || compare_processes(&all->spans[from - 1], span) != 0)
			all->processes[process++] =
				(struct waft_open_process){.service = span->node.service,
					.host = span->host,
					.pid = span->pid,
					.threads = made};
		all->processes[process - 1].count++;
		thread++;
	}
	list->processes = all->processes;
	list->count = process;
}

int open_build_finish(struct open_build *build, struct waft_open_list **ret_list)
{
	struct open_result *result = calloc(1, sizeof *result);
	size_t room = build->count + 1;
	struct ordering all = {.spans = build->spans,
		.count = build->count,
		.ids = calloc(room, sizeof(struct by_id)),
		.stack = calloc(room, sizeof(size_t)),
		.nodes = scratch_alloc(&build->scratch, room * sizeof(struct waft_trace_node)),
		.threads = scratch_alloc(&build->scratch, room * sizeof(struct waft_open_thread)),
		.processes =
			scratch_alloc(&build->scratch, room * sizeof(struct waft_open_process))};
	bool made = result != NULL && all.ids != NULL && all.stack != NULL && all.nodes != NULL &&
		    all.threads != NULL && all.processes != NULL;

	if (made) {
		if (build->count > 0)
			qsort(build->spans, build->count, sizeof *build->spans, compare_spans);
		order_all(&all, &result->list);
		result->list.connected = build->connected;
		result->list.left_out = build->left_out;
		result->list.unreadable = build->unreadable;
		result->scratch = build->scratch;
		build->scratch = (struct scratch){0};
		*ret_list = &result->list;
	} else {
		free(result);
	}
	free(all.ids);
	free(all.stack);
	return made ? 0 : -ENOMEM;
}

void waft_open_list_free(struct waft_open_list *list)
{
	struct open_result *result = (struct open_result *)list;

	if (result == NULL)
		return;
	scratch_done(&result->scratch);
	free(result);
}
