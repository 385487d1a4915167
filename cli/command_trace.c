/*
 * command_trace.c: trace list, trace show, trace tail.
 */
#include "command.h"
#include "format.h"
#include "program.h"
#include "when.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDE_COLUMNS = 100, /* from here on a list has more columns */
	SHORT_ID = 13,	    /* 12 digits and a dash: 48 bits */
	FULL_ID = 36,
	MIN_OPERATION_COLUMNS = 12,
	WIDE_OPERATION_COLUMNS = 24,
	MAX_LAYER_COLUMNS = 16,
	MAX_SERVICES_COLUMNS = 28,
	FLUSH_BYTES = 65536,
};

static struct waft_trace_style style_of(
	const struct arguments *arguments, const struct output *output)
{
	return (struct waft_trace_style){.size = sizeof(struct waft_trace_style),
		.columns = output->columns,
		.color = output->color,
		.utc = arguments->utc,
		.waterfall = arguments->waterfall,
		.data = (enum waft_data_mode)arguments->data,
		.now_ns = when_now()};
}

/* ---- trace list ------------------------------------------------------- */

static void summary_json(struct strbuf *text, const struct waft_trace_summary *summary)
{
	strbuf_format(text, "{\"trace_id\":\"%s\",\"start\":\"", summary->trace_id);
	when_rfc3339(text, summary->start_ns);
	strbuf_string(text, "\",\"duration_ms\":");
	format_json_ms(text, summary->pending, summary->duration_ms);
	strbuf_string(text, ",\"operation\":");
	strbuf_json(text, summary->operation, strlen(summary->operation));
	strbuf_string(text, ",\"layer\":");
	strbuf_json(text, summary->layer, strlen(summary->layer));
	strbuf_string(text, ",\"status\":");
	strbuf_json(text, summary->status, strlen(summary->status));
	strbuf_string(text, ",\"services\":[");
	for (size_t i = 0; i < summary->service_count; i++) {
		strbuf_string(text, i == 0 ? "" : ",");
		strbuf_json(text, summary->services[i], strlen(summary->services[i]));
	}
	strbuf_format(text, "],\"spans\":%" PRIu64 ",\"errors\":%" PRIu64 "%s}\n", summary->spans,
		summary->errors, summary->damaged ? ",\"damaged\":true" : "");
}

/* How the lines of one list share the terminal's columns. */
struct layout {
	size_t id;	  /* characters of the id; 0: as many as make it unique */
	size_t operation; /* columns at most; 0: never cut */
	size_t left;	  /* where the further columns begin; 0: there are none */
	size_t layer;
	size_t services;
	size_t spans;
	size_t errors;
};

static void append_services(struct strbuf *text, const struct waft_trace_summary *summary)
{
	for (size_t i = 0; i < summary->service_count; i++) {
		strbuf_string(text, i == 0 ? "" : ",");
		strbuf_safe(text, summary->services[i], strlen(summary->services[i]));
	}
}

static size_t columns_of(const struct strbuf *text)
{
	return text->bytes == NULL ? 0 : strbuf_columns(text->bytes, text->length);
}

static size_t widest(size_t width, const struct strbuf *text, size_t most)
{
	size_t columns = columns_of(text);

	if (columns > most)
		columns = most;
	return columns > width ? columns : width;
}

static void append_count(struct strbuf *text, uint64_t count, const char *what)
{
	strbuf_format(text, "%" PRIu64 " %s%s", count, what, count == 1 ? "" : "s");
}

/* Widest cell of every column, and of operation and duration. */
static void measure(const struct waft_trace_list *list, const struct waft_trace_style *style,
	struct layout *ret_layout, size_t *ret_operation, size_t *ret_duration)
{
	struct strbuf cell = {0};

	for (size_t i = 0; i < list->count; i++) {
		const struct waft_trace_summary *summary = &list->traces[i];

		strbuf_clear(&cell);
		strbuf_safe(&cell, summary->operation, strlen(summary->operation));
		*ret_operation = widest(*ret_operation, &cell, SIZE_MAX);
		strbuf_clear(&cell);
		format_duration(&cell, &(struct format_time)FORMAT_TIME_OF_SUMMARY(summary), style);
		*ret_duration = widest(*ret_duration, &cell, SIZE_MAX);
		strbuf_clear(&cell);
		strbuf_safe(&cell, summary->layer, strlen(summary->layer));
		ret_layout->layer = widest(ret_layout->layer, &cell, MAX_LAYER_COLUMNS);
		strbuf_clear(&cell);
		append_services(&cell, summary);
		ret_layout->services = widest(ret_layout->services, &cell, MAX_SERVICES_COLUMNS);
		strbuf_clear(&cell);
		append_count(&cell, summary->spans, "span");
		ret_layout->spans = widest(ret_layout->spans, &cell, SIZE_MAX);
		strbuf_clear(&cell);
		append_count(&cell, summary->errors, "error");
		ret_layout->errors = widest(ret_layout->errors, &cell, SIZE_MAX);
	}
	strbuf_done(&cell);
}

static struct layout lay_out(
	const struct waft_trace_list *list, const struct waft_trace_style *style)
{
	/* Mark, brackets, time and bar. */
	const size_t fixed = 2 + 2 + 1 + 8 + 3;
	struct layout layout = {0};
	size_t operation = 0;
	size_t duration = 0;
	size_t right;
	size_t rest;

	if (style->columns == 0) {
		layout.id = FULL_ID;
		return layout;
	}
	measure(list, style, &layout, &operation, &duration);
	right = 8 + layout.layer + layout.services + layout.spans + layout.errors;
	rest = fixed + 1 + duration;
	if (style->columns >= WIDE_COLUMNS) {
		if (rest + FULL_ID + operation + right <= style->columns)
			layout.id = FULL_ID;
		else if (rest + SHORT_ID + right + WIDE_OPERATION_COLUMNS > style->columns)
			right = 0;
	} else {
		layout.id = rest + FULL_ID + operation <= style->columns ? FULL_ID : 0;
		right = 0;
	}
	rest += right + (layout.id != 0 ? layout.id : SHORT_ID);
	layout.operation = style->columns > rest + MIN_OPERATION_COLUMNS ? style->columns - rest
									 : MIN_OPERATION_COLUMNS;
	if (layout.operation > operation)
		layout.operation = operation != 0 ? operation : 1;
	if (right != 0)
		layout.left = rest - right + layout.operation;
	return layout;
}

static size_t common_digits(const char *a, const char *b)
{
	size_t same = 0;

	while (a[same] != '\0' && a[same] == b[same])
		same++;
	return same;
}

static int compare_ids(const void *a, const void *b)
{
	const struct waft_trace_summary *const *left = a;
	const struct waft_trace_summary *const *right = b;

	return strcmp((*left)->trace_id, (*right)->trace_id);
}

/* Characters of each id that tell it from the others in the list, SHORT_ID at
 * least. NULL: no memory; then ids are shown whole. */
static unsigned char *unique_lengths(const struct waft_trace_list *list)
{
	const struct waft_trace_summary **sorted = calloc(list->count + 1, sizeof(void *));
	unsigned char *lengths = calloc(list->count + 1, 1);

	if (sorted == NULL || lengths == NULL) {
		free(sorted);
		free(lengths);
		return NULL;
	}
	for (size_t i = 0; i < list->count; i++)
		sorted[i] = &list->traces[i];
	qsort(sorted, list->count, sizeof(void *), compare_ids);
	for (size_t i = 0; i < list->count; i++) {
		const char *id = sorted[i]->trace_id;
		size_t same = i > 0 ? common_digits(id, sorted[i - 1]->trace_id) : 0;
		size_t next = i + 1 < list->count ? common_digits(id, sorted[i + 1]->trace_id) : 0;

		same = (next > same ? next : same) + 1;
		/* Ids of 64 bits are padded with zeros: all of those begin alike. */
		if (strncmp(id, "00000000-0000", SHORT_ID) == 0 || same > FULL_ID)
			same = FULL_ID;
		lengths[sorted[i] - list->traces] =
			(unsigned char)(same < SHORT_ID ? SHORT_ID : same);
	}
	free(sorted);
	return lengths;
}

static void cell_of(struct strbuf *line, struct strbuf *cell, size_t *left, size_t width)
{
	strbuf_pad(line, 0, *left);
	strbuf_string(line, "  ");
	if (cell->bytes != NULL)
		(void)strbuf_cut(line, cell->bytes, cell->length, width);
	*left += 2 + width;
	strbuf_clear(cell);
}

/* Behind all columns: it is rare. */
static void append_damage(struct strbuf *line, const struct waft_trace_summary *summary,
	const struct waft_trace_style *style)
{
	if (!summary->damaged)
		return;
	strbuf_color(line, style->color, COLOR_RED);
	strbuf_string(line, "  damaged");
	strbuf_color(line, style->color, COLOR_PLAIN);
}

static void list_line(struct strbuf *line, const struct waft_trace_summary *summary,
	const struct layout *layout, size_t id_length, const struct waft_trace_style *style)
{
	char id[FULL_ID + 1];
	size_t left = layout->left;
	struct strbuf cell = {0};

	memcpy(id, summary->trace_id, id_length);
	id[id_length] = '\0';
	format_summary(line, summary, id, layout->operation, style);
	if (left == 0) {
		append_damage(line, summary, style);
		return;
	}
	strbuf_safe(&cell, summary->layer, strlen(summary->layer));
	cell_of(line, &cell, &left, layout->layer);
	append_services(&cell, summary);
	cell_of(line, &cell, &left, layout->services);
	append_count(&cell, summary->spans, "span");
	cell_of(line, &cell, &left, layout->spans);
	append_count(&cell, summary->errors, "error");
	strbuf_color(line, style->color && summary->errors != 0, COLOR_RED);
	cell_of(line, &cell, &left, layout->errors);
	strbuf_color(line, style->color && summary->errors != 0, COLOR_PLAIN);
	append_damage(line, summary, style);
	strbuf_done(&cell);
}

/* A heading when the day changes, on terminals, unless all is of today. */
static void day_heading(struct strbuf *text, const struct waft_trace_summary *summary, char day[16],
	const struct waft_trace_style *style)
{
	struct strbuf date = {0};

	when_date(&date, summary->start_ns, style->utc);
	if (date.bytes != NULL && strcmp(day, date.bytes) != 0) {
		(void)snprintf(day, 16, "%s", date.bytes);
		strbuf_color(text, style->color, COLOR_DIM);
		strbuf_string(text, day);
		strbuf_color(text, style->color, COLOR_PLAIN);
		strbuf_string(text, "\n");
	}
	strbuf_done(&date);
}

static void list_text(const struct waft_trace_list *list, const struct waft_trace_style *style,
	struct output *output)
{
	struct layout layout = lay_out(list, style);
	unsigned char *lengths = layout.id == 0 ? unique_lengths(list) : NULL;
	struct strbuf today = {0};
	struct strbuf text = {0};
	struct strbuf line = {0};
	char day[16] = "";

	when_date(&today, style->now_ns, style->utc);
	if (today.bytes != NULL)
		(void)snprintf(day, sizeof day, "%s", today.bytes);
	for (size_t i = 0; i < list->count && output->error == 0; i++) {
		if (output->terminal)
			day_heading(&text, &list->traces[i], day, style);
		strbuf_clear(&line);
		list_line(&line, &list->traces[i], &layout,
			layout.id != 0	  ? layout.id
			: lengths != NULL ? lengths[i]
					  : FULL_ID,
			style);
		strbuf_bytes(&text, line.bytes != NULL ? line.bytes : "", line.length);
		strbuf_string(&text, "\n");
		text.failed = text.failed || line.failed;
		if (text.length > FLUSH_BYTES)
			(void)output_write(output, &text);
	}
	(void)output_write(output, &text);
	strbuf_done(&today);
	strbuf_done(&text);
	strbuf_done(&line);
	free(lengths);
}

static void list_json(const struct waft_trace_list *list, struct output *output)
{
	struct strbuf text = {0};

	for (size_t i = 0; i < list->count && output->error == 0; i++) {
		summary_json(&text, &list->traces[i]);
		if (text.length > FLUSH_BYTES)
			(void)output_write(output, &text);
	}
	(void)output_write(output, &text);
	strbuf_done(&text);
}

static bool has_conditions(const struct waft_trace_filter *filter)
{
	return filter->since_ns != 0 || filter->until_ns != 0 || filter->service != NULL ||
	       filter->operation != NULL || filter->layer != NULL || filter->attribute_count != 0 ||
	       filter->status != NULL || filter->errors || filter->min_duration_ns != 0 ||
	       filter->max_duration_ns != 0 || filter->grep != NULL;
}

int run_trace_list(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	struct waft_trace_style style = style_of(arguments, output);
	struct waft_trace_list *list;

	if (waft_viewer_list(viewer, &arguments->filter, arguments->limit, &list) != 0)
		return program_failed(viewer);
	if (list->count == 0 && !arguments->json) {
		(void)fprintf(stderr, "No traces%s in %s.\n",
			has_conditions(&arguments->filter) ? " that fulfil the conditions" : "",
			waft_viewer_where(viewer));
	} else if (arguments->json) {
		list_json(list, output);
	} else {
		if (!arguments->no_pager)
			output_page(output);
		list_text(list, &style, output);
	}
	waft_trace_list_free(list);
	return EXIT_OK;
}

/* ---- trace show ------------------------------------------------------- */

static void show_json(const struct waft_trace *trace, struct output *output)
{
	struct strbuf text = {0};

	for (size_t i = 0; i < trace->count && output->error == 0; i++) {
		if (trace->nodes[i].missing)
			continue;
		strbuf_string(&text, trace->nodes[i].record);
		strbuf_string(&text, "\n");
		if (text.length > FLUSH_BYTES)
			(void)output_write(output, &text);
	}
	(void)output_write(output, &text);
	strbuf_done(&text);
}

static void show_text(
	const struct waft_trace *trace, const struct waft_trace_style *style, struct output *output)
{
	struct format_tree tree;
	struct strbuf text = {0};

	format_tree_init(&tree, trace, style);
	format_head(&text, trace, &tree.style);
	strbuf_string(&text, "\n");
	format_tree_axis(&tree, &text);
	for (size_t i = 0; i < trace->count && output->error == 0; i++) {
		format_tree_line(&tree, i, &text);
		if (text.length > FLUSH_BYTES)
			(void)output_write(output, &text);
	}
	(void)output_write(output, &text);
	strbuf_done(&text);
}

int run_trace_show(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	struct waft_trace_style style = style_of(arguments, output);
	struct waft_trace *trace;

	if (waft_viewer_trace(viewer, arguments->operands[0], &trace) != 0)
		return program_failed(viewer);
	if (!arguments->no_pager && !arguments->json)
		output_page(output);
	if (arguments->json)
		show_json(trace, output);
	else
		show_text(trace, &style, output);
	waft_trace_free(trace);
	return EXIT_OK;
}

/* ---- trace tail ------------------------------------------------------- */

struct tailing {
	const struct arguments *arguments;
	struct output *output;
	struct strbuf text;
	uint64_t shown;
};

enum { TAIL_STOP = 1 };

static void tail_text(struct tailing *tailing, const struct waft_trace_node *span,
	const struct waft_trace_style *style)
{
	struct strbuf *text = &tailing->text;
	size_t length = style->columns != 0 ? SHORT_ID : FULL_ID;

	format_mark(text, span->status, style->color);
	strbuf_string(text, "[");
	strbuf_bytes(text, span->trace_id, strnlen(span->trace_id, length));
	strbuf_string(text, "] ");
	when_clock(text, span->start_ns, style->utc, true);
	strbuf_string(text, " | ");
	format_span_body(text, span, 0, style);
	if (span->service[0] != '\0') {
		strbuf_string(text, " ");
		strbuf_safe(text, span->service, strlen(span->service));
	}
	strbuf_string(text, "\n");
	if (span->error == NULL)
		return;
	strbuf_color(text, style->color, COLOR_RED);
	strbuf_string(text, "  Error: ");
	strbuf_safe(text, span->error, strlen(span->error));
	strbuf_color(text, style->color, COLOR_PLAIN);
	strbuf_string(text, "\n");
}

static int on_tail(const struct waft_trace_node *span, uint64_t missed, void *arg)
{
	struct tailing *tailing = arg;
	struct waft_trace_style style = style_of(tailing->arguments, tailing->output);

	if (missed != 0)
		(void)fprintf(stderr, "waftctl: %" PRIu64 " spans left out: too slow to show all\n",
			missed);
	if (span == NULL)
		return 0;
	if (tailing->arguments->json) {
		strbuf_string(&tailing->text, span->record);
		strbuf_string(&tailing->text, "\n");
	} else {
		tail_text(tailing, span, &style);
	}
	if (output_write(tailing->output, &tailing->text) != 0)
		return TAIL_STOP;
	tailing->shown++;
	return tailing->arguments->limit != 0 && tailing->shown >= tailing->arguments->limit
		       ? TAIL_STOP
		       : 0;
}

int run_trace_tail(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	struct tailing tailing = {.arguments = arguments, .output = output};
	int result = waft_viewer_tail(viewer, &arguments->filter, on_tail, &tailing);

	strbuf_done(&tailing.text);
	return result < 0 ? program_failed(viewer) : EXIT_OK;
}
