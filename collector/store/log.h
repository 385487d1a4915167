/*
 * The write-ahead log: what is acknowledged is here first.
 *
 * The format is docs/STORE.md, "Log". Three parts, each usable alone:
 *   struct log         appends and syncs; one per store
 *   log_scan           reads segments from the start: recovery, offline readers
 *   struct log_reader  fetches single records by place: writing of runs
 *
 * Group commit. log_append copies a record into memory and returns at once.
 * log_commit, on a thread of its own, takes all that was appended since the last
 * one, writes it in one piece, syncs it, and says where each record has come to
 * lie. Only then may it be acknowledged and handed to the assembler. The daemon
 * calls log_commit again as soon as it returned and something was appended.
 *
 * Failures. When a write or a sync fails, the segment is never written or
 * synced again. The next log_commit begins a new segment whose header voids all
 * that lies behind the last good sync, and writes the same records there. They
 * stay in memory until that succeeds, so nothing is lost and nothing is there
 * twice.
 */
#ifndef WAFT_STORE_LOG_H
#define WAFT_STORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "disk.h"

#define LOG_SEGMENT_BYTES (64u << 20)
#define LOG_SEGMENT_BYTES_MAX (256u << 20)
#define LOG_SEGMENT_HEADER_BYTES 128
#define LOG_RECORD_HEADER_BYTES 64
#define LOG_PAYLOAD_BYTES_MAX 262144
#define LOG_PEER_NAME_BYTES_MAX 1024
#define LOG_NAME_BYTES 24 /* of a segment's file, with NUL */

enum log_kind {
	LOG_BATCH = 1,
	LOG_DROP = 2,
	LOG_REFUSAL = 3,
	LOG_GOODBYE = 4,
	LOG_MARK = 5,  /* of the log's own: says that what is before it was synced */
	LOG_FENCE = 6, /* no number of the client is taken any more: a Fence message */
};

#define LOG_FORMAT_WAFT_V1 1

/* How a record came, and what of it. */
enum log_share {
	LOG_SHARE_DIRECT = 0,	 /* from its client */
	LOG_SHARE_WHOLE = 1,	 /* forwarded by an agent */
	LOG_SHARE_PARTITION = 2, /* and so on: its partition 0 …, forwarded */
	LOG_SHARE_MAX = 65,
};

/* Where a record lies. Segment 0 is no place. */
struct log_place {
	uint32_t segment;
	uint32_t offset; /* of the record's header, in bytes, a multiple of 8 */
};

/* A span's place, consumed by exactly one COMMIT. */
struct ordinal {
	uint32_t segment;
	uint32_t offset;
	uint32_t position; /* in its batch, from 0 */
};

/* What the collector vouches for about the sender. */
struct log_peer {
	uint32_t pid;
	uint32_t uid;
	const char *name; /* of a certificate or token; not NUL-terminated, NULL when none */
	size_t name_length;
	const char *agent; /* that vouched for it, and those before, or NULL; like name */
	size_t agent_length;
	bool known; /* false: nothing is known, the record holds no peer */
};

/* One record. Pointers are borrowed: by log_append for the call, from log_scan
 * for the callback, from a log_reader until its next call. */
struct log_record {
	enum log_kind kind;
	uint8_t format; /* LOG_FORMAT_WAFT_V1 */
	uint32_t spans; /* in the batch, or dropped; else 0 */
	uint64_t receive_ns;
	uint8_t client[16];
	uint64_t sequence;
	uint64_t emitted; /* as the client said with this message */
	uint8_t share;	  /* enum log_share */
	struct log_peer peer;
	const uint8_t *payload;
	size_t payload_length; /* at most LOG_PAYLOAD_BYTES_MAX */
};

/* ---- Writing ------------------------------------------------------------ */

struct log;

/* A segment that is there when the log is opened, or now. */
struct log_segment {
	uint32_t number;
	uint64_t length_bytes;
	uint64_t spans;	      /* in its batches; from recovery: see struct recovery */
	uint64_t freed_bytes; /* of its length, that take no room on the disk */
	uint32_t last_offset; /* of its last record that is no mark; 0: none */
	bool open;	      /* it still takes records */
};

struct log_config {
	struct disk *disk; /* borrowed for the log's life */
	int dir;	   /* handle of .waft/log, borrowed */
	uint8_t store_id[16];
	const struct log_segment
		*segments; /* those that are there, ascending; borrowed for the call */
	size_t segment_count;
	struct log_place end;	/* where valid records end; {0, 0} in an empty log */
	uint32_t next_segment;	/* number of the first one to make, at least 1 */
	uint32_t segment_bytes; /* 0: LOG_SEGMENT_BYTES */
	size_t pending_limit;	/* bytes held for a commit; 0: 16 MiB */
	uint64_t reserve_bytes; /* leave as much free on the disk; 0: 16 MiB */
};

/* Opens for appending. Writes nothing: the first segment is made by the first
 * log_commit. *ret is owned by the caller (log_close). */
MUST_CHECK int log_open(const struct log_config *config, struct log **ret);

/* Says in the log that all in it is synced, unless a later record says so already: damage
 * of the last group can then be told from a torn tail. For when nothing is likely to
 * come for a while; log_close does it too. Not synced itself, and nothing depends on it.
 * The thread of log_commit. */
void log_mark(struct log *log);

/* Frees it. What was appended and not committed is forgotten: it was never
 * acknowledged. No other call may be running. NULL is ignored. */
void log_close(struct log *log);

/* Whether its lengths are within their limits. */
bool log_record_fits(const struct log_record *record);

/* Copies a record for the next commit and numbers it: tickets start at 1 and
 * have no gaps. Any thread. -EAGAIN when pending_limit is reached (wait for
 * a commit), -EINVAL when a length is over its limit, -ENOMEM. */
MUST_CHECK int log_append(struct log *log, const struct log_record *record, uint64_t *ret_ticket);

/* What one log_commit made durable: records first_ticket … first_ticket + count
 * - 1, in the order of log_append. places is borrowed until the next
 * log_commit. */
struct log_committed {
	uint64_t first_ticket;
	size_t count;
	const struct log_place *places;
};

/* Writes and syncs what was appended. Blocks; one thread at a time. 0 with
 * count 0 when there was nothing. On failure (-ENOSPC, -EIO, …) nothing of it is
 * durable, all of it is kept; call again later. */
MUST_CHECK int log_commit(struct log *log, struct log_committed *ret);

/* Bytes appended and not yet durable. Any thread. */
size_t log_pending_bytes(struct log *log);

/* Bytes of all segments on disk, holes not counted. Any thread. */
uint64_t log_total_bytes(struct log *log);

/* Copies up to capacity segments, oldest first; returns how many there are. Any
 * thread. */
size_t log_segments(struct log *log, struct log_segment *ret, size_t capacity);

/* Moves *place on to the next durable record at or behind it, over the end of its segment
 * when that takes no more. False: there is none yet. Any thread. */
bool log_next(struct log *log, struct log_place *place);

/* Where the next record would go at the earliest: everything durable lies
 * before it. Any thread. */
struct log_place log_end(struct log *log);

/* Makes the next log_commit begin a new segment, so that the present one can be
 * dropped once all in it is consumed. Any thread. */
void log_roll(struct log *log);

/* A segment was rewritten: it holds fewer spans, and has holes. Any thread. */
void log_shed(struct log *log, uint32_t number, uint64_t spans, uint64_t freed_bytes);

/* Deletes the segments below first_needed; never the one that is open. The
 * caller has made durable, in the manifest, that they are not needed. Any
 * thread. A failed unlink is reported and tried again by the next call. */
MUST_CHECK int log_drop_below(struct log *log, uint32_t first_needed);

/* ---- Scanning ----------------------------------------------------------- */

enum log_damage_kind {
	LOG_DAMAGED, /* acknowledged once, and wrong now */
	LOG_TORN,    /* behind the last good sync: nothing in it was acknowledged */
	LOG_VOID,    /* behind a fence: superseded or set aside already; nothing to do */
};

/* A stretch of a segment's file that counts for nothing. */
struct log_damage {
	enum log_damage_kind kind;
	uint32_t segment;
	uint32_t offset;
	const uint8_t *bytes; /* borrowed for the call */
	size_t length_bytes;
	const char *why; /* constant text */
};

struct log_scan_ops {
	/* A valid record, in order. Non-zero stops the scan, which returns it. May be
	 * NULL. */
	int (*on_record)(void *ctx, struct log_place place, const struct log_record *record);
	/* Same rules. */
	int (*on_damage)(void *ctx, const struct log_damage *damage);
	/* A segment is read to its end: the length up to which it holds records. Same
	 * rules. */
	int (*on_segment)(void *ctx, uint32_t number, uint64_t length_bytes);
	/* NULL, or: whether what such a record holds is known not to be wanted. Records at the
	 * beginning of a segment of which that is so are passed over unread, and neither counted
	 * nor checked; kind and spans come from a header that is not checked either. For
	 * those who only read. */
	bool (*is_done)(void *ctx, struct log_place place, enum log_kind kind, uint32_t spans);
};

struct log_scan_result {
	struct log_place end;  /* behind the last valid record, or one passed over; {0, 0}: none */
	uint32_t last_segment; /* highest number found, a broken one's too; 0: none */
	uint64_t segments;
	uint64_t records;
	uint64_t damaged_bytes;
	uint64_t torn_bytes;
	uint32_t segments_unreadable; /* of another store, or not to be opened or read */
	int io_error;		      /* why the first of the latter could not; 0: none */
	uint32_t segments_missing;    /* that a later one says were there */
	bool has_store_id;
	uint8_t store_id[16]; /* of the last readable one */
};

/* Reads the valid records of all segments from number `from` on, in order. Writes
 * nothing. Memory: one segment. store_id NULL: any. Returns 0 also when there was
 * damage; a segment that can't be opened or read is counted and passed over.
 * -ENOMEM, or what the callbacks return. */
MUST_CHECK int log_scan(struct disk *disk, int dir, const uint8_t *store_id, uint32_t from,
	const struct log_scan_ops *ops, void *ctx, struct log_scan_result *ret);

/* Counts the segments from number `from` on that a later one says were there, and that are not.
 * Headers are read. 0 or a negative errno. */
MUST_CHECK int log_count_missing(
	struct disk *disk, int dir, const uint8_t *store_id, uint32_t from, uint32_t *ret_missing);

/* The number in a segment's file name, 0 when it is none. */
uint32_t log_name_number(const char *name);
/* Writes the name of segment number into ret. */
void log_name(uint32_t number, char ret[LOG_NAME_BYTES]);

/* ---- Single records ----------------------------------------------------- */

struct log_reader;

/* Reads records of the segments in dir, whoever writes them. Keeps at most
 * cache_bytes of them (0: 8 MiB) and a few open files. One thread. */
MUST_CHECK int log_reader_new(
	struct disk *disk, int dir, size_t cache_bytes, struct log_reader **ret);
void log_reader_free(struct log_reader *reader);

/* Fetches the record at place and checks its checksum. *ret and what it points
 * to stay valid until the next call. -EBADMSG: the bytes there are no record;
 * -ENOENT: the segment is not there; -EIO. */
MUST_CHECK int log_reader_get(
	struct log_reader *reader, struct log_place place, const struct log_record **ret);

/* The same into the caller's buffer (its content is replaced), past the cache;
 * ret's pointers are into it. */
MUST_CHECK int log_reader_read(struct log_reader *reader, struct log_place place,
	struct bytes *buffer, struct log_record *ret);

/* Closes what is open of segments below first_needed. */
void log_reader_forget(struct log_reader *reader, uint32_t first_needed);

#endif
