/*
 * Everything of the daemon that is on disk, opened in the right order: lock,
 * recovery, index, log, writer, and what readers see of it.
 *
 * Blocking; the thread that will run the loop, before it runs. After depot_open
 * the members are used by whoever their own headers say.
 */
#ifndef WAFT_COLLECTOR_DEPOT_H
#define WAFT_COLLECTOR_DEPOT_H

#include "assembly.h"
#include "clients.h"
#include "clock.h"
#include "index.h"
#include "live.h"
#include "recover.h"
#include "writer.h"

#include <pthread.h>

struct depot {
	struct disk *disk; /* borrowed */
	struct store_dirs dirs;
	int index_dir; /* -1: there is none */
	int inbox_dir;
	struct recovery recovery;
	uint8_t store_id[16];
	struct clients *clients;
	struct assembly *assembly;
	struct index *index;
	pthread_mutex_t index_lock; /* of its use by the stores */
	struct index_report index_report;
	struct live *live;
	struct store_group *group;
	struct store *stores[SHARDS_MAX]; /* of each shard; keepers take them */
	char path[4096];		  /* of the store, absolute where that can be told */
};

struct depot_config {
	struct disk *disk;
	const char *path;
	const struct clock *clock;
	uint64_t quiet_ms;
	uint64_t hold_ms;
	uint64_t segment_bytes;
	uint64_t part_bytes;
	uint64_t trace_spans;	/* waiting spans that make a run; 0: the default */
	uint64_t pending_bytes; /* of the log */
	uint64_t spare_bytes;	/* of runs that are kept for further ones; 0: the default */
	uint64_t buffer_bytes;	/* of lines; 0: the default */
	uint64_t max_clients;
	uint64_t reserve_bytes; /* of the disk; 0: the default */
	uint32_t shards;	/* 0: 1 */
	uint64_t gather_ns;	/* between commits to files, when there is much to commit */
	bool forward;		/* what comes is for other collectors */
};

/* Why it failed, for people. */
struct depot_error {
	char text[512];
};

/* 0, or a negative errno with *ret_error; nothing is left open then. A store that
 * another daemon has: -EWOULDBLOCK, and nothing was written. *depot is changed
 * only by this and depot_close, and must not move. */
int depot_open(const struct depot_config *config, struct depot *depot,
	struct depot_error *ret_error) MUST_CHECK;

/* The stores were closed, or are closed by others. */
void depot_leave_stores(struct depot *depot);

/* Closes what is left. */
void depot_close(struct depot *depot);

#endif
