/*
 * live_list.h: traces that are running, for lists: a collector lists what is stored, and
 * shows of a trace what is open in connected processes as well.
 */
#ifndef WAFT_CLI_LIVE_LIST_H
#define WAFT_CLI_LIVE_LIST_H

#include "backend.h"

/* Puts the newest `limit` of the traces that have open spans just now into the list of a
 * collector: as a whole, as `get` has them, where the filter holds of that, else not at
 * all; in order, and no more than limit in the end. A collector that knows of no open
 * spans leaves the list as it is. 0, -ENOMEM, or what `get` failed with. */
int live_list_merge(struct backend *backend, const struct waft_trace_filter *filter, size_t limit,
	struct listing *into) MUST_CHECK;

#endif
