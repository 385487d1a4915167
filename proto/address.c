/* Addresses of other machines; see address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int lacks(const char **ret_why, const char *what)
{
	*ret_why = what;
	return -EINVAL;
}

int address_split(const char *text, struct address *ret, const char **ret_why)
{
	const char *colon = strrchr(text, ':');
	unsigned long port;
	size_t length;
	char *end;

	if (colon == NULL || strchr(colon, ']') != NULL || colon[1] < '0' || colon[1] > '9')
		return lacks(ret_why, "has no port");
	port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || port > UINT16_MAX)
		return lacks(ret_why, "has no port from 1 to 65535");
	length = (size_t)(colon - text);
	if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(ret->host))
		return lacks(ret_why, "has no usable host");
	memcpy(ret->host, text, length);
	ret->host[length] = '\0';
	ret->port = (uint16_t)port;
	snprintf(ret->service, sizeof(ret->service), "%u", (unsigned)ret->port);
	return 0;
}

int address_numeric(
	const struct address *address, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	const char *host = strcmp(address->host, "localhost") == 0 ? "127.0.0.1" : address->host;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(address->port);
		*ret_length = sizeof(*in);
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(address->port);
		*ret_length = sizeof(*in6);
	} else {
		return -EINVAL;
	}
	return 0;
}

bool address_is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;

	if (address->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}
