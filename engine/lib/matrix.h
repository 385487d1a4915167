/*
 * matrix.h: a checked decision: alternatives, weighted criteria and scores.
 * Made by input_transformer, read by everything after it. Pure; a matrix is not
 * shared between threads while it is being filled.
 */
#ifndef ENGINE_MATRIX_H
#define ENGINE_MATRIX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "fault.h"
#include "json_text.h"

/* Owned text; NUL-terminated, and may hold NULs before its end. */
struct name {
	char *text;
	size_t length_bytes;
};

struct alternative {
	struct name name;
	struct name description; /* text NULL: none */
};

struct criterion {
	struct name name;
	double weight;
	struct name description; /* text NULL: none */
};

struct score {
	size_t criterion; /* index */
	double value;
};

/* What `scores` says of one alternative, in its order. */
struct score_row {
	size_t alternative; /* index */
	struct score *scores;
	size_t count;
};

/* Zero-initialise. Owns all it points to. */
struct matrix {
	struct name problem;
	struct name methodology;
	bool show_details;
	bool show_sensitivity;
	struct alternative *alternatives;
	size_t alternatives_count;
	struct criterion *criteria;
	size_t criteria_count;
	struct score_row *rows; /* in the order of `scores` */
	size_t rows_count;
};

void matrix_done(struct matrix *matrix);

/* Sets *name to a copy. 0 or -ENOMEM. */
int name_copy(struct name *name, const char *text, size_t length_bytes)
	__attribute__((warn_unused_result));

/* Code point order: below, at or above 0. */
int name_compare(const struct name *a, const struct name *b);

/* calloc for count elements that is never NULL for count 0. */
void *array_new(size_t count, size_t element_bytes) __attribute__((warn_unused_result));

/* Writes the matrix as a message between processes, with other weights when
 * weights (one a criterion) is not NULL. */
void matrix_write(struct json_out *out, const struct matrix *matrix, const double *weights);

/* Reads what matrix_write wrote into a zeroed matrix. Checks only what keeps
 * indexes and memory safe. */
int matrix_read(const json_t *message, struct matrix *ret_matrix, struct fault *fault)
	__attribute__((warn_unused_result));

/* The number at index in a message's list as an index below limit, or SIZE_MAX. */
size_t json_index(const json_t *list, size_t index, size_t limit);

#endif
