/*
 * The clients that the store knows: how far each one's messages are durable,
 * and what became of its spans.
 *
 * The daemon asks it on every message and tells it what became durable; the
 * writer takes images of it for the manifest from another thread. All functions
 * are thread-safe and short; images take time in proportion to the clients that
 * they hold.
 *
 * emitted = durable + dropped + unknown + in flight holds per client; durable
 * spans are waiting, written or expired, which the store counts over all. In flight
 * is what may still come: a client that is forgotten has none, its rest is unknown.
 * How many spans were refused is exact from the goodbye on, and a guess before.
 */
#ifndef WAFT_STORE_CLIENTS_H
#define WAFT_STORE_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "log.h"
#include "manifest.h"
#include "slice.h"

#define CLIENTS_MAX 1000000u
#define CLIENTS_REASONS_MAX 32 /* distinct drop reasons; more count as "other" */
#define CLIENTS_REASON_BYTES_MAX 64
#define CLIENTS_REFUSALS_MAX 256 /* kept per client; the oldest go first */

struct clients;

/* max: 0 for CLIENTS_MAX. */
MUST_CHECK int clients_new(size_t max, struct clients **ret);
void clients_free(struct clients *clients);

/* A refusal that a client has not acknowledged. */
struct client_refusal {
	uint64_t sequence;
	uint32_t code;	     /* canonical gRPC status code */
	const char *message; /* borrowed, NUL-terminated */
};

/*
 * Of clients whose messages were forwarded by agents: an agent sends again, from its
 * cursor on, what it can't know to be durable. So there is a watermark for each share
 * (log_share) of a client, which numbers may pass over, and a goodbye settles the
 * counts but keeps the client, until the agent says that nothing comes again
 * (clients_forget) or it was silent for long. Where a share is not the whole, emitted is
 * the sum of what came: each gateway has a part of the client's spans.
 */
struct client_counts {
	uint64_t emitted; /* as the client said last */
	uint64_t durable;
	uint64_t dropped; /* all reasons, refused included */
	uint64_t unknown;
	uint64_t not_sampled;
	uint64_t duplicates;			  /* messages that came again */
	uint64_t dropped_by[CLIENTS_REASONS_MAX]; /* see clients_reason */
};

/* What is known of one client. Texts are cut to 63 bytes. */
struct client_info {
	uint8_t client[16];
	char service[64];
	uint64_t pid;
	uint64_t sequence; /* durable up to here */
	uint64_t last_ns;  /* of the last message's receipt */
	struct client_counts counts;
};

/* A hello: makes the client known (not durable by itself: a client without any
 * durable message need not be remembered), sets service and pid, forgets its
 * refusals up to acknowledged, fills *ret_sequence. Returns 1 when it was known,
 * 0 when it is new; -ENOMEM. */
MUST_CHECK int clients_hello(struct clients *clients, const uint8_t client[16],
	struct slice service, uint64_t pid, uint64_t acknowledged, uint64_t now_ns,
	uint64_t *ret_sequence);

/* Says that the client is connected, or no longer: when the table is full, others go
 * before one that is. */
void clients_connected(struct clients *clients, const uint8_t client[16], bool connected);

/* Calls on_refusal for each kept refusal of a client with sequence above
 * `after`, ascending. Non-zero stops and is returned. */
int clients_refusals(struct clients *clients, const uint8_t client[16], uint64_t after,
	int (*on_refusal)(void *ctx, const struct client_refusal *refusal), void *ctx);

/* A record became durable at place; to be called once per record in order of
 * the log, from the daemon after log_commit and from recovery. It does not look into a
 * batch; it decodes a drop, refusal or goodbye. Returns
 *   1  new: counted, the watermark is now its sequence
 *   0  it was counted before (an older record on replay)
 *   -EEXIST  the same (client, sequence) was already seen in this log: ignore it
 *   -ENOMEM  nothing changed */
MUST_CHECK int clients_durable(
	struct clients *clients, struct log_place place, const struct log_record *record);

/* Whether the client was salvaged: then 1 with the Fence message that says what was
 * taken, for the caller to free (bytes_done). 0: no; -ENOMEM. */
MUST_CHECK int clients_fence(
	struct clients *clients, const uint8_t client[16], struct bytes *ret_fence);
/* A message of a client is going to be forwarded here: makes it known, keeps it from
 * being forgotten. 1: its number was seen in this share, and is durable; 0: take it; or -ENOMEM. */
MUST_CHECK int clients_forwarded(struct clients *clients, const uint8_t client[16], uint8_t share,
	uint64_t sequence, struct slice service, uint64_t pid, uint64_t now_ns);

/* The agent will send nothing again of this client, which said goodbye. */
void clients_forget(struct clients *clients, const uint8_t client[16]);

/* Counts a message that came again. */
void clients_duplicate(struct clients *clients, const uint8_t client[16]);

/* Copies what is known of one client. -ENOENT. */
MUST_CHECK int clients_get(
	struct clients *clients, const uint8_t client[16], struct client_info *ret);

/* Copies up to capacity clients in no order; returns how many there are. */
size_t clients_list(struct clients *clients, struct client_info *ret, size_t capacity);

/* The sum over all clients that ever were, gone ones included. */
void clients_total(struct clients *clients, struct client_counts *ret);

/* The text of index i of dropped_by; NULL beyond the last. Constant for the
 * table's life. */
const char *clients_reason(struct clients *clients, size_t i);

/* Forgets those not heard of for age_ns, unless in_use (may be NULL) says that they may
 * go on; it is called with the table locked and must not ask it. Returns how many. */
size_t clients_expire(struct clients *clients, uint64_t now_ns, uint64_t age_ns,
	bool (*in_use)(void *ctx, const uint8_t client[16]), void *ctx);

/* All clients, or those changed since the last image that was confirmed, with
 * the place up to which they include the log. */
MUST_CHECK int clients_image(struct clients *clients, bool all, struct manifest_image *ret);

/* The image last taken is durable: its clients are unchanged again, unless they
 * changed since. */
void clients_image_durable(struct clients *clients);

/* For manifest_start: an image of all; ctx is the table. */
int clients_image_all(void *ctx, struct manifest_image *ret);

/* For manifest_load: takes in a CLIENT body; ctx is the table. ERR_MALFORMED. */
int clients_on_manifest(void *ctx, const uint8_t *body, size_t length);

/* Takes in the counters of a manifest after its clients, and where the replay
 * begins to count. */
MUST_CHECK int clients_on_counters(struct clients *clients, const struct manifest_state *state);

#endif
