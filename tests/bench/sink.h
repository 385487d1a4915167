/*
 * sink.h: processes at the other end of a client's socket.
 *
 * The bare reader takes what comes, counts it and answers at once. The floor of
 * the collector reads as many bytes from such a socket and writes and syncs as
 * many as the collector writes, keeps to a cap as retention does when there is one,
 * and does nothing else. A process beside it can do what a sealer does.
 */
#ifndef WAFT_BENCH_SINK_H
#define WAFT_BENCH_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Shared by the process and who started it. */
struct sink_counts {
	uint64_t batches;
	uint64_t batch_bytes; /* of the Batch messages */
	uint64_t wire_bytes;  /* with frames and requests */
};

struct sink {
	pid_t pid;
	struct sink_counts *counts; /* a shared page */
	char path[104];
};

/* Starts a bare reader on path, which listens when this returns. */
void sink_start(const char *path, struct sink *ret);
void sink_stop(struct sink *sink);

struct floor_plan {
	const char *directory;
	double wire_bytes;  /* to be read, a span */
	double write_bytes; /* to be written and synced, a span */
	uint64_t spans;	    /* 0: for so many seconds */
	double seconds;
	double rate; /* spans a second; 0: as fast as it goes */
	/* What is written goes to files of so many bytes, of which the oldest is removed, by a
	 * thread of its own, when there is more than the cap; 0: one file takes all. */
	uint64_t file_bytes;
	uint64_t cap_bytes;
	/* Beside it a process of SCHED_IDLE goes from one whole file to the next: reads it,
	 * computes for as long as a sealer does, writes what that would write, and removes it. */
	bool sealing;
};

struct floor_result {
	double spans_per_s;
	double seconds;
	double cpu_s; /* of the floor's process alone */
	double sync_p50_ms;
	double sync_p99_ms;
	unsigned int sealed; /* files */
};

void floor_run(const struct floor_plan *plan, struct floor_result *ret);

#endif
