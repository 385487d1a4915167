/*
 * ledger.h: what waft-load's processes emitted, kept apart from libwaft.
 *
 * A file mapped shared by every process of a load, so that it survives a kill of
 * any of them: a header, then a row per process, each with a row per thread.
 * Only its owner writes a row; the verifier reads them when all have ended.
 */
#ifndef WAFT_LOAD_LEDGER_H
#define WAFT_LOAD_LEDGER_H

#include <stdint.h>

#include <waft/waft.h>

enum { LEDGER_PROCESSES_MAX = 256, LEDGER_THREADS_MAX = 64 };

/* Buckets of a histogram of nanoseconds: 8 for each power of two. */
enum { LEDGER_TIMES = 256 };

/* How the process ended. */
enum ledger_end {
	LEDGER_RUNNING = 0, /* never came to its end: killed */
	LEDGER_SHUTDOWN,    /* waft_shutdown returned, stats are final */
};

struct ledger_thread {
	uint64_t begun; /* spans begun; at most `ended` plus the open ones at a kill */
	uint64_t ended; /* waft_end has returned */
	uint32_t times[LEDGER_TIMES]; /* with --times: spans by what their calls took */
};

struct ledger_process {
	uint32_t pid;
	uint32_t end;		 /* enum ledger_end */
	struct waft_stats stats; /* the library's own word, copied while running and at the end */
	struct ledger_thread threads[LEDGER_THREADS_MAX];
};

struct ledger {
	char magic[8]; /* "WAFTLOAD" */
	uint32_t processes;
	uint32_t threads;
	uint32_t tree_depth;  /* shape of a trace: depth levels ... */
	uint32_t tree_fanout; /* ... of fanout children each */
	uint64_t run;	      /* random, in every span's attributes */
	struct ledger_process rows[];
};

/* Creates the file at path (it must not exist) and maps it. 0 or a negative errno. */
int ledger_create(const char *path, uint32_t processes, uint32_t threads, uint32_t depth,
	uint32_t fanout, struct ledger **ret_ledger);
/* Maps an existing one read-only. 0, a negative errno, or -EBADMSG. */
int ledger_open(const char *path, const struct ledger **ret_ledger);

/* Counts a span whose calls took so many nanoseconds. */
void ledger_time(struct ledger_thread *thread, uint64_t ns);
/* The time that `share` (0 to 1) of all spans of a load stayed below, in ns; 0: none were timed. */
uint64_t ledger_quantile(const struct ledger *ledger, double share);

/* Spans of one trace of the ledger's shape. */
uint64_t ledger_tree_spans(const struct ledger *ledger);

#endif
