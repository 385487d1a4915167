/*
 * backend_rpc.c: reads from a collector by the Query service.
 *
 * Each question opens its own connection, so that one viewer outlives restarts of
 * the collector. Answers come in pages; each page has the timeout to itself.
 */
#include "backend.h"
#include "endpoint.h"
#include "live_list.h"
#include "rpc.h"
#include "rpc_client.h"
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_TRACES = 1000 };

struct rpc_backend {
	struct backend backend;
	char *path;
};

/* What a path is named with; the others have their own in front. */
static const char *scheme_of(const char *where)
{
	return endpoint_is_remote(where) ? "" : "unix:";
}

static int connect_to(struct rpc_backend *rpc, struct rpc_client **ret_client)
{
	char why[WIRE_LINK_WHY_BYTES];
	int result = rpc_client_connect(rpc->path, rpc->backend.timeout_ms, ret_client, why);

	if (result == 0)
		return 0;
	return backend_fail(&rpc->backend, result, "the collector at %s%s does not answer: %s%s",
		scheme_of(rpc->path), rpc->path, why,
		result == -EACCES ? BACKEND_NOT_ALLOWED : BACKEND_NO_COLLECTOR);
}

/* The errno for what a collector said. */
static int public_code(int error)
{
	switch (error) {
	case ERR_STATUS - GRPC_NOT_FOUND:
		return -ENOENT;
	case ERR_STATUS - GRPC_INVALID_ARGUMENT:
		return -EINVAL;
	case ERR_STATUS - GRPC_PERMISSION_DENIED:
	case ERR_STATUS - GRPC_UNAUTHENTICATED:
		return -EACCES;
	case ERR_STATUS - GRPC_DEADLINE_EXCEEDED:
		return -ETIMEDOUT;
	case ERR_STATUS - GRPC_UNIMPLEMENTED:
		return -ENOSYS;
	case ERR_STATUS - GRPC_FAILED_PRECONDITION:
		return -ENOTUNIQ;
	default:
		return error;
	}
}

static int call_failed(struct rpc_backend *rpc, struct rpc_client *client, int error)
{
	int code = public_code(error);

	return backend_fail(&rpc->backend, code, "the collector at %s%s: %s%s",
		scheme_of(rpc->path), rpc->path, rpc_client_problem(client, error),
		code == -EACCES && !endpoint_is_remote(rpc->path) ? BACKEND_NOT_ALLOWED : "");
}

/* ---- Filters ---------------------------------------------------------- */

struct wire_filter {
	Waft__V1__Filter filter;
	Waft__V1__Filter__Attribute *attributes;
	Waft__V1__Filter__Attribute **pointers;
};

static char *text_or_empty(const char *text)
{
	return text != NULL ? (char *)text : (char *)protobuf_c_empty_string;
}

static int wire_filter_init(struct wire_filter *wire, const struct waft_trace_filter *filter)
{
	size_t count = filter->attribute_count;

	*wire = (struct wire_filter){.filter = WAFT__V1__FILTER__INIT};
	wire->filter.since_ns = filter->since_ns > 0 ? (uint64_t)filter->since_ns : 0;
	wire->filter.until_ns = filter->until_ns > 0 ? (uint64_t)filter->until_ns : 0;
	wire->filter.service = text_or_empty(filter->service);
	wire->filter.operation = text_or_empty(filter->operation);
	wire->filter.layer = text_or_empty(filter->layer);
	wire->filter.status = text_or_empty(filter->status);
	wire->filter.grep = text_or_empty(filter->grep);
	wire->filter.errors = filter->errors;
	wire->filter.min_duration_ns = filter->min_duration_ns;
	wire->filter.max_duration_ns = filter->max_duration_ns;
	if (count == 0)
		return 0;
	wire->attributes = calloc(count, sizeof *wire->attributes);
	wire->pointers = calloc(count, sizeof *wire->pointers);
	if (wire->attributes == NULL || wire->pointers == NULL) {
		free(wire->attributes);
		free(wire->pointers);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		wire->attributes[i] =
			(Waft__V1__Filter__Attribute)WAFT__V1__FILTER__ATTRIBUTE__INIT;
		wire->attributes[i].key = text_or_empty(filter->attributes[i].key);
		wire->attributes[i].value = text_or_empty(filter->attributes[i].value);
		wire->pointers[i] = &wire->attributes[i];
	}
	wire->filter.attributes = wire->pointers;
	wire->filter.n_attributes = count;
	return 0;
}

static void wire_filter_done(struct wire_filter *wire)
{
	free(wire->attributes);
	free(wire->pointers);
}

/* ---- Pages ------------------------------------------------------------ */

/* Keeps the page that the next request names. */
static int keep_page(ProtobufCBinaryData *page, const ProtobufCBinaryData *next)
{
	uint8_t *copy = NULL;

	if (next->len != 0) {
		copy = malloc(next->len);
		if (copy == NULL)
			return -ENOMEM;
		memcpy(copy, next->data, next->len);
	}
	free(page->data);
	*page = (ProtobufCBinaryData){next->len, copy};
	return 0;
}

static int add_summary(struct listing *into, const Waft__V1__TraceSummary *summary)
{
	struct listing_entry entry = {.trace_id = summary->trace_id.data,
		.start_ns = (int64_t)summary->start_ns,
		.duration_ms = summary->duration_ms,
		.pending = summary->pending != 0,
		.operation = slice_of_text(summary->operation),
		.layer = slice_of_text(summary->layer),
		.status = slice_of_text(summary->status),
		.service_count = summary->n_services,
		.spans = summary->spans,
		.errors = summary->errors,
		.damaged = summary->damaged != 0};
	struct slice *services;
	int result;

	if (summary->trace_id.len != WIRE_TRACE_ID_BYTES)
		return ERR_MALFORMED;
	services = calloc(summary->n_services + 1, sizeof *services);
	if (services == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < summary->n_services; i++)
		services[i] = slice_of_text(summary->services[i]);
	entry.services = services;
	result = listing_add(into, &entry);
	free(services);
	return result;
}

/* One page into `into`. */
static int list_page(struct rpc_backend *rpc, struct rpc_client *client,
	const Waft__V1__ListTracesRequest *request, struct listing *into, ProtobufCBinaryData *page)
{
	ProtobufCMessage *message = NULL;
	const Waft__V1__ListTracesResponse *response;
	int result = rpc_client_call(client, WIRE_METHOD_LIST_TRACES, &request->base,
		rpc->backend.timeout_ms, &waft__v1__list_traces_response__descriptor, &message);

	if (result != 0) {
		if (message != NULL)
			protobuf_c_message_free_unpacked(message, NULL);
		return call_failed(rpc, client, result);
	}
	response = (const Waft__V1__ListTracesResponse *)message;
	for (size_t i = 0; result == 0 && i < response->n_traces; i++)
		result = add_summary(into, response->traces[i]);
	if (result == 0)
		result = keep_page(page, &response->next_page);
	protobuf_c_message_free_unpacked(message, NULL);
	return result;
}

/* The newest `limit` of what is stored, page by page. */
static int list_stored(struct rpc_backend *rpc, const struct waft_trace_filter *filter,
	size_t limit, struct listing *into)
{
	Waft__V1__ListTracesRequest request = WAFT__V1__LIST_TRACES_REQUEST__INIT;
	ProtobufCBinaryData page = {0, NULL};
	struct rpc_client *client = NULL;
	struct wire_filter wire;
	int result = wire_filter_init(&wire, filter);

	if (result != 0)
		return result;
	result = connect_to(rpc, &client);
	request.filter = &wire.filter;
	while (result == 0 && into->count < limit) {
		size_t left = limit - into->count;

		request.limit = (uint32_t)(left < PAGE_TRACES ? left : PAGE_TRACES);
		request.page = page;
		result = list_page(rpc, client, &request, into, &page);
		if (page.len == 0)
			break;
	}
	if (into->count > limit)
		into->count = limit;
	free(page.data);
	rpc_client_free(client);
	wire_filter_done(&wire);
	return result;
}

static int rpc_list(struct backend *backend, const struct waft_trace_filter *filter, size_t limit,
	struct listing *into)
{
	struct live_list live;
	int result = live_list_begin(backend, &live);

	if (result != 0)
		return result;
	result = list_stored(
		(struct rpc_backend *)backend, filter, live_list_wanted(&live, limit), into);
	if (result == 0)
		result = live_list_merge(backend, &live, filter, limit, into);
	live_list_done(&live);
	return result;
}

/* ---- One trace -------------------------------------------------------- */

typedef int message_fn(void *arg, const ProtobufCMessage *message);

/* A call whose answer may be several messages, each given to on_message. 0, the error of
 * the call, or 0 with *ret_failed: what on_message came to that ended it. */
static int call_each(struct rpc_backend *rpc, struct rpc_client *client, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *descriptor,
	message_fn *on_message, void *arg, int *ret_failed)
{
	int result = rpc_client_begin(client, method, request, rpc->backend.timeout_ms);
	ProtobufCMessage *message = NULL;
	size_t count = 0;

	*ret_failed = 0;
	while (result >= 0 && *ret_failed == 0 &&
		(result = rpc_client_next(client, descriptor, &message)) == 1) {
		*ret_failed = on_message(arg, message);
		protobuf_c_message_free_unpacked(message, NULL);
		count++;
	}
	if (*ret_failed != 0)
		return 0;
	return result == 0 && count == 0 ? ERR_ORDER : result;
}

/* The same; says why it failed. */
static int call_all(struct rpc_backend *rpc, struct rpc_client *client, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *descriptor,
	message_fn *on_message, void *arg)
{
	int failed = 0;
	int result = call_each(rpc, client, method, request, descriptor, on_message, arg, &failed);

	return result != 0 ? call_failed(rpc, client, result) : failed;
}

/* The candidates of an ambiguous id, or that there is none. */
static int not_one_trace(struct rpc_backend *rpc, struct rpc_client *client, const char *id,
	int error, const Waft__V1__GetTraceResponse *response)
{
	struct strbuf *said = &rpc->backend.error;

	error = public_code(error);
	if (error == -ENOENT || error == -EINVAL)
		return backend_no_trace(&rpc->backend, error, id);
	if (response == NULL || response->n_candidates == 0)
		return backend_fail(&rpc->backend, error, "%s", rpc_client_problem(client, error));
	error = backend_fail(&rpc->backend, -ENOTUNIQ, "%s", "");
	strbuf_safe(said, id, strlen(id));
	strbuf_string(said, " could mean:");
	for (size_t i = 0; i < response->n_candidates; i++) {
		strbuf_string(said, "\n  ");
		strbuf_safe(said, response->candidates[i], strlen(response->candidates[i]));
	}
	return error;
}

/* What the messages of a page go to. */
struct trace_page {
	struct rpc_backend *rpc;
	struct rpc_client *client;
	const char *id;
	struct trace_build *into;
	ProtobufCBinaryData next;
	struct strbuf part; /* of a record that comes in several messages */
};

static int take_part(struct trace_page *page, const Waft__V1__GetTraceResponse *response)
{
	int result = 0;

	strbuf_bytes(
		&page->part, (const char *)response->record_part.data, response->record_part.len);
	if (!response->record_end)
		return 0;
	if (page->part.failed)
		result = -ENOMEM;
	else
		result = trace_build_add(
			page->into, slice_of((const uint8_t *)page->part.bytes, page->part.length));
	strbuf_clear(&page->part);
	return result;
}

static int on_trace_message(void *arg, const ProtobufCMessage *message)
{
	const Waft__V1__GetTraceResponse *response = (const Waft__V1__GetTraceResponse *)message;
	struct trace_page *page = arg;
	int result = 0;

	if (response->n_candidates != 0)
		return not_one_trace(page->rpc, page->client, page->id,
			ERR_STATUS - GRPC_FAILED_PRECONDITION, response);
	if (response->record_part.len != 0)
		return take_part(page, response);
	if (response->trace_id.len != sizeof page->into->trace_id)
		return ERR_MALFORMED;
	memcpy(page->into->trace_id, response->trace_id.data, sizeof page->into->trace_id);
	for (size_t i = 0; result == 0 && i < response->n_records; i++)
		result = trace_build_add(
			page->into, slice_of(response->records[i].data, response->records[i].len));
	return result == 0 ? keep_page(&page->next, &response->next_page) : result;
}

static int rpc_get(struct backend *backend, const char *id, struct trace_build *into)
{
	struct rpc_backend *rpc = (struct rpc_backend *)backend;
	Waft__V1__GetTraceRequest request = WAFT__V1__GET_TRACE_REQUEST__INIT;
	struct trace_page page = {.rpc = rpc, .id = id, .into = into};
	char exact[RECORD_ID_TEXT_BYTES];
	int result = connect_to(rpc, &page.client);

	request.id = (char *)id;
	while (result == 0) {
		int failed = 0;

		request.page = page.next;
		result = call_each(rpc, page.client, WIRE_METHOD_GET_TRACE, &request.base,
			&waft__v1__get_trace_response__descriptor, on_trace_message, &page,
			&failed);
		if (failed != 0)
			result = failed;
		else if (result <= ERR_STATUS)
			result = not_one_trace(rpc, page.client, id, result, NULL);
		else if (result != 0)
			result = call_failed(rpc, page.client, result);
		if (page.next.len == 0)
			break;
		/* Its own id stays the same when "last" is another trace by then. */
		record_format_id(into->trace_id, exact);
		request.id = exact;
	}
	free(page.next.data);
	strbuf_done(&page.part);
	rpc_client_free(page.client);
	return result;
}

/* ---- Tail ------------------------------------------------------------- */

static int rpc_tail(struct backend *backend, const struct waft_trace_filter *filter,
	backend_line_fn on_line, void *arg)
{
	struct rpc_backend *rpc = (struct rpc_backend *)backend;
	Waft__V1__TailRequest request = WAFT__V1__TAIL_REQUEST__INIT;
	struct rpc_client *client = NULL;
	ProtobufCMessage *message = NULL;
	struct wire_filter wire;
	int stopped = 0;
	int result = wire_filter_init(&wire, filter);

	if (result != 0)
		return result;
	request.filter = &wire.filter;
	result = connect_to(rpc, &client);
	if (result == 0)
		result = rpc_client_begin(client, WIRE_METHOD_TAIL, &request.base, RPC_NO_DEADLINE);
	wire_filter_done(&wire);
	if (client == NULL)
		return result;
	while (result >= 0 && stopped == 0 &&
		(result = rpc_client_next(
			 client, &waft__v1__tail_response__descriptor, &message)) == 1) {
		const Waft__V1__TailResponse *response = (const Waft__V1__TailResponse *)message;

		if (response->missed != 0)
			stopped = on_line((struct slice){0}, response->missed, arg);
		for (size_t i = 0; stopped == 0 && i < response->n_records; i++)
			stopped = on_line(
				slice_of(response->records[i].data, response->records[i].len), 0,
				arg);
		protobuf_c_message_free_unpacked(message, NULL);
	}
	if (result < 0)
		result = call_failed(rpc, client, result);
	rpc_client_free(client);
	return stopped != 0 ? stopped : result;
}

/* ---- Figures ---------------------------------------------------------- */

static int add_figures(void *arg, const ProtobufCMessage *message)
{
	const Waft__V1__StatsResponse *response = (const Waft__V1__StatsResponse *)message;
	struct figures *into = arg;

	for (size_t i = 0; i < response->n_operations; i++) {
		const Waft__V1__OperationStats *from = response->operations[i];
		struct waft_operation_stats row = {.count = from->count,
			.errors = from->errors,
			.p50_ms = from->p50_ms,
			.p95_ms = from->p95_ms,
			.p99_ms = from->p99_ms,
			.total_ms = from->total_ms,
			.self_ms = from->self_ms};
		int result = figures_add(into, slice_of_text(from->service),
			slice_of_text(from->operation), slice_of_text(from->layer), &row);

		if (result != 0)
			return result;
	}
	return 0;
}

static int rpc_stats(
	struct backend *backend, const struct waft_trace_filter *filter, struct figures *into)
{
	struct rpc_backend *rpc = (struct rpc_backend *)backend;
	Waft__V1__StatsRequest request = WAFT__V1__STATS_REQUEST__INIT;
	struct rpc_client *client = NULL;
	struct wire_filter wire;
	int result = wire_filter_init(&wire, filter);

	if (result != 0)
		return result;
	request.filter = &wire.filter;
	result = connect_to(rpc, &client);
	if (result == 0)
		result = call_all(rpc, client, WIRE_METHOD_STATS, &request.base,
			&waft__v1__stats_response__descriptor, add_figures, into);
	rpc_client_free(client);
	wire_filter_done(&wire);
	return result;
}

/* ---- Status ----------------------------------------------------------- */

static int copy_counts(struct scratch *scratch, size_t count,
	Waft__V1__StatusResponse__CountersEntry *const *entries, const struct waft_count **ret)
{
	struct waft_count *counts = scratch_alloc(scratch, (count + 1) * sizeof *counts);

	if (counts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		counts[i].name = copy_text(scratch, slice_of_text(entries[i]->key));
		counts[i].value = entries[i]->value;
		if (counts[i].name == NULL)
			return -ENOMEM;
	}
	*ret = counts;
	return 0;
}

static int copy_ledger(
	struct scratch *scratch, const Waft__V1__ClientStatus *from, struct waft_ledger *ret_ledger)
{
	struct waft_count *dropped =
		scratch_alloc(scratch, (from->n_dropped + 1) * sizeof *dropped);
	struct waft_ledger ledger = {.pid = from->pid,
		.connected = from->connected != 0,
		.emitted = from->emitted,
		.durable = from->durable,
		.unknown = from->unknown,
		.dropped = dropped,
		.dropped_count = from->n_dropped,
		.duplicates = from->duplicates};

	ledger.service = copy_text(scratch, slice_of_text(from->service));
	if (dropped == NULL || ledger.service == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_dropped; i++) {
		dropped[i].name = copy_text(scratch, slice_of_text(from->dropped[i]->key));
		dropped[i].value = from->dropped[i]->value;
		if (dropped[i].name == NULL)
			return -ENOMEM;
	}
	if (from->client.len == WIRE_CLIENT_ID_BYTES) {
		for (size_t i = 0; i < from->client.len; i++) {
			ledger.client[2 * i] = "0123456789abcdef"[from->client.data[i] >> 4];
			ledger.client[2 * i + 1] = "0123456789abcdef"[from->client.data[i] & 15];
		}
	}
	*ret_ledger = ledger;
	return 0;
}

static int add_clients(struct status_build *into, const Waft__V1__StatusResponse *from)
{
	struct waft_status *status = &into->status;
	struct waft_ledger *clients = scratch_alloc(
		&into->scratch, (status->client_count + from->n_clients + 1) * sizeof *clients);
	int result = 0;

	if (clients == NULL)
		return -ENOMEM;
	if (status->client_count > 0)
		memcpy(clients, status->clients, status->client_count * sizeof *clients);
	for (size_t i = 0; result == 0 && i < from->n_clients; i++)
		result = copy_ledger(
			&into->scratch, from->clients[i], &clients[status->client_count + i]);
	status->clients = clients;
	if (result == 0)
		status->client_count += from->n_clients;
	return result;
}

static int copy_totals(struct status_build *into, const Waft__V1__StatusResponse *from)
{
	struct waft_status *status = &into->status;

	status->store = copy_text(&into->scratch, slice_of_text(from->store));
	if (status->store == NULL)
		return -ENOMEM;
	status->store_bytes = from->store_bytes;
	status->log_bytes = from->log_bytes;
	status->spans_waiting = from->spans_waiting;
	status->spans_written = from->spans_written;
	status->spans_expired = from->spans_expired;
	status->quarantined_bytes = from->quarantined_bytes;
	status->batches_refused = from->batches_refused;
	status->resident_bytes = from->resident_bytes;
	status->total.service = "";
	status->counter_count = from->n_counters;
	if (from->total != NULL) {
		int result = copy_ledger(&into->scratch, from->total, &status->total);

		if (result != 0)
			return result;
	}
	return copy_counts(&into->scratch, from->n_counters, from->counters, &status->counters);
}

/* The first message has all but the clients that the others add. */
static int copy_status(void *arg, const ProtobufCMessage *message)
{
	const Waft__V1__StatusResponse *from = (const Waft__V1__StatusResponse *)message;
	struct status_build *into = arg;
	int result = into->status.store == NULL ? copy_totals(into, from) : 0;

	return result == 0 ? add_clients(into, from) : result;
}

static int copy_health(void *arg, const ProtobufCMessage *message)
{
	const Waft__V1__HealthResponse *from = (const Waft__V1__HealthResponse *)message;
	struct status_build *into = arg;
	const char **reasons =
		scratch_alloc(&into->scratch, (from->n_reasons + 1) * sizeof *reasons);

	into->status.version = copy_text(&into->scratch, slice_of_text(from->version));
	if (reasons == NULL || into->status.version == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_reasons; i++) {
		reasons[i] = copy_text(&into->scratch, slice_of_text(from->reasons[i]));
		if (reasons[i] == NULL)
			return -ENOMEM;
	}
	into->status.reasons = reasons;
	into->status.reason_count = from->n_reasons;
	into->status.uptime_ms = from->uptime_ms;
	into->status.health = from->state == WAFT__V1__HEALTH_RESPONSE__STATE__SERVING
				      ? WAFT_HEALTH_SERVING
			      : from->state == WAFT__V1__HEALTH_RESPONSE__STATE__DEGRADED
				      ? WAFT_HEALTH_DEGRADED
				      : WAFT_HEALTH_NOT_SERVING;
	return 0;
}

/* Of the collector's reasons to be unwell those that bear on what was read. */
static int warn_of_health(void *arg, const ProtobufCMessage *message)
{
	const Waft__V1__HealthResponse *health = (const Waft__V1__HealthResponse *)message;
	struct strbuf *text = arg;

	for (size_t i = 0; i < health->n_reasons; i++) {
		if (strstr(health->reasons[i], "damaged") == NULL)
			continue;
		strbuf_string(text, "the collector says: ");
		strbuf_safe(text, health->reasons[i], strlen(health->reasons[i]));
		strbuf_string(text, "; spans may be missing here. waftctl status says more.\n");
	}
	return 0;
}

static void rpc_warn(struct backend *backend, struct strbuf *text)
{
	struct rpc_backend *rpc = (struct rpc_backend *)backend;
	Waft__V1__HealthRequest health = WAFT__V1__HEALTH_REQUEST__INIT;
	struct rpc_client *client = NULL;

	/* One that doesn't answer this either was told of before. */
	if (connect_to(rpc, &client) == 0)
		(void)call_all(rpc, client, WIRE_METHOD_HEALTH, &health.base,
			&waft__v1__health_response__descriptor, warn_of_health, text);
	rpc_client_free(client);
}

static int rpc_status(struct backend *backend, struct status_build *into)
{
	struct rpc_backend *rpc = (struct rpc_backend *)backend;
	Waft__V1__HealthRequest health = WAFT__V1__HEALTH_REQUEST__INIT;
	Waft__V1__StatusRequest status = WAFT__V1__STATUS_REQUEST__INIT;
	struct rpc_client *client = NULL;
	int result = connect_to(rpc, &client);

	if (result == 0)
		result = call_all(rpc, client, WIRE_METHOD_HEALTH, &health.base,
			&waft__v1__health_response__descriptor, copy_health, into);
	if (result == 0)
		result = call_all(rpc, client, WIRE_METHOD_STATUS, &status.base,
			&waft__v1__status_response__descriptor, copy_status, into);
	rpc_client_free(client);
	return result;
}

/* ---- What is running ---------------------------------------------------- */

static int open_page(struct rpc_backend *rpc, struct rpc_client *client,
	const Waft__V1__OpenSpansRequest *request, struct open_build *into,
	ProtobufCBinaryData *page)
{
	ProtobufCMessage *message = NULL;
	const Waft__V1__OpenSpansResponse *response;
	int result = rpc_client_call(client, WIRE_METHOD_OPEN_SPANS, &request->base,
		rpc->backend.timeout_ms, &waft__v1__open_spans_response__descriptor, &message);

	if (result != 0) {
		if (message != NULL)
			protobuf_c_message_free_unpacked(message, NULL);
		return call_failed(rpc, client, result);
	}
	response = (const Waft__V1__OpenSpansResponse *)message;
	into->connected += response->processes;
	into->left_out += response->left_out;
	into->unreadable += response->unreadable;
	for (size_t i = 0; result == 0 && i < response->n_records; i++)
		result = open_build_add(
			into, slice_of(response->records[i].data, response->records[i].len));
	if (result == 0)
		result = keep_page(page, &response->next_page);
	protobuf_c_message_free_unpacked(message, NULL);
	return result;
}

static int rpc_open_spans(struct backend *backend, const char *service, struct open_build *into)
{
	struct rpc_backend *rpc = (struct rpc_backend *)backend;
	Waft__V1__OpenSpansRequest request = WAFT__V1__OPEN_SPANS_REQUEST__INIT;
	ProtobufCBinaryData page = {0, NULL};
	struct rpc_client *client = NULL;
	int result = connect_to(rpc, &client);

	request.service = (char *)service;
	while (result == 0) {
		request.page = page;
		result = open_page(rpc, client, &request, into, &page);
		if (page.len == 0)
			break;
	}
	free(page.data);
	rpc_client_free(client);
	return result;
}

/* ---- Opening ---------------------------------------------------------- */

static void rpc_close(struct backend *backend)
{
	struct rpc_backend *rpc = (struct rpc_backend *)backend;

	free(rpc->path);
	strbuf_done(&backend->error);
	free(rpc);
}

static const struct backend_ops ops = {
	.list = rpc_list,
	.get = rpc_get,
	.tail = rpc_tail,
	.stats = rpc_stats,
	.status = rpc_status,
	.open_spans = rpc_open_spans,
	.warn = rpc_warn,
	.close = rpc_close,
};

int backend_rpc_open(
	const char *path, uint32_t timeout_ms, struct backend **ret_backend, struct strbuf *error)
{
	struct rpc_client *client = NULL;
	struct rpc_backend *rpc;
	char why[WIRE_LINK_WHY_BYTES];
	int result = rpc_client_connect(path, timeout_ms, &client, why);

	rpc_client_free(client);
	if (result != 0) {
		strbuf_format(error, "%s%s: %s", scheme_of(path), path, why);
		return result;
	}
	rpc = calloc(1, sizeof *rpc);
	if (rpc == NULL)
		return -ENOMEM;
	rpc->backend = (struct backend){.ops = &ops, .timeout_ms = timeout_ms};
	rpc->path = strdup(path);
	if (rpc->path == NULL) {
		free(rpc);
		return -ENOMEM;
	}
	*ret_backend = &rpc->backend;
	return 0;
}
