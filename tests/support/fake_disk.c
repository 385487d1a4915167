/* A disk in memory. See fake_disk.h. */
#include "fake_disk_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"

void fake_die(const char *what)
{
	fprintf(stderr, "fake_disk: %s\n", what);
	abort();
}

void *fake_checked(void *memory)
{
	if (memory == NULL)
		fake_die("no memory");
	return memory;
}

/* ---- Inodes and names ----------------------------------------------------- */

int fake_inode_new(struct fake_disk *fake, bool directory)
{
	if (fake->inode_count == INODES)
		fake_die("too many inodes");
	fake->inodes[fake->inode_count] = (struct inode){.used = true, .directory = directory};
	return fake->inode_count++;
}

void fake_inode_resize(struct inode *inode, size_t length)
{
	if (length > inode->capacity) {
		inode->capacity = length * 2;
		inode->data = fake_checked(realloc(inode->data, inode->capacity));
	}
	if (length > inode->length)
		memset(inode->data + inode->length, 0, length - inode->length);
	inode->length = length;
}

void fake_inode_write(struct inode *inode, const void *data, size_t length, uint64_t offset)
{
	if (length == 0)
		return;
	if (offset + length > inode->length)
		fake_inode_resize(inode, offset + length);
	memcpy(inode->data + offset, data, length);
}

struct entry *fake_find(struct fake_disk *fake, int dir, const char *name)
{
	for (size_t i = 0; i < fake->entry_count; i++) {
		if (fake->entries[i].dir == dir && strcmp(fake->entries[i].name, name) == 0)
			return &fake->entries[i];
	}
	return NULL;
}

void fake_link_name(struct fake_disk *fake, int dir, const char *name, int inode)
{
	struct entry *entry = fake_find(fake, dir, name);

	if (entry != NULL) {
		entry->inode = inode;
		return;
	}
	fake->entries =
		fake_checked(reallocarray(fake->entries, fake->entry_count + 1, sizeof(*entry)));
	fake->entries[fake->entry_count++] =
		(struct entry){.dir = dir, .inode = inode, .name = fake_checked(strdup(name))};
}

void fake_unlink_name(struct fake_disk *fake, int dir, const char *name)
{
	struct entry *entry = fake_find(fake, dir, name);

	if (entry == NULL)
		return;
	free(entry->name);
	*entry = fake->entries[--fake->entry_count];
}

/* ---- Journal -------------------------------------------------------------- */

struct change *fake_record(struct fake_disk *fake, enum change_kind kind, int inode)
{
	if (fake->change_count == fake->change_capacity) {
		fake->change_capacity =
			fake->change_capacity == 0 ? 256 : fake->change_capacity * 2;
		fake->changes = fake_checked(
			reallocarray(fake->changes, fake->change_capacity, sizeof(*fake->changes)));
	}
	fake->changes[fake->change_count] =
		(struct change){.kind = kind, .inode = inode, .safe_at = NEVER};
	return &fake->changes[fake->change_count++];
}

bool fake_of_data(const struct change *change)
{
	return change->kind == CHANGE_WRITE || change->kind == CHANGE_TRUNCATE;
}

static bool of_dir(const struct change *change, int dir)
{
	return !fake_of_data(change) &&
	       (change->dir == dir || (change->kind == CHANGE_RENAME && change->to_dir == dir));
}

static void make_safe(struct fake_disk *fake, int inode, bool dir, bool failed)
{
	for (size_t i = 0; i < fake->change_count; i++) {
		struct change *change = &fake->changes[i];

		if (change->safe_at != NEVER ||
			(dir ? !of_dir(change, inode)
			     : !fake_of_data(change) || change->inode != inode))
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
		fake_die("a handle that is not open");
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
	struct entry *entry = fake_find(fake, parent, name);
	int inode;

	if (entry != NULL)
		return leave(fake, fake->inodes[entry->inode].directory
					   ? handle_new(fake, entry->inode)
					   : -ENOTDIR);
	if (!create)
		return leave(fake, -ENOENT);
	inode = fake_inode_new(fake, true);
	fake_link_name(fake, parent, name, inode);
	fake_record(fake, CHANGE_LINK, inode)->dir = parent;
	fake->changes[fake->change_count - 1].name = fake_checked(strdup(name));
	return leave(fake, handle_new(fake, inode));
}

static int fake_open(struct disk *disk, int dir, const char *name, unsigned flags)
{
	struct fake_disk *fake = enter(disk);
	int fault = (flags & DISK_WRITE) != 0 ? next_operation(fake) : 0;
	int parent = inode_of(fake, dir);
	struct entry *entry = fake_find(fake, parent, name);
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
	inode = fake_inode_new(fake, false);
	fake_link_name(fake, parent, name, inode);
	fake_record(fake, CHANGE_LINK, inode)->dir = parent;
	fake->changes[fake->change_count - 1].name = fake_checked(strdup(name));
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
	int number = inode_of(fake, file);
	const struct inode *inode = &fake->inodes[number];
	size_t there = offset < inode->length ? inode->length - offset : 0;

	if (length > there)
		length = there;
	if (number == fake->spoiled && offset < fake->spoiled_end &&
		offset + length > fake->spoiled_from)
		return leave(fake, -EIO);
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
	if (fake->direct[file]) {
		if ((total | offset | (uintptr_t)parts[0].iov_base) % DISK_BLOCK_BYTES != 0)
			return leave(fake, -EINVAL);
		fake->direct_writes++;
	}
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
	data = fake_checked(malloc(total + 1));
	for (int i = 0; i < count && at < total; i++) {
		size_t length = parts[i].iov_len < total - at ? parts[i].iov_len : total - at;

		memcpy(data + at, parts[i].iov_base, length);
		at += length;
	}
	fake_inode_write(&fake->inodes[inode], data, total, offset);
	change = fake_record(fake, CHANGE_WRITE, inode);
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

/* Makes nothing durable; may fail like any other. */
static int fake_write_out(struct disk *disk, int file, uint64_t offset, uint64_t length)
{
	struct fake_disk *fake = enter(disk);
	int fault;

	(void)offset;
	(void)length;
	(void)inode_of(fake, file);
	fault = next_operation(fake);
	return leave(fake, fault < 0 ? fault : 0);
}

static int fake_sync_dir(struct disk *disk, int dir)
{
	struct fake_disk *fake = enter(disk);
	int inode = inode_of(fake, dir);
	int fault = next_operation(fake);

	if (!fake->inodes[inode].directory)
		fake_die("sync_dir of a file");
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
	struct entry *entry = fake_find(fake, source, from);
	int fault = next_operation(fake);
	struct change *change;
	int inode;

	if (fault < 0)
		return leave(fake, fault);
	if (entry == NULL)
		return leave(fake, -ENOENT);
	if (!replace && fake_find(fake, target, to) != NULL)
		return leave(fake, -EEXIST);
	inode = entry->inode;
	fake_unlink_name(fake, source, from);
	fake_link_name(fake, target, to, inode);
	change = fake_record(fake, CHANGE_RENAME, inode);
	change->dir = source;
	change->name = fake_checked(strdup(from));
	change->to_dir = target;
	change->to = fake_checked(strdup(to));
	return leave(fake, 0);
}

static int fake_unlink(struct disk *disk, int dir, const char *name)
{
	struct fake_disk *fake = enter(disk);
	int parent = inode_of(fake, dir);
	struct entry *entry = fake_find(fake, parent, name);
	struct change *change;
	int fault;

	if (entry == NULL)
		return leave(fake, -ENOENT);
	fault = next_operation(fake);
	if (fault < 0)
		return leave(fake, fault);
	change = fake_record(fake, CHANGE_UNLINK, entry->inode);
	change->dir = parent;
	change->name = fake_checked(strdup(name));
	fake_unlink_name(fake, parent, name);
	return leave(fake, 0);
}

static int fake_truncate(struct disk *disk, int file, uint64_t length)
{
	struct fake_disk *fake = enter(disk);
	int inode = inode_of(fake, file);
	int fault = next_operation(fake);

	if (fault < 0)
		return leave(fake, fault);
	fake_inode_resize(&fake->inodes[inode], length);
	fake_record(fake, CHANGE_TRUNCATE, inode)->length = length;
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
	struct entry *entry = fake_find(fake, inode_of(fake, dir), name);

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
	char **names = fake_checked(calloc(fake->entry_count + 1, sizeof(*names)));
	size_t count = 0;
	int ret = 0;

	for (size_t i = 0; i < fake->entry_count; i++) {
		if (fake->entries[i].dir == inode)
			names[count++] = fake_checked(strdup(fake->entries[i].name));
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

static int fake_set_direct(struct disk *disk, int file, bool direct)
{
	struct fake_disk *fake = enter(disk);

	fake->direct[file] = direct;
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
	.write_out = fake_write_out,
	.rename = fake_rename,
	.unlink = fake_unlink,
	.truncate = fake_truncate,
	.stat_file = fake_stat_file,
	.stat_name = fake_stat_name,
	.free_bytes = fake_free_bytes,
	.list = fake_list,
	.lock = fake_lock,
	.set_direct = fake_set_direct,
};

/* ---- Of tests ------------------------------------------------------------------- */

struct fake_disk *fake_disk_new(void)
{
	struct fake_disk *fake = fake_checked(calloc(1, sizeof(*fake)));

	fake->disk = (struct disk){.ops = &fake_ops, .file_mode = 0600, .dir_mode = 0700};
	pthread_mutex_init(&fake->mutex, NULL);
	for (int i = 0; i < HANDLES; i++)
		fake->handles[i] = NEVER;
	fake_inode_new(fake, true);
	return fake;
}

uint64_t fake_disk_direct_writes(struct fake_disk *fake)
{
	return fake->direct_writes;
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
