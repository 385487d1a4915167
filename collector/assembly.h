/*
 * The assemblers of all shards as one.
 *
 * A trace belongs to one shard, by its id; each shard has an assembler here and a keeper
 * (keepers.h), which writes its runs to parts of its own. With one shard this passes on
 * to its assembler. Functions are those of assembler.h; what adds and takes is called on
 * one thread, the loop.
 */
#ifndef WAFT_COLLECTOR_ASSEMBLY_H
#define WAFT_COLLECTOR_ASSEMBLY_H

#include "assembler.h"

#define SHARDS_MAX 64

struct assembly;

/* They share the bytes of spare runs. -EINVAL: there can't be so many shards; -ENOMEM. */
int assembly_new(
	const struct assembler_config *config, uint32_t shards, struct assembly **ret) MUST_CHECK;
/* NULL is ignored. */
void assembly_free(struct assembly *assembly);

uint32_t assembly_shards(const struct assembly *assembly);

/* The shard of a trace: by the last 56 bits of its id. */
uint32_t assembly_shard_of(const struct assembly *assembly, const struct trace_id *trace_id);

void assembly_configure(struct assembly *assembly, uint64_t quiet_ms, uint64_t hold_ms);

/* Sets room aside for the spans of these groups. */
int assembly_reserve(struct assembly *assembly, const struct span_group *groups,
	uint32_t group_count) MUST_CHECK;
void assembly_unreserve(
	struct assembly *assembly, const struct span_group *groups, uint32_t group_count);

/* Adds groups for which room was set aside. */
void assembly_add(struct assembly *assembly, const struct span_group *groups, uint32_t group_count,
	const struct span_ref *refs, uint64_t now_ms);

/* Runs say whose they are. Shards take turns. */
struct run *assembly_take_due(struct assembly *assembly, uint64_t now_ms);
struct run *assembly_take_oldest(
	struct assembly *assembly, enum run_reason reason, uint64_t now_ms);
struct run *assembly_take_from_segment(
	struct assembly *assembly, uint32_t segment, uint64_t now_ms);

uint64_t assembly_next_due_ms(struct assembly *assembly);
void assembly_written(struct assembly *assembly, struct run *run);
void assembly_count(struct assembly *assembly, struct assembler_counts *ret);

/* ---- Snapshots ---------------------------------------------------------------- */

struct assembly_snapshot {
	uint64_t at[SHARDS_MAX];
};

/* False: there are too many. On the thread that adds and gives runs back: so all shards'
 * are of one moment. */
bool assembly_snapshot_begin(struct assembly *assembly, struct assembly_snapshot *ret) MUST_CHECK;
/* One that is all zero is ignored. */
void assembly_snapshot_end(struct assembly *assembly, const struct assembly_snapshot *snapshot);

int assembly_copy(struct assembly *assembly, const struct trace_id *trace_id,
	struct span_ref **ret_refs, size_t *ret_count) MUST_CHECK;

#endif
