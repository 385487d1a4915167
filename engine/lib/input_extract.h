/*
 * input_extract.h: the steps of transform_input that take the request apart.
 * Private to input_transformer.c and its tests. Each is a span of its own.
 */
#ifndef ENGINE_INPUT_EXTRACT_H
#define ENGINE_INPUT_EXTRACT_H

#include <jansson.h>

#include "fault.h"
#include "matrix.h"

#define INPUT_ERROR "Error in input data: "

/* Finds names: an object from name to index. */
struct name_index {
	json_t *names; /* owned */
};

void name_index_done(struct name_index *index);

/* raw: the request's value under the key, NULL never. Each appends to matrix
 * and fills the zeroed index with what it found. */
int extract_alternatives(const json_t *raw, struct matrix *matrix, struct name_index *ret_index,
	struct fault *fault) __attribute__((warn_unused_result));
int extract_criteria(const json_t *raw, struct matrix *matrix, struct name_index *ret_index,
	struct fault *fault) __attribute__((warn_unused_result));
int extract_scores(const json_t *raw, struct matrix *matrix, const struct name_index *alternatives,
	const struct name_index *criteria, struct fault *fault) __attribute__((warn_unused_result));

#endif
