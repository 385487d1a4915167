/*
 * What settings must be together and beyond their kinds: addresses that are some, and
 * what TLS needs. Opens no file and asks nobody. Thread: any.
 */
#include "settings.h"

#include "credentials.h"
#include "forward.h"
#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MEMORY_BYTES ((uint64_t)8 << 20)

static int refuse(
	struct settings_error *error, const char *name, const char *value, const char *why)
{
	snprintf(error->text, sizeof(error->text), "%s: '%.200s' %s", name, value, why);
	return -EINVAL;
}

static int check_http(const struct settings *settings, struct settings_error *error)
{
	struct sockaddr_storage address;
	socklen_t length = 0;
	int loopback;

	if (settings->http == NULL)
		return 0;
	loopback = listener_parse_address(settings->http, &address, &length);
	if (loopback < 0)
		return refuse(error, "http", settings->http,
			"is not ADDRESS:PORT, such as 127.0.0.1:9464 or [::1]:9464");
	if (loopback == 0 && settings->http_remote == 0)
		return refuse(error, "http", settings->http,
			"is not a loopback address; --http-remote yes allows it");
	return 0;
}

static int check_endpoint(
	const char *endpoint, const struct settings *settings, struct settings_error *error)
{
	struct sockaddr_storage address;
	socklen_t length = 0;
	bool tls = strncmp(endpoint, "tls://", 6) == 0;
	const char *problem;
	int loopback = -EINVAL;

	if (tls || strncmp(endpoint, "tcp://", 6) == 0)
		loopback = listener_parse_address(endpoint + 6, &address, &length);
	if (loopback < 0)
		return refuse(error, "listen", endpoint,
			"is not tcp://ADDRESS:PORT or tls://ADDRESS:PORT");
	if (loopback == 0 && !tls)
		return refuse(error, "listen", endpoint,
			"is plain TCP beyond loopback: tls:// is for all addresses");
	if (!tls)
		return 0;
	problem = credentials_problem(settings);
	if (problem == NULL)
		return 0;
	snprintf(error->text, sizeof(error->text), "listen: %s", problem);
	return -EINVAL;
}

static int check_listen(const struct settings *settings, struct settings_error *error)
{
	char *list = NULL;
	char *save = NULL;
	int status = 0;

	if (settings->listen == NULL)
		return 0;
	list = strdup(settings->listen);
	if (list == NULL) {
		snprintf(error->text, sizeof(error->text), "out of memory");
		return -ENOMEM;
	}
	for (char *endpoint = strtok_r(list, ", ", &save); endpoint != NULL && status == 0;
		endpoint = strtok_r(NULL, ", ", &save))
		status = check_endpoint(endpoint, settings, error);
	free(list);
	return status;
}

/* What each takes is small, but is taken whatever comes. */
static int check_threads(const struct settings *settings, struct settings_error *error)
{
	uint64_t shards = settings->shards > 1 ? settings->shards : 0;
	char value[32];

	if (shards * THREAD_MEMORY_BYTES > settings->memory_limit) {
		snprintf(value, sizeof(value), "%llu", (unsigned long long)shards);
		return refuse(error, "shards", value, "needs a memory-limit of 8M for each");
	}
	if ((shards + settings->decoders) * THREAD_MEMORY_BYTES > settings->memory_limit) {
		snprintf(value, sizeof(value), "%llu", (unsigned long long)settings->decoders);
		return refuse(error, "decoders", value,
			"needs a memory-limit of 8M for each, and for each of several shards");
	}
	return 0;
}

int settings_check(const struct settings *settings, struct settings_error *ret_error)
{
	const char *why;
	int status = check_http(settings, ret_error);

	if (status == 0)
		status = check_listen(settings, ret_error);
	if (status == 0)
		status = check_threads(settings, ret_error);
	if (status == 0 && settings->forward != NULL && forward_check(settings->forward, &why) < 0)
		status = refuse(ret_error, "forward", settings->forward, why);
	return status;
}
