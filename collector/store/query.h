/*
 * query.h: the questions that can be asked of a store.
 *
 * list, find, get, show, stats; the same for the RPC service (collector/) and the viewer
 * library (cli/). Each call sees the store as it is when it begins: all that was
 * acknowledged before. They block on files: the daemon calls them on a worker
 * thread. Memory is bounded by what they return, plus the spans of the largest trace
 * in numbers where a trace must be looked at as a whole.
 *
 * A trace's columns (operation, layer, status, start, duration) are those of its
 * earliest root, or without a root of its earliest span; equally early ones by span
 * id. While that one is open, the duration is what the trace's spans extend over
 * and `pending` is set. Pending spans that a final one replaces don't count.
 */
#ifndef WAFT_STORE_QUERY_H
#define WAFT_STORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"
#include "filter.h"
#include "record.h"
#include "scratch.h"
#include "slice.h"

struct reader;
struct stats;

/* ---- list ------------------------------------------------------------------ */

#define QUERY_LIMIT_DEFAULT 20
#define QUERY_LIMIT_MAX 1000

struct trace_summary {
	uint8_t trace_id[16];
	int64_t start_ns;
	int64_t duration_ns;
	bool pending; /* duration_ns is so far */
	enum record_status status;
	struct slice operation;
	struct slice layer;
	const struct slice *services; /* sorted, each once; empty ones left out */
	size_t service_count;
	uint64_t spans;	 /* each span id once */
	uint64_t errors; /* of these, those that failed */
	/* Lines of it can't be read: what is said of it may be less than it was, and asking for it
	 * gives less, or nothing. Of a trace that is listed without a line this is known where
	 * its file is known to be damaged. */
	bool damaged;
};

/* Memory of summaries and texts is the list's own. Zero-initialise. */
struct query_list {
	struct trace_summary *traces; /* by start, newest first, then by id, largest first */
	size_t count;
	struct slice next_page; /* for the page after this one; length 0: there is none */
	struct scratch scratch;
};

/* Lists the traces that match. limit 0: 20; above 1,000: 1,000. page: empty, or
 * the next_page of the call before with the same filter; pages neither overlap nor
 * leave out any trace that was there at the first one. 0; -EINVAL: page is none of
 * ours; -EIO, -ENOMEM. */
int query_list(struct reader *reader, const struct filter *filter, uint32_t limit,
	struct slice page, struct query_list *ret_list) MUST_CHECK;

/* A zero-initialised or released one is fine. */
void query_list_done(struct query_list *list);

/* ---- find ------------------------------------------------------------------ */

#define QUERY_CANDIDATES_MAX 20

struct query_found {
	uint8_t trace_id[16];
	/* With ERR_AMBIGUOUS: the first of them by id; `more` when there are others. */
	uint8_t candidates[QUERY_CANDIDATES_MAX][16];
	size_t candidate_count;
	bool more;
};

/* Which trace does a person mean by: a UUID or plain hex, a beginning or ending of
 * at least 4 digits, "last", "@N" (N-th newest, from 1)? A whole id wins over a part of
 * another. 0; -ENOENT: none; ERR_AMBIGUOUS: see candidates; -EINVAL: none of these
 * forms; -EIO, -ENOMEM. */
int query_find(struct reader *reader, struct slice id, struct query_found *ret_found) MUST_CHECK;

/* ---- get ------------------------------------------------------------------- */

/* Lines of a trace. Zero-initialise. */
struct query_records {
	struct slice *lines; /* without newline, byte for byte as stored */
	size_t count;
	struct slice next_page; /* length 0: there is none */
	struct scratch scratch;
};

/* The records of a trace: waiting ones first, then file by file. limit_bytes: stop
 * after the line that reaches it (0: no limit). page as with query_list; a span
 * that moved from log to file between two pages may come twice, byte for byte the same
 * (struct tree takes it as one). 0; -ENOENT: no line of it; -EBADMSG: it has lines, and those can't
 * be read (reader_damaged_file); -EINVAL: page is none of ours; -EIO, -ENOMEM. */
int query_get(struct reader *reader, const uint8_t trace_id[16], size_t limit_bytes,
	struct slice page, struct query_records *ret_records) MUST_CHECK;

void query_records_done(struct query_records *records);

/* Both: the records of the trace that a person means. A whole id is looked for once, and of one
 * moment. As query_find, then as query_get of all that there is. */
int query_show(struct reader *reader, struct slice id, struct query_found *ret_found,
	struct query_records *ret_records) MUST_CHECK;

/* ---- stats ----------------------------------------------------------------- */

/* Counts per (service, operation, layer). Time range, status, errors, durations and
 * grep choose traces, service, operation, layer and attributes choose the spans in
 * them that are counted. Self time is a span's duration less what its children
 * cover of it. Adds to *into, unsorted. 0, -EIO, -ENOMEM. */
int query_stats(struct reader *reader, const struct filter *filter, struct stats *into) MUST_CHECK;

#endif
