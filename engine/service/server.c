/*
 * server.c: see server.h. How a request goes: libmicrohttpd calls on_request
 * (through waft's middleware) with the head, with each piece of the body, and
 * once more at the end, when the route's function answers. A body over the limit
 * is read on and thrown away, so that its sender gets to read the 413.
 */
#include "server.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <waft/microhttpd.h>

#include "log.h"
#include "server_routes.h"

enum {
	BODY_LIMIT_BYTES = 1024 * 1024,
	DRAIN_LIMIT_BYTES = 64 * 1024 * 1024,
	CONNECTIONS_MAX = 256,
	CONNECTION_TIMEOUT_S = 30,
};

struct server {
	struct MHD_Daemon *daemon;
	struct waft_mhd *traced;
	struct routes_context routes;
	const char *address;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* requests became 0; CLOCK_MONOTONIC */
	unsigned int requests;
};

static void count_request(struct server *server, int change)
{
	pthread_mutex_lock(&server->lock);
	server->requests += (unsigned int)change;
	if (server->requests == 0)
		pthread_cond_broadcast(&server->idle);
	pthread_mutex_unlock(&server->lock);
}

/* ---- Bodies ---- */

static bool expects_continue(struct MHD_Connection *connection)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT) !=
	       NULL;
}

/* What the head tells of the body's size; 0 when nothing. */
static unsigned long long announced_bytes(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	return length ? strtoull(length, NULL, 10) : 0;
}

static enum MHD_Result answer_too_large(struct MHD_Connection *connection)
{
	return routes_error(connection, MHD_HTTP_CONTENT_TOO_LARGE, NULL,
		"Request body is over the limit of 1048576 bytes; send a smaller decision");
}

static enum MHD_Result begin_request(
	struct server *server, struct MHD_Connection *connection, void **con_cls)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	if (exchange == NULL)
		return MHD_NO;
	count_request(server, 1);
	*con_cls = exchange;
	unsigned long long announced = announced_bytes(connection);
	exchange->too_large = announced > BODY_LIMIT_BYTES;
	/* The sender waits for leave to go on, or would send for long: tell now. */
	if (exchange->too_large && (expects_continue(connection) || announced > DRAIN_LIMIT_BYTES))
		return answer_too_large(connection);
	return MHD_YES;
}

static enum MHD_Result take_piece(struct exchange *exchange, const char *data, size_t *size)
{
	exchange->received_bytes += *size;
	if (exchange->received_bytes > DRAIN_LIMIT_BYTES)
		return MHD_NO;
	if (exchange->received_bytes > BODY_LIMIT_BYTES)
		exchange->too_large = true;
	if (exchange->too_large)
		text_done(&exchange->body);
	else
		text_append(&exchange->body, data, *size);
	*size = 0;
	return MHD_YES;
}

/* ---- Requests ---- */

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **con_cls)
{
	struct server *server = cls;
	(void)version;
	if (*con_cls == NULL)
		return begin_request(server, connection, con_cls);
	struct exchange *exchange = *con_cls;
	if (*upload_data_size > 0)
		return take_piece(exchange, upload_data, upload_data_size);
	if (exchange->too_large)
		return answer_too_large(connection);
	if (exchange->body.failed)
		return routes_error(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL,
			"out of memory; try again later");
	return routes_answer(&server->routes, connection, method, url, &exchange->body);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
	enum MHD_RequestTerminationCode toe)
{
	struct exchange *exchange = *con_cls;
	(void)connection;
	(void)toe;
	if (exchange == NULL)
		return;
	text_done(&exchange->body);
	free(exchange);
	count_request(cls, -1);
}

/* ---- Start and stop ---- */

static void init_lock(struct server *server)
{
	pthread_condattr_t attributes;
	pthread_mutex_init(&server->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&server->idle, &attributes);
	pthread_condattr_destroy(&attributes);
}

static void server_free(struct server *server)
{
	waft_mhd_free(server->traced);
	pthread_cond_destroy(&server->idle);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

__attribute__((format(printf, 2, 0))) static void on_daemon_error(
	void *cls, const char *format, va_list args)
{
	(void)cls;
	log_mhd(format, args);
}

/* Takes fd on success. */
static int start_daemon(struct server *server, int fd, struct fault *fault)
{
	const struct waft_mhd_options options = {
		.size = sizeof(options),
		.handler = on_request,
		.handler_cls = server,
		.completed = on_completed,
		.completed_cls = server,
		.route = routes_name,
	};
	server->traced = waft_mhd_new(&options);
	if (server->traced == NULL)
		return fault_memory(fault);
	server->daemon =
		MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION |
					 MHD_USE_ERROR_LOG | MHD_USE_ITC,
			0, NULL, NULL, waft_mhd_handler, server->traced, MHD_OPTION_EXTERNAL_LOGGER,
			on_daemon_error, NULL, MHD_OPTION_NOTIFY_COMPLETED, waft_mhd_completed,
			server->traced, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
			(unsigned int)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
			(unsigned int)CONNECTION_TIMEOUT_S, MHD_OPTION_END);
	if (server->daemon == NULL)
		return fault_set(fault, FAULT_INTERNAL, "cannot start the HTTP server on %s: %s",
			server->address, strerror(errno));
	return 0;
}

int server_start(
	const struct server_options *options, struct server **ret_server, struct fault *fault)
{
	struct server *server = calloc(1, sizeof(*server));
	if (server == NULL)
		return fault_memory(fault);
	init_lock(server);
	server->routes = (struct routes_context){
		.core = worker_core(options->pool),
		.store = options->store,
	};
	server->address = options->address;
	int r = start_daemon(server, options->fd, fault);
	if (r < 0) {
		server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

static void wait_for_requests(struct server *server, int64_t timeout_ms)
{
	int64_t deadline_ms = monotonic_ms() + timeout_ms;
	const struct timespec until = {
		.tv_sec = deadline_ms / 1000,
		.tv_nsec = deadline_ms % 1000 * 1000000,
	};
	int waited = 0;
	pthread_mutex_lock(&server->lock);
	while (server->requests > 0 && waited == 0)
		waited = pthread_cond_timedwait(&server->idle, &server->lock, &until);
	if (server->requests > 0)
		log_warning("%u requests were not done after %lld ms and are given up",
			server->requests, (long long)timeout_ms);
	pthread_mutex_unlock(&server->lock);
}

void server_stop(struct server *server, int64_t timeout_ms)
{
	if (server == NULL)
		return;
	int fd = MHD_quiesce_daemon(server->daemon);
	if (fd >= 0)
		close(fd);
	wait_for_requests(server, timeout_ms);
	MHD_stop_daemon(server->daemon);
	server_free(server);
}
