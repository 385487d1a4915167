/*
 * Hosts that are hard on the library in them:
 *
 *   client_host descriptors ROUNDS   threads trace while the host closes all
 *       descriptors from 3 on, or puts its own files in their place, again and again
 *   client_host forks CYCLES         threads trace and fork; children trace, end in
 *       every way there is, or execute another program
 *   client_host open                 (what they execute) tells inherited descriptors
 *
 * Prints `name value` lines; what became of the spans is the caller's to check.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <waft/waft.h>

enum {
	THREADS = 3,
	FILES = 200,
	PIPES = 20,
	DESCRIPTORS = 1024,
	ROUND_SPANS = 300,
	DEADLINE_S = 60,
};

static char program[4096];
static bool over; /* atomic */

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

static void spans_make(uint32_t count)
{
	struct waft_span root, span;

	for (uint32_t i = 0; i < count; i += 2) {
		WAFT_BEGIN(&root, "host.outer");
		waft_attr_int(&root, "maker", getpid());
		WAFT_BEGIN(&span, "host.inner");
		waft_attr_int(&span, "maker", getpid());
		waft_end(&span);
		waft_end(&root);
	}
}

/* Ends the tracer; false when the count does not add up. */
static bool counts_end(const char *who)
{
	struct waft_stats stats;
	uint64_t dropped = 0;

	(void)waft_shutdown(20000, &stats);
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		dropped += stats.dropped[i];
	printf("process %d %s emitted %" PRIu64 " durable %" PRIu64 " dropped %" PRIu64
	       " unknown %" PRIu64 " in_flight %" PRIu64 "\n",
		(int)getpid(), who, stats.emitted, stats.durable, dropped, stats.unknown,
		stats.in_flight);
	fflush(stdout);
	return stats.emitted == stats.durable + dropped + stats.unknown && stats.in_flight == 0;
}

/* Descriptors of this process from 3 on. */
static uint32_t descriptors_open(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	uint32_t count = 0;

	if (directory == NULL)
		die("/proc/self/fd: %s", strerror(errno));
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.' && atoi(entry->d_name) > 2 &&
			 atoi(entry->d_name) != dirfd(directory);
	closedir(directory);
	return count;
}

/* The same, and says on stderr what they are. */
static uint32_t descriptors_name(void)
{
	char path[64];
	char to[256];

	for (int fd = 3; fd < DESCRIPTORS; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, to, sizeof(to) - 1);
		if (length > 0)
			fprintf(stderr, "descriptor %d was inherited: %.*s\n", fd, (int)length, to);
	}
	return descriptors_open();
}

static void threads_start(pthread_t threads[THREADS], void *(*main_of)(void *), void *arg)
{
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, main_of, arg) != 0)
			die("cannot make a thread");
}

static void threads_end(const pthread_t threads[THREADS])
{
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- Descriptors ----------------------------------------------------------------- */

static const char content[] = "this is the host's";

struct mine {
	int files[FILES];
	int pipes[PIPES][2];
};

static void mine_open(struct mine *mine)
{
	for (int i = 0; i < FILES; i++) {
		mine->files[i] = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (mine->files[i] < 0 ||
			write(mine->files[i], content, sizeof(content)) != sizeof(content))
			die("opening a file: %s", strerror(errno));
	}
	for (int i = 0; i < PIPES; i++)
		if (pipe2(mine->pipes[i], O_CLOEXEC | O_NONBLOCK) != 0)
			die("opening a pipe: %s", strerror(errno));
}

/* How many of them hold what they should not. */
static uint32_t mine_check(const struct mine *mine)
{
	char bytes[sizeof(content) + 1];
	uint32_t wrong = 0;

	for (int i = 0; i < FILES; i++) {
		ssize_t got = pread(mine->files[i], bytes, sizeof(bytes), 0);

		wrong += got != sizeof(content) || memcmp(bytes, content, sizeof(content)) != 0 ||
			 lseek(mine->files[i], 0, SEEK_CUR) != sizeof(content);
	}
	for (int i = 0; i < PIPES; i++)
		wrong += read(mine->pipes[i][0], bytes, 1) != -1 || errno != EAGAIN;
	return wrong;
}

/* Closes all, the library's too; every other time by putting one file of its own in
 * the place of each first. */
static void all_close(bool replace)
{
	int fd = replace ? open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
	struct stat status;

	for (int at = 3; fd >= 0 && at < DESCRIPTORS; at++)
		if (at != fd && fcntl(at, F_GETFD) >= 0)
			(void)dup2(fd, at);
	if (fd >= 0 && (fstat(fd, &status) != 0 || status.st_size != 0))
		die("a file that was put in the library's place was written to");
	(void)close_range(3, DESCRIPTORS - 1, 0);
}

static void *trace_main(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		spans_make(10);
		/* As fast as it goes would only fill the buffer. */
		(void)poll(NULL, 0, 1);
	}
	return NULL;
}

static uint64_t emitted_now(void)
{
	struct waft_stats stats;

	waft_stats(&stats);
	return stats.emitted;
}

static int run_descriptors(uint32_t rounds)
{
	static struct mine mine;
	pthread_t threads[THREADS];
	uint32_t foreign = 0;
	bool exact;

	threads_start(threads, trace_main, NULL);
	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t until = emitted_now() + ROUND_SPANS;

		all_close(i % 2 != 0);
		mine_open(&mine);
		while (emitted_now() < until)
			(void)poll(NULL, 0, 1);
		/* Every third time it may come to rest with what it has opened anew; on a
		 * starved machine a collector's answers take their time. */
		if (i % 3 == 0 && waft_flush(DEADLINE_S * 1000) < 0)
			die("round %" PRIu32 ": spans do not get through any more", i);
		foreign += mine_check(&mine);
	}
	threads_end(threads);
	exact = counts_end("host");
	foreign += mine_check(&mine);
	printf("foreign %" PRIu32 "\nmismatch %d\n", foreign, !exact);
	return foreign == 0 && exact ? 0 : 1;
}

/* ---- Forks ------------------------------------------------------------------------ */

static void *exit_main(void *arg)
{
	(void)arg;
	spans_make(4);
	exit(0);
}

/* One child's life; each ends in another way. */
static void child_live(uint32_t way)
{
	pthread_t thread;

	alarm(DEADLINE_S);
	switch (way) {
	case 0: /* ends as programs do: what is left goes at exit */
		spans_make(10);
		exit(0);
	case 1: /* at once, whatever is left */
		spans_make(10);
		_exit(0);
	case 2: /* has nothing to trace */
		exit(0);
	case 3:
		_exit(counts_end("silent child") ? 0 : 1);
	case 4:
		spans_make(10);
		_exit(counts_end("child") ? 0 : 1);
	case 5:
		spans_make(10);
		signal(SIGABRT, SIG_DFL);
		abort();
	case 6: /* exit from a thread while another traces */
		if (pthread_create(&thread, NULL, exit_main, NULL) != 0)
			_exit(1);
		(void)trace_main(NULL);
		_exit(1);
	case 7: /* a child of its own */
		spans_make(4);
		if (fork() == 0) {
			spans_make(4);
			_exit(counts_end("grandchild") ? 0 : 1);
		}
		_exit(wait(&(int){0}) > 0 && counts_end("parent of one") ? 0 : 1);
	default:
		execl(program, program, "open", (char *)NULL);
		_exit(1);
	}
}

/* The last ways: three for children of _Fork, whose locks may be held for ever by threads
 * that they don't have, and one without any code of ours between. */
enum {
	WAY_ABORT = 5,
	WAY_EXEC = 8,
	WAY_QUIET_EXIT,
	WAY_QUIET_EXEC,
	WAY_QUIET_TRACE,
	WAY_SPAWN,
	WAYS
};

static pid_t spawn_other(void)
{
	char *const arguments[] = {program, (char *)"open", NULL};
	pid_t pid;

	return posix_spawn(&pid, program, NULL, NULL, arguments, environ) == 0 ? pid : -1;
}

static void cycle(uint32_t number)
{
	uint32_t way = number % WAYS;
	struct waft_span around;
	int status;
	pid_t pid;

	WAFT_BEGIN(&around, "host.around");
	waft_attr_int(&around, "maker", getpid());
	if (way == WAY_SPAWN)
		pid = spawn_other();
	else
		pid = way > WAY_EXEC ? _Fork() : fork();
	if (pid == 0 && way == WAY_QUIET_EXIT)
		_exit(0);
	/* Libc's locks are nobody's to take here (its own of malloc and streams included):
	 * only ours are called. */
	if (pid == 0 && way == WAY_QUIET_TRACE) {
		alarm(DEADLINE_S);
		spans_make(10);
		_exit(0);
	}
	if (pid == 0)
		child_live(way);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("way %" PRIu32 ": %s", way, strerror(errno));
	if (way == WAY_ABORT ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT : status != 0)
		die("way %" PRIu32 " ended with %x", way, (unsigned int)status);
	waft_end(&around);
}

static uint32_t cycles_left;

static void *fork_main(void *arg)
{
	(void)arg;
	for (;;) {
		uint32_t left = __atomic_load_n(&cycles_left, __ATOMIC_RELAXED);

		if (left == 0)
			return NULL;
		if (!__atomic_compare_exchange_n(&cycles_left, &left, left - 1, false,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		spans_make(6);
		cycle(left);
	}
}

static int run_forks(uint32_t cycles)
{
	static const struct rlimit no_core;
	pthread_t tracers[THREADS], forkers[THREADS];
	uint32_t before = descriptors_open();
	uint32_t after;
	bool exact;

	(void)setrlimit(RLIMIT_CORE, &no_core);
	/* What the caller left open is not what is looked for. */
	(void)close_range(3, UINT32_MAX, CLOSE_RANGE_CLOEXEC);
	spans_make(2);
	if (waft_flush(10000) < 0)
		die("no collector");
	cycles_left = cycles;
	threads_start(tracers, trace_main, NULL);
	threads_start(forkers, fork_main, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(forkers[i], NULL);
	threads_end(tracers);
	exact = counts_end("host");
	after = descriptors_open();
	/* The region stays until the process ends. */
	printf("leaked %d\nmismatch %d\n", after > before + 1 ? (int)(after - before - 1) : 0,
		!exact);
	return exact && after <= before + 1 ? 0 : 1;
}

int main(int argc, char **argv)
{
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (length < 0)
		die("/proc/self/exe: %s", strerror(errno));
	if (argc == 2 && strcmp(argv[1], "open") == 0)
		return descriptors_name() == 0 ? 0 : 1;
	if (argc == 3 && strcmp(argv[1], "descriptors") == 0)
		return run_descriptors((uint32_t)atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "forks") == 0)
		return run_forks((uint32_t)atoi(argv[2]));
	die("usage: client_host descriptors ROUNDS | forks CYCLES");
}
