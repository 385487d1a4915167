/*
 * The middleware: a server of its own on a free port, its handler wrapped. What
 * its spans hold in the end is looked at by integration/engine_trace.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <waft/microhttpd.h>

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define TRACEPARENT "00-" TRACE_ID "-b7ad6b7169203331-01"

/* What the handler saw and does; guarded by requests being one after another. */
static struct {
	int calls;
	int completed;
	int con_cls_errors;
	bool span_seen;
	char current_trace[WAFT_TRACEPARENT_SIZE];
	unsigned int status; /* 0: close the connection */
	const char *error;
	bool raw; /* MHD_queue_response itself */
} seen;

static char mark; /* what the handler leaves in its con_cls */

static enum MHD_Result queue(struct MHD_Connection *connection)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(2, (void *)"ok", MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;
	if (seen.raw)
		result = MHD_queue_response(connection, seen.status, response);
	else if (seen.error)
		result = waft_mhd_queue_error(connection, seen.status, response, seen.error);
	else
		result = waft_mhd_queue_response(connection, seen.status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **con_cls)
{
	(void)url, (void)method, (void)version, (void)upload_data;
	assert_ptr_equal(cls, &seen);
	seen.calls++;
	if (*con_cls == NULL) {
		seen.con_cls_errors += seen.calls != 1;
		*con_cls = &mark;
		return MHD_YES;
	}
	seen.con_cls_errors += *con_cls != &mark;
	if (*upload_data_size > 0) {
		*upload_data_size = 0;
		return MHD_YES;
	}
	struct waft_context current = {0};
	waft_context_current(&current);
	waft_traceparent_format(&current, seen.current_trace);
	waft_context_done(&current);
	seen.span_seen = waft_mhd_span() != NULL;
	return seen.status ? queue(connection) : MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
	enum MHD_RequestTerminationCode toe)
{
	(void)connection, (void)toe;
	seen.con_cls_errors += cls != &seen || *con_cls != &mark;
	seen.completed++;
}

static const char *find_route(void *cls, const char *method, const char *url)
{
	(void)cls, (void)method;
	return strncmp(url, "/orders/", 8) == 0 ? "/orders/{id}" : NULL;
}

static struct waft_mhd *adapter;

static struct MHD_Daemon *start(uint16_t *ret_port)
{
	const struct waft_mhd_options options = {
		.size = sizeof(options),
		.handler = on_request,
		.handler_cls = &seen,
		.completed = on_completed,
		.completed_cls = &seen,
		.route = find_route,
	};
	adapter = waft_mhd_new(&options);
	assert_non_null(adapter);
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
		waft_mhd_handler, adapter, MHD_OPTION_SOCK_ADDR, &address,
		MHD_OPTION_NOTIFY_COMPLETED, waft_mhd_completed, adapter, MHD_OPTION_END);
	assert_non_null(daemon);
	*ret_port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
	return daemon;
}

/* Sends head (ending its headers) and reads until the server closes. */
static void ask(const char *head, char *ret_answer, size_t size)
{
	uint16_t port;
	struct MHD_Daemon *daemon = start(&port);
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, head, strlen(head)), strlen(head));
	size_t length = 0;
	for (ssize_t got; (got = read(fd, ret_answer + length, size - 1 - length)) > 0;)
		length += (size_t)got;
	ret_answer[length] = '\0';
	close(fd);
	MHD_stop_daemon(daemon);
	waft_mhd_free(adapter);
	assert_int_equal(seen.con_cls_errors, 0);
}

static void reset(unsigned int status)
{
	memset(&seen, 0, sizeof(seen));
	seen.status = status;
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

static void test_con_cls_is_the_handlers_own(void **state)
{
	char answer[4096];
	(void)state;
	reset(200);
	ask("POST /orders/5 HTTP/1.1\r\nContent-Length: 3\r\n" CLOSE "abc", answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200 OK"));
	assert_int_equal(seen.calls, 3);
	assert_int_equal(seen.completed, 1);
	assert_true(seen.span_seen);
	assert_null(waft_mhd_span());
}

/* The value of the header traceresponse, or NULL. */
static const char *traceresponse_of(char *answer)
{
	static const char name[] = "\ntraceresponse: ";
	char *line = strstr(answer, name);
	if (line == NULL)
		return NULL;
	line += sizeof(name) - 1;
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

static void test_continues_the_callers_trace(void **state)
{
	char answer[4096];
	(void)state;
	reset(200);
	ask("GET / HTTP/1.1\r\ntraceparent: " TRACEPARENT "\r\n" CLOSE, answer, sizeof(answer));
	const char *traceresponse = traceresponse_of(answer);
	assert_non_null(traceresponse);
	assert_memory_equal(traceresponse, "00-" TRACE_ID "-", 36);
	assert_null(strstr(traceresponse, "b7ad6b7169203331"));
	/* The span is the current one of the handler. */
	assert_string_equal(traceresponse, seen.current_trace);
	/* Two headers are no traceparent (W3C: one only). */
	reset(200);
	ask("GET / HTTP/1.1\r\ntraceparent: " TRACEPARENT "\r\ntraceparent: " TRACEPARENT
	    "\r\n" CLOSE,
		answer, sizeof(answer));
	traceresponse = traceresponse_of(answer);
	assert_non_null(traceresponse);
	assert_null(strstr(traceresponse, TRACE_ID));
}

static void test_without_queue_response_of_ours(void **state)
{
	char answer[4096];
	(void)state;
	reset(404);
	seen.raw = true;
	ask("BREW / HTTP/1.1\r\n" CLOSE, answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 404"));
	assert_null(traceresponse_of(answer));
	assert_int_equal(seen.completed, 1);
}

static void test_connection_closed_by_the_handler(void **state)
{
	char answer[4096];
	(void)state;
	reset(0);
	ask("GET / HTTP/1.1\r\n" CLOSE, answer, sizeof(answer));
	assert_string_equal(answer, "");
	assert_int_equal(seen.completed, 1);
}

static void test_error_is_not_the_callers_matter(void **state)
{
	char answer[4096];
	(void)state;
	reset(503);
	seen.error = "no more room";
	ask("GET /orders/7 HTTP/1.1\r\n" CLOSE, answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	assert_null(strstr(answer, "no more room"));
}

static void test_options(void **state)
{
	(void)state;
	struct waft_mhd_options options = {.size = sizeof(options)};
	assert_null(waft_mhd_new(NULL));
	assert_null(waft_mhd_new(&options));
	options.handler = on_request;
	options.size = sizeof(options) + 1;
	assert_null(waft_mhd_new(&options));
	/* A caller compiled against an older header gives fewer members. */
	options.size = offsetof(struct waft_mhd_options, completed);
	struct waft_mhd *older = waft_mhd_new(&options);
	assert_non_null(older);
	waft_mhd_free(older);
	waft_mhd_free(NULL);
	assert_null(waft_mhd_span());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_con_cls_is_the_handlers_own),
		cmocka_unit_test(test_continues_the_callers_trace),
		cmocka_unit_test(test_without_queue_response_of_ours),
		cmocka_unit_test(test_connection_closed_by_the_handler),
		cmocka_unit_test(test_error_is_not_the_callers_matter),
		cmocka_unit_test(test_options),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
