/*
 * command_state.c: stats and status.
 */
#include "command.h"
#include "format.h"
#include "program.h"
#include "when.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	STAT_COLUMNS = 10,
	MAX_NAME_COLUMNS = 48,
	MIN_OPERATION_COLUMNS = 24,
	LABEL_COLUMNS = 12,
};

/* ---- stats ------------------------------------------------------------ */

static void json_text(struct strbuf *text, const char *key, const char *value)
{
	strbuf_format(text, "\"%s\":", key);
	strbuf_json(text, value, strlen(value));
}

static void json_ms(struct strbuf *text, const char *key, double ms)
{
	strbuf_format(text, ",\"%s\":", key);
	format_json_ms(text, false, ms);
}

static void operation_json(struct strbuf *text, const struct waft_operation_stats *row)
{
	strbuf_string(text, "{");
	json_text(text, "operation", row->operation);
	strbuf_string(text, ",");
	json_text(text, "layer", row->layer);
	strbuf_string(text, ",");
	json_text(text, "service", row->service);
	strbuf_format(text, ",\"count\":%" PRIu64 ",\"errors\":%" PRIu64, row->count, row->errors);
	json_ms(text, "p50_ms", row->p50_ms);
	json_ms(text, "p95_ms", row->p95_ms);
	json_ms(text, "p99_ms", row->p99_ms);
	json_ms(text, "total_ms", row->total_ms);
	json_ms(text, "self_ms", row->self_ms);
	strbuf_string(text, "}\n");
}

static const char *const stat_titles[STAT_COLUMNS] = {"OPERATION", "LAYER", "SERVICE", "COUNT",
	"ERRORS", "P50 ms", "P95 ms", "P99 ms", "TOTAL ms", "SELF ms"};

/* Texts stand left, numbers right. */
static bool is_number(size_t column)
{
	return column >= 3;
}

static void stat_cell(struct strbuf *cell, const struct waft_operation_stats *row, size_t column)
{
	const char *texts[] = {row->operation, row->layer, row->service};
	double figures[] = {row->p50_ms, row->p95_ms, row->p99_ms, row->total_ms, row->self_ms};

	strbuf_clear(cell);
	if (column < 3 && texts[column][0] == '\0')
		strbuf_string(cell, "-");
	else if (column < 3)
		strbuf_safe(cell, texts[column], strlen(texts[column]));
	else if (column < 5)
		strbuf_format(cell, "%" PRIu64, column == 3 ? row->count : row->errors);
	else
		strbuf_format(cell, "%.2f", figures[column - 5]);
}

/* What is too wide for the terminal: layer and service are left out, if need be, so
 * that operations keep their least; then operations are cut. */
static void stat_fit(size_t all, uint32_t terminal_columns, size_t widths[STAT_COLUMNS])
{
	static const size_t gives[] = {1, 2};
	size_t over;

	for (size_t i = 0; i < sizeof gives / sizeof gives[0]; i++) {
		over = all > terminal_columns ? all - terminal_columns : 0;
		if (over == 0 || (widths[0] > over && widths[0] - over >= MIN_OPERATION_COLUMNS))
			break;
		all -= widths[gives[i]] + 2;
		widths[gives[i]] = 0;
	}
	over = all > terminal_columns ? all - terminal_columns : 0;
	if (over != 0)
		widths[0] = widths[0] > over + 8 ? widths[0] - over : 8;
}

/* Width of each column; 0: it is left out. */
static void stat_widths(const struct waft_operation_list *list, uint32_t terminal_columns,
	size_t widths[STAT_COLUMNS])
{
	struct strbuf cell = {0};
	size_t all = 2 * (STAT_COLUMNS - 1);

	for (size_t i = 0; i < STAT_COLUMNS; i++) {
		widths[i] = strlen(stat_titles[i]);
		for (size_t j = 0; j < list->count; j++) {
			size_t columns;

			stat_cell(&cell, &list->operations[j], i);
			columns = cell.bytes == NULL ? 0 : strbuf_columns(cell.bytes, cell.length);
			if (terminal_columns != 0 && !is_number(i) && columns > MAX_NAME_COLUMNS)
				columns = MAX_NAME_COLUMNS;
			widths[i] = columns > widths[i] ? columns : widths[i];
		}
		all += widths[i];
	}
	if (terminal_columns != 0)
		stat_fit(all, terminal_columns, widths);
	strbuf_done(&cell);
}

static void put_cell(struct strbuf *line, const struct strbuf *cell, size_t width, size_t column)
{
	size_t columns = cell->bytes == NULL ? 0 : strbuf_columns(cell->bytes, cell->length);

	if (width == 0)
		return;
	if (column > 0)
		strbuf_string(line, "  ");
	if (is_number(column) && columns < width)
		strbuf_repeat(line, " ", width - columns);
	if (cell->bytes != NULL)
		columns = strbuf_cut(line, cell->bytes, cell->length, width);
	if (!is_number(column) && columns < width)
		strbuf_repeat(line, " ", width - columns);
}

static void stats_text(const struct waft_operation_list *list, struct output *output)
{
	size_t widths[STAT_COLUMNS];
	struct strbuf cell = {0};
	struct strbuf text = {0};

	stat_widths(list, output->columns, widths);
	strbuf_color(&text, output->color, COLOR_BOLD);
	for (size_t i = 0; i < STAT_COLUMNS; i++) {
		strbuf_clear(&cell);
		strbuf_string(&cell, stat_titles[i]);
		put_cell(&text, &cell, widths[i], i);
	}
	strbuf_color(&text, output->color, COLOR_PLAIN);
	strbuf_string(&text, "\n");
	for (size_t j = 0; j < list->count; j++) {
		bool failed = list->operations[j].errors != 0;

		for (size_t i = 0; i < STAT_COLUMNS; i++) {
			stat_cell(&cell, &list->operations[j], i);
			strbuf_color(&text, output->color && failed && i == 4, COLOR_RED);
			put_cell(&text, &cell, widths[i], i);
			strbuf_color(&text, output->color && failed && i == 4, COLOR_PLAIN);
		}
		strbuf_string(&text, "\n");
	}
	text.failed = text.failed || cell.failed;
	(void)output_write(output, &text);
	strbuf_done(&cell);
	strbuf_done(&text);
}

int run_stats(const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	struct waft_operation_list *list;
	struct strbuf text = {0};

	if (waft_viewer_stats(viewer, &arguments->filter, &list) != 0)
		return program_failed(viewer);
	if (arguments->json) {
		for (size_t i = 0; i < list->count; i++)
			operation_json(&text, &list->operations[i]);
		(void)output_write(output, &text);
	} else if (list->count == 0) {
		(void)fprintf(stderr, "No spans in %s.\n", waft_viewer_where(viewer));
	} else {
		if (!arguments->no_pager)
			output_page(output);
		stats_text(list, output);
	}
	strbuf_done(&text);
	waft_operation_list_free(list);
	return EXIT_OK;
}

/* ---- status ----------------------------------------------------------- */

static uint64_t dropped_spans(const struct waft_ledger *ledger)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < ledger->dropped_count; i++)
		sum += ledger->dropped[i].value;
	return sum;
}

/* What was emitted and is neither stored nor lost; never below 0, though the
 * counts are read at different moments. */
static uint64_t in_flight(const struct waft_ledger *ledger)
{
	uint64_t settled = ledger->durable + dropped_spans(ledger) + ledger->unknown;

	return ledger->emitted > settled ? ledger->emitted - settled : 0;
}

static void ledger_sentence(struct strbuf *text, const struct waft_ledger *ledger)
{
	uint64_t dropped = dropped_spans(ledger);
	const char *separator = " (";

	strbuf_format(text, "emitted %" PRIu64 " = stored %" PRIu64 " + dropped %" PRIu64,
		ledger->emitted, ledger->durable, dropped);
	for (size_t i = 0; i < ledger->dropped_count; i++) {
		if (ledger->dropped[i].value == 0)
			continue;
		strbuf_string(text, separator);
		strbuf_safe(text, ledger->dropped[i].name, strlen(ledger->dropped[i].name));
		strbuf_format(text, " %" PRIu64, ledger->dropped[i].value);
		separator = ", ";
	}
	strbuf_string(text, dropped != 0 ? ")" : "");
	strbuf_format(text, " + unknown %" PRIu64 " + in flight %" PRIu64, ledger->unknown,
		in_flight(ledger));
}

void format_bytes(struct strbuf *text, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double amount = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		strbuf_format(text, "%" PRIu64 " bytes", bytes);
		return;
	}
	for (; amount >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
		amount /= 1024;
	strbuf_format(text, "%.1f %s", amount, units[unit]);
}

static void label(struct strbuf *text, const char *name)
{
	size_t from = text->length;

	strbuf_string(text, name);
	strbuf_string(text, ":");
	strbuf_pad(text, from, LABEL_COLUMNS);
}

static void health_line(struct strbuf *text, const struct waft_status *status, bool color)
{
	static const char *const words[] = {"serving", "degraded", "not serving", "none was asked"};
	static const enum text_color colors[] = {
		COLOR_GREEN, COLOR_YELLOW, COLOR_RED, COLOR_YELLOW};

	label(text, "Collector");
	strbuf_color(text, color, colors[status->health]);
	strbuf_string(text, words[status->health]);
	strbuf_color(text, color, COLOR_PLAIN);
	if (status->health == WAFT_HEALTH_NO_COLLECTOR)
		strbuf_string(text, "; this is read from the files");
	if (status->version[0] != '\0') {
		strbuf_string(text, ", version ");
		strbuf_safe(text, status->version, strlen(status->version));
		strbuf_string(text, ", up ");
		when_elapsed(text, (int64_t)status->uptime_ms * WHEN_NS_PER_MS);
	}
	strbuf_string(text, "\n");
	for (size_t i = 0; i < status->reason_count; i++) {
		strbuf_repeat(text, " ", LABEL_COLUMNS);
		strbuf_safe(text, status->reasons[i], strlen(status->reasons[i]));
		strbuf_string(text, "\n");
	}
}

static void store_lines(struct strbuf *text, const struct waft_status *status)
{
	label(text, "Store");
	strbuf_safe(text, status->store, strlen(status->store));
	strbuf_string(text, ", ");
	format_bytes(text, status->store_bytes);
	strbuf_string(text, " in files, ");
	format_bytes(text, status->log_bytes);
	strbuf_string(text, " in the log\n");
	label(text, "Spans");
	strbuf_format(text, "%" PRIu64 " written, %" PRIu64 " waiting, %" PRIu64 " expired\n",
		status->spans_written, status->spans_waiting, status->spans_expired);
	if (status->quarantined_bytes != 0) {
		label(text, "Quarantine");
		format_bytes(text, status->quarantined_bytes);
		strbuf_string(text, " (see .waft/quarantine in the store)\n");
	}
	if (status->batches_refused != 0) {
		label(text, "Refused");
		strbuf_format(text, "%" PRIu64 " batches\n", status->batches_refused);
	}
	if (status->resident_bytes != 0) {
		label(text, "Memory");
		format_bytes(text, status->resident_bytes);
		strbuf_string(text, "\n");
	}
}

void format_ledger_line(struct strbuf *text, const struct waft_ledger *client)
{
	strbuf_safe(text, client->service, strlen(client->service));
	strbuf_format(text, " (pid %" PRIu64 "%s): ", client->pid,
		client->connected ? ", connected" : "");
	ledger_sentence(text, client);
}

static void client_lines(struct strbuf *text, const struct waft_status *status, bool all)
{
	size_t connected = 0;

	for (size_t i = 0; i < status->client_count; i++)
		connected += status->clients[i].connected;
	if (status->health == WAFT_HEALTH_NO_COLLECTOR && status->client_count == 0)
		return;
	label(text, "Clients");
	strbuf_format(text, "%zu connected, %zu known\n", connected, status->client_count);
	for (size_t i = 0; all && i < status->client_count; i++) {
		const struct waft_ledger *client = &status->clients[i];

		strbuf_string(text, "  ");
		format_ledger_line(text, client);
		strbuf_string(text, "\n");
	}
}

static void status_text(struct strbuf *text, const struct waft_status *status,
	const struct arguments *arguments, bool color)
{
	ledger_sentence(text, &status->total);
	strbuf_string(text, "\n\n");
	health_line(text, status, color);
	store_lines(text, status);
	client_lines(text, status, arguments->clients);
	if (!arguments->counters)
		return;
	strbuf_string(text, "Counters:\n");
	for (size_t i = 0; i < status->counter_count; i++) {
		strbuf_string(text, "  ");
		strbuf_safe(text, status->counters[i].name, strlen(status->counters[i].name));
		strbuf_format(text, " %" PRIu64 "\n", status->counters[i].value);
	}
}

static void json_counts(struct strbuf *text, const struct waft_count *counts, size_t count)
{
	strbuf_string(text, "{");
	for (size_t i = 0; i < count; i++) {
		strbuf_string(text, i == 0 ? "" : ",");
		strbuf_json(text, counts[i].name, strlen(counts[i].name));
		strbuf_format(text, ":%" PRIu64, counts[i].value);
	}
	strbuf_string(text, "}");
}

static void json_ledger(struct strbuf *text, const struct waft_ledger *ledger)
{
	strbuf_format(text, "\"emitted\":%" PRIu64 ",\"stored\":%" PRIu64 ",\"dropped\":%" PRIu64,
		ledger->emitted, ledger->durable, dropped_spans(ledger));
	strbuf_string(text, ",\"dropped_by\":");
	json_counts(text, ledger->dropped, ledger->dropped_count);
	strbuf_format(text,
		",\"unknown\":%" PRIu64 ",\"in_flight\":%" PRIu64 ",\"duplicates\":%" PRIu64,
		ledger->unknown, in_flight(ledger), ledger->duplicates);
}

void format_ledger_json(struct strbuf *text, const struct waft_ledger *client)
{
	strbuf_format(text, "{\"client\":\"%s\",", client->client);
	json_text(text, "service", client->service);
	strbuf_format(text, ",\"pid\":%" PRIu64 ",\"connected\":%s,", client->pid,
		client->connected ? "true" : "false");
	json_ledger(text, client);
	strbuf_string(text, "}");
}

static void status_json(struct strbuf *text, const struct waft_status *status)
{
	static const char *const words[] = {"serving", "degraded", "not_serving", "no_collector"};

	strbuf_string(text, "{");
	json_ledger(text, &status->total);
	strbuf_format(text, ",\"health\":\"%s\",\"reasons\":[", words[status->health]);
	for (size_t i = 0; i < status->reason_count; i++) {
		strbuf_string(text, i == 0 ? "" : ",");
		strbuf_json(text, status->reasons[i], strlen(status->reasons[i]));
	}
	strbuf_string(text, "],");
	json_text(text, "version", status->version);
	strbuf_format(text, ",\"uptime_ms\":%" PRIu64 ",", status->uptime_ms);
	json_text(text, "store", status->store);
	strbuf_format(text,
		",\"store_bytes\":%" PRIu64 ",\"log_bytes\":%" PRIu64 ",\"spans_waiting\":%" PRIu64
		",\"spans_written\":%" PRIu64 ",\"spans_expired\":%" PRIu64
		",\"quarantined_bytes\":%" PRIu64 ",\"batches_refused\":%" PRIu64
		",\"resident_bytes\":%" PRIu64 ",\"counters\":",
		status->store_bytes, status->log_bytes, status->spans_waiting,
		status->spans_written, status->spans_expired, status->quarantined_bytes,
		status->batches_refused, status->resident_bytes);
	json_counts(text, status->counters, status->counter_count);
	strbuf_string(text, ",\"clients\":[");
	for (size_t i = 0; i < status->client_count; i++) {
		const struct waft_ledger *client = &status->clients[i];

		strbuf_string(text, i == 0 ? "" : ",");
		format_ledger_json(text, client);
	}
	strbuf_string(text, "]}\n");
}

int run_status(const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	struct waft_status *status;
	struct strbuf text = {0};
	int code;

	if (waft_viewer_status(viewer, &status) != 0)
		return program_failed(viewer);
	if (arguments->json)
		status_json(&text, status);
	else
		status_text(&text, status, arguments, output->color);
	(void)output_write(output, &text);
	code = status->health == WAFT_HEALTH_NOT_SERVING ? EXIT_FAILED : EXIT_OK;
	strbuf_done(&text);
	waft_status_free(status);
	return code;
}
