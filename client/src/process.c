/* See process.h. */
#include "process.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "chunk.h"
#include "sender.h"
#include "shape.h"
#include "thread.h"

enum {
	PAGE_BYTES = 4096,
	ARENA_BYTES = 256 * 1024,
	HOTS_BYTES = 16 * PAGE_BYTES,
	HOT_BYTES = 128,
	LINKS_OF_DIRECTORY = 2,
};

_Static_assert(sizeof(struct waft_hot_) <= HOT_BYTES, "a thread's hot words are two cache lines");

struct process process = {.lock = PTHREAD_MUTEX_INITIALIZER, .region = {.file = {.fd = -1}}};

/* There when the host is built with LeakSanitizer. */
__attribute__((weak)) void __lsan_register_root_region(const void *start, size_t bytes);

/* Who is starting the tracer for the first time; 0: nobody. */
static pid_t starting;

/* The child in which process_fork_child was; 0: none. */
static pid_t forked_by_libc;

/* ---- Memory --------------------------------------------------------------- */

static void *pages_map(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	/* What is only referred to from here is no leak. */
	if (__lsan_register_root_region != NULL)
		__lsan_register_root_region(pages, bytes);
	return pages;
}

void *process_alloc(size_t bytes)
{
	uint8_t *memory;

	bytes = (bytes + 63) & ~(size_t)63;
	if (bytes > ARENA_BYTES)
		return NULL;
	if (bytes > process.arena_bytes) {
		memory = pages_map(ARENA_BYTES);
		if (memory == NULL)
			return NULL;
		process.arena = memory;
		process.arena_bytes = ARENA_BYTES;
	}
	memory = process.arena;
	process.arena += bytes;
	process.arena_bytes -= bytes;
	return memory;
}

/* Without MADV_WIPEONFORK (Linux 4.14) a fork would go unnoticed: no tracing. */
static uint8_t *wiped_map(size_t bytes)
{
	uint8_t *pages = pages_map(bytes);

	if (pages != NULL && madvise(pages, bytes, MADV_WIPEONFORK) != 0) {
		munmap(pages, bytes);
		return NULL;
	}
	return pages;
}

struct waft_hot_ *process_alloc_hot(void)
{
	uint8_t *hot;

	if (process.hots_bytes < HOT_BYTES) {
		process.hots = wiped_map(HOTS_BYTES);
		if (process.hots == NULL)
			return NULL;
		process.hots_bytes = HOTS_BYTES;
	}
	hot = process.hots;
	process.hots += HOT_BYTES;
	process.hots_bytes -= HOT_BYTES;
	return (struct waft_hot_ *)(void *)hot;
}

/* ---- Words to the person in front of it ----------------------------------- */

void process_complain(const char *what, const char *text)
{
	static uint64_t said; /* a bit per hash: at most 64 lines in a process's life */
	uint64_t hash = 5381;
	char line[700];
	int length;

	for (const char *at = what; *at != '\0'; at++)
		hash = hash * 33 + (unsigned char)*at;
	hash = UINT64_C(1) << (hash * UINT64_C(0x9e3779b97f4a7c15) >> 58);
	if ((__atomic_fetch_or(&said, hash, __ATOMIC_RELAXED) & hash) != 0)
		return;
	length = snprintf(line, sizeof(line), "waft: %s\n", text);
	if (length > 0 && write(STDERR_FILENO, line, strnlen(line, sizeof(line))) < 0)
		return; /* nobody listens; nothing depends on it */
}

/* ---- Counting -------------------------------------------------------------- */

void process_drop(enum waft_drop_reason reason, uint64_t spans)
{
	__atomic_fetch_add(&process.dropped[reason], spans, __ATOMIC_RELAXED);
	/* For who finds the process dead. */
	if (process.region.base != NULL)
		__atomic_fetch_add(
			&process.region.header->drops[reason].spans, spans, __ATOMIC_RELAXED);
}

/* ---- Start ----------------------------------------------------------------- */

static bool running(void)
{
	return __atomic_load_n(&process.state, __ATOMIC_ACQUIRE) == STATE_RUNNING;
}

static bool alive(void)
{
	return __atomic_load_n(process.alive, __ATOMIC_ACQUIRE) == ALIVE_YES;
}

/* What every incarnation needs: uuid, region, clock. A process without a region
 * (no memfd, no descriptors left) cannot trace. */
static bool incarnate(void)
{
	uint8_t *producer;

	process.pid = (uint64_t)getpid();
	uuid_generate_random(process.client);
	if (region_init(&process.region, process.client, process.pid) < 0)
		return false;
	producer = process.region.header->producer;
	process.region.header->producer_bytes = (uint32_t)config_producer(
		&process.config, process.pid, producer, REGION_PRODUCER_BYTES);
	shape_set_region(&process.region);
	sender_prepare();
	return true;
}

static void start(const struct waft_options *options, int *ret)
{
	uint32_t state = STATE_DISABLED;

	*ret = config_read(&process.config, options);
	if (!process.config.disabled) {
		uint8_t *words = wiped_map(HOTS_BYTES);

		if (words != NULL) {
			process.alive = (uint64_t *)(void *)words;
			process.hots = words + HOT_BYTES;
			process.hots_bytes = HOTS_BYTES - HOT_BYTES;
		}
		if (words != NULL && shape_start() == 0 && thread_prepare() == 0 && incarnate())
			state = STATE_RUNNING;
		else
			process_complain(
				"start", "no memory for tracing: this process is not traced");
	}
	if (process.alive != NULL)
		__atomic_store_n(process.alive, ALIVE_YES, __ATOMIC_RELEASE);
	__atomic_store_n(&process.state, state, __ATOMIC_RELEASE);
}

/* fork() has libc put its own locks right in the child, and then calls
 * process_fork_child; _Fork() and clone() do neither. Whether what libc locks, such as
 * malloc, may be held here by a thread that is none of the child's: then the sending thread
 * can't be made. The parent's other threads are told by the links of its task directory
 * (proc(5)); the sender alone takes none of libc's locks, but for TLS. */
static bool libc_may_be_locked(void)
{
	pid_t parent = getppid();
	struct stat task;
	char path[32];

	if (forked_by_libc == getpid())
		return false;
	/* Where the one that was traced has gone, or is further up, nobody can tell. */
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)parent);
	return process.config.endpoint == ENDPOINT_TLS || (uint64_t)parent != process.pid ||
	       stat(path, &task) != 0 ||
	       task.st_nlink > LINKS_OF_DIRECTORY + (sender_was_started() ? 2 : 1);
}

/* In a child: whoever wins the word starts anew, others (threads that the child
 * made before its first span) wait for it. A stopped or disabled tracer stays
 * what it is. */
static void start_in_child(void)
{
	uint64_t wiped = ALIVE_WIPED;
	uint32_t state = STATE_DISABLED;
	bool locked;

	if (!__atomic_compare_exchange_n(process.alive, &wiped, ALIVE_STARTING, false,
		    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		while (!alive())
			sched_yield();
		return;
	}
	locked = libc_may_be_locked();
	process.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	process.epoch++;
	process.threads = NULL;
	process.retired = NULL;
	memset(process.dropped, 0, sizeof(process.dropped));
	process.hots_bytes = 0; /* the old places stay zero: pre-fork threads point there */
	shape_fork_child();
	chunk_fork_child();
	sender_fork_child();
	region_forget(&process.region);
	if (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) != STATE_RUNNING)
		state = process.state == STATE_DISABLED ? STATE_DISABLED : STATE_STOPPED;
	else if (locked)
		process_complain("fork",
			"made by _Fork or clone beside threads: this process is not traced");
	else if (incarnate())
		state = STATE_RUNNING;
	__atomic_store_n(&process.state, state, __ATOMIC_RELEASE);
	__atomic_store_n(process.alive, ALIVE_YES, __ATOMIC_RELEASE);
}

/* Exactly one thread makes the first start; a fork in the middle of it leaves a
 * child that may take over. */
static bool start_once(const struct waft_options *options, int *ret)
{
	pid_t self = getpid();
	pid_t other = 0;

	while (!__atomic_compare_exchange_n(
		&starting, &other, self, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) != STATE_NONE)
			return false;
		if (other == self) {
			sched_yield();
			other = 0;
		} /* else: a parent's; take its place */
	}
	if (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) != STATE_NONE)
		return false;
	start(options, ret);
	return true;
}

int process_start(const struct waft_options *options)
{
	int saved = errno;
	int ret = 0;

	if (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) != STATE_NONE ||
		!start_once(options, &ret)) {
		(void)process_enter();
		ret = -EALREADY;
	}
	errno = saved;
	return ret;
}

bool process_enter(void)
{
	int saved;
	int ret = 0;

	if (__builtin_expect(process_is_running(), 1))
		return true;
	saved = errno;
	if (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) == STATE_NONE)
		(void)start_once(NULL, &ret);
	if (process.alive != NULL && !alive())
		start_in_child();
	errno = saved;
	return running();
}

/* Closes what the child inherited, so that a collector sees its client's end
 * when the parent ends. Only what is safe right after fork(). */
void process_fork_child(void)
{
	if (process.alive == NULL || alive())
		return;
	forked_by_libc = getpid();
	sender_fork_child();
	descriptor_close(&process.region.file);
}
