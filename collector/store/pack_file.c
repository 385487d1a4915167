/*
 * pack_file.c: puts the file of a pack together; see pack.h and pack_builder.h. Piece by piece: it
 * is about 1 % of its part.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "index_run.h"
#include "pack_builder.h"

enum {
	OUT_BYTES = 64 << 10, /* written at once */
	SUMS_LEVEL = 9,	      /* zstd's, */
	SUMS_LOG = 17,	      /* with smaller tables */
};

/* Bytes on their way to the file, one behind the other. */
struct out {
	struct pack_builder *builder;
	int file;
	uint64_t offset; /* of what comes next */
	uint32_t crc;	 /* of what came since it was set */
	size_t length;
	uint8_t bytes[OUT_BYTES];
};

struct writing {
	struct pack_builder *builder;
	uint8_t *firsts; /* owned */
	struct out out;
	/* Pages and filter grow side by side. */
	struct out bloom;
	uint64_t bloom_bytes;
	uint64_t block; /* of the filter, under way */
	uint8_t bloom_block[INDEX_BLOOM_BLOCK];
	uint8_t page[PACK_PAGE_BYTES];
	size_t page_ids;
	uint64_t pages;
};

static struct spill_place place_of(const struct pack_builder *builder)
{
	return (struct spill_place){
		.hurry = builder->config.hurry, .context = builder->config.context};
}

static int out_flush(struct out *out)
{
	const struct spill_place place = place_of(out->builder);
	int ret;

	if (out->length == 0)
		return 0;
	spill_hurry(&place, true);
	ret = disk_write(out->builder->config.disk, out->file, out->bytes, out->length,
		out->offset - out->length);
	spill_hurry(&place, false);
	out->length = 0;
	return ret;
}

static int out_put(void *ctx, const void *data, size_t length)
{
	struct out *out = ctx;
	const uint8_t *from = data;

	out->crc = crc32c(out->crc, data, length);
	while (length > 0) {
		size_t room = OUT_BYTES - out->length;
		size_t take = length < room ? length : room;
		int ret;

		memcpy(out->bytes + out->length, from, take);
		out->length += take;
		out->offset += take;
		from += take;
		length -= take;
		ret = out->length == OUT_BYTES ? out_flush(out) : 0;
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* ---- Sections ------------------------------------------------------------------- */

static void begin_section(struct writing *writing, enum pack_section section)
{
	writing->builder->header.places[section].offset = writing->out.offset;
	writing->out.crc = pack_crc(writing->builder->seed, section, 0, NULL, 0);
}

static int end_section(struct writing *writing, enum pack_section section)
{
	struct pack_place *place = &writing->builder->header.places[section];
	uint64_t length = writing->out.offset - place->offset;

	place->length = (uint32_t)length;
	place->crc = writing->out.crc;
	return length > UINT32_MAX ? -EFBIG : 0;
}

static int put_spilled(struct writing *writing, enum pack_section section, struct spill *spill)
{
	int ret;

	begin_section(writing, section);
	ret = spill_read(spill, out_put, &writing->out);
	spill_done(spill);
	return ret == 0 ? end_section(writing, section) : ret;
}

/* ---- Ids -------------------------------------------------------------------------- */

static int end_page(struct writing *writing)
{
	uint8_t *page = writing->page;

	le32_write(page + 4, (uint32_t)writing->page_ids);
	le32_write(page, pack_crc(writing->builder->seed, PACK_PIECE_PAGE, writing->pages++,
				 page + 4, PACK_PAGE_BYTES - 4));
	writing->page_ids = 0;
	return out_put(&writing->out, page, PACK_PAGE_BYTES);
}

/* Up to, but without, this block. */
static int put_bloom_until(struct writing *writing, uint64_t block)
{
	int ret = 0;

	while (ret == 0 && writing->block < block) {
		ret = out_put(&writing->bloom, writing->bloom_block, INDEX_BLOOM_BLOCK);
		memset(writing->bloom_block, 0, INDEX_BLOOM_BLOCK);
		writing->block += INDEX_BLOOM_BLOCK;
	}
	return ret;
}

static int on_id(void *ctx, const struct spill_id *id)
{
	struct writing *writing = ctx;
	unsigned int bits = pack_run_bits(writing->builder->header.runs);
	int ret = put_bloom_until(writing, index_bloom_block(writing->bloom_bytes, id->hash));

	if (ret != 0)
		return ret;
	index_bloom_set_block(writing->bloom_block, id->hash);
	if (writing->page_ids == 0) {
		memset(writing->page, 0, PACK_PAGE_BYTES);
		le32_write(writing->firsts + 4 * writing->pages, (uint32_t)(id->hash >> 32));
	}
	le32_write(
		writing->page + 8 + 4 * writing->page_ids++, (uint32_t)id->hash << bits | id->run);
	return writing->page_ids == PACK_PAGE_IDS ? end_page(writing) : 0;
}

static int put_ids(struct writing *writing)
{
	struct pack_builder *builder = writing->builder;
	struct pack_place *places = builder->header.places;
	uint64_t runs = builder->header.runs;
	int ret;

	begin_section(writing, PACK_IDS);
	writing->bloom_bytes = index_bloom_bytes(runs);
	writing->bloom.offset = writing->out.offset + pack_pages(runs) * PACK_PAGE_BYTES;
	writing->bloom.crc = pack_crc(builder->seed, PACK_BLOOM, 0, NULL, 0);
	places[PACK_BLOOM].offset = writing->bloom.offset;
	places[PACK_BLOOM].length = (uint32_t)writing->bloom_bytes;
	ret = spill_ids_sorted(&builder->ids, on_id, writing);
	spill_ids_done(&builder->ids);
	if (ret == 0 && writing->page_ids > 0)
		ret = end_page(writing);
	if (ret == 0)
		ret = end_section(writing, PACK_IDS);
	/* Theirs stand in the pages. */
	places[PACK_IDS].crc = 0;
	if (ret == 0)
		ret = put_bloom_until(writing, writing->bloom_bytes);
	if (ret == 0)
		ret = out_flush(&writing->out);
	if (ret == 0)
		ret = out_flush(&writing->bloom);
	places[PACK_BLOOM].crc = writing->bloom.crc;
	writing->out.offset = writing->bloom.offset;
	return ret;
}

/* ---- Kinds and sums ---------------------------------------------------------------- */

static int put_kinds(struct writing *writing)
{
	const struct pack_builder *builder = writing->builder;
	struct bytes head = {0};
	int ret = bytes_varint(&head, builder->kind_count);

	begin_section(writing, PACK_KINDS);
	if (ret == 0)
		ret = out_put(&writing->out, head.data, head.length);
	for (uint32_t i = 1; ret == 0 && i <= builder->kind_count; i++) {
		struct slice kind = pack_kind_at(builder, i);

		head.length = 0;
		ret = bytes_varint(&head, kind.length);
		if (ret == 0)
			ret = out_put(&writing->out, head.data, head.length);
		if (ret == 0)
			ret = out_put(&writing->out, kind.data, kind.length);
	}
	bytes_done(&head);
	return ret == 0 ? end_section(writing, PACK_KINDS) : ret;
}

/* Leaves packed empty where zstd doesn't make it shorter. */
static int compress_sums(const struct bytes *sums, struct bytes *packed)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	size_t length;
	int ret = zstd == NULL ? -ENOMEM : bytes_reserve(packed, ZSTD_compressBound(sums->length));

	if (ret == 0 &&
		(ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, SUMS_LEVEL)) ||
			ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, SUMS_LOG)) ||
			ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_chainLog, SUMS_LOG))))
		ret = -ENOMEM;
	if (ret == 0) {
		length = ZSTD_compress2(
			zstd, packed->data, packed->capacity, sums->data, sums->length);
		packed->length = ZSTD_isError(length) || length >= sums->length ? 0 : length;
	}
	ZSTD_freeCCtx(zstd);
	return ret;
}

/* Nearly all of it are counts in histograms, most of them 1. */
static int put_sums(struct writing *writing)
{
	struct pack_builder *builder = writing->builder;
	struct bytes sums = {0}, packed = {0};
	int ret = builder->sums != NULL ? stats_put(builder->sums, &sums) : 0;

	stats_free(builder->sums);
	builder->sums = NULL;
	begin_section(writing, PACK_SUMS);
	if (ret == 0 && sums.length > 0 && sums.length <= PACK_SUMS_BYTES_MAX)
		ret = compress_sums(&sums, &packed);
	if (ret == 0)
		ret = packed.length > 0 ? out_put(&writing->out, packed.data, packed.length)
					: out_put(&writing->out, sums.data, sums.length);
	bytes_done(&sums);
	bytes_done(&packed);
	return ret == 0 ? end_section(writing, PACK_SUMS) : ret;
}

/* ---- The file ------------------------------------------------------------------------ */

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

/* Last, so that a file that isn't whole has none. */
static int put_front(struct writing *writing)
{
	struct pack_builder *builder = writing->builder;
	struct pack_place *place = &builder->header.places[PACK_PAGES_FIRST];
	uint8_t header[PACK_HEADER_BYTES];
	int ret;

	place->crc = pack_crc(builder->seed, PACK_PAGES_FIRST, 0, writing->firsts, place->length);
	put_header(builder, header);
	writing->out.offset = 0;
	ret = out_put(&writing->out, header, sizeof(header));
	if (ret == 0)
		ret = out_put(&writing->out, writing->firsts, place->length);
	return ret == 0 ? out_flush(&writing->out) : ret;
}

static int put_all(struct writing *writing)
{
	struct pack_builder *builder = writing->builder;
	struct pack_place *front = &builder->header.places[PACK_PAGES_FIRST];
	int ret;

	front->offset = PACK_HEADER_BYTES;
	front->length = (uint32_t)(4 * pack_pages(builder->header.runs));
	writing->out.offset = front->offset + front->length;
	ret = spill_read(&builder->blocks, out_put, &writing->out);
	spill_done(&builder->blocks);
	if (ret == 0)
		ret = put_spilled(writing, PACK_DIRECTORY, &builder->directory);
	if (ret == 0)
		ret = put_ids(writing);
	if (ret == 0)
		ret = put_spilled(writing, PACK_CONTINUING, &builder->continuing);
	if (ret == 0)
		ret = put_kinds(writing);
	if (ret == 0)
		ret = put_sums(writing);
	if (ret == 0)
		ret = out_flush(&writing->out);
	return ret == 0 ? put_front(writing) : ret;
}

static int write_file(struct pack_builder *builder, const char *name)
{
	const struct spill_place place = place_of(builder);
	struct disk *disk = builder->config.disk;
	struct writing *writing = calloc(1, sizeof(*writing));
	int file;
	int ret = -ENOMEM;

	if (writing == NULL)
		return ret;
	writing->builder = builder;
	writing->firsts = calloc(pack_pages(builder->header.runs), 4);
	spill_hurry(&place, true);
	disk_unlink_quietly(disk, builder->config.index_dir, name);
	file = disk_open(
		disk, builder->config.index_dir, name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
	spill_hurry(&place, false);
	writing->out = (struct out){.builder = builder, .file = file};
	writing->bloom = (struct out){.builder = builder, .file = file};
	if (file < 0)
		ret = file;
	else if (writing->firsts != NULL)
		ret = put_all(writing);
	spill_hurry(&place, true);
	disk_close(disk, file);
	spill_hurry(&place, false);
	free(writing->firsts);
	free(writing);
	return ret;
}

int pack_file_write(struct pack_builder *builder)
{
	const struct spill_place place = place_of(builder);
	char new_name[PACK_NAME_BYTES + 4];
	int dir = builder->config.index_dir;
	int ret;

	memcpy(new_name, builder->name, sizeof(builder->name));
	strcat(new_name, ".new");
	ret = write_file(builder, new_name);
	spill_hurry(&place, true);
	if (ret == 0)
		ret = disk_rename(builder->config.disk, dir, new_name, dir, builder->name, true);
	if (ret != 0)
		disk_unlink_quietly(builder->config.disk, dir, new_name);
	spill_hurry(&place, false);
	return ret;
}
