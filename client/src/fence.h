/*
 * The client's side of a fence (docs/PROTOCOL.md, "Salvage"): a collector held this
 * process to be dead, stored what it found in its region, and now says what that was.
 * What it took counts as durable, the rest goes out again under a new uuid. The
 * sender's alone.
 */
#ifndef WAFT_CLIENT_FENCE_H
#define WAFT_CLIENT_FENCE_H

#include <stdint.h>

#include "ledger.h"
#include "slice.h"

/* Takes a Fence message in: no entry is left in the ledger, and all that is not
 * durable waits as if it had never been sent. durable: the response's
 * durable_sequence. What the collector says it took and was never there is passed
 * over. 0; -EPROTO or an ERR_ code when it makes no sense as a whole, and nothing has
 * changed. */
int fence_take(struct ledger *ledger, struct slice fence, uint64_t durable);

#endif
