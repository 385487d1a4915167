/* The order of a trace's lines in a run. See seal.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "scan.h"
#include "scratch.h"
#include "seal.h"

#define NONE UINT32_MAX

struct seal_line {
	uint8_t span_id[16];
	uint8_t parent_id[16];
	bool has_parent;
	bool done;
	int64_t start_ns;
	uint32_t number; /* as given */
	size_t offset;
	size_t length; /* with the newline */
	uint32_t first_child;
	uint32_t next_sibling;
};

struct ordering {
	struct slice lines;
	struct seal_line *items; /* owned */
	uint32_t count;
	uint32_t capacity;
	uint32_t *by_id; /* owned; items by span id, then place among siblings */
	uint32_t *stack; /* owned */
	struct scratch scratch;
	uint8_t *to;
};

static int on_line(void *ctx, const struct scan_line *line)
{
	struct ordering *ordering = ctx;
	struct seal_line *item;
	struct record record;
	int ret = line->whole && line->text.data != NULL
			  ? record_parse(line->text, &ordering->scratch, &record, NULL)
			  : ERR_MALFORMED;

	if (ret != 0)
		return ret;
	if (ordering->count == ordering->capacity) {
		uint32_t capacity = ordering->capacity > 0 ? ordering->capacity * 2 : 64;
		struct seal_line *items = reallocarray(ordering->items, capacity, sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		ordering->items = items;
		ordering->capacity = capacity;
	}
	item = &ordering->items[ordering->count];
	*item = (struct seal_line){.has_parent = record.has_parent,
		.start_ns = record.start_ns,
		.number = ordering->count++,
		.offset = (size_t)line->offset,
		.length = line->text.length + 1,
		.first_child = NONE,
		.next_sibling = NONE};
	memcpy(item->span_id, record.span_id, 16);
	memcpy(item->parent_id, record.parent_id, 16);
	scratch_reset(&ordering->scratch);
	return 0;
}

/* The order among siblings, which is also that of roots. */
static int compare_lines(const void *left, const void *right)
{
	const struct seal_line *a = left;
	const struct seal_line *b = right;
	int ret = (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);

	if (ret == 0)
		ret = memcmp(a->span_id, b->span_id, 16);
	return ret != 0 ? ret : (a->number > b->number) - (a->number < b->number);
}

static int compare_ids(const void *left, const void *right, void *ctx)
{
	const struct seal_line *items = ctx;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;
	int ret = memcmp(items[a].span_id, items[b].span_id, 16);

	return ret != 0 ? ret : (a > b) - (a < b);
}

/* The first line of a span; NONE. */
static uint32_t find_span(const struct ordering *ordering, const uint8_t id[16])
{
	uint32_t low = 0;
	uint32_t high = ordering->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(ordering->items[ordering->by_id[middle]].span_id, id, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == ordering->count ||
		memcmp(ordering->items[ordering->by_id[low]].span_id, id, 16) != 0)
		return NONE;
	return ordering->by_id[low];
}

/* Hangs each line below its parent's; what has none here keeps has_parent false. */
static void link_lines(struct ordering *ordering)
{
	/* Backwards, so that the first sibling ends up first. */
	for (uint32_t i = ordering->count; i-- > 0;) {
		struct seal_line *item = &ordering->items[i];
		uint32_t parent = item->has_parent ? find_span(ordering, item->parent_id) : NONE;

		item->has_parent = parent != NONE && parent != i;
		if (!item->has_parent)
			continue;
		item->next_sibling = ordering->items[parent].first_child;
		ordering->items[parent].first_child = i;
	}
}

/* A line with all that is below it. */
static void put_tree(struct ordering *ordering, uint32_t root)
{
	uint32_t depth = 0;

	ordering->stack[depth++] = root;
	while (depth > 0) {
		struct seal_line *item = &ordering->items[ordering->stack[depth - 1]];

		if (!item->done) {
			item->done = true;
			memcpy(ordering->to, ordering->lines.data + item->offset, item->length);
			ordering->to += item->length;
		}
		/* Each child is taken off its parent as it is visited. */
		if (item->first_child == NONE) {
			depth--;
			continue;
		}
		uint32_t child = item->first_child;

		item->first_child = ordering->items[child].next_sibling;
		if (!ordering->items[child].done)
			ordering->stack[depth++] = child;
	}
}

static int order_lines(struct ordering *ordering)
{
	uint32_t count = ordering->count;

	qsort(ordering->items, count, sizeof(*ordering->items), compare_lines);
	ordering->by_id = calloc(count, sizeof(*ordering->by_id));
	ordering->stack = calloc(count, sizeof(*ordering->stack));
	if (ordering->by_id == NULL || ordering->stack == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		ordering->by_id[i] = i;
	qsort_r(ordering->by_id, count, sizeof(*ordering->by_id), compare_ids, ordering->items);
	link_lines(ordering);
	for (uint32_t i = 0; i < count; i++)
		if (!ordering->items[i].has_parent)
			put_tree(ordering, i);
	/* What is left are rings, each from its earliest on. */
	for (uint32_t i = 0; i < count; i++)
		if (!ordering->items[i].done)
			put_tree(ordering, i);
	return 0;
}

int seal_order(struct slice lines, uint8_t *to)
{
	struct ordering ordering = {.lines = lines, .to = to};
	int ret = scan_memory(lines, 0, on_line, &ordering);

	if (ret == 0 && ordering.count > 0)
		ret = order_lines(&ordering);
	/* Bytes that belong to no line would be lost. */
	if (ret == 0 && ordering.to != to + lines.length)
		ret = ERR_MALFORMED;
	free(ordering.items);
	free(ordering.by_id);
	free(ordering.stack);
	scratch_done(&ordering.scratch);
	return ret;
}
