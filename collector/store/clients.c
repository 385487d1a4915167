/*
 * The clients that the store knows. See clients.h.
 *
 * A hash by the client's id, seeded so that nobody can choose ids that collide.
 * Changes are numbered: an image holds what changed after the last image that was
 * confirmed. A client that said goodbye or was forgotten leaves the table; its counts go
 * into `departed`, its id into `gone` until an image that says so is durable.
 */
#include "clients.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bytes.h"
#include "cursor.h"
#include "ids.h"

enum {
	SLOTS_MIN = 64,
	EVICT_SAMPLES = 32,
	SERVICE_BYTES = 64,
	MESSAGE_BYTES_MAX = 512,
	FLAG_GONE = 1,
	REASON_OTHER = 0,
	REASON_REFUSED = 1,
};

struct refused {
	uint64_t sequence;
	uint32_t code;
	char *message; /* owned */
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
	struct dropped *dropped; /* owned */
	struct refused *refused; /* owned, ascending */
	uint32_t dropped_count;
	uint32_t refused_count;
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
	struct log_place accounted; /* last record that was counted */
	struct log_place loaded;    /* as the manifest had it: what is before was counted */
};

int clients_new(size_t max, struct clients **ret)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (clients == NULL)
		return -ENOMEM;
	clients->max = max != 0 ? max : CLIENTS_MAX;
	clients->slot_count = SLOTS_MIN;
	clients->slots = calloc(clients->slot_count, sizeof(struct client *));
	clients->reasons[REASON_OTHER] = strdup("other");
	clients->reasons[REASON_REFUSED] = strdup("refused");
	clients->reason_count = 2;
	if (clients->slots == NULL || clients->reasons[REASON_OTHER] == NULL ||
		clients->reasons[REASON_REFUSED] == NULL) {
		free(clients->slots);
		free(clients->reasons[REASON_OTHER]);
		free(clients->reasons[REASON_REFUSED]);
		free(clients);
		return -ENOMEM;
	}
	if (getrandom(&clients->seed, sizeof(clients->seed), GRND_NONBLOCK) < 0)
		clients->seed = (uint64_t)(uintptr_t)clients;
	pthread_mutex_init(&clients->mutex, NULL);
	*ret = clients;
	return 0;
}

static void client_free(struct client *client)
{
	for (uint32_t i = 0; i < client->refused_count; i++)
		free(client->refused[i].message);
	free(client->refused);
	free(client->dropped);
	free(client->service);
	free(client);
}

void clients_free(struct clients *clients)
{
	if (clients == NULL)
		return;
	for (size_t i = 0; i < clients->slot_count; i++) {
		if (clients->slots[i] != NULL)
			client_free(clients->slots[i]);
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
static size_t find_slot(const struct clients *clients, const uint8_t id[16])
{
	size_t slot = home_slot(clients, id);

	while (clients->slots[slot] != NULL && memcmp(clients->slots[slot]->id, id, 16) != 0)
		slot = (slot + 1) & (clients->slot_count - 1);
	return slot;
}

static struct client *find(const struct clients *clients, const uint8_t id[16])
{
	return clients->slots[find_slot(clients, id)];
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
			slots[find_slot(clients, old[i]->id)] = old[i];
	}
	free(old);
	return 0;
}

/* Empties a slot and moves those behind it that it kept from their place. */
static void clear_slot(struct clients *clients, size_t slot)
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

/* ---- What became of its spans --------------------------------------------- */

static uint64_t less(uint64_t from, uint64_t value)
{
	return from > value ? from - value : 0;
}

/* The client's count of refused spans; NULL: nothing of it was refused. */
static struct dropped *refused_spans(struct client *client)
{
	for (uint32_t i = 0; i < client->dropped_count; i++) {
		if (client->dropped[i].reason == REASON_REFUSED)
			return &client->dropped[i];
	}
	return NULL;
}

/* The emitted spans that are neither durable nor dropped for another reason. */
static uint64_t open_spans(const struct client *client)
{
	uint64_t open = less(client->emitted, client->durable);

	for (uint32_t i = 0; i < client->dropped_count; i++) {
		if (client->dropped[i].reason != REASON_REFUSED)
			open = less(open, client->dropped[i].spans);
	}
	return open;
}

/* How many spans were refused is a guess until the goodbye (see count_refusal): it gives
 * way to what is known. */
static void bound_refused(struct client *client)
{
	struct dropped *refused = refused_spans(client);
	uint64_t room = less(open_spans(client), client->unknown);

	/* Who never says what it emitted has no sum to keep. */
	if (refused != NULL && client->emitted != 0 && refused->spans > room)
		refused->spans = room;
}

/* The client has had an answer to all but `unknown`: what is left was refused. */
static void settle_refused(struct client *client)
{
	struct dropped *refused = refused_spans(client);

	if (refused != NULL && client->emitted != 0)
		refused->spans = less(open_spans(client), client->unknown);
}

/* Nothing more will come of the client: nothing of it is in flight. What it took for
 * unanswered and is durable after all is not unknown. */
static void settle_unknown(struct client *client)
{
	const struct dropped *refused = refused_spans(client);

	if (client->emitted != 0)
		client->unknown = less(open_spans(client), refused != NULL ? refused->spans : 0);
}

/* Takes a client out of the table; its counts stay. */
static int depart(struct clients *clients, struct client *client)
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
	settle_unknown(client);
	add_counts(&clients->departed, client);
	clear_slot(clients, find_slot(clients, client->id));
	clients->count--;
	client_free(client);
	return 0;
}

/* Makes room by forgetting one that was not heard of for long. */
static int evict(struct clients *clients)
{
	struct client *oldest = NULL;
	size_t slot =
		(size_t)(id_mix(clients->seed + clients->change + 1)) & (clients->slot_count - 1);

	for (int samples = 0; samples < EVICT_SAMPLES || oldest == NULL; samples++) {
		struct client *client;

		do {
			slot = (slot + 1) & (clients->slot_count - 1);
			client = clients->slots[slot];
		} while (client == NULL);
		if (oldest == NULL || client->last_ns < oldest->last_ns)
			oldest = client;
	}
	return depart(clients, oldest);
}

static int make(struct clients *clients, const uint8_t id[16], struct client **ret)
{
	struct client *client = find(clients, id);

	if (client == NULL) {
		if (clients->count >= clients->max && evict(clients) != 0)
			return -ENOMEM;
		if ((clients->count + 1) * 4 > clients->slot_count * 3 && grow(clients) != 0)
			return -ENOMEM;
		client = calloc(1, sizeof(*client));
		if (client == NULL)
			return -ENOMEM;
		memcpy(client->id, id, 16);
		clients->slots[find_slot(clients, id)] = client;
		clients->count++;
	}
	*ret = client;
	return 0;
}

/* ---- Parts of a client --------------------------------------------------- */

static void set_service(struct client *client, struct slice service)
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
static uint32_t reason_index(struct clients *clients, struct slice text)
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

static int add_dropped(
	struct clients *clients, struct client *client, struct slice reason, uint64_t spans)
{
	uint32_t index = reason_index(clients, reason);
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

static int add_refusal(
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
	known = find(clients, id) != NULL;
	ret = make(clients, id, &client);
	if (ret == 0) {
		set_service(client, service);
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

int clients_refusals(struct clients *clients, const uint8_t id[16], uint64_t after,
	int (*on_refusal)(void *ctx, const struct client_refusal *refusal), void *ctx)
{
	struct client *client;
	int ret = 0;

	pthread_mutex_lock(&clients->mutex);
	client = find(clients, id);
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

static bool place_after(struct log_place a, struct log_place b)
{
	return a.segment != b.segment ? a.segment > b.segment : a.offset > b.offset;
}

static int count_drop(
	struct clients *clients, struct client *client, const struct log_record *record)
{
	struct cursor in = cursor_of(record->payload, record->payload_length);
	struct slice reason = {0};
	uint64_t spans = record->spans;

	while (cursor_more(&in)) {
		uint32_t tag = cursor_tag(&in);

		if (tag == TAG_DROP_REASON)
			reason = cursor_bytes(&in);
		else if (tag == TAG_DROP_SPANS)
			spans = cursor_varint(&in);
		else
			cursor_skip(&in, tag);
	}
	return add_dropped(clients, client, reason, spans);
}

/* Nobody can count the spans of a batch that doesn't decode. As many are taken for
 * refused as the client emitted since its message before; what it still held back then
 * makes that a guess. */
static int count_refusal(
	struct clients *clients, struct client *client, const struct log_record *record)
{
	struct cursor in = cursor_of(record->payload, record->payload_length);
	uint32_t code = GRPC_INVALID_ARGUMENT;
	struct slice message = {0};
	int ret;

	while (cursor_more(&in)) {
		uint32_t tag = cursor_tag(&in);

		if (tag == TAG_REFUSAL_CODE)
			code = cursor_varint32(&in);
		else if (tag == TAG_REFUSAL_MESSAGE)
			message = cursor_bytes(&in);
		else
			cursor_skip(&in, tag);
	}
	/* A count of 0, too, says that something was refused. */
	ret = add_dropped(clients, client, slice_of_text("refused"), 0);
	if (ret == 0)
		ret = add_refusal(client, record->sequence, code, message);
	if (ret == 0)
		refused_spans(client)->spans += less(record->emitted, client->emitted);
	return ret;
}

static void count_goodbye(struct client *client, const struct log_record *record)
{
	struct cursor in = cursor_of(record->payload, record->payload_length);

	while (cursor_more(&in)) {
		uint32_t tag = cursor_tag(&in);

		if (tag == TAG_GOODBYE_EMITTED)
			client->emitted = cursor_varint(&in);
		else if (tag == TAG_GOODBYE_UNKNOWN)
			client->unknown = cursor_varint(&in);
		else if (tag == TAG_GOODBYE_NOT_SAMPLED)
			client->not_sampled = cursor_varint(&in);
		else
			cursor_skip(&in, tag);
	}
}

static int count_record(struct clients *clients, const struct log_record *record)
{
	struct client *client;
	int ret;

	/* A goodbye makes nobody known. */
	if (record->kind == LOG_GOODBYE && find(clients, record->client) == NULL)
		return 1;
	ret = make(clients, record->client, &client);
	if (ret != 0)
		return ret;
	if (record->kind != LOG_GOODBYE && record->sequence <= client->sequence)
		return -EEXIST;
	if (record->kind == LOG_DROP)
		ret = count_drop(clients, client, record);
	else if (record->kind == LOG_REFUSAL)
		ret = count_refusal(clients, client, record);
	else if (record->kind == LOG_GOODBYE)
		count_goodbye(client, record);
	if (ret != 0)
		return ret;
	if (record->kind == LOG_BATCH)
		client->durable += record->spans;
	if (record->emitted > client->emitted)
		client->emitted = record->emitted;
	if (record->receive_ns > client->last_ns)
		client->last_ns = record->receive_ns;
	if (record->kind == LOG_GOODBYE)
		settle_refused(client);
	else
		bound_refused(client);
	if (record->kind == LOG_GOODBYE)
		return depart(clients, client) == 0 ? 1 : -ENOMEM;
	client->sequence = record->sequence;
	client->changed = ++clients->change;
	return 1;
}

int clients_durable(
	struct clients *clients, struct log_place place, const struct log_record *record)
{
	int ret = 0;

	pthread_mutex_lock(&clients->mutex);
	if (place_after(place, clients->loaded))
		ret = count_record(clients, record);
	if (ret != -ENOMEM && place_after(place, clients->accounted))
		clients->accounted = place;
	pthread_mutex_unlock(&clients->mutex);
	return ret;
}

void clients_duplicate(struct clients *clients, const uint8_t id[16])
{
	struct client *client;

	pthread_mutex_lock(&clients->mutex);
	client = find(clients, id);
	if (client != NULL) {
		client->duplicates++;
		client->changed = ++clients->change;
	}
	pthread_mutex_unlock(&clients->mutex);
}

size_t clients_expire(struct clients *clients, uint64_t now_ns, uint64_t age_ns,
	bool (*in_use)(void *ctx, const uint8_t client[16]), void *ctx)
{
	size_t expired = 0;

	pthread_mutex_lock(&clients->mutex);
	for (size_t i = 0; i < clients->slot_count;) {
		struct client *client = clients->slots[i];

		if (client == NULL || client->last_ns > now_ns ||
			now_ns - client->last_ns < age_ns ||
			(in_use != NULL && in_use(ctx, client->id))) {
			i++;
			continue;
		}
		/* Another one may have moved into this slot: look at it again. */
		if (depart(clients, client) != 0)
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
	client = find(clients, id);
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

/* ---- Images -------------------------------------------------------------- */

/* A body: client, flags; unless it is gone: sequence, last receive time, pid,
 * emitted, durable, unknown, not sampled, duplicates, service; count of drop reasons,
 * each text and spans; count of refusals, each sequence, code, text. */
static int put_client(struct bytes *out, const struct clients *clients, const struct client *client)
{
	const uint64_t values[] = {0, client->sequence, client->last_ns, client->pid,
		client->emitted, client->durable, client->unknown, client->not_sampled,
		client->duplicates};
	const char *service = client->service != NULL ? client->service : "";
	int ret = bytes_put(out, client->id, 16);

	for (size_t i = 0; ret == 0 && i < sizeof(values) / sizeof(values[0]); i++)
		ret = bytes_varint(out, values[i]);
	if (ret == 0)
		ret = bytes_text(out, service, strlen(service));
	if (ret == 0)
		ret = bytes_varint(out, client->dropped_count);
	for (uint32_t i = 0; ret == 0 && i < client->dropped_count; i++) {
		const char *reason = clients->reasons[client->dropped[i].reason];

		ret = bytes_text(out, reason, strlen(reason));
		if (ret == 0)
			ret = bytes_varint(out, client->dropped[i].spans);
	}
	if (ret == 0)
		ret = bytes_varint(out, client->refused_count);
	for (uint32_t i = 0; ret == 0 && i < client->refused_count; i++) {
		const struct refused *refused = &client->refused[i];

		ret = bytes_varint(out, refused->sequence);
		if (ret == 0)
			ret = bytes_varint(out, refused->code);
		if (ret == 0)
			ret = bytes_text(out, refused->message, strlen(refused->message));
	}
	return ret;
}

static int put_gone(struct bytes *out, const struct gone *gone)
{
	int ret = bytes_put(out, gone->id, 16);

	return ret != 0 ? ret : bytes_varint(out, FLAG_GONE);
}

/* Puts the length of what came after start in front of it. */
static void end_body(struct bytes *out, size_t start)
{
	le32_write(out->data + start, (uint32_t)(out->length - start - 4));
}

static int put_clients(const struct clients *clients, uint64_t after, struct bytes *out)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < clients->slot_count; i++) {
		const struct client *client = clients->slots[i];
		size_t start = out->length;

		if (client == NULL || client->changed <= after)
			continue;
		ret = bytes_u32(out, 0);
		if (ret == 0)
			ret = put_client(out, clients, client);
		if (ret == 0)
			end_body(out, start);
	}
	for (size_t i = 0; ret == 0 && i < clients->gone_count; i++) {
		size_t start = out->length;

		/* Who is back since is in the table. */
		if (clients->gone[i].changed <= after || find(clients, clients->gone[i].id) != NULL)
			continue;
		ret = bytes_u32(out, 0);
		if (ret == 0)
			ret = put_gone(out, &clients->gone[i]);
		if (ret == 0)
			end_body(out, start);
	}
	return ret;
}

static int put_counter(struct bytes *out, const char *name, uint64_t value)
{
	int ret = bytes_text(out, name, strlen(name));

	return ret != 0 ? ret : bytes_varint(out, value);
}

static int put_counters(const struct clients *clients, struct bytes *out)
{
	const struct client_counts *departed = &clients->departed;
	int ret = put_counter(out, "departed.emitted", departed->emitted);

	if (ret == 0)
		ret = put_counter(out, "departed.durable", departed->durable);
	if (ret == 0)
		ret = put_counter(out, "departed.unknown", departed->unknown);
	if (ret == 0)
		ret = put_counter(out, "departed.not_sampled", departed->not_sampled);
	if (ret == 0)
		ret = put_counter(out, "departed.duplicates", departed->duplicates);
	for (size_t i = 0; ret == 0 && i < clients->reason_count; i++) {
		char name[CLIENTS_REASON_BYTES_MAX + 32];

		snprintf(name, sizeof(name), "departed.dropped.%s", clients->reasons[i]);
		ret = put_counter(out, name, departed->dropped_by[i]);
	}
	return ret;
}

int clients_image(struct clients *clients, bool all, struct manifest_image *ret)
{
	struct manifest_image image = {0};
	int error;

	pthread_mutex_lock(&clients->mutex);
	error = put_clients(clients, all ? 0 : clients->confirmed, &image.clients);
	if (error == 0)
		error = put_counters(clients, &image.counters);
	if (error == 0) {
		image.accounted = clients->accounted;
		clients->imaged = clients->change;
	}
	pthread_mutex_unlock(&clients->mutex);
	if (error != 0)
		manifest_image_done(&image);
	else
		*ret = image;
	return error;
}

int clients_image_all(void *ctx, struct manifest_image *ret)
{
	return clients_image(ctx, true, ret);
}

void clients_image_durable(struct clients *clients)
{
	size_t kept = 0;

	pthread_mutex_lock(&clients->mutex);
	clients->confirmed = clients->imaged;
	for (size_t i = 0; i < clients->gone_count; i++) {
		if (clients->gone[i].changed > clients->confirmed)
			clients->gone[kept++] = clients->gone[i];
	}
	clients->gone_count = kept;
	pthread_mutex_unlock(&clients->mutex);
}

/* ---- From the manifest ---------------------------------------------------- */

static int read_lists(struct clients *clients, struct client *client, struct cursor *in)
{
	uint64_t count = cursor_varint(in);
	int ret = 0;

	for (; count > 0 && in->error == 0 && ret == 0; count--) {
		struct slice reason = cursor_bytes(in);
		uint64_t spans = cursor_varint(in);

		if (in->error == 0)
			ret = add_dropped(clients, client, reason, spans);
	}
	count = ret == 0 ? cursor_varint(in) : 0;
	for (; count > 0 && in->error == 0 && ret == 0; count--) {
		uint64_t sequence = cursor_varint(in);
		uint32_t code = cursor_varint32(in);
		struct slice message = cursor_bytes(in);

		if (in->error == 0)
			ret = add_refusal(client, sequence, code, message);
	}
	return ret != 0 ? ret : in->error;
}

static int read_client(struct clients *clients, struct client *client, struct cursor *in)
{
	client->sequence = cursor_varint(in);
	client->last_ns = cursor_varint(in);
	client->pid = cursor_varint(in);
	client->emitted = cursor_varint(in);
	client->durable = cursor_varint(in);
	client->unknown = cursor_varint(in);
	client->not_sampled = cursor_varint(in);
	client->duplicates = cursor_varint(in);
	set_service(client, cursor_bytes(in));
	client->changed = ++clients->change;
	return read_lists(clients, client, in);
}

/* Takes a client out without counting it as departed. */
static void remove_client(struct clients *clients, struct client *client)
{
	if (client == NULL)
		return;
	clear_slot(clients, find_slot(clients, client->id));
	clients->count--;
	client_free(client);
}

int clients_on_manifest(void *ctx, const uint8_t *body, size_t length)
{
	struct clients *clients = ctx;
	struct cursor in = cursor_of(body, length);
	struct slice id = cursor_take(&in, 16);
	uint64_t flags = cursor_varint(&in);
	struct client *client;
	int ret;

	if (in.error != 0)
		return in.error;
	pthread_mutex_lock(&clients->mutex);
	/* A row says all of a client: what is known of it so far is older. */
	remove_client(clients, find(clients, id.data));
	ret = 0;
	if ((flags & FLAG_GONE) == 0) {
		ret = make(clients, id.data, &client);
		if (ret == 0) {
			ret = read_client(clients, client, &in);
			if (ret != 0)
				remove_client(clients, client);
		}
	}
	pthread_mutex_unlock(&clients->mutex);
	return ret;
}

int clients_on_counters(struct clients *clients, const struct manifest_state *state)
{
	static const char prefix[] = "departed.dropped.";
	struct client_counts *departed = &clients->departed;

	pthread_mutex_lock(&clients->mutex);
	departed->emitted = manifest_counter(state, "departed.emitted");
	departed->durable = manifest_counter(state, "departed.durable");
	departed->unknown = manifest_counter(state, "departed.unknown");
	departed->not_sampled = manifest_counter(state, "departed.not_sampled");
	departed->duplicates = manifest_counter(state, "departed.duplicates");
	for (size_t i = 0; i < state->counter_count; i++) {
		const char *name = state->counters[i].name;
		uint32_t reason;

		if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
			continue;
		reason = reason_index(clients, slice_of_text(name + sizeof(prefix) - 1));
		departed->dropped_by[reason] += state->counters[i].value;
		departed->dropped += state->counters[i].value;
	}
	clients->loaded = clients->accounted = state->accounted;
	pthread_mutex_unlock(&clients->mutex);
	return 0;
}
