/* wire_client.c: see wire_client.h. */
#include "wire_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, STREAM = 1 };

void wire_client_init(struct wire_client *client, const uint8_t id[16])
{
	memset(client, 0, sizeof(*client));
	client->fd = -1;
	memcpy(client->id, id, 16);
}

void wire_client_close(struct wire_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	frame_reader_done(&client->reader);
	frame_reader_init(&client->reader);
}

void wire_client_done(struct wire_client *client)
{
	wire_client_close(client);
	frame_reader_done(&client->reader);
}

static int send_all(struct wire_client *client, const void *data, size_t length)
{
	const uint8_t *at = data;
	while (length > 0) {
		ssize_t n = send(client->fd, at, length, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE ? -ECONNRESET : -errno;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static int send_frame(
	struct wire_client *client, enum frame_type type, const void *payload, size_t length)
{
	uint8_t header[WIRE_FRAME_HEADER_BYTES];
	frame_header_write(header, type, STREAM, payload, length);
	int error = send_all(client, header, sizeof(header));
	return error ? error : send_all(client, payload, length);
}

int wire_client_request(struct wire_client *client, const struct export_request *request)
{
	uint8_t *buffer = malloc(WIRE_PAYLOAD_LIMIT);
	struct writer writer;
	writer = writer_of(buffer, WIRE_PAYLOAD_LIMIT);
	export_request_encode(&writer, request);
	int error = writer.error
			    ? writer.error
			    : send_frame(client, FRAME_MESSAGE, buffer, writer_length(&writer));
	if (!error && request->body != EXPORT_HELLO)
		client->sent_bytes += writer_length(&writer);
	free(buffer);
	return error;
}

int wire_client_batch(
	struct wire_client *client, uint64_t sequence, const void *bytes, size_t length)
{
	struct export_request request = {.sequence = sequence, .body = EXPORT_BATCH};
	request.batch = slice_of(bytes, length);
	return wire_client_request(client, &request);
}

static int take_frame(struct wire_client *client, const struct frame *frame, bool *welcomed)
{
	struct export_response response;
	if (frame->type == FRAME_STATUS) {
		if (call_status_decode(slice_of(frame->payload, frame->length), &client->status))
			return -EPROTO;
		client->status.message = (struct slice){0};
		return 0;
	}
	if (frame->type != FRAME_MESSAGE)
		return 0;
	if (export_response_decode(slice_of(frame->payload, frame->length), &response))
		return -EPROTO;
	struct refusal refusal;
	size_t position = 0;
	while (export_response_next_refusal(&response, &position, &refusal))
		client->refused++;
	if (response.durable_sequence > client->durable)
		client->durable = response.durable_sequence;
	if (response.credit_bytes > client->credit_bytes)
		client->credit_bytes = response.credit_bytes;
	client->goodbye |= response.goodbye;
	if (response.has_welcome) {
		client->known = response.welcome.known;
		client->forgotten = response.welcome.forgotten;
		*welcomed = true;
	}
	return 0;
}

/* What arrives within timeout_ms: 0, 1 with *welcomed possibly set, or an error. */
static int receive(struct wire_client *client, int timeout_ms, bool *welcomed)
{
	uint8_t buffer[16384];
	struct pollfd fd = {.fd = client->fd, .events = POLLIN};
	int ready = poll(&fd, 1, timeout_ms);
	if (ready <= 0)
		return ready < 0 && errno != EINTR ? -errno : 0;
	ssize_t n = recv(client->fd, buffer, sizeof(buffer), 0);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return -errno;
	const uint8_t *data = buffer;
	size_t length = (size_t)n;
	struct frame frame;
	int result;
	while ((result = frame_reader_next(&client->reader, &data, &length, &frame)) > 0) {
		int error = take_frame(client, &frame, welcomed);
		if (error)
			return error;
	}
	return result < 0 ? result : 1;
}

int wire_client_poll(struct wire_client *client)
{
	bool welcomed;
	int result;
	while ((result = receive(client, 0, &welcomed)) > 0)
		;
	return result;
}

int wire_client_wait_credit(struct wire_client *client)
{
	bool welcomed;
	while (client->sent_bytes >= client->credit_bytes) {
		int result = receive(client, DEADLINE_MS, &welcomed);
		if (result <= 0)
			return result ? result : -ETIMEDOUT;
	}
	return 0;
}

int wire_client_wait(struct wire_client *client, uint64_t sequence)
{
	bool welcomed;
	while (client->durable < sequence) {
		int result = receive(client, DEADLINE_MS, &welcomed);
		if (result <= 0)
			return result ? result : -ETIMEDOUT;
	}
	return 0;
}

int wire_client_hello(struct wire_client *client, const char *path, uint64_t sent)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint8_t buffer[512];
	struct writer writer;
	bool welcomed = false;
	wire_client_close(client);
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	struct call_header call = {.method = slice_of_text(WIRE_METHOD_EXPORT)};
	writer = writer_of(buffer, sizeof(buffer));
	call_header_encode(&writer, &call);
	int error = send_frame(client, FRAME_CALL, buffer, writer_length(&writer));
	struct export_request request = {.body = EXPORT_HELLO};
	memcpy(request.hello.client, client->id, 16);
	request.hello.version = 1;
	request.hello.library = slice_of_text("waft-test 1");
	request.hello.service = slice_of_text("test");
	request.hello.pid = (uint64_t)getpid();
	request.hello.acknowledged_sequence = client->durable;
	request.hello.sent_sequence = sent;
	if (!error)
		error = wire_client_request(client, &request);
	client->credit_bytes = 0;
	client->sent_bytes = 0;
	while (!error && !welcomed) {
		int result = receive(client, DEADLINE_MS, &welcomed);
		error = result < 0 ? result : result == 0 ? -ETIMEDOUT : 0;
	}
	return error;
}
