/*
 * Accounts of clients; see quotas.h.
 *
 * Bytes a second: a bucket that holds as many as may come in a second (and at least one
 * message) fills with time; what comes is taken from it, also below zero, since credit
 * that was given before can't be taken back. Credit goes as far as what is in it.
 */
#include "quotas.h"

#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 512u
/* Accounts that nothing refers to, whose bucket is not full. */
#define RESTING_MAX 1024u

struct quota_account {
	struct quota_account *next; /* in its bucket of the table */
	/* Among those at rest, the one that rests longest first. */
	struct quota_account *newer;
	struct quota_account *older;
	struct quotas *quotas;
	uint64_t references; /* connections, senders, messages on their way */
	uint64_t connections;
	uint64_t senders;
	uint64_t in_flight_bytes;
	uint64_t received_bytes;
	uint64_t refused;
	uint64_t held;
	int64_t tokens;	    /* bytes that may come, at that moment: */
	uint64_t filled_ms; /* when the bucket was looked at last */
	char name[];
};

struct quotas {
	struct quota_limits limits;
	struct quota_account *table[BUCKETS];
	struct quota_account *oldest; /* at rest */
	struct quota_account *newest;
	size_t resting;
	struct quota_counts counts;
	void (*on_held)(void *context);
	void *context;
};

/* ---- The table ------------------------------------------------------------- */

/* FNV-1a; what names cost is bounded by max-connections, whatever they are. */
static struct quota_account **bucket_of(struct quotas *quotas, const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return &quotas->table[(hash ^ hash >> 32) % BUCKETS];
}

static int64_t capacity(const struct quotas *quotas)
{
	uint64_t most = quotas->limits.bytes_per_second;

	if (most < WIRE_PAYLOAD_LIMIT)
		most = WIRE_PAYLOAD_LIMIT;
	return most < INT64_MAX / 2 ? (int64_t)most : INT64_MAX / 2;
}

/* Fills the bucket for the time that went by. */
static void fill(struct quota_account *account, uint64_t now_ms)
{
	const struct quotas *quotas = account->quotas;
	uint64_t rate = quotas->limits.bytes_per_second;
	uint64_t passed_ms = now_ms > account->filled_ms ? now_ms - account->filled_ms : 0;
	int64_t most = capacity(quotas);
	uint64_t missing;

	if (account->tokens > most || rate == 0)
		account->tokens = most;
	missing = (uint64_t)(most - account->tokens);
	/* What a slow rate gives in so short a time may be less than a byte: then it waits. */
	if (missing == 0 || passed_ms / 1000 > missing / rate) {
		account->tokens = most;
	} else {
		uint64_t more = passed_ms / 1000 * rate + passed_ms % 1000 * rate / 1000;

		if (more == 0)
			return;
		account->tokens += (int64_t)(more < missing ? more : missing);
	}
	account->filled_ms = now_ms;
}

static void rest(struct quota_account *account)
{
	struct quotas *quotas = account->quotas;

	account->newer = NULL;
	account->older = quotas->newest;
	if (quotas->newest != NULL)
		quotas->newest->newer = account;
	else
		quotas->oldest = account;
	quotas->newest = account;
	quotas->resting++;
}

static void wake(struct quota_account *account)
{
	struct quotas *quotas = account->quotas;

	if (account->older != NULL)
		account->older->newer = account->newer;
	else
		quotas->oldest = account->newer;
	if (account->newer != NULL)
		account->newer->older = account->older;
	else
		quotas->newest = account->older;
	quotas->resting--;
}

static void forget(struct quota_account *account)
{
	struct quotas *quotas = account->quotas;
	struct quota_account **at = bucket_of(quotas, account->name);

	wake(account);
	while (*at != account)
		at = &(*at)->next;
	*at = account->next;
	quotas->counts.accounts--;
	free(account);
}

/* Forgets those at rest that are as good as new, and the oldest beyond what is kept. */
static void tidy(struct quotas *quotas, uint64_t now_ms)
{
	struct quota_account *account = quotas->oldest;

	while (account != NULL) {
		struct quota_account *newer = account->newer;

		fill(account, now_ms);
		if (account->tokens == capacity(quotas) || quotas->resting > RESTING_MAX)
			forget(account);
		account = newer;
	}
}

static void hold(struct quota_account *account)
{
	if (account->references++ == 0)
		wake(account);
}

static void release(struct quota_account *account)
{
	if (--account->references == 0) {
		rest(account);
		/* Without a rate there is nothing to remember. */
		if (account->quotas->limits.bytes_per_second == 0)
			forget(account);
	}
}

static struct quota_account *find(struct quotas *quotas, const char *name)
{
	struct quota_account *account = *bucket_of(quotas, name);

	while (account != NULL && strcmp(account->name, name) != 0)
		account = account->next;
	return account;
}

/* A new one, at rest. */
static struct quota_account *add(struct quotas *quotas, const char *name, uint64_t now_ms)
{
	struct quota_account **bucket = bucket_of(quotas, name);
	size_t length = strlen(name) + 1;
	struct quota_account *account = calloc(1, sizeof(*account) + length);

	if (account == NULL)
		return NULL;
	memcpy(account->name, name, length);
	account->quotas = quotas;
	account->tokens = capacity(quotas);
	account->filled_ms = now_ms;
	account->next = *bucket;
	*bucket = account;
	quotas->counts.accounts++;
	rest(account);
	return account;
}

/* ---- Connections ----------------------------------------------------------- */

void quota_name(const struct peer *peer, bool with_token, char ret_name[QUOTA_NAME_BYTES])
{
	if (peer->local)
		snprintf(ret_name, QUOTA_NAME_BYTES, "uid:%u", peer->uid);
	else if (peer->name[0] != '\0')
		snprintf(ret_name, QUOTA_NAME_BYTES, "%s:%s", with_token ? "token" : "cert",
			peer->name);
	else
		snprintf(ret_name, QUOTA_NAME_BYTES, "address:%s",
			peer->address[0] != '\0' ? peer->address : "unknown");
}

int quota_join(struct quotas *quotas, const char *name, uint64_t now_ms, struct quota_account **ret)
{
	struct quota_account *account = find(quotas, name);

	if (account == NULL) {
		tidy(quotas, now_ms);
		account = add(quotas, name, now_ms);
	}
	if (account == NULL)
		return -ENOMEM;
	if (quotas->limits.connections > 0 && account->connections >= quotas->limits.connections) {
		quotas->counts.refused++;
		account->refused++;
		return -EDQUOT;
	}
	hold(account);
	account->connections++;
	*ret = account;
	return 0;
}

void quota_leave(struct quota_account *account)
{
	if (account == NULL)
		return;
	account->connections--;
	release(account);
}

/* ---- Bytes ------------------------------------------------------------------- */

void quota_add_sender(struct quota_account *account)
{
	if (account == NULL)
		return;
	hold(account);
	account->senders++;
}

void quota_remove_sender(struct quota_account *account)
{
	if (account == NULL)
		return;
	account->senders--;
	release(account);
}

void quota_begin(struct quota_account *account, uint64_t bytes)
{
	if (account == NULL)
		return;
	hold(account);
	account->in_flight_bytes += bytes;
}

void quota_end(struct quota_account *account, uint64_t bytes)
{
	if (account == NULL)
		return;
	account->in_flight_bytes -= bytes;
	release(account);
}

void quota_received(struct quota_account *account, uint64_t bytes, uint64_t now_ms)
{
	if (account == NULL)
		return;
	fill(account, now_ms);
	account->received_bytes += bytes;
	if (account->tokens > INT64_MIN / 2)
		account->tokens -= (int64_t)bytes;
}

/* An equal share of what is left, so that no sender of a client keeps out another. */
static size_t share(const struct quota_account *account, uint64_t left, size_t window_bytes)
{
	uint64_t senders = account->senders > 0 ? account->senders : 1;
	uint64_t bytes = left / senders;

	if (bytes == 0 && left > 0)
		bytes = 1;
	return bytes < window_bytes ? (size_t)bytes : window_bytes;
}

size_t quota_window(struct quota_account *account, size_t window_bytes, uint64_t now_ms)
{
	const struct quota_limits *limits;

	if (account == NULL || window_bytes == 0)
		return window_bytes;
	limits = &account->quotas->limits;
	if (limits->in_flight_bytes > 0)
		window_bytes = share(account,
			limits->in_flight_bytes > account->in_flight_bytes
				? limits->in_flight_bytes - account->in_flight_bytes
				: 0,
			window_bytes);
	if (limits->bytes_per_second == 0)
		return window_bytes;
	fill(account, now_ms);
	if (account->tokens > 0)
		return share(account, (uint64_t)account->tokens, window_bytes);
	account->held++;
	account->quotas->counts.held++;
	if (account->quotas->on_held != NULL)
		account->quotas->on_held(account->quotas->context);
	return 0;
}

bool quota_is_full(const struct quota_account *account)
{
	return account != NULL && account->quotas->limits.in_flight_bytes > 0 &&
	       account->in_flight_bytes >= account->quotas->limits.in_flight_bytes;
}

/* ---- All of them --------------------------------------------------------------- */

int quotas_new(const struct quota_limits *limits, void (*on_held)(void *context), void *context,
	struct quotas **ret)
{
	struct quotas *quotas = calloc(1, sizeof(*quotas));

	if (quotas == NULL)
		return -ENOMEM;
	quotas->limits = *limits;
	quotas->on_held = on_held;
	quotas->context = context;
	*ret = quotas;
	return 0;
}

void quotas_free(struct quotas *quotas)
{
	if (quotas == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (quotas->table[i] != NULL) {
			struct quota_account *account = quotas->table[i];

			quotas->table[i] = account->next;
			free(account);
		}
	}
	free(quotas);
}

void quotas_configure(struct quotas *quotas, const struct quota_limits *limits)
{
	quotas->limits = *limits;
}

void quotas_count(const struct quotas *quotas, struct quota_counts *ret)
{
	*ret = quotas->counts;
}

void quotas_each(const struct quotas *quotas,
	void (*show)(void *context, const struct quota_view *view), void *context)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (const struct quota_account *at = quotas->table[i]; at != NULL; at = at->next) {
			const struct quota_view view = {
				.name = at->name,
				.connections = at->connections,
				.senders = at->senders,
				.in_flight_bytes = at->in_flight_bytes,
				.received_bytes = at->received_bytes,
				.refused = at->refused,
				.held = at->held,
			};

			show(context, &view);
		}
	}
}
