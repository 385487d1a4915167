/* spill.c: see spill.h. */
#include "spill.h"

#include <errno.h>
#include <stdlib.h>

enum {
	FIRST_IDS = 1024,
	PIECE_IDS_MIN = 16, /* of each sorted piece that are read at once */
	COPY_BYTES = 16384,
};

/* Nobody else finds it, and a stop leaves nothing behind. */
static int open_file(const struct spill_place *place)
{
	int file;

	disk_unlink_quietly(place->disk, place->dir, place->name);
	file = disk_open(
		place->disk, place->dir, place->name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	if (file >= 0)
		disk_unlink_quietly(place->disk, place->dir, place->name);
	return file;
}

/* Opens the file with the first bytes. */
static int write_behind(const struct spill_place *place, int *file, const void *data, size_t length,
	uint64_t offset)
{
	int ret = 0;

	spill_hurry(place, true);
	if (*file < 0)
		ret = *file = open_file(place);
	if (ret >= 0)
		ret = disk_write(place->disk, *file, data, length, offset);
	spill_hurry(place, false);
	return ret;
}

static void close_file(const struct spill_place *place, int *file)
{
	if (*file < 0)
		return;
	spill_hurry(place, true);
	disk_close(place->disk, *file);
	spill_hurry(place, false);
	*file = -1;
}

static int read_exactly(
	const struct spill_place *place, int file, void *to, size_t length, uint64_t offset)
{
	ssize_t got = disk_read(place->disk, file, to, length, offset);

	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : -EIO;
}

/* ---- Bytes ------------------------------------------------------------------ */

void spill_init(struct spill *spill, const struct spill_place *place, size_t memory_bytes)
{
	*spill = (struct spill){.place = *place, .memory_bytes = memory_bytes, .file = -1};
}

void spill_done(struct spill *spill)
{
	if (spill->place.disk == NULL)
		return;
	close_file(&spill->place, &spill->file);
	bytes_done(&spill->bytes);
	*spill = (struct spill){0};
}

int spill_put(struct spill *spill, const void *data, size_t length)
{
	int ret = 0;

	if (spill->bytes.length > 0 && spill->bytes.length + length > spill->memory_bytes) {
		ret = write_behind(&spill->place, &spill->file, spill->bytes.data,
			spill->bytes.length, spill->file_bytes);
		if (ret != 0)
			return ret;
		spill->file_bytes += spill->bytes.length;
		spill->bytes.length = 0;
	}
	return bytes_put(&spill->bytes, data, length);
}

int spill_read(
	struct spill *spill, int (*on_bytes)(void *ctx, const void *data, size_t length), void *ctx)
{
	uint8_t *copy = spill->file_bytes > 0 ? malloc(COPY_BYTES) : NULL;
	int ret = spill->file_bytes > 0 && copy == NULL ? -ENOMEM : 0;

	for (uint64_t at = 0; ret == 0 && at < spill->file_bytes;) {
		uint64_t left = spill->file_bytes - at;
		size_t take = left < COPY_BYTES ? (size_t)left : COPY_BYTES;

		ret = read_exactly(&spill->place, spill->file, copy, take, at);
		if (ret == 0)
			ret = on_bytes(ctx, copy, take);
		at += take;
	}
	free(copy);
	if (ret == 0 && spill->bytes.length > 0)
		ret = on_bytes(ctx, spill->bytes.data, spill->bytes.length);
	return ret;
}

/* ---- Numbers, sorted --------------------------------------------------------- */

void spill_ids_init(struct spill_ids *ids, const struct spill_place *place, size_t capacity)
{
	*ids = (struct spill_ids){.place = *place, .capacity = capacity, .file = -1};
}

void spill_ids_done(struct spill_ids *ids)
{
	if (ids->place.disk == NULL)
		return;
	close_file(&ids->place, &ids->file);
	free(ids->ids);
	*ids = (struct spill_ids){0};
}

static bool is_less(const struct spill_id *a, const struct spill_id *b)
{
	return a->hash != b->hash ? a->hash < b->hash : a->run < b->run;
}

static int compare_ids(const void *left, const void *right)
{
	return is_less(left, right) ? -1 : is_less(right, left);
}

static int write_piece(struct spill_ids *ids)
{
	int ret;

	qsort(ids->ids, ids->count, sizeof(*ids->ids), compare_ids);
	ret = write_behind(&ids->place, &ids->file, ids->ids, ids->count * sizeof(*ids->ids),
		ids->in_file * sizeof(*ids->ids));
	if (ret != 0)
		return ret;
	ids->in_file += ids->count;
	ids->count = 0;
	return 0;
}

static int grow(struct spill_ids *ids)
{
	size_t wanted = ids->allocated > 0 ? ids->allocated * 2 : FIRST_IDS;
	struct spill_id *grown;

	if (wanted > ids->capacity)
		wanted = ids->capacity;
	grown = reallocarray(ids->ids, wanted, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	ids->ids = grown;
	ids->allocated = wanted;
	return 0;
}

int spill_ids_put(struct spill_ids *ids, uint64_t hash, uint32_t run)
{
	int ret = 0;

	if (ids->count == ids->capacity)
		ret = write_piece(ids);
	else if (ids->count == ids->allocated)
		ret = grow(ids);
	if (ret == 0)
		ids->ids[ids->count++] = (struct spill_id){.hash = hash, .run = run};
	return ret;
}

/* A sorted piece of the file, as far as it is read. */
struct piece {
	uint64_t next; /* in the file */
	uint64_t end;
	struct spill_id *ids; /* borrowed */
	size_t at, count;
	struct spill_id head; /* ids[at] */
};

struct merge {
	struct spill_ids *ids;
	struct piece *pieces; /* owned; a heap by their next id, those at their end left out */
	size_t count;
	struct spill_id *memory; /* owned */
	size_t each;
};

static int refill(struct merge *merge, struct piece *piece)
{
	uint64_t left = piece->end - piece->next;
	int ret;

	piece->at = 0;
	piece->count = left < merge->each ? (size_t)left : merge->each;
	if (piece->count == 0)
		return 0;
	piece->next += piece->count;
	ret = read_exactly(&merge->ids->place, merge->ids->file, piece->ids,
		piece->count * sizeof(*piece->ids),
		(piece->next - piece->count) * sizeof(*piece->ids));
	if (ret == 0)
		piece->head = piece->ids[0];
	return ret;
}

static void sift_down(struct merge *merge, size_t at)
{
	for (;;) {
		struct piece *pieces = merge->pieces;
		size_t least = at;

		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->count;
			child++)
			if (is_less(&pieces[child].head, &pieces[least].head))
				least = child;
		if (least == at)
			return;
		struct piece moved = pieces[at];

		pieces[at] = pieces[least];
		pieces[least] = moved;
		at = least;
	}
}

static int begin_merge(struct merge *merge)
{
	struct spill_ids *ids = merge->ids;
	size_t count = (size_t)((ids->in_file + ids->capacity - 1) / ids->capacity);

	merge->each = ids->capacity / count;
	if (merge->each < PIECE_IDS_MIN)
		merge->each = PIECE_IDS_MIN;
	merge->pieces = calloc(count, sizeof(*merge->pieces));
	merge->memory = calloc(count, merge->each * sizeof(*merge->memory));
	if (merge->pieces == NULL || merge->memory == NULL)
		return -ENOMEM;
	for (; merge->count < count; merge->count++) {
		struct piece *piece = &merge->pieces[merge->count];
		int ret;

		piece->next = merge->count * ids->capacity;
		piece->end = piece->next + ids->capacity;
		if (piece->end > ids->in_file)
			piece->end = ids->in_file;
		piece->ids = merge->memory + merge->count * merge->each;
		ret = refill(merge, piece);
		if (ret != 0)
			return ret;
	}
	for (size_t at = count / 2; at-- > 0;)
		sift_down(merge, at);
	return 0;
}

static int merge_all(
	struct merge *merge, int (*on_id)(void *ctx, const struct spill_id *id), void *ctx)
{
	int ret = begin_merge(merge);

	while (ret == 0 && merge->count > 0) {
		struct piece *least = &merge->pieces[0];

		ret = on_id(ctx, &least->head);
		if (ret == 0 && ++least->at == least->count)
			ret = refill(merge, least);
		else if (ret == 0)
			least->head = least->ids[least->at];
		if (least->count == 0)
			*least = merge->pieces[--merge->count];
		sift_down(merge, 0);
	}
	free(merge->pieces);
	free(merge->memory);
	return ret;
}

int spill_ids_sorted(
	struct spill_ids *ids, int (*on_id)(void *ctx, const struct spill_id *id), void *ctx)
{
	struct merge merge = {.ids = ids};
	int ret = 0;

	if (ids->file >= 0) {
		ret = ids->count > 0 ? write_piece(ids) : 0;
		free(ids->ids);
		ids->ids = NULL;
		ids->allocated = 0;
		return ret == 0 ? merge_all(&merge, on_id, ctx) : ret;
	}
	if (ids->count > 0)
		qsort(ids->ids, ids->count, sizeof(*ids->ids), compare_ids);
	for (size_t i = 0; ret == 0 && i < ids->count; i++)
		ret = on_id(ctx, &ids->ids[i]);
	return ret;
}
