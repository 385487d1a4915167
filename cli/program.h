/*
 * program.h: waftctl from its command line to its exit code.
 */
#ifndef WAFT_CLI_PROGRAM_H
#define WAFT_CLI_PROGRAM_H

struct waft_viewer;

/* Says why a question to the viewer failed; returns EXIT_FAILED. */
int program_failed(const struct waft_viewer *viewer);

/* Runs a command line; writes to stdout and stderr. Returns enum exit_code. */
int program_run(int argc, char **argv);

#endif
