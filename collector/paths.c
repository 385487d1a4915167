/* Default places. Loop thread, at start. */
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKET_NAME "collector.sock"

void paths_environment_read(struct paths_environment *ret)
{
	*ret = (struct paths_environment){
		.runtime_dir = getenv("XDG_RUNTIME_DIR"),
		.state_dir = getenv("STATE_DIRECTORY"),
		.run_dir = "/run/waft",
		.temporary = "/tmp",
		.uid = geteuid(),
	};
}

/*
 * Makes a directory if it is missing and looks whether a socket may be put
 * there: a directory, no symbolic link, that we can write to; `private`: ours,
 * and nobody else's. 0 or a negative errno.
 */
static int prepare_directory(const char *path, uid_t uid, bool private)
{
	struct stat st;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) != 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (private && (st.st_uid != uid || (st.st_mode & 077) != 0))
		return -EPERM;
	return access(path, W_OK | X_OK) == 0 ? 0 : -errno;
}

/* Takes the directory if it will do; 1 when it was taken, 0 when not. */
static int try_directory(char *directory, uid_t uid, bool private, char **ret_path)
{
	int taken = 0;

	if (directory == NULL)
		return -ENOMEM;
	if (prepare_directory(directory, uid, private) == 0)
		taken = asprintf(ret_path, "%s/" SOCKET_NAME, directory) < 0 ? -ENOMEM : 1;
	free(directory);
	return taken;
}

static char *format_directory(const char *base, const char *name, long number)
{
	char *text = NULL;
	int length = number >= 0 ? asprintf(&text, "%s/%s%ld", base, name, number)
				 : asprintf(&text, "%s/%s", base, name);

	return length < 0 ? NULL : text;
}

int paths_socket(const struct paths_environment *environment, char **ret_path)
{
	int status = 0;

	if (environment->runtime_dir != NULL && environment->runtime_dir[0] == '/')
		status = try_directory(format_directory(environment->runtime_dir, "waft", -1),
			environment->uid, true, ret_path);
	if (status == 0)
		status = try_directory(
			strdup(environment->run_dir), environment->uid, false, ret_path);
	if (status == 0)
		status = try_directory(
			format_directory(environment->temporary, "waft-", (long)environment->uid),
			environment->uid, true, ret_path);
	if (status == 0)
		return -ENOENT;
	return status < 0 ? status : 0;
}

int paths_make_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	int status = 0;

	if (slash == NULL || slash == path)
		return 0;
	parent = strndup(path, (size_t)(slash - path));
	if (parent == NULL)
		return -ENOMEM;
	if (mkdir(parent, 0700) != 0 && errno != EEXIST)
		status = -errno;
	free(parent);
	return status;
}

int paths_store(const struct paths_environment *environment, char **ret_path)
{
	if (environment->state_dir != NULL && environment->state_dir[0] == '/') {
		/* systemd separates several with colons; the first is ours. */
		int length = (int)strcspn(environment->state_dir, ":");

		if (asprintf(ret_path, "%.*s/traces", length, environment->state_dir) < 0)
			return -ENOMEM;
		return 0;
	}
	*ret_path = strdup("_pyrite/analytics/traces");
	return *ret_path == NULL ? -ENOMEM : 0;
}
