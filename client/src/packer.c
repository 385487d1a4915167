/* See packer.h. */
#include "packer.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "chunk.h"
#include "cursor.h"
#include "export.h"
#include "frame.h"
#include "process.h"
#include "shape.h"

enum {
	PREAMBLE_BYTES = 20 * 1024, /* producer and clock, at most */
	SECTION_HEAD = 4 + 9 + 9 + 11,
	SHAPES_BYTES = (WIRE_SHAPE_ID_LIMIT + 1) * 2,
	SEEN_BYTES = (WIRE_SHAPE_ID_LIMIT + 1) * 4,
	FRAME_BYTES = WIRE_PAYLOAD_LIMIT + 4096,
	HOT_AHEAD = 512, /* bytes: how far the walk over a chunk looks ahead */
	FRAME_HEAD = WIRE_FRAME_HEADER_BYTES + EXPORT_BATCH_HEAD_LIMIT,
};

int packer_init(struct packer *packer)
{
	uint8_t *memory = mmap(NULL, FRAME_BYTES + SEEN_BYTES + SHAPES_BYTES,
		PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	packer->frame = memory;
	packer->seen = (uint32_t *)(void *)(memory + FRAME_BYTES);
	packer->shapes = (uint16_t *)(void *)(memory + FRAME_BYTES + SEEN_BYTES);
	return 0;
}

/* ---- Walking a chunk ---------------------------------------------------------- */

struct walk {
	const uint8_t *bytes; /* of the chunk */
	uint32_t at;
	uint32_t end;
	uint32_t trace_at;
	uint64_t id_base;
	uint64_t clock_base;
	uint64_t thread;
};

struct walked {
	uint32_t length; /* of the entry; 0: malformed */
	bool mark;
	bool trace; /* the span says its trace */
	uint16_t shape;
};

/* What stands at walk->at. The bytes are ours, but the host's stray pointers may
 * have been there: nothing is read beyond the end. */
static struct walked walk_look(struct walk *walk)
{
	const uint8_t *at = walk->bytes + walk->at;
	uint32_t left = walk->end - walk->at;
	struct walked walked = {0};
	uint32_t head;
	uint32_t length;
	uint32_t ids;

	if (left >= REGION_MARK_BYTES && at[0] == 0) {
		walked.mark = true;
		walked.length = REGION_MARK_BYTES;
		return walked;
	}
	if (left < 21 || at[0] != TAG_SECTION_SPANS)
		return walked;
	length = (at[1] & 0x7fu) | (at[2] & 0x7fu) << 7;
	head = 3;
	if ((at[2] & 0x80) != 0) {
		length |= (uint32_t)at[3] << 14;
		head = 4;
	}
	ids = at[head] == TAG_SPAN_TIMES ? 9 : 18;
	if (length > left - head || length < ids + 9)
		return walked;
	walked.length = head + length;
	walked.shape = le16_read(at + head + ids + 7);
	if (length > ids + 9 && at[head + ids + 9] == TAG_SPAN_TRACE) {
		walked.trace = true;
		walk->trace_at = walk->at + head + ids + 9;
	}
	return walked;
}

static void walk_mark(struct walk *walk)
{
	const uint8_t *at = walk->bytes + walk->at;

	walk->id_base = le64_read(at + 1);
	walk->clock_base = le64_read(at + 9);
	walk->thread = le64_read(at + 17);
	walk->trace_at = 0;
	walk->at += REGION_MARK_BYTES;
}

/* The Trace message at a Span.trace of the chunk. */
static struct slice trace_at(const struct walk *walk, uint32_t at)
{
	struct cursor cursor;
	uint64_t length;

	if (at == 0)
		return slice_of(NULL, 0);
	cursor = cursor_of(walk->bytes + at + 1, walk->end - at - 1);
	length = cursor_varint(&cursor);
	if (cursor.error != 0 || length > cursor_left(&cursor))
		return slice_of(NULL, 0);
	return slice_of(cursor.at, length);
}

/* ---- Taking stretches in -------------------------------------------------------- */

static void packer_begin(struct packer *packer)
{
	packer->number++;
	packer->made = 0;
	packer->shape_count = 0;
	packer->section_count = 0;
	packer->spans = 0;
	packer->bytes = PREAMBLE_BYTES;
}

static bool section_begin(struct packer *packer, const struct walk *walk)
{
	struct section *section = &packer->sections[packer->section_count];

	if (packer->section_count == PACKER_SECTIONS)
		return false;
	*section = (struct section){.spans = walk->bytes + walk->at,
		.id_base = walk->id_base,
		.clock_base = walk->clock_base,
		.thread = walk->thread,
		.trace = trace_at(walk, walk->trace_at)};
	packer->bytes += SECTION_HEAD + section->trace.length + 4;
	packer->section_count++;
	return true;
}

/* Takes the span at walk->at into the section; false: the batch is full. */
static bool span_add(struct packer *packer, const struct walk *walk, struct walked walked)
{
	size_t bytes = walked.length;

	if (packer->seen[walked.shape] != packer->number)
		bytes += shape_bytes(walked.shape).length;
	if (packer->bytes + bytes > PACKER_BYTES && packer->spans > 0)
		return false;
	if (packer->seen[walked.shape] != packer->number) {
		packer->seen[walked.shape] = packer->number;
		packer->shapes[packer->shape_count++] = walked.shape;
	}
	packer->bytes += bytes;
	packer->sections[packer->section_count - 1].length =
		(uint32_t)(walk->bytes + walk->at + walked.length -
			   packer->sections[packer->section_count - 1].spans);
	packer->spans++;
	return true;
}

/* The first four bytes of a span as inlined code writes it: its tag, a length of two
 * bytes, and that of `times`. */
#define HOT_HEAD_MASK UINT32_C(0xff8080ff)
#define HOT_HEAD ((uint32_t)TAG_SPAN_TIMES << 24 | 0x8000 | TAG_SECTION_SPANS)

/* Takes in all that follow of the commonest spans: as inlined code writes them, and of
 * shapes that the batch has. The section has begun. */
static void hot_add(struct packer *packer, struct walk *walk)
{
	struct section *section = &packer->sections[packer->section_count - 1];
	const uint8_t *begin = walk->bytes + walk->at;
	const uint8_t *end = walk->bytes + walk->end;
	const uint8_t *at = begin;
	const uint8_t *trace = NULL;
	uint64_t spans = 0;
	size_t room = packer->bytes < PACKER_BYTES ? PACKER_BYTES - packer->bytes : 0;

	if ((size_t)(end - begin) > room)
		end = begin + room;
	while (end - at > 3 + 18) {
		const uint8_t *next = at - (0x80 - 3);
		uint32_t head = le32_read(at);

		/* It is another processor that wrote this. */
		__builtin_prefetch(at + HOT_AHEAD);
		if ((head & HOT_HEAD_MASK) != HOT_HEAD)
			break;
		/* From one span to the next it is a load and an addition: nearly all have less
		 * than 128 bytes, so that their length is one byte, and branches don't wait. */
		__asm__("" : "+r"(next));
		next += at[1];
		if (__builtin_expect(at[2] != 0, 0))
			next += (uint32_t)at[2] << 7;
		if (next > end || next - at < 3 + 18 ||
			packer->seen[le16_read(at + 19)] != packer->number)
			break;
		if (at[21] == TAG_SPAN_TRACE && next - at > 3 + 18)
			trace = at + 21;
		at = next;
		spans++;
	}
	if (trace != NULL)
		walk->trace_at = (uint32_t)(trace - walk->bytes);
	walk->at += (uint32_t)(at - begin);
	section->length += (uint32_t)(at - begin);
	packer->bytes += (size_t)(at - begin);
	packer->spans += spans;
}

/* From walk->at to its end, or as far as the batch takes it. False: malformed. */
static bool stretch_add(struct packer *packer, struct walk *walk)
{
	bool fresh = true; /* a section must begin before the next span */

	while (walk->at < walk->end) {
		uint32_t trace_before;
		struct walked walked;

		if (!fresh) {
			hot_add(packer, walk);
			if (walk->at == walk->end)
				return true;
		}
		trace_before = walk->trace_at;
		walked = walk_look(walk);
		if (walked.length == 0)
			return false;
		if (walked.mark) {
			walk_mark(walk);
			fresh = true;
			continue;
		}
		if (fresh) {
			uint32_t trace_now = walk->trace_at;

			/* A first span that says its trace needs none from before. */
			walk->trace_at = walked.trace ? 0 : trace_before;
			if (!section_begin(packer, walk)) {
				walk->trace_at = trace_before;
				return true;
			}
			walk->trace_at = trace_now;
			fresh = false;
		}
		if (!span_add(packer, walk, walked)) {
			walk->trace_at = trace_before;
			return true;
		}
		walk->at += walked.length;
	}
	return true;
}

/* An empty section is none. */
static void packer_trim(struct packer *packer)
{
	if (packer->section_count > 0 && packer->sections[packer->section_count - 1].length == 0)
		packer->section_count--;
}

/* ---- Cutting -------------------------------------------------------------------- */

size_t packer_waiting(void)
{
	size_t bytes = 0;
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);

	for (; chunk != NULL; chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE))
		bytes += __atomic_load_n(
				 &chunk_head(&process.region, chunk)->published, __ATOMIC_ACQUIRE) -
			 chunk->cut;
	return bytes;
}

/* One chunk's part; false: the batch is full. */
static bool chunk_cut(struct packer *packer, struct ledger *ledger, struct entry *entry,
	struct chunk *chunk, uint32_t published)
{
	uint32_t place = (ledger->cut_first + ledger->cut_count) % REGION_CUTS;
	struct region_cut *cut = &process.region.cuts[place];
	struct walk walk = {.bytes = (const uint8_t *)chunk_head(&process.region, chunk),
		.at = chunk->cut,
		.end = published,
		.trace_at = chunk->trace_at,
		.id_base = chunk->id_base,
		.clock_base = chunk->clock_base,
		.thread = chunk->thread};
	bool whole = stretch_add(packer, &walk);

	packer_trim(packer);
	if (whole && walk.at == chunk->cut)
		return false;
	*cut = (struct region_cut){.unit = chunk->unit,
		.from = chunk->cut,
		.to = whole ? walk.at : published,
		.trace_at = chunk->trace_at,
		.id_base = chunk->id_base,
		.clock_base = chunk->clock_base,
		.thread = chunk->thread};
	__atomic_store_n(&cut->sequence, entry->sequence, __ATOMIC_RELEASE);
	chunk->cut = cut->to;
	chunk->trace_at = walk.trace_at;
	chunk->id_base = walk.id_base;
	chunk->clock_base = walk.clock_base;
	chunk->thread = walk.thread;
	entry->cuts++;
	ledger->cut_count++;
	return walk.at == published || !whole;
}

bool packer_cut(struct packer *packer, struct ledger *ledger)
{
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);
	struct entry *entry = ledger_new(ledger);
	uint32_t source = 0;

	if (entry == NULL)
		return false;
	packer_begin(packer);
	for (; chunk != NULL; chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE)) {
		const struct region_chunk *head = chunk_head(&process.region, chunk);
		uint32_t published = __atomic_load_n(&head->published, __ATOMIC_ACQUIRE);

		if (published == chunk->cut || (entry->cuts > 0 && head->clock != source))
			continue;
		if (entry->cuts == PACKER_CUTS || ledger->cut_count == REGION_CUTS)
			break;
		source = head->clock;
		if (!chunk_cut(packer, ledger, entry, chunk, published))
			break;
	}
	if (entry->cuts == 0)
		return false;
	packer->made = entry->sequence;
	entry->spans = packer->spans;
	entry->clock.source = (enum wire_clock_source)source;
	ledger_commit(ledger);
	return true;
}

bool packer_pass(struct chunk *chunk, uint32_t to, uint64_t *ret_spans)
{
	const struct region_chunk *head = chunk_head(&process.region, chunk);
	struct walk walk = {.bytes = (const uint8_t *)head,
		.at = chunk->cut,
		.end = __atomic_load_n(&head->published, __ATOMIC_ACQUIRE),
		.trace_at = chunk->trace_at,
		.id_base = chunk->id_base,
		.clock_base = chunk->clock_base,
		.thread = chunk->thread};
	uint64_t spans = 0;

	while (walk.at < to && walk.at < walk.end) {
		struct walked walked = walk_look(&walk);

		if (walked.length == 0)
			return false;
		if (walked.mark) {
			walk_mark(&walk);
			continue;
		}
		walk.at += walked.length;
		spans++;
	}
	if (walk.at != to)
		return false;
	chunk->cut = walk.at;
	chunk->trace_at = walk.trace_at;
	chunk->id_base = walk.id_base;
	chunk->clock_base = walk.clock_base;
	chunk->thread = walk.thread;
	*ret_spans = spans;
	return true;
}

/* ---- Writing ---------------------------------------------------------------------- */

/* Takes the stretches of an entry in again, as they were cut. */
static void cuts_add(struct packer *packer, const struct entry *entry, uint32_t first_cut)
{
	packer_begin(packer);
	for (uint32_t i = 0; i < entry->cuts; i++) {
		const struct region_cut *cut = &process.region.cuts[(first_cut + i) % REGION_CUTS];
		struct walk walk = {.bytes = region_unit(&process.region, cut->unit),
			.at = cut->from,
			.end = cut->to,
			.trace_at = cut->trace_at,
			.id_base = cut->id_base,
			.clock_base = cut->clock_base,
			.thread = cut->thread};

		(void)stretch_add(packer, &walk);
		packer_trim(packer);
	}
}

static void clock_write(struct writer *writer, const struct clock_span *clock)
{
	size_t begin = writer_nested_begin(writer, TAG_BATCH_CLOCK);

	writer_field_varint(writer, TAG_CLOCK_SOURCE, clock->source);
	writer_field_fixed64(writer, TAG_CLOCK_OPEN_RAW, clock->open.raw);
	writer_field_fixed64(writer, TAG_CLOCK_OPEN_REALTIME_NS, clock->open.realtime_ns);
	writer_field_fixed64(writer, TAG_CLOCK_CLOSE_RAW, clock->close.raw);
	writer_field_fixed64(writer, TAG_CLOCK_CLOSE_REALTIME_NS, clock->close.realtime_ns);
	writer_field_fixed64(writer, TAG_CLOCK_NS_PER_TICK, double_to_bits(clock->ns_per_tick));
	writer_field_varint(writer, TAG_CLOCK_STEPPED, clock->stepped);
	writer_nested_end(writer, begin);
}

static void section_write(struct writer *writer, const struct section *section)
{
	size_t begin = writer_nested_begin(writer, TAG_BATCH_SECTIONS);

	writer_field_fixed64(writer, TAG_SECTION_ID_BASE, section->id_base);
	writer_field_fixed64(writer, TAG_SECTION_CLOCK_BASE, section->clock_base);
	writer_field_varint(writer, TAG_SECTION_THREAD, section->thread);
	if (section->trace.data != NULL)
		writer_field_bytes(writer, TAG_SECTION_TRACE, section->trace);
	writer_bytes(writer, section->spans, section->length);
	writer_nested_end(writer, begin);
}

static size_t batch_write(
	struct packer *packer, uint8_t *to, const struct clock_span *clock, struct slice producer)
{
	struct writer writer = writer_of(to, WIRE_BATCH_LIMIT);

	writer_field_bytes(&writer, TAG_BATCH_PRODUCER, producer);
	clock_write(&writer, clock);
	for (uint32_t i = 0; i < packer->shape_count; i++) {
		struct slice shape = shape_bytes(packer->shapes[i]);

		writer_bytes(&writer, shape.data, shape.length);
	}
	for (uint32_t i = 0; i < packer->section_count; i++)
		section_write(&writer, &packer->sections[i]);
	return writer.error == 0 ? writer_length(&writer) : 0;
}

static struct slice drop_frame(struct packer *packer, const struct entry *entry)
{
	uint8_t *payload = packer->frame + WIRE_FRAME_HEADER_BYTES;
	struct writer writer = writer_of(payload, 1024);
	struct export_request request = {
		.sequence = entry->sequence, .emitted = entry->emitted, .body = EXPORT_DROP};

	request.drop.reason = slice_of_text(waft_drop_reason_name(entry->reason));
	request.drop.spans = entry->spans;
	export_request_encode(&writer, &request);
	frame_header_write(
		packer->frame, FRAME_MESSAGE, PACKER_STREAM, payload, writer_length(&writer));
	return slice_of(packer->frame, WIRE_FRAME_HEADER_BYTES + writer_length(&writer));
}

struct slice packer_frame(
	struct packer *packer, const struct entry *entry, uint32_t first_cut, struct slice producer)
{
	uint8_t head[EXPORT_BATCH_HEAD_LIMIT];
	struct writer writer = writer_of(head, sizeof(head));
	uint8_t *batch = packer->frame + FRAME_HEAD;
	uint8_t *payload;
	size_t length;

	if (entry->drop)
		return drop_frame(packer, entry);
	if (packer->made != entry->sequence)
		cuts_add(packer, entry, first_cut);
	length = batch_write(packer, batch, &entry->clock, producer);
	export_batch_head_encode(&writer, entry->sequence, entry->emitted, length);
	payload = batch - writer_length(&writer);
	memcpy(payload, head, writer_length(&writer));
	length += writer_length(&writer);
	frame_header_write(
		payload - WIRE_FRAME_HEADER_BYTES, FRAME_MESSAGE, PACKER_STREAM, payload, length);
	return slice_of(payload - WIRE_FRAME_HEADER_BYTES, WIRE_FRAME_HEADER_BYTES + length);
}
