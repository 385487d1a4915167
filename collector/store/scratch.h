/*
 * scratch.h: memory that is handed out piecemeal and given back all at once.
 *
 * Used by the readers of the store for texts that can't be borrowed from a line
 * (those with escapes) and for results. Not thread-safe: one owner, one thread.
 */
#ifndef WAFT_STORE_SCRATCH_H
#define WAFT_STORE_SCRATCH_H

#include <stddef.h>

struct scratch_block;

/* Zero-initialise. */
struct scratch {
	struct scratch_block *blocks; /* the newest first */
	size_t used_bytes;	      /* in all blocks, slack included */
};

/* Returns size bytes aligned for any type, not zeroed; NULL when there is no memory.
 * Valid until scratch_reset or scratch_done. */
void *scratch_alloc(struct scratch *scratch, size_t size);

/* Copies length bytes and adds a NUL; NULL when there is no memory. */
char *scratch_copy(struct scratch *scratch, const void *data, size_t length);

/* Gives everything back, but keeps one block for what comes next. */
void scratch_reset(struct scratch *scratch);

/* Gives everything back. A zero-initialised or released one is fine. */
void scratch_done(struct scratch *scratch);

#endif
