/*
 * input_transformer.h: from the bytes of a request to a checked matrix. Traced:
 * input_transformer.transform_input and one child a step. Pure; any thread.
 *
 * The checks come in this order, and the first that fails is reported: keys,
 * alternatives, criteria, scores, methodology; then for each criterion a weight
 * that is not negative and finite; the sum of weights; finite scores; a score
 * of each alternative on each criterion.
 */
#ifndef ENGINE_INPUT_TRANSFORMER_H
#define ENGINE_INPUT_TRANSFORMER_H

#include <stddef.h>

#include "fault.h"
#include "matrix.h"

/* Fills the zeroed *ret_matrix from request, a JSON text; matrix_done releases
 * it. 0, or a negative code with fault FAULT_FORM (JSON, type, required key),
 * FAULT_RULE (any other check) or FAULT_INTERNAL (memory). */
int transform_input(const char *request, size_t length_bytes, struct matrix *ret_matrix,
	struct fault *fault) __attribute__((warn_unused_result));

#endif
