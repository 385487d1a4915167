/*
 * salvage.c and region_image.c on regions made by hand: what comes out, and that
 * nothing in them can do harm.
 */
#include "batch.h"
#include "export.h"
#include "salvage.h"
#include "support/region_make.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define AT(member) offsetof(struct region_header, member)
#define CHUNK(unit, member) \
	(REGION_UNITS_AT + (unit)*REGION_UNIT_BYTES + offsetof(struct region_chunk, member))
#define SLOT(n, member)                                            \
	(REGION_UNITS_AT + REGION_MADE_SLOTS * REGION_UNIT_BYTES + \
		(n) * sizeof(struct region_slot) + offsetof(struct region_slot, member))
#define CUT(n, member) \
	(REGION_CUTS_AT + (n) * sizeof(struct region_cut) + offsetof(struct region_cut, member))

enum {
	LEFT = REGION_MADE_FINISHED - REGION_MADE_TAKEN - REGION_MADE_CUT,
	NOW_NS_PART = 1000000,
};

static const struct salvage_source source = {
	.client = {REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT,
		REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT,
		REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT,
		REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT, REGION_MADE_CLIENT},
	.service = "said",
	.pid = 43,
	.monotonic_ns = 2000000,
	.realtime_ns = UINT64_C(1767951000000000000) + NOW_NS_PART,
};

static struct region_image image_made(void)
{
	struct region_image image;

	assert_int_equal(region_image_new(&image), 0);
	region_make(image.bytes);
	return image;
}

/* Every batch decodes, numbers go on from `durable`, and the sums are right. */
static void check(const struct salvage *salvage, uint64_t durable)
{
	uint64_t spans = 0;
	uint64_t dropped = 0;

	for (size_t i = 0; i < salvage->count; i++) {
		const struct salvage_message *message = &salvage->messages[i];
		struct batch batch = {0};
		uint64_t inside = 0;

		assert_int_equal(message->sequence, durable + 1 + i);
		if (message->kind == LOG_DROP) {
			dropped += message->spans;
			continue;
		}
		assert_int_equal(batch_open(&batch, message->bytes.data, message->bytes.length), 0);
		assert_int_equal(batch_check(&batch, &inside), 0);
		assert_int_equal(inside, message->spans);
		spans += inside;
		batch_done(&batch);
	}
	assert_int_equal(spans, salvage->finished + salvage->open);
	assert_int_equal(dropped, salvage->dropped);
}

static void test_whole(void **state)
{
	struct region_image image = image_made();
	struct salvage salvage;
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view span;
	uint64_t ids[LEFT];
	size_t count = 0;

	(void)state;
	assert_int_equal(salvage_read(&image, &source, REGION_MADE_DURABLE, &salvage), 0);
	check(&salvage, REGION_MADE_DURABLE);
	assert_int_equal(salvage.finished, LEFT);
	assert_int_equal(salvage.open, REGION_MADE_OPEN);
	assert_int_equal(salvage.dropped, REGION_MADE_DROPPED);
	assert_int_equal(salvage.damaged, 0);
	/* A batch for each clock, two drops, the open spans. */
	assert_int_equal(salvage.count, 5);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(batch_open(&batch, salvage.messages[i].bytes.data,
					 salvage.messages[i].bytes.length),
			0);
		assert_true(slice_equal(batch.producer.service, slice_of_text("made")));
		batch_iter_init(&iter);
		while (batch_next(&batch, &iter, &span) > 0) {
			ids[count++] = span.span_id;
			assert_int_equal(span.repairs, 0);
			assert_int_equal(span.thread, 77);
		}
	}
	assert_int_equal(count, LEFT);
	assert_int_equal(ids[0], id_mix(70001));
	assert_int_equal(ids[2], id_mix(70003));
	assert_int_equal(ids[3], id_mix(5003));
	assert_int_equal(ids[4], id_mix(9004));
	/* The open ones, the second inside the first. */
	assert_int_equal(batch_open(&batch, salvage.messages[4].bytes.data,
				 salvage.messages[4].bytes.length),
		0);
	batch_iter_init(&iter);
	assert_int_equal(batch_next(&batch, &iter, &span), 1);
	assert_int_equal(span.status, WIRE_STATUS_PENDING);
	assert_int_equal(span.span_id, id_mix(300));
	assert_int_equal(span.parent_id, 0);
	assert_int_equal(span.start_ns, source.realtime_ns - NOW_NS_PART + 50);
	assert_int_equal(span.duration_ns, NOW_NS_PART - 50);
	assert_int_equal(batch_next(&batch, &iter, &span), 1);
	assert_int_equal(span.parent_id, id_mix(300));
	assert_int_equal(batch_next(&batch, &iter, &span), 0);
	batch_done(&batch);
	salvage_done(&salvage);
	region_image_done(&image);
}

/* A span keeps the trace of the one before, though that one is durable. */
static void test_trace_goes_on(void **state)
{
	struct region_image image = image_made();
	struct salvage salvage;
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view span;

	(void)state;
	assert_int_equal(salvage_read(&image, &source, REGION_MADE_DURABLE, &salvage), 0);
	assert_int_equal(batch_open(&batch, salvage.messages[1].bytes.data,
				 salvage.messages[1].bytes.length),
		0);
	batch_iter_init(&iter);
	assert_int_equal(batch_next(&batch, &iter, &span), 1);
	assert_int_equal(span.trace->id.bytes[0], 0xa1);
	assert_int_equal(batch_next(&batch, &iter, &span), 1);
	assert_int_equal(span.trace->id.bytes[0], 0xa2);
	batch_done(&batch);
	salvage_done(&salvage);
	region_image_done(&image);
}

/* What is said to have been taken is what came out, stretch by stretch. */
static void test_fence(void **state)
{
	struct region_image image = image_made();
	struct salvage salvage;
	struct cursor cursor;
	struct fence_entry entry;
	size_t taken = 0;
	size_t drops = 0;

	(void)state;
	assert_int_equal(salvage_read(&image, &source, REGION_MADE_DURABLE, &salvage), 0);
	cursor = cursor_of(salvage.fence.data, salvage.fence.length);
	while (fence_next(&cursor, &entry)) {
		if (entry.kind == FENCE_SEQUENCE) {
			assert_int_equal(entry.sequence, REGION_MADE_DURABLE);
		} else if (entry.kind == FENCE_DROPS) {
			assert_int_equal(entry.drops.said, drops == 0 ? 10 : 1);
			assert_int_equal(entry.drops.sequence, 6 + drops);
			drops++;
		} else {
			bool first = entry.taken.unit == REGION_MADE_UNIT;

			assert_int_equal(entry.taken.sequence, first ? 5 : 4);
			assert_int_equal(REGION_UNITS_AT +
						 (size_t)entry.taken.unit * REGION_UNIT_BYTES +
						 entry.taken.to,
				region_made_end(image.bytes, entry.taken.unit));
			assert_true(first || entry.taken.from == sizeof(struct region_chunk));
			taken++;
		}
	}
	assert_int_equal(cursor.error, 0);
	assert_int_equal(taken, 2);
	assert_int_equal(drops, 2);
	salvage_done(&salvage);
	region_image_done(&image);
}

static const struct {
	const char *what;
	size_t at;
	size_t length;
	uint64_t value;
	int status;
	uint64_t finished;
	uint64_t open;
	uint64_t damaged;
	uint64_t dropped;
} changes[] = {
	{"nothing", 0, 0, 0, 0, LEFT, 2, 0, 4},
	{"another client's", AT(client), 1, 0, -ESTALE, 0, 0, 0, 0},
	{"given up", AT(closed), 4, 1, -ESTALE, 0, 0, 0, 0},
	{"no producer", AT(producer_bytes), 4, 0, 0, LEFT, 2, 0, 4},
	{"no shapes", AT(shapes_bytes), 4, 0, 0, 0, 0, 2, 4},
	{"half a shape", AT(shapes_bytes), 4, 10, 0, 0, 0, 2, 4},
	{"no TSC", AT(clocks[1].version), 8, 0, 0, 3, 0, 1, 4},
	{"TSC written just then", AT(clocks[1].version), 8, 3, 0, LEFT, 2, 0, 4},
	{"TSC of no rate", AT(clocks[1].ns_per_tick), 8, 0, 0, 3, 0, 1, 4},
	{"unknown clock", CHUNK(REGION_MADE_UNIT, clock), 4, 9, 0, 3, 3, 0, 4},
	{"published too far", CHUNK(REGION_MADE_UNIT, published), 4, 2049, 0, 3, 3, 1, 4},
	{"published nothing", CHUNK(REGION_MADE_UNIT, published), 4, 0, 0, 3, 3, 1, 4},
	{"published into zeroes", CHUNK(REGION_MADE_SECOND, published), 4, 1023, 0, 5, 2, 1, 4},
	{"taken beyond", CHUNK(REGION_MADE_SECOND, taken), 4, 1024, 0, 2, 2, 1, 4},
	{"taken inside a span", CHUNK(REGION_MADE_SECOND, taken), 4, 70, 0, 2, 2, 1, 4},
	{"all taken", CHUNK(REGION_MADE_SECOND, taken), 4, 1 << 30, 0, 2, 2, 1, 4},
	{"a shape there isn't", CHUNK(REGION_MADE_SECOND, reserved) + 24 + 4 + 9 + 7, 2, 999, 0, 2,
		2, 1, 4},
	{"no chunk", REGION_KINDS_AT + REGION_MADE_SECOND, 1, 0, 0, 2, 2, 0, 4},
	{"a chunk that goes on", REGION_KINDS_AT + REGION_MADE_SECOND + 1, 1, REGION_MORE, 0, LEFT,
		2, 0, 4},
	{"a kind there isn't", REGION_KINDS_AT + REGION_MADE_SLOTS, 1, 77, 0, LEFT, 0, 0, 4},
	{"a cut of no chunk", CUT(10, unit), 4, 1 << 20, 0, LEFT + 1, 2, 0, 4},
	{"a cut beyond", CUT(10, to), 4, 1 << 20, 0, 3, 3, 1, 4},
	{"a cut of a message not durable", CUT(10, sequence), 8, 4, 0, LEFT + 1, 2, 0, 4},
	{"a drop's cut of no reason", CUT(9, from), 4, 99, 0, LEFT, 2, 0, 9},
	{"a reason without end", AT(drops[0].reason) + 11, 8, UINT64_C(0x6161616161616161), 0, LEFT,
		2, 0, 4},
	{"a reason of a control", AT(drops[0].reason), 1, 7, 0, LEFT, 2, 0, 1},
	{"slot of no id", SLOT(0, raw), 8, 0, 0, LEFT, 1, 0, 4},
	{"slot of no shape", SLOT(0, shape), 4, 70000, 0, LEFT, 1, 0, 4},
	{"slot of no clock", SLOT(0, clock), 4, 70000, 0, LEFT, 1, 0, 4},
	{"slot that ends", SLOT(0, state), 8, 0, 0, LEFT, 1, 0, 4},
	{"slot begun in the future", SLOT(0, start), 8, UINT64_C(1) << 62, 0, LEFT, 2, 0, 4},
};

static void test_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct region_image image = image_made();
		struct salvage salvage;

		memcpy(image.bytes + changes[i].at, &changes[i].value, changes[i].length);
		print_message("%s\n", changes[i].what);
		assert_int_equal(salvage_read(&image, &source, REGION_MADE_DURABLE, &salvage),
			changes[i].status);
		check(&salvage, REGION_MADE_DURABLE);
		assert_int_equal(salvage.finished, changes[i].finished);
		assert_int_equal(salvage.open, changes[i].open);
		assert_int_equal(salvage.damaged, changes[i].damaged);
		assert_int_equal(salvage.dropped, changes[i].dropped);
		salvage_done(&salvage);
		region_image_done(&image);
	}
}

/* The last span isn't taken that ends behind what is published, though all of it is there. */
static void test_torn_end(void **state)
{
	struct region_image image = image_made();
	struct region_chunk *chunk =
		(struct region_chunk *)(void *)(image.bytes + CHUNK(REGION_MADE_SECOND, published));

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct salvage salvage;

		chunk->published--;
		assert_int_equal(salvage_read(&image, &source, REGION_MADE_DURABLE, &salvage), 0);
		check(&salvage, REGION_MADE_DURABLE);
		assert_int_equal(salvage.finished, LEFT - 1);
		assert_int_equal(salvage.damaged, 1);
		salvage_done(&salvage);
	}
	region_image_done(&image);
}

static void read_any(const struct region_image *image)
{
	struct salvage salvage;
	int status = salvage_read(image, &source, REGION_MADE_DURABLE, &salvage);

	assert_true(status == 0 || status == -ESTALE);
	check(&salvage, REGION_MADE_DURABLE);
	assert_true(salvage.finished <= 2 * REGION_MADE_FINISHED);
	salvage_done(&salvage);
}

/* Cut off after any byte that it publishes, and with any one bit another. */
static void test_damage(void **state)
{
	struct region_image image = image_made();
	const struct {
		size_t from;
		size_t to;
	} pieces[] = {
		{0, AT(producer) + 16},
		{REGION_KINDS_AT, REGION_KINDS_AT + 12},
		{CUT(9, sequence), CUT(13, sequence)},
		{REGION_SHAPES_AT, REGION_SHAPES_AT + region_image_header(&image)->shapes_bytes},
		{CHUNK(REGION_MADE_UNIT, published),
			region_made_end(image.bytes, REGION_MADE_UNIT)},
		{SLOT(0, state), SLOT(2, state)},
	};

	(void)state;
	for (uint32_t unit = REGION_MADE_UNIT; unit <= REGION_MADE_SECOND;
		unit += REGION_MADE_SECOND - REGION_MADE_UNIT) {
		struct region_chunk *chunk =
			(struct region_chunk *)(void *)(image.bytes + CHUNK(unit, published));
		uint32_t whole = chunk->published;

		for (chunk->published = 0; chunk->published < whole; chunk->published++)
			read_any(&image);
	}
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		for (size_t bit = pieces[i].from * 8; bit < pieces[i].to * 8; bit++) {
			image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (region_header_fits(region_image_header(&image)))
				read_any(&image);
			image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	region_image_done(&image);
}

/* More than a batch holds is several; all of them together are everything. */
static void test_many(void **state)
{
	struct region_image image = image_made();
	uint8_t *chunk = image.bytes + CHUNK(20, published);
	uint32_t units = REGION_UNITS - 20;
	const struct region_chunk *first =
		(const struct region_chunk *)(const void *)(image.bytes +
							    CHUNK(REGION_MADE_SECOND, published));
	struct region_chunk *head = (struct region_chunk *)(void *)chunk;
	size_t span = (first->published - sizeof(*first)) / 3;
	struct salvage salvage;
	uint64_t spans = 0;

	(void)state;
	image.bytes[REGION_KINDS_AT + 20] = REGION_CHUNK;
	memset(image.bytes + REGION_KINDS_AT + 21, REGION_MORE, units - 1);
	*head = *first;
	head->bytes = units * REGION_UNIT_BYTES;
	head->published = sizeof(*head);
	/* The first of it says its trace, the others are of that one. */
	while (head->published + 100 < head->bytes) {
		size_t length = first->published - sizeof(*first);

		memcpy(chunk + head->published, first + 1, length);
		head->published += (uint32_t)length;
		spans += 3;
	}
	assert_true(span > 0);
	assert_int_equal(salvage_read(&image, &source, 0, &salvage), 0);
	check(&salvage, 0);
	assert_int_equal(salvage.finished, spans + REGION_MADE_FINISHED - REGION_MADE_TAKEN);
	assert_true(salvage.count > 8);
	salvage_done(&salvage);
	region_image_done(&image);
}

/* ---- From a descriptor ------------------------------------------------------- */

static int memory(size_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seals != 0)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_descriptor(void **state)
{
	static const struct {
		size_t size;
		int seals;
		int status;
	} table[] = {
		{REGION_BYTES, F_SEAL_SHRINK | F_SEAL_GROW, 0},
		{REGION_BYTES, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, 0},
		{REGION_BYTES, F_SEAL_SHRINK, -EPERM},
		{REGION_BYTES, 0, -EPERM},
		{REGION_BYTES - 1, F_SEAL_SHRINK | F_SEAL_GROW, -EFBIG},
		{REGION_BYTES + 1, F_SEAL_SHRINK | F_SEAL_GROW, -EFBIG},
		{0, F_SEAL_SHRINK | F_SEAL_GROW, -EFBIG},
	};
	int other = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int fd = memory(table[i].size, table[i].seals);

		assert_int_equal(region_descriptor_check(fd), table[i].status);
		close(fd);
	}
	assert_int_equal(region_descriptor_check(other), -EINVAL);
	close(other);
	assert_int_equal(region_descriptor_check(-1), -EINVAL);
}

static void test_image(void **state)
{
	struct region_image made = image_made();
	int fd = memory(REGION_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
	struct region_header *header = (struct region_header *)(void *)made.bytes;

	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		struct region_image image;
		struct salvage salvage;
		struct bytes open = {0};
		uint64_t spans;
		uint64_t left_out;
		int status = turn == 0 ? 0 : turn == 1 ? -EBUSY : ERR_MALFORMED;

		header->epoch = turn == 1;
		header->version = turn == 2 ? 2 : REGION_VERSION;
		assert_int_equal(pwrite(fd, made.bytes, REGION_BYTES, 0), REGION_BYTES);
		assert_int_equal(region_image_new(&image), 0);
		assert_int_equal(region_image_read(&image, fd, true), status);
		if (status == 0) {
			assert_int_equal(
				salvage_read(&image, &source, REGION_MADE_DURABLE, &salvage), 0);
			assert_int_equal(salvage.finished, LEFT);
			assert_int_equal(salvage.open, REGION_MADE_OPEN);
			salvage_done(&salvage);
		}
		region_image_done(&image);
		assert_int_equal(region_image_new(&image), 0);
		assert_int_equal(region_image_read(&image, fd, false), status);
		if (status == 0) {
			assert_int_equal(
				salvage_open_spans(&image, &source, &open, &spans, &left_out), 0);
			/* Without the chunks it isn't seen that the third has ended. */
			assert_int_equal(spans, REGION_MADE_OPEN + 1);
			assert_int_equal(left_out, 0);
		}
		bytes_done(&open);
		region_image_done(&image);
	}
	close(fd);
	region_image_done(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_trace_goes_on),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_torn_end),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
