/*
 * Who is at the other end of a socket, and what they may do.
 *
 * Root and the daemon's own user may do everything; members of the query group
 * may query; whoever could connect may send. Peers on TCP (loopback) are not known
 * and may send only. Any thread.
 */
#ifndef WAFT_COLLECTOR_PEERS_H
#define WAFT_COLLECTOR_PEERS_H

#include "stream.h"

#include <sys/types.h>

/* query_gid -1: no group. */
void peer_of_socket(int fd, uid_t own_uid, gid_t query_gid, struct peer *ret_peer);

/* The number of a group by its name; -1 when there is none. Reads the system's
 * databases: at start and reload only. */
gid_t peers_group(const char *name);

#endif
