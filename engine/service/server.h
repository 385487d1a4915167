/*
 * server.h: the decision engine over HTTP. Each connection has a thread of
 * libmicrohttpd's; a request that has to be computed waits there for a worker.
 */
#ifndef ENGINE_SERVER_H
#define ENGINE_SERVER_H

#include <stddef.h>

#include "fault.h"
#include "pool.h"
#include "store.h"

struct server;

struct server_options {
	int fd;		     /* listening; taken on success */
	const char *address; /* of fd, for messages; outlives the server */
	struct pool *pool;
	struct store *store;
};

/* Starts answering. Borrows pool and store. */
int server_start(const struct server_options *options, struct server **ret_server,
	struct fault *fault) __attribute__((warn_unused_result));

/* Takes no more connections, lets requests under way finish for timeout_ms, and
 * stops. NULL-safe. */
void server_stop(struct server *server, int64_t timeout_ms);

#endif
