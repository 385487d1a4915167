/*
 * rpc_client.c: calls to a collector, blocking, each with a deadline.
 *
 * A call: CALL and MESSAGE out in one write; then frames in, until STATUS of its
 * stream. PINGs are answered, credit is granted as messages are taken, what
 * belongs to other streams is passed over. Any fault of the connection ends it
 * for good: the next call fails with -EPIPE, the owner connects anew.
 */
#include "rpc_client.h"

#include "frame.h"
#include "rpc.h"
#include "strbuf.h"
#include "wire_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 65536, CREDIT_BYTES = WIRE_DEFAULT_CREDIT, TOKEN_BYTES = 1100 };

struct rpc_client {
	struct wire_link *link; /* NULL: the connection is over */
	uint32_t stream;
	int64_t deadline_ms;  /* on the monotonic clock; -1: none */
	uint64_t taken_bytes; /* payloads of this call's MESSAGEs */
	uint64_t credited_bytes;
	struct frame_reader reader;
	const uint8_t *unread; /* in received */
	size_t unread_bytes;
	struct strbuf said; /* by the collector: a status's message */
	struct strbuf problem;
	unsigned lowest, highest; /* versions that the collector speaks, after VERSION */
	uint8_t received[RECEIVE_BYTES];
};

/* ---- Connection ------------------------------------------------------- */

int rpc_client_connect(const char *where, uint32_t timeout_ms, struct rpc_client **ret_client,
	char ret_why[WIRE_LINK_WHY_BYTES])
{
	struct rpc_client *client = calloc(1, sizeof *client);
	int result = -ENOMEM;

	ret_why[0] = '\0';
	if (client != NULL)
		result = wire_link_open(
			where, wire_link_now_ms() + timeout_ms, &client->link, ret_why);
	if (result != 0) {
		if (ret_why[0] == '\0')
			snprintf(ret_why, WIRE_LINK_WHY_BYTES, "%s", strerror(-result));
		free(client);
		return result;
	}
	frame_reader_init(&client->reader);
	*ret_client = client;
	return 0;
}

static int disconnect(struct rpc_client *client, int result)
{
	if (client->link != NULL && client->said.length == 0 &&
		*wire_link_why(client->link) != '\0')
		strbuf_format(&client->said, "TLS: %s", wire_link_why(client->link));
	wire_link_free(client->link);
	client->link = NULL;
	return result;
}

void rpc_client_free(struct rpc_client *client)
{
	if (client == NULL)
		return;
	(void)disconnect(client, 0);
	frame_reader_done(&client->reader);
	strbuf_done(&client->said);
	strbuf_done(&client->problem);
	free(client);
}

static int send_frame(
	struct rpc_client *client, enum frame_type type, uint32_t stream, struct slice payload)
{
	uint8_t header[WIRE_FRAME_HEADER_BYTES];
	int result;

	frame_header_write(header, type, stream, payload.data, payload.length);
	result = wire_link_send(client->link, header, sizeof header, client->deadline_ms);
	return result == 0 ? wire_link_send(client->link, payload.data, payload.length,
				     client->deadline_ms)
			   : result;
}

static int send_message(
	struct rpc_client *client, enum frame_type type, const ProtobufCMessage *message)
{
	size_t length = 0;
	uint8_t *bytes = NULL;
	int result = rpc_pack(message, 0, &bytes, &length);

	if (result != 0)
		return result;
	result = send_frame(client, type, client->stream, slice_of(bytes, length));
	free(bytes);
	return result;
}

/* The next whole frame. */
static int receive(struct rpc_client *client, struct frame *ret_frame)
{
	for (;;) {
		int result = frame_reader_next(
			&client->reader, &client->unread, &client->unread_bytes, ret_frame);
		ssize_t received;

		if (result != 0)
			return result > 0 ? 0 : result;
		received = wire_link_receive(client->link, client->received,
			sizeof client->received, client->deadline_ms);
		if (received <= 0)
			return received < 0 ? (int)received : -ECONNRESET;
		client->unread = client->received;
		client->unread_bytes = (size_t)received;
	}
}

/* ---- Calls ------------------------------------------------------------ */

/* What WAFT_TOKEN, or the file of WAFT_TOKEN_FILE, holds, behind "Bearer "; false: it
 * can't be read. Nothing is an empty text. */
static bool bearer(char *ret_text, size_t size)
{
	const char *file = secure_getenv("WAFT_TOKEN_FILE");
	const char *token = secure_getenv("WAFT_TOKEN");
	size_t length;

	ret_text[0] = '\0';
	if (file != NULL && *file != '\0') {
		int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		ssize_t got = -1;

		memcpy(ret_text, "Bearer ", 7);
		if (fd >= 0) {
			got = read(fd, ret_text + 7, size - 8);
			(void)close(fd);
		}
		if (got <= 0)
			return false;
		ret_text[7 + got] = '\0';
	} else if (token != NULL && *token != '\0') {
		(void)snprintf(ret_text, size, "Bearer %s", token);
	}
	/* Files end in a newline. */
	for (length = strlen(ret_text); length > 0 && strchr(" \t\r\n", ret_text[length - 1]);)
		ret_text[--length] = '\0';
	return true;
}

int rpc_client_begin(struct rpc_client *client, const char *method, const ProtobufCMessage *request,
	uint32_t deadline_ms)
{
	Waft__V1__CallHeader__MetadataEntry entry = WAFT__V1__CALL_HEADER__METADATA_ENTRY__INIT;
	Waft__V1__CallHeader__MetadataEntry *entries[] = {&entry};
	Waft__V1__CallHeader header = WAFT__V1__CALL_HEADER__INIT;
	char authorization[TOKEN_BYTES];
	int result;

	if (client->link == NULL)
		return -EPIPE;
	strbuf_clear(&client->said);
	client->stream++;
	client->taken_bytes = 0;
	client->credited_bytes = CREDIT_BYTES;
	client->deadline_ms =
		deadline_ms == RPC_NO_DEADLINE ? -1 : wire_link_now_ms() + deadline_ms;
	if (!bearer(authorization, sizeof authorization)) {
		strbuf_string(&client->said, "the file of WAFT_TOKEN_FILE can't be read");
		return -EACCES;
	}
	if (authorization[0] != '\0') {
		entry.key = (char *)"authorization";
		entry.value = authorization;
		header.metadata = entries;
		header.n_metadata = 1;
	}
	header.method = (char *)method;
	header.deadline_ms = deadline_ms;
	header.credit_bytes = CREDIT_BYTES;
	result = send_message(client, FRAME_CALL, &header.base);
	if (result == 0)
		result = send_message(client, FRAME_MESSAGE, request);
	return result == 0 ? 0 : disconnect(client, result);
}

/* Grants anew when half of the credit has been used. */
static int grant(struct rpc_client *client, size_t length)
{
	Waft__V1__Credit credit = WAFT__V1__CREDIT__INIT;

	client->taken_bytes += length;
	if (client->credited_bytes - client->taken_bytes > CREDIT_BYTES / 2 &&
		client->credited_bytes > client->taken_bytes)
		return 0;
	client->credited_bytes = client->taken_bytes + CREDIT_BYTES;
	credit.bytes = client->credited_bytes;
	return send_message(client, FRAME_CREDIT, &credit.base);
}

static int on_status(struct rpc_client *client, const struct frame *frame)
{
	ProtobufCMessage *message;
	const Waft__V1__CallStatus *status;
	int result = rpc_unpack(&waft__v1__call_status__descriptor,
		slice_of(frame->payload, frame->length), &rpc_response_limits, &message);

	if (result != 0)
		return disconnect(client, result);
	status = (const Waft__V1__CallStatus *)message;
	strbuf_string(&client->said, status->message);
	/* On stream 0 the collector says why it is about to end the connection. */
	if (frame->stream == 0)
		result = disconnect(client,
			status->code == GRPC_OK ? -ECONNRESET : error_from_grpc(status->code));
	else
		result = error_from_grpc(status->code);
	protobuf_c_message_free_unpacked(message, NULL);
	return result;
}

static int on_version(struct rpc_client *client, const struct frame *frame)
{
	ProtobufCMessage *message;
	const Waft__V1__Versions *versions;

	if (rpc_unpack(&waft__v1__versions__descriptor, slice_of(frame->payload, frame->length),
		    &rpc_response_limits, &message) == 0) {
		versions = (const Waft__V1__Versions *)message;
		client->lowest = versions->lowest;
		client->highest = versions->highest;
		protobuf_c_message_free_unpacked(message, NULL);
	}
	return disconnect(client, ERR_VERSION);
}

int rpc_client_next(struct rpc_client *client, const ProtobufCMessageDescriptor *descriptor,
	ProtobufCMessage **ret_message)
{
	struct frame frame;
	int result;

	for (;;) {
		result = client->link == NULL ? -EPIPE : receive(client, &frame);
		if (result != 0)
			return disconnect(client, result);
		if (frame.type == FRAME_STATUS &&
			(frame.stream == client->stream || frame.stream == 0))
			return on_status(client, &frame);
		if (frame.type == FRAME_VERSION)
			return on_version(client, &frame);
		if (frame.type == FRAME_PING)
			result = send_frame(client, FRAME_PONG, frame.stream,
				slice_of(frame.payload, frame.length));
		if (frame.type == FRAME_MESSAGE && frame.stream == client->stream)
			break;
		/* What never pauses is not waited for, where the deadline is looked at. */
		if (result == 0 && client->deadline_ms >= 0 &&
			wire_link_now_ms() >= client->deadline_ms)
			result = -ETIMEDOUT;
		if (result != 0)
			return disconnect(client, result);
	}
	result = rpc_unpack(descriptor, slice_of(frame.payload, frame.length), &rpc_response_limits,
		ret_message);
	if (result != 0)
		return disconnect(client, result);
	result = grant(client, frame.length);
	if (result != 0) {
		protobuf_c_message_free_unpacked(*ret_message, NULL);
		*ret_message = NULL;
		return disconnect(client, result);
	}
	return 1;
}

int rpc_client_call(struct rpc_client *client, const char *method, const ProtobufCMessage *request,
	uint32_t deadline_ms, const ProtobufCMessageDescriptor *descriptor,
	ProtobufCMessage **ret_message)
{
	ProtobufCMessage *first = NULL;
	ProtobufCMessage *message = NULL;
	int result = rpc_client_begin(client, method, request, deadline_ms);

	*ret_message = NULL;
	if (result != 0)
		return result;
	while ((result = rpc_client_next(client, descriptor, &message)) == 1) {
		if (first != NULL) {
			protobuf_c_message_free_unpacked(message, NULL);
			protobuf_c_message_free_unpacked(first, NULL);
			return disconnect(client, ERR_ORDER);
		}
		first = message;
	}
	if (result == 0 && first == NULL)
		return ERR_ORDER;
	*ret_message = first;
	return result;
}

const char *rpc_client_problem(struct rpc_client *client, int error)
{
	struct strbuf *problem = &client->problem;

	strbuf_clear(problem);
	if (client->said.length > 0)
		strbuf_safe(problem, client->said.bytes, client->said.length);
	else if (error == -ETIMEDOUT || error == ERR_STATUS - GRPC_DEADLINE_EXCEEDED)
		strbuf_string(problem, "it did not answer in time (--timeout allows more)");
	else if (error == -ECONNRESET || error == -EPIPE)
		strbuf_string(problem, "it ended the connection");
	else if (error == ERR_VERSION && client->highest != 0)
		strbuf_format(problem, "it speaks versions %u to %u of the protocol, we speak %d",
			client->lowest, client->highest, WIRE_FRAME_VERSION);
	else if (error == ERR_MAGIC)
		strbuf_string(problem, "what answers there is no collector");
	else
		strbuf_string(problem, error_text(error));
	return problem->failed ? "out of memory" : problem->bytes;
}
