/*
 * index_dirs.h: the directories of a test's store down to its index.
 */
#ifndef WAFT_TESTS_INDEX_DIRS_H
#define WAFT_TESTS_INDEX_DIRS_H

#include "disk.h"

/* Makes them where they are missing; false: one can't be opened. */
static inline bool index_dirs_open(
	struct disk *disk, const char *path, int *ret_top, int *ret_waft, int *ret_index)
{
	*ret_top = disk_open_root(disk, path, false);
	*ret_waft = disk_open_dir(disk, *ret_top, ".waft", true);
	*ret_index = disk_open_dir(disk, *ret_waft, "index", true);
	return *ret_top >= 0 && *ret_waft >= 0 && *ret_index >= 0;
}

static inline void index_dirs_close(struct disk *disk, int top, int waft, int index)
{
	disk_close(disk, index);
	disk_close(disk, waft);
	disk_close(disk, top);
}

#endif
