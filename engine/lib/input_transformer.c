/*
 * input_transformer.c: see input_transformer.h. The steps that take the request
 * apart are in input_extract.c; here is what surrounds them.
 */
#include "input_transformer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "input_extract.h"
#include "json_text.h"
#include "number.h"

static const char *const required_keys[] = {"problem", "alternatives", "criteria", "scores"};

enum { REQUIRED_KEYS = sizeof(required_keys) / sizeof(required_keys[0]) };

/* ---- validate_schema ---- */

static int check_keys(const json_t *root, struct fault *fault)
{
	struct text missing = {0};
	for (size_t i = 0; i < REQUIRED_KEYS; i++) {
		if (json_object_get(root, required_keys[i]) != NULL)
			continue;
		text_puts(&missing, missing.length_bytes ? ", " : "");
		text_puts(&missing, required_keys[i]);
	}
	int r = 0;
	if (missing.failed)
		r = fault_memory(fault);
	else if (missing.length_bytes > 0)
		r = fault_set(
			fault, FAULT_FORM, INPUT_ERROR "Missing required keys: %s", missing.data);
	text_done(&missing);
	return r;
}

static int check_switch(const json_t *root, const char *key, struct fault *fault)
{
	const json_t *value = json_object_get(root, key);
	if (value == NULL || json_is_boolean(value))
		return 0;
	return fault_set(fault, FAULT_FORM, INPUT_ERROR "%s must be a bool, got %s", key,
		json_type_name(value));
}

static int check_schema(const json_t *root, struct fault *fault)
{
	if (!json_is_object(root))
		return fault_set(fault, FAULT_FORM, INPUT_ERROR "request must be a dict, got %s",
			json_type_name(root));
	int r = check_keys(root, fault);
	if (r < 0)
		return r;
	const json_t *problem = json_object_get(root, "problem");
	if (!json_is_string(problem))
		return fault_set(fault, FAULT_FORM, INPUT_ERROR "problem must be a string, got %s",
			json_type_name(problem));
	r = check_switch(root, "show_details", fault);
	return r < 0 ? r : check_switch(root, "show_sensitivity", fault);
}

static void show_keys(struct waft_json *json, void *arg)
{
	json_t *root = arg;
	waft_json_array(json);
	for (void *at = json_object_iter(root); at; at = json_object_iter_next(root, at))
		waft_json_string(json, json_object_iter_key(at));
	waft_json_end_array(json);
}

/* Reads the request; the caller owns *ret_root. */
static int validate_schema(
	const char *request, size_t length_bytes, json_t **ret_root, struct fault *fault)
{
	WAFT_SPAN(span, "input_transformer.validate_schema");
	waft_input_json(&span, request, length_bytes);
	json_t *root = NULL;
	int r = json_read(request, length_bytes, &root, fault);
	if (r < 0 && fault->kind == FAULT_FORM)
		r = fault_set(fault, FAULT_FORM, INPUT_ERROR "%s", fault_text(fault));
	if (r == 0)
		r = check_schema(root, fault);
	if (r == 0) {
		waft_output_fn(&span, show_keys, root);
		*ret_root = root;
		root = NULL;
	}
	json_decref(root);
	return fault_mark(&span, r, fault);
}

/* ---- create_matrix ---- */

static int refuse_methodology(const char *text, size_t length_bytes, struct fault *fault)
{
	struct text shown = {0};
	text_append_shown(&shown, text, length_bytes);
	int r = shown.failed ? fault_memory(fault)
			     : fault_set(fault, FAULT_RULE,
				       "Unsupported methodology: %s. Only 'WSM' is supported.",
				       shown.length_bytes ? shown.data : "");
	text_done(&shown);
	return r;
}

static int take_methodology(const json_t *raw, struct matrix *matrix, struct fault *fault)
{
	if (raw != NULL && !json_is_string(raw))
		return fault_set(fault, FAULT_FORM,
			INPUT_ERROR "methodology must be a string, got %s", json_type_name(raw));
	const char *text = raw ? json_string_value(raw) : "WSM";
	size_t length_bytes = raw ? json_string_length(raw) : strlen(text);
	if (length_bytes != 3 || memcmp(text, "WSM", 3) != 0)
		return refuse_methodology(text, length_bytes, fault);
	if (name_copy(&matrix->methodology, text, length_bytes) < 0)
		return fault_memory(fault);
	return 0;
}

static int check_weights(const struct matrix *matrix, struct fault *fault)
{
	char number[NUMBER_TEXT_SIZE];
	double sum = 0.0;
	for (size_t i = 0; i < matrix->criteria_count; i++) {
		const struct criterion *criterion = &matrix->criteria[i];
		number_format(criterion->weight, number);
		if (criterion->weight < 0)
			return fault_set(fault, FAULT_RULE,
				"Criterion '%s' has negative weight: %s. "
				"Weights must be non-negative.",
				criterion->name.text, number);
		if (!isfinite(criterion->weight))
			return fault_set(fault, FAULT_RULE,
				"Weight for '%s' is not a finite number.", criterion->name.text);
	}
	for (size_t i = 0; i < matrix->criteria_count; i++)
		sum += matrix->criteria[i].weight;
	if (fabs(sum - 1.0) <= 1e-6)
		return 0;
	number_format(sum, number);
	return fault_set(fault, FAULT_RULE, "Criteria weights must sum to 1.0, got %s.", number);
}

static int check_scores_finite(const struct matrix *matrix, struct fault *fault)
{
	for (size_t i = 0; i < matrix->rows_count; i++) {
		const struct score_row *row = &matrix->rows[i];
		for (size_t j = 0; j < row->count; j++)
			if (!isfinite(row->scores[j].value))
				return fault_set(fault, FAULT_RULE,
					"Score for '%s' on '%s' is not a finite number.",
					matrix->alternatives[row->alternative].name.text,
					matrix->criteria[row->scores[j].criterion].name.text);
	}
	return 0;
}

static int missing_score(
	const struct matrix *matrix, size_t alternative, size_t criterion, struct fault *fault)
{
	return fault_set(fault, FAULT_RULE, "Missing score for Alternative '%s' on Criterion '%s'",
		matrix->alternatives[alternative].name.text, matrix->criteria[criterion].name.text);
}

/* row: the alternative's, or NULL; scored: one flag a criterion, for use here. */
static int check_row_complete(const struct matrix *matrix, size_t alternative,
	const struct score_row *row, bool *scored, struct fault *fault)
{
	if (row != NULL && row->count == matrix->criteria_count)
		return 0;
	memset(scored, 0, matrix->criteria_count * sizeof(*scored));
	for (size_t i = 0; row != NULL && i < row->count; i++)
		scored[row->scores[i].criterion] = true;
	for (size_t i = 0; i < matrix->criteria_count; i++)
		if (!scored[i])
			return missing_score(matrix, alternative, i, fault);
	return 0;
}

static int check_scores_complete(const struct matrix *matrix, struct fault *fault)
{
	const struct score_row **rows =
		array_new(matrix->alternatives_count, sizeof(struct score_row *));
	bool *scored = array_new(matrix->criteria_count, sizeof(*scored));
	int r = rows && scored ? 0 : fault_memory(fault);
	/* fault_memory is never 0, which the analyzer cannot see. */
	/* NOLINTBEGIN(clang-analyzer-core.NullDereference) */
	for (size_t i = 0; r == 0 && i < matrix->rows_count; i++)
		rows[matrix->rows[i].alternative] = &matrix->rows[i];
	for (size_t i = 0; r == 0 && i < matrix->alternatives_count; i++)
		r = check_row_complete(matrix, i, rows[i], scored, fault);
	/* NOLINTEND(clang-analyzer-core.NullDereference) */
	free(rows);
	free(scored);
	return r;
}

static void show_matrix(struct waft_json *json, void *arg)
{
	const struct matrix *matrix = arg;
	waft_json_object(json);
	if (matrix->methodology.text) {
		waft_json_key(json, "methodology");
		waft_json_string(json, matrix->methodology.text);
	}
	waft_json_key(json, "num_alternatives");
	waft_json_int(json, (int64_t)matrix->alternatives_count);
	waft_json_key(json, "num_criteria");
	waft_json_int(json, (int64_t)matrix->criteria_count);
	waft_json_end_object(json);
}

static int create_matrix(const json_t *methodology, struct matrix *matrix, struct fault *fault)
{
	WAFT_SPAN(span, "input_transformer.create_matrix");
	waft_input_fn(&span, show_matrix, matrix);
	int r = take_methodology(methodology, matrix, fault);
	if (r == 0)
		r = check_weights(matrix, fault);
	if (r == 0)
		r = check_scores_finite(matrix, fault);
	if (r == 0)
		r = check_scores_complete(matrix, fault);
	if (r == 0)
		waft_output_fn(&span, show_matrix, matrix);
	return fault_mark(&span, r, fault);
}

/* ---- transform_input ---- */

static int take_request(const json_t *root, struct matrix *matrix, struct fault *fault)
{
	const json_t *problem = json_object_get(root, "problem");
	const json_t *details = json_object_get(root, "show_details");
	const json_t *sensitivity = json_object_get(root, "show_sensitivity");
	matrix->show_details = details == NULL || json_is_true(details);
	matrix->show_sensitivity = sensitivity == NULL || json_is_true(sensitivity);
	if (name_copy(&matrix->problem, json_string_value(problem), json_string_length(problem)) <
		0)
		return fault_memory(fault);

	struct name_index alternatives = {0};
	struct name_index criteria = {0};
	int r = extract_alternatives(
		json_object_get(root, "alternatives"), matrix, &alternatives, fault);
	if (r == 0)
		r = extract_criteria(json_object_get(root, "criteria"), matrix, &criteria, fault);
	if (r == 0)
		r = extract_scores(
			json_object_get(root, "scores"), matrix, &alternatives, &criteria, fault);
	name_index_done(&alternatives);
	name_index_done(&criteria);
	if (r == 0)
		r = create_matrix(json_object_get(root, "methodology"), matrix, fault);
	return r;
}

int transform_input(
	const char *request, size_t length_bytes, struct matrix *ret_matrix, struct fault *fault)
{
	WAFT_SPAN(span, "input_transformer.transform_input");
	waft_input_json(&span, request, length_bytes);
	JSON_AUTO root = NULL;
	struct matrix matrix = {0};
	int r = validate_schema(request, length_bytes, &root, fault);
	if (r == 0)
		r = take_request(root, &matrix, fault);
	if (r == 0) {
		waft_output_fn(&span, show_matrix, &matrix);
		*ret_matrix = matrix;
	} else {
		matrix_done(&matrix);
	}
	return fault_mark(&span, r, fault);
}
