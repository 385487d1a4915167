/* See lost_end.h. */
#include "lost_end.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"
#include "run_list.h"
#include "sealed.h"

/* Behind `{"trace_id":"`. */
enum { ID_OFFSET = 13, ID_TEXT = 36 };

enum { CHUNK_BYTES = 64 << 10 };

/* Whether a file that could not be opened is none of ours to open. */
static bool is_none(int error)
{
	return error == -ENOENT || error == -ELOOP || error == -EMLINK || error == -EINVAL;
}

/* ---- Sealed files ------------------------------------------------------------- */

struct sealed_file {
	struct disk *disk;
	int file;
};

static int read_sealed(void *ctx, void *ret_data, size_t length, uint64_t offset)
{
	const struct sealed_file *sealed = ctx;
	ssize_t got = disk_read(sealed->disk, sealed->file, ret_data, length, offset);

	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : -EIO;
}

/* Opens the sealed form of a part; a negative errno: it can't be. The file is the caller's. */
static int open_sealed(struct disk *disk, int top, const struct part_name *part)
{
	struct part_name part_name = *part;
	char name[PART_NAME_BYTES];
	int ret;

	part_name.sealed = true;
	ret = part_name_format(&part_name, name);
	return ret != 0 ? ret : disk_open(disk, top, name, DISK_READ);
}

/* How much text the sealed form of a part has, by the seek table; 0: there is none, or it has no
 * table that fits. */
static int measure_sealed(struct disk *disk, int top, const struct part_name *part,
	uint64_t *ret_text_bytes, uint64_t *ret_file_bytes)
{
	struct sealed_file sealed = {.disk = disk, .file = open_sealed(disk, top, part)};
	struct sealed_reader *reader;
	struct disk_stat st;
	int ret;

	*ret_text_bytes = *ret_file_bytes = 0;
	if (sealed.file < 0)
		return is_none(sealed.file) ? 0 : sealed.file;
	ret = disk_stat_file(disk, sealed.file, &st);
	if (ret == 0)
		ret = sealed_reader_open(read_sealed, &sealed, st.length_bytes, &reader);
	if (ret == 0) {
		*ret_text_bytes = sealed_reader_size(reader);
		*ret_file_bytes = st.length_bytes;
		sealed_reader_close(reader);
	}
	disk_close(disk, sealed.file);
	return ret == ERR_MALFORMED ? 0 : ret;
}

/* ---- Signs ---------------------------------------------------------------------- */

/* Whether the run stands in the file: an index of a part that had the same name once says
 * nothing of this one. */
static bool is_there(struct disk *disk, int file, const struct index_run *run)
{
	char text[ID_OFFSET + ID_TEXT];
	struct trace_id id;
	char last;

	return disk_read(disk, file, text, sizeof(text), run->offset) == (ssize_t)sizeof(text) &&
	       trace_id_parse(text + ID_OFFSET, ID_TEXT, &id) == 0 &&
	       memcmp(id.bytes, run->trace_id, sizeof(id.bytes)) == 0 &&
	       disk_read(disk, file, &last, 1, run->offset + run->length_bytes - 1) == 1 &&
	       last == '\n';
}

/* Whether the index has runs of the part that begin behind what is committed. */
static bool index_knows_more(struct disk *disk, const struct store_dirs *dirs, int index_dir,
	const uint8_t store_id[16], const struct part_name *name, uint64_t committed)
{
	struct index_run runs[INDEX_BLOCK_RUNS];
	char text[PART_NAME_BYTES];
	struct run_list list;
	bool found = false;
	size_t count = 0;
	int file;

	if (part_name_format(name, text) != 0)
		return false;
	run_list_init(&list, disk, false);
	run_list_open_index(&list, index_dir, store_id, name, UINT64_MAX);
	if (list.indexed > 0 && list.indexed_bytes > committed &&
		run_list_block(&list, run_list_blocks(&list) - 1, runs, &count) == 0 && count > 0) {
		file = disk_open(disk, dirs->top, text, DISK_READ);
		found = file >= 0 && runs[count - 1].offset >= committed &&
			is_there(disk, file, &runs[count - 1]);
		disk_close(disk, file);
	}
	run_list_done(&list);
	return found;
}

struct names {
	struct disk *disk;
	const struct store_dirs *dirs;
	const struct manifest_state *state;
	bool index_opened;
	int index_dir;
};

/* Only plain parts ask for it. */
static int index_dir_of(struct names *names)
{
	if (!names->index_opened)
		names->index_dir = disk_open_dir(names->disk, names->dirs->waft, INDEX_DIR, false);
	names->index_opened = true;
	return names->index_dir;
}

/* A file of the trace directory: 1 when the manifest must have said more of it. part: that it has
 * of that name; NULL: none. */
static int look_at_name(
	struct names *names, struct part_name name, const struct manifest_part *part)
{
	struct disk_stat stat;
	char plain[PART_NAME_BYTES];
	uint64_t text_bytes, file_bytes;
	bool plain_there;
	int ret;

	if (part != NULL && (part->state == PART_REMOVED || part->state == PART_SEALED))
		return 0;
	if (!name.sealed)
		return index_knows_more(names->disk, names->dirs, index_dir_of(names),
			names->state->store_id, &name, part != NULL ? part->length_bytes : 0);
	name.sealed = false;
	if (part == NULL || part_name_format(&name, plain) != 0)
		return 0;
	ret = disk_stat_name(names->disk, names->dirs->top, plain, &stat);
	if (ret == 0 ? stat.length_bytes <= part->length_bytes
		     : ret != -ENOENT || part->length_bytes == 0)
		return 0;
	plain_there = ret == 0;
	ret = measure_sealed(names->disk, names->dirs->top, &name, &text_bytes, &file_bytes);
	if (ret != 0)
		return ret == -ENOMEM ? ret : 0;
	/* Whoever seals has seen that the plain file holds what is committed, and no more.
	 * Anyone may leave a file of that name; only one of ours can be in its place. */
	return plain_there ? text_bytes == stat.length_bytes : text_bytes >= part->length_bytes;
}

/* Which part has a name: of several the last, as manifest_part_by_name says. */
static void link_parts(const struct manifest_state *state, const struct part_names *listed,
	const struct manifest_part **parts)
{
	size_t at = 0;

	for (size_t i = 0; i < state->part_count; i++) {
		const struct part_name *name = &state->parts[i].name;

		for (at = part_names_find(listed, name, at);
			at < listed->count && part_names_is_same(&listed->parts[at], name); at++)
			parts[at] = &state->parts[i];
	}
}

int lost_end_by_names(struct disk *disk, const struct store_dirs *dirs,
	const struct manifest_state *state, const struct part_names *listed)
{
	struct names names = {.disk = disk, .dirs = dirs, .state = state, .index_dir = -1};
	const struct manifest_part **parts;
	int ret = 0;

	if (state->generation == 0)
		return 0;
	parts = calloc(listed->count + 1, sizeof(*parts));
	if (parts == NULL)
		return -ENOMEM;
	link_parts(state, listed, parts);
	for (size_t i = 0; ret == 0 && i < listed->count; i++)
		ret = look_at_name(&names, listed->parts[i], parts[i]);
	free(parts);
	disk_close(disk, names.index_dir);
	return ret;
}

int lost_end_is_cut(
	struct disk *disk, const struct store_dirs *dirs, const struct manifest_state *state)
{
	struct part_names listed = {0};
	uint32_t missing = 0;
	int ret = 0;

	if (state->generation == 0)
		return 0;
	if (dirs->log >= 0)
		ret = log_count_missing(
			disk, dirs->log, state->store_id, state->first_segment, &missing);
	if (ret != 0 || missing > 0)
		return ret != 0 ? ret : 1;
	ret = part_names_read(&listed, disk, dirs->top);
	if (ret == 0)
		ret = lost_end_by_names(disk, dirs, state, &listed);
	part_names_done(&listed);
	return ret;
}

/* ---- The log ---------------------------------------------------------------------- */

static bool is_behind(struct log_place place, struct log_place end)
{
	return place.segment != end.segment ? place.segment > end.segment
					    : place.offset >= end.offset;
}

bool lost_end_of_log(const struct manifest_state *state, struct log_place end)
{
	struct log_place consumed = {.segment = consumed_last_segment(&state->consumed),
		.offset = consumed_last_offset(&state->consumed)};

	return (state->accounted.segment >= state->first_segment &&
		       is_behind(state->accounted, end)) ||
	       (consumed.segment >= state->first_segment && is_behind(consumed, end));
}

/* ---- Parts whose end was lost ------------------------------------------------------- */

/* Where the last line ends within the first length bytes. */
static int last_line_end(struct disk *disk, int file, uint64_t length, uint64_t *ret_end)
{
	uint8_t *chunk = malloc(CHUNK_BYTES);
	uint64_t end = length;
	int error = chunk == NULL ? -ENOMEM : 0;

	*ret_end = 0;
	while (error == 0 && end > 0) {
		size_t want = end < CHUNK_BYTES ? (size_t)end : CHUNK_BYTES;
		ssize_t got = disk_read(disk, file, chunk, want, end - want);
		const uint8_t *newline;

		if (got < 0 || (size_t)got < want) {
			error = got < 0 ? (int)got : -EIO;
			break;
		}
		newline = memrchr(chunk, '\n', want);
		if (newline != NULL) {
			*ret_end = end - want + (uint64_t)(newline - chunk) + 1;
			break;
		}
		end -= want;
	}
	free(chunk);
	return error;
}

static int find_plain(struct disk *disk, int file, struct manifest_part *part)
{
	struct disk_stat st;
	uint64_t end;
	int ret = disk_stat_file(disk, file, &st);

	if (ret != 0 || st.length_bytes <= part->length_bytes ||
		(part->length_bytes == 0 && part->inode != st.inode))
		return ret;
	ret = last_line_end(disk, file, st.length_bytes, &end);
	/* What can be read now, or later, is not to be cut off. */
	if (ret == -EIO) {
		end = st.length_bytes;
		ret = 0;
	}
	if (ret != 0 || end <= part->length_bytes)
		return ret;
	part->length_bytes = end;
	part->verified = false;
	if (part->state == PART_OPEN)
		part->state = PART_CLOSED;
	return 0;
}

/* What was committed to the plain file is in it, in another order. */
static int find_sealed(struct disk *disk, int top, struct manifest_part *part)
{
	uint64_t text_bytes, file_bytes;
	int ret = measure_sealed(disk, top, &part->name, &text_bytes, &file_bytes);

	if (ret != 0 || text_bytes < part->length_bytes)
		return ret;
	part->length_bytes = text_bytes;
	part->state = PART_SEALED;
	part->sealed_length_bytes = file_bytes;
	part->verified = false;
	return 0;
}

int lost_end_find(struct disk *disk, int top, struct manifest_part *part)
{
	char name[PART_NAME_BYTES];
	int ret = part_name_format(&part->name, name);
	int file;

	if (ret != 0 || part->state == PART_REMOVED ||
		(part->state == PART_SEALED && part->sealed_length_bytes > 0))
		return ret;
	file = disk_open(disk, top, name, DISK_READ);
	if (file >= 0) {
		ret = find_plain(disk, file, part);
		disk_close(disk, file);
		return ret;
	}
	if (file == -ENOENT && part->length_bytes > 0) {
		ret = find_sealed(disk, top, part);
		/* It stands alone: the next start looks again. */
		return ret == -EIO ? 0 : ret;
	}
	return is_none(file) ? 0 : file;
}

/* ---- The frames of a sealed file ------------------------------------------------------- */

int lost_end_sealed_is_whole(struct disk *disk, int top, const struct manifest_part *part)
{
	struct sealed_file sealed = {.disk = disk, .file = open_sealed(disk, top, &part->name)};
	struct sealed_unpacker unpacker = {0};
	struct sealed_reader *reader;
	const uint8_t *text;
	int ret;

	if (sealed.file < 0)
		return sealed.file;
	ret = sealed_reader_open(read_sealed, &sealed, part->sealed_length_bytes, &reader);
	if (ret == 0) {
		for (uint64_t at = 0; ret == 0 && at < sealed_reader_size(reader);
			at = sealed_reader_frame_end(reader, at))
			ret = sealed_reader_unpack(
				reader, sealed_reader_frame(reader, at), &unpacker, &text);
		sealed_unpacker_done(&unpacker);
		sealed_reader_close(reader);
	}
	disk_close(disk, sealed.file);
	if (ret == ERR_CHECKSUM || ret == ERR_MALFORMED)
		return 0;
	return ret == 0 ? 1 : ret;
}
