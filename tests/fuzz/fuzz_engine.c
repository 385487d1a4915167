/*
 * Fuzzes what the decision engine reads: any bytes as a request, which must give
 * a decision or a fault that says why; and as a worker's message, from which a
 * matrix that is accepted can be computed with and written again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "analysis.h"
#include "json_text.h"
#include "matrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What cannot be, whatever the input is. */
static void require(bool condition)
{
	if (!condition)
		abort();
}

static void consume_request(const char *text, size_t size)
{
	struct fault fault = {0};
	struct analysis analysis = {0};
	int r = analysis_run(&analysis_core_local, text, size, NULL, &analysis, &fault);
	if (r < 0) {
		require(fault.kind == FAULT_FORM || fault.kind == FAULT_RULE);
		require(fault_text(&fault)[0] != '\0' && analysis.response == NULL);
	} else {
		json_t *response = NULL;
		r = json_read(analysis.response, strlen(analysis.response), &response, &fault);
		require(r == 0 && json_is_object(response));
		json_decref(response);
	}
	fault_done(&fault);
	analysis_done(&analysis);
}

static void consume_matrix(const struct matrix *matrix)
{
	struct fault fault = {0};
	struct evaluation evaluation = {0};
	struct json_out out = {0};
	json_t *again = NULL;
	int r = decision_evaluate(matrix, NULL, true, &evaluation, &fault);
	require(r == 0 || fault.kind == FAULT_RULE);
	evaluation_done(&evaluation);
	fault_done(&fault);
	matrix_write(&out, matrix, NULL);
	require(!out.text.failed);
	r = json_read(out.text.data, out.text.length_bytes, &again, &fault);
	require(r == 0);
	json_decref(again);
	text_done(&out.text);
}

static void consume_message(const char *text, size_t size)
{
	struct fault fault = {0};
	struct matrix matrix = {0};
	json_t *message = NULL;
	if (json_read(text, size, &message, &fault) == 0 &&
		matrix_read(message, &matrix, &fault) == 0)
		consume_matrix(&matrix);
	matrix_done(&matrix);
	json_decref(message);
	fault_done(&fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Details are alternatives × criteria: a message alone does not bound it. */
	if (size > 16384)
		return 0;
	consume_request((const char *)data, size);
	consume_message((const char *)data, size);
	return 0;
}
