/*
 * microhttpd.c: see <waft/microhttpd.h>. Uses libwaft's public functions alone.
 *
 * The happy path: libmicrohttpd calls waft_mhd_handler with an empty con_cls;
 * a struct request with the span is put there, and the server's handler is
 * called with a con_cls inside it, now and for each piece of the body, the
 * span's context attached for the time. The handler queues a response, which
 * gets its traceresponse, and the span ends. waft_mhd_completed cleans up.
 * Failures: a request that ends without a response comes to waft_mhd_completed,
 * too, and its span ends there with an error.
 */
#include <waft/microhttpd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { HEADERS = 3, NAME_SIZE = 256 };

struct waft_mhd {
	struct waft_mhd_options options;
};

struct request {
	struct waft_span span;
	struct waft_context context; /* the span's */
	void *handler_con_cls;
	bool failed; /* an error was set on the span */
};

/* The request whose handler this thread is in. */
static __thread struct request *current_request;

struct waft_mhd *waft_mhd_new(const struct waft_mhd_options *options)
{
	if (options == NULL || options->size > sizeof(struct waft_mhd_options))
		return NULL;
	struct waft_mhd *adapter = calloc(1, sizeof(*adapter));
	if (adapter == NULL)
		return NULL;
	memcpy(&adapter->options, options, options->size);
	if (adapter->options.handler == NULL) {
		free(adapter);
		return NULL;
	}
	if (adapter->options.layer == NULL)
		adapter->options.layer = "api";
	return adapter;
}

void waft_mhd_free(struct waft_mhd *adapter)
{
	free(adapter);
}

/* ---- The caller's context ---- */

/* A header's values, joined by commas; owned. */
struct joined {
	const char *name;
	char *value;
};

struct headers {
	struct MHD_Connection *connection;
	struct joined joined[HEADERS];
	size_t count;
};

static enum MHD_Result join_value(
	void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct joined *joined = cls;
	(void)kind;
	if (value == NULL || strcasecmp(key, joined->name) != 0)
		return MHD_YES;
	char *longer = NULL;
	if (asprintf(&longer, "%s%s%s", joined->value ? joined->value : "",
		    joined->value ? "," : "", value) < 0)
		return MHD_NO;
	free(joined->value);
	joined->value = longer;
	return MHD_YES;
}

static const char *get_header(void *arg, const char *name)
{
	struct headers *headers = arg;
	if (headers->count == HEADERS)
		return NULL;
	struct joined *joined = &headers->joined[headers->count++];
	joined->name = name;
	MHD_get_connection_values(headers->connection, MHD_HEADER_KIND, join_value, joined);
	return joined->value;
}

/* None when the request names no valid one. */
static void extract_context(struct MHD_Connection *connection, struct waft_context *ret_context)
{
	struct headers headers = {.connection = connection};
	if (waft_extract(get_header, &headers, ret_context) < 0)
		*ret_context = (struct waft_context){0};
	for (size_t i = 0; i < headers.count; i++)
		free(headers.joined[i].value);
}

/* ---- The span ---- */

/* Methods that semantic conventions know; others are "_OTHER" there, so that
 * callers cannot make up operations. */
static bool is_known_method(const char *method)
{
	static const char *const known[] = {
		"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(method, known[i]) == 0)
			return true;
	return false;
}

static void set_client_address(struct waft_span *span, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info ? info->client_addr : NULL;
	char text[INET6_ADDRSTRLEN] = "";
	if (address && address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
			text, sizeof(text));
	else if (address && address->sa_family == AF_INET6)
		inet_ntop(AF_INET6,
			&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text,
			sizeof(text));
	if (text[0])
		waft_attr_string(span, "client.address", text);
}

static void set_attributes(struct waft_span *span, struct MHD_Connection *connection,
	const char *method, const char *url, const char *route)
{
	bool known = is_known_method(method);
	waft_attr_string(span, "http.request.method", known ? method : "_OTHER");
	if (!known)
		waft_attr_string(span, "http.request.method_original", method);
	waft_attr_string(span, "url.path", url);
	const union MHD_ConnectionInfo *tls =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_PROTOCOL);
	waft_attr_string(span, "url.scheme", tls ? "https" : "http");
	if (route)
		waft_attr_string(span, "http.route", route);
	set_client_address(span, connection);
	const char *agent = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_USER_AGENT);
	if (agent)
		waft_attr_string(span, "user_agent.original", agent);
}

static struct request *request_new(const struct waft_mhd_options *options,
	struct MHD_Connection *connection, const char *method, const char *url)
{
	struct request *request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	const char *route = options->route ? options->route(options->route_cls, method, url) : NULL;
	char name[NAME_SIZE];
	snprintf(name, sizeof(name), "%s%s%s", is_known_method(method) ? method : "HTTP",
		route ? " " : "", route ? route : "");
	struct waft_context caller = {0};
	extract_context(connection, &caller);
	waft_span_open_named(&request->span, name, options->layer, &caller);
	waft_context_done(&caller);
	waft_set_kind(&request->span, WAFT_KIND_SERVER);
	if (waft_recording(&request->span))
		set_attributes(&request->span, connection, method, url, route);
	waft_context_of(&request->span, &request->context);
	return request;
}

/* Asked after each call of the handler, which may have used MHD_queue_response
 * itself; when the request is completed the response is gone. */
static void note_response(const struct waft_mhd_options *options, struct MHD_Connection *connection,
	struct request *request)
{
	const union MHD_ConnectionInfo *status =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_HTTP_STATUS);
	if (status == NULL)
		return;
	waft_attr_int(&request->span, "http.response.status_code", status->http_status);
	if (!options->until_sent)
		waft_end(&request->span);
}

enum MHD_Result waft_mhd_handler(void *adapter, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **con_cls)
{
	const struct waft_mhd_options *options = &((struct waft_mhd *)adapter)->options;
	struct request *request = *con_cls;
	if (request == NULL) {
		request = request_new(options, connection, method, url);
		if (request == NULL)
			return MHD_NO;
		*con_cls = request;
	}
	struct request *before = current_request;
	struct waft_token token;
	waft_attach(&request->context, &token);
	current_request = request;
	enum MHD_Result result = options->handler(options->handler_cls, connection, url, method,
		version, upload_data, upload_data_size, &request->handler_con_cls);
	current_request = before;
	waft_detach(&token);
	note_response(options, connection, request);
	return result;
}

static const char *termination_text(enum MHD_RequestTerminationCode toe)
{
	switch (toe) {
	case MHD_REQUEST_TERMINATED_COMPLETED_OK:
		return NULL;
	case MHD_REQUEST_TERMINATED_TIMEOUT_REACHED:
		return "the connection timed out before the response was sent";
	case MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN:
		return "the server stopped before the response was sent";
	case MHD_REQUEST_TERMINATED_READ_ERROR:
	case MHD_REQUEST_TERMINATED_CLIENT_ABORT:
		return "the client closed the connection before the response was sent";
	default:
		return "the connection failed before the response was sent";
	}
}

void waft_mhd_completed(void *adapter, struct MHD_Connection *connection, void **con_cls,
	enum MHD_RequestTerminationCode toe)
{
	const struct waft_mhd_options *options = &((struct waft_mhd *)adapter)->options;
	struct request *request = *con_cls;
	if (request == NULL)
		return;
	if (options->completed)
		options->completed(
			options->completed_cls, connection, &request->handler_con_cls, toe);
	const char *termination = termination_text(toe);
	if (termination && !request->failed)
		waft_error(&request->span, termination);
	waft_end(&request->span);
	waft_context_done(&request->context);
	free(request);
	*con_cls = NULL;
}

/* ---- For handlers ---- */

struct waft_span *waft_mhd_span(void)
{
	return current_request ? &current_request->span : NULL;
}

static void fail_request(struct request *request, const char *error)
{
	waft_error(&request->span, error);
	request->failed = true;
}

static void name_trace(const struct request *request, struct MHD_Response *response)
{
	char traceresponse[WAFT_TRACEPARENT_SIZE];
	if (!waft_context_valid(&request->context))
		return;
	waft_traceparent_format(&request->context, traceresponse);
	MHD_add_response_header(response, "traceresponse", traceresponse);
}

enum MHD_Result waft_mhd_queue_response(
	struct MHD_Connection *connection, unsigned int status, struct MHD_Response *response)
{
	struct request *request = current_request;
	if (request && response)
		name_trace(request, response);
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	if (request && result == MHD_YES && status >= 500 && !request->failed) {
		char error[32];
		snprintf(error, sizeof(error), "HTTP status %u", status);
		fail_request(request, error);
	}
	return result;
}

enum MHD_Result waft_mhd_queue_error(struct MHD_Connection *connection, unsigned int status,
	struct MHD_Response *response, const char *error)
{
	if (current_request)
		fail_request(current_request, error);
	return waft_mhd_queue_response(connection, status, response);
}
