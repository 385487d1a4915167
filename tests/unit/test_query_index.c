/*
 * Indexed parts answer as a full scan does: random stores, many questions, and what
 * comes out is compared with a plain count over all lines; then again with the
 * index missing, stale, damaged, rebuilt.
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

#include "crc32c.h"
#include "index.h"
#include "query.h"
#include "reader.h"
#include "scratch.h"
#include "seal.h"
#include "source.h"
#include "support/part_source.h"
#include "support/test_store.h"

enum { TRACES = 250, ALL_TRACES = 420, PARTS = 4, LINES_MAX = 4000, LINE_BYTES = 640 };

static const uint8_t store_id[16] = {1, 2, 3};
static const struct filter everything;

/* ---- A store: parts, waiting spans, and all lines again for the reference -------- */

struct test_line {
	char text[LINE_BYTES]; /* without newline */
	struct slice line;
	struct record record;
	bool waiting;
};

static struct test_store store;
static struct disk disk;
static struct index *idx;
static struct reader *reader;
static int top_dir, index_dir;
static struct test_line *lines;
static size_t line_count;
static struct index_part parts[PARTS];
static struct scratch scratch, filter_scratch;

static int for_each_span(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	int ret = 0;

	(void)ctx;
	for (size_t i = 0; ret == 0 && i < line_count; i++) {
		struct live_span span = {
			.ordinal = {1, (uint32_t)i + 1, 0}, .line = slice_of_text(lines[i].text)};

		if (!lines[i].waiting || (after != NULL && span.ordinal.offset <= after->offset) ||
			(trace_id != NULL && memcmp(trace_id, lines[i].record.trace_id, 16) != 0))
			continue;
		memcpy(span.trace_id, lines[i].record.trace_id, 16);
		ret = on_span(arg, &span);
	}
	return ret;
}

static struct part_source the_parts;

static struct test_line *remember(const struct test_span *span)
{
	struct test_line *line = &lines[line_count++];
	int length = test_store_line(span, line->text, LINE_BYTES);

	assert_true(line_count <= LINES_MAX && length < LINE_BYTES);
	line->text[length - 1] = '\0';
	line->line = slice_of_text(line->text);
	assert_int_equal(record_parse(slice_of_text(line->text), &scratch, &line->record, NULL), 0);
	return line;
}

/* Appends lines [from, line_count) to a part as one run. */
static void commit(size_t part, size_t from)
{
	static char text[64 * LINE_BYTES];
	char name[PART_NAME_BYTES];
	struct index_run run;
	size_t length = 0;

	for (size_t i = from; i < line_count; i++)
		length += (size_t)sprintf(text + length, "%s\n", lines[i].text);
	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	test_store_append(&store, name, text);
	assert_int_equal(index_run_of_lines(
				 slice_of(text, length), parts[part].length_bytes, &scratch, &run),
		0);
	parts[part].length_bytes += length;
	assert_int_equal(index_add(idx, &parts[part].name, &run), 0);
	if (rand() % 4 == 0)
		index_flush(idx);
}

static const char *pick(const char *const *from, int count)
{
	return from[rand() % count];
}

/* A run of a trace: some spans, now and then one that was there before. */
static void random_run(uint32_t trace, uint32_t first_span, bool waiting, size_t part)
{
	static const char *const services[] = {"shop", "db", "cache"};
	static const char *const operations[] = {"get", "put", "scan", "list", "drop"};
	static const char *const layers[] = {"api", "core"};
	size_t from = line_count;
	int count = 1 + rand() % 6;

	for (int i = 0; i < count; i++) {
		uint32_t number = first_span + (uint32_t)i;
		char value[16];
		struct test_span span = {.trace = trace,
			.span = rand() % 20 == 0 ? first_span / 2 : number,
			.parent = rand() % 3 == 0 ? UINT32_MAX : first_span,
			.start_us = 1000 * (int64_t)(trace / 2) + rand() % 5000,
			.duration_us = rand() % 15 == 0 ? -1 : rand() % 100000,
			.failed = rand() % 10 == 0,
			.service = pick(services, 3),
			.operation = pick(operations, 5),
			.layer = pick(layers, 2),
			.attribute = value,
			.input = rand() % 50 == 0 ? "\"needle\"" : "{\"a\":1}"};

		if (i > 0 && rand() % 10 == 0)
			span.start_us = 1000 * (int64_t)(trace / 2); /* ties */
		sprintf(value, "v%d", rand() % 300);
		remember(&span)->waiting = waiting;
	}
	if (!waiting)
		commit(part, from);
}

static void open_index(void)
{
	struct index_report report;

	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, parts, PARTS, &idx, &report), 0);
}

static int setup(void **state)
{
	struct reader_config config = {.directory = store.path, .live = &the_parts.live};

	(void)state;
	part_source_init(&the_parts, store_id, parts, PARTS);
	the_parts.live.for_each_span = for_each_span;
	test_store_init(&store);
	disk_real(&disk);
	top_dir = disk_open_root(&disk, store.path, false);
	index_dir =
		disk_open_dir(&disk, disk_open_dir(&disk, top_dir, ".waft", true), "index", true);
	assert_true(top_dir >= 0 && index_dir >= 0);
	lines = calloc(LINES_MAX, sizeof(*lines));
	line_count = 0;
	for (uint32_t i = 0; i < PARTS; i++)
		parts[i] =
			(struct index_part){.name = {.day = (int32_t)i / 2, .number = 1 + i % 2}};
	open_index();
	return reader_open(&config, &reader);
}

static int teardown(void **state)
{
	(void)state;
	reader_close(reader);
	index_close(idx);
	free(lines);
	scratch_done(&scratch);
	scratch_done(&filter_scratch);
	disk_close(&disk, index_dir);
	disk_close(&disk, top_dir);
	test_store_done(&store);
	return 0;
}

/* Traces in one run, in several of one part or of many, and waiting; a foreign file. */
static void fill_store(unsigned int seed)
{
	srand(seed);
	for (uint32_t trace = 0; trace < TRACES; trace++) {
		random_run(trace, 1000 * trace, rand() % 20 == 0, (size_t)rand() % PARTS);
		while (rand() % 6 == 0) {
			uint32_t other = (uint32_t)rand() % (trace + 1);

			random_run(other, 1000 * other + 10 * (uint32_t)(rand() % 50),
				rand() % 8 == 0, (size_t)rand() % PARTS);
		}
	}
	for (int i = 0; i < 30; i++) {
		uint32_t trace = (uint32_t)rand() % (TRACES + 20);
		struct test_span span = {.trace = trace,
			.span = (uint32_t)i,
			.parent = UINT32_MAX,
			.start_us = 1000 * (int64_t)(trace / 2) + rand() % 5000,
			.operation = "foreign"};
		struct test_line *line = remember(&span);

		test_store_append(&store, "else.jsonl", line->text);
		test_store_append(&store, "else.jsonl", "\n");
	}
	index_flush(idx);
}

/* ---- The reference ------------------------------------------------------------------ */

struct expected {
	uint8_t trace_id[16];
	int64_t start_ns;
	uint64_t spans;
	uint64_t errors;
	bool matches;
};

/* Whether line b is what counts when line a has the same span id. */
static bool is_better(const struct record *b, const struct record *a)
{
	if ((a->status == RECORD_PENDING) != (b->status == RECORD_PENDING))
		return a->status == RECORD_PENDING;
	if (a->start_ns != b->start_ns)
		return b->start_ns < a->start_ns;
	return b->duration_ns < a->duration_ns;
}

static bool counts(size_t i, size_t *ids, size_t count, bool *ret_shown)
{
	const struct record *record = &lines[ids[i]].record;
	bool first = true;

	*ret_shown = true;
	for (size_t j = 0; j < count; j++) {
		const struct record *other = &lines[ids[j]].record;

		if (j == i || memcmp(other->span_id, record->span_id, 16) != 0)
			continue;
		if (record->status == RECORD_PENDING && other->status != RECORD_PENDING)
			*ret_shown = false;
		if (is_better(other, record) || (!is_better(record, other) && j < i))
			first = false;
	}
	return first;
}

static bool head_before(const struct record *a, const struct record *b)
{
	if (a->has_parent != b->has_parent)
		return !a->has_parent;
	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns;
	return memcmp(a->span_id, b->span_id, 16) < 0;
}

static void expect_trace(
	size_t *ids, size_t count, const struct filter *filter, struct expected *ret)
{
	const struct record *head = NULL;
	bool span_match = false, grep_match = false;
	int64_t end = INT64_MIN, duration;

	*ret = (struct expected){0};
	for (size_t i = 0; i < count; i++) {
		const struct record *record = &lines[ids[i]].record;
		bool shown;
		bool first = counts(i, ids, count, &shown);
		int64_t stop =
			record->start_ns + (record->duration_ns > 0 ? record->duration_ns : 0);

		if (shown) {
			span_match |= filter_match_span(filter, record, &filter_scratch) == 1;
			grep_match |= filter_match_grep(filter, record, &filter_scratch) == 1;
		}
		if (!first)
			continue;
		ret->spans++;
		ret->errors += record->status == RECORD_ERROR;
		end = stop > end ? stop : end;
		if (head == NULL || head_before(record, head))
			head = record;
	}
	memcpy(ret->trace_id, head->trace_id, 16);
	ret->start_ns = head->start_ns;
	duration = head->duration_ns >= 0 ? head->duration_ns : end - head->start_ns;
	ret->matches = span_match && grep_match && (!filter->errors || ret->errors > 0) &&
		       (!filter->has_status || filter->status == head->status) &&
		       (filter->since_ns == 0 || head->start_ns >= filter->since_ns) &&
		       (filter->until_ns == 0 || head->start_ns < filter->until_ns) &&
		       (filter->min_duration_ns == 0 || duration >= filter->min_duration_ns) &&
		       (filter->max_duration_ns == 0 || duration <= filter->max_duration_ns);
}

static int compare_expected(const void *left, const void *right)
{
	const struct expected *a = left;
	const struct expected *b = right;

	if (a->start_ns != b->start_ns)
		return a->start_ns > b->start_ns ? -1 : 1;
	return memcmp(b->trace_id, a->trace_id, 16);
}

static size_t expect(const struct filter *filter, struct expected *ret)
{
	size_t count = 0;

	scratch_reset(&filter_scratch);
	for (uint32_t trace = 0; trace < ALL_TRACES; trace++) {
		size_t ids[512], found = 0;
		uint8_t id[16];

		test_trace_id(trace, id);
		for (size_t i = 0; i < line_count; i++)
			if (memcmp(lines[i].record.trace_id, id, 16) == 0)
				ids[found++] = i;
		assert_true(found <= 512);
		if (found == 0)
			continue;
		expect_trace(ids, found, filter, &ret[count]);
		count += ret[count].matches;
	}
	qsort(ret, count, sizeof(*ret), compare_expected);
	return count;
}

/* ---- Asking --------------------------------------------------------------------------- */

static void ask(const struct filter *filter, uint32_t limit)
{
	static struct expected expected[ALL_TRACES];
	size_t count = expect(filter, expected);
	size_t seen = 0, page_length = 0;
	uint8_t page[64];

	do {
		struct query_list list = {0};

		assert_int_equal(
			query_list(reader, filter, limit, slice_of(page, page_length), &list), 0);
		for (size_t i = 0; i < list.count; i++, seen++) {
			assert_true(seen < count);
			assert_memory_equal(list.traces[i].trace_id, expected[seen].trace_id, 16);
			assert_int_equal(list.traces[i].start_ns, expected[seen].start_ns);
			assert_int_equal(list.traces[i].spans, expected[seen].spans);
			assert_int_equal(list.traces[i].errors, expected[seen].errors);
		}
		page_length = list.next_page.length;
		if (page_length > 0)
			memcpy(page, list.next_page.data, page_length);
		query_list_done(&list);
	} while (page_length > 0);
	assert_int_equal(seen, count);
}

static void ask_random(int questions)
{
	static const char *const services[] = {"shop", "db", "nobody"};
	static const char *const operations[] = {"get", "put", "foreign", "nothing"};
	struct filter_attribute attribute = {.key = slice_of_text("key")};
	char value[16];

	ask(&everything, 0);
	ask(&everything, 1000);
	for (int i = 0; i < questions; i++) {
		struct filter filter = {0};

		if (rand() % 3 == 0)
			filter.service = slice_of_text(pick(services, 3));
		if (rand() % 3 == 0)
			filter.operation = slice_of_text(pick(operations, 4));
		if (rand() % 4 == 0)
			filter.layer = slice_of_text("api");
		if (rand() % 4 == 0) {
			sprintf(value, "v%d", rand() % 300);
			attribute.value = slice_of_text(value);
			filter.attributes = &attribute;
			filter.attribute_count = 1;
		}
		if (rand() % 4 == 0)
			filter.since_ns = 1000000 * (int64_t)(rand() % (TRACES / 2));
		if (rand() % 4 == 0)
			filter.until_ns = 1000000 * (int64_t)(rand() % (TRACES / 2));
		if (rand() % 4 == 0)
			filter.min_duration_ns = rand() % 100000000;
		if (rand() % 6 == 0)
			filter.max_duration_ns = rand() % 100000000;
		filter.errors = rand() % 4 == 0;
		filter.has_status = rand() % 4 == 0;
		filter.status = (enum record_status)(rand() % 3);
		if (rand() % 8 == 0)
			filter.grep = slice_of_text("needle");
		ask(&filter, 1 + (uint32_t)rand() % 40);
	}
}

/* Each trace is found and given whole, whatever page size. */
static void get_all(void)
{
	for (uint32_t trace = 0; trace < ALL_TRACES; trace += 17) {
		struct query_found found;
		uint8_t page[300], id[16];
		char text[RECORD_ID_TEXT_BYTES];
		size_t expected = 0, seen = 0, page_length = 0;

		test_trace_id(trace, id);
		record_format_id(id, text);
		for (size_t i = 0; i < line_count; i++)
			expected += memcmp(lines[i].record.trace_id, id, 16) == 0;
		assert_int_equal(query_find(reader, slice_of_text(text), &found),
			expected > 0 ? 0 : -ENOENT);
		if (expected == 0)
			continue;
		assert_int_equal(query_find(reader, slice_of(text, 18), &found), 0);
		assert_memory_equal(found.trace_id, id, 16);
		do {
			struct query_records records = {0};

			assert_int_equal(
				query_get(reader, id, 700, slice_of(page, page_length), &records),
				0);
			seen += records.count;
			page_length = records.next_page.length;
			if (page_length > 0)
				memcpy(page, records.next_page.data, page_length);
			query_records_done(&records);
		} while (page_length > 0);
		assert_int_equal(seen, expected);
	}
}

/* ---- Tests ------------------------------------------------------------------------------ */

static void as_a_full_scan(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 2; seed++) {
		fill_store(seed);
		ask_random(12);
		get_all();
		teardown(NULL);
		setup(NULL);
	}
}

/* Every file of the index is opened again, and closed parts have sorted ids. */
static void opened_again(void **state)
{
	struct index_report report;

	(void)state;
	fill_store(10);
	index_close(idx);
	parts[0].closed = parts[2].closed = true;
	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, parts, PARTS, &idx, &report), 0);
	assert_int_equal(report.parts, PARTS);
	assert_int_equal(report.rebuilt_runs, 0);
	ask_random(12);
	get_all();
	for (uint32_t i = 0; i < PARTS; i++)
		assert_int_equal(index_close_part(idx, &parts[i].name), 0);
	ask_random(10);
	/* and goes on growing */
	for (uint32_t trace = 0; trace < 100; trace++)
		random_run(trace * 3, 1000 * trace * 3 + 600, false, 1 + 2 * (trace % 2));
	index_flush(idx);
	ask_random(10);
	get_all();
}

static void days(void **state)
{
	uint8_t id[16];
	int32_t day;

	(void)state;
	srand(1);
	for (uint32_t trace = 0; trace < 2000; trace++) {
		test_trace_id(trace, id);
		assert_int_equal(index_day_of_trace(idx, id, &day), 0);
		line_count = 0;
		remember(&(struct test_span){.trace = trace, .span = 1, .parent = UINT32_MAX});
		commit(trace % PARTS, 0);
		if (trace % 500 == 0)
			assert_int_equal(index_close_part(idx, &parts[trace / 500].name), 0);
	}
	for (int round = 0; round < 2; round++) {
		for (uint32_t trace = 0; trace < 4000; trace++) {
			test_trace_id(trace, id);
			day = -1;
			assert_int_equal(index_day_of_trace(idx, id, &day), trace < 2000);
			if (trace < 2000)
				assert_int_equal(day, parts[trace % PARTS].name.day);
		}
		index_close(idx);
		open_index();
	}
	index_remove_part(idx, &parts[0].name);
	test_trace_id(0, id);
	assert_int_equal(index_day_of_trace(idx, id, &day), 0);
	assert_true(index_memory(idx) < 1 << 20);
}

static void index_path(size_t part, const char *kind, char *ret)
{
	char name[PART_NAME_BYTES];

	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	sprintf(ret, "%s/.waft/index/%s.%s", store.path, name, kind);
}

/* Missing, cut, foreign, from another store, of another part. */
static void not_to_be_trusted(void **state)
{
	static const char *const kinds[] = {"runs", "ids"};
	char path[256], other[256];

	(void)state;
	fill_store(20);
	for (uint32_t i = 0; i < PARTS; i++)
		assert_int_equal(index_close_part(idx, &parts[i].name), 0);
	for (size_t kind = 0; kind < 2; kind++) {
		index_path(0, kinds[kind], path);
		index_path(1, kinds[kind], other);
		/* another part's */
		assert_int_equal(unlink(path), 0);
		assert_int_equal(rename(other, path), 0);
		ask_random(6);
		get_all();
		/* cut anywhere */
		index_path(2, kinds[kind], path);
		assert_int_equal(truncate(path, 128 * 40 + 77), 0);
		ask_random(6);
		get_all();
	}
	the_parts.live.store_id[0] ^= 1;
	ask_random(6);
	the_parts.live.store_id[0] ^= 1;
	index_close(idx);
	open_index();
	ask_random(6);
	get_all();
}

/* An index that stopped growing long ago is good for what it has. */
static void stale(void **state)
{
	char path[256], kept[640];

	(void)state;
	srand(5);
	for (uint32_t trace = 0; trace < 100; trace++)
		random_run(trace, 1000 * trace, false, 0);
	index_flush(idx);
	index_path(0, "runs", path);
	sprintf(kept, "cp %s %s/kept", path, store.path);
	assert_int_equal(system(kept), 0);
	for (uint32_t trace = 100; trace < 200; trace++)
		random_run(trace, 1000 * trace, false, 0);
	index_flush(idx);
	sprintf(kept, "cp %s/kept %s", store.path, path);
	assert_int_equal(system(kept), 0);
	ask_random(6);
	get_all();
	index_close(idx);
	open_index();
	ask_random(6);
	get_all();
}

/* Every flipped bit is found out: answers stay right. */
static void flipped_bits(void **state)
{
	static const char *const kinds[] = {"runs", "ids"};
	struct filter filter = {.operation = slice_of_text("put"), .errors = true};
	char path[256];

	(void)state;
	srand(30);
	for (uint32_t trace = 0; trace < 30; trace++)
		random_run(trace, 1000 * trace, false, trace % 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(index_close_part(idx, &parts[i].name), 0);
	for (size_t kind = 0; kind < 2; kind++) {
		struct stat stat;
		int file;

		index_path(0, kinds[kind], path);
		file = open(path, O_RDWR);
		assert_true(file >= 0);
		assert_int_equal(fstat(file, &stat), 0);
		for (off_t at = 0; at < stat.st_size; at += 1 + rand() % 120) {
			struct reader_config config = {
				.directory = store.path, .live = &the_parts.live};
			uint8_t byte, flipped;

			assert_int_equal(pread(file, &byte, 1, at), 1);
			flipped = byte ^ (uint8_t)(1u << rand() % 8);
			assert_int_equal(pwrite(file, &flipped, 1, at), 1);
			reader_close(reader);
			assert_int_equal(reader_open(&config, &reader), 0);
			ask(&filter, 10);
			assert_int_equal(pwrite(file, &byte, 1, at), 1);
		}
		close(file);
	}
}

/* ---- Sealed parts ------------------------------------------------------------------- */

/* Seals a part as the daemon does. indexed: its new index is made with it. */
static void seal(size_t part, bool indexed, int level)
{
	struct store_dirs dirs = {.top = top_dir, .log = -1, .quarantine = -1, .lock = -1};
	struct seal_job job = {.disk = &disk,
		.dirs = &dirs,
		.index_dir = indexed ? index_dir : -1,
		.level = level,
		.part = {.name = parts[part].name,
			.length_bytes = parts[part].length_bytes,
			.verified = true,
			.state = PART_CLOSED}};
	char name[PART_NAME_BYTES], path[256];
	struct seal_result result;
	struct source *source;
	uint8_t *text = malloc(job.part.length_bytes);

	assert_non_null(text);
	dirs.waft = disk_open_dir(&disk, top_dir, ".waft", false);
	memcpy(job.store_id, store_id, 16);
	assert_int_equal(index_close_part(idx, &parts[part].name), 0);
	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	assert_int_equal(source_open(&disk, top_dir, name, &source), 0);
	assert_int_equal(source_read(source, 0, text, job.part.length_bytes), 0);
	job.part.crc = crc32c(0, text, job.part.length_bytes);
	source_close(source);
	free(text);
	assert_int_equal(seal_part(&job, &result), 0);
	assert_int_equal(result.text_bytes, parts[part].length_bytes);
	sprintf(path, "%s/%s", store.path, name);
	assert_int_equal(unlink(path), 0);
	parts[part].name.sealed = parts[part].closed = true;
	assert_int_equal(part_name_format(&parts[part].name, name), 0);
	assert_int_equal(disk_rename(&disk, dirs.waft, SEAL_NEW_NAME, top_dir, name, false), 0);
	assert_int_equal(index_seal_part(idx, &parts[part]), 0);
	disk_close(&disk, dirs.waft);
}

/* Sealed parts, with late runs of their traces in plain ones, over new starts. */
static void sealed(void **state)
{
	struct index_report report;

	(void)state;
	fill_store(50);
	seal(0, true, 3);
	ask_random(4);
	get_all();
	/* Without the index that is made with it. */
	seal(2, false, 1);
	for (uint32_t trace = 0; trace < 100; trace++)
		random_run(trace * 3, 1000 * trace * 3 + 600, false, 1 + 2 * (trace % 2));
	index_flush(idx);
	ask_random(4);
	get_all();
	index_close(idx);
	assert_int_equal(
		index_open(&disk, top_dir, index_dir, store_id, parts, PARTS, &idx, &report), 0);
	assert_int_equal(report.rebuilt_runs, 0);
	seal(3, true, 1);
	ask_random(4);
	get_all();
}

/* A part whose bytes are not those that were committed stays as it is. */
static void damaged_is_not_sealed(void **state)
{
	struct store_dirs dirs = {.top = top_dir, .log = -1, .quarantine = -1, .lock = -1};
	struct seal_job job = {.disk = &disk, .dirs = &dirs, .index_dir = index_dir, .level = 1};
	struct seal_result result;
	struct disk_stat stat;

	(void)state;
	srand(60);
	for (uint32_t trace = 0; trace < 30; trace++)
		random_run(trace, 1000 * trace, false, 0);
	dirs.waft = disk_open_dir(&disk, top_dir, ".waft", false);
	job.part = (struct manifest_part){.name = parts[0].name,
		.length_bytes = parts[0].length_bytes,
		.crc = 77,
		.verified = true,
		.state = PART_CLOSED};
	assert_int_equal(seal_part(&job, &result), ERR_CHECKSUM);
	job.part.length_bytes--;
	job.part.verified = false;
	assert_int_equal(seal_part(&job, &result), -EBADMSG);
	assert_int_equal(disk_stat_name(&disk, dirs.waft, SEAL_NEW_NAME, &stat), -ENOENT);
	disk_close(&disk, dirs.waft);
	ask_random(3);
	get_all();
}

/* Parents before children, siblings by start, rings and strangers too; nothing is lost. */
static void order_of_joined_runs(void **state)
{
	static const struct test_span spans[] = {
		{.span = 5, .parent = 3, .start_us = 9}, {.span = 4, .parent = 1, .start_us = 8},
		{.span = 7, .parent = 8, .start_us = 1}, /* a ring */
		{.span = 8, .parent = 7, .start_us = 2}, {.span = 3, .parent = 1, .start_us = 4},
		{.span = 9, .parent = 77, .start_us = 3}, /* of nobody here */
		{.span = 1, .parent = UINT32_MAX, .start_us = 5},
		{.span = 3, .parent = 1, .start_us = 4, .duration_us = 6}, /* again */
		{.span = 6, .parent = 6, .start_us = 0},		   /* its own parent */
	};
	static const uint32_t wanted[] = {6, 9, 1, 3, 5, 3, 4, 7, 8};
	char text[16 * LINE_BYTES], expected[16 * LINE_BYTES];
	uint8_t to[16 * LINE_BYTES];
	size_t length = 0, at = 0;
	bool first = true;

	(void)state;
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
		length += (size_t)test_store_line(&spans[i], text + length, LINE_BYTES);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		size_t number = 0;

		while (spans[number].span != wanted[i])
			number++;
		if (wanted[i] == 3 && !first)
			number = 7;
		first = first && wanted[i] != 3;
		at += (size_t)test_store_line(&spans[number], expected + at, LINE_BYTES);
	}
	assert_int_equal(seal_order(slice_of(text, length), to), 0);
	assert_int_equal(at, length);
	assert_memory_equal(to, expected, length);
	assert_int_equal(seal_order(slice_of(text, length - 1), to), ERR_MALFORMED);
	assert_int_equal(seal_order(slice_of("no record\n", 10), to), ERR_MALFORMED);
}

/* The writer is ahead of the moment that a reader sees. */
static void writer_ahead(void **state)
{
	uint64_t lengths[PARTS];
	size_t lines_then;

	(void)state;
	srand(40);
	for (uint32_t trace = 0; trace < 300; trace++)
		random_run(trace, 1000 * trace, false, (size_t)rand() % PARTS);
	index_flush(idx);
	for (size_t i = 0; i < PARTS; i++)
		lengths[i] = parts[i].length_bytes;
	lines_then = line_count;
	for (uint32_t trace = 200; trace < 400; trace++)
		random_run(trace, 1000 * trace + 500, false, (size_t)rand() % PARTS);
	for (uint32_t i = 0; i < PARTS; i++) {
		assert_int_equal(index_close_part(idx, &parts[i].name), 0);
		parts[i].length_bytes = lengths[i];
	}
	line_count = lines_then;
	ask_random(10);
	get_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_a_full_scan, setup, teardown),
		cmocka_unit_test_setup_teardown(opened_again, setup, teardown),
		cmocka_unit_test_setup_teardown(days, setup, teardown),
		cmocka_unit_test_setup_teardown(not_to_be_trusted, setup, teardown),
		cmocka_unit_test_setup_teardown(stale, setup, teardown),
		cmocka_unit_test_setup_teardown(flipped_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(writer_ahead, setup, teardown),
		cmocka_unit_test_setup_teardown(sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_is_not_sealed, setup, teardown),
		cmocka_unit_test(order_of_joined_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
