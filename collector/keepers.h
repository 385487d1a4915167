/*
 * The keepers of all shards: each writes the runs of its shard to parts of its own, on its
 * own thread. The first also does what is done once for a store: it trims the log, retains,
 * seals, forwards. Functions are those of keeper.h; loop thread, unless they say otherwise.
 */
#ifndef WAFT_COLLECTOR_KEEPERS_H
#define WAFT_COLLECTOR_KEEPERS_H

#include "keeper.h"

struct keepers;

/* config is that of each, but for its store: these are taken from stores, which is left as it is.
 * After a failure *ret has those that were started, if any: they are to be closed. */
int keepers_start(const struct keeper_config *config, struct store *const *stores, uint32_t count,
	struct keepers **ret) MUST_CHECK;

/* The one that does the chores. */
struct keeper *keepers_first(struct keepers *keepers);

/* To the keeper of the run's shard. */
void keepers_put(struct keepers *keepers, struct run *run);

/* Marks what was handed over until now, instead of what was marked before; whether each keeper
 * has written all of that: on_written was called for it. */
void keepers_mark(struct keepers *keepers);
bool keepers_are_past_mark(const struct keepers *keepers);

void keepers_hurry(struct keepers *keepers);
bool keepers_busy(struct keepers *keepers);

/* The sum. */
void keepers_count(struct keepers *keepers, struct keeper_counts *ret);

/* Blocks until their threads have ended, the first one's last. */
void keepers_close(
	struct keepers *keepers, void (*on_closed)(void *context, uint64_t spans_not_written));

#endif
