/*
 * A file descriptor that the host may close behind our back and whose number it
 * may reuse: before each use the device and inode are compared with those of
 * what was opened. One that changed is forgotten, never closed. Any thread; one
 * at a time for each descriptor.
 */
#ifndef WAFT_CLIENT_DESCRIPTOR_H
#define WAFT_CLIENT_DESCRIPTOR_H

#include <stdbool.h>
#include <sys/types.h>

struct descriptor {
	int fd; /* -1: none */
	dev_t device;
	ino_t inode;
};

#define DESCRIPTOR_NONE ((struct descriptor){.fd = -1})

/* Takes fd, -1 included. */
void descriptor_set(struct descriptor *descriptor, int fd);

/* True when it is still what was opened; otherwise it is now DESCRIPTOR_NONE. */
bool descriptor_check(struct descriptor *descriptor);

/* Closes it if it is still ours. */
void descriptor_close(struct descriptor *descriptor);

#endif
