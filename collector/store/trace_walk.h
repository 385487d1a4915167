/*
 * trace_walk.h: the traces of a store that may satisfy a filter, newest first, each
 * once, found by runs. Private to the queries; one thread at a time.
 *
 * Blocks of runs are taken by their latest start. A trace with a single run stands
 * where that says; of others any run may be met first, so that all their runs are
 * looked up. The start of a run is never less than what the trace's start would be if
 * it had this run alone, and a trace's start is that of one of its runs; therefore
 * what has not been met when the walk has come down to a time started before it.
 */
#ifndef WAFT_STORE_TRACE_WALK_H
#define WAFT_STORE_TRACE_WALK_H

#include "id_map.h"
#include "index_run.h"
#include "scattered.h"
#include "view.h"
#include "waiting.h"

/* A trace to look at. */
struct walk_trace {
	const uint8_t *trace_id; /* borrowed until the next step */
	int64_t start_ns;	 /* it started then or earlier, or was met before */
	bool exact;		 /* it started exactly then */
	bool single;		 /* file and run are all that there is of it */
	struct view_file *file;
	const struct index_run *run;
};

/* Files whose sums do for the walk: of their runs, those of scattered traces and those that are
 * in no sum are looked at, nothing else. */
struct walk_sums {
	/* The sums of this file are to be added. */
	int (*on_file)(void *ctx, struct view_file *file);
	/* This run is in them, and its trace is counted as a whole besides. */
	int (*on_run)(void *ctx, struct view_file *file, const struct index_run *run);
	void *ctx;
};

struct walk_piece; /* a file or a block of one, private */

/* Blocks whose runs are screened together, to keep several processors busy. */
enum { WALK_SCREENED = 4 };

/* A block's runs that the screen lets pass. */
struct walk_screened {
	const struct view_file *file; /* NULL: none */
	size_t block;
	bool passes[INDEX_BLOCK_RUNS];
};

/* Zero-initialise. */
struct trace_walk {
	struct reader *reader;
	struct index_question question;
	const struct walk_sums *sums; /* borrowed; set it before the start; NULL: none is used */
	struct waiting waiting;
	struct scattered scattered; /* traces that may have runs in several places */
	struct id_map met;	    /* of these, those given or ruled out */
	struct walk_piece *pieces;  /* owned; a heap, the latest start on top */
	size_t piece_count;
	size_t piece_capacity;
	/* The block under way, latest start first. */
	struct view_file *file; /* NULL: waiting */
	struct index_run runs[INDEX_BLOCK_RUNS];
	uint16_t order[INDEX_BLOCK_RUNS];
	size_t run_count;
	size_t next;
	struct screen *screen;		/* owned; NULL: the index alone rules out */
	struct walk_screened *screened; /* owned; WALK_SCREENED; NULL: none yet */
	const bool *passes;  /* of the block's runs, what the screen let pass; NULL: not asked */
	uint32_t texts;	     /* groups of its runs that may have what grep looks for */
	bool sure;	     /* of the block */
	bool summed;	     /* its runs are in sums that were added */
	bool scattered_only; /* no other trace in it can match */
};

/* The view must be fresh. 0, ERR_INDEX, -ESTALE, -ENOMEM, … */
int trace_walk_start(
	struct trace_walk *walk, struct reader *reader, const struct filter *filter) MUST_CHECK;

/* The next trace that may match and was not ruled out by floor_ns: none that
 * certainly started before floor_ns are given. 1, 0 when there is no more, or a
 * negative error. */
int trace_walk_next(
	struct trace_walk *walk, int64_t floor_ns, struct walk_trace *ret_trace) MUST_CHECK;

void trace_walk_done(struct trace_walk *walk);

#endif
