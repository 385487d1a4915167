/* Sorting a run without recursion. Not thread-safe. */
#include "run_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define ARRAYS 7
#define SMALL 24

/* The arrays of one sorting; spans are named by their index in refs. */
struct sorting {
	const struct span_ref *refs;
	uint32_t count;
	uint32_t *by_start; /* indices */
	uint32_t *by_id;
	uint32_t *rank; /* of an index in by_start */
	uint32_t *parent;
	uint32_t *child;   /* first */
	uint32_t *sibling; /* next */
	uint32_t *out;
	uint32_t out_count;
	uint64_t few_ids[SMALL]; /* of few spans, as they stand in by_start */
};

void run_order_done(struct run_order *order)
{
	free(order->memory);
	*order = (struct run_order){0};
}

typedef int (*compare_fn)(const void *a, const void *b, void *sorting);

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static inline int compare_refs(const struct span_ref *a, const struct span_ref *b)
{
	int order = compare_u64(a->start_ns, b->start_ns);

	if (order == 0)
		order = compare_u64(a->span_id, b->span_id);
	if (order == 0)
		order = compare_u64(a->segment, b->segment);
	if (order == 0)
		order = compare_u64(a->offset, b->offset);
	return order != 0 ? order : compare_u64(a->position, b->position);
}

static int compare_start(const void *left, const void *right, void *context)
{
	const struct sorting *sorting = context;

	return compare_refs(
		&sorting->refs[*(const uint32_t *)left], &sorting->refs[*(const uint32_t *)right]);
}

static int compare_id(const void *left, const void *right, void *context)
{
	const struct sorting *sorting = context;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;
	int order = compare_u64(sorting->refs[a].span_id, sorting->refs[b].span_id);

	return order != 0 ? order : compare_u64(sorting->rank[a], sorting->rank[b]);
}

static void sort(struct sorting *sorting, uint32_t *items, compare_fn compare)
{
	qsort_r(items, sorting->count, sizeof(*items), compare, sorting);
}

static void sort_few(struct sorting *sorting)
{
	const struct span_ref *refs = sorting->refs;
	uint32_t *items = sorting->by_start;

	for (uint32_t i = 1; i < sorting->count; i++) {
		uint32_t item = items[i];
		uint32_t at = i;

		for (; at > 0 && compare_refs(&refs[items[at - 1]], &refs[item]) > 0; at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
	for (uint32_t i = 0; i < sorting->count; i++)
		sorting->few_ids[i] = refs[items[i]].span_id;
}

static uint32_t find_among_few(const struct sorting *sorting, uint64_t id)
{
	for (uint32_t i = 0; i < sorting->count; i++)
		if (sorting->few_ids[i] == id)
			return sorting->by_start[i];
	return NONE;
}

/* The earliest span with that id, or NONE. */
static uint32_t find_id(const struct sorting *sorting, uint64_t id)
{
	uint32_t low = 0;
	uint32_t high = sorting->count;

	if (sorting->count <= SMALL)
		return find_among_few(sorting, id);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (sorting->refs[sorting->by_id[middle]].span_id < id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == sorting->count || sorting->refs[sorting->by_id[low]].span_id != id)
		return NONE;
	return sorting->by_id[low];
}

static void link_children(struct sorting *sorting)
{
	uint64_t last_id = 0;
	uint32_t last = NONE;

	for (uint32_t i = 0; i < sorting->count; i++) {
		uint64_t parent_id = sorting->refs[i].parent_id;

		/* Neighbours are siblings often. */
		if (parent_id != last_id) {
			last = parent_id == 0 ? NONE : find_id(sorting, parent_id);
			last_id = parent_id;
		}
		sorting->parent[i] = last;
		sorting->child[i] = NONE;
		if (sorting->parent[i] == i)
			sorting->parent[i] = NONE;
	}
	/* From the last to the first, so that each list begins with the earliest. */
	for (uint32_t i = sorting->count; i-- > 0;) {
		uint32_t index = sorting->by_start[i];
		uint32_t parent = sorting->parent[index];

		sorting->sibling[index] = NONE;
		if (parent != NONE) {
			sorting->sibling[index] = sorting->child[parent];
			sorting->child[parent] = index;
		}
	}
}

/* A span that was put out has no rank any more. */
static bool is_out(const struct sorting *sorting, uint32_t index)
{
	return sorting->rank[index] == NONE;
}

static void put_out(struct sorting *sorting, uint32_t index)
{
	sorting->rank[index] = NONE;
	sorting->out[sorting->out_count++] = index;
}

static uint32_t first_not_out(const struct sorting *sorting, uint32_t index)
{
	while (index != NONE && is_out(sorting, index))
		index = sorting->sibling[index];
	return index;
}

/* Puts out a span and all below it. */
static void put_tree(struct sorting *sorting, uint32_t root)
{
	uint32_t at = root;

	put_out(sorting, root);
	for (;;) {
		uint32_t next = first_not_out(sorting, sorting->child[at]);

		while (next == NONE && at != root) {
			next = first_not_out(sorting, sorting->sibling[at]);
			at = sorting->parent[at];
		}
		if (next == NONE)
			return;
		put_out(sorting, next);
		at = next;
	}
}

/* The earliest of the ring that lies above a span without a root. */
static uint32_t ring_of(const struct sorting *sorting, uint32_t index)
{
	uint32_t earliest;
	uint32_t at = index;

	/* As many steps up as there are spans end inside the ring. */
	for (uint32_t i = 0; i < sorting->count; i++)
		at = sorting->parent[at];
	earliest = at;
	for (uint32_t on = sorting->parent[at]; on != at; on = sorting->parent[on])
		if (sorting->rank[on] < sorting->rank[earliest])
			earliest = on;
	return earliest;
}

static void put_all(struct sorting *sorting)
{
	for (uint32_t i = 0; i < sorting->count; i++)
		if (sorting->parent[sorting->by_start[i]] == NONE)
			put_tree(sorting, sorting->by_start[i]);
	for (uint32_t i = 0; i < sorting->count && sorting->out_count < sorting->count; i++)
		if (!is_out(sorting, sorting->by_start[i]))
			put_tree(sorting, ring_of(sorting, sorting->by_start[i]));
}

int run_order_make(struct run_order *order, const struct span_ref *refs, uint32_t count,
	const uint32_t **ret_indices)
{
	struct sorting sorting;
	uint32_t **arrays[ARRAYS] = {&sorting.by_start, &sorting.by_id, &sorting.rank,
		&sorting.parent, &sorting.child, &sorting.sibling, &sorting.out};

	if (order->capacity < count || order->memory == NULL) {
		uint32_t capacity = count < 64 ? 64 : count;
		uint32_t *memory = malloc((size_t)capacity * ARRAYS * sizeof(*memory));

		if (memory == NULL)
			return -ENOMEM;
		free(order->memory);
		order->memory = memory;
		order->capacity = capacity;
	}
	sorting.refs = refs;
	sorting.count = count;
	sorting.out_count = 0;
	for (size_t i = 0; i < ARRAYS; i++)
		*arrays[i] = order->memory + i * order->capacity;
	for (uint32_t i = 0; i < count; i++)
		sorting.by_start[i] = i;
	if (count <= SMALL)
		sort_few(&sorting);
	else
		sort(&sorting, sorting.by_start, compare_start);
	for (uint32_t i = 0; i < count; i++)
		sorting.rank[sorting.by_start[i]] = i;
	if (count > SMALL) {
		memcpy(sorting.by_id, sorting.by_start, count * sizeof(*sorting.by_id));
		sort(&sorting, sorting.by_id, compare_id);
	}
	link_children(&sorting);
	put_all(&sorting);
	*ret_indices = sorting.out;
	return 0;
}
