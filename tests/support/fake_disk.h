/*
 * A disk in memory, for tests of the store. It can fail operations, run full,
 * and after the fact be asked for any state in which a crash could have left it.
 *
 * Every change is kept in a journal. fake_disk_crash(disk, at, mode, seed) makes
 * a new disk as it could be found if the machine, or the process, had stopped
 * when `at` changes had been made:
 *   FAKE_KILLED       the process was killed: all changes are there
 *   FAKE_LOST         power loss: nothing that was not synced is there
 *   FAKE_RANDOM       power loss: of what was not synced, any of it: writes
 *                     in part, by blocks of 512 bytes, out of order; names up to any
 *                     of them
 * Data is safe when a sync of its file succeeded after it, a name when a sync of
 * its directory did. What was not safe when a sync failed is not made safe by a
 * later sync: the kernel may have dropped the pages (fsync(2), "errors").
 *
 * Thread-safe but for fake_disk_crash and the members, which are set before use.
 */
#ifndef WAFT_TESTS_FAKE_DISK_H
#define WAFT_TESTS_FAKE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"

enum fake_crash {
	FAKE_KILLED,
	FAKE_LOST,
	FAKE_RANDOM,
};

enum fake_fault {
	FAKE_FAIL,  /* the operation does nothing and returns the error */
	FAKE_SHORT, /* a write does half, another operation is not touched */
};

struct fake_disk;

struct fake_disk *fake_disk_new(void);
void fake_disk_free(struct fake_disk *fake);

/* The table for the code under test; lives as long as the fake. */
struct disk *fake_disk_disk(struct fake_disk *fake);

/* Changes made so far: the length of the journal. */
size_t fake_disk_changes(struct fake_disk *fake);

/* Operations that can fail so far: those that change something, syncs and opens. */
uint64_t fake_disk_operations(struct fake_disk *fake);

/* From the n-th operation from now on (0: the next), `count` of them fail. */
void fake_disk_fail(
	struct fake_disk *fake, uint64_t n, uint64_t count, enum fake_fault fault, int error);

/* Reads that touch these bytes of the file fail with -EIO: a bad sector. length 0: none do. */
void fake_disk_spoil(struct fake_disk *fake, const char *path, uint64_t offset, uint64_t length);

/* Syncs of files report success and keep nothing safe: a broken disk. */
void fake_disk_ignore_syncs(struct fake_disk *fake, bool ignore);

/* Bytes that all files together may have; 0: no limit. */
void fake_disk_set_capacity(struct fake_disk *fake, uint64_t bytes);

/* A disk as a crash after `at` changes could leave it; owned by the caller. */
struct fake_disk *fake_disk_crash(
	struct fake_disk *fake, size_t at, enum fake_crash mode, uint64_t seed);

/* Writes so far that passed the page cache by. */
uint64_t fake_disk_direct_writes(struct fake_disk *fake);

/* Content of a file by its path from the root, "dir/name"; NULL when there is none.
 * Borrowed until the next change. */
const uint8_t *fake_disk_content(struct fake_disk *fake, const char *path, size_t *ret_length);

/* Puts a file there, as somebody else would: safe at once. */
void fake_disk_put(struct fake_disk *fake, const char *path, const void *data, size_t length);

/* Removes a name, as somebody else would. */
void fake_disk_remove(struct fake_disk *fake, const char *path);

/* Calls on_file for each file, with its path. */
void fake_disk_each(struct fake_disk *fake,
	void (*on_file)(void *ctx, const char *path, const uint8_t *data, size_t length),
	void *ctx);

/* A hash of every file's path and content: two disks of the same state have the same. */
uint64_t fake_disk_hash(struct fake_disk *fake);

/* Files and directories that are open. */
size_t fake_disk_open_handles(struct fake_disk *fake);

#endif
