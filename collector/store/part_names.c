/*
 * part_names.c: see part_names.h.
 */
#include "part_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add_part(struct part_names *names, const struct part_name *part)
{
	if (names->count == names->capacity) {
		size_t capacity = names->capacity > 0 ? names->capacity * 2 : 64;
		struct part_name *parts =
			reallocarray(names->parts, capacity, sizeof(*names->parts));

		if (parts == NULL)
			return -ENOMEM;
		names->parts = parts;
		names->capacity = capacity;
	}
	names->parts[names->count++] = *part;
	return 0;
}

static int on_name(void *ctx, const char *name)
{
	struct part_names *names = ctx;
	struct part_name part;

	if (part_name_parse(name, &part) == 0)
		return add_part(names, &part);
	return part_name_is_traces(name) ? bytes_put(&names->others, name, strlen(name) + 1) : 0;
}

static int compare_parts(const void *left, const void *right)
{
	const struct part_name *a = left;
	const struct part_name *b = right;

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return a->sealed - b->sealed;
}

int part_names_read(struct part_names *names, struct disk *disk, int dir)
{
	int ret;

	names->count = 0;
	names->others.length = 0;
	ret = disk_list(disk, dir, on_name, names);
	if (ret == 0 && names->count > 1)
		qsort(names->parts, names->count, sizeof(*names->parts), compare_parts);
	return ret;
}

size_t part_names_find(const struct part_names *names, const struct part_name *part, size_t near)
{
	struct part_name plain = {.day = part->day, .number = part->number};
	size_t low = 0, high = names->count;

	if (near < high && part_names_is_same(&names->parts[near], part) &&
		(near == 0 || !part_names_is_same(&names->parts[near - 1], part)))
		return near;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_parts(&names->parts[middle], &plain) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < names->count && part_names_is_same(&names->parts[low], part) ? low
										  : names->count;
}

void part_names_done(struct part_names *names)
{
	free(names->parts);
	bytes_done(&names->others);
	*names = (struct part_names){0};
}
