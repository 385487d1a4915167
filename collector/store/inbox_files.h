/*
 * inbox_files.h: the spans of inbox files (docs/PROTOCOL.md, "Inbox files"), also of those
 * that are being written. Takes no lock, writes nothing. One thread at a time.
 */
#ifndef WAFT_STORE_INBOX_FILES_H
#define WAFT_STORE_INBOX_FILES_H

#include "inbox_read.h"
#include "span_places.h"

/* Ordinals of inbox files: segments that no log reaches, made from the files' names. */
#define INBOX_SEGMENT UINT32_C(0x80000000)

struct inbox_file;

struct inbox_files {
	struct disk *disk;	  /* borrowed */
	int dir;		  /* borrowed; -1: there is none */
	struct inbox_file *files; /* owned; by segment */
	size_t count;
	struct inbox_buffer buffer;
};

void inbox_files_init(struct inbox_files *inbox, struct disk *disk);
void inbox_files_done(struct inbox_files *inbox);

/* Adds the spans of all files of a directory to places, until it holds span_limit.
 * 0, -ENOMEM, -EFBIG. */
int inbox_files_read(struct inbox_files *inbox, int dir, size_t span_limit,
	struct span_places *places) MUST_CHECK;

/* The batch at a place of the last reading, valid until the next call. -ESTALE, -ENOMEM. */
int inbox_files_fetch(
	struct inbox_files *inbox, struct log_place place, struct slice *ret_bytes) MUST_CHECK;

#endif
