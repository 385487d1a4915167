/*
 * The clients that the store knows. See clients.h.
 *
 * A hash by the client's id, seeded so that nobody can choose ids that collide.
 * Changes are numbered: an image holds what changed after the last image that was
 * confirmed. A client that said goodbye or was forgotten leaves the table; its counts go
 * into `departed`, its id into `gone` until an image that says so is durable. What a record
 * of the log counts for is clients_ledger.c's.
 */
#include "clients_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "ids.h"

enum {
	SLOTS_MIN = 64,
	EVICT_SAMPLES = 32,
	SERVICE_BYTES = 64,
	MESSAGE_BYTES_MAX = 512,
};

int clients_new(size_t max, struct clients **ret)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (clients == NULL)
		return -ENOMEM;
	clients->max = max != 0 ? max : CLIENTS_MAX;
	clients->slot_count = SLOTS_MIN;
	clients->slots = calloc(clients->slot_count, sizeof(struct client *));
	clients->reasons[CLIENTS_REASON_OTHER] = strdup("other");
	clients->reasons[CLIENTS_REASON_REFUSED] = strdup("refused");
	clients->reason_count = 2;
	if (clients->slots == NULL || clients->reasons[CLIENTS_REASON_OTHER] == NULL ||
		clients->reasons[CLIENTS_REASON_REFUSED] == NULL) {
		free(clients->slots);
		free(clients->reasons[CLIENTS_REASON_OTHER]);
		free(clients->reasons[CLIENTS_REASON_REFUSED]);
		free(clients);
		return -ENOMEM;
	}
	if (getrandom(&clients->seed, sizeof(clients->seed), GRND_NONBLOCK) < 0)
		clients->seed = (uint64_t)(uintptr_t)clients;
	pthread_mutex_init(&clients->mutex, NULL);
	*ret = clients;
	return 0;
}

void clients_free_one(struct client *client)
{
	for (uint32_t i = 0; i < client->refused_count; i++)
		free(client->refused[i].message);
	free(client->refused);
	bytes_done(&client->fence);
	free(client->dropped);
	free(client->watermarks);
	free(client->service);
	free(client);
}

void clients_free(struct clients *clients)
{
	if (clients == NULL)
		return;
	for (size_t i = 0; i < clients->slot_count; i++) {
		if (clients->slots[i] != NULL)
			clients_free_one(clients->slots[i]);
	}
	for (size_t i = 0; i < clients->reason_count; i++)
		free(clients->reasons[i]);
	pthread_mutex_destroy(&clients->mutex);
	free(clients->slots);
	free(clients->gone);
	free(clients);
}

/* ---- The table ----------------------------------------------------------- */

static size_t home_slot(const struct clients *clients, const uint8_t id[16])
{
	uint64_t halves[2];

	memcpy(halves, id, sizeof(halves));
	return (size_t)id_mix(id_mix(halves[0] ^ clients->seed) ^ halves[1]) &
	       (clients->slot_count - 1);
}

/* The client's slot, or the free one where it would go. */
size_t clients_slot(const struct clients *clients, const uint8_t id[16])
{
	size_t slot = home_slot(clients, id);

	while (clients->slots[slot] != NULL && memcmp(clients->slots[slot]->id, id, 16) != 0)
		slot = (slot + 1) & (clients->slot_count - 1);
	return slot;
}

struct client *clients_find(const struct clients *clients, const uint8_t id[16])
{
	return clients->slots[clients_slot(clients, id)];
}

static int grow(struct clients *clients)
{
	size_t old_count = clients->slot_count;
	struct client **old = clients->slots;
	struct client **slots = calloc(old_count * 2, sizeof(*slots));

	if (slots == NULL)
		return -ENOMEM;
	clients->slots = slots;
	clients->slot_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		if (old[i] != NULL)
			slots[clients_slot(clients, old[i]->id)] = old[i];
	}
	free(old);
	return 0;
}

/* Empties a slot and moves those behind it that it kept from their place. */
void clients_clear_slot(struct clients *clients, size_t slot)
{
	size_t mask = clients->slot_count - 1;
	size_t next = slot;

	clients->slots[slot] = NULL;
	for (;;) {
		size_t home;

		next = (next + 1) & mask;
		if (clients->slots[next] == NULL)
			return;
		home = home_slot(clients, clients->slots[next]->id);
		if (((next - home) & mask) < ((next - slot) & mask))
			continue;
		clients->slots[slot] = clients->slots[next];
		clients->slots[next] = NULL;
		slot = next;
	}
}

static void add_counts(struct client_counts *sum, const struct client *client)
{
	sum->emitted += client->emitted;
	sum->durable += client->durable;
	sum->unknown += client->unknown;
	sum->not_sampled += client->not_sampled;
	sum->duplicates += client->duplicates;
	for (uint32_t i = 0; i < client->dropped_count; i++) {
		sum->dropped += client->dropped[i].spans;
		sum->dropped_by[client->dropped[i].reason] += client->dropped[i].spans;
	}
}

/* ---- Coming and going ------------------------------------------------------ */

int clients_depart(struct clients *clients, struct client *client)
{
	if (clients->gone_count == clients->gone_capacity) {
		size_t capacity = clients->gone_capacity == 0 ? 16 : clients->gone_capacity * 2;
		struct gone *grown = reallocarray(clients->gone, capacity, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		clients->gone = grown;
		clients->gone_capacity = capacity;
	}
	clients->gone[clients->gone_count].changed = ++clients->change;
	memcpy(clients->gone[clients->gone_count++].id, client->id, 16);
	clients_settle_unknown(client);
	add_counts(&clients->departed, client);
	clients_clear_slot(clients, clients_slot(clients, client->id));
	clients->count--;
	clients_free_one(client);
	return 0;
}

/* Makes room by forgetting one that was not heard of for long. One that is connected goes
 * only when all are: what it emits after that is counted from its beginning. */
static int evict(struct clients *clients)
{
	struct client *oldest = NULL;
	size_t slot = (size_t)id_mix(clients->seed + clients->change + 1);
	int samples = 0;

	for (size_t i = 0; i < clients->slot_count && samples < EVICT_SAMPLES; i++) {
		struct client *client = clients->slots[(slot + i) & (clients->slot_count - 1)];

		if (client == NULL)
			continue;
		samples += !client->connected;
		if (oldest == NULL || client->connected < oldest->connected ||
			(client->connected == oldest->connected &&
				client->last_ns < oldest->last_ns))
			oldest = client;
	}
	return clients_depart(clients, oldest);
}

int clients_make(struct clients *clients, const uint8_t id[16], struct client **ret)
{
	struct client *client = clients_find(clients, id);

	if (client == NULL) {
		if (clients->count >= clients->max && evict(clients) != 0)
			return -ENOMEM;
		if ((clients->count + 1) * 4 > clients->slot_count * 3 && grow(clients) != 0)
			return -ENOMEM;
		client = calloc(1, sizeof(*client));
		if (client == NULL)
			return -ENOMEM;
		memcpy(client->id, id, 16);
		clients->slots[clients_slot(clients, id)] = client;
		clients->count++;
	}
	*ret = client;
	return 0;
}

/* ---- Parts of a client --------------------------------------------------- */

void clients_set_service(struct client *client, struct slice service)
{
	size_t length = service.length < SERVICE_BYTES ? service.length : SERVICE_BYTES - 1;

	if (service.data == NULL || (client->service != NULL && strlen(client->service) == length &&
					    memcmp(client->service, service.data, length) == 0))
		return;
	/* Only a name to show: without memory there is none. */
	free(client->service);
	client->service = strndup((const char *)service.data, length);
}

/* The index of a reason; those beyond the table are "other". */
uint32_t clients_reason_index(struct clients *clients, struct slice text)
{
	char *copy;

	if (text.length == 0 || text.length > CLIENTS_REASON_BYTES_MAX)
		return 0;
	for (uint32_t i = 0; i < clients->reason_count; i++) {
		if (strlen(clients->reasons[i]) == text.length &&
			memcmp(clients->reasons[i], text.data, text.length) == 0)
			return i;
	}
	for (size_t i = 0; i < text.length; i++) {
		/* It becomes part of metrics and of lines on a terminal. */
		if (text.data[i] < 0x20 || text.data[i] > 0x7e)
			return 0;
	}
	copy = clients->reason_count < CLIENTS_REASONS_MAX
		       ? strndup((const char *)text.data, text.length)
		       : NULL;
	if (copy == NULL)
		return 0;
	clients->reasons[clients->reason_count] = copy;
	return (uint32_t)clients->reason_count++;
}

int clients_add_dropped(
	struct clients *clients, struct client *client, struct slice reason, uint64_t spans)
{
	uint32_t index = clients_reason_index(clients, reason);
	struct dropped *grown;

	for (uint32_t i = 0; i < client->dropped_count; i++) {
		if (client->dropped[i].reason == index) {
			client->dropped[i].spans += spans;
			return 0;
		}
	}
	grown = reallocarray(client->dropped, client->dropped_count + 1, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	client->dropped = grown;
	grown[client->dropped_count++] = (struct dropped){.reason = index, .spans = spans};
	return 0;
}

static void drop_refusals(struct client *client, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(client->refused[i].message);
	client->refused_count -= count;
	memmove(client->refused, client->refused + count,
		client->refused_count * sizeof(*client->refused));
}

int clients_add_refusal(
	struct client *client, uint64_t sequence, uint32_t code, struct slice message)
{
	size_t length = message.length < MESSAGE_BYTES_MAX ? message.length : MESSAGE_BYTES_MAX;
	struct refused *grown;
	char *copy =
		message.data != NULL ? strndup((const char *)message.data, length) : strdup("");

	if (copy == NULL)
		return -ENOMEM;
	if (client->refused_count == CLIENTS_REFUSALS_MAX)
		drop_refusals(client, 1);
	grown = reallocarray(client->refused, client->refused_count + 1, sizeof(*grown));
	if (grown == NULL) {
		free(copy);
		return -ENOMEM;
	}
	client->refused = grown;
	grown[client->refused_count++] =
		(struct refused){.sequence = sequence, .code = code, .message = copy};
	return 0;
}

uint64_t clients_watermark(const struct client *client, uint8_t share)
{
	if (share < LOG_SHARE_PARTITION)
		return client->sequence;
	for (uint32_t i = 0; i < client->watermark_count; i++) {
		if (client->watermarks[i].share == share)
			return client->watermarks[i].sequence;
	}
	return 0;
}

int clients_set_watermark(struct client *client, uint8_t share, uint64_t sequence)
{
	struct watermark *grown;

	if (share < LOG_SHARE_PARTITION) {
		client->sequence = sequence;
		return 0;
	}
	for (uint32_t i = 0; i < client->watermark_count; i++) {
		if (client->watermarks[i].share == share) {
			client->watermarks[i].sequence = sequence;
			return 0;
		}
	}
	grown = reallocarray(client->watermarks, client->watermark_count + 1, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	client->watermarks = grown;
	grown[client->watermark_count++] = (struct watermark){.share = share, .sequence = sequence};
	return 0;
}

bool clients_was_seen(const struct client *client, uint8_t share, uint64_t sequence)
{
	return sequence <= client->sequence || sequence <= clients_watermark(client, share);
}

static void acknowledge(struct client *client, uint64_t acknowledged)
{
	uint32_t count = 0;

	while (count < client->refused_count && client->refused[count].sequence <= acknowledged)
		count++;
	if (count > 0)
		drop_refusals(client, count);
}

/* ---- From the daemon ----------------------------------------------------- */

int clients_hello(struct clients *clients, const uint8_t id[16], struct slice service, uint64_t pid,
	uint64_t acknowledged, uint64_t now_ns, uint64_t *ret_sequence)
{
	struct client *client;
	bool known;
	int ret;

	pthread_mutex_lock(&clients->mutex);
	known = clients_find(clients, id) != NULL;
	ret = clients_make(clients, id, &client);
	if (ret == 0) {
		clients_set_service(client, service);
		client->pid = pid;
		client->last_ns = now_ns;
		client->changed = ++clients->change;
		acknowledge(client, acknowledged);
		*ret_sequence = client->sequence;
		ret = known;
	}
	pthread_mutex_unlock(&clients->mutex);
	return ret;
}

void clients_connected(struct clients *clients, const uint8_t id[16], bool connected)
{
	struct client *client;

	pthread_mutex_lock(&clients->mutex);
	client = clients_find(clients, id);
	if (client != NULL)
		client->connected = connected;
	pthread_mutex_unlock(&clients->mutex);
}

int clients_refusals(struct clients *clients, const uint8_t id[16], uint64_t after,
	int (*on_refusal)(void *ctx, const struct client_refusal *refusal), void *ctx)
{
	struct client *client;
	int ret = 0;

	pthread_mutex_lock(&clients->mutex);
	client = clients_find(clients, id);
	for (uint32_t i = 0; client != NULL && i < client->refused_count && ret == 0; i++) {
		struct client_refusal refusal = {.sequence = client->refused[i].sequence,
			.code = client->refused[i].code,
			.message = client->refused[i].message};

		if (refusal.sequence > after)
			ret = on_refusal(ctx, &refusal);
	}
	pthread_mutex_unlock(&clients->mutex);
	return ret;
}

int clients_set_fence(struct client *client, struct slice fence)
{
	client->fence.length = 0;
	return bytes_put(&client->fence, fence.data, fence.length);
}

int clients_fence(struct clients *clients, const uint8_t id[16], struct bytes *ret_fence)
{
	const struct client *client;
	struct bytes copy = {0};
	int ret = 0;

	pthread_mutex_lock(&clients->mutex);
	client = clients_find(clients, id);
	if (client != NULL && client->fence.length > 0) {
		ret = bytes_put(&copy, client->fence.data, client->fence.length);
		if (ret == 0)
			ret = 1;
	}
	pthread_mutex_unlock(&clients->mutex);
	if (ret > 0)
		*ret_fence = copy;
	else
		bytes_done(&copy);
	return ret;
}

void clients_duplicate(struct clients *clients, const uint8_t id[16])
{
	struct client *client;

	pthread_mutex_lock(&clients->mutex);
	client = clients_find(clients, id);
	if (client != NULL) {
		client->duplicates++;
		client->changed = ++clients->change;
	}
	pthread_mutex_unlock(&clients->mutex);
}

int clients_forwarded(struct clients *clients, const uint8_t id[16], uint8_t share,
	uint64_t sequence, struct slice service, uint64_t pid, uint64_t now_ns)
{
	struct client *client;
	int ret;

	pthread_mutex_lock(&clients->mutex);
	ret = clients_make(clients, id, &client);
	if (ret == 0) {
		if (service.length > 0)
			clients_set_service(client, service);
		if (pid != 0)
			client->pid = pid;
		client->forwarded = true;
		client->last_ns = now_ns;
		client->changed = ++clients->change;
		ret = sequence != 0 && clients_was_seen(client, share, sequence);
		client->duplicates += ret == 1;
	}
	pthread_mutex_unlock(&clients->mutex);
	return ret;
}

void clients_forget(struct clients *clients, const uint8_t id[16])
{
	struct client *client;

	pthread_mutex_lock(&clients->mutex);
	client = clients_find(clients, id);
	/* Without memory it stays, until it was silent for long. */
	if (client != NULL && client->forwarded && client->ended)
		(void)clients_depart(clients, client);
	pthread_mutex_unlock(&clients->mutex);
}

/* When a client was heard of last. What an agent forwards carries the time at which the
 * agent got it: before a restart of ours, that is not when we heard of it. */
static uint64_t heard_ns(const struct clients *clients, const struct client *client)
{
	return client->forwarded && client->last_ns < clients->expiring_ns ? clients->expiring_ns
									   : client->last_ns;
}

size_t clients_expire(struct clients *clients, uint64_t now_ns, uint64_t age_ns,
	bool (*in_use)(void *ctx, const uint8_t client[16]), void *ctx)
{
	size_t expired = 0;

	pthread_mutex_lock(&clients->mutex);
	if (clients->expiring_ns == 0)
		clients->expiring_ns = now_ns;
	for (size_t i = 0; i < clients->slot_count;) {
		struct client *client = clients->slots[i];

		if (client == NULL || heard_ns(clients, client) > now_ns ||
			now_ns - heard_ns(clients, client) < age_ns ||
			(in_use != NULL && in_use(ctx, client->id))) {
			i++;
			continue;
		}
		/* Another one may have moved into this slot: look at it again. */
		if (clients_depart(clients, client) != 0)
			break;
		expired++;
	}
	pthread_mutex_unlock(&clients->mutex);
	return expired;
}

/* ---- Asking -------------------------------------------------------------- */

static void fill_info(const struct client *client, struct client_info *ret)
{
	*ret = (struct client_info){
		.pid = client->pid, .sequence = client->sequence, .last_ns = client->last_ns};
	memcpy(ret->client, client->id, 16);
	if (client->service != NULL)
		snprintf(ret->service, sizeof(ret->service), "%s", client->service);
	add_counts(&ret->counts, client);
}

int clients_get(struct clients *clients, const uint8_t id[16], struct client_info *ret)
{
	const struct client *client;

	pthread_mutex_lock(&clients->mutex);
	client = clients_find(clients, id);
	if (client != NULL)
		fill_info(client, ret);
	pthread_mutex_unlock(&clients->mutex);
	return client != NULL ? 0 : -ENOENT;
}

size_t clients_list(struct clients *clients, struct client_info *ret, size_t capacity)
{
	size_t count = 0;

	pthread_mutex_lock(&clients->mutex);
	for (size_t i = 0; i < clients->slot_count; i++) {
		if (clients->slots[i] == NULL)
			continue;
		if (count < capacity)
			fill_info(clients->slots[i], &ret[count]);
		count++;
	}
	pthread_mutex_unlock(&clients->mutex);
	return count;
}

void clients_total(struct clients *clients, struct client_counts *ret)
{
	pthread_mutex_lock(&clients->mutex);
	*ret = clients->departed;
	for (size_t i = 0; i < clients->slot_count; i++) {
		if (clients->slots[i] != NULL)
			add_counts(ret, clients->slots[i]);
	}
	pthread_mutex_unlock(&clients->mutex);
}

const char *clients_reason(struct clients *clients, size_t i)
{
	const char *reason;

	pthread_mutex_lock(&clients->mutex);
	reason = i < clients->reason_count ? clients->reasons[i] : NULL;
	pthread_mutex_unlock(&clients->mutex);
	return reason;
}
