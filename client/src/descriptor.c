/* See descriptor.h. */
#include "descriptor.h"

#include <sys/stat.h>
#include <unistd.h>

void descriptor_set(struct descriptor *descriptor, int fd)
{
	struct stat status;

	*descriptor = DESCRIPTOR_NONE;
	if (fd < 0 || fstat(fd, &status) != 0)
		return;
	descriptor->fd = fd;
	descriptor->device = status.st_dev;
	descriptor->inode = status.st_ino;
}

bool descriptor_check(struct descriptor *descriptor)
{
	struct stat status;

	if (descriptor->fd < 0)
		return false;
	if (fstat(descriptor->fd, &status) == 0 && status.st_dev == descriptor->device &&
		status.st_ino == descriptor->inode)
		return true;
	*descriptor = DESCRIPTOR_NONE;
	return false;
}

void descriptor_close(struct descriptor *descriptor)
{
	if (descriptor_check(descriptor))
		close(descriptor->fd);
	*descriptor = DESCRIPTOR_NONE;
}
