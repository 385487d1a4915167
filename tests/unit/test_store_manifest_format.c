/* manifest_format.c: what it makes of every body, and where memory runs out on the way. */
#include "manifest_format.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz/refuse.h"

#define BODY_BYTES_MAX 256

static const struct manifest_header header = {
	.generation = 3, .store_id = {7}, .checkpoint_bytes = 4096};
static struct manifest_part part = {.id = 2,
	.name = {.day = 20000, .number = 1},
	.inode = 1u << 20,
	.length_bytes = 1u << 30,
	.crc = 0x12345678,
	.spans = 1000,
	.changed_ns = 1u << 31,
	.sealed_length_bytes = 1u << 20};
static const struct manifest_quarantine quarantine = {.name = (char[]){"name"},
	.source = (char[]){"source"},
	.why = (char[]){"why"},
	.offset = 300,
	.length_bytes = 400};
static const struct manifest_forward forward = {.known = true, .place = {5, 512}, .spans = 9};
static struct consumed ordinals;

static int header_body(struct bytes *out)
{
	return manifest_header_body(out, &header);
}

static int part_body(struct bytes *out)
{
	return manifest_part_body(out, &part);
}

static int extent_body(struct bytes *out)
{
	return manifest_extent_body(out, &part);
}

static int commit_body(struct bytes *out)
{
	static const struct manifest_run runs[] = {{1u << 20, 5, 100}, {1u << 21, 6, 200}};
	const struct manifest_commit commit = {.part = 2,
		.offset = 1u << 29,
		.length_bytes = 3u << 20,
		.crc = 9,
		.time_ns = 77,
		.runs = runs,
		.run_count = 2,
		.ordinals = &ordinals};

	return manifest_commit_body(out, &commit);
}

static int sealed_body(struct bytes *out)
{
	return manifest_sealed_body(out, &part);
}

static int quarantine_body(struct bytes *out)
{
	return manifest_quarantine_body(out, &quarantine);
}

static int forward_body(struct bytes *out)
{
	return manifest_forward_body(out, &forward, &ordinals);
}

static int (*const bodies[])(struct bytes *out) = {header_body, part_body, extent_body, commit_body,
	sealed_body, quarantine_body, forward_body};

/* A buffer with so much room left; what it gets stands behind the rest. */
static struct bytes with_room(size_t room)
{
	struct bytes out = {.capacity = room + 1, .length = 1};

	out.data = calloc(1, out.capacity);
	assert_non_null(out.data);
	return out;
}

/* Whatever room there is when memory runs out: it fails, or says the same as ever. */
static void test_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct bytes whole = {0};
		size_t failed = 0;

		assert_int_equal(bodies[i](&whole), 0);
		assert_true(whole.length > 0 && whole.length < BODY_BYTES_MAX);
		for (size_t room = 0; room < BODY_BYTES_MAX; room++) {
			struct bytes out = with_room(room);
			int ret;

			refuse_allocation(1);
			ret = bodies[i](&out);
			if (refuse_happened()) {
				assert_int_equal(ret, -ENOMEM);
				failed++;
			} else {
				assert_int_equal(ret, 0);
				assert_int_equal(out.length, whole.length + 1);
				assert_memory_equal(out.data + 1, whole.data, whole.length);
			}
			refuse_allocation(0);
			bytes_done(&out);
		}
		/* As long as the body has no room it must fail. */
		assert_true(failed >= whole.length && failed < BODY_BYTES_MAX);
		bytes_done(&whole);
	}
}

static void test_bad_name(void **state)
{
	struct bytes out = {0};

	(void)state;
	part.name.day = -800000; /* before the year 0 */
	assert_int_equal(manifest_part_body(&out, &part), -EINVAL);
	assert_int_equal(manifest_extent_body(&out, &part), -EINVAL);
	part.name.day = 20000;
	bytes_done(&out);
}

static void test_record(void **state)
{
	struct bytes body = {0};
	struct bytes out = {0};
	struct manifest_header read;
	struct manifest_record record;

	(void)state;
	assert_int_equal(
		manifest_record_put(&out, 3, MANIFEST_PART, 0, "", MANIFEST_BODY_BYTES_MAX + 1),
		-EFBIG);
	refuse_allocation(1);
	assert_int_equal(manifest_record_put(&out, 3, MANIFEST_PART, 0, "", 0), -ENOMEM);
	refuse_allocation(0);
	assert_int_equal(manifest_header_body(&body, &header), 0);
	assert_int_equal(
		manifest_record_put(&out, 3, MANIFEST_HEADER, 0, body.data, body.length), 0);
	assert_int_equal(manifest_record_length(out.data, out.length), out.length);
	assert_int_equal(manifest_header_get(out.data, out.length, &read), out.length);
	assert_int_equal(read.generation, 3);
	assert_int_equal(manifest_record_get(out.data, out.length, 4, &record), 0);
	for (size_t length = 0; length < out.length; length++) {
		assert_int_equal(manifest_header_get(out.data, length, &read), 0);
		assert_int_equal(manifest_record_get(out.data, length, 3, &record), 0);
	}
	bytes_done(&out);
	bytes_done(&body);
}

/* A header of the right checksum that says what none says. */
static void header_refused(
	size_t length, size_t at, uint8_t byte, uint64_t generation, enum manifest_type type)
{
	struct manifest_header wrong = header;
	struct manifest_header read;
	struct bytes body = {0};
	struct bytes out = {0};

	wrong.generation = generation;
	assert_int_equal(manifest_header_body(&body, &wrong), 0);
	if (at < body.length)
		body.data[at] = byte;
	assert_int_equal(manifest_record_put(&out, generation, type, 0, body.data,
				 length < body.length ? length : body.length),
		0);
	assert_int_equal(manifest_header_get(out.data, out.length, &read), 0);
	bytes_done(&out);
	bytes_done(&body);
}

static void test_header(void **state)
{
	const size_t all = SIZE_MAX;

	(void)state;
	header_refused(all, 0, 'X', 3, MANIFEST_HEADER); /* magic */
	header_refused(all, 40, 99, 3, MANIFEST_HEADER); /* version */
	header_refused(all, all, 0, 0, MANIFEST_HEADER); /* generation */
	header_refused(all, all, 0, 3, MANIFEST_PART);	 /* type */
	header_refused(40, all, 0, 3, MANIFEST_END);	 /* without its end */
	header_refused(0, all, 0, 3, MANIFEST_END);
}

/* Types and lengths that no record has. */
static void test_length(void **state)
{
	uint8_t record[MANIFEST_RECORD_HEADER_BYTES] = {[8] = MANIFEST_FORWARD};

	(void)state;
	assert_int_equal(manifest_record_length(record, sizeof(record)), sizeof(record));
	for (size_t at = 8; at < 12; at++) {
		uint8_t before = record[at];

		record[at] = MANIFEST_FORWARD + 1;
		assert_int_equal(manifest_record_length(record, sizeof(record)), 0);
		record[at] = before;
	}
	record[8] = 0;
	assert_int_equal(manifest_record_length(record, sizeof(record)), 0);
	record[8] = MANIFEST_FORWARD;
	record[4] = 1;
	assert_int_equal(manifest_record_length(record, sizeof(record)), 0);
}

static int set_up(void **state)
{
	const struct ordinal one = {.segment = 5, .offset = 512, .position = 3};

	(void)state;
	return consumed_add(&ordinals, &one);
}

static int tear_down(void **state)
{
	(void)state;
	consumed_done(&ordinals);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_bad_name),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
