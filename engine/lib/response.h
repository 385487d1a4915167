/*
 * response.h: the JSON answer to a decision. Pure; any thread.
 */
#ifndef ENGINE_RESPONSE_H
#define ENGINE_RESPONSE_H

#include "decision_matrix.h"
#include "json_text.h"
#include "matrix.h"
#include "sensitivity.h"

/* What an answer says of a stored decision before its result; borrowed. */
struct response_head {
	const char *id;
	const char *created_at;
	const char *trace_id;
};

/* Writes one JSON object: head's members when head is not NULL, then problem,
 * methodology, rankings, recommendation (null when there is no alternative),
 * detailed_analysis ([] when evaluation has no details), sensitivity_warnings
 * and is_robust. */
void response_write(struct json_out *out, const struct response_head *head,
	const struct matrix *matrix, const struct evaluation *evaluation,
	const struct sensitivity *sensitivity);

#endif
