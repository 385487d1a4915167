/*
 * wire_link.c: the bytes between us and a collector.
 */
#include "wire_link.h"

#include "address.h"
#include "tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CIPHER_BYTES = 20000 };

struct wire_link {
	int fd;
	struct tls_session *tls; /* NULL: plain */
	uint8_t cipher[CIPHER_BYTES];
};

int64_t wire_link_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the socket is ready for events. 0 or -ETIMEDOUT. */
static int wait_for(const struct wire_link *link, short events, int64_t deadline_ms)
{
	struct pollfd ready = {.fd = link->fd, .events = events};

	for (;;) {
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - wire_link_now_ms();
		int result;

		if (deadline_ms >= 0 && left <= 0)
			return -ETIMEDOUT;
		result = poll(&ready, 1, left > 3600000 ? 3600000 : (int)left);
		if (result > 0)
			return 0;
		if (result < 0 && errno != EINTR)
			return -errno;
	}
}

/* ---- Plain ------------------------------------------------------------ */

static int send_plain(
	struct wire_link *link, const uint8_t *bytes, size_t length, int64_t deadline_ms)
{
	while (length > 0) {
		ssize_t sent = send(link->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		int result = 0;

		if (sent >= 0) {
			bytes += sent;
			length -= (size_t)sent;
		} else if (errno == EAGAIN) {
			result = wait_for(link, POLLOUT, deadline_ms);
		} else if (errno != EINTR) {
			result = -errno;
		}
		if (result != 0)
			return result;
	}
	return 0;
}

static ssize_t receive_plain(
	struct wire_link *link, uint8_t *ret_bytes, size_t size, int64_t deadline_ms)
{
	for (;;) {
		ssize_t received = recv(link->fd, ret_bytes, size, MSG_DONTWAIT);
		int result = 0;

		if (received >= 0)
			return received;
		if (errno == EAGAIN)
			result = wait_for(link, POLLIN, deadline_ms);
		else if (errno != EINTR)
			result = -errno;
		if (result != 0)
			return result;
	}
}

/* ---- TLS -------------------------------------------------------------- */

static int send_cipher(struct wire_link *link, int64_t deadline_ms)
{
	size_t length;
	int result = 0;

	while (result == 0 &&
		(length = tls_session_take(link->tls, link->cipher, sizeof link->cipher)) > 0)
		result = send_plain(link, link->cipher, length, deadline_ms);
	return result;
}

/* More cipher text into the session: 1, 0: the collector has closed, or an error. */
static int feed(struct wire_link *link, int64_t deadline_ms)
{
	ssize_t received = receive_plain(link, link->cipher, sizeof link->cipher, deadline_ms);
	int result;

	if (received <= 0)
		return (int)received;
	result = tls_session_feed(link->tls, link->cipher, (size_t)received);
	return result == 0 ? 1 : result;
}

static ssize_t receive_tls(
	struct wire_link *link, uint8_t *ret_bytes, size_t size, int64_t deadline_ms)
{
	for (;;) {
		long got = tls_session_read(link->tls, ret_bytes, size);
		int result = send_cipher(link, deadline_ms);

		if (got > 0)
			return got;
		if (got == -ECONNRESET)
			return 0;
		if (got < 0 || result < 0)
			return got < 0 ? got : result;
		result = feed(link, deadline_ms);
		if (result <= 0)
			return result;
	}
}

static int handshake(struct wire_link *link, int64_t deadline_ms)
{
	while (!tls_session_ready(link->tls)) {
		uint8_t none[1];
		/* Nothing is sent by a collector before it is asked. */
		long got = tls_session_read(link->tls, none, sizeof none);
		int result = send_cipher(link, deadline_ms);

		if (got < 0 || result < 0)
			return got < 0 ? (int)got : result;
		if (tls_session_ready(link->tls))
			break;
		result = feed(link, deadline_ms);
		if (result <= 0)
			return result == 0 ? -ECONNRESET : result;
	}
	return 0;
}

static const char *variable(const char *name)
{
	const char *value = secure_getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

static int begin_tls(struct wire_link *link, const char *host, int64_t deadline_ms,
	char ret_why[WIRE_LINK_WHY_BYTES])
{
	const struct tls_config config = {
		.ca_file = variable("WAFT_TLS_CA"),
		.cert_file = variable("WAFT_TLS_CERT"),
		.key_file = variable("WAFT_TLS_KEY"),
	};
	char why[TLS_WHY_BYTES] = "";
	struct tls_context *context;
	int result = tls_context_new(&config, &context, why);

	if (result == 0) {
		result = tls_session_new(context, host, &link->tls);
		tls_context_free(context);
	}
	if (result == 0) {
		result = handshake(link, deadline_ms);
		snprintf(why, sizeof why, "%s", tls_session_why(link->tls));
	}
	if (result != 0 && why[0] != '\0')
		snprintf(ret_why, WIRE_LINK_WHY_BYTES, "TLS: %s", why);
	return result;
}

/* ---- Connecting ------------------------------------------------------- */

static int connect_unix(const char *path, int64_t deadline_ms, int *ret_fd)
{
	int64_t left = deadline_ms - wire_link_now_ms();
	struct timeval limit = {left / 1000, (suseconds_t)(left % 1000) * 1000};
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
	if (left > 0)
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

/* One address: 0 with link->fd, or a negative errno. */
static int connect_address(
	struct wire_link *link, const struct addrinfo *address, int64_t deadline_ms)
{
	int error = 0;
	socklen_t length = sizeof error;
	int result = 0;

	link->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->fd < 0)
		return -errno;
	if (connect(link->fd, address->ai_addr, address->ai_addrlen) != 0)
		result = errno == EINPROGRESS ? wait_for(link, POLLOUT, deadline_ms) : -errno;
	if (result == 0 && getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0)
		result = -error;
	if (result != 0) {
		(void)close(link->fd);
		link->fd = -1;
	}
	return result;
}

static int connect_remote(struct wire_link *link, const char *where, int64_t deadline_ms,
	char ret_why[WIRE_LINK_WHY_BYTES])
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	bool plain = strncmp(where, "tcp://", 6) == 0;
	struct addrinfo *found = NULL;
	struct address address;
	const char *lacks;
	int result = address_split(where + 6, &address, &lacks);

	if (result == 0 && address.port == 0) {
		lacks = "has no port from 1 to 65535";
		result = -EINVAL;
	}
	if (result < 0) {
		snprintf(ret_why, WIRE_LINK_WHY_BYTES, "it %s; tls://HOST:PORT is needed", lacks);
		return result;
	}
	result = getaddrinfo(address.host, address.service, &hints, &found);
	if (result != 0) {
		snprintf(ret_why, WIRE_LINK_WHY_BYTES, "%s", gai_strerror(result));
		return -ENOENT;
	}
	result = -ENOENT;
	for (struct addrinfo *at = found; at != NULL && result != 0; at = at->ai_next) {
		if (plain && !address_is_loopback(at->ai_addr)) {
			snprintf(ret_why, WIRE_LINK_WHY_BYTES,
				"plain TCP is for this machine only: use tls://");
			result = -EPERM;
			break;
		}
		result = connect_address(link, at, deadline_ms);
	}
	freeaddrinfo(found);
	return result != 0 || plain ? result : begin_tls(link, address.host, deadline_ms, ret_why);
}

int wire_link_open(const char *where, int64_t deadline_ms, struct wire_link **ret_link,
	char ret_why[WIRE_LINK_WHY_BYTES])
{
	struct wire_link *link = calloc(1, sizeof *link);
	int result;

	ret_why[0] = '\0';
	if (link == NULL)
		return -ENOMEM;
	link->fd = -1;
	if (strncmp(where, "tcp://", 6) == 0 || strncmp(where, "tls://", 6) == 0)
		result = connect_remote(link, where, deadline_ms, ret_why);
	else
		result = connect_unix(where, deadline_ms, &link->fd);
	if (result != 0) {
		wire_link_free(link);
		return result;
	}
	*ret_link = link;
	return 0;
}

void wire_link_free(struct wire_link *link)
{
	if (link == NULL)
		return;
	tls_session_free(link->tls);
	if (link->fd >= 0)
		(void)close(link->fd);
	free(link);
}

int wire_link_send(struct wire_link *link, const uint8_t *bytes, size_t length, int64_t deadline_ms)
{
	int result;

	if (link->tls == NULL)
		return send_plain(link, bytes, length, deadline_ms);
	result = tls_session_write(link->tls, bytes, length);
	return result < 0 ? result : send_cipher(link, deadline_ms);
}

const char *wire_link_why(const struct wire_link *link)
{
	return link->tls != NULL ? tls_session_why(link->tls) : "";
}

ssize_t wire_link_receive(
	struct wire_link *link, uint8_t *ret_bytes, size_t size, int64_t deadline_ms)
{
	return link->tls != NULL ? receive_tls(link, ret_bytes, size, deadline_ms)
				 : receive_plain(link, ret_bytes, size, deadline_ms);
}
