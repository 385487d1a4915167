/*
 * Sets bytes aside: copies them into a file of .waft/quarantine, synced, before
 * they are cut off or passed over where they were. The name says what and is
 * made from source, offset and content, so that doing it again after a kill
 * makes no second file. Blocking; any thread.
 */
#ifndef WAFT_STORE_QUARANTINE_H
#define WAFT_STORE_QUARANTINE_H

#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "manifest.h"

#define QUARANTINE_DIR "quarantine"
/* Copies length bytes of file at offset. source, why: texts that say so, at most
 * 200 bytes of each. dir: .waft/quarantine. *ret is a record for the manifest;
 * its texts are owned by the caller (quarantine_entry_done). */
MUST_CHECK int quarantine_copy(struct disk *disk, int dir, int file, uint64_t offset,
	uint64_t length, const char *source, const char *why, struct manifest_quarantine *ret);

/* The same for bytes in memory; offset only says where they were. */
MUST_CHECK int quarantine_put(struct disk *disk, int dir, const void *data, size_t length,
	uint64_t offset, const char *source, const char *why, struct manifest_quarantine *ret);

void quarantine_entry_done(struct manifest_quarantine *entry);

#endif
