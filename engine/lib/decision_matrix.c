/*
 * decision_matrix.c: see decision_matrix.h. Built without contraction of
 * a * b + c, so that every machine computes the same sums.
 */
#include "decision_matrix.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What the snapshots below show. */
struct view {
	const struct matrix *matrix;
	const double *totals;
	const size_t *order;
	const struct detail *details;
};

static double weight_of(const struct matrix *matrix, const double *weights, size_t criterion)
{
	return weights ? weights[criterion] : matrix->criteria[criterion].weight;
}

static void show_name(struct waft_json *json, const struct name *name)
{
	waft_json_string_n(json, name->text, name->length_bytes);
}

static void show_sizes(struct waft_json *json, void *arg)
{
	const struct matrix *matrix = ((struct view *)arg)->matrix;
	waft_json_object(json);
	waft_json_key(json, "num_alternatives");
	waft_json_int(json, (int64_t)matrix->alternatives_count);
	waft_json_key(json, "num_criteria");
	waft_json_int(json, (int64_t)matrix->criteria_count);
	waft_json_key(json, "num_scores");
	waft_json_int(json, (int64_t)(matrix->rows_count * matrix->criteria_count));
	waft_json_end_object(json);
}

static void show_totals(struct waft_json *json, void *arg)
{
	const struct view *view = arg;
	waft_json_object(json);
	for (size_t i = 0; i < view->matrix->alternatives_count; i++) {
		waft_json_key(json, view->matrix->alternatives[i].name.text);
		waft_json_double(json, view->totals[i]);
	}
	waft_json_end_object(json);
}

/* ---- create_calculator ---- */

static void show_methodology(struct waft_json *json, void *arg)
{
	show_name(json, &((struct view *)arg)->matrix->methodology);
}

int create_calculator(
	const struct matrix *matrix, struct calculator *ret_calculator, struct fault *fault)
{
	WAFT_SPAN(span, "decision_matrix.create_calculator");
	const char *methodology = matrix->methodology.text;
	struct view view = {.matrix = matrix};
	waft_input_fn(&span, show_methodology, &view);
	if (strcmp(methodology, "WSM") != 0) {
		int r = fault_set(fault, FAULT_RULE,
			"Unsupported methodology: %s. Only 'WSM' is supported.", methodology);
		return fault_mark(&span, r, fault);
	}
	*ret_calculator = (struct calculator){.calculate = calculate_wsm};
	waft_output_string(&span, "calculate_wsm");
	return 0;
}

/* ---- calculate_wsm ---- */

static int sum_rows(
	const struct matrix *matrix, const double *weights, double *ret_totals, struct fault *fault)
{
	memset(ret_totals, 0, matrix->alternatives_count * sizeof(*ret_totals));
	for (size_t i = 0; i < matrix->rows_count; i++) {
		const struct score_row *row = &matrix->rows[i];
		double total = 0.0;
		for (size_t j = 0; j < row->count; j++)
			total += weight_of(matrix, weights, row->scores[j].criterion) *
				 row->scores[j].value;
		if (!isfinite(total))
			return fault_set(fault, FAULT_RULE,
				"Total score for '%s' is not a finite number.",
				matrix->alternatives[row->alternative].name.text);
		ret_totals[row->alternative] = total;
	}
	return 0;
}

int calculate_wsm(
	const struct matrix *matrix, const double *weights, double *ret_totals, struct fault *fault)
{
	WAFT_SPAN(span, "decision_matrix.calculate_wsm");
	struct view view = {.matrix = matrix, .totals = ret_totals};
	waft_input_fn(&span, show_sizes, &view);
	int r = sum_rows(matrix, weights, ret_totals, fault);
	if (r == 0)
		waft_output_fn(&span, show_totals, &view);
	return fault_mark(&span, r, fault);
}

/* ---- rank_alternatives ---- */

static int compare_ranks(const void *a, const void *b, void *arg)
{
	const struct view *view = arg;
	size_t left = *(const size_t *)a;
	size_t right = *(const size_t *)b;
	if (view->totals[left] > view->totals[right])
		return -1;
	if (view->totals[left] < view->totals[right])
		return 1;
	return name_compare(
		&view->matrix->alternatives[left].name, &view->matrix->alternatives[right].name);
}

static void show_ranking(struct waft_json *json, void *arg)
{
	const struct view *view = arg;
	waft_json_array(json);
	for (size_t i = 0; i < view->matrix->alternatives_count; i++) {
		size_t at = view->order[i];
		waft_json_array(json);
		show_name(json, &view->matrix->alternatives[at].name);
		waft_json_double(json, view->totals[at]);
		waft_json_int(json, (int64_t)i + 1);
		waft_json_end_array(json);
	}
	waft_json_end_array(json);
}

void rank_alternatives(const struct matrix *matrix, const double *totals, size_t *ret_order)
{
	WAFT_SPAN(span, "decision_matrix.rank_alternatives");
	struct view view = {.matrix = matrix, .totals = totals, .order = ret_order};
	waft_input_fn(&span, show_totals, &view);
	for (size_t i = 0; i < matrix->alternatives_count; i++)
		ret_order[i] = i;
	qsort_r(ret_order, matrix->alternatives_count, sizeof(*ret_order), compare_ranks, &view);
	waft_output_fn(&span, show_ranking, &view);
}

/* ---- get_detailed_scores ---- */

static void show_details(struct waft_json *json, void *arg)
{
	const struct view *view = arg;
	const struct matrix *matrix = view->matrix;
	waft_json_object(json);
	for (size_t i = 0; i < matrix->alternatives_count; i++) {
		waft_json_key(json, matrix->alternatives[i].name.text);
		waft_json_object(json);
		for (size_t j = 0; j < matrix->criteria_count; j++) {
			waft_json_key(json, matrix->criteria[j].name.text);
			waft_json_double(
				json, view->details[i * matrix->criteria_count + j].weighted);
		}
		waft_json_end_object(json);
	}
	waft_json_end_object(json);
}

void get_detailed_scores(
	const struct matrix *matrix, const double *weights, struct detail *ret_details)
{
	WAFT_SPAN(span, "decision_matrix.get_detailed_scores");
	struct view view = {.matrix = matrix, .details = ret_details};
	waft_input_fn(&span, show_sizes, &view);
	for (size_t i = 0; i < matrix->rows_count; i++) {
		const struct score_row *row = &matrix->rows[i];
		struct detail *details = ret_details + row->alternative * matrix->criteria_count;
		for (size_t j = 0; j < row->count; j++) {
			const struct score *score = &row->scores[j];
			details[score->criterion] = (struct detail){
				.raw = score->value,
				.weighted =
					weight_of(matrix, weights, score->criterion) * score->value,
			};
		}
	}
	waft_output_fn(&span, show_details, &view);
}

/* ---- All of it ---- */

void evaluation_done(struct evaluation *evaluation)
{
	if (evaluation == NULL)
		return;
	free(evaluation->totals);
	free(evaluation->order);
	free(evaluation->details);
	*evaluation = (struct evaluation){0};
}

static int evaluation_init(
	struct evaluation *evaluation, const struct matrix *matrix, bool with_details)
{
	size_t alternatives = matrix->alternatives_count;
	evaluation->totals = array_new(alternatives, sizeof(*evaluation->totals));
	evaluation->order = array_new(alternatives, sizeof(*evaluation->order));
	bool complete = evaluation->totals && evaluation->order;
	if (with_details) {
		/* Not over what the request held: each detail has its score there. */
		evaluation->details = array_new(
			alternatives * matrix->criteria_count, sizeof(*evaluation->details));
		complete = complete && evaluation->details;
	}
	if (complete)
		return 0;
	evaluation_done(evaluation);
	return -ENOMEM;
}

int decision_evaluate(const struct matrix *matrix, const double *weights, bool with_details,
	struct evaluation *ret_evaluation, struct fault *fault)
{
	struct calculator calculator;
	int r = create_calculator(matrix, &calculator, fault);
	if (r < 0)
		return r;
	struct evaluation evaluation = {0};
	if (evaluation_init(&evaluation, matrix, with_details) < 0)
		return fault_memory(fault);
	r = calculator.calculate(matrix, weights, evaluation.totals, fault);
	if (r < 0) {
		evaluation_done(&evaluation);
		return r;
	}
	rank_alternatives(matrix, evaluation.totals, evaluation.order);
	if (with_details)
		get_detailed_scores(matrix, weights, evaluation.details);
	*ret_evaluation = evaluation;
	return 0;
}

/* ---- Messages: {"totals": […], "order": […], "details": [[raw, weighted], …]} ---- */

void evaluation_write(
	struct json_out *out, const struct matrix *matrix, const struct evaluation *evaluation)
{
	size_t cells = matrix->alternatives_count * matrix->criteria_count;
	json_out_object(out);
	json_out_key(out, "totals");
	json_out_array(out);
	for (size_t i = 0; i < matrix->alternatives_count; i++)
		json_out_number(out, evaluation->totals[i]);
	json_out_end_array(out);
	json_out_key(out, "order");
	json_out_array(out);
	for (size_t i = 0; i < matrix->alternatives_count; i++)
		json_out_integer(out, (long long)evaluation->order[i]);
	json_out_end_array(out);
	if (evaluation->details) {
		json_out_key(out, "details");
		json_out_array(out);
		for (size_t i = 0; i < cells; i++) {
			json_out_array(out);
			json_out_number(out, evaluation->details[i].raw);
			json_out_number(out, evaluation->details[i].weighted);
			json_out_end_array(out);
		}
		json_out_end_array(out);
	}
	json_out_end_object(out);
}

static bool read_places(
	const json_t *message, const struct matrix *matrix, struct evaluation *evaluation)
{
	const json_t *totals = json_object_get(message, "totals");
	const json_t *order = json_object_get(message, "order");
	for (size_t i = 0; i < matrix->alternatives_count; i++) {
		evaluation->order[i] = json_index(order, i, matrix->alternatives_count);
		if (evaluation->order[i] == SIZE_MAX ||
			!json_number(json_array_get(totals, i), &evaluation->totals[i]))
			return false;
	}
	return true;
}

static bool read_details(
	const json_t *list, const struct matrix *matrix, struct evaluation *evaluation)
{
	for (size_t i = 0; i < matrix->alternatives_count * matrix->criteria_count; i++) {
		const json_t *pair = json_array_get(list, i);
		if (!json_number(json_array_get(pair, 0), &evaluation->details[i].raw) ||
			!json_number(json_array_get(pair, 1), &evaluation->details[i].weighted))
			return false;
	}
	return true;
}

int evaluation_read(const json_t *message, const struct matrix *matrix,
	struct evaluation *ret_evaluation, struct fault *fault)
{
	const json_t *details = json_object_get(message, "details");
	struct evaluation evaluation = {0};
	if (evaluation_init(&evaluation, matrix, details != NULL) < 0)
		return fault_memory(fault);
	if (read_places(message, matrix, &evaluation) &&
		(details == NULL || read_details(details, matrix, &evaluation))) {
		*ret_evaluation = evaluation;
		return 0;
	}
	evaluation_done(&evaluation);
	return fault_set(fault, FAULT_INTERNAL, "a message between processes is not an evaluation");
}
