/*
 * What was sent and not yet answered, and what became of every span: the
 * client's side of docs/PROTOCOL.md "Export", without any I/O. The sender's
 * alone but for the counters, which anyone reads.
 *
 * An entry is a batch or a drop record with its sequence number. Batches are
 * cut when they are sent, so that all entries count as sent. Their bytes stay
 * in the chunks (cuts) until the answer; they are the same each time.
 */
#ifndef WAFT_CLIENT_LEDGER_H
#define WAFT_CLIENT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <waft/waft.h>

#include "clock.h"

enum { LEDGER_ENTRIES = 256 };

struct entry {
	uint64_t sequence;
	uint64_t emitted; /* as said in the request */
	uint64_t spans;
	bool drop;
	bool refused;
	enum waft_drop_reason reason;
	uint32_t cuts;
	struct clock_span clock;
};

struct ledger {
	/* Atomic, of the process's whole life. */
	uint64_t durable;
	uint64_t refused;
	uint64_t unknown;
	/* The sender's. */
	uint64_t next_sequence;
	uint64_t answered;		  /* highest sequence known to be answered */
	uint64_t forgotten;		  /* spans accounted for under earlier uuids */
	uint64_t said[WAFT_DROP_REASONS]; /* drops that have a record */
	uint32_t first;			  /* of entries */
	uint32_t count;
	uint32_t next; /* of these: to be sent on this connection, from `first` on */
	uint32_t cut_first;
	uint32_t cut_count;
	struct entry entries[LEDGER_ENTRIES];
};

/* Empty; in a forked child again. */
void ledger_init(struct ledger *ledger);

/* The n-th unanswered entry. */
struct entry *ledger_entry(struct ledger *ledger, uint32_t n);

/* The next entry, numbered; NULL: too many are unanswered. ledger_commit makes
 * it count. */
struct entry *ledger_new(struct ledger *ledger);
void ledger_commit(struct ledger *ledger);

/* The collector refuses a sequence. Unknown ones are passed over. */
void ledger_refuse(struct ledger *ledger, uint64_t sequence);

/* All up to sequence is answered. -EPROTO when it says so of what was never sent. */
int ledger_answer(struct ledger *ledger, uint64_t sequence);

/* A new connection whose collector has answered up to `durable`: all after it
 * goes out again. As ledger_answer; also -ESTALE when it knows less than it
 * acknowledged before: nothing of this uuid can go on. */
int ledger_resume(struct ledger *ledger, uint64_t durable);

/* The collector does not know this client any more: what was sent is unknown,
 * and numbers start at 1 again. */
void ledger_forget(struct ledger *ledger, uint64_t emitted_total);

/* Takes all entries back: what they held waits as if it had never been sent. */
void ledger_dissolve(struct ledger *ledger);

/* A drop record for what has none yet; false: there is nothing, or no room. */
bool ledger_drop_next(struct ledger *ledger, uint64_t emitted_total);

/* Whether there are drops without a record. */
bool ledger_drops_waiting(const struct ledger *ledger);

/* Spans that ended (into a chunk) since the start; and with the drops before. */
uint64_t ledger_ended(void);
uint64_t ledger_not_sampled(void);
uint64_t ledger_emitted(void);

/* The counts of now. stopped: what is in flight will never be sent. */
void ledger_stats(const struct ledger *ledger, bool stopped, struct waft_stats *ret_stats);

#endif
