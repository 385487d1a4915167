/*
 * command.h: the one table of commands.
 *
 * Parsing, help, the man page and the shells' completions are all made from it,
 * so none of them can know another set of options.
 */
#ifndef WAFT_CLI_COMMAND_H
#define WAFT_CLI_COMMAND_H

#include "output.h"
#include "strbuf.h"

#include <waft/viewer.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COMMAND_MAX_ATTRIBUTES = 32, COMMAND_MAX_OPERANDS = 8 };

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* not found, or it could not be done */
	EXIT_USAGE = 2,	 /* the command line is wrong */
};

/* Of an option that may be given several times. */
struct text_list {
	const char *texts[WAFT_VIEWER_PLACES_MAX];
	size_t count;
};

/* What a command line said. Texts are borrowed from argv. */
struct arguments {
	const struct command *command;
	const char *operands[COMMAND_MAX_OPERANDS];
	size_t operand_count;

	bool help;
	bool version;
	struct text_list endpoints;
	struct text_list stores;
	uint64_t timeout_ns;
	bool json;
	bool utc;
	bool no_pager;
	unsigned color; /* output_color */

	uint64_t limit;
	struct waft_trace_filter filter;
	struct waft_trace_attribute attributes[COMMAND_MAX_ATTRIBUTES];
	const char *since; /* resolved once --utc is known, wherever it stands */
	const char *until;
	char *keys[COMMAND_MAX_ATTRIBUTES]; /* owned: of --attr, cut at the "=" */
	char group[16]; /* the first word of commands, when no command followed */

	unsigned data; /* waft_data_mode */
	bool waterfall;
	bool clients;
	bool counters;
	bool watch;
};

enum option_kind {
	OPTION_FLAG,
	OPTION_TEXT,
	OPTION_TEXTS, /* may be repeated: struct text_list */
	OPTION_NUMBER,
	OPTION_DURATION, /* in ns */
	OPTION_TIME,
	OPTION_CHOICE,	   /* index into choices */
	OPTION_CHOICE_OPT, /* the same; without a value the second choice */
	OPTION_ATTRIBUTE,  /* KEY=VALUE, may be repeated */
};

struct option {
	const char *name;
	char letter; /* 0: none */
	enum option_kind kind;
	const char *value; /* its name in help: "N" */
	const char *help;
	const char *choices;  /* "auto|always|never" */
	const char *fallback; /* the default, for help; NULL: none */
	uint64_t low, high;   /* of a number */
	size_t offset;	      /* in struct arguments */
	const char *complete; /* "file" or "directory": how shells complete the value */
};

struct option_group {
	const char *title;
	const struct option *options;
	size_t count;
};

struct command {
	const char *name;     /* "trace list" */
	const char *operands; /* "TRACE-ID", "[COMMAND]…"; NULL: none */
	size_t min_operands, max_operands;
	const char *summary;
	const char *text;		      /* paragraphs, separated by an empty line */
	const char *examples;		      /* lines "command  # what it does" */
	const struct option_group *groups[4]; /* of its own, NULL-terminated */
	bool reads;			      /* needs an open viewer */
	int (*run)(const struct arguments *arguments, struct output *output,
		struct waft_viewer *viewer);
};

extern const struct command commands[];
extern const size_t command_count;
extern const struct option_group global_options;

#define COMMAND_PURPOSE "show what traced programs did"

/* The command of that name ("trace list"), or NULL. */
const struct command *command_find(const char *name);

/* The nearest name that a person may have meant, or NULL. */
const char *command_nearest(const char *word, const char *const *names, size_t count);

/* Reads a command line. 0; or -EINVAL with what is wrong, and a hint, in
 * *message. Free with arguments_done in both cases. */
int arguments_parse(
	int argc, char *const *argv, struct arguments *ret_arguments, struct strbuf *message);
/* Turns --since and --until into times. 0 or -EINVAL with *message. */
int arguments_resolve(struct arguments *arguments, int64_t now_ns, struct strbuf *message);
void arguments_done(struct arguments *arguments);

/* Help as text: of the program , or of a command. */
/* group: "" for all, or the first word of those to list. */
void help_overview(struct strbuf *text, const char *group, bool color);
void help_command(struct strbuf *text, const struct command *command, bool color);
/* "trace list [OPTION]… TRACE-ID" */
void help_usage(struct strbuf *text, const struct command *command);

/* Generated documents. */
void document_man(struct strbuf *text);
void document_bash(struct strbuf *text);
void document_zsh(struct strbuf *text);
void document_fish(struct strbuf *text);

/* What status and admin clients share: a client's ledger as a line, and as a JSON object
 * (without the newline), and bytes with their unit. */
void format_ledger_line(struct strbuf *text, const struct waft_ledger *client);
void format_ledger_json(struct strbuf *text, const struct waft_ledger *client);
void format_bytes(struct strbuf *text, uint64_t bytes);

int run_trace_list(const struct arguments *, struct output *, struct waft_viewer *);
int run_trace_show(const struct arguments *, struct output *, struct waft_viewer *);
int run_trace_tail(const struct arguments *, struct output *, struct waft_viewer *);
int run_stats(const struct arguments *, struct output *, struct waft_viewer *);
int run_status(const struct arguments *, struct output *, struct waft_viewer *);
int run_ps(const struct arguments *, struct output *, struct waft_viewer *);
int run_admin_reload(const struct arguments *, struct output *, struct waft_viewer *);
int run_admin_flush(const struct arguments *, struct output *, struct waft_viewer *);
int run_admin_log_level(const struct arguments *, struct output *, struct waft_viewer *);
int run_admin_clients(const struct arguments *, struct output *, struct waft_viewer *);
int run_version(const struct arguments *, struct output *, struct waft_viewer *);
int run_help(const struct arguments *, struct output *, struct waft_viewer *);

#endif
