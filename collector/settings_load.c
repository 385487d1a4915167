/*
 * Fills a settings object from files (inih) and the command line (getopt),
 * and prints the table as help. One thread: getopt has globals.
 */
#include "settings_table.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define OPTION_CONFIG 1000
#define OPTION_HELP 1001
#define OPTION_VERSION 1002
#define OPTION_DEFAULTS 1003
#define MOST_SETTINGS 64

/* What the handler and the reader of one parse share. */
struct reading {
	struct settings *settings;
	struct settings_error *error;
	const char *name; /* of the file, for messages */
	FILE *file;	  /* or */
	const char *text; /* what is left of the text */
	int line;	  /* lines given out so far */
	int status;	  /* the first fault */
	uint64_t seen;	  /* a bit per entry of the table */
};

static void reading_fail(struct reading *reading, int status, const char *why)
{
	char text[400];

	if (reading->status < 0)
		return;
	reading->status = status;
	snprintf(text, sizeof(text), "%s", why);
	snprintf(reading->error->text, sizeof(reading->error->text), "%.100s:%d: %s", reading->name,
		reading->line, text);
}

/* One line of the text, as fgets does it. */
static char *next_of_text(struct reading *reading, char *line, int room)
{
	size_t length;

	if (*reading->text == '\0')
		return NULL;
	length = strcspn(reading->text, "\n");
	if (reading->text[length] == '\n')
		length++;
	if (length > (size_t)room - 1)
		length = (size_t)room - 1;
	memcpy(line, reading->text, length);
	line[length] = '\0';
	reading->text += length;
	return line;
}

static char *on_read_line(char *line, int room, void *context)
{
	struct reading *reading = context;
	size_t length;
	int last;

	if (reading->status < 0)
		return NULL;
	if (reading->file != NULL ? fgets(line, room, reading->file) == NULL
				  : next_of_text(reading, line, room) == NULL)
		return NULL;
	reading->line++;
	length = strlen(line);
	last = reading->file != NULL ? feof(reading->file) : *reading->text == '\0';
	/* inih would take the rest of a long line for a line of its own. */
	if ((length == 0 || line[length - 1] != '\n') && !last) {
		reading_fail(reading, -EINVAL, "the line is too long or holds a zero byte");
		return NULL;
	}
	return line;
}

static int on_setting(void *context, const char *section, const char *name, const char *value)
{
	struct reading *reading = context;
	const struct setting *setting = settings_find(name);
	struct settings_error error;
	bool again = false;
	int status;

	if (reading->status < 0)
		return 0;
	if (*section != '\0' && strcmp(section, "collector") != 0) {
		reading_fail(reading, -EINVAL, "there is no section but [collector]");
		return 0;
	}
	if (setting != NULL) {
		uint64_t bit = UINT64_C(1) << (setting - settings_table);

		again = (reading->seen & bit) != 0;
		if (again && setting->kind != SETTING_LIST) {
			reading_fail(reading, -EINVAL, "the setting is given twice");
			return 0;
		}
		reading->seen |= bit;
	}
	status = again ? settings_add(reading->settings, name, value, &error)
		       : settings_set(reading->settings, name, value, &error);
	if (status < 0) {
		reading_fail(reading, status, error.text);
		return 0;
	}
	return 1;
}

static int read_all(struct reading *reading)
{
	int result = ini_parse_stream(on_read_line, reading, on_setting, reading);

	if (reading->status == 0 && result != 0) {
		reading->line = result > 0 ? result : reading->line;
		reading_fail(reading, -EINVAL, "expected 'name = value'");
	}
	return reading->status;
}

int settings_read_file(
	struct settings *settings, const char *path, struct settings_error *ret_error)
{
	struct reading reading = {.settings = settings, .error = ret_error, .name = path};
	int status;

	reading.file = fopen(path, "re");
	if (reading.file == NULL) {
		status = -errno;
		snprintf(ret_error->text, sizeof(ret_error->text), "%.300s: %s", path,
			strerror(-status));
		return status;
	}
	status = read_all(&reading);
	if (status == 0 && ferror(reading.file)) {
		status = -EIO;
		snprintf(ret_error->text, sizeof(ret_error->text), "%.300s: can't be read", path);
	}
	fclose(reading.file);
	return status;
}

int settings_read_text(struct settings *settings, const char *name, const char *text,
	struct settings_error *ret_error)
{
	struct reading reading = {
		.settings = settings, .error = ret_error, .name = name, .text = text};

	return read_all(&reading);
}

static int is_conf(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 &&
	       strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* The files of conf.d beside `file`; none is fine. */
static int read_directory(
	struct settings *settings, const char *file, struct settings_error *ret_error)
{
	const char *slash = strrchr(file, '/');
	int prefix = slash != NULL ? (int)(slash - file) + 1 : 0;
	struct dirent **entries = NULL;
	char *path = NULL;
	int status = 0;
	int count;

	if (asprintf(&path, "%.*sconf.d", prefix, file) < 0)
		return -ENOMEM;
	count = scandir(path, &entries, is_conf, alphasort);
	free(path);
	for (int i = 0; i < count; i++) {
		path = NULL;
		if (status == 0 &&
			asprintf(&path, "%.*sconf.d/%s", prefix, file, entries[i]->d_name) < 0)
			status = -ENOMEM;
		if (status == 0)
			status = settings_read_file(settings, path, ret_error);
		free(path);
		free(entries[i]);
	}
	free(entries);
	return status;
}

static void fill_long_options(struct option *options)
{
	size_t i;

	for (i = 0; i < settings_table_length; i++)
		options[i] =
			(struct option){settings_table[i].name, required_argument, NULL, (int)i};
	options[i++] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
	options[i++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
	options[i++] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
	options[i++] = (struct option){"print-defaults", no_argument, NULL, OPTION_DEFAULTS};
	options[i] = (struct option){NULL, 0, NULL, 0};
}

/* What a walk over the command line is for. */
struct command_line {
	const char *config;
	enum settings_result result;
};

/*
 * Walks the command line. With settings, sets the values; without, finds
 * --config and the like, which must be known before the file is read.
 */
static int walk_command_line(int argc, char *const *argv, struct settings *settings,
	struct command_line *line, struct settings_error *ret_error)
{
	struct option options[MOST_SETTINGS];
	uint64_t seen = 0;
	int status = 0;

	fill_long_options(options);
	/* 0 also resets what glibc's getopt keeps between walks. */
	optind = 0;
	opterr = 0;
	while (status == 0) {
		/* getopt permutes argv only without the leading '+'. */
		int option = getopt_long(argc, argv, "+:hV", options, NULL);

		if (option == -1)
			break;
		if (option == OPTION_CONFIG) {
			line->config = optarg;
		} else if (option == OPTION_HELP || option == 'h') {
			line->result = SETTINGS_HELP;
		} else if (option == OPTION_VERSION || option == 'V') {
			line->result = SETTINGS_VERSION;
		} else if (option == OPTION_DEFAULTS) {
			line->result = SETTINGS_DEFAULTS;
		} else if (option == '?' || option == ':') {
			snprintf(ret_error->text, sizeof(ret_error->text), "%.200s: %s; see --help",
				argv[optind - 1],
				option == '?' ? "there is no such option" : "needs a value");
			return -EINVAL;
		} else if (settings != NULL) {
			uint64_t bit = UINT64_C(1) << option;

			status = (seen & bit) != 0
					 ? settings_add(settings, settings_table[option].name,
						   optarg, ret_error)
					 : settings_set(settings, settings_table[option].name,
						   optarg, ret_error);
			seen |= bit;
		}
	}
	if (status == 0 && optind < argc) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"'%.200s': there are no arguments besides options; see --help",
			argv[optind]);
		return -EINVAL;
	}
	return status;
}

int settings_load(int argc, char *const *argv, const char *default_file,
	struct settings *ret_settings, enum settings_result *ret_result,
	struct settings_error *ret_error)
{
	struct command_line line = {NULL, SETTINGS_RUN};
	struct settings settings;
	int status;

	status = settings_init(&settings);
	if (status < 0) {
		snprintf(ret_error->text, sizeof(ret_error->text), "out of memory");
		return status;
	}
	status = walk_command_line(argc, argv, NULL, &line, ret_error);
	if (status == 0 && line.result == SETTINGS_RUN) {
		const char *file = line.config != NULL ? line.config : default_file;

		if (file != NULL) {
			status = settings_read_file(&settings, file, ret_error);
			if (status == -ENOENT && line.config == NULL)
				status = 0;
		}
		if (status == 0 && file != NULL)
			status = read_directory(&settings, file, ret_error);
		if (status == 0)
			status = walk_command_line(argc, argv, &settings, &line, ret_error);
		if (status == 0)
			status = settings_check(&settings, ret_error);
	}
	if (status < 0) {
		settings_done(&settings);
		return status;
	}
	*ret_settings = settings;
	*ret_result = line.result;
	return 0;
}

void settings_print_help(FILE *to)
{
	fputs("usage: waft-collectord [OPTION...]\n"
	      "\n"
	      "Takes spans from the programs of this machine, makes them durable, writes them\n"
	      "as JSON lines, one file a day, and answers queries. Runs in the foreground and\n"
	      "says when it is ready; SIGTERM stops it when everything is in files.\n"
	      "\n",
		to);
	for (size_t i = 0; i < settings_table_length; i++) {
		const struct setting *setting = &settings_table[i];
		char head[64];

		snprintf(head, sizeof(head), "--%s %s", setting->name, setting->argument);
		fprintf(to, "  %-28s %s", head, setting->help);
		if (setting->initial != NULL)
			fprintf(to, " [%s]", setting->initial);
		fputc('\n', to);
	}
	fputs("  --config FILE                read settings from FILE and conf.d/*.conf beside it\n"
	      "  --print-defaults             print a configuration file with every default\n"
	      "  --help                       print this\n"
	      "  --version                    print the version\n"
	      "\n"
	      "Sizes take K, M, G, T; times ms, s, min, h, d. Every option but the last four is\n"
	      "also a setting of the file: `name = value`. See waft-collectord(8) and\n"
	      "waft-collectord.conf(5).\n",
		to);
}

void settings_print_defaults(FILE *to)
{
	fputs("# Settings of waft-collectord; see waft-collectord.conf(5). The command line "
	      "wins.\n",
		to);
	for (size_t i = 0; i < settings_table_length; i++) {
		const struct setting *setting = &settings_table[i];

		fprintf(to, "\n# %s%s\n", setting->help,
			setting->live ? "" : " (a change needs a restart)");
		fprintf(to, "#%s = %s\n", setting->name,
			setting->initial != NULL ? setting->initial : "");
	}
}
