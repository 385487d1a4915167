/*
 * Stores: where runs of spans go. struct store_ops is what any store looks like
 * to the daemon; the JSONL store (writer.c) is the first.
 *
 * The way of a put:
 *   store_put     any thread, at once: queued
 *   store_work    the store's thread: spans read from the log → lines in parts →
 *                 sync → COMMIT in the manifest → sync → on_commit (index) →
 *                 on_durable
 * If the disk fails, store_work says when it wants to be called again; the put
 * stays queued, nothing of it counts, and trying again writes nothing twice:
 * spans whose ordinals are consumed are passed over, and bytes behind the last
 * commit of a part are cut off, or the part is closed, before it goes on.
 */
#ifndef WAFT_STORE_WRITER_H
#define WAFT_STORE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "clients.h"
#include "index.h"
#include "log.h"
#include "manifest.h"
#include "recover.h"
#include "seal.h"

/* A span in the log: 24 bytes. */
struct store_span {
	struct ordinal ordinal;
	struct span_place place;
};

/* A run: spans of one trace, parents before children, siblings by start, then
 * by span id. */
struct store_run {
	struct trace_id trace_id;
	const struct store_span *spans;
	size_t span_count;
};

/* Runs to store. Owned by the caller and left alone by it from store_put until
 * on_durable. */
struct store_put {
	const struct store_run *runs;
	size_t run_count;
	/* More is waiting than the put takes: the store is what all wait for, and may have its
	 * lines written by another thread, which costs others more than it is worth otherwise. */
	bool behind;
	/* On the thread of store_work (of a group: of any), once per put, after all of it is
	 * durable: status 0. Negative when the store was closed before (-ECANCELED): the spans stay
	 * in the log. The put may be freed in it. */
	void (*on_durable)(struct store_put *put, int status);
	void *ctx;		/* of the caller */
	struct store_put *next; /* private */
};

struct store;

struct store_ops {
	const char *name; /* "jsonl" */
	/* Queues a put. Never blocks, any thread, fails never. */
	void (*put)(struct store *store, struct store_put *put);
	/* Does what is queued, blocking, on the store's thread. Returns 0 when nothing
	 * is left, else the ns after which it wants to be called again: because of a
	 * failure, *ret_error (may be NULL) is then why; or, with *ret_error 0, to commit
	 * what it has gathered until then. now_ns STORE_NOW: nothing is gathered. */
	uint64_t (*work)(struct store *store, uint64_t now_ns, int *ret_error);
	/* Bytes and spans that are queued. Any thread. */
	uint64_t (*queued_spans)(struct store *store);
	/* Fires on_durable(-ECANCELED) for what is queued and frees the store. The
	 * store's thread; no other call may be running or follow. */
	void (*close)(struct store *store);
};

#define STORE_NOW UINT64_MAX

/* The base of every store. */
struct store {
	const struct store_ops *ops;
};

static inline void store_put(struct store *store, struct store_put *put)
{
	store->ops->put(store, put);
}

static inline uint64_t store_work(struct store *store, uint64_t now_ns, int *ret_error)
{
	return store->ops->work(store, now_ns, ret_error);
}

static inline uint64_t store_queued_spans(struct store *store)
{
	return store->ops->queued_spans(store);
}

static inline void store_close(struct store *store)
{
	if (store != NULL)
		store->ops->close(store);
}

/* ---- The JSONL store ---------------------------------------------------- */

/* A run that is now committed, for the index. Borrowed for the call. */
struct written_run {
	struct trace_id trace_id;
	struct part_name part;
	uint64_t offset; /* of its first line in the part */
	uint64_t length_bytes;
	uint32_t crc;
	uint32_t spans;
	/* Whether the trace has an earlier run, as day_of_trace and this round say. */
	bool continues;
	/* What index_run_of_lines would make of them; NULL: it can't be told. */
	const struct index_run *index;
};

/* What the JSONL store asks and tells; on the store's thread, of a group on any of theirs. Any
 * may be NULL. They must not call back into the store. */
struct writer_hooks {
	/* The day of an earlier run of the trace: 1 and *ret_day, or 0 when there is
	 * none, or a negative errno: the put fails, and is tried again. */
	int (*day_of_trace)(void *ctx, const struct trace_id *trace_id, int32_t *ret_day);
	/* It is about to be asked for that trace. */
	void (*expect_trace)(void *ctx, const struct trace_id *trace_id);
	/* Runs of one part, at least one, in order of their place, that the manifest now holds. */
	void (*on_commit)(void *ctx, const struct written_run *runs, size_t count);
	/* A part was made, closed or removed. */
	void (*on_part)(void *ctx, const struct manifest_part *part);
	void *ctx;
};

/* Stores that share a manifest, each with a thread and parts of its own; a trace is put to the
 * same one always. Chores (what follows writer_get_stats) are done by the thread of the first. */
struct store_group;

#define STORES_MAX 64

MUST_CHECK int store_group_new(struct store_group **ret);
/* After all its stores are closed. NULL is fine. */
void store_group_free(struct store_group *group);

struct writer_config {
	struct disk *disk;
	const struct store_dirs *dirs; /* borrowed */
	struct manifest *manifest;     /* borrowed */
	struct store_group *group;     /* borrowed; NULL: there is no other store */
	struct log *log;	       /* borrowed; for dropping segments */
	struct clients *clients;       /* borrowed */
	struct writer_hooks hooks;
	uint64_t part_bytes;		 /* 0: PART_BYTES */
	uint64_t reserve_bytes;		 /* leave as much free on the disk; 0: 16 MiB */
	size_t buffer_bytes;		 /* lines gathered before they are committed; 0: 16 MiB */
	uint64_t gather_ns;		 /* commits are so far apart, if buffer_bytes allows */
	size_t cache_bytes;		 /* of log records; 0: 8 MiB */
	uint64_t (*clock_ns)(void *ctx); /* since 1970; NULL: CLOCK_REALTIME */
	void *clock_ctx;
};

/* Counts since the start; spans also before it. */
struct writer_stats {
	uint64_t spans_written; /* all that ever were, expired ones included */
	uint64_t spans_expired;
	uint64_t bytes_written;
	uint64_t commits;
	uint64_t failures;	    /* times that a disk operation failed */
	uint64_t spans_quarantined; /* in the log, but unreadable there */
	uint64_t parts;
	uint64_t part_bytes; /* committed, in all parts */
	int last_error;	     /* of a failure that is not yet over; 0: none */
};

/* -EINVAL: the group is full. */
MUST_CHECK int writer_new(const struct writer_config *config, struct store **ret);

/* Of all stores of the group. Any thread. */
void writer_get_stats(struct store *store, struct writer_stats *ret);

/* Closes files of the log that were forgotten. The store's thread, once it has nothing to do. */
void writer_forget(struct store *store);

/* What follows commits what is gathered first; when that fails, it does nothing and
 * returns why. */

/* Forgets of the log what is consumed: writes the changed clients and the first
 * needed segment to the manifest, syncs, deletes segments. The store's thread;
 * call it after store_work, now and then. Does nothing while store_work fails. */
MUST_CHECK int writer_trim_log(struct store *store);

/* The same for when nothing is likely to come for a while: the segment that takes records goes
 * too, when it has at least so many bytes and all of it is in files, and the manifest is rewritten
 * when it has grown, so that readers without the daemon find neither to read. */
MUST_CHECK int writer_rest(struct store *store, uint64_t least_bytes);

/* Makes a cursor of what is forwarded durable, with the ordinals that it passed since the one
 * before. The store's thread. After a failure (-EAGAIN while store_work fails) call it again
 * with the same ordinals and what came since. */
MUST_CHECK int writer_forward(struct store *store, const struct manifest_forward *forward,
	const struct consumed *ordinals);

/* Gives up, oldest first, batches that were never sent to any gateway until the log takes at
 * most max_bytes, or nothing is left that may be given up: drop records tell their spans
 * (reason WRITER_SHED_REASON), and are forwarded in their place. The store's thread. 0,
 * or a negative errno: call it again later. */
#define WRITER_SHED_REASON "forward_full"
MUST_CHECK int writer_shed(struct store *store, uint64_t max_bytes, uint64_t *ret_spans);

/* Retention. Removes whole parts, oldest first, that are older than max_age_ns
 * by their day, and then until all parts of ours take at most max_bytes. 0: no
 * limit. A part that takes appends is closed first. The store's thread. Returns
 * how many were removed or a negative errno. */
struct retention {
	uint64_t max_age_ns;
	uint64_t max_bytes;
	uint64_t ahead_bytes; /* of max_bytes, that are to be free */
	uint64_t seal_bytes; /* and for the sealed file in the making, unless its part is next to go
			      */
	uint32_t seal_part;  /* 0: none */
};
MUST_CHECK int writer_retain(struct store *store, const struct retention *retention);

/* ---- Sealing (seal.h) ---- */

struct seal_rule {
	uint64_t after_ns;  /* seal what is closed for so long */
	uint64_t max_bytes; /* and anything closed when parts take more than 3/4 of it; 0: no limit
			     */
	uint64_t fill_bytes_per_s; /* at which parts grow at present; 0: not known */
	uint64_t ahead_bytes;	   /* of max_bytes, that retention keeps free */
};

/* Closes parts of days that are over and that took nothing for an hour (or after_ns when
 * that is less), and picks the oldest part that is to be sealed, or, for lack of room, the newest:
 * what retention is the last to remove. None that it is likely to remove before the seal was worth
 * its while. 1 with *ret_part (and whether it is for lack of room, which is told with 0, too), 0:
 * none, or a negative errno. The store's thread. */
MUST_CHECK int writer_seal_next(struct store *store, const struct seal_rule *rule,
	struct manifest_part *ret_part, bool *ret_pressed);

/* Puts what seal_part made in the place of the plain file. 0: done. -ESTALE: the part is
 * gone or changed, -EEXIST: another's file has the name; nothing is left of it then. Other
 * errors: call it again with the same result; until then, and over a crash, the part is
 * whole in one form or the other. The store's thread. */
MUST_CHECK int writer_seal_commit(struct store *store, const struct seal_result *result);

/* Keeps the part plain until the next start: seal_part said that it can't be sealed. */
void writer_seal_refuse(struct store *store, uint32_t part);

#endif
