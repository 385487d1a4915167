/*
 * pack_texts.h: which texts may stand in a group of runs, for --grep (docs/STORE.md, "Index").
 * Private to pack_read.c and pack_write.c, but for the grams of a question.
 *
 * A gram is the 16-bit hash of four bytes that stand in a row in what grep looks at. A text can
 * stand in a group only where all its grams do. The grams that many groups have are told once
 * for PACK_COMMON_BLOCKS blocks, with the first of them (the common ones, which say nothing about a
 * group); of the others a group has a Bloom filter of one bit a gram.
 *
 * Behind the filters of attributes, in the same piece: u8 1; in a block whose number is a multiple
 * of PACK_COMMON_BLOCKS the common grams: u16 count, and each as a varint, less the one before, or
 * u16 65,535 and a bit a gram; then for each group u16 length and filter. Length 65,535: all pass.
 * A piece without that (of an older pack) lets all pass.
 */
#ifndef WAFT_STORE_PACK_TEXTS_H
#define WAFT_STORE_PACK_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "cursor.h"
#include "pack.h"

enum {
	PACK_GRAM_BYTES = 4,
	PACK_GRAM_WORDS = (1 << 16) / 64,
	PACK_COMMON_BLOCKS = 64,
};

/* A set of grams. */
struct pack_grams {
	uint64_t words[PACK_GRAM_WORDS];
};

static inline bool pack_grams_have(const struct pack_grams *grams, uint16_t gram)
{
	return (grams->words[gram / 64] >> gram % 64 & 1) != 0;
}

/* ---- Making ----------------------------------------------------------------- */

/* Of the block under way. Zero-initialise. */
struct pack_texts {
	struct pack_grams groups[PACK_GROUPS];
	uint64_t spans[PACK_GROUPS];
	uint64_t bytes[PACK_GROUPS];
	bool passes[PACK_GROUPS];
	size_t group; /* under way */
	struct pack_grams common;
};

/* A text of a span of the group under way. */
void pack_texts_add(struct pack_texts *texts, struct slice text);
/* Not all of the group's texts are known. */
void pack_texts_pass(struct pack_texts *texts);
/* The group under way, of so many spans, is complete. */
void pack_texts_end_group(struct pack_texts *texts, uint64_t spans);
/* Appends what the block's groups, all complete, say, and begins the next. 0 or -ENOMEM. */
int pack_texts_end_block(struct pack_texts *texts, size_t block, struct bytes *to) MUST_CHECK;

/* ---- Reading ---------------------------------------------------------------- */

/* Takes the common grams, of a block that has them. False: there are none (an older pack), or
 * in->error is set. */
bool pack_texts_common(struct cursor *in, struct pack_grams *ret);

/* Which of a block's groups may have all of these grams, each of which is not common: a bit
 * each. */
uint32_t pack_texts_groups(
	struct cursor *in, size_t block, size_t groups, const uint16_t *grams, size_t count);

#endif
