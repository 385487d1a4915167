/*
 * log_line.c: how many lines one call site may print, and that a peer's text
 * makes no line of its own. One thread; the time is this file's.
 */
#include "clock.h"
#include "log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WINDOW_MS 5000
#define LINES 10

static uint64_t now_ms;
static int printed; /* where printed lines are read */

static uint64_t test_ns(const struct clock *clock)
{
	(void)clock;
	return now_ms * CLOCK_NS_PER_MS;
}

/* In the place of clock.c, which the linker leaves in the library for it. */
const struct clock clock_system = {test_ns, test_ns};

static int setup(void **state)
{
	int ends[2];

	unsetenv("JOURNAL_STREAM");
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	now_ms = 1000000;
	printed = ends[0];
	*state = (void *)(intptr_t)ends[1];
	log_line_set_fd(ends[1]);
	log_line_set_level(LOG_LINE_INFO);
	return 0;
}

static int teardown(void **state)
{
	log_line_set_fd(-1);
	close(printed);
	return close((int)(intptr_t)*state);
}

/* All that was printed since the last call; valid until the next. */
static const char *take(void)
{
	static char text[65536];
	ssize_t got = read(printed, text, sizeof(text) - 1);

	assert_true(got >= 0 || errno == EAGAIN);
	text[got < 0 ? 0 : got] = '\0';
	return text;
}

static size_t take_lines(void)
{
	size_t lines = 0;

	for (const char *at = take(); (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	return lines;
}

static void print_many(struct log_site *site, int count)
{
	for (int i = 0; i < count; i++)
		log_line_print(site, LOG_LINE_WARNING, "number %d", i);
}

static void test_limit(void **state)
{
	struct log_site site = {0}, other = {0};

	(void)state;
	print_many(&site, 1000);
	assert_int_equal(take_lines(), LINES);
	/* Another site has its own allowance. */
	print_many(&other, LINES);
	assert_int_equal(take_lines(), LINES);
	/* To the last millisecond of the window. */
	now_ms += WINDOW_MS - 1;
	print_many(&site, 1);
	assert_string_equal(take(), "");
	/* What was left out is told once, by the first line after it. */
	now_ms++;
	print_many(&site, 1);
	assert_string_equal(take(), "waft-collectord: number 0 (991 like it left out)\n");
	print_many(&site, 1);
	assert_string_equal(take(), "waft-collectord: number 0\n");
	print_many(&site, 1000);
	assert_int_equal(take_lines(), LINES - 2);
}

static void test_level(void **state)
{
	struct log_site site = {0};

	(void)state;
	/* Lines that nobody wants use up nothing. */
	for (int i = 0; i < 1000; i++)
		log_line_print(&site, LOG_LINE_DEBUG, "detail");
	assert_string_equal(take(), "");
	log_line_set_level(LOG_LINE_DEBUG);
	log_line_print(&site, LOG_LINE_DEBUG, "detail");
	assert_string_equal(take(), "waft-collectord: detail\n");
}

static void test_hostile_text(void **state)
{
	char text[8192];
	struct log_site site = {0};

	(void)state;
	log_line_print(&site, LOG_LINE_WARNING, "peer %s", "a\nwaft-collectord: b\x1b[2J\x7f");
	assert_string_equal(
		take(), "waft-collectord: peer a\\x0awaft-collectord: b\\x1b[2J\\x7f\n");
	/* Each byte becomes four: the line is cut, and ends. */
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_line_print(&site, LOG_LINE_WARNING, "%s", text);
	assert_int_equal(take_lines(), 1);
}

static void test_journal(void **state)
{
	struct log_site site = {0};
	struct stat st;
	char stream[64];

	assert_int_equal(fstat((int)(intptr_t)*state, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		(unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_line_print(&site, LOG_LINE_ERROR, "told");
	assert_string_equal(take(), "<3>waft-collectord: told\n");
	/* Another stream's. */
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	log_line_print(&site, LOG_LINE_ERROR, "told");
	assert_string_equal(take(), "waft-collectord: told\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_journal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
