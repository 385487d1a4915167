/*
 * JSON as the engine reads and writes it: order, repeated keys, numbers beyond
 * double's range, messages between processes.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decision_matrix.h"
#include "input_transformer.h"
#include "json_text.h"

static void rewrites_as(const char *text, const char *expected)
{
	struct fault fault = {0};
	json_t *value = NULL;
	if (json_read(text, strlen(text), &value, &fault) != 0)
		fail_msg("%s: %s", text, fault_text(&fault));
	struct json_out out = {0};
	json_out_value(&out, value);
	char *written = text_take(&out.text);
	assert_non_null(written);
	assert_string_equal(written, expected);
	free(written);
	json_decref(value);
}

static void test_keeps_order_and_last_of_repeated(void **state)
{
	(void)state;
	rewrites_as("{\"b\": 1, \"a\": [true, null], \"b\": 3}", "{\"b\":3.0,\"a\":[true,null]}");
	rewrites_as("\"\\u0000\\b\\t\\n\\f\\r\\u001f\\u007f\\\\\\\"/é🚀\"",
		"\"\\u0000\\b\\t\\n\\f\\r\\u001f\\u007f\\\\\\\"/é🚀\"");
}

static void test_numbers_of_any_length(void **state)
{
	(void)state;
	rewrites_as("123456789012345678901234567890", "1.2345678901234568e+29");
	rewrites_as("-0", "-0.0");
	rewrites_as("1e999", "1e999");
	rewrites_as("[1e999, -1e999, 5, -7, 0.5, \"1e999 \\\"5\", false, {\"e\":1E+9999}]",
		"[1e999,-1e999,5.0,-7.0,0.5,\"1e999 \\\"5\",false,{\"e\":1e999}]");
	rewrites_as("[9223372036854775807, 1e999]", "[9.223372036854776e+18,1e999]");
	char digits[402];
	memset(digits, '9', 400);
	memcpy(digits + 400, "", 1);
	rewrites_as(digits, "1e999");
}

static void refuses(const char *text, const char *expected_part)
{
	struct fault fault = {0};
	json_t *value = NULL;
	assert_int_equal(json_read(text, strlen(text), &value, &fault), -EINVAL);
	assert_null(value);
	assert_int_equal(fault.kind, FAULT_FORM);
	if (strstr(fault_text(&fault), expected_part) == NULL)
		fail_msg("%s: '%s' does not say '%s'", text, fault_text(&fault), expected_part);
	fault_done(&fault);
}

static void test_refuses_what_is_no_json(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"{",
		"[1,]",
		"NaN",
		"[Infinity]",
		"01",
		"1.",
		"+1",
		"'a'",
		"[1]x",
		"{\"a\":}",
		"\"\\ud800\"",
		"\"\xff\"",
		"\"\x01\"",
		"[1e999",
		"[1e999.5]",
		"[1e999, 01]",
		"[1e999, 1.]",
		"[01e999, 1e999]",
		"[1e999-5]",
		"[1e999, -]",
		"[1e999e9]",
		"\"1e999",
		"[1e999, \"\\\"",
		"\xef\xbb\xbf{}",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuses(cases[i], "not valid JSON: line ");
	char *deep = malloc(10001);
	assert_non_null(deep);
	memset(deep, '[', 10000);
	deep[10000] = '\0';
	refuses(deep, "maximum parsing depth");
	free(deep);
}

static void test_json_number(void **state)
{
	(void)state;
	struct fault fault = {0};
	json_t *list = NULL;
	double number = 42;
	const char *text = "[1.5, -1e999, 1e999, true, \"1\", null]";
	assert_int_equal(json_read(text, strlen(text), &list, &fault), 0);
	assert_true(json_number(json_array_get(list, 0), &number) && number == 1.5);
	assert_true(json_number(json_array_get(list, 1), &number) && number == -INFINITY);
	assert_true(json_number(json_array_get(list, 2), &number) && number == INFINITY);
	for (size_t i = 3; i < 7; i++)
		assert_false(json_number(json_array_get(list, i), &number));
	assert_string_equal(json_type_name(json_array_get(list, 0)), "float");
	assert_string_equal(json_type_name(json_array_get(list, 3)), "bool");
	assert_string_equal(json_type_name(json_array_get(list, 4)), "str");
	assert_string_equal(json_type_name(json_array_get(list, 5)), "NoneType");
	json_decref(list);
}

/* ---- Messages ---- */

static const char request[] =
	"{\"problem\": \"p\\u0000q\", \"alternatives\": [{\"name\": \"x\", \"description\": \" d "
	"\"}, "
	"\"y\"], \"criteria\": {\"b\": {\"weight\": 0.1, \"description\": null}, \"a\": 0.9}, "
	"\"scores\": {\"y\": {\"a\": 0.1, \"b\": -0.0}, \"x\": {\"b\": 1e-320, \"a\": 3}}, "
	"\"show_details\": false}";

static char *matrix_text(const struct matrix *matrix, const double *weights)
{
	struct json_out out = {0};
	matrix_write(&out, matrix, weights);
	char *text = text_take(&out.text);
	assert_non_null(text);
	return text;
}

static json_t *parse(const char *text)
{
	struct fault fault = {0};
	json_t *value = NULL;
	assert_int_equal(json_read(text, strlen(text), &value, &fault), 0);
	return value;
}

static void test_matrix_message(void **state)
{
	(void)state;
	struct fault fault = {0};
	struct matrix matrix = {0};
	assert_int_equal(transform_input(request, strlen(request), &matrix, &fault), 0);
	char *text = matrix_text(&matrix, NULL);
	json_t *message = parse(text);
	struct matrix copy = {0};
	assert_int_equal(matrix_read(message, &copy, &fault), 0);
	char *again = matrix_text(&copy, NULL);
	assert_string_equal(text, again);
	assert_int_equal(copy.problem.length_bytes, 3);
	assert_string_equal(copy.alternatives[0].description.text, " d ");
	assert_null(copy.criteria[0].description.text);
	assert_int_equal(copy.rows[0].alternative, 1);
	assert_true(signbit(copy.rows[0].scores[1].value));
	assert_true(copy.rows[1].scores[0].value == 1e-320);
	assert_false(copy.show_details);
	assert_true(copy.show_sensitivity);

	double weights[] = {0.25, 0.75};
	char *reweighted = matrix_text(&matrix, weights);
	assert_non_null(strstr(reweighted, "[\"b\",0.25,null],[\"a\",0.75,null]"));
	free(reweighted);
	free(text);
	free(again);
	json_decref(message);
	matrix_done(&copy);
	matrix_done(&matrix);
}

/* Damaged messages are refused, whatever member is missing or out of range. */
static void test_matrix_message_damaged(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"[]",
		"{}",
		"{\"problem\":\"p\",\"methodology\":\"WSM\",\"alternatives\":[[1,null]],"
		"\"criteria\":[],\"scores\":[]}",
		"{\"problem\":\"p\",\"methodology\":\"WSM\",\"alternatives\":[[\"a\",null]],"
		"\"criteria\":[[\"c\",\"1\",null]],\"scores\":[]}",
		"{\"problem\":\"p\",\"methodology\":\"WSM\",\"alternatives\":[[\"a\",null]],"
		"\"criteria\":[[\"c\",1,null]],\"scores\":[[1,[]]]}",
		"{\"problem\":\"p\",\"methodology\":\"WSM\",\"alternatives\":[[\"a\",null]],"
		"\"criteria\":[[\"c\",1,null]],\"scores\":[[-1,[]]]}",
		"{\"problem\":\"p\",\"methodology\":\"WSM\",\"alternatives\":[[\"a\",null]],"
		"\"criteria\":[[\"c\",1,null]],\"scores\":[[0,[[1,5]]]]}",
		"{\"problem\":\"p\",\"methodology\":\"WSM\",\"alternatives\":[[\"a\",null]],"
		"\"criteria\":[[\"c\",1,null]],\"scores\":[[0,[[0,null]]]]}",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fault fault = {0};
		struct matrix matrix = {0};
		json_t *message = parse(cases[i]);
		assert_int_equal(matrix_read(message, &matrix, &fault), -EIO);
		assert_int_equal(fault.kind, FAULT_INTERNAL);
		assert_null(matrix.rows);
		fault_done(&fault);
		json_decref(message);
	}
}

static void test_evaluation_message(void **state)
{
	(void)state;
	struct fault fault = {0};
	struct matrix matrix = {0};
	struct evaluation evaluation = {0};
	struct evaluation copy = {0};
	assert_int_equal(transform_input(request, strlen(request), &matrix, &fault), 0);
	assert_int_equal(decision_evaluate(&matrix, NULL, true, &evaluation, &fault), 0);
	struct json_out out = {0};
	evaluation_write(&out, &matrix, &evaluation);
	char *text = text_take(&out.text);
	json_t *message = parse(text);
	assert_int_equal(evaluation_read(message, &matrix, &copy, &fault), 0);
	assert_memory_equal(copy.totals, evaluation.totals, 2 * sizeof(double));
	assert_memory_equal(copy.order, evaluation.order, 2 * sizeof(size_t));
	assert_memory_equal(copy.details, evaluation.details, 4 * sizeof(struct detail));
	evaluation_done(&copy);
	json_array_clear(json_object_get(message, "details"));
	assert_int_equal(evaluation_read(message, &matrix, &copy, &fault), -EIO);
	json_object_del(message, "details");
	assert_int_equal(evaluation_read(message, &matrix, &copy, &fault), 0);
	assert_null(copy.details);
	evaluation_done(&copy);
	json_array_set_new(json_object_get(message, "order"), 0, json_integer(2));
	assert_int_equal(evaluation_read(message, &matrix, &copy, &fault), -EIO);
	fault_done(&fault);
	json_decref(message);
	free(text);
	evaluation_done(&evaluation);
	matrix_done(&matrix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_order_and_last_of_repeated),
		cmocka_unit_test(test_numbers_of_any_length),
		cmocka_unit_test(test_refuses_what_is_no_json),
		cmocka_unit_test(test_json_number),
		cmocka_unit_test(test_matrix_message),
		cmocka_unit_test(test_matrix_message_damaged),
		cmocka_unit_test(test_evaluation_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
