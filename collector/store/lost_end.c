/* See lost_end.h. */
#include "lost_end.h"

#include <errno.h>
#include <string.h>

#include "ids.h"
#include "run_list.h"

/* Behind `{"trace_id":"`. */
enum { ID_OFFSET = 13, ID_TEXT = 36 };

/* Whether the run stands in the file: an index of a part that had the same name once says
 * nothing of this one. */
static bool is_there(struct disk *disk, int file, const struct index_run *run)
{
	char text[ID_OFFSET + ID_TEXT];
	struct trace_id id;
	char last;

	return disk_read(disk, file, text, sizeof(text), run->offset) == (ssize_t)sizeof(text) &&
	       trace_id_parse(text + ID_OFFSET, ID_TEXT, &id) == 0 &&
	       memcmp(id.bytes, run->trace_id, sizeof(id.bytes)) == 0 &&
	       disk_read(disk, file, &last, 1, run->offset + run->length_bytes - 1) == 1 &&
	       last == '\n';
}

/* Whether the index has runs of the part that begin behind what is committed. */
static bool index_knows_more(struct disk *disk, const struct store_dirs *dirs, int index_dir,
	const uint8_t store_id[16], const struct part_name *name, uint64_t committed)
{
	struct index_run runs[INDEX_BLOCK_RUNS];
	char text[PART_NAME_BYTES];
	struct run_list list;
	bool found = false;
	size_t count = 0;
	int file;

	if (part_name_format(name, text) != 0)
		return false;
	run_list_init(&list, disk, false);
	run_list_open_index(&list, index_dir, store_id, name, UINT64_MAX);
	if (list.indexed > 0 && list.indexed_bytes > committed &&
		run_list_block(&list, run_list_blocks(&list) - 1, runs, &count) == 0 && count > 0) {
		file = disk_open(disk, dirs->top, text, DISK_READ);
		found = file >= 0 && runs[count - 1].offset >= committed &&
			is_there(disk, file, &runs[count - 1]);
		disk_close(disk, file);
	}
	run_list_done(&list);
	return found;
}

struct names {
	struct disk *disk;
	const struct store_dirs *dirs;
	const struct manifest_state *state;
	int index_dir;
};

/* A file of the trace directory: 1 when the manifest must have said more of it. */
static int on_name(void *ctx, const char *text)
{
	const struct names *names = ctx;
	const struct manifest_part *part;
	struct part_name name;
	struct disk_stat stat;
	char plain[PART_NAME_BYTES];

	if (part_name_parse(text, &name) != 0)
		return 0;
	part = manifest_part_by_name(names->state, &name);
	if (part != NULL && (part->state == PART_REMOVED || part->state == PART_SEALED))
		return 0;
	if (!name.sealed)
		return index_knows_more(names->disk, names->dirs, names->index_dir,
			names->state->store_id, &name, part != NULL ? part->length_bytes : 0);
	name.sealed = false;
	return part != NULL && part_name_format(&name, plain) == 0 &&
	       disk_stat_name(names->disk, names->dirs->top, plain, &stat) == -ENOENT;
}

int lost_end_is_cut(
	struct disk *disk, const struct store_dirs *dirs, const struct manifest_state *state)
{
	struct names names = {.disk = disk, .dirs = dirs, .state = state};
	uint32_t missing;
	int ret;

	if (state->generation == 0)
		return 0;
	ret = log_count_missing(disk, dirs->log, state->store_id, state->first_segment, &missing);
	if (ret != 0 || missing > 0)
		return ret != 0 ? ret : 1;
	names.index_dir = disk_open_dir(disk, dirs->waft, INDEX_DIR, false);
	ret = disk_list(disk, dirs->top, on_name, &names);
	disk_close(disk, names.index_dir);
	return ret;
}
