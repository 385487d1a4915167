/* Open addressing with linear probing and backward-shift deletion. */
#include "trace_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "huge.h"

#define SLOTS_AT_FIRST 1024u

void trace_table_init(struct trace_table *table, const uint64_t key[2],
	const struct trace_id *(*id_of)(const void *context, uint32_t value), const void *context)
{
	*table = (struct trace_table){.key = {key[0], key[1]}, .id_of = id_of, .context = context};
}

void trace_table_done(struct trace_table *table)
{
	free(table->slots);
	table->slots = NULL;
	table->mask = 0;
	table->count = 0;
}

static uint32_t hash_id(const struct trace_table *table, const struct trace_id *id)
{
	uint64_t low;
	uint64_t high;

	memcpy(&low, id->bytes, 8);
	memcpy(&high, id->bytes + 8, 8);
	return (uint32_t)(id_mix(id_mix(low ^ table->key[0]) + (high ^ table->key[1])) >> 32);
}

static void put_hashed(struct trace_table_slot *slots, uint32_t mask, struct trace_table_slot slot)
{
	uint32_t at = slot.hash & mask;

	while (slots[at].value != TRACE_TABLE_NONE)
		at = (at + 1) & mask;
	slots[at] = slot;
}

static int resize(struct trace_table *table, uint32_t slot_count)
{
	struct trace_table_slot *slots = huge_alloc((size_t)slot_count * sizeof(*slots));

	if (slots == NULL)
		return -ENOMEM;
	memset(slots, 0xff, (size_t)slot_count * sizeof(*slots));
	if (table->slots != NULL) {
		for (uint32_t i = 0; i <= table->mask; i++)
			if (table->slots[i].value != TRACE_TABLE_NONE)
				put_hashed(slots, slot_count - 1, table->slots[i]);
	}
	free(table->slots);
	table->slots = slots;
	table->mask = slot_count - 1;
	return 0;
}

int trace_table_reserve(struct trace_table *table, uint32_t more)
{
	uint64_t wanted = ((uint64_t)table->count + more) * 3 / 2 + 1;
	uint64_t slots = table->slots == NULL ? SLOTS_AT_FIRST : (uint64_t)table->mask + 1;

	if (table->slots != NULL && wanted <= slots)
		return 0;
	while (slots < wanted)
		slots *= 2;
	if (slots > UINT32_MAX)
		return -ENOMEM;
	return resize(table, (uint32_t)slots);
}

/* The slot of an id, or the free one where it would stand. */
static uint32_t find_slot(const struct trace_table *table, const struct trace_id *id, uint32_t hash)
{
	uint32_t at = hash & table->mask;

	while (table->slots[at].value != TRACE_TABLE_NONE) {
		if (table->slots[at].hash == hash &&
			trace_id_equal(table->id_of(table->context, table->slots[at].value), id))
			break;
		at = (at + 1) & table->mask;
	}
	return at;
}

uint32_t trace_table_find(const struct trace_table *table, const struct trace_id *id)
{
	if (table->slots == NULL)
		return TRACE_TABLE_NONE;
	return table->slots[find_slot(table, id, hash_id(table, id))].value;
}

void trace_table_prefetch(const struct trace_table *table, const struct trace_id *id)
{
	if (table->slots != NULL)
		__builtin_prefetch(&table->slots[hash_id(table, id) & table->mask]);
}

uint32_t trace_table_guess(const struct trace_table *table, const struct trace_id *id)
{
	return table->slots != NULL ? table->slots[hash_id(table, id) & table->mask].value
				    : TRACE_TABLE_NONE;
}

void trace_table_put(struct trace_table *table, const struct trace_id *id, uint32_t value)
{
	put_hashed(table->slots, table->mask,
		(struct trace_table_slot){.value = value, .hash = hash_id(table, id)});
	table->count++;
}

void trace_table_remove(struct trace_table *table, const struct trace_id *id)
{
	uint32_t hole = find_slot(table, id, hash_id(table, id));
	uint32_t at = hole;

	if (table->slots[hole].value == TRACE_TABLE_NONE)
		return;
	for (;;) {
		uint32_t home;

		at = (at + 1) & table->mask;
		if (table->slots[at].value == TRACE_TABLE_NONE)
			break;
		home = table->slots[at].hash & table->mask;
		/* It may move into the hole unless its home lies behind the hole. */
		if (((at - home) & table->mask) >= ((at - hole) & table->mask)) {
			table->slots[hole] = table->slots[at];
			hole = at;
		}
	}
	table->slots[hole].value = TRACE_TABLE_NONE;
	table->count--;
}

void trace_table_trim(struct trace_table *table)
{
	if (table->count == 0 && table->mask >= SLOTS_AT_FIRST * 64)
		trace_table_done(table);
}
