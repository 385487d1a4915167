/* See chunk.h. */
#include "chunk.h"

#include <string.h>

#include "carry.h"
#include "clock.h"
#include "cursor.h"
#include "ids.h"
#include "process.h"
#include "thread.h"
#include "wake.h"

enum {
	BUSY_NS = 200 * 1000 * 1000,	/* a chunk that fills faster is followed by a larger one */
	SPAN_HEAD = 4,			/* tag and a length of 3 bytes */
	RESERVE_UNITS = 128,		/* for the shared chunk alone */
	TIGHT_UNITS = REGION_UNITS / 4, /* with less, new chunks are small */
	WAKE_UNITS = 192,		/* the sender is woken for these, nearly a batch */
	/* With them the length of a span still takes 2 bytes. */
	HOT_SNAPSHOTS_BYTES = (1 << 14) - 1 - CHUNK_TRACE_BYTES - CHUNK_HOT_BYTES,
};

/* By head unit; a chunk's address stays valid for a sender that walks by. */
static struct chunk chunks[REGION_UNITS];

static struct {
	pthread_mutex_t lock;
	struct thread *thread;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

void chunk_fork_child(void)
{
	memset(chunks, 0, sizeof(chunks));
	process.chunks = NULL;
	process.chunks_tail = NULL;
	process.given = 0;
	process.filled = 0;
	shared.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	shared.thread = NULL;
}

/* ---- Getting and leaving chunks ------------------------------------------- */

void chunk_close(struct thread *thread)
{
	if (thread->chunk == NULL)
		return;
	__atomic_store_n(&thread->chunk->closed, 1, __ATOMIC_RELEASE);
	thread->chunk = NULL;
	thread->hot->chunk = NULL;
	thread->hot->limit = 0;
	thread->hot->trace[0] = thread->hot->trace[1] = 0;
	thread->chunk_trace[0] = thread->chunk_trace[1] = 0;
	carry_release(thread->chunk_carry);
	thread->chunk_carry = NULL;
}

static struct chunk *chunk_append_locked(uint32_t unit, uint32_t units)
{
	struct chunk *chunk = &chunks[unit];

	*chunk = (struct chunk){.unit = unit, .units = units};
	chunk->cut = sizeof(struct region_chunk);
	if (process.chunks_tail == NULL)
		__atomic_store_n(&process.chunks, chunk, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&process.chunks_tail->next, chunk, __ATOMIC_RELEASE);
	process.chunks_tail = chunk;
	return chunk;
}

/* Whether the sender is to look, now that `filled` units more are full: at what is less
 * than a batch it looks by age, while there is room. lock held. */
static bool wake_due_locked(uint32_t filled)
{
	process.filled += filled;
	if (filled == 0 ||
		(process.filled < WAKE_UNITS && process.region.free_units >= REGION_UNITS / 2))
		return false;
	process.filled = 0;
	return true;
}

/* A run of at most `wanted` units and at least `least`; filled: those that were full soon
 * after they were taken. */
static struct chunk *chunk_take(uint32_t wanted, uint32_t least, uint32_t filled,
	const struct thread *thread, bool *ret_wake)
{
	uint64_t clock_base = clock_raw((enum wire_clock_source)thread->source);
	struct region_chunk *head;
	struct chunk *chunk = NULL;
	uint32_t reserve = thread == shared.thread ? 0 : RESERVE_UNITS;
	uint32_t units = wanted;
	int unit;

	pthread_mutex_lock(&process.lock);
	if (process.region.free_units < TIGHT_UNITS)
		units = least;
	unit = region_take(&process.region, units, REGION_CHUNK, reserve);
	while (unit < 0 && units > least) {
		units = units / 2 > least ? units / 2 : least;
		unit = region_take(&process.region, units, REGION_CHUNK, reserve);
	}
	if (unit >= 0) {
		head = region_unit(&process.region, (uint32_t)unit);
		head->bytes = units * REGION_UNIT_BYTES;
		head->taken = sizeof(*head);
		head->clock = thread->source;
		head->id_base = thread->hot->id_base;
		head->clock_base = clock_base;
		head->thread = thread->tid;
		__atomic_store_n(&head->published, (uint32_t)sizeof(*head), __ATOMIC_RELEASE);
		chunk = chunk_append_locked((uint32_t)unit, units);
		chunk->id_base = head->id_base;
		chunk->clock_base = head->clock_base;
		chunk->thread = head->thread;
	}
	*ret_wake = wake_due_locked(filled);
	pthread_mutex_unlock(&process.lock);
	return chunk;
}

/* A chunk in which need bytes fit; false: there is none. */
static bool chunk_next(struct thread *thread, size_t need)
{
	uint32_t least = (uint32_t)((need + sizeof(struct region_chunk) + REGION_UNIT_BYTES - 1) /
				    REGION_UNIT_BYTES);
	uint64_t given = __atomic_load_n(&process.given, __ATOMIC_ACQUIRE);
	uint64_t now = clock_monotonic_ns();
	bool busy = thread->chunk_units != 0 && now - thread->chunk_ns < BUSY_NS;
	uint32_t units = thread->chunk_units != 0 ? thread->chunk_units : CHUNK_UNITS_FIRST;
	struct chunk *chunk;
	bool wake;

	if (thread->full_at == given + 1)
		return false;
	if (busy && units < CHUNK_UNITS_MOST)
		units *= 4;
	else if (!busy && thread->chunk_units > CHUNK_UNITS_FIRST)
		units /= 4;
	if (least < CHUNK_UNITS_LEAST)
		least = CHUNK_UNITS_LEAST;
	if (units < least)
		units = least;
	chunk = chunk_take(units, least, busy ? thread->chunk_units : 0, thread, &wake);
	if (chunk == NULL)
		thread->full_at = given + 1;
	if (wake || chunk == NULL)
		wake_ring();
	if (chunk == NULL)
		return false;
	chunk_close(thread);
	thread->chunk = chunk;
	thread->chunk_units =
		thread->chunk->units < CHUNK_UNITS_FIRST ? CHUNK_UNITS_FIRST : thread->chunk->units;
	thread->chunk_ns = now;
	thread->hot->clock_base = thread->chunk->clock_base;
	thread->hot->chunk = region_unit(&process.region, thread->chunk->unit);
	thread->hot->limit = thread->chunk->units * REGION_UNIT_BYTES - CHUNK_HOT_BYTES;
	return true;
}

struct chunk *chunk_find(uint32_t unit)
{
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);

	while (chunk != NULL && chunk->unit != unit)
		chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE);
	return chunk;
}

void chunk_collect(void)
{
	struct chunk *before = NULL;
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);
	bool gave = false;

	while (chunk != NULL) {
		struct chunk *next = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE);
		struct region_chunk *head = chunk_head(&process.region, chunk);

		if (!__atomic_load_n(&chunk->closed, __ATOMIC_ACQUIRE) ||
			head->taken != __atomic_load_n(&head->published, __ATOMIC_ACQUIRE)) {
			before = chunk;
			chunk = next;
			continue;
		}
		pthread_mutex_lock(&process.lock);
		next = chunk->next;
		if (before != NULL)
			__atomic_store_n(&before->next, next, __ATOMIC_RELEASE);
		else
			__atomic_store_n(&process.chunks, next, __ATOMIC_RELEASE);
		if (process.chunks_tail == chunk)
			process.chunks_tail = before;
		region_give(&process.region, chunk->unit, chunk->units);
		pthread_mutex_unlock(&process.lock);
		gave = true;
		chunk = next;
	}
	if (gave)
		__atomic_fetch_add(&process.given, 1, __ATOMIC_RELEASE);
}

/* ---- Encoding ---------------------------------------------------------------- */

/* How a span will stand in a chunk. */
struct layout {
	size_t detail; /* length of its message; 0: none */
	size_t body;   /* length of the Span message, trace included if it is said */
	size_t trace;  /* of that the field `trace` */
	bool wide;
	bool mark; /* a new section begins before it */
};

static size_t trace_field_length(const struct span_data *span)
{
	return span->carry == NULL ? (size_t)CHUNK_TRACE_BYTES
				   : SPAN_HEAD + 18 + span->carry->trace_length;
}

static size_t bytes_field_length(const struct buffer *buffer)
{
	return buffer->length > 0 ? SPAN_HEAD + buffer->length : 0;
}

static size_t snapshots_length(const struct extra *extra)
{
	return bytes_field_length(&extra->input) + bytes_field_length(&extra->output);
}

/* All but what depends on the chunk. */
static void layout_begin(struct layout *ret, const struct span_data *span)
{
	ret->wide = (span->end - span->start) >> 32 != 0;
	ret->detail = extra_detail_length(span->extra, span->pending, span->id);
	ret->body = (ret->wide ? 18 : 9) + 9 + span->fill + (span->parent_id != 0 ? 9 : 0) +
		    (ret->detail > 0 ? SPAN_HEAD + ret->detail : 0);
	if (span->extra != NULL)
		ret->body += snapshots_length(span->extra);
}

/* What depends on it: whether section and trace go on. */
static void layout_place(
	struct layout *layout, const struct thread *thread, const struct span_data *span)
{
	const struct waft_hot_ *hot = thread->hot;
	uint64_t number = span->id == 0 ? span->raw - hot->id_base : 0;

	layout->mark = (span->end - hot->clock_base) >> 32 != 0 || number >> 32 != 0;
	layout->trace = 0;
	if (layout->mark || thread->chunk_trace[0] != span->trace[0] ||
		thread->chunk_trace[1] != span->trace[1] || thread->chunk_carry != span->carry)
		layout->trace = trace_field_length(span);
}

static uint8_t *length_write(uint8_t *to, size_t length)
{
	to[0] = (uint8_t)(length | 0x80);
	to[1] = (uint8_t)(length >> 7 | 0x80);
	to[2] = (uint8_t)(length >> 14);
	return to + 3;
}

static uint8_t *fixed_write(uint8_t *to, uint8_t tag, uint64_t value)
{
	*to++ = tag;
	le64_write(to, value);
	return to + 8;
}

static uint8_t *bytes_write(uint8_t *to, uint8_t tag, const struct buffer *buffer)
{
	if (buffer->length == 0)
		return to;
	*to++ = tag;
	to = length_write(to, buffer->length);
	memcpy(to, buffer->bytes, buffer->length);
	return to + buffer->length;
}

static uint8_t *trace_write(uint8_t *to, const struct span_data *span)
{
	*to++ = TAG_SPAN_TRACE;
	if (span->carry == NULL)
		*to++ = 18;
	else
		to = length_write(to, 18 + span->carry->trace_length);
	*to++ = TAG_TRACE_TRACE_ID;
	*to++ = 16;
	memcpy(to, span->trace, 16);
	to += 16;
	if (span->carry != NULL) {
		memcpy(to, carry_trace(span->carry), span->carry->trace_length);
		to += span->carry->trace_length;
	}
	return to;
}

static uint8_t *span_write(uint8_t *to, const struct waft_hot_ *hot, const struct layout *layout,
	const struct span_data *span)
{
	uint64_t number = span->id == 0 ? (uint32_t)(span->raw - hot->id_base) : 0;

	*to++ = TAG_SECTION_SPANS;
	to = length_write(to, layout->body + layout->trace);
	if (layout->wide) {
		to = fixed_write(to, TAG_SPAN_END_RAW, span->end);
		to = fixed_write(to, TAG_SPAN_DURATION_RAW, span->end - span->start);
	} else {
		to = fixed_write(to, TAG_SPAN_TIMES,
			(uint32_t)(span->end - hot->clock_base) | (span->end - span->start) << 32);
	}
	to = fixed_write(to, TAG_SPAN_IDS,
		number | (uint64_t)span->distance << 32 | (uint64_t)span->shape << 48);
	if (layout->trace > 0)
		to = trace_write(to, span);
	if (span->fill > 0)
		memcpy(to, span->values, span->fill);
	to += span->fill;
	if (span->parent_id != 0)
		to = fixed_write(to, TAG_SPAN_PARENT_ID, span->parent_id);
	if (span->extra != NULL) {
		to = bytes_write(to, TAG_SPAN_INPUT, &span->extra->input);
		to = bytes_write(to, TAG_SPAN_OUTPUT, &span->extra->output);
	}
	if (layout->detail > 0) {
		*to++ = TAG_SPAN_DETAIL;
		to = length_write(to, layout->detail);
		to = extra_detail_write(to, span->extra, span->pending, span->id);
	}
	return to;
}

/* A span number that no longer fits its section takes a new base with it: spans
 * begun before are then sent with their id. */
static void section_begin(struct thread *thread, const struct span_data *span, uint8_t **to)
{
	struct waft_hot_ *hot = thread->hot;

	if (hot->next_raw - hot->id_base > UINT32_MAX / 2) {
		hot->id_base = random_id_base(&thread->random);
		hot->next_raw = hot->id_base + 1;
	}
	hot->clock_base = span->end;
	*(*to)++ = 0;
	le64_write(*to, hot->id_base);
	le64_write(*to + 8, hot->clock_base);
	le64_write(*to + 16, thread->tid);
	*to += 24;
}

/* Inlined code knows traces without carry only. */
static void trace_remember(struct thread *thread, const struct span_data *span)
{
	memcpy(thread->chunk_trace, span->trace, sizeof(thread->chunk_trace));
	memcpy(thread->hot->trace, span->trace, sizeof(thread->hot->trace));
	if (span->carry != NULL)
		thread->hot->trace[0] = thread->hot->trace[1] = 0;
	if (thread->chunk_carry != span->carry) {
		carry_release(thread->chunk_carry);
		thread->chunk_carry = carry_retain(span->carry);
	}
}

/* False: no room. */
static bool chunk_put(struct thread *thread, const struct span_data *span)
{
	struct waft_hot_ *hot = thread->hot;
	struct layout layout;
	struct span_data other;
	uint32_t at;
	uint8_t *to;

	layout_begin(&layout, span);
	if (thread->chunk != NULL)
		layout_place(&layout, thread, span);
	at = thread->chunk != NULL ? *(uint32_t *)(void *)hot->chunk : 0;
	if (thread->chunk == NULL ||
		at + REGION_MARK_BYTES + SPAN_HEAD + layout.body + layout.trace > hot->limit) {
		if (!chunk_next(thread, REGION_MARK_BYTES + SPAN_HEAD + layout.body +
						trace_field_length(span) + CHUNK_HOT_BYTES))
			return false;
		layout_place(&layout, thread, span);
		at = *(uint32_t *)(void *)hot->chunk;
	}
	to = hot->chunk + at;
	if (layout.mark) {
		section_begin(thread, span, &to);
		if (span->id == 0 && (span->raw - hot->id_base) >> 32 != 0) {
			other = *span;
			other.id = id_mix(span->raw);
			if (other.parent_id == 0 && other.distance != 0)
				other.parent_id = id_mix(span->raw - span->distance);
			other.distance = 0;
			span = &other;
			layout_begin(&layout, span);
		}
	}
	to = span_write(to, hot, &layout, span);
	if (layout.trace > 0)
		trace_remember(thread, span);
	WAFT_STORE_(&hot->ended, hot->ended + 1);
	__atomic_store_n(
		(uint32_t *)(void *)hot->chunk, (uint32_t)(to - hot->chunk), __ATOMIC_RELEASE);
	return true;
}

/* ---- Entry ----------------------------------------------------------------- */

static bool shared_put(const struct span_data *span)
{
	bool done = false;

	pthread_mutex_lock(&shared.lock);
	if (shared.thread == NULL) {
		pthread_mutex_lock(&process.lock);
		shared.thread = thread_new_locked(0);
		pthread_mutex_unlock(&process.lock);
	}
	if (shared.thread != NULL) {
		shared.thread->source = __atomic_load_n(&process.source, __ATOMIC_ACQUIRE);
		if (shared.thread->chunk != NULL &&
			chunk_head(&process.region, shared.thread->chunk)->clock !=
				shared.thread->source)
			chunk_close(shared.thread);
		done = chunk_put(shared.thread, span);
	}
	pthread_mutex_unlock(&shared.lock);
	return done;
}

/* A span whose number is one of the thread's, for the chunk of another. */
static struct span_data with_id(const struct span_data *span)
{
	struct span_data other = *span;

	if (other.id == 0) {
		other.id = id_mix(span->raw);
		if (other.parent_id == 0 && other.distance != 0)
			other.parent_id = id_mix(span->raw - span->distance);
		other.distance = 0;
	}
	return other;
}

static bool too_large(const struct span_data *span)
{
	struct layout layout;

	layout_begin(&layout, span);
	if (layout.body + trace_field_length(span) + 32 <= WIRE_SPAN_LIMIT)
		return false;
	process_drop(WAFT_DROP_TOO_LARGE, 1);
	return true;
}

void chunk_write(struct thread *thread, const struct span_data *span)
{
	struct span_data other;

	if (too_large(span) || chunk_put(thread, span))
		return;
	other = with_id(span);
	if (!shared_put(&other))
		process_drop(WAFT_DROP_BUFFER_FULL, 1);
}

/* A hot span, with its trace when `first`, and with the extra's snapshots (NULL: none). */
static inline __attribute__((always_inline)) uint8_t *hot_write(struct thread *thread,
	const struct waft_span *span, const struct waft_open_ *open, const struct extra *extra,
	bool first)
{
	/* Tags and lengths of Span.trace and Trace.trace_id. */
	static const uint8_t trace_head[4] = {TAG_SPAN_TRACE, 18, TAG_TRACE_TRACE_ID, 16};
	struct waft_hot_ *hot = thread->hot;
	uint64_t sequence = open->raw - hot->id_base;
	uint64_t more = extra != NULL ? snapshots_length(extra) : 0;
	uint64_t now;
	uint64_t since;
	uint64_t duration;
	uint32_t length;
	uint32_t at;
	uint8_t *to;
	uint8_t *behind;

	/* In a forked child there is none, and no slot to look at either. */
	if (hot->chunk == NULL || more > HOT_SNAPSHOTS_BYTES)
		return NULL;
	now = thread_clock(thread);
	since = now - hot->clock_base;
	duration = now - WAFT_LOAD_(&open->slot->start);
	if (((since | duration | sequence) >> 32) != 0)
		return NULL;
	at = WAFT_LOAD_((uint32_t *)(void *)hot->chunk);
	if (at + CHUNK_TRACE_BYTES + more > hot->limit)
		return NULL;
	to = hot->chunk + at;
	behind = to + WAFT_HEAD_BYTES_ + (first ? CHUNK_TRACE_BYTES : 0);
	behind += waft_copy_values_(behind, 0, span);
	if (extra != NULL) {
		behind = bytes_write(behind, TAG_SPAN_INPUT, &extra->input);
		behind = bytes_write(behind, TAG_SPAN_OUTPUT, &extra->output);
	}
	waft_encode_(to, 0, (uint32_t)since, (uint32_t)duration, (uint32_t)sequence, open, span);
	length = (uint32_t)(behind - to) - 3;
	to[1] = (uint8_t)(length | 0x80);
	to[2] = (uint8_t)(length >> 7);
	if (first) {
		waft_pair_ trace = WAFT_PAIR_((uint64_t *)open->trace);

		memcpy(to + WAFT_HEAD_BYTES_, trace_head, 4);
		WAFT_PAIR_(to + WAFT_HEAD_BYTES_ + 4) = trace;
		if (thread->chunk_carry != NULL) {
			carry_release(thread->chunk_carry);
			thread->chunk_carry = NULL;
		}
		WAFT_PAIR_(thread->chunk_trace) = trace;
		WAFT_PAIR_(hot->trace) = trace;
	}
	return behind;
}

bool chunk_write_first(struct thread *thread, struct waft_span *span, struct waft_open_ *open)
{
	struct waft_hot_ *hot = thread->hot;
	uint8_t *behind;

	if ((WAFT_LOAD_(&hot->bell) & WAFT_BELL_STOP_) != 0)
		return false;
	behind = hot_write(thread, span, open, NULL, true);
	if (behind == NULL)
		return false;
	waft_close_(
		span, open, hot, hot->chunk, (uint32_t)(behind - hot->chunk), span->generation_);
	return true;
}

/* waft_end's conditions hold but for the trace: that of the span before in the chunk is
 * another, or there is no chunk, or this is a forked child, where all of hot is 0. */
void waft_end_first_(struct waft_span *span)
{
	if (!chunk_write_first(waft_thread_.self, span, span->open_))
		waft_end_slow_(span);
}

uint8_t *chunk_write_snapshots(struct thread *thread, const struct waft_span *span,
	const struct waft_open_ *open, const struct extra *extra)
{
	bool first = !waft_pairs_equal_(thread->hot->trace, open->trace);

	return hot_write(thread, span, open, extra, first);
}

void chunk_write_shared(const struct span_data *span)
{
	if (!too_large(span) && !shared_put(span))
		process_drop(WAFT_DROP_BUFFER_FULL, 1);
}

void chunk_close_shared(void)
{
	pthread_mutex_lock(&shared.lock);
	if (shared.thread != NULL)
		chunk_close(shared.thread);
	pthread_mutex_unlock(&shared.lock);
}
