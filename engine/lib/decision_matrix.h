/*
 * decision_matrix.h: the weighted-sum model (WSM) on a checked matrix. Each
 * step is a span decision_matrix.<function>. Pure; any thread.
 *
 * A weight is a criterion's own, or weights[criterion] where weights is given:
 * so the same matrix can be tried with others.
 */
#ifndef ENGINE_DECISION_MATRIX_H
#define ENGINE_DECISION_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

#include "fault.h"
#include "json_text.h"
#include "matrix.h"

struct calculator {
	/* Fills ret_totals, one number an alternative. */
	int (*calculate)(const struct matrix *matrix, const double *weights, double *ret_totals,
		struct fault *fault);
};

/* The calculator of matrix's methodology. -EINVAL (FAULT_RULE) for one that
 * isn't WSM. */
int create_calculator(const struct matrix *matrix, struct calculator *ret_calculator,
	struct fault *fault) __attribute__((warn_unused_result));

/* Sums weight × score of each alternative in the order of its scores, in double,
 * without fused multiply-add. -EINVAL (FAULT_RULE) when a sum is not finite. */
int calculate_wsm(const struct matrix *matrix, const double *weights, double *ret_totals,
	struct fault *fault) __attribute__((warn_unused_result));

/* Fills ret_order with indexes of alternatives: highest total first, equal ones
 * by name in code point order. An alternative's rank is its place, from 1. */
void rank_alternatives(const struct matrix *matrix, const double *totals, size_t *ret_order);

/* One alternative's score on one criterion. */
struct detail {
	double raw;
	double weighted;
};

/* Fills ret_details[alternative * criteria_count + criterion]. */
void get_detailed_scores(
	const struct matrix *matrix, const double *weights, struct detail *ret_details);

/* All that a decision needs of the matrix. Zero-initialise; owns its arrays. */
struct evaluation {
	double *totals;		/* by alternative */
	size_t *order;		/* best first */
	struct detail *details; /* by alternative and criterion; NULL: not asked for */
};

void evaluation_done(struct evaluation *evaluation);

/* Runs the steps above into a zeroed *ret_evaluation. */
int decision_evaluate(const struct matrix *matrix, const double *weights, bool with_details,
	struct evaluation *ret_evaluation, struct fault *fault) __attribute__((warn_unused_result));

/* An evaluation as a message between processes; matrix is the one it is of. */
void evaluation_write(
	struct json_out *out, const struct matrix *matrix, const struct evaluation *evaluation);
int evaluation_read(const json_t *message, const struct matrix *matrix,
	struct evaluation *ret_evaluation, struct fault *fault) __attribute__((warn_unused_result));

#endif
