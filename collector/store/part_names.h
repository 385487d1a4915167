/*
 * part_names.h: the names of a trace directory, read once: those that a part of ours may have, and
 * others that may have traces. Several ask of them: whether the manifest was cut off
 * (lost_end.h), and which files a reader has (view_files.c). One thread at a time.
 */
#ifndef WAFT_STORE_PART_NAMES_H
#define WAFT_STORE_PART_NAMES_H

#include "bytes.h"
#include "disk.h"
#include "part.h"

/* Zero-initialised is empty. */
struct part_names {
	struct part_name *parts; /* owned; by day, number, plain first */
	size_t count;
	size_t capacity;
	struct bytes others; /* names that none of ours can have, each with its NUL */
};

/* Reads them anew. 0, -ENOMEM, or a negative errno. */
int part_names_read(struct part_names *names, struct disk *disk, int dir) MUST_CHECK;

/* Where a part's names stand in parts, plain or sealed, or both; count: no file has one. near:
 * where to look first, for parts are mostly asked for in their order. */
size_t part_names_find(const struct part_names *names, const struct part_name *part, size_t near);

static inline bool part_names_is_same(const struct part_name *a, const struct part_name *b)
{
	return a->day == b->day && a->number == b->number;
}

void part_names_done(struct part_names *names);

#endif
