/*
 * scattered.h: traces that may have runs in several places, and which blocks of a file hold some
 * of these, so that a walk needn't read all others for their sake. Private to trace_walk.c; one
 * thread at a time. Memory: that of the ids, and 24 bytes more for each once a file was asked.
 */
#ifndef WAFT_STORE_SCATTERED_H
#define WAFT_STORE_SCATTERED_H

#include "id_map.h"
#include "run_list.h"

/* Zero-initialised is empty. */
struct scattered {
	struct id_map map;
	struct scattered_id *ids; /* owned; sorted by hash; NULL: not made yet */
};

/* Before the first question. 0, also when it was there, or -ENOMEM. */
int scattered_add(struct scattered *scattered, const uint8_t trace_id[16]) MUST_CHECK;

static inline bool scattered_any(const struct scattered *scattered)
{
	return scattered->map.count > 0;
}

static inline bool scattered_has(const struct scattered *scattered, const uint8_t trace_id[16])
{
	return id_map_find(&scattered->map, trace_id, NULL);
}

/* Which of the list's indexed blocks may hold a run of one of the traces. *ret: a bit a block,
 * owned by the caller; NULL: any may. 0, ERR_INDEX, -ENOMEM, -EIO. */
int scattered_blocks(
	struct scattered *scattered, const struct run_list *list, uint8_t **ret) MUST_CHECK;

static inline bool scattered_in_block(const uint8_t *blocks, size_t block)
{
	return blocks == NULL || (blocks[block / 8] >> block % 8 & 1) != 0;
}

void scattered_done(struct scattered *scattered);

#endif
