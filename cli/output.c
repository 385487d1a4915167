/*
 * output.c: where a command writes: a terminal with colour and pager, or a pipe.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEFAULT_COLUMNS = 80, MIN_COLUMNS = 20, MAX_COLUMNS = 4096 };

static uint32_t terminal_columns(int fd)
{
	const char *variable = getenv("COLUMNS");
	struct winsize size = {0};
	unsigned long columns = 0;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0)
		columns = size.ws_col;
	if (columns == 0 && variable != NULL)
		columns = strtoul(variable, NULL, 10);
	if (columns == 0 || columns > MAX_COLUMNS)
		columns = DEFAULT_COLUMNS;
	return (uint32_t)(columns < MIN_COLUMNS ? MIN_COLUMNS : columns);
}

static bool wants_color(const struct output *output, enum output_color color)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (color != OUTPUT_COLOR_AUTO)
		return color == OUTPUT_COLOR_ALWAYS;
	/* https://no-color.org: set and not empty. */
	if (no_color != NULL && no_color[0] != '\0')
		return false;
	return output->terminal && term != NULL && strcmp(term, "dumb") != 0;
}

void output_init(struct output *output, enum output_color color)
{
	*output = (struct output){.fd = STDOUT_FILENO, .terminal = isatty(STDOUT_FILENO) != 0};
	output->color = wants_color(output, color);
	if (output->terminal)
		output->columns = terminal_columns(STDOUT_FILENO);
	/* A reader that goes away is told by EPIPE, not by a signal. */
	(void)signal(SIGPIPE, SIG_IGN);
}

/* The pager's command line; NULL: none is wanted. */
static const char *pager_command(void)
{
	const char *command = getenv("WAFT_PAGER");

	if (command == NULL)
		command = getenv("PAGER");
	if (command == NULL)
		command = "less";
	if (command[0] == '\0' || strcmp(command, "cat") == 0)
		return NULL;
	return command;
}

/* The pager is a shell's command line. One that isn't there must not swallow the
 * text: cat takes its place. */
static int spawn_pager(const char *command, int read_fd, pid_t *ret_pid)
{
	char shell[] = "sh";
	char flag[] = "-c";
	char script[] = "command -v \"${1%% *}\" >/dev/null 2>&1 || exec cat; eval \"exec $1\"";
	char name[] = "waftctl";
	char *argv[] = {shell, flag, script, name, (char *)command, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int result;

	/* Quit when one screen is enough, pass colours, leave the text there. */
	(void)setenv("LESS", "FRX", 0);
	(void)sigemptyset(&defaults);
	(void)sigaddset(&defaults, SIGPIPE);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	result = posix_spawn_file_actions_adddup2(&actions, read_fd, STDIN_FILENO);
	if (result == 0)
		result = posix_spawnattr_setsigdefault(&attributes, &defaults);
	if (result == 0)
		result = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	if (result == 0)
		result = posix_spawnp(ret_pid, "sh", &actions, &attributes, argv, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -result;
}

void output_page(struct output *output)
{
	const char *command = pager_command();
	int fds[2];

	if (!output->terminal || command == NULL || output->pager != 0)
		return;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return;
	if (spawn_pager(command, fds[0], &output->pager) != 0) {
		output->pager = 0;
		(void)close(fds[1]);
	} else {
		output->fd = fds[1];
		/* ^C is the pager's; we end when it does. */
		(void)signal(SIGINT, SIG_IGN);
	}
	(void)close(fds[0]);
}

int output_write(struct output *output, struct strbuf *text)
{
	size_t written = 0;

	if (text->failed)
		output->error = -ENOMEM;
	while (output->error == 0 && written < text->length) {
		ssize_t result = write(output->fd, text->bytes + written, text->length - written);

		if (result >= 0) {
			written += (size_t)result;
		} else if (errno == EAGAIN) {
			struct pollfd ready = {.fd = output->fd, .events = POLLOUT};

			(void)poll(&ready, 1, -1);
		} else if (errno != EINTR) {
			output->error = -errno;
		}
	}
	strbuf_clear(text);
	return output->error;
}

int output_done(struct output *output)
{
	if (output->pager != 0) {
		(void)close(output->fd);
		while (waitpid(output->pager, NULL, 0) < 0 && errno == EINTR)
			;
		output->pager = 0;
		output->fd = STDOUT_FILENO;
	}
	return output->error == -EPIPE ? 0 : output->error;
}
