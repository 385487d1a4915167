/* See inbox.h. */
#include "inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "ids.h"

enum { PATH_BYTES = CONFIG_PATH_BYTES + 64 };

/* Every missing directory of the path, for the owner only. */
static int directories_make(char *path)
{
	for (char *at = path + 1;; at++) {
		char end = *at;

		if (end != '/' && end != '\0')
			continue;
		*at = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST) {
			*at = end;
			return -errno;
		}
		*at = end;
		if (end == '\0')
			return 0;
	}
}

static int directory_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return ret;
}

/* 0 when it is a file of ours without a byte in it, whose name stands. */
static int file_is_fresh(const struct inbox *inbox)
{
	struct stat status;

	if (fstat(inbox->file.fd, &status) != 0)
		return -errno;
	/* Who looked through the inbox removed it meanwhile: the next try makes it again. */
	if (status.st_nlink == 0)
		return -EAGAIN;
	return S_ISREG(status.st_mode) && status.st_nlink == 1 && status.st_size == 0 ? 0 : -EEXIST;
}

/* Locks the file and syncs its name. */
static int file_hold(struct inbox *inbox, const char *directory)
{
	int ret;

	if (!descriptor_check(&inbox->file))
		return -EBADF;
	if (flock(inbox->file.fd, LOCK_EX | LOCK_NB) != 0)
		return -errno;
	ret = file_is_fresh(inbox);
	if (ret == 0)
		ret = directory_sync(directory);
	if (ret == 0 && !descriptor_check(&inbox->file))
		ret = -EBADF;
	return ret;
}

int inbox_open(struct inbox *inbox, const char *directory, const uint8_t client[16])
{
	char inbox_path[PATH_BYTES];
	char path[PATH_BYTES + 64];
	char name[33] = "";
	int ret;

	*inbox = (struct inbox){.file = DESCRIPTOR_NONE};
	snprintf(inbox_path, sizeof(inbox_path), "%s/.waft/inbox", directory);
	ret = directories_make(inbox_path);
	if (ret < 0)
		return ret;
	hex_format(client, 16, name);
	name[32] = '\0';
	snprintf(path, sizeof(path), "%s/%s.waft", inbox_path, name);
	/* One that an earlier try left without a byte is taken again, and never removed: who looks
	 * through the inbox has it under the same name. */
	descriptor_set(&inbox->file,
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			0600));
	/* A link, a pipe or a directory of that name isn't ours. */
	if (inbox->file.fd < 0)
		return errno == ELOOP || errno == ENXIO || errno == EISDIR ? -EEXIST : -errno;
	ret = file_hold(inbox, inbox_path);
	if (ret < 0)
		descriptor_close(&inbox->file);
	return ret;
}

int inbox_append(struct inbox *inbox, struct slice frame)
{
	size_t done = 0;
	int ret = 0;

	if (!descriptor_check(&inbox->file))
		return -EBADF;
	while (done < frame.length) {
		ssize_t wrote = write(inbox->file.fd, frame.data + done, frame.length - done);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0) {
			ret = wrote < 0 ? -errno : -EIO;
			break;
		}
		done += (size_t)wrote;
	}
	inbox->written += (int64_t)done;
	if (ret < 0 && ftruncate(inbox->file.fd, inbox->synced) == 0)
		inbox->written = inbox->synced;
	return ret;
}

int inbox_sync(struct inbox *inbox)
{
	if (!descriptor_check(&inbox->file))
		return -EBADF;
	if (inbox->written != inbox->synced && fdatasync(inbox->file.fd) != 0)
		return -errno;
	inbox->synced = inbox->written;
	return 0;
}

void inbox_close(struct inbox *inbox)
{
	descriptor_close(&inbox->file);
}
