/* Deletion of large files. See remover.h. */
#include "remover.h"

static void *run(void *context)
{
	const struct remover *remover = context;

	disk_close(remover->disk, remover->file);
	return NULL;
}

void remover_done(struct remover *remover)
{
	if (remover->busy)
		pthread_join(remover->thread, NULL);
	remover->busy = false;
}

int remover_unlink(struct remover *remover, int dir, const char *name)
{
	int file;
	int ret;

	/* One descriptor at a time. */
	remover_done(remover);
	/* What can't be opened is freed as its name goes. */
	file = disk_open(remover->disk, dir, name, DISK_READ);
	ret = disk_unlink(remover->disk, dir, name);
	if (ret != 0 || file < 0) {
		disk_close(remover->disk, file);
		return ret;
	}
	remover->file = file;
	remover->busy = pthread_create(&remover->thread, NULL, run, remover) == 0;
	if (!remover->busy)
		disk_close(remover->disk, file);
	return 0;
}
