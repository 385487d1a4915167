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

/* What was put is taken again, all of it or the rows that are asked for; what is taken out
 * again is gone, and a longest span that is gone is told. */
static void put_and_taken(void **state)
{
	struct slice shop = slice_of_text("shop"), op = slice_of_text("op");
	struct slice core = slice_of_text("core"), none = slice_of("", 0);
	struct stats *stats = stats_new(), *again = stats_new();
	struct bytes bytes = {0};
	int64_t row;

	(void)state;
	row = stats_row_of(stats, shop, op, core);
	for (int64_t i = 1; i <= 1000; i++)
		assert_int_equal(stats_add(stats, row, i % 10 == 0 ? RECORD_ERROR : RECORD_SUCCESS,
					 i * 1000, i),
			0);
	row = stats_row_of(stats, slice_of_text("db"), op, core);
	assert_int_equal(stats_add(stats, row, RECORD_PENDING, -1, -1), 0);
	assert_int_equal(stats_put(stats, &bytes), 0);
	for (size_t cut = 1; cut < bytes.length; cut += 7) {
		struct stats *torn = stats_new();
		int ret = stats_take(torn, slice_of(bytes.data, cut), none, none, none);

		assert_true(ret == 0 || ret == ERR_MALFORMED);
		stats_free(torn);
	}
	assert_int_equal(stats_take(again, slice_of(bytes.data, bytes.length), shop, op, none), 0);
	assert_int_equal(stats_count(again), 1);
	assert_int_equal(stats_at(again, 0)->count, 1000);
	assert_int_equal(stats_at(again, 0)->errors, 100);
	assert_int_equal(stats_at(again, 0)->max_ns, 1000000);
	assert_int_equal(stats_percentile_ns(stats_at(again, 0), 0.5),
		stats_percentile_ns(stats_at(stats, 0), 0.5));
	stats_remove(again, 0, RECORD_SUCCESS, 999000, 999);
	assert_false(stats_is_unsure(again));
	stats_remove(again, 0, RECORD_ERROR, 1000000, 1000);
	assert_true(stats_is_unsure(again));
	assert_int_equal(stats_add(again, 0, RECORD_SUCCESS, 1000000, 5), 0);
	assert_false(stats_is_unsure(again));
	assert_int_equal(stats_at(again, 0)->count, 999);
	assert_int_equal(stats_at(again, 0)->errors, 99);
	assert_int_equal(stats_at(again, 0)->total_ns, stats_at(stats, 0)->total_ns - 999000);
	bytes_done(&bytes);
	stats_free(stats);
	stats_free(again);
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
		cmocka_unit_test(put_and_taken),
		cmocka_unit_test(too_many_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
