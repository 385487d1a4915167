/*
 * pack_write.c: gathering what a pack says, run by run; see pack.h and pack_builder.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index_run.h"
#include "pack_builder.h"
#include "pack_columns.h"
#include "pack_ribbon.h"
#include "scan.h"

enum {
	FILTER_COLUMNS = 6,    /* of filters of attributes: bits for each */
	FILTER_SPAN_BITS = 14, /* at most, a span of the group */
	FILTER_BYTES_MAX = 60000,
	KINDS_MAX = 1 << 16,
	KIND_BYTES_MAX = 4096,
	MEMORY_DEFAULT = 16 << 20,
	SPILL_BYTES_MIN = 4096,
};

/* No filter that is longer says anything. */
#define HASHES_MAX ((size_t)FILTER_BYTES_MAX * 8 / FILTER_COLUMNS)

static int init_spills(struct pack_builder *builder, size_t memory)
{
	static const char *const suffixes[] = {".blk", ".dir", ".con", ".ids"};
	struct spill_place places[4];
	size_t bytes = memory / 32;
	int ret = pack_name(&builder->config.part, builder->name);

	if (ret != 0)
		return ret;
	if (bytes < SPILL_BYTES_MIN)
		bytes = SPILL_BYTES_MIN;
	for (size_t i = 0; i < 4; i++) {
		memcpy(builder->spill_names[i], builder->name, sizeof(builder->name));
		strcat(builder->spill_names[i], suffixes[i]);
		places[i] = (struct spill_place){.disk = builder->config.disk,
			.dir = builder->config.index_dir,
			.name = builder->spill_names[i],
			.hurry = builder->config.hurry,
			.context = builder->config.context};
	}
	spill_init(&builder->blocks, &places[0], bytes);
	spill_init(&builder->directory, &places[1], bytes);
	spill_init(&builder->continuing, &places[2], bytes);
	spill_ids_init(&builder->ids, &places[3], memory / 16 / sizeof(struct spill_id));
	return 0;
}

/* Its shares of the memory: ids a sixteenth, sums seven (and twice as much in the end, when the
 * rest is free), kinds a quarter, the rest for blocks. */
struct pack_builder *pack_builder_new(const struct pack_config *config)
{
	struct pack_builder *builder = calloc(1, sizeof(*builder));
	size_t memory = config->memory_bytes > 0 ? config->memory_bytes : MEMORY_DEFAULT;

	if (builder == NULL)
		return NULL;
	builder->config = *config;
	builder->seed = pack_seed(config->store_id, &config->part, PACK_FORM_2);
	builder->header.sum_min_ns = INT64_MAX;
	builder->header.sum_max_ns = INT64_MIN;
	builder->hashes_max = memory / 64 < HASHES_MAX ? memory / 64 : HASHES_MAX;
	builder->sums_bytes_max = memory / 16 * 7;
	builder->kind_bytes_max = memory / 16;
	builder->kinds_max = KINDS_MAX;
	while (builder->kinds_max > 64 && builder->kinds_max > memory / 64)
		builder->kinds_max /= 2;
	builder->sums = stats_new();
	builder->texts = calloc(1, sizeof(*builder->texts));
	builder->kind_slots = calloc((size_t)builder->kinds_max * 2, sizeof(*builder->kind_slots));
	builder->kind_ends = calloc((size_t)builder->kinds_max + 1, sizeof(*builder->kind_ends));
	if (builder->sums != NULL && builder->texts != NULL && builder->kind_slots != NULL &&
		builder->kind_ends != NULL && init_spills(builder, memory) == 0)
		return builder;
	pack_builder_free(builder);
	return NULL;
}

void pack_builder_free(struct pack_builder *builder)
{
	if (builder == NULL)
		return;
	spill_done(&builder->blocks);
	spill_done(&builder->directory);
	spill_done(&builder->continuing);
	spill_ids_done(&builder->ids);
	bytes_done(&builder->block);
	bytes_done(&builder->filter);
	bytes_done(&builder->kinds);
	bytes_done(&builder->kind);
	free(builder->hashes);
	free(builder->texts);
	free(builder->kind_ends);
	free(builder->kind_slots);
	stats_free(builder->sums);
	trace_load_done(&builder->load);
	scratch_done(&builder->scratch);
	free(builder);
}

/* ---- Filters of attributes ------------------------------------------------------ */

static void insert_hash(uint64_t *table, size_t capacity, uint64_t hash, size_t *count)
{
	size_t at = hash & (capacity - 1);

	while (table[at] != 0 && table[at] != hash)
		at = (at + 1) & (capacity - 1);
	*count += table[at] == 0;
	table[at] = hash;
}

static int add_hash(struct pack_builder *builder, uint64_t hash)
{
	if (builder->hash_count >= builder->hashes_max) {
		builder->hashes_pass = true;
		return 0;
	}
	if (builder->hash_count * 2 >= builder->hash_capacity) {
		size_t capacity = builder->hash_capacity > 0 ? builder->hash_capacity * 2 : 1024;
		uint64_t *table = calloc(capacity, sizeof(*table));
		size_t count = 0;

		if (table == NULL)
			return -ENOMEM;
		for (size_t i = 0; i < builder->hash_capacity; i++)
			if (builder->hashes[i] != 0)
				insert_hash(table, capacity, builder->hashes[i], &count);
		free(builder->hashes);
		builder->hashes = table;
		builder->hash_capacity = capacity;
	}
	/* 0 marks what is free. */
	insert_hash(builder->hashes, builder->hash_capacity, hash != 0 ? hash : 1,
		&builder->hash_count);
	return 0;
}

static int on_attribute(void *ctx, struct slice key, struct slice value)
{
	return add_hash(ctx, index_hash_attribute(key, value));
}

/* What is said of texts is put behind that of attributes, when the block ends. */
static int end_group(struct pack_builder *builder)
{
	struct bytes *filter = &builder->filter;
	size_t from = filter->length, bytes = 0;
	uint64_t bits = builder->group_spans * FILTER_SPAN_BITS;
	static const uint8_t length[2];
	bool passes = builder->group_passes || builder->hashes_pass;
	int ret = bytes_put(filter, length, sizeof(length));

	bits = bits < FILTER_BYTES_MAX * 8 ? bits : FILTER_BYTES_MAX * 8;
	if (ret == 0 && builder->hash_count > 0 && !passes)
		ret = ribbon_put(builder->hashes, builder->hash_capacity, builder->hash_count, bits,
			FILTER_COLUMNS, filter, &bytes);
	if (ret != 0)
		return ret;
	if (passes || (builder->hash_count > 0 && bytes == 0))
		bytes = PACK_PASSES_ALL;
	le16_write(filter->data + from, (uint16_t)bytes);
	if (builder->hash_capacity > 0)
		memset(builder->hashes, 0, builder->hash_capacity * sizeof(*builder->hashes));
	if (builder->group_passes)
		pack_texts_pass(builder->texts);
	pack_texts_end_group(builder->texts, builder->group_spans);
	builder->hash_count = 0;
	builder->group_spans = 0;
	builder->hashes_pass = builder->group_passes = false;
	return 0;
}

/* ---- Blocks ---------------------------------------------------------------------- */

/* Appends bytes with their CRC before them; gives where. */
static int put_piece(struct pack_builder *builder, unsigned int piece, const struct bytes *bytes,
	uint64_t *ret_offset)
{
	uint64_t number = pack_blocks(builder->header.runs) - 1;
	uint8_t crc[4];
	int ret;

	le32_write(crc, pack_crc(builder->seed, piece, number, bytes->data, bytes->length));
	*ret_offset = spill_length(&builder->blocks);
	ret = spill_put(&builder->blocks, crc, sizeof(crc));
	return ret == 0 ? spill_put(&builder->blocks, bytes->data, bytes->length) : ret;
}

static int put_columns(struct pack_builder *builder)
{
	size_t count = builder->block_runs;
	int ret = bytes_put(&builder->block, builder->trace_ids, 16 * count);

	if (ret == 0)
		ret = bytes_varint(&builder->block, pack_zigzag(builder->block_start_ns));
	for (size_t i = 0; ret == 0 && i < PACK_COLUMNS; i++)
		ret = column_put(builder->columns[i], count, &builder->block);
	return ret;
}

static int end_block(struct pack_builder *builder)
{
	const struct index_zone *zone = &builder->zone;
	uint8_t entry[PACK_ENTRY_BYTES];
	uint64_t offset, filter_offset;
	int ret = builder->block_runs % PACK_GROUP_RUNS != 0 ? end_group(builder) : 0;

	if (ret == 0)
		ret = pack_texts_end_block(
			builder->texts, pack_blocks(builder->header.runs) - 1, &builder->filter);
	if (ret == 0)
		ret = put_columns(builder);
	if (ret == 0)
		ret = put_piece(builder, PACK_PIECE_BLOCK, &builder->block, &offset);
	if (ret == 0)
		ret = put_piece(builder, PACK_PIECE_FILTER, &builder->filter, &filter_offset);
	if (ret != 0)
		return ret;
	le64_write(entry, offset);
	le64_write(entry + 8, builder->block_offset);
	le64_write(entry + 16, filter_offset);
	le32_write(entry + 24, (uint32_t)builder->block.length + 4);
	le32_write(entry + 28, (uint32_t)builder->filter.length + 4);
	le32_write(entry + 32, zone->flags);
	le32_write(entry + 36, zone->errors);
	le64_write(entry + 40, (uint64_t)zone->max_start_ns);
	le64_write(entry + 48, (uint64_t)zone->min_start_ns);
	le64_write(entry + 56, (uint64_t)zone->max_duration_ns);
	index_zone_join(&builder->header.zone, zone);
	builder->zone = (struct index_zone){0};
	builder->block.length = builder->filter.length = 0;
	builder->block_runs = 0;
	return spill_put(&builder->directory, entry, sizeof(entry));
}

/* ---- Kinds -------------------------------------------------------------------------- */

static int build_kind(struct pack_builder *builder, const struct trace_summary *summary)
{
	struct bytes *kind = &builder->kind;
	int ret;

	kind->length = 0;
	ret = bytes_text(kind, summary->operation.data, summary->operation.length);
	if (ret == 0)
		ret = bytes_text(kind, summary->layer.data, summary->layer.length);
	if (ret == 0)
		ret = bytes_varint(kind, summary->service_count);
	for (size_t i = 0; ret == 0 && i < summary->service_count; i++)
		ret = bytes_text(kind, summary->services[i].data, summary->services[i].length);
	return ret;
}

/* *ret: 0 when there is no room for one more. */
static int add_kind(
	struct pack_builder *builder, const struct trace_summary *summary, uint32_t *ret_number)
{
	struct slice kind;
	size_t mask = (size_t)builder->kinds_max * 2 - 1;
	size_t at;
	int ret = build_kind(builder, summary);

	*ret_number = 0;
	if (ret != 0 || builder->kind.length > KIND_BYTES_MAX)
		return ret;
	kind = slice_of(builder->kind.data, builder->kind.length);
	at = crc32c(0, kind.data, kind.length) & mask;
	while (builder->kind_slots[at] != 0 &&
		!slice_equal(pack_kind_at(builder, builder->kind_slots[at]), kind))
		at = (at + 1) & mask;
	if (builder->kind_slots[at] == 0 && builder->kind_count < builder->kinds_max &&
		builder->kinds.length + kind.length <= builder->kind_bytes_max) {
		ret = bytes_put(&builder->kinds, kind.data, kind.length);
		if (ret != 0)
			return ret;
		builder->kind_ends[++builder->kind_count] = (uint32_t)builder->kinds.length;
		builder->kind_slots[at] = builder->kind_count;
	}
	*ret_number = builder->kind_slots[at];
	return 0;
}

/* ---- Lines --------------------------------------------------------------------------- */

static int on_text(void *ctx, struct slice text)
{
	struct pack_builder *builder = ctx;

	pack_texts_add(builder->texts, text);
	return 0;
}

static int on_line(void *ctx, const struct scan_line *line)
{
	struct pack_builder *builder = ctx;
	struct record record;
	int ret = line->text.data == NULL
			  ? ERR_LIMIT
			  : record_parse(line->text, &builder->scratch, &record, NULL);

	if (ret == 0)
		ret = record_for_each_attribute(&record, &builder->scratch, on_attribute, builder);
	if (ret == 0)
		ret = filter_for_each_text(&record, &builder->scratch, on_text, builder);
	if (ret == 0)
		ret = trace_load_add(&builder->load, &record);
	scratch_reset(&builder->scratch);
	return ret;
}

/* Adds the run's spans to the sums. */
static int count_spans(struct pack_builder *builder, int64_t start_ns)
{
	int ret = trace_load_stats(&builder->load, builder->sums, false);

	/* Which rows go into the one for all others would depend on the order. */
	if (stats_count(builder->sums) >= STATS_OPERATIONS - 1 ||
		stats_memory(builder->sums) > builder->sums_bytes_max) {
		stats_free(builder->sums);
		builder->sums = NULL;
	}
	if (start_ns < builder->header.sum_min_ns)
		builder->header.sum_min_ns = start_ns;
	if (start_ns > builder->header.sum_max_ns)
		builder->header.sum_max_ns = start_ns;
	return ret;
}

/* What the lines say beyond the run. Sets INDEX_UNSUMMED and the kind. */
static int look_at_lines(struct pack_builder *builder, struct index_run *run, struct slice lines)
{
	static const struct filter everything;
	struct trace_load *load = &builder->load;
	struct trace_summary summary;
	int ret;

	run->kind = 0;
	run->flags |= INDEX_UNSUMMED;
	builder->group_spans += run->spans;
	if (lines.length == 0) {
		builder->group_passes = true;
		return 0;
	}
	trace_load_begin(load, &everything, run->trace_id);
	ret = scan_memory(lines, 0, on_line, builder);
	if (ret == 0)
		ret = trace_load_end(load);
	if (ret != 0) {
		builder->group_passes = true;
		return ret == -ENOMEM ? ret : 0;
	}
	/* What is not sure, or not a span a line, is left to those who read it. */
	if ((run->flags & INDEX_UNSURE) != 0 || load->tree.span_count != run->spans)
		return 0;
	ret = trace_load_summary(load, &builder->scratch, &summary);
	if (ret == 0 && !summary.pending)
		ret = add_kind(builder, &summary, &run->kind);
	scratch_reset(&builder->scratch);
	if (ret == 0 && builder->sums != NULL) {
		run->flags &= ~(uint32_t)INDEX_UNSUMMED;
		ret = count_spans(builder, run->start_ns);
	}
	return ret;
}

/* ---- Runs ------------------------------------------------------------------------------ */

static int add_id(struct pack_builder *builder, const struct index_run *run)
{
	uint64_t number = builder->header.runs;
	int ret;

	if (number >= PACK_RUNS_MAX)
		return -EFBIG;
	ret = spill_ids_put(&builder->ids, index_hash_id(run->trace_id), (uint32_t)number);
	if (ret == 0 && (run->flags & INDEX_CONTINUES) != 0)
		ret = spill_put(&builder->continuing, run->trace_id, 16);
	return ret;
}

static void keep_run(struct pack_builder *builder, const struct index_run *run)
{
	size_t at = builder->block_runs;

	if (at == 0) {
		builder->block_offset = builder->end;
		builder->block_start_ns = builder->start_ns = run->start_ns;
	}
	memcpy(builder->trace_ids[at], run->trace_id, 16);
	builder->columns[PACK_FLAGS][at] = run->flags & PACK_RUN_FLAGS;
	builder->columns[PACK_GAPS][at] = run->offset - builder->end;
	builder->columns[PACK_LENGTHS][at] = run->length_bytes;
	builder->columns[PACK_SPANS][at] = run->spans;
	builder->columns[PACK_ERRORS][at] = run->errors;
	builder->columns[PACK_STARTS][at] =
		pack_zigzag((int64_t)((uint64_t)run->start_ns - (uint64_t)builder->start_ns));
	builder->columns[PACK_DURATIONS][at] = pack_zigzag(run->duration_ns);
	builder->columns[PACK_RUN_KINDS][at] = run->kind;
	builder->start_ns = run->start_ns;
	builder->end = run->offset + run->length_bytes;
}

int pack_builder_add(struct pack_builder *builder, const struct index_run *run, struct slice lines)
{
	struct index_run marked = *run;
	int ret = run->offset >= builder->end ? look_at_lines(builder, &marked, lines) : -EINVAL;

	if (ret == 0)
		ret = add_id(builder, &marked);
	if (ret != 0)
		return ret;
	keep_run(builder, &marked);
	builder->header.runs++;
	builder->block_runs++;
	index_zone_add(&builder->zone, &marked);
	if (builder->block_runs == INDEX_BLOCK_RUNS)
		return end_block(builder);
	return builder->block_runs % PACK_GROUP_RUNS == 0 ? end_group(builder) : 0;
}

int pack_builder_write(struct pack_builder *builder, uint64_t covered)
{
	int ret = builder->header.runs > 0 ? 0 : -EINVAL;

	if (ret == 0 && builder->block_runs > 0)
		ret = end_block(builder);
	if (ret != 0)
		return ret;
	builder->header.covered = covered;
	/* What only gathering needs: the end takes memory, too. */
	free(builder->hashes);
	builder->hashes = NULL;
	trace_load_done(&builder->load);
	scratch_done(&builder->scratch);
	return pack_file_write(builder);
}
