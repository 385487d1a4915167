/*
 * show.c: see show.h.
 */
#include "show.h"

#include <stdio.h>
#include <string.h>

#include "json_text.h"
#include "number.h"
#include "table.h"

static void put_cell(struct table *table, const char *text, bool right)
{
	table_add(table, text, strlen(text), right);
}

static void put_string(struct table *table, const json_t *value)
{
	table_add(table, json_is_string(value) ? json_string_value(value) : "-",
		json_is_string(value) ? json_string_length(value) : 1, false);
}

/* Two decimals, as people compare them; more where two would show nothing. */
static void put_number(struct table *table, const json_t *value)
{
	double number = 0;
	char text[NUMBER_TEXT_SIZE + 320] = "-";
	if (json_number(value, &number)) {
		bool plain = number == 0 || (number >= 0.01 && number < 1e12) ||
			     (number <= -0.01 && number > -1e12);
		if (plain)
			snprintf(text, sizeof(text), "%.2f", number);
		else
			number_format(number, text);
	}
	put_cell(table, text, true);
}

/* A weight to six digits: what was given, without the noise of its product. */
static void put_weight(struct text *out, const json_t *value)
{
	double number = 0;
	char text[NUMBER_TEXT_SIZE] = "-";
	if (json_number(value, &number))
		snprintf(text, sizeof(text), "%.6g", number);
	text_puts(out, text);
}

static void put_line(struct text *out, const char *label, const json_t *value)
{
	if (!json_is_string(value))
		return;
	text_puts(out, label);
	text_put_visible(out, json_string_value(value), json_string_length(value));
	text_putc(out, '\n');
}

/* ---- A decision ---- */

static void show_ranking(struct text *out, const json_t *response)
{
	const json_t *rankings = json_object_get(response, "rankings");
	text_puts(out, "\nRanking\n");
	if (json_array_size(rankings) == 0) {
		text_puts(out, "  (no alternatives)\n");
		return;
	}
	struct table table;
	table_init(&table, 3);
	for (size_t i = 0; i < json_array_size(rankings); i++) {
		const json_t *ranked = json_array_get(rankings, i);
		char place[24];
		snprintf(place, sizeof(place), "%zu.", i + 1);
		put_cell(&table, place, true);
		put_string(&table, json_object_get(ranked, "name"));
		put_number(&table, json_object_get(ranked, "score"));
	}
	table_write(out, &table, 2);
	table_done(&table);
}

/* One row a criterion, one column an alternative, the totals below. */
static void show_matrix(struct text *out, const json_t *response)
{
	const json_t *analysis = json_object_get(response, "detailed_analysis");
	size_t alternatives = json_array_size(analysis);
	if (alternatives == 0 || alternatives > TABLE_COLUMNS_MAX)
		return;
	const json_t *first = json_object_get(json_array_get(analysis, 0), "detailed_scores");
	struct table table;
	table_init(&table, alternatives + 2);
	put_cell(&table, "Criterion", false);
	put_cell(&table, "Weight", true);
	for (size_t i = 0; i < alternatives; i++) {
		const json_t *name = json_object_get(json_array_get(analysis, i), "name");
		table_add(&table, json_is_string(name) ? json_string_value(name) : "-",
			json_is_string(name) ? json_string_length(name) : 1, true);
	}
	for (size_t row = 0; row < json_array_size(first); row++) {
		const json_t *criterion = json_array_get(first, row);
		struct text weight = {0};
		put_string(&table, json_object_get(criterion, "criterion_name"));
		put_weight(&weight, json_object_get(criterion, "weight"));
		put_cell(&table, weight.data ? weight.data : "-", true);
		text_done(&weight);
		for (size_t i = 0; i < alternatives; i++) {
			const json_t *scores =
				json_object_get(json_array_get(analysis, i), "detailed_scores");
			put_number(
				&table, json_object_get(json_array_get(scores, row), "raw_score"));
		}
	}
	put_cell(&table, "Total", false);
	put_cell(&table, "", true);
	for (size_t i = 0; i < alternatives; i++)
		put_number(&table, json_object_get(json_array_get(analysis, i), "total_score"));
	text_puts(out, "\nScores\n");
	table_write(out, &table, 2);
	table_done(&table);
}

static void show_sensitivity(struct text *out, const json_t *response)
{
	const json_t *warnings = json_object_get(response, "sensitivity_warnings");
	text_puts(out, "\nSensitivity\n");
	if (json_array_size(warnings) == 0)
		text_puts(out, "  No warnings.\n");
	for (size_t i = 0; i < json_array_size(warnings); i++) {
		const json_t *warning = json_array_get(warnings, i);
		put_line(out, "  ! ", json_object_get(warning, "warning"));
		text_puts(out, "    (weight ");
		put_weight(out, json_object_get(warning, "original_weight"));
		text_puts(out, " -> ");
		put_weight(out, json_object_get(warning, "reduced_weight"));
		text_puts(out, ")\n");
	}
}

void show_decision(struct text *out, const json_t *response)
{
	put_line(out, "Problem: ", json_object_get(response, "problem"));
	put_line(out, "Recommendation: ", json_object_get(response, "recommendation"));
	show_ranking(out, response);
	show_matrix(out, response);
	show_sensitivity(out, response);
}

/* ---- History ---- */

void show_history(struct text *out, const json_t *response)
{
	const json_t *decisions = json_object_get(response, "decisions");
	const json_t *next = json_object_get(response, "next");
	if (json_array_size(decisions) == 0) {
		text_puts(out, "No decisions yet. Make one: waft-decide FILE\n");
		return;
	}
	struct table table;
	table_init(&table, 4);
	for (size_t i = 0; i < json_array_size(decisions); i++) {
		const json_t *decision = json_array_get(decisions, i);
		put_string(&table, json_object_get(decision, "id"));
		put_string(&table, json_object_get(decision, "created_at"));
		put_string(&table, json_object_get(decision, "recommendation"));
		put_string(&table, json_object_get(decision, "problem"));
	}
	table_write(out, &table, 0);
	table_done(&table);
	if (json_is_string(next)) {
		text_puts(out, "More: waft-decide history --before ");
		text_put_visible(out, json_string_value(next), json_string_length(next));
		text_putc(out, '\n');
	}
}
