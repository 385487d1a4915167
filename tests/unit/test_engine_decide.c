/*
 * What waft-decide prints: alignment by display width, nothing that could steer
 * a terminal, answers that lack members.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_text.h"
#include "show.h"
#include "table.h"

static size_t width(const char *text)
{
	return display_width(text, strlen(text));
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(width(""), 0);
	assert_int_equal(width("naïve"), 5);
	assert_int_equal(width("nai\u0308ve"), 5);
	assert_int_equal(width("東京"), 4);
	assert_int_equal(width("🚀"), 2);
	assert_int_equal(width("👩\u200d🚀"), 2);
	assert_int_equal(width("\t"), 2);
	assert_int_equal(width("\x1b["), 5);
}

static void visible_is(const char *text, size_t length_bytes, const char *expected)
{
	struct text out = {0};
	text_put_visible(&out, text, length_bytes);
	assert_string_equal(out.data, expected);
	text_done(&out);
}

static void test_visible(void **state)
{
	(void)state;
	visible_is("a\tb\n\r", 5, "a\\tb\\n\\r");
	visible_is("\x1b[31m\x7f", 6, "\\x1b[31m\\x7f");
	visible_is("a\0b", 3, "a\\x00b");
	visible_is("\xc2\x9b", 2, "\\x9b");
	visible_is("\xff", 1, "\\xff");
	visible_is("\u202e\u2028", 6, "\\u202e\\u2028");
	visible_is("naïve 東京 🚀", 18, "naïve 東京 🚀");
}

static char *shown(void (*show)(struct text *out, const json_t *response), const char *quoted)
{
	char *text = strdup(quoted);
	struct fault fault = {0};
	struct text out = {0};
	json_t *response = NULL;
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (json_read(text, strlen(text), &response, &fault) != 0)
		fail_msg("%s", fault_text(&fault));
	show(&out, response);
	json_decref(response);
	free(text);
	char *taken = text_take(&out);
	assert_non_null(taken);
	return taken;
}

static void test_decision(void **state)
{
	(void)state;
	char *text = shown(show_decision,
		"{'problem':'which','recommendation':'東京','rankings':[{'rank':1,'name':'東京',"
		"'score':8.5},{'rank':2,'name':'x\\n','score':-0.001}],'detailed_analysis':["
		"{'name':'東京','total_score':8.5,'detailed_scores':[{'criterion_name':'Éco',"
		"'raw_score':10,'weighted_score':1,'weight':0.1},{'criterion_name':'b','raw_score':"
		"1e300,"
		"'weight':0.9}]},{'name':'x\\n','total_score':-0.001,'detailed_scores':["
		"{'raw_score':1},{'raw_score':2.005}]}],'sensitivity_warnings':[{'warning':'W.',"
		"'original_weight':0.9,'reduced_weight':0.72}]}");
	assert_string_equal(text, "Problem: which\n"
				  "Recommendation: 東京\n"
				  "\n"
				  "Ranking\n"
				  "  1.  東京    8.50\n"
				  "  2.  x\\n   -0.001\n"
				  "\n"
				  "Scores\n"
				  "  Criterion  Weight    東京     x\\n\n"
				  "  Éco           0.1   10.00    1.00\n"
				  "  b             0.9  1e+300    2.00\n"
				  "  Total                8.50  -0.001\n"
				  "\n"
				  "Sensitivity\n"
				  "  ! W.\n"
				  "    (weight 0.9 -> 0.72)\n");
	free(text);
}

static void test_strange_answers(void **state)
{
	(void)state;
	static const char *const answers[] = {
		"5",
		"[]",
		"{}",
		"{'rankings':5}",
		"{'rankings':[5,{'name':5}]}",
		"{'detailed_analysis':[5]}",
		"{'detailed_analysis':[{'detailed_scores':[5]},{}]}",
		"{'sensitivity_warnings':[5]}",
		"{'decisions':[5,{}]}",
		"{'decisions':[{'id':5}],'next':5}",
	};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		free(shown(show_decision, answers[i]));
		free(shown(show_history, answers[i]));
	}
}

static void test_history(void **state)
{
	(void)state;
	char *text = shown(show_history,
		"{'decisions':[{'id':'i1','created_at':'c1','recommendation':'東京','problem':'"
		"p\\t'},"
		"{'id':'i2','created_at':'c2','recommendation':null,'problem':'q'}],'next':'i2'}");
	assert_string_equal(text, "i1  c1  東京  p\\t\n"
				  "i2  c2  -     q\n"
				  "More: waft-decide history --before i2\n");
	free(text);
	text = shown(show_history, "{'decisions':[],'next':null}");
	assert_string_equal(text, "No decisions yet. Make one: waft-decide FILE\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_visible),
		cmocka_unit_test(test_decision),
		cmocka_unit_test(test_strange_answers),
		cmocka_unit_test(test_history),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
