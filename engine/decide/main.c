/*
 * main.c: waft-decide, the decision service from the command line. Every
 * subcommand goes through run_traced(), which opens its span [cli]; the request
 * to the service carries it on.
 */
#define WAFT_LAYER "cli"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <waft/waft.h>

#include "client.h"
#include "fault.h"
#include "json_text.h"
#include "show.h"
#include "table.h"
#include "text.h"

enum { FILE_LIMIT_BYTES = 64 * 1024 * 1024, HISTORY_MAX = 1000, EXIT_USAGE = 2 };

/* A parsed command line. */
struct settings {
	const char *server;
	const char *argument; /* FILE or ID */
	const char *limit;
	const char *before;
	bool json;
	int argc; /* as given */
	char **argv;
};

/* What a subcommand has to tell. */
struct outcome {
	struct text out; /* for stdout */
	char *decision_id;
};

struct command {
	const char *name;
	const char *operation;
	const char *argument; /* what must follow the name; NULL: nothing may */
	int (*run)(const struct settings *settings, struct outcome *outcome, struct fault *fault);
};

static const char help[] =
	"Usage: waft-decide [OPTION]... FILE|-\n"
	"  or:  waft-decide [OPTION]... history\n"
	"  or:  waft-decide [OPTION]... show ID\n"
	"Has waft-engined analyse the decision in FILE (- is standard input), lists the\n"
	"decisions made, or shows one of them. A FILE called like a command: ./history.\n"
	"\n"
	"      --server URL   the service (http://127.0.0.1:8420)\n"
	"      --json         print the service's answer as it is\n"
	"  -n, --limit N      history: at most N decisions, 1 to 1000 (20)\n"
	"      --before ID    history: only those older than this one\n"
	"      --help         print this help\n"
	"      --version      print the version\n"
	"\n"
	"Standard error tells the decision's id and the trace's. Exit status: 0; 1 when\n"
	"it failed; 2 when the command line is wrong.\n";

/* ---- Files ---- */

static int read_stream(FILE *file, const char *name, struct text *ret_text, struct fault *fault)
{
	char buffer[65536];
	size_t bytes;
	while ((bytes = fread(buffer, 1, sizeof(buffer), file)) > 0) {
		text_append(ret_text, buffer, bytes);
		if (ret_text->failed)
			return fault_memory(fault);
		if (ret_text->length_bytes > FILE_LIMIT_BYTES)
			return fault_set(fault, FAULT_RULE, "%s is over %d bytes; no decision is",
				name, FILE_LIMIT_BYTES);
	}
	if (ferror(file))
		return fault_set(
			fault, FAULT_INTERNAL, "cannot read %s: %s", name, strerror(errno));
	return 0;
}

static int read_file(const char *path, struct text *ret_text, struct fault *fault)
{
	if (strcmp(path, "-") == 0)
		return read_stream(stdin, "standard input", ret_text, fault);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return fault_set(fault, FAULT_MISSING, "cannot open %s: %s", path, strerror(errno));
	int r = read_stream(file, path, ret_text, fault);
	fclose(file);
	return r;
}

/* ---- Answers of the service ---- */

/* An answer that is not 200 says why in "detail". */
static int refused(const struct client_answer *answer, struct fault *fault)
{
	JSON_AUTO body = NULL;
	struct fault ignored = {0};
	const char *detail = NULL;
	if (json_read(answer->body.data, answer->body.length_bytes, &body, &ignored) == 0)
		detail = json_string_value(json_object_get(body, "detail"));
	fault_done(&ignored);
	if (detail == NULL)
		return fault_set(fault, FAULT_INTERNAL,
			"the service answered %ld and not with a decision; is it waft-engined?",
			answer->status);
	/* The same words in the trace and, with harmful characters escaped, here. */
	return fault_set(
		fault, FAULT_RULE, "%s (the service answered %ld)", detail, answer->status);
}

typedef void (*show_fn)(struct text *out, const json_t *response);

static int show_answer(const struct client_answer *answer, const struct settings *settings,
	show_fn show, struct outcome *outcome, struct fault *fault)
{
	JSON_AUTO response = NULL;
	if (answer->status != 200)
		return refused(answer, fault);
	int r = json_read(answer->body.data, answer->body.length_bytes, &response, fault);
	if (r < 0)
		return r == -ENOMEM ? r : refused(answer, fault);
	if (settings->json) {
		text_append(&outcome->out, answer->body.data, answer->body.length_bytes);
		text_putc(&outcome->out, '\n');
	} else {
		show(&outcome->out, response);
	}
	const char *id = json_string_value(json_object_get(response, "id"));
	const char *slash = answer->location ? strrchr(answer->location, '/') : NULL;
	if (slash)
		id = slash + 1;
	if (id)
		outcome->decision_id = strdup(id);
	return outcome->out.failed ? fault_memory(fault) : 0;
}

static int ask(const struct settings *settings, const char *path, const struct text *body,
	show_fn show, struct outcome *outcome, struct fault *fault)
{
	struct client_answer answer = {0};
	int r = client_ask(settings->server, path, body, &answer, fault);
	if (r == 0)
		r = show_answer(&answer, settings, show, outcome, fault);
	client_answer_done(&answer);
	return r;
}

/* ---- Subcommands ---- */

static int run_analyze(
	const struct settings *settings, struct outcome *outcome, struct fault *fault)
{
	struct text request = {0};
	int r = read_file(settings->argument, &request, fault);
	if (r == 0)
		r = ask(settings, "/api/decision/analyze", &request, show_decision, outcome, fault);
	text_done(&request);
	return r;
}

static int run_history(
	const struct settings *settings, struct outcome *outcome, struct fault *fault)
{
	struct text path = {0};
	text_puts(&path, "/api/decision/history?limit=");
	client_escape(&path, settings->limit ? settings->limit : "20");
	if (settings->before) {
		text_puts(&path, "&before=");
		client_escape(&path, settings->before);
	}
	int r = path.failed ? fault_memory(fault)
			    : ask(settings, path.data, NULL, show_history, outcome, fault);
	text_done(&path);
	return r;
}

static int run_show(const struct settings *settings, struct outcome *outcome, struct fault *fault)
{
	struct text path = {0};
	text_puts(&path, "/api/decision/");
	client_escape(&path, settings->argument);
	int r = path.failed ? fault_memory(fault)
			    : ask(settings, path.data, NULL, show_decision, outcome, fault);
	text_done(&path);
	return r;
}

static const struct command commands[] = {
	{"history", "waft-decide.history", NULL, run_history},
	{"show", "waft-decide.show", "an ID", run_show},
	{NULL, "waft-decide.analyze", "a FILE", run_analyze}, /* anything else is a FILE */
};

/* ---- The hook ---- */

static void show_arguments(struct waft_json *json, void *arg)
{
	const struct settings *settings = arg;
	waft_json_array(json);
	for (int i = 1; i < settings->argc; i++)
		waft_json_string(json, settings->argv[i]);
	waft_json_end_array(json);
}

static void show_outcome(struct waft_json *json, void *arg)
{
	const struct outcome *outcome = arg;
	waft_json_object(json);
	waft_json_key(json, "decision_id");
	if (outcome->decision_id)
		waft_json_string(json, outcome->decision_id);
	else
		waft_json_null(json);
	waft_json_key(json, "output");
	waft_json_string_n(
		json, outcome->out.data ? outcome->out.data : "", outcome->out.length_bytes);
	waft_json_end_object(json);
}

static int write_out(const struct text *out, struct fault *fault)
{
	if (fwrite(out->data, 1, out->length_bytes, stdout) == out->length_bytes &&
		fflush(stdout) == 0)
		return 0;
	return fault_set(
		fault, FAULT_INTERNAL, "cannot write to standard output: %s", strerror(errno));
}

static void tell_ids(const struct waft_span *span, const struct outcome *outcome)
{
	char trace_id[WAFT_TRACE_ID_SIZE];
	struct waft_context context = {0};
	if (outcome->decision_id)
		fprintf(stderr, "decision %s\n", outcome->decision_id);
	waft_context_of(span, &context);
	if (waft_context_valid(&context)) {
		waft_trace_id_format(&context, trace_id);
		fprintf(stderr, "trace %s\n", trace_id);
	}
	waft_context_done(&context);
}

static void complain(const struct fault *fault)
{
	struct text visible = {0};
	text_put_visible(&visible, fault_text(fault), strlen(fault_text(fault)));
	fprintf(stderr, "waft-decide: %s\n", visible.failed ? "out of memory" : visible.data);
	text_done(&visible);
}

static int run_traced(const struct command *command, const struct settings *settings)
{
	struct fault fault = {0};
	struct outcome outcome = {0};
	struct waft_context caller = {0};
	struct waft_span span;
	bool called = waft_context_from_env(&caller) == 0;
	waft_span_begin_named(&span, command->operation, WAFT_LAYER, called ? &caller : NULL);
	waft_input_fn(&span, show_arguments, (void *)settings);
	int r = command->run(settings, &outcome, &fault);
	if (r == 0)
		r = write_out(&outcome.out, &fault);
	if (r == 0)
		waft_output_fn(&span, show_outcome, &outcome);
	else
		complain(&fault);
	tell_ids(&span, &outcome);
	(void)fault_mark(&span, r, &fault);
	waft_end(&span);
	waft_context_done(&caller);
	free(outcome.decision_id);
	text_done(&outcome.out);
	fault_done(&fault);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- The command line ---- */

enum { OPTION_SERVER = 256, OPTION_JSON, OPTION_BEFORE, OPTION_HELP, OPTION_VERSION };

static const struct option options[] = {
	{"server", required_argument, NULL, OPTION_SERVER},
	{"json", no_argument, NULL, OPTION_JSON},
	{"limit", required_argument, NULL, 'n'},
	{"before", required_argument, NULL, OPTION_BEFORE},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

/* Says that an option's value is wrong, and what is allowed. */
static int refuse(const char *option, const char *value, const char *allowed)
{
	struct text visible = {0};
	text_put_visible(&visible, value, strlen(value));
	fprintf(stderr, "waft-decide: %s takes %s, not '%s'\n", option, allowed,
		visible.failed || visible.length_bytes == 0 ? "" : visible.data);
	text_done(&visible);
	return -EINVAL;
}

static bool is_limit(const char *text)
{
	size_t length = strlen(text);
	unsigned long number = strtoul(text, NULL, 10);
	return length >= 1 && length <= 4 && strspn(text, "0123456789") == length && number >= 1 &&
	       number <= HISTORY_MAX;
}

/* What the service takes for an id: 4 hexadecimal digits or more. */
static bool is_id(const char *text)
{
	return strlen(text) >= 4 && strspn(text, "0123456789abcdefABCDEF-") == strlen(text);
}

/* 0 or -EINVAL. */
static int check_values(const struct settings *settings)
{
	if (!client_url_fits(settings->server))
		return refuse("--server", settings->server, "a URL, such as http://127.0.0.1:8420");
	if (settings->limit && !is_limit(settings->limit))
		return refuse("--limit", settings->limit, "a number from 1 to 1000");
	if (settings->before && !is_id(settings->before))
		return refuse("--before", settings->before,
			"the id of a decision, or a start or an end of 4 digits or more");
	return 0;
}

/* 0 to go on, 1 when all is done, -EINVAL for a wrong command line. */
static int take_options(int argc, char **argv, struct settings *settings)
{
	/* What getopt_long calls the program in its messages. */
	static char name[] = "waft-decide";
	if (argc > 0)
		argv[0] = name;
	for (int c; (c = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
		switch (c) {
		case OPTION_SERVER:
			settings->server = optarg;
			break;
		case OPTION_JSON:
			settings->json = true;
			break;
		case 'n':
			settings->limit = optarg;
			break;
		case OPTION_BEFORE:
			settings->before = optarg;
			break;
		case OPTION_HELP:
			fputs(help, stdout);
			return 1;
		case OPTION_VERSION:
			printf("waft-decide %s\n", waft_version());
			return 1;
		default:
			return -EINVAL;
		}
	}
	return check_values(settings);
}

static const struct command *take_command(int argc, char **argv, struct settings *settings)
{
	const struct command *command = commands;
	if (optind == argc) {
		fputs("waft-decide: a FILE, history or show ID is missing\n", stderr);
		return NULL;
	}
	while (command->name && strcmp(command->name, argv[optind]) != 0)
		command++;
	int at = optind + (command->name != NULL);
	if (command->argument) {
		if (at == argc) {
			fprintf(stderr, "waft-decide: %s needs %s\n", command->name,
				command->argument);
			return NULL;
		}
		settings->argument = argv[at++];
		if (*settings->argument == '\0') {
			fprintf(stderr, "waft-decide: %s is needed, not an empty text\n",
				command->argument);
			return NULL;
		}
	}
	if (command->run != run_history && (settings->limit || settings->before)) {
		fprintf(stderr, "waft-decide: %s is an option of history only\n",
			settings->limit ? "--limit" : "--before");
		return NULL;
	}
	if (at < argc) {
		fprintf(stderr, "waft-decide: unexpected argument '%s'\n", argv[at]);
		return NULL;
	}
	return command;
}

int main(int argc, char **argv)
{
	struct settings settings = {
		.server = "http://127.0.0.1:8420",
		.argc = argc,
		.argv = argv,
	};
	int r = take_options(argc, argv, &settings);
	if (r > 0)
		return EXIT_SUCCESS;
	const struct command *command = r == 0 ? take_command(argc, argv, &settings) : NULL;
	if (command == NULL) {
		fputs("Try 'waft-decide --help'.\n", stderr);
		return EXIT_USAGE;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	int status = run_traced(command, &settings);
	curl_global_cleanup();
	return status;
}
