/*
 * What clients.c (the table), clients_ledger.c (what records of the log count for) and
 * clients_image.c (the table in the manifest) share. All of it is called with the table's
 * mutex held.
 */
#ifndef WAFT_STORE_CLIENTS_INTERNAL_H
#define WAFT_STORE_CLIENTS_INTERNAL_H

#include <pthread.h>

#include "bytes.h"
#include "clients.h"

/* Places in `reasons` that are always the same ones'. */
enum {
	CLIENTS_REASON_OTHER = 0,
	CLIENTS_REASON_REFUSED = 1,
};

struct refused {
	uint64_t sequence;
	uint32_t code;
	char *message; /* owned */
};

/* The watermark of a forwarded partition. */
struct watermark {
	uint8_t share; /* enum log_share */
	uint64_t sequence;
};

struct dropped {
	uint32_t reason;
	uint64_t spans;
};

struct client {
	uint8_t id[16];
	char *service; /* owned, NULL: "" */
	uint64_t pid;
	uint64_t sequence;
	uint64_t last_ns;
	uint64_t changed;
	uint64_t emitted;
	uint64_t durable;
	uint64_t unknown;
	uint64_t not_sampled;
	uint64_t duplicates;
	struct dropped *dropped;      /* owned */
	struct refused *refused;      /* owned, ascending */
	struct watermark *watermarks; /* owned */
	struct bytes fence;	      /* a Fence message; no bytes: the client goes on */
	uint32_t dropped_count;
	uint32_t refused_count;
	bool connected;
	uint32_t watermark_count;
	bool forwarded; /* by agents */
	bool ended;	/* said goodbye through an agent */
};

struct gone {
	uint8_t id[16];
	uint64_t changed;
};

struct clients {
	pthread_mutex_t mutex; /* of everything */
	size_t max;
	uint64_t seed;
	struct client **slots; /* owned, as are the clients */
	size_t slot_count;     /* a power of two */
	size_t count;
	uint64_t change;    /* number of the last change */
	uint64_t imaged;    /* of the last when the last image was taken */
	uint64_t confirmed; /* of the last that a durable image holds */
	struct gone *gone;
	size_t gone_count;
	size_t gone_capacity;
	struct client_counts departed;
	char *reasons[CLIENTS_REASONS_MAX]; /* owned; never changed once set */
	size_t reason_count;
	uint64_t expiring_ns;	    /* when clients_expire was first called */
	struct log_place accounted; /* last record that was counted */
	struct log_place loaded;    /* as the manifest had it: what is before was counted */
};

void clients_free_one(struct client *client);

/* The client, or NULL; its slot, or the free one where it would go. */
struct client *clients_find(const struct clients *clients, const uint8_t id[16]);
size_t clients_slot(const struct clients *clients, const uint8_t id[16]);

/* Finds or makes. 0 or -ENOMEM. */
MUST_CHECK int clients_make(struct clients *clients, const uint8_t id[16], struct client **ret);

/* Takes a client out of the table; its counts stay. 0 or -ENOMEM. */
int clients_depart(struct clients *clients, struct client *client);

/* Nothing more will come of the client: nothing of it is in flight. What it took for
 * unanswered and is durable after all is not unknown. */
void clients_settle_unknown(struct client *client);

/* Whether a number is stored already: in this share, or in the whole that it is of. */
bool clients_was_seen(const struct client *client, uint8_t share, uint64_t sequence);

/* Empties a slot and moves those behind it that it kept from their place. */
void clients_clear_slot(struct clients *clients, size_t slot);

void clients_set_service(struct client *client, struct slice service);
uint32_t clients_reason_index(struct clients *clients, struct slice text);
MUST_CHECK int clients_add_dropped(
	struct clients *clients, struct client *client, struct slice reason, uint64_t spans);
MUST_CHECK int clients_set_fence(struct client *client, struct slice fence);
/* The watermark of a share, 0 when there is none. */
uint64_t clients_watermark(const struct client *client, uint8_t share);
MUST_CHECK int clients_set_watermark(struct client *client, uint8_t share, uint64_t sequence);
MUST_CHECK int clients_add_refusal(
	struct client *client, uint64_t sequence, uint32_t code, struct slice message);

#endif
