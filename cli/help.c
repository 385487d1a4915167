/*
 * help.c: what waftctl says of itself, from the table of commands.
 */
#include "command.h"

#include <string.h>

enum { TEXT_COLUMNS = 78, OPTION_COLUMNS = 26 };

void help_usage(struct strbuf *text, const struct command *command)
{
	strbuf_string(text, command->name);
	if (command->groups[0] != NULL)
		strbuf_string(text, " [OPTION]…");
	if (command->operands != NULL)
		strbuf_format(text, " %s", command->operands);
}

/* Words of a paragraph, broken before TEXT_COLUMNS; each further line is indented. */
static void wrap(
	struct strbuf *text, const char *words, size_t length, size_t column, size_t indent)
{
	size_t at = 0;

	while (at < length) {
		size_t word = strcspn(words + at, " \n");
		size_t columns;

		if (word > length - at)
			word = length - at;
		columns = strbuf_columns(words + at, word);
		if (column > indent && column + 1 + columns > TEXT_COLUMNS) {
			strbuf_string(text, "\n");
			strbuf_repeat(text, " ", indent);
			column = indent;
		} else if (at > 0) {
			strbuf_string(text, " ");
			column++;
		}
		strbuf_bytes(text, words + at, word);
		column += columns;
		at += word + 1;
	}
	strbuf_string(text, "\n");
}

static void paragraphs(struct strbuf *text, const char *words)
{
	while (*words != '\0') {
		const char *end = strstr(words, "\n\n");
		size_t length = end != NULL ? (size_t)(end - words) : strlen(words);

		strbuf_string(text, "\n");
		wrap(text, words, length, 0, 0);
		words += length;
		words += strspn(words, "\n");
	}
}

static void title(struct strbuf *text, const char *words, bool color)
{
	strbuf_string(text, "\n");
	strbuf_color(text, color, COLOR_BOLD);
	strbuf_format(text, "%s:", words);
	strbuf_color(text, color, COLOR_PLAIN);
	strbuf_string(text, "\n");
}

static void option_line(struct strbuf *text, const struct option *option)
{
	size_t from = text->length;
	struct strbuf about = {0};
	size_t columns;

	if (option->letter != '\0')
		strbuf_format(text, "  -%c, --%s", option->letter, option->name);
	else
		strbuf_format(text, "      --%s", option->name);
	if (option->kind == OPTION_CHOICE_OPT)
		strbuf_format(text, "[=%s]", option->value);
	else if (option->value != NULL)
		strbuf_format(text, " %s", option->value);
	columns = text->failed ? 0 : strbuf_columns(text->bytes + from, text->length - from);
	if (columns + 2 > OPTION_COLUMNS) {
		strbuf_string(text, "\n");
		from = text->length;
	}
	strbuf_pad(text, from, OPTION_COLUMNS);
	strbuf_string(&about, option->help);
	if (option->choices != NULL)
		strbuf_format(&about, " (%s)", option->choices);
	if (option->fallback != NULL)
		strbuf_format(&about, "; default: %s", option->fallback);
	if (about.bytes != NULL)
		wrap(text, about.bytes, about.length, OPTION_COLUMNS, OPTION_COLUMNS);
	strbuf_done(&about);
}

static void option_group(struct strbuf *text, const struct option_group *group, bool color)
{
	title(text, group->title, color);
	for (size_t i = 0; i < group->count; i++)
		option_line(text, &group->options[i]);
}

void help_command(struct strbuf *text, const struct command *command, bool color)
{
	strbuf_color(text, color, COLOR_BOLD);
	strbuf_string(text, "Usage:");
	strbuf_color(text, color, COLOR_PLAIN);
	strbuf_string(text, " waftctl ");
	help_usage(text, command);
	strbuf_string(text, "\n");
	paragraphs(text, command->text);
	for (size_t i = 0; command->groups[i] != NULL; i++)
		option_group(text, command->groups[i], color);
	option_group(text, &global_options, color);
	if (command->examples == NULL)
		return;
	title(text, "Examples", color);
	for (const char *line = command->examples; *line != '\0';) {
		size_t length = strcspn(line, "\n");

		strbuf_format(text, "  %.*s\n", (int)length, line);
		line += length + (line[length] == '\n' ? 1 : 0);
	}
}

void help_overview(struct strbuf *text, const char *group, bool color)
{
	size_t length = strlen(group);

	strbuf_color(text, color, COLOR_BOLD);
	strbuf_string(text, "Usage:");
	strbuf_color(text, color, COLOR_PLAIN);
	strbuf_format(text, " waftctl %s%sCOMMAND [OPTION]…\n\nwaftctl: %s.\n", group,
		length != 0 ? " " : "", COMMAND_PURPOSE);
	title(text, "Commands", color);
	for (size_t i = 0; i < command_count; i++) {
		size_t from = text->length;

		if (strncmp(commands[i].name, group, length) != 0)
			continue;
		strbuf_format(text, "  %s", commands[i].name);
		if (commands[i].operands != NULL)
			strbuf_format(text, " %s", commands[i].operands);
		strbuf_pad(text, from, OPTION_COLUMNS + 6);
		strbuf_format(text, "%s\n", commands[i].summary);
	}
	option_group(text, &global_options, color);
	paragraphs(text,
		"Without --endpoint and --store, WAFT_ENDPOINT says where to read; else the first "
		"that "
		"answers of $XDG_RUNTIME_DIR/waft/collector.sock, /run/waft/collector.sock and "
		"/tmp/waft-$UID/collector.sock; else the files in _pyrite/analytics/traces or "
		"/var/lib/waft/traces.\n\n"
		"Exit status: 0 done, 1 not found or failed, 2 wrong command line. "
		"More: waftctl help COMMAND");
}
