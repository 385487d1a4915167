/*
 * query_get.c: query_get. Waiting spans come first, those of the log by ordinal, then
 * those of inbox files, then files by name, lines by offset: what moves from the log to
 * files between two pages is then seen once more rather than never. What moves from the
 * inbox gets ordinals at the log's end, so the log has a cursor of its own, behind
 * which each page begins.
 */
#include <errno.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"
#include "inbox_files.h"
#include "query.h"
#include "trace_load.h"

/* ---- Pages: version, kind, places of the last records given; CRC ----------------- */

#define PAGE_VERSION 3
#define PAGE_FIXED_BYTES 34
#define PAGE_BYTES_MAX 312

struct page {
	bool in_files;
	struct ordinal logged;	/* the last one given of the log */
	struct ordinal inboxed; /* of the inbox */
	uint64_t offset;	/* of the last line given of the file */
	char file[256];
};

static void put_ordinal(const struct ordinal *ordinal, uint8_t ret[12])
{
	le32_write(ret, ordinal->segment);
	le32_write(ret + 4, ordinal->offset);
	le32_write(ret + 8, ordinal->position);
}

static struct ordinal get_ordinal(const uint8_t *from)
{
	return (struct ordinal){le32_read(from), le32_read(from + 4), le32_read(from + 8)};
}

static bool is_after(const struct ordinal *ordinal, const struct ordinal *other)
{
	if (ordinal->segment != other->segment)
		return ordinal->segment > other->segment;
	if (ordinal->offset != other->offset)
		return ordinal->offset > other->offset;
	return ordinal->position > other->position;
}

static size_t put_page(const struct page *page, uint8_t ret[PAGE_BYTES_MAX])
{
	size_t name = strlen(page->file);

	ret[0] = PAGE_VERSION;
	ret[1] = page->in_files;
	put_ordinal(&page->logged, ret + 2);
	put_ordinal(&page->inboxed, ret + 14);
	le64_write(ret + 26, page->offset);
	memcpy(ret + PAGE_FIXED_BYTES, page->file, name);
	le32_write(ret + PAGE_FIXED_BYTES + name, crc32c(0, ret, PAGE_FIXED_BYTES + name));
	return PAGE_FIXED_BYTES + name + 4;
}

static int get_page(struct slice from, struct page *ret)
{
	size_t name = from.length - PAGE_FIXED_BYTES - 4;

	if (from.length < PAGE_FIXED_BYTES + 4 || name >= sizeof(ret->file) ||
		from.data[0] != PAGE_VERSION ||
		le32_read(from.data + PAGE_FIXED_BYTES + name) !=
			crc32c(0, from.data, PAGE_FIXED_BYTES + name))
		return -EINVAL;
	ret->in_files = from.data[1] != 0;
	ret->logged = get_ordinal(from.data + 2);
	ret->inboxed = get_ordinal(from.data + 14);
	ret->offset = le64_read(from.data + 26);
	memcpy(ret->file, from.data + PAGE_FIXED_BYTES, name);
	ret->file[name] = '\0';
	return 0;
}

/* ---- Gathering -------------------------------------------------------------------- */

/* What a callback returns when the page is full and there is more. */
#define FULL 1

struct getter {
	struct reader *reader;
	uint8_t trace_id[16];
	size_t limit_bytes;
	bool has_page;
	struct page page;    /* where the page begins, then where it ends */
	struct slice *lines; /* in the scratch */
	size_t count;
	size_t capacity;
	size_t bytes;
	struct scratch scratch;
	struct scratch parse_scratch;
	struct view_file *file;
};

static int add_line(struct getter *getter, struct slice line)
{
	char *copy;

	if (getter->count == getter->capacity) {
		size_t capacity = getter->capacity > 0 ? getter->capacity * 2 : 64;
		struct slice *lines = scratch_alloc(&getter->scratch, capacity * sizeof(*lines));

		if (lines == NULL)
			return -ENOMEM;
		if (getter->count > 0)
			memcpy(lines, getter->lines, getter->count * sizeof(*lines));
		getter->lines = lines;
		getter->capacity = capacity;
	}
	copy = scratch_copy(&getter->scratch, line.data, line.length);
	if (copy == NULL)
		return -ENOMEM;
	getter->lines[getter->count++] = slice_of(copy, line.length);
	getter->bytes += line.length;
	return 0;
}

static bool is_full(const struct getter *getter)
{
	return getter->limit_bytes > 0 && getter->bytes >= getter->limit_bytes;
}

static int on_waiting(void *arg, const struct live_span *span)
{
	struct getter *getter = arg;
	bool is_inbox = span->ordinal.segment >= INBOX_SEGMENT;
	struct ordinal *last = is_inbox ? &getter->page.inboxed : &getter->page.logged;

	if (!is_after(&span->ordinal, last))
		return 0;
	if (is_full(getter))
		return FULL;
	*last = span->ordinal;
	return add_line(getter, span->line);
}

/* Whether the line was in a page before. */
static bool is_given(const struct getter *getter, uint64_t offset)
{
	return getter->page.in_files && offset <= getter->page.offset &&
	       strcmp(getter->file->name, getter->page.file) == 0;
}

static int on_line(void *ctx, const struct scan_line *line)
{
	struct getter *getter = ctx;
	bool indexed = getter->file->runs.indexed > 0;
	const char *why = "line is too long";
	struct record record;
	int ret = ERR_LIMIT;

	if (line->text.data != NULL)
		ret = record_parse(line->text, &getter->parse_scratch, &record, &why);
	scratch_reset(&getter->parse_scratch);
	if (ret == -ENOMEM)
		return ret;
	if (ret != 0) {
		/* Those of what was scanned have been noted. */
		if (line->offset < getter->file->runs.indexed_bytes && line->text.length > 0)
			view_bad_line(getter->reader, getter->file->name, line->offset, 0, why);
		return 0;
	}
	if (memcmp(record.trace_id, getter->trace_id, 16) != 0)
		return indexed ? view_distrust(getter->file) : 0;
	if (is_given(getter, line->offset))
		return 0;
	if (is_full(getter))
		return FULL;
	getter->page.in_files = true;
	getter->page.offset = line->offset;
	strcpy(getter->page.file, getter->file->name);
	return add_line(getter, line->text);
}

/* The lines of a run that stand behind where the page before ended. */
static int on_run(void *ctx, struct view_file *file, const struct index_run *run)
{
	struct getter *getter = ctx;
	uint64_t from = run->offset;
	uint64_t end = run->offset + run->length_bytes;

	getter->file = file;
	if (getter->page.in_files && strcmp(file->name, getter->page.file) == 0) {
		if (getter->page.offset >= end)
			return 0;
		/* Begin at the line that was the last, and leave it out. */
		if (getter->page.offset >= from)
			from = getter->page.offset;
	}
	return view_lines(getter->reader, file, from, end - from, on_line, getter);
}

static int gather(struct getter *getter)
{
	const struct live_source *live;
	int ret = view_refresh(getter->reader);

	if (ret != 0)
		return ret;
	live = view_live(getter->reader);
	if (!getter->page.in_files)
		ret = live->for_each_span(live->ctx, getter->trace_id,
			getter->has_page ? &getter->page.logged : NULL, on_waiting, getter);
	if (ret != 0)
		return ret;
	view_will_find(getter->reader, getter->trace_id);
	return view_find(getter->reader, getter->trace_id,
		getter->page.in_files ? getter->page.file : NULL, on_run, getter);
}

/* full: there is more. */
static int give(struct getter *getter, bool full, struct query_records *ret_records)
{
	struct query_records records = {.lines = getter->lines, .count = getter->count};
	uint8_t page[PAGE_BYTES_MAX];

	if (full) {
		size_t length = put_page(&getter->page, page);
		char *copy = scratch_copy(&getter->scratch, page, length);

		if (copy == NULL)
			return -ENOMEM;
		records.next_page = slice_of(copy, length);
	}
	records.scratch = getter->scratch;
	getter->scratch = (struct scratch){0};
	*ret_records = records;
	return 0;
}

int query_get(struct reader *reader, const uint8_t trace_id[16], size_t limit_bytes,
	struct slice page, struct query_records *ret_records)
{
	struct getter getter = {
		.reader = reader, .limit_bytes = limit_bytes, .has_page = page.length > 0};
	struct page first = {0};
	unsigned int tries = 0;
	uint64_t gaps = reader->gaps;
	int ret = getter.has_page ? get_page(page, &first) : 0;

	if (ret != 0)
		return ret;
	memcpy(getter.trace_id, trace_id, 16);
	do {
		getter.page = first;
		getter.count = getter.capacity = getter.bytes = 0;
		getter.lines = NULL;
		scratch_reset(&getter.scratch);
		ret = gather(&getter);
	} while (view_retry(reader, ret, &tries));
	if (ret == 0 && getter.count == 0 && !getter.has_page)
		ret = reader->gaps != gaps ? -EBADMSG : -ENOENT;
	if (ret >= 0)
		ret = give(&getter, ret == FULL, ret_records);
	scratch_done(&getter.scratch);
	scratch_done(&getter.parse_scratch);
	return ret == ERR_INDEX ? -EIO : ret;
}

void query_records_done(struct query_records *records)
{
	scratch_done(&records->scratch);
	*records = (struct query_records){0};
}
