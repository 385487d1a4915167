/*
 * server_routes.c: see server_routes.h.
 */
#define WAFT_LAYER "api"

#include "server_routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <waft/microhttpd.h>

#include "log.h"

enum { HISTORY_DEFAULT = 20, HISTORY_MAX = 1000 };

/* One request, for the functions that answer. */
struct asked {
	const struct routes_context *context;
	struct MHD_Connection *connection;
	const struct text *body;
	const char *id; /* what stands for {id} in the route */
};

struct route {
	const char *path; /* a last segment {id} stands for any one */
	const char *allow;
	const char *method; /* besides HEAD, when it is GET */
	enum MHD_Result (*answer)(const struct asked *asked);
};

/* ---- Answers ---- */

/* Takes body, a malloc'ed text. location: header or NULL. */
static enum MHD_Result answer_json(struct MHD_Connection *connection, unsigned int status,
	char *body, const char *location, const char *allow, const char *error)
{
	if (body == NULL)
		return MHD_NO;
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	if (location)
		MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, location);
	if (allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	enum MHD_Result result = error ? waft_mhd_queue_error(connection, status, response, error)
				       : waft_mhd_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* The request's trace as UUID text; empty when there is none. */
static void get_trace_id(char ret_text[WAFT_TRACE_ID_SIZE])
{
	struct waft_context context = {0};
	waft_context_of(waft_mhd_span(), &context);
	ret_text[0] = '\0';
	if (waft_context_valid(&context))
		waft_trace_id_format(&context, ret_text);
	waft_context_done(&context);
}

enum MHD_Result routes_error(struct MHD_Connection *connection, unsigned int status,
	const char *allow, const char *detail)
{
	char trace_id[WAFT_TRACE_ID_SIZE];
	struct json_out out = {0};
	get_trace_id(trace_id);
	json_out_object(&out);
	json_out_key(&out, "detail");
	json_out_string(&out, detail, strlen(detail));
	json_out_key(&out, "trace_id");
	if (trace_id[0])
		json_out_string(&out, trace_id, strlen(trace_id));
	else
		json_out_null(&out);
	json_out_end_object(&out);
	if (status >= 500)
		log_error("answered %u: %s (trace %s)", status, detail,
			trace_id[0] ? trace_id : "none");
	return answer_json(connection, status, text_take(&out.text), NULL, allow, detail);
}

static enum MHD_Result answer_fault(struct MHD_Connection *connection, const struct fault *fault)
{
	static const unsigned int statuses[FAULT_KINDS] = {
		[FAULT_NONE] = MHD_HTTP_INTERNAL_SERVER_ERROR,
		[FAULT_FORM] = MHD_HTTP_UNPROCESSABLE_CONTENT,
		[FAULT_RULE] = MHD_HTTP_BAD_REQUEST,
		[FAULT_MISSING] = MHD_HTTP_NOT_FOUND,
		[FAULT_UNAVAILABLE] = MHD_HTTP_SERVICE_UNAVAILABLE,
		[FAULT_INTERNAL] = MHD_HTTP_INTERNAL_SERVER_ERROR,
	};
	return routes_error(connection, statuses[fault->kind], NULL, fault_text(fault));
}

/* ---- Health ---- */

static enum MHD_Result get_health(const struct asked *asked)
{
	char body[128];
	char timestamp[32];
	time_t now = time(NULL);
	struct tm utc;
	gmtime_r(&now, &utc);
	strftime(timestamp, sizeof(timestamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
	snprintf(body, sizeof(body),
		"{\"status\":\"healthy\",\"timestamp\":\"%s\",\"service\":\"waft-engined\"}",
		timestamp);
	return answer_json(asked->connection, MHD_HTTP_OK, strdup(body), NULL, NULL, NULL);
}

static enum MHD_Result get_decision_health(const struct asked *asked)
{
	static const char body[] = "{\"status\":\"ok\",\"version\":\"1.0\","
				   "\"core\":\"diamond_plated\",\"engine\":\"iron_core\"}";
	return answer_json(asked->connection, MHD_HTTP_OK, strdup(body), NULL, NULL, NULL);
}

/* ---- Decisions ---- */

static int keep_decision(const struct asked *asked, const struct analysis *analysis,
	char ret_id[DECISION_ID_SIZE], struct fault *fault)
{
	char trace_id[WAFT_TRACE_ID_SIZE];
	get_trace_id(trace_id);
	const struct decision decision = {
		.trace_id = trace_id,
		.problem = analysis->problem,
		.recommendation = analysis->recommendation,
		.request = asked->body->data,
	};
	return store_insert(asked->context->store, &decision, ret_id, fault);
}

static int analyze(const struct asked *asked, struct analysis *ret_analysis,
	char ret_id[DECISION_ID_SIZE], struct fault *fault)
{
	WAFT_SPAN(span, "api.decision.analyze");
	const char *request = asked->body->data ? asked->body->data : "";
	waft_input_json(&span, request, asked->body->length_bytes);
	int r = analysis_run(&asked->context->core, request, asked->body->length_bytes, NULL,
		ret_analysis, fault);
	if (r == 0)
		r = keep_decision(asked, ret_analysis, ret_id, fault);
	if (r == 0)
		waft_output_json(&span, ret_analysis->response, SIZE_MAX);
	return fault_mark(&span, r, fault);
}

/* Takes analysis' response. */
static enum MHD_Result answer_analysis(const struct asked *asked, int r, struct analysis *analysis,
	const char *location, struct fault *fault)
{
	enum MHD_Result result;
	if (r < 0) {
		result = answer_fault(asked->connection, fault);
	} else {
		result = answer_json(
			asked->connection, MHD_HTTP_OK, analysis->response, location, NULL, NULL);
		analysis->response = NULL;
	}
	analysis_done(analysis);
	fault_done(fault);
	return result;
}

static enum MHD_Result post_analyze(const struct asked *asked)
{
	struct fault fault = {0};
	struct analysis analysis = {0};
	char id[DECISION_ID_SIZE] = "";
	char location[64];
	int r = analyze(asked, &analysis, id, &fault);
	snprintf(location, sizeof(location), "/api/decision/%s", id);
	return answer_analysis(asked, r, &analysis, location, &fault);
}

/* The stored request goes the same way as a new one. */
static int load(const struct asked *asked, struct analysis *ret_analysis, struct fault *fault)
{
	WAFT_SPAN(span, "api.decision.load");
	waft_attr_string(&span, "decision.id", asked->id);
	struct decision decision = {0};
	int r = store_load(asked->context->store, asked->id, &decision, fault);
	if (r == 0) {
		const struct response_head head = {
			.id = decision.id,
			.created_at = decision.created_at,
			.trace_id = decision.trace_id,
		};
		r = analysis_run(&asked->context->core, decision.request, strlen(decision.request),
			&head, ret_analysis, fault);
		if (r < 0 && (fault->kind == FAULT_FORM || fault->kind == FAULT_RULE))
			r = fault_set(fault, FAULT_INTERNAL,
				"Decision %s as stored does not pass the rules: %s", decision.id,
				fault_text(fault));
	}
	decision_done(&decision);
	if (r == 0)
		waft_output_json(&span, ret_analysis->response, SIZE_MAX);
	return fault_mark(&span, r, fault);
}

static enum MHD_Result get_decision(const struct asked *asked)
{
	struct fault fault = {0};
	struct analysis analysis = {0};
	int r = load(asked, &analysis, &fault);
	return answer_analysis(asked, r, &analysis, NULL, &fault);
}

/* ---- History ---- */

static int get_limit(const struct asked *asked, unsigned int *ret_limit, struct fault *fault)
{
	const char *text =
		MHD_lookup_connection_value(asked->connection, MHD_GET_ARGUMENT_KIND, "limit");
	*ret_limit = HISTORY_DEFAULT;
	if (text == NULL)
		return 0;
	size_t length = strlen(text);
	unsigned long limit = strtoul(text, NULL, 10);
	if (length == 0 || length > 4 || strspn(text, "0123456789") != length || limit < 1 ||
		limit > HISTORY_MAX)
		return fault_set(fault, FAULT_RULE,
			"limit must be a number from 1 to %d, got '%.32s'", HISTORY_MAX, text);
	*ret_limit = (unsigned int)limit;
	return 0;
}

static int list(const struct asked *asked, struct json_out *out, struct fault *fault)
{
	WAFT_SPAN(span, "api.decision.history");
	const char *before =
		MHD_lookup_connection_value(asked->connection, MHD_GET_ARGUMENT_KIND, "before");
	unsigned int limit;
	char next_id[DECISION_ID_SIZE] = "";
	int r = get_limit(asked, &limit, fault);
	if (r < 0)
		return fault_mark(&span, r, fault);
	json_out_object(out);
	json_out_key(out, "decisions");
	json_out_array(out);
	r = store_list(asked->context->store, limit, before, out, next_id, fault);
	json_out_end_array(out);
	json_out_key(out, "next");
	if (next_id[0])
		json_out_string(out, next_id, strlen(next_id));
	else
		json_out_null(out);
	json_out_end_object(out);
	if (r == 0 && !out->text.failed)
		waft_output_json(&span, out->text.data, out->text.length_bytes);
	return fault_mark(&span, r, fault);
}

static enum MHD_Result get_history(const struct asked *asked)
{
	struct fault fault = {0};
	struct json_out out = {0};
	int r = list(asked, &out, &fault);
	enum MHD_Result result;
	if (r < 0) {
		text_done(&out.text);
		result = answer_fault(asked->connection, &fault);
	} else {
		result = answer_json(
			asked->connection, MHD_HTTP_OK, text_take(&out.text), NULL, NULL, NULL);
	}
	fault_done(&fault);
	return result;
}

/* ---- Routes ---- */

#define GET_ALLOW "GET, HEAD"

static const struct route routes[] = {
	{"/api/health", GET_ALLOW, MHD_HTTP_METHOD_GET, get_health},
	{"/api/decision/health", GET_ALLOW, MHD_HTTP_METHOD_GET, get_decision_health},
	{"/api/decision/analyze", MHD_HTTP_METHOD_POST, MHD_HTTP_METHOD_POST, post_analyze},
	{"/api/decision/history", GET_ALLOW, MHD_HTTP_METHOD_GET, get_history},
	{"/api/decision/{id}", GET_ALLOW, MHD_HTTP_METHOD_GET, get_decision},
};

/* The first route that serves url. *ret_id: what {id} stands for there. */
static const struct route *find_route(const char *url, const char **ret_id)
{
	*ret_id = NULL;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const char *brace = strchr(routes[i].path, '{');
		size_t fixed = brace ? (size_t)(brace - routes[i].path) : strlen(routes[i].path);
		if (strncmp(url, routes[i].path, fixed) != 0)
			continue;
		const char *rest = url + fixed;
		if (brace ? *rest == '\0' || strchr(rest, '/') != NULL : *rest != '\0')
			continue;
		*ret_id = brace ? rest : NULL;
		return &routes[i];
	}
	return NULL;
}

const char *routes_name(void *cls, const char *method, const char *url)
{
	const char *id;
	(void)cls;
	(void)method;
	const struct route *route = find_route(url, &id);
	return route ? route->path : NULL;
}

static bool method_fits(const struct route *route, const char *method)
{
	return strcmp(method, route->method) == 0 ||
	       (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 &&
		       strcmp(route->method, MHD_HTTP_METHOD_GET) == 0);
}

enum MHD_Result routes_answer(const struct routes_context *context,
	struct MHD_Connection *connection, const char *method, const char *url,
	const struct text *body)
{
	struct asked asked = {.context = context, .connection = connection, .body = body};
	const struct route *route = find_route(url, &asked.id);
	char detail[512];
	if (route == NULL) {
		snprintf(detail, sizeof(detail),
			"Not found: the service has no such path; its paths "
			"are /api/health, /api/decision/health, "
			"/api/decision/analyze, /api/decision/history and "
			"/api/decision/<id>");
		return routes_error(connection, MHD_HTTP_NOT_FOUND, NULL, detail);
	}
	if (!method_fits(route, method)) {
		snprintf(detail, sizeof(detail), "Method not allowed: %s takes %s", route->path,
			route->allow);
		return routes_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, route->allow, detail);
	}
	return route->answer(&asked);
}
