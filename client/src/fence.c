/* See fence.h. */
#include "fence.h"

#include <errno.h>
#include <string.h>

#include "chunk.h"
#include "export.h"
#include "packer.h"
#include "process.h"

/* Whether it is a Fence at all, and of which of our numbers. */
static int fence_check(struct slice fence, uint64_t *ret_sequence)
{
	struct cursor cursor = cursor_of_slice(fence);
	struct fence_entry entry;

	while (fence_next(&cursor, &entry))
		if (entry.kind == FENCE_SEQUENCE)
			*ret_sequence = entry.sequence;
	return cursor.error;
}

static void taken_add(struct ledger *ledger, const struct taken *taken)
{
	struct chunk *chunk = chunk_find(taken->unit);
	uint64_t spans;

	if (chunk == NULL || chunk->cut != taken->from || !packer_pass(chunk, taken->to, &spans))
		return;
	__atomic_store_n(&chunk_head(&process.region, chunk)->taken, taken->to, __ATOMIC_RELEASE);
	__atomic_fetch_add(&ledger->durable, spans, __ATOMIC_RELEASE);
}

static void taken_drops_add(struct ledger *ledger, const struct taken_drops *drops)
{
	for (int i = 0; i < WAFT_DROP_REASONS; i++) {
		uint64_t dropped = __atomic_load_n(&process.dropped[i], __ATOMIC_ACQUIRE);

		if (slice_equal(drops->reason, slice_of_text(waft_drop_reason_name(i))) &&
			drops->said > ledger->said[i] && drops->said <= dropped)
			ledger->said[i] = drops->said;
	}
}

int fence_take(struct ledger *ledger, struct slice fence, uint64_t durable)
{
	struct cursor cursor = cursor_of_slice(fence);
	struct fence_entry entry;
	uint64_t sequence = 0;
	int ret = fence_check(fence, &sequence);

	if (ret == 0)
		ret = ledger_answer(ledger, sequence);
	if (ret < 0)
		return ret;
	ledger_dissolve(ledger);
	while (fence_next(&cursor, &entry)) {
		if (entry.kind == FENCE_TAKEN && entry.taken.sequence <= durable)
			taken_add(ledger, &entry.taken);
		else if (entry.kind == FENCE_DROPS && entry.drops.sequence <= durable)
			taken_drops_add(ledger, &entry.drops);
	}
	return 0;
}
