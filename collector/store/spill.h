/*
 * spill.h: bytes that are gathered in order and read back once, in memory as long as they
 * are few, else in a file that has no name any more. Used by those who make the index of a
 * sealed part (pack_write.c), which is larger than what they may take.
 *
 * Errors are those of the disk, and -ENOMEM. One thread at a time.
 */
#ifndef WAFT_STORE_SPILL_H
#define WAFT_STORE_SPILL_H

#include "bytes.h"
#include "disk.h"

/* Where files go. Copied; what it points to is borrowed. */
struct spill_place {
	struct disk *disk;
	int dir;
	const char *name; /* of a file that lies there for a moment */
	/* Called before a change of the file system, and with false after it; may be NULL. */
	void (*hurry)(void *context, bool on);
	void *context;
};

/* Tells the place's hurry. */
static inline void spill_hurry(const struct spill_place *place, bool on)
{
	if (place->hurry != NULL)
		place->hurry(place->context, on);
}

/* ---- Bytes ------------------------------------------------------------------ */

struct spill {
	struct spill_place place;
	size_t memory_bytes; /* that it keeps, at most, besides what is put at once */
	struct bytes bytes;  /* behind what is in the file */
	uint64_t file_bytes;
	int file; /* -1: there is none */
};

void spill_init(struct spill *spill, const struct spill_place *place, size_t memory_bytes);
/* One that is only zeros is fine. */
void spill_done(struct spill *spill);

int spill_put(struct spill *spill, const void *data, size_t length) MUST_CHECK;

static inline uint64_t spill_length(const struct spill *spill)
{
	return spill->file_bytes + spill->bytes.length;
}

/* Calls on_bytes for all of it, piece by piece of spill->memory_bytes at most, or less than a
 * page more. A result other than 0 ends it and is returned. */
int spill_read(struct spill *spill, int (*on_bytes)(void *ctx, const void *data, size_t length),
	void *ctx) MUST_CHECK;

/* ---- Numbers, sorted --------------------------------------------------------- */

struct spill_id {
	uint64_t hash;
	uint32_t run;
};

struct spill_ids {
	struct spill_place place;
	size_t capacity;      /* that are sorted at once */
	struct spill_id *ids; /* owned */
	size_t allocated;
	size_t count;
	uint64_t in_file; /* in pieces of capacity, each sorted */
	int file;	  /* -1: there is none */
};

/* capacity: of ids in memory at once; 16 bytes each. */
void spill_ids_init(struct spill_ids *ids, const struct spill_place *place, size_t capacity);
/* One that is only zeros is fine. */
void spill_ids_done(struct spill_ids *ids);

int spill_ids_put(struct spill_ids *ids, uint64_t hash, uint32_t run) MUST_CHECK;

/* Calls on_id for each, by hash, then by run; at most once. A result other than 0 ends it and is
 * returned. Takes as much memory again as the ids in memory do, if there is a file. */
int spill_ids_sorted(struct spill_ids *ids, int (*on_id)(void *ctx, const struct spill_id *id),
	void *ctx) MUST_CHECK;

#endif
