/*
 * query_list.c: query_list. The best so far are kept in order, one more than
 * asked for, so that it is known whether there is another page; the walk ends when
 * nothing that is left can be newer than the last of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"
#include "query.h"
#include "trace_load.h"
#include "trace_walk.h"

/* ---- Pages: version, start, trace id of the last trace given; CRC --------------- */

#define PAGE_BYTES 29
#define PAGE_VERSION 1

/* Where a trace stands in the list. */
struct place {
	int64_t start_ns;
	uint8_t trace_id[16];
};

static void put_page(const struct place *place, uint8_t ret[PAGE_BYTES])
{
	ret[0] = PAGE_VERSION;
	le64_write(ret + 1, (uint64_t)place->start_ns);
	memcpy(ret + 9, place->trace_id, 16);
	le32_write(ret + 25, crc32c(0, ret, 25));
}

static int get_page(struct slice page, struct place *ret)
{
	if (page.length != PAGE_BYTES || page.data[0] != PAGE_VERSION ||
		le32_read(page.data + 25) != crc32c(0, page.data, 25))
		return -EINVAL;
	ret->start_ns = (int64_t)le64_read(page.data + 1);
	memcpy(ret->trace_id, page.data + 9, 16);
	return 0;
}

/* Newest first; of one start the largest id. */
static int compare_places(const struct place *a, const struct place *b)
{
	if (a->start_ns != b->start_ns)
		return a->start_ns > b->start_ns ? -1 : 1;
	return memcmp(b->trace_id, a->trace_id, 16);
}

/* ---- The best so far --------------------------------------------------------------- */

struct entry {
	struct place place;
	struct trace_summary summary;
	/* Where its lines are, when none of them was read; NULL: they were. */
	struct view_file *file;
	uint64_t offset;
	uint64_t length;
};

struct lister {
	struct reader *reader;
	const struct filter *filter;
	struct trace_walk walk;
	struct trace_load load;
	struct place after; /* only what stands behind it */
	bool has_after;
	struct entry *entries; /* owned; by place */
	size_t count;
	size_t wanted; /* one more than the limit */
	struct scratch scratch;
};

/* What starts before that can't get into the list any more. */
static int64_t floor_of(const struct lister *lister)
{
	int64_t floor_ns = lister->filter->since_ns != 0 ? lister->filter->since_ns : INT64_MIN;
	const struct place *last;

	if (lister->count < lister->wanted)
		return floor_ns;
	last = &lister->entries[lister->count - 1].place;
	return last->start_ns > floor_ns ? last->start_ns : floor_ns;
}

static bool is_wanted(const struct lister *lister, const struct place *place)
{
	if (lister->has_after && compare_places(&lister->after, place) >= 0)
		return false;
	return lister->count < lister->wanted ||
	       compare_places(place, &lister->entries[lister->count - 1].place) < 0;
}

static void insert(struct lister *lister, const struct entry *entry)
{
	size_t at = lister->count < lister->wanted ? lister->count++ : lister->count - 1;

	for (; at > 0 && compare_places(&entry->place, &lister->entries[at - 1].place) < 0; at--)
		lister->entries[at] = lister->entries[at - 1];
	lister->entries[at] = *entry;
}

/* ---- Rows by the index alone -------------------------------------------------------- */

/* Whether the walk's answer, and the services of a run, are all that the filter asks for. */
static bool asks_index_only(const struct filter *filter)
{
	return filter->operation.length == 0 && filter->layer.length == 0 &&
	       filter->attribute_count == 0 && filter->grep.length == 0;
}

static bool has_service(const struct pack_kind *kind, struct slice service)
{
	struct slice services = kind->services, one;

	if (service.length == 0)
		return true;
	while (pack_next_service(&services, &one))
		if (slice_equal(one, service))
			return true;
	return false;
}

static int copy_text(struct scratch *into, struct slice text, struct slice *ret)
{
	char *copy = scratch_copy(into, text.data, text.length);

	*ret = slice_of(copy, text.length);
	return copy != NULL ? 0 : -ENOMEM;
}

static int summarise(const struct index_run *run, const struct pack_kind *kind,
	struct scratch *into, struct trace_summary *summary)
{
	struct slice services = kind->services, one;
	struct slice *copies = scratch_alloc(into, (kind->service_count + 1) * sizeof(*copies));
	int ret = copies != NULL ? 0 : -ENOMEM;

	*summary = (struct trace_summary){.start_ns = run->start_ns,
		.duration_ns = run->duration_ns,
		.status = (run->flags & INDEX_HEAD_ERROR) != 0 ? RECORD_ERROR : RECORD_SUCCESS,
		.services = copies,
		.spans = run->spans,
		.errors = run->errors};
	memcpy(summary->trace_id, run->trace_id, 16);
	if (ret == 0)
		ret = copy_text(into, kind->operation, &summary->operation);
	if (ret == 0)
		ret = copy_text(into, kind->layer, &summary->layer);
	while (ret == 0 && summary->service_count < kind->service_count &&
		pack_next_service(&services, &one))
		ret = copy_text(into, one, &copies[summary->service_count++]);
	return ret;
}

/* The trace's row by what its pack has of it, without a line. 1; 0: the lines must be read. */
static int take_by_index(struct lister *lister, const struct walk_trace *trace)
{
	struct entry entry = {.place.start_ns = trace->start_ns,
		.file = trace->file,
		.offset = trace->run->offset,
		.length = trace->run->length_bytes};
	struct pack_kind kind;
	int ret;

	if (!trace->single || !trace->exact || trace->run->kind == 0 ||
		!asks_index_only(lister->filter))
		return 0;
	memcpy(entry.place.trace_id, trace->trace_id, 16);
	ret = pack_kind(trace->file->runs.pack, trace->run->kind, &kind);
	if (ret != 0)
		return ret == ERR_INDEX ? view_distrust(trace->file) : ret;
	if (!has_service(&kind, lister->filter->service))
		return 1;
	ret = summarise(trace->run, &kind, &lister->scratch, &entry.summary);
	if (ret == 0)
		insert(lister, &entry);
	return ret == 0 ? 1 : ret;
}

/* Reads a trace and takes it in if it belongs here. */
static int look_at(struct lister *lister, const struct walk_trace *trace)
{
	struct trace_load *load = &lister->load;
	struct entry entry = {.place.start_ns = trace->start_ns};
	uint64_t losses = view_losses(lister->reader);
	int ret;

	memcpy(entry.place.trace_id, trace->trace_id, 16);
	if (trace->exact && !is_wanted(lister, &entry.place))
		return 0;
	ret = take_by_index(lister, trace);
	if (ret != 0)
		return ret == 1 ? 0 : ret;
	trace_load_begin(load, lister->filter, trace->trace_id);
	if (trace->single) {
		ret = trace_load_may_match(load, lister->reader, trace->file, trace->run);
		if (ret != 1)
			return ret;
	}
	ret = trace->single ? trace_load_run(load, lister->reader, trace->file, trace->run)
			    : trace_load_all(load, lister->reader);
	if (ret == 0)
		ret = trace_load_end(load);
	if (ret != 0 || load->tree.head == UINT32_MAX)
		return ret;
	entry.place.start_ns = load->tree.rows[load->tree.head].start_ns;
	if (!is_wanted(lister, &entry.place) || !trace_load_matches(load))
		return 0;
	ret = trace_load_summary(load, &lister->scratch, &entry.summary);
	entry.summary.damaged = view_losses(lister->reader) != losses;
	if (ret == 0)
		insert(lister, &entry);
	return ret;
}

static int fill(struct lister *lister)
{
	struct walk_trace trace;
	int ret = view_refresh(lister->reader);

	if (ret == 0)
		ret = trace_walk_start(&lister->walk, lister->reader, lister->filter);
	while (ret == 0) {
		ret = trace_walk_next(&lister->walk, floor_of(lister), &trace);
		if (ret <= 0)
			break;
		ret = look_at(lister, &trace);
	}
	return ret;
}

/* ---- Result -------------------------------------------------------------------------- */

/* A frame is unpacked for a row only in files that are known to be damaged. */
static int look_for_damage(struct lister *lister, struct entry *entry)
{
	int ret;

	if (entry->file == NULL || !(entry->file->damaged || entry->file->known_damaged))
		return 0;
	ret = view_readable(lister->reader, entry->file, entry->offset, entry->length);
	entry->summary.damaged = ret == 0;
	return ret < 0 ? ret : 0;
}

static int give(struct lister *lister, struct query_list *ret_list)
{
	size_t limit = lister->wanted - 1;
	size_t count = lister->count < limit ? lister->count : limit;
	struct query_list list = {.count = count};
	uint8_t *page = NULL;

	list.traces = scratch_alloc(&lister->scratch, (count + 1) * sizeof(*list.traces));
	if (lister->count > limit)
		page = scratch_alloc(&lister->scratch, PAGE_BYTES);
	if (list.traces == NULL || (lister->count > limit && page == NULL))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		int ret = look_for_damage(lister, &lister->entries[i]);

		if (ret < 0)
			return ret;
		list.traces[i] = lister->entries[i].summary;
	}
	if (page != NULL) {
		put_page(&lister->entries[count - 1].place, page);
		list.next_page = slice_of(page, PAGE_BYTES);
	}
	list.scratch = lister->scratch;
	lister->scratch = (struct scratch){0};
	*ret_list = list;
	return 0;
}

int query_list(struct reader *reader, const struct filter *filter, uint32_t limit,
	struct slice page, struct query_list *ret_list)
{
	struct lister lister = {.reader = reader, .filter = filter};
	unsigned int tries = 0;
	int ret = 0;

	if (page.length > 0) {
		lister.has_after = true;
		ret = get_page(page, &lister.after);
	}
	if (ret != 0)
		return ret;
	limit = limit == 0 ? QUERY_LIMIT_DEFAULT : limit;
	lister.wanted = (limit < QUERY_LIMIT_MAX ? limit : QUERY_LIMIT_MAX) + 1;
	lister.entries = calloc(lister.wanted, sizeof(*lister.entries));
	if (lister.entries == NULL)
		return -ENOMEM;
	do {
		lister.count = 0;
		scratch_reset(&lister.scratch);
		ret = fill(&lister);
		trace_walk_done(&lister.walk);
		lister.walk = (struct trace_walk){0};
	} while (view_retry(reader, ret, &tries));
	if (ret == 0)
		ret = give(&lister, ret_list);
	trace_load_done(&lister.load);
	scratch_done(&lister.scratch);
	free(lister.entries);
	return ret == ERR_INDEX ? -EIO : ret;
}

void query_list_done(struct query_list *list)
{
	scratch_done(&list->scratch);
	*list = (struct query_list){0};
}
