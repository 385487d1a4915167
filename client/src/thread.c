/* See thread.h. */
#include "thread.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "carry.h"
#include "chunk.h"
#include "ids.h"
#include "sender.h"
#include "span.h"
#include "wake.h"

__thread struct waft_thread_ waft_thread_ __attribute__((tls_model("initial-exec")));

static pthread_key_t exit_key;

/* ---- Slots ---------------------------------------------------------------- */

/* after: NULL puts it in front. */
static void row_insert(struct thread *thread, struct waft_open_ *after, struct waft_open_ *open)
{
	struct waft_open_ **place = after != NULL ? &after->next : &thread->hot->first;

	open->prev = after;
	open->next = *place;
	if (open->next != NULL)
		open->next->prev = open;
	*place = open;
}

static void row_remove(struct thread *thread, struct waft_open_ *open)
{
	if (open->prev != NULL)
		open->prev->next = open->next;
	else
		thread->hot->first = open->next;
	if (open->next != NULL)
		open->next->prev = open->prev;
}

/* 16 more slots behind `after`; false when there is no memory. lock held. */
static bool slots_add_locked(struct thread *thread, struct waft_open_ *after)
{
	struct open_block *block = process_alloc(sizeof(*block));
	struct waft_slot_ *slots = NULL;
	int unit;

	_Static_assert(sizeof(struct waft_slot_) * THREAD_SLOTS == REGION_UNIT_BYTES,
		"a unit holds the slots of a block");
	if (block == NULL)
		return false;
	unit = region_take(&process.region, 1, REGION_SLOTS, REGION_UNITS / 8);
	if (unit >= 0) {
		slots = region_unit(&process.region, (uint32_t)unit);
		memset(slots, 0, REGION_UNIT_BYTES);
	}
	block->next = thread->blocks;
	for (uint32_t i = THREAD_SLOTS; i-- > 0;) {
		struct open *open = &block->opens[i];

		open->thread = thread;
		open->hot.generation = WAFT_SLOT_OPEN_;
		open->hot.slot = slots != NULL ? &slots[i] : &open->own_slot;
		WAFT_STORE_(&open->hot.slot->clock, thread->source);
		WAFT_STORE_(&open->hot.slot->thread, thread->tid);
		row_insert(thread, after, &open->hot);
	}
	thread->slots += THREAD_SLOTS;
	__atomic_store_n(&thread->blocks, block, __ATOMIC_RELEASE);
	return true;
}

struct open *thread_take_slot(struct thread *thread, bool apart)
{
	struct waft_open_ *hot = thread_free(thread->hot);

	if (hot == NULL && thread->slots < THREAD_SLOTS_LIMIT) {
		pthread_mutex_lock(&process.lock);
		(void)slots_add_locked(thread, waft_thread_.current);
		pthread_mutex_unlock(&process.lock);
		hot = thread_free(thread->hot);
	}
	if (hot == NULL)
		return NULL;
	if (apart)
		row_remove(thread, hot);
	else
		waft_thread_.current = hot;
	open_of(hot)->apart = apart;
	hot->flags = thread_flags(thread);
	return open_of(hot);
}

bool open_claim(struct open *open, uint32_t generation, bool own)
{
	uint32_t after = own ? generation + WAFT_GENERATION_STEP_ : generation | ~WAFT_GENERATION_;

	return (generation & ~WAFT_GENERATION_) == 0 &&
	       __atomic_compare_exchange_n(&open->hot.generation, &generation, after, false,
		       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Makes the slot ready for the next span. Owner only, who has taken it from the stack. */
static void slot_clean(struct thread *thread, struct open *open)
{
	uint32_t generation = WAFT_LOAD_(&open->hot.generation);

	if ((generation & ~WAFT_GENERATION_) != 0)
		WAFT_STORE_(&open->hot.generation,
			(generation & WAFT_GENERATION_) + WAFT_GENERATION_STEP_);
	if ((open->hot.flags & OPEN_CARRY) != 0)
		carry_release(open->carry);
	open->carry = NULL;
	open->hot.flags = 0;
	open->hot.traits = 0;
	open->parent = 0;
	open->hot.distance = 0;
	extra_clear(open->extra);
	WAFT_STORE_(&open->hot.slot->clock, thread->source);
	WAFT_STORE_(&open->hot.slot->thread, thread->tid);
	if (open->apart)
		row_insert(thread, waft_thread_.current, &open->hot);
	open->apart = false;
}

void open_release(struct open *open, struct thread *caller)
{
	struct thread *owner = open->thread;
	struct open *first;

	__atomic_store_n(&open->hot.slot->state, 0, __ATOMIC_RELEASE);
	if (owner == caller) {
		slot_clean(owner, open);
		return;
	}
	/* Once, also where a third one has ended what its owner began in it meanwhile. */
	if (__atomic_exchange_n(&open->listed, true, __ATOMIC_ACQ_REL))
		return;
	first = __atomic_load_n(&owner->returned, __ATOMIC_RELAXED);
	do {
		open->returned = first;
	} while (!__atomic_compare_exchange_n(
		&owner->returned, &first, open, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	__atomic_fetch_or(&owner->hot->bell, WAFT_BELL_SLOT_, __ATOMIC_RELEASE);
}

/* Takes it out of the row, wherever it stands. */
static void stack_remove(struct thread *thread, struct open *open)
{
	if (open->apart)
		return;
	if (waft_thread_.current == &open->hot)
		waft_thread_.current = open->hot.prev;
	row_remove(thread, &open->hot);
	open->apart = true;
}

static void slots_collect(struct thread *thread)
{
	struct open *open = __atomic_exchange_n(&thread->returned, NULL, __ATOMIC_ACQUIRE);

	while (open != NULL) {
		struct open *next = open->returned;

		__atomic_store_n(&open->listed, false, __ATOMIC_RELEASE);
		/* Unless its owner has ended it as well, at the very same moment. */
		if ((WAFT_LOAD_(&open->hot.generation) & ~WAFT_GENERATION_) != 0) {
			stack_remove(thread, open);
			slot_clean(thread, open);
		}
		open = next;
	}
}

void thread_abandon(struct thread *thread, const struct open *until)
{
	const struct waft_open_ *stop = until != NULL ? &until->hot : NULL;

	while (waft_thread_.current != NULL && waft_thread_.current != stop) {
		struct open *open = open_of(waft_thread_.current);

		/* One that ended elsewhere comes by the list of returned slots. */
		if (!open_claim(open, WAFT_LOAD_(&open->hot.generation), true)) {
			stack_remove(thread, open);
			continue;
		}
		waft_thread_.current = open->hot.prev;
		if ((open->hot.flags & (OPEN_ATTACHED | OPEN_UNSAMPLED)) == 0)
			span_write_pending(thread, open);
		open_release(open, thread);
	}
}

/* ---- The raw clock changes ------------------------------------------------- */

/* Whether inlined code may read the clock by itself. */
static void bell_hush(struct thread *thread)
{
	if (thread->source == CLOCK_INLINED)
		__atomic_fetch_or(&thread->hot->bell, WAFT_BELL_QUIET_, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(
			&thread->hot->bell, ~(uint32_t)WAFT_BELL_QUIET_, __ATOMIC_RELAXED);
}

static void clock_change(struct thread *thread)
{
	uint32_t source = __atomic_load_n(&process.source, __ATOMIC_ACQUIRE);

	if (source == thread->source)
		return;
	chunk_close(thread);
	thread->source = source;
	bell_hush(thread);
	for (struct open_block *block = thread->blocks; block != NULL; block = block->next)
		for (uint32_t i = 0; i < THREAD_SLOTS; i++) {
			struct open *open = &block->opens[i];

			if ((WAFT_LOAD_(&open->hot.slot->state) & WAFT_SLOT_OPEN_) != 0)
				open->hot.flags |= OPEN_CLOCK;
			else
				WAFT_STORE_(&open->hot.slot->clock, source);
		}
}

void thread_bell(struct thread *thread)
{
	uint32_t rung = __atomic_fetch_and(
		&thread->hot->bell, WAFT_BELL_STOP_ | WAFT_BELL_QUIET_, __ATOMIC_ACQUIRE);

	if ((rung & WAFT_BELL_WAKE_) != 0)
		wake_ring();
	if ((rung & WAFT_BELL_CLOCK_) != 0)
		clock_change(thread);
	if ((rung & WAFT_BELL_SLOT_) != 0)
		slots_collect(thread);
}

void waft_bell_slow_(void)
{
	struct thread *thread = waft_thread_.self;

	if (thread != NULL && thread->epoch == process.epoch)
		thread_bell(thread);
}

uint64_t waft_clock_slow_(void)
{
	return clock_monotonic_ns();
}

/* ---- Coming and going ------------------------------------------------------- */

struct thread *thread_new_locked(uint64_t tid)
{
	struct thread *thread = process_alloc(sizeof(*thread));

	if (thread == NULL)
		return NULL;
	thread->hot = process_alloc_hot();
	if (thread->hot == NULL)
		return NULL;
	thread->epoch = process.epoch;
	thread->tid = tid;
	thread->source = __atomic_load_n(&process.source, __ATOMIC_ACQUIRE);
	random_init(&thread->random);
	bell_hush(thread);
	thread->hot->id_base = random_id_base(&thread->random);
	thread->hot->next_raw = thread->hot->id_base + 1;
	thread->next = process.threads;
	__atomic_store_n(&process.threads, thread, __ATOMIC_RELEASE);
	return thread;
}

static struct thread *thread_find(void)
{
	uint64_t tid = (uint64_t)syscall(SYS_gettid);
	struct thread *thread;

	pthread_mutex_lock(&process.lock);
	thread = process.retired;
	if (thread != NULL) {
		process.retired = thread->next_retired;
		thread->tid = tid;
		for (struct waft_open_ *open = thread->hot->first; open != NULL; open = open->next)
			WAFT_STORE_(&open->slot->thread, tid);
	} else {
		thread = thread_new_locked(tid);
		if (thread != NULL && !slots_add_locked(thread, NULL))
			thread = NULL;
	}
	if (thread != NULL && __atomic_load_n(&process.idle, __ATOMIC_ACQUIRE) != 0)
		__atomic_fetch_or(&thread->hot->bell, WAFT_BELL_WAKE_, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&process.lock);
	return thread;
}

/* What was current before a fork is the parent of what begins in the child. */
static void base_inherit(struct thread *thread, const struct open *before)
{
	struct open *open;
	uint16_t flags = before->hot.flags;

	if ((flags & OPEN_NONE) != 0)
		return;
	open = thread_take_slot(thread, false);
	if (open == NULL)
		return;
	memcpy(open->hot.trace, before->hot.trace, sizeof(open->hot.trace));
	open->hot.raw = (flags & OPEN_ID) != 0 ? before->hot.raw : id_mix(before->hot.raw);
	open->hot.flags |= OPEN_ATTACHED | OPEN_ID | (flags & (OPEN_UNSAMPLED | OPEN_CARRY));
	if ((flags & OPEN_CARRY) != 0)
		open->carry = carry_retain(before->carry);
	open->hot.traits = before->hot.traits;
	open->hot.distance = 0;
}

static struct thread *thread_start(void)
{
	struct waft_open_ *before = waft_thread_.current;
	struct thread *thread = thread_find();

	waft_thread_ = (struct waft_thread_){0};
	if (thread == NULL) {
		process_complain("thread", "no memory for a thread: its spans are dropped");
		return NULL;
	}
	waft_thread_.self = thread;
	waft_thread_.hot = thread->hot;
	thread_bell(thread);
	clock_change(thread);
	if (before != NULL)
		base_inherit(thread, open_of(before));
	pthread_setspecific(exit_key, thread);
	sender_start();
	return thread;
}

struct thread *thread_get(void)
{
	struct thread *thread;
	int saved;

	if (!process_enter()) {
		if (waft_thread_.current == NULL)
			waft_thread_.hot = WAFT_DISABLED_;
		return NULL;
	}
	thread = waft_thread_.self;
	if (__builtin_expect(thread != NULL && thread->epoch == process.epoch, 1)) {
		if (thread_rung(thread->hot))
			thread_bell(thread);
		return thread;
	}
	saved = errno;
	thread = thread_start();
	errno = saved;
	return thread;
}

static void thread_exit(void *arg)
{
	struct thread *thread = arg;

	if (waft_thread_.self != thread || thread->epoch != process.epoch || !process_enter() ||
		thread->epoch != process.epoch)
		return;
	thread_bell(thread);
	thread_abandon(thread, NULL);
	chunk_close(thread);
	waft_thread_ = (struct waft_thread_){0};
	pthread_mutex_lock(&process.lock);
	thread->next_retired = process.retired;
	process.retired = thread;
	pthread_mutex_unlock(&process.lock);
	if (__atomic_load_n(&process.idle, __ATOMIC_ACQUIRE) != 0)
		wake_ring();
}

int thread_prepare(void)
{
	int ret = pthread_key_create(&exit_key, thread_exit);

	if (ret == 0)
		ret = pthread_atfork(NULL, NULL, process_fork_child);
	return -ret;
}
