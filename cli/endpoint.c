/*
 * endpoint.c: where traces are read when nobody says where.
 */
#include "endpoint.h"

#include "address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SOCKET_PATH_BYTES = 108 }; /* of struct sockaddr_un */

const char *const endpoint_stores[] = {"_pyrite/analytics/traces", "/var/lib/waft/traces", NULL};

bool endpoint_is_remote(const char *text)
{
	return strncmp(text, "tls://", 6) == 0 || strncmp(text, "tcp://", 6) == 0;
}

int endpoint_parse(const char *text, enum endpoint_kind *ret_kind, const char **ret_path)
{
	static const struct {
		const char *scheme;
		enum endpoint_kind kind;
	} schemes[] = {{"unix:", ENDPOINT_UNIX}, {"file:", ENDPOINT_FILE}};
	size_t length = strlen(text);

	if (endpoint_is_remote(text)) {
		*ret_kind = ENDPOINT_UNIX;
		*ret_path = text;
		return 0;
	}
	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		size_t scheme = strlen(schemes[i].scheme);

		if (strncmp(text, schemes[i].scheme, scheme) != 0 || text[scheme] == '\0')
			continue;
		*ret_kind = schemes[i].kind;
		*ret_path = text + scheme;
		return 0;
	}
	if (text[0] == '/' && length > 5 && strcmp(text + length - 5, ".sock") == 0) {
		*ret_kind = ENDPOINT_UNIX;
		*ret_path = text;
		return 0;
	}
	return -EINVAL;
}

const char *endpoint_problem(const char *text)
{
	struct sockaddr_storage numeric;
	socklen_t length;
	struct address address;
	enum endpoint_kind kind;
	const char *path;
	const char *why = NULL;

	if (endpoint_parse(text, &kind, &path) != 0)
		return "is not unix:PATH, tls://HOST:PORT or file:DIR";
	if (kind == ENDPOINT_FILE)
		return NULL;
	if (!endpoint_is_remote(text))
		return strlen(path) < SOCKET_PATH_BYTES
			       ? NULL
			       : "is too long: the path of a socket has at most 107 bytes";
	if (address_split(text + 6, &address, &why) != 0)
		return why;
	if (address.port == 0)
		return "has no port that can be connected to";
	/* A name is looked up later. */
	if (strncmp(text, "tcp://", 6) == 0 && address_numeric(&address, &numeric, &length) == 0 &&
		!address_is_loopback((struct sockaddr *)&numeric))
		return "is plain TCP, which is for this machine only: use tls://";
	return NULL;
}

static size_t add(
	char paths[ENDPOINT_SEARCH_MAX][ENDPOINT_PATH_BYTES], size_t count, const char *directory)
{
	int length = snprintf(paths[count], ENDPOINT_PATH_BYTES, "%s/collector.sock", directory);

	return length > 0 && length < ENDPOINT_PATH_BYTES ? count + 1 : count;
}

size_t endpoint_search(char ret_paths[ENDPOINT_SEARCH_MAX][ENDPOINT_PATH_BYTES])
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	char directory[ENDPOINT_PATH_BYTES];
	struct stat status;
	size_t count = 0;

	if (runtime != NULL && runtime[0] == '/' && strlen(runtime) < sizeof directory - 8) {
		(void)snprintf(directory, sizeof directory, "%s/waft", runtime);
		count = add(ret_paths, count, directory);
	}
	count = add(ret_paths, count, "/run/waft");
	(void)snprintf(directory, sizeof directory, "/tmp/waft-%u", (unsigned)getuid());
	/* Anyone may make a directory in /tmp under this name. */
	if (lstat(directory, &status) != 0 ||
		(S_ISDIR(status.st_mode) && status.st_uid == getuid() &&
			(status.st_mode & (S_IWGRP | S_IWOTH)) == 0))
		count = add(ret_paths, count, directory);
	return count;
}

const char *endpoint_environment(void)
{
	const char *value = secure_getenv("WAFT_ENDPOINT");

	return value != NULL && value[0] != '\0' ? value : NULL;
}
