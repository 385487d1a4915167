/* A disk that fails when it is told to. See refuse.h. */
#include <errno.h>

#include "disk.h"
#include "refuse.h"

static const struct disk_ops *real;
static unsigned int left;

static bool refused(void)
{
	return left > 0 && --left == 0;
}

static int refuse_open(struct disk *disk, int dir, const char *name, unsigned int flags)
{
	return refused() ? -EIO : real->open(disk, dir, name, flags);
}

static ssize_t refuse_pread(struct disk *disk, int file, void *data, size_t length, uint64_t offset)
{
	return refused() ? -EIO : real->pread(disk, file, data, length, offset);
}

static ssize_t refuse_pwritev(
	struct disk *disk, int file, const struct iovec *parts, int count, uint64_t offset)
{
	return refused() ? -EIO : real->pwritev(disk, file, parts, count, offset);
}

static int refuse_sync(struct disk *disk, int file)
{
	return refused() ? -EIO : real->sync(disk, file);
}

static int refuse_sync_dir(struct disk *disk, int dir)
{
	return refused() ? -EIO : real->sync_dir(disk, dir);
}

static int refuse_rename(
	struct disk *disk, int from_dir, const char *from, int to_dir, const char *to, bool replace)
{
	return refused() ? -EIO : real->rename(disk, from_dir, from, to_dir, to, replace);
}

static int refuse_stat_file(struct disk *disk, int file, struct disk_stat *ret)
{
	return refused() ? -EIO : real->stat_file(disk, file, ret);
}

static int refuse_stat_name(struct disk *disk, int dir, const char *name, struct disk_stat *ret)
{
	return refused() ? -EIO : real->stat_name(disk, dir, name, ret);
}

static int refuse_list(struct disk *disk, int dir, disk_on_name on_name, void *ctx)
{
	return refused() ? -EIO : real->list(disk, dir, on_name, ctx);
}

void refuse_on(struct disk *disk)
{
	static struct disk_ops ops;

	real = disk->ops;
	ops = *real;
	ops.open = refuse_open;
	ops.pread = refuse_pread;
	ops.pwritev = refuse_pwritev;
	ops.sync = refuse_sync;
	ops.sync_dir = refuse_sync_dir;
	ops.rename = refuse_rename;
	ops.stat_file = refuse_stat_file;
	ops.stat_name = refuse_stat_name;
	ops.list = refuse_list;
	disk->ops = &ops;
	left = 0;
}

void refuse_call(unsigned int n)
{
	left = n;
}
