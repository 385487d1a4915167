/*
 * rpc_client.h: calls to a collector, blocking, each with a deadline.
 *
 * One call at a time on one connection (docs/PROTOCOL.md, "Frames"). Used by one
 * thread at a time. Errors are negative errnos, codes of errors.h, or
 * ERR_STATUS - code when the collector ended the call; rpc_client_problem says
 * each in words.
 */
#ifndef WAFT_CLI_RPC_CLIENT_H
#define WAFT_CLI_RPC_CLIENT_H

#include "errors.h"
#include "wire_link.h"

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

struct rpc_client;

enum { RPC_NO_DEADLINE = 0 };

/* Connects to a Unix socket's path, tcp:// or tls:// (wire_link.h). -ENOENT,
 * -ECONNREFUSED, -EACCES, -ETIMEDOUT, -ENAMETOOLONG, …, with ret_why in words.
 * *ret_client is owned (rpc_client_free). */
int rpc_client_connect(const char *where, uint32_t timeout_ms, struct rpc_client **ret_client,
	char ret_why[WIRE_LINK_WHY_BYTES]) MUST_CHECK;
/* Breaks off a call that runs. NULL is fine. */
void rpc_client_free(struct rpc_client *client);

/* Opens a call and sends its one request. deadline_ms bounds the whole call;
 * RPC_NO_DEADLINE: none. No other call may be running. */
int rpc_client_begin(struct rpc_client *client, const char *method, const ProtobufCMessage *request,
	uint32_t deadline_ms) MUST_CHECK;

/* Waits for the call's next message. 1 with *ret_message (owned:
 * protobuf_c_message_free_unpacked), 0 when the call has ended well, or an
 * error; the call is over after 0 and errors. */
int rpc_client_next(struct rpc_client *client, const ProtobufCMessageDescriptor *descriptor,
	ProtobufCMessage **ret_message) MUST_CHECK;

/* A unary call: begin, one message, the end. When the collector sends a message
 * and then an error, both are returned: *ret_message is NULL only if none came. */
int rpc_client_call(struct rpc_client *client, const char *method, const ProtobufCMessage *request,
	uint32_t deadline_ms, const ProtobufCMessageDescriptor *descriptor,
	ProtobufCMessage **ret_message) MUST_CHECK;

/* What an error of the last call means, with the collector's own words where it
 * sent some. Valid until the next call. */
const char *rpc_client_problem(struct rpc_client *client, int error);

#endif
