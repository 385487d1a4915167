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
#define WAFT_ABI_ 4u

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
/* For compilers that forget what was stored before an atomic store. */
#define WAFT_ASSUME_(x)                          \
	do {                                     \
		if (!(x))                        \
			__builtin_unreachable(); \
	} while (0)
#define WAFT_LOAD_(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define WAFT_STORE_(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

/* One more, where others may be reading and none else counts; and what others may be
 * writing. Compilers make one instruction with an operand in memory of neither when it is
 * called atomic, which it is on all that have such instructions. */
#if defined(WAFT_THREAD_SANITIZER_)
#define WAFT_COUNT_(p) WAFT_STORE_(p, WAFT_LOAD_(p) + 1)
#define WAFT_PEEK_(p) WAFT_LOAD_(p)
#else
#define WAFT_COUNT_(p) (++*(p))
#define WAFT_PEEK_(p)                              \
	(__extension__({                           \
		__asm__ volatile("" ::: "memory"); \
		*(p);                              \
	}))
#endif

/* Two words in one register. What is stored in one piece must be loaded in no larger
 * one soon after: a processor waits for such a store to leave it. */
typedef unsigned long long waft_pair_
	__attribute__((__vector_size__(16), __may_alias__, __aligned__(1)));
typedef uint64_t waft_word_ __attribute__((__may_alias__));
typedef uint32_t waft_half_ __attribute__((__may_alias__));
#define WAFT_PAIR_(p) (*(waft_pair_ *)(void *)(p))
#define WAFT_WORD_(p) (*(waft_word_ *)(void *)(p))
#define WAFT_HALVES_(p) ((waft_half_ *)(void *)(uintptr_t)(p))

/* ---- What the fast path touches ---------------------------------------- */

/* The half of a slot that lies in the process's region: what tells of an open
 * span when its process is dead. Written by its thread alone. */
struct waft_slot_ {
	uint64_t state;	 /* the open_'s word, WAFT_SLOT_… among it; last written, first cleared */
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
 * The library's own members follow it.
 * A thread's slots stand in a row: first those whose spans are open, the outermost first,
 * up to the current one, behind it those that are free. So a span that begins takes the
 * place behind the current one, and one that ends leaves all as it is. What is open
 * and not on the stack has left the row. */
struct waft_open_ {
	struct waft_open_ *next;
	struct waft_open_ *prev; /* of the first: NULL */
	struct waft_slot_ *slot;
	uint64_t raw;
	uint64_t trace[2] __attribute__((__aligned__(16)));
	/* These are one word, too, which is that of its struct waft_span as long as that has
	 * nothing out of the ordinary. */
	uint32_t generation; /* of an open one; WAFT_SLOT_OPEN_ is always in it */
	uint16_t flags;	 /* not 0: ended by the library; of WAFT_OPEN_APART_: so are its children */
	uint16_t traits; /* what children take over: the upper half of bits_ */
	uint64_t distance; /* to the parent's raw */
};
/* In the word. */
#define WAFT_TRAITS_ 0xffff000000000000u
#define WAFT_TRAIT_HOT_ \
	((uint64_t)(WAFT_SPAN_RECORDING_ | WAFT_SPAN_PARENT_RAW_ | WAFT_SPAN_KNOWN_) << 32)
/* The trace id came without W3C's random flag. */
#define WAFT_TRAIT_NOT_RANDOM_ ((uint64_t)WAFT_SPAN_NOT_RANDOM_ << 32)
enum { WAFT_OPEN_UNSAMPLED_ = 1, WAFT_OPEN_APART_ = 0xff };
/* Of a generation; the other bit: another thread ended it. */
#define WAFT_GENERATION_ 0xfffffffdu
#define WAFT_GENERATION_STEP_ 4u

/* A thread's writing place, in memory that the kernel wipes in a forked child,
 * where all of it is zero: every fast path then takes the slow way. */
struct waft_hot_ {
	struct waft_open_ *first; /* of the row */
	uint8_t *chunk;		  /* begins with a uint32_t: bytes published */
	uint32_t limit;		  /* the last offset at which a span may be begun */
	uint32_t bell;		  /* WAFT_BELL_QUIET_: all is ordinary; else: WAFT_BELL_… */
	uint64_t next_raw;
	uint64_t id_base;
	uint64_t clock_base;
	/* Of the last span in the chunk; 0: say it again. */
	uint64_t trace[2] __attribute__((__aligned__(16)));
	uint64_t ended; /* spans that count as emitted */
	uint64_t not_sampled;
};
enum {
	WAFT_BELL_WAKE_ = 1,   /* the sender sleeps: wake it after publishing */
	WAFT_BELL_CLOCK_ = 2,  /* the raw clock changes */
	WAFT_BELL_SLOT_ = 4,   /* another thread ended a span of this one */
	WAFT_BELL_STOP_ = 8,   /* the tracer has stopped */
	WAFT_BELL_QUIET_ = 16, /* the raw clock is what inlined code reads; not in a child */
};

/* hot: NULL before the first span, WAFT_DISABLED_ when there is nothing to do; neither where
 * something is current. */
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
	uint64_t shape; /* 0: not known to the library yet */
	const char *name;
	const char *layer;
	const char *file;
	const char *function;
	uint32_t line;
};

/* A key at a call site, and the step that a span made here first: from and to are
 * shape_ and lanes_ as one word; 0: none yet. */
struct waft_key_ {
	uint64_t from;
	uint64_t to; /* set before from */
	const char *name;
};

/* An encoded value, or a part of one, whose length is the last byte; the values of a span
 * are what its lanes hold in a row. A lane is stored and loaded in one piece. */
struct waft_lane_ {
	uint64_t value[2];
};
enum {
	WAFT_LANES_ = 7,
	WAFT_LANE_BYTES_ = 15,
	WAFT_LANE_STRIDE_ = 16,
	WAFT_VALUES_ROOM_ = WAFT_LANES_ * WAFT_LANE_BYTES_,
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

/* Two words of a slot, which others may be reading: when the span began. ours: by the clock
 * that is inlined; a constant. */
WAFT_HOT_INLINE_ void waft_start_(struct waft_slot_ *slot, bool ours)
{
#if defined(__x86_64__)
	if (ours) {
#if defined(WAFT_THREAD_SANITIZER_)
		WAFT_STORE_(&slot->start, __builtin_ia32_rdtsc());
#else
		uint32_t low;
		uint32_t high;

		__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
		WAFT_HALVES_(&slot->start)[0] = low;
		WAFT_HALVES_(&slot->start)[1] = high;
#endif
		return;
	}
#endif
	(void)ours;
	WAFT_STORE_(&slot->start, waft_clock_slow_());
}

/* How much later it is than `base` and `start`; false: more than fits. */
WAFT_HOT_INLINE_ bool waft_times_(const uint64_t *base, const uint64_t *start, bool ours,
	uint32_t *ret_since, uint32_t *ret_duration)
{
	uint64_t now;
	uint64_t since;
	uint64_t duration;

#if defined(__x86_64__) && defined(__GCC_ASM_FLAG_OUTPUTS__) && !defined(WAFT_THREAD_SANITIZER_)
	if (ours) {
		uint32_t low;
		uint32_t high;
		uint32_t duration_low;
		uint32_t duration_high;
		bool large;

		__asm__ volatile("rdtsc\n\t"
				 "movl %%eax, %[duration_low]\n\t"
				 "movl %%edx, %[duration_high]\n\t"
				 "subl %[base_low], %%eax\n\t"
				 "sbbl %[base_high], %%edx\n\t"
				 "subl %[start_low], %[duration_low]\n\t"
				 "sbbl %[start_high], %[duration_high]\n\t"
				 "orl %%edx, %[duration_high]"
				 : "=&a"(low), "=&d"(high), [duration_low] "=&r"(duration_low),
				 [duration_high] "=&r"(duration_high), "=@ccnz"(large)
				 : [base_low] "m"(WAFT_HALVES_(base)[0]),
				 [base_high] "m"(WAFT_HALVES_(base)[1]),
				 [start_low] "m"(WAFT_HALVES_(start)[0]),
				 [start_high] "m"(WAFT_HALVES_(start)[1]));
		*ret_since = low;
		*ret_duration = duration_low;
		return WAFT_LIKELY_(!large);
	}
#endif
#if defined(__x86_64__)
	now = ours ? __builtin_ia32_rdtsc() : waft_clock_slow_();
#else
	(void)ours;
	now = waft_clock_slow_();
#endif
	since = now - *base;
	duration = now - WAFT_LOAD_(start);
	*ret_since = (uint32_t)since;
	*ret_duration = (uint32_t)duration;
	return WAFT_LIKELY_((since | duration) >> 32 == 0);
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
	WAFT_WORD_(&span->generation_) =
		(uint64_t)(WAFT_SPAN_KNOWN_ | WAFT_SPAN_UNSAMPLED_) << 32 |
		(WAFT_LOAD_(&WAFT_WORD_(&((struct waft_open_ *)parent)->generation)) &
			WAFT_TRAIT_NOT_RANDOM_);
	WAFT_WORD_(&span->shape_) = WAFT_SHAPE_NONE_;
	WAFT_PAIR_(span->trace_) = WAFT_PAIR_(parent->trace);
	span->raw_ = parent->raw;
	span->parent_ = 0;
	WAFT_COUNT_(&hot->not_sampled);
}

/* A child of `parent`, at its place `open`. ours and flags, of the slot: constants. */
WAFT_HOT_INLINE_ bool waft_begin_hot_(struct waft_span *span, uint64_t shape, struct waft_hot_ *hot,
	struct waft_open_ *parent, struct waft_open_ *open, bool ours, uint64_t flags)
{
	uint64_t raw = hot->next_raw;
	uint64_t distance = raw - parent->raw;
	struct waft_slot_ *slot = open->slot;
	waft_pair_ trace;
	waft_pair_ ids;
	uint64_t word;

	if (WAFT_UNLIKELY_(distance > 65535))
		return false;
	/* Of what can be a parent here, WAFT_TRAIT_HOT_ is among the traits. */
	word = (WAFT_LOAD_(&WAFT_WORD_(&parent->generation)) & WAFT_TRAITS_) |
	       WAFT_LOAD_(&open->generation);
	trace = WAFT_PAIR_(parent->trace);
	ids = waft_pair_of_(raw, parent->raw);
	hot->next_raw = raw + 1;
	WAFT_PAIR_(open->trace) = trace;
	open->raw = raw;
	open->distance = distance;
	WAFT_STORE_((waft_word_ *)(void *)&open->generation, word | flags << 32);
	waft_thread_.current = open;
	span->open_ = open;
	WAFT_WORD_(&span->generation_) = word;
	WAFT_WORD_(&span->shape_) = shape;
	WAFT_PAIR_(span->trace_) = trace;
	WAFT_PAIR_(&span->raw_) = ids;
	waft_slot_pair_(&slot->raw, ids);
	waft_slot_pair_(slot->trace, trace);
	WAFT_STORE_(&slot->shape, (uint32_t)shape);
	waft_start_(slot, ours);
	__atomic_store_n(&slot->state, word, __ATOMIC_RELEASE);
	/* So that a compiler can follow what is not recorded past all that asks for it. */
	WAFT_ASSUME_(span->open_ == open);
	return true;
}

WAFT_HOT_INLINE_ void waft_begin_(struct waft_span *span, struct waft_site_ *site)
{
	struct waft_hot_ *hot = waft_thread_.hot;
	struct waft_open_ *parent = waft_thread_.current;
	struct waft_open_ *open;
	uint64_t shape;

	if (span == NULL)
		return;
	/* So it is wherever hot is not that of a thread. */
	if (WAFT_UNLIKELY_(parent == NULL)) {
		if (WAFT_UNLIKELY_(hot != WAFT_DISABLED_))
			goto slow;
		waft_begin_none_(span);
		return;
	}
	if (WAFT_UNLIKELY_(WAFT_PEEK_(&hot->bell) != WAFT_BELL_QUIET_))
		goto slow;
	shape = __atomic_load_n(&site->shape, __ATOMIC_ACQUIRE);
	if (WAFT_UNLIKELY_(shape == 0))
		goto slow;
	open = parent->next;
	if (WAFT_UNLIKELY_(open == NULL))
		goto slow;
	if (WAFT_UNLIKELY_((WAFT_PEEK_(&parent->flags) & WAFT_OPEN_APART_) != 0)) {
		if (WAFT_PEEK_(&parent->flags) != WAFT_OPEN_UNSAMPLED_)
			goto slow;
		waft_begin_unsampled_(span, hot, parent);
		return;
	}
	if (waft_begin_hot_(span, shape, hot, parent, open, true, 0))
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

/* Each is one of memory's own 16 bytes. */
WAFT_HOT_INLINE_ bool waft_pairs_equal_(const uint64_t *a, const uint64_t *b)
{
#if defined(__SSE2__)
	__m128i same = _mm_cmpeq_epi8(
		*(const __m128i *)(const void *)a, *(const __m128i *)(const void *)b);

	return _mm_movemask_epi8(same) == 0xffff;
#else
	return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
#endif
}

/* The lanes' values in a row, `skip` bytes behind `record`, over the end into what the next
 * span overwrites. Returns their length. Two are the commonest: no loop for these. */
WAFT_HOT_INLINE_ uint64_t waft_copy_values_(
	uint8_t *record, uint32_t skip, const struct waft_span *span)
{
	uint8_t *to = record + skip;
	unsigned char *lanes = (unsigned char *)(uintptr_t)span->values_;
	uint64_t length = 0;

	if (WAFT_LIKELY_(WAFT_PEEK_(&span->lanes_) == 2 * WAFT_LANE_STRIDE_)) {
		WAFT_PAIR_(to) = WAFT_PAIR_(lanes);
		length = lanes[WAFT_LANE_BYTES_];
		WAFT_PAIR_(to + length) = WAFT_PAIR_(lanes + WAFT_LANE_STRIDE_);
		return length + lanes[WAFT_LANE_STRIDE_ + WAFT_LANE_BYTES_];
	}
	/* What only this way needs is made here. */
	__asm__("" : "+r"(record));
	to = record + skip;
	for (uint32_t i = 0, in_use = WAFT_PEEK_(&span->lanes_); i != in_use;
		i += WAFT_LANE_STRIDE_) {
		WAFT_PAIR_(to + length) = WAFT_PAIR_(lanes + i);
		length += lanes[i + WAFT_LANE_BYTES_];
	}
	return length;
}

/* Section.spans but for what follows `times` and `ids`, `more` bytes: its tag, the length
 * in 2 padded bytes (the second is 0), and these two. */
enum { WAFT_HEAD_BYTES_ = 21 };
WAFT_HOT_INLINE_ void waft_encode_(uint8_t *to, uint32_t more, uint32_t since, uint32_t duration,
	uint32_t sequence, const struct waft_open_ *open, const struct waft_span *span)
{
	uint32_t head = (more << 8) + (0x0900802a + ((WAFT_HEAD_BYTES_ - 3) << 8));
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

/* Publishes what was written up to the offset `end`, and gives the slot back: it is
 * behind what is current then. */
WAFT_HOT_INLINE_ void waft_close_(struct waft_span *span, struct waft_open_ *open,
	struct waft_hot_ *hot, uint8_t *chunk, uint32_t end, uint32_t generation)
{
	WAFT_COUNT_(&hot->ended);
	__atomic_store_n((uint32_t *)(void *)chunk, end, __ATOMIC_RELEASE);
	WAFT_STORE_(&open->slot->state, 0);
	WAFT_STORE_(&open->generation, generation + WAFT_GENERATION_STEP_);
	waft_thread_.current = open->prev;
	span->open_ = NULL;
	if (WAFT_UNLIKELY_(WAFT_PEEK_(&hot->bell) != WAFT_BELL_QUIET_))
		waft_bell_slow_();
}

/* Of one whose trace is that of the span before in the chunk. ours: a constant. */
WAFT_HOT_INLINE_ bool waft_end_hot_(struct waft_span *span, struct waft_open_ *open,
	struct waft_hot_ *hot, uint32_t generation, bool ours)
{
	struct waft_slot_ *slot = open->slot;
	uint8_t *chunk;
	uint8_t *to;
	uint64_t sequence;
	uint64_t at;
	uint64_t more;
	uint32_t since;
	uint32_t duration;
	uint32_t end;

	if (!waft_times_(&hot->clock_base, &slot->start, ours, &since, &duration))
		return false;
	chunk = hot->chunk;
	at = WAFT_PEEK_((waft_half_ *)(void *)chunk);
	sequence = open->raw - hot->id_base;
	if (WAFT_UNLIKELY_(at > hot->limit || sequence >> 32 != 0))
		return false;
	to = chunk + at;
	/* One register, not the sum anew for each of what is stored. */
	__asm__("" : "+r"(to));
	more = waft_copy_values_(to, WAFT_HEAD_BYTES_, span);
	end = (uint32_t)(at + WAFT_HEAD_BYTES_ + more);
	__asm__("" : "+r"(end));
	waft_encode_(to, (uint32_t)more, since, duration, (uint32_t)sequence, open, span);
	waft_close_(span, open, hot, chunk, end, generation);
	return true;
}

WAFT_HOT_INLINE_ void waft_end(struct waft_span *span)
{
	struct waft_open_ *open;
	struct waft_hot_ *hot;
	uint64_t word;

	if (span == NULL)
		return;
	open = span->open_;
	if (open == NULL)
		return;
	hot = waft_thread_.hot;
	if (WAFT_UNLIKELY_(waft_thread_.current != open))
		goto slow;
	/* The same generation, nothing in flags, nor WAFT_SPAN_EXTRA_. */
	word = WAFT_WORD_(&span->generation_);
	if (WAFT_UNLIKELY_(word != WAFT_PEEK_((waft_word_ *)(void *)&open->generation)))
		goto slow;
	/* Nor is there a chunk where hot->trace is 0. */
	if (WAFT_UNLIKELY_(!waft_pairs_equal_(hot->trace, open->trace))) {
		waft_end_first_(span);
		return;
	}
	if (waft_end_hot_(span, open, hot, (uint32_t)word, true))
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

/* The step is known: to be followed by waft_attr_put_. That of a span which is not recorded
 * is none. Where nothing is recorded, its callers have gone before they load a key. */
WAFT_HOT_INLINE_ bool waft_attr_fits_(const struct waft_span *span, uint64_t from)
{
	return WAFT_LIKELY_(from == WAFT_WORD_((uint32_t *)&span->shape_));
}

WAFT_HOT_INLINE_ void waft_attr_put_(
	struct waft_span *span, const struct waft_key_ *key, uint64_t from, waft_pair_ value)
{
	WAFT_PAIR_((unsigned char *)span->values_ + (from >> 32)) = value;
	WAFT_WORD_(&span->shape_) = WAFT_LOAD_(&key->to);
}

/* In a lane: what stands in its last byte. */
#define WAFT_LANE_LENGTH_(length) ((uint64_t)(length) << 56)

#if defined(__SSE2__)
/* Of a text of n bytes behind two: which bytes are kept, and what the others are: its
 * field's tag and length, and the lane's length. */
#define WAFT_TEXT_KEEP0_(n) \
	((n) < 6 ? ((UINT64_C(1) << 8 * ((n) % 6)) - 1) << 16 : ~UINT64_C(0xffff))
#define WAFT_TEXT_KEEP1_(n) ((n) <= 6 ? 0 : (UINT64_C(1) << 8 * (((n) + 2) % 8)) - 1)
#define WAFT_TEXT_(n)                                               \
	{                                                           \
		{WAFT_TEXT_KEEP0_(n), WAFT_TEXT_KEEP1_(n)},         \
		{                                                   \
			0x22 | (n) << 8, WAFT_LANE_LENGTH_((n) + 2) \
		}                                                   \
	}
#endif

/* A short text as a lane; false: it is left to the library. */
WAFT_HOT_INLINE_ bool waft_attr_text_(const char *text, waft_pair_ *ret_value)
{
#if defined(__SSE2__)
	static const struct {
		uint64_t keep[2];
		uint64_t rest[2];
	} texts[14] __attribute__((__aligned__(32))) = {WAFT_TEXT_(0), WAFT_TEXT_(1), WAFT_TEXT_(2),
		WAFT_TEXT_(3), WAFT_TEXT_(4), WAFT_TEXT_(5), WAFT_TEXT_(6), WAFT_TEXT_(7),
		WAFT_TEXT_(8), WAFT_TEXT_(9), WAFT_TEXT_(10), WAFT_TEXT_(11), WAFT_TEXT_(12),
		WAFT_TEXT_(13)};
	__m128i value;
	const char *kept;
	uint32_t ends;
	uint32_t length;

	/* The compiler may not know which text it is, nor what it takes for granted of it. */
	__asm__("" : "+r"(text));
	/* 16 bytes can be loaded when they are one of memory's own 16: nothing ends inside.
	 * What lies behind the text is not used, nor copied. */
	if (WAFT_UNLIKELY_(((uintptr_t)text & 15) != 0))
		return false;
	/* Not in C, for which a text ends where it ends. */
	__asm__("movdqa %1, %0" : "=x"(value) : "m"(*(const char(*)[16])(const void *)text));
	ends = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(value, _mm_setzero_si128())) & 0x3fff;
	if (WAFT_UNLIKELY_(ends == 0))
		return false;
	length = (uint32_t)__builtin_ctz(ends);
	kept = (const char *)texts + (uint32_t)(length * sizeof(*texts));
	value = _mm_and_si128(_mm_slli_si128(value, 2), *(const __m128i *)(const void *)kept);
	value = _mm_or_si128(value, *(const __m128i *)(const void *)(kept + 16));
	*ret_value = (waft_pair_)value;
#else
	size_t length = strlen(text);
	unsigned char value[WAFT_LANE_STRIDE_] = {0x22, (unsigned char)length};

	if (length > WAFT_LANE_BYTES_ - 2)
		return false;
	__builtin_memcpy(value + 2, text, length);
	value[WAFT_LANE_BYTES_] = (unsigned char)(length + 2);
	*ret_value = WAFT_PAIR_(value);
#endif
	return true;
}

WAFT_HOT_INLINE_ void waft_attr_string_(
	struct waft_span *span, struct waft_key_ *key, const char *value)
{
	waft_pair_ lane;
	uint64_t from;

	if (span == NULL || span->open_ == NULL || value == NULL)
		return;
	from = __atomic_load_n(&key->from, __ATOMIC_ACQUIRE);
	if (waft_attr_fits_(span, from) && waft_attr_text_(value, &lane))
		waft_attr_put_(span, key, from, lane);
	else if (waft_recording(span))
		waft_attr_string_slow_(span, key, value);
}

WAFT_HOT_INLINE_ waft_pair_ waft_int_lane_(int32_t value)
{
	return waft_pair_of_(0x2d | (uint64_t)(uint32_t)value << 8, WAFT_LANE_LENGTH_(5));
}

WAFT_HOT_INLINE_ void waft_attr_int_(struct waft_span *span, struct waft_key_ *key, int64_t value)
{
	int32_t small = (int32_t)value;
	uint64_t from;

	if (span == NULL || span->open_ == NULL)
		return;
	from = __atomic_load_n(&key->from, __ATOMIC_ACQUIRE);
	if (waft_attr_fits_(span, from) && WAFT_LIKELY_(small == value))
		waft_attr_put_(span, key, from, waft_int_lane_(small));
	else if (waft_recording(span))
		waft_attr_int_slow_(span, key, value);
}

WAFT_HOT_INLINE_ waft_pair_ waft_double_lane_(double value)
{
	uint64_t bits;

	__builtin_memcpy(&bits, &value, 8);
	return waft_pair_of_(0x39 | bits << 8, bits >> 56 | WAFT_LANE_LENGTH_(9));
}

WAFT_HOT_INLINE_ void waft_attr_double_(struct waft_span *span, struct waft_key_ *key, double value)
{
	uint64_t from;

	if (span == NULL || span->open_ == NULL)
		return;
	from = __atomic_load_n(&key->from, __ATOMIC_ACQUIRE);
	if (waft_attr_fits_(span, from))
		waft_attr_put_(span, key, from, waft_double_lane_(value));
	else if (waft_recording(span))
		waft_attr_double_slow_(span, key, value);
}

WAFT_HOT_INLINE_ waft_pair_ waft_bool_lane_(bool value)
{
	return waft_pair_of_(value ? 0x140 : 0x40, WAFT_LANE_LENGTH_(2));
}

WAFT_HOT_INLINE_ void waft_attr_bool_(struct waft_span *span, struct waft_key_ *key, bool value)
{
	uint64_t from;

	if (span == NULL || span->open_ == NULL)
		return;
	from = __atomic_load_n(&key->from, __ATOMIC_ACQUIRE);
	if (waft_attr_fits_(span, from))
		waft_attr_put_(span, key, from, waft_bool_lane_(value));
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

#endif
