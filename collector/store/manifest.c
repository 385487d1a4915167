/*
 * The writing side of the manifest. See manifest.h.
 *
 * Appended records are applied to the state at once and gathered in `pending`;
 * manifest_sync writes and syncs them. After a failure the file is given up
 * (`broken`): the state holds all that its records say, so the next checkpoint
 * makes up for it.
 *
 * Threads: `sync_lock` is held by whoever writes the file, `lock` by whoever uses the rest. A
 * sync writes without `lock`, so that others append meanwhile; what they appended the next sync
 * takes along, whoever asked for it. A checkpoint, which is rare, holds both.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "manifest_format.h"

enum {
	/* A checkpoint comes by itself when the file is as much larger than one. */
	GROWTH_FACTOR = 4,
	GROWTH_BYTES = 8 << 20,
	/* So much more is to be rewritten when there is time. */
	TIDY_BYTES = 64 << 10,
};

struct manifest {
	struct disk *disk;
	int dir;
	manifest_clients_image image;
	void *ctx;
	pthread_mutex_t sync_lock; /* before `lock` */
	pthread_mutex_t lock;	   /* recursive; of what follows, see above */
	struct manifest_state state;
	struct bytes pending;
	struct bytes writing;	   /* of a sync under way; of sync_lock */
	struct bytes body;	   /* scratch */
	int file;		   /* -1: none */
	uint64_t length;	   /* of the file, all synced */
	uint64_t checkpoint_bytes; /* of it when it was made */
	bool broken;
};

void manifest_image_done(struct manifest_image *image)
{
	bytes_done(&image->clients);
	bytes_done(&image->counters);
	*image = (struct manifest_image){0};
}

const struct manifest_state *manifest_state(const struct manifest *manifest)
{
	return &manifest->state;
}

void manifest_lock(struct manifest *manifest)
{
	pthread_mutex_lock(&manifest->lock);
}

void manifest_unlock(struct manifest *manifest)
{
	pthread_mutex_unlock(&manifest->lock);
}

/* ---- Checkpoint ---------------------------------------------------------- */

/* Puts the scratch body as a record and empties it. */
static int put_body(struct manifest *manifest, struct bytes *out, enum manifest_type type)
{
	int ret = manifest_record_put(out, manifest->state.generation, type, 0, manifest->body.data,
		manifest->body.length);

	manifest->body.length = 0;
	return ret;
}

static int put_header(struct manifest *manifest, struct bytes *out, enum manifest_type type,
	uint64_t checkpoint_bytes)
{
	struct manifest_header header = {
		.generation = manifest->state.generation, .checkpoint_bytes = checkpoint_bytes};
	int ret;

	memcpy(header.store_id, manifest->state.store_id, sizeof(header.store_id));
	ret = manifest_header_body(&manifest->body, &header);
	return ret != 0 ? ret : put_body(manifest, out, type);
}

/* A part that was removed is told as one that was there, sealed perhaps, and went. */
static int put_part(struct manifest *manifest, struct bytes *out, const struct manifest_part *part)
{
	bool removed = part->state == PART_REMOVED;
	struct manifest_part told = *part;
	int ret;

	if (removed)
		told.state = PART_CLOSED;
	ret = manifest_extent_body(&manifest->body, &told);
	if (ret == 0)
		ret = put_body(manifest, out, MANIFEST_EXTENT);
	if (ret == 0 && part->sealed_length_bytes != 0) {
		ret = manifest_sealed_body(&manifest->body, part);
		if (ret == 0)
			ret = put_body(manifest, out, MANIFEST_SEALED);
	}
	if (ret != 0 || !removed)
		return ret;
	ret = bytes_varint(&manifest->body, part->id);
	/* Its spans are in the sum of expired ones. */
	if (ret == 0)
		ret = bytes_varint(&manifest->body, 0);
	return ret == 0 ? put_body(manifest, out, MANIFEST_REMOVED) : ret;
}

static int put_parts(struct manifest *manifest, struct bytes *out)
{
	int ret = 0;

	for (size_t i = 0; i < manifest->state.part_count && ret == 0; i++)
		if (!manifest->state.parts[i].gone)
			ret = put_part(manifest, out, &manifest->state.parts[i]);
	return ret;
}

/* What is counted without being anywhere: expired and quarantined spans. */
static int put_sums(struct manifest *manifest, struct bytes *out)
{
	const struct manifest_state *state = &manifest->state;
	struct consumed none = {0};
	struct manifest_commit commit = {.ordinals = &none};
	struct manifest_run *runs = NULL;
	uint64_t left = state->spans_quarantined;
	int ret;

	ret = bytes_varint(&manifest->body, 0);
	if (ret == 0)
		ret = bytes_varint(&manifest->body, state->spans_expired);
	if (ret == 0)
		ret = put_body(manifest, out, MANIFEST_REMOVED);
	commit.run_count = (size_t)(left / UINT32_MAX) + 1;
	runs = calloc(commit.run_count, sizeof(*runs));
	if (runs == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < commit.run_count; i++) {
		runs[i].spans = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
		left -= runs[i].spans;
	}
	commit.runs = runs;
	if (ret == 0)
		ret = manifest_commit_body(&manifest->body, &commit);
	if (ret == 0)
		ret = put_body(manifest, out, MANIFEST_COMMIT);
	free(runs);
	return ret;
}

/* Its ordinals are among those of CONSUMED. */
static int put_forward(struct manifest *manifest, struct bytes *out)
{
	const struct consumed none = {0};
	int ret;

	if (!manifest->state.forward.known)
		return 0;
	ret = manifest_forward_body(&manifest->body, &manifest->state.forward, &none);
	return ret != 0 ? ret : put_body(manifest, out, MANIFEST_FORWARD);
}

static int put_quarantine(struct manifest *manifest, struct bytes *out)
{
	int ret = 0;

	for (size_t i = 0; i < manifest->state.quarantine_count && ret == 0; i++) {
		ret = manifest_quarantine_body(&manifest->body, &manifest->state.quarantine[i]);
		if (ret == 0)
			ret = put_body(manifest, out, MANIFEST_QUARANTINE);
	}
	return ret;
}

/* Appends an image's records and the SEGMENT that makes them count. */
static int put_image(struct manifest *manifest, struct bytes *out, uint32_t synced,
	uint32_t first_segment, const struct manifest_image *image)
{
	uint64_t generation = manifest->state.generation;
	struct cursor in = cursor_of_slice(slice_of(image->clients.data, image->clients.length));
	int ret = 0;

	while (ret == 0 && cursor_more(&in)) {
		uint32_t length = cursor_fixed32(&in);
		struct slice body = cursor_take(&in, length);

		if (in.error != 0)
			return in.error;
		ret = manifest_record_put(
			out, generation, MANIFEST_CLIENT, synced, body.data, body.length);
	}
	if (ret == 0)
		ret = manifest_record_put(out, generation, MANIFEST_COUNTERS, synced,
			image->counters.data, image->counters.length);
	manifest->body.length = 0;
	if (ret == 0)
		ret = bytes_varint(&manifest->body, first_segment);
	if (ret == 0)
		ret = bytes_varint(&manifest->body, image->accounted.segment);
	if (ret == 0)
		ret = bytes_varint(&manifest->body, image->accounted.offset);
	if (ret == 0)
		ret = manifest_record_put(out, generation, MANIFEST_SEGMENT, synced,
			manifest->body.data, manifest->body.length);
	manifest->body.length = 0;
	return ret;
}

/* All of a checkpoint but its first record. */
static int put_checkpoint(
	struct manifest *manifest, struct bytes *out, struct manifest_image *image)
{
	int ret = 0;

	if (manifest->image != NULL)
		ret = manifest->image(manifest->ctx, image);
	if (ret == 0)
		ret = put_parts(manifest, out);
	if (ret == 0)
		ret = put_sums(manifest, out);
	if (ret == 0)
		ret = consumed_encode(&manifest->state.consumed, &manifest->body);
	if (ret == 0)
		ret = put_body(manifest, out, MANIFEST_CONSUMED);
	if (ret == 0)
		ret = put_forward(manifest, out);
	if (ret == 0)
		ret = put_quarantine(manifest, out);
	if (ret == 0)
		ret = put_image(manifest, out, 0, manifest->state.first_segment, image);
	return ret;
}

/* Builds the whole file. HEADER and END tell its length, so they are written
 * when that is known; their own length does not depend on it. */
static int build_checkpoint(
	struct manifest *manifest, struct bytes *out, struct manifest_image *image)
{
	size_t header_bytes;
	struct bytes header = {0};
	int ret;

	manifest->body.length = 0;
	ret = put_header(manifest, out, MANIFEST_HEADER, 0);
	header_bytes = out->length;
	if (ret == 0)
		ret = put_checkpoint(manifest, out, image);
	if (ret == 0)
		ret = put_header(manifest, out, MANIFEST_END, out->length + header_bytes);
	if (ret == 0)
		ret = put_header(manifest, &header, MANIFEST_HEADER, out->length);
	if (ret == 0)
		memcpy(out->data, header.data, header_bytes);
	bytes_done(&header);
	return ret;
}

/* Writes it under its new name; returns the file's handle. */
static int write_checkpoint(struct manifest *manifest, const struct bytes *content)
{
	struct disk *disk = manifest->disk;
	int file, ret;

	disk_unlink_quietly(disk, manifest->dir, MANIFEST_NEW_NAME);
	file = disk_open(
		disk, manifest->dir, MANIFEST_NEW_NAME, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	if (file < 0)
		return file;
	ret = disk_write(disk, file, content->data, content->length, 0);
	if (ret == 0)
		ret = disk_sync(disk, file);
	if (ret == 0)
		ret = disk_rename(
			disk, manifest->dir, MANIFEST_NEW_NAME, manifest->dir, MANIFEST_NAME, true);
	if (ret == 0)
		ret = disk_sync_dir(disk, manifest->dir);
	if (ret == 0)
		return file;
	disk_close(disk, file);
	disk_unlink_quietly(disk, manifest->dir, MANIFEST_NEW_NAME);
	return ret;
}

/* Parts whose files are gone need no mention any more. */
static void forget_removed(struct manifest_state *state)
{
	size_t kept = 0;

	for (size_t i = 0; i < state->part_count; i++) {
		if (!state->parts[i].gone)
			state->parts[kept++] = state->parts[i];
	}
	/* Growth goes by the count: keep room for what it will think is there. */
	if (kept < state->part_count) {
		struct manifest_part *shrunk;
		size_t capacity = 1;

		while (capacity < kept)
			capacity *= 2;
		shrunk = reallocarray(state->parts, capacity, sizeof(*shrunk));
		if (shrunk != NULL)
			state->parts = shrunk;
	}
	state->part_count = kept;
}

/* Both locks are held. */
static int checkpoint(struct manifest *manifest)
{
	struct manifest_image image = {0};
	struct bytes content = {0};
	int file, ret;

	/* Never two files of one generation, even when the first came to nothing. */
	manifest->state.generation++;
	manifest->broken = true;
	ret = build_checkpoint(manifest, &content, &image);
	if (ret == 0) {
		file = write_checkpoint(manifest, &content);
		ret = file < 0 ? file : 0;
	}
	if (ret == 0) {
		disk_close(manifest->disk, manifest->file);
		manifest->file = file;
		manifest->length = manifest->checkpoint_bytes = content.length;
		manifest->state.length_bytes = manifest->state.file_bytes = content.length;
		manifest->state.accounted = image.accounted;
		manifest->state.damaged = false;
		manifest->pending.length = 0;
		manifest->broken = false;
		forget_removed(&manifest->state);
	}
	manifest_image_done(&image);
	bytes_done(&content);
	return ret;
}

int manifest_checkpoint(struct manifest *manifest)
{
	int ret;

	pthread_mutex_lock(&manifest->sync_lock);
	pthread_mutex_lock(&manifest->lock);
	ret = checkpoint(manifest);
	pthread_mutex_unlock(&manifest->lock);
	pthread_mutex_unlock(&manifest->sync_lock);
	return ret;
}

static int init_locks(struct manifest *manifest)
{
	pthread_mutexattr_t recursive;

	if (pthread_mutexattr_init(&recursive) != 0)
		return -ENOMEM;
	(void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	if (pthread_mutex_init(&manifest->lock, &recursive) != 0) {
		pthread_mutexattr_destroy(&recursive);
		return -ENOMEM;
	}
	pthread_mutexattr_destroy(&recursive);
	if (pthread_mutex_init(&manifest->sync_lock, NULL) == 0)
		return 0;
	pthread_mutex_destroy(&manifest->lock);
	return -ENOMEM;
}

int manifest_start(struct disk *disk, int dir, struct manifest_state *state,
	manifest_clients_image image, void *ctx, struct manifest **ret)
{
	struct manifest *manifest = calloc(1, sizeof(*manifest));
	int error;

	if (manifest == NULL || init_locks(manifest) != 0) {
		free(manifest);
		return -ENOMEM;
	}
	manifest->disk = disk;
	manifest->dir = dir;
	manifest->image = image;
	manifest->ctx = ctx;
	manifest->file = -1;
	manifest->state = *state;
	error = manifest_checkpoint(manifest);
	if (error != 0) {
		/* The state stays the caller's. */
		*state = manifest->state;
		manifest->state = (struct manifest_state){0};
		manifest_free(manifest);
		return error;
	}
	*state = (struct manifest_state){0};
	*ret = manifest;
	return 0;
}

void manifest_free(struct manifest *manifest)
{
	if (manifest == NULL)
		return;
	disk_close(manifest->disk, manifest->file);
	manifest_state_done(&manifest->state);
	bytes_done(&manifest->pending);
	bytes_done(&manifest->writing);
	bytes_done(&manifest->body);
	pthread_mutex_destroy(&manifest->lock);
	pthread_mutex_destroy(&manifest->sync_lock);
	free(manifest);
}

/* Both locks are held; gives `lock` up while it writes what is in `writing`. */
static int write_pending(struct manifest *manifest)
{
	struct bytes empty = manifest->writing;
	int ret;

	manifest->writing = manifest->pending;
	manifest->pending = empty;
	pthread_mutex_unlock(&manifest->lock);
	ret = disk_write(manifest->disk, manifest->file, manifest->writing.data,
		manifest->writing.length, manifest->length);
	if (ret == 0)
		ret = disk_sync(manifest->disk, manifest->file);
	pthread_mutex_lock(&manifest->lock);
	if (ret == 0) {
		manifest->length += manifest->writing.length;
		manifest->state.length_bytes = manifest->state.file_bytes = manifest->length;
	}
	manifest->writing.length = 0;
	return ret;
}

/* Both locks are held. */
static int sync_pending(struct manifest *manifest)
{
	int ret;

	if (manifest->broken)
		return checkpoint(manifest);
	if (manifest->pending.length == 0)
		return 0;
	ret = write_pending(manifest);
	if (ret != 0)
		return checkpoint(manifest);
	if (manifest->length > manifest->checkpoint_bytes * GROWTH_FACTOR + GROWTH_BYTES) {
		/* When this fails, all that was asked for is durable none the less; the
		 * next call tries again. */
		ret = checkpoint(manifest);
		(void)ret;
	}
	return 0;
}

int manifest_sync(struct manifest *manifest)
{
	int ret;

	pthread_mutex_lock(&manifest->sync_lock);
	pthread_mutex_lock(&manifest->lock);
	ret = sync_pending(manifest);
	pthread_mutex_unlock(&manifest->lock);
	pthread_mutex_unlock(&manifest->sync_lock);
	return ret;
}

int manifest_tidy(struct manifest *manifest)
{
	int ret;

	pthread_mutex_lock(&manifest->sync_lock);
	pthread_mutex_lock(&manifest->lock);
	ret = manifest->length > manifest->checkpoint_bytes + TIDY_BYTES ? checkpoint(manifest)
									 : sync_pending(manifest);
	pthread_mutex_unlock(&manifest->lock);
	pthread_mutex_unlock(&manifest->sync_lock);
	return ret;
}

/* ---- Records ------------------------------------------------------------- */

/* Appends the scratch body as a record, and applies it. All memory that the
 * record needs is taken before anything changes. */
static int append(struct manifest *manifest, enum manifest_type type)
{
	struct slice body = slice_of(manifest->body.data, manifest->body.length);
	size_t before = manifest->pending.length;
	int ret = manifest_record_put(&manifest->pending, manifest->state.generation, type,
		(uint32_t)manifest->length, body.data, body.length);

	if (ret == 0)
		ret = manifest_apply(&manifest->state, type, body);
	if (ret != 0)
		manifest->pending.length = before;
	manifest->body.length = 0;
	return ret;
}

static int append_part(struct manifest *manifest, const struct part_name *name, uint64_t inode,
	uint64_t now_ns, uint32_t *ret_id)
{
	struct manifest_part part = {.id = manifest->state.next_part,
		.name = *name,
		.inode = inode,
		.changed_ns = now_ns};
	int ret;

	manifest->body.length = 0;
	part.name.sealed = false;
	ret = manifest_part_body(&manifest->body, &part);
	if (ret == 0)
		ret = append(manifest, MANIFEST_PART);
	if (ret == 0)
		*ret_id = part.id;
	return ret;
}

int manifest_part(struct manifest *manifest, const struct part_name *name, uint64_t inode,
	uint64_t now_ns, uint32_t *ret_id)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_part(manifest, name, inode, now_ns, ret_id);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}

static int append_commit(struct manifest *manifest, const struct manifest_commit *commit)
{
	uint64_t spans = 0;
	int ret;

	manifest->body.length = 0;
	ret = manifest_commit_body(&manifest->body, commit);
	if (ret == 0)
		ret = append(manifest, MANIFEST_COMMIT);
	if (ret != 0 || commit->part == 0)
		return ret;
	for (size_t i = 0; i < commit->run_count; i++)
		spans += commit->runs[i].spans;
	manifest->state.spans_written += spans;
	return 0;
}

int manifest_commit(struct manifest *manifest, const struct manifest_commit *commit)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_commit(manifest, commit);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}

static int append_part_state(
	struct manifest *manifest, uint32_t part, enum part_state state, uint64_t now_ns)
{
	struct manifest_part *known = manifest_state_part(&manifest->state, part);
	struct manifest_part changed;
	int ret;

	if (known == NULL || state > PART_CLOSED)
		return -EINVAL;
	changed = *known;
	changed.state = state;
	changed.changed_ns = now_ns;
	manifest->body.length = 0;
	ret = manifest_extent_body(&manifest->body, &changed);
	return ret != 0 ? ret : append(manifest, MANIFEST_EXTENT);
}

int manifest_part_state(
	struct manifest *manifest, uint32_t part, enum part_state state, uint64_t now_ns)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_part_state(manifest, part, state, now_ns);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}

static int append_sealed(struct manifest *manifest, uint32_t part, uint64_t length_bytes,
	uint32_t crc, uint64_t now_ns)
{
	struct manifest_part sealed = {.id = part,
		.sealed_length_bytes = length_bytes,
		.sealed_crc = crc,
		.changed_ns = now_ns};
	int ret;

	if (manifest_state_part(&manifest->state, part) == NULL)
		return -EINVAL;
	manifest->body.length = 0;
	ret = manifest_sealed_body(&manifest->body, &sealed);
	return ret != 0 ? ret : append(manifest, MANIFEST_SEALED);
}

int manifest_sealed(struct manifest *manifest, uint32_t part, uint64_t length_bytes, uint32_t crc,
	uint64_t now_ns)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_sealed(manifest, part, length_bytes, crc, now_ns);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}

static int append_removed(struct manifest *manifest, uint32_t part)
{
	struct manifest_part *known = manifest_state_part(&manifest->state, part);
	int ret;

	if (known == NULL || known->state == PART_REMOVED)
		return -EINVAL;
	manifest->body.length = 0;
	ret = bytes_varint(&manifest->body, part);
	if (ret == 0)
		ret = bytes_varint(&manifest->body, known->spans);
	if (ret == 0)
		ret = append(manifest, MANIFEST_REMOVED);
	if (ret == 0)
		manifest->state.spans_written -= known->spans;
	return ret;
}

int manifest_removed(struct manifest *manifest, uint32_t part)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_removed(manifest, part);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}

void manifest_part_gone(struct manifest *manifest, uint32_t part)
{
	struct manifest_part *known;

	pthread_mutex_lock(&manifest->lock);
	known = manifest_state_part(&manifest->state, part);
	if (known != NULL && known->state == PART_REMOVED)
		known->gone = true;
	pthread_mutex_unlock(&manifest->lock);
}

bool manifest_copy_part(struct manifest *manifest, uint32_t part, struct manifest_part *ret)
{
	const struct manifest_part *known;

	pthread_mutex_lock(&manifest->lock);
	known = manifest_state_part(&manifest->state, part);
	if (known != NULL)
		*ret = *known;
	pthread_mutex_unlock(&manifest->lock);
	return known != NULL;
}

void manifest_hold_part(struct manifest *manifest, uint32_t part, uint32_t holder)
{
	struct manifest_part *known;

	pthread_mutex_lock(&manifest->lock);
	known = manifest_state_part(&manifest->state, part);
	if (known != NULL)
		known->holder = holder;
	pthread_mutex_unlock(&manifest->lock);
}

static int append_segment(
	struct manifest *manifest, uint32_t first_segment, const struct manifest_image *image)
{
	size_t before = manifest->pending.length;
	int ret;

	if (first_segment < manifest->state.first_segment)
		return -EINVAL;
	ret = put_image(
		manifest, &manifest->pending, (uint32_t)manifest->length, first_segment, image);
	if (ret != 0) {
		manifest->pending.length = before;
		return ret;
	}
	manifest->state.first_segment = first_segment;
	manifest->state.accounted = image->accounted;
	consumed_drop_below(&manifest->state.consumed, first_segment);
	return 0;
}

int manifest_segment(
	struct manifest *manifest, uint32_t first_segment, const struct manifest_image *image)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_segment(manifest, first_segment, image);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}

static int append_quarantine(struct manifest *manifest, const struct manifest_quarantine *entry)
{
	int ret;

	manifest->body.length = 0;
	ret = manifest_quarantine_body(&manifest->body, entry);
	return ret != 0 ? ret : append(manifest, MANIFEST_QUARANTINE);
}

int manifest_quarantine(struct manifest *manifest, const struct manifest_quarantine *entry)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_quarantine(manifest, entry);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}

static int append_forward(struct manifest *manifest, const struct manifest_forward *forward,
	const struct consumed *ordinals)
{
	int ret;

	manifest->body.length = 0;
	ret = manifest_forward_body(&manifest->body, forward, ordinals);
	return ret != 0 ? ret : append(manifest, MANIFEST_FORWARD);
}

int manifest_forward(struct manifest *manifest, const struct manifest_forward *forward,
	const struct consumed *ordinals)
{
	int ret;

	pthread_mutex_lock(&manifest->lock);
	ret = append_forward(manifest, forward, ordinals);
	pthread_mutex_unlock(&manifest->lock);
	return ret;
}
