/*
 * build.c: puts together what the viewer returns.
 *
 * Each result is a struct that begins with the public one and carries the
 * scratch in which everything it points to lives.
 */
#include "build.h"

#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct list_result {
	struct waft_trace_list list;
	struct scratch scratch;
	struct waft_trace_summary *traces;
};

struct trace_result {
	struct waft_trace trace;
	struct scratch scratch;
	struct waft_trace_node *nodes;
};

struct operations_result {
	struct waft_operation_list list;
	struct scratch scratch;
	struct waft_operation_stats *operations;
};

struct status_result {
	struct waft_status status;
	struct scratch scratch;
};

/* Room for one more element of size bytes. */
static int grow(void *array, size_t count, size_t *capacity, size_t size)
{
	size_t larger = *capacity != 0 ? *capacity * 2 : 16;
	void *bytes;

	if (count < *capacity)
		return 0;
	memcpy(&bytes, array, sizeof bytes);
	bytes = reallocarray(bytes, larger, size);
	if (bytes == NULL)
		return -ENOMEM;
	memcpy(array, &bytes, sizeof bytes);
	*capacity = larger;
	return 0;
}

const char *copy_text(struct scratch *scratch, struct slice text)
{
	static const char symbol[] = "\xe2\x90\x80"; /* U+2400, SYMBOL FOR NULL */
	size_t zeros = 0;
	size_t at = 0;
	char *copy;

	for (size_t i = 0; i < text.length; i++)
		zeros += text.data[i] == 0;
	if (zeros == 0)
		return scratch_copy(
			scratch, text.length != 0 ? (const void *)text.data : "", text.length);
	copy = scratch_alloc(scratch, text.length + 2 * zeros + 1);
	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] != 0) {
			copy[at++] = (char)text.data[i];
			continue;
		}
		memcpy(copy + at, symbol, 3);
		at += 3;
	}
	copy[at] = '\0';
	return copy;
}

/* ---- Lists ------------------------------------------------------------ */

/* 0 for no time at all. */
static int64_t add_ms(int64_t start_ns, double ms)
{
	int64_t sum;

	/* A foreign file may claim any time. */
	if (!(ms > 0) || ms >= (double)INT64_MAX / 2e6 ||
		__builtin_add_overflow(start_ns, (int64_t)(ms * 1e6), &sum))
		return 0;
	return sum;
}

int listing_add(struct listing *listing, const struct listing_entry *entry)
{
	struct waft_trace_summary *summary;
	const char **services = NULL;

	if (grow(&listing->traces, listing->count, &listing->capacity, sizeof *summary) != 0)
		return -ENOMEM;
	summary = &listing->traces[listing->count];
	*summary = (struct waft_trace_summary){.start_ns = entry->start_ns,
		.duration_ms = entry->pending ? 0 : entry->duration_ms,
		.pending = entry->pending,
		.open_until_ns = entry->pending ? add_ms(entry->start_ns, entry->duration_ms) : 0,
		.service_count = entry->service_count,
		.spans = entry->spans,
		.errors = entry->errors,
		.damaged = entry->damaged};
	record_format_id(entry->trace_id, summary->trace_id);
	summary->operation = copy_text(&listing->scratch, entry->operation);
	summary->layer = copy_text(&listing->scratch, entry->layer);
	summary->status = copy_text(&listing->scratch, entry->status);
	if (entry->service_count != 0) {
		services =
			scratch_alloc(&listing->scratch, entry->service_count * sizeof *services);
		if (services == NULL)
			return -ENOMEM;
	}
	for (size_t i = 0; i < entry->service_count; i++) {
		services[i] = copy_text(&listing->scratch, entry->services[i]);
		if (services[i] == NULL)
			return -ENOMEM;
	}
	summary->services = services;
	if (summary->operation == NULL || summary->layer == NULL || summary->status == NULL)
		return -ENOMEM;
	listing->count++;
	return 0;
}

int listing_finish(struct listing *listing, struct waft_trace_list **ret_list)
{
	struct list_result *result = calloc(1, sizeof *result);

	if (result == NULL)
		return -ENOMEM;
	result->traces = listing->traces;
	result->scratch = listing->scratch;
	result->list = (struct waft_trace_list){listing->traces, listing->count};
	*listing = (struct listing){0};
	*ret_list = &result->list;
	return 0;
}

void listing_done(struct listing *listing)
{
	free(listing->traces);
	scratch_done(&listing->scratch);
	*listing = (struct listing){0};
}

void waft_trace_list_free(struct waft_trace_list *list)
{
	struct list_result *result = (struct list_result *)list;

	if (result == NULL)
		return;
	free(result->traces);
	scratch_done(&result->scratch);
	free(result);
}

/* ---- Traces ----------------------------------------------------------- */

int trace_build_add(struct trace_build *build, struct slice line)
{
	struct record *record;
	const char *copy;
	int result;

	build->bytes += line.length;
	if (build->bytes_max != 0 && build->bytes > build->bytes_max)
		return -EFBIG;
	if (grow(&build->records, build->count, &build->capacity, sizeof *record) != 0)
		return -ENOMEM;
	copy = scratch_copy(&build->scratch, line.data, line.length);
	if (copy == NULL)
		return -ENOMEM;
	record = &build->records[build->count];
	result = record_parse(slice_of(copy, line.length), &build->scratch, record, NULL);
	if (result == -ENOMEM)
		return -ENOMEM;
	if (result != 0) {
		build->bad_lines++;
		return 0;
	}
	result = build->peers_apart
			 ? merge_add(&build->tree, &build->scratch, record, (uint32_t)build->count)
			 : tree_add(&build->tree, record, (uint32_t)build->count);
	if (result == 0)
		build->count++;
	return result;
}

static const char *status_name(enum record_status status)
{
	return status == RECORD_ERROR ? "error" : status == RECORD_PENDING ? "pending" : "success";
}

static double ms_of_ns(int64_t ns)
{
	return ns < 0 ? 0 : (double)ns / 1e6;
}

static const char *copy_id(struct scratch *scratch, const uint8_t id[16])
{
	char text[RECORD_ID_TEXT_BYTES];

	record_format_id(id, text);
	return scratch_copy(scratch, text, sizeof text - 1);
}

/* NULL for JSON's null, which means there was none. */
static int copy_data(struct scratch *scratch, struct slice data, const char **ret_text)
{
	*ret_text = NULL;
	if (data.length == 0 || slice_equal(data, slice_of_text("null")))
		return 0;
	*ret_text = copy_text(scratch, data);
	return *ret_text == NULL ? -ENOMEM : 0;
}

int node_of_record(
	struct scratch *scratch, const struct record *record, struct waft_trace_node *ret_node)
{
	struct waft_trace_node node = {.start_ns = record->start_ns,
		.duration_ms = ms_of_ns(record->duration_ns),
		.status = status_name(record->status)};

	if (record->open_ns < 0 ||
		__builtin_add_overflow(record->start_ns, record->open_ns, &node.open_until_ns))
		node.open_until_ns = 0;
	record_format_id(record->trace_id, node.trace_id);
	node.span_id = copy_id(scratch, record->span_id);
	node.operation = copy_text(scratch, record->operation);
	node.layer = copy_text(scratch, record->layer);
	node.service = copy_text(scratch, record->service);
	node.record = copy_text(scratch, record->line);
	if (node.span_id == NULL || node.operation == NULL || node.layer == NULL ||
		node.service == NULL || node.record == NULL)
		return -ENOMEM;
	if (record->has_parent) {
		node.parent_span_id = copy_id(scratch, record->parent_id);
		if (node.parent_span_id == NULL)
			return -ENOMEM;
	}
	if (record->has_error) {
		node.error = copy_text(scratch, record->error);
		if (node.error == NULL)
			return -ENOMEM;
	}
	if (copy_data(scratch, record->input, &node.input) != 0 ||
		copy_data(scratch, record->output, &node.output) != 0)
		return -ENOMEM;
	*ret_node = node;
	return 0;
}

static uint32_t flags_of_row(const struct tree_row *row)
{
	uint32_t flags = 0;

	flags |= (row->flags & TREE_DUPLICATE) != 0 ? WAFT_TRACE_DUPLICATE : 0;
	flags |= (row->flags & TREE_CYCLE) != 0 ? WAFT_TRACE_CYCLE : 0;
	flags |= (row->flags & TREE_SKEW) != 0 ? WAFT_TRACE_SKEWED : 0;
	flags |= (row->flags & TREE_LATE) != 0 ? WAFT_TRACE_LATE : 0;
	return flags;
}

static int node_of_row(
	struct trace_build *build, const struct tree_row *row, struct waft_trace_node *ret_node)
{
	int result = 0;

	if (row->missing) {
		*ret_node = (struct waft_trace_node){.missing = true,
			.start_ns = row->start_ns,
			.span_id = copy_id(&build->scratch, row->id)};
		if (ret_node->span_id == NULL)
			return -ENOMEM;
		record_format_id(build->trace_id, ret_node->trace_id);
	} else {
		result = node_of_record(&build->scratch, &build->records[row->item], ret_node);
	}
	ret_node->depth = row->depth;
	ret_node->flags = flags_of_row(row);
	return result;
}

static int compare_texts(const void *a, const void *b)
{
	const char *const *left = (const char *const *)a;
	const char *const *right = (const char *const *)b;

	return strcmp(*left, *right);
}

/* The services of all nodes, sorted, each once. */
static int collect_services(struct trace_build *build, const struct waft_trace_node *nodes,
	size_t count, struct waft_trace_summary *summary)
{
	const char **names = scratch_alloc(&build->scratch, (count + 1) * sizeof *names);
	size_t named = 0;
	size_t kept = 0;

	if (names == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!nodes[i].missing && nodes[i].service[0] != '\0')
			names[named++] = nodes[i].service;
	}
	qsort(names, named, sizeof *names, compare_texts);
	for (size_t i = 0; i < named; i++) {
		if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
			names[kept++] = names[i];
	}
	summary->services = names;
	summary->service_count = kept;
	return 0;
}

static int make_nodes(struct trace_build *build, struct trace_result *result)
{
	const struct tree *tree = &build->tree;
	struct waft_trace_summary *summary = &result->trace.summary;
	const struct waft_trace_node *head;

	result->nodes = calloc(tree->row_count + 1, sizeof *result->nodes);
	if (result->nodes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < tree->row_count; i++) {
		if (node_of_row(build, &tree->rows[i], &result->nodes[i]) != 0)
			return -ENOMEM;
	}
	result->trace.nodes = result->nodes;
	result->trace.count = tree->row_count;
	record_format_id(build->trace_id, result->trace.trace_id);
	record_format_id(build->trace_id, summary->trace_id);
	summary->spans = tree->span_count;
	summary->errors = tree->error_count;
	if (collect_services(build, result->nodes, tree->row_count, summary) != 0)
		return -ENOMEM;
	if (tree->head >= tree->row_count) {
		summary->operation = summary->layer = "";
		summary->status = "pending";
		return 0;
	}
	head = &result->nodes[tree->head];
	summary->start_ns = head->start_ns;
	summary->duration_ms = head->duration_ms;
	summary->pending = tree->rows[tree->head].status == RECORD_PENDING;
	summary->open_until_ns = head->open_until_ns;
	summary->operation = head->operation;
	summary->layer = head->layer;
	summary->status = head->status;
	return 0;
}

int trace_build_finish(struct trace_build *build, struct waft_trace **ret_trace)
{
	struct trace_result *result;
	int error = tree_build(&build->tree);

	if (error != 0)
		return error;
	result = calloc(1, sizeof *result);
	if (result == NULL)
		return -ENOMEM;
	error = make_nodes(build, result);
	if (error != 0) {
		free(result->nodes);
		free(result);
		return error;
	}
	result->scratch = build->scratch;
	build->scratch = (struct scratch){0};
	trace_build_done(build);
	*ret_trace = &result->trace;
	return 0;
}

void trace_build_done(struct trace_build *build)
{
	free(build->records);
	tree_done(&build->tree);
	scratch_done(&build->scratch);
	*build = (struct trace_build){0};
}

void waft_trace_free(struct waft_trace *trace)
{
	struct trace_result *result = (struct trace_result *)trace;

	if (result == NULL)
		return;
	free(result->nodes);
	scratch_done(&result->scratch);
	free(result);
}

/* ---- Figures ---------------------------------------------------------- */

int figures_add(struct figures *figures, struct slice service, struct slice operation,
	struct slice layer, const struct waft_operation_stats *row)
{
	struct waft_operation_stats *added;

	if (grow(&figures->operations, figures->count, &figures->capacity, sizeof *added) != 0)
		return -ENOMEM;
	added = &figures->operations[figures->count];
	*added = *row;
	added->service = copy_text(&figures->scratch, service);
	added->operation = copy_text(&figures->scratch, operation);
	added->layer = copy_text(&figures->scratch, layer);
	if (added->service == NULL || added->operation == NULL || added->layer == NULL)
		return -ENOMEM;
	figures->count++;
	return 0;
}

static int compare_operations(const void *a, const void *b)
{
	const struct waft_operation_stats *left = a;
	const struct waft_operation_stats *right = b;
	int order;

	if (left->total_ms != right->total_ms)
		return left->total_ms > right->total_ms ? -1 : 1;
	order = strcmp(left->operation, right->operation);
	if (order == 0)
		order = strcmp(left->service, right->service);
	return order != 0 ? order : strcmp(left->layer, right->layer);
}

int figures_finish(struct figures *figures, struct waft_operation_list **ret_list)
{
	struct operations_result *result = calloc(1, sizeof *result);

	if (result == NULL)
		return -ENOMEM;
	if (figures->count != 0)
		qsort(figures->operations, figures->count, sizeof *figures->operations,
			compare_operations);
	result->operations = figures->operations;
	result->scratch = figures->scratch;
	result->list = (struct waft_operation_list){figures->operations, figures->count};
	*figures = (struct figures){0};
	*ret_list = &result->list;
	return 0;
}

void figures_done(struct figures *figures)
{
	free(figures->operations);
	scratch_done(&figures->scratch);
	*figures = (struct figures){0};
}

void waft_operation_list_free(struct waft_operation_list *list)
{
	struct operations_result *result = (struct operations_result *)list;

	if (result == NULL)
		return;
	free(result->operations);
	scratch_done(&result->scratch);
	free(result);
}

/* ---- Status ----------------------------------------------------------- */

int status_build_finish(struct status_build *build, struct waft_status **ret_status)
{
	struct status_result *result = calloc(1, sizeof *result);

	if (result == NULL)
		return -ENOMEM;
	result->status = build->status;
	result->scratch = build->scratch;
	*build = (struct status_build){0};
	*ret_status = &result->status;
	return 0;
}

void status_build_done(struct status_build *build)
{
	scratch_done(&build->scratch);
	*build = (struct status_build){0};
}

void waft_status_free(struct waft_status *status)
{
	struct status_result *result = (struct status_result *)status;

	if (result == NULL)
		return;
	scratch_done(&result->scratch);
	free(result);
}
