/*
 * Deletes large files without waiting until what they took is free, which is where the time goes:
 * a file system that tells its device so at once (the mount option `discard`) takes 0.1 to
 * 1.5 s for 1 GiB. A file is opened before its name goes, and closed by another thread. One at
 * a time: whoever deletes faster than room is freed waits. One thread at a time.
 */
#ifndef WAFT_STORE_REMOVER_H
#define WAFT_STORE_REMOVER_H

#include <pthread.h>

#include "disk.h"

struct remover {
	struct disk *disk;
	pthread_t thread;
	bool busy;
	int file; /* that the thread closes */
};

/* Waits until all that was deleted is free. */
void remover_done(struct remover *remover);

/* As disk_unlink. */
MUST_CHECK int remover_unlink(struct remover *remover, int dir, const char *name);

#endif
