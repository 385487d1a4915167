/* program.c: see program.h. */
#include "program.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_S = 60 };

static void fail(const struct program *program, const char *what, const char *detail)
{
	fprintf(stderr, "%s: %s\nprinted so far:\n%s\n", what, detail,
		program ? program->text : "");
	abort();
}

void program_start(struct program *program, char *const argv[])
{
	int ends[2];
	char path[4096];
	const char *directory = getenv("WAFT_BIN");
	snprintf(path, sizeof(path), "%s%s%s", directory && !strchr(argv[0], '/') ? directory : "",
		directory && !strchr(argv[0], '/') ? "/" : "", argv[0]);
	program->length = 0;
	program->text[0] = 0;
	if (pipe(ends) < 0)
		fail(NULL, "pipe", strerror(errno));
	pid_t parent = getpid();
	program->pid = fork();
	if (program->pid < 0)
		fail(NULL, "fork", strerror(errno));
	if (program->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		execv(path, argv);
		dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
		_exit(127);
	}
	close(ends[1]);
	program->out = ends[0];
}

/* More of its output into text; false at its end. */
static int read_more(struct program *program, const char *waiting_for)
{
	struct pollfd fd = {.fd = program->out, .events = POLLIN};
	int ready;
	while ((ready = poll(&fd, 1, DEADLINE_S * 1000)) < 0 && errno == EINTR)
		;
	if (ready == 0)
		fail(program, "nothing printed in time, waiting for", waiting_for);
	if (program->length + 4096 > sizeof(program->text)) { /* keep the newer half */
		size_t keep = sizeof(program->text) / 2;
		memmove(program->text, program->text + program->length - keep, keep + 1);
		program->length = keep;
	}
	ssize_t n = read(program->out, program->text + program->length,
		sizeof(program->text) - program->length - 1);
	if (n < 0)
		fail(program, "reading what it printed", strerror(errno));
	program->length += (size_t)n;
	program->text[program->length] = 0;
	return n > 0;
}

void program_wait_text(struct program *program, const char *text)
{
	char *found;
	while (!(found = strstr(program->text, text))) {
		if (!read_more(program, text))
			fail(program, "the program ended before it printed", text);
	}
	size_t past = (size_t)(found - program->text) + strlen(text);
	memmove(program->text, program->text + past, program->length - past + 1);
	program->length -= past;
}

int program_wait(struct program *program)
{
	int status;
	while (read_more(program, "its end"))
		;
	close(program->out);
	if (waitpid(program->pid, &status, 0) != program->pid)
		fail(program, "waitpid", strerror(errno));
	program->pid = 0;
	return status;
}

int program_end(struct program *program, int signal_number)
{
	if (kill(program->pid, signal_number) < 0)
		fail(program, "kill", strerror(errno));
	return program_wait(program);
}

char *scratch_new(void)
{
	const char *base = getenv("TMPDIR");
	char *path;
	if (asprintf(&path, "%s/waft-test-XXXXXX", base ? base : "/tmp") < 0 || !mkdtemp(path))
		fail(NULL, "making a private directory", strerror(errno));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void scratch_remove(char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}
