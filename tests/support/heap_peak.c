/*
 * heap_peak.c: see heap_peak.h. Under a sanitizer by its hooks, else by functions that stand
 * before libc's, of which those in shared libraries take these, too.
 */
#include "heap_peak.h"

#include <malloc.h>
#include <stdatomic.h>

/* Less than nothing, where what was held before is given back. */
static atomic_llong held, most;

static void take(size_t bytes)
{
	long long now = atomic_fetch_add(&held, (long long)bytes) + (long long)bytes;
	long long before = atomic_load(&most);

	while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
		;
}

static void give(size_t bytes)
{
	atomic_fetch_sub(&held, (long long)bytes);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

/* As in clang's sanitizer/allocator_interface.h, which gcc doesn't bring. */
int __sanitizer_install_malloc_and_free_hooks(
	void (*on_malloc)(const volatile void *memory, size_t bytes),
	void (*on_free)(const volatile void *memory));
size_t __sanitizer_get_allocated_size(const volatile void *memory);

static void on_malloc(const volatile void *memory, size_t bytes)
{
	(void)memory;
	take(bytes);
}

static void on_free(const volatile void *memory)
{
	if (memory != NULL)
		give(__sanitizer_get_allocated_size(memory));
}

static void prepare(void)
{
	static int hooks;

	if (hooks == 0)
		hooks = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static void prepare(void)
{
}

#define SEEN_BY_ALL __attribute__((visibility("default")))

SEEN_BY_ALL void *malloc(size_t size)
{
	void *memory = __libc_malloc(size);

	take(malloc_usable_size(memory));
	return memory;
}

SEEN_BY_ALL void *calloc(size_t count, size_t size)
{
	void *memory = __libc_calloc(count, size);

	take(malloc_usable_size(memory));
	return memory;
}

SEEN_BY_ALL void *realloc(void *memory, size_t size)
{
	size_t before = malloc_usable_size(memory);
	void *moved = __libc_realloc(memory, size);

	/* Both may be there for a moment. */
	if (moved != NULL || size == 0) {
		take(malloc_usable_size(moved));
		give(before);
	}
	return moved;
}

SEEN_BY_ALL void free(void *memory)
{
	give(malloc_usable_size(memory));
	__libc_free(memory);
}

#endif

void heap_peak_begin(void)
{
	prepare();
	atomic_store(&held, 0);
	atomic_store(&most, 0);
}

size_t heap_peak_bytes(void)
{
	return (size_t)atomic_load(&most);
}
