/*
 * backend.h: where a viewer reads from: files, or a collector.
 *
 * One table of functions, so that all that is built on it works alike with the
 * daemon and without. A backend is used by one thread at a time. Functions return
 * 0 or a negative errno and then have said in backend->error what failed.
 */
#ifndef WAFT_CLI_BACKEND_H
#define WAFT_CLI_BACKEND_H

#include "build.h"
#include "open_build.h"
#include "strbuf.h"

#include <waft/viewer.h>

/* What to do when no collector answers, for the end of a message. */
#define BACKEND_NOT_ALLOWED                                                                     \
	"\nRoot and the members of group waft may read traces: usermod -aG waft USER, and log " \
	"in again."
#define BACKEND_NO_COLLECTOR \
	"\nIs waft-collectord running? Without it, --store DIR reads a directory of traces."

enum { BACKEND_PLACES_MAX = WAFT_VIEWER_PLACES_MAX };

struct backend;

/* A line that became durable; line.data NULL when only missed is told. Another
 * result than 0 ends the tail and is its result. */
typedef int (*backend_line_fn)(struct slice line, uint64_t missed, void *arg);

struct backend_ops {
	int (*list)(struct backend *backend, const struct waft_trace_filter *filter, size_t limit,
		struct listing *into);
	/* The records of the trace that id means, in any order. -ENOENT, -ENOTUNIQ. */
	int (*get)(struct backend *backend, const char *id, struct trace_build *into);
	int (*tail)(struct backend *backend, const struct waft_trace_filter *filter,
		backend_line_fn on_line, void *arg);
	int (*stats)(struct backend *backend, const struct waft_trace_filter *filter,
		struct figures *into);
	int (*status)(struct backend *backend, struct status_build *into);
	/* service "": of all. -ENOTSUP. */
	int (*open_spans)(struct backend *backend, const char *service, struct open_build *into);
	/* Lines of files that are no records, met since it was opened. NULL: reads no files. */
	uint64_t (*passed_over)(const struct backend *backend);
	/* Appends what the reader of an answer should know of what is missing from it, each
	 * thing a sentence that starts a line; nothing when all is well. */
	void (*warn)(struct backend *backend, struct strbuf *text);
	void (*close)(struct backend *backend);
};

struct backend {
	const struct backend_ops *ops;
	struct strbuf error; /* of the last call that failed */
	uint32_t timeout_ms; /* of one call; files don't look at it */
};

/* The files in a directory. -ENOENT, -ENOTDIR, -EACCES: *error says it. */
int backend_store_open(
	const char *directory, struct backend **ret_backend, struct strbuf *error) MUST_CHECK;

/* The collector behind a Unix socket; connects once to see that it is there.
 * -ENOENT, -ECONNREFUSED, -EACCES, -ETIMEDOUT: *error says it. */
int backend_rpc_open(const char *path, uint32_t timeout_ms, struct backend **ret_backend,
	struct strbuf *error) MUST_CHECK;

/* Puts a place beside those of *backend, which becomes a backend that reads them all as
 * one; both are taken. -E2BIG: that is too many; -ENOMEM. */
int backend_many_add(struct backend **backend, struct backend *place) MUST_CHECK;

/* Sets backend->error and returns code. */
int backend_fail(struct backend *backend, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Says that no trace goes by that id; with -EINVAL also what an id looks like.
 * Returns code. */
int backend_no_trace(struct backend *backend, int code, const char *id);

#endif
