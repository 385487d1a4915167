/* What filters let pass. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "filter.h"
#include "scratch.h"

#define LINE                                                                                     \
	"{\"trace_id\":\"a5f4b680d79043708c95d37b79bd6322\",\"span_id\":\"00f067aa0ba902b7\","   \
	"\"timestamp\":\"1970-01-01T00:00:01Z\",\"duration_ms\":5,\"operation\":\"shop.price\"," \
	"\"layer\":\"api\",\"status\":\"error\",\"error\":\"no \\u00e9t\\u00e9\","               \
	"\"data\":{\"input\":\"caf\\u00e9 \\\"x\\\"\",\"output\":{\"deep\":[1,\"y z\"]}},"       \
	"\"metadata\":{\"service\":\"shop\",\"pid\":7,\"resource\":{\"zone\":\"eu\"},"           \
	"\"attributes\":{\"n\":3,\"ok\":true,\"s\":\"a=b\"},\"x\":{\"hidden\":1}}}"

static struct scratch scratch;
static struct record record;

static int setup(void **state)
{
	(void)state;
	return record_parse(slice_of_text(LINE), &scratch, &record, NULL);
}

static int teardown(void **state)
{
	(void)state;
	scratch_done(&scratch);
	return 0;
}

static void texts(void **state)
{
	struct filter filter = {0};

	(void)state;
	assert_false(filter_has_span_part(&filter));
	assert_int_equal(filter_match_span(&filter, &record, &scratch), 1);
	filter.service = slice_of_text("shop");
	filter.operation = slice_of_text("shop.price");
	filter.layer = slice_of_text("api");
	assert_true(filter_has_span_part(&filter));
	assert_int_equal(filter_match_span(&filter, &record, &scratch), 1);
	filter.layer = slice_of_text("ap");
	assert_int_equal(filter_match_span(&filter, &record, &scratch), 0);
	filter.layer = slice_of_text("api");
	filter.operation = slice_of_text("shop.pricE");
	assert_int_equal(filter_match_span(&filter, &record, &scratch), 0);
}

static int match(const char *first, const char *second)
{
	struct filter_attribute attributes[2];
	struct filter filter = {.attributes = attributes};

	assert_int_equal(filter_split_attribute(slice_of_text(first), &attributes[0]), 0);
	filter.attribute_count = 1;
	if (second != NULL) {
		assert_int_equal(filter_split_attribute(slice_of_text(second), &attributes[1]), 0);
		filter.attribute_count = 2;
	}
	return filter_match_span(&filter, &record, &scratch);
}

static void attributes(void **state)
{
	struct filter_attribute attribute;

	(void)state;
	assert_int_equal(match("n=3", NULL), 1);
	assert_int_equal(match("n=3.0", NULL), 0);
	assert_int_equal(match("ok=true", "s=a=b"), 1);
	assert_int_equal(match("ok=true", "s=a"), 0);
	assert_int_equal(match("zone=eu", "pid=7"), 1);
	assert_int_equal(match("hidden=1", NULL), 0);
	assert_int_equal(filter_split_attribute(slice_of_text("novalue"), &attribute), -EINVAL);
	assert_int_equal(filter_split_attribute(slice_of_text("=x"), &attribute), -EINVAL);
	assert_int_equal(filter_split_attribute(slice_of_text(""), &attribute), -EINVAL);
	assert_int_equal(filter_split_attribute(slice_of_text("k="), &attribute), 0);
	assert_int_equal(attribute.value.length, 0);
}

static void many_attributes(void **state)
{
	struct filter_attribute many[130];
	struct filter filter = {.attributes = many, .attribute_count = 130};

	(void)state;
	for (size_t i = 0; i < 130; i++)
		assert_int_equal(filter_split_attribute(slice_of_text("n=3"), &many[i]), 0);
	assert_int_equal(filter_match_span(&filter, &record, &scratch), 1);
	many[129].value = slice_of_text("4");
	assert_int_equal(filter_match_span(&filter, &record, &scratch), 0);
}

static void grep(void **state)
{
	static const struct {
		const char *text;
		int found;
	} cases[] = {
		{"", 1}, {"op.pri", 1}, {"no \xc3\xa9", 1}, /* error */
		{"caf\xc3\xa9", 1},			    /* input, decoded */
		{"caf\\u00e9", 1},			    /* input, as it stands */
		{"\xc3\xa9 \"x\"", 1},			    /* decoded */
		{"[1,\"y z\"]", 1},			    /* output */
		{"CAF", 0}, {"shop.prices", 0}, {"eu", 0},  /* not looked at: attributes */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct filter filter = {.grep = slice_of_text(cases[i].text)};

		assert_int_equal(filter_match_grep(&filter, &record, &scratch), cases[i].found);
	}
}

static void whole_record(void **state)
{
	struct filter filter = {0};

	(void)state;
	filter.since_ns = filter.until_ns = 1000000000;
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 0);
	filter.until_ns++;
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 1);
	filter.min_duration_ns = filter.max_duration_ns = 5000000;
	filter.errors = true;
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 1);
	filter.max_duration_ns--;
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 0);
	filter.max_duration_ns = 0;
	filter.min_duration_ns++;
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 0);
	filter.min_duration_ns = 0;
	assert_int_equal(filter_set_status(&filter, slice_of_text("success")), 0);
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 0);
	assert_int_equal(filter_set_status(&filter, slice_of_text("error")), 0);
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 1);
	assert_int_equal(filter_set_status(&filter, slice_of_text("errors")), -EINVAL);
	filter.grep = slice_of_text("nowhere");
	assert_int_equal(filter_match_record(&filter, &record, &scratch), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(attributes),
		cmocka_unit_test(many_attributes),
		cmocka_unit_test(grep),
		cmocka_unit_test(whole_record),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
