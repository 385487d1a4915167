/* What becomes of a chunk whose bytes are not what its writer left there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "chunk.h"
#include "fake_collector.h"
#include "process.h"

enum { HEAD_BYTES = 3, SPANS = 5 };

static void spans_make(void)
{
	for (int i = 0; i < SPANS; i++) {
		WAFT_SPAN(span, "made");
		waft_attr_int(&span, "number", i);
	}
}

/* Of the span that begins there: inlined code writes its length in two bytes, chunk.c in three. */
static uint32_t length_of(const uint8_t *at)
{
	uint32_t length = (at[1] & 0x7fu) | (at[2] & 0x7fu) << 7;

	CHECK_INT(at[0], 0x2a);
	return (at[2] & 0x80) == 0 ? HEAD_BYTES + length
				   : HEAD_BYTES + 1 + length + ((uint32_t)at[3] << 14);
}

/* The last span of the only chunk that has any. */
static uint8_t *last_span(void)
{
	struct chunk *chunk = process.chunks;
	const struct region_chunk *head = NULL;
	uint8_t *last = NULL;
	uint8_t *at;

	for (; chunk != NULL; chunk = chunk->next)
		if (chunk_head(&process.region, chunk)->published > sizeof(*head)) {
			CHECK(head == NULL);
			head = chunk_head(&process.region, chunk);
		}
	CHECK(head != NULL);
	at = (uint8_t *)head + sizeof(*head);
	while (at < (const uint8_t *)head + head->published) {
		last = at;
		at += at[0] == 0 ? REGION_MARK_BYTES : length_of(at);
	}
	CHECK(at == (const uint8_t *)head + head->published);
	return last;
}

/* By as little as by as much as it can say: nothing behind what is published is sent. */
static void longer_by(uint32_t more)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "unix:sock", .batch_age_ms = 60000};
	uint32_t length;
	uint8_t *last;

	CHECK_INT(waft_init(&options), 0);
	spans_make();
	last = last_span();
	CHECK((last[2] & 0x80) == 0);
	length = length_of(last) - HEAD_BYTES + more;
	last[1] = (uint8_t)(0x80 | (length & 0x7f));
	last[2] = (uint8_t)(length / 128);
	(void)waft_flush(20000);
	pthread_mutex_lock(&fake->lock);
	CHECK_INT(fake->bad, 0);
	CHECK_INT(fake->span_count, SPANS - 1);
	pthread_mutex_unlock(&fake->lock);
	(void)waft_shutdown(1, NULL);
	fake_free(fake);
}

static void by_one_body(void)
{
	longer_by(1);
}

static void by_much_body(void)
{
	longer_by(8000);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(by_one)
TEST(by_much)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_one),
		cmocka_unit_test(test_by_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
