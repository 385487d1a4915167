/*
 * Sessions of agents.
 *
 * The happy path: open → hello (answered with credit, once nothing that came before it is
 * on its way to the log) → records, numbered from 1,
 * each offered to the ingest, or passed over when its client's watermark of that
 * share says that it is durable → on_committed moves the session's watermark →
 * forward_service_flush sends one answer for all of a commit.
 *
 * Failures: what doesn't decode, a gap in the numbers, and no room in the ingest end
 * the call and the connection; the agent connects again and sends from what was
 * not answered. A newer hello of the same agent ends the older session. A record on
 * its way to the log outlives its session; the next one begins when it is durable under its
 * client's number, so that it is passed over when it comes again, and never logged twice.
 */
#include "forward_service.h"

#include "forward_wire.h"
#include "senders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_AFTER_MS 500
#define PROTOCOL_VERSION 1
#define RESPONSE_BYTES_MAX 256
/* The first agent's name and those behind it, in metadata.peer. */
#define AGENTS_BYTES_MAX 255

enum session_state {
	SESSION_OPENED,	  /* waits for hello → GREETING */
	SESSION_GREETING, /* waits for what is on its way to the log → TAKING */
	SESSION_TAKING,
	SESSION_OVER, /* the call is finished; on_closed will come */
};

/* A record that is on its way to the log. */
struct flight {
	struct flight *next; /* of its session, in order */
	struct forward_service *service;
	struct session *session; /* NULL when it is gone */
	uint64_t number;	 /* up to which all is answered once it is durable */
};

struct session {
	struct sender sender; /* first */
	enum session_state state;
	struct forward_service *service;
	uint8_t agent[16];
	uint64_t offered; /* of the service's when hello came */
	uint64_t taken;	  /* the highest number */
	uint64_t durable; /* the highest that is answered */
	uint64_t refused;
	bool dirty;
	struct flight *flights;
	struct flight **flights_end;
	struct flight *last_flight;
};

struct forward_service {
	struct forward_service_config config;
	struct senders senders;
	uint64_t offered;   /* records, to the ingest */
	uint64_t committed; /* of these, in the same order */
	struct forward_service_counts counts;
};

/* ---- Answers --------------------------------------------------------------- */

static void end_session(struct session *session, enum grpc_status status, const char *message,
	uint32_t retry_after_ms)
{
	struct connection *connection = session->sender.call->connection;

	if (session->state == SESSION_OVER)
		return;
	session->state = SESSION_OVER;
	call_finish(session->sender.call, status, message, retry_after_ms);
	connection_shut(connection, status, message, retry_after_ms);
}

static void fail_session(struct session *session, enum grpc_status status, const char *message)
{
	session->service->counts.ended++;
	end_session(
		session, status, message, status == GRPC_RESOURCE_EXHAUSTED ? RETRY_AFTER_MS : 0);
}

static void send_response(struct session *session, bool welcome)
{
	struct forward_service *service = session->service;
	uint8_t bytes[RESPONSE_BYTES_MAX];
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct forward_response response = {
		.durable_number = session->durable, .refused = session->refused};
	int status;

	response.credit_bytes = sender_grant(&session->sender);
	if (welcome) {
		response.collector = slice_of_text("waft-collectord " WAFT_VERSION_TEXT);
		response.collector_id = slice_of(service->config.store_id, 16);
	}
	forward_response_encode(&writer, &response);
	status = writer.error != 0 ? writer.error
				   : call_send(session->sender.call,
					     slice_of(bytes, writer_length(&writer)), true);
	session->dirty = false;
	if (status < 0)
		end_session(session, GRPC_UNAVAILABLE, error_text(status), RETRY_AFTER_MS);
}

/* Answers hello, unless a record that an older session took may come again before it is
 * known to be durable. */
static void welcome(struct session *session)
{
	if (session->service->committed < session->offered)
		return;
	session->state = SESSION_TAKING;
	sender_read(&session->sender);
	send_response(session, true);
}

void forward_service_flush(struct forward_service *service)
{
	struct sender *next;

	for (struct sender *sender = service->senders.first; sender != NULL; sender = next) {
		struct session *session = (struct session *)sender;

		next = sender->next;
		if (session->state == SESSION_GREETING)
			welcome(session);
		if (session->state != SESSION_TAKING)
			continue;
		sender_read(sender);
		if (session->dirty || sender_wants_credit(sender))
			send_response(session, false);
	}
}

/* ---- Records --------------------------------------------------------------- */

static void on_committed(void *context, uint64_t sequence, int status, int refused)
{
	struct flight *flight = context;
	struct session *session = flight->session;

	(void)sequence;
	flight->service->committed++;
	if (session != NULL) {
		session->flights = flight->next;
		if (session->flights == NULL) {
			session->flights_end = &session->flights;
			session->last_flight = NULL;
		}
		if (status == 0) {
			session->durable = flight->number;
			session->refused += refused < 0;
			session->service->counts.refused += refused < 0;
			session->dirty = true;
		}
	}
	free(flight);
}

/* Who vouches for the record: the agent's own name, behind those before it. */
static size_t name_agents(
	const struct session *session, struct slice before, char ret_agents[AGENTS_BYTES_MAX + 1])
{
	const struct peer *peer = &session->sender.call->peer;
	char own[PEER_NAME_BYTES];
	int length;

	if (peer->name[0] != '\0')
		snprintf(own, sizeof(own), "%s", peer->name);
	else if (peer->known)
		snprintf(own, sizeof(own), "uid %u", peer->uid);
	else
		snprintf(own, sizeof(own), "unknown");
	length = snprintf(ret_agents, AGENTS_BYTES_MAX + 1, "%.*s%s%s",
		(int)(before.length < AGENTS_BYTES_MAX ? before.length : AGENTS_BYTES_MAX),
		before.data != NULL ? (const char *)before.data : "", before.length > 0 ? "," : "",
		own);
	return length > AGENTS_BYTES_MAX ? AGENTS_BYTES_MAX : (size_t)length;
}

/* A name as it may stand in the log: without NUL, which separates names there. */
static bool name_fits(struct slice name)
{
	return name.length < PEER_NAME_BYTES &&
	       (name.length == 0 || memchr(name.data, 0, name.length) == NULL);
}

static enum log_kind kind_of(enum forward_body body)
{
	switch (body) {
	case FORWARD_DROP:
		return LOG_DROP;
	case FORWARD_REFUSAL:
		return LOG_REFUSAL;
	case FORWARD_GOODBYE:
		return LOG_GOODBYE;
	case FORWARD_BATCH:
	case FORWARD_HELLO:
	case FORWARD_FORGET:
	default:
		return LOG_BATCH;
	}
}

/* The spans of a drop, which the record's head tells too. */
static uint32_t dropped_spans(struct slice bytes)
{
	struct cursor cursor = cursor_of_slice(bytes);
	uint64_t spans = 0;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_DROP_SPANS)
			spans = cursor_varint(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	return spans > UINT32_MAX ? UINT32_MAX : (uint32_t)spans;
}

static void offer(struct session *session, const struct forward_request *request)
{
	struct forward_service *service = session->service;
	struct flight *flight = malloc(sizeof(*flight));
	char agents[AGENTS_BYTES_MAX + 1];
	struct ingest_offer what = {
		.kind = kind_of(request->body),
		.format = LOG_FORMAT_WAFT_V1,
		.peer = {.known = true,
			.pid = request->peer.pid,
			.uid = request->peer.uid,
			.name = (const char *)request->peer.name.data,
			.name_length = request->peer.name.length,
			.agent = agents,
			.agent_length = name_agents(session, request->peer.agent, agents)},
		.sequence = request->sequence,
		.emitted = request->emitted,
		.share = (uint8_t)(request->share + LOG_SHARE_WHOLE),
		.receive_ns = request->received_ns,
		.bytes = request->bytes,
		.account = session->sender.account,
	};
	int status = -ENOMEM;

	memcpy(what.client, request->client, sizeof(what.client));
	if (request->body == FORWARD_DROP)
		what.dropped = dropped_spans(request->bytes);
	if (flight != NULL) {
		*flight = (struct flight){
			.service = service, .session = session, .number = request->number};
		status = ingest_offer(service->config.ingest, &what, on_committed, flight);
	}
	if (status < 0) {
		free(flight);
		fail_session(session, GRPC_RESOURCE_EXHAUSTED,
			"the collector has no room at present; try again");
		return;
	}
	*session->flights_end = flight;
	session->flights_end = &flight->next;
	session->last_flight = flight;
	session->taken = request->number;
	service->offered++;
	service->counts.records++;
	sender_read(&session->sender);
}

/* Stored already: answered with what is on its way before it. */
static void pass_over(struct session *session, uint64_t number)
{
	session->service->counts.duplicates++;
	session->taken = number;
	if (session->last_flight != NULL) {
		session->last_flight->number = number;
		return;
	}
	session->durable = number;
	session->dirty = true;
	forward_service_flush(session->service);
}

static void on_record(struct session *session, const struct forward_request *request)
{
	struct forward_service *service = session->service;
	int seen = 0;

	if (request->number != session->taken + 1) {
		fail_session(session, GRPC_FAILED_PRECONDITION, "there is a gap in the numbers");
		return;
	}
	if (!name_fits(request->peer.name) || !name_fits(request->peer.agent) ||
		(request->body != FORWARD_BATCH && request->bytes.length > WIRE_SPAN_LIMIT)) {
		fail_session(session, GRPC_INVALID_ARGUMENT, "a name or a body is too long");
		return;
	}
	/* A goodbye makes nobody known. */
	if (request->body != FORWARD_GOODBYE)
		seen = clients_forwarded(service->config.clients, request->client,
			(uint8_t)(request->share + LOG_SHARE_WHOLE), request->sequence,
			request->service, request->pid, clock_realtime_ns(service->config.clock));
	if (seen < 0)
		fail_session(session, GRPC_RESOURCE_EXHAUSTED, "the collector is out of memory");
	else if (seen > 0)
		pass_over(session, request->number);
	else
		offer(session, request);
}

/* ---- Hello ----------------------------------------------------------------- */

static void on_hello(struct session *session, const struct forward_hello *hello)
{
	struct forward_service *service = session->service;

	if (hello->version > PROTOCOL_VERSION) {
		fail_session(session, GRPC_UNIMPLEMENTED, "version 1 of Forward is spoken here");
		return;
	}
	for (struct sender *sender = service->senders.first; sender; sender = sender->next) {
		struct session *at = (struct session *)sender;

		if (at != session &&
			(at->state == SESSION_TAKING || at->state == SESSION_GREETING) &&
			memcmp(at->agent, hello->agent.data, sizeof(at->agent)) == 0) {
			end_session(
				at, GRPC_ABORTED, "a newer connection of this agent took over", 0);
			break;
		}
	}
	memcpy(session->agent, hello->agent.data, sizeof(session->agent));
	session->state = SESSION_GREETING;
	session->offered = service->offered;
	welcome(session);
}

/* ---- Callbacks of the call ------------------------------------------------- */

static void on_message(struct call *call, struct slice message, uint64_t now_ms)
{
	struct session *session = call->context;
	struct forward_request request;
	int status;

	(void)now_ms;
	if (session->state == SESSION_OVER)
		return;
	status = forward_request_decode(message, &request);
	if (status < 0) {
		fail_session(session, GRPC_INVALID_ARGUMENT, error_text(status));
		return;
	}
	if ((session->state == SESSION_OPENED) != (request.body == FORWARD_HELLO)) {
		fail_session(session, GRPC_FAILED_PRECONDITION,
			"the first message, and no other, must be hello");
		return;
	}
	if (request.body == FORWARD_HELLO) {
		on_hello(session, &request.hello);
		return;
	}
	if (!sender_receive(&session->sender, message.length)) {
		fail_session(session, GRPC_RESOURCE_EXHAUSTED, "a record was sent without credit");
		return;
	}
	if (request.body == FORWARD_FORGET)
		clients_forget(session->service->config.clients, request.client);
	else
		on_record(session, &request);
}

static void on_end(struct call *call, uint64_t now_ms)
{
	(void)now_ms;
	end_session(call->context, GRPC_OK, "", 0);
}

static void on_closed(struct call *call)
{
	struct session *session = call->context;

	for (struct flight *flight = session->flights; flight != NULL; flight = flight->next)
		flight->session = NULL;
	sender_done(&session->sender);
	free(session);
}

static const struct call_ops forward_call_ops = {
	.on_message = on_message, .on_end = on_end, .on_closed = on_closed};

static enum grpc_status open_session(void *context, struct call *call,
	const struct call_header *header, uint64_t now_ms, const char **ret_message)
{
	struct forward_service *service = context;
	struct session *session = calloc(1, sizeof(*session));

	(void)header;
	(void)now_ms;
	if (session == NULL) {
		*ret_message = "the collector is out of memory";
		return GRPC_RESOURCE_EXHAUSTED;
	}
	session->service = service;
	session->flights_end = &session->flights;
	sender_init(&session->sender, &service->senders, call);
	call->context = session;
	return GRPC_OK;
}

/* ---- Life ------------------------------------------------------------------ */

int forward_service_new(const struct forward_service_config *config, struct forward_service **ret)
{
	struct forward_service *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return -ENOMEM;
	service->config = *config;
	service->senders.ingest = config->ingest;
	service->senders.clock = config->clock;
	*ret = service;
	return 0;
}

void forward_service_free(struct forward_service *service)
{
	free(service);
}

void forward_service_method(struct forward_service *service, struct service_method *ret_method)
{
	*ret_method = (struct service_method){
		.path = WIRE_METHOD_FORWARD,
		.right = ACCESS_FORWARD,
		.ops = &forward_call_ops,
		.open = open_session,
		.service = service,
	};
}

void forward_service_pause(struct forward_service *service, bool paused)
{
	senders_pause(&service->senders, paused);
}

void forward_service_count(
	const struct forward_service *service, struct forward_service_counts *ret)
{
	*ret = service->counts;
	ret->sessions = service->senders.count;
}
