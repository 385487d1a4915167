/*
 * format.c: traces as text.
 *
 * Everything that comes from a trace goes through strbuf_safe. The order and
 * depth of a tree are in its nodes already, so that nothing here recurses. Pure
 * functions of their arguments, except for the clock where now_ns is 0.
 */
#include "format.h"

#include "when.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_INDENT_LEVELS = 256, /* deeper: a chain of 100,000 spans stays printable */
	MIN_NAME_COLUMNS = 12,
	MAX_LAYER_COLUMNS = 24,
	SHORT_DATA_CHARACTERS = 100,
	DEFAULT_COLUMNS = 80,
};

struct waft_trace_style format_style(const struct waft_trace_style *style)
{
	struct waft_trace_style known = {0};

	if (style != NULL)
		memcpy(&known, style, style->size < sizeof known ? style->size : sizeof known);
	if (known.now_ns == 0)
		known.now_ns = when_now();
	return known;
}

static bool is_pending(const char *status)
{
	return strcmp(status, "pending") == 0;
}

static bool is_error(const char *status)
{
	return strcmp(status, "error") == 0;
}

void format_mark(struct strbuf *text, const char *status, bool color)
{
	enum text_color which = is_error(status)     ? COLOR_RED
				: is_pending(status) ? COLOR_YELLOW
						     : COLOR_GREEN;

	strbuf_color(text, color, which);
	strbuf_string(text, is_error(status) ? "✗" : is_pending(status) ? "•" : "✓");
	strbuf_color(text, color, COLOR_PLAIN);
	strbuf_string(text, " ");
}

void format_duration(
	struct strbuf *text, const struct format_time *time, const struct waft_trace_style *style)
{
	if (time->pending) {
		int64_t until_ns = time->open_until_ns != 0 ? time->open_until_ns : style->now_ns;

		strbuf_string(text, "(open ");
		when_elapsed(text, until_ns - time->start_ns);
		strbuf_string(text, ")");
	} else {
		strbuf_format(text, "(%.2fms)", time->duration_ms);
	}
}

void format_json_ms(struct strbuf *text, bool pending, double duration_ms)
{
	size_t from = text->length;

	if (pending) {
		strbuf_string(text, "null");
		return;
	}
	strbuf_format(text, "%.6f", duration_ms);
	if (text->failed)
		return;
	while (text->length > from && text->bytes[text->length - 1] == '0')
		text->length--;
	if (text->length > from && text->bytes[text->length - 1] == '.')
		text->length--;
	text->bytes[text->length] = '\0';
}

/* Appends bytes made safe, cut to columns (0: never). */
static void append_cut(struct strbuf *text, const char *bytes, size_t columns)
{
	struct strbuf safe = {0};

	if (columns == 0) {
		strbuf_safe(text, bytes, strlen(bytes));
		return;
	}
	strbuf_safe(&safe, bytes, strlen(bytes));
	if (safe.bytes != NULL)
		(void)strbuf_cut(text, safe.bytes, safe.length, columns);
	text->failed = text->failed || safe.failed;
	strbuf_done(&safe);
}

void format_summary(struct strbuf *text, const struct waft_trace_summary *summary, const char *id,
	size_t operation_columns, const struct waft_trace_style *style)
{
	format_mark(text, summary->status, style->color);
	strbuf_format(text, "[%s] ", id);
	when_clock(text, summary->start_ns, style->utc, false);
	strbuf_string(text, " | ");
	append_cut(text, summary->operation, operation_columns);
	strbuf_string(text, " ");
	strbuf_color(text, style->color, COLOR_DIM);
	format_duration(text, &(struct format_time)FORMAT_TIME_OF_SUMMARY(summary), style);
	strbuf_color(text, style->color, COLOR_PLAIN);
}

/* What stands behind the name: duration, layer, what is unusual. */
static void span_ending(struct strbuf *text, const struct waft_trace_node *node,
	const struct waft_trace_style *style)
{
	static const struct {
		uint32_t flag;
		const char *word;
	} words[] = {
		{WAFT_TRACE_DUPLICATE, "duplicate"},
		{WAFT_TRACE_CYCLE, "cycle"},
		{WAFT_TRACE_LATE, "late"},
		{WAFT_TRACE_SKEWED, "skewed"},
	};
	const char *separator = " ! ";

	strbuf_string(text, " ");
	strbuf_color(text, style->color, COLOR_DIM);
	format_duration(text,
		&(struct format_time){is_pending(node->status), node->duration_ms, node->start_ns,
			node->open_until_ns},
		style);
	strbuf_color(text, style->color, COLOR_PLAIN);
	strbuf_string(text, " ");
	strbuf_color(text, style->color, COLOR_CYAN);
	strbuf_string(text, "[");
	append_cut(text, node->layer, style->columns != 0 ? MAX_LAYER_COLUMNS : 0);
	strbuf_string(text, "]");
	strbuf_color(text, style->color, COLOR_PLAIN);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if ((node->flags & words[i].flag) == 0)
			continue;
		strbuf_color(text, style->color, COLOR_YELLOW);
		strbuf_format(text, "%s%s", separator, words[i].word);
		strbuf_color(text, style->color, COLOR_PLAIN);
		separator = ", ";
	}
}

void format_span_body(struct strbuf *text, const struct waft_trace_node *node, size_t columns,
	const struct waft_trace_style *style)
{
	struct strbuf ending = {0};
	size_t room = 0;

	span_ending(&ending, node, style);
	if (columns != 0 && ending.bytes != NULL) {
		size_t taken = strbuf_columns(ending.bytes, ending.length);

		room = columns > taken + MIN_NAME_COLUMNS ? columns - taken : MIN_NAME_COLUMNS;
	}
	strbuf_color(text, style->color && is_error(node->status), COLOR_RED);
	append_cut(text, node->operation, room);
	strbuf_color(text, style->color && is_error(node->status), COLOR_PLAIN);
	if (ending.bytes != NULL)
		strbuf_bytes(text, ending.bytes, ending.length);
	text->failed = text->failed || ending.failed;
	strbuf_done(&ending);
}

void format_span(struct strbuf *text, const struct waft_trace_node *node, size_t columns,
	const struct waft_trace_style *style)
{
	if (!node->missing) {
		format_mark(text, node->status, style->color);
		format_span_body(text, node, columns > 2 ? columns - 2 : columns, style);
		return;
	}
	strbuf_color(text, style->color, COLOR_YELLOW);
	strbuf_string(text, "? ");
	strbuf_color(text, style->color, COLOR_PLAIN);
	strbuf_string(text, "parent ");
	strbuf_safe(text, node->span_id, strlen(node->span_id));
	strbuf_string(text, " not received");
}

/* ---- Trees ------------------------------------------------------------ */

static int64_t node_end_ns(const struct waft_trace_node *node, int64_t now_ns)
{
	double duration_ns = node->duration_ms * WHEN_NS_PER_MS;

	if (is_pending(node->status) && node->open_until_ns != 0)
		return node->open_until_ns;
	if (is_pending(node->status))
		return now_ns > node->start_ns ? now_ns : node->start_ns;
	/* A foreign file may claim any duration. */
	if (duration_ns >= (double)INT64_MAX / 2 || node->start_ns > INT64_MAX / 2)
		return node->start_ns;
	return node->start_ns + (int64_t)duration_ns;
}

/* later - earlier, whatever the two are. */
static double between_ns(int64_t earlier, int64_t later)
{
	return (double)((uint64_t)later - (uint64_t)earlier);
}

static size_t indent_levels(const struct format_tree *tree, const struct waft_trace_node *node)
{
	size_t most = MAX_INDENT_LEVELS;
	uint32_t columns = tree->style.columns;

	if (columns != 0 && columns / 4 < most)
		most = columns / 4;
	return node->depth < most ? node->depth : most;
}

void format_tree_init(struct format_tree *tree, const struct waft_trace *trace,
	const struct waft_trace_style *style)
{
	uint32_t columns;

	*tree = (struct format_tree){.trace = trace, .style = format_style(style)};
	if (!tree->style.waterfall)
		return;
	columns = tree->style.columns != 0 ? tree->style.columns : DEFAULT_COLUMNS;
	tree->style.columns = columns;
	tree->label_columns = columns * 3 / 5;
	tree->bar_columns = columns - tree->label_columns - 2;
	tree->from_ns = INT64_MAX;
	tree->to_ns = INT64_MIN;
	for (size_t i = 0; i < trace->count; i++) {
		const struct waft_trace_node *node = &trace->nodes[i];
		int64_t end_ns;

		if (node->missing)
			continue;
		end_ns = node_end_ns(node, tree->style.now_ns);
		tree->from_ns = node->start_ns < tree->from_ns ? node->start_ns : tree->from_ns;
		tree->to_ns = end_ns > tree->to_ns ? end_ns : tree->to_ns;
	}
	if (tree->to_ns <= tree->from_ns)
		tree->to_ns = tree->from_ns + 1;
}

void format_tree_axis(const struct format_tree *tree, struct strbuf *text)
{
	char end[48];
	size_t from = text->length;
	int length;

	if (!tree->style.waterfall || tree->trace->count == 0)
		return;
	length = snprintf(
		end, sizeof end, "%.2fms", between_ns(tree->from_ns, tree->to_ns) / WHEN_NS_PER_MS);
	strbuf_color(text, tree->style.color, COLOR_DIM);
	strbuf_pad(text, from, tree->label_columns + 2);
	strbuf_string(text, "0");
	strbuf_pad(text, from, tree->label_columns + 2 + tree->bar_columns - (size_t)length);
	strbuf_string(text, end);
	strbuf_color(text, tree->style.color, COLOR_PLAIN);
	strbuf_string(text, "\n");
}

/* The bar is as long as the span took; one too short for a cell is a thin line. */
static void bar(
	const struct format_tree *tree, const struct waft_trace_node *node, struct strbuf *text)
{
	double scale = (double)tree->bar_columns / between_ns(tree->from_ns, tree->to_ns);
	double start = between_ns(tree->from_ns, node->start_ns) * scale;
	double end = between_ns(tree->from_ns, node_end_ns(node, tree->style.now_ns)) * scale;
	size_t first =
		start < (double)tree->bar_columns - 1 ? (size_t)start : tree->bar_columns - 1;
	size_t last = (size_t)(end + 0.5);

	if (last > tree->bar_columns)
		last = tree->bar_columns;
	strbuf_repeat(text, " ", first);
	strbuf_color(text, tree->style.color,
		is_error(node->status)	   ? COLOR_RED
		: is_pending(node->status) ? COLOR_YELLOW
					   : COLOR_GREEN);
	if (end - start < 0.5 || last <= first)
		strbuf_string(text, "▏");
	else
		strbuf_repeat(text, is_pending(node->status) ? "░" : "█", last - first);
	strbuf_color(text, tree->style.color, COLOR_PLAIN);
}

static void detail_line(
	struct strbuf *text, size_t indent, const char *name, const char *value, size_t characters)
{
	strbuf_repeat(text, " ", indent);
	strbuf_string(text, name);
	if (characters == 0)
		strbuf_safe(text, value, strlen(value));
	else
		strbuf_head(text, value, strlen(value), characters);
	strbuf_string(text, "\n");
}

/* Indentation and span, cut to columns (0: never) even where a name has kept its
 * least. */
static void tree_label(const struct format_tree *tree, const struct waft_trace_node *node,
	size_t columns, struct strbuf *text)
{
	size_t indent = 2 * indent_levels(tree, node);
	struct strbuf label = {0};
	size_t used;

	strbuf_repeat(&label, " ", indent);
	if (indent < 2 * (size_t)node->depth)
		strbuf_format(&label, "[level %" PRIu32 "] ", node->depth + 1);
	used = label.length;
	format_span(&label, node,
		columns == 0	 ? 0
		: columns > used ? columns - used
				 : 1,
		&tree->style);
	if (label.bytes == NULL || columns == 0 ||
		strbuf_columns(label.bytes, label.length) <= columns) {
		strbuf_bytes(text, label.bytes != NULL ? label.bytes : "", label.length);
	} else {
		(void)strbuf_cut(text, label.bytes, label.length, columns);
		strbuf_color(text, tree->style.color, COLOR_PLAIN);
	}
	text->failed = text->failed || label.failed;
	strbuf_done(&label);
}

void format_tree_line(const struct format_tree *tree, size_t index, struct strbuf *text)
{
	const struct waft_trace_style *style = &tree->style;
	const struct waft_trace_node *node = &tree->trace->nodes[index];
	size_t indent = 2 * indent_levels(tree, node) + 2;
	size_t characters = style->data == WAFT_DATA_SHORT ? SHORT_DATA_CHARACTERS : 0;
	size_t from = text->length;

	tree_label(tree, node, style->waterfall ? tree->label_columns : style->columns, text);
	if (style->waterfall && !node->missing) {
		strbuf_pad(text, from, tree->label_columns);
		strbuf_string(text, "  ");
		bar(tree, node, text);
	}
	strbuf_string(text, "\n");
	if (node->missing)
		return;
	if (node->error != NULL) {
		strbuf_color(text, style->color, COLOR_RED);
		detail_line(text, indent, "Error: ", node->error, 0);
		strbuf_color(text, style->color, COLOR_PLAIN);
	}
	if (style->data != WAFT_DATA_NONE && node->input != NULL)
		detail_line(text, indent, "Input: ", node->input, characters);
	if (style->data != WAFT_DATA_NONE && node->output != NULL)
		detail_line(text, indent, "Output: ", node->output, characters);
}

void format_head(
	struct strbuf *text, const struct waft_trace *trace, const struct waft_trace_style *style)
{
	const struct waft_trace_summary *summary = &trace->summary;

	strbuf_string(text, "Trace:    ");
	strbuf_color(text, style->color, COLOR_BOLD);
	strbuf_string(text, trace->trace_id);
	strbuf_color(text, style->color, COLOR_PLAIN);
	strbuf_string(text, "\nStarted:  ");
	when_date(text, summary->start_ns, style->utc);
	strbuf_string(text, " ");
	when_clock(text, summary->start_ns, style->utc, true);
	strbuf_string(text, " ");
	when_zone(text, summary->start_ns, style->utc);
	strbuf_string(text, "\nServices: ");
	for (size_t i = 0; i < summary->service_count; i++) {
		strbuf_string(text, i == 0 ? "" : ", ");
		strbuf_safe(text, summary->services[i], strlen(summary->services[i]));
	}
	if (summary->service_count == 0)
		strbuf_string(text, "-");
	strbuf_format(text, "\nSpans:    %" PRIu64 "\nErrors:   ", summary->spans);
	strbuf_color(text, style->color && summary->errors != 0, COLOR_RED);
	strbuf_format(text, "%" PRIu64, summary->errors);
	strbuf_color(text, style->color && summary->errors != 0, COLOR_PLAIN);
	strbuf_string(text, "\n");
}

/* ---- Public ----------------------------------------------------------- */

char *waft_trace_format_tree(const struct waft_trace *trace, const struct waft_trace_style *style)
{
	struct strbuf text = {0};
	struct format_tree tree;

	format_tree_init(&tree, trace, style);
	format_tree_axis(&tree, &text);
	for (size_t i = 0; i < trace->count; i++)
		format_tree_line(&tree, i, &text);
	return strbuf_take(&text);
}

char *waft_trace_format_head(const struct waft_trace *trace, const struct waft_trace_style *style)
{
	struct waft_trace_style known = format_style(style);
	struct strbuf text = {0};

	format_head(&text, trace, &known);
	return strbuf_take(&text);
}

char *waft_trace_format_summary(
	const struct waft_trace_summary *summary, const struct waft_trace_style *style)
{
	struct waft_trace_style known = format_style(style);
	struct strbuf text = {0};
	struct strbuf whole = {0};
	size_t columns;

	format_summary(&whole, summary, summary->trace_id, 0, &known);
	columns = whole.bytes == NULL ? 0 : strbuf_columns(whole.bytes, whole.length);
	if (known.columns != 0 && columns > known.columns) {
		size_t name = strbuf_columns(summary->operation, strlen(summary->operation));
		size_t over = columns - known.columns;

		format_summary(&text, summary, summary->trace_id,
			name > over + MIN_NAME_COLUMNS ? name - over : MIN_NAME_COLUMNS, &known);
		strbuf_done(&whole);
		return strbuf_take(&text);
	}
	return strbuf_take(&whole);
}

void waft_text_free(char *text)
{
	free(text);
}
