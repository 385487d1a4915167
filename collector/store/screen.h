/*
 * screen.h: which runs of sealed parts can't satisfy a filter, by the bytes of their lines:
 * frames are unpacked and searched by several threads. Private to trace_walk.c.
 *
 * A text without escapes stands in its line as it is, so that a run that holds neither a text
 * that is asked for nor a backslash needs no further look. Threads are begun with the first runs
 * that are screened, as many as the process may use processors, at most 8; they have a lower
 * priority than the one that asks, which works as well. Memory of each: one frame, packed and not.
 *
 * Used by one thread at a time.
 */
#ifndef WAFT_STORE_SCREEN_H
#define WAFT_STORE_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "errors.h"
#include "filter.h"
#include "index.h"
#include "source.h"

struct screen;

/* filter is borrowed. NULL: it asks for nothing that only lines can tell, or there is no
 * memory; every call below takes that for a screen that knows nothing. */
struct screen *screen_new(const struct filter *filter);
void screen_free(struct screen *screen);

/* Whether runs are still to be screened: not when most of them pass, since those are read a
 * second time. */
bool screen_helps(const struct screen *screen);

/* Begins a new set of runs. */
void screen_reset(struct screen *screen);

/* Adds to the set those of the runs, in order of place, whose flag is set; the flags of those that
 * can't match are cleared by screen_run. source, runs and flags are borrowed until then. 0 or
 * -ENOMEM. */
int screen_add(struct screen *screen, struct source *source, const struct index_run *runs,
	size_t count, bool *flags) MUST_CHECK;

/* Looks at all of them. What can't be read stays flagged, for the reader of lines to tell. */
void screen_run(struct screen *screen);

/* Whether neither all of the filter's texts nor a backslash stand there. */
bool screen_rules_out(const struct filter *filter, struct slice lines);

#endif
