/* Tests of arguments.c and command.c: command lines as people type them. */
#include "command.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_WORDS = 48 };

/* Splits at single spaces and parses; *ret_arguments is the caller's. */
struct line {
	char text[1024];
	char *argv[MAX_WORDS + 1];
	int argc;
	struct arguments arguments;
	struct strbuf message;
	int result;
};

static void parse(struct line *line, const char *text)
{
	*line = (struct line){.argc = 0};
	assert_true(strlen(text) < sizeof line->text);
	memcpy(line->text, text, strlen(text) + 1);
	for (char *word = strtok(line->text, " "); word != NULL; word = strtok(NULL, " ")) {
		assert_true(line->argc < MAX_WORDS);
		line->argv[line->argc++] = word;
	}
	line->result = arguments_parse(line->argc, line->argv, &line->arguments, &line->message);
}

static void done(struct line *line)
{
	arguments_done(&line->arguments);
	strbuf_done(&line->message);
}

static void good(struct line *line, const char *text)
{
	parse(line, text);
	if (line->result != 0)
		fail_msg("%s: %s", text, line->message.bytes);
}

/* The command line is refused in exactly these words. */
static void bad(const char *text, const char *message)
{
	struct line line;

	parse(&line, text);
	assert_int_equal(line.result, -EINVAL);
	assert_string_equal(line.message.bytes, message);
	done(&line);
}

static void reads_options_anywhere(void **state)
{
	struct line line;

	(void)state;
	good(&line, "waftctl --store d trace list -n 5 --json --layer=api --errors");
	assert_ptr_equal(line.arguments.command, command_find("trace list"));
	assert_string_equal(line.arguments.stores.texts[0], "d");
	assert_int_equal(line.arguments.limit, 5);
	assert_true(line.arguments.json);
	assert_true(line.arguments.filter.errors);
	assert_string_equal(line.arguments.filter.layer, "api");
	done(&line);

	good(&line, "waftctl trace --json show --data last --store=/x");
	assert_ptr_equal(line.arguments.command, command_find("trace show"));
	assert_int_equal(line.arguments.operand_count, 1);
	assert_string_equal(line.arguments.operands[0], "last");
	assert_int_equal(line.arguments.data, WAFT_DATA_SHORT);
	assert_string_equal(line.arguments.stores.texts[0], "/x");
	done(&line);

	good(&line, "waft trace show -- --odd");
	assert_string_equal(line.arguments.operands[0], "--odd");
	done(&line);

	good(&line, "waft trace list -n7");
	assert_int_equal(line.arguments.limit, 7);
	done(&line);
}

static void reads_values(void **state)
{
	struct line line;

	(void)state;
	good(&line, "w trace show x --data=full --color");
	assert_int_equal(line.arguments.data, WAFT_DATA_FULL);
	assert_int_equal(line.arguments.color, OUTPUT_COLOR_ALWAYS);
	done(&line);
	good(&line, "w trace show --data full --color never x");
	assert_int_equal(line.arguments.data, WAFT_DATA_FULL);
	assert_int_equal(line.arguments.color, OUTPUT_COLOR_NEVER);
	assert_string_equal(line.arguments.operands[0], "x");
	done(&line);
	good(&line, "w trace show --data last");
	assert_int_equal(line.arguments.data, WAFT_DATA_SHORT);
	assert_string_equal(line.arguments.operands[0], "last");
	done(&line);
	good(&line, "w stats --color=never --min-duration 1.5s --max-duration=2m --timeout 3s");
	assert_int_equal(line.arguments.color, OUTPUT_COLOR_NEVER);
	assert_int_equal(line.arguments.filter.min_duration_ns, 1500000000);
	assert_int_equal(line.arguments.filter.max_duration_ns, UINT64_C(120000000000));
	assert_int_equal(line.arguments.timeout_ns, UINT64_C(3000000000));
	done(&line);
	good(&line, "w trace list --attr http.route=/a=b --attr k= --status error");
	assert_int_equal(line.arguments.filter.attribute_count, 2);
	assert_string_equal(line.arguments.filter.attributes[0].key, "http.route");
	assert_string_equal(line.arguments.filter.attributes[0].value, "/a=b");
	assert_string_equal(line.arguments.filter.attributes[1].value, "");
	assert_string_equal(line.arguments.filter.status, "error");
	done(&line);
	/* Said twice: the last holds. */
	good(&line, "w trace list -n 3 --limit 9");
	assert_int_equal(line.arguments.limit, 9);
	done(&line);
}

static void refuses_unknown_commands(void **state)
{
	(void)state;
	bad("waftctl",
		"what to do? There are: trace list, trace show, trace tail, stats, status, ps, "
		"admin reload, admin flush, admin clients, admin log-level, version, help\nTry: "
		"waftctl help");
	bad("waftctl trace", "trace what? There are: trace list, trace show, trace tail\n"
			     "Try: waftctl help trace");
	bad("waftctl trcae", "no command \"trcae\"; did you mean \"trace\"?\nTry: waftctl help");
	bad("waftctl trace lsit",
		"no command \"trace lsit\"; did you mean \"trace list\"?\nTry: waftctl help trace");
	bad("waftctl show last",
		"no command \"show\"; did you mean \"trace show\"?\nTry: waftctl help");
	bad("waftctl stauts", "no command \"stauts\"; did you mean \"status\"?\nTry: waftctl help");
	bad("waftctl xyzzy", "no command \"xyzzy\"\nTry: waftctl help");
	bad("waftctl \033[2J", "no command \"\\x1b[2J\"\nTry: waftctl help");
}

static void refuses_unknown_options(void **state)
{
	(void)state;
	bad("w trace list --limt 5", "no option \"--limt\" of trace list; did you mean "
				     "\"--limit\"?\nTry: waftctl help trace list");
	bad("w trace list -x", "no option \"-x\" of trace list\nTry: waftctl help trace list");
	bad("w --limit 5 trace list",
		"no option \"--limit\"; a command's own options stand after it\nTry: waftctl help");
	bad("w trace show x --errors",
		"no option \"--errors\" of trace show\nTry: waftctl help trace show");
	bad("w trace list --json=1", "--json takes no value\nTry: waftctl help trace list");
}

static void refuses_bad_values(void **state)
{
	(void)state;
	bad("w trace list -n 0", "--limit takes a number from 1 to 1000000, not \"0\"\n"
				 "Try: waftctl help trace list");
	bad("w trace list -n abc", "--limit takes a number from 1 to 1000000, not \"abc\"\n"
				   "Try: waftctl help trace list");
	bad("w trace list -n -5", "--limit takes a number from 1 to 1000000, not \"-5\"\n"
				  "Try: waftctl help trace list");
	bad("w trace list -n 99999999999999999999999",
		"--limit takes a number from 1 to 1000000, not \"99999999999999999999999\"\n"
		"Try: waftctl help trace list");
	bad("w trace list --limit", "--limit needs a value: N\nTry: waftctl help trace list");
	bad("w trace list --status odd", "--status takes success, error or pending, not "
					 "\"odd\"\nTry: waftctl help trace list");
	bad("w trace list --color=blue", "--color takes auto, always or never, not \"blue\"\n"
					 "Try: waftctl help trace list");
	bad("w trace show last --data=some",
		"--data takes none, short or full, not \"some\"\nTry: waftctl help trace show");
	bad("w trace list --attr nokey",
		"--attr takes KEY=VALUE, not \"nokey\"\nTry: waftctl help trace list");
	bad("w trace list --attr =v",
		"--attr takes KEY=VALUE, not \"=v\"\nTry: waftctl help trace list");
	bad("w stats --min-duration fast",
		"--min-duration takes a duration: 250us, 10ms, 1.5s, 2m or 1h; a bare number is "
		"milliseconds, not \"fast\"\nTry: waftctl help stats");
	bad("w stats --since never",
		"--since takes a time: 10m, 2h, today, yesterday, 14:30, 2026-01-09, \"2026-01-09 "
		"14:30\" or RFC 3339, not \"never\"\nTry: waftctl help stats");
	bad("w stats --service=",
		"--service takes a text that is not empty, not \"\"\nTry: waftctl help stats");
	bad("w stats --min-duration 2s --max-duration 1s",
		"--min-duration is longer than --max-duration\nTry: waftctl help stats");
	bad("w stats --store a --endpoint unix:b",
		"--store and --endpoint exclude each other\nTry: waftctl help stats");
}

static void refuses_wrong_operands(void **state)
{
	(void)state;
	bad("w trace show", "trace show needs TRACE-ID|last|@N\nTry: waftctl help trace show");
	bad("w trace show a b", "too many arguments: \"b\"; usage: waftctl trace show [OPTION]… "
				"TRACE-ID|last|@N\nTry: waftctl help trace show");
	bad("w trace list extra", "too many arguments: \"extra\"; usage: waftctl trace list "
				  "[OPTION]…\nTry: waftctl help trace list");
}

static void bounds_attributes(void **state)
{
	struct line line;
	char text[1024] = "w trace list";

	(void)state;
	for (int i = 0; i < COMMAND_MAX_ATTRIBUTES; i++)
		strcat(text, " --attr=k=v");
	parse(&line, text);
	assert_int_equal(line.result, 0);
	assert_int_equal(line.arguments.filter.attribute_count, COMMAND_MAX_ATTRIBUTES);
	done(&line);
	strcat(text, " --attr=k=v");
	parse(&line, text);
	assert_int_equal(line.result, -EINVAL);
	done(&line);
}

static void asks_for_help(void **state)
{
	struct line line;

	(void)state;
	good(&line, "w --help");
	assert_true(line.arguments.help);
	assert_null(line.arguments.command);
	done(&line);
	good(&line, "w trace -h");
	assert_true(line.arguments.help);
	assert_string_equal(line.arguments.group, "trace");
	done(&line);
	/* Operands aren't missed then. */
	good(&line, "w trace show --help");
	assert_ptr_equal(line.arguments.command, command_find("trace show"));
	done(&line);
}

static void resolves_times(void **state)
{
	const int64_t now_ns = INT64_C(1767954600000000000);
	struct strbuf message = {0};
	struct line line;

	(void)state;
	good(&line, "w trace list --since 2026-01-09 --until 10m --utc");
	assert_int_equal(arguments_resolve(&line.arguments, now_ns, &message), 0);
	assert_int_equal(line.arguments.filter.since_ns, INT64_C(1767916800000000000));
	assert_int_equal(line.arguments.filter.until_ns, now_ns - INT64_C(600000000000));
	done(&line);
	good(&line, "w trace list --since 1m --until 10m");
	assert_int_equal(arguments_resolve(&line.arguments, now_ns, &message), -EINVAL);
	assert_string_equal(
		message.bytes, "--since is not before --until: no trace can be between");
	strbuf_done(&message);
	done(&line);
}

static void finds_the_nearest_name(void **state)
{
	static const char *const names[] = {"trace", "stats", "status", "version", "help"};

	(void)state;
	assert_string_equal(command_nearest("tarce", names, 5), "trace");
	assert_string_equal(command_nearest("stat", names, 5), "stats");
	assert_string_equal(command_nearest("halp", names, 5), "help");
	assert_null(command_nearest("x", names, 5));
	assert_null(command_nearest("", names, 5));
	assert_null(command_nearest("averyveryveryveryverylongwordthatisnocommandatall", names, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_options_anywhere),
		cmocka_unit_test(reads_values),
		cmocka_unit_test(refuses_unknown_commands),
		cmocka_unit_test(refuses_unknown_options),
		cmocka_unit_test(refuses_bad_values),
		cmocka_unit_test(refuses_wrong_operands),
		cmocka_unit_test(bounds_attributes),
		cmocka_unit_test(asks_for_help),
		cmocka_unit_test(resolves_times),
		cmocka_unit_test(finds_the_nearest_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
