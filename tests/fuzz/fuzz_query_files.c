/*
 * Fuzzes reading a foreign file: any bytes as JSONL, with all questions asked of
 * them. What is listed must be found and given, and the list, the tree and the
 * statistics must count the same spans.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query.h"
#include "reader.h"
#include "stats.h"
#include "support/fake_disk.h"
#include "tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_query_files: %s\n", what);
		abort();
	}
}

/* Gives a trace's lines in small pages and counts its spans. */
static uint64_t count_trace(struct reader *reader, const uint8_t trace_id[16])
{
	struct scratch scratch = {0};
	struct tree tree = {0};
	uint8_t page[300];
	size_t length = 0;
	uint32_t item = 0;
	uint64_t spans;

	do {
		struct query_records records = {0};

		must(query_get(reader, trace_id, 100, slice_of(page, length), &records) == 0,
			"a listed trace isn't given");
		for (size_t i = 0; i < records.count; i++) {
			struct record record;

			must(record_parse(records.lines[i], &scratch, &record, NULL) == 0 &&
					memcmp(record.trace_id, trace_id, 16) == 0,
				"a bad record is given");
			must(tree_add(&tree, &record, item++) == 0, "tree_add");
		}
		length = records.next_page.length;
		if (length > 0)
			memcpy(page, records.next_page.data, length);
		query_records_done(&records);
	} while (length > 0);
	must(tree_build(&tree) == 0, "tree_build");
	spans = tree.span_count;
	tree_done(&tree);
	scratch_done(&scratch);
	return spans;
}

static uint64_t count_list(struct reader *reader, const struct filter *filter)
{
	struct query_list list = {0};
	uint64_t spans = 0;

	must(query_list(reader, filter, 1000, slice_of("", 0), &list) == 0, "query_list");
	for (size_t i = 0; i < list.count; i++) {
		must(count_trace(reader, list.traces[i].trace_id) == list.traces[i].spans,
			"list and trace count differently");
		spans += list.traces[i].spans;
	}
	must(list.next_page.length == 0 || list.count == 1000, "a page too early");
	query_list_done(&list);
	return spans;
}

static uint64_t count_stats(struct reader *reader, const struct filter *filter)
{
	struct stats *stats = stats_new();
	uint64_t spans = 0;

	must(stats != NULL && query_stats(reader, filter, stats) == 0, "query_stats");
	for (size_t i = 0; i < stats_count(stats); i++)
		spans += stats_at(stats, i)->count;
	stats_free(stats);
	return spans;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake_disk *fake = fake_disk_new();
	struct reader_config config = {.disk = fake_disk_disk(fake), .directory = "store"};
	struct filter everything = {0};
	struct filter filter = {.operation = slice_of_text("x")};
	struct query_list list = {0};
	struct query_found found;
	struct reader *reader = NULL;

	must(fake != NULL, "no memory");
	fake_disk_put(fake, "a.jsonl", data, size);
	must(reader_open(&config, &reader) == 0, "reader_open");
	must(count_list(reader, &everything) == count_stats(reader, &everything),
		"list and stats count differently");
	must(count_list(reader, &filter) >= count_stats(reader, &filter),
		"stats count what isn't listed");
	/* The bytes as an id and as a page, too. */
	(void)!query_find(reader, slice_of(data, size), &found);
	if (query_list(reader, &everything, 1, slice_of(data, size), &list) == 0)
		query_list_done(&list);
	reader_close(reader);
	fake_disk_free(fake);
	return 0;
}
