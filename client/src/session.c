/* See session.h. */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "errors.h"
#include "export.h"
#include "fence.h"
#include "frame.h"
#include "packer.h"
#include "region_layout.h"

enum { GOODBYE_BYTES = WIRE_FRAME_HEADER_BYTES + 64 };

/* ---- Out ---------------------------------------------------------------------- */

/* A frame around what payload has written behind room for the header. */
static size_t frame_close(uint8_t *to, enum frame_type type, struct writer *payload)
{
	if (payload->error != 0)
		return 0;
	frame_header_write(to, type, PACKER_STREAM, payload->start, writer_length(payload));
	return WIRE_FRAME_HEADER_BYTES + writer_length(payload);
}

static size_t request_frame(uint8_t *to, size_t size, const struct export_request *request)
{
	struct writer writer;

	if (size < WIRE_FRAME_HEADER_BYTES)
		return 0;
	writer = writer_of(to + WIRE_FRAME_HEADER_BYTES, size - WIRE_FRAME_HEADER_BYTES);
	export_request_encode(&writer, request);
	return frame_close(to, FRAME_MESSAGE, &writer);
}

size_t session_hello_frame(
	uint8_t *to, size_t size, const struct ledger *ledger, const struct session_client *client)
{
	struct export_request request = {.body = EXPORT_HELLO};

	memcpy(request.hello.client, client->id, sizeof(request.hello.client));
	request.hello.version = 1;
	request.hello.library = slice_of_text("waft-c " WAFT_VERSION);
	request.hello.service = slice_of_text(client->service);
	request.hello.pid = client->pid;
	request.hello.acknowledged_sequence = ledger->answered;
	request.hello.sent_sequence = ledger->next_sequence - 1;
	request.hello.region = client->region ? REGION_VERSION : 0;
	request.emitted = ledger_emitted() - ledger->forgotten;
	return request_frame(to, size, &request);
}

size_t session_goodbye_frame(
	uint8_t *to, size_t size, uint64_t emitted, uint64_t unknown, uint64_t not_sampled)
{
	struct export_request request = {.emitted = emitted, .body = EXPORT_GOODBYE};

	request.goodbye.emitted = emitted;
	request.goodbye.unknown = unknown;
	request.goodbye.not_sampled = not_sampled;
	return request_frame(to, size, &request);
}

void session_begin(
	struct session *session, const struct ledger *ledger, const struct session_client *client)
{
	struct call_header call = {.method = slice_of_text(WIRE_METHOD_EXPORT)};
	struct writer writer = writer_of(session->out + WIRE_FRAME_HEADER_BYTES,
		sizeof(session->out) - WIRE_FRAME_HEADER_BYTES);
	char bearer[1100];
	size_t length;

	if (client->token != NULL && *client->token != '\0') {
		snprintf(bearer, sizeof(bearer), "Bearer %s", client->token);
		call.metadata[call.metadata_count++] = (struct metadata){
			.key = slice_of_text("authorization"), .value = slice_of_text(bearer)};
	}
	session->state = SESSION_HELLO;
	session->credit = session->sent = 0;
	session->retry_after_ms = 0;
	session->refused_version = false;
	session->status = GRPC_OK;
	session->in_length = 0;
	call_header_encode(&writer, &call);
	length = frame_close(session->out, FRAME_CALL, &writer);
	session->out_length = length + session_hello_frame(session->out + length,
					       sizeof(session->out) - length, ledger, client);
	session->sent = session->out_length - length - WIRE_FRAME_HEADER_BYTES;
}

bool session_may_send(const struct session *session)
{
	return session->state == SESSION_OPEN && session->sent < session->credit;
}

void session_sent(struct session *session, size_t frame_bytes)
{
	session->sent += frame_bytes - WIRE_FRAME_HEADER_BYTES;
}

void session_leave(
	struct session *session, uint64_t emitted, uint64_t unknown, uint64_t not_sampled)
{
	session->out_length += session_goodbye_frame(session->out + session->out_length,
		sizeof(session->out) - session->out_length, emitted, unknown, not_sampled);
	session->state = SESSION_LEAVING;
}

/* ---- In ------------------------------------------------------------------------ */

static int response_take(
	struct session *session, struct ledger *ledger, const struct export_response *response)
{
	struct refusal refusal;
	size_t position = 0;
	int ret;

	if ((session->state == SESSION_HELLO) != response->has_welcome)
		return -EPROTO;
	if (response->has_welcome && response->welcome.forgotten &&
		response->welcome.fence.data == NULL)
		return -ESTALE;
	while (export_response_next_refusal(response, &position, &refusal))
		ledger_refuse(ledger, refusal.sequence);
	if (response->has_welcome && response->welcome.fence.data != NULL) {
		ret = fence_take(ledger, response->welcome.fence, response->durable_sequence);
		return ret < 0 ? ret : -ESTALE;
	}
	if (response->has_welcome)
		ret = ledger_resume(ledger, response->durable_sequence);
	else
		ret = ledger_answer(ledger, response->durable_sequence);
	if (ret < 0)
		return ret;
	if (response->credit_bytes > session->credit)
		session->credit = response->credit_bytes;
	if (session->state == SESSION_HELLO)
		session->state = SESSION_OPEN;
	if (response->goodbye && session->state == SESSION_LEAVING)
		session->state = SESSION_DONE;
	return 0;
}

/* The collector's words, which may end on a terminal. */
static void said_take(struct session *session, struct slice message)
{
	size_t length =
		message.length < SESSION_SAID_BYTES - 1 ? message.length : SESSION_SAID_BYTES - 1;

	for (size_t i = 0; i < length; i++) {
		uint8_t byte = message.data[i];

		session->said[i] = byte >= ' ' && byte <= '~' ? (char)byte : '?';
	}
	session->said[length] = '\0';
}

static int status_take(struct session *session, const struct frame *frame)
{
	struct call_status status;
	int ret = call_status_decode(slice_of(frame->payload, frame->length), &status);

	if (ret < 0)
		return ret;
	if (session->state == SESSION_DONE)
		return 0;
	session->status = status.code;
	said_take(session, status.message);
	session->retry_after_ms = status.retry_after_ms < SESSION_RETRY_LIMIT_MS
					  ? status.retry_after_ms
					  : SESSION_RETRY_LIMIT_MS;
	return -ECONNABORTED;
}

/* Sent as soon as there is room; a collector that floods gets no answer. The
 * goodbye's place is never taken. */
static void pong_add(struct session *session, const struct frame *ping)
{
	uint8_t *to = session->out + session->out_length;

	if (ping->length > WIRE_PING_LIMIT ||
		sizeof(session->out) - session->out_length <
			WIRE_FRAME_HEADER_BYTES + WIRE_PING_LIMIT + GOODBYE_BYTES)
		return;
	memcpy(to + WIRE_FRAME_HEADER_BYTES, ping->payload, ping->length);
	frame_header_write(
		to, FRAME_PONG, ping->stream, to + WIRE_FRAME_HEADER_BYTES, ping->length);
	session->out_length += WIRE_FRAME_HEADER_BYTES + ping->length;
}

static int frame_take(struct session *session, struct ledger *ledger, const struct frame *frame)
{
	struct export_response response;
	int ret;

	switch (frame->type) {
	case FRAME_MESSAGE:
		if (frame->stream != PACKER_STREAM)
			return -EPROTO;
		ret = export_response_decode(slice_of(frame->payload, frame->length), &response);
		return ret < 0 ? ret : response_take(session, ledger, &response);
	case FRAME_STATUS:
		return status_take(session, frame);
	case FRAME_VERSION:
		session->refused_version = true;
		return -ECONNABORTED;
	case FRAME_PING:
		pong_add(session, frame);
		return 0;
	default:
		return 0;
	}
}

/* All whole frames at the start of the buffer. */
static int frames_take(struct session *session, struct ledger *ledger)
{
	size_t done = 0;
	struct frame frame;
	int ret = 0;

	while (ret == 0) {
		long taken = frame_parse(session->in + done, session->in_length - done, &frame);

		if (taken == ERR_VERSION)
			session->refused_version = true;
		if (taken <= 0) {
			ret = (int)taken;
			break;
		}
		ret = frame_take(session, ledger, &frame);
		done += (size_t)taken;
	}
	memmove(session->in, session->in + done, session->in_length - done);
	session->in_length -= done;
	return ret;
}

int session_receive(
	struct session *session, struct ledger *ledger, const uint8_t *bytes, size_t length)
{
	int ret = 0;

	while (length > 0 && ret == 0) {
		size_t room = sizeof(session->in) - session->in_length;
		size_t part = length < room ? length : room;

		if (room == 0)
			return ERR_LIMIT;
		memcpy(session->in + session->in_length, bytes, part);
		session->in_length += part;
		bytes += part;
		length -= part;
		ret = frames_take(session, ledger);
	}
	return ret;
}
