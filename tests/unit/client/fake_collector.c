/* See fake_collector.h. */
#include "fake_collector.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "export.h"
#include "fake_record.h"
#include "frame.h"
#include "process.h"

enum { WAIT_S = 20, PLENTY = 1 << 30 };

/* ---- A process of its own ------------------------------------------------------ */

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

void run_apart(void (*body)(void))
{
	char directory[] = "/tmp/waft-test-XXXXXX";
	int status;
	pid_t pid;

	assert_non_null(mkdtemp(directory));
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (chdir(directory) != 0)
			_Exit(2);
		body();
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	nftw(directory, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	if (WIFSIGNALED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- Answers --------------------------------------------------------------------- */

static void frame_answer(struct fake_collector *fake, enum frame_type type, uint32_t stream,
	const void *payload, size_t length)
{
	uint8_t frame[4096];
	size_t done = 0;

	frame_header_write(frame, type, stream, payload, length);
	if (length > 0)
		memcpy(frame + WIRE_FRAME_HEADER_BYTES, payload, length);
	while (done < WIRE_FRAME_HEADER_BYTES + length) {
		ssize_t sent = send(fake->connection, frame + done,
			WIRE_FRAME_HEADER_BYTES + length - done, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		done += (size_t)sent;
	}
}

static void response_answer(struct fake_collector *fake, struct export_response *response)
{
	uint8_t bytes[1024];
	struct writer writer = writer_of(bytes, sizeof(bytes));

	response->credit_bytes = fake->orders.credit != 0 ? fake->orders.credit : PLENTY;
	if (fake->orders.no_credit)
		response->credit_bytes = 0;
	response->durable_sequence += fake->orders.overclaim;
	export_response_encode(&writer, response);
	frame_answer(fake, FRAME_MESSAGE, 1, bytes, writer_length(&writer));
}

static void status_answer(struct fake_collector *fake, uint32_t code)
{
	uint8_t bytes[256];
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct call_status status = {
		.code = code, .message = slice_of_text("as ordered"), .retry_after_ms = 1};

	call_status_encode(&writer, &status);
	frame_answer(fake, FRAME_STATUS, 1, bytes, writer_length(&writer));
}

static void version_answer(struct fake_collector *fake)
{
	uint8_t bytes[256];
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct versions versions = {.lowest = 2, .highest = 3};

	versions_encode(&writer, &versions);
	frame_answer(fake, FRAME_VERSION, 0, bytes, writer_length(&writer));
}

/* ---- Requests ---------------------------------------------------------------------- */

static void client_see(struct fake_collector *fake, const uint8_t client[16])
{
	bool same = memcmp(fake->client, client, 16) == 0;

	if (!same && fake->client_count < 8)
		memcpy(fake->clients[fake->client_count++], client, 16);
	if (same)
		return;
	memcpy(fake->client, client, 16);
	fake->durable = 0;
	fake->known = false;
	memset(fake->batch_sequences, 0, sizeof(fake->batch_sequences));
}

/* False: the connection ends. */
static bool hello_take(struct fake_collector *fake, const struct hello *hello)
{
	struct export_response response = {.has_welcome = true};

	fake->hellos++;
	if (fake->orders.other_version) {
		version_answer(fake);
		return false;
	}
	if (fake->orders.garbage != NULL) {
		(void)!send(fake->connection, fake->orders.garbage, fake->orders.garbage_bytes,
			MSG_NOSIGNAL);
		return false;
	}
	if (fake->orders.forget && hello->acknowledged_sequence > 0) {
		fake->orders.forget = false;
		response.welcome.forgotten = true;
		response_answer(fake, &response);
		return true;
	}
	client_see(fake, hello->client);
	response.welcome.known = fake->known;
	response.durable_sequence = fake->durable;
	fake->known = true;
	if (!fake->orders.mute)
		response_answer(fake, &response);
	return true;
}

/* Counts a numbered request once; true when it is new. */
static bool sequence_take(struct fake_collector *fake, uint64_t sequence)
{
	if (sequence <= fake->durable) {
		fake->duplicates++;
		return false;
	}
	if (sequence != fake->durable + 1)
		fake->gaps++;
	return true;
}

/* A batch that comes again must be the same bytes. */
static void batch_compare(struct fake_collector *fake, uint64_t sequence, struct slice batch)
{
	uint8_t **kept = &fake->batches[sequence % 4096];
	size_t *length = &fake->batch_lengths[sequence % 4096];
	uint64_t *kept_sequence = &fake->batch_sequences[sequence % 4096];

	if (*kept_sequence == sequence &&
		(*length != batch.length || memcmp(*kept, batch.data, *length) != 0)) {
		fprintf(stderr, "batch %llu came again with other bytes\n",
			(unsigned long long)sequence);
		fake->bad++;
	}
	free(*kept);
	*kept = malloc(batch.length);
	CHECK(*kept != NULL);
	memcpy(*kept, batch.data, batch.length);
	*length = batch.length;
	*kept_sequence = sequence;
}

static void drop_take(struct fake_collector *fake, const struct drop *drop)
{
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		if (slice_equal(drop->reason,
			    slice_of_text(waft_drop_reason_name((enum waft_drop_reason)i))))
			fake->drops[i] += drop->spans;
}

/* A batch or a drop record. False: the connection ends. */
static bool numbered_take(struct fake_collector *fake, const struct export_request *request)
{
	struct refusal refusal = {.sequence = request->sequence, .code = GRPC_INVALID_ARGUMENT};
	struct export_response response = {0};

	if (request->body == EXPORT_BATCH) {
		batch_compare(fake, request->sequence, request->batch);
		fake->batch_bytes += request->batch.length;
	}
	if (fake->orders.status != 0) {
		status_answer(fake, fake->orders.status);
		fake->orders.status = 0;
		return false;
	}
	if (fake->orders.close_after != 0 && --fake->orders.close_after == 0)
		return false;
	if (fake->orders.silent)
		return true;
	if (sequence_take(fake, request->sequence)) {
		fake->durable = request->sequence;
		if (request->body == EXPORT_DROP)
			drop_take(fake, &request->drop);
		else if (request->sequence == fake->orders.refuse) {
			response.refusals = &refusal;
			response.refusals_count = 1;
		} else if (!fake_record_batch(fake, request->batch))
			fake->bad++;
	}
	response.durable_sequence = fake->durable;
	response_answer(fake, &response);
	return true;
}

static bool request_take(struct fake_collector *fake, struct slice bytes)
{
	struct export_response response = {.goodbye = true};
	struct export_request request;

	if (export_request_decode(bytes, &request) < 0) {
		fake->bad++;
		return false;
	}
	fake->emitted = request.emitted;
	switch (request.body) {
	case EXPORT_HELLO:
		return hello_take(fake, &request.hello);
	case EXPORT_GOODBYE:
		fake->goodbyes++;
		fake->goodbye_emitted = request.goodbye.emitted;
		response.durable_sequence = fake->durable;
		response_answer(fake, &response);
		status_answer(fake, GRPC_OK);
		return true;
	default:
		return numbered_take(fake, &request);
	}
}

/* ---- The thread ------------------------------------------------------------------------ */

/* Bytes, and the region's descriptor if it came along. */
static ssize_t bytes_receive(struct fake_collector *fake, uint8_t *bytes, size_t size)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room)};
	ssize_t got = recvmsg(fake->connection, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
		if (fake->region_fd >= 0)
			close(fake->region_fd);
		memcpy(&fake->region_fd, CMSG_DATA(header), sizeof(int));
		fake->regions++;
	}
	return got;
}

static bool stop_asked(const struct fake_collector *fake)
{
	struct pollfd stop = {.fd = fake->stop[0], .events = POLLIN};

	return poll(&stop, 1, 0) > 0;
}

/* Waits for the socket or the order to stop; false: stop. */
static bool readable(const struct fake_collector *fake, int fd)
{
	struct pollfd files[2] = {
		{.fd = fake->stop[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	while (poll(files, 2, -1) < 0)
		continue;
	return files[0].revents == 0;
}

static void connection_serve(struct fake_collector *fake)
{
	static uint8_t bytes[65536];
	struct frame_reader reader = {0};
	bool going = true;

	while (going && readable(fake, fake->connection)) {
		ssize_t got = bytes_receive(fake, bytes, sizeof(bytes));
		const uint8_t *at = bytes;
		size_t left = got > 0 ? (size_t)got : 0;
		struct frame frame;
		int ret;

		if (got <= 0)
			break;
		pthread_mutex_lock(&fake->lock);
		while (going && (ret = frame_reader_next(&reader, &at, &left, &frame)) > 0)
			if (frame.type == FRAME_MESSAGE)
				going = request_take(fake, slice_of(frame.payload, frame.length));
		fake->bad += going && ret < 0;
		pthread_cond_broadcast(&fake->changed);
		pthread_mutex_unlock(&fake->lock);
	}
	frame_reader_done(&reader);
	close(fake->connection);
	fake->connection = -1;
}

static void *fake_main(void *arg)
{
	struct fake_collector *fake = arg;

	while (!stop_asked(fake) && readable(fake, fake->listener)) {
		fake->connection = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fake->connection >= 0)
			connection_serve(fake);
	}
	return NULL;
}

static void fake_listen(struct fake_collector *fake)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, fake->path);
	unlink(fake->path);
	CHECK(pipe2(fake->stop, O_CLOEXEC) == 0);
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fake->listener >= 0);
	CHECK(bind(fake->listener, (const struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(fake->listener, 8) == 0);
	CHECK(pthread_create(&fake->thread, NULL, fake_main, fake) == 0);
}

static struct fake_collector *fake_new(void)
{
	struct fake_collector *fake = calloc(1, sizeof(*fake));

	CHECK(fake != NULL);
	fake->spans = calloc(FAKE_SPANS, sizeof(*fake->spans));
	CHECK(fake->spans != NULL);
	fake->connection = fake->listener = fake->region_fd = -1;
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->changed, NULL);
	return fake;
}

struct fake_collector *fake_start(const char *path)
{
	struct fake_collector *fake = fake_new();

	snprintf(fake->path, sizeof(fake->path), "%s", path);
	fake_listen(fake);
	return fake;
}

void fake_stop(struct fake_collector *fake)
{
	CHECK(write(fake->stop[1], "", 1) == 1);
	pthread_join(fake->thread, NULL);
	close(fake->listener);
	close(fake->stop[0]);
	close(fake->stop[1]);
	fake->listener = -1;
}

void fake_restart(struct fake_collector *fake)
{
	fake_listen(fake);
}

void fake_free(struct fake_collector *fake)
{
	if (fake->listener >= 0)
		fake_stop(fake);
	if (fake->region_fd >= 0)
		close(fake->region_fd);
	for (size_t i = 0; i < 4096; i++)
		free(fake->batches[i]);
	fake_record_free(fake);
	free(fake);
}

/* ---- Looking at it ------------------------------------------------------------------------ */

static bool wait_for(struct fake_collector *fake, const uint32_t *counter, uint32_t count)
{
	struct timespec deadline;
	int ret = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += WAIT_S;
	pthread_mutex_lock(&fake->lock);
	while (*counter < count && ret == 0)
		ret = pthread_cond_timedwait(&fake->changed, &fake->lock, &deadline);
	pthread_mutex_unlock(&fake->lock);
	return ret == 0;
}

bool fake_wait_spans(struct fake_collector *fake, uint32_t count)
{
	return wait_for(fake, &fake->span_count, count);
}

bool fake_wait_hellos(struct fake_collector *fake, uint32_t count)
{
	return wait_for(fake, &fake->hellos, count);
}

const struct fake_span *fake_find(const struct fake_collector *fake, const char *name, uint32_t n)
{
	for (uint32_t i = 0; i < fake->span_count; i++)
		if (strcmp(fake->spans[i].name, name) == 0 && n-- == 0)
			return &fake->spans[i];
	return NULL;
}

uint32_t fake_count(const struct fake_collector *fake, const char *name)
{
	uint32_t count = 0;

	while (fake_find(fake, name, count) != NULL)
		count++;
	return count;
}

static void inbox_read(struct fake_collector *fake, const char *path)
{
	static uint8_t bytes[8 << 20];
	FILE *file = fopen(path, "re");
	size_t length;
	size_t at = 0;
	struct frame frame;

	CHECK(file != NULL);
	length = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	while (at < length) {
		long taken = frame_parse(bytes + at, length - at, &frame);

		CHECK(taken > 0);
		CHECK_INT(frame.type, FRAME_MESSAGE);
		CHECK_INT(frame.stream, 1);
		CHECK(request_take(fake, slice_of(frame.payload, frame.length)));
		at += (size_t)taken;
	}
}

struct fake_collector *fake_from_inbox(const char *directory)
{
	struct fake_collector *fake = fake_new();
	char path[512];
	struct dirent *entry;
	DIR *entries;

	snprintf(path, sizeof(path), "%s/.waft/inbox", directory);
	entries = opendir(path);
	CHECK(entries != NULL);
	while ((entry = readdir(entries)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/.waft/inbox/%s", directory, entry->d_name);
		inbox_read(fake, path);
	}
	closedir(entries);
	return fake;
}

/* ---- The tracer ---------------------------------------------------------------------------- */

void tracer_start(const char *path)
{
	char endpoint[128];
	struct waft_options options = {.size = sizeof(options), .service = "test"};

	snprintf(endpoint, sizeof(endpoint), "unix:%s", path);
	options.endpoint = endpoint;
	options.batch_age_ms = 5;
	CHECK_INT(waft_init(&options), 0);
}

void tracer_await_idle(void)
{
	while (__atomic_load_n(&process.idle, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
}

void tracer_end(struct fake_collector *fake, struct waft_stats *ret_stats)
{
	struct waft_stats stats;
	uint64_t dropped = 0;

	(void)waft_shutdown(WAIT_S * 1000, &stats);
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		dropped += stats.dropped[i];
	CHECK_INT(stats.in_flight, 0);
	CHECK_INT(stats.emitted, stats.durable + dropped + stats.unknown);
	pthread_mutex_lock(&fake->lock);
	CHECK_INT(stats.durable, fake->span_count);
	CHECK_INT(fake->bad, 0);
	CHECK_INT(fake->gaps, 0);
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		if (i != WAFT_DROP_REFUSED && i != WAFT_DROP_SHUTDOWN)
			CHECK_INT(fake->drops[i], stats.dropped[i]);
	pthread_mutex_unlock(&fake->lock);
	if (ret_stats != NULL)
		*ret_stats = stats;
}
