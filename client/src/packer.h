/*
 * Batches out of chunks: cutting what is published into stretches, and writing
 * a batch's frame from its stretches, the same bytes each time. The sender's
 * alone. Nothing is allocated after packer_init.
 */
#ifndef WAFT_CLIENT_PACKER_H
#define WAFT_CLIENT_PACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "ledger.h"
#include "region.h"
#include "slice.h"
#include "wire.h"

enum {
	/* Of a Batch message, at most. Without the room for its head, which is never needed
	 * whole, it is what Linux lets wait in a socket: a batch then goes in one piece. */
	PACKER_BYTES = 224 * 1024,
	PACKER_SECTIONS = 256,
	PACKER_CUTS = 64,
	PACKER_STREAM = 1, /* the Export call's stream id */
};

struct section {
	const uint8_t *spans;
	uint32_t length;
	uint64_t id_base;
	uint64_t clock_base;
	uint64_t thread;
	struct slice trace; /* a Trace message, absent when the first span has its own */
};

struct packer {
	uint8_t *frame; /* WIRE_PAYLOAD_LIMIT + header */
	uint32_t *seen; /* by shape: the number of the batch that used it last */
	uint32_t number;
	uint32_t shape_count;
	uint32_t section_count;
	size_t bytes; /* of the Batch message so far */
	uint64_t spans;
	uint64_t made; /* the sequence of the batch that was cut just now; 0: none */
	uint16_t *shapes;
	struct section sections[PACKER_SECTIONS];
};

/* Once per process. 0 or -ENOMEM. */
int packer_init(struct packer *packer);

/* Bytes that are published and in no batch. */
size_t packer_waiting(void);

/* Cuts what is waiting into the next entry, as much as a batch takes; false:
 * nothing is waiting, or there is no room for its bookkeeping. */
bool packer_cut(struct packer *packer, struct ledger *ledger);

/* Goes over a chunk's bytes from what is cut to an offset as if they were cut; the
 * spans in them. False, and nothing has changed: it is not an offset to go to. */
bool packer_pass(struct chunk *chunk, uint32_t to, uint64_t *ret_spans);

/* The frame of an entry, batch or drop record; its bytes last until the next call.
 * first_cut: index of its first cut. producer: an encoded Producer. */
struct slice packer_frame(struct packer *packer, const struct entry *entry, uint32_t first_cut,
	struct slice producer);

#endif
