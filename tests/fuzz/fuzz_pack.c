/*
 * Fuzzes reading packs of sealed parts. The input is a list of changes to a pack that a builder
 * made of a part: bytes to be overwritten, and how long the file then is. What is read with
 * these changes alone answers as the lines do, since checksums tell; then all checksums are made
 * right, piece by piece where header and directory say, and whatever it says, reading ends well.
 *
 * Input: a byte that chooses the part, then changes of 8 bytes: u16 where, counted from the
 * header, the directory, the kinds, sums, blocks or ids (u8), u8 how many of four bytes are taken,
 * u32 their values.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "pack_internal.h"
#include "query.h"
#include "reader.h"
#include "scratch.h"
#include "sealed.h"
#include "support/fake_disk.h"
#include "support/part_source.h"
#include "support/test_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORLDS = 2, CHANGE_BYTES = 8, PAGE_OF_TRACES = 6 };
static const uint32_t traces_of[WORLDS] = {5, 300};

static const uint8_t store_id[16] = {7};
#define PACK_PATH ".waft/index/1970-01-02.jsonl.zst.pack"
#define PART_PATH "1970-01-02.jsonl.zst"

/* A part, and what is known of it. Made once. */
struct fuzz_part {
	struct fake_disk *fake; /* of the input under way */
	struct index_part part;
	struct bytes sealed; /* the part's file */
	uint8_t *pack;	     /* as it was made */
	size_t pack_bytes;
	char *answers;
};
static struct fuzz_part worlds[WORLDS];

static void must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_pack: %s\n", what);
		abort();
	}
}

/* ---- A part ---------------------------------------------------------------------- */

static void put_trace(uint32_t trace, struct bytes *text)
{
	static const char *const services[] = {"shop", "db", "cache"};

	for (uint32_t i = 0; i <= trace % 3; i++) {
		char line[640], value[16];
		struct test_span span = {.trace = trace,
			.span = 10 * trace + i,
			.parent = i == 0 ? UINT32_MAX : 10 * trace,
			.start_us = 1000 * (int64_t)trace + i,
			.duration_us = trace % 50 == 7 ? -1 : (int64_t)(trace * 7 % 100),
			.failed = trace % 11 == 3,
			.service = services[trace % 3],
			.operation = services[i],
			.attribute = value};

		snprintf(value, sizeof(value), "v%u", (unsigned int)trace % 40);
		must(bytes_put(text, line, (size_t)test_store_line(&span, line, sizeof(line))) == 0,
			"memory");
	}
}

static int append(void *ctx, const void *data, size_t length)
{
	return bytes_put(ctx, data, length);
}

static void make_files(struct fuzz_part *world, uint32_t traces, int index_dir)
{
	struct pack_config config = {.part = world->part.name,
		.disk = fake_disk_disk(world->fake),
		.index_dir = index_dir};
	struct pack_builder *builder;
	struct bytes text = {0};
	struct sealed_writer *writer;
	struct scratch scratch = {0};
	uint64_t file_bytes;

	memcpy(config.store_id, store_id, sizeof(config.store_id));
	builder = pack_builder_new(&config);
	must(builder != NULL && sealed_writer_new(1, append, &world->sealed, &writer) == 0,
		"memory");
	for (uint32_t trace = 1; trace <= traces; trace++) {
		size_t from = text.length;
		struct index_run run;
		struct slice lines;

		put_trace(trace, &text);
		lines = slice_of(text.data + from, text.length - from);
		must(index_run_of_lines(lines, from, &scratch, &run) == 0, "a run");
		/* Its other runs are nowhere, which does no harm. */
		run.flags |= trace % 20 == 4 ? (uint32_t)INDEX_CONTINUES : 0;
		must(pack_builder_add(builder, &run, lines) == 0, "adding a run");
		must(sealed_writer_add(writer, lines.data, lines.length) == 0, "sealing");
	}
	world->part.length_bytes = text.length;
	must(pack_builder_write(builder, text.length) == 0, "writing the pack");
	must(sealed_writer_finish(writer, &file_bytes) == 0, "sealing");
	pack_builder_free(builder);
	sealed_writer_free(writer);
	scratch_done(&scratch);
	bytes_done(&text);
}

/* ---- Questions ------------------------------------------------------------------------ */

static void put_list(struct reader *reader, const struct filter *filter, FILE *out)
{
	struct query_list list = {0};

	must(query_list(reader, filter, PAGE_OF_TRACES, slice_of("", 0), &list) == 0, "query_list");
	for (size_t i = 0; i < list.count; i++) {
		const struct trace_summary *row = &list.traces[i];
		struct query_records records = {0};
		int ret = query_get(reader, row->trace_id, 0, slice_of("", 0), &records);

		must(ret == 0 || ret == -ENOENT, "query_get");
		fprintf(out, "%02x%02x %lld %lld %zu %llu %zu\n", row->trace_id[14],
			row->trace_id[15], (long long)row->start_ns, (long long)row->duration_ns,
			row->service_count, (unsigned long long)row->spans, records.count);
		query_records_done(&records);
	}
	query_list_done(&list);
}

static void put_stats(struct reader *reader, const struct filter *filter, FILE *out)
{
	struct stats *stats = stats_new();

	must(stats != NULL && query_stats(reader, filter, stats) == 0, "query_stats");
	stats_sort(stats);
	for (size_t i = 0; i < stats_count(stats); i++)
		fprintf(out, "%llu %lld\n", (unsigned long long)stats_at(stats, i)->count,
			(long long)stats_at(stats, i)->self_ns);
	stats_free(stats);
}

/* What a reader says of all there is; the caller frees. */
static char *ask(struct fuzz_part *world)
{
	static const struct filter_attribute attribute = {
		{(const uint8_t *)"key", 3}, {(const uint8_t *)"v7", 2}};
	const struct filter filters[] = {{0}, {.service = slice_of_text("db"), .errors = true},
		{.attributes = &attribute, .attribute_count = 1},
		{.grep = slice_of_text("it broke")}};
	struct part_source source;
	struct reader_config config = {
		.disk = fake_disk_disk(world->fake), .directory = "store", .live = &source.live};
	struct reader *reader = NULL;
	struct query_found found;
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	part_source_init(&source, store_id, &world->part, 1);
	must(out != NULL && reader_open(&config, &reader) == 0, "reader_open");
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		put_list(reader, &filters[i], out);
	put_stats(reader, &filters[0], out);
	put_stats(reader, &filters[1], out);
	fprintf(out, "%d\n", query_find(reader, slice_of_text("0000"), &found));
	reader_close(reader);
	fclose(out);
	return text;
}

/* ---- Changes ------------------------------------------------------------------------------ */

/* An empty one; returns the directory of indexes. */
static int make_disk(struct fuzz_part *world)
{
	struct disk *disk;
	int top, waft, index_dir;

	world->fake = fake_disk_new();
	disk = fake_disk_disk(world->fake);
	top = disk_open_root(disk, "store", true);
	waft = disk_open_dir(disk, top, ".waft", true);
	index_dir = disk_open_dir(disk, waft, INDEX_DIR, true);
	must(top >= 0 && waft >= 0 && index_dir >= 0, "directories");
	return index_dir;
}

/* The answers with such a pack; the caller frees. pack NULL: without one. */
static char *ask_with(struct fuzz_part *world, const uint8_t *pack, size_t length)
{
	char *answers;

	(void)make_disk(world);
	fake_disk_put(world->fake, PART_PATH, world->sealed.data, world->sealed.length);
	if (pack != NULL)
		fake_disk_put(world->fake, PACK_PATH, pack, length);
	answers = ask(world);
	fake_disk_free(world->fake);
	return answers;
}

static struct fuzz_part *make_world(unsigned int number)
{
	struct fuzz_part *world = &worlds[number];
	const uint8_t *pack;
	int index_dir;

	if (world->pack != NULL)
		return world;
	index_dir = make_disk(world);
	world->part = (struct index_part){
		.name = {.day = 1, .number = 1, .sealed = true}, .closed = true};
	make_files(world, traces_of[number], index_dir);
	pack = fake_disk_content(world->fake, PACK_PATH, &world->pack_bytes);
	must(pack != NULL, "the pack");
	world->pack = malloc(world->pack_bytes);
	must(world->pack != NULL, "memory");
	memcpy(world->pack, pack, world->pack_bytes);
	fake_disk_free(world->fake);
	world->answers = ask_with(world, NULL, 0);
	return world;
}

static uint64_t section_offset(const uint8_t *pack, unsigned int section)
{
	return le64_read(pack + 80 + 16 * (size_t)section);
}

/* Where the n-th kind of place begins in a pack as it was made. */
static uint64_t base_of(const struct fuzz_part *world, unsigned int kind)
{
	unsigned int section = kind % (PACK_SECTIONS + 2);

	if (section == PACK_SECTIONS)
		return 0;
	if (section == PACK_SECTIONS + 1) /* blocks */
		return PACK_HEADER_BYTES + le32_read(world->pack + 88);
	return section_offset(world->pack, section);
}

static size_t change(const struct fuzz_part *world, const uint8_t *data, size_t size, uint8_t *pack)
{
	size_t length = world->pack_bytes;

	memcpy(pack, world->pack, length);
	for (; size >= CHANGE_BYTES; data += CHANGE_BYTES, size -= CHANGE_BYTES) {
		uint64_t at = base_of(world, data[2]) + le16_read(data);

		if (data[3] == 0xff)
			length = le32_read(data + 4) % (world->pack_bytes + 1);
		for (unsigned int i = 0; i < 1 + data[3] % 4u; i++)
			pack[(at + i) % world->pack_bytes] = data[4 + i];
	}
	return length;
}

/* A piece with its CRC before it. */
static void mend_piece(uint8_t *pack, size_t length, uint32_t seed, unsigned int piece,
	uint64_t number, uint64_t offset, uint64_t bytes)
{
	if (bytes >= 4 && offset <= length && bytes <= length - offset)
		le32_write(pack + offset,
			pack_crc(seed, piece, number, pack + offset + 4, (size_t)bytes - 4));
}

static void mend(uint8_t *pack, size_t length, const struct part_name *name)
{
	uint32_t seed = pack_seed(store_id, name, PACK_FORM_2);
	uint64_t body = PACK_HEADER_BYTES + le32_read(pack + 88);
	uint64_t directory = section_offset(pack, PACK_DIRECTORY);
	uint64_t entries = le32_read(pack + 88 + 16 * (size_t)PACK_DIRECTORY) / PACK_ENTRY_BYTES;
	uint64_t ids = section_offset(pack, PACK_IDS);

	for (uint64_t i = 0; i < entries && directory <= length &&
			     (i + 1) * PACK_ENTRY_BYTES <= length - directory;
		i++) {
		const uint8_t *entry = pack + directory + i * PACK_ENTRY_BYTES;
		uint64_t block = le64_read(entry), filter = le64_read(entry + 16);

		mend_piece(pack, length, seed, PACK_PIECE_BLOCK, i, body + block,
			le32_read(entry + 24));
		mend_piece(pack, length, seed, PACK_PIECE_FILTER, i, body + filter,
			le32_read(entry + 28));
	}
	for (uint64_t i = 0; i < 4 && ids <= length; i++)
		mend_piece(pack, length, seed, PACK_PIECE_PAGE, i, ids + i * PACK_PAGE_BYTES,
			PACK_PAGE_BYTES);
	for (unsigned int i = 0; i < PACK_SECTIONS; i++) {
		uint64_t offset = section_offset(pack, i);
		uint32_t bytes = le32_read(pack + 88 + 16 * (size_t)i);

		if (i != PACK_IDS && offset <= length && bytes <= length - offset)
			le32_write(pack + 92 + 16 * (size_t)i,
				pack_crc(seed, i, 0, pack + offset, bytes));
	}
	le32_write(pack, pack_crc(seed, PACK_PIECE_HEADER, 0, pack + 4, PACK_HEADER_BYTES - 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_part *world;
	uint8_t *pack;
	char *answers;
	size_t length;

	if (size == 0)
		return 0;
	world = make_world(data[0] % WORLDS);
	pack = malloc(world->pack_bytes);
	must(pack != NULL, "memory");
	length = change(world, data + 1, size - 1, pack);
	answers = ask_with(world, pack, length);
	must(strcmp(answers, world->answers) == 0, "a damaged pack changes an answer");
	free(answers);
	if (length >= PACK_HEADER_BYTES) {
		mend(pack, length, &world->part.name);
		free(ask_with(world, pack, length));
	}
	free(pack);
	return 0;
}
