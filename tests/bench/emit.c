/*
 * See emit.h. A tree is a root, its child, that one's two children with two
 * children each: four call sites, which 25 copies of the function make 100.
 */
#include "emit.h"

#include <waft/waft.h>

static char texts[EMIT_TEXTS][16];
static struct profile_snapshot snapshots[EMIT_SNAPSHOTS];

void emit_init(void)
{
	for (uint64_t i = 0; i < EMIT_TEXTS; i++)
		profile_text(i, texts[i]);
	for (uint64_t i = 0; i < EMIT_SNAPSHOTS; i++)
		profile_snapshot_make(i, &snapshots[i]);
}

#define ATTRIBUTES(span)                                                     \
	waft_attr_string(&(span), "customer", texts[(n += 7) % EMIT_TEXTS]); \
	waft_attr_int(&(span), "items", (int64_t)(n & 0xffff))
#define INPUT(span)                                                              \
	waft_input_json(&(span), snapshots[(n * 31 + 1) % EMIT_SNAPSHOTS].input, \
		snapshots[(n * 31 + 1) % EMIT_SNAPSHOTS].input_length)
#define OUTPUT(span)                                                               \
	waft_output_json(&(span), snapshots[(n * 31 + 2) % EMIT_SNAPSHOTS].output, \
		snapshots[(n * 31 + 2) % EMIT_SNAPSHOTS].output_length)
#define NOTHING(span)
#define LOOPED(i) for (int i = 0; i < 2; i++)
#define UNROLLED(i) _Pragma("GCC unroll 2") LOOPED(i)

#define TREE(name, id, TWICE, BEFORE, AFTER)                        \
	static void name##_##id(uint64_t n)                         \
	{                                                           \
		struct waft_span root, child, grandchild, leaf;     \
                                                                    \
		WAFT_BEGIN_ROOT(&root, "shop.request_" #id);        \
		ATTRIBUTES(root);                                   \
		BEFORE(root);                                       \
		WAFT_BEGIN(&child, "shop.order_" #id);              \
		ATTRIBUTES(child);                                  \
		BEFORE(child);                                      \
		TWICE(i)                                            \
		{                                                   \
			WAFT_BEGIN(&grandchild, "shop.price_" #id); \
			ATTRIBUTES(grandchild);                     \
			BEFORE(grandchild);                         \
			TWICE(k)                                    \
			{                                           \
				WAFT_BEGIN(&leaf, "shop.tax_" #id); \
				ATTRIBUTES(leaf);                   \
				BEFORE(leaf);                       \
				AFTER(leaf);                        \
				waft_end(&leaf);                    \
			}                                           \
			AFTER(grandchild);                          \
			waft_end(&grandchild);                      \
		}                                                   \
		AFTER(child);                                       \
		waft_end(&child);                                   \
		AFTER(root);                                        \
		waft_end(&root);                                    \
	}

/* What is left of a tree without its spans. */
#define STEP(n)   \
	(n) += 7; \
	__asm__ volatile("" : "+r"(n))
#define EMPTY(name, id, ...)                                          \
	static __attribute__((noinline)) void name##_##id(uint64_t n) \
	{                                                             \
		STEP(n);                                              \
		STEP(n);                                              \
		UNROLLED(i)                                           \
		{                                                     \
			STEP(n);                                      \
			UNROLLED(k)                                   \
			{                                             \
				STEP(n);                              \
			}                                             \
		}                                                     \
	}

#define PART(name, id, BEFORE, AFTER)                                          \
	static void name##_##id(uint64_t n, const struct waft_context *parent, \
		unsigned int children, struct waft_context *ret_context)       \
	{                                                                      \
		struct waft_span head, leaf;                                   \
                                                                               \
		if (parent == NULL)                                            \
			WAFT_BEGIN_ROOT(&head, "shop.request_" #id);           \
		else                                                           \
			WAFT_BEGIN_CHILD(&head, "shop.serve_" #id, parent);    \
		ATTRIBUTES(head);                                              \
		BEFORE(head);                                                  \
		for (unsigned int i = 0; i < children; i++) {                  \
			WAFT_BEGIN(&leaf, "shop.step_" #id);                   \
			ATTRIBUTES(leaf);                                      \
			BEFORE(leaf);                                          \
			AFTER(leaf);                                           \
			waft_end(&leaf);                                       \
		}                                                              \
		if (ret_context != NULL)                                       \
			waft_context_of(&head, ret_context);                   \
		AFTER(head);                                                   \
		waft_end(&head);                                               \
	}

#define EACH(DO, name, ...)       \
	DO(name, 0, __VA_ARGS__)  \
	DO(name, 1, __VA_ARGS__)  \
	DO(name, 2, __VA_ARGS__)  \
	DO(name, 3, __VA_ARGS__)  \
	DO(name, 4, __VA_ARGS__)  \
	DO(name, 5, __VA_ARGS__)  \
	DO(name, 6, __VA_ARGS__)  \
	DO(name, 7, __VA_ARGS__)  \
	DO(name, 8, __VA_ARGS__)  \
	DO(name, 9, __VA_ARGS__)  \
	DO(name, 10, __VA_ARGS__) \
	DO(name, 11, __VA_ARGS__) \
	DO(name, 12, __VA_ARGS__) \
	DO(name, 13, __VA_ARGS__) \
	DO(name, 14, __VA_ARGS__) \
	DO(name, 15, __VA_ARGS__) \
	DO(name, 16, __VA_ARGS__) \
	DO(name, 17, __VA_ARGS__) \
	DO(name, 18, __VA_ARGS__) \
	DO(name, 19, __VA_ARGS__) \
	DO(name, 20, __VA_ARGS__) \
	DO(name, 21, __VA_ARGS__) \
	DO(name, 22, __VA_ARGS__) \
	DO(name, 23, __VA_ARGS__) \
	DO(name, 24, __VA_ARGS__)

#define ENTRY(name, id, ...) name##_##id,

EACH(TREE, plain, LOOPED, NOTHING, NOTHING)
EACH(TREE, straight, UNROLLED, NOTHING, NOTHING)
EACH(TREE, full, LOOPED, INPUT, OUTPUT)
EACH(EMPTY, empty, )
EACH(PART, plain_part, NOTHING, NOTHING)
EACH(PART, full_part, INPUT, OUTPUT)

typedef void (*part_fn)(uint64_t n, const struct waft_context *parent, unsigned int children,
	struct waft_context *ret_context);

static void (*const plain[EMIT_FUNCTIONS])(uint64_t n) = {EACH(ENTRY, plain, )};
static void (*const full[EMIT_FUNCTIONS])(uint64_t n) = {EACH(ENTRY, full, )};
static const part_fn plain_parts[EMIT_FUNCTIONS] = {EACH(ENTRY, plain_part, )};
static const part_fn full_parts[EMIT_FUNCTIONS] = {EACH(ENTRY, full_part, )};

void emit_tree(uint64_t n)
{
	plain[n % EMIT_FUNCTIONS](n);
}

void emit_tree_snapshots(uint64_t n)
{
	full[n % EMIT_FUNCTIONS](n);
}

void emit_part(uint64_t n, const struct waft_context *parent, unsigned int children,
	struct waft_context *ret_context)
{
	plain_parts[n % EMIT_FUNCTIONS](n, parent, children, ret_context);
}

void emit_part_snapshots(uint64_t n, const struct waft_context *parent, unsigned int children,
	struct waft_context *ret_context)
{
	full_parts[n % EMIT_FUNCTIONS](n, parent, children, ret_context);
}

#define CALL(name, id, ...) name##_##id(n++);

void emit_round(uint64_t n)
{
	EACH(CALL, straight, )
}

void emit_round_empty(uint64_t n)
{
	EACH(CALL, empty, )
}
