/* Forward's messages by hand; see forward_wire.h. */
#include "forward_wire.h"

static void hello_decode(struct cursor *outer, struct forward_hello *ret)
{
	struct cursor cursor = cursor_of_slice(cursor_bytes(outer));

	*ret = (struct forward_hello){0};
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_FORWARD_HELLO_AGENT)
			ret->agent = cursor_bytes(&cursor);
		else if (tag == TAG_FORWARD_HELLO_VERSION)
			ret->version = cursor_varint32(&cursor);
		else if (tag == TAG_FORWARD_HELLO_LIBRARY)
			ret->library = cursor_bytes(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	if (cursor.error != 0)
		cursor_fail(outer, cursor.error);
}

static void peer_decode(struct cursor *outer, struct forward_peer *ret)
{
	struct cursor cursor = cursor_of_slice(cursor_bytes(outer));

	*ret = (struct forward_peer){0};
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_FORWARD_PEER_PID:
			ret->pid = cursor_varint32(&cursor);
			break;
		case TAG_FORWARD_PEER_UID:
			ret->uid = cursor_varint32(&cursor);
			break;
		case TAG_FORWARD_PEER_NAME:
			ret->name = cursor_bytes(&cursor);
			break;
		case TAG_FORWARD_PEER_AGENT:
			ret->agent = cursor_bytes(&cursor);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	if (cursor.error != 0)
		cursor_fail(outer, cursor.error);
}

/* What must hold of a request whose fields are read. */
static int check_request(const struct forward_request *request, struct slice client)
{
	bool numbered = request->number != 0;

	if (request->body == FORWARD_HELLO) {
		if (request->hello.agent.length != WIRE_CLIENT_ID_BYTES)
			return ERR_MALFORMED;
		return numbered ? ERR_ORDER : 0;
	}
	if (request->body == FORWARD_FORGET)
		client = request->bytes;
	else if (!numbered)
		return ERR_ORDER;
	if (client.length != WIRE_CLIENT_ID_BYTES)
		return ERR_MALFORMED;
	if (request->body == FORWARD_FORGET)
		return numbered ? ERR_ORDER : 0;
	if (request->share > FORWARD_SHARE_MAX)
		return ERR_LIMIT;
	if (request->body != FORWARD_GOODBYE && request->sequence == 0)
		return ERR_ORDER;
	return request->body == FORWARD_BATCH && request->bytes.length > WIRE_BATCH_LIMIT
		       ? ERR_LIMIT
		       : 0;
}

static void body_decode(struct cursor *cursor, uint32_t tag, struct forward_request *request)
{
	request->body = (enum forward_body)(tag >> 3);
	if (tag == TAG_FORWARD_HELLO) {
		request->bytes = (struct slice){0};
		hello_decode(cursor, &request->hello);
	} else {
		request->bytes = cursor_bytes(cursor);
	}
}

int forward_request_decode(struct slice bytes, struct forward_request *ret)
{
	struct forward_request request = {0};
	struct cursor cursor = cursor_of_slice(bytes);
	struct slice client = {0};
	int status;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_FORWARD_NUMBER:
			request.number = cursor_fixed64(&cursor);
			break;
		case TAG_FORWARD_HELLO:
		case TAG_FORWARD_BATCH:
		case TAG_FORWARD_DROP:
		case TAG_FORWARD_REFUSAL:
		case TAG_FORWARD_GOODBYE:
		case TAG_FORWARD_FORGET:
			body_decode(&cursor, tag, &request);
			break;
		case TAG_FORWARD_CLIENT:
			client = cursor_bytes(&cursor);
			break;
		case TAG_FORWARD_SEQUENCE:
			request.sequence = cursor_varint(&cursor);
			break;
		case TAG_FORWARD_EMITTED:
			request.emitted = cursor_varint(&cursor);
			break;
		case TAG_FORWARD_SHARE:
			request.share = cursor_varint32(&cursor);
			break;
		case TAG_FORWARD_RECEIVED_NS:
			request.received_ns = cursor_fixed64(&cursor);
			break;
		case TAG_FORWARD_PEER:
			request.has_peer = true;
			peer_decode(&cursor, &request.peer);
			break;
		case TAG_FORWARD_SERVICE:
			request.service = cursor_bytes(&cursor);
			break;
		case TAG_FORWARD_PID:
			request.pid = cursor_varint(&cursor);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	if (cursor.error != 0)
		return cursor.error;
	if (request.body == 0)
		return ERR_MALFORMED;
	status = check_request(&request, client);
	if (status < 0)
		return status;
	if (request.body == FORWARD_FORGET)
		client = request.bytes;
	if (request.body != FORWARD_HELLO)
		memcpy(request.client, client.data, sizeof(request.client));
	*ret = request;
	return 0;
}

static void hello_encode(struct writer *writer, const struct forward_hello *hello)
{
	size_t nested = writer_nested_begin(writer, TAG_FORWARD_HELLO);

	writer_field_bytes(writer, TAG_FORWARD_HELLO_AGENT, hello->agent);
	writer_field_varint(writer, TAG_FORWARD_HELLO_VERSION, hello->version);
	writer_field_bytes(writer, TAG_FORWARD_HELLO_LIBRARY, hello->library);
	writer_nested_end(writer, nested);
}

static void peer_encode(struct writer *writer, const struct forward_peer *peer)
{
	size_t nested = writer_nested_begin(writer, TAG_FORWARD_PEER);

	writer_field_varint(writer, TAG_FORWARD_PEER_PID, peer->pid);
	writer_field_varint(writer, TAG_FORWARD_PEER_UID, peer->uid);
	writer_field_bytes(writer, TAG_FORWARD_PEER_NAME, peer->name);
	writer_field_bytes(writer, TAG_FORWARD_PEER_AGENT, peer->agent);
	writer_nested_end(writer, nested);
}

void forward_request_encode(struct writer *writer, const struct forward_request *request)
{
	writer_byte(writer, TAG_FORWARD_NUMBER);
	writer_fixed64(writer, request->number);
	if (request->body == FORWARD_HELLO) {
		hello_encode(writer, &request->hello);
		return;
	}
	if (request->body == FORWARD_FORGET) {
		writer_field_bytes(writer, TAG_FORWARD_FORGET,
			slice_of(request->client, WIRE_CLIENT_ID_BYTES));
		return;
	}
	writer_field_bytes_always(
		writer, WIRE_TAG((unsigned)request->body, WIRE_BYTES), request->bytes);
	writer_field_bytes(
		writer, TAG_FORWARD_CLIENT, slice_of(request->client, WIRE_CLIENT_ID_BYTES));
	writer_field_varint(writer, TAG_FORWARD_SEQUENCE, request->sequence);
	writer_field_varint(writer, TAG_FORWARD_EMITTED, request->emitted);
	writer_field_varint(writer, TAG_FORWARD_SHARE, request->share);
	writer_field_fixed64(writer, TAG_FORWARD_RECEIVED_NS, request->received_ns);
	if (request->has_peer)
		peer_encode(writer, &request->peer);
	writer_field_bytes(writer, TAG_FORWARD_SERVICE, request->service);
	writer_field_varint(writer, TAG_FORWARD_PID, request->pid);
}

void forward_request_number(uint8_t *message, uint64_t number)
{
	le64_write(message + 1, number);
}

int forward_response_decode(struct slice bytes, struct forward_response *ret)
{
	struct forward_response response = {0};
	struct cursor cursor = cursor_of_slice(bytes);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_FORWARDED_DURABLE_NUMBER:
			response.durable_number = cursor_varint(&cursor);
			break;
		case TAG_FORWARDED_REFUSED:
			response.refused = cursor_varint(&cursor);
			break;
		case TAG_FORWARDED_CREDIT_BYTES:
			response.credit_bytes = cursor_varint(&cursor);
			break;
		case TAG_FORWARDED_COLLECTOR:
			response.collector = cursor_bytes(&cursor);
			break;
		case TAG_FORWARDED_COLLECTOR_ID:
			response.collector_id = cursor_bytes(&cursor);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	if (cursor.error == 0)
		*ret = response;
	return cursor.error;
}

void forward_response_encode(struct writer *writer, const struct forward_response *response)
{
	writer_field_varint(writer, TAG_FORWARDED_DURABLE_NUMBER, response->durable_number);
	writer_field_varint(writer, TAG_FORWARDED_REFUSED, response->refused);
	writer_field_varint(writer, TAG_FORWARDED_CREDIT_BYTES, response->credit_bytes);
	writer_field_bytes(writer, TAG_FORWARDED_COLLECTOR, response->collector);
	writer_field_bytes(writer, TAG_FORWARDED_COLLECTOR_ID, response->collector_id);
}
