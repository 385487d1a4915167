/*
 * input_extract.c: see input_extract.h.
 */
#include "input_extract.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "number.h"
#include "unicode.h"

enum { QUOTED_LIMIT_BYTES = 100 };

/* ---- Names and where they stand ---- */

void name_index_done(struct name_index *index)
{
	json_decref(index->names);
	index->names = NULL;
}

static size_t index_find(const struct name_index *index, const struct name *name)
{
	const json_t *at = json_object_getn(index->names, name->text, name->length_bytes);
	return at ? (size_t)json_integer_value(at) : SIZE_MAX;
}

static int index_add(struct name_index *index, const struct name *name, size_t at)
{
	if (index->names == NULL)
		index->names = json_object();
	if (json_object_setn_new_nocheck(
		    index->names, name->text, name->length_bytes, json_integer((json_int_t)at)) < 0)
		return -ENOMEM;
	return 0;
}

/* A trimmed copy of a name; what says whose it is. */
static int take_name(const char *text, size_t length_bytes, const char *what, struct name *ret_name,
	struct fault *fault)
{
	struct span_of_text trimmed = unicode_trim(text, length_bytes, unicode_is_space);
	if (trimmed.length_bytes == 0)
		return fault_set(fault, FAULT_RULE, INPUT_ERROR "%s name cannot be empty", what);
	/* No key can be so (json_read), and an alternative's name has to be one of scores. */
	if (memchr(trimmed.text, 0, trimmed.length_bytes) != NULL)
		return fault_set(
			fault, FAULT_FORM, INPUT_ERROR "%s name cannot contain \\u0000", what);
	if (name_copy(ret_name, trimmed.text, trimmed.length_bytes) < 0)
		return fault_memory(fault);
	return 0;
}

/* The optional description of a dict; what and whose say where it stands. */
static int take_description(const json_t *dict, const char *what, const struct name *whose,
	struct name *ret_description, struct fault *fault)
{
	const json_t *value = json_object_get(dict, "description");
	if (value == NULL || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return fault_set(fault, FAULT_FORM,
			INPUT_ERROR "Description of %s '%s' must be a string, got %s", what,
			whose->text, json_type_name(value));
	if (name_copy(ret_description, json_string_value(value), json_string_length(value)) < 0)
		return fault_memory(fault);
	return 0;
}

/* ---- Numbers ---- */

/* Whose number it is: a weight's alternative is NULL. */
struct number_owner {
	const struct name *alternative;
	const struct name *criterion;
};

static int bad_number(const struct number_owner *owner, enum fault_kind kind, const char *problem,
	const char *found, size_t found_bytes, struct fault *fault)
{
	const char *quote = kind == FAULT_RULE ? "'" : "";
	struct text shown = {0};
	text_append_shown(&shown, found, unicode_cut(found, found_bytes, QUOTED_LIMIT_BYTES));
	int r;
	if (shown.failed)
		r = fault_memory(fault);
	else if (owner->alternative)
		r = fault_set(fault, kind,
			INPUT_ERROR "Invalid %s for score for alternative '%s' on criterion '%s': "
				    "%s%s%s (expected int, float, or numeric string)",
			problem, owner->alternative->text, owner->criterion->text, quote,
			shown.length_bytes ? shown.data : "", quote);
	else
		r = fault_set(fault, kind,
			INPUT_ERROR "Invalid %s for weight for criterion '%s': "
				    "%s%s%s (expected int, float, or numeric string)",
			problem, owner->criterion->text, quote,
			shown.length_bytes ? shown.data : "", quote);
	text_done(&shown);
	return r;
}

static int take_number(const json_t *value, const struct number_owner *owner, double *ret_number,
	struct fault *fault)
{
	if (json_number(value, ret_number))
		return 0;
	if (json_is_boolean(value)) {
		*ret_number = json_is_true(value) ? 1.0 : 0.0;
		return 0;
	}
	if (!json_is_string(value)) {
		const char *type = json_type_name(value);
		return bad_number(owner, FAULT_FORM, "type", type, strlen(type), fault);
	}
	const char *text = json_string_value(value);
	size_t length_bytes = json_string_length(value);
	int r = number_parse(text, length_bytes, ret_number);
	if (r == -EINVAL)
		return bad_number(owner, FAULT_RULE, "value", text, length_bytes, fault);
	return r < 0 ? fault_memory(fault) : 0;
}

/* ---- Alternatives ---- */

static int take_alternative(
	const json_t *entry, struct alternative *ret_alternative, struct fault *fault)
{
	const json_t *name = entry;
	if (json_is_object(entry)) {
		name = json_object_get(entry, "name");
		if (name == NULL)
			return fault_set(fault, FAULT_RULE,
				INPUT_ERROR "Alternative dict must have 'name' key");
		if (!json_is_string(name))
			return fault_set(fault, FAULT_FORM,
				INPUT_ERROR "Alternative name must be a string, got %s",
				json_type_name(name));
	} else if (!json_is_string(entry)) {
		return fault_set(fault, FAULT_FORM,
			INPUT_ERROR "Alternative must be a string or a dict, got %s",
			json_type_name(entry));
	}
	int r = take_name(json_string_value(name), json_string_length(name), "Alternative",
		&ret_alternative->name, fault);
	if (r == 0 && json_is_object(entry))
		r = take_description(entry, "alternative", &ret_alternative->name,
			&ret_alternative->description, fault);
	return r;
}

static int take_alternatives(
	const json_t *raw, struct matrix *matrix, struct name_index *ret_index, struct fault *fault)
{
	if (!json_is_array(raw))
		return fault_set(fault, FAULT_FORM,
			INPUT_ERROR "alternatives must be a list, got %s", json_type_name(raw));
	matrix->alternatives = array_new(json_array_size(raw), sizeof(*matrix->alternatives));
	if (matrix->alternatives == NULL)
		return fault_memory(fault);
	for (size_t i = 0; i < json_array_size(raw); i++) {
		struct alternative taken = {0};
		int r = take_alternative(json_array_get(raw, i), &taken, fault);
		bool known = r == 0 && index_find(ret_index, &taken.name) != SIZE_MAX;
		if (r < 0 || known) {
			free(taken.name.text);
			free(taken.description.text);
			if (r < 0)
				return r;
			continue;
		}
		matrix->alternatives[matrix->alternatives_count++] = taken;
		if (index_add(ret_index, &taken.name, matrix->alternatives_count - 1) < 0)
			return fault_memory(fault);
	}
	return 0;
}

static void show_names(struct waft_json *json, void *arg)
{
	const struct matrix *matrix = arg;
	waft_json_object(json);
	waft_json_key(json, "count");
	waft_json_int(json, (int64_t)matrix->alternatives_count);
	waft_json_key(json, "names");
	waft_json_array(json);
	for (size_t i = 0; i < matrix->alternatives_count; i++) {
		const struct name *name = &matrix->alternatives[i].name;
		waft_json_string_n(json, name->text, name->length_bytes);
	}
	waft_json_end_array(json);
	waft_json_end_object(json);
}

/* The part of the request that a step was given. */
static void show_raw(struct waft_json *json, void *arg)
{
	const json_t *raw = arg;
	struct json_out out = {0};
	json_out_value(&out, raw);
	waft_json_raw(json, out.text.failed ? "null" : out.text.data,
		out.text.failed ? 4 : out.text.length_bytes);
	text_done(&out.text);
}

int extract_alternatives(
	const json_t *raw, struct matrix *matrix, struct name_index *ret_index, struct fault *fault)
{
	WAFT_SPAN(span, "input_transformer.extract_alternatives");
	waft_input_fn(&span, show_raw, (void *)raw);
	int r = take_alternatives(raw, matrix, ret_index, fault);
	if (r == 0)
		waft_output_fn(&span, show_names, matrix);
	return fault_mark(&span, r, fault);
}

/* ---- Criteria ---- */

static int take_criterion(const char *key, size_t key_bytes, const json_t *value,
	struct criterion *ret_criterion, struct fault *fault)
{
	int r = take_name(key, key_bytes, "Criterion", &ret_criterion->name, fault);
	if (r < 0)
		return r;
	const json_t *weight = value;
	if (json_is_object(value)) {
		weight = json_object_get(value, "weight");
		if (weight == NULL)
			return fault_set(fault, FAULT_RULE,
				INPUT_ERROR "Criterion '%s' dict must have 'weight' key",
				ret_criterion->name.text);
	}
	const struct number_owner owner = {.criterion = &ret_criterion->name};
	r = take_number(weight, &owner, &ret_criterion->weight, fault);
	if (r == 0 && json_is_object(value))
		r = take_description(value, "criterion", &ret_criterion->name,
			&ret_criterion->description, fault);
	return r;
}

static int take_criteria(
	const json_t *raw, struct matrix *matrix, struct name_index *ret_index, struct fault *fault)
{
	if (!json_is_object(raw))
		return fault_set(fault, FAULT_FORM, INPUT_ERROR "criteria must be a dict, got %s",
			json_type_name(raw));
	matrix->criteria = array_new(json_object_size(raw), sizeof(*matrix->criteria));
	if (matrix->criteria == NULL)
		return fault_memory(fault);
	json_t *walked = (json_t *)raw;
	for (void *at = json_object_iter(walked); at; at = json_object_iter_next(walked, at)) {
		struct criterion *criterion = &matrix->criteria[matrix->criteria_count++];
		int r = take_criterion(json_object_iter_key(at), json_object_iter_key_len(at),
			json_object_iter_value(at), criterion, fault);
		if (r < 0)
			return r;
		if (index_find(ret_index, &criterion->name) != SIZE_MAX)
			return fault_set(fault, FAULT_RULE,
				INPUT_ERROR "Criterion '%s' is given twice in criteria",
				criterion->name.text);
		if (index_add(ret_index, &criterion->name, matrix->criteria_count - 1) < 0)
			return fault_memory(fault);
	}
	return 0;
}

static void show_criteria(struct waft_json *json, void *arg)
{
	const struct matrix *matrix = arg;
	waft_json_object(json);
	waft_json_key(json, "count");
	waft_json_int(json, (int64_t)matrix->criteria_count);
	waft_json_key(json, "criteria");
	waft_json_array(json);
	for (size_t i = 0; i < matrix->criteria_count; i++) {
		const struct criterion *criterion = &matrix->criteria[i];
		waft_json_object(json);
		waft_json_key(json, "name");
		waft_json_string_n(json, criterion->name.text, criterion->name.length_bytes);
		waft_json_key(json, "weight");
		waft_json_double(json, criterion->weight);
		waft_json_end_object(json);
	}
	waft_json_end_array(json);
	waft_json_end_object(json);
}

int extract_criteria(
	const json_t *raw, struct matrix *matrix, struct name_index *ret_index, struct fault *fault)
{
	WAFT_SPAN(span, "input_transformer.extract_criteria");
	waft_input_fn(&span, show_raw, (void *)raw);
	int r = take_criteria(raw, matrix, ret_index, fault);
	if (r == 0)
		waft_output_fn(&span, show_criteria, matrix);
	return fault_mark(&span, r, fault);
}

/* ---- Scores ---- */

/* What extract_scores looks names up in, and what it has seen of them. */
struct score_reader {
	struct matrix *matrix;
	const struct name_index *alternatives;
	const struct name_index *criteria;
	bool *alternative_seen;
	size_t *criterion_seen; /* the row, counted from 1, that scored it last */
	struct fault *fault;
};

static int take_score(struct score_reader *reader, struct score_row *row,
	const struct name *criterion, const json_t *value)
{
	const struct name *alternative = &reader->matrix->alternatives[row->alternative].name;
	size_t at = index_find(reader->criteria, criterion);
	if (at == SIZE_MAX)
		return fault_set(reader->fault, FAULT_RULE,
			INPUT_ERROR "Criterion '%s' in scores not found in criteria list",
			criterion->text);
	if (reader->criterion_seen[at] == reader->matrix->rows_count)
		return fault_set(reader->fault, FAULT_RULE,
			INPUT_ERROR "Criterion '%s' is given twice in scores for alternative '%s'",
			criterion->text, alternative->text);
	reader->criterion_seen[at] = reader->matrix->rows_count;
	struct score *score = &row->scores[row->count++];
	score->criterion = at;
	const struct number_owner owner = {.alternative = alternative, .criterion = criterion};
	return take_number(value, &owner, &score->value, reader->fault);
}

static int take_scores_of(struct score_reader *reader, struct score_row *row, const json_t *dict)
{
	if (!json_is_object(dict))
		return fault_set(reader->fault, FAULT_FORM,
			INPUT_ERROR "Scores for alternative '%s' must be a dict, got %s",
			reader->matrix->alternatives[row->alternative].name.text,
			json_type_name(dict));
	row->scores = array_new(json_object_size(dict), sizeof(*row->scores));
	if (row->scores == NULL)
		return fault_memory(reader->fault);
	json_t *walked = (json_t *)dict;
	for (void *at = json_object_iter(walked); at; at = json_object_iter_next(walked, at)) {
		struct name name = {0};
		int r = take_name(json_object_iter_key(at), json_object_iter_key_len(at),
			"Criterion", &name, reader->fault);
		if (r == 0)
			r = take_score(reader, row, &name, json_object_iter_value(at));
		free(name.text);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_row(struct score_reader *reader, const struct name *alternative, const json_t *dict)
{
	size_t at = index_find(reader->alternatives, alternative);
	if (at == SIZE_MAX)
		return fault_set(reader->fault, FAULT_RULE,
			INPUT_ERROR "Alternative '%s' in scores not found in alternatives list",
			alternative->text);
	if (reader->alternative_seen[at])
		return fault_set(reader->fault, FAULT_RULE,
			INPUT_ERROR "Alternative '%s' is given twice in scores", alternative->text);
	reader->alternative_seen[at] = true;
	struct score_row *row = &reader->matrix->rows[reader->matrix->rows_count++];
	row->alternative = at;
	return take_scores_of(reader, row, dict);
}

static int take_rows(struct score_reader *reader, const json_t *raw)
{
	json_t *walked = (json_t *)raw;
	for (void *at = json_object_iter(walked); at; at = json_object_iter_next(walked, at)) {
		struct name name = {0};
		int r = take_name(json_object_iter_key(at), json_object_iter_key_len(at),
			"Alternative", &name, reader->fault);
		if (r == 0)
			r = take_row(reader, &name, json_object_iter_value(at));
		free(name.text);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_scores(const json_t *raw, struct score_reader *reader)
{
	struct matrix *matrix = reader->matrix;
	if (!json_is_object(raw))
		return fault_set(reader->fault, FAULT_FORM,
			INPUT_ERROR "scores must be a dict, got %s", json_type_name(raw));
	matrix->rows = array_new(json_object_size(raw), sizeof(*matrix->rows));
	reader->alternative_seen =
		array_new(matrix->alternatives_count, sizeof(*reader->alternative_seen));
	reader->criterion_seen = array_new(matrix->criteria_count, sizeof(*reader->criterion_seen));
	int r = matrix->rows && reader->alternative_seen && reader->criterion_seen
			? take_rows(reader, raw)
			: fault_memory(reader->fault);
	free(reader->alternative_seen);
	free(reader->criterion_seen);
	return r;
}

static void show_scores(struct waft_json *json, void *arg)
{
	const struct matrix *matrix = arg;
	size_t count = 0;
	for (size_t i = 0; i < matrix->rows_count; i++)
		count += matrix->rows[i].count;
	waft_json_object(json);
	waft_json_key(json, "count");
	waft_json_int(json, (int64_t)count);
	waft_json_end_object(json);
}

int extract_scores(const json_t *raw, struct matrix *matrix, const struct name_index *alternatives,
	const struct name_index *criteria, struct fault *fault)
{
	WAFT_SPAN(span, "input_transformer.extract_scores");
	waft_input_fn(&span, show_raw, (void *)raw);
	struct score_reader reader = {.matrix = matrix,
		.alternatives = alternatives,
		.criteria = criteria,
		.fault = fault};
	int r = take_scores(raw, &reader);
	if (r == 0)
		waft_output_fn(&span, show_scores, matrix);
	return fault_mark(&span, r, fault);
}
