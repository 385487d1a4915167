/* See config.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "cursor.h"
#include "process.h"
#include "redact.h"
#include "text.h"
#include "wire.h"

enum {
	SNAPSHOT_LIMIT_DEFAULT = 1000,
	SNAPSHOT_LIMIT_MAX = 30000, /* two of them fit a span */
	BATCH_AGE_DEFAULT_MS = 100,
	BATCH_AGE_MAX_MS = 60000,
	EXIT_TIMEOUT_DEFAULT_MS = 1000,
	EXIT_TIMEOUT_MAX_MS = 600000,
};

const char *config_env(const char *name)
{
	const char *value = secure_getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* An option's text, else the environment's. */
static const char *text_of(const char *option, const char *variable)
{
	return option != NULL ? option : config_env(variable);
}

static int malformed(const char *what, const char *value, const char *expected)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: \"%.200s\" is not %s; the default is used", what, value,
		expected);
	process_complain(what, text);
	return -EINVAL;
}

/* Options have a size, so that a program built against an older waft.h works. */
static void options_copy(struct waft_options *ret, const struct waft_options *options)
{
	*ret = (struct waft_options){0};
	if (options != NULL && options->size >= sizeof(size_t))
		memcpy(ret, options, options->size < sizeof(*ret) ? options->size : sizeof(*ret));
}

/* ---- One setting each ---------------------------------------------------- */

static int number_read(
	uint32_t *ret, uint32_t option, const char *variable, uint32_t fallback, uint32_t highest)
{
	const char *text = config_env(variable);
	uint64_t value = 0;

	*ret = fallback;
	if (option != 0) {
		*ret = option <= highest ? option : highest;
		return 0;
	}
	if (text == NULL)
		return 0;
	for (const char *at = text; *at != '\0'; at++) {
		if (*at < '0' || *at > '9' || value > highest)
			return malformed(variable, text, "a number in its range");
		value = value * 10 + (uint64_t)(*at - '0');
	}
	if (value == 0 || value > highest)
		return malformed(variable, text, "a number in its range");
	*ret = (uint32_t)value;
	return 0;
}

/* One that can't be used is not replaced: spans meant for one place don't go to
 * another. */
static int endpoint_unusable(struct config *config, const char *text, const char *why)
{
	char line[512];

	config->endpoint = ENDPOINT_NONE;
	snprintf(line, sizeof(line), "WAFT_ENDPOINT: \"%.200s\" %s; nothing is sent", text, why);
	process_complain("WAFT_ENDPOINT", line);
	return -EINVAL;
}

/* HOST:PORT or [ADDRESS]:PORT behind tcp:// or tls://. Plain TCP takes a numeric
 * address only, so that no name can lead it off this machine. */
static int remote_read(struct config *config, const char *text)
{
	struct address address;
	struct sockaddr_storage numeric;
	socklen_t length;
	const char *lacks;

	config->endpoint = text[1] == 'c' ? ENDPOINT_TCP : ENDPOINT_TLS;
	if (address_split(text + 6, &address, &lacks) < 0)
		return endpoint_unusable(config, text, lacks);
	if (address.port == 0)
		return endpoint_unusable(config, text, "has no port from 1 to 65535");
	if (config->endpoint == ENDPOINT_TCP && strcmp(address.host, "localhost") == 0)
		strcpy(address.host, "127.0.0.1");
	if (config->endpoint == ENDPOINT_TCP &&
		(address_numeric(&address, &numeric, &length) < 0 ||
			!address_is_loopback((struct sockaddr *)&numeric)))
		return endpoint_unusable(
			config, text, "is plain TCP to another machine, where tls:// is needed");
	strcpy(config->path, address.host);
	config->port = address.port;
	return 0;
}

static int file_read(char ret_path[CONFIG_FILE_BYTES], const char *variable)
{
	const char *text = config_env(variable);

	ret_path[0] = '\0';
	if (text == NULL)
		return 0;
	if (strlen(text) >= CONFIG_FILE_BYTES)
		return malformed(variable, text, "a path of a usable length");
	strcpy(ret_path, text);
	return 0;
}

/* Without the white space behind it, as files end in a newline; false: it can't be
 * one. */
static bool token_trim(char *token)
{
	size_t length = strlen(token);

	while (length > 0 && strchr(" \t\r\n", token[length - 1]) != NULL)
		token[--length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (token[i] <= ' ' || token[i] > '~')
			return false;
	return true;
}

static int token_complain(const char *why)
{
	char line[CONFIG_FILE_BYTES + 128];

	snprintf(line, sizeof(line), "the token of %s: nothing is sent", why);
	process_complain("token", line);
	return -EACCES;
}

int config_token(const struct config *config, char ret_token[CONFIG_TOKEN_BYTES])
{
	char why[CONFIG_FILE_BYTES + 64];
	ssize_t length;
	int fd;

	if (*config->token_file == '\0') {
		memcpy(ret_token, config->token, CONFIG_TOKEN_BYTES);
	} else {
		fd = open(config->token_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		length = fd >= 0 ? read(fd, ret_token, CONFIG_TOKEN_BYTES - 1) : -1;
		snprintf(why, sizeof(why), "%s can't be read (%s)", config->token_file,
			strerror(errno));
		if (fd >= 0)
			close(fd);
		if (length < 0)
			return token_complain(why);
		ret_token[length] = '\0';
	}
	if (!token_trim(ret_token))
		return token_complain("WAFT_TOKEN or WAFT_TOKEN_FILE is no line of plain text");
	if (*config->token_file != '\0' && *ret_token == '\0')
		return token_complain("WAFT_TOKEN_FILE is empty");
	return (int)strlen(ret_token);
}

static int remote_files_read(struct config *config)
{
	const char *token = config_env("WAFT_TOKEN");
	int ret = file_read(config->tls_ca, "WAFT_TLS_CA");

	if (file_read(config->tls_cert, "WAFT_TLS_CERT") < 0 ||
		file_read(config->tls_key, "WAFT_TLS_KEY") < 0 ||
		file_read(config->token_file, "WAFT_TOKEN_FILE") < 0)
		ret = -EINVAL;
	config->token[0] = '\0';
	if (token == NULL)
		return ret;
	/* Not shown, not even when it is wrong. */
	if (strlen(token) >= CONFIG_TOKEN_BYTES)
		return endpoint_unusable(config, "WAFT_TOKEN", "is too long");
	strcpy(config->token, token);
	return ret;
}

static int endpoint_read(struct config *config, const char *text)
{
	const char *path;
	enum endpoint_kind kind;

	config->endpoint = ENDPOINT_SEARCH;
	if (text == NULL || *text == '\0')
		return 0;
	if (strncmp(text, "unix:", 5) == 0)
		kind = ENDPOINT_UNIX;
	else if (strncmp(text, "file:", 5) == 0)
		kind = ENDPOINT_FILE;
	else if (strncmp(text, "tcp://", 6) == 0 || strncmp(text, "tls://", 6) == 0)
		return remote_read(config, text);
	else
		return malformed("WAFT_ENDPOINT", text,
			"unix:PATH, file:DIR, tls://HOST:PORT or tcp://127.0.0.1:PORT");
	path = text + 5;
	if (*path == '\0' || strlen(path) >= (kind == ENDPOINT_UNIX ? 108 : CONFIG_PATH_BYTES))
		return malformed("WAFT_ENDPOINT", text, "a path of a usable length");
	config->endpoint = kind;
	memcpy(config->path, path, strlen(path) + 1);
	return 0;
}

static void service_read(struct config *config, const char *text)
{
	size_t length;

	if (text == NULL || *text == '\0')
		text = program_invocation_short_name;
	if (text == NULL || *text == '\0')
		text = "unknown_service";
	length = strnlen(text, CONFIG_SERVICE_BYTES - 1);
	while (length > 0 && text[length] != '\0' && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	memcpy(config->service, text, length);
	config->service[length] = '\0';
}

static int capture_read(struct config *config, enum waft_capture option)
{
	const char *text = config_env("WAFT_CAPTURE");

	config->capture = option != WAFT_CAPTURE_OFF;
	if (option != WAFT_CAPTURE_DEFAULT || text == NULL || strcmp(text, "on") == 0)
		return 0;
	if (strcmp(text, "off") != 0)
		return malformed("WAFT_CAPTURE", text, "on or off");
	config->capture = false;
	return 0;
}

static int disabled_read(struct config *config, bool option)
{
	const char *text = config_env("OTEL_SDK_DISABLED");

	config->disabled = option || (text != NULL && strcasecmp(text, "true") == 0);
	if (text != NULL && !config->disabled && strcasecmp(text, "false") != 0)
		return malformed("OTEL_SDK_DISABLED", text, "true or false");
	return 0;
}

static int sampler_read(struct config *config, const struct waft_options *options)
{
	const char *name = text_of(options->sampler, "OTEL_TRACES_SAMPLER");
	const char *arg = text_of(options->sampler_arg, "OTEL_TRACES_SAMPLER_ARG");

	if (sampler_parse(name, arg, &config->sampler) == 0)
		return 0;
	if (sampler_parse(name, NULL, &config->sampler) == 0) {
		config->sampler = (struct sampler){.parent_based = true};
		return malformed("OTEL_TRACES_SAMPLER_ARG", arg, "a ratio from 0 to 1");
	}
	return malformed("OTEL_TRACES_SAMPLER", name,
		"always_on, always_off or traceidratio with an argument from 0 to 1, as it "
		"stands or behind parentbased_");
}

/* ---- Resource ------------------------------------------------------------ */

static void resource_add(struct writer *writer, struct slice key, struct slice value)
{
	size_t outer = writer_nested_begin(writer, TAG_PRODUCER_RESOURCE);
	size_t inner;

	writer_field_bytes_always(writer, TAG_KEY_VALUE_KEY, key);
	inner = writer_nested_begin(writer, TAG_KEY_VALUE_VALUE);
	writer_field_bytes_always(writer, TAG_VALUE_TEXT, value);
	writer_nested_end(writer, inner);
	writer_nested_end(writer, outer);
}

/* One key=value of OTEL_RESOURCE_ATTRIBUTES; false when it is none. */
static bool resource_member(
	struct config *config, struct writer *writer, struct slice member, bool take_service)
{
	char value[1024];
	const uint8_t *equals = memchr(member.data, '=', member.length);
	struct slice key;
	struct slice text;
	size_t length;

	if (equals == NULL)
		return false;
	key = text_trim((const char *)member.data, (size_t)(equals - member.data));
	text = text_trim(
		(const char *)equals + 1, member.length - (size_t)(equals - member.data) - 1);
	if (key.length == 0 || text.length >= sizeof(value))
		return false;
	memcpy(value, text.data, text.length);
	length = text_percent_decode(value, value, text.length);
	value[length] = '\0';
	if (slice_equal(key, slice_of_text("service.name"))) {
		if (take_service)
			service_read(config, value);
		return true;
	}
	if (redact_key_matches((const char *)key.data, key.length))
		resource_add(writer, key, slice_of_text(REDACT_TEXT));
	else
		resource_add(writer, key, slice_of(value, length));
	return true;
}

/* service.name in the resource counts unless OTEL_SERVICE_NAME or the option
 * says otherwise, as OpenTelemetry has it. */
static int resource_read(struct config *config, const char *text, bool take_service)
{
	struct writer writer = writer_of(config->resource, sizeof(config->resource));
	const char *at = text;
	int ret = 0;

	while (at != NULL && *at != '\0') {
		size_t length = strcspn(at, ",");
		struct slice member = text_trim(at, length);
		struct writer before = writer;

		at += length;
		at += *at == ',';
		if (member.length == 0)
			continue;
		if (!resource_member(config, &writer, member, take_service) || writer.error != 0) {
			writer = before;
			ret = malformed("OTEL_RESOURCE_ATTRIBUTES", text, "key=value,…");
		}
	}
	config->resource_bytes = writer_length(&writer);
	return ret;
}

/* ---- All of it ------------------------------------------------------------ */

static int worse(int a, int b)
{
	return a != 0 ? a : b;
}

int config_read(struct config *ret_config, const struct waft_options *given)
{
	struct waft_options options;
	const char *service;
	int ret = 0;

	options_copy(&options, given);
	ret_config->resource_bytes = 0;
	if (redact_set_names(text_of(options.redact, "WAFT_REDACT")) < 0)
		ret = malformed("WAFT_REDACT", text_of(options.redact, "WAFT_REDACT"),
			"a list of at most 120 names");
	ret = worse(ret, disabled_read(ret_config, options.disabled));
	ret = worse(ret, endpoint_read(ret_config, text_of(options.endpoint, "WAFT_ENDPOINT")));
	ret = worse(ret, remote_files_read(ret_config));
	service = text_of(options.service, "OTEL_SERVICE_NAME");
	service_read(ret_config, service);
	ret = worse(ret,
		resource_read(ret_config, text_of(options.resource, "OTEL_RESOURCE_ATTRIBUTES"),
			service == NULL));
	ret = worse(ret, sampler_read(ret_config, &options));
	ret = worse(ret, capture_read(ret_config, options.capture));
	ret = worse(
		ret, number_read(&ret_config->snapshot_limit_bytes, options.snapshot_limit_bytes,
			     "WAFT_SNAPSHOT_LIMIT", SNAPSHOT_LIMIT_DEFAULT, SNAPSHOT_LIMIT_MAX));
	ret = worse(ret, number_read(&ret_config->batch_age_ms, options.batch_age_ms,
				 "WAFT_BATCH_AGE_MS", BATCH_AGE_DEFAULT_MS, BATCH_AGE_MAX_MS));
	ret = worse(
		ret, number_read(&ret_config->exit_timeout_ms, options.exit_timeout_ms,
			     "WAFT_EXIT_TIMEOUT_MS", EXIT_TIMEOUT_DEFAULT_MS, EXIT_TIMEOUT_MAX_MS));
	return ret;
}

size_t config_producer(const struct config *config, uint64_t pid, uint8_t *buffer, size_t size)
{
	struct writer writer = writer_of(buffer, size);
	char host[256] = "";

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	writer_field_bytes(&writer, TAG_PRODUCER_SERVICE, slice_of_text(config->service));
	writer_field_varint(&writer, TAG_PRODUCER_PID, pid);
	writer_field_bytes(&writer, TAG_PRODUCER_HOST, slice_of_text(host));
	writer_bytes(&writer, config->resource, config->resource_bytes);
	writer_field_varint(&writer, TAG_PRODUCER_TEXTS, 1);
	return writer.error == 0 ? writer_length(&writer) : 0;
}
