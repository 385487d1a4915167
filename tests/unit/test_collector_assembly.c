/* assembly.c: which shard a trace is of, and that all of them are as one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assembly.h"

#define TRACES 1000u
#define TRACE_SPANS 3u

static struct assembly *new_assembly(uint32_t shards)
{
	const struct assembler_config config = {
		.quiet_ms = 500, .hold_ms = 10000, .trace_spans_max = 1000};
	struct assembly *assembly = NULL;

	assert_int_equal(assembly_new(&config, shards, &assembly), 0);
	return assembly;
}

static struct trace_id id_of(uint32_t trace)
{
	struct trace_id id = {{0}};

	memset(id.bytes, 0x40, sizeof(id.bytes));
	memcpy(id.bytes + 12, &trace, sizeof(trace));
	return id;
}

/* One batch: a group of each trace, one after the other. */
static void add_all(struct assembly *assembly, uint32_t offset)
{
	static struct span_group groups[TRACES];
	static struct span_ref refs[TRACES * TRACE_SPANS];

	for (uint32_t i = 0; i < TRACES; i++) {
		groups[i] = (struct span_group){
			.trace_id = id_of(i), .first = i * TRACE_SPANS, .count = TRACE_SPANS};
		for (uint32_t j = 0; j < TRACE_SPANS; j++)
			refs[i * TRACE_SPANS + j] = (struct span_ref){
				.span_id = i + 1,
				.parent_id = 1,
				.start_ns = i,
				.segment = 1,
				.offset = offset,
				.position = i * TRACE_SPANS + j,
			};
	}
	assert_int_equal(assembly_reserve(assembly, groups, TRACES), 0);
	assembly_add(assembly, groups, TRACES, refs, 1000);
}

static uint64_t spans_of(struct assembly *assembly)
{
	struct assembler_counts counts;

	assembly_count(assembly, &counts);
	return counts.spans;
}

/* Only the last 56 bits count, and with many traces no shard has few. */
static void test_shards_of_traces(void **state)
{
	struct assembly *assembly = new_assembly(5);
	uint32_t traces[5] = {0};

	(void)state;
	for (uint32_t i = 0; i < TRACES; i++) {
		struct trace_id id = id_of(i);
		uint32_t shard = assembly_shard_of(assembly, &id);

		assert_true(shard < 5);
		traces[shard]++;
		memset(id.bytes, (int)(i % 251), 9);
		assert_int_equal(assembly_shard_of(assembly, &id), shard);
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(traces[i], TRACES / 5 - 80, TRACES / 5 + 80);
	assembly_free(assembly);
	assert_int_equal(assembly_new(&(struct assembler_config){0}, 0, &assembly), -EINVAL);
	assert_int_equal(
		assembly_new(&(struct assembler_config){0}, SHARDS_MAX + 1, &assembly), -EINVAL);
}

/* All that came comes out once, whole, from the shard that it is of, and each has its turn. */
static void test_all_come_out(void **state)
{
	(void)state;
	for (uint32_t shards = 1; shards <= SHARDS_MAX; shards = shards * 3 + 1) {
		struct assembly *assembly = new_assembly(shards);
		bool seen[TRACES] = {false};
		uint32_t last = SHARDS_MAX;
		struct run *run;

		add_all(assembly, 64);
		assert_int_equal(spans_of(assembly), TRACES * TRACE_SPANS);
		assert_int_equal(assembly_next_due_ms(assembly), 11000);
		assert_null(assembly_take_due(assembly, 10999));
		while ((run = assembly_take_due(assembly, 11000)) != NULL) {
			uint32_t trace;

			memcpy(&trace, run->trace_id.bytes + 12, sizeof(trace));
			assert_true(trace < TRACES && !seen[trace]);
			seen[trace] = true;
			assert_int_equal(run->count, TRACE_SPANS);
			assert_int_equal(run->shard, assembly_shard_of(assembly, &run->trace_id));
			if (spans_of(assembly) > TRACES * TRACE_SPANS / 2 && shards > 1)
				assert_int_not_equal(run->shard, last);
			last = run->shard;
			assembly_written(assembly, run);
		}
		assert_int_equal(spans_of(assembly), 0);
		assert_int_equal(assembly_next_due_ms(assembly), UINT64_MAX);
		assembly_free(assembly);
	}
}

/* A copy is sorted by ordinal over all shards; what is written meanwhile stays in it. */
static void test_copies(void **state)
{
	struct assembly *assembly = new_assembly(4);
	struct assembly_snapshot snapshot;
	struct trace_id id = id_of(7);
	struct span_ref *refs = NULL;
	size_t count = 0;
	struct run *run;

	(void)state;
	add_all(assembly, 64);
	assert_true(assembly_snapshot_begin(assembly, &snapshot));
	while ((run = assembly_take_from_segment(assembly, 1, 1000)) != NULL)
		assembly_written(assembly, run);
	assert_int_equal(assembly_copy(assembly, NULL, &refs, &count), 0);
	assert_int_equal(count, TRACES * TRACE_SPANS);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(refs[i].position, i);
	free(refs);
	assert_int_equal(assembly_copy(assembly, &id, &refs, &count), 0);
	assert_int_equal(count, TRACE_SPANS);
	assert_int_equal(refs[0].position, 7 * TRACE_SPANS);
	free(refs);
	assembly_snapshot_end(assembly, &snapshot);
	assert_int_equal(assembly_copy(assembly, NULL, &refs, &count), 0);
	assert_int_equal(count, 0);
	free(refs);
	assembly_free(assembly);
}

/* Room that isn't used is given back, to whom it was asked of. */
static void test_room(void **state)
{
	struct assembly *assembly = new_assembly(3);
	struct span_group groups[2] = {
		{.trace_id = id_of(1), .count = 100}, {.trace_id = id_of(2), .count = 200}};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(assembly_reserve(assembly, groups, 2), 0);
		assembly_unreserve(assembly, groups, 2);
	}
	add_all(assembly, 64);
	assert_int_equal(spans_of(assembly), TRACES * TRACE_SPANS);
	assembly_free(assembly);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shards_of_traces),
		cmocka_unit_test(test_all_come_out),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
