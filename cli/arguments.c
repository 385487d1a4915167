/*
 * arguments.c: reads a command line by the table of commands.
 *
 * Options before the command are those of every command; after it also its own.
 * "--" ends them.
 */
#include "command.h"
#include "endpoint.h"
#include "when.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 64 };

struct parser {
	int argc;
	char *const *argv;
	int at;
	struct arguments *arguments;
	struct strbuf *message;
	char group[16]; /* "trace" while its second word is awaited */
};

static void quote(struct strbuf *message, const char *word)
{
	strbuf_string(message, "\"");
	strbuf_safe(message, word, strlen(word));
	strbuf_string(message, "\"");
}

/* Ends a message with where to read on. */
static int refuse(struct parser *parser)
{
	const struct command *command = parser->arguments->command;

	strbuf_format(parser->message, "\nTry: waftctl help%s%s", command != NULL ? " " : "",
		command != NULL		   ? command->name
		: parser->group[0] != '\0' ? " "
					   : "");
	if (command == NULL)
		strbuf_string(parser->message, parser->group);
	return -EINVAL;
}

/* ---- Commands --------------------------------------------------------- */

static void suggest(struct parser *parser, const char *word)
{
	const char *names[MAX_NAMES];
	const char *nearest;
	size_t group = strlen(parser->group);
	size_t count = 0;

	for (size_t i = 0; i < command_count; i++) {
		const char *space = strchr(commands[i].name, ' ');

		if (group == 0)
			names[count++] = commands[i].name;
		if (group == 0 && space == NULL)
			continue;
		if (group == 0 || strncmp(commands[i].name, parser->group, group) == 0)
			names[count++] = space != NULL ? space + 1 : "";
	}
	if (group == 0)
		names[count++] = "trace";
	nearest = command_nearest(word, names, count);
	for (size_t i = 0; nearest != NULL && i < command_count; i++) {
		const char *space = strchr(commands[i].name, ' ');

		if (space != NULL && strcmp(space + 1, nearest) == 0)
			nearest = commands[i].name;
	}
	if (nearest != NULL)
		strbuf_format(parser->message, "; did you mean \"%s\"?", nearest);
}

static bool is_group(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; i < command_count; i++) {
		if (strncmp(commands[i].name, word, length) == 0 && commands[i].name[length] == ' ')
			return true;
	}
	return false;
}

static int take_command(struct parser *parser, const char *word)
{
	char name[64];
	struct strbuf *message = parser->message;
	size_t group = strlen(parser->group);

	if (group == 0 && strlen(word) < sizeof parser->group && is_group(word)) {
		memcpy(parser->group, word, strlen(word) + 1);
		return 0;
	}
	if (group + strlen(word) + 2 <= sizeof name) {
		memcpy(name, parser->group, group);
		if (group != 0)
			name[group++] = ' ';
		memcpy(name + group, word, strlen(word) + 1);
		parser->arguments->command = command_find(name);
	}
	if (parser->arguments->command != NULL)
		return 0;
	strbuf_string(message, "no command ");
	if (parser->group[0] != '\0') {
		strbuf_format(message, "\"%s ", parser->group);
		strbuf_safe(message, word, strlen(word));
		strbuf_string(message, "\"");
	} else {
		quote(message, word);
	}
	suggest(parser, word);
	return refuse(parser);
}

static int take_operand(struct parser *parser, const char *word)
{
	struct arguments *arguments = parser->arguments;
	const struct command *command = arguments->command;

	if (arguments->operand_count == command->max_operands) {
		strbuf_string(parser->message, "too many arguments: ");
		quote(parser->message, word);
		strbuf_string(parser->message, "; usage: waftctl ");
		help_usage(parser->message, command);
		return refuse(parser);
	}
	arguments->operands[arguments->operand_count++] = word;
	return 0;
}

static int take_word(struct parser *parser, const char *word)
{
	return parser->arguments->command == NULL ? take_command(parser, word)
						  : take_operand(parser, word);
}

/* ---- Values ----------------------------------------------------------- */

/* The index of word among "a|b|c", or -1. */
static int choice_index(const char *choices, const char *word)
{
	size_t length = strlen(word);

	for (int i = 0;; i++) {
		size_t choice = strcspn(choices, "|");

		if (choice == length && strncmp(choices, word, length) == 0)
			return i;
		if (choices[choice] == '\0')
			return -1;
		choices += choice + 1;
	}
}

static void name_choices(struct strbuf *message, const char *choices)
{
	while (*choices != '\0') {
		size_t choice = strcspn(choices, "|");
		bool more = choices[choice] != '\0';

		strbuf_bytes(message, choices, choice);
		choices += choice + (more ? 1 : 0);
		if (more)
			strbuf_string(message, strchr(choices, '|') != NULL ? ", " : " or ");
	}
}

/* "--limit takes …, not "x"". */
static int refuse_value(struct parser *parser, const struct option *option, const char *value)
{
	struct strbuf *message = parser->message;

	strbuf_format(message, "--%s takes ", option->name);
	switch (option->kind) {
	case OPTION_NUMBER:
		if (option->high == INT64_MAX)
			strbuf_format(message, "a number from %" PRIu64, option->low);
		else
			strbuf_format(message, "a number from %" PRIu64 " to %" PRIu64, option->low,
				option->high);
		break;
	case OPTION_DURATION:
		strbuf_string(message, "a duration: " WHEN_DURATION_FORMS);
		break;
	case OPTION_TIME:
		strbuf_string(message, "a time: " WHEN_FORMS);
		break;
	case OPTION_ATTRIBUTE:
		strbuf_string(message, "KEY=VALUE");
		break;
	default:
		if (option->choices != NULL)
			name_choices(message, option->choices);
		else
			strbuf_string(message, "a text that is not empty");
		break;
	}
	strbuf_string(message, ", not ");
	quote(message, value);
	return refuse(parser);
}

static int read_number(const char *value, uint64_t low, uint64_t high, uint64_t *ret_number)
{
	char *end = NULL;
	unsigned long long number;

	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(value, &end, 10);
	if (errno != 0 || *end != '\0' || number < low || number > high)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

static int store_attribute(struct parser *parser, const struct option *option, const char *value)
{
	struct arguments *arguments = parser->arguments;
	struct waft_trace_filter *filter = &arguments->filter;
	const char *equals = strchr(value, '=');

	if (equals == NULL || equals == value)
		return refuse_value(parser, option, value);
	if (filter->attribute_count == COMMAND_MAX_ATTRIBUTES) {
		strbuf_format(parser->message, "--%s may be given %d times at most", option->name,
			COMMAND_MAX_ATTRIBUTES);
		return refuse(parser);
	}
	arguments->keys[filter->attribute_count] = strndup(value, (size_t)(equals - value));
	if (arguments->keys[filter->attribute_count] == NULL) {
		strbuf_string(parser->message, "out of memory");
		return -EINVAL;
	}
	arguments->attributes[filter->attribute_count] =
		(struct waft_trace_attribute){arguments->keys[filter->attribute_count], equals + 1};
	filter->attributes = arguments->attributes;
	filter->attribute_count++;
	return 0;
}

static int store_text(struct parser *parser, const struct option *option, const char *value)
{
	struct text_list *list = (void *)((char *)parser->arguments + option->offset);

	if (value[0] == '\0')
		return refuse_value(parser, option, value);
	if (list->count == WAFT_VIEWER_PLACES_MAX) {
		strbuf_format(parser->message, "--%s may be given %d times at most", option->name,
			WAFT_VIEWER_PLACES_MAX);
		return refuse(parser);
	}
	list->texts[list->count++] = value;
	return 0;
}

/* An option without a value: a flag, or a choice whose second one is meant. */
static void store_bare(struct parser *parser, const struct option *option)
{
	void *place = (char *)parser->arguments + option->offset;

	if (option->kind == OPTION_CHOICE_OPT)
		*(unsigned *)place = 1;
	else
		*(bool *)place = true;
}

static int store_value(struct parser *parser, const struct option *option, const char *value)
{
	void *place = (char *)parser->arguments + option->offset;
	uint64_t number = 0;
	int64_t moment;
	int index;

	switch (option->kind) {
	case OPTION_FLAG:
		store_bare(parser, option);
		return 0;
	case OPTION_NUMBER:
		if (read_number(value, option->low, option->high, &number) != 0)
			return refuse_value(parser, option, value);
		*(uint64_t *)place = number;
		return 0;
	case OPTION_DURATION:
		if (when_parse_duration(value, &number) != 0 || number < option->low ||
			number > option->high)
			return refuse_value(parser, option, value);
		*(uint64_t *)place = number;
		return 0;
	case OPTION_TIME:
		if (when_parse(value, when_now(), true, &moment) != 0)
			return refuse_value(parser, option, value);
		*(const char **)place = value;
		return 0;
	case OPTION_TEXT:
		if (value[0] == '\0' ||
			(option->choices != NULL && choice_index(option->choices, value) < 0))
			return refuse_value(parser, option, value);
		*(const char **)place = value;
		return 0;
	case OPTION_TEXTS:
		return store_text(parser, option, value);
	case OPTION_CHOICE:
	case OPTION_CHOICE_OPT:
		index = choice_index(option->choices, value);
		if (index < 0)
			return refuse_value(parser, option, value);
		*(unsigned *)place = (unsigned)index;
		return 0;
	case OPTION_ATTRIBUTE:
		return store_attribute(parser, option, value);
	}
	return 0;
}

/* ---- Options ---------------------------------------------------------- */

static const struct option *find_in(
	const struct option_group *group, const char *name, size_t length, char letter)
{
	for (size_t i = 0; i < group->count; i++) {
		const struct option *option = &group->options[i];

		if (letter != '\0' ? option->letter == letter
				   : strlen(option->name) == length &&
					     strncmp(option->name, name, length) == 0)
			return option;
	}
	return NULL;
}

static const struct option *find_option(
	const struct command *command, const char *name, size_t length, char letter)
{
	const struct option *option = find_in(&global_options, name, length, letter);

	for (size_t i = 0; option == NULL && command != NULL && command->groups[i] != NULL; i++)
		option = find_in(command->groups[i], name, length, letter);
	return option;
}

static void add_names(const struct option_group *group, const char **names, size_t *count)
{
	for (size_t i = 0; i < group->count && *count < MAX_NAMES; i++)
		names[(*count)++] = group->options[i].name;
}

static int refuse_option(struct parser *parser, const char *word, const char *name)
{
	const struct command *command = parser->arguments->command;
	const char *names[MAX_NAMES];
	const char *nearest;
	size_t count = 0;

	strbuf_string(parser->message, "no option ");
	quote(parser->message, word);
	if (command != NULL)
		strbuf_format(parser->message, " of %s", command->name);
	add_names(&global_options, names, &count);
	for (size_t i = 0; command != NULL && command->groups[i] != NULL; i++)
		add_names(command->groups[i], names, &count);
	nearest = name == NULL ? NULL : command_nearest(name, names, count);
	if (nearest != NULL)
		strbuf_format(parser->message, "; did you mean \"--%s\"?", nearest);
	else if (command == NULL)
		strbuf_string(parser->message, "; a command's own options stand after it");
	return refuse(parser);
}

/* The value of an option that needs one: attached, or the next word. NULL: there is
 * none, which the message says. */
static const char *need_value(
	struct parser *parser, const struct option *option, const char *attached)
{
	if (attached != NULL)
		return attached;
	if (parser->at + 1 < parser->argc)
		return parser->argv[++parser->at];
	strbuf_format(parser->message, "--%s needs a value: %s", option->name, option->value);
	(void)refuse(parser);
	return NULL;
}

/* The next word when it is a choice of the option, as in "--data full": no command and
 * no id is called so. Else NULL. */
static const char *next_choice(struct parser *parser, const struct option *option)
{
	if (parser->at + 1 >= parser->argc ||
		choice_index(option->choices, parser->argv[parser->at + 1]) < 0)
		return NULL;
	return parser->argv[++parser->at];
}

static int take_long(struct parser *parser, const char *word)
{
	const char *name = word + 2;
	size_t length = strcspn(name, "=");
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	const struct option *option = find_option(parser->arguments->command, name, length, '\0');
	char plain[64] = "";

	if (option == NULL) {
		if (length < sizeof plain)
			memcpy(plain, name, length);
		return refuse_option(parser, word, plain);
	}
	if (option->kind == OPTION_FLAG && value != NULL) {
		strbuf_format(parser->message, "--%s takes no value", option->name);
		return refuse(parser);
	}
	if (value == NULL && option->kind == OPTION_CHOICE_OPT)
		value = next_choice(parser, option);
	if (value == NULL && (option->kind == OPTION_FLAG || option->kind == OPTION_CHOICE_OPT)) {
		store_bare(parser, option);
		return 0;
	}
	value = need_value(parser, option, value);
	return value == NULL ? -EINVAL : store_value(parser, option, value);
}

/* "-n5", "-n 5", "-hn5". */
static int take_letters(struct parser *parser, const char *word)
{
	for (const char *letter = word + 1; *letter != '\0'; letter++) {
		const struct option *option =
			find_option(parser->arguments->command, NULL, 0, *letter);
		const char *value = letter[1] != '\0' ? letter + 1 : NULL;

		if (option == NULL)
			return refuse_option(parser, word, NULL);
		if (option->kind != OPTION_FLAG) {
			value = need_value(parser, option, value);
			return value == NULL ? -EINVAL : store_value(parser, option, value);
		}
		store_bare(parser, option);
	}
	return 0;
}

/* ---- The whole -------------------------------------------------------- */

static int check_endpoints(struct parser *parser)
{
	const struct text_list *endpoints = &parser->arguments->endpoints;

	for (size_t i = 0; i < endpoints->count; i++) {
		const char *problem = endpoint_problem(endpoints->texts[i]);

		if (problem == NULL)
			continue;
		strbuf_string(parser->message, "--endpoint ");
		quote(parser->message, endpoints->texts[i]);
		strbuf_format(parser->message, " %s", problem);
		return refuse(parser);
	}
	return 0;
}

static int check_whole(struct parser *parser)
{
	struct arguments *arguments = parser->arguments;
	const struct command *command = arguments->command;
	const struct waft_trace_filter *filter = &arguments->filter;

	if (arguments->help || arguments->version)
		return 0;
	if (command == NULL) {
		if (parser->group[0] != '\0')
			strbuf_format(parser->message, "%s what?", parser->group);
		else
			strbuf_string(parser->message, "what to do?");
		for (size_t i = 0, named = 0; i < command_count; i++) {
			if (strncmp(commands[i].name, parser->group, strlen(parser->group)) == 0)
				strbuf_format(parser->message, "%s %s",
					named++ != 0 ? "," : " There are:", commands[i].name);
		}
		return refuse(parser);
	}
	if (arguments->operand_count < command->min_operands) {
		strbuf_format(parser->message, "%s needs %s", command->name, command->operands);
		return refuse(parser);
	}
	if (arguments->stores.count != 0 && arguments->endpoints.count != 0) {
		strbuf_string(parser->message, "--store and --endpoint exclude each other");
		return refuse(parser);
	}
	if (check_endpoints(parser) != 0)
		return -EINVAL;
	if (filter->max_duration_ns != 0 && filter->min_duration_ns > filter->max_duration_ns) {
		strbuf_string(parser->message, "--min-duration is longer than --max-duration");
		return refuse(parser);
	}
	return 0;
}

int arguments_parse(
	int argc, char *const *argv, struct arguments *ret_arguments, struct strbuf *message)
{
	struct parser parser = {.argc = argc,
		.argv = argv,
		.at = 1,
		.arguments = ret_arguments,
		.message = message};
	bool options = true;
	int result = 0;

	*ret_arguments = (struct arguments){.filter = {.size = sizeof(struct waft_trace_filter)}};
	for (; result == 0 && parser.at < argc; parser.at++) {
		const char *word = argv[parser.at];

		if (!options || word[0] != '-' || word[1] == '\0')
			result = take_word(&parser, word);
		else if (strcmp(word, "--") == 0)
			options = false;
		else if (word[1] == '-')
			result = take_long(&parser, word);
		else
			result = take_letters(&parser, word);
	}
	if (result == 0)
		result = check_whole(&parser);
	memcpy(ret_arguments->group, parser.group, sizeof parser.group);
	return result;
}

static int resolve(const char *name, const char *value, int64_t now_ns, bool utc, int64_t *ret_ns,
	struct strbuf *message)
{
	if (value == NULL || when_parse(value, now_ns, utc, ret_ns) == 0)
		return 0;
	strbuf_format(message, "--%s takes a time: %s, not ", name, WHEN_FORMS);
	quote(message, value);
	return -EINVAL;
}

int arguments_resolve(struct arguments *arguments, int64_t now_ns, struct strbuf *message)
{
	struct waft_trace_filter *filter = &arguments->filter;

	if (resolve("since", arguments->since, now_ns, arguments->utc, &filter->since_ns,
		    message) != 0 ||
		resolve("until", arguments->until, now_ns, arguments->utc, &filter->until_ns,
			message) != 0)
		return -EINVAL;
	if (filter->since_ns != 0 && filter->until_ns != 0 &&
		filter->since_ns >= filter->until_ns) {
		strbuf_string(message, "--since is not before --until: no trace can be between");
		return -EINVAL;
	}
	return 0;
}

void arguments_done(struct arguments *arguments)
{
	for (size_t i = 0; i < arguments->filter.attribute_count; i++)
		free(arguments->keys[i]);
}
