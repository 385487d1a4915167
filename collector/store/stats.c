/*
 * stats.c: see stats.h. A histogram is an array of rows, one for each power of
 * two, made when the first duration falls into it; 64 buckets of 32 bits each.
 */
#include "stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "scratch.h"

#define SUB_BITS 6
#define SUB_COUNT (1 << SUB_BITS)
/* Values below 64 have a bucket each; then 6 ≤ exponent ≤ 62. */
#define OCTAVES (63 - SUB_BITS + 1)
#define MALLOC_BYTES 16		     /* besides what was asked for */
#define SLOTS (STATS_OPERATIONS * 4) /* of the hash table; a power of two */

struct stats_histogram {
	size_t *bytes; /* borrowed; the table's */
	uint32_t *octaves[OCTAVES];
};

struct stats {
	struct stats_row *rows;
	size_t count;
	size_t capacity;
	uint32_t slots[SLOTS]; /* row + 1; 0: free */
	struct scratch texts;
	size_t bytes; /* of histograms */
};

struct stats *stats_new(void)
{
	return calloc(1, sizeof(struct stats));
}

static void histogram_free(struct stats_histogram *histogram)
{
	if (histogram == NULL)
		return;
	for (size_t i = 0; i < OCTAVES; i++)
		free(histogram->octaves[i]);
	free(histogram);
}

void stats_free(struct stats *stats)
{
	if (stats == NULL)
		return;
	for (size_t i = 0; i < stats->count; i++)
		histogram_free(stats->rows[i].histogram);
	free(stats->rows);
	scratch_done(&stats->texts);
	free(stats);
}

/* ---- Rows ---------------------------------------------------------------- */

static uint64_t hash_text(uint64_t hash, struct slice text)
{
	for (size_t i = 0; i < text.length; i++)
		hash = (hash ^ text.data[i]) * UINT64_C(0x100000001b3);
	return (hash ^ text.length) * UINT64_C(0x100000001b3);
}

static bool row_is(const struct stats_row *row, struct slice service, struct slice operation,
	struct slice layer)
{
	return slice_equal(row->operation, operation) && slice_equal(row->service, service) &&
	       slice_equal(row->layer, layer);
}

/* Finds the slot of these texts, or the free one where they belong. */
static uint32_t *find_slot(
	struct stats *stats, struct slice service, struct slice operation, struct slice layer)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	size_t at;

	hash = hash_text(hash, service);
	hash = hash_text(hash, operation);
	hash = hash_text(hash, layer);
	at = (hash ^ hash >> 32) & (SLOTS - 1);
	while (stats->slots[at] != 0 &&
		!row_is(&stats->rows[stats->slots[at] - 1], service, operation, layer))
		at = (at + 1) & (SLOTS - 1);
	return &stats->slots[at];
}

static int copy_text(struct stats *stats, struct slice text, struct slice *ret)
{
	char *copy = scratch_copy(&stats->texts, text.data, text.length);

	*ret = slice_of(copy, text.length);
	return copy != NULL ? 0 : -ENOMEM;
}

static int add_row(
	struct stats *stats, struct slice service, struct slice operation, struct slice layer)
{
	struct stats_row *row;

	if (stats->count == stats->capacity) {
		size_t capacity = stats->capacity > 0 ? stats->capacity * 2 : 64;
		struct stats_row *rows = reallocarray(stats->rows, capacity, sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		stats->rows = rows;
		stats->capacity = capacity;
	}
	row = &stats->rows[stats->count];
	*row = (struct stats_row){.histogram = calloc(1, sizeof(*row->histogram))};
	if (row->histogram == NULL || copy_text(stats, service, &row->service) != 0 ||
		copy_text(stats, operation, &row->operation) != 0 ||
		copy_text(stats, layer, &row->layer) != 0) {
		free(row->histogram);
		return -ENOMEM;
	}
	row->histogram->bytes = &stats->bytes;
	stats->bytes += sizeof(*row->histogram) + MALLOC_BYTES;
	stats->count++;
	return 0;
}

int64_t stats_row_of(
	struct stats *stats, struct slice service, struct slice operation, struct slice layer)
{
	uint32_t *slot = find_slot(stats, service, operation, layer);
	int ret;

	if (*slot != 0)
		return *slot - 1;
	if (stats->count >= STATS_OPERATIONS - 1) {
		service = slice_of("", 0);
		operation = slice_of_text("(other)");
		layer = slice_of("", 0);
		slot = find_slot(stats, service, operation, layer);
		if (*slot != 0)
			return *slot - 1;
	}
	ret = add_row(stats, service, operation, layer);
	if (ret != 0)
		return ret;
	*slot = (uint32_t)stats->count;
	return *slot - 1;
}

/* ---- Times --------------------------------------------------------------- */

/* Where a duration is counted: octave 0 holds 0 to 63 one by one, octave n
 * what lies between 2^(n+5) and 2^(n+6), in 64 equal steps. */
static void bucket_of(uint64_t value, size_t *ret_octave, size_t *ret_sub)
{
	unsigned int exponent;

	if (value < SUB_COUNT) {
		*ret_octave = 0;
		*ret_sub = value;
		return;
	}
	exponent = 63 - (unsigned int)__builtin_clzll(value);
	*ret_octave = exponent - SUB_BITS + 1;
	*ret_sub = (value >> (exponent - SUB_BITS)) & (SUB_COUNT - 1);
}

/* The middle of a bucket. */
static uint64_t bucket_value(size_t octave, size_t sub)
{
	uint64_t low;

	if (octave <= 1)
		return octave * SUB_COUNT + sub;
	low = (uint64_t)(SUB_COUNT + sub) << (octave - 1);
	return low + (UINT64_C(1) << (octave - 2));
}

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int octave_make(struct stats_histogram *histogram, size_t octave)
{
	if (histogram->octaves[octave] != NULL)
		return 0;
	histogram->octaves[octave] = calloc(SUB_COUNT, sizeof(uint32_t));
	if (histogram->octaves[octave] == NULL)
		return -ENOMEM;
	*histogram->bytes += SUB_COUNT * sizeof(uint32_t) + MALLOC_BYTES;
	return 0;
}

int stats_add(struct stats *stats, int64_t row_number, enum record_status status,
	int64_t duration_ns, int64_t self_ns)
{
	struct stats_row *row = &stats->rows[row_number];
	size_t octave, sub;
	uint32_t *count;

	if (duration_ns >= 0) {
		bucket_of((uint64_t)duration_ns, &octave, &sub);
		if (octave_make(row->histogram, octave) != 0)
			return -ENOMEM;
		count = &row->histogram->octaves[octave][sub];
		*count += *count < UINT32_MAX;
		row->timed++;
		row->total_ns = add_saturating(row->total_ns, duration_ns);
		row->self_ns = add_saturating(row->self_ns, self_ns > 0 ? self_ns : 0);
		row->lost -= duration_ns == row->max_ns;
		if (duration_ns > row->max_ns) {
			row->max_ns = duration_ns;
			row->lost = 0;
		}
	}
	row->count++;
	row->errors += status == RECORD_ERROR;
	return 0;
}

void stats_remove(struct stats *stats, int64_t row_number, enum record_status status,
	int64_t duration_ns, int64_t self_ns)
{
	struct stats_row *row = &stats->rows[row_number];
	size_t octave, sub;
	uint32_t *counts;

	row->count--;
	row->errors -= status == RECORD_ERROR;
	if (duration_ns < 0)
		return;
	bucket_of((uint64_t)duration_ns, &octave, &sub);
	counts = row->histogram->octaves[octave];
	if (counts != NULL && counts[sub] > 0)
		counts[sub]--;
	/* From a sum at its limit nothing can be taken. */
	if (row->total_ns == INT64_MAX)
		row->lost += UINT32_MAX;
	row->lost += duration_ns == row->max_ns;
	row->timed--;
	row->total_ns -= duration_ns;
	row->self_ns -= self_ns > 0 ? self_ns : 0;
}

bool stats_is_unsure(const struct stats *stats)
{
	for (size_t i = 0; i < stats->count; i++)
		if (stats->rows[i].lost > 0 && stats->rows[i].count > 0)
			return true;
	return false;
}

/* ---- As bytes ------------------------------------------------------------- */

/* Of each bucket that isn't empty: how many are before it since the last one, its count. */
static int put_histogram(const struct stats_histogram *histogram, struct bytes *out)
{
	uint64_t last = 0;
	int ret = 0;

	for (size_t octave = 0; ret == 0 && octave < OCTAVES; octave++) {
		const uint32_t *counts = histogram->octaves[octave];

		for (size_t sub = 0; counts != NULL && ret == 0 && sub < SUB_COUNT; sub++) {
			uint64_t at = octave * SUB_COUNT + sub + 1;

			if (counts[sub] == 0)
				continue;
			ret = bytes_varint(out, at - last);
			if (ret == 0)
				ret = bytes_varint(out, counts[sub]);
			last = at;
		}
	}
	return ret == 0 ? bytes_varint(out, 0) : ret;
}

int stats_put(const struct stats *stats, struct bytes *out)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < stats->count; i++) {
		const struct stats_row *row = &stats->rows[i];
		const uint64_t numbers[] = {row->count, row->errors, row->timed,
			(uint64_t)row->total_ns, (uint64_t)row->self_ns, (uint64_t)row->max_ns};

		ret = bytes_text(out, row->service.data, row->service.length);
		if (ret == 0)
			ret = bytes_text(out, row->operation.data, row->operation.length);
		if (ret == 0)
			ret = bytes_text(out, row->layer.data, row->layer.length);
		for (size_t k = 0; ret == 0 && k < sizeof(numbers) / sizeof(numbers[0]); k++)
			ret = bytes_varint(out, numbers[k]);
		if (ret == 0)
			ret = put_histogram(row->histogram, out);
	}
	return ret;
}

static int take_histogram(struct stats_histogram *into, struct cursor *in)
{
	uint64_t at = 0, step;

	while ((step = cursor_varint(in)) > 0) {
		uint64_t count = cursor_varint(in);
		uint32_t *to;

		if (step > OCTAVES * SUB_COUNT - at || count > UINT32_MAX)
			return ERR_MALFORMED;
		at += step;
		if (into == NULL)
			continue;
		if (octave_make(into, (at - 1) / SUB_COUNT) != 0)
			return -ENOMEM;
		to = &into->octaves[(at - 1) / SUB_COUNT][(at - 1) % SUB_COUNT];
		if (__builtin_add_overflow(*to, (uint32_t)count, to))
			*to = UINT32_MAX;
	}
	return 0;
}

static bool is_asked(struct slice asked, struct slice text)
{
	return asked.length == 0 || slice_equal(asked, text);
}

static void take_numbers(struct stats_row *row, const uint64_t numbers[6])
{
	row->count += numbers[0];
	row->errors += numbers[1];
	row->timed += numbers[2];
	row->total_ns = add_saturating(row->total_ns, (int64_t)numbers[3]);
	row->self_ns = add_saturating(row->self_ns, (int64_t)numbers[4]);
	if ((int64_t)numbers[5] > row->max_ns)
		row->max_ns = (int64_t)numbers[5];
}

int stats_take(struct stats *into, struct slice from, struct slice service, struct slice operation,
	struct slice layer)
{
	struct cursor in = cursor_of_slice(from);

	while (cursor_more(&in)) {
		struct slice texts[3];
		uint64_t numbers[6];
		struct stats_histogram *histogram = NULL;
		int64_t number;
		int ret;

		for (size_t i = 0; i < 3; i++)
			texts[i] = cursor_bytes(&in);
		for (size_t i = 0; i < 6; i++)
			numbers[i] = cursor_varint(&in);
		if (in.error != 0)
			break;
		if (is_asked(service, texts[0]) && is_asked(operation, texts[1]) &&
			is_asked(layer, texts[2])) {
			number = stats_row_of(into, texts[0], texts[1], texts[2]);
			if (number < 0)
				return (int)number;
			take_numbers(&into->rows[number], numbers);
			histogram = into->rows[number].histogram;
		}
		ret = take_histogram(histogram, &in);
		if (ret != 0)
			return ret;
	}
	return in.error != 0 ? ERR_MALFORMED : 0;
}

static int histogram_merge(struct stats_histogram *into, const struct stats_histogram *from)
{
	for (size_t octave = 0; octave < OCTAVES; octave++) {
		if (from->octaves[octave] == NULL)
			continue;
		if (octave_make(into, octave) != 0)
			return -ENOMEM;
		for (size_t sub = 0; sub < SUB_COUNT; sub++) {
			uint32_t *count = &into->octaves[octave][sub];

			if (__builtin_add_overflow(*count, from->octaves[octave][sub], count))
				*count = UINT32_MAX;
		}
	}
	return 0;
}

int stats_merge(struct stats *into, const struct stats *from)
{
	for (size_t i = 0; i < from->count; i++) {
		const struct stats_row *row = &from->rows[i];
		struct stats_row *target;
		int64_t number;

		if (row->count == 0)
			continue;
		number = stats_row_of(into, row->service, row->operation, row->layer);
		if (number < 0)
			return (int)number;
		target = &into->rows[number];
		if (histogram_merge(target->histogram, row->histogram) != 0)
			return -ENOMEM;
		target->count += row->count;
		target->errors += row->errors;
		target->timed += row->timed;
		target->total_ns = add_saturating(target->total_ns, row->total_ns);
		target->self_ns = add_saturating(target->self_ns, row->self_ns);
		if (row->max_ns > target->max_ns)
			target->max_ns = row->max_ns;
	}
	return 0;
}

/* ---- Reading ------------------------------------------------------------- */

static int compare_text(struct slice a, struct slice b)
{
	size_t length = a.length < b.length ? a.length : b.length;
	int ret = length > 0 ? memcmp(a.data, b.data, length) : 0;

	return ret != 0 ? ret : (a.length > b.length) - (a.length < b.length);
}

static int compare_rows(const void *left, const void *right)
{
	const struct stats_row *a = left;
	const struct stats_row *b = right;
	int ret = (a->total_ns < b->total_ns) - (a->total_ns > b->total_ns);

	if (ret == 0)
		ret = compare_text(a->service, b->service);
	if (ret == 0)
		ret = compare_text(a->operation, b->operation);
	return ret != 0 ? ret : compare_text(a->layer, b->layer);
}

void stats_sort(struct stats *stats)
{
	if (stats->count > 0)
		qsort(stats->rows, stats->count, sizeof(*stats->rows), compare_rows);
	memset(stats->slots, 0, sizeof(stats->slots));
	for (size_t i = 0; i < stats->count; i++) {
		const struct stats_row *row = &stats->rows[i];

		*find_slot(stats, row->service, row->operation, row->layer) = (uint32_t)i + 1;
	}
}

size_t stats_memory(const struct stats *stats)
{
	return sizeof(*stats) + stats->capacity * sizeof(*stats->rows) + stats->bytes +
	       stats->texts.used_bytes;
}

size_t stats_count(const struct stats *stats)
{
	return stats->count;
}

const struct stats_row *stats_at(const struct stats *stats, size_t index)
{
	return &stats->rows[index];
}

int64_t stats_percentile_ns(const struct stats_row *row, double share)
{
	double exact = share * (double)row->timed;
	uint64_t rank = (uint64_t)exact;
	uint64_t seen = 0;

	if (row->timed == 0)
		return 0;
	if ((double)rank < exact || rank == 0)
		rank++;
	for (size_t octave = 0; octave < OCTAVES; octave++) {
		const uint32_t *counts = row->histogram->octaves[octave];

		for (size_t sub = 0; counts != NULL && sub < SUB_COUNT; sub++) {
			uint64_t value;

			seen += counts[sub];
			if (seen < rank)
				continue;
			value = bucket_value(octave, sub);
			return value < (uint64_t)row->max_ns ? (int64_t)value : row->max_ns;
		}
	}
	return row->max_ns;
}
