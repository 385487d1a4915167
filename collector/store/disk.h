/*
 * Every file operation of the store, as one table of functions.
 *
 * disk_real() goes to the kernel; tests put a disk in its place that fails the
 * n-th operation, or forgets what was not synced. All code of the store that
 * writes goes through it.
 *
 * Handles are small integers: with the real disk they are file descriptors,
 * owned by whoever opened them, closed with disk_close. Names are relative to a
 * directory's handle and never contain a slash. Everything is opened with
 * O_NOFOLLOW and O_CLOEXEC; a file must be a regular one with a single link.
 *
 * All calls may block. A disk can be used from several threads at once; one
 * handle only as POSIX allows. Functions return 0 (or a handle or a count) or a
 * negative errno.
 */
#ifndef WAFT_STORE_DISK_H
#define WAFT_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "errors.h"

/* How disk_open opens. */
enum disk_open_flags {
	DISK_READ = 0,
	DISK_WRITE = 1,	    /* for reading and writing */
	DISK_CREATE = 2,    /* make it when it is missing (with DISK_WRITE) */
	DISK_EXCLUSIVE = 4, /* fail with -EEXIST when it is there */
};

struct disk_stat {
	uint64_t length_bytes;
	uint64_t inode;
	int64_t modified_ns; /* since 1970 */
	bool regular;
	bool directory;
	uint32_t links;
};

/* One name of a directory; name is borrowed for the call. Return non-zero to
 * stop: disk_list returns it. */
typedef int (*disk_on_name)(void *ctx, const char *name);

struct disk;

struct disk_ops {
	int (*open_root)(struct disk *disk, const char *path, bool create);
	int (*open_dir)(struct disk *disk, int dir, const char *name, bool create);
	int (*open)(struct disk *disk, int dir, const char *name, unsigned flags);
	int (*close)(struct disk *disk, int handle);
	ssize_t (*pread)(struct disk *disk, int file, void *data, size_t length, uint64_t offset);
	ssize_t (*pwritev)(
		struct disk *disk, int file, const struct iovec *parts, int count, uint64_t offset);
	int (*sync)(struct disk *disk, int file);
	int (*sync_dir)(struct disk *disk, int dir);
	int (*rename)(struct disk *disk, int from_dir, const char *from, int to_dir, const char *to,
		bool replace);
	int (*unlink)(struct disk *disk, int dir, const char *name);
	int (*truncate)(struct disk *disk, int file, uint64_t length);
	int (*stat_file)(struct disk *disk, int file, struct disk_stat *ret);
	int (*stat_name)(struct disk *disk, int dir, const char *name, struct disk_stat *ret);
	int (*free_bytes)(struct disk *disk, int dir, uint64_t *ret);
	int (*list)(struct disk *disk, int dir, disk_on_name on_name, void *ctx);
	int (*lock)(struct disk *disk, int file);
	/* Whether writes pass the page cache by; NULL: none of this disk's do. */
	int (*set_direct)(struct disk *disk, int file, bool direct);
	/* Begins to read ahead; NULL: there is nothing to gain. */
	void (*will_read)(struct disk *disk, int file, uint64_t offset, uint64_t length);
	/* Reads nothing ahead that was not asked for; NULL: it never does, or there is no choice.
	 */
	void (*read_bare)(struct disk *disk, int file);
	/* Brings to the device what was written there; NULL: this disk can't. */
	int (*write_out)(struct disk *disk, int file, uint64_t offset, uint64_t length);
};

/* The base of every disk. Modes are those of files and directories that are
 * created, as chmod takes them. */
struct disk {
	const struct disk_ops *ops;
	unsigned file_mode; /* 0600 unless configured */
	unsigned dir_mode;  /* 0700 unless configured */
};

/* Makes *disk the kernel's, with modes 0600 and 0700. Needs no release. */
void disk_real(struct disk *disk);

/* Opens the directory at path (the one place where a path is taken; symbolic
 * links in it are followed: the operator chose it). With create, makes it and
 * its missing parents. Returns a handle. */
MUST_CHECK int disk_open_root(struct disk *disk, const char *path, bool create);

/* Opens the directory name inside dir; with create, makes it when missing: it stays
 * once dir was synced. -ENOTDIR or -ELOOP for anything that isn't a directory. */
MUST_CHECK int disk_open_dir(struct disk *disk, int dir, const char *name, bool create);

/* Opens a regular file with one link. -ELOOP for a symbolic link, -EMLINK when
 * it has more links, -EINVAL when it is not a regular file. */
MUST_CHECK int disk_open(struct disk *disk, int dir, const char *name, unsigned flags);

/* Closes; a negative handle is ignored. */
void disk_close(struct disk *disk, int handle);

/* Reads up to length bytes at offset, past EINTR and short reads; returns how
 * many there were, fewer only at the end of the file. */
MUST_CHECK ssize_t disk_read(
	struct disk *disk, int file, void *data, size_t length, uint64_t offset);

/* Says that this will be read soon: without waiting, so that many places are read at once. */
void disk_will_read(struct disk *disk, int file, uint64_t offset, uint64_t length);

/* From now on no more of the file is read from the device than is asked for, by disk_read or
 * disk_will_read: what is read ahead at once, 8 MiB on some machines, others wait for. */
void disk_read_bare(struct disk *disk, int file);

/* Writes all of it at offset, past EINTR and short writes. On failure any part
 * of it may have been written. */
MUST_CHECK int disk_write(
	struct disk *disk, int file, const void *data, size_t length, uint64_t offset);

/* What disk_write_direct wants offsets, lengths and addresses to be multiples of. */
#define DISK_BLOCK_BYTES 4096u

/* disk_write past the page cache, straight from memory: for much data that nobody reads
 * soon. Where that can't be, and for what isn't a number of whole blocks, the same as
 * disk_write. What of these blocks is in the page cache must not be dirty. The handle writes
 * directly meanwhile, whoever uses it: no other thread may. */
MUST_CHECK int disk_write_direct(
	struct disk *disk, int file, const void *data, size_t length, uint64_t offset);

/* Whether the file's writes can pass the page cache by. It is tried: no other thread may use
 * the handle meanwhile. */
bool disk_can_direct(struct disk *disk, int file);

/* fdatasync. After a failure the file must not be synced again: the kernel may
 * have forgotten the pages (see docs/STORE.md). EINTR counts as failure. */
MUST_CHECK int disk_sync(struct disk *disk, int file);
MUST_CHECK int disk_sync_dir(struct disk *disk, int dir);

/* Brings what was written at offset to the device and waits for it, so that a sync has little
 * left to do: it makes nothing durable. -EOPNOTSUPP: it can't be done here; after any other
 * error the file must not be synced, as after a failed sync. */
MUST_CHECK int disk_write_out(struct disk *disk, int file, uint64_t offset, uint64_t length);

/* Renames. Without replace: -EEXIST when `to` is there. */
MUST_CHECK int disk_rename(struct disk *disk, int from_dir, const char *from, int to_dir,
	const char *to, bool replace);
MUST_CHECK int disk_unlink(struct disk *disk, int dir, const char *name);
/* Removes what is no longer of use; nothing depends on its success. */
void disk_unlink_quietly(struct disk *disk, int dir, const char *name);
MUST_CHECK int disk_truncate(struct disk *disk, int file, uint64_t length);
MUST_CHECK int disk_stat_file(struct disk *disk, int file, struct disk_stat *ret);
/* Does not follow a symbolic link: it is neither regular nor a directory. */
MUST_CHECK int disk_stat_name(struct disk *disk, int dir, const char *name, struct disk_stat *ret);
/* Bytes that the store may still write on dir's file system. */
MUST_CHECK int disk_free_bytes(struct disk *disk, int dir, uint64_t *ret);
/* Calls on_name for each name but . and .., in no order. */
MUST_CHECK int disk_list(struct disk *disk, int dir, disk_on_name on_name, void *ctx);
/* Takes the file's exclusive flock without waiting; -EWOULDBLOCK when another
 * process has it. It is released when the handle is closed. */
MUST_CHECK int disk_lock(struct disk *disk, int file);

#endif
