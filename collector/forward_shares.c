/*
 * From a record of the log to the shares that gateways get. See forward_internal.h.
 *
 * Whole: one share, routed by its client. In partitions: a batch is split by trace; a drop
 * and a refusal, which have no trace, go with the partition that their client and number
 * give; a goodbye goes to every gateway, the client's counts to one of them.
 */
#include "forward_internal.h"

#include "forward_wire.h"
#include "ids.h"
#include "log_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a record and a share take of memory beside the bytes. */
#define RECORD_BYTES 128u
/* A drop in place of a batch is padded; a client's own is small. */
#define DROP_BYTES_MAX 256u

/* The shares of one record while they are made. */
struct making {
	struct forward *forward;
	struct record *record;
	struct forward_request request;
	char service[64];
	uint8_t drop[DROP_BYTES_MAX];
	struct share *shares;
	struct share **shares_end;
};

static unsigned int partition_of(const uint8_t client[16], uint64_t sequence)
{
	uint64_t half;

	memcpy(&half, client, sizeof(half));
	return (unsigned int)(id_mix(half ^ id_mix(sequence)) >> 58);
}

static int add_share(struct making *making, unsigned int partition, size_t room)
{
	struct share *share = share_new(room);
	struct writer writer;

	if (share == NULL)
		return -ENOMEM;
	writer = writer_of(share_payload(share), room);
	forward_request_encode(&writer, &making->request);
	if (writer.error != 0) {
		free(share);
		return writer.error;
	}
	share_set_length(share, writer_length(&writer));
	share->record = making->record;
	share->partition = (uint8_t)partition;
	*making->shares_end = share;
	making->shares_end = &share->next;
	making->record->unanswered++;
	making->record->bytes += RECORD_BYTES + room;
	return 0;
}

static int add_body(struct making *making, unsigned int partition, struct slice bytes)
{
	making->request.bytes = bytes;
	return add_share(making, partition, FORWARD_HEAD_LIMIT + bytes.length);
}

/* ---- In partitions ------------------------------------------------------------- */

static int add_parts(struct making *making, struct slice bytes)
{
	struct batch_split *split = &making->forward->split;
	uint8_t *part = malloc(bytes.length + 1);
	int status = part == NULL ? -ENOMEM : 0;

	for (unsigned int i = 0; i < WIRE_PARTITIONS && status == 0; i++) {
		struct writer writer = writer_of(part, bytes.length + 1);

		if ((split->partitions >> i & 1) == 0)
			continue;
		batch_split_write(split, i, &writer);
		if (writer.error != 0) {
			status = writer.error;
			break;
		}
		making->request.share = i + 1;
		status = add_body(making, i, slice_of(part, writer_length(&writer)));
	}
	free(part);
	return status;
}

static int split_batch(struct making *making, struct slice bytes)
{
	struct batch_split *split = &making->forward->split;
	unsigned int only = partition_of(making->request.client, making->request.sequence);
	int status = batch_split_open(split, bytes.data, bytes.length);

	if (status == -ENOMEM)
		return status;
	/* It decoded when it came. If it doesn't any more, the gateway may say so. */
	if (status < 0 || split->partitions == 0 ||
		(split->partitions & (split->partitions - 1)) == 0) {
		if (status == 0 && split->partitions != 0)
			only = (unsigned int)__builtin_ctzll(split->partitions);
		making->request.share = only + 1;
		return add_body(making, only, bytes);
	}
	return add_parts(making, bytes);
}

/* To each gateway that has a partition. */
static int split_goodbye(struct making *making, struct slice bytes)
{
	const struct route *route = &making->forward->route;
	unsigned int home = partition_of(making->request.client, 0);
	uint64_t told = UINT64_C(1) << route->owners[home];
	int status;

	making->request.share = home + 1;
	status = add_body(making, home, bytes);
	for (unsigned int i = 0; i < WIRE_PARTITIONS && status == 0; i++) {
		if ((told >> route->owners[i] & 1) != 0)
			continue;
		told |= UINT64_C(1) << route->owners[i];
		making->request.share = i + 1;
		status = add_body(making, i, slice_of("", 0));
	}
	return status;
}

/* ---- All of a record ------------------------------------------------------------- */

static enum forward_body body_of(enum log_kind kind)
{
	switch (kind) {
	case LOG_DROP:
		return FORWARD_DROP;
	case LOG_REFUSAL:
		return FORWARD_REFUSAL;
	case LOG_GOODBYE:
		return FORWARD_GOODBYE;
	case LOG_BATCH:
	case LOG_MARK:
	case LOG_FENCE:
	default:
		return FORWARD_BATCH;
	}
}

static void fill_request(struct making *making, const struct log_record *record)
{
	struct forward_request *request = &making->request;
	struct client_info info;

	request->body = body_of(record->kind);
	memcpy(request->client, record->client, sizeof(request->client));
	request->sequence = record->sequence;
	request->emitted = record->emitted;
	request->received_ns = record->receive_ns;
	request->has_peer = record->peer.known;
	request->peer = (struct forward_peer){
		.pid = record->peer.pid,
		.uid = record->peer.uid,
		.name = slice_of(record->peer.name, record->peer.name_length),
		.agent = slice_of(record->peer.agent, record->peer.agent_length),
	};
	if (clients_get(making->forward->config.clients, record->client, &info) != 0)
		return;
	memcpy(making->service, info.service, sizeof(making->service));
	request->service = slice_of_text(making->service);
	request->pid = info.pid;
}

/* A drop without the padding of one that stands in place of a batch. */
static struct slice encode_drop(struct making *making, const struct log_record *record)
{
	struct cursor cursor = cursor_of_slice(slice_of(record->payload, record->payload_length));
	struct writer writer = writer_of(making->drop, sizeof(making->drop));
	struct slice reason = {0};
	uint64_t spans = 0;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_DROP_REASON)
			reason = cursor_bytes(&cursor);
		else if (tag == TAG_DROP_SPANS)
			spans = cursor_varint(&cursor);
		else
			cursor_skip(&cursor, tag);
		making->record->shed |= tag == TAG_DROP_PADDING;
	}
	if (reason.length > sizeof(making->drop) / 2)
		reason.length = sizeof(making->drop) / 2;
	writer_field_bytes(&writer, TAG_DROP_REASON, reason);
	writer_field_varint(&writer, TAG_DROP_SPANS, spans);
	return slice_of(making->drop, writer_length(&writer));
}

static int make_shares(struct making *making, const struct log_record *record, bool split)
{
	struct slice bytes = slice_of(record->payload, record->payload_length);
	unsigned int partition = partition_of(record->client, split ? record->sequence : 0);

	if (record->kind == LOG_DROP)
		bytes = encode_drop(making, record);
	if (!split)
		return add_body(making, partition, bytes);
	making->request.emitted = 0;
	if (record->kind == LOG_BATCH)
		return split_batch(making, bytes);
	if (record->kind == LOG_GOODBYE)
		return split_goodbye(making, bytes);
	making->request.share = partition + 1;
	return add_body(making, partition, bytes);
}

int forward_send_record(
	struct forward *forward, struct log_place place, const struct log_record *record)
{
	struct record *made = calloc(1, sizeof(*made));
	struct making making = {.forward = forward, .record = made};
	struct share *next;
	int status = -ENOMEM;

	making.shares_end = &making.shares;
	if (made != NULL) {
		made->place = made->after = place;
		made->after.offset += (uint32_t)log_record_bytes(record);
		made->kind = record->kind;
		made->spans = record->spans;
		made->bytes = RECORD_BYTES;
		memcpy(made->client, record->client, sizeof(made->client));
		fill_request(&making, record);
		status = make_shares(&making, record, forward_splits_at(forward, place));
	}
	for (struct share *share = making.shares; status < 0 && share != NULL; share = next) {
		next = share->next;
		free(share);
	}
	if (status < 0) {
		free(made);
		return status;
	}
	*forward->records_end = made;
	forward->records_end = &made->next;
	forward->last = made;
	forward->counts.in_flight++;
	forward->counts.in_flight_bytes += made->bytes;
	for (struct share *share = making.shares; share != NULL; share = next) {
		next = share->next;
		gateway_send(
			forward->gateways[route_take(&forward->route, share->partition)], share);
	}
	return 0;
}
