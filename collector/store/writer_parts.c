/* Files of the day. See writer_internal.h. */
#include <errno.h>

#include "writer_internal.h"

#define PART_NEW_NAME "part.new"

enum { NUMBER_TRIES = 10000 };

void writer_close_file(struct jsonl_store *store, struct output *output)
{
	disk_close(store->config.disk, output->file);
	output->file = -1;
}

void writer_tell_part(struct jsonl_store *store, uint32_t id)
{
	struct manifest_part part;

	if (store->config.hooks.on_part == NULL)
		return;
	pthread_mutex_lock(&store->group->telling);
	if (manifest_copy_part(store->config.manifest, id, &part))
		store->config.hooks.on_part(store->config.hooks.ctx, &part);
	pthread_mutex_unlock(&store->group->telling);
}

void writer_drop_part(struct jsonl_store *store, struct output *output)
{
	writer_close_file(store, output);
	if (output->part != 0)
		manifest_hold_part(store->config.manifest, output->part, 0);
	output->part = 0;
}

/* Locked: the part that takes the day's appends, and that no other store writes to; 0: there is
 * none. */
static uint32_t open_part_of_day(const struct jsonl_store *store, int32_t day)
{
	const struct manifest_state *state = manifest_state(store->config.manifest);

	for (size_t i = state->part_count; i-- > 0;) {
		const struct manifest_part *part = &state->parts[i];

		if (part->name.day == day && part->state == PART_OPEN &&
			(part->holder == 0 || part->holder == store->number))
			return part->length_bytes < store->config.part_bytes ? part->id : 0;
	}
	return 0;
}

/* The same, which is this store's from now on. */
static uint32_t take_open_part(struct jsonl_store *store, int32_t day)
{
	struct manifest *manifest = store->config.manifest;
	uint32_t part;

	manifest_lock(manifest);
	part = open_part_of_day(store, day);
	if (part != 0)
		manifest_hold_part(manifest, part, store->number);
	manifest_unlock(manifest);
	return part;
}

/* Whether nobody has a file or a part of that name, sealed or not. 1, 0 or an errno. */
static int name_free(struct jsonl_store *store, const struct part_name *name)
{
	bool known;

	manifest_lock(store->config.manifest);
	known = manifest_part_by_name(manifest_state(store->config.manifest), name) != NULL;
	manifest_unlock(store->config.manifest);
	if (known)
		return 0;
	for (int sealed = 0; sealed < 2; sealed++) {
		struct part_name with = *name;
		char text[PART_NAME_BYTES];
		struct disk_stat st;
		int ret;

		with.sealed = sealed == 1;
		ret = part_name_format(&with, text);
		if (ret == 0)
			ret = disk_stat_name(
				store->config.disk, store->config.dirs->top, text, &st);
		if (ret == 0)
			return 0;
		if (ret != -ENOENT)
			return ret;
	}
	return 1;
}

static int choose_name(struct jsonl_store *store, struct part_name *name)
{
	for (int i = 0; i < NUMBER_TRIES; i++) {
		int ret = name_free(store, name);

		if (ret != 0)
			return ret < 0 ? ret : 0;
		name->number++;
	}
	return -EEXIST;
}

/* Deletes one form of a part; 0 also when it isn't there, or is another's. */
static int delete_form(struct jsonl_store *store, const struct manifest_part *part, bool sealed)
{
	struct disk *disk = store->config.disk;
	int top = store->config.dirs->top;
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES];
	struct disk_stat st;
	int ret;

	part_name.sealed = sealed;
	ret = part_name_format(&part_name, name);
	if (ret == 0)
		ret = disk_stat_name(disk, top, name, &st);
	/* Another file of that name is not ours to delete. */
	if (ret == 0 &&
		(sealed ? st.length_bytes == part->sealed_length_bytes : st.inode == part->inode))
		ret = remover_unlink(&store->remover, top, name);
	return ret == -ENOENT ? 0 : ret;
}

int writer_delete_file(struct jsonl_store *store, uint32_t id)
{
	struct manifest_part part;
	int ret;

	/* Nobody gives its name to a new one in between, or before: another store may have
	 * deleted it meanwhile, and its number may be free. */
	pthread_mutex_lock(&store->group->making);
	if (!manifest_copy_part(store->config.manifest, id, &part) || part.gone ||
		part.state != PART_REMOVED) {
		pthread_mutex_unlock(&store->group->making);
		return 0;
	}
	ret = delete_form(store, &part, false);
	if (ret == 0 && part.sealed_length_bytes != 0)
		ret = delete_form(store, &part, true);
	/* Until that is safe a crash can bring it back: it stays known as removed. */
	if (ret == 0)
		ret = disk_sync_dir(store->config.disk, store->config.dirs->top);
	if (ret == 0)
		manifest_part_gone(store->config.manifest, id);
	pthread_mutex_unlock(&store->group->making);
	return ret;
}

/* Takes back a part that never held anything. What fails here is tried again with
 * retention, or by recovery. */
static void drop_part(struct jsonl_store *store, uint32_t id)
{
	int ret = manifest_removed(store->config.manifest, id);

	if (ret == 0)
		ret = manifest_sync(store->config.manifest);
	if (ret == 0)
		(void)(writer_delete_file(store, id) == 0);
}

/* Announces the file, whose handle is open, and gives it its name. A kill in
 * between leaves an announced part without a file, or one without a commit. */
static int name_part(struct jsonl_store *store, struct part_name *name, int file, uint32_t *ret_id)
{
	const struct store_dirs *dirs = store->config.dirs;
	struct disk *disk = store->config.disk;
	char text[PART_NAME_BYTES];
	struct disk_stat st;
	int ret = disk_stat_file(disk, file, &st);

	if (ret == 0)
		ret = choose_name(store, name);
	if (ret == 0)
		ret = part_name_format(name, text);
	if (ret != 0)
		return ret;
	manifest_lock(store->config.manifest);
	ret = manifest_part(store->config.manifest, name, st.inode, writer_now(store), ret_id);
	if (ret == 0)
		manifest_hold_part(store->config.manifest, *ret_id, store->number);
	manifest_unlock(store->config.manifest);
	if (ret != 0)
		return ret;
	ret = manifest_sync(store->config.manifest);
	if (ret == 0)
		ret = disk_rename(disk, dirs->waft, PART_NEW_NAME, dirs->top, text, false);
	if (ret == 0)
		ret = disk_sync_dir(disk, dirs->top);
	if (ret != 0)
		drop_part(store, *ret_id);
	return ret;
}

/* One at a time. */
static int make_named_part(struct jsonl_store *store, struct output *output)
{
	const struct store_dirs *dirs = store->config.dirs;
	struct part_name name = {.day = output->day, .number = 1};
	struct disk *disk = store->config.disk;
	int file, ret;

	disk_unlink_quietly(disk, dirs->waft, PART_NEW_NAME);
	file = disk_open(
		disk, dirs->waft, PART_NEW_NAME, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	if (file < 0)
		return file;
	ret = name_part(store, &name, file, &output->part);
	if (ret != 0) {
		disk_close(disk, file);
		disk_unlink_quietly(disk, dirs->waft, PART_NEW_NAME);
		output->part = 0;
		return ret;
	}
	output->file = file;
	return 0;
}

static int make_part(struct jsonl_store *store, struct output *output)
{
	int ret;

	pthread_mutex_lock(&store->group->making);
	ret = make_named_part(store, output);
	pthread_mutex_unlock(&store->group->making);
	if (ret == 0)
		writer_tell_part(store, output->part);
	return ret;
}

/* The part is not to be used any more. One that never held anything goes. */
static void give_up(struct jsonl_store *store, struct output *output)
{
	struct manifest *manifest = store->config.manifest;
	struct manifest_part part;
	bool known = manifest_copy_part(manifest, output->part, &part);

	writer_close_file(store, output);
	if (known && part.length_bytes == 0) {
		drop_part(store, output->part);
		writer_tell_part(store, output->part);
	} else if (known &&
		   manifest_part_state(manifest, part.id, PART_CLOSED, writer_now(store)) == 0) {
		/* Without memory for the record it is tried again, and fails again. */
		writer_tell_part(store, output->part);
	}
	writer_drop_part(store, output);
}

/* Opens a part that is there; its file must be exactly as long as committed. */
static int reopen_part(struct jsonl_store *store, struct output *output)
{
	char text[PART_NAME_BYTES];
	struct manifest_part part;
	struct disk_stat st;
	int file, ret;

	if (!manifest_copy_part(store->config.manifest, output->part, &part))
		return -EBADMSG;
	ret = part_name_format(&part.name, text);
	if (ret != 0)
		return ret;
	file = disk_open(store->config.disk, store->config.dirs->top, text, DISK_WRITE);
	if (file < 0)
		return file;
	ret = disk_stat_file(store->config.disk, file, &st);
	if (ret == 0 && (st.length_bytes != part.length_bytes ||
				(part.length_bytes == 0 && st.inode != part.inode)))
		ret = -EBADMSG;
	if (ret != 0) {
		disk_close(store->config.disk, file);
		return ret;
	}
	output->file = file;
	return 0;
}

int writer_open_part(struct jsonl_store *store, struct output *output)
{
	int ret;

	if (output->part != 0 && output->file >= 0)
		return 0;
	writer_drop_part(store, output);
	output->part = take_open_part(store, output->day);
	if (output->part == 0)
		return make_part(store, output);
	ret = reopen_part(store, output);
	if (ret == 0)
		return 0;
	/* Descriptors and memory come back; a file that is not as we left it does not. */
	if (ret == -EMFILE || ret == -ENFILE || ret == -ENOMEM || ret == -EIO)
		return ret;
	give_up(store, output);
	return make_part(store, output);
}

void writer_part_failed(struct jsonl_store *store, struct output *output, int error, bool synced)
{
	bool room_comes = error == -ENOSPC || error == -EDQUOT;
	struct manifest_part part;

	if (output->file < 0 || !manifest_copy_part(store->config.manifest, output->part, &part))
		return;
	/* Whatever becomes of the part, what it can't use goes: these bytes are copies of what
	 * the log holds. Bytes that stay are found by recovery. */
	if (disk_truncate(store->config.disk, output->file, part.length_bytes) != 0 || synced ||
		!room_comes)
		give_up(store, output);
}

void writer_part_grown(struct jsonl_store *store, struct output *output)
{
	struct manifest_part part;

	if (!manifest_copy_part(store->config.manifest, output->part, &part) ||
		part.length_bytes < store->config.part_bytes)
		return;
	if (manifest_part_state(store->config.manifest, part.id, PART_CLOSED, writer_now(store)) ==
		0)
		writer_tell_part(store, output->part);
	writer_drop_part(store, output);
}
