/*
 * command.c: the one table of commands, and looking things up in it.
 */
#include "command.h"

#include "when.h"

#include <string.h>

#define AT(member) offsetof(struct arguments, member)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define GROUP(title, array) \
	static const struct option_group array##_group = {title, array, COUNT(array)}

static const struct option global_list[] = {
	{.name = "endpoint",
		.kind = OPTION_TEXTS,
		.value = "ENDPOINT",
		.help = "ask this collector: unix:PATH, tls://HOST:PORT, or file:DIR for a store "
			"without one; may be given several times: they are read as one",
		.offset = AT(endpoints),
		.complete = "file"},
	{.name = "store",
		.kind = OPTION_TEXTS,
		.value = "DIR",
		.help = "read this trace directory, without a collector; may be given several "
			"times: they are read as one",
		.offset = AT(stores),
		.complete = "directory"},
	{.name = "timeout",
		.kind = OPTION_DURATION,
		.value = "TIME",
		.help = "the longest that a collector may take to answer",
		.fallback = "10s",
		.low = WHEN_NS_PER_MS,
		.high = 3600 * (uint64_t)WHEN_NS_PER_SECOND,
		.offset = AT(timeout_ns)},
	{.name = "json",
		.kind = OPTION_FLAG,
		.help = "write one JSON object a line",
		.offset = AT(json)},
	{.name = "color",
		.kind = OPTION_CHOICE_OPT,
		.value = "WHEN",
		.help = "use colours; auto: on a terminal, unless NO_COLOR is set",
		.choices = "auto|always|never",
		.fallback = "auto",
		.offset = AT(color)},
	{.name = "utc",
		.kind = OPTION_FLAG,
		.help = "show and read times in UTC; else they are local",
		.offset = AT(utc)},
	{.name = "no-pager",
		.kind = OPTION_FLAG,
		.help = "never start a pager",
		.offset = AT(no_pager)},
	{.name = "help",
		.letter = 'h',
		.kind = OPTION_FLAG,
		.help = "explain the command",
		.offset = AT(help)},
	{.name = "version",
		.kind = OPTION_FLAG,
		.help = "print the version",
		.offset = AT(version)},
};

const struct option_group global_options = {
	"Options of every command", global_list, COUNT(global_list)};

static const struct option limit_list[] = {
	{.name = "limit",
		.letter = 'n',
		.kind = OPTION_NUMBER,
		.value = "N",
		.help = "show at most N traces, the newest",
		.fallback = "20",
		.low = 1,
		.high = 1000000,
		.offset = AT(limit)},
};
GROUP("Options", limit_list);

static const struct option time_list[] = {
	{.name = "since",
		.kind = OPTION_TIME,
		.value = "TIME",
		.help = "started then or later",
		.offset = AT(since)},
	{.name = "until",
		.kind = OPTION_TIME,
		.value = "TIME",
		.help = "started before",
		.offset = AT(until)},
};
GROUP("Which traces", time_list);

static const struct option filter_list[] = {
	{.name = "service",
		.kind = OPTION_TEXT,
		.value = "NAME",
		.help = "a span of this service",
		.offset = AT(filter.service)},
	{.name = "operation",
		.kind = OPTION_TEXT,
		.value = "NAME",
		.help = "a span of this operation",
		.offset = AT(filter.operation)},
	{.name = "layer",
		.kind = OPTION_TEXT,
		.value = "NAME",
		.help = "a span of this layer",
		.offset = AT(filter.layer)},
	{.name = "attr",
		.kind = OPTION_ATTRIBUTE,
		.value = "KEY=VALUE",
		.help = "a span with this attribute; may be given several times",
		.offset = 0},
	{.name = "status",
		.kind = OPTION_TEXT,
		.value = "STATUS",
		.help = "ended so",
		.choices = "success|error|pending",
		.offset = AT(filter.status)},
	{.name = "errors",
		.kind = OPTION_FLAG,
		.help = "any span failed",
		.offset = AT(filter.errors)},
	{.name = "min-duration",
		.kind = OPTION_DURATION,
		.value = "TIME",
		.help = "took this long or longer",
		.low = 0,
		.high = INT64_MAX,
		.offset = AT(filter.min_duration_ns)},
	{.name = "max-duration",
		.kind = OPTION_DURATION,
		.value = "TIME",
		.help = "took this long or less",
		.low = 0,
		.high = INT64_MAX,
		.offset = AT(filter.max_duration_ns)},
	{.name = "grep",
		.kind = OPTION_TEXT,
		.value = "TEXT",
		.help = "TEXT is in an operation, error, input or output",
		.offset = AT(filter.grep)},
};
GROUP("Conditions (all must hold)", filter_list);

static const struct option show_list[] = {
	{.name = "data",
		.kind = OPTION_CHOICE_OPT,
		.value = "HOW",
		.help = "add what went in and came out; short: 100 characters of each",
		.choices = "none|short|full",
		.fallback = "none",
		.offset = AT(data)},
	{.name = "waterfall",
		.kind = OPTION_FLAG,
		.help = "add bars on one time axis",
		.offset = AT(waterfall)},
};
GROUP("Options", show_list);

static const struct option tail_list[] = {
	{.name = "limit",
		.letter = 'n',
		.kind = OPTION_NUMBER,
		.value = "N",
		.help = "stop after N spans",
		.fallback = "never",
		.low = 1,
		.high = INT64_MAX,
		.offset = AT(limit)},
};
GROUP("Options", tail_list);

static const struct option status_list[] = {
	{.name = "clients",
		.kind = OPTION_FLAG,
		.help = "add the ledger of each client process",
		.offset = AT(clients)},
	{.name = "counters",
		.kind = OPTION_FLAG,
		.help = "add every counter of the collector",
		.offset = AT(counters)},
};
GROUP("Options", status_list);

static const struct option ps_list[] = {
	{.name = "service",
		.kind = OPTION_TEXT,
		.value = "NAME",
		.help = "of processes of this service only",
		.offset = AT(filter.service)},
	{.name = "watch",
		.kind = OPTION_FLAG,
		.help = "show it again every second, until interrupted",
		.offset = AT(watch)},
};
GROUP("Options", ps_list);

#define ABOUT_TIMES                                                                               \
	"A TIME of --since and --until is how long ago (10m, 1h30m, 2d), now, today, yesterday, " \
	"a time of today (14:30), a date (2026-01-09, its midnight), \"2026-01-09 14:30\", or "   \
	"RFC 3339. Without a zone it is local, with --utc UTC. Durations are 250us, 10ms, 1.5s, " \
	"2m or 1h; a bare number is milliseconds."
#define ABOUT_ADMIN                                                                            \
	"Root, the collector's own user, members of its admin-group and those with the right " \
	"admin in its rules may do this."
#define ABOUT_FILTERS                                                                              \
	"Service, operation, layer and attributes must hold on one same span. Names are compared " \
	"as a whole, --grep looks for a part."

const struct command commands[] = {
	{.name = "trace list",
		.summary = "list recent traces",
		.text = "Lists traces, the newest first: whether it succeeded (✓), failed (✗) or "
			"has "
			"not ended (•), its id, the time it started, the operation and how long it "
			"took. These are of the trace's earliest root. On a terminal that is wide "
			"enough, layer, services, spans and errors follow; a shortened id can be "
			"given to `trace show` as it stands. Nothing is shortened in a "
			"pipe. From a collector, traces that are open in connected processes just "
			"now are listed as `trace show` has them.\n\n" ABOUT_FILTERS
			"\n\n" ABOUT_TIMES,
		.examples = "waftctl trace list -n 5                            # the newest five\n"
			    "waftctl trace list --errors --since 1h             # what failed\n"
			    "waftctl trace list --layer api --min-duration 50ms # what was slow\n"
			    "waftctl trace list --json | jq -r .trace_id        # for scripts",
		.groups = {&limit_list_group, &time_list_group, &filter_list_group},
		.reads = true,
		.run = run_trace_list},
	{.name = "trace show",
		.operands = "TRACE-ID|last|@N",
		.min_operands = 1,
		.max_operands = 1,
		.summary = "show one trace as a tree",
		.text = "Shows a trace: its spans as a tree, two spaces a level, each with its "
			"duration and "
			"layer, and the error of what failed. TRACE-ID is a UUID, plain hex, or a "
			"unique beginning or ending of at least 4 digits; `last` is the newest "
			"trace, "
			"`@2` the one before it.\n\n"
			"Spans whose parent was not received stand under `? parent ID not "
			"received`; a "
			"span that has not ended is shown as `•` with how long it has been open; "
			"so "
			"are those that are open in connected processes just now; one whose "
			"process ended is shown with the time until then. "
			"Words "
			"after the layer tell what is unusual: `duplicate` (two records of one id "
			"that "
			"differ), `cycle` (its parents lead back to it), `late` (it ended after "
			"its "
			"root), `skewed` (it begins before its parent: the clocks differ).\n\n"
			"With --json, the records as they are stored, one a line, in the tree's "
			"order.",
		.examples = "waftctl trace show last --data      # with input and output\n"
			    "waftctl trace show 5f3a --waterfall # when things happened",
		.groups = {&show_list_group},
		.reads = true,
		.run = run_trace_show},
	{.name = "trace tail",
		.summary = "follow spans as they become durable",
		.text = "Prints each span, a line each, as soon as it is durable, until "
			"interrupted. "
			"Conditions are asked of each span by itself.\n\n" ABOUT_FILTERS,
		.examples = "waftctl trace tail --status error # failures as they happen",
		.groups = {&tail_list_group, &filter_list_group},
		.reads = true,
		.run = run_trace_tail},
	{.name = "stats",
		.summary = "show figures per operation",
		.text = "Counts, errors, percentiles (p50, p95, p99), total time and self time "
			"(what "
			"children did not take) of each operation, over the traces that fulfil the "
			"conditions; most total time first.\n\n" ABOUT_FILTERS "\n\n" ABOUT_TIMES,
		.examples = "waftctl stats --since today",
		.groups = {&time_list_group, &filter_list_group},
		.reads = true,
		.run = run_stats},
	{.name = "status",
		.summary = "show the ledger and the state of the collector",
		.text = "Says what became of every span: emitted = stored + dropped + unknown + in "
			"flight. Then how the collector and its store are.",
		.groups = {&status_list_group},
		.reads = true,
		.run = run_status},
	{.name = "ps",
		.summary = "show what is running right now",
		.text = "Lists the spans that are open at this moment, by process and thread, as "
			"trees, each with how long it has been open. The collector reads them from "
			"the memory of the processes of its machine that are connected to its "
			"socket; those that send over the network or into files are not among "
			"them.\n\n"
			"With --json, one object a line for each span.",
		.examples = "waftctl ps --watch              # follow it\n"
			    "waftctl ps --json | jq .open_ms # how long each has been open",
		.groups = {&ps_list_group},
		.reads = true,
		.run = run_ps},
	{.name = "admin reload",
		.summary = "have the collector read its configuration again",
		.text = "Has the collector read its configuration, rules and certificates again, "
			"as "
			"SIGHUP does, and says what was wrong: then the old stays. Settings that "
			"need a restart are named.\n\n" ABOUT_ADMIN,
		.run = run_admin_reload},
	{.name = "admin flush",
		.summary = "have all that is held written into files",
		.text = "Has the collector write every span into files that it holds at this "
			"moment, whether their traces have ended or not, and waits for it "
			"(--timeout).\n\n" ABOUT_ADMIN,
		.examples = "waftctl admin flush && cp -a /var/lib/waft/traces backup",
		.run = run_admin_flush},
	{.name = "admin clients",
		.summary = "show who sends, and what became of it",
		.text = "Lists what each user, certificate, token or address has of connections "
			"and "
			"bytes (its quotas are client-connections, client-in-flight-bytes and "
			"client-bytes-per-second of the collector), then the ledger of each client "
			"process: emitted = stored + dropped + unknown + in "
			"flight.\n\n" ABOUT_ADMIN,
		.run = run_admin_clients},
	{.name = "admin log-level",
		.operands = "LEVEL",
		.min_operands = 1,
		.max_operands = 1,
		.summary = "set what the collector logs",
		.text = "Sets the collector's log level: error, warning, notice, info or debug. It "
			"holds until the configuration is read again.\n\n" ABOUT_ADMIN,
		.examples = "waftctl admin log-level debug",
		.run = run_admin_log_level},
	{.name = "version",
		.summary = "print the version",
		.text = "Prints the version of waftctl and of the protocol that it speaks.",
		.run = run_version},
	{.name = "help",
		.operands = "[COMMAND]",
		.max_operands = 2,
		.summary = "explain a command",
		.text = "Explains a command, or lists all of them.",
		.examples = "waftctl help trace list",
		.run = run_help},
};
const size_t command_count = COUNT(commands);

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

enum { NAME_LIMIT = 32 };

/* Edits from a to b, a swap of neighbours counting as one (optimal string
 * alignment). */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][NAME_LIMIT + 1];
	size_t n = strlen(b);

	if (strlen(a) > NAME_LIMIT || n > NAME_LIMIT)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		rows[0][j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i + 2) % 3];
		const size_t *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1,
				above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[strlen(a) % 3][n];
}

const char *command_nearest(const char *word, const char *const *names, size_t count)
{
	const char *nearest = NULL;
	size_t best = 6;

	for (size_t i = 0; i < count; i++) {
		size_t edits = distance(word, names[i]);
		/* Of equally near ones a name of the same length: letters are swapped
		 * more often than forgotten. */
		size_t rank = 2 * (edits < 3 ? edits : 3) + (strlen(word) != strlen(names[i]));

		/* Half of a short word changed is another word. */
		if (rank < best && edits * 2 <= strlen(names[i])) {
			best = rank;
			nearest = names[i];
		}
	}
	return nearest;
}
