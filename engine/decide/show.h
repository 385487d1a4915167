/*
 * show.h: the service's answers as text for people. Pure. A member that is
 * missing or of another type is left out, never fatal.
 */
#ifndef ENGINE_DECIDE_SHOW_H
#define ENGINE_DECIDE_SHOW_H

#include <jansson.h>

#include "text.h"

/* Ranking, matrix with weights, sensitivity. */
void show_decision(struct text *out, const json_t *response);

/* One line a decision: id, when, recommendation, problem. */
void show_history(struct text *out, const json_t *response);

#endif
