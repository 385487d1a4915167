/*
 * seal.h: makes the sealed form of a closed part, beside the one thread that writes
 * (docs/STORE.md, "Sealing").
 *
 *     writer_seal_next      store's thread: which part
 *     seal_part             any thread: lines joined by trace → .waft/sealed.new,
 *                           synced, and its index
 *     writer_seal_commit    store's thread: SEALED in the manifest → the file's name
 *                           → the plain file goes
 *
 * seal_part reads files and writes none but its own, so that a kill or a failure leaves
 * a part as it was. Memory: what the job allows, whatever the part holds; its shares are in
 * seal.c.
 */
#ifndef WAFT_STORE_SEAL_H
#define WAFT_STORE_SEAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "manifest.h"
#include "recover.h"
#include "slice.h"

#define SEAL_NEW_NAME "sealed.new"

/* Less than that it is not done with. */
#define SEAL_MEMORY_MIN (UINT64_C(4) << 20)
#define SEAL_MEMORY_DEFAULT (UINT64_C(24) << 20)

struct seal_job {
	struct disk *disk;
	const struct store_dirs *dirs; /* borrowed */
	int index_dir;		       /* -1: no index is made */
	uint8_t store_id[16];
	struct manifest_part part; /* closed */
	int level;		   /* zstd's, at most: it is lower where memory is short */
	uint64_t memory_bytes;	   /* that all of it takes; 0: SEAL_MEMORY_DEFAULT */
	const atomic_bool *stop;   /* NULL: never; checked every few MiB */
	atomic_ullong *written;	   /* NULL, or told of each byte of the new file */
	/* Called before something that others may have to wait for (a change of the file
	 * system), and with false after it; NULL: they don't wait. */
	void (*hurry)(void *context, bool on);
	void *context;
};

struct seal_result {
	uint32_t part;
	uint64_t text_bytes;   /* of lines: as many as the plain part has */
	uint64_t length_bytes; /* of the new file */
	uint32_t crc;	       /* of the new file */
	uint64_t runs;	       /* in the plain part */
	uint64_t joined;       /* of them, those that were joined to an earlier one */
};

/* Writes SEAL_NEW_NAME and syncs it. 0; ERR_CHECKSUM: the part's committed bytes are
 * damaged, -EBADMSG: the file has more or fewer than are committed, or -EFBIG: memory_bytes is
 * not enough for one so large (such a part stays plain); -ECANCELED; -ENOSPC, -EIO, -ENOMEM, … :
 * try again later. On failure nothing is left behind. */
MUST_CHECK int seal_part(const struct seal_job *job, struct seal_result *ret);

/* Puts lines of one trace (each with its newline) in a run's order: parents before
 * children, siblings by start, then by span id; what has the same id as given. `to`
 * has room for lines.length bytes. 0; ERR_MALFORMED: a line is no record; -ENOMEM. */
MUST_CHECK int seal_order(struct slice lines, uint8_t *to);

/* Whether name in dir has that length and CRC: 1, 0, or a negative errno (-ENOENT). */
MUST_CHECK int seal_file_is(
	struct disk *disk, int dir, const char *name, uint64_t length_bytes, uint32_t crc);

#endif
