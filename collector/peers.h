/*
 * Who is at the other end of a socket, and what they may do.
 *
 * On a Unix socket: what access.h says of the user and groups; members of the
 * query group may also query, members of the admin group administer. On plain TCP (loopback) the
 * peer is not known: it may send while there are no rules, and needs a token once there are. Any
 * thread.
 */
#ifndef WAFT_COLLECTOR_PEERS_H
#define WAFT_COLLECTOR_PEERS_H

#include "access.h"
#include "stream.h"

#include <sys/types.h>

/* Whose members have a right beside what the rules say; -1: no group. */
struct peer_groups {
	gid_t query;
	gid_t admin;
};

/* access NULL: no rules. */
void peer_of_socket(
	int fd, const struct access *access, struct peer_groups special, struct peer *ret_peer);

/* What a socket's SO_PEERCRED says, without rights of user and groups; a uid of -1: it is
 * no Unix socket. A process of another PID namespace has no pid: it is nobody known, but has
 * its user. */
struct ucred;
void peer_of_credentials(
	const struct ucred *credentials, const struct access *access, struct peer *ret_peer);

/* The number of a group by its name; -1 when there is none. Reads the system's
 * databases: at start and reload only. */
gid_t peers_group(const char *name);

/* A pidfd of the process that connected a Unix socket, or a negative errno; pid: as
 * peer_of_socket found it. Owned by the caller. Never one of a process that has that
 * pid by now only. */
int peer_pidfd(int fd, uint32_t pid);

#endif
