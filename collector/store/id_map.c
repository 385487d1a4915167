/*
 * id_map.c: see id_map.h.
 */
#include "id_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index_run.h"

struct id_map_slot {
	uint8_t id[16];
	uint32_t number;
	bool used;
};

static struct id_map_slot *find_slot(const struct id_map *map, const uint8_t id[16])
{
	size_t at = index_hash_id(id) & (map->capacity - 1);

	while (map->slots[at].used && memcmp(map->slots[at].id, id, 16) != 0)
		at = (at + 1) & (map->capacity - 1);
	return &map->slots[at];
}

static int grow(struct id_map *map)
{
	struct id_map larger = {.capacity = map->capacity > 0 ? map->capacity * 2 : 64};

	larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
	if (larger.slots == NULL)
		return -ENOMEM;
	larger.count = map->count;
	for (size_t i = 0; i < map->capacity; i++)
		if (map->slots[i].used)
			*find_slot(&larger, map->slots[i].id) = map->slots[i];
	free(map->slots);
	*map = larger;
	return 0;
}

int id_map_add(struct id_map *map, const uint8_t id[16], uint32_t number)
{
	struct id_map_slot *slot;

	if (map->count >= map->capacity / 3 * 2 && grow(map) != 0)
		return -ENOMEM;
	slot = find_slot(map, id);
	if (slot->used)
		return 1;
	memcpy(slot->id, id, 16);
	slot->number = number;
	slot->used = true;
	map->count++;
	return 0;
}

bool id_map_find(const struct id_map *map, const uint8_t id[16], uint32_t *ret_number)
{
	const struct id_map_slot *slot;

	if (map->count == 0)
		return false;
	slot = find_slot(map, id);
	if (slot->used && ret_number != NULL)
		*ret_number = slot->number;
	return slot->used;
}

void id_map_done(struct id_map *map)
{
	free(map->slots);
	*map = (struct id_map){0};
}

size_t id_map_memory(const struct id_map *map)
{
	return map->capacity * sizeof(*map->slots);
}
