/*
 * sensitivity.c: see sensitivity.h.
 */
#include "sensitivity.h"

#include <math.h>

#include "text.h"

#define REDUCTION 0.8

static size_t heaviest_criterion(const struct matrix *matrix)
{
	size_t heaviest = 0;
	for (size_t i = 1; i < matrix->criteria_count; i++)
		if (matrix->criteria[i].weight > matrix->criteria[heaviest].weight)
			heaviest = i;
	return heaviest;
}

bool sensitivity_plan(
	const struct matrix *matrix, struct sensitivity *ret_sensitivity, double *ret_weights)
{
	*ret_sensitivity = (struct sensitivity){0};
	if (matrix->criteria_count < 2 || matrix->alternatives_count == 0)
		return false;
	size_t heaviest = heaviest_criterion(matrix);
	double others = 0.0;
	for (size_t i = 0; i < matrix->criteria_count; i++)
		if (i != heaviest)
			others += matrix->criteria[i].weight;
	if (!(others > 0))
		return false;
	double original = matrix->criteria[heaviest].weight;
	double reduced = original * REDUCTION;
	double factor = (1.0 - reduced) / others;
	for (size_t i = 0; i < matrix->criteria_count; i++) {
		double weight = matrix->criteria[i].weight;
		if (i == heaviest)
			ret_weights[i] = reduced;
		else if (isfinite(factor))
			ret_weights[i] = weight * factor;
		else /* others so small that only their ratio can be represented */
			ret_weights[i] = weight / others * (1.0 - reduced);
	}
	*ret_sensitivity = (struct sensitivity){
		.tested = true,
		.criterion = heaviest,
		.original_weight = original,
		.reduced_weight = reduced,
	};
	return true;
}

void sensitivity_judge(struct sensitivity *sensitivity, const struct evaluation *before,
	const struct evaluation *after)
{
	sensitivity->original_winner = before->order[0];
	sensitivity->new_winner = after->order[0];
	sensitivity->changed = before->order[0] != after->order[0];
}

static void append_name(struct text *out, const struct name *name)
{
	text_append(out, name->text, name->length_bytes);
}

void sensitivity_warning(
	struct text *out, const struct matrix *matrix, const struct sensitivity *sensitivity)
{
	text_puts(out, "If '");
	append_name(out, &matrix->criteria[sensitivity->criterion].name);
	text_puts(out, "' becomes less important, '");
	append_name(out, &matrix->alternatives[sensitivity->new_winner].name);
	text_puts(out, "' would win instead of '");
	append_name(out, &matrix->alternatives[sensitivity->original_winner].name);
	text_puts(out, "'.");
}
