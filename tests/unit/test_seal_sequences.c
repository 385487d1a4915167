/* Frames of sequences of our own: whatever the text, zstd makes it again of them, and of lines
 * they take less than zstd's own. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "seal_frame.h"
#include "seal_sequences.h"
#include "support/heap_peak.h"

enum { BLOCK_BYTES = 131072, LEVEL = 9, LEVEL_BETTER = 15, LEVEL_BYTES = 3584 << 10 };

static uint8_t text[SEQUENCES_TEXT_LIMIT];
static uint8_t frame[ZSTD_COMPRESSBOUND(SEQUENCES_TEXT_LIMIT)];
static uint8_t again[SEQUENCES_TEXT_LIMIT];
static uint64_t state_of_random;

static uint64_t random_number(void)
{
	state_of_random = state_of_random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return state_of_random >> 33;
}

/* ---- zstd, which may fail ----------------------------------------------------------- */

typedef size_t (*compress_fn)(
	ZSTD_CCtx *, void *, size_t, const ZSTD_Sequence *, size_t, const void *, size_t);

typedef size_t (*compress2_fn)(ZSTD_CCtx *, void *, size_t, const void *, size_t);

enum { WORKS, FAILS, MAKES_OTHERS, MAKES_LESS };
static int zstd_does;
static unsigned int zstd_calls;
static unsigned int zstd_own_calls; /* which search themselves */

/* What is linked calls these instead of the library's. */
size_t ZSTD_compress2(
	ZSTD_CCtx *context, void *to, size_t capacity, const void *from, size_t length)
{
	compress2_fn real;
	void *found = dlsym(RTLD_NEXT, "ZSTD_compress2");

	zstd_own_calls++;
	memcpy(&real, &found, sizeof(real));
	return real(context, to, capacity, from, length);
}

size_t ZSTD_compressSequences(ZSTD_CCtx *context, void *to, size_t capacity,
	const ZSTD_Sequence *sequences, size_t count, const void *from, size_t length)
{
	compress_fn real;
	void *found = dlsym(RTLD_NEXT, "ZSTD_compressSequences");

	zstd_calls++;
	memcpy(&real, &found, sizeof(real));
	if (zstd_does == FAILS)
		return (size_t)-1;
	if (zstd_does == MAKES_OTHERS) {
		memcpy(again, from, length);
		again[length / 2] ^= 1;
		return ZSTD_compress(to, capacity, again, length, LEVEL_BETTER);
	}
	if (zstd_does == MAKES_LESS)
		return ZSTD_compress(to, capacity, from, length - 1, LEVEL_BETTER);
	return real(context, to, capacity, sequences, count, from, length);
}

/* ---- Texts ------------------------------------------------------------------------- */

/* As many whole lines as fit. */
static size_t put_lines(size_t room)
{
	static const char *const services[] = {"shop", "billing", "stock"};
	unsigned long long trace = 0;
	size_t length = 0;

	for (unsigned int i = 0;; i++) {
		char line[512];
		int bytes;

		if (i % 8 == 0)
			trace = random_number() << 31 | random_number();
		bytes = snprintf(line, sizeof(line),
			"{\"trace_id\":\"%016llx\",\"span_id\":\"%08llx-%08llx\",\"timestamp\":"
			"\"2026-01-07T00:01:%02u.%06lluZ\",\"duration_ms\":%llu.%llu,\"operation\":"
			"\"%s.operation_%llu\",\"layer\":\"core\",\"status\":\"success\",\"data\":{"
			"\"input\":null,\"output\":null},\"attributes\":{\"items\":%llu},"
			"\"error\":null}\n",
			trace, (unsigned long long)random_number() % 0x7fffffff,
			(unsigned long long)random_number(), i / 100 % 60,
			(unsigned long long)random_number() % 1000000,
			(unsigned long long)random_number() % 20,
			(unsigned long long)random_number() % 1000000, services[i % 3],
			(unsigned long long)random_number() % 100,
			(unsigned long long)random_number() % 100000);
		if (length + (size_t)bytes > room)
			return length;
		memcpy(text + length, line, (size_t)bytes);
		length += (size_t)bytes;
	}
}

/* Of so many different bytes. */
static void put_bytes(size_t length, unsigned int different)
{
	for (size_t i = 0; i < length; i++)
		text[i] = (uint8_t)(random_number() % different * 37);
}

static size_t put_file(const char *path)
{
	FILE *file = fopen(path, "r");
	size_t length;

	assert_non_null(file);
	length = fread(text, 1, sizeof(text), file);
	assert_int_equal(fclose(file), 0);
	assert_true(length > 0);
	return length;
}

/* ---- Checks ------------------------------------------------------------------------ */

/* The text is what the sequences say: each match is of what stands before it. False: there are too
 * many. */
static bool check_sequences(struct sequences *sequences, size_t length)
{
	const ZSTD_Sequence *made;
	size_t count = sequences_make(sequences, text, length, &made);
	size_t at = 0, block = 0;

	if (count == 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		at += made[i].litLength;
		if (made[i].matchLength == 0) {
			assert_int_equal(made[i].offset, 0);
			assert_true(at > block && at - block <= BLOCK_BYTES);
			block = at;
			continue;
		}
		assert_true(made[i].matchLength >= SEQUENCES_MATCH_MIN);
		assert_true(made[i].offset > 0 && made[i].offset <= at);
		assert_true(made[i].matchLength <= length - at);
		for (size_t k = 0; k < made[i].matchLength; k++)
			if (text[at + k] != text[at + k - made[i].offset])
				fail_msg("byte %zu is not the one %u before", at + k,
					made[i].offset);
		at += made[i].matchLength;
	}
	assert_int_equal(at, length);
	assert_int_equal(block, length);
	return true;
}

static size_t check_frame(struct frame_packer *packer, size_t length)
{
	ZSTD_frameHeader header;
	size_t packed;

	assert_int_equal(frame_packer_pack(packer, text, length, frame, sizeof(frame), &packed), 0);
	memset(again, 0, length);
	assert_int_equal(ZSTD_decompress(again, sizeof(again), frame, packed), length);
	assert_memory_equal(again, text, length);
	assert_int_equal(ZSTD_getFrameHeader(&header, frame, packed), 0);
	assert_true(header.checksumFlag);
	return packed;
}

static struct frame_packer *new_packer(bool sequences)
{
	struct frame_packer *packer;

	assert_int_equal(frame_packer_new(LEVEL, &packer), 0);
	if (sequences)
		assert_int_equal(frame_packer_use_sequences(packer), 0);
	return packer;
}

/* What is there in text, both by itself and after whatever came before. False: of too many
 * sequences. */
static bool check_text(struct sequences *used, struct frame_packer *packer, size_t length)
{
	struct sequences *sequences;
	bool made;

	assert_int_equal(sequences_new(&sequences), 0);
	made = check_sequences(sequences, length);
	sequences_free(sequences);
	made = check_sequences(used, length) && made;
	(void)check_frame(packer, length);
	return made;
}

/* ---- Tests ------------------------------------------------------------------------- */

static void any_text(void **state)
{
	static const size_t lengths[] = {1, 2, 3, 7, 8, 9, 15, 100, 4095, 4096, 4097, 10000,
		BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, SEQUENCES_TEXT_LIMIT - 1,
		SEQUENCES_TEXT_LIMIT};
	static const unsigned int different[] = {1, 3, 256};
	enum { SHORT = 10000 }; /* longer ones may have too many */
	struct frame_packer *packer = new_packer(true);
	struct sequences *used;

	(void)state;
	assert_int_equal(sequences_new(&used), 0);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (size_t k = 0; k < sizeof(different) / sizeof(different[0]); k++) {
			put_bytes(lengths[i], different[k]);
			assert_true(check_text(used, packer, lengths[i]) || lengths[i] > SHORT);
		}
		/* An edge at each byte; and lines that are cut anywhere. */
		for (size_t at = 0; at < lengths[i]; at++)
			text[at] = at % 2 == 0 ? '"' : (uint8_t)('a' + random_number() % 20);
		assert_true(check_text(used, packer, lengths[i]) || lengths[i] > SHORT);
		(void)put_lines(sizeof(text));
		assert_true(check_text(used, packer, lengths[i]));
	}
	frame_packer_free(packer);
	sequences_free(used);
}

/* Matches as long as they come, and literals that are one run of nearly a block. */
static void long_repeats(void **state)
{
	struct frame_packer *packer = new_packer(true);
	struct sequences *used;

	(void)state;
	assert_int_equal(sequences_new(&used), 0);
	put_bytes(70000, 256);
	memcpy(text + 70000, text, 70000);
	memcpy(text + 140000, text, 70000);
	assert_true(check_text(used, packer, 210000));
	put_bytes(BLOCK_BYTES, 256);
	memcpy(text + BLOCK_BYTES, text, BLOCK_BYTES);
	assert_true(check_text(used, packer, SEQUENCES_TEXT_LIMIT));
	frame_packer_free(packer);
	sequences_free(used);
}

static void cases(void **state)
{
	struct frame_packer *packer = new_packer(true);
	struct sequences *used;

	(void)state;
	assert_int_equal(sequences_new(&used), 0);
	assert_true(check_text(used, packer, put_file(CASES_DIR "/decision_cases.jsonl")));
	assert_true(check_text(used, packer, put_file(CASES_DIR "/decision_cases_more.jsonl")));
	assert_true(
		check_text(used, packer, put_file(CASES_DIR "/original-traces-2026-01-09.jsonl")));
	frame_packer_free(packer);
	sequences_free(used);
}

/* More sequences than there is room for: zstd makes the frame, behind lines, too. */
static void many_words(void **state)
{
	struct frame_packer *packer = new_packer(true), *zstd = new_packer(false);
	struct sequences *used;
	char words[64][8];
	size_t length = 1;

	(void)state;
	(void)check_frame(packer, put_lines(sizeof(text)));
	for (size_t i = 0; i < 64; i++)
		for (size_t k = 0; k < 8; k++)
			words[i][k] = (char)(k == 0 ? ' ' : 'a' + random_number() % 26);
	for (size_t at = 0; at < sizeof(text); at += 8)
		memcpy(text + at, words[random_number() % 64], 8);
	assert_int_equal(sequences_new(&used), 0);
	assert_false(check_text(used, packer, sizeof(text)));
	assert_int_equal(check_frame(packer, sizeof(text)), check_frame(zstd, sizeof(text)));
	/* As many as there is room for. */
	for (size_t too_long = sizeof(text); too_long - length > 1;) {
		size_t middle = (length + too_long) / 2;

		*(check_sequences(used, middle) ? &length : &too_long) = middle;
	}
	for (size_t more = 0; more < 16; more++)
		(void)check_text(used, packer, length + more);
	frame_packer_free(zstd);
	frame_packer_free(packer);
	sequences_free(used);
}

/* Repeats within words, which are not looked for: zstd finds them, behind lines, too. */
static void repeats_within_words(void **state)
{
	struct frame_packer *packer = new_packer(true), *zstd = new_packer(false);
	size_t length = put_lines(sizeof(text));

	(void)state;
	assert_true(check_frame(packer, length) < check_frame(zstd, length));
	for (size_t at = 0; at < sizeof(text); at++)
		text[at] = (uint8_t)(at < 5000 ? 'a' + random_number() % 16 : text[at - 5000]);
	for (size_t at = 100; at < sizeof(text); at += 100)
		text[at] = (uint8_t)('a' + random_number() % 16);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(
			check_frame(packer, sizeof(text)), check_frame(zstd, sizeof(text)));
	/* And lines again, from the next trial on. */
	length = put_lines(sizeof(text));
	for (unsigned int i = 0; i < 32; i++)
		(void)check_frame(packer, length);
	assert_true(check_frame(packer, length) < check_frame(zstd, length));
	frame_packer_free(zstd);
	frame_packer_free(packer);
}

/* What zstd makes of sequences is looked at before it is believed. */
static void check_wrong(int how)
{
	size_t length = put_lines(100000);
	struct frame_packer *packer = new_packer(true);

	/* A trial, after which they are preferred. */
	(void)check_frame(packer, length);
	zstd_calls = 0;
	zstd_does = how;
	(void)check_frame(packer, length);
	assert_int_equal(zstd_calls, 1);
	frame_packer_free(packer);
	packer = new_packer(true);
	(void)check_frame(packer, length);
	assert_int_equal(zstd_calls, 2);
	zstd_does = WORKS;
	frame_packer_free(packer);
}

static void frames_that_are_wrong(void **state)
{
	(void)state;
	check_wrong(FAILS);
	check_wrong(MAKES_OTHERS);
	check_wrong(MAKES_LESS);
}

/* By so much that each of what makes it is seen; and two frames of 34 are made both ways. */
static void lines_take_less(void **state)
{
	struct frame_packer *zstd = new_packer(false), *packer = new_packer(true);
	size_t by_zstd = 0, packed = 0;

	(void)state;
	zstd_calls = zstd_own_calls = 0;
	for (unsigned int i = 0; i < 34; i++) {
		size_t length = put_lines(sizeof(text));

		by_zstd += check_frame(zstd, length);
		packed += check_frame(packer, length);
	}
	assert_true(packed < by_zstd / 1000 * 927);
	assert_int_equal(zstd_calls, 34);
	assert_int_equal(zstd_own_calls, 34 + 2);
	frame_packer_free(zstd);
	frame_packer_free(packer);
}

/* What seal.c counts with. */
static void memory(void **state)
{
	size_t length = put_lines(sizeof(text));
	struct frame_packer *packer;
	size_t packed;

	(void)state;
	heap_peak_begin();
	packer = new_packer(true);
	for (unsigned int i = 0; i < 34; i++)
		assert_int_equal(
			frame_packer_pack(packer, text, length, frame, sizeof(frame), &packed), 0);
	assert_in_range(heap_peak_bytes(), SEQUENCES_MEMORY_BYTES / 2,
		LEVEL_BYTES + SEQUENCES_MEMORY_BYTES);
	frame_packer_free(packer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_text),
		cmocka_unit_test(long_repeats),
		cmocka_unit_test(many_words),
		cmocka_unit_test(repeats_within_words),
		cmocka_unit_test(cases),
		cmocka_unit_test(frames_that_are_wrong),
		cmocka_unit_test(lines_take_less),
		cmocka_unit_test(memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
