/* See span.h. */
#include "span.h"

#include <stdlib.h>
#include <string.h>

#include "carry.h"
#include "chunk.h"
#include "ids.h"
#include "process.h"
#include "sampler.h"
#include "shape.h"
#include "values.h"

/* ---- Places --------------------------------------------------------------- */

static bool trace_set(const uint64_t trace[2])
{
	return (trace[0] | trace[1]) != 0;
}

uint64_t place_id(const struct place *place)
{
	return place->is_id ? place->id : id_mix(place->id);
}

static void place_of_open(const struct open *open, struct place *ret)
{
	*ret = (struct place){.trace = {open->hot.trace[0], open->hot.trace[1]},
		.id = open->hot.raw,
		.carry = (open->hot.flags & OPEN_CARRY) != 0 ? open->carry : NULL,
		.is_id = (open->hot.flags & OPEN_ID) != 0,
		.sampled = (open->hot.flags & OPEN_UNSAMPLED) == 0,
		.remote = (open->hot.flags & OPEN_REMOTE) != 0,
		.not_random = (open->hot.traits & OPEN_TRAIT_NOT_RANDOM) != 0};
}

void place_current(struct place *ret_place)
{
	*ret_place = (struct place){0};
	if (waft_thread_.current != NULL)
		place_of_open(open_of(waft_thread_.current), ret_place);
}

static void place_of_context(const struct waft_context *context, struct place *ret)
{
	*ret = (struct place){0};
	if (!waft_context_valid(context))
		return;
	memcpy(ret->trace, context->trace_id, sizeof(ret->trace));
	memcpy(&ret->id, context->span_id, sizeof(ret->id));
	ret->carry = context->carry;
	ret->is_id = true;
	ret->sampled = (context->flags & 1) != 0;
	ret->remote = context->remote;
	ret->not_random = (context->flags & 2) == 0;
}

/* The carry of a trace, from what is current in it: for spans that have ended. */
static struct waft_carry *carry_of_trace(const uint64_t trace[2])
{
	for (const struct waft_open_ *at = waft_thread_.current; at != NULL; at = at->prev)
		if (at->trace[0] == trace[0] && at->trace[1] == trace[1])
			return (at->flags & OPEN_CARRY) != 0
				       ? open_of((struct waft_open_ *)at)->carry
				       : NULL;
	return NULL;
}

static struct waft_carry *carry_of_span(const struct waft_span *span)
{
	const struct open *open = span->open_ != NULL ? open_of(span->open_) : NULL;

	if (open == NULL || WAFT_LOAD_(&open->hot.generation) != span->generation_)
		return carry_of_trace(span->trace_);
	return (open->hot.flags & OPEN_CARRY) != 0 ? open->carry : NULL;
}

void place_of_span(const struct waft_span *span, struct place *ret_place)
{
	*ret_place = (struct place){0};
	if (span == NULL || (span->bits_ & WAFT_SPAN_KNOWN_) == 0)
		return;
	memcpy(ret_place->trace, span->trace_, sizeof(ret_place->trace));
	ret_place->id = span->raw_;
	ret_place->is_id = (span->bits_ & WAFT_SPAN_ID_) != 0;
	ret_place->sampled = (span->bits_ & WAFT_SPAN_UNSAMPLED_) == 0;
	ret_place->not_random = (span->bits_ & WAFT_SPAN_NOT_RANDOM_) != 0;
	ret_place->carry = carry_of_span(span);
}

/* ---- Begin ----------------------------------------------------------------- */

static void span_none(struct waft_span *span)
{
	span->open_ = NULL;
	span->bits_ = 0;
	span->lanes_ = 0;
	span->shape_ = WAFT_SHAPE_NONE_;
}

/* One that the sampler left out and that nothing hangs on: only its place. */
static void span_unrecorded(
	struct thread *thread, struct waft_span *span, const struct place *place)
{
	span_none(span);
	span->bits_ = WAFT_SPAN_KNOWN_ | WAFT_SPAN_UNSAMPLED_ | (place->is_id ? WAFT_SPAN_ID_ : 0) |
		      (place->not_random ? WAFT_SPAN_NOT_RANDOM_ : 0);
	memcpy(span->trace_, place->trace, sizeof(span->trace_));
	span->raw_ = place->id;
	span->parent_ = 0;
	WAFT_STORE_(&thread->hot->not_sampled, thread->hot->not_sampled + 1);
}

/* The region's half, for a reader who comes when this process is dead. */
static void slot_fill(struct open *open, uint32_t shape, struct thread *thread)
{
	struct waft_slot_ *slot = open->hot.slot;
	uint64_t state = WAFT_LOAD_(&open->hot.generation);

	if ((open->hot.flags & OPEN_PARENT_ID) != 0)
		state |= WAFT_SLOT_PARENT_ID_;
	WAFT_STORE_(&slot->raw, open->hot.raw);
	WAFT_STORE_(&slot->parent, open->parent);
	WAFT_STORE_(&slot->trace[0], open->hot.trace[0]);
	WAFT_STORE_(&slot->trace[1], open->hot.trace[1]);
	WAFT_STORE_(&slot->shape, shape);
	WAFT_STORE_(&slot->thread, thread->tid);
	WAFT_STORE_(&slot->start, thread_clock(thread));
	__atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);
}

static void parent_set(struct open *open, const struct place *parent)
{
	open->hot.traits = OPEN_TRAIT_HOT | (parent->not_random ? OPEN_TRAIT_NOT_RANDOM : 0);
	open->hot.distance = 0;
	open->parent = parent->id;
	if (parent->id == 0)
		return;
	if (!parent->is_id && open->hot.raw - parent->id <= UINT16_MAX) {
		open->hot.distance = open->hot.raw - parent->id;
		return;
	}
	open->parent = place_id(parent);
	open->hot.flags |= OPEN_PARENT_ID;
}

static void span_fill(struct waft_span *span, const struct open *open, uint32_t shape)
{
	span->open_ = (struct waft_open_ *)&open->hot;
	span->generation_ = WAFT_LOAD_(&open->hot.generation);
	span->shape_ = (open->hot.flags & OPEN_UNSAMPLED) != 0 ? WAFT_SHAPE_NONE_ : shape;
	span->lanes_ = 0;
	memcpy(span->trace_, open->hot.trace, sizeof(span->trace_));
	span->raw_ = open->hot.raw;
	span->parent_ = open->parent;
	span->bits_ = WAFT_SPAN_KNOWN_;
	if ((open->hot.traits & OPEN_TRAIT_NOT_RANDOM) != 0)
		span->bits_ |= WAFT_SPAN_NOT_RANDOM_;
	if ((open->hot.flags & OPEN_PARENT_ID) == 0)
		span->bits_ |= WAFT_SPAN_PARENT_RAW_;
	span->bits_ |= (open->hot.flags & OPEN_UNSAMPLED) != 0 ? WAFT_SPAN_UNSAMPLED_
							       : WAFT_SPAN_RECORDING_;
}

/* A new trace, or the parent's; and the sampler's word where it is asked. */
static void trace_decide(struct thread *thread, const struct place *parent, struct place *ret)
{
	*ret = *parent;
	if (!trace_set(ret->trace)) {
		*ret = (struct place){0};
		random_trace_id(&thread->random, ret->trace);
		ret->sampled = sampler_decide(&process.config.sampler, (const uint8_t *)ret->trace);
	} else if (parent->remote && !process.config.sampler.parent_based) {
		ret->sampled = sampler_decide(&process.config.sampler, (const uint8_t *)ret->trace);
	}
}

static void span_begin(struct thread *thread, struct waft_span *span, uint32_t shape,
	const struct place *given, unsigned int mode)
{
	bool detached = (mode & WAFT_BEGIN_DETACHED_) != 0;
	bool was_current = waft_thread_.current != NULL && !given->is_id && given->id != 0 &&
			   given->id == waft_thread_.current->raw;
	struct place parent;
	struct open *open;

	trace_decide(thread, given, &parent);
	if (!parent.sampled && (was_current || detached)) {
		if (parent.id == 0)
			parent.id = thread->hot->next_raw++;
		span_unrecorded(thread, span, &parent);
		return;
	}
	open = thread_take_slot(thread, detached);
	if (open == NULL) {
		span_none(span);
		if (parent.sampled)
			process_drop(WAFT_DROP_OPEN_LIMIT, 1);
		else
			WAFT_STORE_(&thread->hot->not_sampled, thread->hot->not_sampled + 1);
		return;
	}
	open->hot.raw = thread->hot->next_raw++;
	memcpy(open->hot.trace, parent.trace, sizeof(open->hot.trace));
	if (detached)
		open->hot.flags |= OPEN_DETACHED;
	if (!parent.sampled)
		open->hot.flags |= OPEN_UNSAMPLED;
	if (parent.carry != NULL) {
		open->carry = carry_retain(parent.carry);
		open->hot.flags |= OPEN_CARRY;
	}
	parent_set(open, &parent);
	span_fill(span, open, shape);
	if (parent.sampled)
		slot_fill(open, shape, thread);
	else
		WAFT_STORE_(&thread->hot->not_sampled, thread->hot->not_sampled + 1);
}

/* The calling thread, when there is something to trace and the host was built
 * against this library's inlined code. */
static struct thread *begin_thread(struct waft_span *span, unsigned int abi)
{
	struct thread *thread;

	if (span == NULL)
		return NULL;
	if (abi != WAFT_ABI_) {
		process_complain("abi", "a program was built against another <waft/waft.h> than "
					"the installed libwaft: its spans are not recorded");
		span_none(span);
		return NULL;
	}
	thread = thread_get();
	if (thread == NULL)
		span_none(span);
	return thread;
}

static uint32_t site_shape(struct waft_site_ *site)
{
	uint32_t shape = (uint32_t)__atomic_load_n(&site->shape, __ATOMIC_ACQUIRE);

	if (shape != 0)
		return shape;
	shape = shape_root(&(struct shape_site){.name = site->name,
		.layer = site->layer != NULL && *site->layer != '\0' ? site->layer : "core",
		.file = site->file,
		.line = site->line,
		.function = site->function});
	__atomic_store_n(&site->shape, shape, __ATOMIC_RELEASE);
	return shape;
}

/* The commonest of what is not inlined: the root of a new trace. In pieces as
 * inlined code loads them. */
static void root_begin(struct thread *thread, struct waft_span *span, uint64_t shape)
{
	struct waft_hot_ *hot = thread->hot;
	struct waft_open_ *open = thread_free(hot);
	struct waft_slot_ *slot;
	uint64_t generation;
	uint64_t id[2];
	waft_pair_ trace;
	waft_pair_ ids;
	uint64_t word;

	random_trace_id(&thread->random, id);
	trace = waft_pair_of_(id[0], id[1]);
	ids = waft_pair_of_(hot->next_raw, 0);
	generation = WAFT_LOAD_(&open->generation);
	open->raw = hot->next_raw++;
	open->distance = 0;
	WAFT_PAIR_(open->trace) = trace;
	waft_thread_.current = open;
	span->open_ = open;
	WAFT_PAIR_(span->trace_) = trace;
	WAFT_PAIR_(&span->raw_) = ids;
	if (!sampler_decide(&process.config.sampler, (const uint8_t *)open->trace)) {
		open->flags = OPEN_UNSAMPLED;
		open->traits = OPEN_TRAIT_HOT;
		WAFT_WORD_(&span->generation_) =
			generation |
			(uint64_t)(WAFT_SPAN_UNSAMPLED_ | WAFT_SPAN_PARENT_RAW_ | WAFT_SPAN_KNOWN_)
				<< 32;
		WAFT_WORD_(&span->shape_) = WAFT_SHAPE_NONE_;
		WAFT_STORE_(&hot->not_sampled, hot->not_sampled + 1);
		return;
	}
	word = generation | WAFT_TRAIT_HOT_;
	WAFT_STORE_((waft_word_ *)(void *)&open->generation, word | (uint64_t)thread_flags(thread)
									     << 32);
	WAFT_WORD_(&span->generation_) = word;
	WAFT_WORD_(&span->shape_) = shape;
	slot = open->slot;
	waft_slot_pair_(&slot->raw, ids);
	waft_slot_pair_(slot->trace, trace);
	WAFT_STORE_(&slot->shape, (uint32_t)shape);
	WAFT_STORE_(&slot->start, thread_clock(thread));
	__atomic_store_n(&slot->state, word, __ATOMIC_RELEASE);
}

/* The thread and what it has are this process's. */
static bool is_own(const struct thread *thread)
{
	return process_is_running() && thread != NULL && thread->epoch == process.epoch;
}

static bool is_root(unsigned int mode)
{
	return mode == WAFT_BEGIN_NEW_TRACE_ ||
	       (mode == WAFT_BEGIN_CURRENT_ && waft_thread_.current == NULL);
}

/* As inlined code asks: this is no forked child, the tracer has not stopped, and there
 * is a slot. Where it is not quiet, that is asked of others. */
static bool is_ready(const struct waft_hot_ *hot, const struct waft_site_ *site)
{
	uint32_t bell;

	if ((uintptr_t)hot <= (uintptr_t)WAFT_DISABLED_ ||
		__atomic_load_n(&site->shape, __ATOMIC_ACQUIRE) == 0)
		return false;
	bell = WAFT_LOAD_(&hot->bell);
	if ((bell & (WAFT_BELL_SLOT_ | WAFT_BELL_STOP_)) != 0)
		return false;
	if ((bell & WAFT_BELL_QUIET_) == 0 && !is_own(waft_thread_.self))
		return false;
	return thread_free(hot) != NULL;
}

/* What inlined code does where it is quiet: who sleeps is woken by ends alone, and the clock
 * may be one that it doesn't read. */
static __attribute__((noinline)) bool child_begin(
	struct waft_span *span, struct waft_hot_ *hot, uint64_t shape)
{
	struct waft_open_ *parent = waft_thread_.current;

	if (parent == NULL || (parent->flags & WAFT_OPEN_APART_) != 0)
		return false;
	if ((WAFT_LOAD_(&hot->bell) & WAFT_BELL_QUIET_) != 0)
		return waft_begin_hot_(span, shape, hot, parent, parent->next, true, 0);
	return waft_begin_hot_(span, shape, hot, parent, parent->next, false, OPEN_READ);
}

/* All that is out of the ordinary. Not inlined: what is not needs no room on the stack. */
static __attribute__((noinline)) void begin_any(
	struct waft_span *span, struct waft_site_ *site, unsigned int mode, unsigned int abi)
{
	struct place parent = {0};
	struct thread *thread = begin_thread(span, abi);

	if (thread == NULL)
		return;
	if ((mode & WAFT_BEGIN_NEW_TRACE_) == 0)
		place_current(&parent);
	span_begin(thread, span, site_shape(site), &parent, mode);
}

void waft_begin_slow_(
	struct waft_span *span, struct waft_site_ *site, unsigned int mode, unsigned int abi)
{
	struct waft_hot_ *hot = waft_thread_.hot;

	if (span != NULL && abi == WAFT_ABI_ && is_ready(hot, site)) {
		if (is_root(mode)) {
			root_begin(waft_thread_.self, span, WAFT_LOAD_(&site->shape));
			return;
		}
		if (mode == WAFT_BEGIN_CURRENT_ && child_begin(span, hot, WAFT_LOAD_(&site->shape)))
			return;
	}
	begin_any(span, site, mode, abi);
}

void waft_begin_child_(struct waft_span *span, struct waft_site_ *site,
	const struct waft_context *parent, unsigned int mode, unsigned int abi)
{
	struct thread *thread = begin_thread(span, abi);
	struct place place;

	if (thread == NULL)
		return;
	place_of_context(parent, &place);
	span_begin(thread, span, site_shape(site), &place, mode);
}

void waft_begin_sibling_(struct waft_span *span, struct waft_site_ *site,
	const struct waft_span *other, unsigned int mode, unsigned int abi)
{
	struct thread *thread = begin_thread(span, abi);
	struct place place;

	if (thread == NULL)
		return;
	place_of_span(other, &place);
	if (trace_set(place.trace)) {
		place.id = other->parent_;
		place.is_id = (other->bits_ & WAFT_SPAN_PARENT_RAW_) == 0;
	}
	span_begin(thread, span, site_shape(site), &place, mode);
}

static void begin_named(struct waft_span *span, const char *name, const char *layer,
	const struct waft_context *parent, unsigned int mode)
{
	struct thread *thread = begin_thread(span, WAFT_ABI_);
	struct place place;

	if (thread == NULL)
		return;
	if (parent != NULL)
		place_of_context(parent, &place);
	else
		place_current(&place);
	span_begin(thread, span,
		shape_named(
			name != NULL ? name : "", layer != NULL && *layer != '\0' ? layer : "core"),
		&place, mode);
}

void waft_span_begin_named(struct waft_span *span, const char *name, const char *layer,
	const struct waft_context *parent)
{
	begin_named(span, name, layer, parent, WAFT_BEGIN_CURRENT_);
}

void waft_span_open_named(struct waft_span *span, const char *name, const char *layer,
	const struct waft_context *parent)
{
	begin_named(span, name, layer, parent, WAFT_BEGIN_DETACHED_);
}

/* ---- Setting something ------------------------------------------------------ */

struct extra *span_extra_begin(struct waft_span *span, struct open *open)
{
	if (open->extra == NULL) {
		open->extra = calloc(1, sizeof(*open->extra));
		if (open->extra == NULL)
			return NULL;
	}
	extra_clear(open->extra);
	open->extra->used = true;
	span->bits_ |= WAFT_SPAN_EXTRA_;
	return open->extra;
}

struct extra *span_extra(struct waft_span *span, struct open *open)
{
	struct extra *extra = span_extra_snapshots(span, open);

	if (extra != NULL)
		extra->more = true;
	return extra;
}

/* ---- End -------------------------------------------------------------------- */

/* A start of another raw clock, as the writer's clock would have read it. */
static uint64_t start_convert(uint64_t start, uint32_t from, uint32_t to, uint64_t end)
{
	uint64_t bits = __atomic_load_n(&process.ns_per_tick, __ATOMIC_ACQUIRE);
	uint64_t elapsed = clock_raw((enum wire_clock_source)from) - start;
	double ns_per_tick;

	memcpy(&ns_per_tick, &bits, sizeof(ns_per_tick));
	if (from == to || ns_per_tick <= 0)
		return from == to ? start : end;
	if (from == WIRE_CLOCK_TSC)
		elapsed = (uint64_t)((double)elapsed * ns_per_tick);
	else
		elapsed = (uint64_t)((double)elapsed / ns_per_tick);
	return elapsed < end ? end - elapsed : 0;
}

/* What the slot knows of its span. */
static void data_fill(struct span_data *ret, const struct open *open, const struct thread *writer)
{
	const struct waft_slot_ *slot = open->hot.slot;
	uint32_t clock = WAFT_LOAD_(&slot->clock);

	*ret = (struct span_data){.trace = {open->hot.trace[0], open->hot.trace[1]},
		.carry = (open->hot.flags & OPEN_CARRY) != 0 ? open->carry : NULL,
		.raw = open->hot.raw,
		.distance = (uint16_t)open->hot.distance,
		.end = thread_clock(writer),
		.shape = WAFT_LOAD_(&slot->shape)};
	ret->start = start_convert(WAFT_LOAD_(&slot->start), clock, writer->source, ret->end);
	if (ret->start > ret->end)
		ret->start = ret->end;
	if ((open->hot.flags & OPEN_PARENT_ID) != 0)
		ret->parent_id = open->parent;
	if (open->extra != NULL && open->extra->used)
		ret->extra = open->extra;
	if (open->thread != writer) {
		ret->id = id_mix(ret->raw);
		if (ret->parent_id == 0 && ret->distance != 0)
			ret->parent_id = id_mix(ret->raw - ret->distance);
		ret->distance = 0;
	}
}

void span_write_pending(struct thread *thread, struct open *open)
{
	struct span_data data;

	data_fill(&data, open, thread);
	data.pending = true;
	chunk_write(thread, &data);
}

/* Ends a live span of this process, of the caller's thread or another. */
static void span_finish(struct thread *thread, struct waft_span *span, struct open *open)
{
	bool own = open->thread == thread;
	struct span_data data;
	struct values values;

	if (own && (open->hot.flags & OPEN_DETACHED) == 0)
		thread_abandon(thread, open);
	if (!open_claim(open, span->generation_, own))
		return;
	if ((span->bits_ & WAFT_SPAN_UNSAMPLED_) == 0) {
		data_fill(&data, open, thread);
		values_load(span, &values);
		data.shape = span_shape(span);
		data.values = values.bytes;
		data.fill = values.fill;
		chunk_write(thread, &data);
	}
	if (own && waft_thread_.current == &open->hot)
		waft_thread_.current = open->hot.prev;
	open_release(open, thread);
	if (thread_rung(thread->hot))
		thread_bell(thread);
}

/* The root of a trace that is not sampled, which nothing is written of. */
static bool end_unsampled(struct waft_span *span, struct open *open)
{
	struct thread *thread = waft_thread_.self;

	if (WAFT_LOAD_(&open->hot.generation) != span->generation_ ||
		(span->bits_ & WAFT_SPAN_EXTRA_) != 0 ||
		(open->hot.flags & ~OPEN_READ) != OPEN_UNSAMPLED)
		return false;
	open->hot.flags = 0;
	WAFT_STORE_(&open->hot.generation, span->generation_ + WAFT_GENERATION_STEP_);
	waft_thread_.current = open->hot.prev;
	span->open_ = NULL;
	if (thread_rung(thread->hot))
		thread_bell(thread);
	return true;
}

/* In which bits a span's word is not its slot's, but for OPEN_READ. */
static uint64_t odd_of(const struct waft_span *span, const struct open *open)
{
	uint64_t odd = WAFT_WORD_((uint32_t *)(uintptr_t)&span->generation_) ^
		       WAFT_LOAD_((const waft_word_ *)(const void *)&open->hot.generation);

	return (odd & 0xffffffff) != 0 ? UINT64_MAX : odd >> 32 & ~(uint64_t)OPEN_READ;
}

/* The commonest of what has more than its values: a hot span with snapshots. */
static bool end_snapshots(struct waft_span *span, struct open *open)
{
	struct thread *thread = waft_thread_.self;
	struct waft_hot_ *hot = thread->hot;
	struct extra *extra = open->extra;
	uint32_t generation = span->generation_;
	uint8_t *behind;

	if (odd_of(span, open) != WAFT_SPAN_EXTRA_ || extra->more ||
		(WAFT_LOAD_(&hot->bell) & WAFT_BELL_STOP_) != 0)
		return false;
	behind = chunk_write_snapshots(thread, span, &open->hot, extra);
	if (behind == NULL)
		return false;
	extra_clear_snapshots(extra);
	span->bits_ &= ~(uint32_t)(WAFT_SPAN_RECORDING_ | WAFT_SPAN_EXTRA_);
	waft_close_(span, &open->hot, hot, hot->chunk, (uint32_t)(behind - hot->chunk), generation);
	return true;
}

/* What inlined code does, by a clock that it doesn't read. */
static bool end_read(struct waft_span *span, struct open *open)
{
	struct thread *thread = waft_thread_.self;
	struct waft_hot_ *hot = thread->hot;

	if ((open->hot.flags & OPEN_READ) == 0 || odd_of(span, open) != 0)
		return false;
	if (waft_pairs_equal_(hot->trace, open->hot.trace))
		return waft_end_hot_(span, &open->hot, hot, span->generation_, false);
	return chunk_write_first(thread, span, &open->hot);
}

void waft_end_slow_(struct waft_span *span)
{
	struct open *open = open_of(span->open_);
	struct thread *thread;

	if (waft_thread_.current == &open->hot && is_own(waft_thread_.self) &&
		(end_snapshots(span, open) || end_unsampled(span, open) || end_read(span, open)))
		return;

	thread = thread_get();
	if (thread == NULL) {
		/* Stopped. The slots of this thread were taken stock of. */
		if (waft_thread_.self != NULL)
			waft_thread_ = (struct waft_thread_){.hot = WAFT_DISABLED_};
	} else if (open->thread->epoch == process.epoch &&
		   WAFT_LOAD_(&open->hot.generation) == span->generation_) {
		span_finish(thread, span, open);
	}
	span->open_ = NULL;
	span->bits_ &= ~(uint32_t)(WAFT_SPAN_RECORDING_ | WAFT_SPAN_EXTRA_ | WAFT_SPAN_GENERIC_);
}

/* ---- Shutdown ---------------------------------------------------------------- */

/* Acquire: the state is looked at again after all of them. */
#define LOAD(member) __atomic_load_n(&member, __ATOMIC_ACQUIRE)

/* Another thread's open span, from its slot in the region alone: its owner may
 * be ending it right now. */
static void foreign_pending(struct open *open)
{
	const struct waft_slot_ *slot = open->hot.slot;
	uint64_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
	struct span_data data = {.pending = true};
	uint64_t parent;

	if ((state & WAFT_SLOT_OPEN_) == 0)
		return;
	data.trace[0] = LOAD(slot->trace[0]);
	data.trace[1] = LOAD(slot->trace[1]);
	data.id = id_mix(LOAD(slot->raw));
	data.shape = LOAD(slot->shape);
	data.end = clock_raw(
		(enum wire_clock_source)__atomic_load_n(&process.source, __ATOMIC_ACQUIRE));
	data.start = start_convert(LOAD(slot->start), LOAD(slot->clock),
		__atomic_load_n(&process.source, __ATOMIC_ACQUIRE), data.end);
	if (data.start > data.end)
		data.start = data.end;
	parent = LOAD(slot->parent);
	data.parent_id =
		(state & WAFT_SLOT_PARENT_ID_) != 0 || parent == 0 ? parent : id_mix(parent);
	if (WAFT_LOAD_(&slot->state) == state &&
		open_claim(open, (uint32_t)state & WAFT_GENERATION_, false))
		chunk_write_shared(&data);
}

/* The caller's own first: for these more is known. */
static void own_pending(struct thread *thread)
{
	thread_abandon(thread, NULL);
	for (struct open_block *block = thread->blocks; block != NULL; block = block->next)
		for (uint32_t i = 0; i < THREAD_SLOTS; i++) {
			struct open *open = &block->opens[i];
			uint64_t state = WAFT_LOAD_(&open->hot.slot->state);

			if ((state & WAFT_SLOT_OPEN_) == 0 ||
				!open_claim(open, (uint32_t)state & WAFT_GENERATION_, true))
				continue;
			span_write_pending(thread, open);
			open_release(open, thread);
		}
}

void span_write_all_pending(void)
{
	struct thread *own = waft_thread_.self;
	struct thread *thread;

	if (own != NULL && own->epoch == process.epoch) {
		own_pending(own);
		chunk_close(own);
	}
	pthread_mutex_lock(&process.lock);
	thread = process.threads;
	pthread_mutex_unlock(&process.lock);
	for (; thread != NULL; thread = thread->next)
		for (struct open_block *block = __atomic_load_n(&thread->blocks, __ATOMIC_ACQUIRE);
			block != NULL; block = block->next)
			for (uint32_t i = 0; i < THREAD_SLOTS; i++)
				foreign_pending(&block->opens[i]);
}
