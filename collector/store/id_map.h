/*
 * id_map.h: trace ids with a number each, in memory. Open addressing; at most two
 * thirds full. Not thread-safe.
 */
#ifndef WAFT_STORE_ID_MAP_H
#define WAFT_STORE_ID_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"

/* Zero-initialised is empty. */
struct id_map {
	struct id_map_slot *slots; /* owned */
	uint64_t *filter;	   /* owned; what isn't in it isn't there: it fits the cache */
	size_t capacity;	   /* a power of two, or 0 */
	size_t count;
};

/* Adds the id with a number unless it is there: 1 when it was there (its number
 * stays), 0 when added, -ENOMEM. */
int id_map_add(struct id_map *map, const uint8_t id[16], uint32_t number) MUST_CHECK;

/* ret_number may be NULL. */
bool id_map_find(const struct id_map *map, const uint8_t id[16], uint32_t *ret_number);

/* The ids one after the other, in no order; *at is 0 for the first. NULL at the end. */
const uint8_t *id_map_next(const struct id_map *map, size_t *at);

/* An id of that hash (index_hash_id) is about to be found, or added: fetches from memory what
 * is looked at then. */
void id_map_expect(const struct id_map *map, uint64_t hash, bool added);

void id_map_done(struct id_map *map);

size_t id_map_memory(const struct id_map *map);

#endif
