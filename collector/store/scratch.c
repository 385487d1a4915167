/*
 * scratch.c: see scratch.h. Blocks double up to 1 MiB; a larger piece gets a
 * block of its own size.
 */
#include "scratch.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES_MIN ((size_t)4096)
#define BLOCK_BYTES_MAX ((size_t)1 << 20)

struct scratch_block {
	struct scratch_block *next;
	size_t size; /* of data */
	size_t used;
	alignas(max_align_t) unsigned char data[];
};

static struct scratch_block *block_new(struct scratch *scratch, size_t wanted)
{
	size_t size = scratch->blocks != NULL ? scratch->blocks->size * 2 : BLOCK_BYTES_MIN;
	struct scratch_block *block;

	if (size > BLOCK_BYTES_MAX)
		size = BLOCK_BYTES_MAX;
	if (size < wanted)
		size = wanted;
	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	block = malloc(sizeof(*block) + size);
	if (block == NULL)
		return NULL;
	block->next = scratch->blocks;
	block->size = size;
	block->used = 0;
	scratch->blocks = block;
	scratch->used_bytes += sizeof(*block) + size;
	return block;
}

void *scratch_alloc(struct scratch *scratch, size_t size)
{
	struct scratch_block *block = scratch->blocks;
	size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	void *ret;

	if (rounded < size)
		return NULL;
	if (block == NULL || block->size - block->used < rounded) {
		block = block_new(scratch, rounded);
		if (block == NULL)
			return NULL;
	}
	ret = block->data + block->used;
	block->used += rounded;
	return ret;
}

char *scratch_copy(struct scratch *scratch, const void *data, size_t length)
{
	char *ret = length < SIZE_MAX ? scratch_alloc(scratch, length + 1) : NULL;

	if (ret == NULL)
		return NULL;
	if (length > 0)
		memcpy(ret, data, length);
	ret[length] = '\0';
	return ret;
}

void scratch_reset(struct scratch *scratch)
{
	struct scratch_block *keep = scratch->blocks;

	if (keep == NULL)
		return;
	scratch->blocks = keep->next;
	scratch_done(scratch);
	if (keep->size > BLOCK_BYTES_MAX) {
		free(keep);
		return;
	}
	keep->next = NULL;
	keep->used = 0;
	scratch->blocks = keep;
	scratch->used_bytes = sizeof(*keep) + keep->size;
}

void scratch_done(struct scratch *scratch)
{
	struct scratch_block *block = scratch->blocks;

	while (block != NULL) {
		struct scratch_block *next = block->next;

		free(block);
		block = next;
	}
	*scratch = (struct scratch){0};
}
