/*
 * source.h: the lines of one file of a store as a stretch of bytes, whatever way
 * they are kept: plain, sealed (sealed.h), or compressed by somebody else's zstd.
 *
 * Used by scan.h and the queries; one thread at a time.
 */
#ifndef WAFT_STORE_SOURCE_H
#define WAFT_STORE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "errors.h"

struct source;

/* Opens name in dir. Names that end in .zst are unpacked; one without a seek table
 * as a whole, into an unnamed file in TMPDIR. disk is borrowed. *ret is owned.
 * -ENOENT, -EIO, ERR_MALFORMED (no zstd), -ENOMEM, … */
int source_open(struct disk *disk, int dir, const char *name, struct source **ret) MUST_CHECK;

/* Begins to read what source_open needs of a sealed part of stored_bytes, without waiting. */
void source_will_open(struct disk *disk, int dir, const char *name, uint64_t stored_bytes);

/* NULL is fine. */
void source_close(struct source *source);

/* Bytes of plain text. */
uint64_t source_size(const struct source *source);

/* Exactly length bytes at offset: 0, -EIO when there are fewer, or a negative
 * error. */
int source_read(struct source *source, uint64_t offset, void *data, size_t length) MUST_CHECK;

#endif
