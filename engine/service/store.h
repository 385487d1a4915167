/*
 * store.h: the decisions that were made, in a SQLite file. What is kept is the
 * request; a result is computed anew when a decision is loaded. Thread-safe.
 * Every statement and every access to the file is a span [persistence].
 */
#ifndef ENGINE_STORE_H
#define ENGINE_STORE_H

#include <stddef.h>

#include "fault.h"
#include "json_text.h"

enum { DECISION_ID_SIZE = 37 };

struct store;

/* Opens path, made with its directories when missing (owner only). 0, or a
 * negative code with fault. */
int store_open(const char *path, struct store **ret_store, struct fault *fault)
	__attribute__((warn_unused_result));
void store_close(struct store *store);

/* One decision; texts are borrowed on the way in, owned on the way out
 * (decision_done). */
struct decision {
	char *id;
	char *created_at; /* RFC 3339, UTC */
	char *trace_id;	  /* UUID text; empty when the request was not traced */
	char *problem;
	char *recommendation; /* NULL: none */
	char *request;	      /* JSON */
};

void decision_done(struct decision *decision);

/* Keeps decision and tells its new id; decision's own id and time are not looked
 * at. Durable when it returns 0. */
int store_insert(struct store *store, const struct decision *decision,
	char ret_id[DECISION_ID_SIZE], struct fault *fault) __attribute__((warn_unused_result));

/* Loads the decision with this id: UUID text, plain hex, or a start or an end of
 * it of at least 4 digits that only one decision has. FAULT_MISSING when there
 * is none, FAULT_RULE when there are several. */
int store_load(struct store *store, const char *id, struct decision *ret_decision,
	struct fault *fault) __attribute__((warn_unused_result));

/* Appends up to limit decisions, newest first, to an array that is open in out:
 * {id, created_at, trace_id, problem, recommendation}. before: only those older
 * than the decision with this id; NULL: from the newest. ret_next_id: empty, or
 * the id to go on before. */
int store_list(struct store *store, unsigned int limit, const char *before, struct json_out *out,
	char ret_next_id[DECISION_ID_SIZE], struct fault *fault)
	__attribute__((warn_unused_result));

#endif
