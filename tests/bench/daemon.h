/* daemon.h: a waft-collectord of the same build, with a store of its own. */
#ifndef WAFT_BENCH_DAEMON_H
#define WAFT_BENCH_DAEMON_H

#include <stdint.h>
#include <sys/types.h>

#include "support/wire_client.h"

struct daemon {
	pid_t pid;
	char *directory;   /* owned */
	char *socket;	   /* owned */
	char *store;	   /* owned */
	double started_ns; /* before it was, by CLOCK_MONOTONIC */
};

struct daemon_usage {
	double cpu_s;
	double written_bytes; /* of files and sockets */
};

/* Starts one with these options (a list that ends with NULL, or NULL), and waits until it says
 * that it is ready. */
void daemon_start(const char *const *options, struct daemon *ret);
/* Ends it by SIGTERM, so that all goes to files, and removes its store. ret may be
 * NULL. */
void daemon_stop(struct daemon *daemon, struct daemon_usage *ret);

/* Sends a trace of its own as batch number sequence and waits until it is durable. */
void daemon_probe(struct wire_client *client, uint64_t sequence);

/* Resident memory now, in MiB. */
double daemon_rss_mib(const struct daemon *daemon);

#endif
