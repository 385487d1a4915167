/*
 * program.c: waftctl from its command line to its exit code.
 */
#include "program.h"

#include "command.h"
#include "when.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int program_failed(const struct waft_viewer *viewer)
{
	static const char unknown[] = "No trace found with ID: ";
	const char *said = waft_viewer_error(viewer);

	/* That one is an answer, and stands as it is. */
	(void)fprintf(stderr, "%s%s\n",
		strncmp(said, unknown, sizeof unknown - 1) == 0 ? "" : "waftctl: ", said);
	return EXIT_FAILED;
}

static int complain(const struct strbuf *message, int code)
{
	(void)fprintf(stderr, "waftctl: %s\n",
		message->bytes != NULL && !message->failed ? message->bytes : "out of memory");
	return code;
}

/* Opens one place more. */
static int open_place(struct waft_viewer *viewer, const char *name, bool first)
{
	return first ? waft_viewer_open(viewer, name) : waft_viewer_add(viewer, name);
}

/* Opens what the command line names. */
static int open_viewer(const struct arguments *arguments, struct waft_viewer *viewer)
{
	const struct text_list *stores = &arguments->stores;
	const struct text_list *endpoints = &arguments->endpoints;
	struct strbuf where = {0};
	int result = 0;

	waft_viewer_set_timeout(viewer, (uint32_t)(arguments->timeout_ns / WHEN_NS_PER_MS));
	if (stores->count == 0 && endpoints->count == 0)
		return waft_viewer_open(viewer, NULL);
	for (size_t i = 0; result == 0 && i < endpoints->count; i++)
		result = open_place(viewer, endpoints->texts[i], i == 0);
	for (size_t i = 0; result == 0 && i < stores->count; i++) {
		strbuf_clear(&where);
		strbuf_format(&where, "file:%s", stores->texts[i]);
		result = open_place(viewer, where.failed ? "" : where.bytes, i == 0);
	}
	strbuf_done(&where);
	return result;
}

/* Says what is missing from an answer; status says it itself, and the others' are of what
 * happens now. */
static void warn(struct strbuf *warning, const struct command *command, struct waft_viewer *viewer)
{
	const char *said;

	if (command->run != run_trace_list && command->run != run_trace_show &&
		command->run != run_stats)
		return;
	for (said = waft_viewer_warning(viewer); *said != '\0'; said = strchr(said, '\n') + 1)
		strbuf_format(warning, "waftctl: %.*s\n", (int)strcspn(said, "\n"), said);
}

static int run_command(
	const struct arguments *arguments, struct output *output, struct strbuf *warning)
{
	const struct command *command = arguments->command;
	struct waft_viewer *viewer = NULL;
	int code = EXIT_FAILED;

	if (!command->reads)
		return command->run(arguments, output, NULL);
	viewer = waft_viewer_new();
	if (open_viewer(arguments, viewer) == 0)
		code = command->run(arguments, output, viewer);
	else
		code = program_failed(viewer);
	if (code == EXIT_OK)
		warn(warning, command, viewer);
	waft_viewer_free(viewer);
	return code;
}

static int explain(const struct arguments *arguments, struct output *output)
{
	struct strbuf text = {0};

	if (arguments->command != NULL)
		help_command(&text, arguments->command, output->color);
	else
		help_overview(&text, arguments->group, output->color);
	output_page(output);
	(void)output_write(output, &text);
	strbuf_done(&text);
	return EXIT_OK;
}

static int dispatch(struct arguments *arguments, struct output *output, struct strbuf *warning)
{
	struct strbuf message = {0};
	int code = EXIT_USAGE;

	if (arguments->help)
		code = explain(arguments, output);
	else if (arguments->version)
		code = run_version(arguments, output, NULL);
	else if (arguments_resolve(arguments, when_now(), &message) != 0)
		(void)complain(&message, EXIT_USAGE);
	else
		code = run_command(arguments, output, warning);
	strbuf_done(&message);
	return code;
}

int program_run(int argc, char **argv)
{
	struct strbuf message = {0};
	struct strbuf warning = {0};
	struct arguments arguments;
	struct output output;
	int code;
	int result;

	result = arguments_parse(argc, argv, &arguments, &message);
	if (result != 0) {
		code = complain(&message, EXIT_USAGE);
	} else {
		output_init(&output, (enum output_color)arguments.color);
		code = dispatch(&arguments, &output, &warning);
		result = output_done(&output);
		/* Only now: a pager has the terminal until it ends. */
		if (warning.bytes != NULL && !warning.failed)
			(void)fputs(warning.bytes, stderr);
		if (result != 0) {
			(void)fprintf(
				stderr, "waftctl: writing the output: %s\n", strerror(-result));
			code = EXIT_FAILED;
		}
	}
	strbuf_done(&warning);
	strbuf_done(&message);
	arguments_done(&arguments);
	return code;
}

/* ---- Commands that read nothing --------------------------------------- */

int run_version(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	struct strbuf text = {0};

	(void)viewer;
	if (arguments->json)
		strbuf_format(&text, "{\"name\":\"waftctl\",\"version\":\"%s\",\"protocol\":1}\n",
			waft_viewer_version());
	else
		strbuf_format(&text, "waftctl %s (protocol 1)\n", waft_viewer_version());
	(void)output_write(output, &text);
	strbuf_done(&text);
	return EXIT_OK;
}

/* The table as data, for whoever builds something on it. */
static void help_json(struct strbuf *text, const struct command *only)
{
	for (size_t i = 0; i < command_count; i++) {
		struct strbuf usage = {0};

		if (only != NULL && only != &commands[i])
			continue;
		help_usage(&usage, &commands[i]);
		strbuf_string(text, "{\"command\":");
		strbuf_json(text, commands[i].name, strlen(commands[i].name));
		strbuf_string(text, ",\"summary\":");
		strbuf_json(text, commands[i].summary, strlen(commands[i].summary));
		strbuf_string(text, ",\"usage\":");
		strbuf_json(text, usage.bytes != NULL ? usage.bytes : "", usage.length);
		strbuf_string(text, "}\n");
		strbuf_done(&usage);
	}
}

int run_help(const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	/* The command line to be explained goes through the parser itself, so that
	 * an unknown command is met with the same words. */
	char program[] = "waftctl";
	char help[] = "--help";
	char *argv[4] = {program};
	int argc = 1;
	struct arguments asked;
	struct strbuf message = {0};
	int code = EXIT_OK;

	(void)viewer;
	for (size_t i = 0; i < arguments->operand_count; i++)
		argv[argc++] = (char *)arguments->operands[i];
	argv[argc++] = help;
	if (arguments_parse(argc, argv, &asked, &message) != 0) {
		code = complain(&message, EXIT_USAGE);
	} else if (arguments->json) {
		help_json(&message, asked.command);
		(void)output_write(output, &message);
	} else {
		code = explain(&asked, output);
	}
	arguments_done(&asked);
	strbuf_done(&message);
	return code;
}
