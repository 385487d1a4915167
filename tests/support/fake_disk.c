/* A disk in memory. See fake_disk.h. */
#include "fake_disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"

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
};

static void die(const char *what)
{
	fprintf(stderr, "fake_disk: %s\n", what);
	abort();
}

static void *checked(void *memory)
{
	if (memory == NULL)
		die("no memory");
	return memory;
}

/* ---- Inodes and names ----------------------------------------------------- */

static int inode_new(struct fake_disk *fake, bool directory)
{
	if (fake->inode_count == INODES)
		die("too many inodes");
	fake->inodes[fake->inode_count] = (struct inode){.used = true, .directory = directory};
	return fake->inode_count++;
}

static void inode_resize(struct inode *inode, size_t length)
{
	if (length > inode->capacity) {
		inode->capacity = length * 2;
		inode->data = checked(realloc(inode->data, inode->capacity));
	}
	if (length > inode->length)
		memset(inode->data + inode->length, 0, length - inode->length);
	inode->length = length;
}

static void inode_write(struct inode *inode, const void *data, size_t length, uint64_t offset)
{
	if (length == 0)
		return;
	if (offset + length > inode->length)
		inode_resize(inode, offset + length);
	memcpy(inode->data + offset, data, length);
}

static struct entry *find(struct fake_disk *fake, int dir, const char *name)
{
	for (size_t i = 0; i < fake->entry_count; i++) {
		if (fake->entries[i].dir == dir && strcmp(fake->entries[i].name, name) == 0)
			return &fake->entries[i];
	}
	return NULL;
}

static void link_name(struct fake_disk *fake, int dir, const char *name, int inode)
{
	struct entry *entry = find(fake, dir, name);

	if (entry != NULL) {
		entry->inode = inode;
		return;
	}
	fake->entries = checked(reallocarray(fake->entries, fake->entry_count + 1, sizeof(*entry)));
	fake->entries[fake->entry_count++] =
		(struct entry){.dir = dir, .inode = inode, .name = checked(strdup(name))};
}

static void unlink_name(struct fake_disk *fake, int dir, const char *name)
{
	struct entry *entry = find(fake, dir, name);

	if (entry == NULL)
		return;
	free(entry->name);
	*entry = fake->entries[--fake->entry_count];
}

/* ---- Journal -------------------------------------------------------------- */

static struct change *record(struct fake_disk *fake, enum change_kind kind, int inode)
{
	if (fake->change_count == fake->change_capacity) {
		fake->change_capacity =
			fake->change_capacity == 0 ? 256 : fake->change_capacity * 2;
		fake->changes = checked(
			reallocarray(fake->changes, fake->change_capacity, sizeof(*fake->changes)));
	}
	fake->changes[fake->change_count] =
		(struct change){.kind = kind, .inode = inode, .safe_at = NEVER};
	return &fake->changes[fake->change_count++];
}

static bool of_data(const struct change *change)
{
	return change->kind == CHANGE_WRITE || change->kind == CHANGE_TRUNCATE;
}

static bool of_dir(const struct change *change, int dir)
{
	return !of_data(change) &&
	       (change->dir == dir || (change->kind == CHANGE_RENAME && change->to_dir == dir));
}

static void make_safe(struct fake_disk *fake, int inode, bool dir, bool failed)
{
	for (size_t i = 0; i < fake->change_count; i++) {
		struct change *change = &fake->changes[i];

		if (change->safe_at != NEVER ||
			(dir ? !of_dir(change, inode) : !of_data(change) || change->inode != inode))
			continue;
		if (failed)
			change->hopeless |= !dir;
		else if (!change->hopeless)
			change->safe_at = (long)fake->change_count;
	}
}

/* ---- Faults ---------------------------------------------------------------- */

/* Counts an operation; a negative errno when it is to fail, 1 when it is to be short. */
static int next_operation(struct fake_disk *fake)
{
	uint64_t n = fake->operations++;

	if (n < fake->fail_from || n - fake->fail_from >= fake->fail_count)
		return 0;
	return fake->fault == FAKE_SHORT ? 1 : fake->error;
}

static uint64_t bytes_used(const struct fake_disk *fake)
{
	uint64_t used = 0;

	for (size_t i = 0; i < fake->entry_count; i++)
		used += fake->inodes[fake->entries[i].inode].length;
	return used;
}

/* ---- Operations -------------------------------------------------------------- */

static int handle_new(struct fake_disk *fake, int inode)
{
	for (int i = 0; i < HANDLES; i++) {
		if (fake->handles[i] == NEVER) {
			fake->handles[i] = inode;
			return i;
		}
	}
	return -EMFILE;
}

static int inode_of(struct fake_disk *fake, int handle)
{
	if (handle < 0 || handle >= HANDLES || fake->handles[handle] == NEVER)
		die("a handle that is not open");
	return fake->handles[handle];
}

static struct fake_disk *enter(struct disk *disk)
{
	struct fake_disk *fake = (struct fake_disk *)disk;

	pthread_mutex_lock(&fake->mutex);
	return fake;
}

static int leave(struct fake_disk *fake, int ret)
{
	pthread_mutex_unlock(&fake->mutex);
	return ret;
}

static int fake_open_root(struct disk *disk, const char *path, bool create)
{
	struct fake_disk *fake = enter(disk);

	(void)path;
	(void)create;
	return leave(fake, handle_new(fake, 0));
}

static int fake_open_dir(struct disk *disk, int dir, const char *name, bool create)
{
	struct fake_disk *fake = enter(disk);
	int parent = inode_of(fake, dir);
	struct entry *entry = find(fake, parent, name);
	int inode;

	if (entry != NULL)
		return leave(fake, fake->inodes[entry->inode].directory
					   ? handle_new(fake, entry->inode)
					   : -ENOTDIR);
	if (!create)
		return leave(fake, -ENOENT);
	inode = inode_new(fake, true);
	link_name(fake, parent, name, inode);
	/* Made and synced, as the real one does. */
	record(fake, CHANGE_LINK, inode)->dir = parent;
	fake->changes[fake->change_count - 1].name = checked(strdup(name));
	fake->changes[fake->change_count - 1].safe_at = (long)fake->change_count;
	return leave(fake, handle_new(fake, inode));
}

static int fake_open(struct disk *disk, int dir, const char *name, unsigned flags)
{
	struct fake_disk *fake = enter(disk);
	int fault = (flags & DISK_WRITE) != 0 ? next_operation(fake) : 0;
	int parent = inode_of(fake, dir);
	struct entry *entry = find(fake, parent, name);
	int inode;

	if (fault < 0)
		return leave(fake, fault);
	if (entry != NULL) {
		if ((flags & DISK_EXCLUSIVE) != 0)
			return leave(fake, -EEXIST);
		if (fake->inodes[entry->inode].directory)
			return leave(fake, -EINVAL);
		return leave(fake, handle_new(fake, entry->inode));
	}
	if ((flags & DISK_CREATE) == 0)
		return leave(fake, -ENOENT);
	inode = inode_new(fake, false);
	link_name(fake, parent, name, inode);
	record(fake, CHANGE_LINK, inode)->dir = parent;
	fake->changes[fake->change_count - 1].name = checked(strdup(name));
	return leave(fake, handle_new(fake, inode));
}

static int fake_close(struct disk *disk, int handle)
{
	struct fake_disk *fake = enter(disk);

	(void)inode_of(fake, handle);
	fake->handles[handle] = NEVER;
	return leave(fake, 0);
}

static ssize_t fake_pread(struct disk *disk, int file, void *data, size_t length, uint64_t offset)
{
	struct fake_disk *fake = enter(disk);
	const struct inode *inode = &fake->inodes[inode_of(fake, file)];
	size_t there = offset < inode->length ? inode->length - offset : 0;

	if (length > there)
		length = there;
	if (length > 0)
		memcpy(data, inode->data + offset, length);
	leave(fake, 0);
	return (ssize_t)length;
}

static ssize_t fake_pwritev(
	struct disk *disk, int file, const struct iovec *parts, int count, uint64_t offset)
{
	struct fake_disk *fake = enter(disk);
	int inode = inode_of(fake, file);
	int fault = next_operation(fake);
	size_t total = 0;
	uint64_t used = bytes_used(fake);
	struct change *change;
	uint8_t *data;
	size_t at = 0;

	if (fault < 0)
		return leave(fake, fault);
	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	if (fault == 1)
		total = (total + 1) / 2;
	if (fake->capacity != 0 && offset + total > fake->inodes[inode].length) {
		uint64_t grows = offset + total - fake->inodes[inode].length;
		uint64_t room = used < fake->capacity ? fake->capacity - used : 0;

		/* As much as there is room for, like the real ones. */
		if (grows > room)
			total -= grows - room < total ? (size_t)(grows - room) : total;
		if (total == 0)
			return leave(fake, -ENOSPC);
	}
	data = checked(malloc(total + 1));
	for (int i = 0; i < count && at < total; i++) {
		size_t length = parts[i].iov_len < total - at ? parts[i].iov_len : total - at;

		memcpy(data + at, parts[i].iov_base, length);
		at += length;
	}
	inode_write(&fake->inodes[inode], data, total, offset);
	change = record(fake, CHANGE_WRITE, inode);
	change->offset = offset;
	change->data = data;
	change->length = total;
	leave(fake, 0);
	return (ssize_t)total;
}

static int fake_sync(struct disk *disk, int file)
{
	struct fake_disk *fake = enter(disk);
	int inode = inode_of(fake, file);
	int fault = next_operation(fake);

	if (!fake->ignore_syncs)
		make_safe(fake, inode, false, fault < 0);
	return leave(fake, fault < 0 ? fault : 0);
}

static int fake_sync_dir(struct disk *disk, int dir)
{
	struct fake_disk *fake = enter(disk);
	int inode = inode_of(fake, dir);
	int fault = next_operation(fake);

	if (!fake->inodes[inode].directory)
		die("sync_dir of a file");
	if (fault >= 0)
		make_safe(fake, inode, true, false);
	return leave(fake, fault < 0 ? fault : 0);
}

static int fake_rename(
	struct disk *disk, int from_dir, const char *from, int to_dir, const char *to, bool replace)
{
	struct fake_disk *fake = enter(disk);
	int source = inode_of(fake, from_dir);
	int target = inode_of(fake, to_dir);
	struct entry *entry = find(fake, source, from);
	int fault = next_operation(fake);
	struct change *change;
	int inode;

	if (fault < 0)
		return leave(fake, fault);
	if (entry == NULL)
		return leave(fake, -ENOENT);
	if (!replace && find(fake, target, to) != NULL)
		return leave(fake, -EEXIST);
	inode = entry->inode;
	unlink_name(fake, source, from);
	link_name(fake, target, to, inode);
	change = record(fake, CHANGE_RENAME, inode);
	change->dir = source;
	change->name = checked(strdup(from));
	change->to_dir = target;
	change->to = checked(strdup(to));
	return leave(fake, 0);
}

static int fake_unlink(struct disk *disk, int dir, const char *name)
{
	struct fake_disk *fake = enter(disk);
	int parent = inode_of(fake, dir);
	struct entry *entry = find(fake, parent, name);
	struct change *change;
	int fault;

	if (entry == NULL)
		return leave(fake, -ENOENT);
	fault = next_operation(fake);
	if (fault < 0)
		return leave(fake, fault);
	change = record(fake, CHANGE_UNLINK, entry->inode);
	change->dir = parent;
	change->name = checked(strdup(name));
	unlink_name(fake, parent, name);
	return leave(fake, 0);
}

static int fake_truncate(struct disk *disk, int file, uint64_t length)
{
	struct fake_disk *fake = enter(disk);
	int inode = inode_of(fake, file);
	int fault = next_operation(fake);

	if (fault < 0)
		return leave(fake, fault);
	inode_resize(&fake->inodes[inode], length);
	record(fake, CHANGE_TRUNCATE, inode)->length = length;
	return leave(fake, 0);
}

static void fill_stat(const struct fake_disk *fake, int inode, struct disk_stat *ret)
{
	*ret = (struct disk_stat){
		.length_bytes = fake->inodes[inode].length,
		.inode = (uint64_t)inode + 1,
		.regular = !fake->inodes[inode].directory,
		.directory = fake->inodes[inode].directory,
		.links = 1,
	};
}

static int fake_stat_file(struct disk *disk, int file, struct disk_stat *ret)
{
	struct fake_disk *fake = enter(disk);

	fill_stat(fake, inode_of(fake, file), ret);
	return leave(fake, 0);
}

static int fake_stat_name(struct disk *disk, int dir, const char *name, struct disk_stat *ret)
{
	struct fake_disk *fake = enter(disk);
	struct entry *entry = find(fake, inode_of(fake, dir), name);

	if (entry != NULL)
		fill_stat(fake, entry->inode, ret);
	return leave(fake, entry != NULL ? 0 : -ENOENT);
}

static int fake_free_bytes(struct disk *disk, int dir, uint64_t *ret)
{
	struct fake_disk *fake = enter(disk);
	uint64_t used = bytes_used(fake);

	(void)dir;
	*ret = fake->capacity == 0     ? UINT64_C(1) << 40
	       : used < fake->capacity ? fake->capacity - used
				       : 0;
	return leave(fake, 0);
}

static int fake_list(struct disk *disk, int dir, disk_on_name on_name, void *ctx)
{
	struct fake_disk *fake = enter(disk);
	int inode = inode_of(fake, dir);
	char **names = checked(calloc(fake->entry_count + 1, sizeof(*names)));
	size_t count = 0;
	int ret = 0;

	for (size_t i = 0; i < fake->entry_count; i++) {
		if (fake->entries[i].dir == inode)
			names[count++] = checked(strdup(fake->entries[i].name));
	}
	leave(fake, 0);
	for (size_t i = 0; i < count; i++) {
		if (ret == 0)
			ret = on_name(ctx, names[i]);
		free(names[i]);
	}
	free(names);
	return ret;
}

static int fake_lock(struct disk *disk, int file)
{
	struct fake_disk *fake = enter(disk);

	(void)inode_of(fake, file);
	return leave(fake, 0);
}

static const struct disk_ops fake_ops = {
	.open_root = fake_open_root,
	.open_dir = fake_open_dir,
	.open = fake_open,
	.close = fake_close,
	.pread = fake_pread,
	.pwritev = fake_pwritev,
	.sync = fake_sync,
	.sync_dir = fake_sync_dir,
	.rename = fake_rename,
	.unlink = fake_unlink,
	.truncate = fake_truncate,
	.stat_file = fake_stat_file,
	.stat_name = fake_stat_name,
	.free_bytes = fake_free_bytes,
	.list = fake_list,
	.lock = fake_lock,
};

/* ---- Of tests ------------------------------------------------------------------- */

struct fake_disk *fake_disk_new(void)
{
	struct fake_disk *fake = checked(calloc(1, sizeof(*fake)));

	fake->disk = (struct disk){.ops = &fake_ops, .file_mode = 0600, .dir_mode = 0700};
	pthread_mutex_init(&fake->mutex, NULL);
	for (int i = 0; i < HANDLES; i++)
		fake->handles[i] = NEVER;
	inode_new(fake, true);
	return fake;
}

void fake_disk_free(struct fake_disk *fake)
{
	if (fake == NULL)
		return;
	for (int i = 0; i < fake->inode_count; i++)
		free(fake->inodes[i].data);
	for (size_t i = 0; i < fake->entry_count; i++)
		free(fake->entries[i].name);
	for (size_t i = 0; i < fake->change_count; i++) {
		free(fake->changes[i].data);
		free(fake->changes[i].name);
		free(fake->changes[i].to);
	}
	pthread_mutex_destroy(&fake->mutex);
	free(fake->entries);
	free(fake->changes);
	free(fake);
}

struct disk *fake_disk_disk(struct fake_disk *fake)
{
	return &fake->disk;
}

size_t fake_disk_changes(struct fake_disk *fake)
{
	size_t changes;

	pthread_mutex_lock(&fake->mutex);
	changes = fake->change_count;
	pthread_mutex_unlock(&fake->mutex);
	return changes;
}

uint64_t fake_disk_operations(struct fake_disk *fake)
{
	return fake->operations;
}

void fake_disk_fail(
	struct fake_disk *fake, uint64_t n, uint64_t count, enum fake_fault fault, int error)
{
	pthread_mutex_lock(&fake->mutex);
	fake->fail_from = fake->operations + n;
	fake->fail_count = count;
	fake->fault = fault;
	fake->error = error;
	pthread_mutex_unlock(&fake->mutex);
}

void fake_disk_ignore_syncs(struct fake_disk *fake, bool ignore)
{
	fake->ignore_syncs = ignore;
}

void fake_disk_set_capacity(struct fake_disk *fake, uint64_t bytes)
{
	fake->capacity = bytes;
}

size_t fake_disk_open_handles(struct fake_disk *fake)
{
	size_t count = 0;

	for (int i = 0; i < HANDLES; i++)
		count += fake->handles[i] != NEVER;
	return count;
}

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
		inode_write(inode, change->data, change->length, change->offset);
		return;
	case 2:
		inode_write(inode, change->data, (size_t)(chance(seed) % (change->length + 1)),
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
			inode_write(inode, change->data + at, block, change->offset + at);
		at += block;
	}
}

static void redo_name(struct fake_disk *fake, const struct change *change)
{
	struct entry *entry;

	switch (change->kind) {
	case CHANGE_LINK:
		link_name(fake, change->dir, change->name, change->inode);
		break;
	case CHANGE_UNLINK:
		entry = find(fake, change->dir, change->name);
		if (entry != NULL && entry->inode == change->inode)
			unlink_name(fake, change->dir, change->name);
		break;
	case CHANGE_RENAME:
		entry = find(fake, change->dir, change->name);
		if (entry != NULL && entry->inode == change->inode)
			unlink_name(fake, change->dir, change->name);
		link_name(fake, change->to_dir, change->to, change->inode);
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
		inode_new(crashed, fake->inodes[i].directory);
	for (size_t i = 0; i < at; i++) {
		const struct change *change = &fake->changes[i];
		struct inode *inode = &crashed->inodes[change->inode];
		bool safe = mode == FAKE_KILLED ||
			    (change->safe_at != NEVER && (size_t)change->safe_at <= at);

		if (!of_data(change)) {
			if (safe || i < names_until)
				redo_name(crashed, change);
		} else if (change->kind == CHANGE_TRUNCATE) {
			if (safe || (mode == FAKE_RANDOM && chance(&seed) % 2 == 0))
				inode_resize(inode, change->length);
		} else if (safe) {
			inode_write(inode, change->data, change->length, change->offset);
		} else if (mode == FAKE_RANDOM) {
			write_some(inode, change, &seed);
		}
	}
	/* What is there now is safe: it was read from the disk. */
	for (size_t i = 0; i < crashed->entry_count; i++) {
		const struct entry *entry = &crashed->entries[i];
		const struct inode *inode = &crashed->inodes[entry->inode];
		struct change *change = record(crashed, CHANGE_LINK, entry->inode);

		change->dir = entry->dir;
		change->name = checked(strdup(entry->name));
		change->safe_at = 0;
		if (inode->directory || inode->length == 0)
			continue;
		change = record(crashed, CHANGE_WRITE, entry->inode);
		change->data = checked(malloc(inode->length));
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
		entry = find(fake, dir, name);
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
	struct entry *entry = dir != NEVER ? find(fake, dir, name) : NULL;

	if (entry == NULL)
		return NULL;
	*ret_length = fake->inodes[entry->inode].length;
	return *ret_length > 0 ? fake->inodes[entry->inode].data : nothing;
}

void fake_disk_put(struct fake_disk *fake, const char *path, const void *data, size_t length)
{
	char name[256];
	int dir = walk(fake, path, name);
	int inode = inode_new(fake, false);
	struct change *change;

	if (dir == NEVER)
		die("no such directory");
	link_name(fake, dir, name, inode);
	inode_write(&fake->inodes[inode], data, length, 0);
	change = record(fake, CHANGE_LINK, inode);
	change->dir = dir;
	change->name = checked(strdup(name));
	change->safe_at = (long)fake->change_count;
	if (length == 0)
		return;
	change = record(fake, CHANGE_WRITE, inode);
	change->data = checked(malloc(length));
	memcpy(change->data, data, length);
	change->length = length;
	change->safe_at = (long)fake->change_count;
}

void fake_disk_remove(struct fake_disk *fake, const char *path)
{
	char name[256];
	int dir = walk(fake, path, name);
	struct entry *entry = dir != NEVER ? find(fake, dir, name) : NULL;
	struct change *change;

	if (entry == NULL)
		return;
	change = record(fake, CHANGE_UNLINK, entry->inode);
	change->dir = dir;
	change->name = checked(strdup(name));
	change->safe_at = (long)fake->change_count;
	unlink_name(fake, dir, name);
}

/* Directories in the tests are at most two deep. */
static void path_of(struct fake_disk *fake, const struct entry *entry, char path[600])
{
	char below[600];
	int dir = entry->dir;

	snprintf(path, 600, "%s", entry->name);
	while (dir != 0) {
		for (size_t i = 0; i < fake->entry_count; i++) {
			if (fake->entries[i].inode != dir)
				continue;
			snprintf(below, sizeof(below), "%s", path);
			snprintf(path, 600, "%.200s/%.380s", fake->entries[i].name, below);
			dir = fake->entries[i].dir;
			break;
		}
	}
}

void fake_disk_each(struct fake_disk *fake,
	void (*on_file)(void *ctx, const char *path, const uint8_t *data, size_t length), void *ctx)
{
	for (size_t i = 0; i < fake->entry_count; i++) {
		const struct inode *inode = &fake->inodes[fake->entries[i].inode];
		char path[600];

		if (inode->directory)
			continue;
		path_of(fake, &fake->entries[i], path);
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
