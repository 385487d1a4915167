/*
 * analysis.c: see analysis.h.
 */
#define WAFT_LAYER "api"

#include "analysis.h"

#include <stdlib.h>
#include <string.h>

#include "input_transformer.h"
#include "sensitivity.h"

static int local_transform(void *context, const char *request, size_t length_bytes,
	struct matrix *ret_matrix, struct fault *fault)
{
	(void)context;
	return transform_input(request, length_bytes, ret_matrix, fault);
}

static int local_evaluate(void *context, const struct matrix *matrix, const double *weights,
	bool with_details, struct evaluation *ret_evaluation, struct fault *fault)
{
	(void)context;
	return decision_evaluate(matrix, weights, with_details, ret_evaluation, fault);
}

const struct analysis_core analysis_core_local = {
	.transform = local_transform,
	.evaluate = local_evaluate,
};

void analysis_done(struct analysis *analysis)
{
	if (analysis == NULL)
		return;
	free(analysis->response);
	free(analysis->problem);
	free(analysis->recommendation);
	*analysis = (struct analysis){0};
}

/* ---- Sensitivity ---- */

struct weights_view {
	const struct matrix *matrix;
	const double *weights; /* NULL: the matrix's own */
	const struct sensitivity *sensitivity;
};

static void show_weights(struct waft_json *json, void *arg)
{
	const struct weights_view *view = arg;
	waft_json_object(json);
	for (size_t i = 0; i < view->matrix->criteria_count; i++) {
		const struct criterion *criterion = &view->matrix->criteria[i];
		waft_json_key(json, criterion->name.text);
		waft_json_double(json, view->weights ? view->weights[i] : criterion->weight);
	}
	waft_json_end_object(json);
}

static void show_verdict(struct waft_json *json, void *arg)
{
	const struct weights_view *view = arg;
	const struct sensitivity *sensitivity = view->sensitivity;
	waft_json_object(json);
	waft_json_key(json, "tested");
	waft_json_bool(json, sensitivity->tested);
	waft_json_key(json, "is_robust");
	waft_json_bool(json, !sensitivity->changed);
	if (sensitivity->tested) {
		waft_json_key(json, "reduced_weights");
		show_weights(json, arg);
	}
	if (sensitivity->changed) {
		waft_json_key(json, "new_winner");
		waft_json_string(
			json, view->matrix->alternatives[sensitivity->new_winner].name.text);
	}
	waft_json_end_object(json);
}

static int test_sensitivity(const struct analysis_core *core, const struct matrix *matrix,
	const struct evaluation *before, double *weights, struct sensitivity *ret_sensitivity,
	struct fault *fault)
{
	if (!sensitivity_plan(matrix, ret_sensitivity, weights))
		return 0;
	struct evaluation after = {0};
	int r = core->evaluate(core->context, matrix, weights, false, &after, fault);
	if (r == 0)
		sensitivity_judge(ret_sensitivity, before, &after);
	evaluation_done(&after);
	return r;
}

static int analyze_sensitivity(const struct analysis_core *core, const struct matrix *matrix,
	const struct evaluation *before, struct sensitivity *ret_sensitivity, struct fault *fault)
{
	WAFT_SPAN(span, "api.sensitivity_analysis");
	struct weights_view view = {.matrix = matrix, .sensitivity = ret_sensitivity};
	waft_input_fn(&span, show_weights, &view);
	double *weights = array_new(matrix->criteria_count, sizeof(*weights));
	int r = weights ? test_sensitivity(core, matrix, before, weights, ret_sensitivity, fault)
			: fault_memory(fault);
	view.weights = weights;
	if (r == 0)
		waft_output_fn(&span, show_verdict, &view);
	free(weights);
	return fault_mark(&span, r, fault);
}

/* ---- Response ---- */

static void show_counts(struct waft_json *json, void *arg)
{
	const struct matrix *matrix = arg;
	waft_json_object(json);
	waft_json_key(json, "num_rankings");
	waft_json_int(json, (int64_t)matrix->alternatives_count);
	waft_json_key(json, "show_details");
	waft_json_bool(json, matrix->show_details);
	waft_json_end_object(json);
}

static int build_response(const struct response_head *head, struct matrix *matrix,
	const struct evaluation *evaluation, const struct sensitivity *sensitivity,
	char **ret_response, struct fault *fault)
{
	WAFT_SPAN(span, "api.build_response");
	waft_input_fn(&span, show_counts, matrix);
	struct json_out out = {0};
	response_write(&out, head, matrix, evaluation, sensitivity);
	char *response = text_take(&out.text);
	if (response == NULL)
		return fault_mark(&span, fault_memory(fault), fault);
	waft_output_json(&span, response, SIZE_MAX);
	*ret_response = response;
	return 0;
}

/* ---- The whole ---- */

static int fill_analysis(const struct matrix *matrix, const struct evaluation *evaluation,
	struct analysis *analysis, struct fault *fault)
{
	analysis->problem = strdup(matrix->problem.text);
	if (matrix->alternatives_count > 0)
		analysis->recommendation =
			strdup(matrix->alternatives[evaluation->order[0]].name.text);
	if (!analysis->problem || (matrix->alternatives_count > 0 && !analysis->recommendation))
		return fault_memory(fault);
	return 0;
}

static int analyze_matrix(const struct analysis_core *core, struct matrix *matrix,
	const struct response_head *head, struct analysis *analysis, struct fault *fault)
{
	struct evaluation evaluation = {0};
	struct sensitivity sensitivity = {0};
	int r = core->evaluate(
		core->context, matrix, NULL, matrix->show_details, &evaluation, fault);
	if (r == 0 && matrix->show_sensitivity)
		r = analyze_sensitivity(core, matrix, &evaluation, &sensitivity, fault);
	if (r == 0)
		r = build_response(
			head, matrix, &evaluation, &sensitivity, &analysis->response, fault);
	if (r == 0)
		r = fill_analysis(matrix, &evaluation, analysis, fault);
	evaluation_done(&evaluation);
	return r;
}

int analysis_run(const struct analysis_core *core, const char *request, size_t length_bytes,
	const struct response_head *head, struct analysis *ret_analysis, struct fault *fault)
{
	struct matrix matrix = {0};
	struct analysis analysis = {0};
	int r = core->transform(core->context, request, length_bytes, &matrix, fault);
	if (r == 0)
		r = analyze_matrix(core, &matrix, head, &analysis, fault);
	matrix_done(&matrix);
	if (r < 0)
		analysis_done(&analysis);
	else
		*ret_analysis = analysis;
	return r;
}
