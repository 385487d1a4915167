/* load.h: three services that make traces of 8 spans together, each a process
 * with libwaft of its own. The first begins the traces and hands their contexts to
 * the others. */
#ifndef WAFT_BENCH_LOAD_H
#define WAFT_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "profile.h"

struct load_plan {
	const char *endpoint;
	double seconds; /* of making spans */
	double rate;	/* spans a second; 0: as fast as they are acknowledged */
	bool snapshots;
};

struct load {
	pid_t pids[PROFILE_SERVICES];
	int results[PROFILE_SERVICES];
	double begin_ns;
};

struct load_result {
	double spans;
	double durable; /* of them; the others were dropped */
	double seconds; /* until the last was acknowledged */
	double cpu_s;
};

void load_start(const struct load_plan *plan, struct load *ret);
/* Waits for its end. */
void load_finish(struct load *load, struct load_result *ret);

#endif
