/*
 * screen.c: see screen.h.
 *
 * A set is a list of tasks: a frame, and the runs that are to be looked for in it. Threads take
 * one after the other; the one that asks takes them too, and waits for the last ones.
 */
#include "screen.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <errno.h>

#include "sealed.h"
#include "text_search.h"

enum {
	HELPERS_MAX = 7,
	HELPER_NICE = 10,
	/* It is judged by so many runs whether screening helps. */
	JUDGED_RUNS = 2048,
	PASSING_SHARE = 4,
};

/* Runs [first, first + count) lie in one frame. */
struct task {
	const struct sealed_reader *sealed;
	size_t frame;
	const struct index_run *runs;
	bool *flags;
	size_t count;
};

struct screen {
	const struct filter *filter;
	struct task *tasks; /* owned */
	size_t task_count, task_capacity;
	uint64_t seen, passed; /* runs */
	struct sealed_unpacker unpacker;
	/* The helpers. */
	pthread_t helpers[HELPERS_MAX];
	unsigned int helper_count;
	bool began;
	pthread_mutex_t mutex; /* of what follows */
	pthread_cond_t wake;   /* there are tasks, or it is over */
	pthread_cond_t done;   /* the last task was */
	size_t ready;	       /* tasks that may be taken; 0: the list is being changed */
	size_t next;	       /* of these, the one to be taken */
	size_t left;	       /* that are not done */
	bool over;
};

/* ---- One run ---------------------------------------------------------------------- */

bool screen_rules_out(const struct filter *filter, struct slice lines)
{
	bool all = text_stands_in(lines, filter->grep) && text_stands_in(lines, filter->service) &&
		   text_stands_in(lines, filter->operation) && text_stands_in(lines, filter->layer);

	for (size_t i = 0; all && i < filter->attribute_count; i++)
		all = text_stands_in(lines, filter->attributes[i].value);
	/* Behind a backslash anything may be meant. */
	return !all && memchr(lines.data, '\\', lines.length) == NULL;
}

static bool lies_in(const struct index_run *run, uint64_t offset, uint64_t end)
{
	return run->offset >= offset && run->offset <= end &&
	       run->length_bytes <= end - run->offset;
}

/* ---- One frame -------------------------------------------------------------------- */

static void look_at_frame(
	const struct screen *screen, const struct task *task, struct sealed_unpacker *unpacker)
{
	uint64_t offset = sealed_reader_frame_offset(task->sealed, task->frame);
	uint64_t end = sealed_reader_frame_offset(task->sealed, task->frame + 1);
	const uint8_t *text;
	bool none;

	if (sealed_reader_unpack(task->sealed, task->frame, unpacker, &text) != 0)
		return;
	none = screen_rules_out(screen->filter, slice_of(text, (size_t)(end - offset)));
	for (size_t i = 0; i < task->count; i++) {
		const struct index_run *run = &task->runs[i];

		if (task->flags[i] && lies_in(run, offset, end))
			task->flags[i] = !none && !screen_rules_out(screen->filter,
							  slice_of(text + (run->offset - offset),
								  run->length_bytes));
	}
}

/* Takes tasks as long as there are any. Under the mutex, which is not held meanwhile. */
static void work(struct screen *screen, struct sealed_unpacker *unpacker)
{
	while (screen->next < screen->ready) {
		const struct task *task = &screen->tasks[screen->next++];

		pthread_mutex_unlock(&screen->mutex);
		look_at_frame(screen, task, unpacker);
		pthread_mutex_lock(&screen->mutex);
		if (--screen->left == 0)
			pthread_cond_signal(&screen->done);
	}
}

/* ---- The helpers ------------------------------------------------------------------- */

static void *help(void *ctx)
{
	struct screen *screen = ctx;
	struct sealed_unpacker unpacker = {0};

	/* Of this thread alone, in Linux. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), HELPER_NICE);
	pthread_mutex_lock(&screen->mutex);
	while (!screen->over) {
		work(screen, &unpacker);
		if (!screen->over)
			pthread_cond_wait(&screen->wake, &screen->mutex);
	}
	pthread_mutex_unlock(&screen->mutex);
	sealed_unpacker_done(&unpacker);
	return NULL;
}

/* Those that can't be begun are done without. */
static void begin_helpers(struct screen *screen)
{
	cpu_set_t processors;
	int count = 1;

	screen->began = true;
	if (sched_getaffinity(0, sizeof(processors), &processors) == 0)
		count = CPU_COUNT(&processors);
	while (screen->helper_count < HELPERS_MAX && (int)screen->helper_count + 1 < count &&
		pthread_create(&screen->helpers[screen->helper_count], NULL, help, screen) == 0)
		screen->helper_count++;
}

/* ---- Sets --------------------------------------------------------------------------- */

struct screen *screen_new(const struct filter *filter)
{
	struct screen *screen;

	if (filter->grep.length == 0 && filter->attribute_count == 0 &&
		filter->operation.length == 0 && filter->layer.length == 0)
		return NULL;
	screen = calloc(1, sizeof(*screen));
	if (screen == NULL)
		return NULL;
	screen->filter = filter;
	pthread_mutex_init(&screen->mutex, NULL);
	pthread_cond_init(&screen->wake, NULL);
	pthread_cond_init(&screen->done, NULL);
	return screen;
}

void screen_free(struct screen *screen)
{
	if (screen == NULL)
		return;
	pthread_mutex_lock(&screen->mutex);
	screen->over = true;
	pthread_cond_broadcast(&screen->wake);
	pthread_mutex_unlock(&screen->mutex);
	for (unsigned int i = 0; i < screen->helper_count; i++)
		pthread_join(screen->helpers[i], NULL);
	pthread_cond_destroy(&screen->wake);
	pthread_cond_destroy(&screen->done);
	pthread_mutex_destroy(&screen->mutex);
	sealed_unpacker_done(&screen->unpacker);
	free(screen->tasks);
	free(screen);
}

bool screen_helps(const struct screen *screen)
{
	return screen != NULL &&
	       (screen->seen < JUDGED_RUNS || screen->passed * PASSING_SHARE < screen->seen);
}

void screen_reset(struct screen *screen)
{
	screen->task_count = 0;
}

static int add_task(struct screen *screen, const struct task *task)
{
	if (screen->task_count == screen->task_capacity) {
		size_t capacity = screen->task_capacity > 0 ? screen->task_capacity * 2 : 64;
		struct task *tasks = reallocarray(screen->tasks, capacity, sizeof(*tasks));

		if (tasks == NULL)
			return -ENOMEM;
		screen->tasks = tasks;
		screen->task_capacity = capacity;
	}
	screen->tasks[screen->task_count++] = *task;
	return 0;
}

/* The frame that holds all of a run. False: there is none. */
static bool frame_of(
	const struct sealed_reader *sealed, const struct index_run *run, size_t *ret_frame)
{
	size_t frame;

	if (run->offset >= sealed_reader_size(sealed))
		return false;
	*ret_frame = frame = sealed_reader_frame(sealed, run->offset);
	return lies_in(run, sealed_reader_frame_offset(sealed, frame),
		sealed_reader_frame_offset(sealed, frame + 1));
}

int screen_add(struct screen *screen, struct source *source, const struct index_run *runs,
	size_t count, bool *flags)
{
	struct task task = {.sealed = source_sealed(source)};
	int ret = 0;

	for (size_t i = 0; ret == 0 && task.sealed != NULL && i < count; i++) {
		size_t frame;

		if (!flags[i] || !frame_of(task.sealed, &runs[i], &frame))
			continue;
		if (task.count > 0 && task.frame != frame) {
			ret = add_task(screen, &task);
			task.count = 0;
		}
		if (task.count == 0) {
			task.frame = frame;
			task.runs = &runs[i];
			task.flags = &flags[i];
		}
		task.count = (size_t)(&runs[i] - task.runs) + 1;
	}
	if (ret == 0 && task.count > 0)
		ret = add_task(screen, &task);
	return ret;
}

/* Runs of the tasks that are flagged. */
static uint64_t count_flagged(const struct screen *screen)
{
	uint64_t count = 0;

	for (size_t i = 0; i < screen->task_count; i++)
		for (size_t k = 0; k < screen->tasks[i].count; k++)
			count += screen->tasks[i].flags[k];
	return count;
}

void screen_run(struct screen *screen)
{
	screen->seen += count_flagged(screen);
	if (screen->task_count > 1 && !screen->began)
		begin_helpers(screen);
	pthread_mutex_lock(&screen->mutex);
	screen->next = 0;
	screen->ready = screen->left = screen->task_count;
	if (screen->task_count > 1)
		pthread_cond_broadcast(&screen->wake);
	work(screen, &screen->unpacker);
	while (screen->left > 0)
		pthread_cond_wait(&screen->done, &screen->mutex);
	screen->ready = 0;
	pthread_mutex_unlock(&screen->mutex);
	screen->passed += count_flagged(screen);
}
