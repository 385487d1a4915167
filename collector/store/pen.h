/*
 * A thread that writes for the store's, which makes the next lines meanwhile. One piece at a
 * time: what is handed over, memory and file, is the pen's until pen_wait has returned, and
 * nobody else does anything to either. Of one thread, or of several of which one calls after
 * the other.
 */
#ifndef WAFT_STORE_PEN_H
#define WAFT_STORE_PEN_H

#include <pthread.h>

#include "disk.h"

struct pen_piece {
	const void *data;
	size_t length;
	uint64_t offset;
	int file;
};

struct pen {
	struct disk *disk;
	pthread_t thread;
	bool began;    /* the thread */
	bool handed;   /* a piece, that pen_wait was not called for */
	bool unusable; /* no thread can be begun */
	/* Of both threads. */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct pen_piece piece;
	bool busy; /* with the piece */
	bool ends;
	int status; /* of the last piece */
};

void pen_init(struct disk *disk, struct pen *ret);
/* Waits for the piece. */
void pen_done(struct pen *pen);

/* Whether it can write: begins the thread. If that fails once, be it only for a moment
 * (EAGAIN), it is not tried again: whoever asks writes by itself from then on. */
MUST_CHECK bool pen_ready(struct pen *pen);

/* Begins to write a piece as disk_write_direct does; pen_ready, and none is handed over. */
void pen_write(struct pen *pen, const struct pen_piece *piece);

/* Waits for the piece: what writing it came to; 0 where there is none. */
MUST_CHECK int pen_wait(struct pen *pen);

#endif
