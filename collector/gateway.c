/*
 * The connection to one gateway.
 *
 * The happy path: WAITING (at once) → RESOLVING (not for a Unix socket) → CONNECTING →
 * SHAKING (TLS only) → GREETING: the call and hello are sent → OPEN on the first
 * answer: shares are sent as far as credit and the socket allow, and go back to
 * their owner as they are answered.
 *
 * Failures: whatever fails, or is silent for timeout_ms while something is due, leads
 * to WAITING with a longer pause; `next` goes back to the oldest share that is not
 * answered. STATUS names the reason and may name the pause. CLOSING ends in the close
 * callbacks of the handles.
 *
 * The socket is watched by uv_poll, not a uv stream: a share's bytes are sent from
 * where they are, and nothing may hold on to them once it is answered.
 */
#include "gateway.h"

#include "address.h"
#include "export.h"
#include "forward_wire.h"
#include "ids.h"
#include "log_line.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_FIRST_MS 100u
#define PAUSE_LAST_MS 5000u
#define PAUSE_MOST_MS 60000u /* whatever a gateway asks for */
#define TICK_MS 250u
#define STREAM_ID 1u
#define BYTES_MAX 65536u
#define TOKEN_BYTES_MAX 1024u
#define WHY_BYTES 320u

enum gateway_state {
	GATEWAY_WAITING,    /* for the timer → RESOLVING, CONNECTING */
	GATEWAY_RESOLVING,  /* → CONNECTING, WAITING */
	GATEWAY_CONNECTING, /* → SHAKING, GREETING, WAITING */
	GATEWAY_SHAKING,    /* → GREETING, WAITING */
	GATEWAY_GREETING,   /* → OPEN, WAITING */
	GATEWAY_OPEN,	    /* → WAITING */
	GATEWAY_CLOSING,
};

/* A socket and its watcher, which outlives it by a round of the loop. */
struct wire {
	uv_poll_t poll;
	int fd;
	struct gateway *gateway; /* NULL: it has left this one */
};

struct gateway {
	struct gateway_config config;
	enum gateway_state state;
	uv_timer_t timer;
	uv_getaddrinfo_t lookup;
	bool looking_up;
	struct wire *wire; /* NULL: not connected */
	struct tls_session *tls;
	struct frame_reader frames;
	/* Shares, oldest first; those before `next` were sent on this connection. */
	struct share *shares;
	struct share **shares_end;
	struct share *next;
	uint64_t first_number; /* of `shares` on this connection */
	uint64_t next_number;  /* of `next` */
	uint64_t sent_bytes;   /* of payloads behind the hello */
	uint64_t credit_bytes;
	uint64_t refused; /* on this connection */
	/* What is being written: a frame in `control`, a share's, or cipher text. */
	const uint8_t *out;
	size_t out_length;
	struct share *sending; /* the share that `out` is of */
	uint8_t control[4096];
	size_t control_length; /* waits to be written */
	uint8_t cipher[BYTES_MAX];
	uint8_t in[BYTES_MAX];
	uint64_t due_ms;  /* since when an answer is due; 0: none is */
	uint64_t down_ms; /* since when it is not open */
	uint64_t pause_ms;
	uint64_t wait_ms; /* asked for by a STATUS */
	uint32_t jitter;
	bool said;		/* why it is not open */
	struct address address; /* of tls:// and tcp:// */
	char why[WHY_BYTES];
	struct gateway_counts counts;
	bool timer_closed;
	void (*on_closed)(void *context);
	void *closed_context;
};

static void go_on(struct gateway *gateway);
static void finish_close(struct gateway *gateway);
static void fail(struct gateway *gateway, const char *why);

static bool is_tls(const struct gateway *gateway)
{
	return strncmp(gateway->config.endpoint, "tls://", 6) == 0;
}

static uint64_t now_ms(const struct gateway *gateway)
{
	return uv_now(gateway->config.loop);
}

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
		go_on(gateway);
}

/* ---- The end of a connection --------------------------------------------------- */

static void on_wire_closed(uv_handle_t *handle)
{
	struct wire *wire = handle->data;

	(void)close(wire->fd);
	free(wire);
}

static void disconnect(struct gateway *gateway)
{
	struct wire *wire = gateway->wire;

	gateway->wire = NULL;
	if (wire != NULL) {
		wire->gateway = NULL;
		(void)uv_poll_stop(&wire->poll);
		uv_close((uv_handle_t *)&wire->poll, on_wire_closed);
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

static void on_timer(uv_timer_t *timer);

static void wait(struct gateway *gateway, uint64_t wait_ms)
{
	gateway->state = GATEWAY_WAITING;
	uv_update_time(gateway->config.loop);
	(void)uv_timer_start(&gateway->timer, on_timer, wait_ms, 0);
}

/* Ends the connection, or the try, and comes back later. */
static void fail(struct gateway *gateway, const char *why)
{
	bool was_open = gateway->state == GATEWAY_OPEN;
	uint64_t wait_ms;

	if (gateway->state == GATEWAY_CLOSING || gateway->state == GATEWAY_WAITING)
		return;
	if (why != gateway->why)
		snprintf(gateway->why, sizeof(gateway->why), "%s", why);
	gateway->counts.failures++;
	if (!gateway->said)
		log_warning("can't forward to %s: %s; what comes is kept", gateway->config.endpoint,
			gateway->why);
	gateway->said = true;
	disconnect(gateway);
	gateway->pause_ms = gateway->pause_ms == 0		    ? PAUSE_FIRST_MS
			    : gateway->pause_ms * 2 < PAUSE_LAST_MS ? gateway->pause_ms * 2
								    : PAUSE_LAST_MS;
	wait_ms = gateway->wait_ms > gateway->pause_ms ? gateway->wait_ms : gateway->pause_ms;
	gateway->wait_ms = 0;
	gateway->jitter = (uint32_t)id_mix(gateway->jitter + 1u + (uintptr_t)gateway);
	wait(gateway, wait_ms / 2 + gateway->jitter % (wait_ms / 2 + 1));
	if (was_open) {
		gateway->down_ms = now_ms(gateway);
		gateway->config.on_state(gateway->config.context, gateway);
	}
}

static void fail_errno(struct gateway *gateway, const char *what, int error)
{
	char text[128];

	snprintf(text, sizeof(text), "%s: %s", what, error_text(error));
	fail(gateway, text);
}

static void fail_tls(struct gateway *gateway, int error)
{
	char text[TLS_WHY_BYTES + 8];
	const char *why = gateway->tls != NULL ? tls_session_why(gateway->tls) : "";

	snprintf(text, sizeof(text), "TLS: %s", *why != '\0' ? why : error_text(error));
	fail(gateway, text);
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
		gateway->due_ms = now_ms(gateway);
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

static void on_ready(uv_poll_t *poll, int status, int events);

/* Sends what can be sent, and waits for the socket. */
static void go_on(struct gateway *gateway)
{
	int status = push(gateway);
	int events = UV_READABLE | (status == -EAGAIN ? UV_WRITABLE : 0);

	if (status < 0 && status != -EAGAIN)
		fail_errno(gateway, "the connection broke", status);
	else if (uv_poll_start(&gateway->wire->poll, events, on_ready) < 0)
		fail(gateway, "the socket can't be watched");
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
		fail(gateway, gateway->why);
	}
	return length;
}

static void greet(struct gateway *gateway)
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
	gateway->due_ms = now_ms(gateway);
	go_on(gateway);
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
	go_on(gateway);
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
			gateway->first_number < gateway->next_number ? now_ms(gateway) : 0;
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
		fail_errno(gateway, "an answer of the gateway", status);
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
	char text[WHY_BYTES];
	size_t length;

	if (call_status_decode(bytes, &status) < 0) {
		fail(gateway, "it sent a STATUS that can't be read");
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
	fail(gateway, text);
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
		fail(gateway, "it speaks another version of the protocol");
		break;
	default:
		break;
	}
}

/* Plain bytes of the gateway. */
static void take_bytes(struct gateway *gateway, const uint8_t *bytes, size_t length)
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
		fail_errno(gateway, "a frame of the gateway", status);
}

/* ---- The socket ---------------------------------------------------------------------- */

/* Cipher text came, or the handshake goes on. */
static void take_cipher(struct gateway *gateway, size_t length)
{
	static _Thread_local uint8_t plain[16384];
	long got = tls_session_feed(gateway->tls, gateway->in, length);

	while (got >= 0 && gateway->tls != NULL) {
		got = tls_session_read(gateway->tls, plain, sizeof(plain));
		if (got <= 0)
			break;
		take_bytes(gateway, plain, (size_t)got);
	}
	if (gateway->tls == NULL)
		return;
	if (got == -ECONNRESET)
		fail(gateway, "it closed the connection");
	else if (got < 0)
		fail_tls(gateway, (int)got);
	else if (gateway->state == GATEWAY_SHAKING && tls_session_ready(gateway->tls))
		greet(gateway);
}

static void receive(struct gateway *gateway)
{
	ssize_t got = recv(gateway->wire->fd, gateway->in, sizeof(gateway->in), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		fail_errno(gateway, "the connection broke", -errno);
	else if (got == 0)
		fail(gateway, "it closed the connection");
	else if (gateway->tls != NULL)
		take_cipher(gateway, (size_t)got);
	else
		take_bytes(gateway, gateway->in, (size_t)got);
}

static int begin_tls(struct gateway *gateway)
{
	const struct tls_config config = {
		.ca_file = gateway->config.tls_ca,
		.cert_file = gateway->config.tls_cert,
		.key_file = gateway->config.tls_key,
	};
	char why[TLS_WHY_BYTES] = "";
	struct tls_context *context = NULL;
	uint8_t none[1];
	long got;
	int status = tls_context_new(&config, &context, why);

	if (status == 0)
		status = tls_session_new(context, gateway->address.host, &gateway->tls);
	tls_context_free(context);
	if (status < 0) {
		snprintf(gateway->why, sizeof(gateway->why), "TLS: %s",
			why[0] != '\0' ? why : error_text(status));
		fail(gateway, gateway->why);
		return status;
	}
	got = tls_session_read(gateway->tls, none, sizeof(none));
	if (got < 0)
		fail_tls(gateway, (int)got);
	return got < 0 ? (int)got : 0;
}

static void on_connected(struct gateway *gateway)
{
	socklen_t length = sizeof(int);
	int one = 1;
	int error = 0;

	if (getsockopt(gateway->wire->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
		error = errno;
	if (error != 0) {
		fail_errno(gateway, "can't connect", -error);
		return;
	}
	(void)setsockopt(gateway->wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	gateway->due_ms = now_ms(gateway);
	if (!is_tls(gateway)) {
		greet(gateway);
		return;
	}
	gateway->state = GATEWAY_SHAKING;
	if (begin_tls(gateway) == 0)
		go_on(gateway);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct wire *wire = poll->data;
	struct gateway *gateway = wire->gateway;

	if (gateway == NULL)
		return;
	if (status < 0) {
		fail_errno(gateway, "the connection broke", status);
		return;
	}
	if (gateway->state == GATEWAY_CONNECTING)
		on_connected(gateway);
	else if ((events & UV_READABLE) != 0)
		receive(gateway);
	/* Any of these may have ended it. */
	if (wire->gateway != NULL)
		go_on(gateway);
}

/* ---- Connecting ------------------------------------------------------------------------ */

static void connect_to(struct gateway *gateway, const struct sockaddr *address, socklen_t length)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct wire *wire;
	int status;

	if (fd < 0) {
		fail_errno(gateway, "can't make a socket", -errno);
		return;
	}
	wire = calloc(1, sizeof(*wire));
	status = wire != NULL ? uv_poll_init(gateway->config.loop, &wire->poll, fd) : -ENOMEM;
	if (wire == NULL || status < 0) {
		(void)close(fd);
		free(wire);
		fail_errno(gateway, "can't watch a socket", status);
		return;
	}
	wire->fd = fd;
	wire->poll.data = wire;
	wire->gateway = gateway;
	gateway->wire = wire;
	gateway->state = GATEWAY_CONNECTING;
	if (connect(fd, address, length) != 0 && errno != EINPROGRESS)
		fail_errno(gateway, "can't connect", -errno);
	else if (uv_poll_start(&wire->poll, UV_WRITABLE, on_ready) < 0)
		fail(gateway, "the socket can't be watched");
}

static void connect_unix(struct gateway *gateway)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = gateway->config.endpoint + 5;

	memcpy(address.sun_path, path, strlen(path) + 1);
	connect_to(gateway, (const struct sockaddr *)&address, sizeof(address));
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
	struct gateway *gateway = lookup->data;

	gateway->looking_up = false;
	if (gateway->state == GATEWAY_CLOSING) {
		finish_close(gateway);
	} else if (gateway->state == GATEWAY_RESOLVING && status < 0) {
		char text[300];

		snprintf(text, sizeof(text), "can't find %.200s: %s", gateway->address.host,
			uv_strerror(status));
		fail(gateway, text);
	} else if (gateway->state == GATEWAY_RESOLVING) {
		if (!is_tls(gateway) && !address_is_loopback(found->ai_addr))
			fail(gateway, "plain TCP is for this machine only: use tls://");
		else
			connect_to(gateway, found->ai_addr, found->ai_addrlen);
	}
	uv_freeaddrinfo(found);
}

static void begin(struct gateway *gateway)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

	if (gateway->looking_up) {
		wait(gateway, PAUSE_LAST_MS);
		return;
	}
	(void)uv_timer_start(&gateway->timer, on_timer, TICK_MS, TICK_MS);
	gateway->due_ms = now_ms(gateway);
	gateway->state = GATEWAY_RESOLVING;
	if (strncmp(gateway->config.endpoint, "unix:", 5) == 0) {
		connect_unix(gateway);
		return;
	}
	gateway->looking_up = uv_getaddrinfo(gateway->config.loop, &gateway->lookup, on_resolved,
				      gateway->address.host, gateway->address.service, &hints) == 0;
	if (!gateway->looking_up)
		fail(gateway, "names can't be looked up");
}

static void on_timer(uv_timer_t *timer)
{
	struct gateway *gateway = timer->data;

	if (gateway->state == GATEWAY_WAITING)
		begin(gateway);
	else if (gateway->due_ms != 0 &&
		 now_ms(gateway) - gateway->due_ms >= gateway->config.timeout_ms)
		fail(gateway, "it doesn't answer");
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
	wait(gateway, 0);
	*ret = gateway;
	return 0;
}

static void finish_close(struct gateway *gateway)
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
	finish_close(gateway);
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

	fail(gateway, "its shares go to other gateways");
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
