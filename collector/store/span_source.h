/*
 * Spans of the log, ready to be written: records with their decoded batch and
 * the pieces of its lines, kept for a while because the spans of a trace come from
 * several batches and those of a batch go to many traces.
 *
 * Used by writer.c alone, on its thread.
 */
#ifndef WAFT_STORE_SPAN_SOURCE_H
#define WAFT_STORE_SPAN_SOURCE_H

#include "batch.h"
#include "line.h"
#include "log.h"

struct span_source {
	struct log_place place; /* segment 0: free */
	struct bytes data;	/* the record's bytes, owned */
	struct log_record record;
	struct batch batch;
	struct batch_iter iter;
	struct line_writer lines;
	size_t memory;
	uint64_t used;
	int error; /* the record can't be read, for good; it stays so */
};

struct span_sources;

/* cache_bytes: 0 for 8 MiB. */
MUST_CHECK int span_sources_new(
	struct disk *disk, int log_dir, size_t cache_bytes, struct span_sources **ret);
void span_sources_free(struct span_sources *sources);

/* The record at place. *ret is valid until the next call. 0, also when the record is bad:
 * see its error, and data for what bytes there are. -EIO, -ENOMEM, …: try again later. */
MUST_CHECK int span_sources_get(
	struct span_sources *sources, struct log_place place, struct span_source **ret);

/* The span at that place of a record is to be decoded soon: if the record is kept, its bytes are
 * fetched meanwhile. */
void span_sources_expect(
	const struct span_sources *sources, struct log_place place, struct span_place span);

/* Drops what is kept of segments below first_needed. */
void span_sources_forget(struct span_sources *sources, uint32_t first_needed);

#endif
