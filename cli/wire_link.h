/*
 * wire_link.h: the bytes between us and a collector, over a Unix socket, TCP to
 * loopback, or TLS. Blocking, each call with a deadline. One thread at a time.
 *
 * TLS takes its files from the environment: WAFT_TLS_CA (else the system's),
 * WAFT_TLS_CERT and WAFT_TLS_KEY.
 */
#ifndef WAFT_CLI_WIRE_LINK_H
#define WAFT_CLI_WIRE_LINK_H

#include "errors.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct wire_link;

enum { WIRE_LINK_WHY_BYTES = 512 };

/* Milliseconds of the monotonic clock, as deadlines have them. */
int64_t wire_link_now_ms(void);

/* Connects to a socket's path, tcp://ADDRESS:PORT or tls://HOST:PORT. Looking a
 * name up may take longer than the deadline. On failure a negative errno, and ret_why
 * in words (ret_why[0] is 0: those of the errno). *ret_link: wire_link_free. */
int wire_link_open(const char *where, int64_t deadline_ms, struct wire_link **ret_link,
	char ret_why[WIRE_LINK_WHY_BYTES]) MUST_CHECK;
/* NULL is fine. */
void wire_link_free(struct wire_link *link);

/* Sends all. deadline_ms -1: none. 0, -ETIMEDOUT or another negative errno. */
int wire_link_send(struct wire_link *link, const uint8_t *bytes, size_t length,
	int64_t deadline_ms) MUST_CHECK;

/* Why TLS failed; "" when it hasn't. */
const char *wire_link_why(const struct wire_link *link);

/* Receives some: how much; 0: the collector has closed; or a negative errno. */
ssize_t wire_link_receive(
	struct wire_link *link, uint8_t *ret_bytes, size_t size, int64_t deadline_ms) MUST_CHECK;

#endif
