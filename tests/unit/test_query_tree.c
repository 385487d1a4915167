/* Trees from spans in any order, broken ones too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree.h"

/* A span in short. id and parent: one byte each; parent 0: a root. Times in us. */
struct span {
	uint8_t id;
	uint8_t parent;
	int64_t start;
	int64_t duration; /* -1: open */
	bool failed;
	const char *line; /* NULL: made from the rest */
};

static void add(struct tree *tree, const struct span *span, uint32_t item)
{
	struct record record = {
		.start_ns = span->start * 1000,
		.duration_ns = span->duration < 0 ? -1 : span->duration * 1000,
		.has_parent = span->parent != 0,
		.status = span->duration < 0 ? RECORD_PENDING
			  : span->failed     ? RECORD_ERROR
					     : RECORD_SUCCESS,
	};
	char line[64];

	record.span_id[15] = span->id;
	record.parent_id[15] = span->parent;
	sprintf(line, "%d %d %d %d", span->id, span->parent, (int)span->start, (int)span->duration);
	record.line = slice_of_text(span->line != NULL ? span->line : line);
	assert_int_equal(tree_add(tree, &record, item), 0);
}

/* The rows in short: depth, id, flags. "?" for a missing one. */
static void describe(const struct tree *tree, char *out)
{
	*out = '\0';
	for (size_t i = 0; i < tree->row_count; i++) {
		const struct tree_row *row = &tree->rows[i];

		sprintf(out + strlen(out), "%u%s%d%s%s%s%s%s ", row->depth,
			row->missing ? "?" : ":", row->id[15], row->flags & TREE_LATE ? "L" : "",
			row->flags & TREE_DUPLICATE ? "D" : "", row->flags & TREE_ORPHAN ? "O" : "",
			row->flags & TREE_CYCLE ? "C" : "", row->flags & TREE_SKEW ? "S" : "");
	}
}

/* Builds from these spans in many orders; each must give `expected`. */
static void check(const struct span *spans, uint32_t count, const char *expected)
{
	struct tree tree = {0};
	uint32_t order[64];
	char text[1024];

	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (int round = 0; round < 50; round++) {
		tree_reset(&tree);
		for (uint32_t i = 0; i < count; i++)
			add(&tree, &spans[order[i]], order[i]);
		assert_int_equal(tree_build(&tree), 0);
		describe(&tree, text);
		assert_string_equal(text, expected);
		for (uint32_t i = count; i > 1; i--) {
			uint32_t j = (uint32_t)rand() % i;
			uint32_t swap = order[i - 1];

			order[i - 1] = order[j];
			order[j] = swap;
		}
	}
	tree_done(&tree);
}

/* id, parent, start, duration */
#define S(id_, parent_, start_, duration_)                                                   \
	{                                                                                    \
		.id = (id_), .parent = (parent_), .start = (start_), .duration = (duration_) \
	}
#define CHECK(expected, ...)                                                 \
	do {                                                                 \
		const struct span spans_[] = {__VA_ARGS__};                  \
		check(spans_, sizeof(spans_) / sizeof(spans_[0]), expected); \
	} while (0)

static void siblings_by_start_then_id(void **state)
{
	(void)state;
	CHECK("0:9 1:4 2:7 1:2 1:3 0:1 ", S(9, 0, 10, 100), S(2, 9, 30, 1), S(3, 9, 30, 1),
		S(4, 9, 20, 5), S(7, 4, 21, 1), S(1, 0, 11, 5));
}

static void orphans(void **state)
{
	(void)state;
	CHECK("0:1 0?8 1:5O 0?7 1:2O 2:3 1:4O ", S(1, 0, 10, 100), S(2, 7, 20, 10), S(3, 2, 21, 1),
		S(4, 7, 22, 1), S(5, 8, 15, 1));
}

static void duplicates(void **state)
{
	(void)state;
	/* a final one replaces open ones; equal ones are one */
	CHECK("0:1 1:2 ", S(1, 0, 0, 100), S(1, 0, 0, -1), S(2, 1, 5, 5), S(2, 1, 5, 5));
	/* others stay, flagged; children hang on the first */
	CHECK("0:1 1:2 2:3 1:2D ", S(1, 0, 0, 100), S(2, 1, 5, 5), S(2, 1, 6, 7), S(3, 2, 6, 1));
	CHECK("0:1 0:1D ", {1, 0, 0, 10, false, "a"}, {1, 0, 0, 10, false, "b"});
	CHECK("0:1 ", S(1, 0, 0, -1), S(1, 0, 0, -1));
}

static void cycles(void **state)
{
	(void)state;
	CHECK("0:1C ", S(1, 1, 5, 1));
	CHECK("0:3C 1:2LC 2:4LCS 0:1 ", S(1, 0, 20, 5), S(2, 3, 10, 1), S(3, 4, 5, 1),
		S(4, 2, 7, 1));
	/* a tail that leads into a ring, and two rings */
	CHECK("0:2C 1:3C 2:4 3:5 0:6C 1:7C ", S(2, 3, 1, 1), S(3, 2, 1, 1), S(4, 3, 1, 1),
		S(5, 4, 1, 1), S(6, 7, 2, 1), S(7, 6, 3, 1));
}

static void late_and_skew(void **state)
{
	(void)state;
	CHECK("0:1 1:2S 1:3 1:4L 2:5L ", S(1, 0, 10, 100), S(2, 1, 5, 5), S(3, 1, 15, 95),
		S(4, 1, 20, 200), S(5, 4, 150, 2));
	/* clocks may be off by 1 us */
	CHECK("0:1 1:2 ", S(1, 0, 10, 100), S(2, 1, 9, 102));
}

static void self_times_and_counts(void **state)
{
	const struct span spans[] = {
		S(1, 0, 0, 100),
		{2, 1, 10, 20, true, NULL}, /* 10–30 */
		S(3, 1, 20, 20),	    /* 20–40: overlaps */
		S(4, 1, 90, 50),	    /* 90–140: beyond the end */
		S(5, 1, 50, -1),	    /* open */
		S(6, 3, 25, 5),
	};
	static const int64_t self_us[] = {100 - 30 - 10, 20, 15, 5, -1, 50};
	struct tree tree = {0};

	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		add(&tree, &spans[i], i);
	assert_int_equal(tree_build(&tree), 0);
	assert_int_equal(tree.row_count, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(tree.rows[i].self_ns, self_us[i] < 0 ? -1 : self_us[i] * 1000);
	assert_int_equal(tree.span_count, 6);
	assert_int_equal(tree.error_count, 1);
	assert_int_equal(tree.open_count, 1);
	assert_int_equal(tree.end_ns, 140000);
	assert_int_equal(tree.head, 0);
	tree_done(&tree);
}

static void head(void **state)
{
	const struct span with_root[] = {S(1, 9, 0, 1), S(3, 0, 5, 1), S(2, 0, 5, 1)};
	const struct span without[] = {S(4, 9, 3, 1), S(1, 9, 2, 1), S(2, 1, 2, 1)};
	struct tree tree = {0};

	(void)state;
	assert_int_equal(tree_build(&tree), 0);
	assert_int_equal(tree.head, UINT32_MAX);
	for (uint32_t i = 0; i < 3; i++)
		add(&tree, &with_root[i], i);
	assert_int_equal(tree_build(&tree), 0);
	assert_int_equal(tree.rows[tree.head].item, 2);
	tree_reset(&tree);
	for (uint32_t i = 0; i < 3; i++)
		add(&tree, &without[i], i);
	assert_int_equal(tree_build(&tree), 0);
	assert_int_equal(tree.rows[tree.head].item, 1);
	tree_done(&tree);
}

static void extreme_times(void **state)
{
	struct record record = {.start_ns = INT64_MIN + 1, .duration_ns = INT64_MAX};
	struct tree tree = {0};

	(void)state;
	record.line = slice_of_text("a");
	record.span_id[0] = 1;
	assert_int_equal(tree_add(&tree, &record, 0), 0);
	record.span_id[0] = 2;
	record.parent_id[0] = 1;
	record.has_parent = true;
	record.start_ns = INT64_MAX;
	assert_int_equal(tree_add(&tree, &record, 1), 0);
	record.span_id[0] = 3;
	record.parent_id[0] = 2;
	record.start_ns = INT64_MIN + 1;
	assert_int_equal(tree_add(&tree, &record, 2), 0);
	assert_int_equal(tree_build(&tree), 0);
	assert_int_equal(tree.row_count, 3);
	assert_true((tree.rows[2].flags & TREE_SKEW) != 0);
	assert_true((tree.rows[1].flags & TREE_LATE) != 0);
	tree_done(&tree);
}

/* 100,000 deep, and as wide: no recursion, no square. */
static void deep_and_wide(void **state)
{
	struct tree tree = {0};

	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		tree_reset(&tree);
		for (uint32_t i = 0; i < 100000; i++) {
			uint32_t number = (i * 7919u) % 100000u; /* a shuffle: 7919 is coprime */
			uint32_t parent = wide ? 0 : number - 1;
			struct record record = {
				.start_ns = number, .duration_ns = 5, .has_parent = number > 0};

			memcpy(record.span_id, &number, 4);
			memcpy(record.parent_id, &parent, 4);
			record.line = slice_of(&number, 4);
			assert_int_equal(tree_add(&tree, &record, number), 0);
		}
		assert_int_equal(tree_build(&tree), 0);
		assert_int_equal(tree.row_count, 100000);
		for (uint32_t i = 0; i < 100000; i++) {
			assert_int_equal(tree.rows[i].item, i);
			assert_int_equal(tree.rows[i].depth, wide ? i > 0 : i);
		}
	}
	tree_done(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siblings_by_start_then_id),
		cmocka_unit_test(orphans),
		cmocka_unit_test(duplicates),
		cmocka_unit_test(cycles),
		cmocka_unit_test(late_and_skew),
		cmocka_unit_test(self_times_and_counts),
		cmocka_unit_test(head),
		cmocka_unit_test(extreme_times),
		cmocka_unit_test(deep_and_wide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
