/*
 * ids_file.c: see ids_file.h.
 */
#include "ids_file.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "index_run.h"

/* Pages gathered for one write. */
#define OUT_PAGES 64
#define CONTINUING_AT_ONCE 512
/* What ids are divided into before they are sorted, and how many are sorted without qsort. */
enum { BUCKETS = 4096, FEW_IDS = 64 };

static int read_exactly(struct disk *disk, int file, void *data, size_t length, uint64_t offset)
{
	ssize_t got = disk_read(disk, file, data, length, offset);

	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : ERR_INDEX;
}

int ids_open(struct disk *disk, int file, uint32_t seed, struct index_ids *ret)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	struct disk_stat stat;
	struct index_ids ids;

	if (disk_stat_file(disk, file, &stat) != 0 ||
		read_exactly(disk, file, slot, sizeof(slot), 0) != 0 ||
		!index_ids_get(seed, slot, &ids) ||
		stat.length_bytes < index_continuing_offset(&ids) + 16 * (uint64_t)ids.continuing)
		return ERR_INDEX;
	*ret = ids;
	return 0;
}

/* ---- Searching -------------------------------------------------------------- */

/* Returns the number of ids in the page. */
static int read_page(struct disk *disk, int file, uint32_t seed, const struct index_ids *ids,
	uint64_t page, struct index_id ret[INDEX_PAGE_IDS])
{
	uint8_t bytes[INDEX_PAGE_BYTES];
	int count = read_exactly(disk, file, bytes, sizeof(bytes), index_page_offset(ids, page));

	if (count != 0)
		return count;
	count = index_page_get(seed, page, bytes, ret);
	return count < 0 ? ERR_INDEX : count;
}

/* The page where the search begins: the last one whose first id is less. */
/* The first of a page's ids is below the wanted one from page low on, and from high on not. */
struct page_search {
	uint64_t low;
	uint64_t high;
	/* As far as is known of where ids are: their first 8 bytes at low and high. */
	uint64_t low_id;
	uint64_t high_id;
};

static uint64_t id_start(const uint8_t id[16])
{
	uint64_t start;

	memcpy(&start, id, sizeof(start));
	return be64toh(start);
}

/* Most ids are random: so it lies about as far between the two as its number does. Every other
 * step halves, for those that aren't. */
static uint64_t page_to_try(const struct page_search *search, uint64_t wanted, unsigned int step)
{
	uint64_t pages = search->high - search->low;
	uint64_t at = search->low + pages / 2;

	if (step % 2 == 0 && wanted >= search->low_id && search->high_id > search->low_id)
		at = search->low +
		     (uint64_t)((double)(wanted - search->low_id) /
				(double)(search->high_id - search->low_id) * (double)pages);
	if (at <= search->low)
		return search->low + 1;
	return at < search->high ? at : search->high - 1;
}

static int find_page(struct disk *disk, int file, uint32_t seed, const struct index_ids *ids,
	const uint8_t trace_id[16], uint64_t *ret_page)
{
	struct index_id entries[INDEX_PAGE_IDS];
	struct page_search search = {.high = index_pages(ids), .high_id = UINT64_MAX};

	for (unsigned int step = 0; search.low + 1 < search.high; step++) {
		uint64_t page = page_to_try(&search, id_start(trace_id), step);
		int count = read_page(disk, file, seed, ids, page, entries);

		if (count < 0)
			return count;
		if (memcmp(entries[0].trace_id, trace_id, 16) >= 0) {
			search.high = page;
			search.high_id = id_start(entries[0].trace_id);
			continue;
		}
		search.low = page;
		search.low_id = id_start(entries[0].trace_id);
		if (memcmp(entries[count - 1].trace_id, trace_id, 16) >= 0)
			break;
	}
	*ret_page = search.low;
	return 0;
}

int ids_find(struct disk *disk, int file, uint32_t seed, const struct index_ids *ids,
	const uint8_t trace_id[16], int (*on_run)(void *ctx, uint32_t run), void *ctx)
{
	struct index_id entries[INDEX_PAGE_IDS];
	uint64_t page = 0;
	int ret = find_page(disk, file, seed, ids, trace_id, &page);

	for (; ret == 0 && page < index_pages(ids); page++) {
		int count = read_page(disk, file, seed, ids, page, entries);

		if (count < 0)
			return count;
		for (int i = 0; ret == 0 && i < count; i++) {
			int compared = memcmp(entries[i].trace_id, trace_id, 16);

			if (compared > 0)
				return 0;
			if (compared == 0)
				ret = entries[i].run < ids->runs ? on_run(ctx, entries[i].run)
								 : ERR_INDEX;
		}
	}
	return ret;
}

int ids_for_each(struct disk *disk, int file, uint32_t seed, const struct index_ids *ids,
	int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx)
{
	struct index_id entries[INDEX_PAGE_IDS];
	int ret = 0;

	for (uint64_t page = 0; ret == 0 && page < index_pages(ids); page++) {
		int count = read_page(disk, file, seed, ids, page, entries);

		if (count < 0)
			return count;
		for (int i = 0; ret == 0 && i < count; i++)
			ret = on_id(ctx, entries[i].trace_id);
	}
	return ret;
}

/* ---- Continuing runs ---------------------------------------------------------- */

/* All of them at once. */
static int read_continuing(
	struct disk *disk, int file, const struct index_ids *ids, uint8_t *ret_all)
{
	size_t bytes = 16 * (size_t)ids->continuing;
	int ret = read_exactly(disk, file, ret_all, bytes, index_continuing_offset(ids));

	if (ret != 0)
		return ret;
	return crc32c(0, ret_all, bytes) == ids->continuing_crc ? 0 : ERR_INDEX;
}

int ids_for_each_continuing(struct disk *disk, int file, const struct index_ids *ids,
	int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx)
{
	uint64_t end = 16 * (uint64_t)ids->continuing;
	uint32_t crc = 0;
	int ret = 0;

	/* First whether they hold: none is given of those that don't. */
	for (int round = 0; ret == 0 && round < 2; round++) {
		for (uint64_t at = 0; ret == 0 && at < end;) {
			uint8_t some[CONTINUING_AT_ONCE * 16];
			size_t take = end - at < sizeof(some) ? (size_t)(end - at) : sizeof(some);

			ret = read_exactly(
				disk, file, some, take, index_continuing_offset(ids) + at);
			if (ret == 0 && round == 0)
				crc = crc32c(crc, some, take);
			for (size_t i = 0; ret == 0 && round == 1 && i < take; i += 16)
				ret = on_id(ctx, some + i);
			at += take;
		}
		if (ret == 0 && round == 0 && end > 0 && crc != ids->continuing_crc)
			ret = ERR_INDEX;
	}
	return ret;
}

/* ---- Making ----------------------------------------------------------------- */

int ids_compare(const void *left, const void *right)
{
	const struct index_id *a = left;
	const struct index_id *b = right;
	int ret = memcmp(a->trace_id, b->trace_id, 16);

	return ret != 0 ? ret : (a->run > b->run) - (a->run < b->run);
}

static size_t bucket_of(const struct index_id *id)
{
	return (size_t)id->trace_id[0] << 4 | id->trace_id[1] >> 4;
}

/* Whether a comes before b: mostly the first 8 bytes tell. */
static bool is_before(const struct index_id *a, const struct index_id *b)
{
	uint64_t left = id_start(a->trace_id), right = id_start(b->trace_id);

	return left != right ? left < right : ids_compare(a, b) < 0;
}

static void sort_bucket(struct index_id *ids, size_t count)
{
	if (count > FEW_IDS) {
		qsort(ids, count, sizeof(*ids), ids_compare);
		return;
	}
	for (size_t i = 1; i < count; i++) {
		struct index_id id = ids[i];
		size_t at = i;

		for (; at > 0 && is_before(&id, &ids[at - 1]); at--)
			ids[at] = ids[at - 1];
		ids[at] = id;
	}
}

/* Most ids are random: what their first bits give is nearly the order. Of others many share a
 * bucket, which then is sorted as any array. */
void ids_sort(struct index_id *ids, size_t count)
{
	uint32_t ends[BUCKETS] = {0};
	struct index_id *copy =
		count > FEW_IDS && count <= UINT32_MAX ? malloc(count * sizeof(*copy)) : NULL;
	uint32_t end = 0;

	if (copy == NULL) {
		sort_bucket(ids, count);
		return;
	}
	memcpy(copy, ids, count * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		ends[bucket_of(&copy[i])]++;
	for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
		uint32_t begin = end;

		end += ends[bucket];
		ends[bucket] = begin;
	}
	for (size_t i = 0; i < count; i++)
		ids[ends[bucket_of(&copy[i])]++] = copy[i];
	for (size_t bucket = 0, begin = 0; bucket < BUCKETS; begin = ends[bucket++])
		sort_bucket(ids + begin, ends[bucket] - begin);
	free(copy);
}

struct making {
	struct disk *disk;
	int file;
	uint32_t seed;
	struct index_ids *ids;
	uint8_t *bloom;
	/* The old file's page under way. */
	const struct ids_input *input;
	struct index_id old[INDEX_PAGE_IDS];
	uint64_t old_page; /* the next one to read */
	int old_count;
	int old_next;
	/* What comes out. */
	struct index_id page[INDEX_PAGE_IDS];
	size_t page_count;
	uint64_t pages; /* whole so far */
	uint64_t ids_put;
	uint8_t out[OUT_PAGES * INDEX_PAGE_BYTES];
};

static int write_pages(struct making *making)
{
	uint64_t count = making->pages % OUT_PAGES;
	uint64_t first;

	if (making->pages > 0 && count == 0)
		count = OUT_PAGES;
	first = making->pages - count;
	return disk_write(making->disk, making->file, making->out, count * INDEX_PAGE_BYTES,
		index_page_offset(making->ids, first));
}

static int end_page(struct making *making)
{
	uint8_t *to = making->out + making->pages % OUT_PAGES * INDEX_PAGE_BYTES;

	if (making->page_count == 0)
		return 0;
	index_page_put(making->seed, making->pages++, making->page, making->page_count, to);
	making->page_count = 0;
	return making->pages % OUT_PAGES == 0 ? write_pages(making) : 0;
}

static int put_id(struct making *making, const struct index_id *id)
{
	index_bloom_set(making->bloom, making->ids->bloom_bytes, index_hash_id(id->trace_id));
	making->ids_put++;
	making->page[making->page_count++] = *id;
	return making->page_count == INDEX_PAGE_IDS ? end_page(making) : 0;
}

/* The next id of the old file: 1, 0 at its end, or an error. */
static int next_old(struct making *making, const struct index_id **ret)
{
	const struct ids_input *input = making->input;

	if (making->old_next == making->old_count) {
		if (input->old_file < 0 || making->old_page >= index_pages(input->old_ids))
			return 0;
		making->old_count = read_page(making->disk, input->old_file, making->seed,
			input->old_ids, making->old_page++, making->old);
		making->old_next = 0;
		if (making->old_count < 0)
			return making->old_count;
	}
	*ret = &making->old[making->old_next];
	return 1;
}

static int merge(struct making *making)
{
	const struct ids_input *input = making->input;
	const struct index_id *old = NULL;
	size_t more = 0;
	int ret;

	for (;;) {
		ret = next_old(making, &old);
		if (ret < 0)
			return ret;
		if (ret == 0 && more == input->more_count)
			return end_page(making);
		if (ret == 1 &&
			(more == input->more_count || ids_compare(old, &input->more[more]) < 0)) {
			making->old_next++;
			ret = put_id(making, old);
		} else {
			ret = put_id(making, &input->more[more++]);
		}
		if (ret != 0)
			return ret;
	}
}

/* The ids of continuing runs: the old file's, then the new ones. */
static int put_continuing(struct making *making)
{
	const struct ids_input *input = making->input;
	struct index_ids *ids = making->ids;
	size_t old = input->old_file >= 0 ? input->old_ids->continuing : 0;
	size_t bytes = 16 * (old + input->continuing_count);
	uint8_t *all = malloc(bytes > 0 ? bytes : 1);
	int ret = 0;

	if (all == NULL)
		return -ENOMEM;
	if (old > 0)
		ret = read_continuing(making->disk, input->old_file, input->old_ids, all);
	if (ret == 0 && input->continuing_count > 0)
		memcpy(all + 16 * old, input->continuing, 16 * input->continuing_count);
	if (ret == 0) {
		ids->continuing = (uint32_t)(old + input->continuing_count);
		ids->continuing_crc = crc32c(0, all, bytes);
		ret = disk_write(
			making->disk, making->file, all, bytes, index_continuing_offset(ids));
	}
	free(all);
	return ret;
}

static int finish(struct making *making)
{
	uint8_t slot[INDEX_SLOT_BYTES];
	int ret = 0;

	if (making->ids_put != making->ids->runs)
		return ERR_INDEX;
	if (making->pages % OUT_PAGES != 0)
		ret = write_pages(making);
	if (ret == 0)
		ret = disk_write(making->disk, making->file, making->bloom,
			making->ids->bloom_bytes, INDEX_SLOT_BYTES);
	if (ret == 0)
		ret = put_continuing(making);
	making->ids->bloom_crc = crc32c(0, making->bloom, making->ids->bloom_bytes);
	index_ids_put(making->seed, making->ids, slot);
	return ret != 0 ? ret : disk_write(making->disk, making->file, slot, sizeof(slot), 0);
}

int ids_write(struct disk *disk, int file, uint32_t seed, const struct ids_input *input,
	struct index_ids *ids, uint8_t **ret_bloom)
{
	struct making *making = calloc(1, sizeof(*making));
	int ret = -ENOMEM;

	if (making == NULL)
		return ret;
	ids->bloom_bytes = index_bloom_bytes(ids->runs);
	making->disk = disk;
	making->file = file;
	making->seed = seed;
	making->ids = ids;
	making->input = input;
	making->bloom = calloc(1, ids->bloom_bytes);
	if (making->bloom != NULL)
		ret = merge(making);
	if (ret == 0)
		ret = finish(making);
	if (ret == 0)
		*ret_bloom = making->bloom;
	else
		free(making->bloom);
	free(making);
	return ret;
}
