/*
 * The control plane: messages of the services Query and Admin as protobuf-c structures
 * (generated from waft.proto), and getting them safely in and out of frames'
 * payloads. protobuf-c never sees bytes that rpc_scan has not passed: it has no
 * limit of depth, and a few bytes can make it allocate many.
 *
 * Not for the span path (batch.h) and Export (export.h). Pure and thread-safe.
 */
#ifndef WAFT_PROTO_RPC_H
#define WAFT_PROTO_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"
#include "slice.h"
#include "waft.pb-c.h"

struct rpc_limits {
	size_t bytes;	    /* of the message */
	unsigned int depth; /* of nested messages, its own included; at most 16 */
	/* What unpacking may allocate: factor bytes for each of the message's, and
	 * slack beside. */
	size_t memory_factor;
	size_t memory_slack_bytes;
};

/* For requests: 64 KiB, 8 deep, memory at most 4 * bytes + 16 KiB. */
extern const struct rpc_limits rpc_request_limits;
/* For answers, read by waftctl: 260 KiB, 8 deep, memory at most 8 MiB. */
extern const struct rpc_limits rpc_response_limits;

/* Walks bytes by the descriptor: well-formed, within the limits, texts valid
 * UTF-8. ret_memory_bytes (may be NULL): an upper bound of what unpacking will
 * allocate. 0, ERR_TRUNCATED, ERR_MALFORMED, ERR_LIMIT. */
int rpc_scan(const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
	const struct rpc_limits *limits, size_t *ret_memory_bytes) MUST_CHECK;

/* Scans, then unpacks. *ret_message is owned by the caller:
 * protobuf_c_message_free_unpacked(message, NULL). Errors of rpc_scan, or
 * -ENOMEM. */
int rpc_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
	const struct rpc_limits *limits, ProtobufCMessage **ret_message) MUST_CHECK;

/* The message's bytes in fresh memory with headroom bytes free before them (for
 * a frame header). *ret_buffer is owned by the caller: free(). ERR_LIMIT when
 * it is over WIRE_PAYLOAD_LIMIT; -ENOMEM. */
int rpc_pack(const ProtobufCMessage *message, size_t headroom_bytes, uint8_t **ret_buffer,
	size_t *ret_length_bytes) MUST_CHECK;

/* A whole frame with the message as payload: header and bytes, to be written
 * out and then freed with free(). */
int rpc_pack_frame(const ProtobufCMessage *message, uint32_t stream, uint8_t **ret_frame,
	size_t *ret_length_bytes) MUST_CHECK;

struct rpc_method {
	const char *path; /* "/waft.v1.Query/ListTraces" */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	int server_streaming;
};

/* The method of a path, of the services Query and Admin; NULL: UNIMPLEMENTED. */
const struct rpc_method *rpc_method_find(struct slice path);

#endif
