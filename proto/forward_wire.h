/*
 * The messages of Forward, by which a collector sends on what it took in
 * (docs/PROTOCOL.md, "Forward"), encoded and decoded by hand like those of
 * export.h, whose rules hold here too: bounded, without allocation, what is
 * decoded points into the caller's bytes, on failure *ret is untouched.
 */
#ifndef WAFT_PROTO_FORWARD_WIRE_H
#define WAFT_PROTO_FORWARD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"
#include "errors.h"
#include "slice.h"
#include "wire.h"

/* A share of 0 is the whole of a batch, 1 to WIRE_PARTITIONS is a partition and 1. */
enum { FORWARD_SHARE_WHOLE = 0, FORWARD_SHARE_MAX = WIRE_PARTITIONS };

enum forward_body {
	FORWARD_HELLO = 2, /* the field numbers */
	FORWARD_BATCH = 3,
	FORWARD_DROP = 4,
	FORWARD_REFUSAL = 5,
	FORWARD_GOODBYE = 6,
	FORWARD_FORGET = 7,
};

struct forward_hello {
	struct slice agent; /* WIRE_CLIENT_ID_BYTES */
	uint32_t version;
	struct slice library;
};

struct forward_peer {
	uint32_t pid;
	uint32_t uid;
	struct slice name;
	struct slice agent;
};

struct forward_request {
	uint64_t number;
	enum forward_body body;
	struct slice bytes; /* of the body's message; decoded: of every body */
	struct forward_hello hello;
	uint8_t client[WIRE_CLIENT_ID_BYTES]; /* of forget too */
	uint64_t sequence;
	uint64_t emitted;
	uint32_t share;
	uint64_t received_ns;
	bool has_peer;
	struct forward_peer peer;
	struct slice service;
	uint64_t pid;
};

/* Exactly one body must be there (of several the last counts, none is
 * ERR_MALFORMED). A hello must have an agent of 16 bytes and no number. What has a
 * number must have a client of 16 bytes (ERR_MALFORMED) and a share up to FORWARD_SHARE_MAX
 * (ERR_LIMIT); but for a goodbye its sequence is not 0 (ERR_ORDER). What has none is
 * a hello or a forget (ERR_ORDER). A batch over 256 KiB is ERR_LIMIT. The bodies' own
 * messages are not looked into, but for hello and peer. */
int forward_request_decode(struct slice bytes, struct forward_request *ret) MUST_CHECK;

/* The number is always written first, as FORWARD_NUMBER_BYTES bytes, so that it can be
 * set anew when the message is sent again. */
enum { FORWARD_NUMBER_BYTES = 9 };
void forward_request_encode(struct writer *writer, const struct forward_request *request);
void forward_request_number(uint8_t *message, uint64_t number);

/* What a request takes beside its body's bytes, at most, when names have up to
 * 255 bytes. */
enum { FORWARD_HEAD_LIMIT = 1200 };

struct forward_response {
	uint64_t durable_number;
	uint64_t refused;
	uint64_t credit_bytes;
	struct slice collector;
	struct slice collector_id;
};

int forward_response_decode(struct slice bytes, struct forward_response *ret) MUST_CHECK;
void forward_response_encode(struct writer *writer, const struct forward_response *response);

#endif
