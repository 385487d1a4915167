/*
 * What the files of the JSONL store share: writer.c (puts and rounds), writer_commit.c (the end
 * of a round), writer_lines.c (lines to files), writer_parts.c (files of the day),
 * writer_group.c (several stores of one manifest), writer_shed.c, writer_index.c, writer_seal.c,
 * writer_chores.c (log and retention). All of it on the store's thread, but for the queue, the
 * counts, what the pen writes (pen.c) and what the remover closes (remover.c).
 */
#ifndef WAFT_STORE_WRITER_INTERNAL_H
#define WAFT_STORE_WRITER_INTERNAL_H

#include <pthread.h>

#include "bytes.h"
#include "consumed.h"
#include "index_run.h"
#include "pen.h"
#include "remover.h"
#include "scratch.h"
#include "span_source.h"
#include "writer.h"

enum {
	OUTPUTS = 8, /* days that are written to at once */
};

/* What stores that share a manifest have in common. */
struct store_group {
	/* Held for reading while a store works, for writing by whoever needs all of them at rest:
	 * they are its own then. */
	pthread_rwlock_t turn;
	/* Of a part, or of a file of quarantine: these have one name. Recursive. */
	pthread_mutex_t making;
	pthread_mutex_t telling; /* of a part: who is told last is told what it is last */
	struct jsonl_store *stores[STORES_MAX];
	size_t count;
	/* Of the manifest, as of the last commit. */
	pthread_mutex_t mutex;
	struct writer_stats stats;
};

/* A run in an output. */
struct output_run {
	struct trace_id trace_id;
	struct manifest_run run;
	struct index_run index; /* without spans: there is none */
	bool continues;		/* the trace has an earlier run */
};

/* What is gathered for one day, and the part that it goes to. */
struct output {
	bool used;
	int32_t day;
	uint32_t part; /* 0: not chosen */
	int file;      /* of the part; -1: not open */
	/* Of the part from lines_at on, which is a block's; in memory at a block's, too. What
	 * is before written_at is written, is being so, or was there before the round. */
	struct bytes lines;
	uint64_t lines_at;
	uint64_t written_at;
	size_t write_bytes;    /* what is gathered before it is written */
	bool direct;	       /* past the page cache */
	bool huge;	       /* lines may lie in a large page */
	uint64_t offset;       /* in the part, of the first run */
	uint64_t length_bytes; /* of all runs */
	uint32_t crc;	       /* of the same */
	struct output_run *runs;
	size_t run_count;
	size_t run_capacity;
	struct consumed ordinals;
	struct consumed_hints hints; /* of the ordinals */
	bool written;		     /* bytes may stand behind the committed ones */
	bool committed;		     /* COMMIT appended, not yet synced */
};

/* The day of a trace that has its first run in this round. */
struct fresh_trace {
	struct trace_id trace_id;
	int32_t day;
	bool used;
};

/* How far the commit of a sealed part has come (writer_seal.c). */
enum seal_step {
	SEAL_NOTHING,
	SEAL_RECORDED, /* SEALED is appended, not synced for sure */
	SEAL_SYNCED,   /* the new file is to get its name */
	SEAL_NAMED,    /* readers are to be told, the plain file is to go */
};

struct writer_seal {
	enum seal_step step;
	uint32_t part;
	uint32_t *refused; /* owned; ids of parts that can't be sealed */
	size_t refused_count;
};

enum { AHEAD_RUNS = 64, AHEAD_SPANS = 64 };

/* Of the first spans of some runs of the put that is taken: a bit for each that was in a file when
 * they were looked up. What is in the round since then is told by the round. */
struct writer_ahead {
	size_t first_run;
	size_t count; /* 0: nothing was looked up since the last commit */
	uint64_t consumed[AHEAD_RUNS];
};

struct jsonl_store {
	struct store base; /* first */
	struct writer_config config;
	struct store_group *group; /* config.group, or its own */
	uint32_t number;	   /* in it, from 1: holds parts under it */

	pthread_mutex_t mutex; /* of the queue and the stats */
	struct store_put *head;
	struct store_put **tail;
	uint64_t queued_spans;
	struct writer_stats stats;

	struct span_sources *sources;
	struct store_put *next_put; /* first whose runs are not in the outputs */
	bool behind;		    /* as it says */
	size_t next_run;	    /* of it */
	size_t next_span;	    /* of this */
	struct writer_ahead ahead;
	size_t run_end; /* what was formatted goes up to here */
	struct output outputs[OUTPUTS];
	uint32_t in_round;	 /* a bit for each output that has runs */
	struct bytes run_lines;	 /* of the run being formatted: mostly where they will stay, in the
				  * output that the run before went to */
	struct bytes run_memory; /* for those of other runs; kept between them */
	struct output *last_output; /* that a run went to; NULL: none in this round */
	struct pen pen;
	struct output *penned; /* to whose part the pen writes; NULL: to none */
	struct bytes aside;    /* the lines that it writes, or memory for others */
	struct index_builder run_index;
	bool run_not_indexed;
	struct scratch scratch;
	struct ordinal *run_ordinals;
	size_t run_capacity;
	struct consumed_hints hints; /* of the manifest's ordinals */
	struct consumed lost;	     /* ordinals whose spans can't be read */
	uint64_t lost_spans;
	bool lost_committed;
	struct fresh_trace *fresh; /* hash of a power of two */
	size_t fresh_count;
	size_t fresh_capacity;
	struct writer_seal seal;
	struct remover remover;
	uint32_t shed_from;    /* segments before it were looked at by writer_shed */
	uint32_t forgotten;    /* segments before it are closed by `sources` */
	uint64_t now_ns;       /* of the last work */
	uint64_t committed_ns; /* of the work that committed last */
	bool doubt;	       /* COMMITs appended whose sync failed */
	uint64_t pause_ns;     /* not 0: the last work failed, and its puts begin anew */
};

uint64_t writer_now(const struct jsonl_store *store);

/* Makes what is in the outputs durable. On failure the round is forgotten or in
 * doubt. */
MUST_CHECK int writer_flush(struct jsonl_store *store);

/* Forgets what is in the outputs and begins again with the first queued put. What of
 * them was written is cut off: a shorter round may follow. */
void writer_forget_round(struct jsonl_store *store);

/* Commits what is gathered, before something else is done to the parts or the log. */
MUST_CHECK int writer_settle(struct jsonl_store *store);

/* Commits what is gathered in any store of the group and has none write to the part any more;
 * when it succeeds, no other works until writer_resume_all. */
MUST_CHECK int writer_rest_all(struct jsonl_store *store, uint32_t part);
void writer_resume_all(struct jsonl_store *store);

/* Into its group, or one of its own: before any of the group works. Out of it: waits for the turn
 * of whoever has all at rest; then nobody else does anything to the store. */
MUST_CHECK int writer_join_group(struct jsonl_store *store);
void writer_leave_group(struct jsonl_store *store);

/* Counts what the manifest says, for the group. */
void writer_count_manifest(struct jsonl_store *store);

/* Lets go of the log's files that are not needed any more. */
void writer_forget_log(struct jsonl_store *store);

/* Chooses or makes the part of an output and opens it, ready for an append at its
 * committed length. */
MUST_CHECK int writer_open_part(struct jsonl_store *store, struct output *output);

/* The output takes its first run: its part is opened, and its lines begin at the part's
 * committed length. */
MUST_CHECK int writer_begin_lines(struct jsonl_store *store, struct output *output);

/* Room for so many bytes behind lines.length. -ENOMEM. */
MUST_CHECK int writer_reserve_lines(struct output *output, size_t more);

/* Makes run_lines empty: where they are to stay, if the run goes to last_output. */
void writer_begin_run(struct jsonl_store *store);

/* The run goes to that output, or to one that isn't known yet (NULL): takes run_lines out of
 * the way where they are in another's memory. -ENOMEM. */
MUST_CHECK int writer_place_run(struct jsonl_store *store, const struct output *output);

/* Appends run_lines to the output's. -ENOMEM. */
MUST_CHECK int writer_append_run(struct jsonl_store *store, struct output *output);

/* Appends the output's lines to its part, without a sync; but for all what goes beyond
 * whole blocks may stay. On failure the round is to be forgotten. */
MUST_CHECK int writer_write_lines(struct jsonl_store *store, struct output *output, bool all);

/* Waits for what the pen writes. On failure the round is to be forgotten. */
MUST_CHECK int writer_end_pen(struct jsonl_store *store);

/* Something failed on the output's part: brings it back to its committed length or
 * gives it up. synced: it was the sync that failed. */
void writer_part_failed(struct jsonl_store *store, struct output *output, int error, bool synced);

/* The part has taken what was committed: closes it when it is full. */
void writer_part_grown(struct jsonl_store *store, struct output *output);

/* Closes the file, keeps the rest. The pen doesn't write to it: its number may be another
 * file's then. */
void writer_close_file(struct jsonl_store *store, struct output *output);

/* Tells the run's index of the line that begins there in run_lines. An index that
 * can't take it hinders no storing: the run goes without. 0 or -ENOMEM. */
MUST_CHECK int writer_index_line(struct jsonl_store *store, struct span_source *source,
	const struct span_view *view, size_t line_at);

/* Calls on_commit for the output's runs. */
void writer_tell_index(struct jsonl_store *store, struct output *output);

/* Deletes the file of a part that is recorded, durably, as removed. */
MUST_CHECK int writer_delete_file(struct jsonl_store *store, uint32_t part);

/* No output of this store writes to the part any more. */
void writer_leave_part(struct jsonl_store *store, uint32_t part);

/* The output lets go of its part. */
void writer_drop_part(struct jsonl_store *store, struct output *output);

/* Calls on_part with what the part is now. The manifest is not locked. */
void writer_tell_part(struct jsonl_store *store, uint32_t part);

#endif
