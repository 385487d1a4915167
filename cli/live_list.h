/*
 * live_list.h: traces that are running, for lists: a collector lists what is stored, and
 * shows of a trace what is open in connected processes as well.
 */
#ifndef WAFT_CLI_LIVE_LIST_H
#define WAFT_CLI_LIVE_LIST_H

#include "backend.h"

/* A trace that has an open span, and since when. */
struct live_trace {
	const char *trace_id;
	int64_t start_ns;
};

struct live_list {
	struct waft_open_list *open;
	struct live_trace *running; /* the newest first; ids are open's */
	size_t count;
};

/* Asks a collector what is running. One that knows of no open spans has none. 0 or
 * -ENOMEM; on success *ret needs live_list_done. */
int live_list_begin(struct backend *backend, struct live_list *ret) MUST_CHECK;
void live_list_done(struct live_list *live);

/* How many traces a list of `limit` must have had before live_list_merge, which may take
 * some of them away, so that none that is older is missing. */
size_t live_list_wanted(const struct live_list *live, size_t limit);

/* Puts the newest `limit` of the running traces into the list of a collector, which was made
 * after live_list_begin: as a whole, as `get` has them, where the filter holds of that, else
 * not at all; in order, and no more than limit in the end. One of more than 4 MiB of lines
 * stays as the list has it. 0, -ENOMEM, or what making the filter failed with. */
int live_list_merge(struct backend *backend, const struct live_list *live,
	const struct waft_trace_filter *filter, size_t limit, struct listing *into) MUST_CHECK;

#endif
