/*
 * Where the socket and the store are when nobody says so.
 *
 * The socket's order is the client's search order (client/): $XDG_RUNTIME_DIR/waft/
 * collector.sock, /run/waft/collector.sock, /tmp/waft-$UID/collector.sock; the
 * first whose directory can be had. Loop thread, at start.
 */
#ifndef WAFT_COLLECTOR_PATHS_H
#define WAFT_COLLECTOR_PATHS_H

#include "errors.h"

#include <stdbool.h>
#include <sys/types.h>

/* What the environment says, so that tests can say something else. */
struct paths_environment {
	const char *runtime_dir; /* XDG_RUNTIME_DIR */
	const char *state_dir;	 /* STATE_DIRECTORY: started as a service */
	const char *run_dir;	 /* "/run/waft" */
	const char *temporary;	 /* "/tmp" */
	uid_t uid;
};

void paths_environment_read(struct paths_environment *ret);

/* The socket's path, owned by the caller; its directory is there, ours, and
 * closed to others where it lies in a place that others can write to. -ENOENT
 * when no place will do, -ENOMEM. */
int paths_socket(const struct paths_environment *environment, char **ret_path) MUST_CHECK;

/* Makes the directory of a socket whose path was given, if it is missing, with
 * mode 0700. 0 or a negative errno. */
int paths_make_parent(const char *path) MUST_CHECK;

/* The store's directory, owned by the caller: the service's, else
 * _pyrite/analytics/traces under the working directory. 0 or -ENOMEM. */
int paths_store(const struct paths_environment *environment, char **ret_path) MUST_CHECK;

#endif
