/*
 * matrix.c: see matrix.h. The message between processes:
 *     {"problem", "methodology", "show_details", "show_sensitivity",
 *      "alternatives": [[name, description], …],
 *      "criteria": [[name, weight, description], …],
 *      "scores": [[alternative, [[criterion, value], …]], …]}
 * with indexes for alternatives and criteria.
 */
#include "matrix.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void matrix_done(struct matrix *matrix)
{
	if (matrix == NULL)
		return;
	for (size_t i = 0; i < matrix->alternatives_count; i++) {
		free(matrix->alternatives[i].name.text);
		free(matrix->alternatives[i].description.text);
	}
	for (size_t i = 0; i < matrix->criteria_count; i++) {
		free(matrix->criteria[i].name.text);
		free(matrix->criteria[i].description.text);
	}
	for (size_t i = 0; i < matrix->rows_count; i++)
		free(matrix->rows[i].scores);
	free(matrix->alternatives);
	free(matrix->criteria);
	free(matrix->rows);
	free(matrix->problem.text);
	free(matrix->methodology.text);
	*matrix = (struct matrix){0};
}

int name_copy(struct name *name, const char *text, size_t length_bytes)
{
	char *copy = malloc(length_bytes + 1);
	if (copy == NULL)
		return -ENOMEM;
	if (length_bytes > 0)
		memcpy(copy, text, length_bytes);
	copy[length_bytes] = '\0';
	*name = (struct name){.text = copy, .length_bytes = length_bytes};
	return 0;
}

int name_compare(const struct name *a, const struct name *b)
{
	/* UTF-8 bytes stand in the order of their code points. */
	size_t shorter = a->length_bytes < b->length_bytes ? a->length_bytes : b->length_bytes;
	int order = memcmp(a->text, b->text, shorter);
	if (order != 0)
		return order;
	return (a->length_bytes > b->length_bytes) - (a->length_bytes < b->length_bytes);
}

void *array_new(size_t count, size_t element_bytes)
{
	return calloc(count ? count : 1, element_bytes);
}

/* ---- Writing ---- */

static void write_name(struct json_out *out, const struct name *name)
{
	if (name->text)
		json_out_string(out, name->text, name->length_bytes);
	else
		json_out_null(out);
}

static void write_alternatives(struct json_out *out, const struct matrix *matrix)
{
	json_out_array(out);
	for (size_t i = 0; i < matrix->alternatives_count; i++) {
		json_out_array(out);
		write_name(out, &matrix->alternatives[i].name);
		write_name(out, &matrix->alternatives[i].description);
		json_out_end_array(out);
	}
	json_out_end_array(out);
}

static void write_criteria(struct json_out *out, const struct matrix *matrix, const double *weights)
{
	json_out_array(out);
	for (size_t i = 0; i < matrix->criteria_count; i++) {
		json_out_array(out);
		write_name(out, &matrix->criteria[i].name);
		json_out_number(out, weights ? weights[i] : matrix->criteria[i].weight);
		write_name(out, &matrix->criteria[i].description);
		json_out_end_array(out);
	}
	json_out_end_array(out);
}

static void write_row(struct json_out *out, const struct score_row *row)
{
	json_out_array(out);
	json_out_integer(out, (long long)row->alternative);
	json_out_array(out);
	for (size_t i = 0; i < row->count; i++) {
		json_out_array(out);
		json_out_integer(out, (long long)row->scores[i].criterion);
		json_out_number(out, row->scores[i].value);
		json_out_end_array(out);
	}
	json_out_end_array(out);
	json_out_end_array(out);
}

void matrix_write(struct json_out *out, const struct matrix *matrix, const double *weights)
{
	json_out_object(out);
	json_out_key(out, "problem");
	write_name(out, &matrix->problem);
	json_out_key(out, "methodology");
	write_name(out, &matrix->methodology);
	json_out_key(out, "show_details");
	json_out_bool(out, matrix->show_details);
	json_out_key(out, "show_sensitivity");
	json_out_bool(out, matrix->show_sensitivity);
	json_out_key(out, "alternatives");
	write_alternatives(out, matrix);
	json_out_key(out, "criteria");
	write_criteria(out, matrix, weights);
	json_out_key(out, "scores");
	json_out_array(out);
	for (size_t i = 0; i < matrix->rows_count; i++)
		write_row(out, &matrix->rows[i]);
	json_out_end_array(out);
	json_out_end_object(out);
}

/* ---- Reading: 0, -EINVAL for what matrix_write does not write, -ENOMEM ---- */

size_t json_index(const json_t *list, size_t index, size_t limit)
{
	double number = -1;
	if (!json_number(json_array_get(list, index), &number) || !(number >= 0) ||
		number >= (double)limit)
		return SIZE_MAX;
	return (size_t)number;
}

static int read_name(const json_t *value, struct name *ret_name)
{
	if (!json_is_string(value))
		return -EINVAL;
	return name_copy(ret_name, json_string_value(value), json_string_length(value));
}

static int read_description(const json_t *value, struct name *ret_name)
{
	return json_is_null(value) ? 0 : read_name(value, ret_name);
}

static int read_alternatives(const json_t *list, struct matrix *matrix)
{
	size_t count = json_array_size(list);
	matrix->alternatives = array_new(count, sizeof(*matrix->alternatives));
	if (matrix->alternatives == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(list, i);
		struct alternative *alternative = &matrix->alternatives[i];
		matrix->alternatives_count = i + 1;
		int r = read_name(json_array_get(entry, 0), &alternative->name);
		if (r == 0)
			r = read_description(json_array_get(entry, 1), &alternative->description);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_criteria(const json_t *list, struct matrix *matrix)
{
	size_t count = json_array_size(list);
	matrix->criteria = array_new(count, sizeof(*matrix->criteria));
	if (matrix->criteria == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(list, i);
		struct criterion *criterion = &matrix->criteria[i];
		matrix->criteria_count = i + 1;
		int r = read_name(json_array_get(entry, 0), &criterion->name);
		if (r == 0 && !json_number(json_array_get(entry, 1), &criterion->weight))
			r = -EINVAL;
		if (r == 0)
			r = read_description(json_array_get(entry, 2), &criterion->description);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_row(const json_t *entry, const struct matrix *matrix, struct score_row *row)
{
	const json_t *list = json_array_get(entry, 1);
	size_t count = json_array_size(list);
	row->scores = array_new(count, sizeof(*row->scores));
	if (row->scores == NULL)
		return -ENOMEM;
	row->alternative = json_index(entry, 0, matrix->alternatives_count);
	if (row->alternative == SIZE_MAX)
		return -EINVAL;
	for (row->count = 0; row->count < count; row->count++) {
		const json_t *pair = json_array_get(list, row->count);
		struct score *score = &row->scores[row->count];
		score->criterion = json_index(pair, 0, matrix->criteria_count);
		if (score->criterion == SIZE_MAX ||
			!json_number(json_array_get(pair, 1), &score->value))
			return -EINVAL;
	}
	return 0;
}

static int read_rows(const json_t *list, struct matrix *matrix)
{
	size_t count = json_array_size(list);
	matrix->rows = array_new(count, sizeof(*matrix->rows));
	if (matrix->rows == NULL)
		return -ENOMEM;
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		matrix->rows_count = i + 1;
		r = read_row(json_array_get(list, i), matrix, &matrix->rows[i]);
	}
	return r;
}

int matrix_read(const json_t *message, struct matrix *ret_matrix, struct fault *fault)
{
	struct matrix matrix = {
		.show_details = json_is_true(json_object_get(message, "show_details")),
		.show_sensitivity = json_is_true(json_object_get(message, "show_sensitivity")),
	};
	int r = read_name(json_object_get(message, "problem"), &matrix.problem);
	if (r == 0)
		r = read_name(json_object_get(message, "methodology"), &matrix.methodology);
	if (r == 0)
		r = read_alternatives(json_object_get(message, "alternatives"), &matrix);
	if (r == 0)
		r = read_criteria(json_object_get(message, "criteria"), &matrix);
	if (r == 0)
		r = read_rows(json_object_get(message, "scores"), &matrix);
	if (r == 0) {
		*ret_matrix = matrix;
		return 0;
	}
	matrix_done(&matrix);
	if (r == -ENOMEM)
		return fault_memory(fault);
	return fault_set(fault, FAULT_INTERNAL, "a message between processes is not a matrix");
}
