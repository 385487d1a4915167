/*
 * assembler.c, run_order.c, slab.c, trace_table.c: when a trace is due, and that
 * what comes out is the same in whatever order and pieces it came in.
 */
#include "assembler.h"
#include "run_order.h"
#include "slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define QUIET 500
#define HOLD 10000

static struct assembler *assembler_sparing(uint32_t trace_spans_max, uint64_t spare_bytes)
{
	const struct assembler_config config = {.quiet_ms = QUIET,
		.hold_ms = HOLD,
		.trace_spans_max = trace_spans_max,
		.spare_bytes = spare_bytes,
		.hash_key = {1, 2}};
	struct assembler *assembler;

	assert_int_equal(assembler_new(&config, &assembler), 0);
	return assembler;
}

static struct assembler *assembler_make(uint32_t trace_spans_max)
{
	return assembler_sparing(trace_spans_max, 0);
}

static struct trace_id id_of(uint32_t number)
{
	struct trace_id id = {{0}};

	memcpy(id.bytes + 12, &number, sizeof(number));
	return id;
}

static struct span_ref ref_of(uint64_t span, uint64_t parent, uint32_t segment, uint32_t position)
{
	return (struct span_ref){.span_id = span,
		.parent_id = parent,
		.start_ns = span * 10,
		.segment = segment,
		.offset = 64,
		.position = position};
}

static void add(struct assembler *assembler, uint32_t trace, struct span_ref ref, uint64_t now_ms)
{
	const struct trace_id id = id_of(trace);

	assert_int_equal(assembler_reserve(assembler, 1), 0);
	assembler_add(assembler, &id, &ref, 1, now_ms);
}

static void test_ended_and_quiet(void **state)
{
	struct assembler *assembler = assembler_make(1000);
	struct run *run;

	(void)state;
	add(assembler, 1, ref_of(2, 1, 1, 0), 0);
	assert_int_equal(assembler_next_due_ms(assembler), HOLD);
	add(assembler, 1, ref_of(1, 0, 1, 1), 100);
	assert_int_equal(assembler_next_due_ms(assembler), 100 + QUIET);
	add(assembler, 1, ref_of(3, 1, 1, 2), 400);
	assert_null(assembler_take_due(assembler, 400 + QUIET - 1));
	run = assembler_take_due(assembler, 400 + QUIET);
	assert_non_null(run);
	assert_int_equal(run->count, 3);
	assert_int_equal(run->reason, RUN_ENDED);
	assert_null(assembler_take_due(assembler, 400 + QUIET));
	assert_int_equal(assembler_next_due_ms(assembler), UINT64_MAX);
	/* What comes later makes a further run. */
	add(assembler, 1, ref_of(4, 1, 1, 3), 2000);
	assembler_written(assembler, run);
	run = assembler_take_due(assembler, 2000 + HOLD);
	assert_int_equal(run->count, 1);
	assert_int_equal(run->reason, RUN_HELD);
	assembler_free(assembler);
}

static void test_pending_root(void **state)
{
	struct assembler *assembler = assembler_make(1000);
	struct span_ref root = ref_of(1, 0, 1, 0);

	(void)state;
	root.place = SPAN_REF_PENDING;
	add(assembler, 1, root, 0);
	assert_int_equal(assembler_next_due_ms(assembler), HOLD);
	assert_null(assembler_take_due(assembler, HOLD - 1));
	assert_int_equal(assembler_take_due(assembler, HOLD)->reason, RUN_HELD);
	assembler_free(assembler);
}

static void test_big_and_short(void **state)
{
	struct assembler *assembler = assembler_make(3);
	struct run *run;

	(void)state;
	add(assembler, 1, ref_of(9, 8, 1, 0), 0);
	add(assembler, 2, ref_of(9, 8, 2, 0), 1);
	add(assembler, 3, ref_of(9, 8, 3, 0), 2);
	for (uint32_t i = 0; i < 3; i++)
		add(assembler, 4, ref_of(9 + i, 8, 3, 1 + i), 3);
	run = assembler_take_due(assembler, 3);
	assert_int_equal(run->reason, RUN_BIG);
	assert_int_equal(run->count, 3);
	assert_null(assembler_take_due(assembler, 3));
	/* What pins the oldest segments, oldest first. */
	run = assembler_take_from_segment(assembler, 2, 4);
	assert_int_equal(run->refs[0].segment, 1);
	run = assembler_take_from_segment(assembler, 2, 4);
	assert_int_equal(run->refs[0].segment, 2);
	assert_null(assembler_take_from_segment(assembler, 2, 4));
	run = assembler_take_oldest(assembler, RUN_DRAIN, 4);
	assert_int_equal(run->reason, RUN_DRAIN);
	assert_null(assembler_take_oldest(assembler, RUN_DRAIN, 4));
	assembler_free(assembler);
}

/* For want of memory a large trace goes before small ones, however old they are; for
 * the rest it is as old as it is. */
static void test_large_first(void **state)
{
	struct assembler *assembler = assembler_make(100000);
	struct run *run;

	(void)state;
	add(assembler, 1, ref_of(9, 8, 1, 0), 0);
	for (uint32_t i = 0; i < 1500; i++)
		add(assembler, 2, ref_of(9 + i, 8, 2, i), 1);
	for (uint32_t i = 0; i < 1023; i++)
		add(assembler, 3, ref_of(9 + i, 8, 2, 1500 + i), 2);
	run = assembler_take_oldest(assembler, RUN_MEMORY, 3);
	assert_int_equal(run->count, 1500);
	assert_int_equal(run->reason, RUN_MEMORY);
	run = assembler_take_oldest(assembler, RUN_MEMORY, 3);
	assert_int_equal(run->count, 1);
	/* It begins anew as a small one. */
	for (uint32_t i = 0; i < 1500; i++)
		add(assembler, 2, ref_of(9 + i, 8, 3, i), 4);
	run = assembler_take_oldest(assembler, RUN_LOG, 5);
	assert_int_equal(run->count, 1023);
	assert_int_equal(assembler_take_oldest(assembler, RUN_LOG, 5)->count, 1500);
	assert_null(assembler_take_oldest(assembler, RUN_MEMORY, 5));
	assembler_free(assembler);
}

static enum keep_verdict keep_later(void *context, const struct trace_id *id, uint32_t spans)
{
	int *asked = context;

	(void)id;
	(void)spans;
	return ++*asked < 3 ? KEEP_WAIT : KEEP_WRITE;
}

static void test_keep_waits(void **state)
{
	int asked = 0;
	const struct assembler_config config = {.quiet_ms = QUIET,
		.hold_ms = HOLD,
		.trace_spans_max = 100,
		.keep = keep_later,
		.keep_context = &asked};
	struct assembler *assembler;

	(void)state;
	assert_int_equal(assembler_new(&config, &assembler), 0);
	add(assembler, 1, ref_of(1, 0, 1, 0), 0);
	assert_null(assembler_take_due(assembler, 500));
	assert_null(assembler_take_due(assembler, 999));
	assert_int_equal(asked, 1);
	assert_null(assembler_take_due(assembler, 1000));
	assert_non_null(assembler_take_due(assembler, 1500));
	assembler_free(assembler);
}

static size_t copied(struct assembler *assembler, const struct trace_id *id)
{
	struct span_ref *refs = NULL;
	size_t count = 0;

	assert_int_equal(assembler_copy(assembler, id, &refs, &count), 0);
	free(refs);
	return count;
}

static void test_snapshots(void **state)
{
	struct assembler *assembler = assembler_make(1000);
	const struct trace_id one = id_of(1);
	struct assembler_counts counts;
	uint64_t early;
	uint64_t late;
	struct run *run;

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		add(assembler, i / 5 + 1, ref_of(i + 1, 99, 1, i), 0);
	early = assembler_snapshot_begin(assembler);
	run = assembler_take_oldest(assembler, RUN_DRAIN, 0);
	assert_int_equal(copied(assembler, &one), 5);
	assert_int_equal(copied(assembler, NULL), 10);
	assembler_written(assembler, run);
	late = assembler_snapshot_begin(assembler);
	/* Written since the early one began: still there. */
	assert_int_equal(copied(assembler, &one), 5);
	assembler_count(assembler, &counts);
	assert_int_equal(counts.spans, 5);
	assembler_snapshot_end(assembler, early);
	assert_int_equal(copied(assembler, &one), 0);
	assert_int_equal(copied(assembler, NULL), 5);
	assembler_snapshot_end(assembler, late);
	run = assembler_take_oldest(assembler, RUN_DRAIN, 0);
	assembler_written(assembler, run);
	assembler_count(assembler, &counts);
	assert_int_equal(counts.spans, 0);
	assert_int_equal(copied(assembler, NULL), 0);
	assembler_free(assembler);
}

/* A written run stays for the one snapshot that is left, whichever began first. */
static void test_snapshots_at_once(void **state)
{
	(void)state;
	for (int ended = 0; ended < 2; ended++) {
		struct assembler *assembler = assembler_make(1000);
		const struct trace_id one = id_of(1);
		uint64_t snapshots[2];
		struct run *run;

		add(assembler, 1, ref_of(1, 99, 1, 0), 0);
		snapshots[0] = assembler_snapshot_begin(assembler);
		snapshots[1] = assembler_snapshot_begin(assembler);
		assembler_snapshot_end(assembler, snapshots[ended]);
		run = assembler_take_oldest(assembler, RUN_DRAIN, 0);
		assembler_written(assembler, run);
		assert_int_equal(copied(assembler, &one), 1);
		assembler_snapshot_end(assembler, snapshots[1 - ended]);
		assert_int_equal(copied(assembler, &one), 0);
		assembler_free(assembler);
	}
}

/* ---- Any order, any pieces ------------------------------------------------------- */

struct random {
	uint64_t state;
};

static uint32_t below(struct random *random, uint32_t limit)
{
	random->state += UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(id_mix(random->state) >> 33) % limit;
}

/* A forest with some orphans, rings and equal starts; spans 1 … count. */
static void make_spans(struct random *random, struct span_ref *refs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t kind = below(random, 10);
		uint64_t parent = i == 0 || kind == 0 ? 0 : below(random, i) + 1;

		if (kind == 1)
			parent = 1000000 + i; /* not here */
		else if (kind == 2)
			parent = below(random, count) + 1; /* a ring, perhaps */
		refs[i] = ref_of(i + 1, parent, 1, i);
		refs[i].start_ns = below(random, 20);
	}
}

/* Whether a parent is on the way up from a span, so that it needn't come first. */
static bool in_ring(const struct span_ref *refs, uint32_t count, uint32_t index)
{
	uint64_t at = refs[index].parent_id;

	for (uint32_t steps = 0; steps <= count; steps++) {
		if (at == 0 || at > count)
			return false;
		if (at == refs[index].span_id)
			return true;
		at = refs[at - 1].parent_id;
	}
	return false;
}

static void check_order(const struct span_ref *given, const struct span_ref *run,
	const uint32_t *order, uint32_t count)
{
	uint32_t *place = calloc(count + 1, sizeof(*place));
	struct span_ref *by_id = calloc(count, sizeof(*by_id));

	assert_true(place != NULL && by_id != NULL);
	memcpy(by_id, given, count * sizeof(*by_id));
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(place[run[order[i]].span_id], 0);
		place[run[order[i]].span_id] = i + 1;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct span_ref *ref = &by_id[i];

		if (ref->parent_id == 0 || ref->parent_id > count || in_ring(by_id, count, i))
			continue;
		assert_true(place[ref->parent_id] < place[ref->span_id]);
		/* Siblings by start, then by id. */
		for (uint32_t j = 0; j < count; j++) {
			if (by_id[j].parent_id != ref->parent_id || j == i ||
				in_ring(by_id, count, j))
				continue;
			if (by_id[j].start_ns < ref->start_ns ||
				(by_id[j].start_ns == ref->start_ns &&
					by_id[j].span_id < ref->span_id))
				assert_true(place[by_id[j].span_id] < place[ref->span_id]);
		}
	}
	free(place);
	free(by_id);
}

static void shuffle(struct random *random, struct span_ref *refs, uint32_t count)
{
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = below(random, i);
		struct span_ref other = refs[i - 1];

		refs[i - 1] = refs[j];
		refs[j] = other;
	}
}

/* Adds the spans in random pieces with other traces in between; the run of them. */
static struct run *through(struct random *random, struct assembler *assembler,
	const struct span_ref *refs, uint32_t count)
{
	const struct trace_id id = id_of(1);

	for (uint32_t at = 0; at < count;) {
		uint32_t piece = below(random, count - at) + 1;

		assert_int_equal(assembler_reserve(assembler, piece), 0);
		assembler_add(assembler, &id, refs + at, piece, 1);
		at += piece;
		for (uint32_t i = below(random, 20); i > 0; i--)
			add(assembler, 2 + below(random, 5000), ref_of(1, 9, 1, 0), 1);
	}
	return assembler_take_oldest(assembler, RUN_DRAIN, 1);
}

static void test_any_order(void **state)
{
	struct random random = {42};

	(void)state;
	for (int round = 0; round < 300; round++) {
		uint32_t count = 1 + below(&random, round % 10 == 0 ? 300 : 30);
		struct span_ref *given = calloc(count, sizeof(*given));
		struct span_ref *mixed = calloc(count, sizeof(*mixed));
		uint64_t *first = calloc(count, sizeof(*first));
		struct run_order order = {0};

		assert_true(given != NULL && mixed != NULL && first != NULL);
		make_spans(&random, given, count);
		memcpy(mixed, given, count * sizeof(*mixed));
		for (int again = 0; again < 5; again++) {
			struct assembler *assembler = assembler_make(UINT32_MAX);
			const uint32_t *indices;
			struct run *run;

			shuffle(&random, mixed, count);
			run = through(&random, assembler, mixed, count);
			assert_int_equal(run->count, count);
			assert_int_equal(
				run_order_make(&order, run->refs, run->count, &indices), 0);
			check_order(given, run->refs, indices, count);
			for (uint32_t i = 0; i < count; i++) {
				uint64_t span_id = run->refs[indices[i]].span_id;

				if (again == 0)
					first[i] = span_id;
				assert_int_equal(span_id, first[i]);
			}
			assembler_free(assembler);
		}
		run_order_done(&order);
		free(given);
		free(mixed);
		free(first);
	}
}

/* Many traces come and go: nothing is lost, and the memory is given back. */
static void test_many(void **state)
{
	struct assembler *assembler = assembler_make(1000);
	struct random random = {7};
	struct assembler_counts counts;
	uint64_t added = 0;
	uint64_t taken = 0;
	struct run *run;

	(void)state;
	for (uint64_t now = 0; now < 20000; now += 10) {
		for (int i = 0; i < 100; i++, added++)
			add(assembler, below(&random, 20000),
				ref_of(added + 1, below(&random, 2), 1, 0), now);
		while ((run = assembler_take_due(assembler, now)) != NULL) {
			taken += run->count;
			assembler_written(assembler, run);
		}
	}
	while ((run = assembler_take_oldest(assembler, RUN_DRAIN, 20000)) != NULL) {
		taken += run->count;
		assembler_written(assembler, run);
	}
	assert_int_equal(taken, added);
	assembler_count(assembler, &counts);
	assert_int_equal(counts.spans, 0);
	assert_int_equal(counts.traces, 0);
	assert_true(counts.bytes < 1000000);
	assembler_free(assembler);
}

/* What a written run took serves the next one of as many spans, but not while a snapshot may
 * look at it, and not for ever. */
static void test_memory_of_written_runs(void **state)
{
	struct assembler *assembler = assembler_make(1000);
	struct assembler_counts counts;
	struct run *first, *second;
	struct span_ref *refs;
	uint64_t snapshot, bytes;
	size_t count;

	(void)state;
	add(assembler, 1, ref_of(1, 0, 1, 0), 0);
	add(assembler, 2, ref_of(2, 0, 1, 1), 0);
	add(assembler, 3, ref_of(3, 0, 1, 2), 0);
	first = assembler_take_oldest(assembler, RUN_DRAIN, 0);
	snapshot = assembler_snapshot_begin(assembler);
	assembler_written(assembler, first);
	second = assembler_take_oldest(assembler, RUN_DRAIN, 0);
	assert_ptr_not_equal(first, second);
	assembler_snapshot_end(assembler, snapshot);
	first = assembler_take_oldest(assembler, RUN_HELD, 0);
	assert_int_equal(first->count, 1);
	assert_int_equal(first->refs[0].span_id, 3);
	assert_int_equal(first->reason, RUN_HELD);
	assert_int_equal(first->written_at, 0);
	assert_int_equal(assembler_copy(assembler, NULL, &refs, &count), 0);
	assert_int_equal(count, 2);
	free(refs);
	assembler_written(assembler, first);
	assembler_count(assembler, &counts);
	assert_int_equal(counts.spans, 1);
	bytes = counts.bytes;
	assembler_written(assembler, second);
	assembler_count(assembler, &counts);
	/* One was on its way and one kept. */
	assert_int_equal(bytes - counts.bytes, 2 * (sizeof(struct run) + sizeof(struct span_ref)));
	assembler_free(assembler);
}

/* What was on its way when the last run was written, and is not added then, is the last. */
static void test_memory_after_unreserve(void **state)
{
	struct assembler *assembler = assembler_make(1000);
	struct assembler_counts kept, rest;
	struct run *run;

	(void)state;
	add(assembler, 1, ref_of(1, 0, 1, 0), 0);
	run = assembler_take_oldest(assembler, RUN_DRAIN, 0);
	assert_int_equal(assembler_reserve(assembler, 1), 0);
	assembler_written(assembler, run);
	assembler_count(assembler, &kept);
	assembler_unreserve(assembler, 1);
	assembler_count(assembler, &rest);
	assert_int_equal(kept.bytes - rest.bytes, sizeof(struct run) + sizeof(struct span_ref));
	assembler_free(assembler);
}

static void check_kept(struct assembler *assembler, uint64_t most)
{
	enum { RUNS = 40000 };
	static struct run *runs[RUNS];
	struct assembler_counts before, after;
	uint64_t all = RUNS * (sizeof(struct run) + sizeof(struct span_ref));

	for (uint32_t i = 0; i < RUNS; i++)
		add(assembler, i, ref_of(1, 0, 1, 0), 0);
	for (uint32_t i = 0; i < RUNS; i++)
		runs[i] = assembler_take_oldest(assembler, RUN_DRAIN, 0);
	add(assembler, RUNS, ref_of(1, 0, 1, 0), 0);
	assembler_count(assembler, &before);
	for (uint32_t i = 0; i < RUNS; i++)
		assembler_written(assembler, runs[i]);
	assembler_count(assembler, &after);
	assert_in_range(before.bytes - after.bytes, all - most, all - most / 2);
	assembler_free(assembler);
}

/* However many were on their way at once, so much of them is kept, 2 MiB if nothing is said. */
static void test_memory_kept_has_an_end(void **state)
{
	(void)state;
	check_kept(assembler_make(1000), 2 << 20);
	check_kept(assembler_sparing(1000, 256 << 10), 256 << 10);
}

/* Room that was promised outlives the moment at which nothing is held, however
 * large the table had become. */
static void test_promise_outlives_emptiness(void **state)
{
	struct assembler *assembler = assembler_make(1000);
	const struct trace_id late = id_of(UINT32_MAX);
	const struct span_ref ref = ref_of(1, 0, 1, 0);
	struct run *run;

	(void)state;
	for (uint32_t i = 0; i < 50000; i++)
		add(assembler, i, ref, 0);
	assert_int_equal(assembler_reserve(assembler, 1), 0); /* on its way to the log */
	while ((run = assembler_take_due(assembler, HOLD)) != NULL)
		assembler_written(assembler, run);
	assembler_add(assembler, &late, &ref, 1, HOLD);
	run = assembler_take_due(assembler, 2 * HOLD);
	assert_non_null(run);
	assembler_written(assembler, run);
	assembler_free(assembler);
}

/* ---- Items ----------------------------------------------------------------- */

#define SLAB_ITEMS 128u /* a chunk */

/* Takes `count` items, none of which may be handed out to someone else. An item is 1 while it
 * is. */
static void take_items(struct slab *slab, uint32_t count, uint32_t *ret_indices)
{
	for (uint32_t i = 0; i < count; i++) {
		ret_indices[i] = slab_take(slab);
		assert_int_not_equal(ret_indices[i], SLAB_NONE);
		assert_int_equal(*(uint32_t *)slab_at(slab, ret_indices[i]), 0);
		*(uint32_t *)slab_at(slab, ret_indices[i]) = 1;
	}
}

static void give_item(struct slab *slab, uint32_t index)
{
	*(uint32_t *)slab_at(slab, index) = 0;
	slab_give(slab, index);
}

/* However items were given back: those that are taken in a row lie in a row. */
static void test_items_in_a_row(void **state)
{
	uint32_t indices[4 * SLAB_ITEMS];
	struct slab slab;
	uint32_t taken;

	(void)state;
	slab_init(&slab, sizeof(uint32_t), 7);
	assert_int_equal(slab_take(&slab), SLAB_NONE);
	assert_int_equal(slab_reserve(&slab, 2 * SLAB_ITEMS), 0);
	take_items(&slab, 2 * SLAB_ITEMS, indices);
	assert_int_equal(slab_take(&slab), SLAB_NONE);
	for (uint32_t i = 0; i < 2 * SLAB_ITEMS; i++)
		assert_int_equal(indices[i], i);
	/* Every third one stays; the others come back in an order of their own. */
	for (uint32_t i = 0; i < 2 * SLAB_ITEMS; i++) {
		uint32_t index = i * 37 % (2 * SLAB_ITEMS);

		if (index % 3 != 0)
			give_item(&slab, index);
	}
	assert_int_equal(slab.live, (2 * SLAB_ITEMS + 2) / 3);
	take_items(&slab, 100, indices);
	for (uint32_t i = 1; i < 100; i++)
		assert_true(indices[i] == indices[i - 1] + 1 || indices[i] == indices[i - 1] + 2 ||
			    indices[i] < indices[i - 1]);
	/* More room: what is free in the old one is found when the new one is used up. */
	assert_int_equal(slab_reserve(&slab, 2 * SLAB_ITEMS), 0);
	taken = slab.free_count;
	take_items(&slab, taken, indices + 100);
	assert_int_equal(slab.live, slab.chunk_count * SLAB_ITEMS);
	assert_int_equal(slab_take(&slab), SLAB_NONE);
	slab_done(&slab);
}

/* Items beyond the first chunks lie in large pages, several chunks in each: new ones are 0, each
 * is one's own, and all of it is given back (the leak check sees what isn't). */
static void test_items_in_large_pages(void **state)
{
	enum { WORDS = 12, CHUNK_BITS = 12, CHUNKS = 65 };
	const uint32_t count = CHUNKS << CHUNK_BITS;
	struct slab slab;

	(void)state;
	slab_init(&slab, WORDS * sizeof(uint32_t), CHUNK_BITS);
	/* One chunk at a time. */
	for (uint32_t i = 0; i < count; i++) {
		uint32_t *item;

		assert_int_equal(slab_reserve(&slab, 1), 0);
		item = slab_at(&slab, slab_take(&slab));
		for (int word = 0; word < WORDS; word++) {
			assert_int_equal(item[word], 0);
			item[word] = i + 1;
		}
	}
	assert_int_equal(slab.chunk_count, CHUNKS);
	for (uint32_t i = 0; i < count; i++) {
		const uint32_t *item = slab_at(&slab, i);

		for (int word = 0; word < WORDS; word++)
			assert_int_equal(item[word], i + 1);
		slab_give(&slab, i);
	}
	slab_trim(&slab);
	assert_int_equal(slab.chunk_count, 0);
	assert_int_equal(slab_reserve(&slab, 1), 0);
	slab_done(&slab);
}

/* What is handed out is nobody else's, over many rounds. */
static void test_items_are_ones_own(void **state)
{
	uint32_t indices[3 * SLAB_ITEMS];
	uint32_t seed = 1, held = 0;
	struct slab slab;

	(void)state;
	slab_init(&slab, sizeof(uint32_t), 7);
	for (uint32_t round = 0; round < 20000; round++) {
		/* Fills it for a while, then empties it for a while. */
		uint32_t takes_of_4 = round / 600 % 2 == 0 ? 3 : 1;

		seed = seed * 1664525u + 1013904223u;
		if (held < 3 * SLAB_ITEMS && (held == 0 || seed >> 30 < takes_of_4)) {
			assert_int_equal(slab_reserve(&slab, 1), 0);
			take_items(&slab, 1, &indices[held++]);
		} else {
			uint32_t at = (seed >> 8) % held;

			give_item(&slab, indices[at]);
			indices[at] = indices[--held];
		}
		assert_int_equal(slab.live, held);
	}
	assert_true(slab.chunk_count <= 3);
	while (held > 0)
		give_item(&slab, indices[--held]);
	slab_trim(&slab);
	assert_int_equal(slab_memory(&slab), 0);
	slab_done(&slab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ended_and_quiet),
		cmocka_unit_test(test_pending_root),
		cmocka_unit_test(test_big_and_short),
		cmocka_unit_test(test_large_first),
		cmocka_unit_test(test_keep_waits),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_snapshots_at_once),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_memory_of_written_runs),
		cmocka_unit_test(test_memory_after_unreserve),
		cmocka_unit_test(test_memory_kept_has_an_end),
		cmocka_unit_test(test_promise_outlives_emptiness),
		cmocka_unit_test(test_items_in_a_row),
		cmocka_unit_test(test_items_in_large_pages),
		cmocka_unit_test(test_items_are_ones_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
