/*
 * analysis.h: a whole decision, from request to answer: which step follows
 * which. The steps that compute are a table of functions, so that they run here
 * or in other processes. Pure but for what the table does; any thread.
 */
#ifndef ENGINE_ANALYSIS_H
#define ENGINE_ANALYSIS_H

#include <stdbool.h>
#include <stddef.h>

#include "decision_matrix.h"
#include "fault.h"
#include "matrix.h"
#include "response.h"

/* Each as transform_input and decision_evaluate, and given context. */
struct analysis_core {
	int (*transform)(void *context, const char *request, size_t length_bytes,
		struct matrix *ret_matrix, struct fault *fault);
	int (*evaluate)(void *context, const struct matrix *matrix, const double *weights,
		bool with_details, struct evaluation *ret_evaluation, struct fault *fault);
	void *context;
};

/* Runs the steps in the calling thread. */
extern const struct analysis_core analysis_core_local;

struct analysis {
	char *response;	      /* JSON, NUL-terminated; owned */
	char *problem;	      /* owned */
	char *recommendation; /* owned; NULL: none */
};

void analysis_done(struct analysis *analysis);

/* Analyses request (JSON) into a zeroed *ret_analysis. head: see
 * response_write; NULL for a new decision. Codes and faults are those of
 * transform_input and decision_evaluate, and the core's own. */
int analysis_run(const struct analysis_core *core, const char *request, size_t length_bytes,
	const struct response_head *head, struct analysis *ret_analysis, struct fault *fault)
	__attribute__((warn_unused_result));

#endif
