/*
 * pack_write.c: making packs; see pack.h. All of the file is put together in memory: it is
 * about 1 % of its part.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "index_run.h"
#include "pack_internal.h"
#include "pack_texts.h"
#include "scan.h"
#include "scratch.h"
#include "trace_load.h"

enum {
	FILTER_BITS = 6,       /* an attribute */
	FILTER_SPAN_BITS = 10, /* at most, a span of the group */
	KINDS_MAX = 1 << 16,
	KIND_BYTES_MAX = 4096,
	SUMS_LEVEL = 9, /* zstd's */
};

struct pack_id {
	uint64_t hash;
	uint32_t run;
};

struct pack_builder {
	uint32_t seed;
	struct part_name part;
	struct pack_header header;
	struct bytes blocks; /* whole ones, and filters, as they stand in the file behind the
				header and PACK_PAGES_FIRST */
	struct bytes directory;
	/* The block under way. */
	struct bytes block;
	struct bytes filter;
	struct index_zone zone;
	uint64_t block_offset; /* of its text */
	uint64_t end;	       /* of the last run's text */
	int64_t start_ns;      /* of the last run in the block */
	size_t block_runs;
	/* The group under way: hashes of its attributes, each once in a table. */
	uint64_t *hashes;
	size_t hash_count, hash_capacity;
	uint64_t group_spans;
	bool group_passes;	  /* not all of its attributes are known */
	struct pack_texts *texts; /* of the block under way */
	/* Of all runs. */
	struct pack_id *ids;
	size_t id_capacity;
	struct bytes continuing;
	struct bytes kinds; /* each behind its length */
	uint32_t *kind_ends;
	uint32_t *kind_slots; /* number; 0: free */
	uint32_t kind_count;
	struct bytes kind; /* the one under way */
	struct stats *sums;
	bool sums_given_up;
	struct trace_load load;
	struct scratch scratch;
};

struct pack_builder *pack_builder_new(const uint8_t store_id[16], const struct part_name *part)
{
	struct pack_builder *builder = calloc(1, sizeof(*builder));

	if (builder == NULL)
		return NULL;
	builder->seed = pack_seed(store_id, part);
	builder->part = *part;
	builder->header.sum_min_ns = INT64_MAX;
	builder->header.sum_max_ns = INT64_MIN;
	builder->sums = stats_new();
	builder->texts = calloc(1, sizeof(*builder->texts));
	builder->kind_slots = calloc((size_t)KINDS_MAX * 2, sizeof(*builder->kind_slots));
	builder->kind_ends = calloc((size_t)KINDS_MAX + 1, sizeof(*builder->kind_ends));
	if (builder->sums != NULL && builder->texts != NULL && builder->kind_slots != NULL &&
		builder->kind_ends != NULL)
		return builder;
	pack_builder_free(builder);
	return NULL;
}

void pack_builder_free(struct pack_builder *builder)
{
	if (builder == NULL)
		return;
	bytes_done(&builder->blocks);
	bytes_done(&builder->directory);
	bytes_done(&builder->block);
	bytes_done(&builder->filter);
	bytes_done(&builder->continuing);
	bytes_done(&builder->kinds);
	bytes_done(&builder->kind);
	free(builder->hashes);
	free(builder->texts);
	free(builder->ids);
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
	uint64_t bits = builder->hash_count * FILTER_BITS;
	struct bytes *filter = &builder->filter;
	uint8_t length[2], *to;
	size_t bytes;
	bool passes;
	int ret;

	if (bits > builder->group_spans * FILTER_SPAN_BITS)
		bits = builder->group_spans * FILTER_SPAN_BITS;
	bytes = (size_t)(bits + 7) / 8;
	passes = builder->group_passes || bytes >= PACK_PASSES_ALL;
	le16_write(length, passes ? PACK_PASSES_ALL : (uint16_t)bytes);
	if (passes)
		bytes = 0;
	ret = bytes_put(filter, length, sizeof(length));
	if (ret == 0)
		ret = bytes_reserve(filter, bytes);
	if (ret != 0)
		return ret;
	to = filter->data + filter->length;
	memset(to, 0, bytes);
	filter->length += bytes;
	for (size_t i = 0; bytes > 0 && i < builder->hash_capacity; i++) {
		for (unsigned int k = 0; builder->hashes[i] != 0 && k < PACK_HASH_COUNT; k++) {
			uint32_t bit = pack_filter_bit(builder->hashes[i], k, (uint32_t)bytes * 8);

			to[bit / 8] |= (uint8_t)(1u << bit % 8);
		}
	}
	if (builder->hash_capacity > 0)
		memset(builder->hashes, 0, builder->hash_capacity * sizeof(*builder->hashes));
	if (builder->group_passes)
		pack_texts_pass(builder->texts);
	pack_texts_end_group(builder->texts, builder->group_spans);
	builder->hash_count = 0;
	builder->group_spans = 0;
	builder->group_passes = false;
	return 0;
}

/* ---- Blocks ---------------------------------------------------------------------- */

/* Appends bytes with their CRC before them; gives where. */
static int put_piece(struct pack_builder *builder, unsigned int piece, const struct bytes *bytes,
	uint64_t *ret_offset)
{
	uint64_t number = pack_blocks(builder->header.runs) - 1;
	int ret = bytes_u32(&builder->blocks,
		pack_crc(builder->seed, piece, number, bytes->data, bytes->length));

	*ret_offset = builder->blocks.length - 4;
	return ret == 0 ? bytes_put(&builder->blocks, bytes->data, bytes->length) : ret;
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
	return bytes_put(&builder->directory, entry, sizeof(entry));
}

/* ---- Kinds -------------------------------------------------------------------------- */

static struct slice kind_at(const struct pack_builder *builder, uint32_t number)
{
	uint32_t from = builder->kind_ends[number - 1];

	return slice_of(builder->kinds.data + from, builder->kind_ends[number] - from);
}

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
	size_t at;
	int ret = build_kind(builder, summary);

	*ret_number = 0;
	if (ret != 0 || builder->kind.length > KIND_BYTES_MAX)
		return ret;
	kind = slice_of(builder->kind.data, builder->kind.length);
	at = crc32c(0, kind.data, kind.length) & (KINDS_MAX * 2 - 1);
	while (builder->kind_slots[at] != 0 &&
		!slice_equal(kind_at(builder, builder->kind_slots[at]), kind))
		at = (at + 1) & (KINDS_MAX * 2 - 1);
	if (builder->kind_slots[at] == 0 && builder->kind_count < KINDS_MAX) {
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
	if (stats_count(builder->sums) >= STATS_OPERATIONS - 1)
		builder->sums_given_up = true;
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
	if (ret == 0 && !builder->sums_given_up) {
		run->flags &= ~(uint32_t)INDEX_UNSUMMED;
		ret = count_spans(builder, run->start_ns);
	}
	return ret;
}

/* ---- Runs ------------------------------------------------------------------------------ */

static int add_id(struct pack_builder *builder, const struct index_run *run)
{
	uint64_t number = builder->header.runs;

	if (number >= PACK_RUNS_MAX)
		return -EFBIG;
	if (number == builder->id_capacity) {
		size_t capacity = number > 0 ? builder->id_capacity * 2 : 1024;
		struct pack_id *ids = reallocarray(builder->ids, capacity, sizeof(*ids));

		if (ids == NULL)
			return -ENOMEM;
		builder->ids = ids;
		builder->id_capacity = capacity;
	}
	builder->ids[number] = (struct pack_id){index_hash_id(run->trace_id), (uint32_t)number};
	if ((run->flags & INDEX_CONTINUES) != 0)
		return bytes_put(&builder->continuing, run->trace_id, 16);
	return 0;
}

static int put_run(struct pack_builder *builder, const struct index_run *run)
{
	uint8_t first = (uint8_t)(run->flags & PACK_RUN_FLAGS);
	struct bytes *to = &builder->block;
	int ret = bytes_reserve(to, 17 + 7 * BYTES_VARINT_MAX);

	if (ret != 0)
		return ret;
	if (builder->block_runs == 0) {
		builder->block_offset = builder->end;
		builder->start_ns = 0;
	}
	first |= run->errors > 0 ? PACK_RUN_ERRORS : 0;
	first |= run->offset != builder->end ? (uint8_t)PACK_RUN_GAP : 0;
	to->data[to->length++] = first;
	memcpy(to->data + to->length, run->trace_id, 16);
	to->length += 16;
	if (run->offset != builder->end)
		bytes_varint_fast(to, run->offset - builder->end);
	bytes_varint_fast(to, run->length_bytes);
	bytes_varint_fast(to, run->spans);
	if (run->errors > 0)
		bytes_varint_fast(to, run->errors);
	bytes_varint_fast(
		to, pack_zigzag((int64_t)((uint64_t)run->start_ns - (uint64_t)builder->start_ns)));
	bytes_varint_fast(to, pack_zigzag(run->duration_ns));
	bytes_varint_fast(to, run->kind);
	builder->start_ns = run->start_ns;
	builder->end = run->offset + run->length_bytes;
	return 0;
}

int pack_builder_add(struct pack_builder *builder, const struct index_run *run, struct slice lines)
{
	struct index_run marked = *run;
	int ret = run->offset >= builder->end ? look_at_lines(builder, &marked, lines) : -EINVAL;

	if (ret == 0)
		ret = add_id(builder, &marked);
	if (ret == 0)
		ret = put_run(builder, &marked);
	if (ret != 0)
		return ret;
	builder->header.runs++;
	builder->block_runs++;
	index_zone_add(&builder->zone, &marked);
	if (builder->block_runs == INDEX_BLOCK_RUNS)
		return end_block(builder);
	return builder->block_runs % PACK_GROUP_RUNS == 0 ? end_group(builder) : 0;
}

/* ---- The file ---------------------------------------------------------------------------- */

static int compare_ids(const void *left, const void *right)
{
	const struct pack_id *a = left;
	const struct pack_id *b = right;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->run > b->run) - (a->run < b->run);
}

/* Appends to blocks; the place is counted from their beginning until the end. */
static int put_section(
	struct pack_builder *builder, enum pack_section section, const void *bytes, size_t length)
{
	struct pack_place *place = &builder->header.places[section];

	*place = (struct pack_place){.offset = builder->blocks.length,
		.length = (uint32_t)length,
		.crc = pack_crc(builder->seed, section, 0, bytes, length)};
	return length > UINT32_MAX ? -EFBIG : bytes_put(&builder->blocks, bytes, length);
}

static int put_pages(struct pack_builder *builder, uint8_t *firsts)
{
	uint64_t runs = builder->header.runs;
	unsigned int bits = pack_run_bits(runs);
	struct pack_place *place = &builder->header.places[PACK_IDS];
	uint8_t page[PACK_PAGE_BYTES];
	int ret = 0;

	*place = (struct pack_place){.offset = builder->blocks.length,
		.length = (uint32_t)(pack_pages(runs) * PACK_PAGE_BYTES)};
	for (uint64_t number = 0; ret == 0 && number < pack_pages(runs); number++) {
		const struct pack_id *ids = builder->ids + number * PACK_PAGE_IDS;
		uint64_t left = runs - number * PACK_PAGE_IDS;
		size_t count = left < PACK_PAGE_IDS ? (size_t)left : PACK_PAGE_IDS;

		memset(page, 0, sizeof(page));
		le32_write(page + 4, (uint32_t)count);
		for (size_t i = 0; i < count; i++)
			le32_write(page + 8 + 4 * i, (uint32_t)ids[i].hash << bits | ids[i].run);
		le32_write(page, pack_crc(builder->seed, PACK_PIECE_PAGE, number, page + 4,
					 sizeof(page) - 4));
		le32_write(firsts + 4 * number, (uint32_t)(ids[0].hash >> 32));
		/* The last one is only as long as it must be. */
		ret = bytes_put(&builder->blocks, page, sizeof(page));
	}
	return ret;
}

static int put_bloom(struct pack_builder *builder)
{
	uint64_t bytes = index_bloom_bytes(builder->header.runs);
	uint8_t *bloom = calloc(1, bytes);
	int ret;

	if (bloom == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < builder->header.runs; i++)
		index_bloom_set(bloom, bytes, builder->ids[i].hash);
	ret = put_section(builder, PACK_BLOOM, bloom, bytes);
	free(bloom);
	return ret;
}

static int put_kinds(struct pack_builder *builder)
{
	struct bytes kinds = {0};
	int ret = bytes_varint(&kinds, builder->kind_count);

	for (uint32_t i = 1; ret == 0 && i <= builder->kind_count; i++) {
		struct slice kind = kind_at(builder, i);

		ret = bytes_text(&kinds, kind.data, kind.length);
	}
	if (ret == 0)
		ret = put_section(builder, PACK_KINDS, kinds.data, kinds.length);
	bytes_done(&kinds);
	return ret;
}

/* Nearly all of it are counts in histograms, most of them 1. */
static int put_sums(struct pack_builder *builder)
{
	struct bytes sums = {0}, packed = {0};
	int ret = builder->sums_given_up ? 0 : stats_put(builder->sums, &sums);
	const struct bytes *put = &sums;

	if (ret == 0 && sums.length <= PACK_SUMS_BYTES_MAX)
		ret = bytes_reserve(&packed, ZSTD_compressBound(sums.length));
	if (ret == 0 && packed.capacity > 0) {
		size_t length = ZSTD_compress(
			packed.data, packed.capacity, sums.data, sums.length, SUMS_LEVEL);

		packed.length = ZSTD_isError(length) ? 0 : length;
		if (packed.length > 0 && packed.length < sums.length)
			put = &packed;
	}
	if (ret == 0)
		ret = put_section(builder, PACK_SUMS, put->data, put->length);
	bytes_done(&sums);
	bytes_done(&packed);
	return ret;
}

static void put_header(const struct pack_builder *builder, uint8_t to[PACK_HEADER_BYTES])
{
	const struct pack_header *header = &builder->header;

	memset(to, 0, PACK_HEADER_BYTES);
	memcpy(to + 8, "WAFTPACK", 8);
	le64_write(to + 16, header->runs);
	le64_write(to + 24, header->covered);
	le32_write(to + 32, header->zone.flags);
	le32_write(to + 36, header->zone.errors);
	le64_write(to + 40, (uint64_t)header->zone.max_start_ns);
	le64_write(to + 48, (uint64_t)header->zone.min_start_ns);
	le64_write(to + 56, (uint64_t)header->zone.max_duration_ns);
	le64_write(to + 64, (uint64_t)header->sum_min_ns);
	le64_write(to + 72, (uint64_t)header->sum_max_ns);
	for (size_t i = 0; i < PACK_SECTIONS; i++) {
		le64_write(to + 80 + 16 * i, header->places[i].offset);
		le32_write(to + 88 + 16 * i, header->places[i].length);
		le32_write(to + 92 + 16 * i, header->places[i].crc);
	}
	le32_write(
		to, pack_crc(builder->seed, PACK_PIECE_HEADER, 0, to + 4, PACK_HEADER_BYTES - 4));
}

static int put_sections(struct pack_builder *builder, uint8_t *firsts)
{
	struct pack_header *header = &builder->header;
	size_t first_bytes = 4 * (size_t)pack_pages(header->runs);
	int ret = put_section(
		builder, PACK_DIRECTORY, builder->directory.data, builder->directory.length);

	if (ret == 0)
		ret = put_pages(builder, firsts);
	if (ret == 0)
		ret = put_bloom(builder);
	if (ret == 0)
		ret = put_section(builder, PACK_CONTINUING, builder->continuing.data,
			builder->continuing.length);
	if (ret == 0)
		ret = put_kinds(builder);
	if (ret == 0)
		ret = put_sums(builder);
	header->places[PACK_PAGES_FIRST] = (struct pack_place){.offset = PACK_HEADER_BYTES,
		.length = (uint32_t)first_bytes,
		.crc = pack_crc(builder->seed, PACK_PAGES_FIRST, 0, firsts, first_bytes)};
	for (size_t i = PACK_DIRECTORY; i < PACK_SECTIONS; i++)
		header->places[i].offset += PACK_HEADER_BYTES + first_bytes;
	return ret;
}

static int write_file(const struct pack_builder *builder, struct disk *disk, int index_dir,
	const char *name, const uint8_t *firsts)
{
	size_t first_bytes = builder->header.places[PACK_PAGES_FIRST].length;
	uint8_t header[PACK_HEADER_BYTES];
	int file, ret;

	(void)!disk_unlink(disk, index_dir, name);
	ret = file = disk_open(disk, index_dir, name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	if (file < 0)
		return ret;
	put_header(builder, header);
	ret = disk_write(disk, file, header, sizeof(header), 0);
	if (ret == 0)
		ret = disk_write(disk, file, firsts, first_bytes, PACK_HEADER_BYTES);
	if (ret == 0)
		ret = disk_write(disk, file, builder->blocks.data, builder->blocks.length,
			PACK_HEADER_BYTES + first_bytes);
	disk_close(disk, file);
	return ret;
}

int pack_builder_write(
	struct pack_builder *builder, struct disk *disk, int index_dir, uint64_t covered)
{
	char name[PACK_NAME_BYTES], new_name[PACK_NAME_BYTES + 4];
	uint8_t *firsts;
	int ret = pack_name(&builder->part, name);

	if (ret == 0 && builder->header.runs == 0)
		ret = -EINVAL;
	if (ret == 0 && builder->block_runs > 0)
		ret = end_block(builder);
	if (ret != 0)
		return ret;
	builder->header.covered = covered;
	qsort(builder->ids, builder->header.runs, sizeof(*builder->ids), compare_ids);
	firsts = calloc(pack_pages(builder->header.runs), 4);
	if (firsts == NULL)
		return -ENOMEM;
	memcpy(new_name, name, sizeof(name));
	strcat(new_name, ".new");
	ret = put_sections(builder, firsts);
	if (ret == 0)
		ret = write_file(builder, disk, index_dir, new_name, firsts);
	if (ret == 0)
		ret = disk_rename(disk, index_dir, new_name, index_dir, name, true);
	free(firsts);
	return ret;
}
