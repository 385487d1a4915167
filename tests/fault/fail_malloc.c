/*
 * Linked into a waft-collectord whose calls of malloc and its like come here (by the
 * linker's --wrap): the n-th fails. Which one is told from outside, through a small
 * file that both map (WAFT_FAIL_MALLOC): three numbers of 64 bits,
 *
 *     countdown   0: none fails; n: the n-th from now, then every `again`-th
 *     again       0: only one
 *     failed      how many have
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct control {
	_Atomic uint64_t countdown;
	_Atomic uint64_t again;
	_Atomic uint64_t failed;
};

static struct control *control;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **ret, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t length);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length);

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("WAFT_FAIL_MALLOC");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = MAP_FAILED;

	if (fd >= 0) {
		map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (map != MAP_FAILED)
		control = map;
}

static bool fails(void)
{
	uint64_t left;

	if (control == NULL)
		return false;
	left = control->countdown;
	while (left > 0) {
		uint64_t next = left > 1 ? left - 1 : control->again;

		if (!__atomic_compare_exchange_n((uint64_t *)&control->countdown, &left, next,
			    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			continue;
		if (left > 1)
			return false;
		control->failed++;
		errno = ENOMEM;
		return true;
	}
	return false;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
	return fails() ? NULL : __real_realloc(pointer, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
	return fails() ? ENOMEM : __real_posix_memalign(ret, alignment, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t length)
{
	return fails() ? NULL : __real_strndup(text, length);
}
