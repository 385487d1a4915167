/*
 * sensitivity.h: would the winner stay the winner if the heaviest criterion
 * mattered less? Pure; any thread.
 */
#ifndef ENGINE_SENSITIVITY_H
#define ENGINE_SENSITIVITY_H

#include <stdbool.h>
#include <stddef.h>

#include "decision_matrix.h"
#include "matrix.h"

struct sensitivity {
	bool tested;
	bool changed; /* another alternative won */
	size_t criterion;
	double original_weight;
	double reduced_weight;
	size_t original_winner; /* indexes of alternatives; only when changed */
	size_t new_winner;
};

/* Fills ret_weights (one a criterion): the heaviest (first of equals) × 0.8, the
 * others × (1 − the reduced weight) / their sum, so that the sum stays 1. False,
 * and no weights, where there is nothing to test: fewer than two criteria, no
 * alternative, or others that sum to 0. */
bool sensitivity_plan(
	const struct matrix *matrix, struct sensitivity *ret_sensitivity, double *ret_weights);

/* Completes a planned test with the evaluations before and after. */
void sensitivity_judge(struct sensitivity *sensitivity, const struct evaluation *before,
	const struct evaluation *after);

/* Appends the warning of a changed winner. */
void sensitivity_warning(
	struct text *out, const struct matrix *matrix, const struct sensitivity *sensitivity);

#endif
