/*
 * frame.h: messages between the service and its workers, over a stream socket:
 * two little-endian lengths of 4 bytes, a JSON header, a body. Both sides are
 * this program. Each call blocks up to its deadline; one thread a socket.
 */
#ifndef ENGINE_FRAME_H
#define ENGINE_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum { FRAME_LIMIT_BYTES = 256 * 1024 * 1024 };

/* Owned; header is NUL-terminated. */
struct frame {
	char *header;
	size_t header_bytes;
	char *body;
	size_t body_bytes;
};

void frame_done(struct frame *frame);

#define DEADLINE_NONE INT64_MAX

/* Milliseconds of CLOCK_MONOTONIC, in which deadlines are given. */
int64_t monotonic_ms(void);

/* 0, -ETIMEDOUT, -EPIPE or -ECONNRESET when the other side is gone, -EMSGSIZE. */
int frame_send(int fd, const struct frame *frame, int64_t deadline_ms)
	__attribute__((warn_unused_result));

/* Fills the zeroed *ret_frame. 0, -ENODATA when the other side closed between
 * two frames, -ECONNRESET inside one, -ETIMEDOUT, -EMSGSIZE for lengths over the
 * limit, -ENOMEM. */
int frame_receive(int fd, struct frame *ret_frame, int64_t deadline_ms)
	__attribute__((warn_unused_result));

#endif
