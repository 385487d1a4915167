/*
 * endpoint.h: where traces are read when nobody says where.
 *
 * The same order as libwaft's, so that waftctl finds the collector that a
 * program beside it talks to. Thread-safe as far as the environment is.
 */
#ifndef WAFT_CLI_ENDPOINT_H
#define WAFT_CLI_ENDPOINT_H

#include "errors.h"

#include <stdbool.h>
#include <stddef.h>

enum endpoint_kind {
	ENDPOINT_UNIX, /* unix:PATH, and tcp:// and tls:// with the scheme in the path */
	ENDPOINT_FILE, /* file:DIR */
};

/* Whether it is tcp://… or tls://…. */
bool endpoint_is_remote(const char *text);

/* Splits "unix:PATH" or "file:DIR"; *ret_path points into text. A text without a
 * scheme is a socket when it begins with "/" and ends in ".sock", else -EINVAL.
 * 0 or -EINVAL. */
int endpoint_parse(
	const char *text, enum endpoint_kind *ret_kind, const char **ret_path) MUST_CHECK;

/* What is wrong with the text as an endpoint, to stand behind it ("has no port"), or
 * NULL. Asks nobody and opens nothing. */
const char *endpoint_problem(const char *text);

enum { ENDPOINT_PATH_BYTES = 256, ENDPOINT_SEARCH_MAX = 3 };

/* The sockets to try, in order; returns how many. One in /tmp is left out unless
 * its directory is the user's own and nobody else can write there. */
size_t endpoint_search(char ret_paths[ENDPOINT_SEARCH_MAX][ENDPOINT_PATH_BYTES]);

/* The directories to try, in order; NULL-terminated. */
extern const char *const endpoint_stores[];

/* WAFT_ENDPOINT; NULL: unset, empty, or the program is set-uid. */
const char *endpoint_environment(void);

#endif
