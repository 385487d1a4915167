/*
 * view.h: a reader at one moment: which files there are, how far they count, what
 * is still waiting. Private to reader.c and the queries.
 *
 * A query begins with view_refresh, and is begun again when a call returns
 * ERR_INDEX or -ESTALE: VIEW_RETRY. Files that can't be opened or read are noted in
 * the report and passed over.
 */
#ifndef WAFT_STORE_VIEW_H
#define WAFT_STORE_VIEW_H

#include "catalog.h"
#include "offline.h"
#include "reader.h"
#include "run_list.h"
#include "scan.h"
#include "source.h"

struct view_file {
	char *name; /* in the trace directory; owned. A sealed part's ends in .zst */
	struct part_name part;
	bool ours;
	uint64_t length_bytes; /* of plain text that counts */
	uint64_t stored_bytes; /* of the file as it is; of a sealed part not looked at */
	uint64_t inode;	       /* 0: not looked at */
	int64_t modified_ns;
	bool present;	       /* in the refresh under way */
	bool failed;	       /* can't be opened or read: passed over until it changes */
	bool damaged;	       /* a stretch of it could not be read, and was passed over */
	bool known_damaged;    /* the daemon has found so */
	bool summed;	       /* of the walk under way: its sums do for its runs */
	bool ready;	       /* runs are up to length_bytes */
	size_t table;	       /* of the catalog, from 1, that has its traces; 0: none has */
	unsigned int in_table; /* which of the table's parts it is */
	struct source *source; /* NULL: not open */
	struct run_list runs;
};

/* The catalog as a reader has it. */
struct view_catalog {
	struct catalog list;
	struct view_table {
		int file;	/* -1: not open */
		uint64_t parts; /* which of it may have the trace that was asked for */
	} * tables;		/* owned; of the list */
	bool asked;
	uint8_t trace_id[16]; /* that was */
};

struct reader {
	struct disk real;
	struct disk *disk;
	struct reader_config config;
	struct offline_dirs dirs;
	int index_dir;
	uint8_t store_id[16];
	const struct live_source *live; /* the daemon's; NULL: offline */
	struct offline *offline;
	struct view_file **files; /* owned, by name */
	size_t file_count;
	size_t file_capacity;
	size_t open_sources;
	struct view_catalog catalog;
	bool has_sought;    /* reading has been begun for: */
	uint8_t sought[16]; /* a trace id */
	struct reader_report report;
	uint64_t gaps; /* times that lines of a run could not be read */
	struct scan_buffer buffer;
};

/* One moment. 0 or a negative error. */
int view_refresh(struct reader *reader) MUST_CHECK;

/* The same once: -ESTALE when it changed meanwhile. */
int view_look(struct reader *reader) MUST_CHECK;

/* What waits. */
const struct live_source *view_live(const struct reader *reader);

/* Makes file->runs complete. 0 (also when the file had to be passed over: it then
 * has no runs), ERR_INDEX, -ENOMEM. */
int view_runs(struct reader *reader, struct view_file *file) MUST_CHECK;

/* Calls on_line for the lines of a stretch of a file. What can't be read of it is noted and
 * gives no lines. */
int view_lines(struct reader *reader, struct view_file *file, uint64_t offset, uint64_t length,
	scan_on_line on_line, void *ctx) MUST_CHECK;

/* The bytes of a stretch of a file, into to. 1; 0: they can't be had this way, view_lines says
 * why; -ENOMEM. */
int view_bytes(struct reader *reader, struct view_file *file, uint64_t offset, size_t length,
	void *to) MUST_CHECK;

/* Makes file->source open. 1; 0: it can't be, view_lines says why; -ENOMEM. */
int view_source(struct reader *reader, struct view_file *file) MUST_CHECK;

/* Whether a stretch of a file can be read, of a sealed one by the checksums of its frames. 1, 0 or
 * -ENOMEM. */
int view_readable(
	struct reader *reader, struct view_file *file, uint64_t offset, uint64_t length) MUST_CHECK;

/* How many times so far lines of a run could not be read, or were no records. */
uint64_t view_losses(const struct reader *reader);

/* Calls on_run for each run of a trace in any file, file by file by name, from the file
 * named `from` on (NULL: all). */
int view_find(struct reader *reader, const uint8_t trace_id[16], const char *from,
	int (*on_run)(void *ctx, struct view_file *file, const struct index_run *run),
	void *ctx) MUST_CHECK;

/* Begins to read what view_find needs for this trace, of all files at once: of a store that is in
 * no cache each read would wait for the disk. Nothing depends on it. */
void view_will_find(struct reader *reader, const uint8_t trace_id[16]);

/* ---- Private to reader.c, view_files.c and view_catalog.c ---- */

/* Reads the catalog again. */
void view_catalog_look(struct reader *reader);
void view_catalog_done(struct reader *reader);

/* Begins to read what view_may_have needs, without waiting. */
void view_catalog_will_ask(struct reader *reader, const uint8_t trace_id[16]);

/* Whether the file may have a run of the trace: false only where a table says so. */
bool view_may_have(struct reader *reader, const struct view_file *file, const uint8_t trace_id[16]);

/* Directories that came up since the last look. */
void view_open_dirs(struct reader *reader);

void view_close_source(struct reader *reader, struct view_file *file);
void view_free_file(struct reader *reader, struct view_file *file);

/* The file is passed over until it changes. */
void view_note_unreadable(struct reader *reader, struct view_file *file, int error);

/* ---- */

/* Notes a line that was passed over. */
void view_bad_line(
	struct reader *reader, const char *file, uint64_t offset, uint64_t number, const char *why);

/* Whether the query is to be begun again for this error; *tries counts them. */
bool view_retry(struct reader *reader, int error, unsigned int *tries);

/* The index of this file lied. Returns ERR_INDEX. */
int view_distrust(struct view_file *file);

#endif
