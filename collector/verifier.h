/*
 * Checks in the background that the bytes which were committed before the start
 * are still what they were (docs/STORE.md, "Recovery", step 3): one part after the
 * other on libuv's pool, while the daemon works. What was committed stays as it is
 * until its part is removed, so a copy of what the manifest said is enough.
 *
 * Loop thread, but for the reading.
 */
#ifndef WAFT_COLLECTOR_VERIFIER_H
#define WAFT_COLLECTOR_VERIFIER_H

#include "recover.h"

#include <uv.h>

struct verifier;

struct verifier_counts {
	uint64_t parts;	  /* looked at */
	uint64_t damaged; /* of them */
	char first_damaged[PART_NAME_BYTES];
};

/* For the parts of state, which is copied. disk and dirs are borrowed until
 * verifier_free. -ENOMEM. */
int verifier_new(struct disk *disk, const struct store_dirs *dirs,
	const struct manifest_state *state, struct verifier **ret) MUST_CHECK;

/* Begins; once. on_damaged: of each file that is not what it was, on the loop. */
void verifier_start(struct verifier *verifier, uv_loop_t *loop,
	void (*on_damaged)(void *context, const char *name), void *context);

/* All 0 for NULL. */
void verifier_count(const struct verifier *verifier, struct verifier_counts *ret);

/* Has the loop end soon: a part that is being read is given up. May be NULL. */
void verifier_stop(struct verifier *verifier);

/* After the loop has ended. May be NULL. */
void verifier_free(struct verifier *verifier);

#endif
