/*
 * TLS on the sender's socket, by libwaft-tls.so, which is loaded when it is first
 * wanted: from the directory that libwaft itself is in, else from where the
 * system finds libraries. The sender's alone.
 */
#ifndef WAFT_CLIENT_SECURE_H
#define WAFT_CLIENT_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "descriptor.h"
#include "slice.h"

/* Begins a session; files are read each time, so that new ones count at the next
 * connection. 0 or a negative errno, with the reason complained about once. */
int secure_begin(const struct config *config);

/* Ends it; also when there is none. */
void secure_end(struct descriptor *socket);

/* Whether there is one. */
bool secure_active(void);
/* Whether cipher text waits for room in the socket. */
bool secure_blocked(void);

/* Encrypts and sends, and what receiving has to say: 1: all; 0: the socket is full, or the
 * handshake is not done; or a negative errno. What was taken is taken off *bytes. */
int secure_send(struct descriptor *socket, struct slice *bytes);

/* Receives plain text, and goes on with the handshake: how much, -EAGAIN: none now; -ECONNRESET:
 * the collector has gone; another negative errno. */
ssize_t secure_receive(struct descriptor *socket, void *ret_bytes, size_t size);

/* In a child of fork(): the session is the parent's. */
void secure_fork_child(void);

#endif
