/* Samplers: what their names mean, and that every process decides alike. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "sampler.h"

#define WHOLE (UINT64_C(1) << 56)

static void test_names(void **state)
{
	static const struct {
		const char *name, *arg;
		int ret;
		bool parent_based;
		uint64_t threshold;
	} cases[] = {
		{NULL, NULL, 0, true, 0},
		{"", "0.5", 0, true, 0},
		{"always_on", NULL, 0, false, 0},
		{"always_off", NULL, 0, false, WHOLE},
		{"parentbased_always_on", NULL, 0, true, 0},
		{"parentbased_always_off", NULL, 0, true, WHOLE},
		{"traceidratio", NULL, 0, false, 0},
		{"traceidratio", "", 0, false, 0},
		{"traceidratio", "1", 0, false, 0},
		{"traceidratio", "1.0", 0, false, 0},
		{"traceidratio", "0", 0, false, WHOLE},
		{"traceidratio", "0.5", 0, false, WHOLE / 2},
		{"traceidratio", ".25", 0, false, WHOLE / 4 * 3},
		{"traceidratio", "0.", 0, false, WHOLE},
		{"traceidratio", "5e-1", 0, false, WHOLE / 2},
		{"traceidratio", "0.05e+1", 0, false, WHOLE / 2},
		{"traceidratio", "1e-400", 0, false, WHOLE},
		{"traceidratio", "0e999999999999", 0, false, WHOLE},
		{"parentbased_traceidratio", "0.125", 0, true, WHOLE / 8 * 7},
		{"always", NULL, -EINVAL, true, 0},
		{"ALWAYS_ON", NULL, -EINVAL, true, 0},
		{"always_on ", NULL, -EINVAL, true, 0},
		{"parentbased_", NULL, -EINVAL, true, 0},
		{"parentbased_parentbased_always_on", NULL, -EINVAL, true, 0},
		{"jaeger_remote", NULL, -EINVAL, true, 0},
		{"traceidratio", "2", -EINVAL, true, 0},
		{"traceidratio", "-0.5", -EINVAL, true, 0},
		{"traceidratio", "0,5", -EINVAL, true, 0},
		{"traceidratio", "half", -EINVAL, true, 0},
		{"traceidratio", "0.5x", -EINVAL, true, 0},
		{"traceidratio", " 0.5", -EINVAL, true, 0},
		{"traceidratio", "1e", -EINVAL, true, 0},
		{"traceidratio", "1e9", -EINVAL, true, 0},
		{"traceidratio", ".", -EINVAL, true, 0},
		{"traceidratio", "e5", -EINVAL, true, 0},
		{"traceidratio", "nan", -EINVAL, true, 0},
		{"traceidratio", "inf", -EINVAL, true, 0},
		{"traceidratio", "0x1", -EINVAL, true, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sampler sampler;
		int ret = sampler_parse(cases[i].name, cases[i].arg, &sampler);

		if (ret != cases[i].ret || sampler.parent_based != cases[i].parent_based ||
			sampler.threshold != cases[i].threshold)
			fail_msg("%s(%s): %d, %d, %llx", cases[i].name, cases[i].arg, ret,
				sampler.parent_based, (unsigned long long)sampler.threshold);
	}
}

/* Sampled when the last 56 bits are not below the threshold, whatever stands
 * before them: 0.25 keeps what OpenTelemetry's threshold c0… keeps. */
static void test_decision(void **state)
{
	static const struct {
		uint8_t id[16];
		bool sampled;
	} cases[] = {
		{{[9] = 0xc0}, true},
		{{[9] = 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		{{[9] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, true},
		{{1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, false},
		{{[9] = 0xc0, [15] = 1}, true},
	};
	struct sampler sampler, all, none;

	(void)state;
	assert_int_equal(sampler_parse("traceidratio", "0.25", &sampler), 0);
	assert_int_equal(sampler_parse("traceidratio", "1", &all), 0);
	assert_int_equal(sampler_parse("traceidratio", "0", &none), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(sampler_decide(&sampler, cases[i].id), cases[i].sampled);
		assert_true(sampler_decide(&all, cases[i].id));
		assert_false(sampler_decide(&none, cases[i].id));
	}
}

/* ---- In processes ----------------------------------------------------------- */

enum { TRACES = 400 };

static void sampled_start(const char *name, const char *arg)
{
	struct waft_options options = {.size = sizeof(options),
		.endpoint = "unix:sock",
		.sampler = name,
		.sampler_arg = arg,
		.batch_age_ms = 5};

	CHECK_INT(waft_init(&options), 0);
}

/* The contexts of spans begun in one process, and what another one that samples by
 * itself, at the same ratio, decides about each: the same. */
static void alike_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	static uint8_t seen[TRACES][WAFT_TRACEPARENT_SIZE];
	struct waft_context context;
	struct waft_span span;
	uint32_t recorded = 0;
	int sent[2];

	CHECK_INT(pipe(sent), 0);
	if (fork() == 0) {
		/* Where no collector is, which would count what comes before the exit. */
		CHECK_INT(chdir("/"), 0);
		sampled_start("traceidratio", "0.5");
		for (int i = 0; i < TRACES; i++) {
			char text[WAFT_TRACEPARENT_SIZE];

			WAFT_BEGIN_ROOT(&span, "root");
			waft_context_of(&span, &context);
			waft_traceparent_format(&context, text);
			CHECK((text[54] & 1) == waft_recording(&span));
			waft_end(&span);
			CHECK_INT(write(sent[1], text, sizeof(text)), sizeof(text));
		}
		_exit(0);
	}
	for (int i = 0; i < TRACES; i++)
		CHECK_INT(read(sent[0], seen[i], sizeof(seen[i])), sizeof(seen[i]));
	CHECK(wait(NULL) > 0);
	sampled_start("traceidratio", "0.5");
	for (int i = 0; i < TRACES; i++) {
		CHECK_INT(waft_traceparent_parse((char *)seen[i], &context), 0);
		WAFT_BEGIN_CHILD(&span, "child", &context);
		CHECK_INT(waft_recording(&span), context.flags & 1);
		recorded += waft_recording(&span);
		waft_end(&span);
	}
	/* Twelve standard deviations to either side. */
	CHECK(recorded > TRACES / 2 - 120 && recorded < TRACES / 2 + 120);
	tracer_end(fake, NULL);
	CHECK_INT(fake->span_count, recorded);
	fake_free(fake);
}

/* A parent's decision is taken over whatever the own one would be, both ways; and
 * below it whole trees go the same way. */
static void parent_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_context yes, no;
	struct waft_span span, child;
	struct waft_stats stats;

	sampled_start("parentbased_always_off", NULL);
	CHECK_INT(waft_traceparent_parse(
			  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &yes),
		0);
	CHECK_INT(waft_traceparent_parse(
			  "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00", &no),
		0);
	WAFT_BEGIN_CHILD(&span, "yes", &yes);
	WAFT_BEGIN(&child, "below yes");
	CHECK(waft_recording(&span) && waft_recording(&child));
	waft_end(&child);
	waft_end(&span);
	WAFT_BEGIN_CHILD(&span, "no", &no);
	WAFT_BEGIN(&child, "below no");
	CHECK(!waft_recording(&span) && !waft_recording(&child));
	waft_end(&child);
	waft_end(&span);
	WAFT_BEGIN(&span, "own");
	CHECK(!waft_recording(&span));
	waft_end(&span);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, 2);
	CHECK_INT(stats.not_sampled, 3);
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(alike)
TEST(parent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_decision),
		cmocka_unit_test(test_alike),
		cmocka_unit_test(test_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
