/*
 * offline.h: what the daemon would supply (struct live_source of reader.h), when
 * there is none: parts from the manifest, waiting spans from log and inbox.
 *
 * It writes nothing and takes no lock; a daemon may be at work at the same time. Memory:
 * 44 bytes a waiting span, no line. One thread at a time.
 */
#ifndef WAFT_STORE_OFFLINE_H
#define WAFT_STORE_OFFLINE_H

#include <stdbool.h>

#include "manifest.h"
#include "part_names.h"
#include "reader.h"

/* Handles of a store's directories; -1: not there. Owned by the reader. */
struct offline_dirs {
	int top;
	int waft;
	int log;
	int inbox;
};

struct offline;

/* *ret is owned. dirs and disk are borrowed; handles may change between refreshes. */
int offline_new(
	struct disk *disk, const struct offline_dirs *dirs, struct offline **ret) MUST_CHECK;
/* NULL is fine. */
void offline_free(struct offline *offline);

/* Looks again: one moment of manifest, log and inbox. -EAGAIN when they never held
 * still; -EIO, -ENOMEM. */
int offline_refresh(struct offline *offline) MUST_CHECK;

/* Valid until offline_free; says what the last refresh saw. A walk fails with -ESTALE
 * when a segment has gone meanwhile: refresh and ask again. */
const struct live_source *offline_source(const struct offline *offline);

const struct manifest_state *offline_manifest(const struct offline *offline);
/* The trace directory, read while the manifest was as it is. */
const struct part_names *offline_names(const struct offline *offline);
uint64_t offline_waiting_spans(const struct offline *offline);
/* Whether the log ends before what the manifest knows of it: acknowledged spans may be missing. */
bool offline_log_cut(const struct offline *offline);
uint64_t offline_log_bytes(const struct offline *offline);

#endif
