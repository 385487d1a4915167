/*
 * The daemon: builds the pipeline on a loop, runs it, drains it.
 *
 *     listener → server → connection → export_service → intake → committer
 *         → assembler → keeper → store
 *
 * One call runs it from the start to the end; signals are its controls. One per
 * process.
 */
#ifndef WAFT_COLLECTOR_COLLECTOR_H
#define WAFT_COLLECTOR_COLLECTOR_H

#include "clock.h"
#include "disk.h"
#include "errors.h"
#include "settings.h"

#include <stdio.h>

struct collector_config {
	struct settings *settings; /* taken: left empty */
	const struct clock *clock;
	struct disk *disk; /* borrowed */
	/* Reads the settings anew, for SIGHUP: 0, or a negative errno with *ret_error. */
	int (*reload)(
		void *context, struct settings *ret_settings, struct settings_error *ret_error);
	void *context;
	FILE *ready_to; /* the line that says it is ready goes there */
};

/*
 * Runs until SIGTERM or SIGINT and the end of the drain. Returns what the process
 * exits with: 0; 1 when it could not start, or could not bring everything into
 * files in time (it stays in the log). Problems are logged.
 */
int collector_run(const struct collector_config *config) MUST_CHECK;

#endif
