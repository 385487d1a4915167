/* See daemon.h. */
#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"
#include "profile.h"

enum { OPTIONS_MAX = 8 };

/* The daemon lies beside this program. */
static char *program_path(void)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	if (length < 0)
		bench_check(-errno, "finding this program");
	self[length] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	if (asprintf(&path, "%s/waft-collectord", self) < 0)
		abort();
	return path;
}

static void run_daemon(const struct daemon *daemon, const char *const *options, int ready)
{
	char *program = program_path();
	char *arguments[9 + OPTIONS_MAX + 1] = {program, (char *)"--socket", daemon->socket,
		(char *)"--store", daemon->store, (char *)"--log-level", (char *)"warning",
		(char *)"--drain", (char *)"10min"};

	for (int i = 0; i < OPTIONS_MAX && options != NULL && options[i] != NULL; i++)
		arguments[9 + i] = (char *)(uintptr_t)options[i];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(ready, STDOUT_FILENO);
	execv(program, arguments);
	bench_check(-errno, program);
}

void daemon_start(const char *const *options, struct daemon *ret)
{
	int ready[2];
	char text[256];

	ret->directory = bench_directory_new();
	if (asprintf(&ret->socket, "%s/collector.sock", ret->directory) < 0 ||
		asprintf(&ret->store, "%s/store", ret->directory) < 0)
		abort();
	fflush(NULL);
	if (pipe(ready) != 0)
		bench_check(-errno, "making a pipe");
	ret->started_ns = clock_now_ns(CLOCK_MONOTONIC);
	ret->pid = fork();
	if (ret->pid < 0)
		bench_check(-errno, "starting waft-collectord");
	if (ret->pid == 0) {
		close(ready[0]);
		run_daemon(ret, options, ready[1]);
		_exit(EXIT_FAILURE);
	}
	close(ready[1]);
	if (read(ready[0], text, sizeof(text)) <= 0)
		bench_check(-EIO, "waiting for waft-collectord");
	close(ready[0]);
}

/* A number of a file of /proc behind a name; 0 when it isn't there. */
static double proc_number(pid_t pid, const char *file, const char *name)
{
	char path[64], line[256];
	double number = 0;
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	from = fopen(path, "re");
	if (from == NULL)
		return 0;
	while (fgets(line, sizeof(line), from) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			number = atof(line + strlen(name));
	fclose(from);
	return number;
}

double daemon_rss_mib(const struct daemon *daemon)
{
	return proc_number(daemon->pid, "status", "VmRSS:") / 1024;
}

void daemon_probe(struct wire_client *client, uint64_t sequence)
{
	static struct profile_batch probe_batch;
	struct profile_batch_plan plan = {.first_trace = UINT64_C(1) << 40,
		.traces = 1,
		.start_ns = (uint64_t)clock_now_ns(CLOCK_REALTIME)};

	plan.first_trace += sequence;
	profile_batch_make(&plan, &probe_batch);
	bench_check(wire_client_wait_credit(client), "waiting for credit");
	bench_check(wire_client_batch(client, sequence, probe_batch.bytes, probe_batch.length),
		"sending a batch");
	bench_check(wire_client_wait(client, sequence), "waiting for an acknowledgement");
}

void daemon_stop(struct daemon *daemon, struct daemon_usage *ret)
{
	struct rusage usage;
	siginfo_t info;
	int status;

	kill(daemon->pid, SIGTERM);
	/* Dead, but still there to be asked. */
	if (waitid(P_PID, (id_t)daemon->pid, &info, WEXITED | WNOWAIT) != 0)
		bench_check(-errno, "waiting for waft-collectord");
	if (ret != NULL)
		ret->written_bytes = proc_number(daemon->pid, "io", "wchar:");
	wait4(daemon->pid, &status, 0, &usage);
	if (status != 0)
		fprintf(stderr, "waft-bench: waft-collectord ended with status %d\n", status);
	if (ret != NULL)
		ret->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	bench_directory_remove(daemon->directory);
	free(daemon->socket);
	free(daemon->store);
	free(daemon->directory);
}
