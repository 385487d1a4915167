/*
 * One connection as a state machine.
 *
 * The happy path: bytes arrive (connection_feed), the splitter gives whole
 * frames, CALL opens a call of a service, MESSAGEs go to it, the service sends
 * MESSAGEs and a STATUS, which frees the stream id.
 *
 * Failures: a frame that can't be trusted, a silent peer, or a call for it by a
 * service (connection_shut) sends STATUS on stream 0 and asks the stream to
 * close; all calls are closed. A peer that goes away closes all calls without a
 * word. Calls end one by one for bad payloads, deadlines and CANCEL.
 *
 * Callbacks of a service may end the call or the connection they run for. So a
 * finished call stays in the list until `depth` says that no callback runs, and
 * is then reaped.
 */
#include "connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STATUS_BYTES_MAX 1024
#define MESSAGE_BYTES_MAX 900
#define IDLE_FACTOR 6
#define FAILURES_MAX 3

enum connection_state {
	CONNECTION_OPEN, /* to SHUT on a fault, to GONE when the peer left */
	CONNECTION_SHUT, /* the stream was asked to close; input is ignored */
	CONNECTION_GONE, /* nothing can be written */
};

struct connection {
	enum connection_state state;
	const struct connection_config *config;
	struct stream *stream;
	struct peer peer;
	struct frame_reader reader;
	struct call *calls;
	unsigned int call_count; /* those that are not finished */
	unsigned int depth;	 /* callbacks of services that are running */
	uint32_t last_stream_id;
	uint64_t last_byte_ms;	       /* when the peer sent last */
	uint64_t frame_begin_ms;       /* when the frame that is not whole began */
	unsigned int failures;	       /* calls that nobody known made */
	struct quota_account *account; /* NULL: nobody's yet */
	bool had_call;
	bool paused;
};

/* ---- Writing ------------------------------------------------------------- */

/* A whole frame in one piece; 0 or -ENOMEM. */
static int write_frame(struct connection *connection, enum frame_type type, uint32_t stream_id,
	struct slice payload)
{
	uint8_t *frame;

	if (connection->state != CONNECTION_OPEN)
		return -EPIPE;
	frame = malloc(WIRE_FRAME_HEADER_BYTES + payload.length);
	if (frame == NULL)
		return -ENOMEM;
	frame_header_write(frame, type, stream_id, payload.data, payload.length);
	if (payload.length > 0)
		memcpy(frame + WIRE_FRAME_HEADER_BYTES, payload.data, payload.length);
	connection->stream->ops->write(
		connection->stream, frame, WIRE_FRAME_HEADER_BYTES + payload.length);
	return 0;
}

static void write_status(struct connection *connection, uint32_t stream_id, enum grpc_status code,
	const char *message, uint32_t retry_after_ms)
{
	uint8_t buffer[STATUS_BYTES_MAX];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	struct call_status status = {
		.code = (uint32_t)code,
		.message = slice_of_text(message != NULL ? message : ""),
		.retry_after_ms = retry_after_ms,
	};

	if (status.message.length > MESSAGE_BYTES_MAX)
		status.message.length = MESSAGE_BYTES_MAX;
	call_status_encode(&writer, &status);
	/* Without memory the peer learns of the end by the closed connection. */
	if (write_frame(connection, FRAME_STATUS, stream_id,
		    slice_of(buffer, writer_length(&writer))) < 0 &&
		connection->state == CONNECTION_OPEN) {
		connection->state = CONNECTION_SHUT;
		connection->stream->ops->close(connection->stream);
	}
}

/* ---- Calls --------------------------------------------------------------- */

static struct call *find_call(struct connection *connection, uint32_t stream_id)
{
	for (struct call *call = connection->calls; call != NULL; call = call->next)
		if (call->stream_id == stream_id && !call->finished)
			return call;
	return NULL;
}

/* Closes and frees finished calls, when no callback is running. */
static void reap_calls(struct connection *connection)
{
	struct call **at = &connection->calls;

	if (connection->depth > 0)
		return;
	/* on_closed may finish other calls of this connection: begin again then. */
	connection->depth++;
	while (*at != NULL) {
		struct call *call = *at;

		if (!call->finished) {
			at = &call->next;
			continue;
		}
		*at = call->next;
		call->method->ops->on_closed(call);
		free(call);
		at = &connection->calls;
	}
	connection->depth--;
}

static void mark_finished(struct call *call)
{
	if (call->finished)
		return;
	call->finished = true;
	call->connection->call_count--;
}

void call_finish(
	struct call *call, enum grpc_status status, const char *message, uint32_t retry_after_ms)
{
	struct connection *connection = call->connection;

	if (call->finished)
		return;
	write_status(connection, call->stream_id, status, message, retry_after_ms);
	mark_finished(call);
	reap_calls(connection);
}

bool call_writable(const struct call *call)
{
	const struct connection *connection = call->connection;

	return !call->finished && call->sent_bytes < call->credit_bytes &&
	       connection->stream->ops->queued_bytes(connection->stream) <
		       connection->config->queue_limit_bytes;
}

int call_send(struct call *call, struct slice message, bool unpaid)
{
	int status;

	if (call->finished)
		return -EPIPE;
	if (message.length > WIRE_PAYLOAD_LIMIT)
		return ERR_LIMIT;
	if (!unpaid && !call_writable(call))
		return -EAGAIN;
	status = write_frame(call->connection, FRAME_MESSAGE, call->stream_id, message);
	if (status == 0 && !unpaid)
		call->sent_bytes += message.length;
	return status;
}

int call_send_frame(struct call *call, uint8_t *frame, size_t length_bytes)
{
	struct connection *connection = call->connection;

	if (call->finished || connection->state != CONNECTION_OPEN || !call_writable(call)) {
		int status =
			call->finished || connection->state != CONNECTION_OPEN ? -EPIPE : -EAGAIN;

		free(frame);
		return status;
	}
	call->sent_bytes += length_bytes - WIRE_FRAME_HEADER_BYTES;
	connection->stream->ops->write(connection->stream, frame, length_bytes);
	return 0;
}

/* ---- The end ------------------------------------------------------------- */

static void finish_all(struct connection *connection, enum grpc_status status, const char *message,
	uint32_t retry_after_ms)
{
	for (struct call *call = connection->calls; call != NULL; call = call->next) {
		if (call->finished)
			continue;
		write_status(connection, call->stream_id, status, message, retry_after_ms);
		mark_finished(call);
	}
}

void connection_shut(struct connection *connection, enum grpc_status status, const char *message,
	uint32_t retry_after_ms)
{
	if (connection->state != CONNECTION_OPEN)
		return;
	finish_all(connection, status, message, retry_after_ms);
	write_status(connection, 0, status, message, retry_after_ms);
	/* write_status closes by itself when it has no memory. */
	if (connection->state == CONNECTION_OPEN) {
		connection->state = CONNECTION_SHUT;
		connection->stream->ops->close(connection->stream);
	}
	reap_calls(connection);
}

void connection_on_gone(struct connection *connection)
{
	connection->state = CONNECTION_GONE;
	for (struct call *call = connection->calls; call != NULL; call = call->next)
		mark_finished(call);
	reap_calls(connection);
}

/* ---- Frames in ----------------------------------------------------------- */

static const struct service_method *find_method(
	const struct connection_config *config, struct slice path)
{
	for (size_t i = 0; i < config->method_count; i++)
		if (slice_equal(slice_of_text(config->methods[i].path), path))
			return &config->methods[i];
	return NULL;
}

/* The token of "authorization: Bearer TOKEN"; absent when it is something else. */
static struct slice bearer_token(struct slice value)
{
	static const char scheme[] = "Bearer ";
	const size_t length = sizeof(scheme) - 1;

	if (value.length <= length || strncasecmp((const char *)value.data, scheme, length) != 0)
		return slice_of(NULL, 0);
	return slice_of(value.data + length, value.length - length);
}

/* What the call's token, if there is one, adds to the connection's peer. */
static const char *take_token(
	struct connection *connection, const struct call_header *header, struct peer *peer)
{
	struct slice value = call_header_metadata(header, "authorization");
	char name[ACCESS_NAME_BYTES];
	struct slice token;
	unsigned int rights;

	if (value.length == 0)
		return NULL;
	token = bearer_token(value);
	rights = access_of_token(
		connection->config->access, (const char *)token.data, token.length, name);
	if (rights == 0)
		return "the token is not known here";
	peer->rights |= rights;
	peer->known = true;
	/* A certificate's name stays. */
	if (peer->name[0] == '\0')
		snprintf(peer->name, sizeof(peer->name), "%s", name);
	return NULL;
}

static void refuse_connection(struct connection *connection, int error)
{
	connection_shut(connection, GRPC_RESOURCE_EXHAUSTED,
		error == -EDQUOT ? "this client has as many connections as it may have here"
				 : "the collector is out of memory",
		1000);
}

/* Puts the connection on the account of who is known to be there. Whether there is
 * room; else it is on its way out. */
static bool join_account(
	struct connection *connection, const struct peer *peer, bool with_token, uint64_t now_ms)
{
	char name[QUOTA_NAME_BYTES];
	int status;

	if (connection->config->quotas == NULL || connection->account != NULL)
		return true;
	quota_name(peer, with_token, name);
	status = quota_join(connection->config->quotas, name, now_ms, &connection->account);
	if (status < 0)
		refuse_connection(connection, status);
	return status == 0;
}

/* Whether the call may be made; else it is answered. Who tries too often is sent
 * away, so that guessing costs connections. */
static bool authorize(struct connection *connection, const struct frame *frame,
	const struct call_header *header, const struct service_method *method,
	struct peer *ret_peer)
{
	const char *problem;

	*ret_peer = connection->peer;
	problem = take_token(connection, header, ret_peer);
	if (problem == NULL && (ret_peer->rights & method->right) == method->right)
		return true;
	if (problem == NULL && !ret_peer->known)
		problem = "a token is needed here";
	if (problem != NULL) {
		connection->config->counts->unauthenticated++;
		write_status(connection, frame->stream, GRPC_UNAUTHENTICATED, problem, 0);
		if (++connection->failures >= FAILURES_MAX)
			connection_shut(connection, GRPC_UNAUTHENTICATED, problem, 0);
		return false;
	}
	connection->config->counts->denied++;
	write_status(connection, frame->stream, GRPC_PERMISSION_DENIED,
		method->right == ACCESS_SEND ? "this peer may not send spans here"
		: method->right == ACCESS_FORWARD
			? "this peer may not forward here: it needs the right in --access"
		: method->right == ACCESS_ADMIN
			? "this peer may not administer: root, members of --admin-group and who "
			  "has the right admin in --access may"
			: "this peer may not query here: see --access and --query-group",
		0);
	return false;
}

/* Opens a call on a stream id that is known to be new. */
static void open_call(struct connection *connection, const struct frame *frame,
	const struct call_header *header, uint64_t now_ms)
{
	const struct service_method *method = find_method(connection->config, header->method);
	const char *message = NULL;
	enum grpc_status status;
	struct peer peer;
	struct call *call;

	if (method == NULL) {
		write_status(connection, frame->stream, GRPC_UNIMPLEMENTED,
			"there is no such method here", 0);
		return;
	}
	/* Strangers count from the first call on that shows who they are. */
	if (!authorize(connection, frame, header, method, &peer) ||
		!join_account(connection, &peer, !connection->peer.known, now_ms))
		return;
	call = calloc(1, sizeof(*call));
	if (call == NULL) {
		write_status(connection, frame->stream, GRPC_RESOURCE_EXHAUSTED,
			"the collector is out of memory", 1000);
		return;
	}
	call->connection = connection;
	call->method = method;
	call->peer = peer;
	call->stream_id = frame->stream;
	call->credit_bytes = header->credit_bytes;
	if (header->deadline_ms > 0)
		call->deadline_ms = now_ms + header->deadline_ms;
	status = method->open(method->service, call, header, now_ms, &message);
	if (status != GRPC_OK) {
		write_status(connection, frame->stream, status, message, 0);
		free(call);
		return;
	}
	connection->config->counts->calls++;
	connection->had_call = true;
	call->next = connection->calls;
	connection->calls = call;
	connection->call_count++;
}

static void on_call(struct connection *connection, const struct frame *frame, uint64_t now_ms)
{
	struct call_header header;

	if (frame->stream <= connection->last_stream_id) {
		connection_shut(connection, GRPC_INVALID_ARGUMENT,
			"a call's stream id must be larger than the one before", 0);
		return;
	}
	connection->last_stream_id = frame->stream;
	if (connection->call_count >= WIRE_OPEN_CALLS_LIMIT) {
		write_status(connection, frame->stream, GRPC_RESOURCE_EXHAUSTED,
			"too many calls are open on this connection", 0);
		return;
	}
	if (call_header_decode(slice_of(frame->payload, frame->length), &header) < 0) {
		write_status(connection, frame->stream, GRPC_INVALID_ARGUMENT,
			"the call's header doesn't decode", 0);
		return;
	}
	open_call(connection, frame, &header, now_ms);
}

static void on_credit(struct call *call, const struct frame *frame, uint64_t now_ms)
{
	uint64_t bytes = 0;

	if (credit_decode(slice_of(frame->payload, frame->length), &bytes) < 0) {
		call_finish(call, GRPC_INVALID_ARGUMENT, "the credit doesn't decode", 0);
		return;
	}
	if (bytes <= call->credit_bytes)
		return;
	call->credit_bytes = bytes;
	if (call->method->ops->on_writable != NULL)
		call->method->ops->on_writable(call, now_ms);
}

/* A frame of an open call. */
static void on_call_frame(struct call *call, const struct frame *frame, uint64_t now_ms)
{
	switch (frame->type) {
	case FRAME_MESSAGE:
		if (call->ended)
			call_finish(call, GRPC_INVALID_ARGUMENT, "a message after the end", 0);
		else
			call->method->ops->on_message(
				call, slice_of(frame->payload, frame->length), now_ms);
		break;
	case FRAME_END:
		if (call->ended)
			break;
		call->ended = true;
		call->method->ops->on_end(call, now_ms);
		break;
	case FRAME_CREDIT:
		on_credit(call, frame, now_ms);
		break;
	case FRAME_CANCEL:
	default:
		call_finish(call, GRPC_CANCELLED, "cancelled by the caller", 0);
		break;
	}
}

static void on_ping(struct connection *connection, const struct frame *frame)
{
	if (frame->length > WIRE_PING_LIMIT) {
		connection_shut(connection, GRPC_INVALID_ARGUMENT, "a ping over 64 bytes", 0);
		return;
	}
	(void)write_frame(
		connection, FRAME_PONG, frame->stream, slice_of(frame->payload, frame->length));
}

static void on_frame(struct connection *connection, const struct frame *frame, uint64_t now_ms)
{
	struct call *call;

	connection->config->counts->frames++;
	switch (frame->type) {
	case FRAME_CALL:
		on_call(connection, frame, now_ms);
		return;
	case FRAME_PING:
		on_ping(connection, frame);
		return;
	case FRAME_PONG:
		return;
	case FRAME_MESSAGE:
	case FRAME_END:
	case FRAME_CREDIT:
	case FRAME_CANCEL:
		break;
	default:
		call = find_call(connection, frame->stream);
		if (call != NULL)
			call_finish(call, GRPC_UNIMPLEMENTED, "a frame of an unknown type", 0);
		else
			write_status(connection, frame->stream, GRPC_UNIMPLEMENTED,
				"a frame of an unknown type", 0);
		return;
	}
	call = find_call(connection, frame->stream);
	if (call != NULL)
		on_call_frame(call, frame, now_ms);
	else if (frame->stream == 0 || frame->stream > connection->last_stream_id)
		connection_shut(connection, GRPC_INVALID_ARGUMENT,
			"a frame of a call that was never opened", 0);
	/* Else the call is over already: the frame crossed our STATUS. */
}

/* Says why and ends the connection. */
static void on_bad_frame(struct connection *connection, int error)
{
	uint8_t buffer[128];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	const struct versions versions = {
		.lowest = WIRE_FRAME_VERSION,
		.highest = WIRE_FRAME_VERSION,
		.message = slice_of_text("this collector speaks version 1"),
	};

	if (error == ERR_VERSION) {
		connection->config->counts->bad_versions++;
		versions_encode(&writer, &versions);
		(void)write_frame(
			connection, FRAME_VERSION, 0, slice_of(buffer, writer_length(&writer)));
		connection_shut(
			connection, GRPC_UNIMPLEMENTED, "this version is not spoken here", 0);
		return;
	}
	connection->config->counts->bad_frames++;
	connection_shut(connection, error == -ENOMEM ? GRPC_UNAVAILABLE : GRPC_INVALID_ARGUMENT,
		error_text(error), 0);
}

void connection_feed(
	struct connection *connection, const uint8_t *data, size_t length_bytes, uint64_t now_ms)
{
	connection->last_byte_ms = now_ms;
	connection->depth++;
	while (connection->state == CONNECTION_OPEN) {
		struct frame frame;
		int status = frame_reader_next(&connection->reader, &data, &length_bytes, &frame);

		if (status == 0)
			break;
		if (status < 0) {
			on_bad_frame(connection, status);
			break;
		}
		connection->frame_begin_ms = now_ms;
		on_frame(connection, &frame, now_ms);
		/* Finished calls would count against the limit of nothing, but hold memory. */
		connection->depth--;
		reap_calls(connection);
		connection->depth++;
	}
	connection->depth--;
	reap_calls(connection);
}

void connection_on_drained(struct connection *connection, uint64_t now_ms)
{
	connection->depth++;
	for (struct call *call = connection->calls; call != NULL; call = call->next)
		if (!call->finished && call->method->ops->on_writable != NULL)
			call->method->ops->on_writable(call, now_ms);
	connection->depth--;
	reap_calls(connection);
}

/* ---- Time ---------------------------------------------------------------- */

static const char *silence_problem(struct connection *connection, uint64_t now_ms)
{
	uint64_t idle_ms = connection->config->idle_ms;
	uint64_t silent_ms;

	/* A tick may have begun before the connection did. */
	if (now_ms < connection->last_byte_ms)
		return NULL;
	silent_ms = now_ms - connection->last_byte_ms;

	if (frame_reader_pending(&connection->reader) == 0)
		connection->frame_begin_ms = now_ms;
	else if (silent_ms >= idle_ms ||
		 now_ms - connection->frame_begin_ms >= idle_ms * IDLE_FACTOR)
		return "a frame was begun and not ended in time";
	if (!connection->had_call && silent_ms >= idle_ms)
		return "no call was made in time";
	if (connection->call_count == 0 && silent_ms >= idle_ms * IDLE_FACTOR)
		return "no call was open for long";
	return NULL;
}

void connection_tick(struct connection *connection, uint64_t now_ms)
{
	const char *problem;

	if (connection->state != CONNECTION_OPEN)
		return;
	connection->depth++;
	for (struct call *call = connection->calls; call != NULL; call = call->next)
		if (!call->finished && call->deadline_ms > 0 && now_ms >= call->deadline_ms)
			call_finish(call, GRPC_DEADLINE_EXCEEDED, "the call's deadline passed", 0);
	if (connection->paused) {
		connection->last_byte_ms = now_ms;
		connection->frame_begin_ms = now_ms;
	}
	problem = silence_problem(connection, now_ms);
	if (problem != NULL) {
		connection->config->counts->timeouts++;
		connection_shut(connection, GRPC_DEADLINE_EXCEEDED, problem, 0);
	} else if (frame_reader_pending(&connection->reader) == 0) {
		frame_reader_trim(&connection->reader);
	}
	connection->depth--;
	reap_calls(connection);
}

/* ---- Life ---------------------------------------------------------------- */

int connection_new(const struct connection_config *config, struct stream *stream,
	const struct peer *peer, uint64_t now_ms, struct connection **ret_connection)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return -ENOMEM;
	connection->config = config;
	connection->stream = stream;
	connection->peer = *peer;
	connection->last_byte_ms = now_ms;
	connection->frame_begin_ms = now_ms;
	frame_reader_init(&connection->reader);
	*ret_connection = connection;
	if (peer->rights != 0)
		(void)join_account(connection, peer, false, now_ms);
	return 0;
}

void connection_free(struct connection *connection)
{
	if (connection == NULL)
		return;
	connection_on_gone(connection);
	quota_leave(connection->account);
	frame_reader_done(&connection->reader);
	free(connection);
}

void connection_set_reading(struct connection *connection, bool reading)
{
	if (connection->state != CONNECTION_OPEN || connection->paused == !reading)
		return;
	connection->paused = !reading;
	connection->stream->ops->set_reading(connection->stream, reading);
}

bool connection_is_stranger(const struct connection *connection)
{
	return !connection->had_call && connection->peer.rights == 0;
}

struct quota_account *connection_account(const struct connection *connection)
{
	return connection->account;
}

const struct peer *connection_peer(const struct connection *connection)
{
	return &connection->peer;
}

struct stream *connection_stream(struct connection *connection)
{
	return connection->stream;
}

size_t connection_pending_bytes(const struct connection *connection)
{
	return frame_reader_pending(&connection->reader);
}
