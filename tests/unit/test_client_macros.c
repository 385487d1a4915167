/* The one-liners: scoped spans, whole functions, transformations, and values. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "wire.h"

static struct fake_collector *begin(void)
{
	struct fake_collector *fake = fake_start("sock");

	tracer_start("sock");
	return fake;
}

/* ---- Scoped spans ------------------------------------------------------------- */

static int leave(int way)
{
	for (int i = 0; i < 3; i++) {
		WAFT_SPAN(span, "scoped");
		waft_attr_int(&span, "way", way);
		if (way == 0)
			return i;
		if (way == 1)
			break;
		if (way == 2)
			continue;
		if (way == 3)
			goto out;
	}
	return -1;
out:
	return 3;
}

/* Ended on every way out, so that what follows stands beside it, not below. */
static void scoped_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span root;

	WAFT_BEGIN(&root, "root");
	for (int way = 0; way < 4; way++)
		(void)leave(way);
	{
		WAFT_SPAN_IN(span, "layered", "api");
		WAFT_SPAN(inner, "inner");
	}
	waft_end(&root);
	tracer_end(fake, NULL);
	CHECK_INT(fake_count(fake, "scoped"), 6);
	for (uint32_t i = 0; i < 6; i++) {
		CHECK_INT(fake_find(fake, "scoped", i)->status, WIRE_STATUS_SUCCESS);
		CHECK(fake_find(fake, "scoped", i)->parent == fake_find(fake, "root", 0)->id);
	}
	CHECK_TEXT(fake_find(fake, "layered", 0)->layer, "api");
	CHECK(fake_find(fake, "inner", 0)->parent == fake_find(fake, "layered", 0)->id);
	fake_free(fake);
}

/* ---- Functions ------------------------------------------------------------------ */

WAFT_TRACED(int, add, (int a, int b), (a, b))
{
	if (a < 0)
		return a;
	return a + b;
}

static WAFT_TRACED(double, half, (double value), (value))
{
	return value / 2;
}

static WAFT_TRACED(bool, is_even, (int value), (value))
{
	return value % 2 == 0;
}

static WAFT_TRACED(const char *, greeting, (void), ())
{
	return "hello \"you\"";
}

static WAFT_TRACED(unsigned long long, most, (void), ())
{
	return UINT64_MAX;
}

static WAFT_TRACED(char *, nothing, (void), ())
{
	return NULL;
}

struct pair {
	int a, b;
};

static WAFT_TRACED(struct pair, pair_of, (int a, int b), (a, b))
{
	return (struct pair){a, b};
}

static int touched;

static WAFT_TRACED_VOID(touch, (int value), (value))
{
	if (value == 0)
		return;
	touched = value;
}

static int one_line(int value)
{
	WAFT_FUNCTION();
	if (value > 0)
		return value;
	return 0;
}

static void one_line_in(void)
{
	WAFT_FUNCTION_IN("persistence");
}

int add(int a, int b);

static void functions_body(void)
{
	static const struct {
		const char *name, *output;
	} cases[] = {{"test_client_macros.add", "5"}, {"test_client_macros.half", "1.25"},
		{"test_client_macros.is_even", "true"},
		{"test_client_macros.greeting", "\"hello \\\"you\\\"\""},
		{"test_client_macros.most", "18446744073709551615"}};
	struct fake_collector *fake = begin();

	CHECK_INT(add(2, 3), 5);
	CHECK_INT(add(-2, 3), -2);
	CHECK(half(2.5) == 1.25);
	CHECK(is_even(4));
	CHECK_TEXT(greeting(), "hello \"you\"");
	CHECK(most() == UINT64_MAX);
	CHECK(nothing() == NULL);
	CHECK_INT(pair_of(1, 2).b, 2);
	touch(0);
	touch(7);
	CHECK_INT(touched, 7);
	CHECK_INT(one_line(3), 3);
	one_line_in();
	tracer_end(fake, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_TEXT(fake_find(fake, cases[i].name, 0)->output, cases[i].output);
		CHECK(fake_find(fake, cases[i].name, 0)->input == NULL);
	}
	CHECK_TEXT(fake_find(fake, "test_client_macros.add", 1)->output, "-2");
	CHECK(fake_find(fake, "test_client_macros.nothing", 0)->output == NULL);
	CHECK(fake_find(fake, "test_client_macros.pair_of", 0)->output == NULL);
	CHECK_INT(fake_count(fake, "test_client_macros.touch"), 2);
	CHECK_INT(fake_count(fake, "test_client_macros.one_line"), 1);
	CHECK_TEXT(fake_find(fake, "test_client_macros.one_line_in", 0)->layer, "persistence");
	fake_free(fake);
}

/* ---- Transformations -------------------------------------------------------------- */

static int normalise(int ret, char *to)
{
	strcpy(to, "[2]");
	return ret;
}

static void *cancelled(void *arg)
{
	(void)arg;
	(void)WAFT_TRANSFORM("cancelled", "[1]", "[2]", (pthread_exit(NULL), 0));
	return NULL;
}

static int evaluations;

static const char *output_text(const char *text)
{
	evaluations++;
	return text;
}

static void transform_body(void)
{
	struct fake_collector *fake = begin();
	char output[16] = "";
	pthread_t thread;

	CHECK_INT(WAFT_TRANSFORM("good", "{\"token\":1}", output, normalise(4, output)), 4);
	CHECK_INT(WAFT_TRANSFORM_IN(
			  "bad", "api", "[1]", output_text(output), normalise(-ENOENT, output)),
		-ENOENT);
	CHECK_INT(evaluations, 1);
	CHECK_INT(WAFT_TRANSFORM("none", NULL, NULL, 0), 0);
	CHECK(pthread_create(&thread, NULL, cancelled, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	tracer_end(fake, NULL);
	CHECK_TEXT(fake_find(fake, "good", 0)->input, "{\"token\":\"[redacted]\"}");
	CHECK_TEXT(fake_find(fake, "good", 0)->output, "[2]");
	CHECK_INT(fake_find(fake, "good", 0)->status, WIRE_STATUS_SUCCESS);
	CHECK_TEXT(fake_find(fake, "bad", 0)->input, "[1]");
	CHECK_TEXT(fake_find(fake, "bad", 0)->output, "[2]");
	CHECK_TEXT(fake_find(fake, "bad", 0)->layer, "api");
	CHECK_INT(fake_find(fake, "bad", 0)->status, WIRE_STATUS_ERROR);
	CHECK_TEXT(fake_find(fake, "bad", 0)->error, "No such file or directory");
	CHECK_TEXT(fake_find(fake, "bad", 0)->attributes, "error.code=-2;");
	CHECK(fake_find(fake, "none", 0)->input == NULL);
	/* C runs no clean-up when a thread leaves in the middle. */
	CHECK_INT(fake_find(fake, "cancelled", 0)->status, WIRE_STATUS_PENDING);
	CHECK_TEXT(fake_find(fake, "cancelled", 0)->input, "[1]");
	fake_free(fake);
}

/* What is not recorded is not evaluated. */
static void disabled_body(void)
{
	setenv("OTEL_SDK_DISABLED", "true", 1);
	CHECK_INT(WAFT_TRANSFORM("off", "[1]", output_text("[2]"), 5), 5);
	CHECK_INT(evaluations, 0);
	CHECK_INT(add(2, 3), 5);
	CHECK_INT(leave(0), 0);
}

/* ---- Typed values ------------------------------------------------------------------ */

static void values_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span span, ended = {0};

	WAFT_BEGIN(&span, "int");
	waft_input_int(&span, INT64_MIN);
	waft_output_int(&span, INT64_MAX);
	waft_end(&span);
	WAFT_BEGIN(&span, "double");
	waft_input_double(&span, 0.1);
	waft_output_double(&span, NAN);
	waft_end(&span);
	WAFT_BEGIN(&span, "bool");
	waft_input_bool(&span, false);
	waft_output_bool(&span, true);
	waft_end(&span);
	WAFT_BEGIN(&span, "string");
	waft_input_string(&span, "a\n");
	waft_output_string(&span, "first");
	waft_output_string(&span, NULL);
	waft_end(&span);
	waft_input_string(&ended, "x");
	waft_input_int(NULL, 1);
	tracer_end(fake, NULL);
	CHECK_TEXT(fake_find(fake, "int", 0)->input, "-9223372036854775808");
	CHECK_TEXT(fake_find(fake, "int", 0)->output, "9223372036854775807");
	CHECK_TEXT(fake_find(fake, "double", 0)->input, "0.1");
	CHECK_TEXT(fake_find(fake, "double", 0)->output, "null");
	CHECK_TEXT(fake_find(fake, "bool", 0)->input, "false");
	CHECK_TEXT(fake_find(fake, "bool", 0)->output, "true");
	CHECK_TEXT(fake_find(fake, "string", 0)->input, "\"a\\n\"");
	CHECK_TEXT(fake_find(fake, "string", 0)->output, "\"first\"");
	fake_free(fake);
}

/* Every kind of attribute in every place that takes some. */
static void attributes_body(void)
{
	static const char *const strings[] = {"a", NULL, "c"};
	static const bool booleans[] = {true, false};
	static const int64_t integers[] = {INT64_MIN, 0, INT64_MAX};
	static const double numbers[] = {0.5, -1};
	const struct waft_attribute all[] = {
		{.key = "s", .type = WAFT_TYPE_STRING, .count = SIZE_MAX, .value = {.string = "x"}},
		{.key = "n", .type = WAFT_TYPE_STRING, .count = 1, .value = {.string = "xyz"}},
		{.key = "b", .type = WAFT_TYPE_BOOL, .value = {.boolean = true}},
		{.key = "i", .type = WAFT_TYPE_INT, .value = {.integer = -1}},
		{.key = "d", .type = WAFT_TYPE_DOUBLE, .value = {.number = 2.5}},
		{.key = "ss", .type = WAFT_TYPE_STRINGS, .count = 3, .value = {.strings = strings}},
		{.key = "bs", .type = WAFT_TYPE_BOOLS, .count = 2, .value = {.booleans = booleans}},
		{.key = "is", .type = WAFT_TYPE_INTS, .count = 3, .value = {.integers = integers}},
		{.key = "ds", .type = WAFT_TYPE_DOUBLES, .count = 2, .value = {.numbers = numbers}},
		{.key = "none", .type = WAFT_TYPE_INTS, .count = 0},
		{.key = "secret",
			.type = WAFT_TYPE_INTS,
			.count = 3,
			.value = {.integers = integers}},
	};
	static const char scalars[] = "s=x;n=x;b=true;i=-1;d=2.5;";
	static const char arrays[] =
		"ss=[a,,c];bs=[true,false];is=[-9223372036854775808,0,9223372036854775807];"
		"ds=[0.5,-1];none=[];";
	enum { COUNT = sizeof(all) / sizeof(all[0]) };
	struct fake_collector *fake = begin();
	struct waft_context context;
	struct waft_span span;
	char expected[512];

	WAFT_BEGIN(&span, "all");
	for (int i = 0; i < COUNT; i++)
		waft_set(&span, &all[i]);
	waft_event(&span, "event", all, COUNT);
	waft_context_of(&span, &context);
	waft_link(&span, &context, all, COUNT);
	waft_context_done(&context);
	waft_set(&span, &(struct waft_attribute){.key = "", .type = WAFT_TYPE_BOOL});
	waft_set(&span, &(struct waft_attribute){.key = NULL, .type = WAFT_TYPE_BOOL});
	waft_set(&span, &(struct waft_attribute){.key = "null", .type = WAFT_TYPE_STRING});
	waft_end(&span);
	tracer_end(fake, NULL);
	snprintf(expected, sizeof(expected), "event(%s%ssecret=[redacted];)", scalars, arrays);
	CHECK_TEXT(fake_find(fake, "all", 0)->events, expected);
	snprintf(expected, sizeof(expected), "%ssecret=[redacted];%s", scalars, arrays);
	CHECK_TEXT(fake_find(fake, "all", 0)->attributes, expected);
	CHECK_INT(fake_find(fake, "all", 0)->links, 1);
	CHECK_INT(fake_find(fake, "all", 0)->repairs, 0);
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(scoped)
TEST(functions)
TEST(transform)
TEST(disabled)
TEST(values)
TEST(attributes)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scoped),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_transform),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
