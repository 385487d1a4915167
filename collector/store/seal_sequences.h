/*
 * seal_sequences.h: what a frame of lines repeats, as sequences for zstd to code.
 *
 * zstd's own search takes the longest match, and between equal ones the nearest. Lines want
 * something else: matches that begin and end where a value does, since a digit that happens to
 * agree costs more in lengths than it is as a literal, and one distance for as much of a line as
 * possible, since a distance that was used just before costs next to nothing. So the search looks
 * at the edges of words only, and takes the cheapest way from edge to edge, at the prices that the
 * block before had.
 */
#ifndef WAFT_STORE_SEAL_SEQUENCES_H
#define WAFT_STORE_SEAL_SEQUENCES_H

#include <stddef.h>
#include <stdint.h>

/* For ZSTD_Sequence, which is not declared without it. */
#ifndef ZSTD_STATIC_LINKING_ONLY
#define ZSTD_STATIC_LINKING_ONLY
#endif
#include <zstd.h>

#include "errors.h"

enum {
	SEQUENCES_TEXT_LIMIT = 262144, /* bytes of a frame */
	SEQUENCES_MATCH_MIN = 4,
};

struct sequences;

/* *ret is owned (sequences_free). 0 or -ENOMEM. */
int sequences_new(struct sequences **ret) MUST_CHECK;
/* NULL is fine. */
void sequences_free(struct sequences *sequences);

/* Any text of 1 to SEQUENCES_TEXT_LIMIT bytes. Returns how many there are in *ret, which stays
 * until the next call; each block of the frame, 128 KiB at most, ends in one without a match.
 * 0: there would be too many. */
size_t sequences_make(
	struct sequences *sequences, const uint8_t *text, size_t length, const ZSTD_Sequence **ret);

#endif
