/*
 * Several stores read as one: whatever way the lines of traces are split over two
 * directories, and doubled in both, lists, trees and figures are those of one directory
 * that has each line once. Seeds are fixed; a failure names its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <waft/viewer.h>

enum { TRACES = 24, SPANS_MAX = 9, SEEDS = 3, PLACES = 3 };

/* The one that has all, and the two that share it. */
enum { ALL, LEFT, RIGHT };

struct world {
	uint64_t random;
	char directory[PLACES][64];
	FILE *files[PLACES];
};

static uint64_t next_random(struct world *world)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return world->random;
}

static unsigned below(struct world *world, unsigned limit)
{
	return (unsigned)(next_random(world) % limit);
}

/* A line whose peer, if any, is what this place saw of its sender. */
static void put_line(struct world *world, int place, const char *head, bool peer)
{
	FILE *file = world->files[place];

	fputs(head, file);
	if (peer)
		fprintf(file, ",\"peer\":{\"name\":\"agent} \\\"%d\"}",
			place == RIGHT ? RIGHT : LEFT);
	fputs("},\"error\":null}\n", file);
}

static void share_line(struct world *world, const char *head)
{
	bool peer = below(world, 2) == 0;
	unsigned where = below(world, 3);

	/* What is in both is listed once, as the first place has it. */
	put_line(world, ALL, head, peer && where != 1);
	if (where != 1)
		put_line(world, LEFT, head, peer);
	if (where != 0)
		put_line(world, RIGHT, head, peer && where == 2);
}

static void put_span(struct world *world, unsigned trace, unsigned span, int64_t start_us)
{
	static const char *const statuses[] = {"success", "error", "success", "pending"};
	const char *status = statuses[below(world, 4)];
	bool pending = strcmp(status, "pending") == 0;
	unsigned parent = span > 0 ? below(world, span) : 0;
	char parent_text[48] = "null";
	char duration[32] = "null";
	char head[1024];

	/* Now and then the parent was not received. */
	if (span > 0)
		snprintf(parent_text, sizeof parent_text, "\"%08x-0000-8000-8007-000000000000\"",
			below(world, 8) == 0 ? 0xdead : trace * 256 + parent + 1);
	if (!pending)
		snprintf(duration, sizeof duration, "%u.5", below(world, 50));
	snprintf(head, sizeof head,
		"{\"trace_id\":\"%08x-0000-4000-8000-00000000%04x\",\"span_id\":"
		"\"%08x-0000-8000-8007-000000000000\",\"parent_span_id\":%s,\"timestamp\":"
		"\"2026-01-09T10:%02d:%02d.%06dZ\",\"duration_ms\":%s,\"operation\":\"op%u\","
		"\"layer\":\"l%u\",\"status\":\"%s\",\"data\":{\"input\":\"in%u\",\"output\":null},"
		"\"metadata\":{\"service\":\"s%u\",\"pid\":1,\"host\":\"h\",\"kind\":\"internal\","
		"\"attributes\":{\"k\":%u}",
		trace * 2654435761u, trace, trace * 256 + span + 1, parent_text,
		(int)(start_us / 60000000 % 60), (int)(start_us / 1000000 % 60),
		(int)(start_us % 1000000), duration, below(world, 4), below(world, 3), status,
		below(world, 30), below(world, 4), below(world, 3));
	share_line(world, head);
}

static void world_make(struct world *world, uint64_t seed)
{
	*world = (struct world){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
	for (int i = 0; i < PLACES; i++) {
		char path[128];

		snprintf(world->directory[i], sizeof world->directory[i], "/tmp/waft-many.XXXXXX");
		assert_non_null(mkdtemp(world->directory[i]));
		snprintf(path, sizeof path, "%s/2026-01-09.jsonl", world->directory[i]);
		world->files[i] = fopen(path, "we");
		assert_non_null(world->files[i]);
	}
	for (unsigned trace = 1; trace <= TRACES; trace++) {
		/* Some start at the same time. */
		int64_t start_us = (int64_t)below(world, TRACES) * 1000000;
		unsigned spans = 1 + below(world, SPANS_MAX);

		for (unsigned span = 0; span < spans; span++)
			put_span(world, trace, span, start_us + span * 1000);
	}
	for (int i = 0; i < PLACES; i++)
		assert_int_equal(fclose(world->files[i]), 0);
}

static void world_done(struct world *world)
{
	for (int i = 0; i < PLACES; i++) {
		char path[128];

		snprintf(path, sizeof path, "%s/2026-01-09.jsonl", world->directory[i]);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(rmdir(world->directory[i]), 0);
	}
}

static void open_place(struct waft_viewer *viewer, const struct world *world, int place, bool first)
{
	char where[80];

	snprintf(where, sizeof where, "file:%s", world->directory[place]);
	if ((first ? waft_viewer_open(viewer, where) : waft_viewer_add(viewer, where)) != 0)
		fail_msg("%s", waft_viewer_error(viewer));
}

/* ---- Comparing ----------------------------------------------------------- */

static void same_summary(const struct waft_trace_summary *a, const struct waft_trace_summary *b)
{
	assert_string_equal(a->trace_id, b->trace_id);
	assert_int_equal(a->start_ns, b->start_ns);
	assert_true(a->duration_ms == b->duration_ms);
	assert_int_equal(a->pending, b->pending);
	assert_string_equal(a->operation, b->operation);
	assert_string_equal(a->layer, b->layer);
	assert_string_equal(a->status, b->status);
	assert_int_equal(a->spans, b->spans);
	assert_int_equal(a->errors, b->errors);
	assert_int_equal(a->service_count, b->service_count);
	for (size_t i = 0; i < a->service_count; i++)
		assert_string_equal(a->services[i], b->services[i]);
}

static size_t same_list(struct waft_viewer *one, struct waft_viewer *many,
	const struct waft_trace_filter *filter, size_t limit)
{
	struct waft_trace_list *a, *b;
	size_t count;

	if (waft_viewer_list(one, filter, limit, &a) != 0)
		fail_msg("%s", waft_viewer_error(one));
	if (waft_viewer_list(many, filter, limit, &b) != 0)
		fail_msg("%s", waft_viewer_error(many));
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++)
		same_summary(&a->traces[i], &b->traces[i]);
	count = a->count;
	waft_trace_list_free(a);
	waft_trace_list_free(b);
	return count;
}

static void same_trace(struct waft_viewer *one, struct waft_viewer *many, const char *id)
{
	const struct waft_trace_style style = {.size = sizeof style,
		.utc = true,
		.data = WAFT_DATA_FULL,
		.now_ns = INT64_C(1767960000000000000)};
	struct waft_trace *a, *b;
	char *texts[2];

	if (waft_viewer_trace(one, id, &a) != 0)
		fail_msg("%s", waft_viewer_error(one));
	if (waft_viewer_trace(many, id, &b) != 0)
		fail_msg("%s", waft_viewer_error(many));
	texts[0] = waft_trace_format_tree(a, &style);
	texts[1] = waft_trace_format_tree(b, &style);
	assert_string_equal(texts[0], texts[1]);
	same_summary(&a->summary, &b->summary);
	waft_text_free(texts[0]);
	waft_text_free(texts[1]);
	waft_trace_free(a);
	waft_trace_free(b);
}

static void same_stats(
	struct waft_viewer *one, struct waft_viewer *many, const struct waft_trace_filter *filter)
{
	struct waft_operation_list *a, *b;

	assert_int_equal(waft_viewer_stats(one, filter, &a), 0);
	assert_int_equal(waft_viewer_stats(many, filter, &b), 0);
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		const struct waft_operation_stats *x = &a->operations[i];
		const struct waft_operation_stats *y = &b->operations[i];

		assert_string_equal(x->operation, y->operation);
		assert_string_equal(x->service, y->service);
		assert_int_equal(x->count, y->count);
		assert_int_equal(x->errors, y->errors);
		assert_true(x->p50_ms == y->p50_ms && x->p99_ms == y->p99_ms);
		assert_true(x->total_ms == y->total_ms && x->self_ms == y->self_ms);
	}
	waft_operation_list_free(a);
	waft_operation_list_free(b);
}

static const struct waft_trace_attribute attribute = {"k", "1"};
static const struct waft_trace_filter filters[] = {
	{.size = sizeof filters[0]},
	{.size = sizeof filters[0], .errors = true},
	{.size = sizeof filters[0], .operation = "op1", .layer = "l2"},
	{.size = sizeof filters[0], .attributes = &attribute, .attribute_count = 1, .errors = true},
	{.size = sizeof filters[0], .grep = "in7"},
	{.size = sizeof filters[0], .grep = "in3", .service = "s2"},
	{.size = sizeof filters[0], .status = "success"},
	{.size = sizeof filters[0], .status = "pending", .errors = true},
	{.size = sizeof filters[0], .min_duration_ns = 20000000},
	{.size = sizeof filters[0], .max_duration_ns = 20000000, .status = "error"},
	{.size = sizeof filters[0],
		.since_ns = INT64_C(1767952810000000000),
		.until_ns = INT64_C(1767952830000000000)},
	{.size = sizeof filters[0], .since_ns = INT64_C(1767952815000000000), .service = "s1"},
};

static void test_split_and_doubled(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct waft_viewer *one = waft_viewer_new();
		struct waft_viewer *many = waft_viewer_new();
		struct world world;
		size_t listed = 0;

		print_message("seed %" PRIu64 "\n", seed);
		world_make(&world, seed);
		open_place(one, &world, ALL, true);
		open_place(many, &world, LEFT, true);
		open_place(many, &world, RIGHT, false);
		for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
			listed += same_list(one, many, &filters[i], 1);
			listed += same_list(one, many, &filters[i], 5);
			listed += same_list(one, many, &filters[i], 1000);
			same_stats(one, many, &filters[i]);
		}
		assert_true(listed > TRACES);
		same_trace(one, many, "last");
		for (unsigned i = 1; i <= TRACES; i++) {
			char id[16];

			snprintf(id, sizeof id, "@%u", i);
			same_trace(one, many, id);
		}
		waft_viewer_free(one);
		waft_viewer_free(many);
		world_done(&world);
	}
}

static void test_what_many_cannot(void **state)
{
	struct waft_viewer *viewer = waft_viewer_new();
	struct waft_status *status;
	struct waft_trace *trace;
	struct world world;
	char where[80];

	(void)state;
	world_make(&world, 1);
	snprintf(where, sizeof where, "file:%s", world.directory[LEFT]);
	assert_int_equal(waft_viewer_add(viewer, where), -EBADF);
	open_place(viewer, &world, LEFT, true);
	assert_int_equal(waft_viewer_add(viewer, "file:/nonexistent/x"), -ENOENT);
	/* One that can't be opened leaves the others as they were. */
	assert_string_equal(waft_viewer_where(viewer), where);
	assert_int_equal(waft_viewer_trace(viewer, "last", &trace), 0);
	waft_trace_free(trace);
	open_place(viewer, &world, RIGHT, false);
	assert_non_null(strstr(waft_viewer_where(viewer), ", file:"));
	assert_int_equal(waft_viewer_status(viewer, &status), -ENOTSUP);
	assert_int_equal(waft_viewer_trace(viewer, "ffff0000", &trace), -ENOENT);
	assert_string_equal(waft_viewer_error(viewer), "No trace found with ID: ffff0000");
	assert_int_equal(waft_viewer_trace(viewer, "@1000", &trace), -ENOENT);
	assert_int_equal(waft_viewer_trace(viewer, "zz", &trace), -EINVAL);
	for (int i = 2; i < WAFT_VIEWER_PLACES_MAX; i++)
		open_place(viewer, &world, LEFT, false);
	assert_int_equal(waft_viewer_add(viewer, where), -E2BIG);
	waft_viewer_free(viewer);
	world_done(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_and_doubled),
		cmocka_unit_test(test_what_many_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
