/*
 * seal.c: see seal.h.
 *
 * The part is taken in windows of as many runs as memory is allowed for. Of a window the places
 * of all runs are kept, those of a trace linked; then each trace is written where its first run
 * stands, all its runs of the window together.
 */
#include "seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "index_part.h"
#include "index_run.h"
#include "run_list.h"
#include "run_scan.h"
#include "scan.h"
#include "scratch.h"
#include "seal_frame.h"
#include "sealed.h"
#include "source.h"

enum {
	WINDOW_RUNS_MAX = 1 << 19,
	JOIN_BYTES_MAX = 8 << 20,
	JOIN_BYTES_MIN = 128 << 10,
	FILTER_BYTES_MIN = 4096,
	/* So much is written at once: others sync meanwhile. */
	WRITE_OUT_BYTES = 256 << 10,
	SYNC_BYTES = 4 << 20, /* where that can't be done without a sync */
	CHUNK_BYTES = 1 << 18,
	LINE_BYTES_MIN = 64,
	/* A part has so many bytes for each of memory at most: its seek table is kept. */
	PART_TO_MEMORY = 512,
};
#define LAST UINT32_MAX

/* A run in the plain part. */
struct place {
	uint8_t trace_id[16];
	uint64_t offset : 63;
	uint64_t joined : 1; /* to an earlier one */
	uint32_t length;
	uint32_t next; /* run of the trace in the window; LAST */
};

/*
 * What of the job's memory is for what. The rest, a third, is for buffers of 256 KiB (plain
 * text, a frame, lines), lines of a trace that is joined, which are there up to five times over
 * (as they stand, in order, and what is known of each), and the seek table.
 */
struct shares {
	uint32_t window_runs; /* a sixth: places, and their order */
	uint64_t join_bytes;  /* a trace with more stays in several runs */
	size_t filter_bytes;  /* of traces that continue */
	size_t pack_bytes;    /* a quarter: what the index gathers */
	int level;	      /* a fifth: zstd's tables */
	bool has_sequences;   /* a quarter, with the former */
};

struct sealing {
	const struct seal_job *job;
	struct source *source;
	struct run_list plain; /* runs of the part, as far as they are indexed */
	bool all_continue;     /* they are not all indexed: any may continue a trace */
	uint8_t *continuing;   /* owned; filter of traces that have a run that continues them */
	struct shares shares;
	struct place *places; /* owned */
	uint32_t *order;      /* owned */
	uint32_t count, capacity;
	uint64_t next; /* where the next window begins in the part */
	uint64_t window_offset;
	uint8_t last_trace_id[16]; /* of the window before; a run of it may go on */
	struct scan_buffer buffer;
	struct scratch scratch;
	struct bytes lines; /* of a trace, as they stand */
	struct bytes joined;
	struct sealed_writer *writer;
	uint64_t text_bytes; /* written, before compression */
	int file;
	uint64_t file_bytes;
	uint64_t written_out; /* as far as the file is on the device */
	bool cant_write_out;
	uint32_t crc;
	struct index_place index_place;
	struct index_state index;
	bool has_index;
	struct seal_result result;
};

static bool is_stopped(const struct sealing *sealing)
{
	return sealing->job->stop != NULL && atomic_load(sealing->job->stop);
}

/* ---- The new file -------------------------------------------------------------- */

static void hurry(const struct sealing *sealing, bool on)
{
	if (sealing->job->hurry != NULL)
		sealing->job->hurry(sealing->job->context, on);
}

/* What waits for the device in one piece is what a sync of others may have to wait for. A sync
 * would let them wait for the file system's journal, too. */
static int write_out(struct sealing *sealing)
{
	struct disk *disk = sealing->job->disk;
	uint64_t from = sealing->written_out;
	uint64_t length = sealing->file_bytes - from;
	int ret;

	if (length < (sealing->cant_write_out ? SYNC_BYTES : WRITE_OUT_BYTES))
		return 0;
	if (!sealing->cant_write_out) {
		ret = disk_write_out(disk, sealing->file, from, length);
		/* Later it is an error of a write, whatever number it has. */
		sealing->cant_write_out = ret == -EOPNOTSUPP && from == 0;
		if (sealing->cant_write_out)
			return 0;
	} else {
		ret = disk_sync(disk, sealing->file);
	}
	sealing->written_out = sealing->file_bytes;
	return ret;
}

static int append(void *ctx, const void *data, size_t length)
{
	struct sealing *sealing = ctx;
	int ret;

	sealing->crc = crc32c(sealing->crc, data, length);
	if (is_stopped(sealing))
		return -ECANCELED;
	hurry(sealing, true);
	ret = disk_write(sealing->job->disk, sealing->file, data, length, sealing->file_bytes);
	if (ret == 0) {
		sealing->file_bytes += length;
		if (sealing->job->written != NULL)
			atomic_store(sealing->job->written, sealing->file_bytes);
		ret = write_out(sealing);
	}
	hurry(sealing, false);
	return ret;
}

/* Where room comes back, the part is sealed then: an index that is made later takes the memory of
 * all its runs. Without it for any other reason the file is sealed all the same. */
static int index_failed(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -ENOMEM ? error : 0;
}

static void discard_index(struct sealing *sealing)
{
	if (!sealing->has_index)
		return;
	/* What is unlinked or freed here others may wait for. */
	pack_builder_free(sealing->index.builder);
	sealing->index.builder = NULL;
	hurry(sealing, true);
	index_part_discard(&sealing->index);
	hurry(sealing, false);
	sealing->has_index = false;
}

/* lines: the run's; empty: they are too many to be looked at. */
static int index_run(struct sealing *sealing, const struct index_run *run, struct slice lines)
{
	int ret;

	if (!sealing->has_index)
		return 0;
	sealing->index.lines = lines;
	ret = index_part_add(&sealing->index, run);
	if (ret == 0 && sealing->index.stalled)
		ret = sealing->index.pack_error;
	if (ret != 0)
		discard_index(sealing);
	return index_failed(ret);
}

/* ---- Runs that continue a trace ------------------------------------------------- */

static int on_continuing(void *ctx, const uint8_t trace_id[16])
{
	const struct sealing *sealing = ctx;

	index_bloom_set(sealing->continuing, sealing->shares.filter_bytes, index_hash_id(trace_id));
	return 0;
}

struct first_run {
	uint64_t window_offset;
	bool continues;
};

static int on_first_run(void *ctx, const struct index_run *run)
{
	struct first_run *first = ctx;

	first->continues =
		run->offset < first->window_offset || (run->flags & INDEX_CONTINUES) != 0;
	return 1;
}

/* The flag of the trace's first run in the part, which may be in an earlier window. */
static int continues(struct sealing *sealing, const uint8_t trace_id[16], uint32_t *ret_flags)
{
	struct first_run first = {.window_offset = sealing->window_offset, .continues = true};
	int ret;

	*ret_flags = sealing->all_continue ? INDEX_CONTINUES : 0;
	if (sealing->all_continue || !index_bloom_has(sealing->continuing,
					     sealing->shares.filter_bytes, index_hash_id(trace_id)))
		return 0;
	ret = run_list_find(&sealing->plain, trace_id, on_first_run, &first);
	if (first.continues)
		*ret_flags = INDEX_CONTINUES;
	return ret == 1 || ret == ERR_INDEX ? 0 : ret;
}

static int open_plain_index(struct sealing *sealing)
{
	const struct seal_job *job = sealing->job;
	const struct manifest_part *part = &job->part;
	int ret = 0;

	run_list_init(&sealing->plain, job->disk, false);
	if (job->index_dir >= 0)
		run_list_open_index(&sealing->plain, job->index_dir, job->store_id, &part->name,
			part->length_bytes);
	sealing->continuing = calloc(1, sealing->shares.filter_bytes);
	if (sealing->continuing == NULL)
		return -ENOMEM;
	/* Those that it would search in memory aren't worth it. */
	if (sealing->plain.indexed_bytes == part->length_bytes &&
		sealing->plain.ids_runs == sealing->plain.indexed)
		ret = run_list_for_each_continuing(&sealing->plain, on_continuing, sealing);
	else
		sealing->all_continue = true;
	if (ret == ERR_INDEX)
		sealing->all_continue = true;
	return ret == ERR_INDEX ? 0 : ret;
}

/* ---- A trace -------------------------------------------------------------------- */

static int put_lines(struct sealing *sealing, struct slice lines, uint32_t flags)
{
	struct index_run run;
	int ret = index_run_of_lines(lines, sealing->text_bytes, &sealing->scratch, &run);

	if (ret == -ENOMEM)
		return ret;
	if (ret != 0) {
		discard_index(sealing);
	} else {
		run.flags |= flags;
		ret = index_run(sealing, &run, lines);
		if (ret != 0)
			return ret;
	}
	ret = sealed_writer_add(sealing->writer, lines.data, lines.length);
	sealing->text_bytes += lines.length;
	return ret;
}

struct large_run {
	struct sealing *sealing;
	uint64_t delta; /* from a place in the part to one in the sealed text */
	uint32_t flags;
};

static int on_large_run(void *ctx, const struct index_run *found)
{
	struct large_run *large = ctx;
	struct index_run run = *found;

	run.offset += large->delta;
	run.flags |= large->flags;
	large->flags |= INDEX_CONTINUES;
	return index_run(large->sealing, &run, (struct slice){0});
}

/* A run that is not to be held in memory at once. */
static int put_large(struct sealing *sealing, const struct place *place, uint32_t flags)
{
	struct large_run large = {
		.sealing = sealing, .delta = sealing->text_bytes - place->offset, .flags = flags};
	const struct run_scan_ops ops = {.on_run = on_large_run, .ctx = &large};
	uint64_t end = place->offset + place->length;
	uint64_t at = place->offset;
	int ret = run_scan(sealing->source, at, end, &sealing->buffer, &ops, &at);

	for (at = place->offset; ret == 0 && at < end;) {
		size_t take = end - at < CHUNK_BYTES ? (size_t)(end - at) : CHUNK_BYTES;

		sealing->lines.length = 0;
		ret = bytes_reserve(&sealing->lines, take);
		if (ret == 0)
			ret = source_read(sealing->source, at, sealing->lines.data, take);
		if (ret == 0)
			ret = sealed_writer_add(sealing->writer, sealing->lines.data, take);
		at += take;
	}
	sealing->text_bytes += place->length;
	return ret;
}

static int read_run(struct sealing *sealing, const struct place *place)
{
	struct bytes *lines = &sealing->lines;
	int ret = bytes_reserve(lines, place->length);

	if (ret == 0)
		ret = source_read(
			sealing->source, place->offset, lines->data + lines->length, place->length);
	if (ret == 0)
		lines->length += place->length;
	return ret;
}

/* The runs of a trace one by one: they are too long to be one. */
static int put_apart(struct sealing *sealing, uint32_t first, uint32_t flags)
{
	int ret = 0;

	for (uint32_t i = first; ret == 0 && i != LAST; i = sealing->places[i].next) {
		const struct place *place = &sealing->places[i];

		sealing->lines.length = 0;
		if (place->length > sealing->shares.join_bytes)
			ret = put_large(sealing, place, flags);
		else
			ret = read_run(sealing, place);
		if (ret == 0 && place->length <= sealing->shares.join_bytes)
			ret = put_lines(sealing,
				slice_of(sealing->lines.data, sealing->lines.length), flags);
		flags |= INDEX_CONTINUES;
	}
	return ret;
}

static int put_joined(struct sealing *sealing, uint32_t first, uint64_t bytes, uint32_t flags)
{
	struct bytes *lines = &sealing->lines;
	struct slice text;
	int ret = 0;

	lines->length = 0;
	ret = bytes_reserve(lines, (size_t)bytes);
	for (uint32_t i = first; ret == 0 && i != LAST; i = sealing->places[i].next) {
		ret = read_run(sealing, &sealing->places[i]);
		sealing->result.joined += i != first;
	}
	sealing->joined.length = 0;
	if (ret == 0)
		ret = bytes_reserve(&sealing->joined, (size_t)bytes);
	if (ret != 0)
		return ret;
	ret = seal_order(slice_of(lines->data, lines->length), sealing->joined.data);
	if (ret == -ENOMEM)
		return ret;
	text = slice_of(ret == 0 ? sealing->joined.data : lines->data, lines->length);
	return put_lines(sealing, text, flags);
}

static int put_trace(struct sealing *sealing, uint32_t first)
{
	const struct place *place = &sealing->places[first];
	uint64_t bytes = 0;
	uint32_t flags;
	int ret = 0;

	if (first == 0 && memcmp(place->trace_id, sealing->last_trace_id, 16) == 0)
		flags = sealing->window_offset > 0 ? INDEX_CONTINUES : 0;
	else
		ret = continues(sealing, place->trace_id, &flags);
	if (ret != 0)
		return ret;
	for (uint32_t i = first; i != LAST; i = sealing->places[i].next)
		bytes += sealing->places[i].length;
	if (place->next == LAST || bytes > sealing->shares.join_bytes)
		return put_apart(sealing, first, flags);
	return put_joined(sealing, first, bytes, flags);
}

/* ---- Windows -------------------------------------------------------------------- */

/* What on_line returns when the window is full. */
#define FULL 1

static int on_line(void *ctx, const struct scan_line *line)
{
	struct sealing *sealing = ctx;
	uint64_t end = line->offset + line->text.length + line->whole;
	struct place *place = sealing->places;
	uint8_t id[16] = {0};
	bool same = false;

	if (sealing->count > 0) {
		place += sealing->count - 1;
		place->length = (uint32_t)(line->offset - place->offset);
		/* A line that is no record stays behind the one before it; so does what is too
		 * long to be looked at, whose end is where the next line begins. */
		same = line->text.data == NULL || record_peek_trace_id(line->text, id) != 0 ||
		       memcmp(place->trace_id, id, 16) == 0;
		if (same && end - place->offset > sealing->shares.join_bytes) {
			memcpy(id, place->trace_id, 16);
			same = false;
		}
	} else if (line->text.data == NULL || record_peek_trace_id(line->text, id) != 0) {
		memcpy(id, sealing->last_trace_id, 16);
	}
	if (!same) {
		if (sealing->count == sealing->capacity) {
			/* Behind what was too long to have an end. */
			sealing->next = line->offset;
			return FULL;
		}
		place = &sealing->places[sealing->count++];
		place->offset = line->offset;
		place->next = LAST;
		place->joined = 0;
		memcpy(place->trace_id, id, 16);
	}
	place->length = (uint32_t)(end - place->offset);
	sealing->next = end;
	return 0;
}

static int compare_places(const void *left, const void *right, void *ctx)
{
	const struct place *places = ctx;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;
	int ret = memcmp(places[a].trace_id, places[b].trace_id, 16);

	return ret != 0 ? ret : (a > b) - (a < b);
}

static void link_runs(struct sealing *sealing)
{
	struct place *places = sealing->places;

	for (uint32_t i = 0; i < sealing->count; i++)
		sealing->order[i] = i;
	qsort_r(sealing->order, sealing->count, sizeof(*sealing->order), compare_places, places);
	for (uint32_t i = 1; i < sealing->count; i++) {
		uint32_t before = sealing->order[i - 1];
		uint32_t at = sealing->order[i];

		if (memcmp(places[before].trace_id, places[at].trace_id, 16) != 0)
			continue;
		places[before].next = at;
		places[at].joined = 1;
	}
}

static int seal_window(struct sealing *sealing)
{
	uint64_t length = sealing->job->part.length_bytes;
	int ret;

	sealing->count = 0;
	sealing->window_offset = sealing->next;
	ret = scan_lines(
		sealing->source, sealing->next, length, &sealing->buffer, on_line, sealing);
	if (ret < 0 || sealing->count == 0)
		return ret < 0 ? ret : -EBADMSG;
	/* Up to the end whatever it is. */
	if (ret == 0) {
		struct place *last = &sealing->places[sealing->count - 1];

		last->length = (uint32_t)(length - last->offset);
		sealing->next = length;
	}
	ret = 0;
	link_runs(sealing);
	for (uint32_t i = 0; ret == 0 && i < sealing->count; i++)
		if (!sealing->places[i].joined)
			ret = put_trace(sealing, i);
	sealing->result.runs += sealing->count;
	memcpy(sealing->last_trace_id, sealing->places[sealing->count - 1].trace_id, 16);
	return ret == 0 && is_stopped(sealing) ? -ECANCELED : ret;
}

/* ---- All of it ------------------------------------------------------------------ */

static uint64_t between(uint64_t low, uint64_t value, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* What zstd takes for a frame of SEALED_FRAME_BYTES (ZSTD_sizeof_CCtx), a test says when that
 * changes. */
static const uint32_t level_kib[] = {0, 576, 640, 1024, 1280, 2048, 3584, 3584, 3584, 3584};

static int level_within(int level, uint64_t bytes)
{
	const int last = (int)(sizeof(level_kib) / sizeof(level_kib[0])) - 1;

	while (level > 1 && (level > last || (uint64_t)level_kib[level] << 10 > bytes))
		level--;
	return level;
}

static int share(struct sealing *sealing)
{
	const struct seal_job *job = sealing->job;
	uint64_t memory = job->memory_bytes > 0 ? job->memory_bytes : SEAL_MEMORY_DEFAULT;
	struct shares *shares = &sealing->shares;
	uint64_t run_bytes = sizeof(*sealing->places) + sizeof(*sealing->order);

	if (memory < SEAL_MEMORY_MIN)
		return -EINVAL;
	if (job->part.length_bytes / PART_TO_MEMORY > memory)
		return -EFBIG;
	shares->window_runs = (uint32_t)between(1, memory / 6 / run_bytes, WINDOW_RUNS_MAX);
	/* No line is that short. */
	if (job->part.length_bytes / LINE_BYTES_MIN < shares->window_runs)
		shares->window_runs = (uint32_t)(job->part.length_bytes / LINE_BYTES_MIN) + 1;
	shares->join_bytes = between(JOIN_BYTES_MIN, memory / 24, JOIN_BYTES_MAX);
	shares->filter_bytes = (size_t)between(FILTER_BYTES_MIN,
		index_bloom_bytes(job->part.length_bytes / LINE_BYTES_MIN), memory / 32 / 64 * 64);
	shares->pack_bytes = (size_t)memory / 4;
	shares->level = level_within(job->level, memory / 5);
	shares->has_sequences =
		shares->level >= SEQUENCES_LEVEL_MIN &&
		((uint64_t)level_kib[shares->level] << 10) + SEQUENCES_MEMORY_BYTES <= memory / 4;
	return 0;
}

static int open_part(struct sealing *sealing)
{
	const struct seal_job *job = sealing->job;
	char name[PART_NAME_BYTES];
	int ret = share(sealing);

	if (ret != 0)
		return ret;
	ret = recover_verify_part(job->disk, job->dirs, &job->part, job->stop);

	if (ret != 1)
		return ret == 0 ? ERR_CHECKSUM : ret;
	ret = part_name_format(&job->part.name, name);
	if (ret == 0)
		ret = source_open(job->disk, job->dirs->top, name, &sealing->source);
	if (ret == 0 && source_size(sealing->source) != job->part.length_bytes)
		ret = -EBADMSG;
	return ret;
}

static void start_index(struct sealing *sealing)
{
	struct part_name name = sealing->job->part.name;

	if (sealing->job->index_dir < 0)
		return;
	name.sealed = true;
	sealing->index_place = (struct index_place){.disk = sealing->job->disk,
		.parts_dir = sealing->job->dirs->top,
		.index_dir = sealing->job->index_dir};
	memcpy(sealing->index_place.store_id, sealing->job->store_id, 16);
	index_part_init(&sealing->index, &sealing->index_place, &name);
	index_part_discard(&sealing->index);
	sealing->index.forgets_ids = true;
	sealing->index.pack_memory_bytes = sealing->shares.pack_bytes;
	sealing->index.pack_hurry = sealing->job->hurry;
	sealing->index.pack_context = sealing->job->context;
	sealing->has_index = true;
}

static int begin_file(struct sealing *sealing)
{
	const struct seal_job *job = sealing->job;
	int ret = open_plain_index(sealing);

	sealing->capacity = sealing->shares.window_runs;
	sealing->places = malloc(sealing->capacity * sizeof(*sealing->places));
	sealing->order = malloc(sealing->capacity * sizeof(*sealing->order));
	if (ret == 0 && (sealing->places == NULL || sealing->order == NULL))
		ret = -ENOMEM;
	if (ret == 0)
		ret = sealed_writer_new(sealing->shares.level, append, sealing, &sealing->writer);
	if (ret == 0 && sealing->shares.has_sequences)
		ret = sealed_writer_use_sequences(sealing->writer);
	disk_unlink_quietly(job->disk, job->dirs->waft, SEAL_NEW_NAME);
	if (ret == 0)
		ret = sealing->file = disk_open(job->disk, job->dirs->waft, SEAL_NEW_NAME,
			DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	if (ret < 0)
		return ret;
	start_index(sealing);
	return 0;
}

static int write_all(struct sealing *sealing)
{
	const struct seal_job *job = sealing->job;
	int ret;

	hurry(sealing, true);
	ret = begin_file(sealing);
	hurry(sealing, false);
	if (ret != 0)
		return ret;
	for (ret = 0; ret == 0 && sealing->next < job->part.length_bytes;)
		ret = seal_window(sealing);
	if (ret == 0 && sealing->text_bytes != job->part.length_bytes)
		ret = -EBADMSG;
	if (ret == 0)
		ret = sealed_writer_finish(sealing->writer, &sealing->result.length_bytes);
	if (ret != 0)
		return ret;
	hurry(sealing, true);
	ret = disk_sync(job->disk, sealing->file);
	hurry(sealing, false);
	return ret;
}

/* Writing a pack is as much work as some MiB of lines. */
static int end_index(struct sealing *sealing)
{
	int ret = 0;

	if (!sealing->has_index)
		return 0;
	ret = index_part_compact(&sealing->index);
	if (ret != 0) {
		discard_index(sealing);
		return index_failed(ret);
	}
	hurry(sealing, true);
	index_part_done(&sealing->index);
	hurry(sealing, false);
	return 0;
}

/* All but the index: that takes memory, too, to be written. */
static void end_file(struct sealing *sealing)
{
	/* Memory goes, too, and files. */
	hurry(sealing, true);
	disk_close(sealing->job->disk, sealing->file);
	sealed_writer_free(sealing->writer);
	run_list_done(&sealing->plain);
	free(sealing->continuing);
	source_close(sealing->source);
	scan_buffer_done(&sealing->buffer);
	scratch_done(&sealing->scratch);
	bytes_done(&sealing->lines);
	bytes_done(&sealing->joined);
	free(sealing->places);
	free(sealing->order);
	hurry(sealing, false);
}

static void remove_new(const struct sealing *sealing)
{
	hurry(sealing, true);
	disk_unlink_quietly(sealing->job->disk, sealing->job->dirs->waft, SEAL_NEW_NAME);
	hurry(sealing, false);
}

int seal_part(const struct seal_job *job, struct seal_result *ret)
{
	struct sealing sealing = {.job = job, .file = -1};
	int error;

	sealing.plain = (struct run_list){.file = -1, .ids_file = -1};
	sealing.result.part = job->part.id;
	error = open_part(&sealing);
	if (error == 0)
		error = write_all(&sealing);
	end_file(&sealing);
	if (error == 0)
		error = end_index(&sealing);
	else
		discard_index(&sealing);
	if (error != 0) {
		if (sealing.file >= 0)
			remove_new(&sealing);
		return error;
	}
	sealing.result.text_bytes = sealing.text_bytes;
	sealing.result.crc = sealing.crc;
	*ret = sealing.result;
	return 0;
}

int seal_file_is(struct disk *disk, int dir, const char *name, uint64_t length_bytes, uint32_t crc)
{
	int file = disk_open(disk, dir, name, DISK_READ);
	uint32_t found = 0;
	uint64_t at = 0;
	struct disk_stat st;
	uint8_t *chunk;
	int ret;

	if (file < 0)
		return file;
	chunk = malloc(CHUNK_BYTES);
	ret = chunk == NULL ? -ENOMEM : disk_stat_file(disk, file, &st);
	while (ret == 0 && st.length_bytes == length_bytes && at < length_bytes) {
		ssize_t got = disk_read(disk, file, chunk, CHUNK_BYTES, at);

		if (got <= 0) {
			ret = got < 0 ? (int)got : -EIO;
			break;
		}
		found = crc32c(found, chunk, (size_t)got);
		at += (uint64_t)got;
	}
	free(chunk);
	disk_close(disk, file);
	return ret != 0 ? ret : st.length_bytes == length_bytes && found == crc;
}
