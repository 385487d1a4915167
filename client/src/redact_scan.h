/*
 * Where in a text the names of redact.c may begin: 32 places at a time, on processors
 * that have AVX2. A place is told by the first three letters of a name, in either case,
 * and by a word beginning there; what stands there is the caller's to check. Copies are
 * searched by four letters, 64 places at a time on processors that have AVX-512's
 * instructions for bytes (VBMI and VBMI2).
 *
 * A letter is looked up by the low half of its byte in a table of 16, or by six of its
 * bits in one of 64, where a bit stands for one name of eight, after Hyperscan's "Teddy"
 * (Wang et al., NSDI 2019).
 *
 * Set up once; pure and thread-safe after that.
 */
#ifndef WAFT_CLIENT_REDACT_SCAN_H
#define WAFT_CLIENT_REDACT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCAN_LETTERS = 3, SCAN_COPY_LETTERS = 4 };

/* How many places at a time. */
enum scan_width { SCAN_NARROW = 0, SCAN_WIDE = 32, SCAN_WIDEST = 64 };

struct scan {
	/* For 64 places, by a byte's low six bits: the names that have it as their first
	 * letter; that may have it second, third or fourth, as separators may stand before
	 * these. [0] is for what is no letter. */
	uint8_t places[SCAN_COPY_LETTERS][64] __attribute__((aligned(64)));
	/* What stands for a byte below 0x80 there: a letter for itself, 0 for others, and for
	 * a backslash another that has the low six bits 0. */
	uint8_t bytes[128] __attribute__((aligned(64)));
	/* For 32 places. */
	uint8_t letters[SCAN_LETTERS][16];
	/* For scan_copy, by a letter's class: the names that begin with it; those that
	 * don't go on with it, in the second place, in the second or third, and so on. */
	uint8_t begins[16];
	uint8_t not_second[16];
	uint8_t not_third[16];
	uint8_t not_fourth[16];
	bool threes; /* names of three letters: one that ends the text has no fourth place */
	unsigned int names;
	/* What the processor can, while the names suit it. */
	enum scan_width width;
	size_t copy_least; /* shorter texts scan_copy can't take */
};

void scan_init(struct scan *scan);

/* No wider than this from now on. */
void scan_limit(struct scan *scan, enum scan_width width);

/* One name more: lower case, without separators. */
void scan_add(struct scan *scan, const char *name, size_t length);

struct scan_text {
	const char *bytes;
	size_t length;
	/* Whether a name begins at `at`. */
	bool (*check)(const struct scan_text *text, size_t at);
	/* Set by scan_search: */
	bool searched;	/* false: not by this processor, or the text is too short */
	bool backslash; /* there is one */
};

/* True: check was true somewhere. Else, with text->searched, it is true nowhere. */
bool scan_search(const struct scan *scan, struct scan_text *text);

enum { SCAN_COPY_ROOM = 64 };

/* What scan_copy saw in a text. */
enum scan_seen {
	SCAN_NOTHING, /* no name, and no byte above 0x7f */
	SCAN_HIGH,    /* no name */
	SCAN_SUSPECT, /* there may be a name, or a backslash is there */
};

/* Whether scan_copy can, by processor, names and length. */
static inline bool scan_can_copy(const struct scan *scan, size_t length)
{
	return length >= scan->copy_least;
}

/* Copies a text, and looks on the way whether a name may begin somewhere. Room for
 * the length rounded up to SCAN_COPY_ROOM is there; what lies behind the text is not told. */
enum scan_seen scan_copy(const struct scan *scan, char *to, const char *text, size_t length);

#endif
