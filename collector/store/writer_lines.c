/*
 * From an output's memory to its part. See writer_internal.h.
 *
 * Lines go past the page cache where that can be: it takes a third of the CPU time that copying
 * into the page cache does. The larger a piece, the less, but the log's syncs wait behind it:
 * behind 512 KiB no longer than behind less. It must be whole blocks: what is before
 * the first and behind the last goes the usual way, and is never written directly. So no
 * block is in the page cache when it is written directly, and committed bytes are written
 * once. Before the round ends the pen writes such pieces, one at a time, while lines go on in
 * other memory: so the store's thread doesn't wait for the device. Nothing else is done to the
 * part meanwhile: its other writes, its sync and all that is done where something failed come
 * behind writer_end_pen. Elsewhere 256 KiB are written at once, up to a multiple of that: while
 * they are in the processor's cache, and for large folios.
 */
#include <errno.h>
#include <stdlib.h>

#include "huge.h"
#include "writer_internal.h"

enum {
	DIRECT_BYTES = 512 << 10,
	CACHED_BYTES = 256 << 10,
	/* Less than this of what is written at once isn't worth waiting for the disk. */
	DIRECT_PART_MIN = 4,
	RUN_BYTES = 64 << 10,	    /* that a run goes beyond, mostly */
	RUN_PLACE_BYTES = 16 << 10, /* with less room it isn't worth to begin there */
};

int writer_begin_lines(struct jsonl_store *store, struct output *output)
{
	size_t most = store->config.buffer_bytes / 4;
	struct manifest_part part;
	size_t before;
	int ret = writer_open_part(store, output);

	if (ret == 0 && !manifest_copy_part(store->config.manifest, output->part, &part))
		ret = -EINVAL;
	if (ret != 0)
		return ret;
	output->offset = part.length_bytes;
	before = output->offset % DISK_BLOCK_BYTES;
	output->lines_at = output->offset - before;
	output->written_at = output->offset;
	output->direct = disk_can_direct(store->config.disk, output->file);
	output->huge = output->direct && most >= HUGE_BYTES;
	output->write_bytes = output->direct ? DIRECT_BYTES : CACHED_BYTES;
	if (output->write_bytes > most)
		output->write_bytes = most;
	if (output->write_bytes < DISK_BLOCK_BYTES)
		output->write_bytes = DISK_BLOCK_BYTES;
	output->lines.length = 0;
	ret = writer_reserve_lines(output, before);
	output->lines.length = ret == 0 ? before : 0;
	return ret;
}

/* What is written past the page cache is read by the disk where it lies: in one large page
 * that takes the kernel a third less time. */
static uint8_t *new_lines(const struct output *output, size_t capacity)
{
	if (output->huge && capacity % HUGE_BYTES == 0)
		return huge_alloc(capacity);
	return aligned_alloc(DISK_BLOCK_BYTES, capacity);
}

int writer_reserve_lines(struct output *output, size_t more)
{
	struct bytes *lines = &output->lines;
	struct bytes grown = {.length = lines->length, .capacity = lines->capacity};
	size_t wanted = lines->length + more;

	if (wanted <= lines->capacity)
		return 0;
	if (grown.capacity == 0)
		grown.capacity = DISK_BLOCK_BYTES;
	while (grown.capacity < wanted)
		grown.capacity *= 2;
	/* Not to twice as much for the last run of the first. */
	if (wanted > output->write_bytes && wanted <= output->write_bytes + RUN_BYTES)
		grown.capacity = output->huge
					 ? HUGE_BYTES
					 : (output->write_bytes + RUN_BYTES + DISK_BLOCK_BYTES) &
						   ~(size_t)(DISK_BLOCK_BYTES - 1);
	grown.data = new_lines(output, grown.capacity);
	if (grown.data == NULL)
		return -ENOMEM;
	if (lines->length > 0)
		memcpy(grown.data, lines->data, lines->length);
	free(lines->data);
	*lines = grown;
	return 0;
}

/* ---- The lines of a run -------------------------------------------------------- */

void writer_begin_run(struct jsonl_store *store)
{
	struct output *output = store->last_output;
	struct bytes *lines = &store->run_lines;

	if (!lines->lent && lines->capacity > store->run_memory.capacity) {
		bytes_done(&store->run_memory);
		store->run_memory = *lines;
		*lines = (struct bytes){0};
	}
	bytes_done(lines);
	if (output != NULL && output->run_count > 0 &&
		writer_reserve_lines(output, RUN_PLACE_BYTES) == 0) {
		*lines = bytes_lend(output->lines.data + output->lines.length,
			output->lines.capacity - output->lines.length);
		return;
	}
	*lines = store->run_memory;
	store->run_memory = (struct bytes){0};
	lines->length = 0;
}

int writer_place_run(struct jsonl_store *store, const struct output *output)
{
	return output == store->last_output ? 0 : bytes_own(&store->run_lines);
}

int writer_append_run(struct jsonl_store *store, struct output *output)
{
	const struct bytes *run = &store->run_lines;
	int ret = run->lent ? 0 : writer_reserve_lines(output, run->length);

	if (ret != 0)
		return ret;
	if (!run->lent && run->length > 0)
		memcpy(output->lines.data + output->lines.length, run->data, run->length);
	output->lines.length += run->length;
	store->last_output = output;
	return 0;
}

/* ---- Writing --------------------------------------------------------------------- */

/* Whether the disk has no room for so much, and for other files to heal. */
static bool lacks_room(const struct jsonl_store *store, uint64_t bytes)
{
	uint64_t free_bytes;

	return disk_free_bytes(store->config.disk, store->config.dirs->top, &free_bytes) == 0 &&
	       free_bytes < store->config.reserve_bytes + bytes;
}

static int check_room(struct jsonl_store *store, uint64_t bytes)
{
	if (!lacks_room(store, bytes))
		return 0;
	/* What was removed last may not be free yet. */
	remover_done(&store->remover);
	return lacks_room(store, bytes) ? -ENOSPC : 0;
}

/* Writes what is gathered up to there in the part. */
static int write_to(struct jsonl_store *store, struct output *output, uint64_t end, bool direct)
{
	const uint8_t *from = output->lines.data + (output->written_at - output->lines_at);
	int ret;

	if (end <= output->written_at)
		return 0;
	ret = (direct ? disk_write_direct : disk_write)(store->config.disk, output->file, from,
		(size_t)(end - output->written_at), output->written_at);
	if (ret == 0)
		output->written_at = end;
	return ret;
}

static uint64_t round_up(uint64_t offset)
{
	return (offset + DISK_BLOCK_BYTES - 1) & ~(uint64_t)(DISK_BLOCK_BYTES - 1);
}

/* The blocks before `blocks` are whole. */
static int write_direct(struct jsonl_store *store, struct output *output, uint64_t blocks)
{
	int ret = write_to(store, output, round_up(output->written_at), false);

	return ret == 0 ? write_to(store, output, blocks, true) : ret;
}

int writer_end_pen(struct jsonl_store *store)
{
	struct output *output = store->penned;
	int ret = pen_wait(&store->pen);

	store->penned = NULL;
	if (ret != 0)
		writer_part_failed(store, output, ret, false);
	return ret;
}

/* Has as much memory lie aside as the output's lines have. */
static bool has_aside(struct jsonl_store *store, const struct output *output)
{
	struct bytes *aside = &store->aside;

	if (aside->capacity == output->lines.capacity)
		return true;
	bytes_done(aside);
	aside->data = new_lines(output, output->lines.capacity);
	aside->capacity = aside->data != NULL ? output->lines.capacity : 0;
	return aside->data != NULL;
}

/* Lets the pen write blocks that are gathered; what is behind them goes on in other memory. */
static void hand_over(struct jsonl_store *store, struct output *output, uint64_t blocks)
{
	struct bytes lines = output->lines;
	size_t done = (size_t)(blocks - output->lines_at);
	struct pen_piece piece = {.data = lines.data + (output->written_at - output->lines_at),
		.length = (size_t)(blocks - output->written_at),
		.offset = output->written_at,
		.file = output->file};

	output->lines = store->aside;
	output->lines.length = lines.length - done;
	memcpy(output->lines.data, lines.data + done, output->lines.length);
	output->lines_at = output->written_at = blocks;
	store->aside = lines;
	store->penned = output;
	pen_write(&store->pen, &piece);
}

/* As write_direct, but with the pen where it is wanted and can be. */
static int begin_direct(struct jsonl_store *store, struct output *output, uint64_t blocks)
{
	int ret = write_to(store, output, round_up(output->written_at), false);

	if (ret != 0)
		return ret;
	if (!store->behind || !pen_ready(&store->pen) || !has_aside(store, output))
		return write_to(store, output, blocks, true);
	hand_over(store, output, blocks);
	return 0;
}

/* Forgets what is written but for the block that goes on. */
static void drop_written(struct output *output)
{
	uint64_t keep_at = output->written_at - output->written_at % DISK_BLOCK_BYTES;
	size_t drop = (size_t)(keep_at - output->lines_at);

	output->lines.length -= drop;
	memmove(output->lines.data, output->lines.data + drop, output->lines.length);
	output->lines_at = keep_at;
}

int writer_write_lines(struct jsonl_store *store, struct output *output, bool all)
{
	uint64_t end = output->lines_at + output->lines.length;
	uint64_t blocks = end - end % DISK_BLOCK_BYTES;
	int ret = writer_end_pen(store);

	if (ret == 0)
		ret = check_room(store, end - output->written_at);
	if (ret != 0)
		return ret;
	output->written = true;
	if (output->direct && blocks >= output->written_at + output->write_bytes / DIRECT_PART_MIN)
		ret = (all ? write_direct : begin_direct)(store, output, blocks);
	else if (!all)
		ret = write_to(store, output, end - end % output->write_bytes, false);
	if (ret == 0 && all)
		ret = write_to(store, output, end, false);
	if (ret != 0)
		writer_part_failed(store, output, ret, false);
	else
		drop_written(output);
	return ret;
}
