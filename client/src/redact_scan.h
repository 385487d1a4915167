/*
 * Where in a text the names of redact.c may begin: 32 places at a time, on processors
 * that have AVX2. A place is told by the first three letters of a name, in either case,
 * and by a word beginning there; what stands there is the caller's to check.
 *
 * A letter is looked up by the low half of its byte in a table of 16, where a bit stands
 * for one name of eight, after Hyperscan's "Teddy" (Wang et al., NSDI 2019).
 *
 * Set up once; pure and thread-safe after that.
 */
#ifndef WAFT_CLIENT_REDACT_SCAN_H
#define WAFT_CLIENT_REDACT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCAN_LETTERS = 3 };

struct scan {
	uint8_t letters[SCAN_LETTERS][16];
	unsigned int names;
	bool wide; /* the processor can, and the names suit it */
};

void scan_init(struct scan *scan);

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

#endif
