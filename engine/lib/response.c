/*
 * response.c: see response.h.
 */
#include "response.h"

#include <string.h>

static void write_name(struct json_out *out, const char *key, const struct name *name)
{
	json_out_key(out, key);
	json_out_string(out, name->text, name->length_bytes);
}

static void write_number(struct json_out *out, const char *key, double value)
{
	json_out_key(out, key);
	json_out_number(out, value);
}

static void write_rank(struct json_out *out, size_t place)
{
	json_out_key(out, "rank");
	json_out_integer(out, (long long)place + 1);
}

static void write_head(struct json_out *out, const struct response_head *head)
{
	json_out_key(out, "id");
	json_out_string(out, head->id, strlen(head->id));
	json_out_key(out, "created_at");
	json_out_string(out, head->created_at, strlen(head->created_at));
	json_out_key(out, "trace_id");
	json_out_string(out, head->trace_id, strlen(head->trace_id));
}

static void write_rankings(
	struct json_out *out, const struct matrix *matrix, const struct evaluation *evaluation)
{
	json_out_key(out, "rankings");
	json_out_array(out);
	for (size_t place = 0; place < matrix->alternatives_count; place++) {
		size_t at = evaluation->order[place];
		json_out_object(out);
		write_rank(out, place);
		write_name(out, "name", &matrix->alternatives[at].name);
		write_number(out, "score", evaluation->totals[at]);
		json_out_end_object(out);
	}
	json_out_end_array(out);
	json_out_key(out, "recommendation");
	if (matrix->alternatives_count > 0) {
		const struct name *winner = &matrix->alternatives[evaluation->order[0]].name;
		json_out_string(out, winner->text, winner->length_bytes);
	} else {
		json_out_null(out);
	}
}

static void write_detail(
	struct json_out *out, const struct criterion *criterion, const struct detail *detail)
{
	json_out_object(out);
	write_name(out, "criterion_name", &criterion->name);
	write_number(out, "raw_score", detail->raw);
	write_number(out, "weighted_score", detail->weighted);
	write_number(out, "weight", criterion->weight);
	json_out_end_object(out);
}

static void write_analysis_of(struct json_out *out, const struct matrix *matrix,
	const struct evaluation *evaluation, size_t place)
{
	size_t at = evaluation->order[place];
	json_out_object(out);
	write_name(out, "name", &matrix->alternatives[at].name);
	write_number(out, "total_score", evaluation->totals[at]);
	write_rank(out, place);
	json_out_key(out, "detailed_scores");
	json_out_array(out);
	for (size_t i = 0; i < matrix->criteria_count; i++)
		write_detail(out, &matrix->criteria[i],
			&evaluation->details[at * matrix->criteria_count + i]);
	json_out_end_array(out);
	json_out_end_object(out);
}

static void write_analysis(
	struct json_out *out, const struct matrix *matrix, const struct evaluation *evaluation)
{
	json_out_key(out, "detailed_analysis");
	json_out_array(out);
	for (size_t i = 0; evaluation->details && i < matrix->alternatives_count; i++)
		write_analysis_of(out, matrix, evaluation, i);
	json_out_end_array(out);
}

static void write_warnings(
	struct json_out *out, const struct matrix *matrix, const struct sensitivity *sensitivity)
{
	json_out_key(out, "sensitivity_warnings");
	json_out_array(out);
	if (sensitivity->changed) {
		struct text warning = {0};
		sensitivity_warning(&warning, matrix, sensitivity);
		out->text.failed |= warning.failed;
		json_out_object(out);
		write_name(out, "criterion_name", &matrix->criteria[sensitivity->criterion].name);
		write_number(out, "original_weight", sensitivity->original_weight);
		write_number(out, "reduced_weight", sensitivity->reduced_weight);
		write_name(out, "original_winner",
			&matrix->alternatives[sensitivity->original_winner].name);
		write_name(out, "new_winner", &matrix->alternatives[sensitivity->new_winner].name);
		json_out_key(out, "warning");
		json_out_string(out, warning.data, warning.length_bytes);
		json_out_end_object(out);
		text_done(&warning);
	}
	json_out_end_array(out);
	json_out_key(out, "is_robust");
	json_out_bool(out, !sensitivity->changed);
}

void response_write(struct json_out *out, const struct response_head *head,
	const struct matrix *matrix, const struct evaluation *evaluation,
	const struct sensitivity *sensitivity)
{
	json_out_object(out);
	if (head)
		write_head(out, head);
	write_name(out, "problem", &matrix->problem);
	write_name(out, "methodology", &matrix->methodology);
	write_rankings(out, matrix, evaluation);
	write_analysis(out, matrix, evaluation);
	write_warnings(out, matrix, sensitivity);
	json_out_end_object(out);
}
