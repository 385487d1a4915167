/*
 * One gateway, as an agent sees it: connects, says hello, sends shares of records in
 * order, and keeps each until it is answered (docs/PROTOCOL.md, "Forward").
 *
 * On the loop of the forwarding's thread (forward.h). It may read files (certificates,
 * token) there; names are looked up by libuv's pool. After any failure it connects
 * again, with pauses of 100 ms to 5 s, and sends what was not answered.
 */
#ifndef WAFT_COLLECTOR_GATEWAY_H
#define WAFT_COLLECTOR_GATEWAY_H

#include "errors.h"
#include "frame.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct gateway;

/* A ForwardRequest with a number, in a frame. Made by share_new. */
struct share {
	struct share *next;
	void *record;	   /* of the caller: what it is a share of */
	uint8_t partition; /* that it is routed by, from 0 */
	size_t length;	   /* of the whole frame */
	uint8_t frame[];
};

struct gateway_config {
	uv_loop_t *loop;
	const char *endpoint; /* unix:PATH, tcp://HOST:PORT (loopback) or tls://HOST:PORT */
	const char *tls_ca;   /* PEM files, read at each connection; NULL: the system's, none */
	const char *tls_cert;
	const char *tls_key;
	const char *token_file; /* NULL: none */
	uint8_t agent[16];
	uint64_t timeout_ms; /* without an answer: the connection is given up */
	/* The oldest share is answered; it is the callee's then. */
	void (*on_answered)(void *context, struct gateway *gateway, struct share *share);
	/* It was connected, or is no longer. */
	void (*on_state)(void *context, struct gateway *gateway);
	void *context;
};

struct gateway_counts {
	uint64_t connections; /* that came to be */
	uint64_t failures;
	uint64_t sent_bytes;
	uint64_t refused; /* shares that it refused for good */
};

/* Texts are borrowed for its life. Begins to connect. */
int gateway_new(const struct gateway_config *config, struct gateway **ret) MUST_CHECK;

/* Closes it; on_closed comes later, on the loop, and then it is freed. Its shares are
 * freed too. */
void gateway_close(struct gateway *gateway, void (*on_closed)(void *context), void *context);

/* Room for a share with a payload of up to size bytes; NULL without memory. */
struct share *share_new(size_t size_bytes);
/* Its payload, and how much of it there is. */
static inline uint8_t *share_payload(struct share *share)
{
	return share->frame + WIRE_FRAME_HEADER_BYTES;
}
void share_set_length(struct share *share, size_t payload_bytes);

/* Queues a share; takes it. */
void gateway_send(struct gateway *gateway, struct share *share);

/* Says that nothing of a client comes again. Lost when there is no connection. */
void gateway_forget(struct gateway *gateway, const uint8_t client[16]);

/* Takes all shares that are not answered back, oldest first; a connection ends. What was
 * sent of them may be stored there. */
struct share *gateway_take_back(struct gateway *gateway);

bool gateway_is_open(const struct gateway *gateway);
/* Since when it is not, on the loop's clock; 0: it is open. */
uint64_t gateway_down_since_ms(const struct gateway *gateway);
const char *gateway_endpoint(const struct gateway *gateway);
/* Why it is not open, for people; "" when that is not known. */
const char *gateway_why(const struct gateway *gateway);
void gateway_count(const struct gateway *gateway, struct gateway_counts *ret);

/* Whether an endpoint can be one. On failure *ret_why is a constant text. */
bool gateway_endpoint_fits(const char *endpoint, const char **ret_why);

#endif
