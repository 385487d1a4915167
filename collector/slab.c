/* Chunks of equal items. Not thread-safe. */
#include "slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FETCH_AHEAD = 8 };

void slab_init(struct slab *slab, uint32_t item_bytes, uint32_t chunk_bits)
{
	*slab = (struct slab){.item_bytes = item_bytes, .chunk_bits = chunk_bits};
}

void slab_done(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->chunk_count; i++)
		free(slab->chunks[i]);
	free(slab->chunks);
	free(slab->free_items);
	slab_init(slab, slab->item_bytes, slab->chunk_bits);
}

static int add_chunk(struct slab *slab)
{
	uint32_t items = 1u << slab->chunk_bits;
	uint32_t first = slab->chunk_count << slab->chunk_bits;
	uint32_t *free_items;
	uint8_t *chunk;

	if (slab->chunk_count >= (SLAB_NONE >> slab->chunk_bits))
		return -ENOMEM;
	if (slab->chunk_count == slab->chunk_capacity) {
		uint32_t capacity = slab->chunk_capacity == 0 ? 16 : slab->chunk_capacity * 2;
		uint8_t **chunks = realloc(slab->chunks, capacity * sizeof(*chunks));

		if (chunks == NULL)
			return -ENOMEM;
		slab->chunks = chunks;
		slab->chunk_capacity = capacity;
	}
	free_items = reallocarray(slab->free_items, (size_t)first + items, sizeof(*free_items));
	if (free_items == NULL)
		return -ENOMEM;
	slab->free_items = free_items;
	chunk = calloc(items, slab->item_bytes);
	if (chunk == NULL)
		return -ENOMEM;
	slab->chunks[slab->chunk_count++] = chunk;
	/* The list runs upwards, so that items taken in a row lie in a row. */
	for (uint32_t i = items; i-- > 0;)
		slab->free_items[slab->free_count++] = first + i;
	return 0;
}

int slab_reserve(struct slab *slab, uint32_t wanted)
{
	while (slab->free_count < wanted) {
		int status = add_chunk(slab);

		if (status < 0)
			return status;
	}
	return 0;
}

uint32_t slab_take(struct slab *slab)
{
	if (slab->free_count == 0)
		return SLAB_NONE;
	/* Those that come next were mostly given back long ago, and are in no cache. */
	if (slab->free_count > FETCH_AHEAD)
		__builtin_prefetch(
			slab_at(slab, slab->free_items[slab->free_count - 1 - FETCH_AHEAD]), 1);
	slab->live++;
	return slab->free_items[--slab->free_count];
}

void slab_give(struct slab *slab, uint32_t index)
{
	slab->free_items[slab->free_count++] = index;
	slab->live--;
}

void slab_trim(struct slab *slab)
{
	if (slab->live == 0)
		slab_done(slab);
}
