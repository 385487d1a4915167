/*
 * Addresses of other machines as people write them: HOST:PORT, [ADDRESS]:PORT;
 * and which of them are this machine's own, which is all that plain TCP is for.
 * Linked by client, collector and cli. Thread: any; nothing is kept.
 */
#ifndef WAFT_ADDRESS_H
#define WAFT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	char host[254];	 /* a name (RFC 1035: at most 253) or an address without brackets */
	char service[6]; /* the port again, as getaddrinfo takes it */
	uint16_t port;	 /* 0: any, which serves those that listen */
};

/* Splits `text`. -EINVAL and in *ret_why what it lacks, to stand behind the text
 * ("has no port"); constant text. */
__attribute__((warn_unused_result)) int address_split(
	const char *text, struct address *ret, const char **ret_why);

/* The numeric address of a host, "localhost" being 127.0.0.1; asks nobody.
 * -EINVAL: it is a name. */
__attribute__((warn_unused_result)) int address_numeric(
	const struct address *address, struct sockaddr_storage *ret, socklen_t *ret_length);

bool address_is_loopback(const struct sockaddr *address);

#endif
