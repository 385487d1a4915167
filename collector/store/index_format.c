/*
 * index_format.c: see index_format.h.
 */
#include "index_format.h"

#include <stdio.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"

#define VERSION 1

int index_file_name(const struct part_name *part, enum index_kind kind, char ret[INDEX_NAME_BYTES])
{
	char name[PART_NAME_BYTES];
	int error = part_name_format(part, name);

	if (error != 0)
		return error;
	snprintf(ret, INDEX_NAME_BYTES, "%s.%s", name, kind == INDEX_RUNS ? "runs" : "ids");
	return 0;
}

uint32_t index_seed(enum index_kind kind, const uint8_t store_id[16], const struct part_name *part)
{
	uint8_t text[40] = "WAFTIDX";

	text[7] = (uint8_t)kind;
	le32_write(text + 8, VERSION);
	memcpy(text + 12, store_id, 16);
	le32_write(text + 28, (uint32_t)part->day);
	le32_write(text + 32, part->number);
	le32_write(text + 36, part->sealed);
	return crc32c(0, text, sizeof(text));
}

/* The CRC of a slot or page: bytes 4 … end, its number, its kind. */
enum piece { PIECE_HEADER = 1, PIECE_RUN, PIECE_ZONE, PIECE_IDS, PIECE_PAGE };

static uint32_t piece_crc(
	uint32_t seed, enum piece piece, uint64_t number, const uint8_t *bytes, size_t length)
{
	uint8_t place[12];

	le32_write(place, piece);
	le64_write(place + 4, number);
	return crc32c(crc32c(seed, place, sizeof(place)), bytes + 4, length - 4);
}

static void seal(uint32_t seed, enum piece piece, uint64_t number, uint8_t *bytes, size_t length)
{
	le32_write(bytes, piece_crc(seed, piece, number, bytes, length));
}

static bool is_sealed(
	uint32_t seed, enum piece piece, uint64_t number, const uint8_t *bytes, size_t length)
{
	return le32_read(bytes) == piece_crc(seed, piece, number, bytes, length);
}

void index_header_put(uint32_t seed, uint8_t ret[INDEX_SLOT_BYTES])
{
	memset(ret, 0, INDEX_SLOT_BYTES);
	memcpy(ret + 8, "WAFTRUNS", 8);
	le32_write(ret + 16, VERSION);
	seal(seed, PIECE_HEADER, 0, ret, INDEX_SLOT_BYTES);
}

bool index_header_check(uint32_t seed, const uint8_t slot[INDEX_SLOT_BYTES])
{
	return is_sealed(seed, PIECE_HEADER, 0, slot, INDEX_SLOT_BYTES);
}

/* ---- Runs and zones ------------------------------------------------------ */

static void put_filter(uint8_t *at, const uint64_t filter[INDEX_FILTER_WORDS])
{
	for (size_t i = 0; i < INDEX_FILTER_WORDS; i++)
		le64_write(at + 8 * i, filter[i]);
}

static void get_filter(const uint8_t *at, uint64_t filter[INDEX_FILTER_WORDS])
{
	for (size_t i = 0; i < INDEX_FILTER_WORDS; i++)
		filter[i] = le64_read(at + 8 * i);
}

void index_run_put(
	uint32_t seed, uint64_t run, const struct index_run *from, uint8_t ret[INDEX_SLOT_BYTES])
{
	le32_write(ret + 4, from->flags);
	memcpy(ret + 8, from->trace_id, 16);
	le64_write(ret + 24, from->offset);
	le32_write(ret + 32, from->length_bytes);
	le32_write(ret + 36, from->spans);
	le32_write(ret + 40, from->errors);
	le32_write(ret + 44, 0);
	le64_write(ret + 48, (uint64_t)from->start_ns);
	le64_write(ret + 56, (uint64_t)from->duration_ns);
	put_filter(ret + 64, from->filter);
	seal(seed, PIECE_RUN, run, ret, INDEX_SLOT_BYTES);
}

bool index_run_check(uint32_t seed, uint64_t run, const uint8_t slot[INDEX_SLOT_BYTES])
{
	return is_sealed(seed, PIECE_RUN, run, slot, INDEX_SLOT_BYTES);
}

bool index_run_get(
	uint32_t seed, uint64_t run, const uint8_t slot[INDEX_SLOT_BYTES], struct index_run *ret)
{
	if (!index_run_check(seed, run, slot))
		return false;
	ret->flags = le32_read(slot + 4);
	memcpy(ret->trace_id, index_run_id(slot), 16);
	ret->offset = le64_read(slot + 24);
	ret->length_bytes = le32_read(slot + 32);
	ret->spans = le32_read(slot + 36);
	ret->errors = le32_read(slot + 40);
	ret->start_ns = (int64_t)le64_read(slot + 48);
	ret->duration_ns = (int64_t)le64_read(slot + 56);
	get_filter(slot + 64, ret->filter);
	ret->kind = 0;
	return true;
}

void index_zone_put(
	uint32_t seed, uint64_t block, const struct index_zone *from, uint8_t ret[INDEX_SLOT_BYTES])
{
	memset(ret, 0, INDEX_SLOT_BYTES);
	le32_write(ret + 4, from->flags);
	le32_write(ret + 8, from->runs);
	le32_write(ret + 12, from->errors);
	le64_write(ret + 16, (uint64_t)from->max_start_ns);
	le64_write(ret + 24, (uint64_t)from->min_start_ns);
	le64_write(ret + 32, (uint64_t)from->max_duration_ns);
	put_filter(ret + 64, from->filter);
	seal(seed, PIECE_ZONE, block, ret, INDEX_SLOT_BYTES);
}

static void get_zone(const uint8_t *slot, struct index_zone *ret)
{
	ret->flags = le32_read(slot + 4);
	ret->runs = le32_read(slot + 8);
	ret->errors = le32_read(slot + 12);
	ret->max_start_ns = (int64_t)le64_read(slot + 16);
	ret->min_start_ns = (int64_t)le64_read(slot + 24);
	ret->max_duration_ns = (int64_t)le64_read(slot + 32);
}

bool index_zone_get(
	uint32_t seed, uint64_t block, const uint8_t slot[INDEX_SLOT_BYTES], struct index_zone *ret)
{
	if (!is_sealed(seed, PIECE_ZONE, block, slot, INDEX_SLOT_BYTES))
		return false;
	get_zone(slot, ret);
	get_filter(slot + 64, ret->filter);
	return true;
}

void index_zone_join(struct index_zone *zone, const struct index_zone *other)
{
	if (other->runs == 0)
		return;
	if (zone->runs == 0) {
		*zone = *other;
		return;
	}
	zone->runs += other->runs;
	zone->flags |= other->flags;
	if (__builtin_add_overflow(zone->errors, other->errors, &zone->errors))
		zone->errors = UINT32_MAX;
	if (other->max_start_ns > zone->max_start_ns)
		zone->max_start_ns = other->max_start_ns;
	if (other->min_start_ns < zone->min_start_ns)
		zone->min_start_ns = other->min_start_ns;
	if (other->max_duration_ns > zone->max_duration_ns)
		zone->max_duration_ns = other->max_duration_ns;
	for (size_t i = 0; i < INDEX_FILTER_WORDS; i++)
		zone->filter[i] |= other->filter[i];
}

void index_zone_add(struct index_zone *zone, const struct index_run *run)
{
	struct index_zone one = {
		.runs = 1,
		.flags = run->flags,
		.errors = run->errors,
		.max_start_ns = run->start_ns,
		.min_start_ns = run->start_ns,
		.max_duration_ns = (run->flags & INDEX_UNSURE) != 0 ? -1 : run->duration_ns,
	};

	memcpy(one.filter, run->filter, sizeof(one.filter));
	index_zone_join(zone, &one);
}

/* ---- Ids ----------------------------------------------------------------- */

void index_ids_put(uint32_t seed, const struct index_ids *from, uint8_t ret[INDEX_SLOT_BYTES])
{
	/* The zone's members stand where they stand in a zone's slot. */
	index_zone_put(seed, 0, &from->zone, ret);
	memset(ret + 64, 0, INDEX_SLOT_BYTES - 64);
	memcpy(ret + 64, "WAFTIDS\0", 8);
	le64_write(ret + 72, from->runs);
	le64_write(ret + 80, from->covered);
	le64_write(ret + 88, from->bloom_bytes);
	le32_write(ret + 96, from->bloom_crc);
	le32_write(ret + 100, from->continuing);
	le32_write(ret + 104, from->continuing_crc);
	seal(seed, PIECE_IDS, 0, ret, INDEX_SLOT_BYTES);
}

bool index_ids_get(uint32_t seed, const uint8_t slot[INDEX_SLOT_BYTES], struct index_ids *ret)
{
	if (!is_sealed(seed, PIECE_IDS, 0, slot, INDEX_SLOT_BYTES))
		return false;
	*ret = (struct index_ids){
		.runs = le64_read(slot + 72),
		.covered = le64_read(slot + 80),
		.bloom_bytes = le64_read(slot + 88),
		.bloom_crc = le32_read(slot + 96),
		.continuing = le32_read(slot + 100),
		.continuing_crc = le32_read(slot + 104),
	};
	get_zone(slot, &ret->zone);
	return ret->bloom_bytes == index_bloom_bytes(ret->runs);
}

void index_page_put(uint32_t seed, uint64_t page, const struct index_id *ids, size_t count,
	uint8_t ret[INDEX_PAGE_BYTES])
{
	memset(ret, 0, INDEX_PAGE_BYTES);
	le32_write(ret + 4, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		memcpy(ret + 16 + 20 * i, ids[i].trace_id, 16);
		le32_write(ret + 32 + 20 * i, ids[i].run);
	}
	seal(seed, PIECE_PAGE, page, ret, INDEX_PAGE_BYTES);
}

int index_page_get(uint32_t seed, uint64_t page, const uint8_t bytes[INDEX_PAGE_BYTES],
	struct index_id ret[INDEX_PAGE_IDS])
{
	uint32_t count = le32_read(bytes + 4);

	if (!is_sealed(seed, PIECE_PAGE, page, bytes, INDEX_PAGE_BYTES) || count > INDEX_PAGE_IDS ||
		count == 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		memcpy(ret[i].trace_id, bytes + 16 + 20 * i, 16);
		ret[i].run = le32_read(bytes + 32 + 20 * i);
	}
	return (int)count;
}

/* ---- Bloom --------------------------------------------------------------- */

uint64_t index_bloom_bytes(uint64_t keys)
{
	return (keys * 10 / 8 / 64 + 1) * 64;
}

uint64_t index_bloom_block(uint64_t bytes, uint64_t hash)
{
	/* The high bits pick the block, the low ones the bits in it. */
	return (uint64_t)((unsigned __int128)hash * (bytes / 64) >> 64) * 64;
}

void index_bloom_set_block(uint8_t block[INDEX_BLOOM_BLOCK], uint64_t hash)
{
	for (int i = 0; i < 6; i++) {
		uint64_t bit = hash >> (9 * i) & 511;

		block[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

void index_bloom_set(uint8_t *bloom, uint64_t bytes, uint64_t hash)
{
	index_bloom_set_block(bloom + index_bloom_block(bytes, hash), hash);
}

bool index_bloom_has(const uint8_t *bloom, uint64_t bytes, uint64_t hash)
{
	const uint8_t *block = bloom + index_bloom_block(bytes, hash);

	for (int i = 0; i < 6; i++) {
		uint64_t bit = hash >> (9 * i) & 511;

		if ((block[bit / 8] >> bit % 8 & 1) == 0)
			return false;
	}
	return true;
}
