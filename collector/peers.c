/* Peers' credentials. Any thread. */
#include "peers.h"

#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Whether the peer was in the group when it connected. */
static bool has_group(int fd, const struct ucred *credentials, gid_t gid)
{
	gid_t groups[256];
	socklen_t length = sizeof(groups);

	if (gid == (gid_t)-1)
		return false;
	if (credentials->gid == gid)
		return true;
	/* Who is in more groups than that isn't looked at further. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) != 0)
		return false;
	for (size_t i = 0; i < length / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

void peer_of_socket(int fd, uid_t own_uid, gid_t query_gid, struct peer *ret_peer)
{
	struct ucred credentials = {0, (uid_t)-1, (gid_t)-1};
	socklen_t length = sizeof(credentials);

	*ret_peer = (struct peer){.may_send = true};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0 ||
		credentials.pid <= 0)
		return;
	ret_peer->known = true;
	ret_peer->pid = (uint32_t)credentials.pid;
	ret_peer->uid = credentials.uid;
	ret_peer->gid = credentials.gid;
	ret_peer->may_query = credentials.uid == 0 || credentials.uid == own_uid ||
			      has_group(fd, &credentials, query_gid);
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
