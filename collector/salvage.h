/*
 * What a copy of a client's region holds, as messages of Export and as lines: a
 * parser, bytes in and records out. Nothing in the copy is trusted: lengths and
 * offsets are checked, walks end, memory is bounded by the region's size, and every
 * batch that comes out has been through the decoder (batch.h).
 *
 * Finished spans that are not durable become batches, drops without a record drop
 * records, open spans one more batch of pending spans. Any thread; one at a time for
 * each object.
 */
#ifndef WAFT_COLLECTOR_SALVAGE_H
#define WAFT_COLLECTOR_SALVAGE_H

#include "bytes.h"
#include "log.h"
#include "region_image.h"

/* Whose region it is, and when it was read. */
struct salvage_source {
	uint8_t client[16];
	const char *service; /* of the hello; borrowed; for a region without producer */
	uint64_t pid;
	uint64_t monotonic_ns; /* the same moment on both clocks */
	uint64_t realtime_ns;
};

struct salvage_message {
	enum log_kind kind; /* LOG_BATCH or LOG_DROP */
	uint64_t sequence;
	uint64_t spans;
	struct bytes bytes; /* the Batch, or the Drop */
};

struct salvage {
	struct salvage_message *messages; /* owned */
	size_t count;
	size_t capacity;
	struct bytes fence; /* a Fence message: what was taken */
	uint64_t finished;  /* spans */
	uint64_t open;
	uint64_t dropped;
	uint64_t damaged; /* chunks whose end made no sense */
};

/*
 * durable: the client's messages up to this number are stored already; the new
 * ones are numbered from the next on. 0; -ESTALE: the region is no longer this
 * client's, or it has given it up; -ENOMEM. *ret is to be freed in any case.
 */
int salvage_read(const struct region_image *image, const struct salvage_source *source,
	uint64_t durable, struct salvage *ret) MUST_CHECK;

/* Takes a zeroed one. */
void salvage_done(struct salvage *salvage);

/* The open spans as a Batch; no bytes when there are none. left_out: those beyond
 * what a batch takes. 0; -ESTALE, -ENOMEM. */
int salvage_open_spans(const struct region_image *image, const struct salvage_source *source,
	struct bytes *ret_batch, uint64_t *ret_spans, uint64_t *ret_left_out) MUST_CHECK;

#endif
