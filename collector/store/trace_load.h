/*
 * trace_load.h: one trace as a whole: its tree, its columns, and whether it
 * satisfies a filter. Private to the queries; one thread at a time.
 *
 *     trace_load_begin → trace_load_add for each record → trace_load_end → read
 */
#ifndef WAFT_STORE_TRACE_LOAD_H
#define WAFT_STORE_TRACE_LOAD_H

#include "bytes.h"
#include "filter.h"
#include "query.h"
#include "tree.h"
#include "view.h"

/* What is kept of a record besides its place in the tree. */
struct trace_item {
	uint32_t service; /* numbers of texts */
	uint32_t operation;
	uint32_t layer;
	bool spans_match; /* service, operation, layer and attributes of the filter */
	bool grep_match;
};

/* Zero-initialise. */
struct trace_load {
	const struct filter *filter; /* borrowed */
	struct tree tree;
	struct trace_item *items; /* owned; by the tree's item numbers */
	size_t item_count;
	size_t item_capacity;
	struct slice *texts; /* owned; each once, its bytes in the scratch */
	size_t text_count;
	size_t text_capacity;
	uint32_t *text_slots; /* owned; open addressing: number + 1 */
	size_t text_slot_count;
	struct scratch text_scratch;
	struct scratch scratch;
	struct bytes raw;     /* private: lines not taken apart */
	uint8_t trace_id[16]; /* private: of the reading under way */
	struct reader *reader;
	struct view_file *file;
};

void trace_load_begin(
	struct trace_load *load, const struct filter *filter, const uint8_t trace_id[16]);
int trace_load_add(struct trace_load *load, const struct record *record) MUST_CHECK;
int trace_load_end(struct trace_load *load) MUST_CHECK;
void trace_load_done(struct trace_load *load);

/* Whether a trace that has this run alone may satisfy what the filter asks of texts, by the bytes
 * of its lines: a text without escapes stands in its line as it is. 1, 0, or -ENOMEM. */
int trace_load_may_match(struct trace_load *load, struct reader *reader, struct view_file *file,
	const struct index_run *run) MUST_CHECK;

/* Adds the lines of one run. ERR_INDEX when they aren't the trace's. */
int trace_load_run(struct trace_load *load, struct reader *reader, struct view_file *file,
	const struct index_run *run) MUST_CHECK;

/* Adds all there is of the trace, in files and waiting. */
int trace_load_all(struct trace_load *load, struct reader *reader) MUST_CHECK;

/* After the end: whether there is a span at all and the whole filter holds. */
bool trace_load_matches(const struct trace_load *load);

/* After the end: the columns, their texts in `into`. -ENOMEM. */
int trace_load_summary(const struct trace_load *load, struct scratch *into,
	struct trace_summary *ret_summary) MUST_CHECK;

/* After the end: counts the spans on which the filter's span part holds, or takes them out again
 * (stats_remove). -ENOMEM. */
int trace_load_stats(const struct trace_load *load, struct stats *into, bool remove) MUST_CHECK;

#endif
