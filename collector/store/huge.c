/* Large pages. See huge.h. */
#include "huge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *huge_alloc(size_t bytes)
{
	size_t whole = (bytes + HUGE_BYTES - 1) & ~(size_t)(HUGE_BYTES - 1);
	void *memory;

	if (bytes < HUGE_BYTES)
		return malloc(bytes);
	if (bytes > SIZE_MAX / 2)
		return NULL;
	memory = aligned_alloc(HUGE_BYTES, whole);
	/* Where there are none, small ones do. */
	if (memory != NULL)
		(void)madvise(memory, whole, MADV_HUGEPAGE);
	return memory;
}

void *huge_calloc(size_t bytes)
{
	void *memory = bytes < HUGE_BYTES ? calloc(1, bytes) : huge_alloc(bytes);

	if (memory != NULL && bytes >= HUGE_BYTES)
		memset(memory, 0, bytes);
	return memory;
}
