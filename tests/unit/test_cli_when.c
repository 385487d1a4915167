/* Tests of when.c: moments and durations as people write them. */
#include "when.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define S ((int64_t)WHEN_NS_PER_SECOND)
/* 2026-01-09 10:30:00 UTC, a Friday; 11:30 in Berlin. */
#define NOW (INT64_C(1767954600) * S)

static int64_t moment(const char *string, bool utc)
{
	int64_t ns = -1;

	assert_int_equal(when_parse(string, NOW, utc, &ns), 0);
	return ns;
}

static void set_zone(const char *zone)
{
	assert_int_equal(setenv("TZ", zone, 1), 0);
	tzset();
}

static void reads_rfc3339(void **state)
{
	(void)state;
	set_zone("UTC");
	assert_int_equal(moment("2026-01-09T10:30:00Z", false), NOW);
	assert_int_equal(moment("2026-01-09T10:30:00z", false), NOW);
	assert_int_equal(moment("2026-01-09T10:30:00.123456789Z", false), NOW + 123456789);
	assert_int_equal(moment("2026-01-09T10:30:00.5Z", false), NOW + S / 2);
	/* More digits than nanoseconds have. */
	assert_int_equal(moment("2026-01-09T10:30:00.1234567891111Z", false), NOW + 123456789);
	assert_int_equal(moment("2026-01-09T12:30:00+02:00", false), NOW);
	assert_int_equal(moment("2026-01-09T05:00:00-05:30", false), NOW);
	assert_int_equal(moment("2026-01-09 10:30", true), NOW);
	assert_int_equal(moment("1969-12-31T23:59:59Z", false), -S);
}

static void reads_local_times(void **state)
{
	(void)state;
	set_zone("Europe/Berlin");
	assert_int_equal(moment("2026-01-09 11:30:00", false), NOW);
	assert_int_equal(moment("2026-01-09 10:30:00", true), NOW);
	assert_int_equal(moment("2026-01-09", false), NOW - 41400 * S);
	assert_int_equal(moment("2026-01-09", true), NOW - 37800 * S);
	assert_int_equal(moment("11:30", false), NOW);
	assert_int_equal(moment("10:30:00", true), NOW);
	assert_int_equal(moment("today", false), NOW - 41400 * S);
	assert_int_equal(moment("yesterday", false), NOW - (41400 + 86400) * S);
	assert_int_equal(moment("today", true), NOW - 37800 * S);
	/* In summer the zone is two hours off. */
	assert_int_equal(moment("2026-07-01 12:00", false), INT64_C(1782900000) * S);
}

static void reads_how_long_ago(void **state)
{
	(void)state;
	assert_int_equal(moment("now", false), NOW);
	assert_int_equal(moment("10m", false), NOW - 600 * S);
	assert_int_equal(moment("2h", false), NOW - 7200 * S);
	assert_int_equal(moment("1h30m", false), NOW - 5400 * S);
	assert_int_equal(moment("1.5h", false), NOW - 5400 * S);
	assert_int_equal(moment("2d", false), NOW - 172800 * S);
	assert_int_equal(moment("1w ago", false), NOW - 604800 * S);
}

static void refuses_what_is_no_time(void **state)
{
	static const char *const wrong[] = {"", "x", "10", "2026", "2026-13-01", "2026-02-29",
		"2025-02-29", "2026-01-32", "2026-00-10", "2026-01-09T", "2026-01-09T25:00:00Z",
		"2026-01-09T10:60:00Z", "2026-01-09T10:30:00+25:00", "2026-01-09T10:30:00Zx",
		"2026-01-09T10:30:00.Z", "2026-1-9", "10:5", "-10m", "10m-", "10 m", "1h ago ago",
		" ago", "100000w", "9999-01-01", "20260109T103000Z"};
	int64_t ns = 42;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		if (when_parse(wrong[i], NOW, true, &ns) == 0)
			fail_msg("\"%s\" was taken", wrong[i]);
		assert_int_equal(ns, 42);
	}
	assert_int_equal(when_parse("2024-02-29", NOW, true, &ns), 0);
}

static uint64_t duration(const char *string)
{
	uint64_t ns = 0;

	assert_int_equal(when_parse_duration(string, &ns), 0);
	return ns;
}

static void reads_durations(void **state)
{
	uint64_t ns;

	(void)state;
	assert_int_equal(duration("10"), 10000000);
	assert_int_equal(duration("10ms"), 10000000);
	assert_int_equal(duration("0"), 0);
	assert_int_equal(duration("250us"), 250000);
	assert_int_equal(duration("250µs"), 250000);
	assert_int_equal(duration("7ns"), 7);
	assert_int_equal(duration("1.5s"), 1500000000);
	assert_int_equal(duration("2m"), 120 * S);
	assert_int_equal(duration("1h30m"), 5400 * S);
	assert_int_equal(when_parse_duration("", &ns), -EINVAL);
	assert_int_equal(when_parse_duration("ms", &ns), -EINVAL);
	assert_int_equal(when_parse_duration("1.s", &ns), -EINVAL);
	assert_int_equal(when_parse_duration("1x", &ns), -EINVAL);
	assert_int_equal(when_parse_duration("1s5", &ns), -EINVAL);
	assert_int_equal(when_parse_duration("-1s", &ns), -EINVAL);
	assert_int_equal(when_parse_duration("inf", &ns), -EINVAL);
	assert_int_equal(when_parse_duration("99999999999999999999s", &ns), -ERANGE);
	assert_int_equal(when_parse_duration("9223372036854775807d", &ns), -ERANGE);
}

static void expect_text(struct strbuf *text, const char *expected)
{
	assert_string_equal(text->bytes, expected);
	strbuf_done(text);
}

static void writes_times(void **state)
{
	struct strbuf text = {0};

	(void)state;
	set_zone("Europe/Berlin");
	when_clock(&text, NOW + 933617000, false, true);
	expect_text(&text, "11:30:00.933");
	when_clock(&text, NOW, true, false);
	expect_text(&text, "10:30:00");
	when_date(&text, NOW, false);
	expect_text(&text, "2026-01-09");
	when_zone(&text, NOW, false);
	expect_text(&text, "+01:00");
	when_zone(&text, NOW, true);
	expect_text(&text, "UTC");
	when_rfc3339(&text, NOW + 1);
	expect_text(&text, "2026-01-09T10:30:00.000000001Z");
	when_rfc3339(&text, -1);
	expect_text(&text, "1969-12-31T23:59:59.999999999Z");
	set_zone("America/St_Johns");
	when_zone(&text, NOW, false);
	expect_text(&text, "-03:30");
}

static void writes_how_long(void **state)
{
	struct strbuf text = {0};

	(void)state;
	when_elapsed(&text, 3200 * INT64_C(1000000));
	expect_text(&text, "3.20s");
	when_elapsed(&text, -5);
	expect_text(&text, "0.00s");
	when_elapsed(&text, 3599 * S);
	expect_text(&text, "3599.00s");
	when_elapsed(&text, (5 * 3600 + 12 * 60 + 3) * S);
	expect_text(&text, "5h 12m");
	when_elapsed(&text, (3 * 86400 + 4 * 3600) * S);
	expect_text(&text, "3d 4h");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_rfc3339),
		cmocka_unit_test(reads_local_times),
		cmocka_unit_test(reads_how_long_ago),
		cmocka_unit_test(refuses_what_is_no_time),
		cmocka_unit_test(reads_durations),
		cmocka_unit_test(writes_times),
		cmocka_unit_test(writes_how_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
