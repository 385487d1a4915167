/*
 * Memory that runs out, and a disk that fails, when an input says so. Files of the code under test
 * are built once more into a fuzzer (waft_fuzzer_refusing) with this header before all others, so
 * that their allocations come here and those of the fuzzer itself don't. Single-threaded.
 */
#ifndef WAFT_FUZZ_REFUSE_H
#define WAFT_FUZZ_REFUSE_H

#include <stdlib.h>
#include <string.h>

/* The n-th allocation from now on, counted from 1, and none before or after it; 0: none. */
void refuse_allocation(unsigned int n);

/* Whether it was refused since refuse_allocation was called last. */
int refuse_happened(void);

struct disk;

/* From now on the disk fails when it is asked to. One at a time. */
void refuse_on(struct disk *disk);

/* The n-th call of that disk that opens, reads, writes, syncs, lists, looks up or renames
 * fails with EIO, counted as above. */
void refuse_call(unsigned int n);

void *refuse_malloc(size_t bytes);
void *refuse_calloc(size_t count, size_t bytes);
void *refuse_realloc(void *memory, size_t bytes);
void *refuse_reallocarray(void *memory, size_t count, size_t bytes);
char *refuse_strdup(const char *text);
char *refuse_strndup(const char *text, size_t length);

#ifdef WAFT_FUZZ_REFUSING
#define malloc refuse_malloc
#define calloc refuse_calloc
#define realloc refuse_realloc
#define reallocarray refuse_reallocarray
#define strdup refuse_strdup
#define strndup refuse_strndup
#endif

#endif
