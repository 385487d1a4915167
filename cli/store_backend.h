/*
 * store_backend.h: what the parts of the store's backend share.
 */
#ifndef WAFT_CLI_STORE_BACKEND_H
#define WAFT_CLI_STORE_BACKEND_H

#include "backend.h"
#include "filter.h"

struct reader;
struct stats;
struct trace_summary;

struct store_backend {
	struct backend backend;
	struct reader *reader;
	char *directory;
};

/* A viewer's filter as the store's. Borrows its texts. */
struct store_filter {
	struct filter filter;
	struct filter_attribute *attributes;
};

/* 0, -EINVAL (said in the backend's error) or -ENOMEM. */
int store_filter_init(struct store_filter *made, struct backend *backend,
	const struct waft_trace_filter *filter) MUST_CHECK;
void store_filter_done(struct store_filter *made);

/* What the queries return as what the viewer does. 0 or -ENOMEM. */
int store_summary_add(struct listing *into, const struct trace_summary *from) MUST_CHECK;
int store_figures_add(struct figures *into, const struct stats *stats) MUST_CHECK;

/* store_tail.c */
int store_tail(struct backend *backend, const struct waft_trace_filter *filter,
	backend_line_fn on_line, void *arg);
/* store_status.c */
int store_status(struct backend *backend, struct status_build *into);

#endif
