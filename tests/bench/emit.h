/* emit.h: spans of profiles P and PS through libwaft's public API, from 100 call
 * sites, 4 levels deep. Thread-safe. */
#ifndef WAFT_BENCH_EMIT_H
#define WAFT_BENCH_EMIT_H

#include <stddef.h>
#include <stdint.h>

#include "profile.h"

enum { EMIT_TEXTS = 256, EMIT_SNAPSHOTS = 2048, EMIT_FUNCTIONS = 25 };

/* Prepares the values that spans get; before the others. */
void emit_init(void);

/* A trace of 8 spans. n chooses call sites and values. */
void emit_tree(uint64_t n);
/* The same with snapshots. */
void emit_tree_snapshots(uint64_t n);
/* One service's part of a trace: a span with that many children. parent NULL: a new
 * trace, whose root goes to *ret_context (may be NULL else). */
struct waft_context;
void emit_part(uint64_t n, const struct waft_context *parent, unsigned int children,
	struct waft_context *ret_context);
void emit_part_snapshots(uint64_t n, const struct waft_context *parent, unsigned int children,
	struct waft_context *ret_context);

/* A tree of each of the functions, and what is left of these without the spans: to be
 * subtracted. One after the other, and without loops: the way through a table, and the end of a
 * loop, which processors foretell well or badly by where code happens to lie, are as dear as a
 * few spans that aren't recorded. */
void emit_round(uint64_t n);
void emit_round_empty(uint64_t n);

#endif
