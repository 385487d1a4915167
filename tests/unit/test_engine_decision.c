/*
 * The engine's rules: each check and its place in the order, the weighted-sum
 * model, ranks, sensitivity.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis.h"
#include "input_transformer.h"
#include "json_text.h"
#include "sensitivity.h"

/* A request with single quotes for double ones, for legibility. */
static char *json_of(const char *quoted)
{
	char *text = strdup(quoted);
	assert_non_null(text);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return text;
}

static void transform(const char *quoted, struct matrix *ret_matrix)
{
	char *text = json_of(quoted);
	struct fault fault = {0};
	if (transform_input(text, strlen(text), ret_matrix, &fault) != 0)
		fail_msg("%s: %s", quoted, fault_text(&fault));
	free(text);
}

static void refused(const char *quoted, enum fault_kind kind, const char *message)
{
	char *text = json_of(quoted);
	struct fault fault = {0};
	struct matrix matrix = {0};
	assert_int_equal(transform_input(text, strlen(text), &matrix, &fault), -EINVAL);
	if (strcmp(fault_text(&fault), message) != 0)
		fail_msg("%s:\n  says %s\n  not  %s", quoted, fault_text(&fault), message);
	assert_string_equal(fault_kind_name(fault.kind), fault_kind_name(kind));
	assert_null(matrix.alternatives);
	fault_done(&fault);
	free(text);
}

#define HEAD "{'problem':'p','alternatives':['x','y'],'criteria':{'a':0.5,'b':0.5},"
#define ROW_X "'x':{'a':1,'b':2}"
#define ROW_Y "'y':{'a':3,'b':4}"
#define IN "Error in input data: "

static void test_schema(void **state)
{
	(void)state;
	refused("[]", FAULT_FORM, IN "request must be a dict, got list");
	refused("5", FAULT_FORM, IN "request must be a dict, got int");
	refused("5.5", FAULT_FORM, IN "request must be a dict, got float");
	refused("{}", FAULT_FORM,
		IN "Missing required keys: problem, alternatives, criteria, scores");
	refused("{'problem':5,'alternatives':[],'criteria':{}}", FAULT_FORM,
		IN "Missing required keys: scores");
	refused("{'problem':null,'alternatives':5,'criteria':{},'scores':{}}", FAULT_FORM,
		IN "problem must be a string, got NoneType");
	refused("{'problem':'','alternatives':[],'criteria':{},'scores':{},'show_details':1}",
		FAULT_FORM, IN "show_details must be a bool, got int");
	refused("{'problem':'','alternatives':[],'criteria':{},'scores':{},'show_sensitivity':"
		"null}",
		FAULT_FORM, IN "show_sensitivity must be a bool, got NoneType");
}

static void test_alternatives(void **state)
{
	(void)state;
#define ALTERNATIVES(list) "{'problem':'p','alternatives':" list ",'criteria':5,'scores':5}"
	refused(ALTERNATIVES("{}"), FAULT_FORM, IN "alternatives must be a list, got dict");
	refused(ALTERNATIVES("['x',5]"), FAULT_FORM,
		IN "Alternative must be a string or a dict, got int");
	refused(ALTERNATIVES("[null]"), FAULT_FORM,
		IN "Alternative must be a string or a dict, got NoneType");
	refused(ALTERNATIVES("[{'description':'x'}]"), FAULT_RULE,
		IN "Alternative dict must have 'name' key");
	refused(ALTERNATIVES("[{'name':true}]"), FAULT_FORM,
		IN "Alternative name must be a string, got bool");
	refused(ALTERNATIVES("['x','\\u2003\\u001f ']"), FAULT_RULE,
		IN "Alternative name cannot be empty");
	refused(ALTERNATIVES("[{'name':'x','description':['d']}]"), FAULT_FORM,
		IN "Description of alternative 'x' must be a string, got list");
	/* The order: what is wrong with criteria comes after. */
	refused(ALTERNATIVES("['x']"), FAULT_FORM, IN "criteria must be a dict, got int");
}

static void test_criteria(void **state)
{
	(void)state;
#define CRITERIA(dict) "{'problem':'p','alternatives':['x'],'criteria':" dict ",'scores':5}"
	refused(CRITERIA("['a']"), FAULT_FORM, IN "criteria must be a dict, got list");
	refused(CRITERIA("{' ':1}"), FAULT_RULE, IN "Criterion name cannot be empty");
	refused(CRITERIA("{'a':{}}"), FAULT_RULE, IN "Criterion 'a' dict must have 'weight' key");
	refused(CRITERIA("{'a':{'weight':null}}"), FAULT_FORM,
		IN "Invalid type for weight for criterion 'a': NoneType "
		   "(expected int, float, or numeric string)");
	refused(CRITERIA("{' a ':[1]}"), FAULT_FORM,
		IN "Invalid type for weight for criterion 'a': list "
		   "(expected int, float, or numeric string)");
	refused(CRITERIA("{'a':'half'}"), FAULT_RULE,
		IN "Invalid value for weight for criterion 'a': 'half' "
		   "(expected int, float, or numeric string)");
	refused(CRITERIA("{'a':{'weight':1,'description':5}}"), FAULT_FORM,
		IN "Description of criterion 'a' must be a string, got int");
	refused(CRITERIA("{'a':0.5,' a':0.5}"), FAULT_RULE,
		IN "Criterion 'a' is given twice in criteria");
	refused(CRITERIA("{'a':-1}"), FAULT_FORM, IN "scores must be a dict, got int");
}

static void test_scores(void **state)
{
	(void)state;
#define SCORES(dict) HEAD "'scores':" dict ",'methodology':'AHP'}"
	refused(SCORES("[]"), FAULT_FORM, IN "scores must be a dict, got list");
	refused(SCORES("{'z':5}"), FAULT_RULE,
		IN "Alternative 'z' in scores not found in alternatives list");
	refused(SCORES("{' ':{}}"), FAULT_RULE, IN "Alternative name cannot be empty");
	refused(SCORES("{'x':5}"), FAULT_FORM,
		IN "Scores for alternative 'x' must be a dict, got int");
	refused(SCORES("{'x':{'c':null}}"), FAULT_RULE,
		IN "Criterion 'c' in scores not found in criteria list");
	refused(SCORES("{'x':{'':1}}"), FAULT_RULE, IN "Criterion name cannot be empty");
	refused(SCORES("{'x':{'a':null}}"), FAULT_FORM,
		IN "Invalid type for score for alternative 'x' on criterion 'a': NoneType "
		   "(expected int, float, or numeric string)");
	refused(SCORES("{'x':{'a':'0x1'}}"), FAULT_RULE,
		IN "Invalid value for score for alternative 'x' on criterion 'a': '0x1' "
		   "(expected int, float, or numeric string)");
	refused(SCORES("{'x':{'a':1,'a ':1}}"), FAULT_RULE,
		IN "Criterion 'a' is given twice in scores for alternative 'x'");
	refused(SCORES("{'x':{},'x ':{}}"), FAULT_RULE,
		IN "Alternative 'x' is given twice in scores");
	/* An invalid numeral is quoted up to 100 bytes, whole characters only. */
	refused(SCORES("{'x':{'a':'éééééééééééééééééééééééééééééééééééééééééééééééééxéé'}}"),
		FAULT_RULE,
		IN "Invalid value for score for alternative 'x' on criterion 'a': "
		   "'éééééééééééééééééééééééééééééééééééééééééééééééééx' "
		   "(expected int, float, or numeric string)");
	refused(SCORES("{}"), FAULT_RULE, "Unsupported methodology: AHP. Only 'WSM' is supported.");
	refused(HEAD "'scores':{},'methodology':null}", FAULT_FORM,
		IN "methodology must be a string, got NoneType");
	refused(HEAD "'scores':{},'methodology':'wsm'}", FAULT_RULE,
		"Unsupported methodology: wsm. Only 'WSM' is supported.");
}

/* No message ends where the text that it quotes has a NUL. */
static void test_nul(void **state)
{
	(void)state;
	refused(ALTERNATIVES("['x',' a\\u0000b']"), FAULT_FORM,
		IN "Alternative name cannot contain \\u0000");
	refused(CRITERIA("{'a\\u0000b':1}"), FAULT_FORM,
		IN "a key with \\u0000 in it is not supported: line 1, column 58");
	refused(SCORES("{'x':{'a':'5\\u00006\\u0000'}}"), FAULT_RULE,
		IN "Invalid value for score for alternative 'x' on criterion 'a': "
		   "'5\\u00006\\u0000' (expected int, float, or numeric string)");
	refused(HEAD "'scores':{},'methodology':'\\u0000WSM'}", FAULT_RULE,
		"Unsupported methodology: \\u0000WSM. Only 'WSM' is supported.");
	refused(HEAD "'scores':{},'methodology':''}", FAULT_RULE,
		"Unsupported methodology: . Only 'WSM' is supported.");
}

static void test_weights(void **state)
{
	(void)state;
#define WEIGHTS(dict) "{'problem':'p','alternatives':['x'],'criteria':" dict ",'scores':{}}"
	refused(WEIGHTS("{'a':-0.25,'b':'nan'}"), FAULT_RULE,
		"Criterion 'a' has negative weight: -0.25. Weights must be non-negative.");
	refused(WEIGHTS("{'a':-1}"), FAULT_RULE,
		"Criterion 'a' has negative weight: -1.0. Weights must be non-negative.");
	refused(WEIGHTS("{'a':'-inf'}"), FAULT_RULE,
		"Criterion 'a' has negative weight: -inf. Weights must be non-negative.");
	refused(WEIGHTS("{'b':'nan','a':-0.25}"), FAULT_RULE,
		"Weight for 'b' is not a finite number.");
	refused(WEIGHTS("{'a':1e999}"), FAULT_RULE, "Weight for 'a' is not a finite number.");
	refused(WEIGHTS("{}"), FAULT_RULE, "Criteria weights must sum to 1.0, got 0.0.");
	refused(WEIGHTS("{'a':0.5,'b':0.45}"), FAULT_RULE,
		"Criteria weights must sum to 1.0, got 0.95.");
	refused(WEIGHTS("{'a':1.0000011}"), FAULT_RULE,
		"Criteria weights must sum to 1.0, got 1.0000011.");
	refused(WEIGHTS("{'a':0.9999989}"), FAULT_RULE,
		"Criteria weights must sum to 1.0, got 0.9999989.");
	/* Within 1e-6 is enough; then the scores are looked at. */
	refused(WEIGHTS("{'a':1.0000009}"), FAULT_RULE,
		"Missing score for Alternative 'x' on Criterion 'a'");
	refused(WEIGHTS("{'a':0.9999991,'b':-0.0}"), FAULT_RULE,
		"Missing score for Alternative 'x' on Criterion 'a'");
}

static void test_complete_and_finite(void **state)
{
	(void)state;
	refused(HEAD "'scores':{" ROW_Y ",'x':{'a':1}}}", FAULT_RULE,
		"Missing score for Alternative 'x' on Criterion 'b'");
	refused(HEAD "'scores':{'y':{'b':1},'x':{}}}", FAULT_RULE,
		"Missing score for Alternative 'x' on Criterion 'a'");
	refused(HEAD "'scores':{" ROW_X "}}", FAULT_RULE,
		"Missing score for Alternative 'y' on Criterion 'a'");
	refused(HEAD "'scores':{'y':{'b':'inf'},'x':{}}}", FAULT_RULE,
		"Score for 'y' on 'b' is not a finite number.");
	refused(HEAD "'scores':{'x':{'b':-1e400,'a':'nan'}}}", FAULT_RULE,
		"Score for 'x' on 'b' is not a finite number.");
}

static void test_takes_a_request(void **state)
{
	(void)state;
	struct matrix matrix = {0};
	transform("{'extra':1,'problem':' p ','show_details':false,"
		  "'alternatives':[' x ',{'name':'y','description':null},'x',{'name':'\\ty'}],"
		  "'criteria':{' b':{'weight':true,'description':'why','more':[]},'a':'0'},"
		  "'scores':{'y ':{'a':' +5_0 ','b':false},'x':{'b':1,'a':-2.5}},"
		  "'problem':' last '}",
		&matrix);
	assert_string_equal(matrix.problem.text, " last ");
	assert_string_equal(matrix.methodology.text, "WSM");
	assert_false(matrix.show_details);
	assert_true(matrix.show_sensitivity);
	assert_int_equal(matrix.alternatives_count, 2);
	assert_string_equal(matrix.alternatives[0].name.text, "x");
	assert_string_equal(matrix.alternatives[1].name.text, "y");
	assert_null(matrix.alternatives[1].description.text);
	assert_int_equal(matrix.criteria_count, 2);
	assert_string_equal(matrix.criteria[0].name.text, "b");
	assert_true(matrix.criteria[0].weight == 1.0);
	assert_string_equal(matrix.criteria[0].description.text, "why");
	assert_true(matrix.criteria[1].weight == 0.0);
	assert_int_equal(matrix.rows_count, 2);
	assert_int_equal(matrix.rows[0].alternative, 1);
	assert_int_equal(matrix.rows[0].scores[0].criterion, 1);
	assert_true(matrix.rows[0].scores[0].value == 50);
	assert_true(matrix.rows[0].scores[1].value == 0);
	assert_true(matrix.rows[1].scores[1].value == -2.5);
	matrix_done(&matrix);
}

/* ---- The model ---- */

/* 0.1 + 0.2 + 0.7 is 1, 0.7 + 0.2 + 0.1 is a bit less. */
static void test_sums_in_the_order_of_scores(void **state)
{
	(void)state;
	static const char *const orders[] = {
		"{'x':{'a':1,'b':1,'c':1}}", "{'x':{'c':1,'b':1,'a':1}}"};
	double expected[2];
	volatile double a = 0.1, b = 0.2, c = 0.7;
	volatile double terms[] = {a, b, c};
	expected[0] = terms[0] + terms[1];
	expected[0] = expected[0] + terms[2];
	expected[1] = terms[2] + terms[1];
	expected[1] = expected[1] + terms[0];
	assert_true(expected[0] < expected[1] || expected[0] > expected[1]);
	for (int i = 0; i < 2; i++) {
		struct matrix matrix = {0};
		struct fault fault = {0};
		struct evaluation evaluation = {0};
		char text[300];
		snprintf(text, sizeof(text),
			"{'problem':'p','alternatives':['x'],"
			"'criteria':{'a':0.1,'b':0.2,'c':0.7},'scores':%s}",
			orders[i]);
		transform(text, &matrix);
		assert_int_equal(decision_evaluate(&matrix, NULL, true, &evaluation, &fault), 0);
		assert_memory_equal(&evaluation.totals[0], &expected[i], sizeof(double));
		/* Details stand by criterion, whatever the order of scores. */
		assert_true(evaluation.details[0].weighted == terms[0]);
		assert_true(evaluation.details[2].weighted == terms[2]);
		evaluation_done(&evaluation);
		matrix_done(&matrix);
	}
}

/* 0.1·s + 0.9·s with s just above 1: a fused sum has another last bit. */
static void test_no_fused_multiply_add(void **state)
{
	(void)state;
	volatile double first = 0.1 * (1.0 + 0x1p-52);
	volatile double second = 0.9 * (1.0 + 0x1p-52);
	struct matrix matrix = {0};
	struct fault fault = {0};
	double total = 0;
	transform("{'problem':'p','alternatives':['x'],'criteria':{'a':0.1,'b':0.9},"
		  "'scores':{'x':{'a':1.0000000000000002,'b':1.0000000000000002}}}",
		&matrix);
	assert_int_equal(calculate_wsm(&matrix, NULL, &total, &fault), 0);
	assert_true(total == first + second);
	matrix_done(&matrix);
}

static void test_total_not_finite(void **state)
{
	(void)state;
	struct matrix matrix = {0};
	struct evaluation evaluation = {0};
	struct fault fault = {0};
	transform("{'problem':'p','alternatives':['x'],'criteria':{'a':1.0000005},"
		  "'scores':{'x':{'a':1.7976931348623157e308}}}",
		&matrix);
	assert_int_equal(decision_evaluate(&matrix, NULL, true, &evaluation, &fault), -EINVAL);
	assert_int_equal(fault.kind, FAULT_RULE);
	assert_string_equal(fault_text(&fault), "Total score for 'x' is not a finite number.");
	assert_null(evaluation.totals);
	fault_done(&fault);
	matrix_done(&matrix);
}

static void test_other_methodology_has_no_calculator(void **state)
{
	(void)state;
	struct matrix matrix = {0};
	struct calculator calculator = {0};
	struct fault fault = {0};
	assert_int_equal(name_copy(&matrix.methodology, "AHP", 3), 0);
	assert_int_equal(create_calculator(&matrix, &calculator, &fault), -EINVAL);
	assert_string_equal(
		fault_text(&fault), "Unsupported methodology: AHP. Only 'WSM' is supported.");
	assert_null(calculator.calculate);
	fault_done(&fault);
	matrix_done(&matrix);
}

static void test_ranks_ties_by_code_point(void **state)
{
	(void)state;
	struct matrix matrix = {0};
	/* U+FFFD sorts before U+1F680 by code point, after it by UTF-16 unit. */
	transform("{'problem':'p','alternatives':['b','\\ud83d\\ude80','\\ufffd','ab','a','Z'],"
		  "'criteria':{'c':1},'scores':{'b':{'c':1},'\\ud83d\\ude80':{'c':-0.0},"
		  "'\\ufffd':{'c':0},'ab':{'c':1},'a':{'c':1},'Z':{'c':2}}}",
		&matrix);
	struct evaluation evaluation = {0};
	struct fault fault = {0};
	assert_int_equal(decision_evaluate(&matrix, NULL, false, &evaluation, &fault), 0);
	static const size_t expected[] = {5, 4, 3, 0, 2, 1};
	assert_memory_equal(evaluation.order, expected, sizeof(expected));
	assert_null(evaluation.details);
	evaluation_done(&evaluation);
	matrix_done(&matrix);
}

/* ---- Sensitivity ---- */

static void plan_of(const char *criteria, struct matrix *ret_matrix, struct sensitivity *ret,
	double *ret_weights)
{
	char text[500];
	snprintf(text, sizeof(text), "{'problem':'p','alternatives':[],'criteria':%s,'scores':{}}",
		criteria);
	transform(text, ret_matrix);
	ret_matrix->alternatives_count = 1; /* only its being there counts */
	sensitivity_plan(ret_matrix, ret, ret_weights);
	ret_matrix->alternatives_count = 0;
	matrix_done(ret_matrix);
}

static void test_sensitivity_plan(void **state)
{
	(void)state;
	struct matrix matrix = {0};
	struct sensitivity sensitivity;
	double weights[4];
	plan_of("{'a':0.2,'b':0.4,'c':0.4}", &matrix, &sensitivity, weights);
	assert_true(sensitivity.tested);
	assert_int_equal(sensitivity.criterion, 1);
	assert_true(sensitivity.original_weight == 0.4);
	assert_true(sensitivity.reduced_weight == 0.4 * 0.8);
	assert_true(weights[1] == 0.4 * 0.8);
	assert_true(fabs(weights[0] - 0.2 * 0.68 / 0.6) < 1e-15);
	assert_true(fabs(weights[0] + weights[1] + weights[2] - 1) < 1e-15);
	plan_of("{'a':1}", &matrix, &sensitivity, weights);
	assert_false(sensitivity.tested);
	plan_of("{'a':0,'b':1.0,'c':0}", &matrix, &sensitivity, weights);
	assert_false(sensitivity.tested);
	/* (1 − 0.8) / 1e-320 has no double; the weights do. */
	plan_of("{'a':1,'b':1e-320}", &matrix, &sensitivity, weights);
	assert_true(sensitivity.tested);
	assert_true(fabs(weights[1] - 0.2) < 1e-15);
	struct matrix empty = {0};
	transform("{'problem':'p','alternatives':[],'criteria':{'a':0.5,'b':0.5},'scores':{}}",
		&empty);
	assert_false(sensitivity_plan(&empty, &sensitivity, weights));
	matrix_done(&empty);
}

static json_t *analyze(const char *quoted)
{
	char *text = json_of(quoted);
	struct fault fault = {0};
	struct analysis analysis = {0};
	if (analysis_run(&analysis_core_local, text, strlen(text), NULL, &analysis, &fault) != 0)
		fail_msg("%s: %s", quoted, fault_text(&fault));
	json_t *response = NULL;
	assert_int_equal(
		json_read(analysis.response, strlen(analysis.response), &response, &fault), 0);
	analysis_done(&analysis);
	free(text);
	return response;
}

#define CLOSE_CALL                                                              \
	"{'problem':'p','alternatives':['x','y'],'criteria':{'a':0.6,'b':0.4}," \
	"'scores':{'x':{'a':6,'b':1},'y':{'a':3,'b':5}}"

static void test_sensitivity_warns(void **state)
{
	(void)state;
	json_t *response = analyze(CLOSE_CALL "}");
	json_t *warning = json_array_get(json_object_get(response, "sensitivity_warnings"), 0);
	assert_string_equal(json_string_value(json_object_get(warning, "warning")),
		"If 'a' becomes less important, 'y' would win instead of 'x'.");
	assert_true(json_real_value(json_object_get(warning, "original_weight")) == 0.6);
	assert_true(json_real_value(json_object_get(warning, "reduced_weight")) == 0.6 * 0.8);
	assert_true(json_is_false(json_object_get(response, "is_robust")));
	assert_string_equal(json_string_value(json_object_get(response, "recommendation")), "x");
	json_decref(response);

	response = analyze(CLOSE_CALL ",'show_sensitivity':false}");
	assert_int_equal(json_array_size(json_object_get(response, "sensitivity_warnings")), 0);
	assert_true(json_is_true(json_object_get(response, "is_robust")));
	json_decref(response);
}

static void test_response_shape(void **state)
{
	(void)state;
	struct fault fault = {0};
	struct analysis analysis = {0};
	char *text = json_of("{'problem':'which','alternatives':['x'],'criteria':{'a':1},"
			     "'scores':{'x':{'a':2}}}");
	assert_int_equal(
		analysis_run(&analysis_core_local, text, strlen(text), NULL, &analysis, &fault), 0);
	char *expected = json_of(
		"{'problem':'which','methodology':'WSM','rankings':[{'rank':1,'name':'x','score':2."
		"0}],"
		"'recommendation':'x','detailed_analysis':[{'name':'x','total_score':2.0,'rank':1,"
		"'detailed_scores':[{'criterion_name':'a','raw_score':2.0,'weighted_score':2.0,"
		"'weight':1.0}]}],'sensitivity_warnings':[],'is_robust':true}");
	assert_string_equal(analysis.response, expected);
	assert_string_equal(analysis.problem, "which");
	assert_string_equal(analysis.recommendation, "x");
	analysis_done(&analysis);

	const struct response_head head = {.id = "1", .created_at = "2", .trace_id = "3"};
	assert_int_equal(
		analysis_run(&analysis_core_local, text, strlen(text), &head, &analysis, &fault),
		0);
	static const char start[] =
		"{\"id\":\"1\",\"created_at\":\"2\",\"trace_id\":\"3\",\"problem\"";
	assert_memory_equal(analysis.response, start, sizeof(start) - 1);
	analysis_done(&analysis);
	free(expected);
	free(text);

	json_t *response =
		analyze("{'problem':'p','alternatives':[],'criteria':{'a':1},'scores':{},"
			"'show_details':false}");
	assert_true(json_is_null(json_object_get(response, "recommendation")));
	assert_int_equal(json_array_size(json_object_get(response, "detailed_analysis")), 0);
	json_decref(response);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_alternatives),
		cmocka_unit_test(test_criteria),
		cmocka_unit_test(test_scores),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_complete_and_finite),
		cmocka_unit_test(test_takes_a_request),
		cmocka_unit_test(test_sums_in_the_order_of_scores),
		cmocka_unit_test(test_no_fused_multiply_add),
		cmocka_unit_test(test_total_not_finite),
		cmocka_unit_test(test_other_methodology_has_no_calculator),
		cmocka_unit_test(test_ranks_ties_by_code_point),
		cmocka_unit_test(test_sensitivity_plan),
		cmocka_unit_test(test_sensitivity_warns),
		cmocka_unit_test(test_response_shape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
