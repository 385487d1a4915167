/* Makes sealed files beside ingest. See sealer.h. */
#include "sealer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

enum {
	/* zstd's: see docs/STORE.md, "Sealing". */
	LEVEL = 9,
	LEVEL_PRESSED = 1,
	NICE = 19,
	IOPRIO_WHO_PROCESS = 1,
	IOPRIO_CLASS_IDLE = 3 << 13,
};

struct sealer {
	struct sealer_config config;
	struct seal_job job;
	struct seal_result result;
	int status;
	uv_thread_t thread;
	bool busy;
	atomic_bool done;
	atomic_bool stop;
};

/* Where that isn't allowed it goes on as it is. */
static void be_modest(void)
{
	id_t self = (id_t)syscall(SYS_gettid);

	(void)setpriority(PRIO_PROCESS, self, NICE);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE);
}

static void run(void *context)
{
	struct sealer *sealer = context;

	be_modest();
	sealer->status = seal_part(&sealer->job, &sealer->result);
	atomic_store(&sealer->done, true);
	sealer->config.on_done(sealer->config.context);
}

int sealer_new(const struct sealer_config *config, struct sealer **ret)
{
	struct sealer *sealer = calloc(1, sizeof(*sealer));

	if (sealer == NULL)
		return -ENOMEM;
	sealer->config = *config;
	atomic_init(&sealer->done, false);
	atomic_init(&sealer->stop, false);
	*ret = sealer;
	return 0;
}

int sealer_begin(struct sealer *sealer, const struct manifest_part *part, bool pressed)
{
	int status;

	sealer->job = (struct seal_job){.disk = sealer->config.disk,
		.dirs = sealer->config.dirs,
		.index_dir = sealer->config.index_dir,
		.part = *part,
		.level = pressed ? LEVEL_PRESSED : LEVEL,
		.stop = &sealer->stop};
	memcpy(sealer->job.store_id, sealer->config.store_id, sizeof(sealer->job.store_id));
	sealer->result = (struct seal_result){.part = part->id};
	atomic_store(&sealer->done, false);
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

void sealer_free(struct sealer *sealer)
{
	if (sealer == NULL)
		return;
	atomic_store(&sealer->stop, true);
	if (sealer->busy)
		uv_thread_join(&sealer->thread);
	free(sealer);
}
