/* Finding the collector and connecting to it. The sender's alone. */
#ifndef WAFT_CLIENT_ENDPOINT_H
#define WAFT_CLIENT_ENDPOINT_H

#include "config.h"

#include <stdbool.h>
#include <stdint.h>

/* A connected, non-blocking, close-on-exec socket, or a negative errno. Without
 * a set endpoint the usual places are tried in order: in $XDG_RUNTIME_DIR, in
 * /run, in the user's own directory under /tmp (only if it is his, and closed to
 * others); -EAGAIN: a collector is there and has no room in its backlog. TCP and TLS: one that is
 * about to be connected, to the next of the host's addresses; -EINPROGRESS: they are looked up, ask
 * again soon. Does not block. */
int endpoint_connect(const struct config *config, uint64_t now_ns);

/* The host's addresses are looked up, or some were not tried yet. */
bool endpoint_busy(void);

#endif
