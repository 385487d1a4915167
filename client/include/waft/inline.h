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
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What inlined code and library must agree on; checked at a thread's and at a
 * call site's first span. */
#define WAFT_ABI_ 2u

#if defined(__SANITIZE_THREAD__)
#define WAFT_THREAD_SANITIZER_
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WAFT_THREAD_SANITIZER_
#endif
#endif

#define WAFT_HOT_INLINE_ static inline __attribute__((always_inline))
#define WAFT_LIKELY_(x) __builtin_expect(!!(x), 1)
#define WAFT_UNLIKELY_(x) __builtin_expect(!!(x), 0)
#define WAFT_LOAD_(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define WAFT_STORE_(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

/* One more, where others may be reading and none else counts. */
#if defined(WAFT_THREAD_SANITIZER_)
#define WAFT_COUNT_(p) WAFT_STORE_(p, WAFT_LOAD_(p) + 1)
#else
#define WAFT_COUNT_(p) (++*(p))
#endif

/* Two words in one register. What is stored in one piece must be loaded in no larger
 * one soon after: a processor waits for such a store to leave it. */
typedef unsigned long long waft_pair_
	__attribute__((__vector_size__(16), __may_alias__, __aligned__(1)));
typedef uint64_t waft_word_ __attribute__((__may_alias__));
#define WAFT_PAIR_(p) (*(waft_pair_ *)(void *)(p))
#define WAFT_WORD_(p) (*(waft_word_ *)(void *)(p))

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
	uint32_t generation; /* these two are read as one word, too */
	uint32_t flags; /* not 0: ended by the library; of WAFT_OPEN_APART_: so are its children */
	uint64_t distance; /* low 16 bits: to the parent's raw; high 32: WAFT_TRAIT_… */
};
/* What children take over: of bits_, in its word. */
#define WAFT_TRAITS_ 0xffffffff00000000u
#define WAFT_TRAIT_HOT_ \
	((uint64_t)(WAFT_SPAN_RECORDING_ | WAFT_SPAN_PARENT_RAW_ | WAFT_SPAN_KNOWN_) << 32)
/* The trace id came without W3C's random flag; where bits_ has it in its word. */
#define WAFT_TRAIT_NOT_RANDOM_ ((uint64_t)WAFT_SPAN_NOT_RANDOM_ << 32)
enum { WAFT_OPEN_UNSAMPLED_ = 1, WAFT_OPEN_APART_ = 0xff };
/* Of a generation; the bit below: another thread ended it. */
#define WAFT_GENERATION_ 0xfffffffeu
#define WAFT_GENERATION_STEP_ 2u

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

/* An encoded value, or 16 bytes of one; the values of a span are what its lanes hold
 * in a row. A lane is stored and loaded in one piece. */
struct waft_lane_ {
	uint64_t value[2];
	uint64_t length;
};
enum {
	WAFT_LANES_ = 6,
	WAFT_LANE_BYTES_ = 16,
	WAFT_VALUES_ROOM_ = 96,
	WAFT_LANE_STRIDE_ = 24,
	WAFT_LANES_END_ = WAFT_LANES_ * WAFT_LANE_STRIDE_,
};

struct waft_span {
	struct waft_open_ *open_; /* NULL: not begun, not recorded, or ended */
	uint32_t generation_;	  /* these two are read as one word, too */
	uint32_t bits_;		  /* WAFT_SPAN_… */
	uint32_t shape_;	  /* and these; WAFT_SHAPE_APART_ is no part of the id */
	uint32_t lanes_;	  /* in use: where the next is, in bytes */
	uint64_t trace_[2];
	uint64_t raw_;
	uint64_t parent_;
	struct waft_lane_ values_[WAFT_LANES_];
};
/* The low 16 bits are for what waft_end must see, where a slot's flags are 0. */
enum {
	WAFT_SPAN_EXTRA_ = 0x8000,	/* more of it lies with the library */
	WAFT_SPAN_RECORDING_ = 0x10000, /* what is set on it will be stored */
	WAFT_SPAN_PARENT_RAW_ = 0x20000,
	WAFT_SPAN_KNOWN_ = 0x40000,	  /* trace_ and raw_ are set, also after the end */
	WAFT_SPAN_ID_ = 0x80000,	  /* raw_ is the id itself, not what is mixed */
	WAFT_SPAN_UNSAMPLED_ = 0x100000,  /* left out by the sampler */
	WAFT_SPAN_GENERIC_ = 0x200000,	  /* some attribute lies in no shape */
	WAFT_SPAN_NOT_RANDOM_ = 0x400000, /* as WAFT_TRAIT_NOT_RANDOM_ */
};
/* Of shape_: no change of a call site's fits, so that the library sets each value.
 * Where nothing is recorded, all bits are set. */
#define WAFT_SHAPE_APART_ 0x80000000u
#define WAFT_SHAPE_NONE_ 0xffffffffu

/* ---- The slow ways ------------------------------------------------------ */

enum waft_begin_ { WAFT_BEGIN_CURRENT_ = 0, WAFT_BEGIN_NEW_TRACE_ = 1, WAFT_BEGIN_DETACHED_ = 2 };
WAFT_PUBLIC void waft_begin_slow_(
	struct waft_span *span, struct waft_site_ *site, unsigned int mode, unsigned int abi);
WAFT_PUBLIC void waft_begin_child_(struct waft_span *span, struct waft_site_ *site,
	const struct waft_context *parent, unsigned int mode, unsigned int abi);
WAFT_PUBLIC void waft_begin_sibling_(struct waft_span *span, struct waft_site_ *site,
	const struct waft_span *other, unsigned int mode, unsigned int abi);
WAFT_PUBLIC void waft_end_slow_(struct waft_span *span);
WAFT_PUBLIC void waft_end_first_(struct waft_span *span);
WAFT_PUBLIC void waft_bell_slow_(void);
WAFT_PUBLIC uint64_t waft_clock_slow_(void);
WAFT_PUBLIC void waft_attr_string_slow_(
	struct waft_span *span, struct waft_key_ *key, const char *value);
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

WAFT_HOT_INLINE_ waft_pair_ waft_pair_of_(uint64_t first, uint64_t second)
{
	waft_pair_ pair = {first, second};

	return pair;
}

/* Two words of the slot, which others may be reading. */
WAFT_HOT_INLINE_ void waft_slot_pair_(uint64_t *to, waft_pair_ pair)
{
#if defined(WAFT_THREAD_SANITIZER_)
	WAFT_STORE_(&to[0], pair[0]);
	WAFT_STORE_(&to[1], pair[1]);
#else
	WAFT_PAIR_(to) = pair;
#endif
}

WAFT_HOT_INLINE_ void waft_begin_none_(struct waft_span *span)
{
	span->open_ = NULL;
	WAFT_WORD_(&span->generation_) = 0;
	WAFT_WORD_(&span->shape_) = WAFT_SHAPE_NONE_;
}

/* What an unsampled span has inside is not recorded either: its place is the outer
 * one's. */
WAFT_HOT_INLINE_ void waft_begin_unsampled_(
	struct waft_span *span, struct waft_hot_ *hot, const struct waft_open_ *parent)
{
	span->open_ = NULL;
	WAFT_WORD_(&span->generation_) = (uint64_t)(WAFT_SPAN_KNOWN_ | WAFT_SPAN_UNSAMPLED_) << 32 |
					 (parent->distance & WAFT_TRAIT_NOT_RANDOM_);
	WAFT_WORD_(&span->shape_) = WAFT_SHAPE_NONE_;
	WAFT_PAIR_(span->trace_) = WAFT_PAIR_(parent->trace);
	span->raw_ = parent->raw;
	span->parent_ = 0;
	WAFT_COUNT_(&hot->not_sampled);
}

WAFT_HOT_INLINE_ void waft_begin_(struct waft_span *span, struct waft_site_ *site)
{
	struct waft_hot_ *hot = waft_thread_.hot;
	struct waft_open_ *parent = waft_thread_.current;
	struct waft_open_ *open;
	struct waft_slot_ *slot;
	waft_pair_ trace;
	waft_pair_ ids;
	uint64_t raw;
	uint64_t distance;
	uint64_t traits;
	uint64_t generation;
	uint32_t shape;

	if (span == NULL)
		return;
	if (WAFT_UNLIKELY_((uintptr_t)hot <= (uintptr_t)WAFT_DISABLED_)) {
		if (hot == NULL)
			goto slow;
		waft_begin_none_(span);
		return;
	}
	if (WAFT_UNLIKELY_(parent == NULL))
		goto slow;
	shape = __atomic_load_n(&site->shape, __ATOMIC_ACQUIRE);
	open = hot->free;
	if (WAFT_UNLIKELY_(open == NULL))
		goto slow;
	if (WAFT_UNLIKELY_(shape == 0))
		goto slow;
	if (WAFT_UNLIKELY_((WAFT_LOAD_(&hot->bell) & (WAFT_BELL_SLOT_ | WAFT_BELL_STOP_)) != 0))
		goto slow;
	if (WAFT_UNLIKELY_((parent->flags & WAFT_OPEN_APART_) != 0)) {
		if (parent->flags != WAFT_OPEN_UNSAMPLED_)
			goto slow;
		waft_begin_unsampled_(span, hot, parent);
		return;
	}
	raw = hot->next_raw;
	distance = raw - parent->raw;
	if (WAFT_UNLIKELY_(distance > 65535))
		goto slow;
	/* Of what can be a parent here, WAFT_TRAIT_HOT_ is among them. */
	traits = parent->distance & WAFT_TRAITS_;
	generation = WAFT_LOAD_(&open->generation);
	trace = WAFT_PAIR_(parent->trace);
	ids = waft_pair_of_(raw, parent->raw);
	slot = open->slot;
	hot->free = open->next;
	hot->next_raw = raw + 1;
	open->prev = parent;
	WAFT_PAIR_(open->trace) = trace;
	open->raw = raw;
	open->distance = distance | traits;
	waft_thread_.current = open;
	span->open_ = open;
	WAFT_WORD_(&span->generation_) = generation | traits;
	WAFT_WORD_(&span->shape_) = shape;
	WAFT_PAIR_(span->trace_) = trace;
	WAFT_PAIR_(&span->raw_) = ids;
	waft_slot_pair_(&slot->raw, ids);
	waft_slot_pair_(slot->trace, trace);
	WAFT_STORE_(&slot->shape, shape);
	WAFT_STORE_(&slot->start, waft_clock_(hot));
	__atomic_store_n(&slot->state, generation << 32 | WAFT_SLOT_OPEN_, __ATOMIC_RELEASE);
	return;
slow:
	waft_begin_slow_(span, site, WAFT_BEGIN_CURRENT_, WAFT_ABI_);
}

WAFT_HOT_INLINE_ void waft_begin_root_(struct waft_span *span, struct waft_site_ *site)
{
	if (span != NULL && waft_thread_.hot == WAFT_DISABLED_) {
		waft_begin_none_(span);
		return;
	}
	waft_begin_slow_(span, site, WAFT_BEGIN_NEW_TRACE_, WAFT_ABI_);
}

/* ---- End ---------------------------------------------------------------- */

WAFT_HOT_INLINE_ bool waft_pairs_equal_(const uint64_t *a, const uint64_t *b)
{
#if defined(__SSE2__)
	__m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)a),
		_mm_loadu_si128((const __m128i *)(const void *)b));

	return _mm_movemask_epi8(same) == 0xffff;
#else
	return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
#endif
}

/* The lanes' values in a row, over the end into what the next span overwrites.
 * Returns behind them. */
WAFT_HOT_INLINE_ uint8_t *waft_copy_values_(uint8_t *to, const struct waft_span *span)
{
	const unsigned char *lane = (const unsigned char *)span->values_;
	const unsigned char *end = lane + span->lanes_;

	for (; lane != end; lane += WAFT_LANE_STRIDE_) {
		WAFT_PAIR_(to) = WAFT_PAIR_((unsigned char *)lane);
		to += WAFT_WORD_((unsigned char *)lane + WAFT_LANE_BYTES_);
	}
	return to;
}

/* Section.spans but for its values, of which `behind` is the end: its tag, the length
 * in 2 padded bytes (the second is 0), `times` and `ids`. */
WAFT_HOT_INLINE_ void waft_encode_(uint8_t *to, const uint8_t *behind, uint32_t since,
	uint32_t duration, uint32_t sequence, const struct waft_open_ *open,
	const struct waft_span *span)
{
	uint32_t head = (uint32_t)(behind - to - 3) << 8 | 0x0900802a;
	uint16_t distance = (uint16_t)open->distance;
	uint16_t shape = (uint16_t)span->shape_;

	__builtin_memcpy(to, &head, 4);
	__builtin_memcpy(to + 4, &since, 4);
	__builtin_memcpy(to + 8, &duration, 4);
	to[12] = 0x11;
	__builtin_memcpy(to + 13, &sequence, 4);
	__builtin_memcpy(to + 17, &distance, 2);
	__builtin_memcpy(to + 19, &shape, 2);
}

/* Publishes what was written up to `behind`, and gives the slot back. */
WAFT_HOT_INLINE_ void waft_close_(struct waft_span *span, struct waft_open_ *open,
	struct waft_hot_ *hot, uint8_t *chunk, const uint8_t *behind, uint32_t generation)
{
	WAFT_COUNT_(&hot->ended);
	__atomic_store_n((uint32_t *)(void *)chunk, (uint32_t)(behind - chunk), __ATOMIC_RELEASE);
	WAFT_STORE_(&open->slot->state, 0);
	/* With the flags, which are 0. */
	WAFT_STORE_((waft_word_ *)(void *)&open->generation,
		(uint32_t)(generation + WAFT_GENERATION_STEP_));
	waft_thread_.current = open->prev;
	open->next = hot->free;
	hot->free = open;
	span->open_ = NULL;
	if (WAFT_UNLIKELY_(WAFT_LOAD_(&hot->bell) != 0))
		waft_bell_slow_();
}

WAFT_HOT_INLINE_ void waft_end(struct waft_span *span)
{
	struct waft_open_ *open;
	struct waft_hot_ *hot;
	struct waft_slot_ *slot;
	uint8_t *chunk;
	uint8_t *behind;
	uint64_t claim;
	uint64_t now;
	uint64_t since;
	uint64_t duration;
	uint64_t sequence;
	uint32_t at;

	if (span == NULL)
		return;
	open = span->open_;
	if (open == NULL)
		return;
	hot = waft_thread_.hot;
	if (WAFT_UNLIKELY_(waft_thread_.current != open))
		goto slow;
	/* The same generation, nothing in flags, nor WAFT_SPAN_EXTRA_. */
	claim = WAFT_WORD_(&span->generation_);
	if (WAFT_UNLIKELY_(
		    (claim ^ WAFT_LOAD_((waft_word_ *)(void *)&open->generation)) << 16 != 0))
		goto slow;
	/* Nor is there a chunk where hot->trace is 0. */
	if (WAFT_UNLIKELY_(!waft_pairs_equal_(hot->trace, open->trace))) {
		waft_end_first_(span);
		return;
	}
	chunk = hot->chunk;
	slot = open->slot;
	now = waft_clock_(hot);
	since = now - hot->clock_base;
	duration = now - WAFT_LOAD_(&slot->start);
	sequence = open->raw - hot->id_base;
	if (WAFT_UNLIKELY_(((since | duration | sequence) >> 32) != 0))
		goto slow;
	at = WAFT_LOAD_((uint32_t *)(void *)chunk);
	if (WAFT_UNLIKELY_(at > hot->limit))
		goto slow;
	behind = waft_copy_values_(chunk + at + 21, span);
	waft_encode_(chunk + at, behind, (uint32_t)since, (uint32_t)duration, (uint32_t)sequence,
		open, span);
	waft_close_(span, open, hot, chunk, behind, (uint32_t)claim);
	return;
slow:
	waft_end_slow_(span);
}

WAFT_HOT_INLINE_ bool waft_recording(const struct waft_span *span)
{
	return span != NULL && span->open_ != NULL && (span->bits_ & WAFT_SPAN_RECORDING_) != 0;
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

/* The shape's change here is known, and a lane is free. */
WAFT_HOT_INLINE_ bool waft_attr_fits_(const struct waft_span *span, uint64_t change)
{
	return WAFT_LIKELY_((uint32_t)change == span->shape_) &&
	       WAFT_LIKELY_(span->lanes_ < WAFT_LANES_END_);
}

WAFT_HOT_INLINE_ void waft_attr_put_(
	struct waft_span *span, uint64_t change, waft_pair_ value, uint64_t length)
{
	uint64_t at = span->lanes_;
	unsigned char *lane = (unsigned char *)span->values_ + at;

	WAFT_PAIR_(lane) = value;
	WAFT_WORD_(lane + WAFT_LANE_BYTES_) = length;
	span->lanes_ = (uint32_t)at + WAFT_LANE_STRIDE_;
	span->shape_ = (uint32_t)(change >> 32);
}

/* Takes short texts; false: it is left to the library. */
WAFT_HOT_INLINE_ bool waft_attr_text_(struct waft_span *span, uint64_t change, const char *text)
{
#if defined(__SSE2__)
	/* As many bytes of a lane are kept as the text has. */
	static const unsigned char keep[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	__m128i value;
	uint32_t ends;
	uint64_t length;

	/* The compiler may not know which text it is, nor what it takes for granted of it. */
	__asm__("" : "+r"(text));
	/* 16 bytes can be loaded when they are one of memory's own 16: nothing ends inside.
	 * What lies behind the text is not used, nor copied. */
	if (WAFT_UNLIKELY_(((uintptr_t)text & 15) != 0))
		return false;
	/* Not in C, for which a text ends where it ends. */
	__asm__("movdqa %1, %0" : "=x"(value) : "m"(*(const char(*)[16])(const void *)text));
	ends = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(value, _mm_setzero_si128())) & 0x7fff;
	if (WAFT_UNLIKELY_(ends == 0))
		return false;
	length = (uint32_t)__builtin_ctz(ends);
	value = _mm_and_si128(
		value, _mm_loadu_si128((const __m128i *)(const void *)(keep + 16 - length)));
	value = _mm_or_si128(
		_mm_slli_si128(value, 2), _mm_cvtsi32_si128((int)(0x22 | length << 8)));
	waft_attr_put_(span, change, (waft_pair_)value, length + 2);
#else
	size_t length = strlen(text);
	unsigned char value[WAFT_LANE_BYTES_] = {0x22, (unsigned char)length};

	if (length > WAFT_LANE_BYTES_ - 2)
		return false;
	__builtin_memcpy(value + 2, text, length);
	waft_attr_put_(span, change, WAFT_PAIR_(value), length + 2);
#endif
	return true;
}

WAFT_HOT_INLINE_ void waft_attr_string_(
	struct waft_span *span, struct waft_key_ *key, const char *value)
{
	uint64_t change;

	if (span == NULL || span->open_ == NULL || value == NULL)
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	if (waft_attr_fits_(span, change) && waft_attr_text_(span, change, value))
		return;
	if (waft_recording(span))
		waft_attr_string_slow_(span, key, value);
}

WAFT_HOT_INLINE_ void waft_attr_int_(struct waft_span *span, struct waft_key_ *key, int64_t value)
{
	int32_t small = (int32_t)value;
	uint64_t change;

	if (span == NULL || span->open_ == NULL)
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	if (waft_attr_fits_(span, change) && WAFT_LIKELY_(small == value))
		waft_attr_put_(
			span, change, waft_pair_of_(0x2d | (uint64_t)(uint32_t)small << 8, 0), 5);
	else if (waft_recording(span))
		waft_attr_int_slow_(span, key, value);
}

WAFT_HOT_INLINE_ void waft_attr_double_(struct waft_span *span, struct waft_key_ *key, double value)
{
	uint64_t change;
	uint64_t bits;

	if (span == NULL || span->open_ == NULL)
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	__builtin_memcpy(&bits, &value, 8);
	if (waft_attr_fits_(span, change))
		waft_attr_put_(span, change, waft_pair_of_(0x39 | bits << 8, bits >> 56), 9);
	else if (waft_recording(span))
		waft_attr_double_slow_(span, key, value);
}

WAFT_HOT_INLINE_ void waft_attr_bool_(struct waft_span *span, struct waft_key_ *key, bool value)
{
	uint64_t change;

	if (span == NULL || span->open_ == NULL)
		return;
	change = __atomic_load_n(&key->change, __ATOMIC_ACQUIRE);
	if (waft_attr_fits_(span, change))
		waft_attr_put_(span, change, waft_pair_of_(value ? 0x140 : 0x40, 0), 2);
	else if (waft_recording(span))
		waft_attr_bool_slow_(span, key, value);
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
