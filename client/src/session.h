/*
 * One connection to a collector, as bytes in and effects on the ledger: the
 * client's side of Export (docs/PROTOCOL.md). No I/O, no clock, no memory of
 * its own; bounded whatever the collector sends. The sender's alone.
 *
 *     session_begin ─▶ HELLO ──welcome──▶ OPEN ──goodbye sent──▶ LEAVING ─▶ DONE
 *                        └──────── any failure: the connection ends ────┘
 */
#ifndef WAFT_CLIENT_SESSION_H
#define WAFT_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger.h"
#include "slice.h"

enum {
	SESSION_IN_BYTES = 64 * 1024, /* the largest frame taken from a collector */
	SESSION_OUT_BYTES = 2560,
	SESSION_SAID_BYTES = 256,
	SESSION_RETRY_LIMIT_MS = 60000,
};

enum session_state { SESSION_HELLO = 0, SESSION_OPEN, SESSION_LEAVING, SESSION_DONE };

struct session {
	enum session_state state;
	uint64_t credit;	 /* payload bytes allowed since hello */
	uint64_t sent;		 /* of these used */
	uint32_t retry_after_ms; /* the collector asks for it */
	bool refused_version;
	uint32_t status;	       /* of a call that the collector ended */
	char said[SESSION_SAID_BYTES]; /* with it; printable */
	size_t out_length;	       /* control frames to be sent before all else */
	uint8_t out[SESSION_OUT_BYTES];
	size_t in_length;
	uint8_t in[SESSION_IN_BYTES];
};

/* Who says hello. */
struct session_client {
	const uint8_t *id;
	const char *service;
	uint64_t pid;
	bool region;	   /* a descriptor goes along */
	const char *token; /* to show; "" or NULL: none */
};

/* A new connection: CALL and hello are in out. */
void session_begin(
	struct session *session, const struct ledger *ledger, const struct session_client *client);

/* Bytes from the collector. 0; -ESTALE: it has forgotten this client; -EPROTO or
 * an ERR_ code: it doesn't keep to the protocol; -ECONNABORTED: it ended the
 * call (retry_after_ms). After a failure the connection is to be closed. */
int session_receive(
	struct session *session, struct ledger *ledger, const uint8_t *bytes, size_t length);

/* Whether a frame with a request may be sent. */
bool session_may_send(const struct session *session);
/* Counts a request's frame. */
void session_sent(struct session *session, size_t frame_bytes);

/* Puts the goodbye into out. */
void session_leave(
	struct session *session, uint64_t emitted, uint64_t unknown, uint64_t not_sampled);

/* A hello or goodbye as one MESSAGE frame, for sockets and files alike; its
 * length. */
size_t session_hello_frame(
	uint8_t *to, size_t size, const struct ledger *ledger, const struct session_client *client);
size_t session_goodbye_frame(
	uint8_t *to, size_t size, uint64_t emitted, uint64_t unknown, uint64_t not_sampled);

#endif
