/*
 * Shards of the assembler. See assembly.h for threads.
 *
 * What a batch brings is sorted by shard, so that each assembler is locked once for it.
 */
#include "assembly.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct assembly {
	struct assembler *shards[SHARDS_MAX];
	uint32_t count;
	uint32_t next; /* whose turn it is to give a run */
	/* Groups of a batch, sorted by shard; owned. */
	struct span_group *sorted;
	uint32_t capacity;
};

int assembly_new(const struct assembler_config *config, uint32_t shards, struct assembly **ret)
{
	struct assembler_config each = *config;
	struct assembly *assembly;
	int status = 0;

	if (shards == 0 || shards > SHARDS_MAX)
		return -EINVAL;
	each.spare_bytes = (config->spare_bytes + shards - 1) / shards;
	assembly = calloc(1, sizeof(*assembly));
	if (assembly == NULL)
		return -ENOMEM;
	while (status == 0 && assembly->count < shards) {
		status = assembler_new(&each, &assembly->shards[assembly->count]);
		assembly->count += status == 0;
	}
	if (status < 0) {
		assembly_free(assembly);
		return status;
	}
	*ret = assembly;
	return 0;
}

void assembly_free(struct assembly *assembly)
{
	if (assembly == NULL)
		return;
	for (uint32_t i = 0; i < assembly->count; i++)
		assembler_free(assembly->shards[i]);
	free(assembly->sorted);
	free(assembly);
}

uint32_t assembly_shards(const struct assembly *assembly)
{
	return assembly->count;
}

uint32_t assembly_shard_of(const struct assembly *assembly, const struct trace_id *trace_id)
{
	uint64_t value;

	if (assembly->count == 1)
		return 0;
	/* The byte before these isn't random in every id. What is left of agents' choice of a
	 * gateway, by the upper bits, mustn't be that of a shard. */
	memcpy(&value, trace_id->bytes + 8, sizeof(value));
	value = id_mix(value & ~UINT64_C(0xff));
	return (uint32_t)((value & UINT32_MAX) * assembly->count >> 32);
}

void assembly_configure(struct assembly *assembly, uint64_t quiet_ms, uint64_t hold_ms)
{
	for (uint32_t i = 0; i < assembly->count; i++)
		assembler_configure(assembly->shards[i], quiet_ms, hold_ms);
}

/* ---- Adding ------------------------------------------------------------------ */

static void count_spans(const struct assembly *assembly, const struct span_group *groups,
	uint32_t group_count, uint32_t spans[SHARDS_MAX])
{
	memset(spans, 0, assembly->count * sizeof(*spans));
	for (uint32_t i = 0; i < group_count; i++)
		spans[assembly_shard_of(assembly, &groups[i].trace_id)] += groups[i].count;
}

static int make_room(struct assembly *assembly, uint32_t group_count)
{
	struct span_group *grown;

	if (assembly->count == 1 || group_count <= assembly->capacity)
		return 0;
	grown = reallocarray(assembly->sorted, group_count, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	assembly->sorted = grown;
	assembly->capacity = group_count;
	return 0;
}

int assembly_reserve(
	struct assembly *assembly, const struct span_group *groups, uint32_t group_count)
{
	uint32_t spans[SHARDS_MAX];
	int status = make_room(assembly, group_count);
	uint32_t done = 0;

	if (status < 0)
		return status;
	count_spans(assembly, groups, group_count, spans);
	while (status == 0 && done < assembly->count) {
		status = assembler_reserve(assembly->shards[done], spans[done]);
		done += status == 0;
	}
	while (status < 0 && done-- > 0)
		assembler_unreserve(assembly->shards[done], spans[done]);
	return status;
}

void assembly_unreserve(
	struct assembly *assembly, const struct span_group *groups, uint32_t group_count)
{
	uint32_t spans[SHARDS_MAX];

	count_spans(assembly, groups, group_count, spans);
	for (uint32_t i = 0; i < assembly->count; i++)
		assembler_unreserve(assembly->shards[i], spans[i]);
}

void assembly_add(struct assembly *assembly, const struct span_group *groups, uint32_t group_count,
	const struct span_ref *refs, uint64_t now_ms)
{
	uint32_t ends[SHARDS_MAX] = {0};
	uint32_t at = 0;

	if (assembly->count == 1) {
		assembler_add_groups(assembly->shards[0], groups, group_count, refs, now_ms);
		return;
	}
	for (uint32_t i = 0; i < group_count; i++)
		ends[assembly_shard_of(assembly, &groups[i].trace_id)]++;
	/* From counts to where each shard's groups begin, and, with the groups, to their ends. */
	for (uint32_t i = 0; i < assembly->count; i++) {
		uint32_t groups_here = ends[i];

		ends[i] = at;
		at += groups_here;
	}
	for (uint32_t i = 0; i < group_count; i++)
		assembly->sorted[ends[assembly_shard_of(assembly, &groups[i].trace_id)]++] =
			groups[i];
	at = 0;
	for (uint32_t i = 0; i < assembly->count; i++) {
		if (ends[i] > at)
			assembler_add_groups(assembly->shards[i], &assembly->sorted[at],
				ends[i] - at, refs, now_ms);
		at = ends[i];
	}
}

/* ---- Taking ------------------------------------------------------------------ */

typedef struct run *(*take_from)(struct assembler *assembler, uint64_t what, uint64_t now_ms);

static struct run *take(
	struct assembly *assembly, take_from take_from_one, uint64_t what, uint64_t now_ms)
{
	for (uint32_t i = 0; i < assembly->count; i++) {
		uint32_t shard = assembly->next;
		struct run *run = take_from_one(assembly->shards[shard], what, now_ms);

		assembly->next = shard + 1 == assembly->count ? 0 : shard + 1;
		if (run != NULL) {
			run->shard = shard;
			return run;
		}
	}
	return NULL;
}

static struct run *due(struct assembler *assembler, uint64_t what, uint64_t now_ms)
{
	(void)what;
	return assembler_take_due(assembler, now_ms);
}

static struct run *oldest(struct assembler *assembler, uint64_t what, uint64_t now_ms)
{
	return assembler_take_oldest(assembler, (enum run_reason)what, now_ms);
}

static struct run *from_segment(struct assembler *assembler, uint64_t what, uint64_t now_ms)
{
	return assembler_take_from_segment(assembler, (uint32_t)what, now_ms);
}

struct run *assembly_take_due(struct assembly *assembly, uint64_t now_ms)
{
	return take(assembly, due, 0, now_ms);
}

struct run *assembly_take_oldest(struct assembly *assembly, enum run_reason reason, uint64_t now_ms)
{
	return take(assembly, oldest, reason, now_ms);
}

struct run *assembly_take_from_segment(struct assembly *assembly, uint32_t segment, uint64_t now_ms)
{
	return take(assembly, from_segment, segment, now_ms);
}

uint64_t assembly_next_due_ms(struct assembly *assembly)
{
	uint64_t due_ms = UINT64_MAX;

	for (uint32_t i = 0; i < assembly->count; i++) {
		uint64_t one_ms = assembler_next_due_ms(assembly->shards[i]);

		if (one_ms < due_ms)
			due_ms = one_ms;
	}
	return due_ms;
}

void assembly_written(struct assembly *assembly, struct run *run)
{
	assembler_written(assembly->shards[run->shard], run);
}

void assembly_count(struct assembly *assembly, struct assembler_counts *ret)
{
	*ret = (struct assembler_counts){0};
	for (uint32_t i = 0; i < assembly->count; i++) {
		struct assembler_counts one;

		assembler_count(assembly->shards[i], &one);
		ret->spans += one.spans;
		ret->traces += one.traces;
		ret->bytes += one.bytes;
		for (int reason = 0; reason < RUN_REASONS; reason++)
			ret->runs[reason] += one.runs[reason];
	}
}

/* ---- Snapshots ---------------------------------------------------------------- */

bool assembly_snapshot_begin(struct assembly *assembly, struct assembly_snapshot *ret)
{
	*ret = (struct assembly_snapshot){0};
	for (uint32_t i = 0; i < assembly->count; i++) {
		ret->at[i] = assembler_snapshot_begin(assembly->shards[i]);
		if (ret->at[i] == 0) {
			assembly_snapshot_end(assembly, ret);
			*ret = (struct assembly_snapshot){0};
			return false;
		}
	}
	return true;
}

void assembly_snapshot_end(struct assembly *assembly, const struct assembly_snapshot *snapshot)
{
	for (uint32_t i = 0; i < assembly->count; i++)
		assembler_snapshot_end(assembly->shards[i], snapshot->at[i]);
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

/* Puts one shard's behind those that are there; *count grows. */
static int append(struct assembler *assembler, struct span_ref **refs, size_t *count)
{
	struct span_ref *more = NULL;
	struct span_ref *grown;
	size_t more_count;
	int status = assembler_copy(assembler, NULL, &more, &more_count);

	if (status < 0 || more_count == 0) {
		free(more);
		return status;
	}
	grown = reallocarray(*refs, *count + more_count, sizeof(*grown));
	if (grown == NULL) {
		free(more);
		return -ENOMEM;
	}
	memcpy(grown + *count, more, more_count * sizeof(*grown));
	free(more);
	*refs = grown;
	*count += more_count;
	return 0;
}

int assembly_copy(struct assembly *assembly, const struct trace_id *trace_id,
	struct span_ref **ret_refs, size_t *ret_count)
{
	struct span_ref *refs = NULL;
	size_t count = 0;
	int status = 0;

	if (trace_id != NULL || assembly->count == 1)
		return assembler_copy(
			assembly->shards[trace_id != NULL ? assembly_shard_of(assembly, trace_id)
							  : 0],
			trace_id, ret_refs, ret_count);
	for (uint32_t i = 0; i < assembly->count && status == 0; i++)
		status = append(assembly->shards[i], &refs, &count);
	if (status < 0) {
		free(refs);
		return status;
	}
	if (count > 0)
		qsort(refs, count, sizeof(*refs), compare_ordinals);
	*ret_refs = refs;
	*ret_count = count;
	return 0;
}
