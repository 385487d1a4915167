/*
 * stats.h: counts and times per (service, operation, layer).
 *
 * Durations go into a histogram whose buckets are 1/64 of a power of two wide, so
 * that a percentile is off by 0.8 % of its value at most, whatever the
 * distribution; histograms of parts add up to that of the whole. Memory is bounded:
 * at most STATS_OPERATIONS rows, what goes beyond is counted in one row named
 * "(other)". Filled by query_stats. Not thread-safe.
 */
#ifndef WAFT_STORE_STATS_H
#define WAFT_STORE_STATS_H

#include "bytes.h"
#include "record.h"

#define STATS_OPERATIONS 2048

struct stats_histogram;

/* Of one (service, operation, layer). Texts are the table's own. */
struct stats_row {
	struct slice service;
	struct slice operation;
	struct slice layer;
	uint64_t count; /* spans, open ones included */
	uint64_t errors;
	uint64_t timed; /* spans that have ended: those in the times */
	int64_t total_ns;
	int64_t self_ns;
	int64_t max_ns;
	int64_t lost; /* private: longest ones taken out less those counted since */
	struct stats_histogram *histogram; /* private; see stats_percentile_ns */
};

struct stats;

/* NULL when there is no memory. */
struct stats *stats_new(void);
/* NULL is fine. */
void stats_free(struct stats *stats);

/* Finds or makes the row of these texts (copied). Returns its number, or -ENOMEM. */
int64_t stats_row_of(struct stats *stats, struct slice service, struct slice operation,
	struct slice layer) MUST_CHECK;

/* Counts a span in a row. duration_ns and self_ns are -1 when it is open. 0 or
 * -ENOMEM. */
int stats_add(struct stats *stats, int64_t row, enum record_status status, int64_t duration_ns,
	int64_t self_ns) MUST_CHECK;

/* Takes a span out again that was counted in these sums, or in others that were added. */
void stats_remove(struct stats *stats, int64_t row, enum record_status status, int64_t duration_ns,
	int64_t self_ns);

/* Whether numbers may be wrong, because a row's longest span was taken out and none as long was
 * counted besides, or a sum had reached its limit. */
bool stats_is_unsure(const struct stats *stats);

/* Appends all rows to out, for stats_take. 0 or -ENOMEM. */
int stats_put(const struct stats *stats, struct bytes *out) MUST_CHECK;

/* Adds what stats_put made; of it, rows of these texts alone (empty: any). 0, -ENOMEM, or
 * ERR_MALFORMED: then `into` has a part of it. */
int stats_take(struct stats *into, struct slice from, struct slice service, struct slice operation,
	struct slice layer) MUST_CHECK;

/* Adds all rows of `from` that have a span to `into`. 0 or -ENOMEM: then `into` has a part of it.
 */
int stats_merge(struct stats *into, const struct stats *from) MUST_CHECK;

/* Sorts the rows by total time, the largest first, then by texts. */
void stats_sort(struct stats *stats);

/* Bytes of memory, all in all. */
size_t stats_memory(const struct stats *stats);

size_t stats_count(const struct stats *stats);
/* Borrowed; valid until the next stats_row_of, stats_merge or stats_sort. */
const struct stats_row *stats_at(const struct stats *stats, size_t index);

/* The duration that a share of the row's ended spans (0 to 1: 0.99 for p99)
 * don't exceed (nearest rank); 0 when none has ended. */
int64_t stats_percentile_ns(const struct stats_row *row, double share);

#endif
