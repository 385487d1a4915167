/*
 * run_array.c: runs in memory, with what is common to each block. See run_list.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "run_list.h"

static int add_zone(struct run_array *array)
{
	size_t wanted = array->count / INDEX_BLOCK_RUNS + 1;
	size_t capacity = array->zone_capacity > 0 ? array->zone_capacity : 4;
	struct index_zone *zones;

	while (capacity < wanted)
		capacity *= 2;
	if (capacity == array->zone_capacity)
		return 0;
	zones = reallocarray(array->zones, capacity, sizeof(*zones));
	if (zones == NULL)
		return -ENOMEM;
	array->zones = zones;
	array->zone_capacity = capacity;
	return 0;
}

int run_array_add(struct run_array *array, const struct index_run *run)
{
	struct index_zone *zone;
	int ret = add_zone(array);

	if (ret != 0)
		return ret;
	if (array->count == array->capacity) {
		size_t capacity = array->capacity > 0 ? array->capacity * 2 : 16;
		struct index_run *runs = reallocarray(array->runs, capacity, sizeof(*runs));

		if (runs == NULL)
			return -ENOMEM;
		array->runs = runs;
		array->capacity = capacity;
	}
	zone = &array->zones[array->count / INDEX_BLOCK_RUNS];
	if (array->count % INDEX_BLOCK_RUNS == 0)
		*zone = (struct index_zone){0};
	index_zone_add(zone, run);
	array->runs[array->count++] = *run;
	return 0;
}

void run_array_done(struct run_array *array)
{
	free(array->runs);
	free(array->zones);
	*array = (struct run_array){0};
}
