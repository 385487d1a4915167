/*
 * Threads and their open spans.
 *
 * A thread's first span gives it a struct thread (kept for ever and taken over
 * by later threads, since spans point to it), hot words in wiped memory, and 16
 * slots; more slots follow as spans nest. A slot has two halves: struct open
 * here and struct waft_slot_ in the region (or here when that is full). They stand
 * in a row: those on the stack, then those that are free (<waft/inline.h>); a
 * detached span's has left it.
 *
 * Who may end a slot's span is decided by its generation, which each end
 * raises: the owner's fast path by a plain store, everyone else by
 * compare-and-swap. A slot that another thread ended comes back to its owner by
 * the list `returned` and the bell. When both end the same span at the very
 * same moment, both may win: it is then stored twice, and counted twice, and its
 * slot is the owner's already.
 */
#ifndef WAFT_CLIENT_THREAD_H
#define WAFT_CLIENT_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <waft/waft.h>

#include "extra.h"
#include "process.h"
#include "random.h"

enum {
	THREAD_SLOTS = 16, /* at a time */
	THREAD_SLOTS_LIMIT = 1024,
};

/* waft_open_.flags. Those of WAFT_OPEN_APART_ are seen by children. */
enum open_flags {
	OPEN_UNSAMPLED = 1,   /* not recorded */
	OPEN_ATTACHED = 2,    /* no span: a context made current */
	OPEN_ID = 4,	      /* hot.raw is the id itself */
	OPEN_CARRY = 8,	      /* has tracestate or baggage */
	OPEN_NONE = 16,	      /* attached: a context that is none */
	OPEN_REMOTE = 32,     /* attached: from another process */
	OPEN_PARENT_ID = 256, /* parent is the id itself */
	OPEN_DETACHED = 512,  /* not on the stack */
	OPEN_CLOCK = 1024,    /* begun by another raw clock */
	OPEN_READ = 2048,     /* begun by a raw clock that inlined code doesn't read */
};

/* waft_open_.traits */
enum open_traits {
	OPEN_TRAIT_HOT = (WAFT_SPAN_RECORDING_ | WAFT_SPAN_PARENT_RAW_ | WAFT_SPAN_KNOWN_) >> 16,
	OPEN_TRAIT_NOT_RANDOM = WAFT_SPAN_NOT_RANDOM_ >> 16,
};

struct open {
	struct waft_open_ hot; /* first: inlined code knows it */
	struct thread *thread;
	struct waft_carry *carry;
	struct extra *extra; /* kept from span to span */
	uint64_t parent;     /* raw, or with OPEN_PARENT_ID the id; 0: a root */
	struct open *returned;
	bool listed;		    /* is in the list of returned ones; atomic */
	bool apart;		    /* not in its thread's row */
	struct waft_slot_ own_slot; /* when the region has no room */
};

struct open_block {
	struct open_block *next;
	struct open opens[THREAD_SLOTS];
};

struct thread {
	struct waft_hot_ *hot;
	struct thread *next;
	struct thread *next_retired;
	struct open_block *blocks; /* atomic */
	struct open *returned;	   /* atomic */
	uint32_t slots;
	uint32_t epoch;
	uint64_t tid;
	struct random random;
	/* The chunk that it writes (chunk.c). */
	struct chunk *chunk;
	struct waft_carry *chunk_carry; /* of the last trace in it; retained */
	uint64_t chunk_trace[2];
	uint32_t chunk_units;
	uint32_t source; /* enum wire_clock_source */
	uint64_t chunk_ns;
	uint64_t full_at; /* process.given when there was no room */
};

static inline struct open *open_of(struct waft_open_ *hot)
{
	return (struct open *)hot;
}

/* Once per process. 0 or a negative errno. */
int thread_prepare(void);

/* The calling thread, its bell answered; NULL: nothing is traced. */
struct thread *thread_get(void);

/* A thread that no OS thread is behind: for spans that anyone writes under the
 * lock of his own. lock held. NULL: no memory. */
struct thread *thread_new_locked(uint64_t tid);

/* A free slot, or NULL when there are too many: the current one from now on, or with apart
 * out of the row. Of its flags only OPEN_READ may be set. */
struct open *thread_take_slot(struct thread *thread, bool apart);

/* The flags of what the thread begins. */
static inline uint16_t thread_flags(const struct thread *thread)
{
	return thread->source == CLOCK_INLINED ? 0 : OPEN_READ;
}

static inline uint64_t thread_clock(const struct thread *thread)
{
#if defined(__x86_64__)
	if (WAFT_LIKELY_(thread->source == WIRE_CLOCK_TSC))
		return __builtin_ia32_rdtsc();
#endif
	return clock_monotonic_ns();
}

/* The next free slot. */
static inline struct waft_open_ *thread_free(const struct waft_hot_ *hot)
{
	return waft_thread_.current != NULL ? waft_thread_.current->next : hot->first;
}

/* Whether somebody waits for an answer. */
static inline bool thread_rung(const struct waft_hot_ *hot)
{
	return (WAFT_LOAD_(&hot->bell) & ~(uint32_t)WAFT_BELL_QUIET_) != 0;
}

/* Ends this generation: true for exactly one caller, who then must release it.
 * own: the slot is of the caller's thread. */
bool open_claim(struct open *open, uint32_t generation, bool own);

/* Gives a claimed slot back to its owner, who is the caller or not. */
void open_release(struct open *open, struct thread *caller);

/* Answers the bell. */
void thread_bell(struct thread *thread);

/* Ends all that is current above `until` (NULL: everything) as pending. */
void thread_abandon(struct thread *thread, const struct open *until);

#endif
