/*
 * /metrics and /healthz over HTTP, by libmicrohttpd, driven by the daemon's loop:
 * no thread of its own. Loopback only, unless configured. Loop thread.
 */
#ifndef WAFT_COLLECTOR_HTTP_H
#define WAFT_COLLECTOR_HTTP_H

#include "errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct http;

struct http_config {
	uv_loop_t *loop;
	int fd; /* of http_listen; taken on success */
	/* The body for a path: owned by the caller, NULL when there is no such path;
	 * *ret_status is the HTTP status. */
	char *(*body)(void *context, const char *path, size_t *ret_length,
		const char **ret_content_type, unsigned int *ret_status);
	void *context;
};

/* Listens on HOST:PORT; port 0 takes a free one. 0, or a negative errno: -EPERM for an
 * address beyond loopback when that isn't allowed, -EINVAL for what is no address. */
int http_listen(const char *address, bool remote, int *ret_fd) MUST_CHECK;

/* Answers from now on. 0 or a negative errno. */
int http_start(const struct http_config *config, struct http **ret) MUST_CHECK;

/* The port that it listens on. */
unsigned int http_port(const struct http *http);

/* on_closed comes later, on the loop; then it is freed. */
void http_close(struct http *http, void (*on_closed)(void *context), void *context);

#endif
