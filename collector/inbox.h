/*
 * Takes in what programs left that trace without a daemon (docs/PROTOCOL.md,
 * "Inbox files"): files of frames, each locked by its client while it lives.
 *
 * One file at a time, a piece at a time: reading runs on the thread pool, the
 * batches go through the ingest like anybody's, by the same rules of sequence
 * numbers. A file is removed when all of it is durable in the log. Loop thread.
 */
#ifndef WAFT_COLLECTOR_INBOX_H
#define WAFT_COLLECTOR_INBOX_H

#include "clients.h"
#include "clock.h"
#include "disk.h"
#include "ingest.h"

#include <stdbool.h>
#include <uv.h>

struct inbox;

struct inbox_config {
	uv_loop_t *loop;
	struct disk *disk; /* borrowed, like all that follows */
	int dir;	   /* handle of .waft/inbox */
	int quarantine_dir;
	struct ingest *ingest;
	struct clients *clients;
	const struct clock *clock;
	/* All of a file is durable, and it is going to be removed. */
	void (*on_remove)(void *context);
	void *context;
};

struct inbox_counts {
	uint64_t files;	  /* taken in and removed */
	uint64_t batches; /* offered, drops included */
	uint64_t duplicates;
	uint64_t torn_bytes;	/* of a last frame that a kill cut off */
	uint64_t damaged_files; /* copied to quarantine from the damage on */
};

int inbox_new(const struct inbox_config *config, struct inbox **ret) MUST_CHECK;

/* Looks for files, unless it is at work. */
void inbox_look(struct inbox *inbox);

/* The ingest may have room again. */
void inbox_on_room(struct inbox *inbox);

void inbox_count(const struct inbox *inbox, struct inbox_counts *ret);

/* Takes nothing more in; on_closed when no work runs and nothing of it is on its
 * way to the log. Files not taken in whole stay. Then it is freed. */
void inbox_close(struct inbox *inbox, void (*on_closed)(void *context), void *context);

#endif
