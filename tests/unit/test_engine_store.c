/*
 * The store of decisions: what is put in comes out, ids in all their forms, and
 * what is said when the file is not what it should be.
 */
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store.h"

static char directory[] = "/tmp/waft-store.XXXXXX";
static char path[128];

static int make_directory(void **state)
{
	(void)state;
	memcpy(strchr(directory, '.') + 1, "XXXXXX", 6);
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/a/b/decisions.db", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	char command[64];
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	return system(command);
}

static struct store *open_store(void)
{
	struct fault fault = {0};
	struct store *store = NULL;
	if (store_open(path, &store, &fault) != 0)
		fail_msg("%s", fault_text(&fault));
	return store;
}

static void insert(struct store *store, const char *problem, const char *recommendation,
	char id[DECISION_ID_SIZE])
{
	struct fault fault = {0};
	const struct decision decision = {
		.trace_id = (char *)"0af76519-16cd-43dd-8448-eb211c80319c",
		.problem = (char *)problem,
		.recommendation = (char *)recommendation,
		.request = (char *)"{\"a\": \"é'\\\"\"}",
	};
	assert_int_equal(store_insert(store, &decision, id, &fault), 0);
}

static void test_keeps_decisions(void **state)
{
	(void)state;
	struct store *store = open_store();
	struct fault fault = {0};
	struct decision decision = {0};
	struct stat status;
	char id[DECISION_ID_SIZE];
	insert(store, "it's 'quoted'", NULL, id);
	store_close(store);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);

	store = open_store();
	assert_int_equal(store_load(store, id, &decision, &fault), 0);
	assert_string_equal(decision.id, id);
	assert_string_equal(decision.trace_id, "0af76519-16cd-43dd-8448-eb211c80319c");
	assert_string_equal(decision.problem, "it's 'quoted'");
	assert_null(decision.recommendation);
	assert_string_equal(decision.request, "{\"a\": \"é'\\\"\"}");
	assert_int_equal(strlen(decision.created_at), strlen("2026-01-09T10:30:00.123Z"));
	decision_done(&decision);
	store_close(store);
}

static void loads_as(struct store *store, const char *text, const char *id)
{
	struct fault fault = {0};
	struct decision decision = {0};
	if (store_load(store, text, &decision, &fault) != 0)
		fail_msg("%s: %s", text, fault_text(&fault));
	assert_string_equal(decision.id, id);
	decision_done(&decision);
}

static void not_loaded(struct store *store, const char *text, enum fault_kind kind)
{
	struct fault fault = {0};
	struct decision decision = {0};
	assert_true(store_load(store, text, &decision, &fault) < 0);
	assert_int_equal(fault.kind, kind);
	assert_non_null(strstr(fault_text(&fault), text));
	assert_null(decision.id);
	fault_done(&fault);
}

static void test_ids_in_any_form(void **state)
{
	(void)state;
	struct store *store = open_store();
	char id[DECISION_ID_SIZE];
	char text[DECISION_ID_SIZE + 8];
	insert(store, "p", "x", id);
	loads_as(store, id, id);
	size_t digits = 0;
	for (const char *p = id; *p; p++)
		if (*p != '-')
			text[digits++] = *p;
	text[digits] = '\0';
	loads_as(store, text, id);
	for (char *p = text; *p; p++)
		if (*p >= 'a' && *p <= 'f')
			*p = (char)(*p - 'a' + 'A');
	loads_as(store, text, id);
	loads_as(store, text + 24, id);
	text[10] = '\0';
	loads_as(store, text, id);
	text[3] = '\0';
	not_loaded(store, text, FAULT_MISSING); /* too short to mean one */
	not_loaded(store, "wxyz", FAULT_MISSING);
	not_loaded(store, "%%%%", FAULT_MISSING);
	not_loaded(store, "____", FAULT_MISSING);
	not_loaded(store, "00000000-0000-4000-8000-000000000000", FAULT_MISSING);
	not_loaded(store, "", FAULT_MISSING);
	snprintf(text, sizeof(text), "%s0", id);
	not_loaded(store, text, FAULT_MISSING);
	store_close(store);
}

static void sql(const char *text)
{
	sqlite3 *database = NULL;
	char *error = NULL;
	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	if (sqlite3_exec(database, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", text, error);
	sqlite3_close(database);
}

static void test_ambiguous_id(void **state)
{
	(void)state;
	store_close(open_store());
	sql("INSERT INTO decisions (id, digits, created_at, trace_id, problem, request) VALUES "
	    "('abcd1111-2222-4333-8444-555555555555', 'abcd1111222243338444555555555555', '', '', "
	    "'', ''), ('11112222-2222-4333-8444-55555555abcd', "
	    "'1111222222224333844455555555abcd', '', '', '', '')");
	struct store *store = open_store();
	struct fault fault = {0};
	struct decision decision = {0};
	assert_int_equal(store_load(store, "ABCD", &decision, &fault), -EINVAL);
	assert_string_equal(fault_text(&fault), "Decision ID ABCD is ambiguous. It could mean: "
						"11112222-2222-4333-8444-55555555abcd, "
						"abcd1111-2222-4333-8444-555555555555");
	fault_done(&fault);
	loads_as(store, "abcd1", "abcd1111-2222-4333-8444-555555555555");
	store_close(store);
}

static void list_is(struct store *store, unsigned int limit, const char *before,
	const char *const *ids, size_t count, const char *next)
{
	struct fault fault = {0};
	struct json_out out = {0};
	char next_id[DECISION_ID_SIZE];
	json_out_array(&out);
	assert_int_equal(store_list(store, limit, before, &out, next_id, &fault), 0);
	json_out_end_array(&out);
	assert_string_equal(next_id, next);
	json_t *list = NULL;
	assert_int_equal(json_read(out.text.data, out.text.length_bytes, &list, &fault), 0);
	assert_int_equal(json_array_size(list), count);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(list, i), "id")), ids[i]);
	json_decref(list);
	text_done(&out.text);
}

static void test_lists_newest_first(void **state)
{
	(void)state;
	struct store *store = open_store();
	char ids[3][DECISION_ID_SIZE];
	list_is(store, 10, NULL, NULL, 0, "");
	for (int i = 0; i < 3; i++)
		insert(store, "p", "x", ids[i]);
	list_is(store, 10, NULL, (const char *const[]){ids[2], ids[1], ids[0]}, 3, "");
	list_is(store, 3, NULL, (const char *const[]){ids[2], ids[1], ids[0]}, 3, "");
	list_is(store, 2, NULL, (const char *const[]){ids[2], ids[1]}, 2, ids[1]);
	list_is(store, 2, ids[1], (const char *const[]){ids[0]}, 1, "");
	struct fault fault = {0};
	struct json_out out = {0};
	char next_id[DECISION_ID_SIZE];
	assert_int_equal(store_list(store, 2, "ffff", &out, next_id, &fault), -ENOENT);
	fault_done(&fault);
	store_close(store);
}

static void cannot_open(const char *expected_part)
{
	struct fault fault = {0};
	struct store *store = NULL;
	assert_true(store_open(path, &store, &fault) < 0);
	assert_null(store);
	if (strstr(fault_text(&fault), expected_part) == NULL)
		fail_msg("'%s' does not say '%s'", fault_text(&fault), expected_part);
	fault_done(&fault);
}

static void test_files_that_are_none(void **state)
{
	(void)state;
	store_close(open_store());
	sql("PRAGMA user_version = 2");
	cannot_open("has version 2, this program knows 1");
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		fputs("no database ", file);
	fclose(file);
	cannot_open("file is not a database");
	snprintf(path, sizeof(path), "%s", directory);
	cannot_open("Is a directory; choose another with --db FILE");
	snprintf(path, sizeof(path), "/proc/none/decisions.db");
	cannot_open("cannot make directory /proc/none");
}

/* A table that is gone: each call fails, says on what, and the process lives. */
static void test_failing_statements(void **state)
{
	(void)state;
	struct store *store = open_store();
	sql("DROP TABLE decisions");
	struct fault fault = {0};
	struct decision decision = {
		.trace_id = (char *)"", .problem = (char *)"", .request = (char *)""};
	char id[DECISION_ID_SIZE] = "unchanged";
	assert_int_equal(store_insert(store, &decision, id, &fault), -EIO);
	assert_int_equal(fault.kind, FAULT_INTERNAL);
	assert_non_null(strstr(fault_text(&fault), path));
	assert_non_null(strstr(fault_text(&fault), "decision_store.insert: no such table"));
	assert_string_equal(id, "unchanged");
	assert_int_equal(store_load(store, "abcd", &decision, &fault), -EIO);
	fault_done(&fault);
	store_close(store);
}

#define store_test(function) \
	cmocka_unit_test_setup_teardown(function, make_directory, remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_keeps_decisions),
		store_test(test_ids_in_any_form),
		store_test(test_ambiguous_id),
		store_test(test_lists_newest_first),
		store_test(test_files_that_are_none),
		store_test(test_failing_statements),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
