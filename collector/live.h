/*
 * The newest part of the store for readers inside the daemon: what is
 * acknowledged and not yet in files, and how far the files are committed.
 *
 *     struct live           one; told of commits by the store's thread
 *     struct live_view      one a query: a moment of both, as a live_source
 *
 * Inbox files are in a view too, as far as nobody has taken them in, those that are being
 * written included: LIVE_INBOX_SPANS_MAX spans of them at most.
 *
 * A view is made on the loop, which is the thread that adds to the assembly and
 * lets it forget; so nothing is missed between log and files. What moves meanwhile
 * may be seen twice, byte for byte the same. It is used on the query's thread.
 */
#ifndef WAFT_COLLECTOR_LIVE_H
#define WAFT_COLLECTOR_LIVE_H

#include "assembly.h"
#include "disk.h"
#include "manifest.h"
#include "reader.h"

#include <stdatomic.h>

#define LIVE_INBOX_SPANS_MAX ((size_t)1 << 18)

struct live;

/* The parts as recovered. disk, log_dir and inbox_dir are borrowed for its life. */
int live_new(struct disk *disk, int log_dir, int inbox_dir, struct assembly *assembly,
	const struct manifest_state *state, struct live **ret) MUST_CHECK;
void live_free(struct live *live);

/* From the writer's hooks, on the store's thread. */
void live_on_part(struct live *live, const struct manifest_part *part);
void live_on_commit(struct live *live, const struct part_name *part, uint64_t length_bytes);

/* Bytes of a file are not what was committed, or can't be read: readers are told. Whatever is not
 * the name of a part is passed over. Any thread. */
void live_on_damage(struct live *live, const char *name);

/* How many files that are there are known to be damaged; the first of them. Any thread. */
size_t live_damaged(struct live *live, char ret_first[PART_NAME_BYTES]);

/* A file of the inbox, all of which is durable, is going to be removed. Loop thread. */
void live_on_inbox(struct live *live);

struct live_view;

/* A moment. Loop thread. cancelled (borrowed, may be NULL) ends walks with
 * -ECANCELED. -ENOMEM; -EAGAIN when too many are open. */
int live_view_open(
	struct live *live, const atomic_bool *cancelled, struct live_view **ret) MUST_CHECK;
/* NULL is fine. Any thread. */
void live_view_close(struct live_view *view);

/* Valid as long as the view. Walks fail with -ESTALE when the log has dropped a
 * segment that the view needs, or that a file of the inbox went: everything in it is in
 * files, or in the log, by now, so open another view and ask again. */
const struct live_source *live_view_source(const struct live_view *view);

#endif
