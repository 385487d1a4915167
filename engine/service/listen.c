/*
 * listen.c: see listen.h.
 */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Splits text at its last colon; brackets around the host are removed. */
static int split(const char *text, char *host, size_t host_size, const char **ret_port)
{
	const char *colon = strrchr(text, ':');
	if (colon == NULL || colon[1] == '\0' ||
		strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
		strtoul(colon + 1, NULL, 10) > 65535)
		return -EINVAL;
	size_t length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		length -= 2;
	} else if (memchr(text, ':', length) != NULL) {
		return -EINVAL;
	}
	if (length == 0 || length >= host_size)
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	*ret_port = colon + 1;
	return 0;
}

static int open_one(const struct addrinfo *info)
{
	int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
	if (fd < 0)
		return -errno;
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

static void describe(int fd, char address[LISTEN_ADDRESS_SIZE])
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	char host[60] = "?";
	char port[8] = "?";
	if (getsockname(fd, (struct sockaddr *)&bound, &length) == 0)
		getnameinfo((struct sockaddr *)&bound, length, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	bool brackets = strchr(host, ':') != NULL;
	snprintf(address, LISTEN_ADDRESS_SIZE, "%s%s%s:%s", brackets ? "[" : "", host,
		brackets ? "]" : "", port);
}

int listen_open(
	const char *text, int *ret_fd, char ret_address[LISTEN_ADDRESS_SIZE], struct fault *fault)
{
	char host[256];
	const char *port = NULL;
	if (split(text, host, sizeof(host), &port) < 0)
		return fault_set(fault, FAULT_RULE,
			"--listen %s: not HOST:PORT, such as 127.0.0.1:8420 or [::1]:8420", text);
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list = NULL;
	int error = getaddrinfo(host, port, &hints, &list);
	if (error != 0)
		return fault_set(fault, FAULT_INTERNAL, "--listen %s: host %s: %s", text, host,
			gai_strerror(error));
	int fd = -EADDRNOTAVAIL;
	for (const struct addrinfo *at = list; at && fd < 0; at = at->ai_next)
		fd = open_one(at);
	freeaddrinfo(list);
	if (fd < 0)
		return fault_set(fault, FAULT_INTERNAL,
			"cannot listen on %s: %s; choose another address with --listen HOST:PORT",
			text, strerror(-fd));
	describe(fd, ret_address);
	*ret_fd = fd;
	return 0;
}
