/*
 * frame.c: see frame.h.
 */
#include "frame.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { LENGTHS_BYTES = 8 };

void frame_done(struct frame *frame)
{
	free(frame->header);
	free(frame->body);
	*frame = (struct frame){0};
}

int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline_ms)
{
	for (;;) {
		int timeout = -1;
		if (deadline_ms != DEADLINE_NONE) {
			int64_t left = deadline_ms - monotonic_ms();
			timeout = left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
		}
		struct pollfd polled = {.fd = fd, .events = events};
		int ready = poll(&polled, 1, timeout);
		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int send_all(int fd, const void *bytes, size_t count, int64_t deadline_ms)
{
	const char *at = bytes;
	while (count > 0) {
		ssize_t sent = send(fd, at, count, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent >= 0) {
			at += sent;
			count -= (size_t)sent;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		int r = wait_for(fd, POLLOUT, deadline_ms);
		if (r < 0)
			return r;
	}
	return 0;
}

/* -ENODATA when the stream ends before the first byte. */
static int receive_all(int fd, void *bytes, size_t count, int64_t deadline_ms)
{
	char *at = bytes;
	size_t left = count;
	while (left > 0) {
		ssize_t received = recv(fd, at, left, MSG_DONTWAIT);
		if (received > 0) {
			at += received;
			left -= (size_t)received;
			continue;
		}
		if (received == 0)
			return left == count ? -ENODATA : -ECONNRESET;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		int r = wait_for(fd, POLLIN, deadline_ms);
		if (r < 0)
			return r;
	}
	return 0;
}

static void put_length(unsigned char *to, size_t length)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(length >> (8 * i));
}

static size_t get_length(const unsigned char *from)
{
	size_t length = 0;
	for (int i = 0; i < 4; i++)
		length |= (size_t)from[i] << (8 * i);
	return length;
}

int frame_send(int fd, const struct frame *frame, int64_t deadline_ms)
{
	unsigned char lengths[LENGTHS_BYTES];
	if (frame->header_bytes > FRAME_LIMIT_BYTES || frame->body_bytes > FRAME_LIMIT_BYTES)
		return -EMSGSIZE;
	put_length(lengths, frame->header_bytes);
	put_length(lengths + 4, frame->body_bytes);
	int r = send_all(fd, lengths, sizeof(lengths), deadline_ms);
	if (r == 0)
		r = send_all(fd, frame->header, frame->header_bytes, deadline_ms);
	if (r == 0)
		r = send_all(fd, frame->body, frame->body_bytes, deadline_ms);
	return r;
}

/* A stream that ends inside a frame is broken, wherever it ends. */
static int receive_part(int fd, char **ret_part, size_t length, int64_t deadline_ms)
{
	char *part = malloc(length + 1);
	if (part == NULL)
		return -ENOMEM;
	int r = receive_all(fd, part, length, deadline_ms);
	if (r < 0) {
		free(part);
		return r == -ENODATA ? -ECONNRESET : r;
	}
	part[length] = '\0';
	*ret_part = part;
	return 0;
}

int frame_receive(int fd, struct frame *ret_frame, int64_t deadline_ms)
{
	unsigned char lengths[LENGTHS_BYTES];
	int r = receive_all(fd, lengths, sizeof(lengths), deadline_ms);
	if (r < 0)
		return r;
	struct frame frame = {
		.header_bytes = get_length(lengths),
		.body_bytes = get_length(lengths + 4),
	};
	if (frame.header_bytes > FRAME_LIMIT_BYTES || frame.body_bytes > FRAME_LIMIT_BYTES)
		return -EMSGSIZE;
	r = receive_part(fd, &frame.header, frame.header_bytes, deadline_ms);
	if (r == 0)
		r = receive_part(fd, &frame.body, frame.body_bytes, deadline_ms);
	if (r < 0)
		frame_done(&frame);
	else
		*ret_frame = frame;
	return r;
}
