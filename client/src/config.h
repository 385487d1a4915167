/*
 * The settings of a process: options, else environment, else defaults. A
 * set-uid program's environment is not looked at.
 */
#ifndef WAFT_CLIENT_CONFIG_H
#define WAFT_CLIENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <waft/waft.h>

#include "sampler.h"

enum {
	CONFIG_PATH_BYTES = 4096,
	CONFIG_FILE_BYTES = 1024,
	CONFIG_TOKEN_BYTES = 1025,
	CONFIG_SERVICE_BYTES = 256,
	CONFIG_PRODUCER_BYTES = 16384,
};

enum endpoint_kind {
	ENDPOINT_SEARCH = 0, /* none is set: the usual sockets, at each connect */
	ENDPOINT_UNIX,
	ENDPOINT_FILE,
	ENDPOINT_TCP, /* plain, loopback only */
	ENDPOINT_TLS,
	ENDPOINT_NONE, /* one that may not be used: nothing is sent anywhere else */
};

struct config {
	enum endpoint_kind endpoint;
	char path[CONFIG_PATH_BYTES]; /* of socket or directory; TCP and TLS: the host */
	uint16_t port;
	char tls_ca[CONFIG_FILE_BYTES]; /* "": the system's */
	char tls_cert[CONFIG_FILE_BYTES];
	char tls_key[CONFIG_FILE_BYTES];
	char token[CONFIG_TOKEN_BYTES];
	char token_file[CONFIG_FILE_BYTES];
	char service[CONFIG_SERVICE_BYTES];
	struct sampler sampler;
	bool capture;
	bool disabled;
	uint32_t snapshot_limit_bytes;
	uint32_t batch_age_ms;
	uint32_t exit_timeout_ms;
	size_t resource_bytes; /* encoded Producer.resource fields */
	uint8_t resource[CONFIG_PRODUCER_BYTES];
};

/* getenv for programs that run with their caller's rights, else NULL. */
const char *config_env(const char *name);

/* Fills *ret_config; complains about each malformed value and takes the default
 * in its place. Sets the names to redact. 0 or -EINVAL. */
int config_read(struct config *ret_config, const struct waft_options *options);

/* The bearer token to show, of the file when there is one, read anew: length, 0: none; a
 * negative errno, complained about: nothing may be sent. */
int config_token(const struct config *config, char ret_token[CONFIG_TOKEN_BYTES]);

/* The encoded fields of a Producer, into at most size bytes; their number. */
size_t config_producer(const struct config *config, uint64_t pid, uint8_t *buffer, size_t size);

/* Whether spans go over a Unix socket: only there a region can be handed over. */
static inline bool config_is_local(const struct config *config)
{
	return config->endpoint == ENDPOINT_SEARCH || config->endpoint == ENDPOINT_UNIX;
}

#endif
