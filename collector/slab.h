/*
 * Items of one size by number: chunks that never move, a bit for each that is free.
 *
 * A number is 4 bytes where a pointer is 8, and stays valid while the slab
 * grows. Reserving ahead makes a later slab_take that can't fail. Not
 * thread-safe.
 *
 * Items are taken round and round in the order of their addresses, not those that were
 * given back last: items taken one after the other lie side by side, and whoever
 * walks them later finds them in as few cache lines. A list of free items would
 * hand out what was given back in any order, in that order for ever.
 */
#ifndef WAFT_COLLECTOR_SLAB_H
#define WAFT_COLLECTOR_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_NONE UINT32_MAX

struct slab {
	uint8_t **chunks; /* owned, beyond the first ones several in a large page */
	uint32_t chunk_count;
	uint32_t chunk_capacity;
	uint64_t *free_bits; /* owned; of all items */
	uint32_t at;	     /* the word of free_bits to look at first */
	uint32_t item_bytes;
	uint32_t chunk_bits; /* items a chunk: 1 << chunk_bits, 64 or more */
	uint32_t free_count;
	uint32_t live;
};

void slab_init(struct slab *slab, uint32_t item_bytes, uint32_t chunk_bits);
void slab_done(struct slab *slab);

/* Makes sure that `wanted` items are free. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int slab_reserve(struct slab *slab, uint32_t wanted);

/* Takes the next free item; its bytes are what they were (of a new one 0). SLAB_NONE when
 * none is free: reserve first. */
uint32_t slab_take(struct slab *slab);

void slab_give(struct slab *slab, uint32_t index);

/* Frees all chunks when no item is live. */
void slab_trim(struct slab *slab);

static inline void *slab_at(const struct slab *slab, uint32_t index)
{
	return slab->chunks[index >> slab->chunk_bits] +
	       (size_t)(index & ((1u << slab->chunk_bits) - 1)) * slab->item_bytes;
}

/* Bytes of its chunks, and of the bits; without those of a large page that no chunk has yet. */
static inline size_t slab_memory(const struct slab *slab)
{
	size_t items = (size_t)slab->chunk_count << slab->chunk_bits;

	return items * slab->item_bytes + items / 8;
}

#endif
