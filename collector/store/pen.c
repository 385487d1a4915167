/* Writing beside the store's thread. See pen.h. */
#include "pen.h"

static void *run(void *context)
{
	struct pen *pen = context;

	pthread_mutex_lock(&pen->mutex);
	for (;;) {
		struct pen_piece piece;
		int status;

		while (!pen->busy && !pen->ends)
			pthread_cond_wait(&pen->changed, &pen->mutex);
		if (!pen->busy)
			break;
		piece = pen->piece;
		pthread_mutex_unlock(&pen->mutex);
		status = disk_write_direct(
			pen->disk, piece.file, piece.data, piece.length, piece.offset);
		pthread_mutex_lock(&pen->mutex);
		pen->status = status;
		pen->busy = false;
		pthread_cond_signal(&pen->changed);
	}
	pthread_mutex_unlock(&pen->mutex);
	return NULL;
}

void pen_init(struct disk *disk, struct pen *ret)
{
	*ret = (struct pen){.disk = disk};
	pthread_mutex_init(&ret->mutex, NULL);
	pthread_cond_init(&ret->changed, NULL);
}

void pen_done(struct pen *pen)
{
	if (pen->began) {
		pthread_mutex_lock(&pen->mutex);
		pen->ends = true;
		pthread_cond_signal(&pen->changed);
		pthread_mutex_unlock(&pen->mutex);
		pthread_join(pen->thread, NULL);
	}
	pthread_cond_destroy(&pen->changed);
	pthread_mutex_destroy(&pen->mutex);
}

bool pen_ready(struct pen *pen)
{
	if (!pen->began && !pen->unusable) {
		pen->began = pthread_create(&pen->thread, NULL, run, pen) == 0;
		pen->unusable = !pen->began;
	}
	return pen->began;
}

void pen_write(struct pen *pen, const struct pen_piece *piece)
{
	pen->handed = true;
	pthread_mutex_lock(&pen->mutex);
	pen->piece = *piece;
	pen->busy = true;
	pthread_cond_signal(&pen->changed);
	pthread_mutex_unlock(&pen->mutex);
}

int pen_wait(struct pen *pen)
{
	int status;

	if (!pen->handed)
		return 0;
	pthread_mutex_lock(&pen->mutex);
	while (pen->busy)
		pthread_cond_wait(&pen->changed, &pen->mutex);
	status = pen->status;
	pthread_mutex_unlock(&pen->mutex);
	pen->handed = false;
	return status;
}
