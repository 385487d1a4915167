/*
 * A small store on a fake disk, to be damaged from outside: of six batches half the
 * traces are written. One thread.
 */
#ifndef WAFT_TESTS_SMALL_STORE_H
#define WAFT_TESTS_SMALL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store_world.h"

#define SMALL_LOG ".waft/log/0000000000000001.log"
#define SMALL_MANIFEST ".waft/manifest"
#define SMALL_PART "2026-02-15.jsonl"
#define SMALL_SEALED SMALL_PART ".zst"

struct small {
	struct fake_disk *fake;
	struct world_history *history;
};

/* What a recovery found, and what is there after it. */
struct found {
	struct recovery recovery;
	bool parts_wrong; /* a part's checksum doesn't fit */
	uint32_t lost;	  /* spans */
	uint32_t batches; /* with spans lost */
	uint32_t doubled;
};

/* Makes it; small_free. */
void small_make(struct small *small);
/* One whose log was trimmed: spans of its first segments are in files alone. */
void small_make_trimmed(struct small *small);
/* One whose first part was sealed; what that one was is *ret_plain, which is the caller's. alone:
 * it is the only one, and the log was let go of at the end, whole. */
void small_make_sealed(struct small *small, bool alone, uint8_t **ret_plain, size_t *ret_length);
void small_free(struct small *small);

/* Opens it and closes it once more, as a daemon that does nothing would: then something
 * synced is behind the last record of the manifest. */
void small_open_again(struct small *small);

/* The store with another content of one file; NULL: without it. fake_disk_free. */
struct fake_disk *small_changed(
	const struct small *small, const char *path, const uint8_t *data, size_t length);

/* What readers without a daemon see of it: how many spans are lost. Nothing is recovered. */
struct seen {
	uint32_t lost;
	bool told;     /* the reader says that something is wrong */
	char file[64]; /* the first that can't be read, or not all of it */
};
void small_read(struct fake_disk *disk, const struct small *small, struct seen *ret);

/* Recovers the disk and looks at all that is there. */
void small_look(struct fake_disk *disk, const struct small *small, struct found *ret);

#endif
