/*
 * What one client may have of that which all share: connections, bytes a second, and
 * bytes that wait for their commit.
 *
 * An account is what the collector itself knows of a client: a user of the Unix socket,
 * the name of a certificate or token, the address of a stranger. All connections of one
 * share it. Nothing is thrown away to keep a limit: a connection too many is refused, and
 * who sends too fast gets no credit until it may send again.
 *
 *     connection.c ─ join, leave ─▶ quotas ◀─ begin, end ─ intake.c
 *     senders.c ─ sender, received, window ─▶
 *
 * An account lives as long as anything refers to it, and until its bucket is full again,
 * so that coming back doesn't fill it. Time is an argument. No I/O. Loop thread.
 */
#ifndef WAFT_COLLECTOR_QUOTAS_H
#define WAFT_COLLECTOR_QUOTAS_H

#include "errors.h"
#include "stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUOTA_NAME_BYTES = PEER_NAME_BYTES + 16 }; /* with NUL */

struct quotas;
struct quota_account;

/* Of each client; 0: no limit. */
struct quota_limits {
	uint64_t connections;
	uint64_t bytes_per_second; /* of messages; as many may come at once after a rest */
	uint64_t in_flight_bytes;  /* of memory, of messages that wait for their commit */
};

struct quota_counts {
	uint64_t accounts; /* that are known now */
	uint64_t refused;  /* connections, for the limit of their client */
	uint64_t held;	   /* times that a client's credit was held back */
};

/* An account as others may see it. */
struct quota_view {
	const char *name; /* "uid:1000", "cert:…", "token:…", "address:…" */
	uint64_t connections;
	uint64_t senders;
	uint64_t in_flight_bytes;
	uint64_t received_bytes; /* since it is known */
	uint64_t refused;
	uint64_t held;
};

/* on_held: a client gets no credit for the time being, for what it sent a second; called
 * from inside quota_window. May be NULL. 0 or -ENOMEM. */
int quotas_new(const struct quota_limits *limits, void (*on_held)(void *context), void *context,
	struct quotas **ret) MUST_CHECK;

/* After all that refers to its accounts. NULL is ignored. */
void quotas_free(struct quotas *quotas);

/* New limits, for connections from now on, and for credit that is given from now on. */
void quotas_configure(struct quotas *quotas, const struct quota_limits *limits);

void quotas_count(const struct quotas *quotas, struct quota_counts *ret);

/* Shows each account, in no order; the view is borrowed for the call. */
void quotas_each(const struct quotas *quotas,
	void (*show)(void *context, const struct quota_view *view), void *context);

/* What a peer is called; `with_token`: its name is that of a token. */
void quota_name(const struct peer *peer, bool with_token, char ret_name[QUOTA_NAME_BYTES]);

/* Counts a connection of a client. 0; -EDQUOT when it has all that it may have, -ENOMEM:
 * nothing was counted. On success *ret needs quota_leave. */
int quota_join(struct quotas *quotas, const char *name, uint64_t now_ms,
	struct quota_account **ret) MUST_CHECK;

/* In the following, a NULL account has no limits and counts nothing. */

void quota_leave(struct quota_account *account);

/* A sender of the client came, or went: its share is for all of them. */
void quota_add_sender(struct quota_account *account);
void quota_remove_sender(struct quota_account *account);

/* A message is on its way to the log; it is durable, or given up. */
void quota_begin(struct quota_account *account, uint64_t bytes);
void quota_end(struct quota_account *account, uint64_t bytes);

/* Bytes of messages came. */
void quota_received(struct quota_account *account, uint64_t bytes, uint64_t now_ms);

/* What one sender of the client may have on its way now, of a window that is open to
 * everyone. */
size_t quota_window(struct quota_account *account, size_t window_bytes, uint64_t now_ms);

/* Whether as much waits for its commit as may: nothing more is read. */
bool quota_is_full(const struct quota_account *account);

#endif
