/*
 * trace_load.c: see trace_load.h.
 */
#include "trace_load.h"

#include "screen.h"
#include "stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Longer runs are taken apart at once. */
#define RAW_BYTES_MAX ((uint32_t)4 << 20)

/* ---- Texts, each once ------------------------------------------------------ */

static uint64_t hash_text(struct slice text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ text.length;

	for (size_t i = 0; i < text.length; i++)
		hash = (hash ^ text.data[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static uint32_t *text_slot(const struct trace_load *load, struct slice text)
{
	size_t at = hash_text(text) & (load->text_slot_count - 1);

	while (load->text_slots[at] != 0 &&
		!slice_equal(load->texts[load->text_slots[at] - 1], text))
		at = (at + 1) & (load->text_slot_count - 1);
	return &load->text_slots[at];
}

static int grow_texts(struct trace_load *load)
{
	size_t capacity = load->text_capacity > 0 ? load->text_capacity * 2 : 32;
	struct slice *texts = reallocarray(load->texts, capacity, sizeof(*texts));
	uint32_t *slots;

	if (texts == NULL)
		return -ENOMEM;
	load->texts = texts;
	slots = calloc(capacity * 2, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	free(load->text_slots);
	load->text_slots = slots;
	load->text_slot_count = capacity * 2;
	load->text_capacity = capacity;
	for (size_t i = 0; i < load->text_count; i++)
		*text_slot(load, load->texts[i]) = (uint32_t)i + 1;
	return 0;
}

static int add_text(struct trace_load *load, struct slice text, uint32_t *ret_number)
{
	uint32_t *slot;
	char *copy;

	if (load->text_count == load->text_capacity && grow_texts(load) != 0)
		return -ENOMEM;
	slot = text_slot(load, text);
	if (*slot == 0) {
		copy = scratch_copy(&load->text_scratch, text.data, text.length);
		if (copy == NULL)
			return -ENOMEM;
		load->texts[load->text_count++] = slice_of(copy, text.length);
		*slot = (uint32_t)load->text_count;
	}
	*ret_number = *slot - 1;
	return 0;
}

/* ---- Building ---------------------------------------------------------------- */

void trace_load_begin(
	struct trace_load *load, const struct filter *filter, const uint8_t trace_id[16])
{
	load->filter = filter;
	tree_reset(&load->tree);
	load->item_count = 0;
	if (load->text_count > 0)
		memset(load->text_slots, 0, load->text_slot_count * sizeof(*load->text_slots));
	load->text_count = 0;
	scratch_reset(&load->text_scratch);
	memcpy(load->trace_id, trace_id, 16);
}

void trace_load_done(struct trace_load *load)
{
	tree_done(&load->tree);
	free(load->items);
	free(load->texts);
	free(load->text_slots);
	scratch_done(&load->text_scratch);
	scratch_done(&load->scratch);
	bytes_done(&load->raw);
	*load = (struct trace_load){0};
}

static int new_item(struct trace_load *load, struct trace_item **ret)
{
	if (load->item_count == load->item_capacity) {
		size_t capacity = load->item_capacity > 0 ? load->item_capacity * 2 : 64;
		struct trace_item *items = reallocarray(load->items, capacity, sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		load->items = items;
		load->item_capacity = capacity;
	}
	*ret = &load->items[load->item_count];
	**ret = (struct trace_item){0};
	return 0;
}

static int match_item(struct trace_load *load, const struct record *record, struct trace_item *item)
{
	int ret = filter_match_span(load->filter, record, &load->scratch);

	if (ret < 0)
		return ret;
	item->spans_match = ret == 1;
	ret = filter_match_grep(load->filter, record, &load->scratch);
	if (ret < 0)
		return ret;
	item->grep_match = ret == 1;
	return 0;
}

int trace_load_add(struct trace_load *load, const struct record *record)
{
	struct trace_item *item = NULL;
	int ret = new_item(load, &item);

	if (ret == 0)
		ret = match_item(load, record, item);
	if (ret == 0)
		ret = add_text(load, record->service, &item->service);
	if (ret == 0)
		ret = add_text(load, record->operation, &item->operation);
	if (ret == 0)
		ret = add_text(load, record->layer, &item->layer);
	if (ret == 0)
		ret = tree_add(&load->tree, record, (uint32_t)load->item_count);
	if (ret == 0)
		load->item_count++;
	return ret;
}

int trace_load_end(struct trace_load *load)
{
	return tree_build(&load->tree);
}

/* ---- Reading ----------------------------------------------------------------- */

static int on_line(void *ctx, const struct scan_line *line)
{
	struct trace_load *load = ctx;
	bool indexed = load->file->runs.indexed > 0;
	const char *why = "line is too long";
	struct record record;
	int ret = ERR_LIMIT;

	if (line->text.data != NULL)
		ret = record_parse(line->text, &load->scratch, &record, &why);
	if (ret == 0 && memcmp(record.trace_id, load->trace_id, 16) != 0)
		ret = indexed ? view_distrust(load->file) : 0; /* else changed under our hands */
	else if (ret == 0)
		ret = trace_load_add(load, &record);
	else if (ret != -ENOMEM) {
		/* Those of what was scanned have been noted. */
		if (line->offset < load->file->runs.indexed_bytes && line->text.length > 0)
			view_bad_line(load->reader, load->file->name, line->offset, 0, why);
		ret = 0;
	}
	scratch_reset(&load->scratch);
	return ret;
}

int trace_load_may_match(struct trace_load *load, struct reader *reader, struct view_file *file,
	const struct index_run *run)
{
	const struct filter *filter = load->filter;
	struct bytes *raw = &load->raw;
	int ret;

	if ((filter->grep.length == 0 && !filter_has_span_part(filter)) ||
		run->length_bytes > RAW_BYTES_MAX)
		return 1;
	raw->length = 0;
	ret = bytes_reserve(raw, run->length_bytes);
	if (ret == 0)
		ret = view_bytes(reader, file, run->offset, run->length_bytes, raw->data);
	/* What can't be read is told by the way that reads lines. */
	if (ret != 1)
		return ret == 0 ? 1 : ret;
	raw->length = run->length_bytes;
	return !screen_rules_out(filter, slice_of(raw->data, raw->length));
}

int trace_load_run(struct trace_load *load, struct reader *reader, struct view_file *file,
	const struct index_run *run)
{
	load->reader = reader;
	load->file = file;
	return view_lines(reader, file, run->offset, run->length_bytes, on_line, load);
}

static int on_run(void *ctx, struct view_file *file, const struct index_run *run)
{
	struct trace_load *load = ctx;

	return trace_load_run(load, load->reader, file, run);
}

static int on_waiting(void *arg, const struct live_span *span)
{
	struct trace_load *load = arg;
	struct record record;
	int ret = record_parse(span->line, &load->scratch, &record, NULL);

	if (ret == 0)
		ret = trace_load_add(load, &record);
	scratch_reset(&load->scratch);
	return ret == -ENOMEM ? ret : 0;
}

int trace_load_all(struct trace_load *load, struct reader *reader)
{
	const struct live_source *live = view_live(reader);
	int ret;

	load->reader = reader;
	ret = view_find(reader, load->trace_id, NULL, on_run, load);
	if (ret != 0)
		return ret;
	return live->for_each_span(live->ctx, load->trace_id, NULL, on_waiting, load);
}

/* ---- The whole --------------------------------------------------------------- */

static int64_t duration_of(const struct tree *tree, bool *ret_pending)
{
	const struct tree_row *head = &tree->rows[tree->head];
	int64_t duration;

	*ret_pending = head->duration_ns < 0;
	if (!*ret_pending)
		return head->duration_ns;
	if (__builtin_sub_overflow(tree->end_ns, head->start_ns, &duration))
		return INT64_MAX;
	return duration > 0 ? duration : 0;
}

static bool head_matches(const struct tree *tree, const struct filter *filter)
{
	const struct tree_row *head = &tree->rows[tree->head];
	bool pending;
	int64_t duration = duration_of(tree, &pending);

	if (filter->since_ns != 0 && head->start_ns < filter->since_ns)
		return false;
	if (filter->until_ns != 0 && head->start_ns >= filter->until_ns)
		return false;
	if (filter->has_status && head->status != filter->status)
		return false;
	if (filter->errors && tree->error_count == 0)
		return false;
	if (filter->min_duration_ns != 0 && duration < filter->min_duration_ns)
		return false;
	return filter->max_duration_ns == 0 || duration <= filter->max_duration_ns;
}

bool trace_load_matches(const struct trace_load *load)
{
	bool spans_match = false, grep_match = false;

	if (load->tree.head == UINT32_MAX || !head_matches(&load->tree, load->filter))
		return false;
	for (size_t i = 0; i < load->tree.row_count && !(spans_match && grep_match); i++) {
		const struct tree_row *row = &load->tree.rows[i];

		if (row->missing)
			continue;
		spans_match |= load->items[row->item].spans_match;
		grep_match |= load->items[row->item].grep_match;
	}
	return spans_match && grep_match;
}

static int copy_text(struct scratch *into, struct slice text, struct slice *ret)
{
	char *copy = scratch_copy(into, text.data, text.length);

	*ret = slice_of(copy, text.length);
	return copy != NULL ? 0 : -ENOMEM;
}

static int compare_slices(const void *left, const void *right)
{
	const struct slice *a = left;
	const struct slice *b = right;
	size_t length = a->length < b->length ? a->length : b->length;
	int ret = length > 0 ? memcmp(a->data, b->data, length) : 0;

	return ret != 0 ? ret : (a->length > b->length) - (a->length < b->length);
}

/* Marks the texts that are services of spans shown, and counts them. */
static size_t mark_services(const struct trace_load *load, bool *marks)
{
	size_t count = 0;

	for (size_t i = 0; i < load->tree.row_count; i++) {
		const struct tree_row *row = &load->tree.rows[i];
		uint32_t service;

		if (row->missing)
			continue;
		service = load->items[row->item].service;
		if (!marks[service] && load->texts[service].length > 0) {
			marks[service] = true;
			count++;
		}
	}
	return count;
}

static int put_services(
	const struct trace_load *load, struct scratch *into, struct trace_summary *summary)
{
	bool *marks = calloc(load->text_count, sizeof(*marks));
	struct slice *services;
	size_t count = 0;
	int ret = 0;

	if (marks == NULL)
		return -ENOMEM;
	services = scratch_alloc(into, (mark_services(load, marks) + 1) * sizeof(*services));
	if (services == NULL)
		ret = -ENOMEM;
	for (size_t i = 0; ret == 0 && i < load->text_count; i++)
		if (marks[i])
			ret = copy_text(into, load->texts[i], &services[count++]);
	free(marks);
	if (ret != 0)
		return ret;
	qsort(services, count, sizeof(*services), compare_slices);
	summary->services = services;
	summary->service_count = count;
	return 0;
}

int trace_load_summary(
	const struct trace_load *load, struct scratch *into, struct trace_summary *ret_summary)
{
	const struct tree *tree = &load->tree;
	const struct tree_row *head = &tree->rows[tree->head];
	const struct trace_item *item = &load->items[head->item];
	struct trace_summary summary = {
		.start_ns = head->start_ns,
		.status = head->status,
		.spans = tree->span_count,
		.errors = tree->error_count,
	};
	int ret;

	memcpy(summary.trace_id, load->trace_id, 16);
	summary.duration_ns = duration_of(tree, &summary.pending);
	ret = copy_text(into, load->texts[item->operation], &summary.operation);
	if (ret == 0)
		ret = copy_text(into, load->texts[item->layer], &summary.layer);
	if (ret == 0)
		ret = put_services(load, into, &summary);
	if (ret == 0)
		*ret_summary = summary;
	return ret;
}

int trace_load_stats(const struct trace_load *load, struct stats *into, bool remove)
{
	for (size_t i = 0; i < load->tree.row_count; i++) {
		const struct tree_row *row = &load->tree.rows[i];
		const struct trace_item *item;
		int64_t number;
		int ret;

		if (row->missing || (row->flags & TREE_DUPLICATE) != 0)
			continue;
		item = &load->items[row->item];
		if (!item->spans_match)
			continue;
		number = stats_row_of(into, load->texts[item->service],
			load->texts[item->operation], load->texts[item->layer]);
		if (number < 0)
			return (int)number;
		if (remove) {
			stats_remove(into, number, row->status, row->duration_ns, row->self_ns);
			continue;
		}
		ret = stats_add(into, number, row->status, row->duration_ns, row->self_ns);
		if (ret != 0)
			return ret;
	}
	return 0;
}
