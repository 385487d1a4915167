/*
 * The sockets on which the daemon listens, made, taken over and taken away.
 *
 * A Unix socket is guarded by a lock file beside it (PATH.lock), held as long as
 * the daemon lives: who has the lock may remove a socket that a dead daemon left.
 * A socket that answers, or a file that is no socket, is left alone. Only file
 * descriptors here, no loop. Loop thread, at start and end.
 */
#ifndef WAFT_COLLECTOR_LISTENER_H
#define WAFT_COLLECTOR_LISTENER_H

#include "errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct listener {
	int fd;	      /* listening; -1: none */
	int lock_fd;  /* -1: none */
	char *path;   /* owned; of a Unix socket that we made, else NULL */
	dev_t device; /* of that socket's file */
	ino_t inode;
	bool tcp;
	bool tls;	/* over tcp */
	char name[160]; /* "unix:/run/waft/collector.sock" */
};

/* Why a call failed, for people. */
struct listener_error {
	char text[256];
};

/* Makes a Unix socket at path with these permissions. 0; -EADDRINUSE: another
 * program listens there; -EEXIST: something else is there; or a negative errno.
 * On success *ret needs listener_close. */
int listener_open_unix(const char *path, mode_t mode, struct listener *ret,
	struct listener_error *ret_error) MUST_CHECK;

/* Listens on "tcp://ADDRESS:PORT", only loopback addresses, or on
 * "tls://ADDRESS:PORT". Port 0 takes a free one; name says which. */
int listener_open_tcp(
	const char *endpoint, struct listener *ret, struct listener_error *ret_error) MUST_CHECK;

/* Reads "ADDRESS:PORT", "[ADDRESS]:PORT" or "localhost:PORT"; no names are looked
 * up. 1: a loopback address, 0: another, -EINVAL. */
int listener_parse_address(
	const char *text, struct sockaddr_storage *ret, socklen_t *ret_length) MUST_CHECK;

/* Takes over a listening socket that systemd passed (sd_listen_fds). */
int listener_adopt(int fd, struct listener *ret, struct listener_error *ret_error) MUST_CHECK;

/* Closes the descriptors, and removes the socket's file if it is still the one we
 * made. The fd is not closed when `fd_taken`: a loop's handle owns it. */
void listener_close(struct listener *listener, bool fd_taken);

#endif
