/*
 * The sender thread: takes what threads publish and brings it to the collector
 * or into a file, keeps it until it is answered, and says what became of it.
 *
 * It is made with the process's first span, blocks all signals, allocates
 * nothing, and is the only one that touches ledger, session and socket. Others
 * talk to it by wake_ring, sender_flush and sender_stop.
 *
 * When nothing is left to do it sleeps without limit: it rings every thread's
 * bell first, so that the next span wakes it (a membarrier orders the bell
 * against spans that are being published; without that system call it looks
 * once per batch age instead).
 */
#ifndef WAFT_CLIENT_SENDER_H
#define WAFT_CLIENT_SENDER_H

#include <stdbool.h>
#include <stdint.h>
#include <waft/waft.h>

/* Before the first thread of an incarnation. */
void sender_prepare(void);

/* In a child: forgets the parent's sender, closes what of its descriptors is
 * still there. May run twice. */
void sender_fork_child(void);

/* In a child, before sender_fork_child: whether the parent's had its thread. */
bool sender_was_started(void);

/* Makes the thread if there is none. */
void sender_start(void);

/* Waits until all that was published before is answered. 0 or -ETIMEDOUT. */
int sender_flush(uint32_t timeout_ms);

/* Sends what is left and ends the thread. patient: goes on trying until then
 * even when no collector was ever there and none is named. */
void sender_stop(uint32_t timeout_ms, bool patient);

/* The counts of now. */
void sender_stats(struct waft_stats *ret_stats);

#endif
