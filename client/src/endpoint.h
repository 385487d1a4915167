/* Finding and connecting to the collector's Unix socket. The sender's alone. */
#ifndef WAFT_CLIENT_ENDPOINT_H
#define WAFT_CLIENT_ENDPOINT_H

#include "config.h"

/* A connected, non-blocking, close-on-exec socket, or a negative errno. Without
 * a set endpoint the usual places are tried in order: in $XDG_RUNTIME_DIR, in
 * /run, in the user's own directory under /tmp (only if it is his, and closed to
 * others). Does not block. */
int endpoint_connect(const struct config *config);

#endif
