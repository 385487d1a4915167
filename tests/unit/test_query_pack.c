/*
 * Packs of sealed parts: what they answer is what the lines say, for lists with all their
 * columns and for stats, with late runs, ties, open spans and ids that come twice; and again
 * with packs missing, damaged, of an older kind, and made anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zstd.h>

#include "bytes.h"
#include "crc32c.h"
#include "cursor.h"
#include "index.h"
#include "index_run.h"
#include "pack.h"
#include "query.h"
#include "reader.h"
#include "scratch.h"
#include "seal.h"
#include "stats.h"
#include "support/index_dirs.h"
#include "support/part_source.h"
#include "support/test_store.h"

enum { PARTS = 3, LINE_BYTES = 640 };
/* Of how many traces one has a late run; and rows that a list is asked for at a time. */
enum { NONE_LATE = 0, SOME_LATE = 20, ROWS = 1000 };

static const uint8_t store_id[16] = {4, 5, 6};

static struct test_store store;
static struct disk disk;
static int top_dir, waft_dir, index_dir;
static struct index_part parts[PARTS];
static struct bytes texts[PARTS];

static struct part_source source;

/* Late runs stand below the first span of their trace, and no run is odd. */
static bool late_below;

static int setup(void **state)
{
	(void)state;
	test_store_init(&store);
	disk_real(&disk);
	if (!index_dirs_open(&disk, store.path, &top_dir, &waft_dir, &index_dir))
		return -1;
	for (uint32_t i = 0; i < PARTS; i++)
		parts[i] = (struct index_part){.name = {.day = (int32_t)i, .number = 1}};
	part_source_init(&source, store_id, parts, PARTS);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < PARTS; i++)
		bytes_done(&texts[i]);
	index_dirs_close(&disk, top_dir, waft_dir, index_dir);
	test_store_done(&store);
	return 0;
}

/* ---- Stores ------------------------------------------------------------------------- */

/* Some of what is looked for stands there with an escape. */
static const char *random_input(void)
{
	static char words[64];
	int number = rand() % 60;

	sprintf(words, "{\"a\":1,\"word\":\"w%d\"}", rand() % 5000);
	return number < 2 ? "\"needle\"" : number == 2 ? "\"n\\u0065edle\"" : words;
}

/* odd: now and then an open span, a tie, an id twice. */
static void put_run(size_t part, uint32_t trace, uint32_t first, bool odd)
{
	static const char *const services[] = {"shop", "db", "", "cache"};
	static const char *const operations[] = {"get", "put", "scan"};
	int count = 1 + rand() % 6;

	for (int i = 0; i < count; i++) {
		char line[LINE_BYTES], value[16];
		struct test_span span = {.trace = trace,
			.span = first + (uint32_t)i,
			.parent = i == 0 && rand() % 8 > 0 ? UINT32_MAX : first,
			.start_us = 1000 * (int64_t)trace + 10 * i + rand() % 5,
			.duration_us = rand() % 1000,
			.failed = rand() % 10 == 0,
			.service = services[rand() % 4],
			.operation = operations[rand() % 3],
			.layer = rand() % 2 == 0 ? "api" : "core",
			.attribute = value,
			.input = random_input()};
		int length;

		if (late_below && first != 1000 * trace)
			span.parent = 1000 * trace;
		sprintf(value, "v%d", rand() % 400);
		if (odd && rand() % 12 == 0)
			span.span = rand() % 2 == 0 ? first : 1000 * trace;
		if (odd && rand() % 15 == 0)
			span.duration_us = -1;
		length = test_store_line(&span, line, sizeof(line));
		assert_int_equal(bytes_put(&texts[part], line, (size_t)length), 0);
	}
}

/* late: one of so many traces has a run in another part, or a further one in its own. */
static void fill(unsigned int seed, uint32_t traces, int late)
{
	srand(seed);
	for (uint32_t trace = 1; trace <= traces; trace++) {
		size_t part = trace * PARTS / (traces + 1);

		put_run(part, trace, 1000 * trace, late > 0 && rand() % 4 == 0 && !late_below);
		if (late > 0 && rand() % late == 0)
			put_run((size_t)rand() % PARTS, trace, 1000 * trace + 500,
				rand() % 3 == 0 && !late_below);
	}
	for (size_t i = 0; i < PARTS; i++) {
		char name[PART_NAME_BYTES];

		assert_int_equal(bytes_put(&texts[i], "", 1), 0);
		assert_int_equal(part_name_format(&parts[i].name, name), 0);
		test_store_append(&store, name, (const char *)texts[i].data);
		parts[i].length_bytes = texts[i].length - 1;
	}
}

static void open_index(struct index **ret)
{
	struct index_report report;

	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, parts, PARTS, ret, &report), 0);
}

static void seal_one(struct index *index, size_t part)
{
	struct store_dirs dirs = {
		.top = top_dir, .waft = waft_dir, .log = -1, .quarantine = -1, .lock = -1};
	struct seal_job job = {.disk = &disk,
		.dirs = &dirs,
		.index_dir = index_dir,
		.level = 1,
		.part = {.name = parts[part].name,
			.length_bytes = parts[part].length_bytes,
			.crc = crc32c(0, texts[part].data, parts[part].length_bytes),
			.verified = true,
			.state = PART_CLOSED}};
	struct seal_result result;
	char name[PART_NAME_BYTES];

	memcpy(job.store_id, store_id, 16);
	assert_int_equal(index_close_part(index, &parts[part].name), 0);
	assert_int_equal(seal_part(&job, &result), 0);
	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	assert_int_equal(disk_unlink(&disk, top_dir, name), 0);
	parts[part].name.sealed = parts[part].closed = true;
	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	assert_int_equal(disk_rename(&disk, waft_dir, SEAL_NEW_NAME, top_dir, name, false), 0);
	assert_int_equal(index_seal_part(index, &parts[part]), 0);
}

static void seal_all(void)
{
	struct index *index;

	open_index(&index);
	for (size_t i = 0; i < PARTS; i++)
		seal_one(index, i);
	index_close(index);
}

/* ---- Answers, as a text ------------------------------------------------------------------ */

/* Those behind FILTERS ask for texts. */
enum { FILTERS = 18, FILTERS_SCREENED = 26 };

static struct filter filter_of(unsigned int number, uint32_t traces)
{
	static const char *const greps[] = {"it broke", "n\\u0065edle", "\"needle\"", "word\":\"w7",
		"w1234", "w99", "\"a\":1,", "no such text anywhere"};
	static const struct filter_attribute attributes[] = {
		{{(const uint8_t *)"key", 3}, {(const uint8_t *)"v7", 2}},
		{{(const uint8_t *)"key", 3}, {(const uint8_t *)"nowhere", 7}}};
	struct filter filter = {0};

	if ((number & 1) != 0)
		filter.service = slice_of_text("db");
	if ((number & 2) != 0)
		filter.since_ns = 1000000 * (int64_t)(traces / 3);
	if ((number & 4) != 0)
		filter.until_ns = 1000000 * (int64_t)(traces - 3);
	if (number >= 8 && number < 12)
		filter.min_duration_ns = number < 11 ? 990000 : 998000;
	filter.errors = number == 12;
	if (number == 13)
		filter.grep = slice_of_text("needle");
	if (number == 14 || number == 15)
		filter.attributes = &attributes[number - 14];
	filter.attribute_count = number == 14 || number == 15;
	if (number == 16)
		filter.operation = slice_of_text("scan");
	if (number == 17)
		filter.has_status = true;
	if (number >= FILTERS)
		filter.grep = slice_of_text(greps[number - FILTERS]);
	return filter;
}

static void put_rows(const struct query_list *list, FILE *out)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct trace_summary *row = &list->traces[i];

		for (size_t k = 0; k < 16; k++)
			fprintf(out, "%02x", row->trace_id[k]);
		fprintf(out, " %lld %lld %d %d %.*s %.*s %llu %llu", (long long)row->start_ns,
			(long long)row->duration_ns, row->pending, (int)row->status,
			(int)row->operation.length, (const char *)row->operation.data,
			(int)row->layer.length, (const char *)row->layer.data,
			(unsigned long long)row->spans, (unsigned long long)row->errors);
		for (size_t k = 0; k < row->service_count; k++)
			fprintf(out, " %.*s", (int)row->services[k].length,
				(const char *)row->services[k].data);
		fputc('\n', out);
	}
}

/* By pages of so many rows. */
static void put_list(struct reader *reader, const struct filter *filter, uint32_t rows, FILE *out)
{
	struct query_list page, next;

	assert_int_equal(query_list(reader, filter, rows, slice_of("", 0), &page), 0);
	put_rows(&page, out);
	for (; page.next_page.length > 0; page = next) {
		assert_int_equal(query_list(reader, filter, rows, page.next_page, &next), 0);
		query_list_done(&page);
		put_rows(&next, out);
	}
	query_list_done(&page);
}

static void put_stats(struct reader *reader, const struct filter *filter, FILE *out)
{
	struct stats *stats = stats_new();

	assert_non_null(stats);
	assert_int_equal(query_stats(reader, filter, stats), 0);
	stats_sort(stats);
	for (size_t i = 0; i < stats_count(stats); i++) {
		const struct stats_row *row = stats_at(stats, i);

		fprintf(out, "%.*s/%.*s/%.*s %llu %llu %llu %lld %lld %lld %lld %lld\n",
			(int)row->service.length, (const char *)row->service.data,
			(int)row->operation.length, (const char *)row->operation.data,
			(int)row->layer.length, (const char *)row->layer.data,
			(unsigned long long)row->count, (unsigned long long)row->errors,
			(unsigned long long)row->timed, (long long)row->total_ns,
			(long long)row->self_ns, (long long)row->max_ns,
			(long long)stats_percentile_ns(row, 0.5),
			(long long)stats_percentile_ns(row, 0.99));
	}
	stats_free(stats);
}

/* Of filters from one to before another, with a new reader. indexed: it knows of the index. Lists
 * by pages of so many rows. The caller frees. */
static char *answers_by(uint32_t traces, unsigned int filter_first, unsigned int filter_end,
	bool indexed, uint32_t rows)
{
	struct reader_config config = {.directory = store.path, .live = &source.live};
	struct reader *reader;
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	/* An index of another store is none. */
	source.live.store_id[0] = indexed ? 4 : 99;
	assert_int_equal(reader_open(&config, &reader), 0);
	for (unsigned int i = filter_first; i < filter_end; i++) {
		struct filter filter = filter_of(i, traces);

		fprintf(out, "filter %u\n", i);
		put_list(reader, &filter, rows, out);
		put_stats(reader, &filter, out);
	}
	reader_close(reader);
	source.live.store_id[0] = 4;
	fclose(out);
	assert_int_equal(strlen(text), length);
	return text;
}

static char *answers(
	uint32_t traces, unsigned int filter_first, unsigned int filter_end, bool indexed)
{
	return answers_by(traces, filter_first, filter_end, indexed, ROWS);
}

static void compare(uint32_t traces, const char *expected)
{
	char *found = answers(traces, 0, FILTERS, true);

	assert_string_equal(found, expected);
	free(found);
}

static void pack_path(size_t part, char ret[512])
{
	char name[PACK_NAME_BYTES];

	assert_int_equal(pack_name(&parts[part].name, name), 0);
	snprintf(ret, 512, "%s/.waft/index/%s", store.path, name);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void as_the_lines_say(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 3; seed++) {
		uint32_t traces = seed == 2 ? 240 : 60;
		struct index *index;
		char path[512];
		char *expected;

		fill(seed, traces, SOME_LATE);
		seal_all();
		expected = answers(traces, 0, FILTERS, false);
		compare(traces, expected);
		/* A pack is made anew, with all that it says, and only that one. */
		pack_path(1, path);
		assert_int_equal(unlink(path), 0);
		compare(traces, expected);
		open_index(&index);
		index_close(index);
		assert_int_equal(access(path, F_OK), 0);
		compare(traces, expected);
		free(expected);
		teardown(NULL);
		assert_int_equal(setup(NULL), 0);
	}
}

static size_t count_passing(size_t part)
{
	const struct filter_attribute *nowhere = filter_of(15, 0).attributes;
	uint64_t hash = index_hash_attribute(nowhere->key, nowhere->value);
	struct pack *pack;
	size_t ret = 0;

	assert_int_equal(pack_open(&disk, index_dir, store_id, &parts[part].name, &pack), 0);
	for (size_t block = 0; block < pack_blocks(pack_runs(pack)); block++) {
		uint32_t groups;

		assert_int_equal(pack_block_groups(pack, block, &hash, 1, &groups), 0);
		ret += (size_t)__builtin_popcount(groups);
	}
	pack_close(pack);
	return ret;
}

/* A pack of before there were columns, of this text, is read. */
static void of_the_first_form(void **state)
{
	enum { SEED = 21, TRACES = 200, PART = 1 };
	char path[512];
	uint8_t pack[32768];
	size_t length;
	char *expected, *found;
	FILE *file;

	(void)state;
	fill(SEED, TRACES, SOME_LATE);
	seal_all();
	expected = answers(TRACES, 0, FILTERS_SCREENED, false);
	file = fopen(TEST_DATA "/pack_form_1.pack", "rb");
	assert_non_null(file);
	length = fread(pack, 1, sizeof(pack), file);
	fclose(file);
	pack_path(PART, path);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(pack, 1, length, file), length);
	fclose(file);
	assert_in_range(count_passing(PART), 0, 1);
	found = answers(TRACES, 0, FILTERS_SCREENED, true);
	assert_string_equal(found, expected);
	free(found);
	free(expected);
}

/* Filters that only lines can answer, of parts with several frames and blocks. */
static void screened_by_frames(void **state)
{
	enum { TRACES = 1000 };
	char *expected, *found;

	(void)state;
	fill(11, TRACES, SOME_LATE);
	seal_all();
	expected = answers(TRACES, 13, FILTERS_SCREENED, false);
	found = answers(TRACES, 13, FILTERS_SCREENED, true);
	assert_true(strlen(expected) > 1000);
	assert_string_equal(found, expected);
	free(found);
	free(expected);
}

/* Traces with runs in several blocks and parts, of which filters and sums leave most unread: first
 * of plain parts with ids, then sealed; so few that ids are looked up alone, and more. */
static void scattered_over_blocks(void **state)
{
	enum { TRACES = 1200, FEW_LATE = 300, MANY_LATE = 11, FIRST = 4, END = 15, PAGE = 40 };
	static const int late[] = {FEW_LATE, MANY_LATE};

	(void)state;
	for (size_t round = 0; round < 2; round++) {
		struct index *index;
		char *expected, *found;

		late_below = true;
		fill(31, TRACES, late[round]);
		late_below = false;
		expected = answers(TRACES, FIRST, END, false);
		open_index(&index);
		for (size_t i = 0; i < PARTS; i++)
			assert_int_equal(index_close_part(index, &parts[i].name), 0);
		index_close(index);
		found = answers_by(TRACES, FIRST, END, true, PAGE);
		assert_string_equal(found, expected);
		free(found);
		seal_all();
		found = answers_by(TRACES, FIRST, END, true, PAGE);
		assert_string_equal(found, expected);
		free(found);
		free(expected);
		teardown(NULL);
		assert_int_equal(setup(NULL), 0);
	}
}

/* Overwrites the sealed file: the same length, no line to be had. */
static void blot_out(size_t part)
{
	char path[512], name[PART_NAME_BYTES];
	struct stat stat;
	int file;

	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	snprintf(path, sizeof(path), "%s/%s", store.path, name);
	file = open(path, O_RDWR);
	assert_true(file >= 0 && fstat(file, &stat) == 0);
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(ftruncate(file, stat.st_size), 0);
	close(file);
}

/* Lists that ask for what packs know, and stats by time, need no line. */
static void without_lines(void **state)
{
	enum { TRACES = 300, BY_INDEX = 2 };
	char *expected, *found;

	(void)state;
	fill(7, TRACES, NONE_LATE);
	seal_all();
	expected = answers(TRACES, 0, BY_INDEX, false);
	for (size_t i = 0; i < PARTS; i++)
		blot_out(i);
	found = answers(TRACES, 0, BY_INDEX, true);
	assert_string_equal(found, expected);
	free(found);
	free(expected);
}

static void flipped_bits(void **state)
{
	enum { TRACES = 60, FEW = 2 };
	char path[512], *expected;
	struct stat stat;
	int file;

	(void)state;
	fill(8, TRACES, SOME_LATE);
	seal_all();
	expected = answers(TRACES, 0, FEW, false);
	pack_path(1, path);
	file = open(path, O_RDWR);
	assert_true(file >= 0 && fstat(file, &stat) == 0);
	for (off_t at = 0; at < stat.st_size; at += 1 + rand() % 300) {
		uint8_t byte, flipped;
		char *found;

		assert_int_equal(pread(file, &byte, 1, at), 1);
		flipped = byte ^ (uint8_t)(1u << rand() % 8);
		assert_int_equal(pwrite(file, &flipped, 1, at), 1);
		found = answers(TRACES, 0, FEW, true);
		assert_string_equal(found, expected);
		free(found);
		assert_int_equal(pwrite(file, &byte, 1, at), 1);
	}
	close(file);
	free(expected);
}

/* ---- Frames of a sealed file ---- */

struct frame {
	uint64_t file_from, file_to, from, to; /* in the file, and in the text */
};

/* From the seek table, its entries before the last nine bytes. Returns how many. */
static size_t read_frames(int file, struct frame *ret, size_t capacity)
{
	struct frame at = {0};
	uint8_t raw[8];
	struct stat stat;
	size_t count;

	assert_int_equal(fstat(file, &stat), 0);
	assert_int_equal(pread(file, raw, 4, stat.st_size - 9), 4);
	count = le32_read(raw);
	assert_in_range(count, 3, capacity);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(pread(file, raw, 8, stat.st_size - 9 - 8 * (off_t)(count - i)), 8);
		at.file_from = at.file_to;
		at.from = at.to;
		at.file_to += le32_read(raw);
		at.to += le32_read(raw + 4);
		ret[i] = at;
	}
	return count;
}

static int take_offset(void *ctx, const struct index_run *run)
{
	*(uint64_t *)ctx = run->offset;
	return 0;
}

/* *ret_marked: of them, those that can't be read whole, as the list says. */
static size_t count_traces(struct reader *reader, size_t *ret_marked)
{
	const struct filter everything = {0};
	struct query_list pages[2] = {{0}, {0}};
	size_t count = 0, at = 0;

	do {
		struct slice page = pages[at ^ 1].next_page;

		assert_int_equal(query_list(reader, &everything, 1000, page, &pages[at]), 0);
		count += pages[at].count;
		for (size_t i = 0; i < pages[at].count; i++)
			*ret_marked += pages[at].traces[i].damaged;
		at ^= 1;
		query_list_done(&pages[at]);
	} while (pages[at ^ 1].next_page.length > 0);
	query_list_done(&pages[at ^ 1]);
	return count;
}

/* Each trace of the first part is there, but those of one frame, of which it is said. */
static void check_frame(
	const struct frame *frame, const uint64_t *offsets, uint32_t traces, bool indexed)
{
	struct reader_config config = {.directory = store.path, .live = &source.live};
	size_t damaged = 0, listed, marked = 0;
	struct reader *reader;

	source.live.store_id[0] = indexed ? 4 : 99;
	assert_int_equal(reader_open(&config, &reader), 0);
	for (uint32_t trace = 1; trace <= traces; trace++) {
		bool lost = offsets[trace] >= frame->from && offsets[trace] < frame->to;
		struct query_records records = {0};
		uint8_t id[16];
		int ret;

		test_trace_id(trace, id);
		ret = query_get(reader, id, 0, slice_of("", 0), &records);
		assert_int_equal(ret, !lost ? 0 : indexed ? -EBADMSG : -ENOENT);
		assert_true(lost || records.count > 0);
		damaged += lost;
		query_records_done(&records);
	}
	assert_true(damaged > 0);
	assert_non_null(reader_damaged_file(reader));
	assert_int_equal(reader_report(reader)->damaged_files, 1);
	assert_int_equal(reader_report(reader)->unreadable_files, 0);
	assert_int_equal(reader_report(reader)->bad_lines, 0);
	listed = count_traces(reader, &marked);
	assert_int_equal(listed, indexed ? traces : traces - damaged);
	assert_int_equal(marked, indexed ? damaged : 0);
	reader_close(reader);
	/* Nothing was read, and nothing is known; or the daemon knows of the file. */
	for (int known = 0; indexed && known < 2; known++) {
		source.damaged = known == 1;
		marked = 0;
		assert_int_equal(reader_open(&config, &reader), 0);
		assert_int_equal(count_traces(reader, &marked), traces);
		assert_int_equal(marked, known ? damaged : 0);
		assert_int_equal(reader_damaged_file(reader) != NULL, known);
		reader_close(reader);
	}
	source.damaged = false;
	source.live.store_id[0] = 4;
}

/* A frame that can't be unpacked costs what is in it. */
static void flipped_frames(void **state)
{
	enum { TRACES = 2000 };
	static uint64_t offsets[TRACES + 1];
	char path[512], name[PART_NAME_BYTES];
	struct frame frames[64];
	struct pack *pack;
	size_t count;
	int file;

	(void)state;
	fill(11, TRACES, NONE_LATE);
	seal_all();
	memset(offsets, 0xff, sizeof(offsets));
	assert_int_equal(pack_open(&disk, index_dir, store_id, &parts[0].name, &pack), 0);
	for (uint32_t trace = 1; trace <= TRACES; trace++) {
		uint8_t id[16];

		test_trace_id(trace, id);
		assert_int_equal(pack_find(pack, id, take_offset, &offsets[trace]), 0);
	}
	pack_close(pack);
	assert_int_equal(part_name_format(&parts[0].name, name), 0);
	snprintf(path, sizeof(path), "%s/%s", store.path, name);
	file = open(path, O_RDWR);
	assert_true(file >= 0);
	count = read_frames(file, frames, sizeof(frames) / sizeof(frames[0]));
	for (size_t i = 0; i < count; i++) {
		off_t at = (off_t)(frames[i].file_from + frames[i].file_to) / 2;
		uint8_t byte, flipped;

		assert_int_equal(pread(file, &byte, 1, at), 1);
		flipped = byte ^ 0x10;
		assert_int_equal(pwrite(file, &flipped, 1, at), 1);
		check_frame(&frames[i], offsets, TRACES, true);
		check_frame(&frames[i], offsets, TRACES, false);
		assert_int_equal(pwrite(file, &byte, 1, at), 1);
	}
	close(file);
}

static int count_run(void *ctx, const struct index_run *run)
{
	(void)run;
	++*(size_t *)ctx;
	return 0;
}

/* Every trace is found by its id, and filters leave out what isn't there. */
static void found_by_id(void **state)
{
	enum { TRACES = 1000 };
	size_t found = 0, wrong = 0;
	struct pack *pack;

	(void)state;
	fill(9, TRACES, NONE_LATE);
	seal_all();
	for (size_t i = 0; i < PARTS; i++) {
		assert_int_equal(pack_open(&disk, index_dir, store_id, &parts[i].name, &pack), 0);
		for (uint32_t trace = 1; trace <= 2 * TRACES; trace++) {
			uint8_t id[16];

			test_trace_id(trace, id);
			assert_int_equal(
				pack_find(pack, id, count_run, trace <= TRACES ? &found : &wrong),
				0);
		}
		pack_close(pack);
	}
	assert_int_equal(found, TRACES);
	assert_int_equal(wrong, 0);
}

static void groups_leave_out(void **state)
{
	enum { TRACES = 1000 };
	const struct filter_attribute *nowhere = filter_of(15, 0).attributes;
	uint64_t hash = index_hash_attribute(nowhere->key, nowhere->value);
	size_t passed = 0, all = 0;
	struct pack *pack;

	(void)state;
	fill(10, TRACES, NONE_LATE);
	seal_all();
	for (size_t i = 0; i < PARTS; i++) {
		assert_int_equal(pack_open(&disk, index_dir, store_id, &parts[i].name, &pack), 0);
		for (size_t block = 0; block < pack_blocks(pack_runs(pack)); block++) {
			uint32_t groups;

			assert_int_equal(pack_block_groups(pack, block, &hash, 1, &groups), 0);
			passed += (size_t)__builtin_popcount(groups);
			all += PACK_GROUPS;
		}
		pack_close(pack);
	}
	assert_true(all > 0 && passed * 4 < all);
}

/* Where the header says that the sums lie. */
static void read_sums(size_t part, uint8_t **ret, size_t *ret_length)
{
	char name[PACK_NAME_BYTES];
	uint8_t place[12];
	int file;

	assert_int_equal(pack_name(&parts[part].name, name), 0);
	file = disk_open(&disk, index_dir, name, DISK_READ);
	assert_true(file >= 0);
	assert_int_equal(disk_read(&disk, file, place, sizeof(place), 80 + 16 * 6), sizeof(place));
	*ret_length = le32_read(place + 8);
	*ret = malloc(*ret_length);
	assert_non_null(*ret);
	assert_int_equal(disk_read(&disk, file, *ret, *ret_length, le64_read(place)), *ret_length);
	disk_close(&disk, file);
}

/* What they say as_the_lines_say asks. */
static void sums_are_small(void **state)
{
	(void)state;
	fill(10, 300, NONE_LATE);
	seal_all();
	for (size_t i = 0; i < PARTS; i++) {
		uint8_t *sums;
		size_t length;

		read_sums(i, &sums, &length);
		assert_true(length > 4 && le32_read(sums) == ZSTD_MAGICNUMBER);
		assert_true(ZSTD_getFrameContentSize(sums, length) > length);
		free(sums);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_the_lines_say, setup, teardown),
		cmocka_unit_test_setup_teardown(of_the_first_form, setup, teardown),
		cmocka_unit_test_setup_teardown(screened_by_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(scattered_over_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(without_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(flipped_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(flipped_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(found_by_id, setup, teardown),
		cmocka_unit_test_setup_teardown(groups_leave_out, setup, teardown),
		cmocka_unit_test_setup_teardown(sums_are_small, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
