/* See endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "process.h"
#include "resolver.h"

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

/* Silence is noticed: by keep-alive when nothing is sent, else by what isn't
 * acknowledged. */
static void silence_limit(int fd)
{
	static const int on = 1, idle_s = 10, interval_s = 5, probes = 3;
	static const unsigned int unanswered_ms = 20000;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
}

static int remote_connect(const struct config *config, uint64_t now_ns)
{
	struct resolver_address to;
	char line[512];
	int fd;
	int ret = resolver_next(config->path, config->port, now_ns, &to);

	if (ret == -ENOENT || ret == -ETIMEDOUT) {
		snprintf(line, sizeof(line), "the host of WAFT_ENDPOINT, %s, is not found: %s",
			config->path, ret == -ENOENT ? resolver_problem() : strerror(ETIMEDOUT));
		process_complain("host", line);
	}
	if (ret < 0)
		return ret;
	fd = socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	silence_limit(fd);
	if (connect(fd, (const struct sockaddr *)&to.address, to.length) == 0 ||
		errno == EINPROGRESS)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

bool endpoint_busy(void)
{
	return resolver_busy();
}

int endpoint_connect(const struct config *config, uint64_t now_ns)
{
	const char *runtime = config_env("XDG_RUNTIME_DIR");
	char path[256];
	int ret = -ENOENT;

	if (config->endpoint == ENDPOINT_UNIX)
		return socket_connect(config->path);
	if (config->endpoint == ENDPOINT_TCP || config->endpoint == ENDPOINT_TLS)
		return remote_connect(config, now_ns);
	if (config->endpoint == ENDPOINT_NONE)
		return -EDESTADDRREQ;
	if (runtime != NULL && runtime[0] == '/' &&
		snprintf(path, sizeof(path), "%s/waft/collector.sock", runtime) < (int)sizeof(path))
		ret = socket_connect(path);
	/* Where a collector listens but has no room now, spans don't go elsewhere. */
	if (ret < 0 && ret != -EAGAIN)
		ret = socket_connect("/run/waft/collector.sock");
	if (ret < 0 && ret != -EAGAIN)
		ret = temporary_connect();
	return ret;
}
