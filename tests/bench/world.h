/* world.h: the collector's store without the daemon, filled as fast as it goes: log,
 * parts, manifest and index by the same code. One thread. */
#ifndef WAFT_BENCH_WORLD_H
#define WAFT_BENCH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/depot.h"
#include "profile.h"

struct world {
	struct disk disk;
	struct depot depot;
	uint64_t sequence;
	uint64_t traces;	       /* stored so far; the next one's number */
	struct profile_batch *batches; /* owned; PROFILE_SERVICES of them */
	double put_cpu_ns;	       /* of thread time, of the store's work alone */
};

void world_open(const char *path, struct world *ret);
void world_close(struct world *world);

/* What was sealed, in all. */
struct world_sealed {
	uint64_t files;
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

#endif
