/*
 * A small daemon without threads or sockets, on a fake disk: sends batches into
 * the log, commits, writes runs, trims, retains, and keeps account of what was
 * acknowledged when. For tests that crash it anywhere and look at what is left.
 */
#ifndef WAFT_TESTS_STORE_WORLD_H
#define WAFT_TESTS_STORE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients.h"
#include "fake_disk.h"
#include "index.h"
#include "log.h"
#include "manifest.h"
#include "random_batch.h"
#include "recover.h"
#include "writer.h"

enum {
	WORLD_CLIENTS = 2,
	WORLD_TRACES = 64,
	WORLD_SHARDS = 2,
	WORLD_SPANS = 20000,
	WORLD_BATCHES = 8000,
};

/* A span that was sent; its number is in its operation: "op17". */
struct world_span {
	uint32_t batch;
	uint32_t trace;
	size_t written_at; /* changes of the disk when its put was durable; SIZE_MAX: not */
	size_t expired_at; /* changes before retention may have removed it; SIZE_MAX: not */
};

struct world_batch {
	uint32_t client;
	uint64_t sequence;
	uint32_t first_span;
	uint32_t span_count;
	size_t acknowledged_at; /* changes of the disk; SIZE_MAX: not */
};

/* A span in the log that is in no file. */
struct world_waiting {
	uint32_t span;
	struct store_span at;
};

/* What was sent and acknowledged, over all lives of a store. */
struct world_history {
	struct world_span spans[WORLD_SPANS];
	uint32_t span_count;
	struct world_batch batches[WORLD_BATCHES];
	uint32_t batch_count;
	uint64_t sequences[WORLD_CLIENTS];
	uint64_t base_ns;
	uint32_t seals;	 /* parts that were sealed */
	bool attributes; /* set before world_send: spans have some, of every type of key */
};

struct world {
	struct fake_disk *fake;
	struct disk *disk;
	struct world_history *history; /* borrowed */
	struct store_dirs dirs;
	struct clients *clients;
	struct recovery recovery;
	struct store_group *group;
	struct store *store; /* the first, which does the chores */
	struct store *stores[WORLD_SHARDS];
	struct world_waiting *waiting;
	size_t waiting_count;
	size_t waiting_capacity;
	uint32_t in_log[256]; /* batches appended and not committed */
	uint32_t in_log_count;
	int32_t trace_days[WORLD_TRACES]; /* of committed runs; INT32_MIN: none */
	uint64_t told;			  /* spans that on_commit told of in this life */
	uint64_t written_before;	  /* spans in parts when it began */
	uint32_t segment_bytes;
	uint64_t part_bytes;
	uint64_t gather_steps; /* set before world_open: calls of world_write a commit */
	uint64_t now;	       /* calls of world_write */
	uint32_t shards;       /* set before world_open: stores that share the traces; 0: 1 */
	bool pen;	       /* set before world_open: a thread beside the store's writes lines.
				  A seed then doesn't always give the same journal */
	size_t buffer_bytes;   /* of lines that are gathered; 0: few */
	uint64_t retain_bytes; /* set before world_open; 0: no retention */
	struct seal_result sealed; /* what is made and not committed for sure */
	bool seal_pending;
	int day_error;	     /* not 0: the index can't tell a trace's day ... */
	uint32_t days_told;  /* ... once it has told so many */
	uint32_t unreadable; /* set before world_open: so many batches can't be read */
	int put_status;	     /* of the last puts: 1 while one isn't durable */
	uint32_t puts;	     /* that aren't done */
	bool faults;	     /* the disk has failed in this life */
	bool damaged;	     /* set before world_open: files may hold anything */
	bool indexed;	     /* set before world_open: it has an index, held against the lines */
	uint32_t run_spans;  /* set before world_open: a run has no more; 0: no limit. One trace
				then gets many spans */
	struct index *index; /* NULL: none */
	int index_dir;
};

struct world_history *world_history_new(void);

/* Recovers the store of a disk. 0 or what recover says. */
int world_open(struct world *world, struct fake_disk *fake, struct world_history *history);
void world_close(struct world *world);

/* Appends a batch of up to 6 spans of random traces for a client, or a drop record. */
void world_send(struct world *world, struct random *random);

/* Commits the log and acknowledges. Returns what log_commit says. */
int world_commit(struct world *world);

/* Writes the waiting spans of some traces, or of all. Returns store_work's error. */
int world_write(struct world *world, struct random *random, bool all);

/* Seals a part, closing those that take appends, or goes on with one whose commit failed.
 * 0 (also when there is none), or what failed. */
int world_seal(struct world *world);

/* Sends again, from each client's watermark on, what is not acknowledged. */
void world_resend(struct world *world);

/* Removes the oldest parts beyond retain_bytes. Returns writer_retain's error. */
int world_retain(struct world *world);

/* A whole random life of `steps` steps. */
void world_live(struct world *world, struct random *random, unsigned steps);

/* ---- Private to the world ---- */

void world_fail(const char *when, const char *what, uint64_t number);
uint32_t world_trace_of_id(const struct trace_id *id);
void world_client_id(uint32_t client, uint8_t ret[16]);

/* The text of a part as it lies there, sealed or not; NULL when there is no file. Owned by the
 * caller. */
uint8_t *world_part_text(struct world *world, const struct manifest_part *part, size_t *ret_length);

/* ---- The index (world_index.c), private to the world ---- */

/* Opens it as a start does, and compares each part's runs with its lines. */
void world_index_open(struct world *world);
/* Ends the test unless the index knows the trace's day, which was found in the lines. */
void world_index_check(struct world *world, uint32_t trace, const struct trace_id *id);
void world_index_commit(struct world *world, const struct written_run *run);
void world_index_part(struct world *world, const struct manifest_part *part);
void world_index_close(struct world *world);

/* ---- Checking (world_check.c) ---- */

/* Ends the test unless the index was told of every run that was written in this life. */
void world_check_told(struct world *world, const char *when);

/* Ends the test with a message unless every acknowledged span (at `at`, the changes
 * of the disk before the crash) is there once, or was for retention to remove, and nothing
 * twice. */
void world_check(struct world *world, size_t at, const char *when);

/* Adds to counts[span] for each line in a part of ours, and checks each line. */
void world_count_lines(struct world *world, uint8_t *counts);

#endif
