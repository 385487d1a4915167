/*
 * References by trace, and when each trace is due.
 *
 * Lists tell what is due without looking at more than their heads. QUIET has
 * the traces whose root ended, ordered by their last span. HELD has all traces,
 * ordered by their first span; since the log is in the same order, its head also
 * holds the oldest segment. LARGE has those with many spans: when memory is short they go
 * first, so that none makes small ones go. One lock; the loop is the only one that takes runs.
 */
#include "assembler.h"

#include "slab.h"
#include "trace_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define REF_CHUNK_BITS 12
#define TRACE_CHUNK_BITS 10
#define SNAPSHOTS_MAX 64
/* References looked at before others get the lock. */
#define COPY_STRIDE 16384u
/* How far ahead what a group needs is fetched: its slot, then its trace. */
#define FETCH_SLOT_AHEAD 8u
#define FETCH_TRACE_AHEAD 4u

/* A trace with as many spans is large. */
#define LARGE_SPANS 1024u

/* Runs of up to so many spans are kept for further ones. */
#define SPARE_SPANS 32u
#define SPARE_BYTES_DEFAULT ((uint64_t)2 << 20)

enum { LIST_QUIET, LIST_HELD, LIST_LARGE, LISTS };

struct link {
	uint32_t previous;
	uint32_t next;
};

struct held_trace {
	struct trace_id id;
	uint32_t first; /* references, in order of arrival */
	uint32_t last;
	uint32_t count;
	uint32_t first_segment;
	uint64_t held_ms;
	uint64_t last_ms;
	struct link links[LISTS];
	bool in_quiet;
	bool large;
	bool big;
};

struct list {
	uint32_t head;
	uint32_t tail;
};

struct assembler {
	pthread_mutex_t lock;
	struct assembler_config config;
	struct slab refs;
	struct slab traces;
	struct trace_table table;
	struct list lists[LISTS];
	uint32_t reserved; /* spans promised by assembler_reserve */
	struct run *runs;  /* on their way, or kept for snapshots; newest first */
	uint64_t run_spans;
	uint64_t run_bytes;
	struct run *spare[SPARE_SPANS + 1]; /* of as many spans; linked by next */
	uint64_t spare_bytes;
	uint64_t commits;		   /* number of the last assembler_written */
	uint64_t snapshots[SNAPSHOTS_MAX]; /* commits + 1 as of their begin; 0: free */
	unsigned int snapshot_count;	   /* that are not free: mostly none */
	uint64_t taken[RUN_REASONS];
};

static struct held_trace *trace_at(const struct assembler *assembler, uint32_t index)
{
	return slab_at(&assembler->traces, index);
}

static struct span_ref *ref_at(const struct assembler *assembler, uint32_t index)
{
	return slab_at(&assembler->refs, index);
}

static const struct trace_id *id_of_trace(const void *context, uint32_t value)
{
	return &trace_at(context, value)->id;
}

/* ---- Lists --------------------------------------------------------------- */

static void list_append(struct assembler *assembler, int which, uint32_t index)
{
	struct list *list = &assembler->lists[which];
	struct link *link = &trace_at(assembler, index)->links[which];

	link->previous = list->tail;
	link->next = SLAB_NONE;
	if (list->tail == SLAB_NONE)
		list->head = index;
	else
		trace_at(assembler, list->tail)->links[which].next = index;
	list->tail = index;
}

static void list_prepend(struct assembler *assembler, int which, uint32_t index)
{
	struct list *list = &assembler->lists[which];
	struct link *link = &trace_at(assembler, index)->links[which];

	link->previous = SLAB_NONE;
	link->next = list->head;
	if (list->head == SLAB_NONE)
		list->tail = index;
	else
		trace_at(assembler, list->head)->links[which].previous = index;
	list->head = index;
}

static void list_remove(struct assembler *assembler, int which, uint32_t index)
{
	struct list *list = &assembler->lists[which];
	const struct link link = trace_at(assembler, index)->links[which];

	if (link.previous == SLAB_NONE)
		list->head = link.next;
	else
		trace_at(assembler, link.previous)->links[which].next = link.next;
	if (link.next == SLAB_NONE)
		list->tail = link.previous;
	else
		trace_at(assembler, link.next)->links[which].previous = link.previous;
}

/* ---- Life ---------------------------------------------------------------- */

int assembler_new(const struct assembler_config *config, struct assembler **ret)
{
	struct assembler *assembler = calloc(1, sizeof(*assembler));

	if (assembler == NULL)
		return -ENOMEM;
	if (pthread_mutex_init(&assembler->lock, NULL) != 0) {
		free(assembler);
		return -ENOMEM;
	}
	assembler->config = *config;
	if (config->spare_bytes == 0)
		assembler->config.spare_bytes = SPARE_BYTES_DEFAULT;
	slab_init(&assembler->refs, sizeof(struct span_ref), REF_CHUNK_BITS);
	slab_init(&assembler->traces, sizeof(struct held_trace), TRACE_CHUNK_BITS);
	trace_table_init(&assembler->table, config->hash_key, id_of_trace, assembler);
	for (int i = 0; i < LISTS; i++)
		assembler->lists[i] = (struct list){SLAB_NONE, SLAB_NONE};
	*ret = assembler;
	return 0;
}

static size_t run_memory(uint32_t spans)
{
	return sizeof(struct run) + spans * sizeof(struct span_ref);
}

static struct run *new_run(struct assembler *assembler, uint32_t spans)
{
	struct run *run = spans <= SPARE_SPANS ? assembler->spare[spans] : NULL;

	if (run == NULL)
		return malloc(run_memory(spans));
	assembler->spare[spans] = run->next;
	assembler->spare_bytes -= run_memory(spans);
	return run;
}

static void give_run(struct assembler *assembler, struct run *run)
{
	if (run->count > SPARE_SPANS ||
		assembler->spare_bytes + run_memory(run->count) > assembler->config.spare_bytes) {
		free(run);
		return;
	}
	run->next = assembler->spare[run->count];
	assembler->spare[run->count] = run;
	assembler->spare_bytes += run_memory(run->count);
}

static void free_spare(struct assembler *assembler)
{
	for (uint32_t i = 0; i <= SPARE_SPANS; i++) {
		while (assembler->spare[i] != NULL) {
			struct run *run = assembler->spare[i];

			assembler->spare[i] = run->next;
			free(run);
		}
	}
	assembler->spare_bytes = 0;
}

/* Nothing is held and nothing on its way: nothing is kept either. */
static void free_spare_at_rest(struct assembler *assembler)
{
	if (assembler->runs == NULL && assembler->traces.live == 0 && assembler->reserved == 0)
		free_spare(assembler);
}

void assembler_free(struct assembler *assembler)
{
	if (assembler == NULL)
		return;
	free_spare(assembler);
	while (assembler->runs != NULL) {
		struct run *run = assembler->runs;

		assembler->runs = run->following;
		free(run);
	}
	trace_table_done(&assembler->table);
	slab_done(&assembler->traces);
	slab_done(&assembler->refs);
	pthread_mutex_destroy(&assembler->lock);
	free(assembler);
}

void assembler_configure(struct assembler *assembler, uint64_t quiet_ms, uint64_t hold_ms)
{
	pthread_mutex_lock(&assembler->lock);
	assembler->config.quiet_ms = quiet_ms;
	assembler->config.hold_ms = hold_ms;
	pthread_mutex_unlock(&assembler->lock);
}

/* ---- Adding -------------------------------------------------------------- */

int assembler_reserve(struct assembler *assembler, uint32_t spans)
{
	uint32_t wanted;
	int status;

	pthread_mutex_lock(&assembler->lock);
	wanted = assembler->reserved + spans;
	status = slab_reserve(&assembler->refs, wanted);
	if (status == 0)
		status = slab_reserve(&assembler->traces, wanted);
	if (status == 0)
		status = trace_table_reserve(&assembler->table, wanted);
	if (status == 0)
		assembler->reserved = wanted;
	pthread_mutex_unlock(&assembler->lock);
	return status;
}

void assembler_unreserve(struct assembler *assembler, uint32_t spans)
{
	pthread_mutex_lock(&assembler->lock);
	assembler->reserved -= spans;
	free_spare_at_rest(assembler);
	pthread_mutex_unlock(&assembler->lock);
}

static uint32_t begin_trace(struct assembler *assembler, const struct trace_id *trace_id,
	uint32_t segment, uint64_t now_ms)
{
	uint32_t index = slab_take(&assembler->traces);
	struct held_trace *trace = trace_at(assembler, index);

	memset(trace, 0, sizeof(*trace));
	trace->id = *trace_id;
	trace->first = SLAB_NONE;
	trace->last = SLAB_NONE;
	trace->first_segment = segment;
	trace->held_ms = now_ms;
	trace_table_put(&assembler->table, trace_id, index);
	list_append(assembler, LIST_HELD, index);
	return index;
}

/* Puts copies of the references behind those the trace has; whether a root that
 * has ended is among them. */
static bool append_refs(struct assembler *assembler, struct held_trace *trace,
	const struct span_ref *refs, uint32_t count)
{
	bool ended = false;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = slab_take(&assembler->refs);
		struct span_ref *ref = ref_at(assembler, index);

		*ref = refs[i];
		ref->place |= SPAN_REF_USED;
		ref->next = SLAB_NONE;
		if (trace->last == SLAB_NONE)
			trace->first = index;
		else
			ref_at(assembler, trace->last)->next = index;
		trace->last = index;
		ended |= ref->parent_id == 0 && (ref->place & SPAN_REF_PENDING) == 0;
	}
	trace->count += count;
	return ended;
}

/* Locked. count > 0. */
static void add(struct assembler *assembler, const struct trace_id *trace_id,
	const struct span_ref *refs, uint32_t count, uint64_t now_ms)
{
	struct held_trace *trace;
	uint32_t index;
	bool ended;

	index = trace_table_find(&assembler->table, trace_id);
	if (index == TRACE_TABLE_NONE)
		index = begin_trace(assembler, trace_id, refs[0].segment, now_ms);
	trace = trace_at(assembler, index);
	ended = append_refs(assembler, trace, refs, count);
	assembler->reserved -= count;
	trace->last_ms = now_ms;
	if (trace->in_quiet)
		list_remove(assembler, LIST_QUIET, index);
	if (trace->in_quiet || ended) {
		list_append(assembler, LIST_QUIET, index);
		trace->in_quiet = true;
	}
	if (!trace->large && trace->count >= LARGE_SPANS) {
		trace->large = true;
		list_append(assembler, LIST_LARGE, index);
	}
	if (!trace->big && trace->count >= assembler->config.trace_spans_max) {
		trace->big = true;
		list_remove(assembler, LIST_HELD, index);
		list_prepend(assembler, LIST_HELD, index);
	}
}

void assembler_add(struct assembler *assembler, const struct trace_id *trace_id,
	const struct span_ref *refs, uint32_t count, uint64_t now_ms)
{
	if (count == 0)
		return;
	pthread_mutex_lock(&assembler->lock);
	add(assembler, trace_id, refs, count, now_ms);
	pthread_mutex_unlock(&assembler->lock);
}

/* Locked: what is asked for later is under way meanwhile. */
static void fetch_ahead(const struct assembler *assembler, const struct span_group *groups,
	uint32_t group_count, uint32_t at)
{
	if (at + FETCH_SLOT_AHEAD < group_count)
		trace_table_prefetch(&assembler->table, &groups[at + FETCH_SLOT_AHEAD].trace_id);
	if (at + FETCH_TRACE_AHEAD < group_count) {
		uint32_t index = trace_table_guess(
			&assembler->table, &groups[at + FETCH_TRACE_AHEAD].trace_id);

		if (index != TRACE_TABLE_NONE)
			__builtin_prefetch(trace_at(assembler, index));
	}
}

void assembler_add_groups(struct assembler *assembler, const struct span_group *groups,
	uint32_t group_count, const struct span_ref *refs, uint64_t now_ms)
{
	pthread_mutex_lock(&assembler->lock);
	for (uint32_t i = 0; i < group_count; i++) {
		fetch_ahead(assembler, groups, group_count, i);
		if (groups[i].count > 0)
			add(assembler, &groups[i].trace_id, refs + groups[i].first, groups[i].count,
				now_ms);
	}
	pthread_mutex_unlock(&assembler->lock);
}

/* ---- Taking -------------------------------------------------------------- */

static void remember_run(struct assembler *assembler, struct run *run)
{
	run->previous = NULL;
	run->following = assembler->runs;
	if (assembler->runs != NULL)
		assembler->runs->previous = run;
	assembler->runs = run;
	assembler->run_spans += run->count;
	assembler->run_bytes += run_memory(run->count);
	assembler->taken[run->reason]++;
}

static void forget_run(struct assembler *assembler, struct run *run)
{
	if (run->previous != NULL)
		run->previous->following = run->following;
	else
		assembler->runs = run->following;
	if (run->following != NULL)
		run->following->previous = run->previous;
	assembler->run_bytes -= run_memory(run->count);
	give_run(assembler, run);
	free_spare_at_rest(assembler);
}

/* The trace behind is mostly the next one to be taken: its references, its slot and the
 * one behind that are fetched meanwhile. */
static void fetch_next(const struct assembler *assembler, const struct held_trace *trace)
{
	int which = trace->in_quiet ? LIST_QUIET : LIST_HELD;
	uint32_t index = trace->links[which].next;
	const struct held_trace *next;

	if (index == SLAB_NONE)
		return;
	next = trace_at(assembler, index);
	__builtin_prefetch(ref_at(assembler, next->first));
	__builtin_prefetch(ref_at(assembler, next->last));
	trace_table_prefetch(&assembler->table, &next->id);
	if (next->links[which].next != SLAB_NONE)
		__builtin_prefetch(trace_at(assembler, next->links[which].next));
}

/* Moves a trace's references into a run and forgets the trace. */
static struct run *take_trace(struct assembler *assembler, uint32_t index, enum run_reason reason)
{
	struct held_trace *trace = trace_at(assembler, index);
	struct run *run = new_run(assembler, trace->count);
	uint32_t at = trace->first;

	if (run == NULL)
		return NULL;
	fetch_next(assembler, trace);
	memset(run, 0, sizeof(*run));
	run->trace_id = trace->id;
	run->reason = reason;
	run->count = trace->count;
	for (uint32_t i = 0; i < run->count; i++) {
		struct span_ref *ref = ref_at(assembler, at);
		uint32_t next = ref->next;

		run->refs[i] = *ref;
		ref->place = 0;
		slab_give(&assembler->refs, at);
		at = next;
	}
	trace_table_remove(&assembler->table, &trace->id);
	/* What is on its way to the log counts on the room that it was promised. */
	if (assembler->reserved == 0)
		trace_table_trim(&assembler->table);
	list_remove(assembler, LIST_HELD, index);
	if (trace->in_quiet)
		list_remove(assembler, LIST_QUIET, index);
	if (trace->large)
		list_remove(assembler, LIST_LARGE, index);
	slab_give(&assembler->traces, index);
	if (assembler->reserved == 0) {
		slab_trim(&assembler->refs);
		slab_trim(&assembler->traces);
	}
	remember_run(assembler, run);
	return run;
}

static bool head_is_held_long(
	const struct assembler *assembler, uint64_t now_ms, enum run_reason *ret_reason)
{
	uint32_t head = assembler->lists[LIST_HELD].head;
	const struct held_trace *trace;

	if (head == SLAB_NONE)
		return false;
	trace = trace_at(assembler, head);
	*ret_reason = trace->big ? RUN_BIG : RUN_HELD;
	return trace->big || now_ms - trace->held_ms >= assembler->config.hold_ms;
}

/* The first quiet trace that is to be written; those that shall wait go to the
 * end of the list, so that each is asked about once. */
static uint32_t next_quiet(struct assembler *assembler, uint64_t now_ms)
{
	const struct assembler_config *config = &assembler->config;
	struct list *list = &assembler->lists[LIST_QUIET];

	while (list->head != SLAB_NONE) {
		uint32_t index = list->head;
		struct held_trace *trace = trace_at(assembler, index);

		if (now_ms - trace->last_ms < config->quiet_ms)
			break;
		if (config->keep == NULL ||
			config->keep(config->keep_context, &trace->id, trace->count) == KEEP_WRITE)
			return index;
		trace->last_ms = now_ms;
		list_remove(assembler, LIST_QUIET, index);
		list_append(assembler, LIST_QUIET, index);
	}
	return SLAB_NONE;
}

struct run *assembler_take_due(struct assembler *assembler, uint64_t now_ms)
{
	enum run_reason reason = RUN_HELD;
	struct run *run = NULL;

	pthread_mutex_lock(&assembler->lock);
	if (head_is_held_long(assembler, now_ms, &reason)) {
		run = take_trace(assembler, assembler->lists[LIST_HELD].head, reason);
	} else {
		uint32_t index = next_quiet(assembler, now_ms);

		if (index != SLAB_NONE)
			run = take_trace(assembler, index, RUN_ENDED);
	}
	pthread_mutex_unlock(&assembler->lock);
	return run;
}

struct run *assembler_take_oldest(
	struct assembler *assembler, enum run_reason reason, uint64_t now_ms)
{
	struct run *run = NULL;
	uint32_t head;

	(void)now_ms;
	pthread_mutex_lock(&assembler->lock);
	head = assembler->lists[LIST_HELD].head;
	if (reason == RUN_MEMORY && assembler->lists[LIST_LARGE].head != SLAB_NONE)
		head = assembler->lists[LIST_LARGE].head;
	if (head != SLAB_NONE)
		run = take_trace(assembler, head, reason);
	pthread_mutex_unlock(&assembler->lock);
	return run;
}

struct run *assembler_take_from_segment(
	struct assembler *assembler, uint32_t segment, uint64_t now_ms)
{
	struct run *run = NULL;
	uint32_t head;

	(void)now_ms;
	pthread_mutex_lock(&assembler->lock);
	head = assembler->lists[LIST_HELD].head;
	if (head != SLAB_NONE && trace_at(assembler, head)->first_segment <= segment)
		run = take_trace(assembler, head, RUN_LOG);
	pthread_mutex_unlock(&assembler->lock);
	return run;
}

uint64_t assembler_next_due_ms(struct assembler *assembler)
{
	uint64_t due_ms = UINT64_MAX;
	uint32_t head;

	pthread_mutex_lock(&assembler->lock);
	head = assembler->lists[LIST_HELD].head;
	if (head != SLAB_NONE) {
		const struct held_trace *trace = trace_at(assembler, head);

		due_ms = trace->big ? 0 : trace->held_ms + assembler->config.hold_ms;
	}
	head = assembler->lists[LIST_QUIET].head;
	if (head != SLAB_NONE) {
		uint64_t quiet_ms = trace_at(assembler, head)->last_ms + assembler->config.quiet_ms;

		if (quiet_ms < due_ms)
			due_ms = quiet_ms;
	}
	pthread_mutex_unlock(&assembler->lock);
	return due_ms;
}

/* ---- Written, and snapshots ---------------------------------------------- */

/* Whether a snapshot is older than that commit. */
static bool snapshot_needs(const struct assembler *assembler, uint64_t written_at)
{
	for (int i = 0; assembler->snapshot_count > 0 && i < SNAPSHOTS_MAX; i++)
		if (assembler->snapshots[i] != 0 && assembler->snapshots[i] <= written_at)
			return true;
	return false;
}

void assembler_written(struct assembler *assembler, struct run *run)
{
	pthread_mutex_lock(&assembler->lock);
	run->written_at = ++assembler->commits;
	assembler->run_spans -= run->count;
	if (!snapshot_needs(assembler, run->written_at))
		forget_run(assembler, run);
	pthread_mutex_unlock(&assembler->lock);
}

uint64_t assembler_snapshot_begin(struct assembler *assembler)
{
	uint64_t snapshot = 0;

	pthread_mutex_lock(&assembler->lock);
	for (uint64_t i = 0; i < SNAPSHOTS_MAX && snapshot == 0; i++) {
		if (assembler->snapshots[i] == 0) {
			assembler->snapshots[i] = assembler->commits + 1;
			assembler->snapshot_count++;
			snapshot = i + 1;
		}
	}
	pthread_mutex_unlock(&assembler->lock);
	return snapshot;
}

void assembler_snapshot_end(struct assembler *assembler, uint64_t snapshot)
{
	struct run *next;

	if (snapshot == 0)
		return;
	pthread_mutex_lock(&assembler->lock);
	assembler->snapshots[snapshot - 1] = 0;
	assembler->snapshot_count--;
	for (struct run *run = assembler->runs; run != NULL; run = next) {
		next = run->following;
		if (run->written_at != 0 && !snapshot_needs(assembler, run->written_at))
			forget_run(assembler, run);
	}
	pthread_mutex_unlock(&assembler->lock);
}

void assembler_count(struct assembler *assembler, struct assembler_counts *ret)
{
	pthread_mutex_lock(&assembler->lock);
	ret->spans = assembler->refs.live + assembler->run_spans;
	ret->traces = assembler->traces.live;
	ret->bytes = slab_memory(&assembler->refs) + slab_memory(&assembler->traces) +
		     trace_table_memory(&assembler->table) + assembler->run_bytes +
		     assembler->spare_bytes;
	memcpy(ret->runs, assembler->taken, sizeof(ret->runs));
	pthread_mutex_unlock(&assembler->lock);
}

/* ---- Copies -------------------------------------------------------------- */

struct copy {
	struct span_ref *refs;
	size_t count;
	size_t capacity;
	int status;
};

static void copy_add(struct copy *copy, const struct span_ref *refs, size_t count)
{
	if (copy->status < 0 || count == 0)
		return;
	if (copy->capacity - copy->count < count) {
		size_t capacity = copy->capacity == 0 ? 64 : copy->capacity;
		struct span_ref *grown;

		while (capacity - copy->count < count)
			capacity *= 2;
		grown = realloc(copy->refs, capacity * sizeof(*grown));
		if (grown == NULL) {
			copy->status = -ENOMEM;
			return;
		}
		copy->refs = grown;
		copy->capacity = capacity;
	}
	memcpy(copy->refs + copy->count, refs, count * sizeof(*refs));
	copy->count += count;
}

static int compare_ordinals(const void *left, const void *right)
{
	const struct span_ref *a = left;
	const struct span_ref *b = right;

	if (a->segment != b->segment)
		return a->segment < b->segment ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return (a->position > b->position) - (a->position < b->position);
}

/* Locked: the held spans of one trace. */
static void copy_trace(
	struct assembler *assembler, const struct trace_id *trace_id, struct copy *copy)
{
	uint32_t index = trace_table_find(&assembler->table, trace_id);

	if (index == TRACE_TABLE_NONE)
		return;
	for (uint32_t at = trace_at(assembler, index)->first; at != SLAB_NONE;) {
		const struct span_ref *ref = ref_at(assembler, at);

		copy_add(copy, ref, 1);
		at = ref->next;
	}
}

/*
 * Locked: all held spans. A span that leaves its slot while others have the lock
 * is found in its run after; one that came is no part of the snapshot.
 */
static void copy_slots(struct assembler *assembler, struct copy *copy)
{
	const uint32_t per_chunk = 1u << REF_CHUNK_BITS;
	uint32_t looked_at = 0;

	for (uint32_t chunk = 0; chunk < assembler->refs.chunk_count; chunk++) {
		for (uint32_t i = 0; i < per_chunk; i++) {
			const struct span_ref *ref = ref_at(assembler, chunk << REF_CHUNK_BITS | i);

			if (ref->place & SPAN_REF_USED)
				copy_add(copy, ref, 1);
		}
		looked_at += per_chunk;
		if (looked_at % COPY_STRIDE == 0) {
			pthread_mutex_unlock(&assembler->lock);
			pthread_mutex_lock(&assembler->lock);
		}
	}
}

int assembler_copy(struct assembler *assembler, const struct trace_id *trace_id,
	struct span_ref **ret_refs, size_t *ret_count)
{
	struct copy copy = {0};
	size_t kept = 0;

	pthread_mutex_lock(&assembler->lock);
	if (trace_id != NULL)
		copy_trace(assembler, trace_id, &copy);
	else
		copy_slots(assembler, &copy);
	for (const struct run *run = assembler->runs; run != NULL; run = run->following)
		if (trace_id == NULL || trace_id_equal(&run->trace_id, trace_id))
			copy_add(&copy, run->refs, run->count);
	pthread_mutex_unlock(&assembler->lock);
	if (copy.status < 0) {
		free(copy.refs);
		return copy.status;
	}
	if (copy.count > 0)
		qsort(copy.refs, copy.count, sizeof(*copy.refs), compare_ordinals);
	for (size_t i = 0; i < copy.count; i++)
		if (kept == 0 || compare_ordinals(&copy.refs[kept - 1], &copy.refs[i]) != 0)
			copy.refs[kept++] = copy.refs[i];
	*ret_refs = copy.refs;
	*ret_count = kept;
	return 0;
}
