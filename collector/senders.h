/*
 * What the two services that take spans have in common, Export and Forward: the list of
 * their sessions, what each was granted, and whose connection is read.
 *
 * A session has a struct sender as its first member. Sits between connection.h, which it
 * asks to be read or not, and ingest.h and quotas.h, which say how much may come. Loop
 * thread.
 */
#ifndef WAFT_COLLECTOR_SENDERS_H
#define WAFT_COLLECTOR_SENDERS_H

#include "clock.h"
#include "connection.h"
#include "ingest.h"
#include "quotas.h"

#include <stdbool.h>

struct sender {
	struct call *call;
	struct quota_account *account; /* NULL: no quotas */
	uint64_t received_bytes;       /* of messages behind the hello */
	uint64_t granted_bytes;
	struct senders *list;
	struct sender *next;
	struct sender *previous;
};

struct senders {
	struct ingest *ingest; /* borrowed, like the next */
	const struct clock *clock;
	struct sender *first; /* the newest */
	uint64_t count;
	bool paused;
};

/* Begins a sender of this call; zeroed otherwise. */
void sender_init(struct sender *sender, struct senders *list, struct call *call);

/* Takes it out of the list. */
void sender_done(struct sender *sender);

/* Credit, cumulative: what may come now beyond what came; never less than before. */
uint64_t sender_grant(struct sender *sender);

/* Whether new credit alone is worth a message: it is when a quarter of what may come is
 * new. */
bool sender_wants_credit(struct sender *sender);

/* Counts a message. Whether it was within what was granted: one may always come while
 * any is left. */
bool sender_receive(struct sender *sender, size_t bytes);

/* Reads from its connection, or doesn't, as it is now: after the hello, and when
 * something was offered. */
void sender_read(struct sender *sender);

/* Stops or resumes reading from all. */
void senders_pause(struct senders *list, bool paused);

#endif
