/*
 * format.h: traces as text, for the viewer library and its programs.
 */
#ifndef WAFT_CLI_FORMAT_H
#define WAFT_CLI_FORMAT_H

#include "strbuf.h"

#include <waft/viewer.h>

/* What a caller of any version asked for; what it didn't say is zero. */
struct waft_trace_style format_style(const struct waft_trace_style *style);

/* "✓ ", "✗ " or "• ". */
void format_mark(struct strbuf *text, const char *status, bool color);
/* When a span or a trace was: the members of that name. */
struct format_time {
	bool pending;
	double duration_ms;
	int64_t start_ns;
	int64_t open_until_ns;
};
#define FORMAT_TIME_OF_SUMMARY(summary)                                          \
	{                                                                        \
		(summary)->pending, (summary)->duration_ms, (summary)->start_ns, \
			(summary)->open_until_ns                                 \
	}
/* "(2.72ms)", or "(open 3.20s)" while it is pending: until now, or until it was given up. */
void format_duration(
	struct strbuf *text, const struct format_time *time, const struct waft_trace_style *style);
/* A JSON number of milliseconds, up to six decimals, or null while pending. */
void format_json_ms(struct strbuf *text, bool pending, double duration_ms);

/* "✓ [id] 09:07:12 | operation (2.72ms)"; the operation is cut to
 * operation_columns, 0: never. */
void format_summary(struct strbuf *text, const struct waft_trace_summary *summary, const char *id,
	size_t operation_columns, const struct waft_trace_style *style);

/* "✓ operation (1.74ms) [core]", cut to columns (0: never). */
void format_span(struct strbuf *text, const struct waft_trace_node *node, size_t columns,
	const struct waft_trace_style *style);

/* The same of a span without its mark. */
void format_span_body(struct strbuf *text, const struct waft_trace_node *node, size_t columns,
	const struct waft_trace_style *style);

/* Line number `index` of the tree with all that belongs to it: error, data. */
struct format_tree {
	const struct waft_trace *trace;
	struct waft_trace_style style;
	size_t label_columns; /* of a waterfall */
	size_t bar_columns;
	int64_t from_ns;
	int64_t to_ns;
};
void format_tree_init(struct format_tree *tree, const struct waft_trace *trace,
	const struct waft_trace_style *style);
/* What stands above the first line: a waterfall's axis. */
void format_tree_axis(const struct format_tree *tree, struct strbuf *text);
void format_tree_line(const struct format_tree *tree, size_t index, struct strbuf *text);

void format_head(
	struct strbuf *text, const struct waft_trace *trace, const struct waft_trace_style *style);

#endif
