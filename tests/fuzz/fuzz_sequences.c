/*
 * Fuzzes what is found to repeat in a text that is to be sealed: text must come out again. The
 * first bytes say how often the rest stands there, so that blocks end within it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seal_frame.h"
#include "seal_sequences.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LEVEL = 9, BLOCK_BYTES = 131072 };

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_sequences: %s\n", what);
		abort();
	}
}

static void check(const uint8_t *text, size_t length, const ZSTD_Sequence *made, size_t count)
{
	size_t at = 0, block = 0;

	for (size_t i = 0; i < count; i++) {
		must(made[i].litLength <= length - at, "literals behind the end");
		at += made[i].litLength;
		if (made[i].matchLength == 0) {
			must(at > block && at - block <= BLOCK_BYTES, "a block is too long");
			block = at;
			continue;
		}
		must(made[i].offset > 0 && made[i].offset <= at, "a match from before the text");
		must(made[i].matchLength <= length - at, "a match behind the end");
		for (size_t k = 0; k < made[i].matchLength; k++)
			must(text[at + k] == text[at + k - made[i].offset], "a match of others");
		at += made[i].matchLength;
	}
	must(at == length && block == length, "less than the text");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t text[SEQUENCES_TEXT_LIMIT], again[SEQUENCES_TEXT_LIMIT];
	static uint8_t frame[ZSTD_COMPRESSBOUND(SEQUENCES_TEXT_LIMIT)];
	struct frame_packer *packer;
	struct sequences *sequences;
	const ZSTD_Sequence *made;
	size_t length = 0, packed = 0, count;

	if (size < 3)
		return 0;
	count = (size_t)data[0] << 8 | data[1];
	data += 2;
	size -= 2;
	do {
		size_t take = size < sizeof(text) - length ? size : sizeof(text) - length;

		memcpy(text + length, data, take);
		length += take;
		/* Not quite the same each time. */
		text[length - 1 - count % take] ^= (uint8_t)count;
	} while (length < sizeof(text) && count-- > 0);
	must(sequences_new(&sequences) == 0, "no memory");
	for (unsigned int i = 0; i < 2; i++) {
		count = sequences_make(sequences, text, length, &made);
		if (count > 0)
			check(text, length, made, count);
	}
	sequences_free(sequences);
	must(frame_packer_new(LEVEL, &packer) == 0 && frame_packer_use_sequences(packer) == 0,
		"no memory");
	must(frame_packer_pack(packer, text, length, frame, sizeof(frame), &packed) == 0,
		"no frame");
	must(ZSTD_decompress(again, sizeof(again), frame, packed) == length &&
			memcmp(again, text, length) == 0,
		"the frame differs");
	frame_packer_free(packer);
	return 0;
}
