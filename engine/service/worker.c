/*
 * worker.c: the worker's side of worker.h: frames in, answers out.
 * Header of a question: {"op", "traceparent", "tracestate", "baggage"}; of an
 * answer: {"ok": true}, or {"ok": false, "kind", "message"}. Bodies: "transform"
 * takes a request and gives a matrix; "evaluate" takes a matrix, "evaluate+"
 * too and gives details beside the evaluation.
 */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "input_transformer.h"

static const char *get_member(void *arg, const char *name)
{
	return json_string_value(json_object_get(arg, name));
}

/* Each operation appends the answer's body to out. */

static int do_transform(const struct frame *question, struct json_out *out, struct fault *fault)
{
	struct matrix matrix = {0};
	int r = transform_input(question->body, question->body_bytes, &matrix, fault);
	if (r == 0)
		matrix_write(out, &matrix, NULL);
	matrix_done(&matrix);
	return r;
}

static int do_evaluate(
	const struct frame *question, bool with_details, struct json_out *out, struct fault *fault)
{
	JSON_AUTO message = NULL;
	struct matrix matrix = {0};
	struct evaluation evaluation = {0};
	int r = json_read(question->body, question->body_bytes, &message, fault);
	if (r == 0)
		r = matrix_read(message, &matrix, fault);
	if (r == 0)
		r = decision_evaluate(&matrix, NULL, with_details, &evaluation, fault);
	if (r == 0)
		evaluation_write(out, &matrix, &evaluation);
	evaluation_done(&evaluation);
	matrix_done(&matrix);
	return r;
}

static int do_operation(const json_t *header, const struct frame *question, struct json_out *out,
	struct fault *fault)
{
	const char *op = json_string_value(json_object_get(header, "op"));
	if (op && strcmp(op, "transform") == 0)
		return do_transform(question, out, fault);
	if (op && strcmp(op, "evaluate") == 0)
		return do_evaluate(question, false, out, fault);
	if (op && strcmp(op, "evaluate+") == 0)
		return do_evaluate(question, true, out, fault);
	return fault_set(fault, FAULT_INTERNAL, "a worker was asked for '%s', which it cannot do",
		op ? op : "(nothing)");
}

/* Runs the operation as part of the caller's trace. */
static int do_traced(
	json_t *header, const struct frame *question, struct json_out *out, struct fault *fault)
{
	struct waft_context caller = {0};
	if (waft_extract(get_member, header, &caller) < 0)
		caller = (struct waft_context){0};
	struct waft_token token;
	waft_attach(&caller, &token);
	int r = do_operation(header, question, out, fault);
	waft_detach(&token);
	waft_context_done(&caller);
	if (r == 0 && out->text.failed)
		r = fault_memory(fault);
	return r;
}

static void write_answer_header(struct json_out *header, int r, const struct fault *fault)
{
	json_out_object(header);
	json_out_key(header, "ok");
	json_out_bool(header, r == 0);
	if (r < 0) {
		const char *kind = fault_kind_name(fault->kind);
		json_out_key(header, "kind");
		json_out_string(header, kind, strlen(kind));
		json_out_key(header, "message");
		json_out_string(header, fault_text(fault), strlen(fault_text(fault)));
	}
	json_out_end_object(header);
}

static int answer(int fd, const struct frame *question)
{
	struct fault fault = {0};
	JSON_AUTO header = NULL;
	struct json_out body = {0};
	struct json_out answer_header = {0};
	int r = json_read(question->header, question->header_bytes, &header, &fault);
	if (r == 0)
		r = do_traced(header, question, &body, &fault);
	write_answer_header(&answer_header, r, &fault);
	struct frame frame = {
		.header = answer_header.text.data,
		.header_bytes = answer_header.text.length_bytes,
		.body = r == 0 ? body.text.data : NULL,
		.body_bytes = r == 0 ? body.text.length_bytes : 0,
	};
	r = answer_header.text.failed ? -ENOMEM : frame_send(fd, &frame, DEADLINE_NONE);
	text_done(&answer_header.text);
	text_done(&body.text);
	fault_done(&fault);
	return r;
}

int worker_run(int fd)
{
	for (;;) {
		struct frame question = {0};
		int r = frame_receive(fd, &question, DEADLINE_NONE);
		if (r == 0)
			r = answer(fd, &question);
		frame_done(&question);
		if (r == -ENODATA || r == -EPIPE || r == -ECONNRESET)
			return 0;
		if (r < 0)
			return r;
	}
}
