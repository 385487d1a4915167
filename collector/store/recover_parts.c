/* The parts of a store that is brought back. See recover.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "lost_end.h"
#include "quarantine.h"
#include "recover_internal.h"
#include "seal.h"

enum {
	CHUNK_BYTES = 64 << 10,
	AHEAD_BYTES = 1 << 20, /* asked for at once */
};

/* The CRC of the first length bytes of a file. 0; -ENODATA: it is shorter; -ECANCELED soon after
 * another thread has set *stop; or another negative errno. */
static int sum_file(struct disk *disk, int dir, const char *name, uint64_t length,
	const atomic_bool *stop, uint32_t *ret_crc)
{
	int file = disk_open(disk, dir, name, DISK_READ);
	uint32_t crc = 0;
	uint8_t *chunk;
	uint64_t at = 0;
	int error;

	if (file < 0)
		return file;
	disk_read_bare(disk, file);
	chunk = malloc(CHUNK_BYTES);
	error = chunk == NULL ? -ENOMEM : 0;
	while (error == 0 && at < length) {
		size_t want = length - at < CHUNK_BYTES ? (size_t)(length - at) : CHUNK_BYTES;
		ssize_t got = 0;

		if (at % AHEAD_BYTES == 0)
			disk_will_read(disk, file, at,
				length - at < AHEAD_BYTES ? length - at : AHEAD_BYTES);
		if (stop != NULL && atomic_load(stop))
			error = -ECANCELED;
		else
			got = disk_read(disk, file, chunk, want, at);
		if (error == 0 && got <= 0)
			error = got < 0 ? (int)got : -ENODATA;
		if (error != 0)
			break;
		crc = crc32c(crc, chunk, (size_t)got);
		at += (uint64_t)got;
	}
	free(chunk);
	disk_close(disk, file);
	*ret_crc = crc;
	return error;
}

static int add_cut(struct recoverer *recoverer, const struct manifest_part *part, uint64_t length)
{
	struct cut *grown = reallocarray(recoverer->cuts, recoverer->cut_count + 1, sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	recoverer->cuts = grown;
	grown[recoverer->cut_count++] = (struct cut){.part = part->id, .length_bytes = length};
	return 0;
}

/* Copies what is behind the committed length, and notes that it is to be cut. */
static int set_tail_aside(struct recoverer *recoverer, const struct manifest_part *part,
	const char *name, int file, uint64_t file_bytes)
{
	const struct recovery_config *config = recoverer->config;
	struct manifest_quarantine entry;
	int error =
		quarantine_copy(config->disk, config->dirs->quarantine, file, part->length_bytes,
			file_bytes - part->length_bytes, name, "never committed", &entry);

	if (error != 0)
		return error;
	recoverer->result->parts_cut++;
	recoverer->result->bytes_cut += entry.length_bytes;
	error = recoverer_quarantine(recoverer, &entry);
	return error != 0 ? error : add_cut(recoverer, part, part->length_bytes);
}

static int check_length(
	struct recoverer *recoverer, struct manifest_part *part, const char *name, int file)
{
	struct disk *disk = recoverer->config->disk;
	struct disk_stat st;
	int error = disk_stat_file(disk, file, &st);

	if (error != 0)
		return error;
	/* Renamed into its place it was our file. Another one came before we could. */
	if (part->length_bytes == 0 && part->inode != st.inode) {
		part->state = PART_REMOVED;
		part->gone = true;
		return 0;
	}
	if (st.length_bytes < part->length_bytes) {
		recoverer->result->parts_short++;
		if (part->state == PART_OPEN)
			part->state = PART_CLOSED;
		return 0;
	}
	if (st.length_bytes == part->length_bytes)
		return 0;
	return set_tail_aside(recoverer, part, name, file, st.length_bytes);
}

/* The plain form of a sealed part: goes when it holds what was committed. */
static int drop_plain(struct recoverer *recoverer, const struct manifest_part *part)
{
	const struct recovery_config *config = recoverer->config;
	char name[PART_NAME_BYTES];
	int error = part_name_format(&part->name, name);

	if (error == 0)
		error = seal_file_is(
			config->disk, config->dirs->top, name, part->length_bytes, part->crc);
	if (error != 1)
		return error;
	/* The other form's name must not be lost when this one goes. */
	error = disk_sync_dir(config->disk, config->dirs->top);
	if (error == 0)
		error = disk_unlink(config->disk, config->dirs->top, name);
	return error == 0 ? disk_sync_dir(config->disk, config->dirs->top) : error;
}

/* The new file, made and committed, that has not its name yet. 1, 0, or an error. */
static int name_sealed(
	struct recoverer *recoverer, const struct manifest_part *part, const char *name)
{
	const struct recovery_config *config = recoverer->config;
	int error = seal_file_is(config->disk, config->dirs->waft, SEAL_NEW_NAME,
		part->sealed_length_bytes, part->sealed_crc);

	if (error != 1)
		return error == -ENOENT || error == -ELOOP || error == -EMLINK || error == -EINVAL
			       ? 0
			       : error;
	error = disk_rename(
		config->disk, config->dirs->waft, SEAL_NEW_NAME, config->dirs->top, name, false);
	if (error == 0)
		error = disk_sync_dir(config->disk, config->dirs->top);
	if (error == 0)
		error = disk_sync_dir(config->disk, config->dirs->waft);
	return error != 0 ? error : 1;
}

/* A part whose SEALED is in the manifest: its file may not have its name yet, and the
 * plain one may still be there (writer_seal.c). 1: it is to be taken for a plain, closed one;
 * 0: done. */
static int check_sealed(struct recoverer *recoverer, struct manifest_part *part)
{
	const struct recovery_config *config = recoverer->config;
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES], plain[PART_NAME_BYTES];
	struct disk_stat st;
	bool has_plain;
	int there;
	int error = part_name_format(&part_name, plain);

	part_name.sealed = true;
	if (error == 0)
		error = part_name_format(&part_name, name);
	if (error != 0)
		return error;
	has_plain = disk_stat_name(config->disk, config->dirs->top, plain, &st) == 0;
	there = disk_stat_name(config->disk, config->dirs->top, name, &st);
	if (there != 0 && there != -ENOENT)
		return there;
	if (there == -ENOENT)
		there = name_sealed(recoverer, part, name);
	else if (has_plain)
		there = seal_file_is(config->disk, config->dirs->top, name,
			part->sealed_length_bytes, part->sealed_crc);
	else
		there = 1;
	/* What can't be read or named isn't needed. */
	if (there == -EIO && has_plain &&
		disk_stat_name(config->disk, config->dirs->top, name, &st) == -ENOENT)
		there = 0;
	if (there < 0)
		return there;
	if (there == 0 && has_plain) {
		part->state = PART_CLOSED;
		part->sealed_length_bytes = 0;
		part->sealed_crc = 0;
		return 1;
	}
	if (there == 1 && has_plain)
		error = drop_plain(recoverer, part);
	if (there == 1)
		recoverer->result->parts_short +=
			disk_stat_name(config->disk, config->dirs->top, name, &st) == 0 &&
			st.length_bytes < part->sealed_length_bytes;
	recoverer->result->parts_missing += there == 0;
	return error < 0 ? error : 0;
}

/* The CRC that a sealed file found by lost_end_find is to have from now on: that of its file; when
 * a frame can't be read or doesn't match its own checksum, one that the file hasn't, so
 * that it counts as damaged. */
static int sum_found(struct recoverer *recoverer, struct manifest_part *part)
{
	const struct recovery_config *config = recoverer->config;
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES];
	uint32_t crc = 0;
	int ret;

	part_name.sealed = true;
	ret = part_name_format(&part_name, name);
	if (ret == 0)
		ret = sum_file(config->disk, config->dirs->top, name, part->sealed_length_bytes,
			NULL, &crc);
	if (ret == 0)
		ret = lost_end_sealed_is_whole(config->disk, config->dirs->top, part);
	part->sealed_crc = ret == 1 ? crc : ~crc;
	return ret < 0 && ret != -EIO && ret != -ENODATA ? ret : 0;
}

/* Commits may have been lost with a damaged manifest: whole lines stay where they are. */
static int mend_part(struct recoverer *recoverer, struct manifest_part *part)
{
	const struct recovery_config *config = recoverer->config;
	uint64_t sealed_before = part->sealed_length_bytes;
	int error = lost_end_find(config->disk, config->dirs->top, part);

	if (error == 0 && part->sealed_length_bytes != sealed_before)
		error = sum_found(recoverer, part);
	return error;
}

static int look_at_part(struct recoverer *recoverer, struct manifest_part *part)
{
	struct disk *disk = recoverer->config->disk;
	char name[PART_NAME_BYTES];
	int file, error;

	if (part->state == PART_SEALED) {
		error = check_sealed(recoverer, part);
		if (error != 1)
			return error;
	}
	error = part_name_format(&part->name, name);
	if (error != 0)
		return error;
	file = disk_open(disk, recoverer->config->dirs->top, name, DISK_READ);
	if (file == -ENOENT && part->length_bytes == 0) {
		/* Announced, and then the daemon was killed. */
		part->state = PART_REMOVED;
		part->gone = true;
		recoverer->result->parts--;
		return 0;
	}
	if (file == -ENOENT || file == -ELOOP || file == -EMLINK || file == -EINVAL) {
		recoverer->result->parts_missing++;
		part->state = PART_CLOSED;
		return 0;
	}
	if (file < 0)
		return file;
	error = check_length(recoverer, part, name, file);
	disk_close(disk, file);
	return error;
}

/* Whether a file has one of its names, or may have. */
static bool has_name(const struct recoverer *recoverer, const struct manifest_part *part)
{
	const struct recovery_config *config = recoverer->config;
	bool has = false;

	for (int sealed = 0; sealed < 2 && !has; sealed++) {
		struct part_name part_name = part->name;
		char name[PART_NAME_BYTES];
		struct disk_stat st;

		part_name.sealed = sealed == 1;
		has = part_name_format(&part_name, name) == 0 &&
		      disk_stat_name(config->disk, config->dirs->top, name, &st) != -ENOENT;
	}
	return has;
}

/* One that can't be read is left as it is, and closed, for the next start: nothing of it is cut
 * or deleted, and the others are there. But what has no name yet would be deleted. */
static int check_part(struct recoverer *recoverer, struct manifest_part *part)
{
	int error;

	recoverer->result->parts++;
	/* A part that was not mended would be short to the next start, and cut: none of it may be
	 * left out. */
	error = recoverer->state.damaged ? mend_part(recoverer, part) : 0;
	if (error != 0)
		return error;
	error = look_at_part(recoverer, part);
	if (error != -EIO || !has_name(recoverer, part))
		return error;
	recoverer->result->parts_unreadable++;
	if (part->state == PART_OPEN)
		part->state = PART_CLOSED;
	return 0;
}

/* Retention was killed before it deleted the file, or could not. */
static void finish_removal(struct recoverer *recoverer, struct manifest_part *part)
{
	struct disk *disk = recoverer->config->disk;
	int top = recoverer->config->dirs->top;
	bool there = false;

	for (int sealed = 0; sealed < 2; sealed++) {
		struct part_name part_name = part->name;
		char name[PART_NAME_BYTES];
		struct disk_stat st;
		int error;

		part_name.sealed = sealed == 1;
		if (part_name_format(&part_name, name) != 0)
			continue;
		error = disk_stat_name(disk, top, name, &st);
		/* Another file of that name is not ours to delete. */
		if (error == -ENOENT || (sealed == 1 && part->sealed_length_bytes == 0) ||
			(error == 0 && (sealed == 1 ? st.length_bytes != part->sealed_length_bytes
						    : st.inode != part->inode)))
			continue;
		there |= error != 0 || disk_unlink(disk, top, name) != 0;
	}
	part->gone = !there && disk_sync_dir(disk, top) == 0;
}

int recoverer_check_parts(struct recoverer *recoverer)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < recoverer->state.part_count; i++) {
		struct manifest_part *part = &recoverer->state.parts[i];

		if (part->state == PART_REMOVED)
			finish_removal(recoverer, part);
		else
			error = check_part(recoverer, part);
	}
	return error;
}

int recover_verify_part(struct disk *disk, const struct store_dirs *dirs,
	const struct manifest_part *part, const atomic_bool *stop)
{
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES];
	uint32_t crc = 0;
	uint32_t wanted;
	int error;

	part_name.sealed = part->state == PART_SEALED;
	wanted = part_name.sealed ? part->sealed_crc : part->crc;
	error = part_name_format(&part_name, name);
	if (error == 0)
		error = sum_file(disk, dirs->top, name,
			part_name.sealed ? part->sealed_length_bytes : part->length_bytes, stop,
			&crc);
	/* Shorter than that. */
	if (error == -ENODATA)
		return 0;
	if (error != 0)
		return error;
	return crc == wanted || (!part->verified && !part_name.sealed);
}
