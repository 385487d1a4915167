/*
 * tree.c: see tree.h. The steps of tree_build:
 *
 *   merge   sort by id; of equal ids keep what counts
 *   link    find each span's parent by its id
 *   rings   follow parents upwards; a ring is opened at its earliest span
 *   gather  missing parents become nodes of their own
 *   order   sort by (parent, start, id): children then stand side by side
 *   rows    walk down and up along the links, without a stack
 */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Clocks of one machine agree so far (the brief's bound on a batch's clock). */
#define SLACK_NS 1000
#define NONE UINT32_MAX

struct tree_span {
	uint8_t id[16];
	uint8_t parent_id[16];
	int64_t start_ns;
	int64_t duration_ns;
	int64_t open_ns;
	uint64_t hash; /* of the line */
	uint32_t item;
	uint8_t status;
	bool has_parent;
};

/* A span that is kept, or a parent that is missing. */
struct node {
	const struct tree_span *span; /* NULL: missing; then of its first orphan */
	uint8_t id[16];
	int64_t start_ns;
	uint32_t flags;
	uint32_t parent;      /* node number; NONE */
	uint32_t first_child; /* position in the order; NONE */
	uint32_t position;    /* its own */
	uint32_t row;
	uint8_t group; /* 0: has a parent; 1: a root; 2: missing. Sorts the top level */
	uint8_t color; /* of the search for rings */
};

struct build {
	struct node *nodes;
	uint32_t count;
	uint32_t primaries; /* the first of nodes: sorted by id, one of each */
	uint32_t *order;    /* node numbers, sorted */
};

static int64_t end_of(int64_t start_ns, int64_t duration_ns)
{
	int64_t end;

	return __builtin_add_overflow(start_ns, duration_ns, &end) ? INT64_MAX : end;
}

/* FNV-1a by words with a final mix: tells lines apart, not enemies. */
static uint64_t hash_line(struct slice line)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ line.length;
	size_t i = 0;

	for (; i + 8 <= line.length; i += 8) {
		uint64_t word;

		memcpy(&word, line.data + i, 8);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	for (; i < line.length; i++)
		hash = (hash ^ line.data[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 29;
}

int tree_add(struct tree *tree, const struct record *record, uint32_t item)
{
	struct tree_span *span;

	if (tree->given_count == tree->given_capacity) {
		size_t capacity = tree->given_capacity > 0 ? tree->given_capacity * 2 : 64;
		struct tree_span *spans;

		if (tree->given_count >= NONE / 2)
			return -E2BIG;
		spans = reallocarray(tree->spans, capacity, sizeof(*spans));
		if (spans == NULL)
			return -ENOMEM;
		tree->spans = spans;
		tree->given_capacity = capacity;
	}
	span = &tree->spans[tree->given_count++];
	memcpy(span->id, record->span_id, 16);
	memcpy(span->parent_id, record->parent_id, 16);
	span->start_ns = record->start_ns;
	span->duration_ns = record->status == RECORD_PENDING ? -1 : record->duration_ns;
	span->open_ns = span->duration_ns < 0 ? record->open_ns : -1;
	span->hash = hash_line(record->line);
	span->item = item;
	span->status = (uint8_t)record->status;
	span->has_parent = record->has_parent;
	return 0;
}

/* ---- merge --------------------------------------------------------------- */

static int compare_i64(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* By id; of one id the final ones first, then by start, duration and content. */
static int compare_given(const void *left, const void *right)
{
	const struct tree_span *a = left;
	const struct tree_span *b = right;
	int ret = memcmp(a->id, b->id, 16);

	if (ret == 0)
		ret = (a->status == RECORD_PENDING) - (b->status == RECORD_PENDING);
	if (ret == 0)
		ret = compare_i64(a->start_ns, b->start_ns);
	if (ret == 0)
		ret = compare_i64(a->duration_ns, b->duration_ns);
	if (ret == 0)
		ret = (a->hash > b->hash) - (a->hash < b->hash);
	if (ret == 0)
		ret = (a->item > b->item) - (a->item < b->item);
	return ret;
}

static void node_init(struct node *node, const struct tree_span *span, uint32_t flags)
{
	*node = (struct node){
		.span = span,
		.start_ns = span->start_ns,
		.flags = flags,
		.parent = NONE,
		.first_child = NONE,
	};
	memcpy(node->id, span->id, 16);
}

/* Spans of one id: the first counts; pending ones give way to final ones, equal ones
 * are one; the rest are duplicates, put at the end of the nodes for now. */
static void merge_one(struct build *build, const struct tree_span *spans, size_t count,
	struct node *duplicates, uint32_t *duplicate_count)
{
	node_init(&build->nodes[build->primaries++], &spans[0], 0);
	for (size_t i = 1; i < count; i++) {
		const struct tree_span *before = &spans[i - 1];

		if (spans[i].status == RECORD_PENDING && spans[0].status != RECORD_PENDING)
			break;
		if (spans[i].hash == before->hash && spans[i].start_ns == before->start_ns &&
			spans[i].duration_ns == before->duration_ns)
			continue;
		node_init(&duplicates[(*duplicate_count)++], &spans[i], TREE_DUPLICATE);
	}
}

/* Fills nodes: primaries by id, then duplicates. nodes has room for all, and as much again
 * for missing parents. */
static void merge(struct tree *tree, struct build *build, struct node *duplicates)
{
	uint32_t duplicate_count = 0;
	size_t i = 0;

	qsort(tree->spans, tree->given_count, sizeof(*tree->spans), compare_given);
	while (i < tree->given_count) {
		size_t next = i + 1;

		while (next < tree->given_count &&
			memcmp(tree->spans[next].id, tree->spans[i].id, 16) == 0)
			next++;
		merge_one(build, tree->spans + i, next - i, duplicates, &duplicate_count);
		i = next;
	}
	memmove(build->nodes + build->primaries, duplicates, duplicate_count * sizeof(*duplicates));
	build->count = build->primaries + duplicate_count;
}

/* ---- link ---------------------------------------------------------------- */

static uint32_t find_node(const struct build *build, const uint8_t id[16])
{
	uint32_t low = 0;
	uint32_t high = build->primaries;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int compared = memcmp(build->nodes[middle].id, id, 16);

		if (compared == 0)
			return middle;
		if (compared < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NONE;
}

static void link_parents(struct build *build)
{
	for (uint32_t i = 0; i < build->count; i++) {
		struct node *node = &build->nodes[i];

		if (!node->span->has_parent) {
			node->group = 1;
			continue;
		}
		node->parent = find_node(build, node->span->parent_id);
		if (node->parent == NONE)
			node->flags |= TREE_ORPHAN;
	}
}

/* ---- rings --------------------------------------------------------------- */

static bool is_earlier(const struct node *a, const struct node *b)
{
	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns;
	return memcmp(a->id, b->id, 16) < 0;
}

enum color { NOT_SEEN = 0, ON_THIS_WALK = 1, SEEN = 2 };

/* Opens the ring that member is in. */
static void open_ring(struct build *build, uint32_t member)
{
	uint32_t earliest = member;
	uint32_t at = member;

	do {
		build->nodes[at].flags |= TREE_CYCLE;
		build->nodes[at].color = SEEN;
		if (is_earlier(&build->nodes[at], &build->nodes[earliest]))
			earliest = at;
		at = build->nodes[at].parent;
	} while (at != member);
	build->nodes[earliest].parent = NONE;
	build->nodes[earliest].group = 1;
}

static void open_rings(struct build *build)
{
	for (uint32_t i = 0; i < build->count; i++) {
		uint32_t at = i;

		while (at != NONE && build->nodes[at].color == NOT_SEEN) {
			build->nodes[at].color = ON_THIS_WALK;
			at = build->nodes[at].parent;
		}
		if (at != NONE && build->nodes[at].color == ON_THIS_WALK)
			open_ring(build, at);
		for (at = i; at != NONE && build->nodes[at].color == ON_THIS_WALK;
			at = build->nodes[at].parent)
			build->nodes[at].color = SEEN;
	}
}

/* ---- gather -------------------------------------------------------------- */

static int compare_orphans(const void *left, const void *right, void *ctx)
{
	const struct node *nodes = ctx;
	const struct node *a = &nodes[*(const uint32_t *)left];
	const struct node *b = &nodes[*(const uint32_t *)right];
	int ret = memcmp(a->span->parent_id, b->span->parent_id, 16);

	return ret != 0 ? ret : compare_i64(a->start_ns, b->start_ns);
}

/* A node for each parent that is missing; its start is its first orphan's. */
static void gather_orphans(struct build *build)
{
	uint32_t spans = build->count;
	uint32_t orphans = 0;

	for (uint32_t i = 0; i < spans; i++)
		if ((build->nodes[i].flags & TREE_ORPHAN) != 0)
			build->order[orphans++] = i;
	qsort_r(build->order, orphans, sizeof(*build->order), compare_orphans, build->nodes);
	for (uint32_t i = 0; i < orphans; i++) {
		struct node *orphan = &build->nodes[build->order[i]];
		const struct node *last = &build->nodes[build->count - 1];

		if (build->count == spans || memcmp(last->id, orphan->span->parent_id, 16) != 0) {
			struct node *missing = &build->nodes[build->count++];

			node_init(missing, orphan->span, 0);
			memcpy(missing->id, orphan->span->parent_id, 16);
			missing->group = 2;
			missing->span = NULL;
		}
		orphan->parent = build->count - 1;
	}
}

/* ---- order --------------------------------------------------------------- */

static int compare_siblings(const void *left, const void *right, void *ctx)
{
	const struct node *nodes = ctx;
	const struct node *a = &nodes[*(const uint32_t *)left];
	const struct node *b = &nodes[*(const uint32_t *)right];
	int ret = (a->parent > b->parent) - (a->parent < b->parent);

	if (ret == 0)
		ret = (int)a->group - (int)b->group;
	if (ret == 0)
		ret = compare_i64(a->start_ns, b->start_ns);
	if (ret == 0)
		ret = memcmp(a->id, b->id, 16);
	/* Duplicates of one id stand behind it, in the order of merge. */
	return ret != 0 ? ret : (a > b) - (a < b);
}

static void order_nodes(struct build *build)
{
	for (uint32_t i = 0; i < build->count; i++)
		build->order[i] = i;
	qsort_r(build->order, build->count, sizeof(*build->order), compare_siblings, build->nodes);
	for (uint32_t i = 0; i < build->count; i++) {
		struct node *node = &build->nodes[build->order[i]];

		node->position = i;
		if (node->parent != NONE && build->nodes[node->parent].first_child == NONE)
			build->nodes[node->parent].first_child = i;
	}
}

/* ---- rows ---------------------------------------------------------------- */

/* Duration less the union of the children's times inside it; children are in order
 * of their start. */
static int64_t self_time(const struct build *build, const struct node *node)
{
	const struct tree_span *span = node->span;
	uint32_t number = (uint32_t)(node - build->nodes);
	int64_t end, covered_until, self;

	if (span == NULL || span->duration_ns < 0)
		return -1;
	end = end_of(span->start_ns, span->duration_ns);
	covered_until = span->start_ns;
	self = end - span->start_ns;
	for (uint32_t i = node->first_child; i < build->count; i++) {
		const struct node *child = &build->nodes[build->order[i]];
		int64_t from, to;

		if (child->parent != number || child->start_ns >= end)
			break;
		if (child->span->duration_ns < 0 || (child->flags & TREE_DUPLICATE) != 0)
			continue;
		from = child->start_ns > covered_until ? child->start_ns : covered_until;
		to = end_of(child->start_ns, child->span->duration_ns);
		to = to < end ? to : end;
		if (to <= from)
			continue;
		self -= to - from;
		covered_until = to;
	}
	return self;
}

/* a is after b by more than what clocks disagree anyway. */
static bool is_after(int64_t a, int64_t b)
{
	return a > b && (uint64_t)a - (uint64_t)b > SLACK_NS;
}

static uint32_t flags_of(const struct tree *tree, const struct node *node,
	const struct tree_row *row, const struct tree_row *root)
{
	uint32_t flags = node->flags;
	const struct tree_row *parent;

	if (row->parent == NONE)
		return flags;
	parent = &tree->rows[row->parent];
	if (!parent->missing && is_after(parent->start_ns, row->start_ns))
		flags |= TREE_SKEW;
	if (!root->missing && root->duration_ns >= 0 && row->duration_ns >= 0 &&
		is_after(end_of(row->start_ns, row->duration_ns),
			end_of(root->start_ns, root->duration_ns)))
		flags |= TREE_LATE;
	return flags;
}

static void count_row(struct tree *tree, const struct tree_row *row)
{
	int64_t end;

	if (row->missing || (row->flags & TREE_DUPLICATE) != 0)
		return;
	end = row->start_ns;
	if (row->duration_ns >= 0)
		end = end_of(row->start_ns, row->duration_ns);
	else if (row->open_ns >= 0)
		end = end_of(row->start_ns, row->open_ns);
	if (tree->span_count == 0 || end > tree->end_ns)
		tree->end_ns = end;
	tree->span_count++;
	tree->error_count += row->status == RECORD_ERROR;
	tree->open_count += row->status == RECORD_PENDING;
}

/* root: row number of the top row above it, or of itself. */
static void put_row(struct tree *tree, struct build *build, struct node *node, uint32_t *root)
{
	uint32_t parent = node->parent != NONE ? build->nodes[node->parent].row : NONE;
	struct tree_row *row = &tree->rows[tree->row_count];
	const struct tree_span *span = node->span;

	node->row = (uint32_t)tree->row_count++;
	if (parent == NONE)
		*root = node->row;
	*row = (struct tree_row){
		.missing = span == NULL,
		.item = span != NULL ? span->item : NONE,
		.depth = parent != NONE ? tree->rows[parent].depth + 1 : 0,
		.parent = parent,
		.start_ns = node->start_ns,
		.duration_ns = span != NULL ? span->duration_ns : -1,
		.open_ns = span != NULL ? span->open_ns : -1,
		.self_ns = self_time(build, node),
		.status = span != NULL ? (enum record_status)span->status : RECORD_PENDING,
	};
	memcpy(row->id, node->id, 16);
	row->flags = flags_of(tree, node, row, &tree->rows[*root]);
	count_row(tree, row);
}

/* What follows a node without children: its next sibling, or that of the nearest
 * ancestor which has one. NONE at the end. */
static uint32_t next_node(const struct build *build, uint32_t number)
{
	for (;;) {
		const struct node *node = &build->nodes[number];
		uint32_t next = node->position + 1;

		if (next < build->count && build->nodes[build->order[next]].parent == node->parent)
			return build->order[next];
		if (node->parent == NONE)
			return NONE;
		number = node->parent;
	}
}

/* The top level has parent NONE, the largest number: it stands last in the order. */
static uint32_t first_top(const struct build *build)
{
	uint32_t low = 0;
	uint32_t high = build->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (build->nodes[build->order[middle]].parent == NONE)
			high = middle;
		else
			low = middle + 1;
	}
	return low < build->count ? build->order[low] : NONE;
}

static void put_rows(struct tree *tree, struct build *build)
{
	uint32_t at = first_top(build);
	uint32_t root = 0;

	while (at != NONE) {
		struct node *node = &build->nodes[at];

		put_row(tree, build, node, &root);
		at = node->first_child != NONE ? build->order[node->first_child]
					       : next_node(build, at);
	}
}

/* The earliest real root; without one the earliest span. */
static void find_head(struct tree *tree, const struct build *build)
{
	const struct node *head = NULL;
	bool head_is_root = false;

	for (uint32_t i = 0; i < build->primaries; i++) {
		const struct node *node = &build->nodes[i];
		bool root = !node->span->has_parent;

		if (head == NULL || (root && !head_is_root) ||
			(root == head_is_root && is_earlier(node, head))) {
			head = node;
			head_is_root = root;
		}
	}
	tree->head = head != NULL ? head->row : NONE;
}

int tree_build(struct tree *tree)
{
	struct build build = {0};
	struct node *duplicates = NULL;
	size_t count = tree->given_count;
	int ret = -ENOMEM;

	free(tree->rows);
	tree->rows = NULL;
	tree->row_count = tree->span_count = tree->error_count = tree->open_count = 0;
	tree->end_ns = 0;
	tree->head = NONE;
	if (count == 0)
		return 0;
	build.nodes = calloc(count * 2, sizeof(*build.nodes));
	build.order = calloc(count * 2, sizeof(*build.order));
	duplicates = calloc(count, sizeof(*duplicates));
	if (build.nodes == NULL || build.order == NULL || duplicates == NULL)
		goto done;
	merge(tree, &build, duplicates);
	link_parents(&build);
	open_rings(&build);
	gather_orphans(&build);
	tree->rows = calloc(build.count, sizeof(*tree->rows));
	if (tree->rows == NULL)
		goto done;
	order_nodes(&build);
	put_rows(tree, &build);
	find_head(tree, &build);
	ret = 0;
done:
	free(build.nodes);
	free(build.order);
	free(duplicates);
	return ret;
}

void tree_reset(struct tree *tree)
{
	free(tree->rows);
	tree->rows = NULL;
	tree->row_count = tree->span_count = tree->error_count = tree->open_count = 0;
	tree->given_count = 0;
	tree->end_ns = 0;
	tree->head = NONE;
}

void tree_done(struct tree *tree)
{
	free(tree->rows);
	free(tree->spans);
	*tree = (struct tree){.head = NONE};
}
