/*
 * The messages of Export and of the frames themselves, encoded and decoded by
 * hand: libwaft has no protobuf-c, and the collector trusts no peer. Bounded,
 * without allocation; what is decoded points into the caller's bytes.
 *
 * Decoders return 0, or ERR_TRUNCATED, ERR_MALFORMED, ERR_LIMIT, ERR_ORDER; on
 * failure *ret is untouched. Texts are not checked for UTF-8 unless it says so.
 * Encoders append to a writer, whose sticky error tells of missing room.
 * Everything is pure and thread-safe.
 */
#ifndef WAFT_PROTO_EXPORT_H
#define WAFT_PROTO_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"
#include "errors.h"
#include "slice.h"
#include "wire.h"

/* ---- Of the frames ------------------------------------------------------ */

struct metadata {
	struct slice key;
	struct slice value;
};

struct call_header { /* of CALL */
	struct slice method;
	uint32_t deadline_ms;
	uint64_t credit_bytes; /* decoded: never 0, the default stands in */
	size_t metadata_count; /* at most WIRE_METADATA_LIMIT */
	struct metadata metadata[WIRE_METADATA_LIMIT];
};

struct call_status {   /* of STATUS */
	uint32_t code; /* enum grpc_status */
	struct slice message;
	uint32_t retry_after_ms;
};

struct versions { /* of VERSION */
	uint32_t lowest;
	uint32_t highest;
	struct slice message;
};

int call_header_decode(struct slice bytes, struct call_header *ret) MUST_CHECK;
void call_header_encode(struct writer *writer, const struct call_header *header);
/* The last value of a key (compared byte by byte), absent when there is none. */
struct slice call_header_metadata(const struct call_header *header, const char *key);

int call_status_decode(struct slice bytes, struct call_status *ret) MUST_CHECK;
void call_status_encode(struct writer *writer, const struct call_status *status);

int credit_decode(struct slice bytes, uint64_t *ret_bytes) MUST_CHECK;
void credit_encode(struct writer *writer, uint64_t bytes);

int versions_decode(struct slice bytes, struct versions *ret) MUST_CHECK;
void versions_encode(struct writer *writer, const struct versions *versions);

/* ---- Requests ----------------------------------------------------------- */

struct hello {
	uint8_t client[WIRE_CLIENT_ID_BYTES];
	uint32_t version;
	struct slice library;
	struct slice service;
	uint64_t pid;
	uint64_t acknowledged_sequence;
	uint64_t sent_sequence;
	uint32_t region; /* layout version of what came along; 0: nothing */
};

struct drop {
	struct slice reason;
	uint64_t spans;
};

struct goodbye {
	uint64_t emitted;
	uint64_t unknown;
	uint64_t not_sampled;
};

enum export_body {
	EXPORT_HELLO = 3, /* the field numbers */
	EXPORT_BATCH = 4,
	EXPORT_DROP = 5,
	EXPORT_GOODBYE = 6,
};

struct export_request {
	uint64_t sequence;
	uint64_t emitted;
	enum export_body body;
	union {
		struct hello hello;
		struct slice batch; /* the Batch message; see batch.h */
		struct drop drop;
		struct goodbye goodbye;
	};
};

/* Exactly one body must be there: none is ERR_MALFORMED; of several the last
 * counts, as protobuf has it. A hello's client must have 16 bytes; a batch over
 * 256 KiB is ERR_LIMIT; a batch or drop with sequence 0 is ERR_ORDER. */
int export_request_decode(struct slice bytes, struct export_request *ret) MUST_CHECK;
void export_request_encode(struct writer *writer, const struct export_request *request);

/* All of a request with a batch but the batch's own bytes, which follow: for
 * writing both with one writev. Takes at most EXPORT_BATCH_HEAD_LIMIT bytes. */
enum { EXPORT_BATCH_HEAD_LIMIT = 32 };
void export_batch_head_encode(
	struct writer *writer, uint64_t sequence, uint64_t emitted, size_t batch_bytes);

/* ---- Responses ---------------------------------------------------------- */

struct refusal {
	uint64_t sequence;
	uint32_t code; /* enum grpc_status */
	struct slice message;
};

struct welcome {
	bool known;
	bool forgotten;
	uint32_t batch_limit_bytes;
	uint32_t span_limit_bytes;
	struct slice collector;
	struct slice collector_id;
	struct slice fence; /* a Fence message; absent: none */
};

/* What a collector took from a client's region. */
struct taken {
	uint64_t sequence;
	uint32_t unit;
	uint32_t from;
	uint32_t to;
};

struct taken_drops {
	uint64_t sequence;
	struct slice reason;
	uint64_t said;
};

/* One field of a Fence. */
struct fence_entry {
	enum { FENCE_SEQUENCE, FENCE_TAKEN, FENCE_DROPS } kind;
	uint64_t sequence; /* FENCE_SEQUENCE */
	struct taken taken;
	struct taken_drops drops;
};

/* Walks a Fence: begin with cursor_of_slice(fence). False after the last, or with
 * cursor->error set. */
bool fence_next(struct cursor *cursor, struct fence_entry *ret);
void fence_encode(struct writer *writer, const struct fence_entry *entry);

struct export_response {
	uint64_t durable_sequence;
	uint64_t credit_bytes;
	bool goodbye;
	bool has_welcome;
	struct welcome welcome;
	/* To encode: an array. Decoded: NULL; walk them with
	 * export_response_next_refusal. */
	const struct refusal *refusals;
	size_t refusals_count;
	struct slice bytes; /* decoded: the message itself */
};

/* Checks the refusals too. */
int export_response_decode(struct slice bytes, struct export_response *ret) MUST_CHECK;
void export_response_encode(struct writer *writer, const struct export_response *response);

/* Walks the refusals of a decoded response: begin with a zero *position.
 * Returns false after the last. */
bool export_response_next_refusal(
	const struct export_response *response, size_t *position, struct refusal *ret);

#endif
