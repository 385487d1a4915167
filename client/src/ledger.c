/* See ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <string.h>

#include "chunk.h"
#include "process.h"
#include "thread.h"

void ledger_init(struct ledger *ledger)
{
	memset(ledger, 0, sizeof(*ledger));
	ledger->next_sequence = 1;
}

struct entry *ledger_entry(struct ledger *ledger, uint32_t n)
{
	return &ledger->entries[(ledger->first + n) % LEDGER_ENTRIES];
}

struct entry *ledger_new(struct ledger *ledger)
{
	struct entry *entry;

	if (ledger->count == LEDGER_ENTRIES)
		return NULL;
	entry = ledger_entry(ledger, ledger->count);
	memset(entry, 0, sizeof(*entry));
	entry->sequence = ledger->next_sequence;
	return entry;
}

void ledger_commit(struct ledger *ledger)
{
	ledger->count++;
	ledger->next_sequence++;
}

/* ---- Answers --------------------------------------------------------------- */

static void add(uint64_t *counter, uint64_t spans)
{
	__atomic_fetch_add(counter, spans, __ATOMIC_RELEASE);
}

/* Its stretches need not be kept any longer. */
static void cuts_release(struct ledger *ledger, uint32_t count)
{
	for (; count > 0; count--) {
		struct region_cut *cut = &process.region.cuts[ledger->cut_first];
		struct region_chunk *head;

		/* First what makes the cut needless, then its end: who reads the region of
		 * a process killed in between must not find it in neither. */
		if (cut->unit == REGION_CUT_DROP) {
			__atomic_store_n(&process.region.header->drops[cut->from].said,
				cut->id_base, __ATOMIC_RELEASE);
		} else {
			head = region_unit(&process.region, cut->unit);
			__atomic_store_n(&head->taken, cut->to, __ATOMIC_RELEASE);
		}
		__atomic_store_n(&cut->sequence, 0, __ATOMIC_RELEASE);
		ledger->cut_first = (ledger->cut_first + 1) % REGION_CUTS;
		ledger->cut_count--;
	}
}

static void first_remove(struct ledger *ledger)
{
	cuts_release(ledger, ledger_entry(ledger, 0)->cuts);
	ledger->first = (ledger->first + 1) % LEDGER_ENTRIES;
	ledger->count--;
	if (ledger->next > 0)
		ledger->next--;
}

void ledger_refuse(struct ledger *ledger, uint64_t sequence)
{
	for (uint32_t i = 0; i < ledger->count; i++)
		if (ledger_entry(ledger, i)->sequence == sequence)
			ledger_entry(ledger, i)->refused = true;
}

int ledger_answer(struct ledger *ledger, uint64_t sequence)
{
	/* All entries were sent, if only on a connection before: what that one brought
	 * may become durable when this one has begun. */
	if (sequence >= ledger->next_sequence)
		return -EPROTO;
	while (ledger->count > 0 && ledger_entry(ledger, 0)->sequence <= sequence) {
		const struct entry *entry = ledger_entry(ledger, 0);

		if (!entry->drop)
			add(entry->refused ? &ledger->refused : &ledger->durable, entry->spans);
		first_remove(ledger);
	}
	if (sequence > ledger->answered)
		ledger->answered = sequence;
	chunk_collect();
	return 0;
}

int ledger_resume(struct ledger *ledger, uint64_t durable)
{
	int ret;

	if (durable < ledger->answered)
		return -ESTALE;
	ret = ledger_answer(ledger, durable);
	ledger->next = 0;
	return ret;
}

void ledger_dissolve(struct ledger *ledger)
{
	/* The oldest last: it stays. */
	while (ledger->cut_count > 0) {
		uint32_t place = (ledger->cut_first + --ledger->cut_count) % REGION_CUTS;
		struct region_cut *cut = &process.region.cuts[place];
		struct chunk *chunk;

		__atomic_store_n(&cut->sequence, 0, __ATOMIC_RELEASE);
		if (cut->unit == REGION_CUT_DROP)
			continue;
		chunk = chunk_find(cut->unit);
		if (chunk == NULL)
			continue;
		chunk->cut = cut->from;
		chunk->trace_at = cut->trace_at;
		chunk->id_base = cut->id_base;
		chunk->clock_base = cut->clock_base;
		chunk->thread = cut->thread;
	}
	for (uint32_t i = 0; i < ledger->count; i++) {
		const struct entry *entry = ledger_entry(ledger, i);

		if (entry->drop)
			ledger->said[entry->reason] -= entry->spans;
	}
	ledger->count = 0;
	ledger->next = 0;
}

void ledger_forget(struct ledger *ledger, uint64_t emitted_total)
{
	uint64_t ended = ledger_ended();

	while (ledger->count > 0) {
		const struct entry *entry = ledger_entry(ledger, 0);

		if (!entry->drop)
			add(&ledger->unknown, entry->spans);
		first_remove(ledger);
	}
	ledger->next = 0;
	ledger->next_sequence = 1;
	ledger->answered = 0;
	/* What is accounted for is not emitted under the new uuid: all but the spans
	 * that wait in chunks and the drops that have no record yet. */
	ledger->forgotten =
		emitted_total - (ended - ledger->durable - ledger->refused - ledger->unknown);
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		ledger->forgotten -=
			__atomic_load_n(&process.dropped[i], __ATOMIC_ACQUIRE) - ledger->said[i];
	chunk_collect();
}

/* ---- Drops ------------------------------------------------------------------ */

bool ledger_drops_waiting(const struct ledger *ledger)
{
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		if (__atomic_load_n(&process.dropped[i], __ATOMIC_RELAXED) != ledger->said[i])
			return true;
	return false;
}

/* For who reads the region of a killed process: this number is taken. */
static void drop_cut(struct ledger *ledger, struct entry *entry, uint64_t said)
{
	uint32_t place = (ledger->cut_first + ledger->cut_count) % REGION_CUTS;
	struct region_cut *cut = &process.region.cuts[place];

	*cut = (struct region_cut){
		.unit = REGION_CUT_DROP, .from = (uint32_t)entry->reason, .id_base = said};
	__atomic_store_n(&cut->sequence, entry->sequence, __ATOMIC_RELEASE);
	entry->cuts = 1;
	ledger->cut_count++;
}

bool ledger_drop_next(struct ledger *ledger, uint64_t emitted_total)
{
	for (int i = 0; i < WAFT_DROP_REASONS; i++) {
		uint64_t dropped = __atomic_load_n(&process.dropped[i], __ATOMIC_ACQUIRE);
		struct entry *entry;

		if (dropped == ledger->said[i])
			continue;
		entry = ledger_new(ledger);
		if (entry == NULL || ledger->cut_count == REGION_CUTS)
			return false;
		entry->drop = true;
		entry->reason = (enum waft_drop_reason)i;
		entry->spans = dropped - ledger->said[i];
		entry->emitted = emitted_total - ledger->forgotten;
		ledger->said[i] = dropped;
		drop_cut(ledger, entry, dropped);
		ledger_commit(ledger);
		return true;
	}
	return false;
}

/* ---- Counts ------------------------------------------------------------------ */

uint64_t ledger_ended(void)
{
	uint64_t ended = 0;

	pthread_mutex_lock(&process.lock);
	for (const struct thread *thread = process.threads; thread != NULL; thread = thread->next)
		ended += __atomic_load_n(&thread->hot->ended, __ATOMIC_ACQUIRE);
	pthread_mutex_unlock(&process.lock);
	return ended;
}

uint64_t ledger_not_sampled(void)
{
	uint64_t count = 0;

	pthread_mutex_lock(&process.lock);
	for (const struct thread *thread = process.threads; thread != NULL; thread = thread->next)
		count += WAFT_LOAD_(&thread->hot->not_sampled);
	pthread_mutex_unlock(&process.lock);
	return count;
}

uint64_t ledger_emitted(void)
{
	uint64_t emitted = ledger_ended();

	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		emitted += __atomic_load_n(&process.dropped[i], __ATOMIC_ACQUIRE);
	return emitted;
}

void ledger_stats(const struct ledger *ledger, bool stopped, struct waft_stats *ret_stats)
{
	uint64_t refused = __atomic_load_n(&ledger->refused, __ATOMIC_ACQUIRE);
	uint64_t ended;

	*ret_stats = (struct waft_stats){0};
	/* Answers first: what they speak of has ended before. */
	ret_stats->durable = __atomic_load_n(&ledger->durable, __ATOMIC_ACQUIRE);
	ret_stats->unknown = __atomic_load_n(&ledger->unknown, __ATOMIC_ACQUIRE);
	ended = ledger_ended();
	ret_stats->emitted = ended;
	for (int i = 0; i < WAFT_DROP_REASONS; i++) {
		ret_stats->dropped[i] = __atomic_load_n(&process.dropped[i], __ATOMIC_ACQUIRE);
		ret_stats->emitted += ret_stats->dropped[i];
	}
	ret_stats->dropped[WAFT_DROP_REFUSED] += refused;
	ret_stats->in_flight = ended - ret_stats->durable - ret_stats->unknown - refused;
	ret_stats->not_sampled = ledger_not_sampled();
	if (stopped) {
		ret_stats->dropped[WAFT_DROP_SHUTDOWN] += ret_stats->in_flight;
		ret_stats->in_flight = 0;
	}
}
