/*
 * The daemon's sockets: made before the store is touched, so that a port in use is
 * found out while nothing has happened yet, and accepted on when all is ready. Who
 * connects in between waits in the kernel's queue.
 */
#include "collector_internal.h"

#include "log_line.h"
#include "notify.h"
#include "paths.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Making them ------------------------------------------------------------- */

static bool is_region(const struct notify_fd *passed)
{
	return strncmp(passed->name, "region.", 7) == 0;
}

static int open_unix_socket(struct collector *collector)
{
	struct listener *listener = &collector->listeners[collector->listener_count];
	struct paths_environment environment;
	struct listener_error error;
	char *path = NULL;
	int status = 0;

	if (collector->settings.socket == NULL) {
		paths_environment_read(&environment);
		status = paths_socket(&environment, &path);
		if (status < 0) {
			log_error("there is no place for a socket: give one by --socket");
			return status;
		}
	}
	status = listener_open_unix(path != NULL ? path : collector->settings.socket,
		(mode_t)collector->settings.socket_mode, listener, &error);
	free(path);
	if (status < 0) {
		log_error("%s", error.text);
		return status;
	}
	collector->listener_count++;
	return 0;
}

/* What the service manager passed: sockets; regions are taken by sockets_accept. */
static int adopt_sockets(struct collector *collector)
{
	for (int i = 0; i < collector->passed_count; i++) {
		struct listener *listener = &collector->listeners[collector->listener_count];
		struct listener_error error;
		int status;

		if (is_region(&collector->passed[i]) ||
			collector->listener_count == COLLECTOR_LISTENERS_MAX - 1)
			continue;
		status = listener_adopt(collector->passed[i].fd, listener, &error);
		if (status < 0) {
			log_error("%s", error.text);
			return status;
		}
		collector->listener_count++;
	}
	return 0;
}

static int open_endpoint(struct collector *collector, const char *endpoint)
{
	struct listener *listener = &collector->listeners[collector->listener_count];
	struct listener_error error;
	int status;

	if (collector->listener_count == COLLECTOR_LISTENERS_MAX) {
		log_error("can't listen on %s: there are too many endpoints", endpoint);
		return -ENOSPC;
	}
	status = listener_open_tcp(endpoint, listener, &error);
	if (status < 0) {
		log_error("%s", error.text);
		return status;
	}
	collector->listener_count++;
	return 0;
}

static int open_endpoints(struct collector *collector)
{
	char *list = strdup(collector->settings.listen);
	char *save = NULL;
	int status = list != NULL ? 0 : -ENOMEM;

	for (char *endpoint = status == 0 ? strtok_r(list, ", ", &save) : NULL;
		endpoint != NULL && status == 0; endpoint = strtok_r(NULL, ", ", &save))
		status = open_endpoint(collector, endpoint);
	free(list);
	return status;
}

static int open_http(struct collector *collector)
{
	const struct settings *settings = &collector->settings;
	int status;

	if (settings->http == NULL)
		return 0;
	status = http_listen(settings->http, settings->http_remote != 0, &collector->http_fd);
	if (status < 0)
		log_error("can't serve HTTP on %s: %s", settings->http, error_text(status));
	return status;
}

int sockets_open(struct collector *collector)
{
	int status;

	collector->passed_count = notify_listen_fds(&collector->passed);
	status = adopt_sockets(collector);
	if (status == 0 && collector->listener_count == 0)
		status = open_unix_socket(collector);
	if (status == 0 && collector->settings.listen != NULL)
		status = open_endpoints(collector);
	return status == 0 ? open_http(collector) : status;
}

/* ---- Accepting ----------------------------------------------------------------- */

static char *http_body(void *context, const char *path, size_t *ret_length,
	const char **ret_content_type, unsigned int *ret_status)
{
	struct collector *collector = context;
	struct report report;

	if (strcmp(path, "/metrics") != 0 && strcmp(path, "/healthz") != 0)
		return NULL;
	report_gather(collector, &report);
	if (strcmp(path, "/metrics") == 0) {
		*ret_content_type = "text/plain; version=0.0.4; charset=utf-8";
		return report_metrics(&report, ret_length);
	}
	*ret_status = report.reason_count > 0 ? 503 : 200;
	return report_healthz(&report, ret_length);
}

static int start_http(struct collector *collector)
{
	const struct http_config config = {
		.loop = &collector->loop,
		.fd = collector->http_fd,
		.body = http_body,
		.context = collector,
	};
	int status;

	if (config.fd < 0)
		return 0;
	status = http_start(&config, &collector->http);
	if (status < 0)
		log_error(
			"can't serve HTTP on %s: %s", collector->settings.http, error_text(status));
	else
		collector->http_fd = -1;
	return status;
}

int sockets_accept(struct collector *collector)
{
	int status = start_http(collector);

	for (int i = 0; i < collector->passed_count; i++) {
		const struct notify_fd *passed = &collector->passed[i];

		if (is_region(passed))
			regions_adopt(collector->regions, passed->fd, passed->name);
	}
	while (status == 0 && collector->accepting_count < collector->listener_count) {
		const struct listener *listener = &collector->listeners[collector->accepting_count];

		status = server_listen(collector->server, listener);
		if (status < 0)
			log_error("can't listen on %s: %s", listener->name, uv_strerror(status));
		else
			collector->accepting_count++;
	}
	return status;
}

void sockets_close(struct collector *collector)
{
	for (size_t i = 0; i < collector->listener_count; i++)
		listener_close(&collector->listeners[i], i < collector->accepting_count);
	if (collector->http_fd >= 0)
		close(collector->http_fd);
	free(collector->passed);
}
