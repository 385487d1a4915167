/*
 * Tracing without a collector: the frames that would have been sent, appended to
 * a file in the store's inbox (docs/PROTOCOL.md, "Inbox files"). What is synced
 * counts as durable. The sender's alone; blocks on the disk, as only it may.
 */
#ifndef WAFT_CLIENT_INBOX_H
#define WAFT_CLIENT_INBOX_H

#include <stddef.h>
#include <stdint.h>

#include "descriptor.h"
#include "slice.h"

struct inbox {
	struct descriptor file;
	int64_t written; /* bytes in the file */
	int64_t synced;	 /* of these: durable */
};

/* Makes DIR/.waft/inbox (owner only) and in it the client's file, locked. 0 or a
 * negative errno. */
int inbox_open(struct inbox *inbox, const char *directory, const uint8_t client[16]);

/* Appends; on failure the file is as it was synced last. */
int inbox_append(struct inbox *inbox, struct slice frame);

/* 0: all that was appended is durable. A failed sync is not tried again on this
 * file: close it. */
int inbox_sync(struct inbox *inbox);

void inbox_close(struct inbox *inbox);

#endif
