/*
 * run_scan.h: the runs in a stretch of lines: maximal stretches of one trace.
 * Used where no index says them. One thread at a time.
 */
#ifndef WAFT_STORE_RUN_SCAN_H
#define WAFT_STORE_RUN_SCAN_H

#include "index_run.h"
#include "scan.h"

struct run_scan_ops {
	/* A run; a result other than 0 ends the scan and is returned. */
	int (*on_run)(void *ctx, const struct index_run *run);
	/* A line that is no record, and why; may be NULL. */
	void (*on_bad)(void *ctx, uint64_t offset, uint64_t number, const char *why);
	void *ctx;
	bool open_end; /* a last line without newline counts when it is a record */
};

/* Scans [from, to). *ret_end: where the next line will begin. 0, -ENOMEM, or what
 * reading or on_run returned. */
int run_scan(struct source *source, uint64_t from, uint64_t to, struct scan_buffer *buffer,
	const struct run_scan_ops *ops, uint64_t *ret_end) MUST_CHECK;

#endif
