/*
 * client.h: HTTP to the decision service, one request at a time, on libcurl.
 * One thread.
 */
#ifndef ENGINE_DECIDE_CLIENT_H
#define ENGINE_DECIDE_CLIENT_H

#include <stdbool.h>

#include "fault.h"
#include "text.h"

/* Owned; client_answer_done. */
struct client_answer {
	long status;
	struct text body;
	char *location; /* the header, or NULL */
};

void client_answer_done(struct client_answer *answer);

/* Sends a request with the thread's trace context. url: scheme, host and port.
 * body: JSON, or NULL for GET. 0 for any HTTP status; else a negative code with
 * fault: the service cannot be reached, or its answer is over 64 MiB. */
int client_ask(const char *url, const char *path, const struct text *body,
	struct client_answer *ret_answer, struct fault *fault) __attribute__((warn_unused_result));

/* Whether url names a server by HTTP or HTTPS; without a scheme HTTP is meant. */
bool client_url_fits(const char *url);

/* Appends text to out as one part of a URL's path or query. */
void client_escape(struct text *out, const char *text);

#endif
