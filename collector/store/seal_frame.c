/* seal_frame.c: see seal_frame.h. */
#include "seal_frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "seal_sequences.h"

enum {
	MATCH_MIN = 6,
	TABLE_LOG = 6, /* zstd's own search has nothing to do */
	WINDOW_LOG = 18,
	TRIAL_FRAMES = 32, /* of so many one is made both ways */
	/* Sequences take more CPU: so much less they have to make of the text, in 1/128. */
	GAIN_MIN = 2,
	/* A frame so much larger than that of the last trial is of another text, in 1/128. */
	OTHER_TEXT = 16,
};

struct parameter {
	ZSTD_cParameter name;
	int value;
};

struct frame_packer {
	ZSTD_CCtx *zstd;
	int level;
	bool set_for_sequences;
	/* What follows only with sequences; owned. */
	struct sequences *sequences;
	ZSTD_DCtx *check;
	uint8_t *scratch; /* text unpacked again, or the frame that zstd makes in a trial */
	size_t scratch_bytes;
	bool prefers_sequences;
	unsigned int frames; /* since the last trial */
	/* Of the last trial. */
	size_t trial_text;
	size_t trial_frame;
};

static bool set_all(ZSTD_CCtx *zstd, const struct parameter *parameters, size_t count)
{
	if (ZSTD_isError(ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters)))
		return false;
	for (size_t i = 0; i < count; i++)
		if (ZSTD_isError(
			    ZSTD_CCtx_setParameter(zstd, parameters[i].name, parameters[i].value)))
			return false;
	return true;
}

static bool set_for_zstd(struct frame_packer *packer)
{
	/* Lines repeat long stretches: short matches cost more than they save. 0: the level's. */
	const struct parameter parameters[] = {
		{ZSTD_c_minMatch, packer->level >= SEQUENCES_LEVEL_MIN ? MATCH_MIN : 0},
		{ZSTD_c_compressionLevel, packer->level},
		{ZSTD_c_checksumFlag, 1},
	};

	packer->set_for_sequences = false;
	return set_all(packer->zstd, parameters, sizeof(parameters) / sizeof(parameters[0]));
}

static bool set_for_sequences(struct frame_packer *packer)
{
	const struct parameter parameters[] = {
		{ZSTD_c_compressionLevel, packer->level},
		{ZSTD_c_checksumFlag, 1},
		{ZSTD_c_minMatch, SEQUENCES_MATCH_MIN},
		{ZSTD_c_windowLog, WINDOW_LOG},
		{ZSTD_c_hashLog, TABLE_LOG},
		{ZSTD_c_chainLog, TABLE_LOG},
		{ZSTD_c_blockDelimiters, ZSTD_sf_explicitBlockDelimiters},
		{ZSTD_c_validateSequences, 1},
		/* Left alone, zstd writes each offset out at this level. */
		{ZSTD_c_searchForExternalRepcodes, ZSTD_ps_enable},
	};

	packer->set_for_sequences = true;
	return set_all(packer->zstd, parameters, sizeof(parameters) / sizeof(parameters[0]));
}

int frame_packer_new(int level, struct frame_packer **ret)
{
	struct frame_packer *packer = calloc(1, sizeof(*packer));

	if (packer == NULL)
		return -ENOMEM;
	packer->level = level;
	packer->zstd = ZSTD_createCCtx();
	if (packer->zstd == NULL || !set_for_zstd(packer)) {
		frame_packer_free(packer);
		return -ENOMEM;
	}
	*ret = packer;
	return 0;
}

void frame_packer_free(struct frame_packer *packer)
{
	if (packer == NULL)
		return;
	ZSTD_freeCCtx(packer->zstd);
	ZSTD_freeDCtx(packer->check);
	sequences_free(packer->sequences);
	free(packer->scratch);
	free(packer);
}

int frame_packer_use_sequences(struct frame_packer *packer)
{
	int ret = sequences_new(&packer->sequences);

	packer->scratch_bytes = ZSTD_compressBound(SEQUENCES_TEXT_LIMIT);
	packer->scratch = malloc(packer->scratch_bytes);
	packer->check = ZSTD_createDCtx();
	return packer->scratch == NULL || packer->check == NULL ? -ENOMEM : ret;
}

/* The frame's length; 0: zstd fails. */
static size_t pack_by_zstd(struct frame_packer *packer, const uint8_t *text, size_t length,
	uint8_t *frame, size_t capacity)
{
	size_t packed;

	if (packer->set_for_sequences && !set_for_zstd(packer))
		return 0;
	packed = ZSTD_compress2(packer->zstd, frame, capacity, text, length);
	return ZSTD_isError(packed) ? 0 : packed;
}

/* The frame's length; 0: it is not what it should be. */
static size_t pack_by_sequences(struct frame_packer *packer, const uint8_t *text, size_t length,
	uint8_t *frame, size_t capacity)
{
	const ZSTD_Sequence *sequences;
	size_t count;
	size_t packed;
	size_t unpacked;

	if (!packer->set_for_sequences && !set_for_sequences(packer))
		return 0;
	count = sequences_make(packer->sequences, text, length, &sequences);
	if (count == 0)
		return 0;
	packed = ZSTD_compressSequences(
		packer->zstd, frame, capacity, sequences, count, text, length);
	if (ZSTD_isError(packed))
		return 0;
	unpacked = ZSTD_decompressDCtx(
		packer->check, packer->scratch, packer->scratch_bytes, frame, packed);
	if (unpacked != length || memcmp(packer->scratch, text, length) != 0)
		return 0;
	return packed;
}

/* By zstd, too, the smaller is taken. The frame's length. */
static size_t pack_in_trial(struct frame_packer *packer, const uint8_t *text, size_t length,
	uint8_t *frame, size_t by_sequences)
{
	size_t by_zstd = pack_by_zstd(packer, text, length, packer->scratch, packer->scratch_bytes);

	packer->prefers_sequences = by_sequences < by_zstd - by_zstd / 128 * GAIN_MIN;
	packer->trial_text = length;
	packer->trial_frame = by_sequences;
	packer->frames = 1;
	if (by_zstd == 0 || by_sequences <= by_zstd)
		return by_sequences;
	memcpy(frame, packer->scratch, by_zstd);
	return by_zstd;
}

static bool is_other_text(const struct frame_packer *packer, size_t length, size_t packed)
{
	return (uint64_t)packed * packer->trial_text * 128 >
	       (uint64_t)packer->trial_frame * length * (128 + OTHER_TEXT);
}

int frame_packer_pack(struct frame_packer *packer, const uint8_t *text, size_t length,
	uint8_t *ret_frame, size_t capacity, size_t *ret_length)
{
	bool due = packer->sequences != NULL && packer->frames++ % TRIAL_FRAMES == 0;
	size_t packed = 0;

	if (due || packer->prefers_sequences)
		packed = pack_by_sequences(packer, text, length, ret_frame, capacity);
	if (packed == 0) {
		packer->prefers_sequences = packer->prefers_sequences && !due;
		packed = pack_by_zstd(packer, text, length, ret_frame, capacity);
	} else if (due || is_other_text(packer, length, packed)) {
		packed = pack_in_trial(packer, text, length, ret_frame, packed);
	}
	*ret_length = packed;
	return packed > 0 ? 0 : -EIO;
}
