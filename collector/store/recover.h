/*
 * Opens a store for its one writer and brings it back after any kind of stop
 * (docs/STORE.md, "Recovery", steps 1 to 4 and 7). The index (5) and the inbox
 * (6) are done by the daemon afterwards.
 *
 *     store_dirs_open → store_lock → recover → log_open, manifest_start'ed,
 *     clients filled, waiting records given to on_record
 *
 * Blocking, one thread. It may be killed anywhere and run again: nothing is cut
 * before its copy in quarantine is synced and recorded.
 */
#ifndef WAFT_STORE_RECOVER_H
#define WAFT_STORE_RECOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients.h"
#include "consumed.h"
#include "disk.h"
#include "log.h"
#include "manifest.h"

/* Handles of a store's directories; -1: not open. */
struct store_dirs {
	int top;	/* the parts */
	int waft;	/* .waft */
	int log;	/* .waft/log */
	int quarantine; /* .waft/quarantine */
	int lock;	/* .waft/lock, a file; held while it is open */
};

/* Opens them; with create, makes what is missing. Without create, what is missing
 * under path is left at -1 and is no error; path itself must be there. On failure
 * all are closed. Takes no lock. */
MUST_CHECK int store_dirs_open(
	struct disk *disk, const char *path, bool create, struct store_dirs *ret);
void store_dirs_close(struct disk *disk, struct store_dirs *dirs);

/* Takes the store's lock until store_dirs_close. -EWOULDBLOCK: another process
 * writes to the store. Writes nothing but the empty lock file. */
MUST_CHECK int store_lock(struct disk *disk, struct store_dirs *dirs);

struct recovery_ops {
	/* A batch of the log that holds spans which are to be written to files: those
	 * whose ordinals aren't in consumed. Not those that are to be forwarded. In order of the
	 * log. All is borrowed for the call. ERR_MALFORMED: it can't be read, and goes to
	 * quarantine. Another non-zero result stops the recovery. NULL: not wanted. */
	int (*on_batch)(void *ctx, struct log_place place, const struct log_record *record,
		const struct consumed *consumed);
	void *ctx;
};

struct recovery_config {
	struct disk *disk;
	const struct store_dirs *dirs; /* locked */
	struct clients *clients;       /* empty; is filled */
	uint64_t now_ns;
	uint8_t new_store_id[16]; /* of a store that has none yet: random */
	uint32_t segment_bytes;	  /* of the log; 0: default */
	size_t pending_limit;	  /* of the log; 0: default */
	uint64_t reserve_bytes;	  /* of the log; 0: default */
	bool forward;		  /* what comes from now on goes to other collectors */
};

/* What was done, and what the daemon goes on with. */
struct recovery {
	struct manifest *manifest; /* owned by the caller */
	struct log *log;	   /* owned by the caller */
	bool fresh;		   /* there was no store here */
	bool manifest_lost;	   /* there were files, but no readable manifest */
	bool manifest_damaged;
	uint64_t parts;
	uint64_t parts_missing;	   /* named in the manifest, not there */
	uint64_t parts_short;	   /* shorter than committed */
	uint64_t parts_unreadable; /* could not be looked at (EIO), and are left as they are */
	uint64_t parts_cut;	   /* had uncommitted bytes at their end */
	uint64_t bytes_cut;	   /* of them, now in quarantine */
	uint64_t log_records;
	uint64_t log_bytes_damaged;
	uint64_t log_bytes_torn;
	uint64_t log_segments_lost; /* missing or unreadable */
	bool log_cut;		    /* it ends before a record that the manifest tells of */
	uint64_t spans_waiting;	    /* in the log and in no file */
	uint64_t spans_unreadable;  /* of batches that didn't decode, now in quarantine */
	uint64_t spans_shed;	    /* given up, in drop records that are to be forwarded */
	uint64_t spans_to_forward;  /* in the log, for other collectors */
	uint64_t clients;
};

/* Recovers and leaves *ret to be used. On failure nothing is left open, and the
 * store is as readable as before. */
MUST_CHECK int recover(
	const struct recovery_config *config, const struct recovery_ops *ops, struct recovery *ret);

/* Whether what was synced once is wrong or gone. */
bool recovery_found_damage(const struct recovery *recovery);

/* One line that says what was done: "recovered: 3 parts, …". Returns its
 * length, cut to size. */
size_t recovery_text(const struct recovery *recovery, char *ret, size_t size);

/* Compares a part's committed bytes with their checksum, blocking: for a thread
 * in the background. 1 when they match, 0 when not, or a negative errno. -ECANCELED
 * soon after another thread has set *stop, which may be NULL. */
MUST_CHECK int recover_verify_part(struct disk *disk, const struct store_dirs *dirs,
	const struct manifest_part *part, const atomic_bool *stop);

#endif
