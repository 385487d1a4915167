/*
 * libwaft while memory, threads and descriptors are refused to it: each of its own
 * calls for one fails in turn, once and from there on, in a process of its own that
 * uses all of the API. The process must come to its end by itself, its count must
 * be exact, and what the count calls durable must be what its file holds.
 *
 * Built with the library's sources, in which these calls are ours (client.cmake).
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ftw.h>
#include <waft/waft.h>

#include "unit/client/fake_collector.h"

enum { NOT_REACHED = 42, DEADLINE_S = 60, POINTS_MOST = 2000 };

/* ---- The calls ---------------------------------------------------------------- */

void *fault_malloc(size_t size);
void *fault_calloc(size_t count, size_t size);
void *fault_realloc(void *memory, size_t size);
char *fault_strdup(const char *text);
void *fault_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
int fault_memfd_create(const char *name, unsigned int flags);
int fault_socketpair(int domain, int type, int protocol, int pair[2]);
int fault_pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg);

static uint32_t calls; /* atomic */
static uint32_t fail_at;
static bool fail_on;

static bool refused(int error)
{
	uint32_t number = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);

	if (fail_on ? number < fail_at : number != fail_at)
		return false;
	errno = error;
	return true;
}

void *fault_malloc(size_t size)
{
	return refused(ENOMEM) ? NULL : malloc(size);
}

void *fault_calloc(size_t count, size_t size)
{
	return refused(ENOMEM) ? NULL : calloc(count, size);
}

void *fault_realloc(void *memory, size_t size)
{
	return refused(ENOMEM) ? NULL : realloc(memory, size);
}

char *fault_strdup(const char *text)
{
	return refused(ENOMEM) ? NULL : strdup(text);
}

void *fault_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	return refused(ENOMEM) ? MAP_FAILED : mmap(at, length, protection, flags, fd, offset);
}

int fault_memfd_create(const char *name, unsigned int flags)
{
	return refused(EMFILE) ? -1 : memfd_create(name, flags);
}

int fault_socketpair(int domain, int type, int protocol, int pair[2])
{
	return refused(EMFILE) ? -1 : socketpair(domain, type, protocol, pair);
}

int fault_pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg)
{
	return refused(EAGAIN) ? EAGAIN : pthread_create(thread, attributes, start, arg);
}

/* ---- What a program does ---------------------------------------------------------- */

static const char *header_get(void *arg, const char *name)
{
	(void)arg;
	if (strcmp(name, "traceparent") == 0)
		return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	return strcmp(name, "tracestate") == 0 ? "a=1" : "k=v,l=%20";
}

static void header_set(void *arg, const char *name, const char *value)
{
	*(size_t *)arg += strlen(name) + strlen(value);
}

static void snapshot_fill(struct waft_json *json, void *arg)
{
	waft_json_object(json);
	waft_json_key(json, "token");
	waft_json_string(json, arg);
	waft_json_key(json, "a");
	waft_json_raw(json, arg, SIZE_MAX);
	waft_json_end_object(json);
}

static void span_fill(struct waft_span *span, char *text)
{
	static const int64_t numbers[] = {1, 2, 3};
	const struct waft_attribute list = {
		.key = "list", .type = WAFT_TYPE_INTS, .count = 3, .value = {.integers = numbers}};
	struct waft_context context;

	waft_attr_string(span, "text", text);
	waft_attr_int(span, "int", 1);
	waft_set(span, &list);
	waft_event(span, "event", &list, 1);
	waft_context_of(span, &context);
	waft_link(span, &context, &list, 1);
	waft_context_done(&context);
	waft_input_json(span, "{\"password\":\"x\",\"a\":[1,2,3]}", SIZE_MAX);
	waft_output_fn(span, snapshot_fill, text);
	waft_errno(span, ENOENT, "opening");
}

static void tree(char *text)
{
	struct waft_context context;
	struct waft_span root, child, named;
	size_t bytes = 0;
	char **environment;

	if (waft_extract(header_get, NULL, &context) < 0)
		memset(&context, 0, sizeof(context));
	WAFT_BEGIN_CHILD(&root, "root", &context);
	waft_context_done(&context);
	waft_trace_attr(&root, "tenant", "blue");
	WAFT_BEGIN(&child, "child");
	span_fill(&child, text);
	waft_context_current(&context);
	waft_inject(&context, header_set, &bytes);
	environment = waft_env_new(&context, NULL);
	waft_env_free(environment);
	waft_span_begin_named(&named, text, "api", NULL);
	waft_end(&named);
	waft_context_done(&context);
	waft_end(&child);
	waft_end(&root);
}

static void *thread_main(void *text)
{
	for (int i = 0; i < 3; i++)
		tree(text);
	return NULL;
}

static void deep(int depth)
{
	struct waft_span span;

	WAFT_BEGIN(&span, "deep");
	if (depth > 0)
		deep(depth - 1);
	waft_end(&span);
}

/* Whatever was refused, these hold. */
static void counts_check(const struct waft_stats *stats)
{
	struct fake_collector *fake;
	uint64_t sum = stats->durable + stats->unknown;

	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		sum += stats->dropped[i];
	CHECK_INT(stats->in_flight, 0);
	CHECK_INT(stats->emitted, sum);
	if (access("store/.waft/inbox", F_OK) != 0) {
		CHECK_INT(stats->durable, 0);
		return;
	}
	fake = fake_from_inbox("store");
	CHECK_INT(fake->bad + fake->gaps, 0);
	CHECK(fake->span_count >= stats->durable);
	CHECK(fake->span_count <= stats->durable + stats->unknown);
	fake_free(fake);
}

static void program_run(void)
{
	struct waft_options options = {
		.size = sizeof(options), .endpoint = "file:store", .batch_age_ms = 5};
	char text[200];
	struct waft_stats stats;
	pthread_t thread;

	memset(text, 'x', sizeof(text) - 1);
	text[0] = text[sizeof(text) - 2] = '"';
	text[sizeof(text) - 1] = '\0';
	(void)waft_init(&options);
	tree(text);
	deep(40);
	CHECK_INT(pthread_create(&thread, NULL, thread_main, text), 0);
	pthread_join(thread, NULL);
	(void)waft_flush(fail_on ? 20 : 2000);
	tree(text);
	(void)waft_shutdown(fail_on ? 200 : 5000, &stats);
	counts_check(&stats);
}

/* ---- Each point -------------------------------------------------------------------- */

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

/* The status of a process in which the n-th call is refused. */
static int point_run(uint32_t number, bool on)
{
	/* In memory where that can be: nothing here depends on a disk. */
	char shared[] = "/dev/shm/waft-memory-XXXXXX";
	char plain[] = "/tmp/waft-memory-XXXXXX";
	char *directory = mkdtemp(shared);
	int status;
	pid_t pid;

	if (directory == NULL)
		directory = mkdtemp(plain);
	if (directory == NULL)
		return -1;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (chdir(directory) != 0 || freopen("said", "w", stderr) == NULL)
			_exit(1);
		setvbuf(stderr, NULL, _IONBF, 0);
		alarm(DEADLINE_S);
		fail_at = number;
		fail_on = on;
		program_run();
		_exit(__atomic_load_n(&calls, __ATOMIC_RELAXED) < number ? NOT_REACHED : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		status = -1;
	if (status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED)) {
		char line[400];
		FILE *said;

		printf("call %u%s: %s %d\n", number, on ? " and all that follow" : "",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		snprintf(line, sizeof(line), "%s/said", directory);
		said = fopen(line, "r");
		while (said != NULL && fgets(line, sizeof(line), said) != NULL)
			fputs(line, stdout);
		if (said != NULL)
			fclose(said);
	}
	nftw(directory, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	return status;
}

int main(int argc, char **argv)
{
	bool brief = argc == 2 && strcmp(argv[1], "--short") == 0;
	uint32_t points = 0;
	uint32_t wrong = 0;

	for (int on = 0; on < 2; on++)
		for (uint32_t number = 1; number < POINTS_MOST;
			number += on != 0 && brief ? 4 : 1) {
			int status = point_run(number, on != 0);

			if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED)
				break;
			points++;
			wrong += status != 0;
		}
	printf("figure: %u refusals of memory, threads and descriptors, %u crashed, hung or "
	       "miscounted\n",
		points, wrong);
	return points > 0 && wrong == 0 ? 0 : 1;
}
