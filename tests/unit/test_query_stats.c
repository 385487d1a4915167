/* Percentiles within their promise, sums of parts, and the bound on rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stats.h"

static int64_t row_of(struct stats *stats, const char *operation)
{
	int64_t row = stats_row_of(
		stats, slice_of_text("s"), slice_of_text(operation), slice_of_text("core"));

	assert_true(row >= 0);
	return row;
}

static int compare_durations(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left;
	int64_t b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

static void assert_near(int64_t value, int64_t exact)
{
	double error = (double)(value - exact);

	assert_true(error <= (double)exact / 127 + 0.5 && -error <= (double)exact / 127 + 0.5);
}

static void percentiles(void **state)
{
	static const double shares[] = {0, 0.25, 0.5, 0.95, 0.99, 1};
	enum { COUNT = 5000 };
	int64_t *durations = malloc(COUNT * sizeof(*durations));

	(void)state;
	srand(1);
	for (int spread = 2; spread < 62; spread += 3) {
		struct stats *stats = stats_new();
		int64_t row = row_of(stats, "x");

		for (int i = 0; i < COUNT; i++) {
			uint64_t value = ((uint64_t)rand() << 32) ^ ((uint64_t)rand() << 16) ^
					 (uint64_t)rand();

			durations[i] = (int64_t)(value >> (63 - rand() % spread) & INT64_MAX);
			assert_int_equal(stats_add(stats, row, RECORD_SUCCESS, durations[i], 0), 0);
		}
		qsort(durations, COUNT, sizeof(*durations), compare_durations);
		for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
			double exact = shares[i] * COUNT;
			int rank = (int)exact + (exact > (int)exact || exact < 1);

			assert_near(stats_percentile_ns(stats_at(stats, 0), shares[i]),
				durations[rank - 1]);
		}
		stats_free(stats);
	}
	free(durations);
}

static void counts(void **state)
{
	struct stats *stats = stats_new();
	int64_t a = row_of(stats, "a");
	int64_t b = row_of(stats, "b");
	const struct stats_row *row;

	(void)state;
	assert_int_equal(row_of(stats, "a"), a);
	assert_int_equal(stats_add(stats, a, RECORD_SUCCESS, 100, 40), 0);
	assert_int_equal(stats_add(stats, a, RECORD_ERROR, 50, 50), 0);
	assert_int_equal(stats_add(stats, a, RECORD_PENDING, -1, -1), 0);
	assert_int_equal(stats_add(stats, b, RECORD_SUCCESS, 7000, 7000), 0);
	stats_sort(stats);
	row = stats_at(stats, 1);
	assert_int_equal(row->count, 3);
	assert_int_equal(row->errors, 1);
	assert_int_equal(row->timed, 2);
	assert_int_equal(row->total_ns, 150);
	assert_int_equal(row->self_ns, 90);
	assert_int_equal(row->max_ns, 100);
	assert_int_equal(row_of(stats, "b"), 0);
	assert_int_equal(row_of(stats, "a"), 1);
	stats_free(stats);
}

static void parts_add_up(void **state)
{
	struct stats *whole = stats_new();
	struct stats *sum = stats_new();

	(void)state;
	srand(2);
	for (int part = 0; part < 5; part++) {
		struct stats *stats = stats_new();

		for (int i = 0; i < 1000; i++) {
			char operation[2] = {(char)('a' + rand() % 7), 0};
			int64_t duration = rand() % 1000000;

			assert_int_equal(stats_add(stats, row_of(stats, operation), RECORD_SUCCESS,
						 duration, duration / 2),
				0);
			assert_int_equal(stats_add(whole, row_of(whole, operation), RECORD_SUCCESS,
						 duration, duration / 2),
				0);
		}
		assert_int_equal(stats_merge(sum, stats), 0);
		stats_free(stats);
	}
	stats_sort(sum);
	stats_sort(whole);
	assert_int_equal(stats_count(sum), stats_count(whole));
	for (size_t i = 0; i < stats_count(sum); i++) {
		const struct stats_row *a = stats_at(sum, i);
		const struct stats_row *b = stats_at(whole, i);

		assert_true(slice_equal(a->operation, b->operation));
		assert_int_equal(a->count, b->count);
		assert_int_equal(a->total_ns, b->total_ns);
		assert_int_equal(a->self_ns, b->self_ns);
		assert_int_equal(stats_percentile_ns(a, 0.95), stats_percentile_ns(b, 0.95));
	}
	stats_free(sum);
	stats_free(whole);
}

static void too_many_operations(void **state)
{
	struct stats *stats = stats_new();
	uint64_t total = 0;

	(void)state;
	for (int i = 0; i < STATS_OPERATIONS * 2; i++) {
		char operation[16];

		sprintf(operation, "op %d", i);
		assert_int_equal(
			stats_add(stats, row_of(stats, operation), RECORD_SUCCESS, 1, 1), 0);
	}
	assert_int_equal(stats_count(stats), STATS_OPERATIONS);
	for (size_t i = 0; i < stats_count(stats); i++)
		total += stats_at(stats, i)->count;
	assert_int_equal(total, STATS_OPERATIONS * 2);
	assert_true(slice_equal(
		stats_at(stats, STATS_OPERATIONS - 1)->operation, slice_of_text("(other)")));
	stats_free(stats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles),
		cmocka_unit_test(counts),
		cmocka_unit_test(parts_add_up),
		cmocka_unit_test(too_many_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
