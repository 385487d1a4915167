/*
 * Unary queries.
 *
 * The happy path: open → the request's MESSAGE is unpacked → a view is opened →
 * the work runs on the pool (run_query) → after_query sends the answer, as far as
 * credit goes at once, and STATUS.
 *
 * Failures: a bad request, no right, too many: STATUS at once. A call that ends
 * early (deadline, CANCEL, lost connection) leaves its query without a call; the
 * work notices and after_query frees it. A view that was overtaken by the log's
 * trimming, or by the inbox, is opened anew some times.
 */
#include "query_service.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 64u
#define TRIES 8
#define READERS_MAX 8
/* Of answers that wait for their readers, together. */
#define SENDING_BYTES_MAX ((size_t)64 << 20)

enum query_state {
	QUERY_OPENED,  /* waits for its request → WAITING, or the end */
	QUERY_WAITING, /* in line → RUNNING */
	QUERY_RUNNING, /* on the pool → SENDING, or the end */
	QUERY_SENDING, /* messages of the answer wait for credit */
};

enum query_kind {
	QUERY_LIST,
	QUERY_GET,
	QUERY_STATS,
	QUERY_OPEN_SPANS,
	QUERY_HEALTH,
	QUERY_STATUS,
	QUERY_KINDS
};

struct query {
	enum query_state state;
	enum query_kind kind;
	struct query_service *service;
	struct call *call; /* NULL: over */
	uint32_t stream_id;
	ProtobufCMessage *request;
	struct live_view *view;
	struct reader *reader;
	struct region_view *regions; /* of GET and OPEN_SPANS */
	size_t region_count;
	struct answer answer;
	int tries;
	atomic_bool cancelled;
	uint64_t took_ns;
	uint64_t bad_lines; /* that the work has passed over */
	uv_work_t work;
	struct query *next; /* in line */
};

struct query_service {
	struct query_service_config config;
	struct query *first; /* in line */
	struct query *last;
	struct reader *readers[READERS_MAX]; /* that nobody uses */
	size_t reader_count;
	struct query_counts counts;
	size_t sending_bytes;
	bool closing;
	void (*on_closed)(void *context);
	void *closed_context;
};

static const char *const method_paths[QUERY_KINDS] = {
	[QUERY_LIST] = WIRE_METHOD_LIST_TRACES,
	[QUERY_GET] = WIRE_METHOD_GET_TRACE,
	[QUERY_STATS] = WIRE_METHOD_STATS,
	[QUERY_HEALTH] = WIRE_METHOD_HEALTH,
	[QUERY_STATUS] = WIRE_METHOD_STATUS,
	[QUERY_OPEN_SPANS] = WIRE_METHOD_OPEN_SPANS,
};

/* ---- The end of a query -------------------------------------------------------- */

static void release_reader(struct query *query)
{
	struct query_service *service = query->service;

	if (query->reader == NULL)
		return;
	if (service->reader_count < READERS_MAX && !service->closing)
		service->readers[service->reader_count++] = query->reader;
	else
		reader_close(query->reader);
	query->reader = NULL;
}

static void free_query(struct query *query)
{
	release_reader(query);
	live_view_close(query->view);
	regions_views_free(query->regions, query->region_count);
	answer_done(&query->answer);
	if (query->request != NULL)
		protobuf_c_message_free_unpacked(query->request, NULL);
	free(query);
}

static void maybe_finish(struct query_service *service)
{
	if (!service->closing || service->counts.running > 0)
		return;
	for (size_t i = 0; i < service->reader_count; i++)
		reader_close(service->readers[i]);
	service->on_closed(service->closed_context);
	free(service);
}

/* Sends what it may of the answer. Whether that was all: then the call is over. */
static bool send_frames(struct query *query)
{
	struct query_service *service = query->service;
	struct answer *answer = &query->answer;
	struct call *call = query->call;

	while (answer->frames != NULL && call_writable(call)) {
		size_t length = 0;
		uint8_t *frame = answer_take_frame(answer, &length);

		if (call_send_frame(call, frame, length) < 0)
			break;
	}
	if (answer->frames != NULL &&
		service->sending_bytes + answer->frame_bytes <= SENDING_BYTES_MAX)
		return false;
	if (answer->frames != NULL)
		answer_fail(answer, GRPC_RESOURCE_EXHAUSTED,
			"the answer needs credit or a peer that reads");
	call->context = NULL;
	service->counts.failed += answer->status != GRPC_OK;
	call_finish(call, answer->status, answer->message, 0);
	return true;
}

/* Sends what the query came to, and frees it when that is done. */
static void send_answer(struct query *query)
{
	if (send_frames(query)) {
		free_query(query);
		return;
	}
	/* Nothing but the answer is needed any more. */
	release_reader(query);
	live_view_close(query->view);
	query->view = NULL;
	query->state = QUERY_SENDING;
	query->service->sending_bytes += query->answer.frame_bytes;
}

static void on_writable(struct call *call, uint64_t now_ms)
{
	struct query *query = call->context;

	(void)now_ms;
	if (query == NULL || query->state != QUERY_SENDING)
		return;
	query->service->sending_bytes -= query->answer.frame_bytes;
	if (send_frames(query))
		free_query(query);
	else
		query->service->sending_bytes += query->answer.frame_bytes;
}

/* ---- The work ------------------------------------------------------------------- */

static int open_reader(struct query *query)
{
	struct query_service *service = query->service;
	const struct reader_config config = {
		.disk = service->config.disk,
		.directory = service->config.store,
		.live = live_view_source(query->view),
	};

	if (query->reader != NULL) {
		reader_set_live(query->reader, config.live);
		return 0;
	}
	return reader_open(&config, &query->reader);
}

/* On the pool: nothing of the loop is touched. */
static void run_query(uv_work_t *work)
{
	struct query *query = work->data;
	uint64_t begin_ns = uv_hrtime();
	int status = open_reader(query);
	const char *damaged;
	uint64_t bad_lines;

	if (status < 0) {
		answer_fail(&query->answer, error_to_grpc(status), "can't read the store: %s",
			error_text(status));
		return;
	}
	bad_lines = reader_report(query->reader)->bad_lines;
	switch (query->kind) {
	case QUERY_LIST:
		answer_list(query->reader, (const void *)query->request, query->stream_id,
			&query->answer);
		break;
	case QUERY_GET:
		answer_get(query->reader, (const void *)query->request, query->regions,
			query->region_count, query->stream_id, &query->answer);
		break;
	case QUERY_OPEN_SPANS:
		answer_open_spans((const void *)query->request, query->regions, query->region_count,
			query->stream_id, &query->answer);
		break;
	case QUERY_STATS:
		answer_stats(query->reader, (const void *)query->request, query->stream_id,
			&query->answer);
		break;
	case QUERY_HEALTH:
	case QUERY_STATUS:
	case QUERY_KINDS:
	default:
		break;
	}
	query->bad_lines = reader_report(query->reader)->bad_lines - bad_lines;
	damaged = reader_found_damage(query->reader);
	if (damaged != NULL)
		live_on_damage(query->service->config.live, damaged);
	query->took_ns = uv_hrtime() - begin_ns;
}

static void start_query(struct query *query);

static void start_waiting(struct query_service *service)
{
	while (service->first != NULL && service->counts.running < service->config.max_queries) {
		struct query *query = service->first;

		service->first = query->next;
		if (service->first == NULL)
			service->last = NULL;
		service->counts.waiting--;
		start_query(query);
	}
}

static void after_query(uv_work_t *work, int status)
{
	struct query *query = work->data;
	struct query_service *service = query->service;

	(void)status;
	service->counts.running--;
	service->counts.bad_lines += query->bad_lines;
	query->bad_lines = 0;
	if (query->took_ns > service->counts.longest_ns)
		service->counts.longest_ns = query->took_ns;
	if (query->call != NULL && query->answer.stale && ++query->tries < TRIES) {
		answer_done(&query->answer);
		live_view_close(query->view);
		query->view = NULL;
		start_query(query);
		return;
	}
	if (query->call != NULL)
		send_answer(query);
	else
		free_query(query);
	start_waiting(service);
	maybe_finish(service);
}

/* The regions of this moment, for those queries that read them. */
static void take_regions(struct query *query)
{
	const Waft__V1__OpenSpansRequest *request = (const void *)query->request;
	struct regions *regions = query->service->config.regions;

	regions_views_free(query->regions, query->region_count);
	query->regions = NULL;
	query->region_count = 0;
	if (regions == NULL)
		return;
	if (query->kind == QUERY_OPEN_SPANS)
		query->regions = regions_view(regions, slice_of_text(request->service),
			answer_open_spans_from(request), SIZE_MAX, &query->region_count);
	else if (query->kind == QUERY_GET)
		query->regions = regions_view(
			regions, slice_of(NULL, 0), NULL, SIZE_MAX, &query->region_count);
}

/* Opens a view and gives the query to the pool; or ends it. */
static void start_query(struct query *query)
{
	struct query_service *service = query->service;
	int status = live_view_open(service->config.live, &query->cancelled, &query->view);

	if (query->reader == NULL && service->reader_count > 0)
		query->reader = service->readers[--service->reader_count];
	take_regions(query);
	query->work.data = query;
	query->state = QUERY_RUNNING;
	if (status == 0)
		status = uv_queue_work(service->config.loop, &query->work, run_query, after_query);
	if (status == 0) {
		service->counts.running++;
		return;
	}
	query->call->context = NULL;
	call_finish(query->call, GRPC_RESOURCE_EXHAUSTED,
		"the collector can't take a query at present", 1000);
	free_query(query);
}

/* ---- Calls ------------------------------------------------------------------------ */

static void stand_in_line(struct query *query)
{
	struct query_service *service = query->service;

	query->state = QUERY_WAITING;
	service->counts.waiting++;
	if (service->last != NULL)
		service->last->next = query;
	else
		service->first = query;
	service->last = query;
}

static void answer_at_once(struct query *query)
{
	const struct query_service_config *config = &query->service->config;

	if (query->kind == QUERY_HEALTH)
		config->health(config->context, query->stream_id, &query->answer);
	else
		config->status(config->context, query->stream_id, &query->answer);
	send_answer(query);
}

static void on_message(struct call *call, struct slice message, uint64_t now_ms)
{
	struct query *query = call->context;
	struct query_service *service;
	const struct rpc_method *method;
	int status;

	(void)now_ms;
	if (query == NULL || query->state != QUERY_OPENED) {
		call_finish(call, GRPC_INVALID_ARGUMENT, "a query is one message", 0);
		return;
	}
	service = query->service;
	service->counts.queries++;
	method = rpc_method_find(slice_of_text(method_paths[query->kind]));
	status = rpc_unpack(method->request, message, &rpc_request_limits, &query->request);
	if (status < 0) {
		call_finish(call, error_to_grpc(status), error_text(status), 0);
		return;
	}
	if (query->kind == QUERY_HEALTH || query->kind == QUERY_STATUS) {
		answer_at_once(query);
	} else if (service->counts.running < service->config.max_queries) {
		start_query(query);
	} else if (service->counts.waiting < WAITING_MAX) {
		stand_in_line(query);
	} else {
		service->counts.refused++;
		call_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many queries are waiting", 1000);
	}
}

static void on_end(struct call *call, uint64_t now_ms)
{
	const struct query *query = call->context;

	(void)now_ms;
	if (query != NULL && query->state == QUERY_OPENED)
		call_finish(call, GRPC_INVALID_ARGUMENT, "the request is missing", 0);
}

static void leave_line(struct query *query)
{
	struct query_service *service = query->service;
	struct query **at = &service->first;
	struct query *before = NULL;

	while (*at != query) {
		before = *at;
		at = &(*at)->next;
	}
	*at = query->next;
	if (service->last == query)
		service->last = before;
	service->counts.waiting--;
}

static void on_closed(struct call *call)
{
	struct query *query = call->context;

	if (query == NULL)
		return;
	query->call = NULL;
	query->service->counts.cancelled++;
	if (query->state == QUERY_RUNNING) {
		atomic_store(&query->cancelled, true);
		(void)uv_cancel((uv_req_t *)&query->work);
		return;
	}
	if (query->state == QUERY_WAITING)
		leave_line(query);
	else if (query->state == QUERY_SENDING)
		query->service->sending_bytes -= query->answer.frame_bytes;
	free_query(query);
}

static const struct call_ops query_call_ops = {.on_message = on_message,
	.on_end = on_end,
	.on_writable = on_writable,
	.on_closed = on_closed};

static enum grpc_status open_query(void *context, struct call *call,
	const struct call_header *header, uint64_t now_ms, const char **ret_message)
{
	struct query_service *service = context;
	struct query *query;

	(void)now_ms;
	query = calloc(1, sizeof(*query));
	if (query == NULL) {
		*ret_message = "the collector is out of memory";
		return GRPC_RESOURCE_EXHAUSTED;
	}
	for (int kind = 0; kind < QUERY_KINDS; kind++)
		if (slice_equal(header->method, slice_of_text(method_paths[kind])))
			query->kind = (enum query_kind)kind;
	query->service = service;
	query->call = call;
	query->stream_id = call->stream_id;
	call->context = query;
	return GRPC_OK;
}

/* ---- Life -------------------------------------------------------------------------- */

int query_service_new(const struct query_service_config *config, struct query_service **ret)
{
	struct query_service *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return -ENOMEM;
	service->config = *config;
	*ret = service;
	return 0;
}

void query_service_close(
	struct query_service *service, void (*on_closed_all)(void *context), void *context)
{
	service->closing = true;
	service->on_closed = on_closed_all;
	service->closed_context = context;
	maybe_finish(service);
}

void query_service_configure(struct query_service *service, uint32_t max_queries)
{
	service->config.max_queries = max_queries;
}

size_t query_service_methods(struct query_service *service, struct service_method *ret_methods)
{
	for (int kind = 0; kind < QUERY_KINDS; kind++)
		ret_methods[kind] = (struct service_method){
			.path = method_paths[kind],
			.right = ACCESS_QUERY,
			.ops = &query_call_ops,
			.open = open_query,
			.service = service,
		};
	return QUERY_KINDS;
}

void query_service_count(const struct query_service *service, struct query_counts *ret)
{
	*ret = service->counts;
}
