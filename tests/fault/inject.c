/*
 * inject: runs a program and interferes at one of its system calls that change
 * files below a directory: kills it there, makes the call fail or fall short, or
 * shuts the file system down there without flushing it, and then kills.
 *
 *     inject --under DIR --report FILE [--list] [--opens] [--kill-at N | --cut-at N |
 *            --fail-at N --with HOW] -- COMMAND…
 *
 * The calls are counted from 1 over all threads, as they enter: writes, syncs,
 * truncations, allocations on open files below DIR; renames, unlinks, directories
 * and files made there; with --opens also opens that change nothing, as `open-only`.
 * HOW is EIO, ENOSPC, EINTR, EMFILE, EDQUOT or `short` (half
 * of the bytes of a write). At the end FILE says how many there were; with --list
 * it has a line for each before. SIGTERM and SIGINT are passed on, SIGUSR1 as
 * SIGKILL. The exit status is the program's, 128 + the signal that ended it, 77 when
 * ptrace is refused, or 125 when inject itself fails.
 *
 * x86-64 only: it changes registers. Uses ptrace, which needs no root; --cut-at does
 * (FS_IOC_SHUTDOWN). One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

/* FS_IOC_SHUTDOWN, which not all headers name. */
#define SHUTDOWN_FILE_SYSTEM _IOR('X', 125, uint32_t)

enum { EXIT_OWN_FAILURE = 125, EXIT_REFUSED = 77, THREADS_MAX = 256 };

struct plan {
	const char *under;
	const char *report;
	uint64_t kill_at, cut_at, fail_at;
	int error;	  /* to fail with */
	bool short_write; /* instead */
	bool list;
	bool opens; /* those that change nothing count too */
};

/* A thread whose call was changed on entry and is to be mended on exit. */
struct thread {
	pid_t id;
	bool failing;
	uint64_t iov_length_at; /* address of a length to put back; 0: none */
	uint64_t iov_length;
};

static struct thread threads[THREADS_MAX];
static struct plan plan;
static uint64_t points;
static pid_t child;
static FILE *report;
static volatile sig_atomic_t pass_on;

static _Noreturn void die(const char *doing)
{
	fprintf(stderr, "inject: %s: %s\n", doing, strerror(errno));
	if (child > 0)
		kill(child, SIGKILL);
	exit(EXIT_OWN_FAILURE);
}

static void on_signal(int number)
{
	pass_on = number == SIGUSR1 ? SIGKILL : number;
}

/* ---- What a call is ------------------------------------------------------ */

/* How a call names what it changes. */
enum target { TARGET_NONE, TARGET_FD, TARGET_AT, TARGET_OPEN };

static enum target target_of(uint64_t number, const char **ret_name)
{
	switch (number) {
#define CALL(call, target)         \
	case SYS_##call:           \
		*ret_name = #call; \
		return target
		CALL(write, TARGET_FD);
		CALL(pwrite64, TARGET_FD);
		CALL(writev, TARGET_FD);
		CALL(pwritev, TARGET_FD);
		CALL(pwritev2, TARGET_FD);
		CALL(fsync, TARGET_FD);
		CALL(fdatasync, TARGET_FD);
		CALL(sync_file_range, TARGET_FD);
		CALL(ftruncate, TARGET_FD);
		CALL(fallocate, TARGET_FD);
		CALL(copy_file_range, TARGET_FD);
		CALL(renameat, TARGET_AT);
		CALL(renameat2, TARGET_AT);
		CALL(unlinkat, TARGET_AT);
		CALL(mkdirat, TARGET_AT);
		CALL(linkat, TARGET_AT);
		CALL(mkdir, TARGET_OPEN);
		CALL(unlink, TARGET_OPEN);
		CALL(rename, TARGET_OPEN);
		CALL(openat, TARGET_AT);
		CALL(open, TARGET_OPEN);
#undef CALL
	default:
		return TARGET_NONE;
	}
}

/* Where a descriptor of the thread leads; "" when that can't be said. */
static void path_of_fd(pid_t thread, int fd, char ret_path[PATH_MAX])
{
	char link[64];
	snprintf(
		link, sizeof(link), fd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", thread, fd);
	ssize_t length = readlink(link, ret_path, PATH_MAX - 1);
	ret_path[length > 0 ? length : 0] = 0;
}

static void read_text(pid_t thread, uint64_t address, char ret_text[PATH_MAX])
{
	struct iovec to = {ret_text, PATH_MAX - 1}, from = {(void *)address, PATH_MAX - 1};
	ssize_t n = process_vm_readv(thread, &to, 1, &from, 1, 0);
	if (n <= 0) { /* it may end near unmapped memory */
		from.iov_len = to.iov_len = 4096 - address % 4096;
		n = process_vm_readv(thread, &to, 1, &from, 1, 0);
	}
	ret_text[n > 0 ? n : 0] = 0;
}

static bool is_under(const char *path)
{
	size_t length = strlen(plan.under);
	return strncmp(path, plan.under, length) == 0 && (path[length] == '/' || !path[length]);
}

/* True when the call changes something below the directory. */
static bool counts(pid_t thread, const struct ptrace_syscall_info *info, const char **ret_name,
	char ret_path[PATH_MAX])
{
	char name[PATH_MAX];
	enum target target = target_of(info->entry.nr, ret_name);
	if (target == TARGET_NONE)
		return false;
	if (target == TARGET_FD) {
		path_of_fd(thread, (int)info->entry.args[0], ret_path);
		return is_under(ret_path);
	}
	bool at = target == TARGET_AT;
	if (info->entry.nr == SYS_openat || info->entry.nr == SYS_open) {
		uint64_t flags = info->entry.args[at ? 2 : 1];
		/* Any open can fail; it changes something only so. */
		if (!(flags & (O_CREAT | O_TRUNC))) {
			if (!plan.opens)
				return false;
			*ret_name = "open-only";
		}
	}
	read_text(thread, info->entry.args[at ? 1 : 0], name);
	if (name[0] == '/')
		snprintf(ret_path, PATH_MAX, "%s", name);
	else {
		char base[PATH_MAX];
		path_of_fd(thread, at ? (int)info->entry.args[0] : AT_FDCWD, base);
		if (snprintf(ret_path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
			return false;
	}
	return is_under(ret_path);
}

/* ---- Interference -------------------------------------------------------- */

static struct thread *thread_of(pid_t id)
{
	struct thread *unused = NULL;
	for (int i = 0; i < THREADS_MAX; i++) {
		if (threads[i].id == id)
			return &threads[i];
		if (threads[i].id == 0 && !unused)
			unused = &threads[i];
	}
	if (!unused) {
		errno = EMFILE;
		die("following threads");
	}
	*unused = (struct thread){.id = id};
	return unused;
}

static bool is_write(uint64_t number)
{
	return number == SYS_write || number == SYS_pwrite64 || number == SYS_writev ||
	       number == SYS_pwritev || number == SYS_pwritev2;
}

/* Leaves a write half of its bytes: of a plain one its length, of a vector one
 * its first element and that halved. */
static void shorten(struct thread *thread, const struct ptrace_syscall_info *info)
{
	struct user_regs_struct regs;
	if (ptrace(PTRACE_GETREGS, thread->id, NULL, &regs) < 0)
		die("reading registers");
	if (info->entry.nr == SYS_write || info->entry.nr == SYS_pwrite64) {
		regs.rdx = (regs.rdx + 1) / 2;
	} else {
		uint64_t at = regs.rsi + offsetof(struct iovec, iov_len);
		errno = 0;
		long length = ptrace(PTRACE_PEEKDATA, thread->id, at, NULL);
		if (errno)
			die("reading the program's memory");
		regs.rdx = 1;
		thread->iov_length_at = at;
		thread->iov_length = (uint64_t)length;
		if (ptrace(PTRACE_POKEDATA, thread->id, at, (length + 1) / 2) < 0)
			die("changing the program's memory");
	}
	if (ptrace(PTRACE_SETREGS, thread->id, NULL, &regs) < 0)
		die("changing registers");
}

static void set_register(pid_t thread, size_t offset, uint64_t value)
{
	if (ptrace(PTRACE_POKEUSER, thread, offset, value) < 0)
		die("changing a register");
}

/* Loses what the file system has not written, its journal included. */
static void shut_down(void)
{
	uint32_t without_flushing = 2; /* FS_SHUTDOWN_FLAGS_NOLOGFLUSH */
	int directory = open(plan.under, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || ioctl(directory, SHUTDOWN_FILE_SYSTEM, &without_flushing) < 0)
		die("shutting the file system down");
	close(directory);
}

static void on_entry(struct thread *thread, const struct ptrace_syscall_info *info)
{
	char path[PATH_MAX];
	const char *name = "";
	if (!counts(thread->id, info, &name, path))
		return;
	points++;
	if (plan.list)
		fprintf(report, "%s %s\n", name, path + strlen(plan.under));
	if (points == plan.cut_at)
		shut_down();
	if (points == plan.kill_at || points == plan.cut_at) {
		kill(child, SIGKILL);
	} else if (points == plan.fail_at && plan.short_write) {
		if (is_write(info->entry.nr))
			shorten(thread, info);
	} else if (points == plan.fail_at) {
		set_register(thread->id, offsetof(struct user_regs_struct, orig_rax), (uint64_t)-1);
		thread->failing = true;
	}
}

static void on_exit_of_call(struct thread *thread)
{
	if (thread->failing)
		set_register(thread->id, offsetof(struct user_regs_struct, rax),
			(uint64_t)(int64_t)-plan.error);
	if (thread->iov_length_at &&
		ptrace(PTRACE_POKEDATA, thread->id, thread->iov_length_at, thread->iov_length) < 0)
		die("restoring the program's memory");
	thread->failing = false;
	thread->iov_length_at = 0;
}

static void on_call(pid_t id)
{
	struct ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, id, sizeof(info), &info) < 0)
		return; /* killed meanwhile */
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		on_entry(thread_of(id), &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		on_exit_of_call(thread_of(id));
}

/* ---- Following ----------------------------------------------------------- */

/* A stop of one thread: what it was, and let it go on. */
static void on_stop(pid_t id, int status)
{
	int signal_number = WSTOPSIG(status), event = status >> 16;
	long request = PTRACE_SYSCALL;
	long deliver = 0;
	if (signal_number == (SIGTRAP | 0x80))
		on_call(id);
	else if (event == PTRACE_EVENT_STOP && signal_number != SIGTRAP)
		request = PTRACE_LISTEN; /* stopped as a group, by SIGSTOP and the like */
	else if (event == 0)
		deliver = signal_number;
	if (ptrace(request, id, NULL, deliver) < 0 && errno != ESRCH)
		die("letting the program go on");
}

static int follow(void)
{
	for (;;) {
		int status;
		pid_t id = waitpid(-1, &status, __WALL);
		if (pass_on) {
			kill(child, pass_on);
			pass_on = 0;
		}
		if (id < 0 && errno == EINTR)
			continue;
		if (id < 0)
			die("waiting for the program");
		if (WIFSTOPPED(status)) {
			on_stop(id, status);
			continue;
		}
		thread_of(id)->id = 0;
		if (id == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

static void start(char **argv)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			     PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int gate[2];
	char byte;
	if (pipe2(gate, O_CLOEXEC) < 0)
		die("making a pipe");
	child = fork();
	if (child < 0)
		die("starting the program");
	if (child == 0) {
		close(gate[1]);
		if (read(gate[0], &byte, 1) != 1)
			_exit(EXIT_OWN_FAILURE);
		execvp(argv[0], argv);
		fprintf(stderr, "inject: %s: %s\n", argv[0], strerror(errno));
		_exit(EXIT_OWN_FAILURE);
	}
	if (ptrace(PTRACE_SEIZE, child, NULL, options) < 0) {
		fprintf(stderr, "inject: ptrace: %s\n", strerror(errno));
		kill(child, SIGKILL);
		exit(EXIT_REFUSED);
	}
	if (ptrace(PTRACE_INTERRUPT, child, NULL, NULL) < 0)
		die("tracing the program");
	if (write(gate[1], "g", 1) != 1)
		die("starting the program");
	close(gate[0]);
	close(gate[1]);
}

static bool parse_how(const char *text)
{
	static const struct {
		const char *name;
		int error;
	} errors[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}, {"EMFILE", EMFILE},
		{"EDQUOT", EDQUOT}};
	plan.short_write = strcmp(text, "short") == 0;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (strcmp(text, errors[i].name) == 0)
			plan.error = errors[i].error;
	}
	return plan.short_write || plan.error;
}

static const struct option options[] = {
	{"under", required_argument, NULL, 'u'},
	{"report", required_argument, NULL, 'r'},
	{"kill-at", required_argument, NULL, 'k'},
	{"cut-at", required_argument, NULL, 'c'},
	{"fail-at", required_argument, NULL, 'f'},
	{"with", required_argument, NULL, 'w'},
	{"opens", no_argument, NULL, 'o'},
	{"list", no_argument, NULL, 'l'},
	{NULL, 0, NULL, 0},
};

static bool parse_arguments(int argc, char **argv)
{
	int option;
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == 'u')
			plan.under = optarg;
		else if (option == 'r')
			plan.report = optarg;
		else if (option == 'k')
			plan.kill_at = strtoull(optarg, NULL, 10);
		else if (option == 'c')
			plan.cut_at = strtoull(optarg, NULL, 10);
		else if (option == 'f')
			plan.fail_at = strtoull(optarg, NULL, 10);
		else if (option == 'o')
			plan.opens = true;
		else if (option == 'l')
			plan.list = true;
		else if (option != 'w' || !parse_how(optarg))
			return false;
	}
	return plan.under && plan.report && optind < argc &&
	       (!plan.fail_at || plan.error || plan.short_write);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	if (!parse_arguments(argc, argv)) {
		fputs("usage: inject --under DIR --report FILE [--list] [--opens] [--kill-at N | "
		      "--cut-at N "
		      "| --fail-at N"
		      " --with EIO|ENOSPC|EINTR|EMFILE|EDQUOT|short] -- COMMAND...\n",
			stderr);
		return EXIT_OWN_FAILURE;
	}
	report = fopen(plan.report, "we");
	if (!report)
		die(plan.report);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	start(argv + optind);
	int status = follow();
	fprintf(report, "%llu\n", (unsigned long long)points);
	if (fclose(report) != 0)
		die(plan.report);
	return status;
}
