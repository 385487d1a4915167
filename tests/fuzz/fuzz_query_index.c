/*
 * Fuzzes reading an index: a part with a few lines, and any bytes in its .runs and
 * .ids files, with their checksums made right. Whatever they say, reading ends
 * well; and an index with wrong checksums never changes an answer.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "index_format.h"
#include "query.h"
#include "reader.h"
#include "stats.h"
#include "support/fake_disk.h"
#include "support/part_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE(trace, span)                                                            \
	"{\"trace_id\":\"0000000000000000000000000000000" trace "\",\"span_id\":"    \
	"\"000000000000000" span "\",\"timestamp\":\"2026-01-09T00:00:0" span "Z\"," \
	"\"operation\":\"x\",\"duration_ms\":1}\n"
static const char lines[] =
	LINE("1", "1") LINE("1", "2") LINE("2", "3") LINE("3", "4") LINE("1", "5");
enum { TRACES = 3, RUNS_MAX = 600 };

static const uint8_t store_id[16] = {7};
static const struct part_name part = {.day = 20462, .number = 1};

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_query_index: %s\n", what);
		abort();
	}
}

/* Slots from the input, each sealed as what stands at its place. */
static size_t make_runs(const uint8_t *data, size_t size, uint8_t *ret_file)
{
	uint32_t seed = index_seed(INDEX_RUNS, store_id, &part);
	size_t slots = size / INDEX_SLOT_BYTES;
	uint64_t run = 0;

	index_header_put(seed, ret_file);
	for (size_t i = 1; i <= slots && i < RUNS_MAX; i++) {
		uint8_t *slot = ret_file + i * INDEX_SLOT_BYTES;
		struct index_zone zone;
		struct index_run from;

		memcpy(slot, data + (i - 1) * INDEX_SLOT_BYTES, INDEX_SLOT_BYTES);
		if (i % (INDEX_BLOCK_RUNS + 1) == 0) {
			memset(&zone, 0, sizeof(zone));
			memcpy(&zone, slot,
				sizeof(zone) < INDEX_SLOT_BYTES ? sizeof(zone) : INDEX_SLOT_BYTES);
			index_zone_put(seed, i / (INDEX_BLOCK_RUNS + 1) - 1, &zone, slot);
			continue;
		}
		memset(&from, 0, sizeof(from));
		memcpy(from.trace_id, slot, 16);
		from.offset = le16_read(slot + 16);
		from.length_bytes = le16_read(slot + 18);
		from.flags = slot[20];
		from.errors = slot[21];
		from.start_ns = (int64_t)le64_read(slot + 24);
		from.duration_ns = (int64_t)le64_read(slot + 32);
		index_run_put(seed, run++, &from, slot);
	}
	return INDEX_SLOT_BYTES * (1 + (slots < RUNS_MAX - 1 ? slots : RUNS_MAX - 1));
}

/* One page of ids from the input. */
static size_t make_ids(const uint8_t *data, size_t size, uint64_t runs, uint8_t *ret_file)
{
	uint32_t seed = index_seed(INDEX_IDS, store_id, &part);
	struct index_id entries[INDEX_PAGE_IDS];
	struct index_ids ids = {.runs = runs < INDEX_PAGE_IDS ? runs : INDEX_PAGE_IDS};

	ids.bloom_bytes = index_bloom_bytes(ids.runs);
	ids.zone.max_start_ns = size >= 8 ? (int64_t)le64_read(data) : 0;
	ids.zone.runs = (uint32_t)ids.runs;
	for (size_t i = 0; i < ids.runs; i++) {
		memset(&entries[i], 0, sizeof(entries[i]));
		if ((i + 1) * 18 <= size) {
			memcpy(entries[i].trace_id, data + i * 18, 16);
			entries[i].run = le16_read(data + i * 18 + 16);
		}
	}
	index_ids_put(seed, &ids, ret_file);
	memset(ret_file + INDEX_SLOT_BYTES, 0xff, ids.bloom_bytes);
	if (ids.runs == 0)
		return INDEX_SLOT_BYTES + ids.bloom_bytes;
	index_page_put(seed, 0, entries, ids.runs, ret_file + index_page_offset(&ids, 0));
	return index_continuing_offset(&ids);
}

/* honest: no checksum holds that a writer didn't make. Otherwise traces may be listed that
 * aren't there to be given. */
static uint64_t ask(struct fake_disk *fake, bool honest)
{
	const struct index_part all = {.name = part, .length_bytes = sizeof(lines) - 1};
	struct part_source source;
	struct reader_config config = {
		.disk = fake_disk_disk(fake), .directory = "store", .live = &source.live};
	struct filter everything = {0};
	struct query_list list = {0};
	struct query_records records = {0};
	struct stats *stats = stats_new();
	struct reader *reader = NULL;
	struct query_found found;
	uint64_t traces;

	part_source_init(&source, store_id, &all, 1);
	must(stats != NULL && reader_open(&config, &reader) == 0, "reader_open");
	must(query_list(reader, &everything, 0, slice_of("", 0), &list) == 0, "query_list");
	traces = list.count;
	for (size_t i = 0; i < list.count; i++) {
		int ret = query_get(reader, list.traces[i].trace_id, 0, slice_of("", 0), &records);

		must(ret == 0 || (!honest && ret == -ENOENT), "query_get");
		query_records_done(&records);
	}
	query_list_done(&list);
	must(query_stats(reader, &everything, stats) == 0, "query_stats");
	(void)!query_find(reader, slice_of_text("0000"), &found);
	stats_free(stats);
	reader_close(reader);
	return traces;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t runs[RUNS_MAX * INDEX_SLOT_BYTES], ids[2 * INDEX_PAGE_BYTES + 1024];
	struct fake_disk *fake = fake_disk_new();
	size_t half = size / 2;
	size_t runs_bytes, ids_bytes;
	char name[PART_NAME_BYTES];
	struct disk *disk = fake_disk_disk(fake);
	int top = disk_open_root(disk, "store", true);
	int waft = disk_open_dir(disk, top, ".waft", true);

	must(waft >= 0 && disk_open_dir(disk, waft, INDEX_DIR, true) >= 0, "directories");
	must(part_name_format(&part, name) == 0, "part_name_format");
	fake_disk_put(fake, name, lines, sizeof(lines) - 1);
	/* As they come: no checksum holds. */
	fake_disk_put(fake, ".waft/index/2026-01-09.jsonl.runs", data, half);
	fake_disk_put(fake, ".waft/index/2026-01-09.jsonl.ids", data + half, size - half);
	must(ask(fake, true) == TRACES, "a damaged index changes an answer");
	runs_bytes = make_runs(data, half, runs);
	ids_bytes = make_ids(data + half, size - half, index_runs_in_file(runs_bytes), ids);
	fake_disk_put(fake, ".waft/index/2026-01-09.jsonl.runs", runs, runs_bytes);
	fake_disk_put(fake, ".waft/index/2026-01-09.jsonl.ids", ids, ids_bytes);
	(void)ask(fake, false);
	fake_disk_free(fake);
	return 0;
}
