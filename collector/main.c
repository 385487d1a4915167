/* waft-collectord: reads the settings and runs the daemon. */
#include "collector.h"
#include "descriptors.h"
#include "log_line.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVICE_CONFIG "/etc/waft/collectord.conf"

struct command_line {
	int argc;
	char **argv;
};

static int load(const struct command_line *line, struct settings *ret_settings,
	enum settings_result *ret_result, struct settings_error *ret_error)
{
	/* By hand there is no configuration but what --config names. */
	const char *file = getenv("STATE_DIRECTORY") != NULL ? SERVICE_CONFIG : NULL;

	return settings_load(line->argc, line->argv, file, ret_settings, ret_result, ret_error);
}

static int reload(void *context, struct settings *ret_settings, struct settings_error *ret_error)
{
	enum settings_result result;

	return load(context, ret_settings, &result, ret_error);
}

int main(int argc, char **argv)
{
	struct command_line line = {argc, argv};
	struct settings settings;
	struct settings_error error;
	enum settings_result result;
	struct disk disk;
	int exit_code = 0;

	if (load(&line, &settings, &result, &error) < 0) {
		fprintf(stderr, "waft-collectord: %s\n", error.text);
		return 2;
	}
	switch (result) {
	case SETTINGS_HELP:
		settings_print_help(stdout);
		break;
	case SETTINGS_VERSION:
		puts("waft-collectord " WAFT_VERSION_TEXT);
		break;
	case SETTINGS_DEFAULTS:
		settings_print_defaults(stdout);
		break;
	case SETTINGS_RUN:
	default:
		descriptors_raise();
		disk_real(&disk);
		log_line_set_level((enum log_level)settings.log_level);
		exit_code = collector_run(&(struct collector_config){
			.settings = &settings,
			.clock = &clock_system,
			.disk = &disk,
			.reload = reload,
			.context = &line,
			.ready_to = stdout,
		});
		break;
	}
	settings_done(&settings);
	return exit_code;
}
