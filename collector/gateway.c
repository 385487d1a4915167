/*
 * The connection to one gateway.
 *
 * The happy path: WAITING (at once) → RESOLVING (not for a Unix socket) → CONNECTING →
 * SHAKING (TLS only) → GREETING: the call and hello are sent → OPEN on the first
 * answer: shares are sent as far as credit and the socket allow, and go back to
 * their owner as they are answered.
 *
 * A name may have several addresses: each try that gets no answer gives the turn to the next.
 *
 * Failures: whatever fails, or is silent for timeout_ms while something is due, leads
 * to WAITING with a longer pause; `next` goes back to the oldest share that is not
 * answered. STATUS names the reason and may name the pause. CLOSING ends in the close
 * callbacks of the handles.
 *
 * The socket is gateway_socket.c's.
 */
#include "gateway_internal.h"

#include "export.h"
#include "forward_wire.h"
#include "ids.h"
#include "log_line.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_FIRST_MS 100u
#define PAUSE_MOST_MS 60000u /* whatever a gateway asks for */
#define STREAM_ID 1u
#define TOKEN_BYTES_MAX 1024u

/* ---- Endpoints --------------------------------------------------------------- */

bool gateway_endpoint_fits(const char *endpoint, const char **ret_why)
{
	struct sockaddr_un socket_address;
	struct address address;
	const char *lacks;

	if (strncmp(endpoint, "unix:", 5) == 0) {
		*ret_why = "the path of the socket is empty or too long";
		return endpoint[5] != '\0' &&
		       strlen(endpoint + 5) < sizeof(socket_address.sun_path);
	}
	*ret_why = "a gateway is tls://HOST:PORT, tcp://ADDRESS:PORT on this machine, or unix:PATH";
	return (strncmp(endpoint, "tls://", 6) == 0 || strncmp(endpoint, "tcp://", 6) == 0) &&
	       address_split(endpoint + 6, &address, &lacks) == 0 && address.port != 0;
}

/* ---- Shares ------------------------------------------------------------------ */

struct share *share_new(size_t size_bytes)
{
	struct share *share = malloc(sizeof(*share) + WIRE_FRAME_HEADER_BYTES + size_bytes);

	if (share != NULL)
		memset(share, 0, sizeof(*share));
	return share;
}

void share_set_length(struct share *share, size_t payload_bytes)
{
	share->length = WIRE_FRAME_HEADER_BYTES + payload_bytes;
}

void gateway_send(struct gateway *gateway, struct share *share)
{
	share->next = NULL;
	*gateway->shares_end = share;
	gateway->shares_end = &share->next;
	if (gateway->next == NULL)
		gateway->next = share;
	if (gateway->state == GATEWAY_OPEN)
		gateway_go_on(gateway);
}

/* ---- The end of a connection --------------------------------------------------- */

static void disconnect(struct gateway *gateway)
{
	struct wire *wire = gateway->wire;

	gateway->wire = NULL;
	if (wire != NULL) {
		gateway_leave_wire(wire);
	}
	tls_session_free(gateway->tls);
	gateway->tls = NULL;
	frame_reader_done(&gateway->frames);
	frame_reader_init(&gateway->frames);
	gateway->next = gateway->shares;
	gateway->first_number = gateway->next_number = 1;
	gateway->sent_bytes = gateway->credit_bytes = gateway->refused = 0;
	gateway->out_length = gateway->control_length = 0;
	gateway->sending = NULL;
	gateway->due_ms = 0;
}

void gateway_wait(struct gateway *gateway, uint64_t wait_ms)
{
	gateway->state = GATEWAY_WAITING;
	uv_update_time(gateway->config.loop);
	(void)uv_timer_start(&gateway->timer, gateway_on_timer, wait_ms, 0);
}

void gateway_fail(struct gateway *gateway, const char *why)
{
	bool was_open = gateway->state == GATEWAY_OPEN;
	uint64_t wait_ms;

	if (gateway->state == GATEWAY_CLOSING || gateway->state == GATEWAY_WAITING)
		return;
	if (why != gateway->why)
		snprintf(gateway->why, sizeof(gateway->why), "%s", why);
	gateway->counts.failures++;
	/* A gateway that listens at one of its addresses only. */
	if (gateway->state > GATEWAY_RESOLVING && gateway->state < GATEWAY_OPEN)
		gateway->turn++;
	if (!gateway->said)
		log_warning("can't forward to %s: %s; what comes is kept", gateway->config.endpoint,
			gateway->why);
	gateway->said = true;
	disconnect(gateway);
	gateway->pause_ms = gateway->pause_ms == 0			    ? PAUSE_FIRST_MS
			    : gateway->pause_ms * 2 < GATEWAY_PAUSE_LAST_MS ? gateway->pause_ms * 2
									    : GATEWAY_PAUSE_LAST_MS;
	wait_ms = gateway->wait_ms > gateway->pause_ms ? gateway->wait_ms : gateway->pause_ms;
	gateway->wait_ms = 0;
	gateway->jitter = (uint32_t)id_mix(gateway->jitter + 1u + (uintptr_t)gateway);
	gateway_wait(gateway, wait_ms / 2 + gateway->jitter % (wait_ms / 2 + 1));
	if (was_open) {
		gateway->down_ms = gateway_now_ms(gateway);
		gateway->config.on_state(gateway->config.context, gateway);
	}
}

void gateway_fail_errno(struct gateway *gateway, const char *what, int error)
{
	char text[128];

	snprintf(text, sizeof(text), "%s: %s", what, error_text(error));
	gateway_fail(gateway, text);
}

void gateway_fail_tls(struct gateway *gateway, int error)
{
	char text[TLS_WHY_BYTES + 8];
	const char *why = gateway->tls != NULL ? tls_session_why(gateway->tls) : "";

	snprintf(text, sizeof(text), "TLS: %s", *why != '\0' ? why : error_text(error));
	gateway_fail(gateway, text);
}

/* ---- Sending ------------------------------------------------------------------- */

static void queue_frame(
	struct gateway *gateway, enum frame_type type, const uint8_t *payload, size_t length)
{
	uint8_t *at = gateway->control + gateway->control_length;

	if (gateway->control_length + WIRE_FRAME_HEADER_BYTES + length > sizeof(gateway->control))
		return;
	frame_header_write(at, type, STREAM_ID, payload, length);
	memcpy(at + WIRE_FRAME_HEADER_BYTES, payload, length);
	gateway->control_length += WIRE_FRAME_HEADER_BYTES + length;
}

/* Chooses what is written next; false: nothing. */
static bool choose_next(struct gateway *gateway, const uint8_t **ret_bytes, size_t *ret_length)
{
	struct share *share = gateway->next;
	uint8_t *payload;

	if (gateway->control_length > 0) {
		*ret_bytes = gateway->control;
		*ret_length = gateway->control_length;
		return true;
	}
	if (gateway->state != GATEWAY_OPEN || share == NULL ||
		gateway->sent_bytes >= gateway->credit_bytes)
		return false;
	payload = share_payload(share);
	forward_request_number(payload, gateway->next_number);
	frame_header_write(share->frame, FRAME_MESSAGE, STREAM_ID, payload,
		share->length - WIRE_FRAME_HEADER_BYTES);
	gateway->sending = share;
	*ret_bytes = share->frame;
	*ret_length = share->length;
	return true;
}

/* What was chosen is with the socket, or with TLS. */
static void chosen_is_sent(struct gateway *gateway)
{
	struct share *share = gateway->sending;

	if (share == NULL) {
		gateway->control_length = 0;
		return;
	}
	gateway->sending = NULL;
	gateway->sent_bytes += share->length - WIRE_FRAME_HEADER_BYTES;
	gateway->counts.sent_bytes += share->length;
	gateway->next = share->next;
	gateway->next_number++;
	if (gateway->due_ms == 0)
		gateway->due_ms = gateway_now_ms(gateway);
}

/* Fills `out`; 0: there is nothing, 1, or a negative error. */
static int fill_out(struct gateway *gateway)
{
	const uint8_t *bytes;
	size_t length;

	if (gateway->tls == NULL) {
		if (!choose_next(gateway, &bytes, &length))
			return 0;
		gateway->out = bytes;
		gateway->out_length = length;
		return 1;
	}
	if (tls_session_pending(gateway->tls) == 0 && tls_session_ready(gateway->tls) &&
		choose_next(gateway, &bytes, &length)) {
		int status = tls_session_write(gateway->tls, bytes, length);

		if (status < 0)
			return status;
		chosen_is_sent(gateway);
	}
	gateway->out = gateway->cipher;
	gateway->out_length =
		tls_session_take(gateway->tls, gateway->cipher, sizeof(gateway->cipher));
	return gateway->out_length > 0;
}

/* Writes as much as goes. 0: all, -EAGAIN, or another error. */
static int push(struct gateway *gateway)
{
	for (;;) {
		ssize_t sent;
		int status = gateway->out_length > 0 ? 1 : fill_out(gateway);

		if (status <= 0)
			return status;
		sent = send(gateway->wire->fd, gateway->out, gateway->out_length, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		gateway->out += sent;
		gateway->out_length -= (size_t)sent;
		if (gateway->out_length == 0 && gateway->tls == NULL)
			chosen_is_sent(gateway);
	}
}

void gateway_go_on(struct gateway *gateway)
{
	int status = push(gateway);
	int events = UV_READABLE | (status == -EAGAIN ? UV_WRITABLE : 0);

	if (status < 0 && status != -EAGAIN)
		gateway_fail_errno(gateway, "the connection broke", status);
	else if (uv_poll_start(&gateway->wire->poll, events, gateway_on_ready) < 0)
		gateway_fail(gateway, "the socket can't be watched");
}

/* ---- Greeting -------------------------------------------------------------------- */

/* The token of the file; its length, 0: there is none to be sent. */
static size_t read_token(struct gateway *gateway, char token[TOKEN_BYTES_MAX])
{
	const char *path = gateway->config.token_file;
	FILE *file = path != NULL ? fopen(path, "re") : NULL;
	size_t length = 0;

	if (file != NULL) {
		length = fread(token, 1, TOKEN_BYTES_MAX, file);
		fclose(file);
	}
	while (length > 0 && strchr("\r\n \t", token[length - 1]) != NULL)
		length--;
	if (path != NULL && length == 0) {
		snprintf(gateway->why, sizeof(gateway->why), "there is no token in %.200s", path);
		gateway_fail(gateway, gateway->why);
	}
	return length;
}

void gateway_greet(struct gateway *gateway)
{
	uint8_t bytes[TOKEN_BYTES_MAX + 512];
	char token[TOKEN_BYTES_MAX];
	char value[TOKEN_BYTES_MAX + 8];
	struct call_header header = {.method = slice_of_text(WIRE_METHOD_FORWARD)};
	struct forward_request hello = {.body = FORWARD_HELLO,
		.hello = {.agent = slice_of(gateway->config.agent, 16),
			.version = 1,
			.library = slice_of_text("waft-collectord " WAFT_VERSION_TEXT)}};
	struct writer writer = writer_of(bytes, sizeof(bytes));
	size_t length = read_token(gateway, token);

	if (gateway->state == GATEWAY_WAITING)
		return;
	if (length > 0) {
		int size = snprintf(value, sizeof(value), "Bearer %.*s", (int)length, token);

		header.metadata[header.metadata_count++] = (struct metadata){
			slice_of_text("authorization"), slice_of(value, (size_t)size)};
	}
	call_header_encode(&writer, &header);
	queue_frame(gateway, FRAME_CALL, bytes, writer_length(&writer));
	writer = writer_of(bytes, sizeof(bytes));
	forward_request_encode(&writer, &hello);
	queue_frame(gateway, FRAME_MESSAGE, bytes, writer_length(&writer));
	gateway->state = GATEWAY_GREETING;
	gateway->due_ms = gateway_now_ms(gateway);
	gateway_go_on(gateway);
}

void gateway_forget(struct gateway *gateway, const uint8_t client[16])
{
	uint8_t bytes[64];
	struct forward_request forget = {.body = FORWARD_FORGET};
	struct writer writer = writer_of(bytes, sizeof(bytes));

	/* A frame that is half sent must not grow. */
	if (gateway->state != GATEWAY_OPEN || gateway->out_length > 0)
		return;
	memcpy(forget.client, client, sizeof(forget.client));
	forward_request_encode(&writer, &forget);
	queue_frame(gateway, FRAME_MESSAGE, bytes, writer_length(&writer));
	gateway->sent_bytes += writer_length(&writer);
	gateway_go_on(gateway);
}

/* ---- Answers ------------------------------------------------------------------------ */

static void take_answers(struct gateway *gateway, uint64_t durable_number)
{
	while (gateway->first_number <= durable_number &&
		gateway->first_number < gateway->next_number) {
		struct share *share = gateway->shares;

		gateway->shares = share->next;
		if (gateway->shares == NULL)
			gateway->shares_end = &gateway->shares;
		gateway->first_number++;
		gateway->due_ms =
			gateway->first_number < gateway->next_number ? gateway_now_ms(gateway) : 0;
		gateway->config.on_answered(gateway->config.context, gateway, share);
	}
}

static void on_response(struct gateway *gateway, struct slice bytes)
{
	struct forward_response response;
	int status = forward_response_decode(bytes, &response);

	if (status == 0 && response.durable_number >= gateway->next_number)
		status = ERR_ORDER;
	if (status < 0) {
		gateway_fail_errno(gateway, "an answer of the gateway", status);
		return;
	}
	if (response.credit_bytes > gateway->credit_bytes)
		gateway->credit_bytes = response.credit_bytes;
	if (response.refused > gateway->refused) {
		gateway->counts.refused += response.refused - gateway->refused;
		gateway->refused = response.refused;
	}
	if (gateway->state == GATEWAY_GREETING) {
		gateway->state = GATEWAY_OPEN;
		gateway->due_ms = 0;
		gateway->down_ms = 0;
		gateway->counts.connections++;
		if (gateway->said || gateway->counts.connections == 1)
			log_notice("forwards to %s", gateway->config.endpoint);
		gateway->said = false;
		gateway->why[0] = '\0';
		gateway->config.on_state(gateway->config.context, gateway);
	}
	if (response.durable_number > 0)
		gateway->pause_ms = 0;
	take_answers(gateway, response.durable_number);
}

static void on_status(struct gateway *gateway, struct slice bytes)
{
	struct call_status status;
	char text[GATEWAY_WHY_BYTES];
	size_t length;

	if (call_status_decode(bytes, &status) < 0) {
		gateway_fail(gateway, "it sent a STATUS that can't be read");
		return;
	}
	length = status.message.length < 200 ? status.message.length : 200;
	snprintf(text, sizeof(text), "status %u: %.*s", status.code, (int)length,
		length > 0 ? (const char *)status.message.data : "");
	for (char *at = text; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	gateway->wait_ms =
		status.retry_after_ms < PAUSE_MOST_MS ? status.retry_after_ms : PAUSE_MOST_MS;
	gateway_fail(gateway, text);
}

static void on_frame(struct gateway *gateway, const struct frame *frame)
{
	struct slice payload = slice_of(frame->payload, frame->length);

	switch (frame->type) {
	case FRAME_MESSAGE:
		on_response(gateway, payload);
		break;
	case FRAME_STATUS:
		on_status(gateway, payload);
		break;
	case FRAME_VERSION:
		gateway_fail(gateway, "it speaks another version of the protocol");
		break;
	default:
		break;
	}
}

/* Plain bytes of the gateway. */
void gateway_take_bytes(struct gateway *gateway, const uint8_t *bytes, size_t length)
{
	struct frame frame;
	int status = 1;

	while (status > 0 && gateway->state >= GATEWAY_GREETING &&
		gateway->state < GATEWAY_CLOSING) {
		status = frame_reader_next(&gateway->frames, &bytes, &length, &frame);
		if (status > 0)
			on_frame(gateway, &frame);
	}
	if (status < 0)
		gateway_fail_errno(gateway, "a frame of the gateway", status);
}

void gateway_on_timer(uv_timer_t *timer)
{
	struct gateway *gateway = timer->data;

	if (gateway->state == GATEWAY_WAITING)
		gateway_begin(gateway);
	else if (gateway->due_ms != 0 &&
		 gateway_now_ms(gateway) - gateway->due_ms >= gateway->config.timeout_ms)
		gateway_fail(gateway, "it doesn't answer");
}

/* ---- Life ------------------------------------------------------------------------------ */

int gateway_new(const struct gateway_config *config, struct gateway **ret)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));
	const char *lacks;
	int status;

	if (gateway == NULL)
		return -ENOMEM;
	gateway->config = *config;
	gateway->shares_end = &gateway->shares;
	gateway->first_number = gateway->next_number = 1;
	gateway->timer.data = gateway;
	gateway->lookup.data = gateway;
	gateway->down_ms = uv_now(config->loop);
	if (gateway->down_ms == 0)
		gateway->down_ms = 1;
	frame_reader_init(&gateway->frames);
	status = strncmp(config->endpoint, "unix:", 5) == 0
			 ? 0
			 : address_split(config->endpoint + 6, &gateway->address, &lacks);
	if (status == 0)
		status = uv_timer_init(config->loop, &gateway->timer);
	if (status < 0) {
		free(gateway);
		return status;
	}
	gateway_wait(gateway, 0);
	*ret = gateway;
	return 0;
}

void gateway_finish_close(struct gateway *gateway)
{
	void (*on_closed)(void *context) = gateway->on_closed;
	void *context = gateway->closed_context;

	if (gateway->looking_up || !gateway->timer_closed)
		return;
	while (gateway->shares != NULL) {
		struct share *share = gateway->shares;

		gateway->shares = share->next;
		free(share);
	}
	free(gateway);
	on_closed(context);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct gateway *gateway = handle->data;

	gateway->timer_closed = true;
	gateway_finish_close(gateway);
}

void gateway_close(struct gateway *gateway, void (*on_closed)(void *context), void *context)
{
	gateway->state = GATEWAY_CLOSING;
	gateway->on_closed = on_closed;
	gateway->closed_context = context;
	disconnect(gateway);
	frame_reader_done(&gateway->frames);
	if (gateway->looking_up)
		(void)uv_cancel((uv_req_t *)&gateway->lookup);
	uv_close((uv_handle_t *)&gateway->timer, on_timer_closed);
}

struct share *gateway_take_back(struct gateway *gateway)
{
	struct share *shares = gateway->shares;

	gateway_fail(gateway, "its shares go to other gateways");
	gateway->shares = gateway->next = NULL;
	gateway->shares_end = &gateway->shares;
	return shares;
}

bool gateway_is_open(const struct gateway *gateway)
{
	return gateway->state == GATEWAY_OPEN;
}

uint64_t gateway_down_since_ms(const struct gateway *gateway)
{
	return gateway->state == GATEWAY_OPEN ? 0 : gateway->down_ms;
}

const char *gateway_endpoint(const struct gateway *gateway)
{
	return gateway->config.endpoint;
}

const char *gateway_why(const struct gateway *gateway)
{
	return gateway->why;
}

void gateway_count(const struct gateway *gateway, struct gateway_counts *ret)
{
	*ret = gateway->counts;
}
