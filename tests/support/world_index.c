/*
 * The index of a small daemon's store (store_world.h): opened with it, told of what is
 * committed, and held against the lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index_format.h"
#include "run_list.h"
#include "store_world.h"

static void fail(const char *what, long long number)
{
	fprintf(stderr, "index: %s (%lld)\n", what, number);
	abort();
}

/* The runs of a part from its index, or from its lines. */
static void read_runs(
	struct world *world, const struct index_part *part, bool indexed, struct run_list *ret)
{
	const uint8_t *store_id = manifest_state(world->recovery.manifest)->store_id;
	char name[PART_NAME_BYTES];
	struct source *source;

	run_list_init(ret, world->disk, false);
	if (indexed)
		run_list_open_index(
			ret, world->index_dir, store_id, &part->name, part->length_bytes);
	if (part_name_format(&part->name, name) != 0 ||
		source_open(world->disk, world->dirs.top, name, &source) != 0) {
		fail("a part can't be read", part->name.day);
		return;
	}
	if (run_list_scan(ret, source, part->length_bytes, NULL, NULL) != 0)
		fail("a part can't be scanned", part->name.day);
	source_close(source);
}

/* All runs; those of one trace that stand side by side are one, as in a scan. Returns
 * how many; SIZE_MAX: a block is torn, and a reader goes by the lines. */
static size_t joined_runs(const struct run_list *list, struct index_run **ret)
{
	struct index_run runs[INDEX_BLOCK_RUNS];
	size_t blocks = run_list_blocks(list), joined = 0, count;
	struct index_run *all = calloc(blocks * INDEX_BLOCK_RUNS + 1, sizeof(*all));

	if (all == NULL)
		abort();
	*ret = all;
	for (size_t block = 0; block < blocks; block++) {
		if (run_list_block(list, block, runs, &count) != 0)
			return SIZE_MAX;
		for (size_t i = 0; i < count; i++) {
			struct index_run *last = joined > 0 ? &all[joined - 1] : NULL;

			if (last == NULL || memcmp(last->trace_id, runs[i].trace_id, 16) != 0) {
				all[joined++] = runs[i];
				continue;
			}
			last->length_bytes += runs[i].length_bytes;
			last->spans += runs[i].spans;
			last->errors += runs[i].errors;
		}
	}
	return joined;
}

static void compare_runs(struct world *world, const struct index_part *part)
{
	struct run_list found, scanned;
	struct index_run *runs, *others;
	size_t count;

	read_runs(world, part, true, &found);
	read_runs(world, part, false, &scanned);
	/* What is sealed is indexed with it, or at the start. */
	if (part->length_bytes > 0 && found.indexed == 0)
		fail("a part has none", part->name.day);
	count = joined_runs(&found, &runs);
	if (joined_runs(&scanned, &others) != count && count != SIZE_MAX)
		fail("not as many runs as the lines have", (long long)count);
	for (size_t i = 0; count != SIZE_MAX && i < count; i++)
		if (memcmp(runs[i].trace_id, others[i].trace_id, 16) != 0 ||
			runs[i].offset != others[i].offset ||
			runs[i].length_bytes != others[i].length_bytes ||
			runs[i].spans != others[i].spans || runs[i].errors != others[i].errors)
			fail("a run is not what the lines say", (long long)i);
	free(runs);
	free(others);
	run_list_done(&found);
	run_list_done(&scanned);
}

void world_index_open(struct world *world)
{
	const struct manifest_state *state = manifest_state(world->recovery.manifest);
	struct index_part *parts = calloc(state->part_count + 1, sizeof(*parts));
	struct index_report report;
	size_t count = 0;

	if (parts == NULL)
		abort();
	for (size_t i = 0; i < state->part_count; i++)
		if (state->parts[i].state != PART_REMOVED)
			parts[count++] = index_part_of(&state->parts[i]);
	world->index_dir = disk_open_dir(world->disk, world->dirs.waft, INDEX_DIR, true);
	if (world->index_dir < 0 ||
		index_open(world->disk, world->dirs.top, world->index_dir, state->store_id, parts,
			count, &world->index, &report) != 0)
		fail("can't be opened", world->index_dir);
	for (size_t i = 0; !world->damaged && i < count; i++)
		compare_runs(world, &parts[i]);
	free(parts);
}

void world_index_check(struct world *world, uint32_t trace, const struct trace_id *id)
{
	int32_t day = INT32_MIN;
	int ret = index_day_of_trace(world->index, id->bytes, &day);

	if (ret < 0 || day != world->trace_days[trace])
		fail("a trace's day is not that of its lines", trace);
}

void world_index_commit(struct world *world, const struct written_run *run)
{
	if (world->index != NULL && index_add(world->index, &run->part, run->index) != 0)
		fail("a run can't be added", (long long)run->offset);
}

void world_index_part(struct world *world, const struct manifest_part *part)
{
	struct index_part sealed = index_part_of(part);
	int ret = 0;

	if (world->index == NULL)
		return;
	if (part->state == PART_CLOSED)
		ret = index_close_part(world->index, &part->name);
	else if (part->state == PART_REMOVED)
		index_remove_part(world->index, &part->name);
	else if (part->state == PART_SEALED)
		ret = index_seal_part(world->index, &sealed);
	if (ret != 0)
		fail("a part's change can't be told", ret);
}

void world_index_close(struct world *world)
{
	if (world->index == NULL)
		return;
	index_close(world->index);
	disk_close(world->disk, world->index_dir);
	world->index = NULL;
}
