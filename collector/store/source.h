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

struct sealed_reader;
struct source;

/* Opens name in dir. Names that end in .zst are unpacked; one without a seek table
 * as a whole, into an unnamed file in TMPDIR. disk is borrowed. *ret is owned.
 * -ENOENT, -EIO, ERR_MALFORMED (no zstd), -ENOMEM, … */
int source_open(struct disk *disk, int dir, const char *name, struct source **ret) MUST_CHECK;

/* Begins to read what source_open needs of a sealed part, without waiting. */
void source_will_open(struct disk *disk, int dir, const char *name);

/* Begins to read what source_read needs of a sealed part for the text from offset up to end,
 * without waiting. */
void source_will_read(struct source *source, uint64_t offset, uint64_t end);

/* NULL is fine. */
void source_close(struct source *source);

/* Of the file that is open. */
uint64_t source_inode(const struct source *source);

/* Bytes of plain text. */
uint64_t source_size(const struct source *source);

/* How many bytes from offset on can be read, or not be read, at once: up to the end of a
 * frame of a sealed file; UINT64_MAX: nothing is known of that. */
uint64_t source_piece(const struct source *source, uint64_t offset);

/* Reads a sealed file without its seek table from now on: as a whole, into an unnamed file. 0,
 * also when it is not sealed, or a negative error: then it can't be read any more. */
int source_unpack(struct source *source) MUST_CHECK;

/* Why the rest of a file that had to be unpacked as a whole is not there; 0: it is. */
int source_damage(const struct source *source);

/* Its frames, which any thread may unpack while the source is open; NULL: it has none. */
const struct sealed_reader *source_sealed(const struct source *source);

/* Exactly length bytes at offset: 0, -EIO when there are fewer, or a negative
 * error. */
int source_read(struct source *source, uint64_t offset, void *data, size_t length) MUST_CHECK;

#endif
