/* A set of ordinals. See consumed.h. */
#include "consumed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A batch of 256 KiB can't hold more spans than bytes. */
enum { POSITIONS_MAX = LOG_PAYLOAD_BYTES_MAX };

static void segment_done(struct consumed_segment *segment)
{
	for (size_t i = 0; i < segment->capacity; i++) {
		if (segment->records[i].words > 0)
			free(segment->records[i].bits);
	}
	free(segment->records);
}

void consumed_clear(struct consumed *set)
{
	for (size_t i = 0; i < set->count; i++)
		segment_done(&set->segments[i]);
	set->count = 0;
	set->version++;
}

void consumed_done(struct consumed *set)
{
	consumed_clear(set);
	free(set->segments);
	*set = (struct consumed){.version = set->version};
}

/* Index of the first segment whose number is not below. The last ones are asked
 * for most. */
static size_t segment_index(const struct consumed *set, uint32_t number)
{
	size_t i = set->count;

	while (i > 0 && set->segments[i - 1].number >= number)
		i--;
	return i;
}

static inline struct consumed_segment *segment_find(const struct consumed *set, uint32_t number)
{
	size_t i = set->count;

	if (i > 0 && set->segments[i - 1].number == number)
		return &set->segments[i - 1];
	i = segment_index(set, number);

	return i < set->count && set->segments[i].number == number ? &set->segments[i] : NULL;
}

static struct consumed_segment *segment_insert(struct consumed *set, uint32_t number)
{
	size_t i = segment_index(set, number);

	if (set->count == set->capacity) {
		size_t capacity = set->capacity == 0 ? 4 : set->capacity * 2;
		void *grown = realloc(set->segments, capacity * sizeof(*set->segments));

		if (grown == NULL)
			return NULL;
		set->segments = grown;
		set->capacity = capacity;
	}
	memmove(&set->segments[i + 1], &set->segments[i],
		(set->count - i) * sizeof(*set->segments));
	set->segments[i] = (struct consumed_segment){.number = number};
	set->count++;
	set->version++;
	return &set->segments[i];
}

static inline struct consumed_segment *segment_make(struct consumed *set, uint32_t number)
{
	struct consumed_segment *segment = segment_find(set, number);

	return segment != NULL ? segment : segment_insert(set, number);
}

/* The slot of a record, or the free one where it would go. capacity > 0. */
static inline struct consumed_record *record_slot(
	const struct consumed_segment *segment, uint32_t offset)
{
	size_t mask = segment->capacity - 1;
	size_t i = (offset >> 3) * UINT32_C(2654435761) & mask;

	/* The analyzer takes a table that segment_grow has replaced for the freed one. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	while (segment->records[i].offset != 0 && segment->records[i].offset != offset)
		i = (i + 1) & mask;
	return &segment->records[i];
}

static int segment_grow(struct consumed_segment *segment)
{
	struct consumed_segment grown = *segment;

	grown.capacity = segment->capacity == 0 ? 16 : segment->capacity * 2;
	grown.records = calloc(grown.capacity, sizeof(*grown.records));
	if (grown.records == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < segment->capacity; i++) {
		if (segment->records[i].offset != 0)
			*record_slot(&grown, segment->records[i].offset) = segment->records[i];
	}
	free(segment->records);
	*segment = grown;
	return 0;
}

static struct consumed_record *record_insert(
	struct consumed *set, struct consumed_segment *segment, uint32_t offset)
{
	struct consumed_record *record;

	if ((segment->count + 1) * 4 > segment->capacity * 3 && segment_grow(segment) != 0)
		return NULL;
	record = record_slot(segment, offset);
	record->offset = offset;
	segment->count++;
	set->version++;
	return record;
}

static inline struct consumed_record *record_make(
	struct consumed *set, struct consumed_segment *segment, uint32_t offset)
{
	if (segment->capacity > 0) {
		struct consumed_record *record = record_slot(segment, offset);

		if (record->offset != 0)
			return record;
	}
	return record_insert(set, segment, offset);
}

static uint64_t *record_grow(struct consumed_record *record, uint32_t word)
{
	uint32_t words = 4;
	uint64_t *bits;

	while (words <= word)
		words *= 2;
	bits = calloc(words, sizeof(*bits));
	if (bits == NULL)
		return NULL;
	if (record->words == 0) {
		bits[0] = record->small;
	} else {
		memcpy(bits, record->bits, record->words * sizeof(*bits));
		free(record->bits);
	}
	record->bits = bits;
	record->words = words;
	return &bits[word];
}

static inline uint64_t *record_word_make(struct consumed_record *record, uint32_t word)
{
	uint64_t *bits = consumed_word(record, word);

	return bits != NULL ? bits : record_grow(record, word);
}

static inline bool ordinal_valid(const struct ordinal *ordinal)
{
	return ordinal->segment > 0 && ordinal->offset >= LOG_SEGMENT_HEADER_BYTES &&
	       ordinal->offset % 8 == 0 && ordinal->position < POSITIONS_MAX;
}

int consumed_add(struct consumed *set, const struct ordinal *ordinal)
{
	uint64_t bit = UINT64_C(1) << (ordinal->position & 63);
	struct consumed_segment *segment;
	struct consumed_record *record;
	uint64_t *word;

	if (!ordinal_valid(ordinal))
		return -EINVAL;
	segment = segment_make(set, ordinal->segment);
	record = segment != NULL ? record_make(set, segment, ordinal->offset) : NULL;
	word = record != NULL ? record_word_make(record, ordinal->position >> 6) : NULL;
	if (word == NULL)
		return -ENOMEM;
	if ((*word & bit) != 0)
		return 1;
	*word |= bit;
	segment->spans++;
	return 0;
}

bool consumed_has(const struct consumed *set, const struct ordinal *ordinal)
{
	const struct consumed_segment *segment = segment_find(set, ordinal->segment);
	struct consumed_record *record;
	const uint64_t *word;

	if (segment == NULL || segment->capacity == 0)
		return false;
	record = record_slot(segment, ordinal->offset);
	/* 0 also for an offset of 0, where no record is. */
	if (record->offset == 0)
		return false;
	word = consumed_word(record, ordinal->position >> 6);
	return word != NULL && (*word >> (ordinal->position & 63) & 1) != 0;
}

void consumed_find_near(
	const struct consumed *set, const struct ordinal *ordinal, struct consumed_hint *hint)
{
	struct consumed_record *record = NULL;

	hint->in = segment_find(set, ordinal->segment);
	if (hint->in != NULL && hint->in->capacity > 0)
		record = record_slot(hint->in, ordinal->offset);
	hint->record = record != NULL && record->offset != 0 ? record : NULL;
	hint->version = set->version;
	hint->segment = ordinal->segment;
	hint->offset = ordinal->offset;
}

uint64_t consumed_in_segment(const struct consumed *set, uint32_t number)
{
	const struct consumed_segment *segment = segment_find(set, number);

	return segment != NULL ? segment->spans : 0;
}

uint64_t consumed_in_record(const struct consumed *set, struct log_place place)
{
	const struct consumed_segment *segment = segment_find(set, place.segment);
	const struct consumed_record *record;
	uint64_t total = 0;

	if (segment == NULL || segment->capacity == 0 || place.offset == 0)
		return 0;
	record = record_slot(segment, place.offset);
	if (record->offset == 0)
		return 0;
	if (record->words == 0)
		return (uint64_t)__builtin_popcountll(record->small);
	for (uint32_t i = 0; i < record->words; i++)
		total += (uint64_t)__builtin_popcountll(record->bits[i]);
	return total;
}

uint32_t consumed_last_segment(const struct consumed *set)
{
	return set->count > 0 ? set->segments[set->count - 1].number : 0;
}

uint32_t consumed_last_offset(const struct consumed *set)
{
	const struct consumed_segment *last =
		set->count > 0 ? &set->segments[set->count - 1] : NULL;
	uint32_t offset = 0;

	for (size_t i = 0; last != NULL && i < last->capacity; i++) {
		if (last->records[i].offset > offset)
			offset = last->records[i].offset;
	}
	return offset;
}

uint64_t consumed_total(const struct consumed *set)
{
	uint64_t total = 0;

	for (size_t i = 0; i < set->count; i++)
		total += set->segments[i].spans;
	return total;
}

/* Makes room for the bits of from, and adds them when add is set. */
static int record_merge(struct consumed *set, struct consumed_segment *segment,
	const struct consumed_record *from, bool add)
{
	struct consumed_record *into = record_make(set, segment, from->offset);
	uint32_t words = from->words == 0 ? 1 : from->words;

	if (into == NULL)
		return -ENOMEM;
	for (uint32_t i = words; i-- > 0;) {
		uint64_t bits = from->words == 0 ? from->small : from->bits[i];
		uint64_t *word;

		if (bits == 0)
			continue;
		word = record_word_make(into, i);
		if (word == NULL)
			return -ENOMEM;
		if (add) {
			segment->spans += (uint64_t)__builtin_popcountll(bits & ~*word);
			*word |= bits;
		}
	}
	return 0;
}

static int set_merge(struct consumed *set, const struct consumed *other, bool add)
{
	for (size_t i = 0; i < other->count; i++) {
		const struct consumed_segment *from = &other->segments[i];
		struct consumed_segment *into = segment_make(set, from->number);

		if (into == NULL)
			return -ENOMEM;
		for (size_t k = 0; k < from->capacity; k++) {
			int ret = 0;

			if (from->records[k].offset != 0)
				ret = record_merge(set, into, &from->records[k], add);
			if (ret != 0)
				return ret;
		}
	}
	return 0;
}

int consumed_merge(struct consumed *set, const struct consumed *other)
{
	int ret = set_merge(set, other, false);

	/* All the memory is there now: the second pass can't fail. */
	return ret != 0 ? ret : set_merge(set, other, true);
}

void consumed_drop_below(struct consumed *set, uint32_t first_needed)
{
	size_t drop = segment_index(set, first_needed);

	if (drop == 0)
		return;
	for (size_t i = 0; i < drop; i++)
		segment_done(&set->segments[i]);
	memmove(set->segments, set->segments + drop, (set->count - drop) * sizeof(*set->segments));
	set->count -= drop;
	set->version++;
}

/* ---- Encoding ------------------------------------------------------------ */

/* The first position from `from` on that is set (or not), up to end. */
static uint32_t bits_next(const uint64_t *bits, uint32_t from, uint32_t end, bool set)
{
	while (from < end) {
		uint64_t word = (set ? bits[from >> 6] : ~bits[from >> 6]) >> (from & 63);

		if (word != 0) {
			from += (uint32_t)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from = (from | 63) + 1;
	}
	return end;
}

static int record_encode(const struct consumed_record *record, struct bytes *out)
{
	const uint64_t *bits = record->words == 0 ? &record->small : record->bits;
	uint32_t end = (record->words == 0 ? 1 : record->words) * 64;
	uint32_t ranges = 0;
	uint32_t at = 0;
	uint32_t last = 0;
	int ret;

	for (uint32_t i = bits_next(bits, 0, end, true); i < end;
		i = bits_next(bits, bits_next(bits, i, end, false), end, true))
		ranges++;
	ret = bytes_reserve(out, (size_t)(2 * ranges + 1) * BYTES_VARINT_MAX);
	if (ret != 0)
		return ret;
	bytes_varint_fast(out, ranges);
	for (; ranges > 0; ranges--) {
		uint32_t start = bits_next(bits, at, end, true);

		at = bits_next(bits, start, end, false);
		bytes_varint_fast(out, start - last);
		bytes_varint_fast(out, at - start - 1);
		last = at;
	}
	return 0;
}

static int compare_records(const void *a, const void *b)
{
	const struct consumed_record *const *left = a;
	const struct consumed_record *const *right = b;

	return ((*left)->offset > (*right)->offset) - ((*left)->offset < (*right)->offset);
}

static int segment_encode(const struct consumed_segment *segment, struct bytes *out)
{
	const struct consumed_record **sorted = calloc(segment->count + 1, sizeof(*sorted));
	uint32_t last = 0;
	size_t count = 0;
	int ret = sorted == NULL ? -ENOMEM : 0;

	for (size_t i = 0; ret == 0 && i < segment->capacity; i++) {
		if (segment->records[i].offset != 0)
			sorted[count++] = &segment->records[i];
	}
	if (ret == 0) {
		qsort(sorted, count, sizeof(const struct consumed_record *), compare_records);
		ret = bytes_varint(out, segment->number);
	}
	if (ret == 0)
		ret = bytes_varint(out, count);
	for (size_t i = 0; ret == 0 && i < count; i++) {
		ret = bytes_varint(out, (sorted[i]->offset - last) / 8);
		last = sorted[i]->offset;
		if (ret == 0)
			ret = record_encode(sorted[i], out);
	}
	free(sorted);
	return ret;
}

int consumed_encode(const struct consumed *set, struct bytes *out)
{
	size_t before = out->length;
	int ret = bytes_varint(out, set->count);

	for (size_t i = 0; ret == 0 && i < set->count; i++)
		ret = segment_encode(&set->segments[i], out);
	if (ret != 0)
		out->length = before;
	return ret;
}

/* Positions [from, end) of a record, end > from, both below POSITIONS_MAX. */
static int add_range(
	struct consumed *set, const struct ordinal *ordinal, uint32_t from, uint32_t end)
{
	struct consumed_segment *segment;
	struct consumed_record *record;

	if (!ordinal_valid(ordinal))
		return -EINVAL;
	segment = segment_make(set, ordinal->segment);
	record = segment != NULL ? record_make(set, segment, ordinal->offset) : NULL;
	/* The last word first: it makes room for all. */
	if (record == NULL || record_word_make(record, (end - 1) >> 6) == NULL)
		return -ENOMEM;
	while (from < end) {
		uint32_t stop = (from | 63) + 1 < end ? (from | 63) + 1 : end;
		uint64_t bits = stop - from == 64 ? UINT64_MAX : (UINT64_C(1) << (stop - from)) - 1;
		uint64_t *word = consumed_word(record, from >> 6);

		bits <<= from & 63;
		segment->spans += (uint64_t)__builtin_popcountll(bits & ~*word);
		*word |= bits;
		from = stop;
	}
	return 0;
}

static int record_decode(struct consumed *set, struct ordinal ordinal, struct cursor *in)
{
	uint64_t ranges = cursor_varint(in);
	uint64_t at = 0;
	int ret = 0;

	for (; ranges > 0 && in->error == 0 && ret == 0; ranges--) {
		uint64_t start = cursor_varint(in);
		uint64_t length = cursor_varint(in);

		if (in->error != 0)
			break;
		if (start > POSITIONS_MAX || length >= POSITIONS_MAX ||
			at + start + length >= POSITIONS_MAX)
			return ERR_MALFORMED;
		at += start;
		ret = add_range(set, &ordinal, (uint32_t)at, (uint32_t)(at + length + 1));
		at += length + 1;
	}
	return ret != 0 ? ret : in->error;
}

int consumed_decode(struct consumed *set, struct cursor *in)
{
	uint64_t segments = cursor_varint(in);
	int ret = 0;

	for (; segments > 0 && in->error == 0 && ret == 0; segments--) {
		uint64_t number = cursor_varint(in);
		uint64_t records = cursor_varint(in);
		uint64_t offset = 0;

		if (number == 0 || number > UINT32_MAX)
			return ERR_MALFORMED;
		for (; records > 0 && in->error == 0 && ret == 0; records--) {
			uint64_t step = cursor_varint(in);
			struct ordinal ordinal = {.segment = (uint32_t)number};

			offset += step * 8;
			if (step > LOG_SEGMENT_BYTES_MAX || offset < LOG_SEGMENT_HEADER_BYTES ||
				offset > LOG_SEGMENT_BYTES_MAX)
				return in->error != 0 ? in->error : ERR_MALFORMED;
			ordinal.offset = (uint32_t)offset;
			ret = record_decode(set, ordinal, in);
		}
	}
	return ret != 0 ? ret : in->error;
}
