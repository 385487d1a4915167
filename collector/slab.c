/* Chunks of equal items. Not thread-safe. */
#include "slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "huge.h"

/* Items of a word of free_bits. */
enum { WORD_BITS = 6, WORD_ITEMS = 1 << WORD_BITS };
enum { PAGES_ALONE = 4 };

void slab_init(struct slab *slab, uint32_t item_bytes, uint32_t chunk_bits)
{
	*slab = (struct slab){.item_bytes = item_bytes, .chunk_bits = chunk_bits};
}

static size_t chunk_bytes(const struct slab *slab)
{
	return (size_t)slab->item_bytes << slab->chunk_bits;
}

/* How many chunks a large page has room for; 1: they are alone. */
static uint32_t chunks_of_page(const struct slab *slab)
{
	size_t chunks = HUGE_BYTES / chunk_bytes(slab);

	return chunks > 1 ? (uint32_t)chunks : 1;
}

/* The first pages' worth are alone: of what is held, a page that is not full is a fifth at most. */
static uint32_t chunks_alone(const struct slab *slab)
{
	return PAGES_ALONE * chunks_of_page(slab);
}

/* Whether the chunk of that number is memory of its own, or the first of a large page. */
static bool is_owner(const struct slab *slab, uint32_t chunk)
{
	return chunk < chunks_alone(slab) || chunk % chunks_of_page(slab) == 0;
}

static uint8_t *new_chunk(const struct slab *slab)
{
	uint32_t number = slab->chunk_count;

	if (!is_owner(slab, number))
		return slab->chunks[number - 1] + chunk_bytes(slab);
	if (number < chunks_alone(slab))
		return calloc(1, chunk_bytes(slab));
	return huge_calloc(chunks_of_page(slab) > 1 ? HUGE_BYTES : chunk_bytes(slab));
}

void slab_done(struct slab *slab)
{
	for (uint32_t i = 0; i < slab->chunk_count; i++) {
		if (is_owner(slab, i))
			free(slab->chunks[i]);
	}
	free(slab->chunks);
	free(slab->free_bits);
	slab_init(slab, slab->item_bytes, slab->chunk_bits);
}

static int add_chunk(struct slab *slab)
{
	uint32_t items = 1u << slab->chunk_bits;
	uint32_t first = slab->chunk_count << slab->chunk_bits;
	uint32_t words = items / WORD_ITEMS;
	uint64_t *free_bits;
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
	free_bits = reallocarray(slab->free_bits, first / WORD_ITEMS + words, sizeof(*free_bits));
	if (free_bits == NULL)
		return -ENOMEM;
	slab->free_bits = free_bits;
	chunk = new_chunk(slab);
	if (chunk == NULL)
		return -ENOMEM;
	slab->chunks[slab->chunk_count++] = chunk;
	memset(free_bits + first / WORD_ITEMS, 0xff, words * sizeof(*free_bits));
	/* Else all that is in use would be passed to come to it. */
	if (slab->free_count == 0)
		slab->at = first / WORD_ITEMS;
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
	uint32_t at = slab->at;
	uint64_t bits;

	if (slab->free_count == 0)
		return SLAB_NONE;
	while ((bits = slab->free_bits[at]) == 0) {
		if (++at == slab->chunk_count << slab->chunk_bits >> WORD_BITS)
			at = 0;
	}
	slab->at = at;
	slab->free_bits[at] = bits & (bits - 1);
	slab->free_count--;
	slab->live++;
	return (at << WORD_BITS) + (uint32_t)__builtin_ctzll(bits);
}

void slab_give(struct slab *slab, uint32_t index)
{
	slab->free_bits[index / WORD_ITEMS] |= UINT64_C(1) << index % WORD_ITEMS;
	slab->free_count++;
	slab->live--;
}

void slab_trim(struct slab *slab)
{
	if (slab->live == 0)
		slab_done(slab);
}
