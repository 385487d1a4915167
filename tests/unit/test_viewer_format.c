/* Tests of build.c and format.c: what trees, heads and summaries look like. */
#include "build.h"
#include "format.h"
#include "strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* 2026-01-09 09:07:20 UTC */
#define NOW INT64_C(1767949640000000000)

static struct waft_trace *finish(struct trace_build *build)
{
	struct waft_trace *trace = NULL;

	memcpy(build->trace_id, build->records[0].trace_id, sizeof build->trace_id);
	assert_int_equal(trace_build_finish(build, &trace), 0);
	return trace;
}

static struct waft_trace *trace_of_file(const char *path)
{
	struct trace_build build = {0};
	FILE *file = fopen(path, "re");
	size_t capacity = 0;
	char *line = NULL;
	ssize_t length;

	assert_non_null(file);
	while ((length = getline(&line, &capacity, file)) > 0)
		assert_int_equal(trace_build_add(&build, slice_of(line, (size_t)length - 1)), 0);
	assert_int_equal(fclose(file), 0);
	free(line);
	return finish(&build);
}

#define TRACE "11111111-2222-4333-8444-555555555555"

/* A line of the store. id and parent (0: none) are small numbers; duration and
 * error are JSON. */
struct span {
	int id;
	int parent;
	int start_ms;
	const char *duration;
	const char *operation; /* JSON text */
	const char *status;
	const char *data;
	const char *error;
	const char *layer;
};

static void add(struct trace_build *build, const struct span *span)
{
	struct strbuf line = {0};

	strbuf_format(&line,
		"{\"trace_id\":\"" TRACE
		"\",\"span_id\":\"00000000-0000-8%03d-8000-000000000000\",\"parent_span_id\":",
		span->id);
	if (span->parent != 0)
		strbuf_format(&line, "\"00000000-0000-8%03d-8000-000000000000\"", span->parent);
	else
		strbuf_string(&line, "null");
	strbuf_format(&line,
		",\"timestamp\":\"2026-01-09T09:07:12.%03d000000Z\",\"duration_ms\":%s,"
		"\"operation\":\"%s\",\"layer\":\"%s\",\"status\":\"%s\",\"data\":%s,"
		"\"metadata\":{\"service\":\"svc%d\",\"pid\":1,\"host\":\"h\",\"kind\":"
		"\"internal\"},"
		"\"error\":%s}",
		span->start_ms, span->duration, span->operation,
		span->layer != NULL ? span->layer : "core", span->status,
		span->data != NULL ? span->data : "{\"input\":null,\"output\":null}", span->id % 2,
		span->error != NULL ? span->error : "null");
	assert_int_equal(trace_build_add(build, slice_of(line.bytes, line.length)), 0);
	strbuf_done(&line);
}

static struct waft_trace *trace_of(const struct span *spans, size_t count)
{
	struct trace_build build = {0};

	for (size_t i = 0; i < count; i++)
		add(&build, &spans[i]);
	assert_int_equal(build.count, count);
	return finish(&build);
}

#define TRACE_OF(spans) trace_of(spans, sizeof(spans) / sizeof(spans)[0])

static struct waft_trace_style plain(void)
{
	return (struct waft_trace_style){
		.size = sizeof(struct waft_trace_style), .utc = true, .now_ns = NOW};
}

static void expect_tree(
	const struct waft_trace *trace, const struct waft_trace_style *style, const char *expected)
{
	char *text = waft_trace_format_tree(trace, style);

	assert_string_equal(text, expected);
	waft_text_free(text);
}

static void shows_the_originals_file(void **state)
{
	struct waft_trace *trace =
		trace_of_file(WAFT_TEST_DATA "/original-traces-2026-01-09.jsonl");
	struct waft_trace_style style = plain();
	char *text;

	(void)state;
	expect_tree(trace, &style,
		"✓ test.decision_analysis (2.72ms) [test]\n"
		"✓ input_transformer.transform_input (1.74ms) [core]\n"
		"  ✓ input_transformer.validate_schema (0.01ms) [core]\n"
		"  ✓ input_transformer.extract_alternatives (0.01ms) [core]\n"
		"  ✓ input_transformer.extract_criteria (0.02ms) [core]\n"
		"  ✓ input_transformer.extract_scores (0.03ms) [core]\n"
		"  ✓ input_transformer.create_matrix (0.01ms) [core]\n"
		"✓ decision_matrix.calculate_wsm (0.02ms) [core]\n"
		"✓ decision_matrix.rank_alternatives (0.01ms) [core]\n");
	text = waft_trace_format_head(trace, &style);
	assert_string_equal(text, "Trace:    a5f4b680-d790-4370-8c95-d37b79bd6322\n"
				  "Started:  2026-01-09 09:07:12.933 UTC\n"
				  "Services: -\n"
				  "Spans:    9\n"
				  "Errors:   0\n");
	waft_text_free(text);
	text = waft_trace_format_summary(&trace->summary, &style);
	assert_string_equal(text, "✓ [a5f4b680-d790-4370-8c95-d37b79bd6322] 09:07:12 | "
				  "test.decision_analysis (2.72ms)");
	waft_text_free(text);
	waft_trace_free(trace);
}

static void shows_data_of_the_original(void **state)
{
	struct waft_trace *trace =
		trace_of_file(WAFT_TEST_DATA "/original-traces-2026-01-09.jsonl");
	struct waft_trace_style style = plain();
	char *text;

	(void)state;
	style.data = WAFT_DATA_SHORT;
	text = waft_trace_format_tree(trace, &style);
	/* Cut after 100 characters; what isn't "output" is the input. */
	assert_non_null(strstr(text, "  ✓ input_transformer.extract_criteria (0.02ms) [core]\n"
				     "    Input: {\"raw_criteria_keys\""));
	assert_non_null(strstr(text, "    Output: {\"count\": 3, \"criteria\": [{\"name\": "
				     "\"Performance\", \"weight\": 0.4}, "
				     "{\"name\": \"Ease of Learning\", \"weig…\n"));
	/* No data, no line. */
	assert_non_null(strstr(text, "validate_schema (0.01ms) [core]\n  ✓ "));
	waft_text_free(text);
	style.data = WAFT_DATA_FULL;
	text = waft_trace_format_tree(trace, &style);
	assert_non_null(strstr(text, "{\"name\": \"Ecosystem\", \"weight\": 0.3}]}\n"));
	assert_null(strstr(text, "…"));
	waft_text_free(text);
	waft_trace_free(trace);
}

static void shows_what_is_unusual(void **state)
{
	static const struct span spans[] = {
		{1, 0, 100, "50", "root", "error", NULL, "\"root failed\"", NULL},
		{2, 1, 110, "10", "child", "error", NULL, "\"line one\\nline two\"", "api"},
		{3, 1, 105, "null", "open child", "pending", NULL, NULL, NULL},
		{4, 9, 120, "1.005", "orphan", "success", NULL, NULL, NULL},
		{5, 4, 121, "0", "its child", "success", NULL, NULL, NULL},
		{6, 0, 160, "2000", "second root", "success", NULL, NULL, "l"},
	};
	struct waft_trace *trace = TRACE_OF(spans);
	struct waft_trace_style style = plain();

	(void)state;
	style.now_ns = INT64_C(1767949632105000000) + INT64_C(3200000000);
	expect_tree(trace, &style,
		"✗ root (50.00ms) [core]\n"
		"  Error: root failed\n"
		"  • open child (open 3.20s) [core]\n"
		"  ✗ child (10.00ms) [api]\n"
		"    Error: line one\\nline two\n"
		"✓ second root (2000.00ms) [l]\n"
		"? parent 00000000-0000-8009-8000-000000000000 not received\n"
		"  ✓ orphan (1.00ms) [core]\n"
		"    ✓ its child (0.00ms) [core]\n");
	assert_int_equal(trace->summary.spans, 6);
	assert_int_equal(trace->summary.errors, 2);
	assert_int_equal(trace->summary.service_count, 2);
	assert_string_equal(trace->summary.services[0], "svc0");
	assert_string_equal(trace->summary.services[1], "svc1");
	assert_string_equal(trace->summary.status, "error");
	waft_trace_free(trace);
}

static void escapes_what_traces_hold(void **state)
{
	static const struct span spans[] = {
		{1, 0, 100, "1", "evil\\u001b[2J\\u202e\\u0000", "error",
			"{\"input\":\"\xc2\x9b"
			"2J\",\"output\":null}",
			"\"\\u0007bell\"", "\\u001b]0;x\\u0007"},
	};
	struct waft_trace *trace = TRACE_OF(spans);
	struct waft_trace_style style = plain();

	(void)state;
	style.data = WAFT_DATA_SHORT;
	expect_tree(trace, &style,
		"✗ evil\\x1b[2J\\u202e␀ (1.00ms) [\\x1b]0;x\\x07]\n"
		"  Error: \\x07bell\n"
		"  Input: \"\\x9b2J\"\n");
	waft_trace_free(trace);
}

static void fits_a_terminal(void **state)
{
	static const struct span spans[] = {
		{1, 0, 100, "12.5", "a.rather.long.operation.name.that.goes.on.and.on", "success",
			NULL, NULL, "a-layer-with-quite-a-long-name-too"},
		{2, 1, 101, "1", "数据转换数据转换数据转换数据转换数据转换数", "success", NULL,
			NULL, NULL},
		{3, 2, 102, "1", "short", "success", NULL, NULL, NULL},
	};
	struct waft_trace *trace = TRACE_OF(spans);
	struct waft_trace_style style = plain();
	char *text;

	(void)state;
	style.columns = 60;
	text = waft_trace_format_tree(trace, &style);
	assert_string_equal(text, "✓ a.rather.long.operat… (12.50ms) [a-layer-with-quite-a-lo…]\n"
				  "  ✓ 数据转换数据转换数据转换数据转换数据转… (1.00ms) [core]\n"
				  "    ✓ short (1.00ms) [core]\n");
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		assert_true(strbuf_columns(line, strlen(line)) <= 60);
	waft_text_free(text);
	waft_trace_free(trace);
}

static void draws_a_waterfall(void **state)
{
	static const struct span spans[] = {
		{1, 0, 0, "100", "root", "success", NULL, NULL, NULL},
		{2, 1, 25, "50", "half", "error", NULL, NULL, NULL},
		{3, 1, 50, "0.1", "moment", "success", NULL, NULL, NULL},
		{4, 1, 90, "10", "end", "success", NULL, NULL, NULL},
	};
	struct waft_trace *trace = TRACE_OF(spans);
	struct waft_trace_style style = plain();

	(void)state;
	style.waterfall = true;
	style.columns = 55;
	/* 33 columns of labels, 20 of bars: a cell is 5 ms. */
	expect_tree(trace, &style,
		"                                   0           100.00ms\n"
		"✓ root (100.00ms) [core]           ████████████████████\n"
		"  ✗ half (50.00ms) [core]               ██████████\n"
		"  ✓ moment (0.10ms) [core]                   ▏\n"
		"  ✓ end (10.00ms) [core]                             ██\n");
	waft_trace_free(trace);
}

static void colours_only_when_asked(void **state)
{
	static const struct span spans[] = {
		{1, 0, 0, "1", "root", "error", NULL, "\"e\"", NULL},
	};
	struct waft_trace *trace = TRACE_OF(spans);
	struct waft_trace_style style = plain();

	(void)state;
	style.color = true;
	expect_tree(trace, &style,
		"\033[31m✗\033[0m \033[31mroot\033[0m \033[2m(1.00ms)\033[0m "
		"\033[36m[core]\033[0m\n\033[31m  Error: e\n\033[0m");
	waft_trace_free(trace);
}

/* A chain as deep as a store can hold costs neither the stack nor quadratic
 * output. */
static void shows_a_chain_of_100000(void **state)
{
	enum { DEPTH = 100000 };
	struct trace_build build = {0};
	struct waft_trace_style style = plain();
	struct waft_trace *trace;
	char line[512];
	char *text;

	(void)state;
	for (int i = 0; i < DEPTH; i++) {
		int length = snprintf(line, sizeof line,
			"{\"trace_id\":\"" TRACE
			"\",\"span_id\":\"%08x-0000-4000-8000-000000000001\","
			"\"parent_span_id\":%s%08x%s,\"timestamp\":\"2026-01-09T09:07:12."
			"000000000Z\","
			"\"duration_ms\":1,\"operation\":\"op\",\"layer\":\"core\","
			"\"status\":\"success\",\"data\":{},\"metadata\":{},\"error\":null}",
			(unsigned)i + 1, i == 0 ? "null,\"x\":\"" : "\"", (unsigned)i,
			i == 0 ? "\"" : "-0000-4000-8000-000000000001\"");

		assert_int_equal(trace_build_add(&build, slice_of(line, (size_t)length)), 0);
	}
	assert_int_equal(build.count, DEPTH);
	trace = finish(&build);
	assert_int_equal(trace->count, DEPTH);
	assert_int_equal(trace->nodes[DEPTH - 1].depth, DEPTH - 1);
	text = waft_trace_format_tree(trace, &style);
	assert_non_null(text);
	assert_true(strlen(text) < (size_t)DEPTH * 600);
	assert_non_null(strstr(text, "[level 100000] ✓ op (1.00ms) [core]\n"));
	waft_text_free(text);
	waft_trace_free(trace);
}

static void passes_over_what_is_no_record(void **state)
{
	static const struct span span = {1, 0, 0, "1", "root", "success", NULL, NULL, NULL};
	struct trace_build build = {0};
	struct waft_trace *trace;

	(void)state;
	add(&build, &span);
	assert_int_equal(trace_build_add(&build, slice_of_text("{\"half\":")), 0);
	assert_int_equal(trace_build_add(&build, slice_of_text("")), 0);
	assert_int_equal(build.bad_lines, 2);
	trace = finish(&build);
	assert_int_equal(trace->count, 1);
	waft_trace_free(trace);
}

static void writes_json_numbers(void **state)
{
	static const struct {
		double ms;
		const char *text;
	} cases[] = {{2.7189254760742188, "2.718925"}, {10, "10"}, {0, "0"}, {100.5, "100.5"},
		{1000000, "1000000"}};
	struct strbuf text = {0};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		strbuf_clear(&text);
		format_json_ms(&text, false, cases[i].ms);
		assert_string_equal(text.bytes, cases[i].text);
	}
	strbuf_clear(&text);
	format_json_ms(&text, true, 1);
	assert_string_equal(text.bytes, "null");
	strbuf_done(&text);
}

/* A program built with an older header gives a smaller style. */
static void takes_an_older_style(void **state)
{
	struct waft_trace_style style = plain();
	struct waft_trace_style known;

	(void)state;
	style.waterfall = true;
	style.size = offsetof(struct waft_trace_style, waterfall);
	known = format_style(&style);
	assert_true(known.utc);
	assert_false(known.waterfall);
	known = format_style(NULL);
	assert_int_equal(known.columns, 0);
	assert_true(known.now_ns > NOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_the_originals_file),
		cmocka_unit_test(shows_data_of_the_original),
		cmocka_unit_test(shows_what_is_unusual),
		cmocka_unit_test(escapes_what_traces_hold),
		cmocka_unit_test(fits_a_terminal),
		cmocka_unit_test(draws_a_waterfall),
		cmocka_unit_test(colours_only_when_asked),
		cmocka_unit_test(shows_a_chain_of_100000),
		cmocka_unit_test(passes_over_what_is_no_record),
		cmocka_unit_test(writes_json_numbers),
		cmocka_unit_test(takes_an_older_style),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
