/*
 * id_map.c: see id_map.h.
 */
#include "id_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "huge.h"
#include "index_run.h"

struct id_map_slot {
	uint8_t id[16];
	uint32_t number;
	bool used;
};

/* Slots for each word of the filter. */
enum { FILTER_SLOTS = 8 };

/* Its word in the filter, and 4 bits of that. */
static uint64_t *filter_word(const struct id_map *map, uint64_t hash, uint64_t *ret_bits)
{
	*ret_bits = UINT64_C(1) << (hash >> 40 & 63) | UINT64_C(1) << (hash >> 46 & 63) |
		    UINT64_C(1) << (hash >> 52 & 63) | UINT64_C(1) << (hash >> 58);
	return &map->filter[(hash & (map->capacity - 1)) / FILTER_SLOTS];
}

static void filter_put(struct id_map *map, uint64_t hash)
{
	uint64_t bits;

	*filter_word(map, hash, &bits) |= bits;
}

static struct id_map_slot *find_slot(const struct id_map *map, const uint8_t id[16], uint64_t hash)
{
	size_t at = hash & (map->capacity - 1);

	while (map->slots[at].used && memcmp(map->slots[at].id, id, 16) != 0)
		at = (at + 1) & (map->capacity - 1);
	return &map->slots[at];
}

static int grow(struct id_map *map)
{
	struct id_map old;
	struct id_map larger = {.capacity = map->capacity > 0 ? map->capacity * 2 : 64};

	larger.slots = huge_calloc(larger.capacity * sizeof(*larger.slots));
	larger.filter = calloc(larger.capacity / FILTER_SLOTS, sizeof(*larger.filter));
	if (larger.slots == NULL || larger.filter == NULL) {
		id_map_done(&larger);
		return -ENOMEM;
	}
	larger.count = map->count;
	for (size_t i = 0; i < map->capacity; i++) {
		const struct id_map_slot *slot = &map->slots[i];
		uint64_t hash;

		if (!slot->used)
			continue;
		hash = index_hash_id(slot->id);
		*find_slot(&larger, slot->id, hash) = *slot;
		filter_put(&larger, hash);
	}
	old = *map;
	*map = larger;
	id_map_done(&old);
	return 0;
}

int id_map_add(struct id_map *map, const uint8_t id[16], uint32_t number)
{
	uint64_t hash = index_hash_id(id);
	struct id_map_slot *slot;

	if (map->count >= map->capacity / 3 * 2 && grow(map) != 0)
		return -ENOMEM;
	slot = find_slot(map, id, hash);
	if (slot->used)
		return 1;
	memcpy(slot->id, id, 16);
	slot->number = number;
	slot->used = true;
	filter_put(map, hash);
	map->count++;
	return 0;
}

bool id_map_find(const struct id_map *map, const uint8_t id[16], uint32_t *ret_number)
{
	uint64_t hash = index_hash_id(id);
	const struct id_map_slot *slot;
	uint64_t word, bits;

	if (map->count == 0)
		return false;
	word = *filter_word(map, hash, &bits);
	if ((~word & bits) != 0)
		return false;
	slot = find_slot(map, id, hash);
	if (slot->used && ret_number != NULL)
		*ret_number = slot->number;
	return slot->used;
}

const uint8_t *id_map_next(const struct id_map *map, size_t *at)
{
	while (*at < map->capacity) {
		const struct id_map_slot *slot = &map->slots[(*at)++];

		if (slot->used)
			return slot->id;
	}
	return NULL;
}

void id_map_expect(const struct id_map *map, uint64_t hash, bool added)
{
	size_t at = hash & (map->capacity - 1);

	if (map->capacity == 0)
		return;
	__builtin_prefetch(&map->filter[at / FILTER_SLOTS]);
	if (added)
		__builtin_prefetch(&map->slots[at], 1);
}

void id_map_done(struct id_map *map)
{
	free(map->slots);
	free(map->filter);
	*map = (struct id_map){0};
}

size_t id_map_memory(const struct id_map *map)
{
	return map->capacity * sizeof(*map->slots) +
	       map->capacity / FILTER_SLOTS * sizeof(*map->filter);
}
