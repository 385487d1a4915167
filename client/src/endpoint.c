/* See endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int socket_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;
	int ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* Anyone can make a directory in /tmp; only the user's own counts. */
static int temporary_connect(void)
{
	char path[64];
	struct stat status;

	snprintf(path, sizeof(path), "/tmp/waft-%u", (unsigned int)geteuid());
	if (lstat(path, &status) != 0)
		return -errno;
	if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0)
		return -EACCES;
	snprintf(path, sizeof(path), "/tmp/waft-%u/collector.sock", (unsigned int)geteuid());
	return socket_connect(path);
}

int endpoint_connect(const struct config *config)
{
	const char *runtime = config_env("XDG_RUNTIME_DIR");
	char path[256];
	int ret = -ENOENT;

	if (config->endpoint == ENDPOINT_UNIX)
		return socket_connect(config->path);
	if (runtime != NULL && runtime[0] == '/' &&
		snprintf(path, sizeof(path), "%s/waft/collector.sock", runtime) < (int)sizeof(path))
		ret = socket_connect(path);
	if (ret < 0)
		ret = socket_connect("/run/waft/collector.sock");
	if (ret < 0)
		ret = temporary_connect();
	return ret;
}
