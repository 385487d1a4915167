/* Rules and certificates; see credentials.h. Loop thread. */
#include "credentials.h"

#include "log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LIMIT_BYTES (4u << 20)

struct text {
	char *bytes;
	size_t length;
};

static int fail(struct credentials_error *error, int status, const char *what, const char *path)
{
	snprintf(error->text, sizeof(error->text), "can't read %s from %.400s: %s", what, path,
		status == -EFBIG ? "it is too large" : strerror(-status));
	return status;
}

static int read_all(int fd, struct text *text)
{
	while (text->length < FILE_LIMIT_BYTES) {
		char *grown = realloc(text->bytes, text->length + 65536);
		ssize_t got;

		if (grown == NULL)
			return -ENOMEM;
		text->bytes = grown;
		got = read(fd, text->bytes + text->length, 65536);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		text->length += (size_t)got;
	}
	return -EFBIG;
}

/* Appends a whole file. A private one that others can read is told. */
static int read_file(const char *path, const char *what, bool private_one, struct text *text,
	struct credentials_error *ret_error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int status;

	if (fd < 0)
		return fail(ret_error, -errno, what, path);
	if (fstat(fd, &st) != 0)
		status = -errno;
	else
		status = S_ISREG(st.st_mode) ? read_all(fd, text) : -EINVAL;
	close(fd);
	if (status < 0)
		return fail(ret_error, status, what, path);
	if (private_one && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
		log_warning("%s can be read or changed by others: it holds %s", path, what);
	return 0;
}

static int load_rules(const struct settings *settings, struct credentials *credentials,
	struct credentials_error *ret_error)
{
	struct text text = {0};
	char why[ACCESS_WHY_BYTES];
	int status;

	if (settings->access == NULL)
		return 0;
	status = read_file(settings->access, "the rules", false, &text, ret_error);
	if (status == 0)
		status = access_hash(text.bytes, text.length, credentials->rules_hash);
	if (status == 0) {
		status = access_new(
			settings->access, text.bytes, text.length, &credentials->access, why);
		if (status < 0)
			snprintf(ret_error->text, sizeof(ret_error->text), "%s", why);
	}
	free(text.bytes);
	return status;
}

static bool wants_tls(const struct settings *settings)
{
	return settings->listen != NULL && strstr(settings->listen, "tls://") != NULL;
}

const char *credentials_problem(const struct settings *settings)
{
	if (settings->tls_cert == NULL || settings->tls_key == NULL)
		return "a tls:// endpoint needs --tls-cert and --tls-key";
	if (settings->tls_client_certs != 0 && settings->tls_ca == NULL)
		return "a tls:// endpoint needs --tls-ca, or --tls-client-certs optional";
	if (settings->access == NULL)
		return "a tls:// endpoint needs --access: without rules nobody may do anything "
		       "there";
	return NULL;
}

static int load_tls(const struct settings *settings, struct credentials *credentials,
	struct credentials_error *ret_error)
{
	const struct tls_config config = {
		.server = true,
		.ca_file = settings->tls_ca,
		.cert_file = settings->tls_cert,
		.key_file = settings->tls_key,
		.peer_cert = settings->tls_client_certs != 0,
	};
	const char *problem;
	struct text text = {0};
	char why[TLS_WHY_BYTES];
	int status;

	if (!wants_tls(settings))
		return 0;
	problem = credentials_problem(settings);
	if (problem != NULL) {
		snprintf(ret_error->text, sizeof(ret_error->text), "%s", problem);
		return -EINVAL;
	}
	status = read_file(config.cert_file, "the certificate", false, &text, ret_error);
	if (status == 0)
		status = read_file(config.key_file, "the private key", true, &text, ret_error);
	if (status == 0 && config.ca_file != NULL)
		status = read_file(
			config.ca_file, "the trusted certificates", false, &text, ret_error);
	if (status == 0)
		status = access_hash(text.bytes, text.length, credentials->tls_hash);
	free(text.bytes);
	if (status < 0)
		return status;
	/* Whether a certificate is asked for is part of it. */
	credentials->tls_hash[0] = config.peer_cert ? 'r' : 'o';
	status = tls_context_new(&config, &credentials->tls, why);
	if (status < 0)
		snprintf(ret_error->text, sizeof(ret_error->text), "TLS: %s", why);
	return status;
}

int credentials_load(const struct settings *settings, struct credentials *ret,
	struct credentials_error *ret_error)
{
	struct credentials credentials = {0};
	int status;

	snprintf(ret_error->text, sizeof(ret_error->text), "out of memory");
	status = load_rules(settings, &credentials, ret_error);
	if (status == 0)
		status = load_tls(settings, &credentials, ret_error);
	if (status < 0) {
		credentials_done(&credentials);
		return status;
	}
	*ret = credentials;
	return 0;
}

void credentials_done(struct credentials *credentials)
{
	access_free(credentials->access);
	tls_context_free(credentials->tls);
	*credentials = (struct credentials){0};
}

bool credentials_same_rules(const struct credentials *a, const struct credentials *b)
{
	return strcmp(a->rules_hash, b->rules_hash) == 0;
}

bool credentials_same_tls(const struct credentials *a, const struct credentials *b)
{
	return strcmp(a->tls_hash, b->tls_hash) == 0;
}
