/* See sink.h. */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"
#include "proto/export.h"
#include "proto/frame.h"

enum { CONNECTIONS = 8, READ_BYTES = 256 * 1024, FLOOR_READ_BYTES = 256 * 1024 };

static int socket_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
		listen(fd, CONNECTIONS) != 0)
		bench_check(-errno, path);
	return fd;
}

static pid_t fork_child(void)
{
	pid_t parent = getpid(), child;

	fflush(NULL);
	child = fork();
	if (child < 0)
		bench_check(-errno, "starting a process");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
	}
	return child;
}

/* ---- The bare reader --------------------------------------------------------- */

struct peer {
	struct frame_reader reader;
	uint64_t sequence;
	uint64_t received_bytes;
	uint32_t stream;
	bool answer;
	bool welcome;
	bool goodbye;
};

static void take_frame(struct peer *peer, const struct frame *frame, struct sink_counts *counts)
{
	struct export_request request;

	peer->received_bytes += frame->length;
	if (frame->type != FRAME_MESSAGE ||
		export_request_decode(slice_of(frame->payload, frame->length), &request) != 0)
		return;
	peer->stream = frame->stream;
	peer->answer = true;
	peer->welcome |= request.body == EXPORT_HELLO;
	peer->goodbye |= request.body == EXPORT_GOODBYE;
	if (request.sequence > peer->sequence)
		peer->sequence = request.sequence;
	if (request.body == EXPORT_BATCH) {
		counts->batches++;
		counts->batch_bytes += request.batch.length;
	}
}

static void answer(struct peer *peer, int fd)
{
	uint8_t bytes[256];
	struct writer writer =
		writer_of(bytes + WIRE_FRAME_HEADER_BYTES, sizeof(bytes) - WIRE_FRAME_HEADER_BYTES);
	struct export_response response = {.durable_sequence = peer->sequence,
		.credit_bytes = peer->received_bytes + (UINT64_C(1) << 30),
		.goodbye = peer->goodbye,
		.has_welcome = peer->welcome,
		.welcome = {.batch_limit_bytes = WIRE_BATCH_LIMIT,
			.span_limit_bytes = WIRE_SPAN_LIMIT,
			.collector = slice_of_text("sink"),
			.collector_id = slice_of("0123456789abcdef", 16)}};

	export_response_encode(&writer, &response);
	frame_header_write(bytes, FRAME_MESSAGE, peer->stream, bytes + WIRE_FRAME_HEADER_BYTES,
		writer_length(&writer));
	if (send(fd, bytes, WIRE_FRAME_HEADER_BYTES + writer_length(&writer), MSG_NOSIGNAL) < 0)
		return;
	peer->answer = false;
	peer->welcome = false;
}

/* False: the peer is gone. */
static bool read_peer(struct peer *peer, int fd, uint8_t *buffer, struct sink_counts *counts)
{
	ssize_t n = recv(fd, buffer, READ_BYTES, 0);
	const uint8_t *data = buffer;
	size_t length = n > 0 ? (size_t)n : 0;
	struct frame frame;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	counts->wire_bytes += length;
	while (frame_reader_next(&peer->reader, &data, &length, &frame) == 1)
		take_frame(peer, &frame, counts);
	if (peer->answer)
		answer(peer, fd);
	return true;
}

static void run_reader(int listener, struct sink_counts *counts)
{
	struct pollfd fds[1 + CONNECTIONS] = {{.fd = listener, .events = POLLIN}};
	struct peer peers[1 + CONNECTIONS] = {0};
	uint8_t *buffer = malloc(READ_BYTES);

	for (int i = 1; i <= CONNECTIONS; i++)
		fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	while (buffer != NULL && poll(fds, 1 + CONNECTIONS, -1) >= 0) {
		for (int i = 1; i <= CONNECTIONS; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0 ||
				read_peer(&peers[i], fds[i].fd, buffer, counts))
				continue;
			close(fds[i].fd);
			frame_reader_done(&peers[i].reader);
			fds[i].fd = -1;
		}
		for (int i = 1; fds[0].revents != 0 && i <= CONNECTIONS; i++) {
			if (fds[i].fd >= 0)
				continue;
			fds[i].fd = accept(listener, NULL, NULL);
			memset(&peers[i], 0, sizeof(peers[i]));
			break;
		}
	}
	free(buffer);
}

void sink_start(const char *path, struct sink *ret)
{
	int listener = socket_listen(path);

	snprintf(ret->path, sizeof(ret->path), "%s", path);
	ret->counts = mmap(NULL, sizeof(*ret->counts), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ret->counts == MAP_FAILED)
		bench_check(-errno, "mapping a page");
	ret->pid = fork_child();
	if (ret->pid == 0) {
		run_reader(listener, ret->counts);
		_exit(EXIT_SUCCESS);
	}
	close(listener);
}

void sink_stop(struct sink *sink)
{
	kill(sink->pid, SIGKILL);
	waitpid(sink->pid, NULL, 0);
	munmap(sink->counts, sizeof(*sink->counts));
	unlink(sink->path);
}

/* ---- The floor ------------------------------------------------------------- */

static void write_all(int fd, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			bench_check(-errno, "writing");
		bytes += n;
		length -= (size_t)n;
	}
}

static double sync_ms(int fd)
{
	double begin = clock_now_ns(CLOCK_MONOTONIC);

	if (fdatasync(fd) != 0)
		bench_check(-errno, "fdatasync");
	return (clock_now_ns(CLOCK_MONOTONIC) - begin) / 1e6;
}

/* The files that the floor writes. */
struct floor_files {
	const struct floor_plan *plan;
	int fd; /* of the newest */
	uint64_t length;
	unsigned int first; /* numbers of those that are there */
	unsigned int last;
	pthread_t remover;
	bool removing;
};

/* What a sealer does of a file, of lines of P. */
enum { SEAL_PIECE_BYTES = 256 * 1024, SEAL_SHRINKS_TO = 11, SEAL_NS_A_BYTE = 35 };

static void file_name(const struct floor_plan *plan, unsigned int number, char ret[512])
{
	snprintf(ret, 512, "%s/floor.%u", plan->directory, number);
}

static void next_file(struct floor_files *files)
{
	char path[512];

	file_name(files->plan, ++files->last, path);
	if (files->last > 1)
		close(files->fd);
	files->fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (files->fd < 0)
		bench_check(-errno, path);
	files->length = 0;
}

static void *remove_file(void *context)
{
	char *path = context;

	if (unlink(path) != 0)
		bench_check(-errno, path);
	free(path);
	return NULL;
}

/* One at a time: where removal is slower than writing, writing waits for it. */
static void remove_first(struct floor_files *files)
{
	char *path = malloc(512);

	if (path == NULL)
		abort();
	file_name(files->plan, files->first++, path);
	if (files->removing)
		pthread_join(files->remover, NULL);
	if (pthread_create(&files->remover, NULL, remove_file, path) != 0)
		abort();
	files->removing = true;
}

static void keep_to_cap(struct floor_files *files)
{
	const struct floor_plan *plan = files->plan;

	if (plan->file_bytes == 0)
		return;
	if (plan->cap_bytes > 0 &&
		(files->last - files->first) * plan->file_bytes + files->length > plan->cap_bytes)
		remove_first(files);
	if (files->length >= plan->file_bytes)
		next_file(files);
}

static void remove_files(struct floor_files *files)
{
	char path[512];

	if (files->removing)
		pthread_join(files->remover, NULL);
	close(files->fd);
	for (; files->first <= files->last; files->first++) {
		file_name(files->plan, files->first, path);
		unlink(path);
	}
}

/* Reads until the end; each piece goes to a file, as many times over as the
 * collector writes, and is synced before the next is read. */
static void run_floor(const struct floor_plan *plan, int from, int results)
{
	struct floor_files files = {.plan = plan, .first = 1};
	uint8_t *buffer = malloc(FLOOR_READ_BYTES);
	double times = plan->write_bytes / plan->wire_bytes, owed = 0;
	struct samples syncs = {0};
	double figures[3];
	struct rusage usage;

	if (buffer == NULL)
		abort();
	next_file(&files);
	for (;;) {
		ssize_t n = recv(from, buffer, FLOOR_READ_BYTES, 0);

		if (n <= 0)
			break;
		for (owed += (double)n * times; owed >= 1;) {
			size_t piece = owed < (double)n ? (size_t)owed : (size_t)n;

			write_all(files.fd, buffer, piece);
			files.length += piece;
			owed -= (double)piece;
		}
		samples_add(&syncs, sync_ms(files.fd));
		keep_to_cap(&files);
	}
	getrusage(RUSAGE_SELF, &usage);
	figures[0] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	figures[1] = samples_rank(&syncs, 0.5);
	figures[2] = samples_rank(&syncs, 0.99);
	write_all(results, (const uint8_t *)figures, sizeof(figures));
	remove_files(&files);
}

/* What was sent. */
static uint64_t send_spans(const struct floor_plan *plan, int to)
{
	enum { GROUP_SPANS = 800 };
	size_t length = (size_t)(GROUP_SPANS * plan->wire_bytes);
	uint8_t *bytes = calloc(1, length);
	double begin = clock_now_ns(CLOCK_MONOTONIC), end = begin + plan->seconds * 1e9;
	uint64_t sent;

	for (sent = 0; bytes != NULL &&
		       (plan->spans > 0 ? sent < plan->spans : clock_now_ns(CLOCK_MONOTONIC) < end);
		sent += GROUP_SPANS) {
		if (plan->rate > 0)
			clock_sleep_until_ns(begin + (double)sent / plan->rate * 1e9);
		for (size_t i = 0; i < length; i += 64)
			bytes[i] = (uint8_t)(sent + i);
		write_all(to, bytes, length);
	}
	free(bytes);
	return sent;
}

/* ---- Beside the floor ------------------------------------------------------- */

static void compute(double for_ns)
{
	double end = clock_now_ns(CLOCK_THREAD_CPUTIME_ID) + for_ns;
	volatile uint64_t value = 1;

	do {
		for (unsigned int i = 0; i < 10000; i++)
			value = value * 6364136223846793005u + 1;
	} while (clock_now_ns(CLOCK_THREAD_CPUTIME_ID) < end);
}

/* Where that isn't allowed it stays where it is. */
static void step_back(bool back)
{
	const struct sched_param none = {0};

	(void)sched_setscheduler(0, back ? SCHED_IDLE : SCHED_OTHER, &none);
}

/* Changes of the file system are made with the floor's own priority, as by the sealer. */
static void write_sealed(int to, const uint8_t *piece, size_t length, uint64_t *bytes)
{
	uint64_t before = *bytes / SEAL_PIECE_BYTES;

	step_back(false);
	write_all(to, piece, length);
	*bytes += length;
	if (*bytes / SEAL_PIECE_BYTES > before)
		(void)sync_file_range(to, (off_t)(before * SEAL_PIECE_BYTES), SEAL_PIECE_BYTES,
			SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				SYNC_FILE_RANGE_WAIT_AFTER);
	step_back(true);
}

static void seal_file(const struct floor_plan *plan, const char *path, uint8_t *piece)
{
	char sealed[520], new[512];
	int from = open(path, O_RDONLY | O_CLOEXEC), to;
	uint64_t bytes = 0;
	ssize_t n;

	snprintf(new, sizeof(new), "%s/floor.new", plan->directory);
	snprintf(sealed, sizeof(sealed), "%s.sealed", path);
	to = open(new, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (from < 0 || to < 0)
		bench_check(-errno, path);
	while ((n = read(from, piece, SEAL_PIECE_BYTES)) > 0) {
		compute((double)n * SEAL_NS_A_BYTE);
		write_sealed(to, piece, (size_t)n / SEAL_SHRINKS_TO, &bytes);
	}
	step_back(false);
	(void)sync_ms(to);
	close(to);
	close(from);
	if (rename(new, sealed) != 0 || unlink(path) != 0)
		bench_check(-errno, path);
	step_back(true);
}

static void run_sealing(const struct floor_plan *plan, atomic_uint *sealed)
{
	uint8_t *piece = malloc(SEAL_PIECE_BYTES);
	char path[512];

	if (piece == NULL)
		abort();
	step_back(true);
	for (unsigned int number = 1;; number++) {
		/* It is whole when there is a next one. */
		file_name(plan, number + 1, path);
		while (access(path, F_OK) != 0)
			clock_sleep_until_ns(clock_now_ns(CLOCK_MONOTONIC) + 1e6);
		file_name(plan, number, path);
		seal_file(plan, path, piece);
		atomic_fetch_add(sealed, 1);
	}
}

static pid_t start_sealing(const struct floor_plan *plan, atomic_uint *sealed)
{
	pid_t child;

	if (!plan->sealing)
		return 0;
	child = fork_child();
	if (child == 0) {
		run_sealing(plan, sealed);
		_exit(EXIT_FAILURE);
	}
	return child;
}

void floor_run(const struct floor_plan *plan, struct floor_result *ret)
{
	int stream[2], results[2];
	double figures[3] = {0}, begin;
	atomic_uint *sealed = mmap(
		NULL, sizeof(*sealed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child, sealing;
	uint64_t spans;

	if (sealed == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM, 0, stream) != 0 ||
		pipe(results) != 0)
		bench_check(-errno, "making a socket");
	child = fork_child();
	if (child == 0) {
		close(stream[1]);
		run_floor(plan, stream[0], results[1]);
		_exit(EXIT_SUCCESS);
	}
	close(stream[0]);
	close(results[1]);
	sealing = start_sealing(plan, sealed);
	begin = clock_now_ns(CLOCK_MONOTONIC);
	spans = send_spans(plan, stream[1]);
	close(stream[1]);
	if (sealing > 0) {
		kill(sealing, SIGKILL);
		waitpid(sealing, NULL, 0);
	}
	if (read(results[0], figures, sizeof(figures)) != sizeof(figures))
		bench_check(-EIO, "the floor's figures");
	ret->seconds = (clock_now_ns(CLOCK_MONOTONIC) - begin) / 1e9;
	ret->spans_per_s = (double)spans / ret->seconds;
	ret->cpu_s = figures[0];
	ret->sync_p50_ms = figures[1];
	ret->sync_p99_ms = figures[2];
	ret->sealed = atomic_load(sealed);
	munmap(sealed, sizeof(*sealed));
	close(results[0]);
	waitpid(child, NULL, 0);
}
