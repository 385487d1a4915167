/*
 * output.h: where a command writes: a terminal with colour and pager, or a pipe.
 *
 * A reader that has had enough (EPIPE) ends the command quietly; any other
 * failed write is an error. One per process.
 */
#ifndef WAFT_CLI_OUTPUT_H
#define WAFT_CLI_OUTPUT_H

#include "strbuf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum output_color { OUTPUT_COLOR_AUTO = 0, OUTPUT_COLOR_ALWAYS, OUTPUT_COLOR_NEVER };

struct output {
	int fd; /* stdout, or the pager's pipe */
	bool terminal;
	bool color;
	uint32_t columns; /* of the terminal; 0: not a terminal, nothing is cut */
	pid_t pager;	  /* 0: none */
	int error;	  /* a negative errno; -EPIPE: the reader has had enough */
};

/* Looks at stdout and the environment (NO_COLOR, TERM, COLUMNS). */
void output_init(struct output *output, enum output_color color);
/* From here on through $WAFT_PAGER, $PAGER or less, when on a terminal; without
 * any, directly. */
void output_page(struct output *output);
/* Writes and empties text. 0, or the negative errno that ended the output. */
int output_write(struct output *output, struct strbuf *text);
/* Waits for the pager. 0, or what failed (not -EPIPE). */
int output_done(struct output *output);

#endif
