/*
 * inline.h: the part of waft.h that is compiled into the host. Included by
 * waft.h alone; names that end in an underscore are not for use by others and
 * may change with WAFT_ABI_.
 *
 * The fast path of a span, without call, lock or malloc: begin takes a slot of
 * the thread's open-span table, an attribute is encoded into the caller's
 * struct, end writes the encoded span into the thread's chunk and publishes it.
 * Whatever is out of the ordinary (a thread's or a call site's first span,
 * roots, snapshots, a full chunk, a fork, another thread, …) goes to the
 * functions of the library. client/src/region.h says what the shared bytes are.
 */
#ifndef WAFT_INLINE_H
#define WAFT_INLINE_H

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What inlined code and library must agree on; checked at a thread's and at a
 * call site's first span. */
#define WAFT_ABI_ 1u

#define WAFT_HOT_INLINE_ static inline __attribute__((always_inline))
#define WAFT_LIKELY_(x) __builtin_expect(!!(x), 1)
#define WAFT_UNLIKELY_(x) __builtin_expect(!!(x), 0)
#define WAFT_LOAD_(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define WAFT_STORE_(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

/* ---- What the fast path touches ---------------------------------------- */

/* The half of a slot that lies in the process's region: what tells of an open
 * span when its process is dead. Written by its thread alone. */
struct waft_slot_ {
	uint64_t state;	 /* generation << 32 | WAFT_SLOT_…; last written, first cleared */
	uint64_t start;	 /* raw clock */
	uint64_t raw;	 /* id before mixing */
	uint64_t parent; /* id before mixing, or with WAFT_SLOT_PARENT_ID_ the id; 0: a root */
	uint64_t trace[2];
	uint32_t shape; /* of the call site */
	uint32_t clock; /* which clock start is of: enum wire_clock_source */
	uint64_t thread;
};
enum { WAFT_SLOT_OPEN_ = 1, WAFT_SLOT_PARENT_ID_ = 2 };

/* The half that stays in the process, and in a forked child. Never unmapped.
 * The library's own members follow it. */
struct waft_open_ {
	struct waft_open_ *next; /* free list */
	struct waft_open_ *prev; /* current before this one */
	struct waft_slot_ *slot;
	uint64_t trace[2];
	uint64_t raw;
	uint32_t generation;
	uint32_t flags; /* not 0: ended by the library; of WAFT_OPEN_APART_: so are its children */
	uint64_t distance; /* low 16 bits: to the parent's raw; high 32: WAFT_TRAIT_… */
};
/* What children take over. */
#define WAFT_TRAITS_ 0xffffffff00000000u
#define WAFT_TRAIT_NOT_RANDOM_ 0x100000000u /* the trace id came without W3C's random flag */
enum { WAFT_OPEN_UNSAMPLED_ = 1, WAFT_OPEN_APART_ = 0xff };
#define WAFT_GENERATION_ 0x7fffffffu /* the bit above: another thread ended it */

/* A thread's writing place, in memory that the kernel wipes in a forked child,
 * where all of it is zero: every fast path then takes the slow way. */
struct waft_hot_ {
	struct waft_open_ *free; /* next slot */
	uint8_t *chunk;		 /* begins with a uint32_t: bytes published */
	uint32_t limit;		 /* the last offset at which a span may be begun */
	uint32_t bell;		 /* set by other threads: WAFT_BELL_… */
	uint64_t next_raw;
	uint64_t id_base;
	uint64_t clock_base;
	uint64_t trace[2]; /* of the last span in the chunk; 0: say it again */
	uint64_t ended;	   /* spans that count as emitted */
	uint64_t not_sampled;
	uint64_t tsc; /* the raw clock is rdtsc */
};
enum {
	WAFT_BELL_WAKE_ = 1,  /* the sender sleeps: wake it after publishing */
	WAFT_BELL_CLOCK_ = 2, /* the raw clock changes */
	WAFT_BELL_SLOT_ = 4,  /* another thread ended a span of this one */
	WAFT_BELL_STOP_ = 8,  /* the tracer has stopped */
};

/* hot: NULL before the first span, WAFT_DISABLED_ when there is nothing to do. */
#define WAFT_DISABLED_ ((struct waft_hot_ *)1)
struct waft_thread_ {
	struct waft_hot_ *hot;
	struct waft_open_ *current;
	void *self;
};
extern WAFT_PUBLIC __thread struct waft_thread_ waft_thread_
	__attribute__((tls_model("initial-exec")));

/* A call site. name NULL: "<file stem>.<function>". */
struct waft_site_ {
	uint32_t shape; /* 0: not known to the library yet */
	uint32_t line;
	const char *name;
	const char *layer;
	const char *file;
	const char *function;
};

/* A key at a call site, and the shape change that it made here last:
 * from | to << 32. */
struct waft_key_ {
	uint64_t change;
	const char *name;
};

enum { WAFT_VALUES_ROOM_ = 96, WAFT_VALUES_SLACK_ = 16 };

struct waft_span {
	struct waft_open_ *open_; /* NULL: not begun, not recorded, or ended */
	uint32_t generation_;
	uint32_t shape_;
	uint32_t bits_; /* WAFT_SPAN_… */
	uint32_t fill_; /* bytes of values_ */
	uint64_t trace_[2];
	uint64_t raw_;
	uint64_t parent_;
	unsigned char values_[WAFT_VALUES_ROOM_ + WAFT_VALUES_SLACK_];
};
enum {
	WAFT_SPAN_RECORDING_ = 1, /* what is set on it will be stored */
	WAFT_SPAN_PARENT_RAW_ = 2,
	WAFT_SPAN_KNOWN_ = 4,	   /* trace_ and raw_ are set, also after the end */
	WAFT_SPAN_EXTRA_ = 8,	   /* more of it lies with the library */
	WAFT_SPAN_ID_ = 16,	   /* raw_ is the id itself, not what is mixed */
	WAFT_SPAN_UNSAMPLED_ = 32, /* left out by the sampler */
	WAFT_SPAN_GENERIC_ = 64,   /* some attribute lies in no shape */
	WAFT_SPAN_NOT_RANDOM_ = 128,
};

/* ---- The slow ways ------------------------------------------------------ */

enum waft_begin_ { WAFT_BEGIN_CURRENT_ = 0, WAFT_BEGIN_NEW_TRACE_ = 1, WAFT_BEGIN_DETACHED_ = 2 };
WAFT_PUBLIC void waft_begin_slow_(
	struct waft_span *span, struct waft_site_ *site, unsigned int mode, unsigned int abi);
WAFT_PUBLIC void waft_begin_child_(struct waft_span *span, struct waft_site_ *site,
	const struct waft_context *parent, unsigned int mode, unsigned int abi);
WAFT_PUBLIC void waft_begin_sibling_(struct waft_span *span, struct waft_site_ *site,
	const struct waft_span *other, unsigned int mode, unsigned int abi);
WAFT_PUBLIC void waft_end_slow_(struct waft_span *span);
WAFT_PUBLIC void waft_bell_slow_(void);
WAFT_PUBLIC uint64_t waft_clock_slow_(void);
WAFT_PUBLIC void waft_attr_string_slow_(
	struct waft_span *span, struct waft_key_ *key, const char *value, size_t length);
WAFT_PUBLIC void waft_attr_int_slow_(struct waft_span *span, struct waft_key_ *key, int64_t value);
WAFT_PUBLIC void waft_attr_double_slow_(
	struct waft_span *span, struct waft_key_ *key, double value);
WAFT_PUBLIC void waft_attr_bool_slow_(struct waft_span *span, struct waft_key_ *key, bool value);
WAFT_PUBLIC void waft_output_unsigned_(struct waft_span *span, uint64_t value);

/* ---- Begin -------------------------------------------------------------- */

WAFT_HOT_INLINE_ uint64_t waft_clock_(const struct waft_hot_ *hot)
{
#if defined(__x86_64__)
	if (WAFT_LIKELY_(hot->tsc != 0))
		return __builtin_ia32_rdtsc();
#endif
	(void)hot;
	return waft_clock_slow_();
}

WAFT_HOT_INLINE_ void waft_begin_(struct waft_span *span, struct waft_site_ *site)
{
	struct waft_hot_ *hot = waft_thread_.hot;
	struct waft_open_ *parent = waft_thread_.current;
	struct waft_open_ *open;
	struct waft_slot_ *slot;
	uint64_t raw;
	uint64_t distance;
	uint32_t shape;

	if (span == NULL)
		return;
	if (hot == WAFT_DISABLED_) {
		span->open_ = NULL;
		span->bits_ = 0;
		return;
	}
	shape = __atomic_load_n(&site->shape, __ATOMIC_ACQUIRE);
	if (WAFT_UNLIKELY_(hot == NULL || parent == NULL || shape == 0))
		goto slow;
	open = hot->free;
	raw = hot->next_raw;
	distance = raw - parent->raw;
	if (WAFT_UNLIKELY_(open == NULL || (parent->flags & WAFT_OPEN_APART_) != 0 ||
			   distance > 65535 ||
			   (WAFT_LOAD_(&hot->bell) & (WAFT_BELL_SLOT_ | WAFT_BELL_STOP_)) != 0)) {
		if (open == NULL || parent->flags != WAFT_OPEN_UNSAMPLED_ ||
			(WAFT_LOAD_(&hot->bell) & (WAFT_BELL_SLOT_ | WAFT_BELL_STOP_)) != 0)
			goto slow;
		/* What an unsampled span has inside is not recorded either: its place is
		 * the outer one's. */
		span->open_ = NULL;
		span->bits_ = WAFT_SPAN_KNOWN_ | WAFT_SPAN_UNSAMPLED_ |
			      (uint32_t)(parent->distance >> 25 & WAFT_SPAN_NOT_RANDOM_);
		span->trace_[0] = parent->trace[0];
		span->trace_[1] = parent->trace[1];
		span->raw_ = parent->raw;
		span->parent_ = 0;
		WAFT_STORE_(&hot->not_sampled, hot->not_sampled + 1);
		return;
	}
	hot->free = open->next;
	hot->next_raw = raw + 1;
	open->prev = parent;
	open->trace[0] = parent->trace[0];
	open->trace[1] = parent->trace[1];
	open->raw = raw;
	open->distance = distance | (parent->distance & WAFT_TRAITS_);
	waft_thread_.current = open;
	span->open_ = open;
	span->generation_ = WAFT_LOAD_(&open->generation);
	span->shape_ = shape;
	span->bits_ = WAFT_SPAN_RECORDING_ | WAFT_SPAN_PARENT_RAW_ | WAFT_SPAN_KNOWN_ |
		      (uint32_t)(parent->distance >> 25 & WAFT_SPAN_NOT_RANDOM_);
	span->fill_ = 0;
	span->trace_[0] = parent->trace[0];
	span->trace_[1] = parent->trace[1];
	span->raw_ = raw;
	span->parent_ = parent->raw;
	slot = open->slot;
	WAFT_STORE_(&slot->raw, raw);
	WAFT_STORE_(&slot->parent, parent->raw);
	WAFT_STORE_(&slot->trace[0], parent->trace[0]);
	WAFT_STORE_(&slot->trace[1], parent->trace[1]);
	WAFT_STORE_(&slot->shape, shape);
	WAFT_STORE_(&slot->start, waft_clock_(hot));
	__atomic_store_n(&slot->state, (uint64_t)span->generation_ << 32 | WAFT_SLOT_OPEN_,
		__ATOMIC_RELEASE);
	return;
slow:
	waft_begin_slow_(span, site, WAFT_BEGIN_CURRENT_, WAFT_ABI_);
}

WAFT_HOT_INLINE_ void waft_begin_root_(struct waft_span *span, struct waft_site_ *site)
{
	if (span != NULL && waft_thread_.hot == WAFT_DISABLED_) {
		span->open_ = NULL;
		span->bits_ = 0;
		return;
	}
	waft_begin_slow_(span, site, WAFT_BEGIN_NEW_TRACE_, WAFT_ABI_);
}

/* ---- End ---------------------------------------------------------------- */

/* The values of a hot span: 32 bytes, and up to 96 by 16, over the end into what
 * the next span overwrites. Most spans have less than 32: lengths that change from
 * span to span then cost no branch that is foretold wrongly. */
WAFT_HOT_INLINE_ void waft_copy_values_(uint8_t *to, const unsigned char *from, uint32_t length)
{
	uint32_t at;

	__builtin_memcpy(to, from, 16);
	__builtin_memcpy(to + 16, from + 16, 16);
	for (at = 32; WAFT_UNLIKELY_(at < length); at += 16)
		__builtin_memcpy(to + at, from + at, 16);
}

/* Writes Section.spans: its tag, the length in 2 padded bytes, `times`, `ids`
 * and the values. Returns the bytes. */
WAFT_HOT_INLINE_ uint32_t waft_encode_(
	uint8_t *to, uint64_t times, uint64_t ids, const struct waft_span *span)
{
	uint32_t length = 18 + span->fill_;
	uint64_t head = 0x2a | (uint64_t)((length & 0x7f) | 0x80) << 8 |
			(uint64_t)(length >> 7) << 16 | (uint64_t)0x09 << 24 | times << 32;
	uint64_t middle = times >> 32 | (uint64_t)0x11 << 32 | ids << 40;
	uint64_t tail = ids >> 24;

	__builtin_memcpy(to, &head, 8);
	__builtin_memcpy(to + 8, &middle, 8);
	__builtin_memcpy(to + 16, &tail, 8);
	waft_copy_values_(to + 21, span->values_, span->fill_);
	return 3 + length;
}

WAFT_HOT_INLINE_ void waft_end(struct waft_span *span)
{
	struct waft_open_ *open;
	struct waft_hot_ *hot;
	uint8_t *chunk;
	uint64_t now;
	uint64_t since;
	uint64_t duration;
	uint64_t sequence;
	uint32_t at;

	if (span == NULL || span->open_ == NULL)
		return;
	open = span->open_;
	hot = waft_thread_.hot;
	if (WAFT_UNLIKELY_(waft_thread_.current != open ||
			   span->generation_ != WAFT_LOAD_(&open->generation) || open->flags != 0 ||
			   (span->bits_ & WAFT_SPAN_EXTRA_) != 0))
		goto slow;
	chunk = hot->chunk;
	if (WAFT_UNLIKELY_(chunk == NULL || ((hot->trace[0] ^ open->trace[0]) |
						    (hot->trace[1] ^ open->trace[1])) != 0))
		goto slow;
	now = waft_clock_(hot);
	at = WAFT_LOAD_((uint32_t *)(void *)chunk);
	since = now - hot->clock_base;
	duration = now - WAFT_LOAD_(&open->slot->start);
	sequence = open->raw - hot->id_base;
	if (WAFT_UNLIKELY_(((since | duration | sequence) >> 32) != 0 || at > hot->limit))
		goto slow;
	at += waft_encode_(chunk + at, since | duration << 32,
		sequence | open->distance << 32 | (uint64_t)span->shape_ << 48, span);
	WAFT_STORE_(&hot->ended, hot->ended + 1);
	__atomic_store_n((uint32_t *)(void *)chunk, at, __ATOMIC_RELEASE);
	WAFT_STORE_(&open->slot->state, 0);
	WAFT_STORE_(&open->generation, (span->generation_ + 1) & WAFT_GENERATION_);
	waft_thread_.current = open->prev;
	open->next = hot->free;
	hot->free = open;
	span->open_ = NULL;
	span->bits_ &= ~(uint32_t)WAFT_SPAN_RECORDING_;
	if (WAFT_UNLIKELY_(WAFT_LOAD_(&hot->bell) != 0))
		waft_bell_slow_();
	return;
slow:
	waft_end_slow_(span);
}

WAFT_HOT_INLINE_ bool waft_recording(const struct waft_span *span)
{
	return span != NULL && (span->bits_ & WAFT_SPAN_RECORDING_) != 0;
}

WAFT_HOT_INLINE_ bool waft_context_valid(const struct waft_context *context)
{
	uint64_t trace[2];
	uint64_t span;

	if (context == NULL)
		return false;
	__builtin_memcpy(trace, context->trace_id, 16);
	__builtin_memcpy(&span, context->span_id, 8);
	return (trace[0] | trace[1]) != 0 && span != 0;
}

/* ---- Attributes --------------------------------------------------------- */

/* At most 94 bytes; reads nothing beyond them. Of 4 to 16 bytes it makes four
 * pieces of 4, which overlap as the length wants it: without a branch, since one by
 * length is foretold wrongly every other time. */
WAFT_HOT_INLINE_ void waft_copy_text_(unsigned char *to, const char *from, size_t length)
{
	if (WAFT_LIKELY_(length - 4 <= 12)) {
		size_t second = (length >> 1 | length >> 2) & 4; /* 4 from 8 bytes on */
		uint32_t pieces[4];

		__builtin_memcpy(&pieces[0], from, 4);
		__builtin_memcpy(&pieces[1], from + second, 4);
		__builtin_memcpy(&pieces[2], from + length - 4 - second, 4);
		__builtin_memcpy(&pieces[3], from + length - 4, 4);
		__builtin_memcpy(to, &pieces[0], 4);
		__builtin_memcpy(to + second, &pieces[1], 4);
		__builtin_memcpy(to + length - 4 - second, &pieces[2], 4);
		__builtin_memcpy(to + length - 4, &pieces[3], 4);
	} else if (length > 16) {
		__builtin_memcpy(to, from, length);
	} else {
		for (size_t i = 0; i < length; i++)
			to[i] = (unsigned char)from[i];
	}
}

/* The shape's change here is known, and there is room. */
WAFT_HOT_INLINE_ bool waft_attr_fits_(
	const struct waft_span *span, uint64_t change, uint32_t length_bytes)
{
	return WAFT_LIKELY_((uint32_t)change == span->shape_ &&
			    span->fill_ + length_bytes <= WAFT_VALUES_ROOM_ &&
			    (span->bits_ & WAFT_SPAN_GENERIC_) == 0);
}

WAFT_HOT_INLINE_ void waft_attr_string_(
	struct waft_span *span, struct waft_key_ *key, const char *value)
{
	uint64_t change;
	size_t length;
	unsigned char *to;

	if (!waft_recording(span) || value == NULL)
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	length = strlen(value);
	if (length > WAFT_VALUES_ROOM_ - 2 ||
		!waft_attr_fits_(span, change, (uint32_t)length + 2)) {
		waft_attr_string_slow_(span, key, value, length);
		return;
	}
	to = span->values_ + span->fill_;
	to[0] = 0x22;
	to[1] = (unsigned char)length;
	waft_copy_text_(to + 2, value, length);
	span->fill_ += (uint32_t)length + 2;
	span->shape_ = (uint32_t)(change >> 32);
}

WAFT_HOT_INLINE_ void waft_attr_int_(struct waft_span *span, struct waft_key_ *key, int64_t value)
{
	uint64_t change;
	int32_t small = (int32_t)value;

	if (!waft_recording(span))
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	if (small != value || !waft_attr_fits_(span, change, 5)) {
		waft_attr_int_slow_(span, key, value);
		return;
	}
	span->values_[span->fill_] = 0x2d;
	__builtin_memcpy(span->values_ + span->fill_ + 1, &small, 4);
	span->fill_ += 5;
	span->shape_ = (uint32_t)(change >> 32);
}

WAFT_HOT_INLINE_ void waft_attr_double_(struct waft_span *span, struct waft_key_ *key, double value)
{
	uint64_t change;

	if (!waft_recording(span))
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	if (!waft_attr_fits_(span, change, 9)) {
		waft_attr_double_slow_(span, key, value);
		return;
	}
	span->values_[span->fill_] = 0x39;
	__builtin_memcpy(span->values_ + span->fill_ + 1, &value, 8);
	span->fill_ += 9;
	span->shape_ = (uint32_t)(change >> 32);
}

WAFT_HOT_INLINE_ void waft_attr_bool_(struct waft_span *span, struct waft_key_ *key, bool value)
{
	uint64_t change;

	if (!waft_recording(span))
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	if (!waft_attr_fits_(span, change, 2)) {
		waft_attr_bool_slow_(span, key, value);
		return;
	}
	span->values_[span->fill_] = 0x40;
	span->values_[span->fill_ + 1] = value ? 1 : 0;
	span->fill_ += 2;
	span->shape_ = (uint32_t)(change >> 32);
}

/* ---- Ends of blocks ----------------------------------------------------- */

WAFT_HOT_INLINE_ void waft_span_leave_(struct waft_span *span)
{
	waft_end(span);
}

static inline void waft_token_leave_(struct waft_token *token)
{
	waft_detach(token);
}

/* What WAFT_TRANSFORM holds: returned tells an exception or a cancelled thread
 * from a return. */
struct waft_transform_ {
	struct waft_span span;
	bool returned;
};

static inline void waft_transform_leave_(struct waft_transform_ *transform)
{
	if (!transform->returned)
		waft_error(&transform->span, "left without a result");
	waft_end(&transform->span);
}

static inline int waft_transform_done_(
	struct waft_transform_ *transform, int result, const char *output)
{
	transform->returned = true;
	if (output != NULL)
		waft_output_json(&transform->span, output, SIZE_MAX);
	if (result < 0)
		waft_error_code(&transform->span, result, waft_strerror(result));
	return result;
}

/* Results of types that have no form in JSON. */
static inline void waft_output_none_(struct waft_span *span, ...)
{
	(void)span;
}

#ifdef __cplusplus
} // extern "C"
#endif

/* ---- Macros ------------------------------------------------------------- */

#define WAFT_PASTE2_(a, b) a##b
#define WAFT_PASTE_(a, b) WAFT_PASTE2_(a, b)

#define WAFT_SITE_(id, name, layer, function) \
	static struct waft_site_ id = {0, __LINE__, name, layer, __FILE__, function}

#define WAFT_BEGIN_IN(span, name, layer) WAFT_BEGIN1_(span, name, layer, __COUNTER__)
#define WAFT_BEGIN1_(span, name, layer, n) WAFT_BEGIN2_(span, name, layer, n)
#define WAFT_BEGIN2_(span, name, layer, n)                        \
	do {                                                      \
		WAFT_SITE_(waft_site_##n, name, layer, __func__); \
		waft_begin_(span, &waft_site_##n);                \
	} while (0)

#define WAFT_CALL_(n, name, layer, call)                                       \
	do {                                                                   \
		WAFT_SITE_(WAFT_PASTE_(waft_site_, n), name, layer, __func__); \
		call;                                                          \
	} while (0)

#define WAFT_BEGIN_ROOT_IN(span, name, layer) WAFT_BEGIN_ROOT1_(span, name, layer, __COUNTER__)
#define WAFT_BEGIN_ROOT1_(span, name, layer, n) \
	WAFT_CALL_(n, name, layer, waft_begin_root_(span, &WAFT_PASTE_(waft_site_, n)))

#define WAFT_BEGIN_CHILD_IN(span, name, layer, context) \
	WAFT_BEGIN_CHILD1_(span, name, layer, context, WAFT_BEGIN_CURRENT_, __COUNTER__)
#define WAFT_OPEN_CHILD_IN(span, name, layer, context) \
	WAFT_BEGIN_CHILD1_(span, name, layer, context, WAFT_BEGIN_DETACHED_, __COUNTER__)
#define WAFT_BEGIN_CHILD1_(span, name, layer, context, mode, n) \
	WAFT_CALL_(n, name, layer,                              \
		waft_begin_child_(span, &WAFT_PASTE_(waft_site_, n), context, mode, WAFT_ABI_))

#define WAFT_BEGIN_SIBLING_IN(span, name, layer, other) \
	WAFT_BEGIN_SIBLING1_(span, name, layer, other, WAFT_BEGIN_CURRENT_, __COUNTER__)
#define WAFT_OPEN_SIBLING_IN(span, name, layer, other) \
	WAFT_BEGIN_SIBLING1_(span, name, layer, other, WAFT_BEGIN_DETACHED_, __COUNTER__)
#define WAFT_BEGIN_SIBLING1_(span, name, layer, other, mode, n) \
	WAFT_CALL_(n, name, layer,                              \
		waft_begin_sibling_(span, &WAFT_PASTE_(waft_site_, n), other, mode, WAFT_ABI_))

#define WAFT_OPEN_IN(span, name, layer) \
	WAFT_OPEN1_(span, name, layer, WAFT_BEGIN_DETACHED_, __COUNTER__)
#define WAFT_OPEN_ROOT_IN(span, name, layer) \
	WAFT_OPEN1_(span, name, layer, WAFT_BEGIN_DETACHED_ | WAFT_BEGIN_NEW_TRACE_, __COUNTER__)
#define WAFT_OPEN1_(span, name, layer, mode, n) \
	WAFT_CALL_(n, name, layer,              \
		waft_begin_slow_(span, &WAFT_PASTE_(waft_site_, n), mode, WAFT_ABI_))
#define WAFT_OPEN_ROOT(span, name) WAFT_OPEN_ROOT_IN(span, name, WAFT_LAYER)
#define WAFT_OPEN_SIBLING(span, name, other) WAFT_OPEN_SIBLING_IN(span, name, WAFT_LAYER, other)

#define WAFT_CLEANUP_(function) __attribute__((__cleanup__(function)))

#define WAFT_SPAN_IN(variable, name, layer) \
	WAFT_SPAN1_(variable, name, layer, __func__, __COUNTER__)
#define WAFT_SPAN1_(variable, name, layer, function, n) \
	WAFT_SPAN2_(variable, name, layer, function, n)
#define WAFT_SPAN2_(variable, name, layer, function, n)            \
	WAFT_SITE_(waft_site_##n, name, layer, function);          \
	struct waft_span variable WAFT_CLEANUP_(waft_span_leave_); \
	waft_begin_(&variable, &waft_site_##n)

#define WAFT_ATTR_STRING_(span, key, value) \
	WAFT_ATTR1_(waft_attr_string_, span, key, value, __COUNTER__)
#define WAFT_ATTR_INT_(span, key, value) WAFT_ATTR1_(waft_attr_int_, span, key, value, __COUNTER__)
#define WAFT_ATTR_DOUBLE_(span, key, value) \
	WAFT_ATTR1_(waft_attr_double_, span, key, value, __COUNTER__)
#define WAFT_ATTR_BOOL_(span, key, value) \
	WAFT_ATTR1_(waft_attr_bool_, span, key, value, __COUNTER__)
#define WAFT_ATTR1_(set, span, key, value, n) WAFT_ATTR2_(set, span, key, value, n)
#define WAFT_ATTR2_(set, span, key, value, n)                    \
	do {                                                     \
		static struct waft_key_ waft_key_##n = {0, key}; \
		set(span, &waft_key_##n, value);                 \
	} while (0)

#define WAFT_FUNCTION_IN(layer) \
	WAFT_SPAN1_(WAFT_PASTE_(waft_function_, __LINE__), NULL, layer, __func__, __COUNTER__)
#define WAFT_FUNCTION() WAFT_FUNCTION_IN(WAFT_LAYER)

#ifdef __cplusplus
extern "C++" {
inline void waft_output_any_(struct waft_span *span, bool value)
{
	waft_output_bool(span, value);
}
inline void waft_output_any_(struct waft_span *span, const char *value)
{
	waft_output_string(span, value);
}
inline void waft_output_any_(struct waft_span *span, char *value)
{
	waft_output_string(span, value);
}
inline void waft_output_any_(struct waft_span *span, double value)
{
	waft_output_double(span, value);
}
inline void waft_output_any_(struct waft_span *span, float value)
{
	waft_output_double(span, static_cast<double>(value));
}
inline void waft_output_any_(struct waft_span *span, unsigned long value)
{
	waft_output_unsigned_(span, value);
}
inline void waft_output_any_(struct waft_span *span, unsigned long long value)
{
	waft_output_unsigned_(span, value);
}
#define WAFT_OUTPUT_INT_(type)                                           \
	inline void waft_output_any_(struct waft_span *span, type value) \
	{                                                                \
		waft_output_int(span, static_cast<int64_t>(value));      \
	}
WAFT_OUTPUT_INT_(char)
WAFT_OUTPUT_INT_(signed char)
WAFT_OUTPUT_INT_(unsigned char)
WAFT_OUTPUT_INT_(short)
WAFT_OUTPUT_INT_(unsigned short)
WAFT_OUTPUT_INT_(int)
WAFT_OUTPUT_INT_(unsigned int)
WAFT_OUTPUT_INT_(long)
WAFT_OUTPUT_INT_(long long)
#undef WAFT_OUTPUT_INT_
template <typename T> inline void waft_output_any_(struct waft_span *, const T &)
{
}
}
#else
#define waft_output_any_(span, value) \
	_Generic((value),                                                                          \
		_Bool: waft_output_bool,                                                           \
		char: waft_output_int,                                                             \
		signed char: waft_output_int,                                                      \
		unsigned char: waft_output_int,                                                    \
		short: waft_output_int,                                                            \
		unsigned short: waft_output_int,                                                   \
		int: waft_output_int,                                                              \
		unsigned int: waft_output_int,                                                     \
		long: waft_output_int,                                                             \
		long long: waft_output_int,                                                        \
		unsigned long: waft_output_unsigned_,                                              \
		unsigned long long: waft_output_unsigned_,                                         \
		float: waft_output_double,                                                         \
		double: waft_output_double,                                                        \
		char *: waft_output_string,                                                        \
		const char *: waft_output_string,                                                  \
		default: waft_output_none_)(span, value)
#endif

/* The first declaration takes the `static` that may stand before the macro. */
#define WAFT_TRACED(type, name, params, args)                                    \
	type name params;                                                        \
	static type waft_body_##name params;                                     \
	type name params                                                         \
	{                                                                        \
		WAFT_SPAN1_(waft_traced_, NULL, WAFT_LAYER, #name, __COUNTER__); \
		type waft_result_ = waft_body_##name args;                       \
		waft_output_any_(&waft_traced_, waft_result_);                   \
		return waft_result_;                                             \
	}                                                                        \
	static type waft_body_##name params

#define WAFT_TRACED_VOID(name, params, args)                                     \
	void name params;                                                        \
	static void waft_body_##name params;                                     \
	void name params                                                         \
	{                                                                        \
		WAFT_SPAN1_(waft_traced_, NULL, WAFT_LAYER, #name, __COUNTER__); \
		waft_body_##name args;                                           \
	}                                                                        \
	static void waft_body_##name params

#define WAFT_TRANSFORM(name, input, output, call) \
	WAFT_TRANSFORM_IN(name, WAFT_LAYER, input, output, call)
#define WAFT_TRANSFORM_IN(name, layer, input, output, call) \
	WAFT_TRANSFORM1_(name, layer, input, output, call, __COUNTER__)
#define WAFT_TRANSFORM1_(name, layer, input, output, call, n) \
	WAFT_TRANSFORM2_(name, layer, input, output, call, n)
#define WAFT_TRANSFORM2_(name, layer, input, output, call, n)                                   \
	__extension__({                                                                         \
		WAFT_SITE_(waft_site_##n, name, layer, __func__);                               \
		struct waft_transform_ waft_transform_##n WAFT_CLEANUP_(waft_transform_leave_); \
		int waft_result_##n;                                                            \
		waft_transform_##n.returned = false;                                            \
		waft_begin_(&waft_transform_##n.span, &waft_site_##n);                          \
		waft_input_json(&waft_transform_##n.span, input, SIZE_MAX);                     \
		waft_result_##n = (call);                                                       \
		waft_transform_done_(&waft_transform_##n, waft_result_##n,                      \
			waft_recording(&waft_transform_##n.span) ? (output) : NULL);            \
	})

#define WAFT_ATTACHED(context) WAFT_ATTACHED1_(context, __COUNTER__)
#define WAFT_ATTACHED1_(context, n) WAFT_ATTACHED2_(context, n)
#define WAFT_ATTACHED2_(context, n)                                        \
	struct waft_token waft_token_##n WAFT_CLEANUP_(waft_token_leave_); \
	waft_attach(context, &waft_token_##n)

#endif
