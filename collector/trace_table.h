/*
 * From trace id to a number: a hash table with open addressing, 8 bytes a slot.
 *
 * The hash is keyed with a secret of the process, so that nobody can choose
 * trace ids that collide. Not thread-safe.
 */
#ifndef WAFT_COLLECTOR_TRACE_TABLE_H
#define WAFT_COLLECTOR_TRACE_TABLE_H

#include "ids.h"

#include <stddef.h>
#include <stdint.h>

#define TRACE_TABLE_NONE UINT32_MAX

struct trace_table_slot {
	uint32_t value; /* TRACE_TABLE_NONE: free */
	uint32_t hash;
};

struct trace_table {
	struct trace_table_slot *slots; /* owned; NULL while empty */
	uint32_t mask;
	uint32_t count;
	uint64_t key[2];
	/* The id that stands behind a value. */
	const struct trace_id *(*id_of)(const void *context, uint32_t value);
	const void *context;
};

void trace_table_init(struct trace_table *table, const uint64_t key[2],
	const struct trace_id *(*id_of)(const void *context, uint32_t value), const void *context);
void trace_table_done(struct trace_table *table);

/* Makes room for `more` further entries. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int trace_table_reserve(
	struct trace_table *table, uint32_t more);

uint32_t trace_table_find(const struct trace_table *table, const struct trace_id *id);

/* Has the processor fetch what trace_table_find will look at. */
void trace_table_prefetch(const struct trace_table *table, const struct trace_id *id);

/* What stands where the id's value would, if nothing else is in the way: a guess. */
uint32_t trace_table_guess(const struct trace_table *table, const struct trace_id *id);

/* Puts in a value whose id is not there yet; room must be reserved. */
void trace_table_put(struct trace_table *table, const struct trace_id *id, uint32_t value);

/* Takes out the value of an id that is there. */
void trace_table_remove(struct trace_table *table, const struct trace_id *id);

/* Gives the memory of an empty table back when it is large. Only while nothing that
 * trace_table_reserve promised is still to be put. */
void trace_table_trim(struct trace_table *table);

static inline size_t trace_table_memory(const struct trace_table *table)
{
	return table->slots == NULL ? 0
				    : ((size_t)table->mask + 1) * sizeof(struct trace_table_slot);
}

#endif
