/*
 * worker_core.c: the service's side of worker.h: questions out, answers in.
 */
#include <stdlib.h>
#include <string.h>

#include "worker.h"

static void set_member(void *arg, const char *name, const char *value)
{
	struct json_out *header = arg;
	json_out_key(header, name);
	json_out_string(header, value, strlen(value));
}

static void write_question_header(struct json_out *header, const char *op)
{
	struct waft_context current = {0};
	json_out_object(header);
	set_member(header, "op", op);
	waft_context_current(&current);
	waft_inject(&current, set_member, header);
	waft_context_done(&current);
	json_out_end_object(header);
}

/* The worker's fault as ours. */
static int read_fault(const json_t *header, struct fault *fault)
{
	const char *kind = json_string_value(json_object_get(header, "kind"));
	const char *message = json_string_value(json_object_get(header, "message"));
	return fault_set(fault, fault_kind_of(kind), "%s",
		message ? message : "a worker failed and did not say why");
}

static int read_answer(const struct frame *answer, json_t **ret_body, struct fault *fault)
{
	JSON_AUTO header = NULL;
	int r = json_read(answer->header, answer->header_bytes, &header, fault);
	if (r == 0 && !json_is_true(json_object_get(header, "ok")))
		return read_fault(header, fault);
	if (r == 0)
		r = json_read(answer->body, answer->body_bytes, ret_body, fault);
	if (r < 0 && fault->kind == FAULT_FORM)
		return fault_set(
			fault, FAULT_INTERNAL, "a worker's answer is %s", fault_text(fault));
	return r;
}

/* The caller owns *ret_answer. */
static int ask(struct pool *pool, const char *op, const char *body, size_t body_bytes,
	json_t **ret_answer, struct fault *fault)
{
	struct json_out header = {0};
	write_question_header(&header, op);
	struct frame question = {
		.header = header.text.data,
		.header_bytes = header.text.length_bytes,
		.body = (char *)body,
		.body_bytes = body_bytes,
	};
	struct frame answer = {0};
	int r = header.text.failed ? fault_memory(fault)
				   : pool_call(pool, &question, &answer, fault);
	text_done(&header.text);
	if (r == 0)
		r = read_answer(&answer, ret_answer, fault);
	frame_done(&answer);
	return r;
}

static int ask_transform(void *context, const char *request, size_t length_bytes,
	struct matrix *ret_matrix, struct fault *fault)
{
	JSON_AUTO answer = NULL;
	int r = ask(context, "transform", request, length_bytes, &answer, fault);
	return r < 0 ? r : matrix_read(answer, ret_matrix, fault);
}

static int ask_evaluate(void *context, const struct matrix *matrix, const double *weights,
	bool with_details, struct evaluation *ret_evaluation, struct fault *fault)
{
	JSON_AUTO answer = NULL;
	struct json_out body = {0};
	matrix_write(&body, matrix, weights);
	int r = body.text.failed ? fault_memory(fault)
				 : ask(context, with_details ? "evaluate+" : "evaluate",
					   body.text.data, body.text.length_bytes, &answer, fault);
	text_done(&body.text);
	return r < 0 ? r : evaluation_read(answer, matrix, ret_evaluation, fault);
}

struct analysis_core worker_core(struct pool *pool)
{
	return (struct analysis_core){
		.transform = ask_transform,
		.evaluate = ask_evaluate,
		.context = pool,
	};
}
