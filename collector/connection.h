/*
 * The server's side of one connection: bytes in, calls out.
 *
 * Sans-I/O: a transport feeds it bytes and the time, it writes frames to a
 * `struct stream`. It knows frames, streams, deadlines and credit, and finds the
 * service of a method in a table; what a message means is the service's own.
 * Loop thread.
 *
 *     frames ─▶ connection ─▶ service->open ─▶ call ─▶ on_message, on_end …
 *
 * A service may finish a call inside any of its callbacks, or later; on_closed
 * comes exactly once for each call whose open succeeded, also when the peer
 * goes away, and never from inside call_finish: the connection calls it as soon
 * as no other callback of the call is running.
 */
#ifndef WAFT_COLLECTOR_CONNECTION_H
#define WAFT_COLLECTOR_CONNECTION_H

#include "access.h"
#include "errors.h"
#include "export.h"
#include "frame.h"
#include "quotas.h"
#include "stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct call;

struct call_ops {
	/* A MESSAGE; its bytes are borrowed for the call. */
	void (*on_message)(struct call *call, struct slice message, uint64_t now_ms);
	/* END: the caller sends no more. */
	void (*on_end)(struct call *call, uint64_t now_ms);
	/* More may be sent: credit came, or the stream's queue went down. May be NULL. */
	void (*on_writable)(struct call *call, uint64_t now_ms);
	/* The call is over; free what belongs to it. The call's memory goes after. */
	void (*on_closed)(struct call *call);
};

struct service_method {
	const char *path;
	unsigned int right; /* enum access_right that a caller needs; 0: none */
	const struct call_ops *ops;
	/*
	 * Begins a call: sets call->context. GRPC_OK, or the status with which the
	 * call is refused; then *ret_message may be set to a constant text and
	 * on_closed will not come.
	 */
	enum grpc_status (*open)(void *service, struct call *call, const struct call_header *header,
		uint64_t now_ms, const char **ret_message);
	void *service;
};

struct call {
	struct connection *connection;
	const struct service_method *method;
	void *context;	  /* the service's */
	struct peer peer; /* the connection's, with what the call's token gives it */
	uint32_t stream_id;
	uint64_t deadline_ms;  /* monotonic; 0: none */
	uint64_t credit_bytes; /* cumulative, as granted */
	uint64_t sent_bytes;   /* of MESSAGEs */
	bool ended;	       /* END came */
	bool finished;	       /* STATUS was sent, or the connection is going */
	struct call *next;     /* private */
};

/* Counts over all connections; written by the loop, read by anyone. */
struct connection_counts {
	uint64_t frames;
	uint64_t bad_frames;
	uint64_t bad_versions;
	uint64_t calls;
	uint64_t timeouts;
	uint64_t unauthenticated; /* calls of nobody that is known, or with a wrong token */
	uint64_t denied;	  /* calls of somebody without the right */
};

struct connection_config {
	const struct service_method *methods;
	size_t method_count;
	struct connection_counts *counts; /* borrowed; never NULL */
	const struct access *access;	  /* for tokens; NULL: there are none */
	struct quotas *quotas;		  /* borrowed; NULL: there are none */
	/* Silence inside a frame, or before the first call, that ends the connection;
	 * without any open call it may take 6 times as long. */
	uint64_t idle_ms;
	/* A call's messages wait while the stream has this much queued. */
	size_t queue_limit_bytes;
};

/* Borrows config and stream for its life. *ret_connection is owned by the caller. One
 * more than its client may have is made too, says so, and asks the stream to close. */
int connection_new(const struct connection_config *config, struct stream *stream,
	const struct peer *peer, uint64_t now_ms, struct connection **ret_connection) MUST_CHECK;

/* Frees; every call is closed first. NULL is ignored. */
void connection_free(struct connection *connection);

/* Takes bytes of the peer. After a fault it has asked the stream to close, and
 * takes no more. */
void connection_feed(
	struct connection *connection, const uint8_t *data, size_t length_bytes, uint64_t now_ms);

/* The stream's queue went down. */
void connection_on_drained(struct connection *connection, uint64_t now_ms);

/* Looks at deadlines and silence; call it about every 100 ms. */
void connection_tick(struct connection *connection, uint64_t now_ms);

/* The peer is gone: closes every call. Nothing is written any more. */
void connection_on_gone(struct connection *connection);

/* Ends all calls with a status, says so on stream 0, and asks the stream to
 * close. */
void connection_shut(struct connection *connection, enum grpc_status status, const char *message,
	uint32_t retry_after_ms);

/* Stops or resumes reading; a peer that isn't read is not held to be silent. */
void connection_set_reading(struct connection *connection, bool reading);

/* Whether it may do nothing by its socket or certificate, and no call of it was let in. */
bool connection_is_stranger(const struct connection *connection);

const struct peer *connection_peer(const struct connection *connection);
struct stream *connection_stream(struct connection *connection);

/* On whose account it is; NULL: there are no quotas, or a stranger's, or its client has too
 * many. */
struct quota_account *connection_account(const struct connection *connection);

/* Bytes of a frame that is not whole yet. */
size_t connection_pending_bytes(const struct connection *connection);

/* ---- For services -------------------------------------------------------- */

/* Whether a MESSAGE may be sent now: credit is left and the queue is short. */
bool call_writable(const struct call *call);

/* Sends a MESSAGE. Takes nothing; copies. -EAGAIN when not call_writable (nothing
 * was sent), ERR_LIMIT, -ENOMEM, -EPIPE when the call is finished. `unpaid`
 * messages need no credit and count for none (Export has its own). */
int call_send(struct call *call, struct slice message, bool unpaid) MUST_CHECK;

/* The same for a frame made by rpc_pack_frame with this call's stream id, which
 * is taken in any case. */
int call_send_frame(struct call *call, uint8_t *frame, size_t length_bytes) MUST_CHECK;

/* Ends the call: sends STATUS. A second one is ignored. message is copied. */
void call_finish(
	struct call *call, enum grpc_status status, const char *message, uint32_t retry_after_ms);

#endif
