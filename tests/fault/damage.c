/*
 * Every truncation and every flipped bit of a small store: its log, manifest, part,
 * the part sealed, and its index.
 *
 *     fault_damage [--short]
 *
 * Detected: recovery or verification says so. Set aside: at most one batch (log) or
 * one span's line (part), for a flipped bit; nothing for the manifest. Whatever stands
 * in the index, a query answers as it does without one. What is cut off at the end
 * of the log can't be told from a tail that was never synced unless something behind it
 * says so; such cuts are counted apart. Exits 1 when any of that fails.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index.h"
#include "query.h"
#include "reader.h"
#include "sealed.h"
#include "support/small_store.h"

enum { SHORT_STRIDE = 211 };

struct tally {
	uint64_t total;
	uint64_t detected;
	uint64_t broken; /* lost more than it may, or doubled */
};

static size_t stride = 1;
static struct small store;

static _Noreturn void die(const char *what, int status)
{
	fprintf(stderr, "damage: %s: %d\n", what, status);
	exit(EXIT_FAILURE);
}

static uint8_t *copy_of(const char *path, size_t *ret_length)
{
	const uint8_t *content = fake_disk_content(store.fake, path, ret_length);
	uint8_t *data = content != NULL ? malloc(*ret_length + 1) : NULL;

	if (data == NULL)
		die(path, -ENOENT);
	memcpy(data, content, *ret_length);
	return data;
}

/* ---- Log, manifest, part ---------------------------------------------------------- */

enum kind { LOG, MANIFEST, PART };

static bool detected(enum kind kind, const struct found *found)
{
	const struct recovery *recovery = &found->recovery;

	if (kind == LOG)
		return recovery->log_cut || recovery->log_bytes_damaged + recovery->log_bytes_torn +
							    recovery->log_segments_lost >
						    0;
	if (kind == MANIFEST)
		return recovery->manifest_damaged || recovery->manifest_lost;
	return found->parts_wrong || recovery->parts_short > 0 || recovery->parts_missing > 0;
}

static bool too_much(enum kind kind, const struct found *found)
{
	if (kind == LOG)
		return found->batches > 1 || found->doubled > 0;
	return found->lost > (kind == PART ? 1 : 0);
}

static void try_one(enum kind kind, const char *path, const uint8_t *data, size_t length, bool cut,
	struct tally *tally)
{
	struct fake_disk *disk = small_changed(&store, path, data, length);
	struct found found;

	small_look(disk, &store, &found);
	tally->total++;
	if (detected(kind, &found))
		tally->detected++;
	else
		printf("%s, %s at %zu: not found, %u spans lost\n", path, cut ? "cut" : "flipped",
			length, found.lost);
	/* What is cut off is gone; what must hold is that nothing comes twice. */
	if (cut && kind == MANIFEST ? found.lost > 0 || found.recovery.bytes_cut > 0
		: cut		    ? found.doubled > 0
				    : too_much(kind, &found))
		tally->broken++;
	fake_disk_free(disk);
}

static void flip_bits(enum kind kind, const char *path, struct tally *tally)
{
	size_t length;
	uint8_t *data = copy_of(path, &length);

	for (size_t bit = 0; bit < length * 8; bit += stride) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		try_one(kind, path, data, length, false, tally);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(data);
}

static void cut_off(enum kind kind, const char *path, struct tally *tally)
{
	size_t length;
	uint8_t *data = copy_of(path, &length);

	for (size_t cut = 0; cut<length; cut += stride> 1 ? 17 : 1)
		try_one(kind, path, data, cut, true, tally);
	free(data);
}

/* Where the log is trimmed, lines are in files alone: a cut of the manifest may set none aside
 * without a word, and lose none. */
static void cut_trimmed(struct tally *tally)
{
	struct small trimmed;
	const uint8_t *content;
	size_t length;

	small_make_trimmed(&trimmed);
	content = fake_disk_content(trimmed.fake, SMALL_MANIFEST, &length);
	for (size_t cut = 0; content != NULL && cut<length; cut += stride> 1 ? 7 : 1) {
		struct fake_disk *disk = small_changed(&trimmed, SMALL_MANIFEST, content, cut);
		struct found found;

		small_look(disk, &trimmed, &found);
		tally->total++;
		tally->detected += detected(MANIFEST, &found) || found.recovery.bytes_cut == 0;
		tally->broken += found.lost > 0 || found.recovery.bytes_cut > 0;
		fake_disk_free(disk);
	}
	small_free(&trimmed);
}

/* Part of it sealed: whoever reads it sees every line, and so after a start. */
static void cut_sealed(struct tally *tally)
{
	struct small small;
	const uint8_t *content;
	size_t length;
	uint8_t *plain;

	small_make_sealed(&small, false, &plain, &length);
	content = fake_disk_content(small.fake, SMALL_MANIFEST, &length);
	for (size_t cut = 0; content != NULL && cut <= length; cut += stride > 1 ? 67 : 1) {
		struct fake_disk *disk = small_changed(&small, SMALL_MANIFEST, content, cut);
		struct found found;
		struct seen before, after;

		small_read(disk, &small, &before);
		small_look(disk, &small, &found);
		small_read(disk, &small, &after);
		tally->total++;
		tally->detected += before.lost == 0 && after.lost == 0;
		fake_disk_free(disk);
	}
	free(plain);
	small_free(&small);
}

/* ---- Sealed ------------------------------------------------------------------------ */

struct file {
	uint8_t *data;
	size_t length;
};

static int append(void *ctx, const void *data, size_t length)
{
	struct file *file = ctx;

	file->data = realloc(file->data, file->length + length);
	if (file->data == NULL)
		return -ENOMEM;
	memcpy(file->data + file->length, data, length);
	file->length += length;
	return 0;
}

static int read_at(void *ctx, void *ret_data, size_t length, uint64_t offset)
{
	const struct file *file = ctx;

	if (offset > file->length || length > file->length - offset)
		return -EIO;
	memcpy(ret_data, file->data + offset, length);
	return 0;
}

/* 1: as it was; 0: found out; -1: other bytes come out and nothing says so. */
static int read_sealed(struct file *file, const uint8_t *plain, size_t length, uint8_t *out)
{
	struct sealed_reader *reader;
	int status = sealed_reader_open(read_at, file, file->length, &reader);

	if (status != 0)
		return 0;
	status = sealed_reader_size(reader) == length ? sealed_reader_read(reader, 0, out, length)
						      : -EIO;
	sealed_reader_close(reader);
	if (status != 0)
		return 0;
	return memcmp(out, plain, length) == 0 ? 1 : -1;
}

/* The sealed part in its store: what a start says of it, and the comparison after it. */
static void verify_sealed(struct tally *tally)
{
	struct small sealed = {
		.fake = small_changed(&store, "nothing", NULL, 0), .history = store.history};
	struct world world = {.segment_bytes = 100000, .part_bytes = 100000};
	size_t length = 0;
	uint8_t *data;

	if (world_open(&world, sealed.fake, store.history) != 0 || world_seal(&world) != 0)
		die("sealing", -EIO);
	world_close(&world);
	if (fake_disk_content(sealed.fake, SMALL_SEALED, &length) == NULL)
		die(SMALL_SEALED, -ENOENT);
	data = malloc(length);
	if (data == NULL)
		die(SMALL_SEALED, -ENOMEM);
	memcpy(data, fake_disk_content(sealed.fake, SMALL_SEALED, &length), length);
	for (size_t at = 0; at<9 * length; at += stride> 1 ? 101 : 1) {
		size_t bit = at - length; /* behind the cuts */
		struct fake_disk *disk;
		struct found found;

		if (at >= length)
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		disk = small_changed(&sealed, SMALL_SEALED, data, at < length ? at : length);
		small_look(disk, &sealed, &found);
		tally->total++;
		tally->detected += found.parts_wrong;
		fake_disk_free(disk);
		if (at >= length)
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(data);
	fake_disk_free(sealed.fake);
}

/* Bits that mean nothing to zstd change no line: verify_sealed sees those found. */
static void damage_sealed(struct tally *tally)
{
	size_t length;
	uint8_t *plain = copy_of(SMALL_PART, &length);
	uint8_t *out = malloc(length);
	struct file file = {0};
	struct sealed_writer *writer;
	uint64_t bytes;
	size_t whole;

	if (out == NULL || sealed_writer_new(3, append, &file, &writer) != 0 ||
		sealed_writer_add(writer, plain, length) != 0 ||
		sealed_writer_finish(writer, &bytes) != 0)
		die("sealing", -EIO);
	sealed_writer_free(writer);
	whole = file.length;
	for (size_t bit = 0; bit<8 * whole; bit += stride> 1 ? 3 : 1) {
		int result;

		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		result = read_sealed(&file, plain, length, out);
		tally->broken += result < 0;
		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (file.length = 0; file.length < whole; file.length++) {
		int result = read_sealed(&file, plain, length, out);

		tally->broken += result != 0;
	}
	free(file.data);
	free(plain);
	free(out);
}

/* ---- Index ------------------------------------------------------------------------- */

/* Brings the index of a disk up to date, as a start of the daemon would. */
static void open_index(struct fake_disk *disk, const uint8_t store_id[16])
{
	struct world world = {.segment_bytes = 100000, .part_bytes = 100000, .damaged = true};
	const struct manifest_state *state;
	struct index_part parts[8];
	struct index_report report;
	struct index *index;
	size_t count = 0;
	int dir;

	if (world_open(&world, disk, store.history) != 0)
		die("opening", -EIO);
	state = manifest_state(world.recovery.manifest);
	for (size_t i = 0; i < state->part_count && count < 8; i++)
		parts[count++] = index_part_of(&state->parts[i]);
	dir = disk_open_dir(world.disk, world.dirs.waft, "index", true);
	if (dir < 0 || index_open(world.disk, world.dirs.top, dir,
			       store_id != NULL ? store_id : state->store_id, parts, count, &index,
			       &report) != 0)
		die("indexing", -EIO);
	if (count > 0 && index_close_part(index, &parts[0].name) != 0)
		die("sorting the index", -EIO);
	index_close(index);
	disk_close(world.disk, dir);
	world_close(&world);
}

static uint64_t mix_in(uint64_t hash, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t answer_list(struct reader *reader, const struct filter *filter, uint64_t hash)
{
	struct query_list list = {0};

	if (query_list(reader, filter, 1000, slice_of("", 0), &list) != 0)
		die("list", -EIO);
	for (size_t i = 0; i < list.count; i++) {
		const struct trace_summary *trace = &list.traces[i];
		struct query_records records = {0};

		hash = mix_in(hash, trace->trace_id, 16);
		hash = mix_in(hash, &trace->start_ns, sizeof(trace->start_ns));
		hash = mix_in(hash, &trace->duration_ns, sizeof(trace->duration_ns));
		hash = mix_in(hash, trace->operation.data, trace->operation.length);
		hash = mix_in(hash, &trace->spans, sizeof(trace->spans));
		if (query_get(reader, trace->trace_id, 0, slice_of("", 0), &records) != 0)
			die("get", -EIO);
		for (size_t k = 0; k < records.count; k++)
			hash = mix_in(hash, records.lines[k].data, records.lines[k].length);
		query_records_done(&records);
	}
	query_list_done(&list);
	return hash;
}

/* One number for what a store says to a list, lists by operation, and every trace. */
static uint64_t answers(struct fake_disk *disk)
{
	static const char *const operations[] = {"op1", "op4", "op9", "no such"};
	const struct reader_config config = {.disk = fake_disk_disk(disk), .directory = "store"};
	const struct filter everything = {0};
	struct reader *reader;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (reader_open(&config, &reader) != 0)
		die("reading", -EIO);
	hash = answer_list(reader, &everything, hash);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		const struct filter filter = {.operation = slice_of_text(operations[i])};

		hash = answer_list(reader, &filter, hash);
	}
	reader_close(reader);
	return hash;
}

struct index_files {
	char paths[8][128];
	size_t count;
};

static void on_file(void *ctx, const char *path, const uint8_t *data, size_t length)
{
	struct index_files *files = ctx;

	(void)data;
	if (strncmp(path, ".waft/index/", 12) == 0 && length > 0 && files->count < 8)
		snprintf(files->paths[files->count++], sizeof(files->paths[0]), "%s", path);
}

/* With this content of an index file: as it is, and after a start of the daemon. */
static void try_index(const char *path, const uint8_t *data, size_t length, uint64_t wanted,
	bool start, struct tally *tally)
{
	struct fake_disk *disk = small_changed(&store, path, data, length);
	bool good = answers(disk) == wanted;

	if (start) {
		open_index(disk, NULL);
		good = good && answers(disk) == wanted;
	}
	tally->total++;
	tally->detected += good;
	fake_disk_free(disk);
}

static void damage_index_file(const char *path, uint64_t wanted, struct tally *tally)
{
	size_t length;
	uint8_t *data = copy_of(path, &length);

	try_index(path, NULL, 0, wanted, true, tally);
	for (size_t cut = 0; cut<length; cut += stride> 1 ? 53 : 1)
		try_index(path, data, cut, wanted, cut % 64 == 0, tally);
	for (size_t bit = 0; bit<8 * length; bit += stride> 1 ? stride : 1) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		try_index(path, data, length, wanted, bit % 512 == 0, tally);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(data);
}

/* Deleted, cut, flipped, of another store, and of the store as it was before. */
static void damage_index(struct tally *tally)
{
	static const uint8_t other_store[16] = {0xaa, 0xbb};
	struct fake_disk *foreign = small_changed(&store, "nothing", NULL, 0);
	struct index_files files = {0};
	uint64_t wanted = answers(store.fake);

	open_index(store.fake, NULL);
	if (answers(store.fake) != wanted)
		die("answers with a whole index", 1);
	open_index(foreign, other_store);
	fake_disk_each(store.fake, on_file, &files);
	if (files.count == 0)
		die("no index files", 0);
	for (size_t i = 0; i < files.count; i++) {
		size_t length = 0;
		const uint8_t *other = fake_disk_content(foreign, files.paths[i], &length);

		damage_index_file(files.paths[i], wanted, tally);
		if (other != NULL)
			try_index(files.paths[i], other, length, wanted, true, tally);
	}
	fake_disk_free(foreign);
}

/* A copy from before: the part has grown since. */
static void stale_index(struct tally *tally)
{
	struct index_files files = {0};
	struct fake_disk *before = small_changed(&store, "nothing", NULL, 0);
	struct world world = {.segment_bytes = 100000, .part_bytes = 100000};
	uint64_t wanted;

	open_index(before, NULL);
	if (world_open(&world, store.fake, store.history) != 0 ||
		world_write(&world, NULL, true) != 0)
		die("growing", -EIO);
	world_close(&world);
	wanted = answers(store.fake);
	fake_disk_each(before, on_file, &files);
	for (size_t i = 0; i < files.count; i++) {
		size_t length = 0;
		const uint8_t *old = fake_disk_content(before, files.paths[i], &length);

		try_index(files.paths[i], old, length, wanted, true, tally);
	}
	fake_disk_free(before);
}

/* ---- All --------------------------------------------------------------------------- */

static bool say(const char *what, const struct tally *tally, bool all)
{
	bool good = tally->broken == 0 && (!all || tally->detected == tally->total);

	printf("%-24s %llu/%llu%s\n", what, (unsigned long long)tally->detected,
		(unsigned long long)tally->total, good ? "" : "  FAILED");
	return good;
}

int main(int argc, char **argv)
{
	static const char *const paths[] = {SMALL_LOG, SMALL_MANIFEST, SMALL_PART};
	static const char *const names[] = {"log", "manifest", "part"};
	struct tally flips[3] = {0}, cuts[3] = {0}, sealed = {0}, index = {0}, trimmed = {0};
	struct tally over_sealed = {0};
	uint64_t bits = 0, found = 0;
	bool good = true;
	char text[32];

	if (argc > 1 && strcmp(argv[1], "--short") == 0)
		stride = SHORT_STRIDE;
	small_make(&store);
	small_open_again(&store);
	for (int i = LOG; i <= PART; i++) {
		flip_bits((enum kind)i, paths[i], &flips[i]);
		cut_off((enum kind)i, paths[i], &cuts[i]);
		snprintf(text, sizeof(text), "%s, bits", names[i]);
		good &= say(text, &flips[i], true);
		snprintf(text, sizeof(text), "%s, cuts", names[i]);
		/* A mark at the end of the log can go without a trace. */
		cuts[i].detected += i == LOG && cuts[i].detected + 1 == cuts[i].total;
		good &= say(text, &cuts[i], true);
		bits += flips[i].total;
		found += flips[i].detected;
	}
	cut_trimmed(&trimmed);
	good &= say("manifest over a trimmed log, cuts", &trimmed, true);
	cut_sealed(&over_sealed);
	good &= say("manifest over a sealed part, cuts", &over_sealed, true);
	damage_sealed(&sealed);
	verify_sealed(&sealed);
	good &= say("sealed part", &sealed, true);
	damage_index(&index);
	stale_index(&index);
	good &= say("index, same answers", &index, true);
	printf("figure: bits %llu/%llu of log, manifest and part found; cuts: log %llu/%llu, "
	       "manifest "
	       "%llu/%llu and, over a trimmed log, %llu/%llu, over a sealed part %llu/%llu, part "
	       "%llu/%llu; sealed %llu/%llu; "
	       "index: %llu/%llu answers as a full "
	       "scan\n",
		(unsigned long long)found, (unsigned long long)bits,
		(unsigned long long)cuts[LOG].detected, (unsigned long long)cuts[LOG].total,
		(unsigned long long)cuts[MANIFEST].detected,
		(unsigned long long)cuts[MANIFEST].total, (unsigned long long)trimmed.detected,
		(unsigned long long)trimmed.total, (unsigned long long)over_sealed.detected,
		(unsigned long long)over_sealed.total, (unsigned long long)cuts[PART].detected,
		(unsigned long long)cuts[PART].total, (unsigned long long)sealed.detected,
		(unsigned long long)sealed.total, (unsigned long long)index.detected,
		(unsigned long long)index.total);
	small_free(&store);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
