/* emit.h: the load itself: processes, threads, trees of known shape. */
#ifndef WAFT_LOAD_EMIT_H
#define WAFT_LOAD_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"

struct emit_plan {
	const char *endpoint; /* NULL: the environment's */
	uint64_t rate;	      /* spans a second and thread; 0: as fast as it goes */
	uint64_t traces;      /* a thread; 0: until duration_ms or the deadline */
	uint32_t duration_ms; /* 0: until traces are done */
	uint32_t data_bytes;  /* of each input and output; 0: none */
	uint32_t shutdown_ms; /* bound of waft_shutdown */
	uint64_t in_flight;   /* spans without an answer at which threads wait; 0: never */
	bool spread;	      /* keep the rate by spans, not by whole traces */
	bool times;	      /* time each span's calls */
	int stop_fd;	      /* readable or at its end: stop; -1: none */
};

/* Runs process number `process` of the load in the calling process until the
 * plan is done, and writes its row. 0, or the negative result of waft_shutdown. */
int emit_process(struct ledger *ledger, uint32_t process, const struct emit_plan *plan);

#endif
