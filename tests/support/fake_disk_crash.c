/* What a crash leaves of a disk in memory, and what tests see in it. See fake_disk.h. */
#include "fake_disk_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"

/* ---- Crashes -------------------------------------------------------------------- */

static uint64_t chance(uint64_t *seed)
{
	return id_mix(*seed += UINT64_C(0x9e3779b97f4a7c15));
}

/* A write of which any blocks may be missing. */
static void write_some(struct inode *inode, const struct change *change, uint64_t *seed)
{
	size_t at = 0;

	switch (chance(seed) % 4) {
	case 0:
		return;
	case 1:
		fake_inode_write(inode, change->data, change->length, change->offset);
		return;
	case 2:
		fake_inode_write(inode, change->data, (size_t)(chance(seed) % (change->length + 1)),
			change->offset);
		return;
	default:
		break;
	}
	while (at < change->length) {
		size_t block = BLOCK - (size_t)((change->offset + at) % BLOCK);

		if (block > change->length - at)
			block = change->length - at;
		if (chance(seed) % 2 == 0)
			fake_inode_write(inode, change->data + at, block, change->offset + at);
		at += block;
	}
}

static void redo_name(struct fake_disk *fake, const struct change *change)
{
	struct entry *entry;

	switch (change->kind) {
	case CHANGE_LINK:
		fake_link_name(fake, change->dir, change->name, change->inode);
		break;
	case CHANGE_UNLINK:
		entry = fake_find(fake, change->dir, change->name);
		if (entry != NULL && entry->inode == change->inode)
			fake_unlink_name(fake, change->dir, change->name);
		break;
	case CHANGE_RENAME:
		entry = fake_find(fake, change->dir, change->name);
		if (entry != NULL && entry->inode == change->inode)
			fake_unlink_name(fake, change->dir, change->name);
		fake_link_name(fake, change->to_dir, change->to, change->inode);
		break;
	case CHANGE_WRITE:
	case CHANGE_TRUNCATE:
		break;
	}
}

struct fake_disk *fake_disk_crash(
	struct fake_disk *fake, size_t at, enum fake_crash mode, uint64_t seed)
{
	struct fake_disk *crashed = fake_disk_new();
	size_t names_until = mode == FAKE_KILLED ? at : 0;

	if (mode == FAKE_RANDOM)
		names_until = (size_t)(chance(&seed) % (at + 1));
	for (int i = 1; i < fake->inode_count; i++)
		fake_inode_new(crashed, fake->inodes[i].directory);
	for (size_t i = 0; i < at; i++) {
		const struct change *change = &fake->changes[i];
		struct inode *inode = &crashed->inodes[change->inode];
		bool safe = mode == FAKE_KILLED ||
			    (change->safe_at != NEVER && (size_t)change->safe_at <= at);

		if (!fake_of_data(change)) {
			if (safe || i < names_until)
				redo_name(crashed, change);
		} else if (change->kind == CHANGE_TRUNCATE) {
			if (safe || (mode == FAKE_RANDOM && chance(&seed) % 2 == 0))
				fake_inode_resize(inode, change->length);
		} else if (safe) {
			fake_inode_write(inode, change->data, change->length, change->offset);
		} else if (mode == FAKE_RANDOM) {
			write_some(inode, change, &seed);
		}
	}
	/* What is there now is safe: it was read from the disk. */
	for (size_t i = 0; i < crashed->entry_count; i++) {
		const struct entry *entry = &crashed->entries[i];
		const struct inode *inode = &crashed->inodes[entry->inode];
		struct change *change = fake_record(crashed, CHANGE_LINK, entry->inode);

		change->dir = entry->dir;
		change->name = fake_checked(strdup(entry->name));
		change->safe_at = 0;
		if (inode->directory || inode->length == 0)
			continue;
		change = fake_record(crashed, CHANGE_WRITE, entry->inode);
		change->data = fake_checked(malloc(inode->length));
		memcpy(change->data, inode->data, inode->length);
		change->length = inode->length;
		change->safe_at = 0;
	}
	return crashed;
}

/* ---- Looking in ------------------------------------------------------------------- */

/* The directory's inode and the last name of a path. */
static int walk(struct fake_disk *fake, const char *path, char name[256])
{
	int dir = 0;

	for (;;) {
		size_t length = strcspn(path, "/");
		struct entry *entry;

		snprintf(name, 256, "%.*s", (int)length, path);
		if (path[length] == '\0')
			return dir;
		entry = fake_find(fake, dir, name);
		if (entry == NULL)
			return NEVER;
		dir = entry->inode;
		path += length + 1;
	}
}

const uint8_t *fake_disk_content(struct fake_disk *fake, const char *path, size_t *ret_length)
{
	static const uint8_t nothing[1];
	char name[256];
	int dir = walk(fake, path, name);
	struct entry *entry = dir != NEVER ? fake_find(fake, dir, name) : NULL;

	if (entry == NULL)
		return NULL;
	*ret_length = fake->inodes[entry->inode].length;
	return *ret_length > 0 ? fake->inodes[entry->inode].data : nothing;
}

void fake_disk_put(struct fake_disk *fake, const char *path, const void *data, size_t length)
{
	char name[256];
	int dir = walk(fake, path, name);
	int inode = fake_inode_new(fake, false);
	struct change *change;

	if (dir == NEVER)
		fake_die("no such directory");
	fake_link_name(fake, dir, name, inode);
	fake_inode_write(&fake->inodes[inode], data, length, 0);
	change = fake_record(fake, CHANGE_LINK, inode);
	change->dir = dir;
	change->name = fake_checked(strdup(name));
	change->safe_at = (long)fake->change_count;
	if (length == 0)
		return;
	change = fake_record(fake, CHANGE_WRITE, inode);
	change->data = fake_checked(malloc(length));
	memcpy(change->data, data, length);
	change->length = length;
	change->safe_at = (long)fake->change_count;
}

void fake_disk_remove(struct fake_disk *fake, const char *path)
{
	char name[256];
	int dir = walk(fake, path, name);
	struct entry *entry = dir != NEVER ? fake_find(fake, dir, name) : NULL;
	struct change *change;

	if (entry == NULL)
		return;
	change = fake_record(fake, CHANGE_UNLINK, entry->inode);
	change->dir = dir;
	change->name = fake_checked(strdup(name));
	change->safe_at = (long)fake->change_count;
	fake_unlink_name(fake, dir, name);
}

void fake_disk_spoil(struct fake_disk *fake, const char *path, uint64_t offset, uint64_t length)
{
	char name[256];
	int dir = walk(fake, path, name);
	const struct entry *entry = dir != NEVER ? fake_find(fake, dir, name) : NULL;

	if (entry == NULL)
		fake_die("no file to spoil");
	fake->spoiled = entry->inode;
	fake->spoiled_from = offset;
	fake->spoiled_end = offset + length;
}

static const struct entry *entry_of(const struct fake_disk *fake, int inode)
{
	for (size_t i = 0; i < fake->entry_count; i++)
		if (fake->entries[i].inode == inode)
			return &fake->entries[i];
	return NULL;
}

/* Directories in the tests are at most two deep. False: one of them was lost, and with it
 * what is in it. */
static bool path_of(struct fake_disk *fake, const struct entry *entry, char path[600])
{
	char below[600];

	snprintf(path, 600, "%s", entry->name);
	while (entry->dir != 0) {
		entry = entry_of(fake, entry->dir);
		if (entry == NULL)
			return false;
		snprintf(below, sizeof(below), "%s", path);
		snprintf(path, 600, "%.200s/%.380s", entry->name, below);
	}
	return true;
}

void fake_disk_each(struct fake_disk *fake,
	void (*on_file)(void *ctx, const char *path, const uint8_t *data, size_t length), void *ctx)
{
	for (size_t i = 0; i < fake->entry_count; i++) {
		const struct inode *inode = &fake->inodes[fake->entries[i].inode];
		char path[600];

		if (!inode->directory && path_of(fake, &fake->entries[i], path))
			on_file(ctx, path, inode->data, inode->length);
	}
}

static void hash_file(void *ctx, const char *path, const uint8_t *data, size_t length)
{
	uint64_t *sum = ctx;
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (; *path != '\0'; path++)
		hash = (hash ^ (uint8_t)*path) * UINT64_C(0x100000001b3);
	hash = id_mix(hash ^ length);
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
	/* In any order of the files. */
	*sum += id_mix(hash);
}

uint64_t fake_disk_hash(struct fake_disk *fake)
{
	uint64_t sum = 0;

	fake_disk_each(fake, hash_file, &sum);
	return sum;
}
