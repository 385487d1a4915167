/*
 * Pages of a trace whose spans wait in the log and in the inbox: what moves from the
 * inbox to the log between two pages is in one of them.
 */
#include "inbox_files.h"
#include "query.h"
#include "support/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SPANS = 12, LOGGED = 4, LINE_BYTES = 1024 };

/* The spans that wait, as a collector would give them: in order of their ordinals. */
static struct {
	struct ordinal ordinals[SPANS];
	char lines[SPANS][LINE_BYTES];
	uint32_t log_end;
} world;

static int for_each_part(
	void *ctx, int (*on_part)(void *arg, const struct live_part *part), void *arg)
{
	(void)ctx;
	(void)on_part;
	(void)arg;
	return 0;
}

static int give(int number, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	struct live_span span = {
		.ordinal = world.ordinals[number], .line = slice_of_text(world.lines[number])};

	if (after != NULL && (span.ordinal.segment < after->segment ||
				     (span.ordinal.segment == after->segment &&
					     span.ordinal.offset <= after->offset)))
		return 0;
	test_trace_id(1, span.trace_id);
	return on_span(arg, &span);
}

static int for_each_span(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	int ret = 0;

	(void)ctx;
	(void)trace_id;
	for (uint32_t at = 1; ret == 0 && at <= world.log_end; at++) {
		for (int i = 0; ret == 0 && i < SPANS; i++) {
			if (world.ordinals[i].segment == 1 && world.ordinals[i].offset == at)
				ret = give(i, after, on_span, arg);
		}
	}
	for (int i = 0; ret == 0 && i < SPANS; i++) {
		if (world.ordinals[i].segment != 1)
			ret = give(i, after, on_span, arg);
	}
	return ret;
}

static const struct live_source live = {
	.store_id = {7}, .for_each_part = for_each_part, .for_each_span = for_each_span};

static void move_to_log(void)
{
	for (int i = 0; i < SPANS; i++) {
		if (world.ordinals[i].segment != 1)
			world.ordinals[i] = (struct ordinal){1, ++world.log_end, 0};
	}
}

static void make_world(void)
{
	world.log_end = 0;
	for (int i = 0; i < SPANS; i++) {
		const struct test_span span = {
			.trace = 1, .span = (uint32_t)i, .parent = UINT32_MAX, .duration_us = 1};
		int length = test_store_line(&span, world.lines[i], LINE_BYTES);

		assert_true(length > 1 && length < LINE_BYTES);
		world.lines[i][length - 1] = '\0';
		world.ordinals[i] = i < LOGGED
					    ? (struct ordinal){1, ++world.log_end, 0}
					    : (struct ordinal){INBOX_SEGMENT | 5, (uint32_t)i, 0};
	}
}

/* Which spans the pages told, after which one of them the inbox moves. */
static void read_pages(struct reader *reader, int moves_after, unsigned int ret_seen[SPANS])
{
	uint8_t page[400], id[16];
	size_t page_length = 0;
	int pages = 0;

	test_trace_id(1, id);
	do {
		struct query_records records = {0};

		assert_int_equal(
			query_get(reader, id, 1, slice_of(page, page_length), &records), 0);
		for (size_t k = 0; k < records.count; k++) {
			for (int i = 0; i < SPANS; i++)
				ret_seen[i] += records.lines[k].length == strlen(world.lines[i]) &&
					       memcmp(records.lines[k].data, world.lines[i],
						       records.lines[k].length) == 0;
		}
		page_length = records.next_page.length;
		assert_true(page_length < sizeof(page));
		if (page_length > 0)
			memcpy(page, records.next_page.data, page_length);
		query_records_done(&records);
		if (++pages == moves_after)
			move_to_log();
		assert_true(pages <= 3 * SPANS);
	} while (page_length > 0);
}

static void test_inbox_moves(void **state)
{
	struct test_store store;
	struct reader_config config = {.live = &live};
	struct reader *reader;

	(void)state;
	test_store_init(&store);
	config.directory = store.path;
	assert_int_equal(reader_open(&config, &reader), 0);
	for (int moves_after = 0; moves_after <= SPANS; moves_after++) {
		unsigned int seen[SPANS] = {0};

		make_world();
		read_pages(reader, moves_after, seen);
		for (int i = 0; i < SPANS; i++) {
			/* Once more rather than never. */
			assert_true(seen[i] >= 1);
			assert_true(seen[i] == 1 || moves_after > 0);
		}
	}
	reader_close(reader);
	test_store_done(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_inbox_moves)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
