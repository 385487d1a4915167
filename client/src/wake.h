/*
 * How the sleeping sender is woken by other threads: a socket pair, not an
 * eventfd, since its inode tells it from the host's descriptors, and sending to
 * what is no socket does nothing.
 */
#ifndef WAFT_CLIENT_WAKE_H
#define WAFT_CLIENT_WAKE_H

#include <stdbool.h>

/* There may be something to do for the sender. From any thread; cheap when said
 * already. */
void wake_ring(void);

/* The rest is the sender's alone. Makes the pair if it is not there (any more).
 * Before a turn: what was said while there was none is looked at in it. Asks the kernel
 * for both ends. False: it was not there, and what was said meanwhile woke nobody. */
bool wake_open(void);

/* What to poll for reading; -1: nothing, who sleeps must look for himself. */
int wake_fd(void);

/* When there is something to read: what is said from now on wakes again. */
void wake_drain(void);

void wake_close(void);

/* In a child of fork(): forgets who held the lock, and closes. */
void wake_fork_child(void);

#endif
