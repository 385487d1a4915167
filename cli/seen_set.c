/*
 * seen_set.c: a set of 64-bit keys by linear probing. Keys are hashes already.
 */
#include "seen_set.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 1024 };

static size_t find(const struct seen_set *set, uint64_t key)
{
	size_t at = (size_t)key & (set->capacity - 1);

	while (set->slots[at] != 0 && set->slots[at] != key)
		at = (at + 1) & (set->capacity - 1);
	return at;
}

static int grow(struct seen_set *set)
{
	struct seen_set larger = {
		.capacity = set->capacity != 0 ? set->capacity * 2 : FIRST_CAPACITY,
		.count = set->count};

	larger.slots = calloc(larger.capacity, sizeof *larger.slots);
	if (larger.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < set->capacity; i++) {
		if (set->slots[i] != 0)
			larger.slots[find(&larger, set->slots[i])] = set->slots[i];
	}
	free(set->slots);
	*set = larger;
	return 0;
}

int seen_set_add(struct seen_set *set, uint64_t key)
{
	size_t at;

	if (set->count * 2 >= set->capacity && grow(set) != 0)
		return -ENOMEM;
	at = find(set, key);
	if (set->slots[at] == key)
		return 1;
	set->slots[at] = key;
	set->count++;
	return 0;
}

bool seen_set_remove(struct seen_set *set, uint64_t key)
{
	size_t mask = set->capacity - 1;
	size_t hole;

	if (set->count == 0)
		return false;
	hole = find(set, key);
	if (set->slots[hole] == 0)
		return false;
	/* What follows in the same cluster moves up unless it would come to stand
	 * before its own place. */
	for (size_t at = (hole + 1) & mask; set->slots[at] != 0; at = (at + 1) & mask) {
		size_t home = (size_t)set->slots[at] & mask;

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		set->slots[hole] = set->slots[at];
		hole = at;
	}
	set->slots[hole] = 0;
	set->count--;
	return true;
}

void seen_set_done(struct seen_set *set)
{
	free(set->slots);
	*set = (struct seen_set){0};
}
