/*
 * index_run.c: see index_run.h.
 */
#include "index_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"
#include "pack.h"
#include "scan.h"
#include "scratch.h"

/* ---- Filter bits --------------------------------------------------------- */

enum { FEW_IDS = 16 };
enum { TEXT_ATTRIBUTE = INDEX_LAYER + 1 };

static uint64_t hash_text(uint64_t hash, struct slice text)
{
	size_t i = 0;

	for (; i + 8 <= text.length; i += 8) {
		uint64_t word;

		memcpy(&word, text.data + i, 8);
		hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
		hash ^= hash >> 29;
	}
	for (; i < text.length; i++)
		hash = (hash ^ text.data[i]) * UINT64_C(0x100000001b3);
	return (hash ^ text.length) * UINT64_C(0x9fb21c651e98df25);
}

/* Sets 4 bits, each picked by 9 bits of the hash. */
static void set_bits(uint64_t filter[INDEX_FILTER_WORDS], uint64_t hash)
{
	hash = id_mix(hash);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		filter[hash >> 6 & 7] |= UINT64_C(1) << (hash & 63);
		hash >>= 9;
	}
}

void index_filter_text(
	uint64_t filter[INDEX_FILTER_WORDS], enum index_text which, struct slice text)
{
	set_bits(filter, hash_text(which, text));
}

uint64_t index_hash_key(struct slice key)
{
	return hash_text(TEXT_ATTRIBUTE, key);
}

uint64_t index_hash_attribute(struct slice key, struct slice value)
{
	return id_mix(hash_text(index_hash_key(key), value));
}

void index_filter_value(uint64_t filter[INDEX_FILTER_WORDS], uint64_t key_hash, struct slice value)
{
	set_bits(filter, hash_text(key_hash, value));
}

void index_filter_attribute(
	uint64_t filter[INDEX_FILTER_WORDS], struct slice key, struct slice value)
{
	index_filter_value(filter, index_hash_key(key), value);
}

uint64_t index_hash_id(const uint8_t id[16])
{
	uint64_t halves[2];

	memcpy(halves, id, 16);
	return id_mix(halves[1] ^ id_mix(halves[0] + UINT64_C(0x9e3779b97f4a7c15)));
}

/* What an id is told from the others of its run by: two that come to the same number make the
 * run unsure, no more. */
static inline uint64_t number_of_halves(uint64_t low, uint64_t high)
{
	return low ^ high * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t number_of_uuid(const uint8_t id[16])
{
	uint64_t halves[2];

	memcpy(halves, id, 16);
	return number_of_halves(halves[0], halves[1]);
}

/* The same for the UUID that stands for a span id of 8 bytes (proto/ids.h). By shifts: halves
 * that were stored byte by byte would be waited for. */
static uint64_t number_of_span_id(uint64_t id)
{
	uint64_t last = id >> 56, before = id >> 48 & 0xff;
	uint64_t low = (id & UINT64_C(0xffffffffffff)) | (0x80 | before >> 4) << 48 |
		       ((before << 4 & 0xf0) | last >> 4) << 56;
	uint64_t high = 0x80 | (last & 0x0f) << 8;

	return number_of_halves(low, high);
}

/* A flag of runs that are being made: some span is pending. */
#define OPEN_SPANS (UINT32_C(1) << 31)

/* ---- Builder ------------------------------------------------------------- */

void index_builder_done(struct index_builder *builder)
{
	free(builder->ids);
	*builder = (struct index_builder){0};
}

void index_builder_begin(struct index_builder *builder, const uint8_t trace_id[16])
{
	builder->run = (struct index_run){0};
	memcpy(builder->run.trace_id, trace_id, 16);
}

static int remember_id(struct index_builder *builder, uint64_t id)
{
	if (builder->run.spans == builder->id_capacity) {
		size_t capacity = builder->id_capacity > 0 ? builder->id_capacity * 2 : 64;
		uint64_t *ids = reallocarray(builder->ids, capacity, sizeof(*ids));

		if (ids == NULL)
			return -ENOMEM;
		builder->ids = ids;
		builder->id_capacity = capacity;
	}
	builder->ids[builder->run.spans] = id;
	return 0;
}

static void take_head(struct index_builder *builder, const struct index_span *span)
{
	struct index_run *run = &builder->run;

	run->flags &= ~(uint32_t)(INDEX_HEAD_ERROR | INDEX_HEAD_PENDING);
	if (span->status == RECORD_ERROR)
		run->flags |= INDEX_HEAD_ERROR;
	if (span->status == RECORD_PENDING)
		run->flags |= INDEX_HEAD_PENDING;
	run->duration_ns = span->duration_ns;
	builder->first_ns = span->start_ns;
}

/* Is it the trace's head? The earliest root, without a root the earliest span. */
static void consider_head(struct index_builder *builder, const struct index_span *span)
{
	struct index_run *run = &builder->run;
	bool has_root = (run->flags & INDEX_HAS_ROOT) != 0;
	bool root = !span->has_parent;

	if (run->spans == 0 || (root && !has_root)) {
		if (root)
			run->flags |= INDEX_HAS_ROOT;
		run->flags &= ~(uint32_t)INDEX_UNSURE;
		builder->last_ns = span->start_ns;
		take_head(builder, span);
		return;
	}
	if (root != has_root)
		return;
	if (span->start_ns > builder->last_ns)
		builder->last_ns = span->start_ns;
	if (span->start_ns == builder->first_ns)
		run->flags |= INDEX_UNSURE; /* a tie, for now */
	if (span->start_ns < builder->first_ns) {
		run->flags &= ~(uint32_t)INDEX_UNSURE;
		take_head(builder, span);
	}
}

static int add_attribute(void *ctx, struct slice key, struct slice value)
{
	index_filter_attribute(ctx, key, value);
	return 0;
}

static int add_span(struct index_builder *builder, const struct index_span *span, uint64_t id)
{
	struct index_run *run = &builder->run;
	int ret = run->spans < UINT32_MAX ? remember_id(builder, id) : -EFBIG;

	if (ret != 0)
		return ret;
	consider_head(builder, span);
	run->spans++;
	run->errors += span->status == RECORD_ERROR;
	if (span->status == RECORD_PENDING)
		run->flags |= OPEN_SPANS;
	return 0;
}

int index_builder_add_span(struct index_builder *builder, const struct index_span *span)
{
	return add_span(builder, span, number_of_span_id(span->span_id));
}

int index_builder_add(
	struct index_builder *builder, const struct record *record, struct scratch *scratch)
{
	struct index_run *run = &builder->run;
	const struct index_span span = {.has_parent = record->has_parent,
		.status = record->status,
		.start_ns = record->start_ns,
		.duration_ns = record->duration_ns};
	int ret = record_for_each_attribute(record, scratch, add_attribute, run->filter);

	if (ret != 0)
		return ret;
	index_filter_text(run->filter, INDEX_SERVICE, record->service);
	index_filter_text(run->filter, INDEX_OPERATION, record->operation);
	index_filter_text(run->filter, INDEX_LAYER, record->layer);
	return add_span(builder, &span, number_of_uuid(record->span_id));
}

static int compare_hashes(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static bool has_id_twice(struct index_builder *builder)
{
	size_t count = builder->run.spans;

	/* Most runs are short: comparing all pairs is then cheaper than sorting. */
	for (size_t i = 1; count <= FEW_IDS && i < count; i++)
		for (size_t k = 0; k < i; k++)
			if (builder->ids[i] == builder->ids[k])
				return true;
	if (count <= FEW_IDS)
		return false;
	qsort(builder->ids, count, sizeof(*builder->ids), compare_hashes);
	for (size_t i = 1; i < count; i++)
		if (builder->ids[i] == builder->ids[i - 1])
			return true;
	return false;
}

void index_builder_end(struct index_builder *builder)
{
	struct index_run *run = &builder->run;

	if ((run->flags & OPEN_SPANS) != 0 || has_id_twice(builder))
		run->flags |= INDEX_UNSURE;
	run->flags &= ~(uint32_t)OPEN_SPANS;
	run->start_ns = (run->flags & INDEX_UNSURE) != 0 ? builder->last_ns : builder->first_ns;
}

struct making {
	struct index_builder builder;
	struct scratch *scratch;
};

static int add_line(void *ctx, const struct scan_line *line)
{
	struct making *making = ctx;
	struct record record;
	int ret = line->whole ? record_parse(line->text, making->scratch, &record, NULL)
			      : ERR_MALFORMED;

	if (ret != 0)
		return ret;
	if (making->builder.run.spans == 0)
		index_builder_begin(&making->builder, record.trace_id);
	else if (memcmp(making->builder.run.trace_id, record.trace_id, 16) != 0)
		return ERR_MALFORMED;
	ret = index_builder_add(&making->builder, &record, making->scratch);
	scratch_reset(making->scratch);
	return ret;
}

int index_run_of_lines(
	struct slice lines, uint64_t offset, struct scratch *scratch, struct index_run *ret_run)
{
	struct making making = {.scratch = scratch};
	int ret = lines.length <= UINT32_MAX ? scan_memory(lines, 0, add_line, &making) : -EFBIG;

	if (ret == 0 && making.builder.run.spans == 0)
		ret = ERR_MALFORMED;
	if (ret == 0) {
		index_builder_end(&making.builder);
		*ret_run = making.builder.run;
		ret_run->offset = offset;
		ret_run->length_bytes = (uint32_t)lines.length;
	}
	index_builder_done(&making.builder);
	return ret;
}

/* ---- Questions ----------------------------------------------------------- */

void index_question_init(struct index_question *question, const struct filter *filter)
{
	*question = (struct index_question){.filter = filter};
	/* All must hold on one span, hence in one run: one mask does for all. */
	if (filter->service.length > 0)
		index_filter_text(question->mask, INDEX_SERVICE, filter->service);
	if (filter->operation.length > 0)
		index_filter_text(question->mask, INDEX_OPERATION, filter->operation);
	if (filter->layer.length > 0)
		index_filter_text(question->mask, INDEX_LAYER, filter->layer);
	for (size_t i = 0; i < filter->attribute_count; i++)
		index_filter_attribute(
			question->mask, filter->attributes[i].key, filter->attributes[i].value);
	for (size_t i = 0; i < filter->attribute_count && i < INDEX_QUESTION_HASHES; i++)
		question->hashes[question->hash_count++] = index_hash_attribute(
			filter->attributes[i].key, filter->attributes[i].value);
	question->gram_count = pack_grams_of(filter->grep, question->grams, INDEX_QUESTION_GRAMS);
}

bool index_zone_may_match(const struct index_zone *zone, const struct index_question *question)
{
	const struct filter *filter = question->filter;

	if (filter->since_ns != 0 && zone->max_start_ns < filter->since_ns)
		return false;
	if (filter->errors && zone->errors == 0)
		return false;
	if ((zone->flags & INDEX_UNSURE) != 0)
		return true;
	if (filter->until_ns != 0 && zone->min_start_ns >= filter->until_ns)
		return false;
	return filter->min_duration_ns == 0 || zone->max_duration_ns >= filter->min_duration_ns;
}

bool index_run_may_have_span(const struct index_run *run, const struct index_question *question)
{
	for (size_t word = 0; word < INDEX_FILTER_WORDS; word++)
		if ((question->mask[word] & ~run->filter[word]) != 0)
			return false;
	return true;
}

static bool head_may_match(const struct index_run *run, const struct filter *filter)
{
	enum record_status status = (run->flags & INDEX_HEAD_ERROR) != 0     ? RECORD_ERROR
				    : (run->flags & INDEX_HEAD_PENDING) != 0 ? RECORD_PENDING
									     : RECORD_SUCCESS;

	if (filter->until_ns != 0 && run->start_ns >= filter->until_ns)
		return false;
	if (filter->has_status && filter->status != status)
		return false;
	if (filter->min_duration_ns != 0 && run->duration_ns < filter->min_duration_ns)
		return false;
	return filter->max_duration_ns == 0 || run->duration_ns <= filter->max_duration_ns;
}

bool index_run_may_match(const struct index_run *run, const struct index_question *question)
{
	const struct filter *filter = question->filter;

	if (filter->since_ns != 0 && run->start_ns < filter->since_ns)
		return false;
	if (filter->errors && run->errors == 0)
		return false;
	if ((run->flags & INDEX_UNSURE) == 0 && !head_may_match(run, filter))
		return false;
	return index_run_may_have_span(run, question);
}
