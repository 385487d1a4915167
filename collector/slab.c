/* Chunks of equal items. Not thread-safe. */
#include "slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void slab_init(struct slab *slab, uint32_t item_bytes, uint32_t chunk_bits)
{
	*slab = (struct slab){
		.item_bytes = item_bytes, .chunk_bits = chunk_bits, .first_free = SLAB_NONE};
}

void slab_done(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->chunk_count; i++)
		free(slab->chunks[i]);
	free(slab->chunks);
	slab_init(slab, slab->item_bytes, slab->chunk_bits);
}

static int add_chunk(struct slab *slab)
{
	uint32_t items = 1u << slab->chunk_bits;
	uint32_t first = slab->chunk_count << slab->chunk_bits;
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
	chunk = calloc(items, slab->item_bytes);
	if (chunk == NULL)
		return -ENOMEM;
	slab->chunks[slab->chunk_count++] = chunk;
	/* The list runs upwards, so that items taken in a row lie in a row. */
	for (uint32_t i = items; i-- > 0;) {
		memcpy(chunk + (size_t)i * slab->item_bytes, &slab->first_free,
			sizeof(slab->first_free));
		slab->first_free = first + i;
	}
	slab->free_count += items;
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
	uint32_t index = slab->first_free;

	if (index == SLAB_NONE)
		return SLAB_NONE;
	memcpy(&slab->first_free, slab_at(slab, index), sizeof(slab->first_free));
	slab->free_count--;
	slab->live++;
	return index;
}

void slab_give(struct slab *slab, uint32_t index)
{
	memcpy(slab_at(slab, index), &slab->first_free, sizeof(slab->first_free));
	slab->first_free = index;
	slab->free_count++;
	slab->live--;
}

void slab_trim(struct slab *slab)
{
	if (slab->live == 0)
		slab_done(slab);
}
