/*
 * reader.h: a store as one thing to read, with the daemon or without.
 *
 * Opens a trace directory without a lock and writes nothing. What counts: parts
 * up to their committed lengths, foreign files whole (`*.jsonl`, `*.jsonl.zst`),
 * spans that only the log has, and inbox files (docs/STORE.md, "Reading without
 * the daemon"). In the daemon a struct live_source takes the place of manifest
 * and log. The questions are in query.h.
 *
 * A reader is used by one thread at a time; several may read one store.
 */
#ifndef WAFT_STORE_READER_H
#define WAFT_STORE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "errors.h"
#include "log.h"
#include "part.h"
#include "slice.h"

/* ---- What the daemon supplies ------------------------------------------- */

/* A part, as committed. */
struct live_part {
	struct part_name part; /* sealed: it is no plain one any more */
	uint64_t length_bytes;
	bool damaged; /* it is known that not all of it can be read, or is what was written */
};

/* A span that no part holds yet: its JSON line (no newline), as the store would write it.
 * Borrowed for the call. */
struct live_span {
	struct ordinal ordinal;
	uint8_t trace_id[16];
	struct slice line;
};

/* Parts and waiting spans, both of one moment: what has left the waiting ones is
 * in the parts' lengths. The functions are called on the thread that runs the query,
 * any number of times, between the start and the end of a query_… call; the daemon
 * takes the snapshot before it hands the query to that thread. A non-zero result of a
 * callback ends the walk and is returned. */
struct live_source {
	void *ctx;
	uint8_t store_id[16]; /* the manifest's */
	int (*for_each_part)(
		void *ctx, int (*on_part)(void *arg, const struct live_part *part), void *arg);
	/* Waiting spans of one trace, or of all (trace_id NULL), ascending by ordinal;
	 * with `after`, only those with a larger one. */
	int (*for_each_span)(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
		int (*on_span)(void *arg, const struct live_span *span), void *arg);
};

/* ---- The reader ------------------------------------------------------------- */

struct reader;

/* Things that were passed over; never fatal. */
struct reader_report {
	uint64_t bad_lines;  /* since the reader was opened, once a query */
	char bad_file[64];   /* the first of them: file, line from 1, and why */
	uint64_t bad_line;   /* 0: the number is not known; see bad_offset */
	uint64_t bad_offset; /* of its first byte in the file */
	const char *bad_why;
	uint64_t unreadable_files; /* could not be opened or unpacked */
	char unreadable_file[64];
	int unreadable_error;	/* why the first of them could not */
	uint64_t damaged_files; /* read but for some stretch */
	char damaged_file[64];
	int damaged_error;
	bool unverified; /* no manifest, or a damaged one: nothing says what is whole */
	/* It is damaged, or was cut off: files were read to their ends all the same. */
	bool manifest_damaged;
	bool log_cut; /* the log ends before what the manifest knows of it */
};

/* Counts of the store as it is. */
struct reader_counts {
	uint64_t parts; /* ours */
	uint64_t foreign_files;
	uint64_t bytes;		/* of both, committed */
	uint64_t waiting_spans; /* in the log or the inbox only */
	uint64_t log_bytes;
};

struct reader_config {
	struct disk *disk;		/* NULL: the real one */
	const char *directory;		/* the trace directory */
	const struct live_source *live; /* NULL: manifest, log and inbox are read; borrowed */
	void (*on_bad_line)(void *ctx, const char *file, uint64_t line, uint64_t offset,
		const char *why); /* may be NULL; line 0: not known */
	void *ctx;
};

/* Opens; looks at the store only so far as to know that it is one. -ENOENT: no
 * such directory. -ENOTDIR. *ret is owned (reader_close). */
int reader_open(const struct reader_config *config, struct reader **ret) MUST_CHECK;

/* NULL is fine. */
void reader_close(struct reader *reader);

/* Another snapshot for the next query; NULL only if it was opened so. */
void reader_set_live(struct reader *reader, const struct live_source *live);

const struct reader_report *reader_report(const struct reader *reader);

/* The first file of the last query of which a stretch could not be read, else one that is known
 * to have such; NULL: there is none. Borrowed until the next query. */
const char *reader_damaged_file(const struct reader *reader);

/* A part of the last query's view that has damage which the live_source did not know of. The same
 * otherwise. */
const char *reader_found_damage(const struct reader *reader);

/* Without a live_source it reads what no index covers, so that the report tells of its lines.
 * 0 or a negative errno. */
int reader_count(struct reader *reader, struct reader_counts *ret_counts) MUST_CHECK;

/* Calls on_line for every line of the store, bad ones too, file by file, waiting
 * ones last; in no order between files. A non-zero result ends it and is returned. */
int reader_for_each_line(struct reader *reader,
	int (*on_line)(void *ctx, const char *file, struct slice line), void *ctx) MUST_CHECK;

#endif
