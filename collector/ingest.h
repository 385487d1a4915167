/*
 * Where spans come in, whatever protocol brings them: one table of functions.
 *
 * A protocol (export_service.c, inbox.c; OTLP and others later) offers batches;
 * the ingest makes them durable and visible and says so. Asynchronous,
 * idempotent, without need of sequence numbers. Loop thread.
 */
#ifndef WAFT_COLLECTOR_INGEST_H
#define WAFT_COLLECTOR_INGEST_H

#include "log.h"
#include "quotas.h"
#include "slice.h"

#include <stddef.h>
#include <stdint.h>

/* One message to be made durable. Everything is borrowed for the call. */
struct ingest_offer {
	enum log_kind kind; /* not LOG_MARK; LOG_REFUSAL only of an agent */
	uint8_t format;	    /* LOG_FORMAT_WAFT_V1 */
	struct log_peer peer;
	uint8_t client[16];
	uint64_t sequence; /* 0: the protocol has none */
	uint64_t emitted;
	uint64_t emitted_before; /* as the client's message before said; of LOG_BATCH */
	uint8_t share;		 /* enum log_share */
	uint64_t receive_ns;	 /* when an agent got it; 0: now */
	uint32_t dropped;	 /* spans, of LOG_DROP */
	struct slice bytes;
	struct quota_account *account; /* on whose account it waits; NULL: nobody's */
};

/*
 * The message is in the synced log and its spans are visible; or it was refused
 * for good (refused: a code of errors.h, below 0), which is in the log as well.
 * Never before offer has returned. After the ingest was closed: status
 * -ECANCELED, nothing is known to be durable.
 */
typedef void (*ingest_on_committed)(void *context, uint64_t sequence, int status, int refused);

struct ingest;

struct ingest_ops {
	/*
	 * Takes a message. 0: on_committed will come, in the order of offers.
	 * -EAGAIN: nothing was taken, there is no room now; -ENOMEM.
	 */
	int (*offer)(struct ingest *ingest, const struct ingest_offer *offer,
		ingest_on_committed on_committed, void *context);
	/* Payload bytes that one sender may have on their way now; 0: none shall come. */
	size_t (*window_bytes)(struct ingest *ingest);
};

struct ingest {
	const struct ingest_ops *ops;
};

__attribute__((warn_unused_result)) static inline int ingest_offer(struct ingest *ingest,
	const struct ingest_offer *offer, ingest_on_committed on_committed, void *context)
{
	return ingest->ops->offer(ingest, offer, on_committed, context);
}

static inline size_t ingest_window_bytes(struct ingest *ingest)
{
	return ingest->ops->window_bytes(ingest);
}

#endif
