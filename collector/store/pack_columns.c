/* pack_columns.c: see pack_columns.h. */
#include "pack_columns.h"

#include <string.h>

#include "pack_internal.h"

enum { AS_VARINTS = 0xff };

static unsigned int bits_of(uint64_t number)
{
	return number == 0 ? 0 : 64 - (unsigned int)__builtin_clzll(number);
}

static size_t varint_bytes(uint64_t number)
{
	return number == 0 ? 1 : (bits_of(number) + 6) / 7;
}

static size_t packed_bytes(unsigned int bits, size_t count)
{
	return (bits * count + 7) / 8;
}

static int put_varints(const uint64_t *numbers, size_t count, struct bytes *to)
{
	int ret = bytes_reserve(to, 1 + count * BYTES_VARINT_MAX);

	if (ret != 0)
		return ret;
	to->data[to->length++] = AS_VARINTS;
	for (size_t i = 0; i < count; i++)
		bytes_varint_fast(to, numbers[i]);
	return 0;
}

static void put_bits(uint8_t *to, uint64_t at, uint64_t number, unsigned int bits)
{
	for (unsigned int done = 0; done < bits;) {
		unsigned int shift = (at + done) % 8;

		to[(at + done) / 8] |= (uint8_t)(number >> done << shift);
		done += 8 - shift;
	}
}

int column_put(const uint64_t *numbers, size_t count, struct bytes *to)
{
	uint64_t least = UINT64_MAX, most = 0;
	size_t varints = 0, packed;
	unsigned int bits;
	int ret;

	for (size_t i = 0; i < count; i++) {
		least = numbers[i] < least ? numbers[i] : least;
		most = numbers[i] > most ? numbers[i] : most;
		varints += varint_bytes(numbers[i]);
	}
	bits = bits_of(most - least);
	packed = packed_bytes(bits, count);
	if (varints < packed + varint_bytes(least))
		return put_varints(numbers, count, to);
	ret = bytes_reserve(to, 1 + BYTES_VARINT_MAX + packed);
	if (ret != 0)
		return ret;
	to->data[to->length++] = (uint8_t)bits;
	bytes_varint_fast(to, least);
	memset(to->data + to->length, 0, packed);
	for (size_t i = 0; i < count; i++)
		put_bits(to->data + to->length, (uint64_t)i * bits, numbers[i] - least, bits);
	to->length += packed;
	return 0;
}

/* The number at a bit, of bytes that have nine from there on. */
static inline uint64_t bits_at(const uint8_t *bytes, size_t at, unsigned int bits)
{
	unsigned int shift = at % 8;
	uint64_t ret = le64_read(bytes + at / 8) >> shift;

	if (bits + shift > 64)
		ret |= (uint64_t)bytes[at / 8 + 8] << (64 - shift);
	return bits == 64 ? ret : ret & ((UINT64_C(1) << bits) - 1);
}

/* bits is 1 to 64. */
static void take_bits(
	struct slice packed, unsigned int bits, uint64_t least, uint64_t *ret_numbers, size_t count)
{
	enum { WINDOW = 9 };
	size_t i = 0;

	for (; i < count && i * bits / 8 + WINDOW <= packed.length; i++)
		ret_numbers[i] = least + bits_at(packed.data, i * bits, bits);
	for (; i < count; i++) {
		size_t from = i * bits / 8, left = packed.length - from;
		uint8_t last[WINDOW] = {0};

		memcpy(last, packed.data + from, left < WINDOW ? left : WINDOW);
		ret_numbers[i] = least + bits_at(last, i * bits % 8, bits);
	}
}

void column_take(struct cursor *in, uint64_t *ret_numbers, size_t count)
{
	struct slice head = cursor_take(in, 1), packed;
	unsigned int bits = head.length == 1 ? head.data[0] : 0;
	uint64_t least;

	if (bits == AS_VARINTS) {
		for (size_t i = 0; i < count; i++)
			ret_numbers[i] = cursor_varint(in);
		return;
	}
	least = cursor_varint(in);
	if (bits > 64)
		cursor_fail(in, ERR_MALFORMED);
	packed = cursor_take(in, bits <= 64 ? packed_bytes(bits, count) : 0);
	if (in->error != 0 || bits == 0) {
		for (size_t i = 0; i < count; i++)
			ret_numbers[i] = in->error == 0 ? least : 0;
		return;
	}
	take_bits(packed, bits, least, ret_numbers, count);
}

/* ---- Runs ------------------------------------------------------------------------- */

/* Of form 1. */
static void read_run(struct cursor *in, uint64_t *end, int64_t *start_ns, struct index_run *ret)
{
	struct slice head = cursor_take(in, 17);
	uint8_t first = 0;

	if (head.length == 17) {
		first = head.data[0];
		memcpy(ret->trace_id, head.data + 1, 16);
	}
	ret->flags = first & PACK_RUN_FLAGS;
	ret->offset = *end + ((first & PACK_RUN_GAP) != 0 ? cursor_varint(in) : 0);
	ret->length_bytes = cursor_varint32(in);
	ret->spans = cursor_varint32(in);
	ret->errors = (first & PACK_RUN_ERRORS) != 0 ? cursor_varint32(in) : 0;
	*start_ns = (int64_t)((uint64_t)*start_ns + (uint64_t)zigzag_decode(cursor_varint(in)));
	ret->start_ns = *start_ns;
	ret->duration_ns = zigzag_decode(cursor_varint(in));
	ret->kind = cursor_varint32(in);
	memset(ret->filter, 0xff, sizeof(ret->filter));
	*end = ret->offset + ret->length_bytes;
}

static void read_runs(struct cursor *in, struct pack_entry *entry, struct index_run *ret)
{
	int64_t start_ns = 0;

	for (size_t i = 0; i < entry->zone.runs; i++)
		read_run(in, &entry->text_offset, &start_ns, &ret[i]);
}

static uint32_t narrow(struct cursor *in, uint64_t number)
{
	if (number > UINT32_MAX)
		cursor_fail(in, ERR_LIMIT);
	return (uint32_t)number;
}

static void read_columns(struct cursor *in, struct pack_entry *entry, struct index_run *ret)
{
	uint64_t columns[PACK_COLUMNS][INDEX_BLOCK_RUNS];
	size_t count = entry->zone.runs;
	struct slice ids = cursor_take(in, 16 * count);
	uint64_t start_ns = (uint64_t)zigzag_decode(cursor_varint(in));

	for (size_t i = 0; i < PACK_COLUMNS; i++)
		column_take(in, columns[i], count);
	for (size_t i = 0; in->error == 0 && i < count; i++) {
		struct index_run *run = &ret[i];

		memcpy(run->trace_id, ids.data + 16 * i, 16);
		run->flags = (uint32_t)columns[PACK_FLAGS][i] & PACK_RUN_FLAGS;
		run->offset = entry->text_offset + columns[PACK_GAPS][i];
		run->length_bytes = narrow(in, columns[PACK_LENGTHS][i]);
		run->spans = narrow(in, columns[PACK_SPANS][i]);
		run->errors = narrow(in, columns[PACK_ERRORS][i]);
		start_ns += (uint64_t)zigzag_decode(columns[PACK_STARTS][i]);
		run->start_ns = (int64_t)start_ns;
		run->duration_ns = zigzag_decode(columns[PACK_DURATIONS][i]);
		run->kind = narrow(in, columns[PACK_RUN_KINDS][i]);
		memset(run->filter, 0xff, sizeof(run->filter));
		entry->text_offset = run->offset + run->length_bytes;
	}
}

void pack_take_runs(struct cursor *in, enum pack_form form, struct pack_entry *entry,
	struct index_run ret[INDEX_BLOCK_RUNS])
{
	if (form == PACK_FORM_1)
		read_runs(in, entry, ret);
	else
		read_columns(in, entry, ret);
}
