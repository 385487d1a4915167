/*
 * The collector's ingest: decode, log, and, once durable, assemble.
 *
 *     ingest_offer ─▶ decode (checks the whole batch, finds its spans; beside the loop
 *                     with `decoders`) ─▶ log, in the order of offers
 *     committer    ─▶ assembler, clients, hook on_batch (tail) ─▶ on_committed
 *
 * A batch that doesn't decode becomes a refusal in the log, so that its number
 * stays taken. Loop thread.
 */
#ifndef WAFT_COLLECTOR_INTAKE_H
#define WAFT_COLLECTOR_INTAKE_H

#include "assembly.h"
#include "clients.h"
#include "clock.h"
#include "committer.h"
#include "consumed.h"
#include "decoders.h"
#include "ingest.h"
#include "log.h"

#include <stdbool.h>
#include <uv.h>

struct intake;

struct intake_config {
	uv_loop_t *loop;
	struct log *log; /* borrowed, like the next three */
	struct clients *clients;
	struct assembly *assembly;
	const struct clock *clock;
	uint32_t decoders;    /* threads that look at batches; 0: the loop does it */
	size_t pending_limit; /* as of the log: bytes that decoders and log hold; 0: 16 MiB */
	bool forward;	      /* batches are for other collectors: the assembly gets nothing */
	/* A batch is durable and in the assembly, before it is acknowledged. */
	void (*on_batch)(void *context, struct log_place place, uint32_t spans);
	/* All that is known to be durable was said: acknowledge it. `error` as of
	 * committer_config. */
	void (*on_round)(void *context, int error);
	void *context;
};

struct intake_counts {
	uint64_t batches; /* durable, like all of these */
	uint64_t spans;
	uint64_t bytes;
	uint64_t drops;
	uint64_t refused;
	uint64_t repeated;	  /* found durable already by the table of clients */
	uint64_t pending_batches; /* offered, not durable yet */
	uint64_t pending_bytes;	  /* of memory held for these */
};

int intake_start(const struct intake_config *config, struct intake **ret) MUST_CHECK;

/* Its table of functions. */
struct ingest *intake_ingest(struct intake *intake);

/* Sets what ingest_window_bytes answers: see pressure.h. */
void intake_set_window(struct intake *intake, size_t window_bytes);

/* Whether anything that was offered waits for its commit. */
bool intake_busy(struct intake *intake);

void intake_count(struct intake *intake, struct intake_counts *ret);
struct committer *intake_committer(struct intake *intake);

/* Ends it: what is durable by now is delivered, the rest gets -ECANCELED. Freed
 * when on_closed is called. */
void intake_close(struct intake *intake, void (*on_closed)(void *context));

/*
 * For recovery, before any start: gives the spans of a logged batch that are not
 * in `consumed` (NULL: all) to the assembly. Returns how many, or a negative
 * error.
 */
long intake_recover(struct assembly *assembly, struct log_place place,
	const struct log_record *record, const struct consumed *consumed,
	uint64_t now_ms) MUST_CHECK;

#endif
