/*
 * The clients' table as the manifest has it: images of it, and taking them in again.
 * See clients.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "clients_internal.h"
#include "cursor.h"

enum { FLAG_GONE = 1, FLAG_FORWARDED = 2, FLAG_ENDED = 4 };

/* ---- Images -------------------------------------------------------------- */

static int put_watermarks(struct bytes *out, const struct client *client)
{
	int ret = bytes_varint(out, client->watermark_count);

	for (uint32_t i = 0; ret == 0 && i < client->watermark_count; i++) {
		ret = bytes_varint(out, client->watermarks[i].share);
		if (ret == 0)
			ret = bytes_varint(out, client->watermarks[i].sequence);
	}
	return ret;
}

/* A body: client, flags; unless it is gone: sequence, last receive time, pid,
 * emitted, durable, unknown, not sampled, duplicates, service; count of drop reasons,
 * each text and spans; count of refusals, each sequence, code, text; when the client is
 * forwarded, count of watermarks, each share, sequence; when it is fenced, the Fence
 * message. */
static int put_client(struct bytes *out, const struct clients *clients, const struct client *client)
{
	const uint64_t flags =
		(client->forwarded ? FLAG_FORWARDED : 0u) | (client->ended ? FLAG_ENDED : 0u);
	const uint64_t values[] = {flags, client->sequence, client->last_ns, client->pid,
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
	if (ret == 0 && client->forwarded)
		ret = put_watermarks(out, client);
	if (ret == 0 && client->fence.length > 0)
		ret = bytes_text(out, client->fence.data, client->fence.length);
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
		if (clients->gone[i].changed <= after ||
			clients_find(clients, clients->gone[i].id) != NULL)
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
			ret = clients_add_dropped(clients, client, reason, spans);
	}
	count = ret == 0 ? cursor_varint(in) : 0;
	for (; count > 0 && in->error == 0 && ret == 0; count--) {
		uint64_t sequence = cursor_varint(in);
		uint32_t code = cursor_varint32(in);
		struct slice message = cursor_bytes(in);

		if (in->error == 0)
			ret = clients_add_refusal(client, sequence, code, message);
	}
	return ret != 0 ? ret : in->error;
}

static int read_watermarks(struct client *client, struct cursor *in)
{
	uint64_t count = cursor_varint(in);
	int ret = 0;

	for (; count > 0 && in->error == 0 && ret == 0; count--) {
		uint64_t share = cursor_varint(in);
		uint64_t sequence = cursor_varint(in);

		if (in->error == 0 && (share < LOG_SHARE_PARTITION || share > LOG_SHARE_MAX))
			return ERR_MALFORMED;
		if (in->error == 0)
			ret = clients_set_watermark(client, (uint8_t)share, sequence);
	}
	return ret != 0 ? ret : in->error;
}

static int read_client(
	struct clients *clients, struct client *client, uint64_t flags, struct cursor *in)
{
	int ret;

	client->forwarded = (flags & FLAG_FORWARDED) != 0;
	client->ended = (flags & FLAG_ENDED) != 0;
	client->sequence = cursor_varint(in);
	client->last_ns = cursor_varint(in);
	client->pid = cursor_varint(in);
	client->emitted = cursor_varint(in);
	client->durable = cursor_varint(in);
	client->unknown = cursor_varint(in);
	client->not_sampled = cursor_varint(in);
	client->duplicates = cursor_varint(in);
	clients_set_service(client, cursor_bytes(in));
	client->changed = ++clients->change;
	ret = read_lists(clients, client, in);
	if (ret == 0 && client->forwarded)
		ret = read_watermarks(client, in);
	if (ret == 0 && in->error == 0 && cursor_more(in)) {
		struct slice fence = cursor_bytes(in);

		if (in->error == 0)
			ret = clients_set_fence(client, fence);
	}
	return ret != 0 ? ret : in->error;
}

/* Takes a client out without counting it as departed. */
static void remove_client(struct clients *clients, struct client *client)
{
	if (client == NULL)
		return;
	clients_clear_slot(clients, clients_slot(clients, client->id));
	clients->count--;
	clients_free_one(client);
}

int clients_on_manifest(void *ctx, const uint8_t *body, size_t length)
{
	struct clients *clients = ctx;
	struct cursor in = cursor_of_slice(slice_of(body, length));
	struct slice id = cursor_take(&in, 16);
	uint64_t flags = cursor_varint(&in);
	struct client *client;
	int ret;

	if (in.error != 0)
		return in.error;
	pthread_mutex_lock(&clients->mutex);
	/* A row says all of a client: what is known of it so far is older. */
	remove_client(clients, clients_find(clients, id.data));
	ret = 0;
	if ((flags & FLAG_GONE) == 0) {
		ret = clients_make(clients, id.data, &client);
		if (ret == 0) {
			ret = read_client(clients, client, flags, &in);
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
		reason = clients_reason_index(clients, slice_of_text(name + sizeof(prefix) - 1));
		departed->dropped_by[reason] += state->counters[i].value;
		departed->dropped += state->counters[i].value;
	}
	clients->loaded = clients->accounted = state->accounted;
	pthread_mutex_unlock(&clients->mutex);
	return 0;
}
