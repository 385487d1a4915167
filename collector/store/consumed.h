/*
 * A set of ordinals: which spans of the log have been written to files.
 *
 * Kept for the segments that are still alive only. A hash of records by
 * segment and offset, each with a bit per span. Single-threaded; whoever shares
 * one locks it.
 */
#ifndef WAFT_STORE_CONSUMED_H
#define WAFT_STORE_CONSUMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "cursor.h"
#include "log.h"

struct consumed_record {
	uint32_t offset; /* in the segment; 0: free slot */
	uint32_t words;	 /* 64-bit words of bits; 0: small holds them */
	union {
		uint64_t small;
		uint64_t *bits; /* owned */
	};
};

struct consumed_segment {
	uint32_t number;
	uint64_t spans;			 /* members of the set in this segment */
	struct consumed_record *records; /* open addressing, owned */
	size_t capacity;		 /* a power of two, or 0 */
	size_t count;
};

/* Zero-initialised is the empty set. */
struct consumed {
	struct consumed_segment *segments; /* ascending by number, owned */
	size_t count;
	size_t capacity;
	uint64_t version; /* another one after records came, went or moved */
};

/* Where the last few records were found. Zero-initialised is empty. */
struct consumed_hint {
	uint64_t version;
	uint32_t segment;
	uint32_t offset;
	struct consumed_segment *in;
	struct consumed_record *record; /* NULL: the set has none */
};
struct consumed_hints {
	struct consumed_hint at[8];
};

void consumed_done(struct consumed *set);

/* Adds. 1 when it was there already, 0 when not, -ENOMEM, -EINVAL for a position
 * beyond what a batch can hold. */
MUST_CHECK int consumed_add(struct consumed *set, const struct ordinal *ordinal);

bool consumed_has(const struct consumed *set, const struct ordinal *ordinal);

/* Private: the word of a position; NULL when there is none yet. */
static inline uint64_t *consumed_word(struct consumed_record *record, uint32_t word)
{
	if (record->words == 0)
		return word == 0 ? &record->small : NULL;
	return word < record->words ? &record->bits[word] : NULL;
}

/* Private: where the ordinal's record is, or that there is none. */
void consumed_find_near(
	const struct consumed *set, const struct ordinal *ordinal, struct consumed_hint *hint);

/* Private: the ordinal's word. */
static inline uint64_t *consumed_word_near(const struct consumed *set,
	const struct ordinal *ordinal, struct consumed_hints *hints, struct consumed_hint **ret)
{
	struct consumed_hint *hint =
		&hints->at[(ordinal->offset >> 3) * UINT32_C(2654435761) >> 29];

	if (hint->version != set->version || hint->offset != ordinal->offset ||
		hint->segment != ordinal->segment)
		consumed_find_near(set, ordinal, hint);
	*ret = hint;
	return hint->record != NULL ? consumed_word(hint->record, ordinal->position >> 6) : NULL;
}

/* The same for many ordinals of few records; hints are of one set alone. Here, since the
 * store's thread asks for each span up to three times. */
MUST_CHECK static inline int consumed_add_near(
	struct consumed *set, const struct ordinal *ordinal, struct consumed_hints *hints)
{
	uint64_t bit = UINT64_C(1) << (ordinal->position & 63);
	struct consumed_hint *hint;
	uint64_t *word = consumed_word_near(set, ordinal, hints, &hint);

	if (word == NULL)
		return consumed_add(set, ordinal);
	if ((*word & bit) != 0)
		return 1;
	*word |= bit;
	hint->in->spans++;
	return 0;
}

static inline bool consumed_has_near(
	const struct consumed *set, const struct ordinal *ordinal, struct consumed_hints *hints)
{
	struct consumed_hint *hint;
	const uint64_t *word = consumed_word_near(set, ordinal, hints, &hint);

	return word != NULL && (*word >> (ordinal->position & 63) & 1) != 0;
}

/* How many spans of a segment, or of all, are in the set. */
uint64_t consumed_in_segment(const struct consumed *set, uint32_t number);
uint64_t consumed_total(const struct consumed *set);
uint64_t consumed_in_record(const struct consumed *set, struct log_place place);

/* The highest segment that the set knows; 0: none. */
uint32_t consumed_last_segment(const struct consumed *set);

/* The last record of that segment that has a span in the set; 0: there is none. */
uint32_t consumed_last_offset(const struct consumed *set);

/* Adds all of other, or on -ENOMEM nothing. */
MUST_CHECK int consumed_merge(struct consumed *set, const struct consumed *other);

/* Forgets segments below first_needed. */
void consumed_drop_below(struct consumed *set, uint32_t first_needed);

/* Empties the set. */
void consumed_clear(struct consumed *set);

/* Appends the set as varints: count of segments; for each its number and count
 * of records; for each, ascending, (offset - the one before) / 8, count of ranges;
 * for each range its start - the end before and length - 1. */
MUST_CHECK int consumed_encode(const struct consumed *set, struct bytes *out);

/* Adds what consumed_encode wrote. ERR_MALFORMED on bytes that it would not write. */
MUST_CHECK int consumed_decode(struct consumed *set, struct cursor *in);

#endif
