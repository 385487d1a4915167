/*
 * command_ps.c: ps, what is running right now.
 */
#include "command.h"
#include "format.h"
#include "program.h"
#include "when.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { WATCH_MS = 1000, INDENT_COLUMNS = 2, MAX_INDENT_LEVELS = 256 };

/* ---- As text ----------------------------------------------------------- */

/* Appends a line, cut to the terminal; empties it. */
static void put_line(struct strbuf *text, struct strbuf *line, const struct waft_trace_style *style)
{
	if (line->bytes != NULL)
		(void)strbuf_cut(text, line->bytes, line->length,
			style->columns != 0 ? style->columns : SIZE_MAX);
	strbuf_color(text, style->color, COLOR_PLAIN);
	strbuf_string(text, "\n");
	text->failed = text->failed || line->failed;
	strbuf_clear(line);
}

static void span_line(struct strbuf *line, const struct waft_trace_node *span,
	const struct waft_trace_style *style)
{
	size_t most = style->columns != 0 ? style->columns / 4 / INDENT_COLUMNS : MAX_INDENT_LEVELS;
	size_t levels = (span->depth < most ? span->depth : most) + 2;
	size_t indent = levels * INDENT_COLUMNS;

	strbuf_repeat(line, " ", indent);
	format_span(line, span, style->columns > indent ? style->columns - indent : 0, style);
}

static void process_text(struct strbuf *text, const struct waft_open_process *process,
	const struct waft_trace_style *style)
{
	struct strbuf line = {0};

	strbuf_color(&line, style->color, COLOR_BOLD);
	if (process->service[0] != '\0')
		strbuf_safe(&line, process->service, strlen(process->service));
	else
		strbuf_string(&line, "-");
	strbuf_color(&line, style->color, COLOR_PLAIN);
	strbuf_format(&line, " (pid %" PRIu64 ")", process->pid);
	put_line(text, &line, style);
	for (size_t i = 0; i < process->count; i++) {
		const struct waft_open_thread *thread = &process->threads[i];

		strbuf_color(&line, style->color, COLOR_DIM);
		strbuf_format(&line, "  thread %" PRIu64, thread->thread);
		put_line(text, &line, style);
		for (size_t j = 0; j < thread->count; j++) {
			span_line(&line, &thread->spans[j], style);
			put_line(text, &line, style);
		}
	}
	strbuf_done(&line);
}

/* ---- As JSON ----------------------------------------------------------- */

static void json_text(struct strbuf *text, const char *key, const char *value)
{
	strbuf_format(text, ",\"%s\":", key);
	if (value != NULL)
		strbuf_json(text, value, strlen(value));
	else
		strbuf_string(text, "null");
}

static void span_json(struct strbuf *text, const struct waft_open_process *process, uint64_t thread,
	const struct waft_trace_node *span, int64_t now_ns)
{
	int64_t open_ns = now_ns > span->start_ns ? now_ns - span->start_ns : 0;

	strbuf_format(text, "{\"pid\":%" PRIu64 ",\"thread\":%" PRIu64 ",\"depth\":%" PRIu32,
		process->pid, thread, span->depth);
	json_text(text, "service", process->service);
	json_text(text, "host", process->host);
	json_text(text, "trace_id", span->trace_id);
	json_text(text, "span_id", span->span_id);
	json_text(text, "parent_span_id", span->parent_span_id);
	json_text(text, "operation", span->operation);
	json_text(text, "layer", span->layer);
	strbuf_string(text, ",\"start\":\"");
	when_rfc3339(text, span->start_ns);
	strbuf_string(text, "\",\"open_ms\":");
	format_json_ms(text, false, (double)open_ns / WHEN_NS_PER_MS);
	strbuf_string(text, "}\n");
}

static void list_json(struct strbuf *text, const struct waft_open_list *list, int64_t now_ns)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct waft_open_process *process = &list->processes[i];

		for (size_t j = 0; j < process->count; j++)
			for (size_t k = 0; k < process->threads[j].count; k++)
				span_json(text, process, process->threads[j].thread,
					&process->threads[j].spans[k], now_ns);
	}
}

/* ---- The command ------------------------------------------------------- */

static void say_left_out(const struct waft_open_list *list)
{
	if (list->left_out != 0)
		(void)fprintf(stderr,
			"waftctl: %" PRIu64 " open spans left out: too many in one "
			"process\n",
			list->left_out);
	if (list->unreadable != 0)
		(void)fprintf(stderr,
			"waftctl: the memory of %" PRIu64 " processes can't be read\n",
			list->unreadable);
}

/* Once. An exit code; *ret_spans: how many there were. */
static int show(const struct arguments *arguments, struct output *output,
	struct waft_viewer *viewer, size_t *ret_spans)
{
	struct waft_trace_style style = {.size = sizeof style,
		.columns = output->columns,
		.color = output->color,
		.utc = arguments->utc,
		.now_ns = when_now()};
	struct waft_open_list *list;
	struct strbuf text = {0};

	if (waft_viewer_open_spans(viewer, arguments->filter.service, &list) != 0)
		return program_failed(viewer);
	if (arguments->watch && output->terminal)
		strbuf_string(&text, "\033[H\033[2J");
	if (arguments->json)
		list_json(&text, list, style.now_ns);
	else
		for (size_t i = 0; i < list->count; i++)
			process_text(&text, &list->processes[i], &style);
	*ret_spans = list->count;
	if (!arguments->watch)
		say_left_out(list);
	else if (!arguments->json && !output->terminal)
		strbuf_string(&text, "\n");
	(void)output_write(output, &text);
	strbuf_done(&text);
	waft_open_list_free(list);
	return EXIT_OK;
}

int run_ps(const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	const struct timespec pause = {
		.tv_sec = WATCH_MS / 1000, .tv_nsec = WATCH_MS % 1000 * WHEN_NS_PER_MS};
	size_t spans = 0;
	int code;

	if (!arguments->watch && !arguments->json && !arguments->no_pager)
		output_page(output);
	code = show(arguments, output, viewer, &spans);
	while (arguments->watch && code == EXIT_OK && output->error == 0) {
		(void)nanosleep(&pause, NULL);
		code = show(arguments, output, viewer, &spans);
	}
	if (!arguments->watch && code == EXIT_OK && spans == 0 && !arguments->json)
		(void)fprintf(stderr, "No open spans in %s.\n", waft_viewer_where(viewer));
	return code;
}
