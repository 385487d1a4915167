/*
 * pack_read.c: reading packs; see pack.h. The header and the pages' first hashes are read when
 * it is opened, the directory and the kinds when they are asked for first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "index_run.h"
#include "pack_columns.h"
#include "pack_internal.h"
#include "pack_ribbon.h"
#include "pack_texts.h"

/* One read as a rule: header and first hashes of a million runs. */
#define FRONT_BYTES 4096

struct pack {
	struct disk *disk;
	int file;
	uint64_t file_bytes;
	uint32_t seed;
	enum pack_form form;
	struct pack_header header;
	uint64_t body; /* where blocks are counted from */
	uint8_t *firsts;
	uint8_t *directory; /* NULL: not read yet */
	uint8_t *kinds;
	struct slice *kind_texts; /* of kinds; by number - 1 */
	uint64_t kind_count;
	uint8_t *page; /* of ids, checked; NULL: none yet */
	uint64_t page_number;
	bool has_absent;
	uint64_t absent;	   /* hash of the trace id that was found not to be here last */
	uint64_t likely;	   /* where the lines of a run probably are that is looked for */
	struct pack_grams *common; /* of the blocks from common_block on; NULL: not asked yet */
	size_t common_block;
	bool has_no_texts;
	uint8_t *scratch; /* a block or its filter */
	size_t scratch_capacity;
};

int pack_name(const struct part_name *part, char ret[PACK_NAME_BYTES])
{
	char name[PART_NAME_BYTES];
	int error = part_name_format(part, name);

	if (error == 0)
		snprintf(ret, PACK_NAME_BYTES, "%s.pack", name);
	return error;
}

/* ---- Opening ------------------------------------------------------------------- */

static bool is_inside(const struct pack *pack, uint64_t length, uint64_t offset)
{
	return offset <= pack->file_bytes && length <= pack->file_bytes - offset;
}

static int read_exactly(const struct pack *pack, void *to, size_t length, uint64_t offset)
{
	ssize_t got;

	if (!is_inside(pack, length, offset))
		return ERR_INDEX;
	got = disk_read(pack->disk, pack->file, to, length, offset);
	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : ERR_INDEX;
}

static int read_header(struct pack *pack, const uint8_t *bytes)
{
	struct pack_header *header = &pack->header;

	if (le32_read(bytes) !=
		pack_crc(pack->seed, PACK_PIECE_HEADER, 0, bytes + 4, PACK_HEADER_BYTES - 4))
		return ERR_INDEX;
	header->runs = le64_read(bytes + 16);
	header->covered = le64_read(bytes + 24);
	header->zone.runs = (uint32_t)header->runs;
	header->zone.flags = le32_read(bytes + 32);
	header->zone.errors = le32_read(bytes + 36);
	header->zone.max_start_ns = (int64_t)le64_read(bytes + 40);
	header->zone.min_start_ns = (int64_t)le64_read(bytes + 48);
	header->zone.max_duration_ns = (int64_t)le64_read(bytes + 56);
	header->sum_min_ns = (int64_t)le64_read(bytes + 64);
	header->sum_max_ns = (int64_t)le64_read(bytes + 72);
	for (size_t i = 0; i < PACK_SECTIONS; i++) {
		header->places[i].offset = le64_read(bytes + 80 + 16 * i);
		header->places[i].length = le32_read(bytes + 88 + 16 * i);
		header->places[i].crc = le32_read(bytes + 92 + 16 * i);
	}
	pack->body = PACK_HEADER_BYTES + header->places[PACK_PAGES_FIRST].length;
	if (header->runs == 0 || header->runs > PACK_RUNS_MAX ||
		header->places[PACK_PAGES_FIRST].length != 4 * pack_pages(header->runs) ||
		header->places[PACK_DIRECTORY].length !=
			pack_blocks(header->runs) * PACK_ENTRY_BYTES)
		return ERR_INDEX;
	return 0;
}

/* A section as a whole, checked. *ret is owned. */
static int read_section(const struct pack *pack, enum pack_section section, uint8_t **ret)
{
	const struct pack_place *place = &pack->header.places[section];
	uint8_t *bytes;
	int error;

	/* Before memory is taken for it. */
	if (!is_inside(pack, place->length, place->offset))
		return ERR_INDEX;
	bytes = malloc((size_t)place->length + 1);
	if (bytes == NULL)
		return -ENOMEM;
	error = read_exactly(pack, bytes, place->length, place->offset);
	if (error == 0 && pack_crc(pack->seed, section, 0, bytes, place->length) != place->crc)
		error = ERR_INDEX;
	if (error != 0)
		free(bytes);
	else
		*ret = bytes;
	return error;
}

/* Of this form, or else of the one before. */
static int read_front(struct pack *pack, uint32_t earlier_seed)
{
	uint8_t front[FRONT_BYTES];
	ssize_t got = disk_read(pack->disk, pack->file, front, sizeof(front), 0);
	const struct pack_place *place = &pack->header.places[PACK_PAGES_FIRST];
	int error;

	if (got < PACK_HEADER_BYTES)
		return ERR_INDEX;
	error = read_header(pack, front);
	if (error != 0 && pack->form != PACK_FORM_1) {
		pack->form = PACK_FORM_1;
		pack->seed = earlier_seed;
		error = read_header(pack, front);
	}
	if (error != 0)
		return error;
	if ((size_t)got < pack->body)
		return read_section(pack, PACK_PAGES_FIRST, &pack->firsts);
	if (pack_crc(pack->seed, PACK_PAGES_FIRST, 0, front + PACK_HEADER_BYTES, place->length) !=
		place->crc)
		return ERR_INDEX;
	pack->firsts = malloc(place->length);
	if (pack->firsts == NULL)
		return -ENOMEM;
	memcpy(pack->firsts, front + PACK_HEADER_BYTES, place->length);
	return 0;
}

int pack_open(struct disk *disk, int index_dir, const uint8_t store_id[16],
	const struct part_name *part, struct pack **ret)
{
	char name[PACK_NAME_BYTES];
	struct pack *pack = calloc(1, sizeof(*pack));
	struct disk_stat stat;
	int error = pack == NULL ? -ENOMEM : pack_name(part, name);

	if (error != 0) {
		free(pack);
		return error == -ENOMEM ? error : ERR_INDEX;
	}
	pack->disk = disk;
	pack->form = PACK_FORM_2;
	pack->seed = pack_seed(store_id, part, pack->form);
	pack->file = disk_open(disk, index_dir, name, DISK_READ);
	error = pack->file < 0 ? ERR_INDEX : disk_stat_file(disk, pack->file, &stat);
	if (error == 0) {
		pack->file_bytes = stat.length_bytes;
		error = read_front(pack, pack_seed(store_id, part, PACK_FORM_1));
	}
	if (error != 0) {
		pack_close(pack);
		return error == -ENOMEM ? error : ERR_INDEX;
	}
	*ret = pack;
	return 0;
}

void pack_will_open(struct disk *disk, int index_dir, const struct part_name *part)
{
	char name[PACK_NAME_BYTES];
	int file = pack_name(part, name) == 0 ? disk_open(disk, index_dir, name, DISK_READ) : -1;

	if (file >= 0)
		disk_will_read(disk, file, 0, FRONT_BYTES);
	disk_close(disk, file);
}

void pack_close(struct pack *pack)
{
	if (pack == NULL)
		return;
	disk_close(pack->disk, pack->file);
	free(pack->firsts);
	free(pack->directory);
	free(pack->kinds);
	free(pack->kind_texts);
	free(pack->page);
	free(pack->common);
	free(pack->scratch);
	free(pack);
}

uint64_t pack_runs(const struct pack *pack)
{
	return pack->header.runs;
}

uint64_t pack_covered(const struct pack *pack)
{
	return pack->header.covered;
}

void pack_zone(const struct pack *pack, struct index_zone *ret)
{
	*ret = pack->header.zone;
}

/* ---- Blocks ---------------------------------------------------------------------- */

static size_t runs_in_block(const struct pack *pack, size_t block)
{
	uint64_t left = pack->header.runs - (uint64_t)block * INDEX_BLOCK_RUNS;

	return left < INDEX_BLOCK_RUNS ? (size_t)left : INDEX_BLOCK_RUNS;
}

static int read_entry(struct pack *pack, size_t block, struct pack_entry *ret)
{
	const uint8_t *entry;

	if (block >= pack_blocks(pack->header.runs))
		return ERR_INDEX;
	if (pack->directory == NULL) {
		int error = read_section(pack, PACK_DIRECTORY, &pack->directory);

		if (error != 0 || pack->directory == NULL)
			return error != 0 ? error : ERR_INDEX;
	}
	entry = pack->directory + block * PACK_ENTRY_BYTES;
	*ret = (struct pack_entry){.offset = le64_read(entry),
		.text_offset = le64_read(entry + 8),
		.filter_offset = le64_read(entry + 16),
		.length = le32_read(entry + 24),
		.filter_length = le32_read(entry + 28),
		.zone = {.runs = (uint32_t)runs_in_block(pack, block),
			.flags = le32_read(entry + 32),
			.errors = le32_read(entry + 36),
			.max_start_ns = (int64_t)le64_read(entry + 40),
			.min_start_ns = (int64_t)le64_read(entry + 48),
			.max_duration_ns = (int64_t)le64_read(entry + 56)}};
	return 0;
}

int pack_block_zone(struct pack *pack, size_t block, struct index_zone *ret)
{
	struct pack_entry entry;
	int error = read_entry(pack, block, &entry);

	if (error == 0)
		*ret = entry.zone;
	return error;
}

/* A piece behind its CRC, into the scratch. */
static int read_piece(struct pack *pack, unsigned int piece, uint64_t number, uint64_t offset,
	uint32_t length, struct slice *ret)
{
	int error;

	if (length < 4 || !is_inside(pack, length, offset))
		return ERR_INDEX;
	if (pack->scratch == NULL || length > pack->scratch_capacity) {
		uint8_t *grown = realloc(pack->scratch, length);

		if (grown == NULL)
			return -ENOMEM;
		pack->scratch = grown;
		pack->scratch_capacity = length;
	}
	error = read_exactly(pack, pack->scratch, length, offset);
	if (error == 0 && pack_crc(pack->seed, piece, number, pack->scratch + 4, length - 4) !=
				  le32_read(pack->scratch))
		error = ERR_INDEX;
	*ret = slice_of(pack->scratch + 4, length - 4);
	return error;
}

int pack_block(
	struct pack *pack, size_t block, struct index_run ret[INDEX_BLOCK_RUNS], size_t *ret_count)
{
	struct pack_entry entry;
	struct slice bytes;
	struct cursor in;
	int error = read_entry(pack, block, &entry);

	if (error == 0)
		error = read_piece(pack, PACK_PIECE_BLOCK, block, pack->body + entry.offset,
			entry.length, &bytes);
	if (error != 0)
		return error;
	in = cursor_of_slice(bytes);
	pack_take_runs(&in, pack->form, &entry, ret);
	*ret_count = entry.zone.runs;
	return in.error != 0 || cursor_more(&in) || entry.text_offset > pack->header.covered
		       ? ERR_INDEX
		       : 0;
}

/* Of form 1. */
static bool bloom_may_have(struct slice filter, const uint64_t *hashes, size_t count)
{
	uint32_t bits = (uint32_t)filter.length * 8;

	for (size_t i = 0; i < count; i++) {
		for (unsigned int k = 0; bits > 0 && k < PACK_HASH_COUNT; k++) {
			uint32_t bit = pack_filter_bit(hashes[i], k, bits);

			if ((filter.data[bit / 8] >> bit % 8 & 1) == 0)
				return false;
		}
		if (bits == 0)
			return false;
	}
	return true;
}

static bool may_hold(enum pack_form form, struct slice filter, const uint64_t *hashes, size_t count)
{
	if (form == PACK_FORM_1)
		return bloom_may_have(filter, hashes, count);
	return filter.length > 0 ? ribbon_may_have(filter, hashes, count) : count == 0;
}

static unsigned int groups_in(uint32_t runs)
{
	return (runs + PACK_GROUP_RUNS - 1) / PACK_GROUP_RUNS;
}

/* A block's filters, in the scratch. */
static int read_filters(
	struct pack *pack, size_t block, struct cursor *ret_in, unsigned int *ret_groups)
{
	struct pack_entry entry;
	struct slice bytes;
	int error = read_entry(pack, block, &entry);

	if (error == 0)
		error = read_piece(pack, PACK_PIECE_FILTER, block, pack->body + entry.filter_offset,
			entry.filter_length, &bytes);
	if (error != 0)
		return error;
	*ret_in = cursor_of_slice(bytes);
	*ret_groups = groups_in(entry.zone.runs);
	return 0;
}

/* Takes the filters of attributes. */
static uint32_t take_attributes(const struct pack *pack, struct cursor *in, unsigned int groups,
	const uint64_t *hashes, size_t count)
{
	uint32_t ret = 0;

	for (unsigned int i = 0; i < groups; i++) {
		struct slice length = cursor_take(in, 2);
		uint16_t filter_bytes = length.length == 2 ? le16_read(length.data) : 0;

		if (filter_bytes == PACK_PASSES_ALL ||
			may_hold(pack->form, cursor_take(in, filter_bytes), hashes, count))
			ret |= UINT32_C(1) << i;
	}
	return ret;
}

int pack_block_groups(
	struct pack *pack, size_t block, const uint64_t *hashes, size_t count, uint32_t *ret_groups)
{
	uint64_t wanted[INDEX_QUESTION_HASHES];
	struct cursor in;
	unsigned int groups;
	int error = read_filters(pack, block, &in, &groups);

	if (error != 0)
		return error;
	count = count < INDEX_QUESTION_HASHES ? count : INDEX_QUESTION_HASHES;
	/* As the builder has it, where 0 is none. */
	for (size_t i = 0; i < count; i++)
		wanted[i] = hashes[i] != 0 ? hashes[i] : 1;
	*ret_groups = take_attributes(pack, &in, groups, wanted, count);
	return in.error != 0 ? ERR_INDEX : 0;
}

/* The grams that say nothing about groups of the block. */
static int keep_common(struct pack *pack, size_t block)
{
	struct cursor in;
	unsigned int groups;
	int error;

	block -= block % PACK_COMMON_BLOCKS;
	if (pack->common != NULL && pack->common_block == block)
		return 0;
	error = read_filters(pack, block, &in, &groups);
	if (error == 0 && pack->common == NULL)
		pack->common = malloc(sizeof(*pack->common));
	if (error != 0 || pack->common == NULL)
		return error != 0 ? error : -ENOMEM;
	pack->common_block = SIZE_MAX;
	(void)take_attributes(pack, &in, groups, NULL, 0);
	if (in.error == 0 && pack_texts_common(&in, pack->common))
		pack->common_block = block;
	else
		pack->has_no_texts = true;
	return in.error != 0 ? ERR_INDEX : 0;
}

int pack_block_texts(
	struct pack *pack, size_t block, const uint16_t *grams, size_t count, uint32_t *ret_groups)
{
	uint16_t telling[INDEX_QUESTION_GRAMS];
	size_t telling_count = 0;
	struct cursor in;
	unsigned int groups;
	int error = pack->has_no_texts ? 0 : keep_common(pack, block);

	*ret_groups = UINT32_MAX;
	if (error != 0 || pack->has_no_texts)
		return error;
	for (size_t i = 0; i < count && telling_count < INDEX_QUESTION_GRAMS; i++)
		if (!pack_grams_have(pack->common, grams[i]))
			telling[telling_count++] = grams[i];
	if (telling_count == 0)
		return 0;
	error = read_filters(pack, block, &in, &groups);
	if (error != 0)
		return error;
	(void)take_attributes(pack, &in, groups, NULL, 0);
	*ret_groups = pack_texts_groups(&in, block, groups, telling, telling_count);
	return in.error != 0 ? ERR_INDEX : 0;
}

/* ---- Searching ---------------------------------------------------------------------- */

/* The page where the search begins: the last one whose first hash is less. */
static uint64_t find_page(const struct pack *pack, uint64_t hash)
{
	uint32_t high_half = (uint32_t)(hash >> 32);
	uint64_t low = 0;
	uint64_t high = pack_pages(pack->header.runs);

	while (low + 1 < high) {
		uint64_t middle = low + (high - low) / 2;

		if (le32_read(pack->firsts + 4 * middle) < high_half)
			low = middle;
		else
			high = middle;
	}
	return low;
}

struct finding {
	struct pack *pack;
	const uint8_t *trace_id;
	int (*on_run)(void *ctx, const struct index_run *run);
	void *ctx;
};

/* A run whose hash is like that of the id: it may be another's. */
static int look_at_run(void *ctx, uint32_t number)
{
	const struct finding *finding = ctx;
	struct index_run runs[INDEX_BLOCK_RUNS];
	const struct index_run *run = &runs[number % INDEX_BLOCK_RUNS];
	size_t count;
	int ret = number < finding->pack->header.runs ? 0 : ERR_INDEX;

	if (ret == 0)
		ret = pack_block(finding->pack, number / INDEX_BLOCK_RUNS, runs, &count);
	if (ret != 0 || memcmp(run->trace_id, finding->trace_id, 16) != 0)
		return ret;
	return finding->on_run(finding->ctx, run);
}

typedef int (*on_number_fn)(void *ctx, uint32_t number);

/* Reads a page of ids, unless it is the one that was read last. */
static int keep_page(struct pack *pack, uint64_t number)
{
	uint8_t *page = pack->page;
	int ret;

	if (page != NULL && pack->page_number == number)
		return 0;
	pack->page = NULL;
	if (page == NULL)
		page = malloc(PACK_PAGE_BYTES);
	if (page == NULL)
		return -ENOMEM;
	ret = read_exactly(pack, page, PACK_PAGE_BYTES,
		pack->header.places[PACK_IDS].offset + number * PACK_PAGE_BYTES);
	if (ret == 0 && (pack_crc(pack->seed, PACK_PIECE_PAGE, number, page + 4,
				 PACK_PAGE_BYTES - 4) != le32_read(page) ||
				le32_read(page + 4) > PACK_PAGE_IDS))
		ret = ERR_INDEX;
	if (ret != 0) {
		free(page);
		return ret;
	}
	pack->page = page;
	pack->page_number = number;
	return 0;
}

/* The next of a page's ids, from number i on, that is like the wanted one; count: there is none. */
static uint32_t next_like(
	const uint8_t *page, uint32_t i, uint32_t count, uint32_t wanted, unsigned int bits)
{
	while (i < count && le32_read(page + 8 + 4 * (size_t)i) >> bits != wanted)
		i++;
	return i;
}

/* Calls on_number for the runs of a page whose hash is like that. */
static int look_at_page(
	struct pack *pack, uint64_t number, uint64_t hash, on_number_fn on_number, void *ctx)
{
	unsigned int bits = pack_run_bits(pack->header.runs);
	uint32_t wanted = (uint32_t)hash << bits >> bits;
	int ret = keep_page(pack, number);
	uint32_t count = ret == 0 ? le32_read(pack->page + 4) : 0;
	uint32_t i = 0;

	while (ret == 0 && (i = next_like(pack->page, i, count, wanted, bits)) < count) {
		uint32_t entry = le32_read(pack->page + 8 + 4 * (size_t)i++);

		ret = on_number(ctx, entry & ((UINT32_C(1) << bits) - 1));
	}
	return ret;
}

int pack_find_numbers(
	struct pack *pack, uint64_t hash, int (*on_number)(void *ctx, uint32_t number), void *ctx)
{
	uint64_t page = find_page(pack, hash);
	int ret = 0;

	if (pack->has_absent && pack->absent == hash)
		return 0;
	for (; ret == 0 && page < pack_pages(pack->header.runs); page++) {
		if (le32_read(pack->firsts + 4 * page) > hash >> 32)
			break;
		ret = look_at_page(pack, page, hash, on_number, ctx);
	}
	return ret;
}

int pack_find(struct pack *pack, const uint8_t trace_id[16],
	int (*on_run)(void *ctx, const struct index_run *run), void *ctx)
{
	struct finding finding = {.pack = pack, .trace_id = trace_id, .on_run = on_run, .ctx = ctx};

	return pack_find_numbers(pack, index_hash_id(trace_id), look_at_run, &finding);
}

/* About where a run's lines begin, as if all of a block were equally long. */
static uint64_t likely_offset(struct pack *pack, uint32_t number, const struct pack_entry *entry)
{
	struct pack_entry next = {.text_offset = pack->header.covered};
	size_t block = number / INDEX_BLOCK_RUNS + 1;

	if (block < pack_blocks(pack->header.runs) && read_entry(pack, block, &next) != 0)
		return entry->text_offset;
	return entry->text_offset + (next.text_offset - entry->text_offset) / entry->zone.runs *
					    (number % INDEX_BLOCK_RUNS);
}

static int on_likely(void *ctx, uint32_t number)
{
	struct pack *pack = ctx;
	struct pack_entry entry;

	/* Another one's block, too, is one that pack_find reads. */
	if (number < pack->header.runs &&
		read_entry(pack, number / INDEX_BLOCK_RUNS, &entry) == 0) {
		disk_will_read(pack->disk, pack->file, pack->body + entry.offset, entry.length);
		pack->likely = likely_offset(pack, number, &entry);
	}
	return 0;
}

static int on_any(void *ctx, uint32_t number)
{
	(void)ctx;
	(void)number;
	return 1;
}

void pack_will_look(struct pack *pack, const uint8_t trace_id[16], bool likely)
{
	const struct pack_place *directory = &pack->header.places[PACK_DIRECTORY];

	disk_will_read(pack->disk, pack->file,
		pack->header.places[PACK_IDS].offset +
			find_page(pack, index_hash_id(trace_id)) * PACK_PAGE_BYTES,
		PACK_PAGE_BYTES);
	if (likely && pack->directory == NULL)
		disk_will_read(pack->disk, pack->file, directory->offset, directory->length);
}

bool pack_may_find(struct pack *pack, const uint8_t trace_id[16])
{
	const struct pack_place *directory = &pack->header.places[PACK_DIRECTORY];
	uint64_t hash = index_hash_id(trace_id);
	int ret = pack_find_numbers(pack, hash, on_any, NULL);

	if (ret == 0) {
		pack->has_absent = true;
		pack->absent = hash;
	}
	if (ret == 1 && pack->directory == NULL)
		disk_will_read(pack->disk, pack->file, directory->offset, directory->length);
	return ret == 1;
}

bool pack_will_find(struct pack *pack, const uint8_t trace_id[16], uint64_t *ret_offset)
{
	int ret;

	pack->likely = UINT64_MAX;
	ret = pack_find_numbers(pack, index_hash_id(trace_id), on_likely, pack);
	*ret_offset = pack->likely;
	return ret == 0 && pack->likely != UINT64_MAX;
}

int pack_for_each_continuing(
	struct pack *pack, int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx)
{
	uint8_t *all;
	int ret;

	if (pack->header.places[PACK_CONTINUING].length == 0)
		return 0;
	ret = read_section(pack, PACK_CONTINUING, &all);
	if (ret != 0)
		return ret;
	for (uint32_t at = 0; ret == 0 && at + 16 <= pack->header.places[PACK_CONTINUING].length;
		at += 16)
		ret = on_id(ctx, all + at);
	free(all);
	return ret;
}

/* The trace ids of a block of form 2 stand at its beginning. */
static int block_ids(struct pack *pack, size_t block, struct slice *ret)
{
	struct pack_entry entry;
	int error = read_entry(pack, block, &entry);

	if (error == 0)
		error = read_piece(pack, PACK_PIECE_BLOCK, block, pack->body + entry.offset,
			entry.length, ret);
	if (error == 0 && ret->length < 16 * (size_t)entry.zone.runs)
		error = ERR_INDEX;
	ret->length = error == 0 ? 16 * (size_t)entry.zone.runs : 0;
	return error;
}

int pack_for_each_id(
	struct pack *pack, int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx)
{
	int ret = pack->form == PACK_FORM_2 ? 0 : ERR_INDEX;

	for (size_t block = 0; ret == 0 && block < pack_blocks(pack->header.runs); block++) {
		struct slice ids;

		ret = block_ids(pack, block, &ids);
		for (size_t at = 0; ret == 0 && at < ids.length; at += 16)
			ret = on_id(ctx, ids.data + at);
	}
	return ret;
}

int pack_bloom(struct pack *pack, uint8_t **ret)
{
	if (pack->header.places[PACK_BLOOM].length != index_bloom_bytes(pack->header.runs))
		return ERR_INDEX;
	return read_section(pack, PACK_BLOOM, ret);
}

/* ---- Kinds, sums ------------------------------------------------------------------------ */

static int read_kinds(struct pack *pack)
{
	struct cursor in;
	int error = read_section(pack, PACK_KINDS, &pack->kinds);

	if (error != 0)
		return error;
	in = cursor_of(pack->kinds, pack->header.places[PACK_KINDS].length);
	pack->kind_count = cursor_varint(&in);
	if (pack->kind_count > cursor_left(&in))
		return ERR_INDEX;
	pack->kind_texts = calloc(pack->kind_count + 1, sizeof(*pack->kind_texts));
	if (pack->kind_texts == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < pack->kind_count; i++)
		pack->kind_texts[i] = cursor_bytes(&in);
	return in.error != 0 ? ERR_INDEX : 0;
}

int pack_kind(struct pack *pack, uint32_t number, struct pack_kind *ret)
{
	struct cursor in;
	int error = pack->kind_texts == NULL ? read_kinds(pack) : 0;

	if (error != 0)
		return error;
	if (number == 0 || number > pack->kind_count)
		return ERR_INDEX;
	in = cursor_of_slice(pack->kind_texts[number - 1]);
	ret->operation = cursor_bytes(&in);
	ret->layer = cursor_bytes(&in);
	ret->service_count = (size_t)cursor_varint(&in);
	ret->services = slice_of(in.at, cursor_left(&in));
	return in.error != 0 || ret->service_count > ret->services.length ? ERR_INDEX : 0;
}

bool pack_next_service(struct slice *services, struct slice *ret)
{
	struct cursor in = cursor_of_slice(*services);

	if (!cursor_more(&in))
		return false;
	*ret = cursor_bytes(&in);
	*services = slice_of(in.at, cursor_left(&in));
	return in.error == 0;
}

bool pack_sums_within(const struct pack *pack, int64_t since_ns, int64_t until_ns)
{
	const struct pack_header *header = &pack->header;

	return header->places[PACK_SUMS].length > 0 &&
	       (since_ns == 0 || header->sum_min_ns >= since_ns) &&
	       (until_ns == 0 || header->sum_max_ns < until_ns);
}

/* A row begins with a text's length and the text: none can look like zstd's frame, whose magic is
 * 40 and two bytes that no text begins with. */
static bool is_packed(struct slice sums)
{
	return sums.length >= 4 && le32_read(sums.data) == ZSTD_MAGICNUMBER;
}

/* *bytes, of that length, become what they were before they were compressed. */
static int unpack_sums(uint8_t **bytes, size_t *length)
{
	unsigned long long whole = ZSTD_getFrameContentSize(*bytes, *length);
	uint8_t *text;
	size_t got;

	/* Which includes that it isn't known. */
	if (whole > PACK_SUMS_BYTES_MAX)
		return ERR_INDEX;
	text = malloc((size_t)whole + 1);
	if (text == NULL)
		return -ENOMEM;
	got = ZSTD_decompress(text, (size_t)whole, *bytes, *length);
	free(*bytes);
	*bytes = text;
	*length = (size_t)whole;
	return ZSTD_isError(got) || got != whole ? ERR_INDEX : 0;
}

int pack_sums(struct pack *pack, const struct filter *filter, struct stats *into)
{
	size_t length = pack->header.places[PACK_SUMS].length;
	uint8_t *bytes;
	int ret = read_section(pack, PACK_SUMS, &bytes);

	if (ret != 0)
		return ret;
	if (is_packed(slice_of(bytes, length)))
		ret = unpack_sums(&bytes, &length);
	if (ret == 0)
		ret = stats_take(into, slice_of(bytes, length), filter->service, filter->operation,
			filter->layer);
	free(bytes);
	return ret == ERR_MALFORMED ? ERR_INDEX : ret;
}
