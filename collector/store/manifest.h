/*
 * The manifest: what of the parts is committed, and what of the log is still
 * needed. docs/STORE.md, "Manifest", has the format.
 *
 * struct manifest_state is what a manifest says; manifest_load reads it
 * (recovery and readers alike, nothing is written). struct manifest writes one:
 * a daemon has it in memory, appends to the file and rewrites it at a
 * checkpoint. The writer is thread-safe; a state is used by one thread,
 * or many when nobody changes it.
 */
#ifndef WAFT_STORE_MANIFEST_H
#define WAFT_STORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "consumed.h"
#include "disk.h"
#include "log.h"
#include "part.h"

#define MANIFEST_NAME "manifest"
#define MANIFEST_NEW_NAME "manifest.new"
#define MANIFEST_RECORD_HEADER_BYTES 16
#define MANIFEST_BODY_BYTES_MAX (64u << 20)
#define MANIFEST_VERSION 1

enum manifest_type {
	MANIFEST_HEADER = 1,
	MANIFEST_PART = 2,
	MANIFEST_COMMIT = 3,
	MANIFEST_SEGMENT = 4,
	MANIFEST_CLIENT = 5,
	MANIFEST_EXTENT = 6,
	MANIFEST_CONSUMED = 7,
	MANIFEST_SEALED = 8,
	MANIFEST_REMOVED = 9,
	MANIFEST_QUARANTINE = 10,
	MANIFEST_COUNTERS = 11,
	MANIFEST_END = 12,
	MANIFEST_FORWARD = 13,
};

enum part_state {
	PART_OPEN = 0,	  /* takes appends */
	PART_CLOSED = 1,  /* full, or given up after an error: never appended to again */
	PART_SEALED = 2,  /* compressed; length is that of the plain lines */
	PART_REMOVED = 3, /* by retention; mentioned until its file is gone */
};

struct manifest_part {
	uint32_t id; /* from 1, never used again */
	struct part_name name;
	uint64_t inode;	       /* of the file when it was made */
	uint64_t length_bytes; /* committed; what is behind it is none of ours */
	uint32_t crc;	       /* of all committed bytes */
	uint64_t spans;
	uint64_t changed_ns; /* time of the last COMMIT or change of state */
	enum part_state state;
	bool verified; /* false: the manifest was damaged; length is what was found */
	uint64_t sealed_length_bytes;
	uint32_t sealed_crc;
	bool gone;	 /* PART_REMOVED, and so is its file: not mentioned any more */
	uint32_t holder; /* who writes to it at present; 0: nobody. In memory only */
};

/* A run inside a COMMIT. */
struct manifest_run {
	uint32_t length_bytes;
	uint32_t crc;
	uint32_t spans;
};

/* Bytes of a part that are now committed. part 0: none; the ordinals are
 * consumed without lines (their batch is in quarantine), offset and length are 0
 * and a single run says how many spans. */
struct manifest_commit {
	uint32_t part;
	uint64_t offset;
	uint64_t length_bytes;
	uint32_t crc;
	uint64_t time_ns;
	const struct manifest_run *runs; /* in order of their place; lengths add up */
	size_t run_count;
	const struct consumed *ordinals;
};

struct manifest_quarantine {
	char *name;   /* of the file in quarantine/, owned */
	char *source; /* where it was, e.g. "2026-01-09.jsonl", owned */
	char *why;    /* owned */
	uint64_t offset;
	uint64_t length_bytes;
};

struct manifest_counter {
	char *name; /* owned */
	uint64_t value;
};

/* How far the log was forwarded: the cursor of the store that is other collectors. */
struct manifest_forward {
	bool known;		/* false: nothing is forwarded here */
	bool split;		/* what is sent from place on may have been sent in partitions */
	struct log_place place; /* all before it was answered; {0, 0}: the log's beginning */
	uint32_t reached;	/* records of later segments were never sent */
	uint64_t spans;		/* answered, since forwarding began */
	uint64_t dropped;	/* of spans given up for want of room, those answered */
	uint64_t refused;	/* batches that a gateway refused for good */
};

struct manifest_state {
	uint64_t generation; /* 0: there is no manifest */
	uint8_t store_id[16];
	uint64_t length_bytes; /* of its valid records; the rest of the file is torn */
	uint64_t file_bytes;
	bool damaged; /* bytes that had been synced are wrong: parts may be unverified */
	struct manifest_part *parts; /* ascending by id, owned */
	size_t part_count;
	uint32_t next_part;
	struct consumed consumed;   /* of segments from first_segment on */
	uint32_t first_segment;	    /* first that is still needed, at least 1 */
	struct log_place accounted; /* last record that clients and counters include */
	struct manifest_forward forward;
	struct manifest_quarantine *quarantine; /* owned */
	size_t quarantine_count;
	struct manifest_counter *counters; /* owned */
	size_t counter_count;
	uint64_t spans_written;	    /* in parts that are there */
	uint64_t spans_expired;	    /* in removed ones */
	uint64_t spans_quarantined; /* consumed without lines: their batch was unreadable */
};

/* The body of a CLIENT record, for clients.c; borrowed for the call. */
typedef int (*manifest_on_client)(void *ctx, const uint8_t *body, size_t length);

/* Reads the manifest in dir (.waft). Missing: 0, with generation 0. Torn and
 * damaged ones: 0, see the members. on_client may be NULL. -EIO, -ENOMEM, …
 * *ret needs manifest_state_done. */
MUST_CHECK int manifest_load(struct disk *disk, int dir, manifest_on_client on_client, void *ctx,
	struct manifest_state *ret);

/* The same for bytes in memory (fuzzing, tests). */
MUST_CHECK int manifest_parse(const uint8_t *data, size_t length, manifest_on_client on_client,
	void *ctx, struct manifest_state *ret);

void manifest_state_done(struct manifest_state *state);

/* The part with that id or name, the newest of them; NULL when there is none: such a
 * file is foreign. Sealed or not is the same name. One that is PART_REMOVED is about
 * to be deleted and isn't to be read. */
const struct manifest_part *manifest_part_by_id(const struct manifest_state *state, uint32_t id);
const struct manifest_part *manifest_part_by_name(
	const struct manifest_state *state, const struct part_name *name);

uint64_t manifest_counter(const struct manifest_state *state, const char *name);

/* Whether the manifest on disk is still the one that was loaded: generation and
 * length. 1 yes, 0 no, or a negative errno. Readers ask after reading. */
MUST_CHECK int manifest_unchanged(struct disk *disk, int dir, const struct manifest_state *state);

/* ---- Writing ------------------------------------------------------------ */

/* Clients and counters as of one place of the log; encoded by clients_image. */
struct manifest_image {
	struct bytes clients;  /* CLIENT bodies, each behind a u32 of its length */
	struct bytes counters; /* body of COUNTERS */
	struct log_place accounted;
};

void manifest_image_done(struct manifest_image *image);

/* Gives an image of all clients for a checkpoint. 0 or -ENOMEM. */
typedef int (*manifest_clients_image)(void *ctx, struct manifest_image *ret);

struct manifest;

/* Takes over state (on success *state is zeroed) and writes it as a new
 * generation: one checkpoint. dir is borrowed. image: asked at each checkpoint
 * for the clients; may be NULL when there are none. */
MUST_CHECK int manifest_start(struct disk *disk, int dir, struct manifest_state *state,
	manifest_clients_image image, void *ctx, struct manifest **ret);
void manifest_free(struct manifest *manifest);

/* What it says now, appended records included. Borrowed, changes with them: where other
 * threads may append, manifest_lock is held as long as it is looked at. */
const struct manifest_state *manifest_state(const struct manifest *manifest);

/* Keeps others from appending, but for the holder; not over manifest_sync, which others may
 * be in, nor over manifest_tidy or manifest_checkpoint. May be taken again by its holder. */
void manifest_lock(struct manifest *manifest);
void manifest_unlock(struct manifest *manifest);

/* Copies what it says of a part; false: there is none. */
bool manifest_copy_part(struct manifest *manifest, uint32_t part, struct manifest_part *ret);

/* Notes who writes to the part. In memory only. */
void manifest_hold_part(struct manifest *manifest, uint32_t part, uint32_t holder);

/* Append a record and apply it to the state. Nothing is durable, or written
 * even, before manifest_sync. -ENOMEM leaves all as it was. */
MUST_CHECK int manifest_part(struct manifest *manifest, const struct part_name *name,
	uint64_t inode, uint64_t now_ns, uint32_t *ret_id);
MUST_CHECK int manifest_commit(struct manifest *manifest, const struct manifest_commit *commit);
MUST_CHECK int manifest_part_state(
	struct manifest *manifest, uint32_t part, enum part_state state, uint64_t now_ns);
MUST_CHECK int manifest_sealed(struct manifest *manifest, uint32_t part, uint64_t length_bytes,
	uint32_t crc, uint64_t now_ns);
/* The part's spans are expired; its file is to be deleted once this is synced. */
MUST_CHECK int manifest_removed(struct manifest *manifest, uint32_t part);
/* The file of a removed part is gone, durably. In memory only: until a checkpoint
 * tells it, recovery looks for the file again. */
void manifest_part_gone(struct manifest *manifest, uint32_t part);
/* Clients as of image->accounted, and the first segment that is still needed. */
MUST_CHECK int manifest_segment(
	struct manifest *manifest, uint32_t first_segment, const struct manifest_image *image);
MUST_CHECK int manifest_quarantine(
	struct manifest *manifest, const struct manifest_quarantine *entry);
/* The cursor of what is forwarded, and the ordinals that were consumed by getting there. */
MUST_CHECK int manifest_forward(struct manifest *manifest, const struct manifest_forward *forward,
	const struct consumed *ordinals);

/* Writes and syncs what was appended. When that fails the file is given up
 * and a checkpoint is tried at once; when that fails too, the error is returned,
 * and every later call begins with a checkpoint: the records are not lost.
 * Until it returns 0 none of them counts. Checkpoints by itself when the file has
 * grown to several times of what a checkpoint would take. */
MUST_CHECK int manifest_sync(struct manifest *manifest);

/* Checkpoints when it has grown by more than a little since it was: what readers take in. */
MUST_CHECK int manifest_tidy(struct manifest *manifest);

/* Rewrites it whole, under the next generation. */
MUST_CHECK int manifest_checkpoint(struct manifest *manifest);

#endif
