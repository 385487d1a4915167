/*
 * How the sleeping sender is woken by other threads: a socket pair, not an
 * eventfd, since its inode tells it from the host's descriptors, and sending to
 * what is no socket does nothing. Who has no connection to look at besides needs no
 * descriptor, which the host could close: he waits for a condition.
 */
#ifndef WAFT_CLIENT_WAKE_H
#define WAFT_CLIENT_WAKE_H

#include <stdbool.h>
#include <stdint.h>

/* There may be something to do for the sender. From any thread; cheap when said
 * already. */
void wake_ring(void);

/* Before there is a sender: whether it will look at a connection. Without, there is never a
 * pair, and wake_rest is how it sleeps. */
void wake_prepare(bool connects);

/* The rest is the sender's alone. Whether anybody can wake it; if not, who sleeps must look
 * for himself. */
bool wake_works(void);

/* Makes the pair if it is not there (any more).
 * Before a turn: what was said while there was none is looked at in it. Asks the kernel
 * for both ends. False: it was not there, and what was said meanwhile woke nobody.
 * Does nothing where there is no pair to be. */
bool wake_open(void);

/* What to poll for reading; -1: nothing. */
int wake_fd(void);

/* When there is something to read: what is said from now on wakes again. */
void wake_drain(void);

/* Sleeps without a descriptor, until woken or at most so long; UINT64_MAX: no limit. */
void wake_rest(uint64_t ns);

void wake_close(void);

/* In a child of fork(): forgets who held the lock, and closes. */
void wake_fork_child(void);

#endif
