/* See refuse.h. */
#include "refuse.h"

static unsigned int left; /* until one is refused; 0: none is */
static int happened;

void refuse_allocation(unsigned int n)
{
	left = n;
	happened = 0;
}

int refuse_happened(void)
{
	return happened;
}

static int refused(void)
{
	if (left == 0 || --left > 0)
		return 0;
	happened = 1;
	return 1;
}

void *refuse_malloc(size_t bytes)
{
	return refused() ? NULL : malloc(bytes);
}

void *refuse_calloc(size_t count, size_t bytes)
{
	return refused() ? NULL : calloc(count, bytes);
}

void *refuse_realloc(void *memory, size_t bytes)
{
	return refused() ? NULL : realloc(memory, bytes);
}

void *refuse_reallocarray(void *memory, size_t count, size_t bytes)
{
	return refused() ? NULL : reallocarray(memory, count, bytes);
}

char *refuse_strdup(const char *text)
{
	return refused() ? NULL : strdup(text);
}

char *refuse_strndup(const char *text, size_t length)
{
	return refused() ? NULL : strndup(text, length);
}
