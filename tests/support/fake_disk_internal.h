/*
 * What fake_disk.c (the disk) and fake_disk_crash.c (what is left of it, and a look into it)
 * share.
 */
#ifndef WAFT_TESTS_FAKE_DISK_INTERNAL_H
#define WAFT_TESTS_FAKE_DISK_INTERNAL_H

#include <pthread.h>

#include "fake_disk.h"

enum {
	INODES = 4096,
	HANDLES = 256,
	BLOCK = 512,
	NEVER = -1,
};

struct inode {
	bool used;
	bool directory;
	bool locked;
	uint8_t *data;
	size_t length;
	size_t capacity;
};

struct entry {
	int dir;
	int inode;
	char *name;
};

enum change_kind { CHANGE_WRITE, CHANGE_TRUNCATE, CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME };

struct change {
	enum change_kind kind;
	int inode;
	long safe_at;  /* number of changes when it became safe; NEVER */
	bool hopeless; /* a sync failed over it */
	uint64_t offset;
	uint8_t *data; /* WRITE */
	size_t length; /* WRITE, TRUNCATE: of the file */
	int dir;
	char *name;
	int to_dir; /* RENAME */
	char *to;
};

struct fake_disk {
	struct disk disk; /* first */
	pthread_mutex_t mutex;
	struct inode inodes[INODES];
	int inode_count;
	struct entry *entries;
	size_t entry_count;
	int handles[HANDLES]; /* inode, or NEVER */
	bool direct[HANDLES];
	uint64_t direct_writes;
	struct change *changes;
	size_t change_count;
	size_t change_capacity;
	uint64_t operations;
	uint64_t fail_from;
	uint64_t fail_count;
	enum fake_fault fault;
	int error;
	bool ignore_syncs;
	uint64_t capacity;
	int spoiled; /* inode, of whose bytes from spoiled_from up to spoiled_end none can be read
		      */
	uint64_t spoiled_from;
	uint64_t spoiled_end;
};

void fake_die(const char *what);
void *fake_checked(void *memory);
int fake_inode_new(struct fake_disk *fake, bool directory);
void fake_inode_resize(struct inode *inode, size_t length);
void fake_inode_write(struct inode *inode, const void *data, size_t length, uint64_t offset);
struct entry *fake_find(struct fake_disk *fake, int dir, const char *name);
void fake_link_name(struct fake_disk *fake, int dir, const char *name, int inode);
void fake_unlink_name(struct fake_disk *fake, int dir, const char *name);
struct change *fake_record(struct fake_disk *fake, enum change_kind kind, int inode);
bool fake_of_data(const struct change *change);

#endif
