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

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVE_BYTES = 65536, CREDIT_BYTES = WIRE_DEFAULT_CREDIT };

struct rpc_client {
	int fd; /* -1: the connection is over */
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

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Connection ------------------------------------------------------- */

static int connect_socket(const char *path, uint32_t timeout_ms, int *ret_fd)
{
	struct timeval limit = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int result = 0;
	int fd;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A full backlog blocks connect on Unix sockets for as long as this. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	do {
		result = connect(fd, (const struct sockaddr *)&address, sizeof address);
	} while (result != 0 && errno == EINTR);
	if (result != 0) {
		result = errno == EAGAIN ? -ETIMEDOUT : -errno;
		(void)close(fd);
		return result;
	}
	*ret_fd = fd;
	return 0;
}

int rpc_client_connect(const char *path, uint32_t timeout_ms, struct rpc_client **ret_client)
{
	struct rpc_client *client = calloc(1, sizeof *client);
	int result;

	if (client == NULL)
		return -ENOMEM;
	result = connect_socket(path, timeout_ms, &client->fd);
	if (result != 0) {
		free(client);
		return result;
	}
	frame_reader_init(&client->reader);
	*ret_client = client;
	return 0;
}

static int disconnect(struct rpc_client *client, int result)
{
	if (client->fd >= 0)
		(void)close(client->fd);
	client->fd = -1;
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

/* Waits until the socket is ready for events. 0 or -ETIMEDOUT. */
static int wait_for(struct rpc_client *client, short events)
{
	struct pollfd ready = {.fd = client->fd, .events = events};

	for (;;) {
		int64_t left = client->deadline_ms < 0 ? -1 : client->deadline_ms - now_ms();
		int result;

		if (client->deadline_ms >= 0 && left <= 0)
			return -ETIMEDOUT;
		result = poll(&ready, 1, left > 3600000 ? 3600000 : (int)left);
		if (result > 0)
			return 0;
		if (result < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_all(struct rpc_client *client, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(client->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		int result = 0;

		if (sent >= 0) {
			bytes += sent;
			length -= (size_t)sent;
		} else if (errno == EAGAIN) {
			result = wait_for(client, POLLOUT);
		} else if (errno != EINTR) {
			result = -errno;
		}
		if (result != 0)
			return result;
	}
	return 0;
}

static int send_frame(
	struct rpc_client *client, enum frame_type type, uint32_t stream, struct slice payload)
{
	uint8_t header[WIRE_FRAME_HEADER_BYTES];
	int result;

	frame_header_write(header, type, stream, payload.data, payload.length);
	result = send_all(client, header, sizeof header);
	return result == 0 ? send_all(client, payload.data, payload.length) : result;
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
		received =
			recv(client->fd, client->received, sizeof client->received, MSG_DONTWAIT);
		if (received > 0) {
			client->unread = client->received;
			client->unread_bytes = (size_t)received;
		} else if (received == 0) {
			return -ECONNRESET;
		} else if (errno == EAGAIN) {
			result = wait_for(client, POLLIN);
			if (result != 0)
				return result;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
}

/* ---- Calls ------------------------------------------------------------ */

int rpc_client_begin(struct rpc_client *client, const char *method, const ProtobufCMessage *request,
	uint32_t deadline_ms)
{
	Waft__V1__CallHeader header = WAFT__V1__CALL_HEADER__INIT;
	int result;

	if (client->fd < 0)
		return -EPIPE;
	strbuf_clear(&client->said);
	client->stream++;
	client->taken_bytes = 0;
	client->credited_bytes = CREDIT_BYTES;
	client->deadline_ms = deadline_ms == RPC_NO_DEADLINE ? -1 : now_ms() + deadline_ms;
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
		result = client->fd < 0 ? -EPIPE : receive(client, &frame);
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
