/*
 * server_routes.h: what each path answers. Called by server.c in the thread of
 * the connection, inside the request's span.
 */
#ifndef ENGINE_SERVER_ROUTES_H
#define ENGINE_SERVER_ROUTES_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "analysis.h"
#include "store.h"
#include "text.h"
#include "worker.h"

struct routes_context {
	struct analysis_core core;
	struct store *store;
};

/* One request while its body comes in. */
struct exchange {
	struct text body;
	size_t received_bytes;
	bool too_large;
};

/* The route that serves url, for the middleware: literal, or NULL. */
const char *routes_name(void *cls, const char *method, const char *url);

/* Queues the answer to a request whose body is complete. */
enum MHD_Result routes_answer(const struct routes_context *context,
	struct MHD_Connection *connection, const char *method, const char *url,
	const struct text *body);

/* Queues {"detail", "trace_id"} and marks the request's span failed. allow: the
 * header Allow, or NULL. */
enum MHD_Result routes_error(struct MHD_Connection *connection, unsigned int status,
	const char *allow, const char *detail);

#endif
