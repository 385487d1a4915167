/* Listening sockets. Loop thread, at start and end. */
#include "listener.h"

#include "address.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 511

static const struct listener nothing = {.fd = -1, .lock_fd = -1};

static int fail(struct listener_error *error, int status, const char *what, const char *on)
{
	snprintf(error->text, sizeof(error->text), "%s %s: %s", what, on, strerror(-status));
	return status;
}

/* ---- Unix ----------------------------------------------------------------- */

static int fill_address(const char *path, struct sockaddr_un *ret_address)
{
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret_address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* Takes the lock beside the socket; a descriptor or a negative errno. */
static int take_lock(const char *path)
{
	char *name = NULL;
	int status;
	int fd;

	if (asprintf(&name, "%s.lock", path) < 0)
		return -ENOMEM;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	status = fd < 0 ? -errno : 0;
	free(name);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		status = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
		close(fd);
	}
	return status < 0 ? status : fd;
}

/* Whether somebody answers at the address: 1, 0, or a negative errno. */
static int is_answered(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
	close(fd);
	/* EAGAIN: somebody listens, and its queue is full. */
	if (error == 0 || error == EAGAIN)
		return 1;
	return error == ECONNREFUSED || error == ENOENT ? 0 : -error;
}

/* Removes a socket that nobody listens on any more. The lock is ours. */
static int remove_stale(const char *path, const struct sockaddr_un *address)
{
	struct stat st;
	int answered;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	answered = is_answered(address);
	if (answered != 0)
		return answered > 0 ? -EADDRINUSE : answered;
	return unlink(path) == 0 ? 0 : -errno;
}

/* Binds, listens and sets the permissions; the socket's file is new. */
static int bind_unix(struct listener *listener, const struct sockaddr_un *address, mode_t mode)
{
	/* Closed to all until the mode is set: the umask is the process's, and at
	 * the start no other thread runs. */
	mode_t before = umask(0777);
	int bound = bind(listener->fd, (const struct sockaddr *)address, sizeof(*address));
	int status = bound == 0 ? 0 : -errno;
	struct stat st;

	umask(before);
	if (status < 0)
		return status;
	if (lstat(listener->path, &st) != 0)
		return -errno;
	listener->device = st.st_dev;
	listener->inode = st.st_ino;
	if (chmod(listener->path, mode) != 0 || listen(listener->fd, BACKLOG) != 0)
		return -errno;
	return 0;
}

int listener_open_unix(
	const char *path, mode_t mode, struct listener *ret, struct listener_error *ret_error)
{
	struct listener listener = nothing;
	struct sockaddr_un address;
	int status = fill_address(path, &address);

	if (status == 0)
		status = paths_make_parent(path);
	if (status < 0)
		return fail(ret_error, status, "can't listen on", path);
	listener.lock_fd = take_lock(path);
	status = listener.lock_fd < 0 ? listener.lock_fd : remove_stale(path, &address);
	if (status < 0)
		goto done;
	listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	listener.path = strdup(path);
	if (listener.fd < 0 || listener.path == NULL) {
		status = listener.fd < 0 ? -errno : -ENOMEM;
		goto done;
	}
	snprintf(listener.name, sizeof(listener.name), "unix:%s", path);
	status = bind_unix(&listener, &address, mode);
done:
	if (status == 0) {
		*ret = listener;
		return 0;
	}
	listener_close(&listener, false);
	if (status == -EADDRINUSE)
		snprintf(ret_error->text, sizeof(ret_error->text),
			"another waft-collectord, or another program, listens on %s", path);
	else if (status == -EEXIST)
		snprintf(ret_error->text, sizeof(ret_error->text),
			"%s is there and is no socket: remove it, or give another --socket", path);
	else
		fail(ret_error, status, "can't listen on", path);
	return status;
}

/* ---- TCP ------------------------------------------------------------------ */

int listener_parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	struct address address;
	const char *lacks;
	int status = address_split(text, &address, &lacks);

	if (status == 0)
		status = address_numeric(&address, ret, ret_length);
	return status < 0 ? status : address_is_loopback((struct sockaddr *)ret);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage bound = {0};
	socklen_t length = sizeof(bound);

	if (getsockname(fd, (struct sockaddr *)&bound, &length) != 0)
		return 0;
	return ntohs(bound.ss_family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
						: ((struct sockaddr_in6 *)&bound)->sin6_port);
}

int listener_open_tcp(const char *endpoint, struct listener *ret, struct listener_error *ret_error)
{
	struct listener listener = nothing;
	struct sockaddr_storage address;
	socklen_t length = 0;
	const int on = 1;
	bool tls = strncmp(endpoint, "tls://", 6) == 0;
	int status = -EINVAL;

	if (tls || strncmp(endpoint, "tcp://", 6) == 0)
		status = listener_parse_address(endpoint + 6, &address, &length);
	if (status < 0 || (status == 0 && !tls)) {
		snprintf(ret_error->text, sizeof(ret_error->text), "%s: %s", endpoint,
			status < 0 ? "is not tcp://ADDRESS:PORT or tls://ADDRESS:PORT"
				   : "plain TCP is for loopback addresses only; tls:// is for "
				     "all");
		return status < 0 ? status : -EPERM;
	}
	listener.tcp = true;
	listener.tls = tls;
	listener.fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener.fd < 0 ||
		setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(listener.fd, (struct sockaddr *)&address, length) != 0 ||
		listen(listener.fd, BACKLOG) != 0) {
		status = -errno;
		listener_close(&listener, false);
		return fail(ret_error, status, "can't listen on", endpoint);
	}
	snprintf(listener.name, sizeof(listener.name), "%.*s:%u",
		(int)(strrchr(endpoint, ':') - endpoint), endpoint, port_of(listener.fd));
	*ret = listener;
	return 0;
}

/* ---- Passed ones ----------------------------------------------------------- */

int listener_adopt(int fd, struct listener *ret, struct listener_error *ret_error)
{
	struct listener listener = nothing;
	struct sockaddr_un address = {0};
	socklen_t length = sizeof(address);
	int listening = 0;
	socklen_t option = sizeof(listening);
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &option) != 0 ||
		!listening || getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
		address.sun_family != AF_UNIX) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"descriptor %d, passed by the service manager, is no listening Unix socket",
			fd);
		return -EINVAL;
	}
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return fail(ret_error, -errno, "can't take over", "a passed socket");
	listener.fd = fd;
	snprintf(listener.name, sizeof(listener.name), "unix:%.107s", address.sun_path);
	*ret = listener;
	return 0;
}

void listener_close(struct listener *listener, bool fd_taken)
{
	struct stat st;

	if (listener->path != NULL && listener->inode != 0 && lstat(listener->path, &st) == 0 &&
		st.st_dev == listener->device && st.st_ino == listener->inode)
		(void)unlink(listener->path);
	if (listener->fd >= 0 && !fd_taken)
		close(listener->fd);
	if (listener->lock_fd >= 0)
		close(listener->lock_fd);
	free(listener->path);
	*listener = nothing;
}
