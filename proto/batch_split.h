/*
 * Splits a batch by trace, for several gateways (docs/PROTOCOL.md, "Partitions"): each
 * part is a batch that decodes from its own bytes alone, with its spans' bytes as they
 * were. All spans of a trace come to the same partition, on every machine.
 *
 *     batch_split_open(&split, bytes, length);
 *     for each bit of split.partitions: batch_split_write(&split, partition, &writer);
 *     batch_split_done(&split);
 *
 * One thread at a time. Memory: 12 bytes a span, and what struct batch has.
 */
#ifndef WAFT_PROTO_BATCH_SPLIT_H
#define WAFT_PROTO_BATCH_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "cursor.h"
#include "errors.h"

/* The partition of a trace, 0 to WIRE_PARTITIONS - 1: the upper 6 bits of id_mix of the id's
 * last 56 bits as a big-endian number. */
unsigned int trace_partition(const struct trace_id *id);

struct split_span;

struct batch_split {
	uint64_t partitions; /* a bit for each that has spans */
	uint32_t spans[WIRE_PARTITIONS];
	/* Private. */
	struct batch batch;
	struct split_span *list; /* owned; in order of the wire */
	uint32_t count;
	uint32_t capacity;
	uint32_t section_spans; /* offset of the first span of the section being read */
	uint8_t *used;		/* owned; a flag per shape */
	uint32_t used_capacity;
};

/* Reads the batch; bytes are borrowed until the next open or done. Zero-initialised or
 * opened before. 0, or why the batch is to be refused as a whole, or -ENOMEM. */
int batch_split_open(struct batch_split *split, const void *bytes, size_t length_bytes) MUST_CHECK;

/* Writes the batch of one partition that has spans: never more bytes than the whole has. The
 * writer's error tells of missing room. */
void batch_split_write(struct batch_split *split, unsigned int partition, struct writer *writer);

void batch_split_done(struct batch_split *split);

#endif
