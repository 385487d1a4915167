/* program.h: starts a program of the tree, waits for what it prints, ends it.
 * For tests: every wait has a deadline and fails the test by abort() with a text. */
#ifndef WAFT_TESTS_PROGRAM_H
#define WAFT_TESTS_PROGRAM_H

#include <stddef.h>
#include <sys/types.h>

struct program {
	pid_t pid;
	int out; /* its standard output and error */
	char text[65536];
	size_t length; /* of text, NUL-terminated */
};

/* Starts argv[0] (found in WAFT_BIN when it has no slash). */
void program_start(struct program *program, char *const argv[]);
/* Waits until `text` was printed after what was waited for before. */
void program_wait_text(struct program *program, const char *text);
/* Sends a signal and waits for the end; returns waitpid's status. */
int program_end(struct program *program, int signal_number);
/* Waits for the end, reading all that it prints. */
int program_wait(struct program *program);

/* A private directory below $TMPDIR, removed with all it holds by scratch_remove. */
char *scratch_new(void);
void scratch_remove(char *path);

#endif
