/*
 * The socket of the connection to a gateway: names, connecting, TLS, bytes in. See
 * gateway_internal.h.
 *
 * The socket is watched by uv_poll, not a uv stream: a share's bytes are sent from
 * where they are, and nothing may hold on to them once it is answered.
 */
#include "gateway_internal.h"

#include "errors.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- The end -------------------------------------------------------------------------- */

static void on_wire_closed(uv_handle_t *handle)
{
	struct wire *wire = handle->data;

	(void)close(wire->fd);
	free(wire);
}

void gateway_leave_wire(struct wire *wire)
{
	wire->gateway = NULL;
	(void)uv_poll_stop(&wire->poll);
	uv_close((uv_handle_t *)&wire->poll, on_wire_closed);
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
		gateway_take_bytes(gateway, plain, (size_t)got);
	}
	if (gateway->tls == NULL)
		return;
	if (got == -ECONNRESET)
		gateway_fail(gateway, "it closed the connection");
	else if (got < 0)
		gateway_fail_tls(gateway, (int)got);
	else if (gateway->state == GATEWAY_SHAKING && tls_session_ready(gateway->tls))
		gateway_greet(gateway);
}

static void receive(struct gateway *gateway)
{
	ssize_t got = recv(gateway->wire->fd, gateway->in, sizeof(gateway->in), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		gateway_fail_errno(gateway, "the connection broke", -errno);
	else if (got == 0)
		gateway_fail(gateway, "it closed the connection");
	else if (gateway->tls != NULL)
		take_cipher(gateway, (size_t)got);
	else
		gateway_take_bytes(gateway, gateway->in, (size_t)got);
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
		gateway_fail(gateway, gateway->why);
		return status;
	}
	got = tls_session_read(gateway->tls, none, sizeof(none));
	if (got < 0)
		gateway_fail_tls(gateway, (int)got);
	return got < 0 ? (int)got : 0;
}

/* Why the socket broke: libuv says EBADF of any error. 0, or a negative errno. */
static int socket_error(int fd)
{
	socklen_t length = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 ? -errno : -error;
}

static void on_connected(struct gateway *gateway)
{
	int one = 1;

	(void)setsockopt(gateway->wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	gateway->due_ms = gateway_now_ms(gateway);
	if (!gateway_is_tls(gateway)) {
		gateway_greet(gateway);
		return;
	}
	gateway->state = GATEWAY_SHAKING;
	if (begin_tls(gateway) == 0)
		gateway_go_on(gateway);
}

void gateway_on_ready(uv_poll_t *poll, int status, int events)
{
	struct wire *wire = poll->data;
	struct gateway *gateway = wire->gateway;
	bool connecting;

	if (gateway == NULL)
		return;
	connecting = gateway->state == GATEWAY_CONNECTING;
	if (status < 0 || connecting) {
		int error = socket_error(wire->fd);

		status = error < 0 ? error : status;
	}
	if (status < 0) {
		gateway_fail_errno(
			gateway, connecting ? "can't connect" : "the connection broke", status);
		return;
	}
	if (connecting)
		on_connected(gateway);
	else if ((events & UV_READABLE) != 0)
		receive(gateway);
	/* Any of these may have ended it. */
	if (wire->gateway != NULL)
		gateway_go_on(gateway);
}

/* ---- Connecting ------------------------------------------------------------------------ */

static void connect_to(struct gateway *gateway, const struct sockaddr *address, socklen_t length)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct wire *wire;
	int status;

	if (fd < 0) {
		gateway_fail_errno(gateway, "can't make a socket", -errno);
		return;
	}
	wire = calloc(1, sizeof(*wire));
	status = wire != NULL ? uv_poll_init(gateway->config.loop, &wire->poll, fd) : -ENOMEM;
	if (wire == NULL || status < 0) {
		(void)close(fd);
		free(wire);
		gateway_fail_errno(gateway, "can't watch a socket", status);
		return;
	}
	wire->fd = fd;
	wire->poll.data = wire;
	wire->gateway = gateway;
	gateway->wire = wire;
	gateway->state = GATEWAY_CONNECTING;
	if (connect(fd, address, length) != 0 && errno != EINPROGRESS)
		gateway_fail_errno(gateway, "can't connect", -errno);
	else if (uv_poll_start(&wire->poll, UV_WRITABLE, gateway_on_ready) < 0)
		gateway_fail(gateway, "the socket can't be watched");
}

static void connect_unix(struct gateway *gateway)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = gateway->config.endpoint + 5;

	memcpy(address.sun_path, path, strlen(path) + 1);
	connect_to(gateway, (const struct sockaddr *)&address, sizeof(address));
}

static bool may_reach(const struct gateway *gateway, const struct addrinfo *at)
{
	return gateway_is_tls(gateway) || address_is_loopback(at->ai_addr);
}

/* The address whose turn it is, of those that may be connected to; NULL: there is none. */
static const struct addrinfo *address_of_turn(
	const struct gateway *gateway, const struct addrinfo *found)
{
	const struct addrinfo *at;
	unsigned int left = 0;

	for (at = found; at != NULL; at = at->ai_next)
		left += may_reach(gateway, at);
	if (left == 0)
		return NULL;
	left = gateway->turn % left;
	for (at = found; !may_reach(gateway, at) || left-- > 0; at = at->ai_next)
		;
	return at;
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
	struct gateway *gateway = lookup->data;

	gateway->looking_up = false;
	if (gateway->state == GATEWAY_CLOSING) {
		gateway_finish_close(gateway);
	} else if (gateway->state == GATEWAY_RESOLVING && status < 0) {
		char text[300];

		snprintf(text, sizeof(text), "can't find %.200s: %s", gateway->address.host,
			uv_strerror(status));
		gateway_fail(gateway, text);
	} else if (gateway->state == GATEWAY_RESOLVING) {
		const struct addrinfo *address = address_of_turn(gateway, found);

		if (address == NULL)
			gateway_fail(gateway, "plain TCP is for this machine only: use tls://");
		else
			connect_to(gateway, address->ai_addr, address->ai_addrlen);
	}
	uv_freeaddrinfo(found);
}

void gateway_begin(struct gateway *gateway)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

	if (gateway->looking_up) {
		gateway_wait(gateway, GATEWAY_PAUSE_LAST_MS);
		return;
	}
	(void)uv_timer_start(&gateway->timer, gateway_on_timer, GATEWAY_TICK_MS, GATEWAY_TICK_MS);
	gateway->due_ms = gateway_now_ms(gateway);
	gateway->state = GATEWAY_RESOLVING;
	if (strncmp(gateway->config.endpoint, "unix:", 5) == 0) {
		connect_unix(gateway);
		return;
	}
	gateway->looking_up = uv_getaddrinfo(gateway->config.loop, &gateway->lookup, on_resolved,
				      gateway->address.host, gateway->address.service, &hints) == 0;
	if (!gateway->looking_up)
		gateway_fail(gateway, "names can't be looked up");
}
