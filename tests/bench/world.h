/* world.h: the collector's store without the daemon, filled as fast as it goes: log,
 * parts, manifest and index by the same code. One thread. */
#ifndef WAFT_BENCH_WORLD_H
#define WAFT_BENCH_WORLD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "collector/depot.h"
#include "profile.h"

/* A store's days, the first of which is 2026-01-05, so that stores are the same whenever
 * they are made. */
#define WORLD_DAYS 10
#define WORLD_DAY_NS UINT64_C(86400000000000)
#define WORLD_FIRST_NS UINT64_C(1767571200000000000)

/* The daemon's level of compression, and that for lack of room. */
enum { SEAL_LEVEL = 9, SEAL_LEVEL_PRESSED = 1 };

/* Set by a signal's handler, it ends filling and sealing behind the batch or the file at hand; a
 * store that is closed then can be opened and filled further. */
extern volatile sig_atomic_t world_stop;

struct world {
	struct disk disk;
	struct depot depot;
	uint64_t sequence;
	uint64_t traces;	       /* stored so far; the next one's number */
	struct profile_batch *batches; /* owned; PROFILE_SERVICES of them */
	double put_cpu_ns;	       /* of thread time, of the store's work alone */
};

/* Opens a store, or makes it; traces are numbered on from those that it holds. */
void world_open(const char *path, struct world *ret);
void world_close(struct world *world);

/* What was sealed, in all. */
struct world_sealed {
	uint64_t files;
	uint64_t spans;
	uint64_t text_bytes;
	uint64_t file_bytes;
	double cpu_ns;
};

/* Seals what takes no more spans, as the daemon would a day later; adds to *sum. */
void world_seal(struct world *world, int level, struct world_sealed *sum);

/* Stores about as many traces as a batch of the service with most spans has room for;
 * at most max_traces. Returns the traces stored. */
uint32_t world_store(struct world *world, uint32_t max_traces, bool snapshots, uint64_t start_ns,
	uint64_t trace_gap_ns);

/* How a store of traces_in_all is filled over WORLD_DAYS. */
struct world_plan {
	uint64_t traces_in_all;
	bool snapshots;
	int level;		     /* of compression */
	struct world_sealed *sealed; /* parts of full days are sealed; NULL: all stay plain */
};

/* Stores traces until there are so many. */
void world_fill(struct world *world, const struct world_plan *plan, uint64_t until);

#endif
