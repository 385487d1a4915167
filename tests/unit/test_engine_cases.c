/*
 * The decision cases, through the library alone: tests/data/decision_cases.jsonl
 * and decision_cases_more.jsonl, one {"kind", "request", "expect"} a line.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include "analysis.h"
#include "json_text.h"

#ifndef CASES_DIR
#error "CASES_DIR names the directory of the cases"
#endif

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* Numbers to 1e-9 relative, everything else exactly. */
static bool same_value(const json_t *a, const json_t *b)
{
	double x, y;
	if (json_number(a, &x) && json_number(b, &y))
		return fabs(x - y) <= 1e-9 * fmax(fabs(x), fabs(y));
	return json_equal(a, b);
}

/* Lists of objects of plain values; of got, the member `warning` is not looked
 * at, which the cases do not have. */
static bool same_list(json_t *got, json_t *expected)
{
	if (json_array_size(got) != json_array_size(expected))
		return false;
	for (size_t i = 0; i < json_array_size(got); i++) {
		json_t *object = json_array_get(got, i);
		json_t *wanted = json_array_get(expected, i);
		const char *key;
		json_t *value;
		json_object_del(object, "warning");
		if (json_object_size(object) != json_object_size(wanted))
			return false;
		json_object_foreach(object, key,
			value) if (!same_value(value, json_object_get(wanted, key))) return false;
	}
	return true;
}

static enum fault_kind kind_of_case(const char *kind)
{
	static const char *const forms[] = {"missingkey", "badtype", "nullscore", "scoresnotdict"};
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (strcmp(kind, forms[i]) == 0)
			return FAULT_FORM;
	return FAULT_RULE;
}

static void check_response(const char *line, const char *text, const json_t *expect)
{
	static const char *const lists[] = {"rankings", "sensitivity_warnings"};
	struct fault fault = {0};
	json_t *response = NULL;
	assert_int_equal(json_read(text, strlen(text), &response, &fault), 0);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!same_list(
			    json_object_get(response, lists[i]), json_object_get(expect, lists[i])))
			fail_msg("%s of case %s\nare in %s", lists[i], line, text);
	if (!json_equal(
		    json_object_get(response, "is_robust"), json_object_get(expect, "is_robust")))
		fail_msg("is_robust of case %s\nis in %s", line, text);
	json_decref(response);
}

static void run_case(const char *line)
{
	struct fault fault = {0};
	json_t *the_case = NULL;
	assert_int_equal(json_read(line, strlen(line), &the_case, &fault), 0);
	const json_t *expect = json_object_get(the_case, "expect");
	struct json_out request = {0};
	json_out_value(&request, json_object_get(the_case, "request"));
	struct analysis analysis = {0};
	int r = analysis_run(&analysis_core_local, request.text.data, request.text.length_bytes,
		NULL, &analysis, &fault);
	if (json_is_true(json_object_get(expect, "ok"))) {
		if (r != 0)
			fail_msg("case %s\nfails: %s", line, fault_text(&fault));
		check_response(line, analysis.response, expect);
	} else {
		if (r == 0)
			fail_msg("case %s\npasses", line);
		assert_string_equal(fault_text(&fault), text_of(expect, "error"));
		assert_int_equal(fault.kind, kind_of_case(text_of(the_case, "kind")));
	}
	analysis_done(&analysis);
	fault_done(&fault);
	text_done(&request.text);
	json_decref(the_case);
}

static size_t run_file(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		fail_msg("cannot open %s", path);
	char *line = NULL;
	size_t capacity = 0;
	size_t cases = 0;
	while (getline(&line, &capacity, file) > 0) {
		run_case(line);
		cases++;
	}
	free(line);
	fclose(file);
	return cases;
}

static void test_cases(void **state)
{
	(void)state;
	assert_int_equal(run_file(CASES_DIR "/decision_cases.jsonl"), 40);
}

static void test_more_cases(void **state)
{
	(void)state;
	assert_true(run_file(CASES_DIR "/decision_cases_more.jsonl") >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_more_cases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
