/* Makes sealed files beside ingest. See sealer.h. */
#include "sealer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "clock.h"

enum {
	/* zstd's: see docs/STORE.md, "Sealing". */
	LEVEL = 9,
	LEVEL_PRESSED = 1,
	NICE = 19,
	IOPRIO_WHO_PROCESS = 1,
	IOPRIO_LAST = 2 << 13 | 7, /* of those that are not idle */
	IOPRIO_IDLE = 3 << 13,
	/* Lines shrink to less than that. */
	SHRINKS_TO = 8,
};

/* So long it may wait for a processor between two changes of the file system. */
#define STARVED_NS (2 * CLOCK_NS_PER_S)

struct sealer {
	struct sealer_config config;
	struct seal_job job;
	struct seal_result result;
	int status;
	uv_thread_t thread;
	bool busy;
	atomic_bool done;
	atomic_bool stop;
	atomic_ullong written;
	/* The thread while it may be behind all others, and can be taken from there; 0. */
	atomic_int behind;
	uint64_t waited_ns; /* the thread's: until it was behind */
};

static bool set_policy(pid_t thread, bool behind)
{
	const struct sched_param none = {0};

	return sched_setscheduler(thread, behind ? SCHED_IDLE : SCHED_OTHER, &none) == 0;
}

/* How long the calling thread has been ready to run and had no processor, by the kernel: the
 * second number of proc(5)'s schedstat. Not the time it read or wrote. */
static bool thread_waited_ns(uint64_t *ret)
{
	int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	char text[96];
	const char *space;
	ssize_t length;

	if (file < 0)
		return false;
	length = read(file, text, sizeof(text) - 1);
	close(file);
	text[length > 0 ? length : 0] = '\0';
	space = strchr(text, ' ');
	if (space == NULL)
		return false;
	*ret = strtoull(space, NULL, 10);
	return true;
}

/* Idle for reading alone: a sync of another file may wait for what this one writes. */
static void set_io(pid_t thread, bool behind)
{
	(void)syscall(
		SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, behind ? IOPRIO_IDLE : IOPRIO_LAST);
}

/*
 * Behind all others: what has work preempts it at once, where the lowest nice alone leaves it the
 * processor for some milliseconds, and takes its processor for an idle one. But who may not go
 * back to where it was stays there: what others wait for would wait, too, and so would a
 * stop. To lower one's nice wants the same right. Where something isn't allowed it goes on with the
 * lowest nice, or as it is. So it does for lack of room: what others need the processor for
 * is removed again by retention before long.
 */
static void be_modest(struct sealer *sealer)
{
	pid_t self = (pid_t)syscall(SYS_gettid);
	int before = getpriority(PRIO_PROCESS, (id_t)self);
	bool behind = setpriority(PRIO_PROCESS, (id_t)self, NICE) == 0 && before < NICE &&
		      sealer->config.waited_ns(&sealer->waited_ns) &&
		      setpriority(PRIO_PROCESS, (id_t)self, before) == 0;

	if (behind && !set_policy(self, true)) {
		(void)setpriority(PRIO_PROCESS, (id_t)self, NICE);
		behind = false;
	}
	atomic_store(&sealer->behind, behind ? self : 0);
}

/* Where others leave it nothing it goes on with what the lowest nice gets. */
static void leave_if_starved(struct sealer *sealer)
{
	uint64_t now_ns;

	if (!sealer->config.waited_ns(&now_ns) || now_ns - sealer->waited_ns <= STARVED_NS)
		return;
	atomic_store(&sealer->behind, 0);
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
}

/* Two may race here: the thread, and who stops it and takes it from behind. */
static void on_hurry(void *context, bool on)
{
	struct sealer *sealer = context;
	pid_t self = atomic_load(&sealer->behind);

	set_io(0, !on);
	if (self == 0)
		return;
	(void)set_policy(self, !on);
	if (on)
		leave_if_starved(sealer);
	else
		(void)sealer->config.waited_ns(&sealer->waited_ns);
	if (!on && atomic_load(&sealer->stop))
		(void)set_policy(self, false);
}

static void run(void *context)
{
	struct sealer *sealer = context;

	be_modest(sealer);
	on_hurry(sealer, false);
	sealer->status = seal_part(&sealer->job, &sealer->result);
	on_hurry(sealer, true);
	atomic_store(&sealer->behind, 0);
	atomic_store(&sealer->done, true);
	sealer->config.on_done(sealer->config.context);
}

int sealer_new(const struct sealer_config *config, struct sealer **ret)
{
	struct sealer *sealer = calloc(1, sizeof(*sealer));

	if (sealer == NULL)
		return -ENOMEM;
	sealer->config = *config;
	if (config->waited_ns == NULL)
		sealer->config.waited_ns = thread_waited_ns;
	atomic_init(&sealer->done, false);
	atomic_init(&sealer->stop, false);
	atomic_init(&sealer->written, 0);
	atomic_init(&sealer->behind, 0);
	*ret = sealer;
	return 0;
}

int sealer_begin(struct sealer *sealer, const struct manifest_part *part, bool pressed,
	uint64_t memory_bytes)
{
	int status;

	sealer->job = (struct seal_job){.disk = sealer->config.disk,
		.dirs = sealer->config.dirs,
		.index_dir = sealer->config.index_dir,
		.part = *part,
		.level = pressed ? LEVEL_PRESSED : LEVEL,
		.memory_bytes = memory_bytes,
		.stop = &sealer->stop,
		.written = &sealer->written,
		.hurry = on_hurry,
		.context = sealer};
	memcpy(sealer->job.store_id, sealer->config.store_id, sizeof(sealer->job.store_id));
	sealer->result = (struct seal_result){.part = part->id};
	atomic_store(&sealer->done, false);
	atomic_store(&sealer->stop, false);
	atomic_store(&sealer->written, 0);
	status = uv_thread_create(&sealer->thread, run, sealer);
	sealer->busy = status == 0;
	return status;
}

bool sealer_is_busy(const struct sealer *sealer)
{
	return sealer->busy;
}

bool sealer_result(struct sealer *sealer, int *ret_status, struct seal_result *ret_result)
{
	if (!sealer->busy || !atomic_load(&sealer->done))
		return false;
	uv_thread_join(&sealer->thread);
	sealer->busy = false;
	*ret_status = sealer->status;
	*ret_result = sealer->result;
	return true;
}

uint32_t sealer_part(const struct sealer *sealer)
{
	return sealer->busy ? sealer->job.part.id : 0;
}

uint64_t sealer_bytes(const struct sealer *sealer)
{
	uint64_t written = atomic_load(&sealer->written);
	uint64_t expected = sealer->job.part.length_bytes / SHRINKS_TO;

	if (!sealer->busy)
		return 0;
	return written > expected ? written : expected;
}

void sealer_stop(struct sealer *sealer)
{
	pid_t behind;

	atomic_store(&sealer->stop, true);
	/* Behind all others it would not get to where it looks, on a busy machine. */
	behind = atomic_load(&sealer->behind);
	if (behind != 0)
		(void)set_policy(behind, false);
}

void sealer_free(struct sealer *sealer)
{
	if (sealer == NULL)
		return;
	sealer_stop(sealer);
	if (sealer->busy)
		uv_thread_join(&sealer->thread);
	free(sealer);
}
