/* Peers' credentials. Any thread. */
#include "peers.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUPS_MAX 256

#ifndef SO_PEERPIDFD /* Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

/* The peer's groups when it connected, the effective one first; their number. */
static size_t groups_of(int fd, gid_t first, gid_t ret_groups[GROUPS_MAX])
{
	socklen_t length = (GROUPS_MAX - 1) * sizeof(ret_groups[0]);

	ret_groups[0] = first;
	/* Of who is in more groups than that only the first is looked at. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret_groups + 1, &length) != 0)
		return 1;
	return 1 + length / sizeof(ret_groups[0]);
}

void peer_of_credentials(
	const struct ucred *credentials, const struct access *access, struct peer *ret_peer)
{
	*ret_peer = (struct peer){.rights = access == NULL ? ACCESS_SEND : 0};
	/* What the kernel has for a socket of another kind. */
	if (credentials->uid == (uid_t)-1)
		return;
	ret_peer->local = true;
	ret_peer->uid = credentials->uid;
	ret_peer->gid = credentials->gid;
	ret_peer->known = credentials->pid > 0;
	ret_peer->pid = credentials->pid > 0 ? (uint32_t)credentials->pid : 0;
}

void peer_of_socket(
	int fd, const struct access *access, struct peer_groups special, struct peer *ret_peer)
{
	struct ucred credentials = {0, (uid_t)-1, (gid_t)-1};
	socklen_t length = sizeof(credentials);
	gid_t groups[GROUPS_MAX];
	size_t count;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
		credentials.uid = (uid_t)-1;
	peer_of_credentials(&credentials, access, ret_peer);
	if (!ret_peer->known)
		return;
	count = groups_of(fd, credentials.gid, groups);
	ret_peer->rights = access_of_socket(access, credentials.uid, groups, count);
	for (size_t i = 0; i < count; i++) {
		if (special.query != (gid_t)-1 && groups[i] == special.query)
			ret_peer->rights |= ACCESS_QUERY;
		if (special.admin != (gid_t)-1 && groups[i] == special.admin)
			ret_peer->rights |= ACCESS_ADMIN;
	}
}

int peer_pidfd(int fd, uint32_t pid)
{
	struct pollfd end = {.fd = fd, .events = POLLRDHUP};
	int pidfd = -1;
	socklen_t length = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0)
		return pidfd;
	if (pid == 0)
		return -ESRCH;
	pidfd = pidfd_open((pid_t)pid, 0);
	if (pidfd < 0)
		return -errno;
	/* As long as the other end is open its process lives, and the number was its. */
	if (poll(&end, 1, 0) == 0)
		return pidfd;
	close(pidfd);
	return -ESRCH;
}

gid_t peers_group(const char *name)
{
	struct group group;
	struct group *found = NULL;
	char buffer[16384];

	if (name == NULL || getgrnam_r(name, &group, buffer, sizeof(buffer), &found) != 0 ||
		found == NULL)
		return (gid_t)-1;
	return group.gr_gid;
}
