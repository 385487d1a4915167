/* wire_client.h: a scripted client that speaks Export, for tests of collectors.
 * Blocking, with a deadline on every wait. */
#ifndef WAFT_TESTS_WIRE_CLIENT_H
#define WAFT_TESTS_WIRE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/export.h"
#include "proto/frame.h"

struct wire_client {
	int fd; /* -1: not connected */
	uint8_t id[16];
	struct frame_reader reader;
	uint64_t durable;      /* highest answered */
	uint64_t refused;      /* refusals received */
	uint64_t credit_bytes; /* granted on this connection */
	uint64_t sent_bytes;   /* of messages behind the hello */
	bool forgotten, known, goodbye;
	struct call_status status; /* code of the last STATUS; its text is not kept */
};

/* A client with this id, not connected. Zero bytes elsewhere. */
void wire_client_init(struct wire_client *client, const uint8_t id[16]);
void wire_client_done(struct wire_client *client);

/* Connects to the socket, calls Export, says hello and waits for welcome.
 * 0, or -errno; -ECONNRESET when the collector ended the connection. */
int wire_client_hello(struct wire_client *client, const char *path, uint64_t sent);
/* Sends a batch under a sequence number; waits for nothing. */
int wire_client_batch(
	struct wire_client *client, uint64_t sequence, const void *bytes, size_t length);
int wire_client_request(struct wire_client *client, const struct export_request *request);
/* Until there is credit for a batch: 0, or -ECONNRESET. */
int wire_client_wait_credit(struct wire_client *client);
/* Until `durable` has reached sequence: 0, or -ECONNRESET. */
int wire_client_wait(struct wire_client *client, uint64_t sequence);
/* Takes what has arrived already, without waiting. */
int wire_client_poll(struct wire_client *client);
/* Breaks the connection. */
void wire_client_close(struct wire_client *client);

#endif
