/*
 * What a record of the log says became of a client's spans: emitted = durable + dropped by
 * reason + unknown + in flight. See clients.h.
 */
#include "clients_internal.h"

#include <errno.h>

#include "cursor.h"

static uint64_t less(uint64_t from, uint64_t value)
{
	return from > value ? from - value : 0;
}

/* The client's count of refused spans; NULL: nothing of it was refused. */
static struct dropped *refused_spans(struct client *client)
{
	for (uint32_t i = 0; i < client->dropped_count; i++) {
		if (client->dropped[i].reason == CLIENTS_REASON_REFUSED)
			return &client->dropped[i];
	}
	return NULL;
}

/* The emitted spans that are neither durable nor dropped for another reason. */
static uint64_t open_spans(const struct client *client)
{
	uint64_t open = less(client->emitted, client->durable);

	for (uint32_t i = 0; i < client->dropped_count; i++) {
		if (client->dropped[i].reason != CLIENTS_REASON_REFUSED)
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

void clients_settle_unknown(struct client *client)
{
	const struct dropped *refused = refused_spans(client);

	if (client->emitted != 0)
		client->unknown = less(open_spans(client), refused != NULL ? refused->spans : 0);
}

static bool place_after(struct log_place a, struct log_place b)
{
	return a.segment != b.segment ? a.segment > b.segment : a.offset > b.offset;
}

static int count_drop(
	struct clients *clients, struct client *client, const struct log_record *record)
{
	struct cursor in = cursor_of_slice(slice_of(record->payload, record->payload_length));
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
	return clients_add_dropped(clients, client, reason, spans);
}

/* Nobody can count the spans of a batch that doesn't decode. As many are taken for
 * refused as the client emitted since its message before (of a share only the agent knows
 * that); what it still held back then makes that a guess. */
static int count_refusal(
	struct clients *clients, struct client *client, const struct log_record *record)
{
	struct cursor in = cursor_of_slice(slice_of(record->payload, record->payload_length));
	uint32_t code = GRPC_INVALID_ARGUMENT;
	struct slice message = {0};
	uint64_t spans = 0;
	int ret;

	while (cursor_more(&in)) {
		uint32_t tag = cursor_tag(&in);

		if (tag == TAG_REFUSAL_SPANS)
			spans = cursor_varint(&in);
		else if (tag == TAG_REFUSAL_CODE)
			code = cursor_varint32(&in);
		else if (tag == TAG_REFUSAL_MESSAGE)
			message = cursor_bytes(&in);
		else
			cursor_skip(&in, tag);
	}
	/* A count of 0, too, says that something was refused. */
	ret = clients_add_dropped(clients, client, slice_of_text("refused"), 0);
	if (ret == 0)
		ret = clients_add_refusal(client, record->sequence, code, message);
	if (ret != 0)
		return ret;
	if (record->share >= LOG_SHARE_PARTITION)
		client->emitted += spans;
	else
		spans = less(record->emitted, client->emitted);
	refused_spans(client)->spans += spans;
	return 0;
}

static void count_goodbye(struct client *client, const struct log_record *record)
{
	struct cursor in = cursor_of_slice(slice_of(record->payload, record->payload_length));
	uint64_t emitted = client->emitted;
	uint64_t unknown = client->unknown;

	while (cursor_more(&in)) {
		uint32_t tag = cursor_tag(&in);

		if (tag == TAG_GOODBYE_EMITTED)
			emitted = cursor_varint(&in);
		else if (tag == TAG_GOODBYE_UNKNOWN)
			unknown = cursor_varint(&in);
		else if (tag == TAG_GOODBYE_NOT_SAMPLED)
			client->not_sampled = cursor_varint(&in);
		else
			cursor_skip(&in, tag);
	}
	/* Of what all gateways together got, this one has a part. */
	if (record->share >= LOG_SHARE_PARTITION)
		emitted = client->emitted + less(unknown, client->unknown);
	client->emitted = emitted;
	client->unknown = unknown;
}

static int count_record(struct clients *clients, const struct log_record *record)
{
	struct client *client;
	int ret;

	/* A goodbye makes nobody known. */
	if (record->kind == LOG_GOODBYE && clients_find(clients, record->client) == NULL)
		return 1;
	ret = clients_make(clients, record->client, &client);
	if (ret != 0)
		return ret;
	if (record->kind != LOG_GOODBYE && record->kind != LOG_FENCE &&
		clients_was_seen(client, record->share, record->sequence))
		return -EEXIST;
	if (record->kind == LOG_DROP)
		ret = count_drop(clients, client, record);
	else if (record->kind == LOG_REFUSAL)
		ret = count_refusal(clients, client, record);
	else if (record->kind == LOG_GOODBYE)
		count_goodbye(client, record);
	else if (record->kind == LOG_FENCE)
		ret = clients_set_fence(client, slice_of(record->payload, record->payload_length));
	if (ret != 0)
		return ret;
	if (record->kind == LOG_BATCH)
		client->durable += record->spans;
	if (record->share >= LOG_SHARE_PARTITION && record->kind != LOG_GOODBYE)
		client->emitted += record->spans;
	client->forwarded |= record->share != LOG_SHARE_DIRECT;
	if (record->emitted > client->emitted)
		client->emitted = record->emitted;
	if (record->receive_ns > client->last_ns)
		client->last_ns = record->receive_ns;
	if (record->kind == LOG_GOODBYE)
		settle_refused(client);
	else
		bound_refused(client);
	if (record->kind == LOG_GOODBYE && record->share == LOG_SHARE_DIRECT)
		return clients_depart(clients, client) == 0 ? 1 : -ENOMEM;
	if (record->kind == LOG_GOODBYE) {
		clients_settle_unknown(client);
		client->ended = true;
	} else if (record->kind != LOG_FENCE &&
		   /* A fence has no number of its own. */
		   clients_set_watermark(client, record->share, record->sequence) != 0) {
		return -ENOMEM;
	}
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
