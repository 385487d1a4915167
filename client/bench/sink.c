/* See sink.h. */
#include "sink.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "export.h"
#include "frame.h"

static uint64_t *counted; /* shared with the child */
static pid_t child;

static void answer(int fd, uint64_t sequence, bool welcome, bool goodbye)
{
	uint8_t bytes[256];
	struct writer writer =
		writer_of(bytes + WIRE_FRAME_HEADER_BYTES, sizeof(bytes) - WIRE_FRAME_HEADER_BYTES);
	struct export_response response = {.durable_sequence = sequence,
		.credit_bytes = UINT64_C(1) << 60,
		.has_welcome = welcome,
		.goodbye = goodbye};

	export_response_encode(&writer, &response);
	frame_header_write(bytes, FRAME_MESSAGE, 1, writer.start, writer_length(&writer));
	(void)!write(fd, bytes, WIRE_FRAME_HEADER_BYTES + writer_length(&writer));
}

static void request_take(int fd, const struct frame *frame, uint64_t *sequence)
{
	struct export_request request;

	if (frame->type != FRAME_MESSAGE ||
		export_request_decode(slice_of(frame->payload, frame->length), &request) < 0)
		return;
	if (request.sequence > *sequence)
		*sequence = request.sequence;
	if (request.body == EXPORT_BATCH)
		__atomic_fetch_add(counted, request.batch.length, __ATOMIC_RELAXED);
	answer(fd, *sequence, request.body == EXPORT_HELLO, request.body == EXPORT_GOODBYE);
}

static void serve(int listener)
{
	static uint8_t bytes[1 << 20];

	for (;;) {
		struct frame_reader reader = {0};
		uint64_t sequence = 0;
		int fd = accept(listener, NULL, NULL);
		ssize_t got;

		while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
			const uint8_t *at = bytes;
			size_t left = (size_t)got;
			struct frame frame;

			while (frame_reader_next(&reader, &at, &left, &frame) > 0)
				request_take(fd, &frame, &sequence);
		}
		frame_reader_done(&reader);
		close(fd);
	}
}

void sink_start(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	counted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counted == MAP_FAILED || listener < 0 ||
		bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(listener, 4) != 0) {
		perror("sink");
		exit(3);
	}
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listener);
	}
	close(listener);
}

uint64_t sink_bytes(void)
{
	return __atomic_load_n(counted, __ATOMIC_RELAXED);
}

void sink_stop(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
