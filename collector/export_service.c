/*
 * Export sessions.
 *
 * The happy path: open → hello (welcome with the watermark) → batches and drops
 * in order, each offered to the ingest → on_committed moves the client's
 * watermark → export_service_flush sends one acknowledgement for all of a commit
 * → goodbye, offered too; when it is durable it is answered and the call ends.
 *
 * Failures: a message that doesn't decode or isn't the next number ends the call
 * and the connection. A number that came before is counted and answered by the
 * watermark. A newer hello ends the older session. No room in the ingest, or more
 * than the credit: RESOURCE_EXHAUSTED. A session that goes away leaves its client
 * until the last of its messages is durable.
 */
#include "export_service.h"

#include "export_region.h"
#include "ids.h"
#include "senders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_BUCKETS 1024u
#define REFUSALS_PER_RESPONSE 64
#define REFUSALS_WITH_FENCE 32 /* that have a text: together they stay below 64 KiB */
#define REFUSAL_TEXT_BYTES 256
#define FENCE_BYTES_MAX (40 * 1024)
#define RESPONSE_BYTES_MAX \
	(4096 + FENCE_BYTES_MAX + REFUSALS_PER_RESPONSE * (REFUSAL_TEXT_BYTES + 32))
#define RETRY_AFTER_MS 500
#define BUSY_RETRY_MS 50
#define PROTOCOL_VERSION 1

enum session_state {
	SESSION_OPENED,	   /* waits for hello → SENDING, FORGOTTEN */
	SESSION_SENDING,   /* takes batches and drops → LEAVING */
	SESSION_FORGOTTEN, /* the client was told to take a new uuid; takes nothing */
	SESSION_LEAVING,   /* goodbye is on its way to the log */
	SESSION_OVER,	   /* the call is finished; on_closed will come */
};

struct session {
	struct sender sender; /* first */
	enum session_state state;
	struct export_service *service;
	struct client *client;	/* from hello on; NULL when another session took it */
	uint64_t told_sequence; /* the last durable_sequence that was sent */
	uint64_t told_refusal;	/* refusals up to here were sent */
	bool dirty;		/* something is to be sent */
	bool left;		/* it said goodbye */
};

/* Someone with messages on their way, or a session. */
struct client {
	struct client *next; /* in its bucket */
	uint8_t id[16];
	uint64_t accepted; /* the highest number taken */
	uint64_t emitted;  /* as it said last */
	uint64_t durable;
	uint32_t in_flight; /* messages */
	bool goodbye;	    /* is durable */
	struct session *session;
	struct export_service *service;
};

struct export_service {
	struct export_config config;
	struct client *buckets[CLIENT_BUCKETS];
	struct senders senders;
	struct export_counts counts;
	uint8_t response[RESPONSE_BYTES_MAX];
};

/* ---- Clients ------------------------------------------------------------- */

static struct client **bucket_of(struct export_service *service, const uint8_t id[16])
{
	uint64_t half;

	memcpy(&half, id, sizeof(half));
	return &service->buckets[id_mix(half) % CLIENT_BUCKETS];
}

static struct client *find_client(struct export_service *service, const uint8_t id[16])
{
	struct client *client = *bucket_of(service, id);

	while (client != NULL && memcmp(client->id, id, sizeof(client->id)) != 0)
		client = client->next;
	return client;
}

static struct client *add_client(struct export_service *service, const uint8_t id[16])
{
	struct client **bucket = bucket_of(service, id);
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	memcpy(client->id, id, sizeof(client->id));
	client->service = service;
	client->next = *bucket;
	*bucket = client;
	return client;
}

/* Forgets a client that nothing points to any more. */
static void release_client(struct client *client)
{
	struct client **at = bucket_of(client->service, client->id);

	if (client->session != NULL || client->in_flight > 0)
		return;
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	free(client);
}

/* ---- Responses ----------------------------------------------------------- */

struct refusal_list {
	struct refusal items[CLIENTS_REFUSALS_MAX];
	char texts[REFUSALS_PER_RESPONSE][REFUSAL_TEXT_BYTES];
	size_t count;
	size_t limit;	   /* at most CLIENTS_REFUSALS_MAX */
	size_t text_limit; /* those after are without text */
};

static int on_refusal(void *context, const struct client_refusal *refusal)
{
	struct refusal_list *list = context;
	struct refusal *item = &list->items[list->count];

	if (list->count == list->limit)
		return 1;
	*item = (struct refusal){.sequence = refusal->sequence, .code = refusal->code};
	if (list->count < list->text_limit) {
		char *text = list->texts[list->count];

		snprintf(text, REFUSAL_TEXT_BYTES, "%s", refusal->message);
		item->message = slice_of_text(text);
	}
	list->count++;
	return 0;
}

static void end_session(struct session *session, enum grpc_status status, const char *message,
	uint32_t retry_after_ms, bool shut);

/*
 * Sends a response with the watermark, credit and refusals; in several when there
 * are many refusals. A number is told as durable only together with, or after,
 * the refusals up to it. Negative when the session is over for lack of memory;
 * it may be gone then.
 */
static int send_response(struct session *session, const struct welcome *welcome, bool goodbye)
{
	struct export_service *service = session->service;
	struct client *client = session->client;
	struct refusal_list list = {
		.limit = REFUSALS_PER_RESPONSE, .text_limit = REFUSALS_PER_RESPONSE};
	bool more;

	do {
		struct writer writer = writer_of(service->response, sizeof(service->response));
		struct export_response response = {.goodbye = goodbye};
		int status;

		list.count = 0;
		more = clients_refusals(service->config.clients, client->id, session->told_refusal,
			       on_refusal, &list) > 0;
		if (list.count > 0)
			session->told_refusal = list.items[list.count - 1].sequence;
		response.durable_sequence = more ? session->told_refusal : client->durable;
		response.credit_bytes = sender_grant(&session->sender);
		response.refusals = list.items;
		response.refusals_count = list.count;
		response.has_welcome = welcome != NULL;
		if (welcome != NULL)
			response.welcome = *welcome;
		export_response_encode(&writer, &response);
		status = writer.error != 0
				 ? writer.error
				 : call_send(session->sender.call,
					   slice_of(service->response, writer_length(&writer)),
					   true);
		if (status < 0) {
			end_session(session, GRPC_UNAVAILABLE, error_text(status), RETRY_AFTER_MS,
				true);
			return status;
		}
		session->told_sequence = response.durable_sequence;
		welcome = NULL;
	} while (more);
	session->dirty = false;
	return 0;
}

/* ---- Ends ---------------------------------------------------------------- */

/* Takes the client from a session, for another session or because it is over. */
static void detach_client(struct session *session)
{
	struct client *client = session->client;
	uint8_t id[16];

	if (client == NULL)
		return;
	session->client = NULL;
	client->session = NULL;
	clients_connected(session->service->config.clients, client->id, false);
	memcpy(id, client->id, sizeof(id));
	release_client(client);
	if (session->service->config.regions != NULL && !session->left)
		regions_on_ended(session->service->config.regions, id);
}

/* Ends the call; with `shut` its connection too. */
static void end_session(struct session *session, enum grpc_status status, const char *message,
	uint32_t retry_after_ms, bool shut)
{
	struct connection *connection = session->sender.call->connection;

	if (session->state == SESSION_OVER)
		return;
	session->state = SESSION_OVER;
	detach_client(session);
	call_finish(session->sender.call, status, message, retry_after_ms);
	if (shut)
		connection_shut(connection, status, message, retry_after_ms);
}

/* ---- What became durable -------------------------------------------------- */

static void on_committed(void *context, uint64_t sequence, int status, int refused)
{
	struct client *client = context;

	(void)refused; /* the table of clients has it */
	client->in_flight--;
	if (status == 0) {
		if (sequence > client->durable)
			client->durable = sequence;
		if (client->session != NULL)
			client->session->dirty = true;
	}
	release_client(client);
}

static void on_goodbye_committed(void *context, uint64_t sequence, int status, int refused)
{
	struct client *client = context;

	client->goodbye |= status == 0;
	on_committed(context, sequence, status, refused);
}

void export_service_flush(struct export_service *service)
{
	struct sender *next;

	for (struct sender *sender = service->senders.first; sender != NULL; sender = next) {
		struct session *session = (struct session *)sender;

		next = sender->next;
		if (session->client == NULL || session->state == SESSION_OVER)
			continue;
		if (session->client->goodbye && session->state == SESSION_LEAVING) {
			if (send_response(session, NULL, true) == 0)
				end_session(session, GRPC_OK, "", 0, false);
			continue;
		}
		sender_read(sender);
		if (session->dirty || sender_wants_credit(sender))
			(void)send_response(session, NULL, false);
	}
}

/* ---- What comes in -------------------------------------------------------- */

static void fill_offer(struct session *session, const struct export_request *request,
	struct ingest_offer *ret_offer)
{
	const struct peer *peer = &session->sender.call->peer;
	size_t name_length = strlen(peer->name);

	*ret_offer = (struct ingest_offer){
		.format = LOG_FORMAT_WAFT_V1,
		.peer = {.known = peer->known,
			.pid = peer->pid,
			.uid = peer->uid,
			.name = name_length > 0 ? peer->name : NULL,
			.name_length = name_length},
		.sequence = request->sequence,
		.emitted = request->emitted,
		.emitted_before = session->client->emitted,
		.account = session->sender.account,
	};
	memcpy(ret_offer->client, session->client->id, sizeof(ret_offer->client));
}

/* Offers what was checked, and counts it as accepted. */
static void offer(struct session *session, const struct ingest_offer *what,
	ingest_on_committed when_committed)
{
	struct export_service *service = session->service;
	struct client *client = session->client;
	int status = ingest_offer(service->config.ingest, what, when_committed, client);

	if (status == 0) {
		client->in_flight++;
		if (what->sequence > client->accepted)
			client->accepted = what->sequence;
		if (what->emitted > client->emitted)
			client->emitted = what->emitted;
		sender_read(&session->sender);
		return;
	}
	service->counts.stalled++;
	end_session(session, GRPC_RESOURCE_EXHAUSTED,
		"the collector has no room at present; try again", RETRY_AFTER_MS, true);
}

/* Whether a batch or drop is the next one; else it was answered. */
static bool is_next(struct session *session, const struct export_request *request)
{
	struct export_service *service = session->service;
	struct client *client = session->client;
	char message[160];

	if (request->sequence == client->accepted + 1)
		return true;
	if (request->sequence <= client->accepted) {
		service->counts.duplicates++;
		clients_duplicate(service->config.clients, client->id);
		/* Those that are not durable yet are answered when they are. */
		session->dirty |= request->sequence <= client->durable;
		if (session->dirty)
			(void)send_response(session, NULL, false);
		return false;
	}
	service->counts.gaps++;
	snprintf(message, sizeof(message), "sequence %llu came after %llu: there is a gap",
		(unsigned long long)request->sequence, (unsigned long long)client->accepted);
	end_session(session, GRPC_FAILED_PRECONDITION, message, 0, true);
	return false;
}

static void on_batch(struct session *session, const struct export_request *request)
{
	struct ingest_offer what;

	if (!is_next(session, request))
		return;
	fill_offer(session, request, &what);
	what.kind = LOG_BATCH;
	what.bytes = request->batch;
	offer(session, &what, on_committed);
}

static void on_drop(
	struct session *session, const struct export_request *request, struct slice body)
{
	struct ingest_offer what;

	if (!is_next(session, request))
		return;
	fill_offer(session, request, &what);
	what.kind = LOG_DROP;
	what.dropped =
		request->drop.spans > UINT32_MAX ? UINT32_MAX : (uint32_t)request->drop.spans;
	what.bytes = body;
	offer(session, &what, on_committed);
}

static void on_goodbye(
	struct session *session, const struct export_request *request, struct slice body)
{
	struct ingest_offer what;

	fill_offer(session, request, &what);
	what.kind = LOG_GOODBYE;
	/* The record stands behind all that the client sent. */
	what.sequence = session->client->accepted;
	if (what.emitted == 0)
		what.emitted = request->goodbye.emitted;
	what.bytes = body;
	session->state = SESSION_LEAVING;
	session->left = true;
	if (session->service->config.regions != NULL)
		regions_on_goodbye(session->service->config.regions, session->client->id);
	offer(session, &what, on_goodbye_committed);
}

static void on_later_message(
	struct session *session, const struct export_request *request, size_t length_bytes)
{
	uint8_t buffer[256];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	bool overdrawn = !sender_receive(&session->sender, length_bytes);

	switch (request->body) {
	case EXPORT_BATCH:
		if (overdrawn) {
			session->service->counts.overdrawn++;
			end_session(session, GRPC_RESOURCE_EXHAUSTED,
				"a batch was sent without credit", RETRY_AFTER_MS, true);
			return;
		}
		on_batch(session, request);
		return;
	case EXPORT_DROP:
		writer_field_bytes(&writer, TAG_DROP_REASON,
			slice_of(request->drop.reason.data, request->drop.reason.length > 64
								    ? 64
								    : request->drop.reason.length));
		writer_field_varint(&writer, TAG_DROP_SPANS, request->drop.spans);
		on_drop(session, request, slice_of(buffer, writer_length(&writer)));
		return;
	case EXPORT_GOODBYE:
		writer_field_varint(&writer, TAG_GOODBYE_EMITTED, request->goodbye.emitted);
		writer_field_varint(&writer, TAG_GOODBYE_UNKNOWN, request->goodbye.unknown);
		writer_field_varint(&writer, TAG_GOODBYE_NOT_SAMPLED, request->goodbye.not_sampled);
		on_goodbye(session, request, slice_of(buffer, writer_length(&writer)));
		return;
	case EXPORT_HELLO:
	default:
		end_session(session, GRPC_INVALID_ARGUMENT, "a second hello", 0, true);
		return;
	}
}

/* ---- Hello ---------------------------------------------------------------- */

/* The client of a hello, taken from an older session if there is one. */
static struct client *take_client(struct session *session, const struct hello *hello)
{
	struct export_service *service = session->service;
	struct client *client = find_client(service, hello->client);

	if (client == NULL)
		client = add_client(service, hello->client);
	if (client == NULL)
		return NULL;
	if (client->session != NULL) {
		struct session *older = client->session;

		service->counts.replaced++;
		/* Without a client first, so that its end doesn't release it. */
		older->client = NULL;
		client->session = session;
		end_session(older, GRPC_ABORTED, "a newer connection of this client took over", 0,
			true);
	}
	client->session = session;
	return client;
}

static void fill_welcome(
	const struct export_service *service, bool known, bool forgotten, struct welcome *ret)
{
	*ret = (struct welcome){
		.known = known,
		.forgotten = forgotten,
		.batch_limit_bytes = WIRE_BATCH_LIMIT,
		.span_limit_bytes = WIRE_SPAN_LIMIT,
		.collector = slice_of_text("waft-collectord " WAFT_VERSION_TEXT),
		.collector_id = slice_of(service->config.store_id, 16),
	};
}

/* Says what was taken of a client that was salvaged; it has to take a new uuid. */
static void send_fence(
	struct session *session, const struct hello *hello, struct bytes *fence, uint64_t durable)
{
	struct export_service *service = session->service;
	/* All of them: nothing more is said to this client. */
	struct refusal_list list = {
		.limit = CLIENTS_REFUSALS_MAX, .text_limit = REFUSALS_WITH_FENCE};
	struct welcome welcome;
	struct writer writer = writer_of(service->response, sizeof(service->response));
	struct export_response response = {.durable_sequence = durable, .has_welcome = true};
	int status;

	fill_welcome(service, true, true, &welcome);
	welcome.fence = slice_of(fence->data, fence->length);
	response.welcome = welcome;
	(void)clients_refusals(service->config.clients, hello->client, hello->acknowledged_sequence,
		on_refusal, &list);
	response.refusals = list.items;
	response.refusals_count = list.count;
	export_response_encode(&writer, &response);
	status = writer.error != 0
			 ? writer.error
			 : call_send(session->sender.call,
				   slice_of(service->response, writer_length(&writer)), true);
	bytes_done(fence);
	service->counts.fenced++;
	session->state = SESSION_FORGOTTEN;
	if (status < 0)
		end_session(session, GRPC_UNAVAILABLE, error_text(status), RETRY_AFTER_MS, true);
}

/* Whether the hello is that of a client which was salvaged, or is being; then it was
 * answered. */
static bool is_fenced(struct session *session, const struct hello *hello)
{
	struct export_service *service = session->service;
	struct client_info info = {0};
	struct bytes fence = {0};
	int fenced;

	if (service->config.regions != NULL &&
		regions_busy(service->config.regions, hello->client)) {
		end_session(session, GRPC_UNAVAILABLE,
			"what this client left is being stored; try again", BUSY_RETRY_MS, true);
		return true;
	}
	fenced = clients_fence(service->config.clients, hello->client, &fence);
	if (fenced == 0)
		return false;
	if (fenced < 0 || clients_get(service->config.clients, hello->client, &info) < 0) {
		bytes_done(&fence);
		end_session(session, GRPC_RESOURCE_EXHAUSTED, "the collector is out of memory",
			RETRY_AFTER_MS, true);
		return true;
	}
	send_fence(session, hello, &fence, info.sequence);
	return true;
}

static void on_hello(struct session *session, const struct hello *hello)
{
	struct export_service *service = session->service;
	struct client_info info;
	struct welcome welcome;
	uint64_t durable = 0;
	struct regions *regions = service->config.regions;
	bool unasked;
	int region = export_region_take(session->sender.call, regions, hello, &unasked);
	bool known = clients_get(service->config.clients, hello->client, &info) == 0;
	bool forgotten = !known && hello->acknowledged_sequence > 0;

	service->counts.hellos++;
	service->counts.unasked += unasked;
	if (hello->version > PROTOCOL_VERSION) {
		end_session(session, GRPC_UNIMPLEMENTED, "version 1 of the protocol is spoken here",
			0, true);
		export_region_close(region);
		return;
	}
	if (is_fenced(session, hello)) {
		export_region_close(region);
		return;
	}
	session->client = take_client(session, hello);
	if (session->client == NULL ||
		(!forgotten && clients_hello(service->config.clients, hello->client, hello->service,
				       hello->pid, hello->acknowledged_sequence,
				       clock_realtime_ns(service->config.clock), &durable) < 0)) {
		end_session(session, GRPC_RESOURCE_EXHAUSTED, "the collector is out of memory",
			RETRY_AFTER_MS, true);
		export_region_close(region);
		return;
	}
	clients_connected(service->config.clients, hello->client, true);
	session->client->durable = durable;
	if (session->client->accepted < durable)
		session->client->accepted = durable;
	if (known && session->client->emitted < info.counts.emitted)
		session->client->emitted = info.counts.emitted;
	session->told_refusal = hello->acknowledged_sequence;
	session->state = forgotten ? SESSION_FORGOTTEN : SESSION_SENDING;
	service->counts.forgotten += forgotten;
	/* A client that takes a new uuid hands it over again. */
	if (forgotten)
		export_region_close(region);
	else
		export_region_hold(session->sender.call, regions, hello, region);
	sender_read(&session->sender);
	fill_welcome(service, known, forgotten, &welcome);
	(void)send_response(session, &welcome, false);
}

/* ---- Callbacks of the call ------------------------------------------------ */

static void on_message(struct call *call, struct slice message, uint64_t now_ms)
{
	struct session *session = call->context;
	struct export_request request;
	int status;

	(void)now_ms;
	if (session->state == SESSION_OVER)
		return;
	status = export_request_decode(message, &request);
	if (status < 0) {
		end_session(session, GRPC_INVALID_ARGUMENT, error_text(status), 0, true);
		return;
	}
	switch (session->state) {
	case SESSION_OPENED:
		if (request.body == EXPORT_HELLO)
			on_hello(session, &request.hello);
		else
			end_session(session, GRPC_FAILED_PRECONDITION,
				"the first message must be hello", 0, true);
		break;
	case SESSION_SENDING:
		on_later_message(session, &request, message.length);
		break;
	case SESSION_FORGOTTEN:
		end_session(session, GRPC_FAILED_PRECONDITION,
			"this client was forgotten: take a new uuid", 0, true);
		break;
	case SESSION_LEAVING:
		end_session(session, GRPC_FAILED_PRECONDITION, "a message after goodbye", 0, true);
		break;
	case SESSION_OVER:
	default:
		break;
	}
}

static void on_end(struct call *call, uint64_t now_ms)
{
	struct session *session = call->context;

	(void)now_ms;
	/* After a goodbye the answer is still to come. */
	if (session->state != SESSION_LEAVING)
		end_session(session, GRPC_OK, "", 0, false);
}

static void on_closed(struct call *call)
{
	struct session *session = call->context;

	session->state = SESSION_OVER;
	detach_client(session);
	sender_done(&session->sender);
	free(session);
}

static const struct call_ops export_call_ops = {
	.on_message = on_message, .on_end = on_end, .on_closed = on_closed};

static enum grpc_status open_session(void *context, struct call *call,
	const struct call_header *header, uint64_t now_ms, const char **ret_message)
{
	struct export_service *service = context;
	struct session *session;

	(void)header;
	(void)now_ms;
	for (struct sender *at = service->senders.first; at != NULL; at = at->next) {
		if (at->call->connection == call->connection) {
			*ret_message = "there is an Export on this connection already";
			return GRPC_FAILED_PRECONDITION;
		}
	}
	session = calloc(1, sizeof(*session));
	if (session == NULL) {
		*ret_message = "the collector is out of memory";
		return GRPC_RESOURCE_EXHAUSTED;
	}
	session->service = service;
	sender_init(&session->sender, &service->senders, call);
	call->context = session;
	return GRPC_OK;
}

/* ---- Life ----------------------------------------------------------------- */

int export_service_new(const struct export_config *config, struct export_service **ret)
{
	struct export_service *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return -ENOMEM;
	service->config = *config;
	service->senders.ingest = config->ingest;
	service->senders.clock = config->clock;
	*ret = service;
	return 0;
}

void export_service_free(struct export_service *service)
{
	if (service == NULL)
		return;
	for (size_t i = 0; i < CLIENT_BUCKETS; i++) {
		while (service->buckets[i] != NULL) {
			struct client *client = service->buckets[i];

			service->buckets[i] = client->next;
			free(client);
		}
	}
	free(service);
}

void export_service_method(struct export_service *service, struct service_method *ret_method)
{
	*ret_method = (struct service_method){
		.path = WIRE_METHOD_EXPORT,
		.right = ACCESS_SEND,
		.ops = &export_call_ops,
		.open = open_session,
		.service = service,
	};
}

void export_service_pause(struct export_service *service, bool paused)
{
	senders_pause(&service->senders, paused);
}

void export_service_shut(struct export_service *service, const char *message)
{
	/* A session stays in the list until its connection reaps it; ended ones are
	 * passed over, so every round ends at least one. */
	for (struct sender *sender = service->senders.first; sender != NULL;) {
		struct session *session = (struct session *)sender;

		if (session->state == SESSION_OVER) {
			sender = sender->next;
			continue;
		}
		end_session(session, GRPC_UNAVAILABLE, message, RETRY_AFTER_MS, true);
		sender = service->senders.first;
	}
}

void export_service_count(const struct export_service *service, struct export_counts *ret)
{
	*ret = service->counts;
	ret->sessions = service->senders.count;
}

bool export_service_knows(const struct export_service *service, const uint8_t client[16])
{
	return find_client((struct export_service *)(uintptr_t)service, client) != NULL;
}

void export_service_end(struct export_service *service, const uint8_t client[16])
{
	struct client *found = find_client(service, client);

	if (found != NULL && found->session != NULL)
		end_session(
			found->session, GRPC_ABORTED, "the client's process has ended", 0, true);
}

bool export_service_connected(const struct export_service *service, const uint8_t client[16])
{
	const struct client *found =
		find_client((struct export_service *)(uintptr_t)service, client);

	return found != NULL && found->session != NULL;
}
