/*
 * document.c: the man page and the shells' completions, from the table of
 * commands. Printed at build time by waftctl_document.
 */
#include "command.h"

#include <string.h>

/* ---- Manual page ------------------------------------------------------ */

/* Text for roff: backslashes and hyphens as such, no line that looks like a request. */
static void roff(struct strbuf *text, const char *words, size_t length)
{
	bool line_start =
		text->length == 0 || text->failed || text->bytes[text->length - 1] == '\n';

	for (size_t i = 0; i < length; i++) {
		if (line_start && (words[i] == '.' || words[i] == '\''))
			strbuf_string(text, "\\&");
		if (words[i] == '\\')
			strbuf_string(text, "\\e");
		else if (words[i] == '-')
			strbuf_string(text, "\\-");
		else
			strbuf_bytes(text, words + i, 1);
		line_start = words[i] == '\n';
	}
}

static void roff_text(struct strbuf *text, const char *words)
{
	roff(text, words, strlen(words));
}

static void roff_paragraphs(struct strbuf *text, const char *words)
{
	while (*words != '\0') {
		const char *end = strstr(words, "\n\n");
		size_t length = end != NULL ? (size_t)(end - words) : strlen(words);

		strbuf_string(text, ".PP\n");
		roff(text, words, length);
		strbuf_string(text, "\n");
		words += length;
		words += strspn(words, "\n");
	}
}

static void man_option(struct strbuf *text, const struct option *option)
{
	strbuf_string(text, ".TP\n");
	if (option->letter != '\0')
		strbuf_format(text, "\\fB\\-%c\\fR, ", option->letter);
	strbuf_string(text, "\\fB\\-\\-");
	roff_text(text, option->name);
	strbuf_string(text, "\\fR");
	if (option->kind == OPTION_CHOICE_OPT)
		strbuf_format(text, "[=\\fI%s\\fR]", option->value);
	else if (option->value != NULL)
		strbuf_format(text, " \\fI%s\\fR", option->value);
	strbuf_string(text, "\n");
	roff_text(text, option->help);
	if (option->choices != NULL) {
		strbuf_string(text, " (");
		roff_text(text, option->choices);
		strbuf_string(text, ")");
	}
	if (option->fallback != NULL) {
		strbuf_string(text, "; default: ");
		roff_text(text, option->fallback);
	}
	strbuf_string(text, "\n");
}

static void man_options(struct strbuf *text, const struct option_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		man_option(text, &group->options[i]);
}

static void man_command(struct strbuf *text, const struct command *command)
{
	strbuf_string(text, ".SS ");
	help_usage(text, command);
	strbuf_string(text, "\n");
	roff_paragraphs(text, command->text);
	for (size_t i = 0; command->groups[i] != NULL; i++) {
		strbuf_format(text, ".PP\n%s:\n", command->groups[i]->title);
		man_options(text, command->groups[i]);
	}
	if (command->examples == NULL)
		return;
	strbuf_string(text, ".PP\nExamples:\n.PP\n.nf\n.RS 4\n");
	roff_text(text, command->examples);
	strbuf_string(text, "\n.RE\n.fi\n");
}

void document_man(struct strbuf *text)
{
	strbuf_format(text,
		".\\\" Made from the table of commands.\n"
		".TH WAFTCTL 1 \"\" \"Waft %s\" \"User Commands\"\n"
		".SH NAME\nwaftctl, waft \\- %s\n"
		".SH SYNOPSIS\n\\fBwaftctl\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]\\&...\n"
		".SH DESCRIPTION\n"
		"Reads the traces that a collector (\\fBwaft\\-collectord\\fR(8)) holds, or those "
		"in a\n"
		"directory without one, and shows them. \\fBwaft\\fR is the same program.\n"
		".SH COMMANDS\n",
		waft_viewer_version(), COMMAND_PURPOSE);
	for (size_t i = 0; i < command_count; i++)
		man_command(text, &commands[i]);
	strbuf_string(text, ".SH OPTIONS\nThese go with every command.\n");
	man_options(text, &global_options);
	strbuf_string(text,
		".SH ENVIRONMENT\n"
		".TP\n\\fBWAFT_ENDPOINT\\fR\nwhere to read, as \\-\\-endpoint\n"
		".TP\n\\fBWAFT_TOKEN\\fR, \\fBWAFT_TOKEN_FILE\\fR\na token to show to the "
		"collector, or the file that holds it\n"
		".TP\n\\fBWAFT_TLS_CA\\fR, \\fBWAFT_TLS_CERT\\fR, \\fBWAFT_TLS_KEY\\fR\nfor "
		"tls://: PEM files of who is trusted (else the system's), of a certificate and "
		"its key\n"
		".TP\n\\fBNO_COLOR\\fR\nwhen set and not empty, no colours (\\-\\-color overrules "
		"it)\n"
		".TP\n\\fBWAFT_PAGER\\fR, \\fBPAGER\\fR\nthe pager, less when unset; empty or cat: "
		"none\n"
		".TP\n\\fBCOLUMNS\\fR\nthe terminal's width, where it can't be asked\n"
		".TP\n\\fBTZ\\fR\nthe zone of local times\n"
		".SH FILES\n"
		"Without \\-\\-endpoint, \\-\\-store and WAFT_ENDPOINT, the first that answers "
		"of:\n"
		".PP\n.nf\n.RS 4\n$XDG_RUNTIME_DIR/waft/collector.sock\n/run/waft/collector.sock\n"
		"/tmp/waft\\-$UID/collector.sock\n.RE\n.fi\n"
		".PP\nthen the first directory that is there of:\n"
		".PP\n.nf\n.RS 4\n_pyrite/analytics/traces\n/var/lib/waft/traces\n.RE\n.fi\n"
		".SH EXIT STATUS\n0: done; 1: not found, or it failed; 2: the command line is "
		"wrong.\n"
		".SH SEE ALSO\n\\fBwaft\\-collectord\\fR(8), \\fBwaft\\-decide\\fR(1)\n");
}

/* ---- Completions ------------------------------------------------------ */

/* For the second words of "trace …", and for commands of one word. */
static bool is_first_of_group(size_t index, size_t *ret_length)
{
	const char *space = strchr(commands[index].name, ' ');

	*ret_length = space != NULL ? (size_t)(space - commands[index].name)
				    : strlen(commands[index].name);
	for (size_t i = 0; i < index; i++) {
		if (strncmp(commands[i].name, commands[index].name, *ret_length) == 0 &&
			(commands[i].name[*ret_length] == ' ' ||
				commands[i].name[*ret_length] == '\0'))
			return false;
	}
	return true;
}

static void words(struct strbuf *text, const char *choices)
{
	for (; *choices != '\0'; choices++)
		strbuf_bytes(text, *choices == '|' ? " " : choices, 1);
}

static void option_words(struct strbuf *text, const struct option_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		strbuf_format(text, " --%s", group->options[i].name);
}

/* A case of values for one option; the same name means the same everywhere. A value
 * that may be missing comes behind "=" only. */
static void bash_value(struct strbuf *text, const struct option *option)
{
	if (option->kind == OPTION_FLAG)
		return;
	if (option->kind == OPTION_CHOICE_OPT)
		strbuf_format(text, "\t--%s=) ", option->name);
	else
		strbuf_format(text, "\t--%s | --%s=) ", option->name, option->name);
	if (option->choices != NULL) {
		strbuf_string(text, "COMPREPLY=($(compgen -W \"");
		words(text, option->choices);
		strbuf_string(text, "\" -- \"$current\"))");
	} else if (option->complete != NULL) {
		strbuf_format(text, "COMPREPLY=($(compgen -%c -- \"$current\"))",
			strcmp(option->complete, "directory") == 0 ? 'd' : 'f');
	}
	strbuf_string(text, option->choices != NULL || option->complete != NULL ? "; return ;;\n"
										: "return ;;\n");
}

/* Calls each for every option group, a shared one once. */
static void each_group(
	struct strbuf *text, void (*each)(struct strbuf *text, const struct option_group *group))
{
	each(text, &global_options);
	for (size_t i = 0; i < command_count; i++) {
		for (size_t j = 0; commands[i].groups[j] != NULL; j++) {
			bool seen = false;

			for (size_t k = 0; k < i && !seen; k++) {
				for (size_t m = 0; commands[k].groups[m] != NULL; m++)
					seen = seen ||
					       commands[k].groups[m] == commands[i].groups[j];
			}
			if (!seen)
				each(text, commands[i].groups[j]);
		}
	}
}

static void bash_values(struct strbuf *text, const struct option_group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		/* --limit is in two groups; a second case would never be reached. */
		if (group->options[i].kind != OPTION_NUMBER)
			bash_value(text, &group->options[i]);
	}
}

static void value_pattern(struct strbuf *text, const struct option_group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		enum option_kind kind = group->options[i].kind;

		if (kind == OPTION_FLAG || kind == OPTION_CHOICE_OPT)
			continue;
		strbuf_format(text, "--%s|", group->options[i].name);
		if (group->options[i].letter != '\0')
			strbuf_format(text, "-%c|", group->options[i].letter);
	}
}

static void bash_commands(struct strbuf *text)
{
	strbuf_string(text, "\tcase $command in\n\t\"\") words=\"");
	for (size_t i = 0; i < command_count; i++) {
		size_t length;

		if (!is_first_of_group(i, &length))
			continue;
		strbuf_bytes(text, commands[i].name, length);
		strbuf_string(text, " ");
	}
	strbuf_string(text, "\" ;;\n");
	for (size_t i = 0; i < command_count; i++) {
		const char *space = strchr(commands[i].name, ' ');
		size_t length;

		if (space == NULL || !is_first_of_group(i, &length))
			continue;
		strbuf_format(text, "\t\"%.*s\") words=\"", (int)length, commands[i].name);
		for (size_t j = i; j < command_count; j++) {
			if (strncmp(commands[j].name, commands[i].name, length + 1) == 0)
				strbuf_format(text, "%s ", commands[j].name + length + 1);
		}
		strbuf_string(text, "\" ;;\n");
	}
	for (size_t i = 0; i < command_count; i++) {
		strbuf_format(text, "\t\"%s\"*) options=\"$options", commands[i].name);
		for (size_t j = 0; commands[i].groups[j] != NULL; j++)
			option_words(text, commands[i].groups[j]);
		strbuf_string(text, "\"");
		if (strcmp(commands[i].name, "trace show") == 0)
			strbuf_string(text,
				"\n\t\twords=\"last $(waftctl trace list --json 2>/dev/null |\n"
				"\t\t\tsed 's/.*\"trace_id\":\"\\([^\"]*\\)\".*/\\1/')\"");
		strbuf_string(text, " ;;\n");
	}
	strbuf_string(text, "\tesac\n");
}

void document_bash(struct strbuf *text)
{
	strbuf_string(text,
		"# Made from waftctl's table of commands.\n"
		"_waftctl()\n{\n"
		"\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
		"\tlocal command= words= options= word i\n"
		"\tif [ \"$current\" = = ]; then\n\t\tcurrent=\n\t\tprevious=$previous=\n"
		"\telif [ \"$previous\" = = ]; then\n"
		"\t\tprevious=${COMP_WORDS[COMP_CWORD - 2]}=\n\tfi\n"
		"\tcase $previous in\n");
	each_group(text, bash_values);
	strbuf_string(text, "\t--limit | -n) return ;;\n\tesac\n"
			    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
			    "\t\tword=${COMP_WORDS[i]}\n\t\tcase $word in\n\t\t");
	each_group(text, value_pattern);
	strbuf_string(text, "=) i=$((i + 1)) ;;\n\t\t-*) ;;\n"
			    "\t\t*) command=\"${command:+$command }$word\" ;;\n\t\tesac\n\tdone\n"
			    "\toptions=\"");
	option_words(text, &global_options);
	strbuf_string(text, "\"\n");
	bash_commands(text);
	strbuf_string(text,
		"\tif [[ $current == -* ]]; then\n"
		"\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
		"\telse\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n\tfi\n"
		"}\ncomplete -F _waftctl waftctl waft\n");
}

/* Text inside single quotes of zsh's _arguments and fish. */
static void quoted(struct strbuf *text, const char *plain, const char *escape)
{
	for (; *plain != '\0'; plain++) {
		if (*plain == '\'')
			strbuf_string(text, "'\\''");
		else if (strchr(escape, *plain) != NULL)
			strbuf_format(text, "\\%c", *plain);
		else
			strbuf_bytes(text, plain, 1);
	}
}

static void zsh_options(struct strbuf *text, const struct option_group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		const struct option *option = &group->options[i];
		bool needs_value = option->kind != OPTION_FLAG;

		strbuf_string(text, "\t\t");
		if (option->letter != '\0')
			strbuf_format(text, "'(-%c --%s)'{-%c,--%s%s}", option->letter,
				option->name, option->letter, option->name, needs_value ? "=" : "");
		else
			strbuf_format(text, "%s--%s%s",
				option->kind == OPTION_ATTRIBUTE || option->kind == OPTION_TEXTS
					? "\\*"
					: "",
				option->name,
				option->kind == OPTION_CHOICE_OPT ? "=-"
				: needs_value			  ? "="
								  : "");
		strbuf_string(text, "'[");
		quoted(text, option->help, "[]:");
		strbuf_string(text, "]");
		if (needs_value) {
			strbuf_format(text, "%s", option->kind == OPTION_CHOICE_OPT ? "::" : ":");
			quoted(text, option->value, ":");
			strbuf_string(text, ":");
			if (option->choices != NULL) {
				strbuf_string(text, "(");
				words(text, option->choices);
				strbuf_string(text, ")");
			} else if (option->complete != NULL) {
				strbuf_string(text, strcmp(option->complete, "directory") == 0
							    ? "_files -/"
							    : "_files");
			}
		}
		strbuf_string(text, "' \\\n");
	}
}

static void zsh_words(struct strbuf *text, size_t index, size_t length)
{
	for (size_t j = index; j < command_count; j++) {
		if (strncmp(commands[j].name, commands[index].name, length + 1) != 0)
			continue;
		strbuf_format(text, "\t\t'%s:", commands[j].name + length + 1);
		quoted(text, commands[j].summary, ":");
		strbuf_string(text, "'\n");
	}
}

static void zsh_choices(struct strbuf *text)
{
	strbuf_string(text, "\tcase $command in\n\t'') choices=(\n");
	for (size_t i = 0; i < command_count; i++) {
		size_t length;

		if (!is_first_of_group(i, &length))
			continue;
		strbuf_format(text, "\t\t'%.*s:", (int)length, commands[i].name);
		quoted(text,
			commands[i].name[length] == ' ' ? "list, show or follow traces"
							: commands[i].summary,
			":");
		strbuf_string(text, "'\n");
	}
	strbuf_string(text, "\t\t) ;;\n");
	for (size_t i = 0; i < command_count; i++) {
		size_t length;

		if (strchr(commands[i].name, ' ') == NULL || !is_first_of_group(i, &length))
			continue;
		strbuf_format(text, "\t'%.*s') choices=(\n", (int)length, commands[i].name);
		zsh_words(text, i, length);
		strbuf_string(text, "\t\t) ;;\n");
	}
	strbuf_string(text, "\tesac\n");
}

void document_zsh(struct strbuf *text)
{
	strbuf_string(text, "#compdef waftctl waft\n"
			    "# Made from waftctl's table of commands.\n"
			    "_waftctl()\n{\n"
			    "\tlocal command= word skip=\n\tlocal -a choices ids\n"
			    "\tfor word in ${words[2,CURRENT-1]}; do\n"
			    "\t\tif [[ -n $skip ]]; then\n\t\t\tskip=\n\t\t\tcontinue\n\t\tfi\n"
			    "\t\tcase $word in\n\t\t(");
	each_group(text, value_pattern);
	strbuf_string(text,
		"=) skip=1 ;;\n\t\t(-*) ;;\n"
		"\t\t(*) command=\"${command:+$command }$word\" ;;\n\t\tesac\n\tdone\n");
	zsh_choices(text);
	strbuf_string(text, "\tif (( $#choices )) && [[ $PREFIX != -* ]]; then\n"
			    "\t\t_describe command choices\n\t\treturn\n\tfi\n"
			    "\tcase $command in\n");
	for (size_t i = 0; i < command_count; i++) {
		strbuf_format(text, "\t('%s'*) _arguments -S \\\n", commands[i].name);
		for (size_t j = 0; commands[i].groups[j] != NULL; j++)
			zsh_options(text, commands[i].groups[j]);
		zsh_options(text, &global_options);
		if (strcmp(commands[i].name, "trace show") == 0)
			strbuf_string(text,
				"\t\t'*:trace:{ids=(last ${(f)\"$(waftctl trace list --json "
				"2>/dev/null | sed '\\''s/.*\"trace_id\":\"\\([^\"]*\\)\".*/\\1/"
				"'\\'')\"}); compadd -a ids}' ;;\n");
		else
			strbuf_string(text, "\t\t'*: :' ;;\n");
	}
	strbuf_string(text, "\t(*) _arguments -S \\\n");
	zsh_options(text, &global_options);
	strbuf_string(text, "\t\t'*: :' ;;\n\tesac\n}\n_waftctl \"$@\"\n");
}

static void fish_option(struct strbuf *text, const char *condition, const struct option *option)
{
	strbuf_format(text, "complete -c waftctl -n '%s' -l %s", condition, option->name);
	if (option->letter != '\0')
		strbuf_format(text, " -s %c", option->letter);
	if (option->kind != OPTION_FLAG && option->kind != OPTION_CHOICE_OPT)
		strbuf_string(text, option->complete != NULL ? " -r -F" : " -x");
	if (option->choices != NULL) {
		strbuf_string(text, " -a '");
		words(text, option->choices);
		strbuf_string(text, "'");
	}
	strbuf_string(text, " -d '");
	quoted(text, option->help, "\\");
	strbuf_string(text, "'\n");
}

static void fish_command(struct strbuf *text, size_t index)
{
	const struct command *command = &commands[index];
	const char *space = strchr(command->name, ' ');
	struct strbuf condition = {0};
	size_t length;

	if (is_first_of_group(index, &length)) {
		strbuf_format(text, "complete -c waftctl -n __fish_use_subcommand -a %.*s -d '",
			(int)length, command->name);
		quoted(text, space != NULL ? "list, show or follow traces" : command->summary,
			"\\");
		strbuf_string(text, "'\n");
	}
	if (space != NULL) {
		strbuf_format(text,
			"complete -c waftctl -n '__fish_seen_subcommand_from %.*s; and "
			"not __waftctl_second' -a %s -d '",
			(int)length, command->name, space + 1);
		quoted(text, command->summary, "\\");
		strbuf_string(text, "'\n");
	}
	strbuf_format(&condition, "__fish_seen_subcommand_from %s",
		space != NULL ? space + 1 : command->name);
	for (size_t i = 0; command->groups[i] != NULL; i++) {
		for (size_t j = 0; j < command->groups[i]->count; j++)
			fish_option(text, condition.bytes != NULL ? condition.bytes : "",
				&command->groups[i]->options[j]);
	}
	strbuf_done(&condition);
}

void document_fish(struct strbuf *text)
{
	strbuf_string(text, "# Made from waftctl's table of commands.\ncomplete -c waftctl -f\n"
			    "function __waftctl_second\n\t__fish_seen_subcommand_from");
	for (size_t i = 0; i < command_count; i++) {
		const char *space = strchr(commands[i].name, ' ');

		if (space != NULL)
			strbuf_format(text, "%s", space);
	}
	strbuf_string(text, "\nend\n");
	for (size_t i = 0; i < global_options.count; i++)
		fish_option(text, "true", &global_options.options[i]);
	for (size_t i = 0; i < command_count; i++)
		fish_command(text, i);
	strbuf_string(text,
		"complete -c waftctl -n '__fish_seen_subcommand_from show' -a '(waftctl trace list "
		"--json 2>/dev/null | string replace -rf "
		"\"^.*\\\"trace_id\\\":\\\"([^\\\"]*)\\\".*\" "
		"\"\\$1\")'\n"
		"complete -c waft -w waftctl\n");
}
