/* The kernel's disk, and what is common to all disks. See disk.h. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int fail(void)
{
	return -errno;
}

/* Syncs the directory that holds dir's entry, so that a new one stays. */
static int sync_handle(int handle)
{
	return fsync(handle) == 0 ? 0 : fail();
}

static int make_dir(int parent, const char *name, unsigned mode)
{
	if (mkdirat(parent, name, mode) != 0)
		return errno == EEXIST ? 0 : fail();
	/* mkdir subtracts the umask from the mode that was configured. */
	return fchmodat(parent, name, mode, 0) == 0 ? 0 : fail();
}

/* Makes the directories of path, one after the other. */
static int make_path(const char *path, unsigned mode)
{
	int at = open(path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1];
	int ret = at < 0 ? fail() : 0;

	while (ret == 0) {
		size_t length;
		int next;

		path += strspn(path, "/");
		length = strcspn(path, "/");
		if (length == 0)
			break;
		if (length > NAME_MAX) {
			ret = -ENAMETOOLONG;
			break;
		}
		memcpy(name, path, length);
		name[length] = '\0';
		path += length;
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0 && errno == ENOENT) {
			ret = make_dir(at, name, mode);
			if (ret == 0)
				ret = sync_handle(at);
			if (ret != 0)
				break;
			next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		}
		if (next < 0) {
			ret = fail();
			break;
		}
		close(at);
		at = next;
	}
	if (ret == 0)
		return at;
	if (at >= 0)
		close(at);
	return ret;
}

static int real_open_root(struct disk *disk, const char *path, bool create)
{
	int handle;

	if (create)
		return make_path(path, disk->dir_mode);
	handle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return handle >= 0 ? handle : fail();
}

static int real_open_dir(struct disk *disk, int dir, const char *name, bool create)
{
	int handle;

	if (create) {
		int ret = make_dir(dir, name, disk->dir_mode);

		if (ret != 0)
			return ret;
	}
	handle = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return handle >= 0 ? handle : fail();
}

static int real_open(struct disk *disk, int dir, const char *name, unsigned flags)
{
	/* O_NONBLOCK: a FIFO with our name must not hold us up. */
	int how = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int handle, ret;

	how |= (flags & DISK_WRITE) != 0 ? O_RDWR : O_RDONLY;
	how |= (flags & DISK_CREATE) != 0 ? O_CREAT : 0;
	how |= (flags & DISK_EXCLUSIVE) != 0 ? O_EXCL : 0;
	handle = openat(dir, name, how, disk->file_mode);
	if (handle < 0)
		return fail();
	ret = 0;
	if (fstat(handle, &st) != 0)
		ret = fail();
	else if (!S_ISREG(st.st_mode))
		ret = -EINVAL;
	else if (st.st_nlink != 1)
		ret = -EMLINK;
	else if ((flags & DISK_EXCLUSIVE) != 0 && fchmod(handle, disk->file_mode) != 0)
		ret = fail();
	if (ret == 0)
		return handle;
	close(handle);
	return ret;
}

static int real_close(struct disk *disk, int handle)
{
	(void)disk;
	return close(handle) == 0 ? 0 : fail();
}

static ssize_t real_pread(struct disk *disk, int file, void *data, size_t length, uint64_t offset)
{
	ssize_t got = pread(file, data, length, (off_t)offset);

	(void)disk;
	return got >= 0 ? got : fail();
}

static ssize_t real_pwritev(
	struct disk *disk, int file, const struct iovec *parts, int count, uint64_t offset)
{
	ssize_t put = pwritev(file, parts, count, (off_t)offset);

	(void)disk;
	return put >= 0 ? put : fail();
}

static int real_sync(struct disk *disk, int file)
{
	(void)disk;
	return fdatasync(file) == 0 ? 0 : fail();
}

static int real_sync_dir(struct disk *disk, int dir)
{
	(void)disk;
	return sync_handle(dir);
}

static int real_rename(
	struct disk *disk, int from_dir, const char *from, int to_dir, const char *to, bool replace)
{
	(void)disk;
	return renameat2(from_dir, from, to_dir, to, replace ? 0 : RENAME_NOREPLACE) == 0 ? 0
											  : fail();
}

static int real_unlink(struct disk *disk, int dir, const char *name)
{
	(void)disk;
	return unlinkat(dir, name, 0) == 0 ? 0 : fail();
}

static int real_truncate(struct disk *disk, int file, uint64_t length)
{
	(void)disk;
	return ftruncate(file, (off_t)length) == 0 ? 0 : fail();
}

static void stat_fill(const struct stat *st, struct disk_stat *ret)
{
	*ret = (struct disk_stat){
		.length_bytes = (uint64_t)st->st_size,
		.inode = st->st_ino,
		.modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		.regular = S_ISREG(st->st_mode),
		.directory = S_ISDIR(st->st_mode),
		.links = (uint32_t)st->st_nlink,
	};
}

static int real_stat_file(struct disk *disk, int file, struct disk_stat *ret)
{
	struct stat st;

	(void)disk;
	if (fstat(file, &st) != 0)
		return fail();
	stat_fill(&st, ret);
	return 0;
}

static int real_stat_name(struct disk *disk, int dir, const char *name, struct disk_stat *ret)
{
	struct stat st;

	(void)disk;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return fail();
	stat_fill(&st, ret);
	return 0;
}

static int real_free_bytes(struct disk *disk, int dir, uint64_t *ret)
{
	struct statvfs vfs;

	(void)disk;
	if (fstatvfs(dir, &vfs) != 0)
		return fail();
	*ret = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return 0;
}

static int real_list(struct disk *disk, int dir, disk_on_name on_name, void *ctx)
{
	/* A descriptor of its own: fdopendir takes it, and its offset is shared. */
	int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = own >= 0 ? fdopendir(own) : NULL;
	int ret = 0;

	(void)disk;
	if (stream == NULL) {
		ret = fail();
		if (own >= 0)
			close(own);
		return ret;
	}
	while (ret == 0) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(stream);
		if (entry == NULL) {
			ret = fail();
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ret = on_name(ctx, entry->d_name);
	}
	closedir(stream);
	return ret;
}

static int real_lock(struct disk *disk, int file)
{
	(void)disk;
	return flock(file, LOCK_EX | LOCK_NB) == 0 ? 0 : fail();
}

static int real_set_direct(struct disk *disk, int file, bool direct)
{
	int flags = fcntl(file, F_GETFL);

	(void)disk;
	if (flags < 0)
		return fail();
	flags = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
	return fcntl(file, F_SETFL, flags) == 0 ? 0 : fail();
}

static void real_will_read(struct disk *disk, int file, uint64_t offset, uint64_t length)
{
	(void)disk;
	(void)posix_fadvise(file, (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED);
}

static void real_read_bare(struct disk *disk, int file)
{
	(void)disk;
	(void)posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
}

static int real_write_out(struct disk *disk, int file, uint64_t offset, uint64_t length)
{
	unsigned int how =
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	(void)disk;
	return sync_file_range(file, (off_t)offset, (off_t)length, how) == 0 ? 0 : fail();
}

static const struct disk_ops real_ops = {
	.open_root = real_open_root,
	.open_dir = real_open_dir,
	.open = real_open,
	.close = real_close,
	.pread = real_pread,
	.pwritev = real_pwritev,
	.sync = real_sync,
	.sync_dir = real_sync_dir,
	.rename = real_rename,
	.unlink = real_unlink,
	.truncate = real_truncate,
	.stat_file = real_stat_file,
	.stat_name = real_stat_name,
	.free_bytes = real_free_bytes,
	.list = real_list,
	.lock = real_lock,
	.set_direct = real_set_direct,
	.will_read = real_will_read,
	.read_bare = real_read_bare,
	.write_out = real_write_out,
};

void disk_real(struct disk *disk)
{
	*disk = (struct disk){.ops = &real_ops, .file_mode = 0600, .dir_mode = 0700};
}

/* ---- Of all disks ------------------------------------------------------- */

int disk_open_root(struct disk *disk, const char *path, bool create)
{
	return disk->ops->open_root(disk, path, create);
}

int disk_open_dir(struct disk *disk, int dir, const char *name, bool create)
{
	return disk->ops->open_dir(disk, dir, name, create);
}

int disk_open(struct disk *disk, int dir, const char *name, unsigned flags)
{
	return disk->ops->open(disk, dir, name, flags);
}

void disk_close(struct disk *disk, int handle)
{
	/* What was to be kept was synced before: an error here says nothing new. */
	if (handle >= 0)
		(void)disk->ops->close(disk, handle);
}

ssize_t disk_read(struct disk *disk, int file, void *data, size_t length, uint64_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = disk->ops->pread(
			disk, file, (uint8_t *)data + done, length - done, offset + done);

		if (got == -EINTR)
			continue;
		if (got < 0)
			return got;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

void disk_will_read(struct disk *disk, int file, uint64_t offset, uint64_t length)
{
	if (disk->ops->will_read != NULL)
		disk->ops->will_read(disk, file, offset, length);
}

void disk_read_bare(struct disk *disk, int file)
{
	if (disk->ops->read_bare != NULL)
		disk->ops->read_bare(disk, file);
}

int disk_write(struct disk *disk, int file, const void *data, size_t length, uint64_t offset)
{
	size_t done = 0;

	while (done < length) {
		struct iovec part = {
			.iov_base = (uint8_t *)(uintptr_t)data + done, .iov_len = length - done};
		ssize_t put = disk->ops->pwritev(disk, file, &part, 1, offset + done);

		if (put == -EINTR)
			continue;
		if (put < 0)
			return (int)put;
		/* Writing nothing without an error would go on for ever. */
		if (put == 0)
			return -EIO;
		done += (size_t)put;
	}
	return 0;
}

static int set_direct(struct disk *disk, int file, bool direct)
{
	return disk->ops->set_direct != NULL ? disk->ops->set_direct(disk, file, direct)
					     : -EOPNOTSUPP;
}

bool disk_can_direct(struct disk *disk, int file)
{
	return set_direct(disk, file, true) == 0 && set_direct(disk, file, false) == 0;
}

int disk_write_direct(struct disk *disk, int file, const void *data, size_t length, uint64_t offset)
{
	bool blocks = (offset | length | (uintptr_t)data) % DISK_BLOCK_BYTES == 0;
	int ret = -EINVAL;

	if (length == 0)
		return 0;
	if (blocks && set_direct(disk, file, true) == 0) {
		ret = disk_write(disk, file, data, length, offset);
		if (set_direct(disk, file, false) != 0 && ret == 0)
			ret = -EIO;
	}
	/* A file system may take the flag, and then not the write. */
	return ret == -EINVAL ? disk_write(disk, file, data, length, offset) : ret;
}

int disk_sync(struct disk *disk, int file)
{
	return disk->ops->sync(disk, file);
}

int disk_write_out(struct disk *disk, int file, uint64_t offset, uint64_t length)
{
	int ret = disk->ops->write_out != NULL ? disk->ops->write_out(disk, file, offset, length)
					       : -EOPNOTSUPP;

	/* What the kernel or a sandbox doesn't have. Any other error may be one that the next
	 * sync would have told, and won't again. */
	return ret == -ENOSYS || ret == -ESPIPE || ret == -EINVAL || ret == -EPERM ? -EOPNOTSUPP
										   : ret;
}

int disk_sync_dir(struct disk *disk, int dir)
{
	return disk->ops->sync_dir(disk, dir);
}

int disk_rename(
	struct disk *disk, int from_dir, const char *from, int to_dir, const char *to, bool replace)
{
	return disk->ops->rename(disk, from_dir, from, to_dir, to, replace);
}

int disk_unlink(struct disk *disk, int dir, const char *name)
{
	return disk->ops->unlink(disk, dir, name);
}

void disk_unlink_quietly(struct disk *disk, int dir, const char *name)
{
	(void)disk->ops->unlink(disk, dir, name);
}

int disk_truncate(struct disk *disk, int file, uint64_t length)
{
	return disk->ops->truncate(disk, file, length);
}

int disk_stat_file(struct disk *disk, int file, struct disk_stat *ret)
{
	return disk->ops->stat_file(disk, file, ret);
}

int disk_stat_name(struct disk *disk, int dir, const char *name, struct disk_stat *ret)
{
	return disk->ops->stat_name(disk, dir, name, ret);
}

int disk_free_bytes(struct disk *disk, int dir, uint64_t *ret)
{
	return disk->ops->free_bytes(disk, dir, ret);
}

int disk_list(struct disk *disk, int dir, disk_on_name on_name, void *ctx)
{
	return disk->ops->list(disk, dir, on_name, ctx);
}

int disk_lock(struct disk *disk, int file)
{
	return disk->ops->lock(disk, file);
}
