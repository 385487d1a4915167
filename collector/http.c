/*
 * libmicrohttpd on a uv loop: its epoll descriptor is watched by a uv_poll, its
 * timeouts by a uv_timer; MHD_run does the rest. Loop thread.
 *
 * The library is loaded when it is wanted: it brings ten others with it (GnuTLS and
 * what that needs), which take longer to load than all that the daemon needs.
 */
#include "http.h"

#include "clock.h"
#include "listener.h"
#include "log_line.h"

#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 64
#define CONNECTIONS_MAX 16u
#define TIMEOUT_S 10u
#define MEMORY_BYTES (16u * 1024)

#define LIBRARY "libmicrohttpd.so.12"

/* Its functions; all NULL until they are loaded. */
static struct {
	__typeof__(&MHD_add_response_header) add_response_header;
	__typeof__(&MHD_create_response_from_buffer) create_response_from_buffer;
	__typeof__(&MHD_destroy_response) destroy_response;
	__typeof__(&MHD_get_daemon_info) get_daemon_info;
	__typeof__(&MHD_get_timeout) get_timeout;
	__typeof__(&MHD_queue_response) queue_response;
	__typeof__(&MHD_quiesce_daemon) quiesce_daemon;
	__typeof__(&MHD_run) run;
	__typeof__(&MHD_start_daemon) start_daemon;
	__typeof__(&MHD_stop_daemon) stop_daemon;
} mhd;

static const struct {
	const char *name;
	void *function;
} mhd_names[] = {
	{"MHD_add_response_header", &mhd.add_response_header},
	{"MHD_create_response_from_buffer", &mhd.create_response_from_buffer},
	{"MHD_destroy_response", &mhd.destroy_response},
	{"MHD_get_daemon_info", &mhd.get_daemon_info},
	{"MHD_get_timeout", &mhd.get_timeout},
	{"MHD_queue_response", &mhd.queue_response},
	{"MHD_quiesce_daemon", &mhd.quiesce_daemon},
	{"MHD_run", &mhd.run},
	{"MHD_start_daemon", &mhd.start_daemon},
	{"MHD_stop_daemon", &mhd.stop_daemon},
};

/* 0, or -ENOENT: it is not there, or another one. */
static int load_library(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; library != NULL && i < sizeof(mhd_names) / sizeof(mhd_names[0]); i++) {
		void *function = dlsym(library, mhd_names[i].name);

		if (function == NULL)
			library = NULL;
		memcpy(mhd_names[i].function, &function, sizeof(function));
	}
	if (library != NULL)
		return 0;
	log_error("can't load %s: %s", LIBRARY, dlerror());
	return -ENOENT;
}

struct http {
	struct http_config config;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned int handles;
	void (*on_closed)(void *context);
	void *closed_context;
};

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned int status,
	const char *content_type, char *body, size_t length, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = mhd.create_response_from_buffer(length, body, mode);
	enum MHD_Result result;

	if (response == NULL) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(body);
		return MHD_NO;
	}
	(void)mhd.add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	(void)mhd.add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = mhd.queue_response(connection, status, response);
	mhd.destroy_response(response);
	return result;
}

static enum MHD_Result respond_text(
	struct MHD_Connection *connection, unsigned int status, const char *text)
{
	return respond(connection, status, "text/plain; charset=utf-8", (char *)(uintptr_t)text,
		strlen(text), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_length,
	void **request)
{
	struct http *http = context;
	const char *content_type = "text/plain";
	unsigned int status = MHD_HTTP_OK;
	size_t length = 0;
	char *body;

	(void)version;
	(void)upload_data;
	(void)request;
	if (*upload_length > 0) {
		*upload_length = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return respond_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD only\n");
	body = http->config.body(http->config.context, url, &length, &content_type, &status);
	if (body == NULL)
		return respond_text(
			connection, MHD_HTTP_NOT_FOUND, "there are /metrics and /healthz\n");
	return respond(connection, status, content_type, body, length, MHD_RESPMEM_MUST_FREE);
}

/* ---- The loop ------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void run_daemon(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms = 0;

	(void)mhd.run(http->daemon);
	if (mhd.get_timeout(http->daemon, &timeout_ms) == MHD_YES)
		(void)uv_timer_start(&http->timer, on_timer, timeout_ms, 0);
	else
		(void)uv_timer_stop(&http->timer);
}

static void on_timer(uv_timer_t *timer)
{
	run_daemon(timer->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	run_daemon(poll->data);
}

static int watch(struct http *http)
{
	const union MHD_DaemonInfo *info =
		mhd.get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int status;

	if (info == NULL)
		return -EIO;
	status = uv_timer_init(http->config.loop, &http->timer);
	if (status < 0)
		return status;
	status = uv_poll_init(http->config.loop, &http->poll, info->epoll_fd);
	if (status < 0)
		return status;
	http->handles = 2;
	http->timer.data = http;
	http->poll.data = http;
	return uv_poll_start(&http->poll, UV_READABLE, on_ready);
}

/* ---- Life ------------------------------------------------------------------------- */

int http_listen(const char *address, bool remote, int *ret_fd)
{
	struct sockaddr_storage parsed;
	socklen_t length = 0;
	const int on = 1;
	int loopback = listener_parse_address(address, &parsed, &length);
	int status = 0;
	int fd;

	if (loopback < 0)
		return loopback;
	if (loopback == 0 && !remote)
		return -EPERM;
	fd = socket(parsed.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		(parsed.ss_family == AF_INET6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
		bind(fd, (const struct sockaddr *)&parsed, length) != 0 || listen(fd, BACKLOG) != 0)
		status = -errno;
	if (status < 0)
		close(fd);
	else
		*ret_fd = fd;
	return status;
}

int http_start(const struct http_config *config, struct http **ret)
{
	struct http *http;
	int status = load_library();

	if (status < 0)
		return status;
	http = calloc(1, sizeof(*http));
	if (http == NULL)
		return -ENOMEM;
	http->config = *config;
	errno = 0;
	http->daemon = mhd.start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, http,
		MHD_OPTION_LISTEN_SOCKET, config->fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)MEMORY_BYTES, MHD_OPTION_END);
	if (http->daemon == NULL) {
		status = errno != 0 ? -errno : -EIO;
		free(http);
		return status;
	}
	status = watch(http);
	if (status < 0) {
		/* Ends the program's start; the handles go with it, and the socket with the
		 * process. */
		(void)mhd.quiesce_daemon(http->daemon);
		mhd.stop_daemon(http->daemon);
		return status;
	}
	*ret = http;
	return 0;
}

unsigned int http_port(const struct http *http)
{
	const union MHD_DaemonInfo *info =
		mhd.get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info != NULL ? info->port : 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct http *http = handle->data;

	if (--http->handles > 0)
		return;
	mhd.stop_daemon(http->daemon);
	http->on_closed(http->closed_context);
	free(http);
}

void http_close(struct http *http, void (*on_closed)(void *context), void *context)
{
	http->on_closed = on_closed;
	http->closed_context = context;
	uv_close((uv_handle_t *)&http->poll, on_handle_closed);
	uv_close((uv_handle_t *)&http->timer, on_handle_closed);
}
