/*
 * seen_set.h: a set of 64-bit keys, growing; 0 is not a key.
 */
#ifndef WAFT_CLI_SEEN_SET_H
#define WAFT_CLI_SEEN_SET_H

#include "errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise. */
struct seen_set {
	uint64_t *slots; /* open addressing, 0: free */
	size_t capacity; /* a power of two */
	size_t count;
};

/* 1: it was there already; 0: it is now; -ENOMEM. */
int seen_set_add(struct seen_set *set, uint64_t key) MUST_CHECK;
/* Removes it; whether it was there. */
bool seen_set_remove(struct seen_set *set, uint64_t key);
void seen_set_done(struct seen_set *set);

#endif
