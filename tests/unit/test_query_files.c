/* Queries on files that somebody else wrote: no manifest, no index. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "query.h"
#include "reader.h"
#include "stats.h"
#include "support/test_store.h"
#include "tree.h"

static const struct filter everything;
static struct test_store store;
static struct reader *reader;

static int setup(void **state)
{
	struct reader_config config = {.directory = store.path};

	(void)state;
	test_store_init(&store);
	return reader_open(&config, &reader);
}

static int teardown(void **state)
{
	(void)state;
	reader_close(reader);
	reader = NULL;
	test_store_done(&store);
	return 0;
}

static void assert_text(struct slice text, const char *expected)
{
	assert_int_equal(text.length, strlen(expected));
	assert_memory_equal(text.data, expected, text.length);
}

static void nothing_there(void **state)
{
	struct reader_config config = {.directory = "/nonexistent/store"};
	struct query_list list = {0};
	struct query_found found;
	struct reader *other;

	(void)state;
	assert_int_equal(reader_open(&config, &other), -ENOENT);
	assert_int_equal(query_list(reader, &everything, 0, slice_of("", 0), &list), 0);
	assert_int_equal(list.count, 0);
	assert_int_equal(list.next_page.length, 0);
	query_list_done(&list);
	assert_int_equal(query_find(reader, slice_of_text("last"), &found), -ENOENT);
	assert_false(reader_report(reader)->unverified);
}

#define ORIGINAL "a5f4b680-d790-4370-8c95-d37b79bd6322"

/* What query_show answers is what query_find and query_get do. */
static void assert_shown(const char *id, int expected, size_t count)
{
	struct query_records records = {0};
	struct query_found found;
	char text[RECORD_ID_TEXT_BYTES];

	assert_int_equal(query_show(reader, slice_of_text(id), &found, &records), expected);
	assert_int_equal(records.count, count);
	query_records_done(&records);
	record_format_id(found.trace_id, text);
	if (count > 0)
		assert_string_equal(text, ORIGINAL);
}

static void original(void **state)
{
	static const char *const forms[] = {ORIGINAL, "A5F4B680D79043708C95D37B79BD6322",
		"{" ORIGINAL "}", "a5f4", "a5f4b680-d7", "6322", "79bd-6322", "last", "@1"};
	static const char *const bad[] = {
		"a5", "xyz!", "", "@", "@x", "a5f4b680d79043708c95d37b79bd63221"};
	struct query_list list = {0};
	struct query_records records = {0};
	struct query_found found;
	char id[RECORD_ID_TEXT_BYTES];

	(void)state;
	test_store_copy(&store, TEST_DATA "/original-traces-2026-01-09.jsonl");
	assert_int_equal(query_list(reader, &everything, 0, slice_of("", 0), &list), 0);
	assert_int_equal(list.count, 1);
	record_format_id(list.traces[0].trace_id, id);
	assert_string_equal(id, ORIGINAL);
	assert_text(list.traces[0].operation, "test.decision_analysis");
	assert_text(list.traces[0].layer, "test");
	assert_int_equal(list.traces[0].duration_ns, 2718925);
	assert_int_equal(list.traces[0].spans, 9);
	assert_int_equal(list.traces[0].errors, 0);
	assert_int_equal(list.traces[0].service_count, 0);
	assert_false(list.traces[0].pending);
	query_list_done(&list);
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		assert_int_equal(query_find(reader, slice_of_text(forms[i]), &found), 0);
		record_format_id(found.trace_id, id);
		assert_string_equal(id, ORIGINAL);
		assert_shown(forms[i], 0, 9);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(query_find(reader, slice_of_text(bad[i]), &found), -EINVAL);
		assert_shown(bad[i], -EINVAL, 0);
	}
	assert_shown("beef", -ENOENT, 0);
	assert_shown("a5f4b680-d790-4370-8c95-d37b79bd6323", -ENOENT, 0);
	assert_int_equal(query_find(reader, slice_of_text("@2"), &found), -ENOENT);
	assert_int_equal(query_find(reader, slice_of_text("beef"), &found), -ENOENT);
	assert_int_equal(query_get(reader, found.trace_id, 0, slice_of("", 0), &records), 0);
	assert_int_equal(records.count, 9);
	query_records_done(&records);
}

static void add(const char *file, struct test_span span)
{
	char line[1024];

	test_store_line(&span, line, sizeof(line));
	test_store_append(&store, file, line);
}

static uint64_t list_count(const struct filter *filter)
{
	struct query_list list = {0};
	uint64_t count;

	assert_int_equal(query_list(reader, filter, 0, slice_of("", 0), &list), 0);
	count = list.count;
	query_list_done(&list);
	return count;
}

#define ROOT .parent = UINT32_MAX

static void bad_lines_are_counted(void **state)
{
	const struct reader_report *report = reader_report(reader);
	struct query_list list = {0};

	(void)state;
	add("2026-01-01.jsonl", (struct test_span){.trace = 1, .span = 1, ROOT, .start_us = 5});
	test_store_append(&store, "2026-01-01.jsonl", "\nrubbish\n{\"trace_id\":1}\n");
	add("2026-01-01.jsonl", (struct test_span){.trace = 1, .span = 2, .parent = 1});
	test_store_append(&store, "2026-01-01.jsonl", "{\"trace_id\":\"still being wr");
	test_store_append(&store, "notes.txt", "not looked at\n");
	assert_int_equal(query_list(reader, &everything, 0, slice_of("", 0), &list), 0);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.traces[0].spans, 2);
	query_list_done(&list);
	assert_int_equal(report->bad_lines, 2);
	assert_string_equal(report->bad_file, "2026-01-01.jsonl");
	assert_int_equal(report->bad_line, 3);
	assert_string_equal(report->bad_why, "not JSON");
}

/* Files that grow or are written anew between queries. */
static void files_change(void **state)
{
	char path[128];

	(void)state;
	add("a.jsonl", (struct test_span){.trace = 1, .span = 1, ROOT});
	assert_int_equal(list_count(&everything), 1);
	add("a.jsonl", (struct test_span){.trace = 2, .span = 1, ROOT});
	add("b.jsonl", (struct test_span){.trace = 3, .span = 1, ROOT});
	assert_int_equal(list_count(&everything), 3);
	snprintf(path, sizeof(path), "%s/a.jsonl", store.path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(list_count(&everything), 1);
	add("a.jsonl", (struct test_span){.trace = 4, .span = 1, ROOT});
	assert_int_equal(list_count(&everything), 2);
}

/* A trace with spans in two files, interleaved with another. */
static void scattered(void **state)
{
	struct filter both = {.service = slice_of_text("b"), .operation = slice_of_text("second")};
	struct query_list list = {0};

	(void)state;
	for (uint32_t i = 0; i < 10; i++) {
		add(i % 2 ? "a.jsonl" : "b.jsonl",
			(struct test_span){.trace = i % 3,
				.span = i,
				.parent = i < 3 ? UINT32_MAX : i % 3,
				.start_us = 10 + i,
				.duration_us = 100,
				.service = i % 2 ? "a" : "b",
				.operation = i < 5 ? "first" : "second"});
	}
	assert_int_equal(query_list(reader, &everything, 0, slice_of("", 0), &list), 0);
	assert_int_equal(list.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(list.traces[i].spans, i == 2 ? 4 : 3);
		assert_int_equal(list.traces[i].service_count, 2);
		assert_text(list.traces[i].services[0], "a");
		assert_int_equal(list.traces[i].start_ns, (12 - (int64_t)i) * 1000);
	}
	query_list_done(&list);
	assert_int_equal(list_count(&both), 2); /* spans 6 and 8: traces 0 and 2 */
}

static void filters(void **state)
{
	struct filter_attribute attribute = {slice_of_text("key"), slice_of_text("x")};
	struct filter filter = {.attributes = &attribute, .attribute_count = 1};

	(void)state;
	add("a.jsonl", (struct test_span){.trace = 1,
			       .span = 1,
			       ROOT,
			       .start_us = 100,
			       .duration_us = 1000,
			       .attribute = "x",
			       .input = "\"needle\""});
	add("a.jsonl", (struct test_span){.trace = 1,
			       .span = 2,
			       .parent = 1,
			       .start_us = 110,
			       .duration_us = 10,
			       .failed = true,
			       .layer = "db"});
	add("a.jsonl", (struct test_span){.trace = 2,
			       .span = 3,
			       ROOT,
			       .start_us = 200,
			       .duration_us = 5000,
			       .failed = true});
	add("a.jsonl", (struct test_span){.trace = 3,
			       .span = 4,
			       ROOT,
			       .start_us = 300,
			       .duration_us = -1,
			       .attribute = "y"});
	assert_int_equal(list_count(&filter), 1);
	filter.layer = slice_of_text("db"); /* on another span */
	assert_int_equal(list_count(&filter), 0);
	filter = (struct filter){.errors = true};
	assert_int_equal(list_count(&filter), 2);
	filter.has_status = true;
	filter.status = RECORD_SUCCESS;
	assert_int_equal(list_count(&filter), 1);
	filter = (struct filter){.has_status = true, .status = RECORD_PENDING};
	assert_int_equal(list_count(&filter), 1);
	filter = (struct filter){.since_ns = 200000, .until_ns = 300000};
	assert_int_equal(list_count(&filter), 1);
	filter = (struct filter){.min_duration_ns = 1000000, .max_duration_ns = 1000000};
	assert_int_equal(list_count(&filter), 1);
	filter = (struct filter){.grep = slice_of_text("needle")};
	assert_int_equal(list_count(&filter), 1);
	filter.grep = slice_of_text("it broke");
	assert_int_equal(list_count(&filter), 2);
}

static void pages(void **state)
{
	struct query_list list = {0};
	uint8_t page[64];
	size_t length = 0;
	int64_t last = INT64_MAX;
	int seen = 0;

	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		add("a.jsonl",
			(struct test_span){.trace = i, .span = 1, ROOT, .start_us = i / 2 + 1});
	do {
		assert_int_equal(
			query_list(reader, &everything, 7, slice_of(page, length), &list), 0);
		for (size_t i = 0; i < list.count; i++, seen++) {
			assert_true(list.traces[i].start_ns <= last);
			last = list.traces[i].start_ns;
		}
		/* what comes meanwhile is newer: it moves no page */
		add("a.jsonl", (struct test_span){.trace = 1000 + (uint32_t)seen,
				       .span = 1,
				       ROOT,
				       .start_us = 100 + seen});
		length = list.next_page.length;
		assert_true(length <= sizeof(page));
		if (length > 0)
			memcpy(page, list.next_page.data, length);
		query_list_done(&list);
	} while (length > 0);
	assert_int_equal(seen, 50);
	page[3] ^= 1;
	assert_int_equal(query_list(reader, &everything, 7, slice_of(page, 29), &list), -EINVAL);
	assert_int_equal(query_list(reader, &everything, 7, slice_of(page, 5), &list), -EINVAL);
}

static void ambiguous(void **state)
{
	struct query_found found;
	char first[RECORD_ID_TEXT_BYTES];

	(void)state;
	for (int i = 0; i < 30; i++) {
		char line[512];

		sprintf(line,
			"{\"trace_id\":\"abcd00%02d00000000000000000000ffff\","
			"\"span_id\":\"0000000000000001\",\"timestamp\":\"2026-01-01T00:00:00\","
			"\"operation\":\"x\"}\n",
			29 - i);
		test_store_append(&store, "a.jsonl", line);
	}
	assert_int_equal(query_find(reader, slice_of_text("abcd"), &found), ERR_AMBIGUOUS);
	assert_int_equal(found.candidate_count, QUERY_CANDIDATES_MAX);
	assert_true(found.more);
	assert_shown("abcd", ERR_AMBIGUOUS, 0);
	record_format_id(found.candidates[0], first);
	assert_string_equal(first, "abcd0000-0000-0000-0000-00000000ffff");
	assert_int_equal(query_find(reader, slice_of_text("0FFFF"), &found), ERR_AMBIGUOUS);
	assert_int_equal(query_find(reader, slice_of_text("abcd001"), &found), ERR_AMBIGUOUS);
	assert_int_equal(found.candidate_count, 10);
	assert_false(found.more);
	assert_int_equal(query_find(reader, slice_of_text("abcd0013"), &found), 0);
	assert_int_equal(found.trace_id[3], 0x13);
}

/* A trace of 100,000 spans, page by page, each below 256 KiB. */
static void large_trace(void **state)
{
	enum { COUNT = 100000 };
	char path[128], line[1024];
	struct tree tree = {0};
	struct scratch scratch = {0};
	struct query_records records = {0};
	struct query_list list = {0};
	uint8_t page[300], id[16];
	size_t length = 0, seen = 0;
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/a.jsonl", store.path);
	file = fopen(path, "w");
	for (uint32_t i = 0; i < COUNT; i++) {
		struct test_span span = {.trace = 7,
			.span = i,
			.parent = i == 0 ? UINT32_MAX : i - 1,
			.start_us = i,
			.duration_us = 2 * COUNT};

		test_store_line(&span, line, sizeof(line));
		fputs(line, file);
	}
	fclose(file);
	assert_int_equal(query_list(reader, &everything, 0, slice_of("", 0), &list), 0);
	assert_int_equal(list.traces[0].spans, COUNT);
	query_list_done(&list);
	test_trace_id(7, id);
	do {
		size_t bytes = 0;

		assert_int_equal(
			query_get(reader, id, 200000, slice_of(page, length), &records), 0);
		for (size_t i = 0; i < records.count; i++, seen++) {
			struct record record;

			assert_int_equal(
				record_parse(records.lines[i], &scratch, &record, NULL), 0);
			assert_int_equal(tree_add(&tree, &record, (uint32_t)seen), 0);
			bytes += records.lines[i].length;
		}
		assert_true(bytes < 262144);
		length = records.next_page.length;
		if (length > 0)
			memcpy(page, records.next_page.data, length);
		query_records_done(&records);
	} while (length > 0);
	assert_int_equal(seen, COUNT);
	assert_int_equal(tree_build(&tree), 0);
	assert_int_equal(tree.row_count, COUNT);
	assert_int_equal(tree.rows[COUNT - 1].depth, COUNT - 1);
	tree_done(&tree);
	scratch_done(&scratch);
}

static void stats(void **state)
{
	struct filter filter = {.service = slice_of_text("shop")};
	struct stats *stats = stats_new();

	(void)state;
	add("a.jsonl", (struct test_span){
			       .trace = 1, .span = 1, ROOT, .start_us = 100, .duration_us = 1000});
	add("b.jsonl", (struct test_span){.trace = 1,
			       .span = 2,
			       .parent = 1,
			       .start_us = 200,
			       .duration_us = 300,
			       .service = "db",
			       .failed = true});
	add("a.jsonl", (struct test_span){
			       .trace = 2, .span = 3, ROOT, .start_us = 300, .duration_us = 500});
	assert_int_equal(query_stats(reader, &everything, stats), 0);
	stats_sort(stats);
	assert_int_equal(stats_count(stats), 2);
	assert_text(stats_at(stats, 0)->service, "shop");
	assert_int_equal(stats_at(stats, 0)->count, 2);
	assert_int_equal(stats_at(stats, 0)->total_ns, 1500000);
	assert_int_equal(stats_at(stats, 0)->self_ns, 1200000);
	assert_int_equal(stats_at(stats, 1)->errors, 1);
	stats_free(stats);
	stats = stats_new();
	assert_int_equal(query_stats(reader, &filter, stats), 0);
	assert_int_equal(stats_count(stats), 1);
	assert_int_equal(stats_at(stats, 0)->self_ns, 1200000);
	stats_free(stats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_there, setup, teardown),
		cmocka_unit_test_setup_teardown(original, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_lines_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(files_change, setup, teardown),
		cmocka_unit_test_setup_teardown(scattered, setup, teardown),
		cmocka_unit_test_setup_teardown(filters, setup, teardown),
		cmocka_unit_test_setup_teardown(pages, setup, teardown),
		cmocka_unit_test_setup_teardown(ambiguous, setup, teardown),
		cmocka_unit_test_setup_teardown(large_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(stats, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
