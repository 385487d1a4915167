/*
 * query_find.c: query_find and query_show. A whole id is looked up; of a part of one all runs are
 * asked, and the first ids that match are kept in order.
 */
#include <errno.h>
#include <string.h>

#include "ids.h"
#include "query.h"
#include "trace_load.h"
#include "waiting.h"

/* One more than is given, to know whether there are more. */
#define KEPT_MAX (QUERY_CANDIDATES_MAX + 1)

struct finder {
	struct reader *reader;
	struct id_needle needle;
	uint8_t ids[KEPT_MAX][16]; /* ascending */
	size_t count;
};

static void keep(struct finder *finder, const uint8_t id[16])
{
	size_t at = 0;
	int compared = 1;

	while (at < finder->count && (compared = memcmp(finder->ids[at], id, 16)) < 0)
		at++;
	if (at == KEPT_MAX || (at < finder->count && compared == 0))
		return;
	if (finder->count < KEPT_MAX)
		finder->count++;
	memmove(finder->ids[at + 1], finder->ids[at], (finder->count - 1 - at) * 16);
	memcpy(finder->ids[at], id, 16);
}

static void consider(struct finder *finder, const uint8_t id[16])
{
	struct trace_id trace_id;

	memcpy(trace_id.bytes, id, 16);
	if (id_needle_match_trace(&finder->needle, &trace_id) != ID_MATCH_NONE)
		keep(finder, id);
}

static int consider_file(struct finder *finder, struct view_file *file)
{
	struct index_run runs[INDEX_BLOCK_RUNS];
	int ret = view_runs(finder->reader, file);

	for (size_t block = 0; ret == 0 && block < run_list_blocks(&file->runs); block++) {
		size_t count;

		ret = run_list_block(&file->runs, block, runs, &count);
		for (size_t i = 0; ret == 0 && i < count; i++)
			consider(finder, runs[i].trace_id);
	}
	return ret == ERR_INDEX ? view_distrust(file) : ret;
}

static int consider_waiting(void *arg, const struct live_span *span)
{
	consider(arg, span->trace_id);
	return 0;
}

static int find_part(struct finder *finder)
{
	const struct live_source *live;
	int ret = view_refresh(finder->reader);

	finder->count = 0;
	for (size_t i = 0; ret == 0 && i < finder->reader->file_count; i++)
		ret = consider_file(finder, finder->reader->files[i]);
	if (ret != 0)
		return ret;
	live = view_live(finder->reader);
	return live->for_each_span(live->ctx, NULL, NULL, consider_waiting, finder);
}

static int is_there(void *ctx, struct view_file *file, const struct index_run *run)
{
	(void)ctx;
	(void)file;
	(void)run;
	return 1;
}

static int is_waiting(void *arg, const struct live_span *span)
{
	(void)arg;
	(void)span;
	return 1;
}

static int find_whole(struct finder *finder, const uint8_t id[16])
{
	const struct live_source *live;
	int ret = view_refresh(finder->reader);

	finder->count = 0;
	if (ret == 0) {
		view_will_find(finder->reader, id);
		ret = view_find(finder->reader, id, NULL, is_there, NULL);
	}
	if (ret == 0) {
		live = view_live(finder->reader);
		ret = live->for_each_span(live->ctx, id, NULL, is_waiting, NULL);
	}
	if (ret == 1)
		keep(finder, id);
	return ret < 0 ? ret : 0;
}

/* The n-th newest trace, from 1. */
static int find_nth(struct reader *reader, uint64_t n, struct query_found *ret_found)
{
	static const struct filter everything;
	struct query_list list = {0};
	uint8_t page[64];
	size_t page_length = 0;

	for (;;) {
		uint32_t limit = n < QUERY_LIMIT_MAX ? (uint32_t)n : QUERY_LIMIT_MAX;
		int ret =
			query_list(reader, &everything, limit, slice_of(page, page_length), &list);
		size_t count;

		if (ret != 0)
			return ret;
		count = list.count;
		page_length = list.next_page.length;
		if (page_length > 0)
			memcpy(page, list.next_page.data, page_length);
		if (n <= count)
			memcpy(ret_found->trace_id, list.traces[n - 1].trace_id, 16);
		query_list_done(&list);
		if (n <= count)
			return 0;
		if (page_length == 0)
			return -ENOENT;
		n -= count;
	}
}

/* "@12" → 12; 0: it is none. */
static uint64_t number_of(struct slice id)
{
	uint64_t n = 0;

	if (id.length < 2 || id.length > 10 || id.data[0] != '@')
		return 0;
	for (size_t i = 1; i < id.length; i++) {
		if (id.data[i] < '0' || id.data[i] > '9')
			return 0;
		n = n * 10 + (uint64_t)(id.data[i] - '0');
	}
	return n;
}

/* 1: it is a whole id; 0: a part of one, the needle; -EINVAL: neither. */
static int parse_id(struct slice id, struct id_needle *ret_needle, uint8_t ret_whole[16])
{
	if (id_needle_parse((const char *)id.data, id.length, ret_needle) == 0 &&
		ret_needle->count != ID_TRACE_HEX_LENGTH)
		return 0;
	/* With braces, or as a URN, it is no needle. */
	return record_parse_id(id, ret_whole) == 0 ? 1 : -EINVAL;
}

static int search(struct finder *finder, struct slice id)
{
	uint8_t whole[16];
	unsigned int tries = 0;
	int is_whole = parse_id(id, &finder->needle, whole);
	int ret;

	if (is_whole < 0)
		return is_whole;
	do {
		ret = is_whole == 1 ? find_whole(finder, whole) : find_part(finder);
	} while (view_retry(finder->reader, ret, &tries));
	return ret == ERR_INDEX ? -EIO : ret;
}

int query_find(struct reader *reader, struct slice id, struct query_found *ret_found)
{
	struct finder finder = {.reader = reader};
	int ret;

	if (slice_equal(id, slice_of_text("last")))
		return find_nth(reader, 1, ret_found);
	if (number_of(id) > 0)
		return find_nth(reader, number_of(id), ret_found);
	if (id.length == 0)
		return -EINVAL;
	ret = search(&finder, id);
	if (ret != 0)
		return ret;
	if (finder.count == 0)
		return -ENOENT;
	*ret_found = (struct query_found){0};
	memcpy(ret_found->trace_id, finder.ids[0], 16);
	if (finder.count == 1)
		return 0;
	ret_found->more = finder.count > QUERY_CANDIDATES_MAX;
	ret_found->candidate_count = ret_found->more ? QUERY_CANDIDATES_MAX : finder.count;
	memcpy(ret_found->candidates, finder.ids, ret_found->candidate_count * 16);
	return ERR_AMBIGUOUS;
}

int query_show(struct reader *reader, struct slice id, struct query_found *ret_found,
	struct query_records *ret_records)
{
	struct id_needle needle;
	int ret = 0;

	*ret_found = (struct query_found){0};
	if (id.length == 0 || parse_id(id, &needle, ret_found->trace_id) != 1)
		ret = query_find(reader, id, ret_found);
	return ret != 0 ? ret
			: query_get(reader, ret_found->trace_id, 0, (struct slice){0}, ret_records);
}
