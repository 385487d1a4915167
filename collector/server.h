/*
 * The connections of the daemon: accepts them on listeners, and joins each
 * socket (uv_stream_t) with a connection.h.
 *
 * Keeps the numbers in bounds: connections, bytes of frames that are not whole,
 * bytes queued for a peer that doesn't read, TLS handshakes. Loop thread.
 */
#ifndef WAFT_COLLECTOR_SERVER_H
#define WAFT_COLLECTOR_SERVER_H

#include "clock.h"
#include "connection.h"
#include "listener.h"
#include "peers.h"
#include "tls.h"

#include <uv.h>

struct server;

struct server_config {
	uv_loop_t *loop;
	const struct clock *clock;
	const struct service_method *methods; /* borrowed */
	size_t method_count;
	uint32_t max_connections;
	uint64_t idle_ms;
	/* Bytes of frames that are not whole, over all connections. Beyond, new bytes
	 * are read in small pieces, and the slowest peers' silence ends them. */
	size_t frame_budget_bytes;
	struct peer_groups groups;   /* who has rights besides those of `access` */
	const struct access *access; /* borrowed; NULL: no rules */
	struct tls_context *tls;     /* borrowed; NULL: there is no TLS listener */
	struct quotas *quotas;	     /* borrowed; NULL: none */
};

struct server_counts {
	uint64_t connections; /* open now */
	uint64_t accepted;
	uint64_t refused;     /* for the limit, or gone for one that came then */
	uint64_t handshakes;  /* of TLS that are not done */
	uint64_t tls_failed;  /* handshakes that failed or took too long */
	uint64_t descriptors; /* passed unasked, and closed */
	uint64_t shed;	      /* ended: over the budget, or didn't read */
	uint64_t frame_bytes; /* of frames that are not whole */
	uint64_t queued_bytes;
	struct connection_counts frames;
};

int server_new(const struct server_config *config, struct server **ret) MUST_CHECK;

/* Starts to accept. Takes the listener's fd on success (listener_close with
 * fd_taken). */
int server_listen(struct server *server, const struct listener *listener) MUST_CHECK;

/* New limits. */
void server_configure(struct server *server, uint32_t max_connections, uint64_t idle_ms,
	struct peer_groups groups);

/* New rules and certificates, for connections from now on; the server borrows
 * them until the next call. Those before end with UNAVAILABLE, so that their
 * peers come back and are looked at anew; with `all` not set, only those over
 * TCP and TLS. */
void server_secure(
	struct server *server, const struct access *access, struct tls_context *tls, bool all);

/* Accepts no more. */
void server_stop_accepting(struct server *server);

/* Ends all connections with a status; each closes when its queue is sent. */
void server_shut(struct server *server, enum grpc_status status, const char *message,
	uint32_t retry_after_ms);

/* Closes everything at once; on_closed when the last handle is closed, then the
 * server is freed. */
void server_close(struct server *server, void (*on_closed)(void *context), void *context);

/* Connections that are not closed yet. */
size_t server_open_connections(const struct server *server);

void server_count(const struct server *server, struct server_counts *ret);

#endif
