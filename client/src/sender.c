/*
 * See sender.h. One turn of the loop, in order: take up what others asked for,
 * look at the clocks, move the connection (or the file) on, sleep.
 *
 *     CLOSED ──connect──▶ CONNECTED (session.h says what then) ──failure──▶ CLOSED
 *
 * A failure closes the connection and sets retry_at; what was not answered goes
 * out again on the next one.
 */
#include "sender.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "chunk.h"
#include "clock.h"
#include "config.h"
#include "descriptor.h"
#include "endpoint.h"
#include "errors.h"
#include "inbox.h"
#include "ledger.h"
#include "packer.h"
#include "process.h"
#include "resolver.h"
#include "secure.h"
#include "session.h"
#include "thread.h"
#include "timeline.h"

enum {
	STACK_BYTES = 256 * 1024,
	DUE_BYTES = 64 * 1024,
	WELCOME_MS = 5000,
	LOOKUP_MS = 20,
	RETRY_FIRST_MS = 50,
	RETRY_MOST_MS = 5000,
	CLOCK_MS = 1000,
	IDLE_MS = 1000,
	WAIT_MOST_MS = 60000,
};

#define NS_PER_MS UINT64_C(1000000)
#define NEVER UINT64_MAX

static struct {
	/* Shared; by `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool started;
	bool finished;
	uint64_t flush_asked;
	uint64_t flush_done;
	uint64_t stop_at_ns; /* atomic; 0: not asked */
	bool patient;	     /* set before stop_at_ns */

	/* By wake_lock. */
	pthread_mutex_t wake_lock;
	struct descriptor wake_read;
	struct descriptor wake_write;
	uint32_t waking; /* atomic: a wake is on its way */

	/* The thread's own. */
	struct ledger ledger; /* its counters are read by all */
	struct packer packer;
	struct session session;
	struct descriptor socket;
	struct inbox inbox;
	struct timeline clocks[2]; /* by source */
	struct clock_watch watch;
	bool membarrier;
	bool stop_seen;
	bool welcomed;	   /* a collector was there in this process's life */
	struct slice out;  /* what is left of the frame being sent */
	bool region_waits; /* the descriptor goes with the next byte */
	uint64_t retry_at_ns;
	uint64_t retry_ms;
	uint64_t welcome_by_ns;
	uint64_t cut_at_ns;  /* when the last batch was cut */
	uint64_t busy_at_ns; /* when there was last something to do */
	uint64_t clock_at_ns;
	uint64_t flush_active;	 /* the ticket being worked on; 0: none */
	uint64_t flush_sequence; /* all of it is cut: done when this is answered */
	bool flush_cut;
	uint64_t random;
	size_t producer_bytes;
	uint8_t producer[CONFIG_PRODUCER_BYTES + 1024];
} sender = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.wake_lock = PTHREAD_MUTEX_INITIALIZER,
	.wake_read = {.fd = -1},
	.wake_write = {.fd = -1},
	.socket = {.fd = -1},
	.inbox = {.file = {.fd = -1}},
	.watch = {.file = {.fd = -1}}};

/* ---- Being woken --------------------------------------------------------------- */

static void wake_close(void)
{
	descriptor_close(&sender.wake_read);
	descriptor_close(&sender.wake_write);
}

/* A socket pair, not an eventfd: its inode tells it from the host's descriptors,
 * and sending to what is no socket does nothing. Before a turn: what was said
 * while there was no pair is looked at in it. */
static void wake_open(void)
{
	int pair[2];

	pthread_mutex_lock(&sender.wake_lock);
	if (!descriptor_check(&sender.wake_read) || !descriptor_check(&sender.wake_write)) {
		wake_close();
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
			descriptor_set(&sender.wake_read, pair[0]);
			descriptor_set(&sender.wake_write, pair[1]);
		}
		(void)__atomic_exchange_n(&sender.waking, 0, __ATOMIC_ACQ_REL);
	}
	pthread_mutex_unlock(&sender.wake_lock);
}

void sender_wake(void)
{
	int saved = errno;

	if (__atomic_exchange_n(&sender.waking, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	pthread_mutex_lock(&sender.wake_lock);
	if (descriptor_check(&sender.wake_write))
		(void)send(sender.wake_write.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	pthread_mutex_unlock(&sender.wake_lock);
	errno = saved;
}

/* The byte first, the flag after: who finds the flag set is looked after by the
 * turn that follows, who finds it clear sends a byte of his own. */
static void wake_drain(void)
{
	char bytes[64];

	pthread_mutex_lock(&sender.wake_lock);
	if (descriptor_check(&sender.wake_read))
		while (recv(sender.wake_read.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			continue;
	pthread_mutex_unlock(&sender.wake_lock);
	(void)__atomic_exchange_n(&sender.waking, 0, __ATOMIC_ACQ_REL);
}

static void bells_ring(uint32_t bell)
{
	pthread_mutex_lock(&process.lock);
	for (struct thread *thread = process.threads; thread != NULL; thread = thread->next)
		__atomic_fetch_or(&thread->hot->bell, bell, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&process.lock);
}

/* ---- The clocks ------------------------------------------------------------------ */

static void rate_publish(void)
{
	double rate = timeline_rate(&sender.clocks[WIRE_CLOCK_TSC]);
	uint64_t bits;

	memcpy(&bits, &rate, sizeof(bits));
	__atomic_store_n(&process.ns_per_tick, bits, __ATOMIC_RELEASE);
}

/* Once a second while there is something to do. */
static void clocks_look(uint64_t now)
{
	uint32_t source;
	struct clock_span span;

	if (now < sender.clock_at_ns)
		return;
	sender.clock_at_ns = now + CLOCK_MS * NS_PER_MS;
	timeline_add(&sender.clocks[WIRE_CLOCK_MONOTONIC]);
#if defined(__x86_64__)
	timeline_add(&sender.clocks[WIRE_CLOCK_TSC]);
	rate_publish();
#endif
	source = clock_watch_source(&sender.watch);
	timeline_span(&sender.clocks[source], UINT64_MAX, &span);
	region_set_clock(&process.region, &span);
	if (source != __atomic_load_n(&process.source, __ATOMIC_RELAXED)) {
		__atomic_store_n(&process.source, source, __ATOMIC_RELEASE);
		bells_ring(WAFT_BELL_CLOCK_);
	}
}

/* ---- The end of a connection ------------------------------------------------------ */

/* xorshift64*; only the jitter depends on it. */
static uint64_t jitter(uint64_t most)
{
	sender.random ^= sender.random >> 12;
	sender.random ^= sender.random << 25;
	sender.random ^= sender.random >> 27;
	return most > 0 ? sender.random * UINT64_C(0x2545f4914f6cdd1d) % most : 0;
}

static void connection_close(void)
{
	secure_end(&sender.socket);
	descriptor_close(&sender.socket);
	sender.out = slice_of(NULL, 0);
	sender.ledger.next = 0;
	sender.session.out_length = 0;
}

/* Tries again between half and all of the delay later; the delay doubles. */
static void connection_fail(uint64_t now)
{
	uint64_t delay = sender.retry_ms;

	if (sender.session.retry_after_ms > delay)
		delay = sender.session.retry_after_ms;
	sender.session.retry_after_ms = 0;
	connection_close();
	/* The host's next address is tried at once. */
	if (endpoint_busy())
		delay = 0;
	sender.retry_at_ns = now + (delay - delay / 2 + jitter(delay / 2 + 1)) * NS_PER_MS;
	sender.retry_ms *= 2;
	if (sender.retry_ms > RETRY_MOST_MS)
		sender.retry_ms = RETRY_MOST_MS;
}

/* Somebody waits: not for the delay. */
static void connection_hurry(void)
{
	sender.retry_at_ns = 0;
	sender.retry_ms = RETRY_FIRST_MS;
}

/* Under a new uuid: the collector or the file no longer stands for the old one. */
static void client_renew(void)
{
	connection_close();
	ledger_forget(&sender.ledger, ledger_emitted());
	sender.packer.made = 0;
	sender.flush_sequence = 0;
	uuid_generate_random(process.client);
	memcpy(process.region.header->client, process.client, sizeof(process.client));
	process.region.header->emitted_before = sender.ledger.forgotten;
}

/* ---- What to send next ------------------------------------------------------------- */

static bool stopping(void)
{
	return __atomic_load_n(&sender.stop_at_ns, __ATOMIC_ACQUIRE) != 0;
}

static bool something_waits(void)
{
	return packer_waiting() > 0 || ledger_drops_waiting(&sender.ledger);
}

/* By size, by age, or because somebody waits for it. */
static bool cut_due(uint64_t now)
{
	size_t waiting = packer_waiting();

	if (waiting == 0 && !ledger_drops_waiting(&sender.ledger))
		return false;
	return waiting >= DUE_BYTES || sender.flush_active != 0 || stopping() ||
	       now >= sender.cut_at_ns + process.config.batch_age_ms * NS_PER_MS;
}

static bool entry_cut(uint64_t now)
{
	uint64_t emitted;
	struct entry *entry;
	uint64_t first = UINT64_MAX;

	emitted = ledger_emitted();
	if (ledger_drop_next(&sender.ledger, emitted))
		return true;
	if (!packer_cut(&sender.packer, &sender.ledger)) {
		sender.cut_at_ns = now;
		return false;
	}
	entry = ledger_entry(&sender.ledger, sender.ledger.count - 1);
	entry->emitted = ledger_emitted() - sender.ledger.forgotten;
	for (uint32_t i = 0; i < sender.packer.section_count; i++)
		if (sender.packer.sections[i].clock_base < first)
			first = sender.packer.sections[i].clock_base;
	timeline_span(&sender.clocks[entry->clock.source], first, &entry->clock);
	if (packer_waiting() < DUE_BYTES)
		sender.cut_at_ns = now;
	return true;
}

/* The frame of the next entry; empty: nothing is due. */
static struct slice frame_next(uint64_t now)
{
	struct ledger *ledger = &sender.ledger;
	uint32_t cut = ledger->cut_first;
	struct slice frame;

	if (ledger->next == ledger->count && (!cut_due(now) || !entry_cut(now)))
		return slice_of(NULL, 0);
	for (uint32_t i = 0; i < ledger->next; i++)
		cut += ledger_entry(ledger, i)->cuts;
	frame = packer_frame(&sender.packer, ledger_entry(ledger, ledger->next), cut % REGION_CUTS,
		slice_of(sender.producer, sender.producer_bytes));
	ledger->next++;
	return frame;
}

static struct session_client client_self(bool region)
{
	return (struct session_client){.id = process.client,
		.service = process.config.service,
		.pid = process.pid,
		.region = region};
}

/* Whether nothing is left to be answered. */
static bool all_answered(void)
{
	return sender.ledger.count == 0 && !something_waits();
}

/* ---- The socket ---------------------------------------------------------------------- */

/* Bytes with the region's descriptor; the number sent, or a negative errno. */
static ssize_t region_send(const uint8_t *bytes, size_t length)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &process.region.file.fd, sizeof(int));
	return sendmsg(sender.socket.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* 1: all is sent; 0: the socket is full; or a negative errno. */
static int bytes_send(struct slice *bytes)
{
	if (secure_active())
		return secure_send(&sender.socket, bytes);
	while (bytes->length > 0) {
		ssize_t sent;

		if (!descriptor_check(&sender.socket))
			return -EBADF;
		if (sender.region_waits)
			sent = region_send(bytes->data, bytes->length);
		else
			sent = send(sender.socket.fd, bytes->data, bytes->length,
				MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : -errno;
		sender.region_waits = false;
		bytes->data += sent;
		bytes->length -= (size_t)sent;
	}
	return 1;
}

/* Between frames: the control frames that wait. */
static int control_send(void)
{
	struct slice bytes = slice_of(sender.session.out, sender.session.out_length);
	int ret = bytes_send(&bytes);

	memmove(sender.session.out, bytes.data, bytes.length);
	sender.session.out_length = bytes.length;
	return ret;
}

static int socket_write(uint64_t now)
{
	for (;;) {
		int ret = bytes_send(&sender.out);

		if (ret <= 0)
			return ret;
		ret = control_send();
		if (ret <= 0 || !session_may_send(&sender.session))
			return ret < 0 ? ret : 0;
		sender.out = frame_next(now);
		if (sender.out.length == 0)
			return 0;
		session_sent(&sender.session, sender.out.length);
	}
}

/* How much; -EAGAIN: nothing now; or another negative errno. */
static ssize_t socket_receive(uint8_t *bytes, size_t size)
{
	ssize_t got;

	if (secure_active())
		return secure_receive(&sender.socket, bytes, size);
	if (!descriptor_check(&sender.socket))
		return -EBADF;
	got = recv(sender.socket.fd, bytes, size, MSG_DONTWAIT);
	if (got < 0)
		return errno == EINTR || errno == ENOTCONN ? -EAGAIN : -errno;
	return got > 0 ? got : -ECONNRESET;
}

static int socket_read(void)
{
	uint8_t bytes[4096];

	for (;;) {
		ssize_t got = socket_receive(bytes, sizeof(bytes));
		int ret;

		if (got < 0)
			return got == -EAGAIN ? 0 : (int)got;
		ret = session_receive(&sender.session, &sender.ledger, bytes, (size_t)got);
		if (ret < 0)
			return ret;
	}
}

static void connection_open(uint64_t now)
{
	bool remote =
		process.config.endpoint == ENDPOINT_TCP || process.config.endpoint == ENDPOINT_TLS;
	char token[CONFIG_TOKEN_BYTES];
	struct session_client self;
	int fd;

	if (config_token(&process.config, token) < 0) {
		connection_fail(now);
		return;
	}
	fd = endpoint_connect(&process.config, now);
	if (fd == -EINPROGRESS) {
		sender.retry_at_ns = now + LOOKUP_MS * NS_PER_MS;
		return;
	}
	if (fd < 0) {
		connection_fail(now);
		return;
	}
	descriptor_set(&sender.socket, fd);
	if (process.config.endpoint == ENDPOINT_TLS && secure_begin(&process.config) < 0) {
		connection_fail(now);
		return;
	}
	sender.region_waits = !remote && descriptor_check(&process.region.file);
	self = client_self(sender.region_waits);
	self.token = token;
	sender.ledger.next = 0;
	sender.welcome_by_ns = now + WELCOME_MS * NS_PER_MS;
	session_begin(&sender.session, &sender.ledger, &self);
}

/* Once: it is tried again, since rules and tokens change. */
static void denial_complain(void)
{
	char text[SESSION_SAID_BYTES + 64];

	if (sender.session.status != GRPC_UNAUTHENTICATED &&
		sender.session.status != GRPC_PERMISSION_DENIED)
		return;
	snprintf(text, sizeof(text), "the collector takes no spans of this program: %s",
		sender.session.said);
	process_complain("denied", text);
}

static void version_complain(void)
{
	if (sender.session.refused_version)
		process_complain("version", "the collector speaks another version of the protocol; "
					    "spans wait for one that speaks version 1");
}

/* One turn of the connection. */
static void socket_turn(uint64_t now)
{
	int ret;

	if (sender.socket.fd < 0) {
		if (now < sender.retry_at_ns)
			return;
		connection_open(now);
		if (sender.socket.fd < 0)
			return;
	}
	ret = socket_write(now);
	if (ret >= 0)
		ret = socket_read();
	/* Reading may have brought the handshake to where there is something to say. */
	if (ret >= 0 && secure_active())
		ret = socket_write(now);
	if (ret >= 0 && sender.session.state == SESSION_OPEN) {
		sender.welcomed = true;
		sender.retry_ms = RETRY_FIRST_MS;
		if (stopping() && all_answered())
			session_leave(&sender.session, ledger_emitted() - sender.ledger.forgotten,
				0, ledger_not_sampled());
		ret = socket_write(now);
	}
	if (ret == -ESTALE) {
		client_renew();
		return;
	}
	if (ret < 0 || (sender.session.state == SESSION_HELLO && now >= sender.welcome_by_ns)) {
		version_complain();
		denial_complain();
		connection_fail(now);
	}
}

/* ---- The file -------------------------------------------------------------------------- */

static int inbox_begin(void)
{
	uint8_t frame[SESSION_OUT_BYTES];
	struct session_client self = client_self(false);
	size_t length;
	int ret;

	if (sender.inbox.file.fd >= 0)
		return 0;
	ret = inbox_open(&sender.inbox, process.config.path, process.client);
	if (ret < 0)
		return ret;
	length = session_hello_frame(frame, sizeof(frame), &sender.ledger, &self);
	ret = inbox_append(&sender.inbox, slice_of(frame, length));
	if (ret < 0)
		inbox_close(&sender.inbox);
	return ret;
}

/* All that is due, with one sync. */
static int inbox_write(uint64_t now)
{
	struct slice frame = frame_next(now);
	int ret;

	if (frame.length == 0)
		return 0;
	ret = inbox_begin();
	while (ret == 0 && frame.length > 0) {
		ret = inbox_append(&sender.inbox, frame);
		if (ret == 0)
			frame = frame_next(now);
	}
	if (ret < 0)
		return ret;
	ret = inbox_sync(&sender.inbox);
	if (ret == 0)
		ret = ledger_answer(&sender.ledger, sender.ledger.next_sequence - 1);
	return ret;
}

static void inbox_turn(uint64_t now)
{
	int ret;

	if (now < sender.retry_at_ns)
		return;
	ret = inbox_write(now);
	if (ret == 0) {
		sender.retry_ms = RETRY_FIRST_MS;
		return;
	}
	/* What was not synced is written again, unless this file is not to be trusted
	 * any more: then under a new uuid into another. */
	if (sender.inbox.file.fd >= 0 && sender.inbox.written != sender.inbox.synced) {
		inbox_close(&sender.inbox);
		client_renew();
	} else if (sender.inbox.file.fd < 0 && sender.ledger.answered > 0) {
		client_renew();
	}
	connection_fail(now);
	process_complain("inbox", "cannot write to the directory of WAFT_ENDPOINT: spans wait");
}

static void inbox_leave(void)
{
	uint8_t frame[SESSION_OUT_BYTES];
	size_t length;

	if (sender.inbox.file.fd < 0)
		return;
	length = session_goodbye_frame(frame, sizeof(frame),
		ledger_emitted() - sender.ledger.forgotten, 0, ledger_not_sampled());
	if (inbox_append(&sender.inbox, slice_of(frame, length)) == 0)
		(void)inbox_sync(&sender.inbox);
	inbox_close(&sender.inbox);
}

/* ---- What others wait for ------------------------------------------------------------------ */

/* Whether everything that was published when the flush began is in a batch. */
static bool flush_all_cut(void)
{
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);

	for (; chunk != NULL; chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE))
		if (chunk->cut < chunk->flush_to)
			return false;
	return !ledger_drops_waiting(&sender.ledger);
}

static void flush_begin(void)
{
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);

	for (; chunk != NULL; chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE))
		chunk->flush_to = __atomic_load_n(
			&chunk_head(&process.region, chunk)->published, __ATOMIC_ACQUIRE);
	sender.flush_cut = false;
}

/* Before the turn. */
static void asked_take(void)
{
	uint64_t asked;

	pthread_mutex_lock(&sender.lock);
	asked = sender.flush_asked;
	pthread_mutex_unlock(&sender.lock);
	if (sender.flush_active == 0 && asked > sender.flush_done) {
		sender.flush_active = asked;
		flush_begin();
		connection_hurry();
	}
	if (stopping() && !sender.stop_seen) {
		sender.stop_seen = true;
		connection_hurry();
	}
}

/* After the turn. */
static void flush_look(void)
{
	if (sender.flush_active == 0)
		return;
	if (!sender.flush_cut && flush_all_cut()) {
		sender.flush_cut = true;
		sender.flush_sequence = sender.ledger.next_sequence - 1;
	}
	if (!sender.flush_cut || sender.ledger.answered < sender.flush_sequence)
		return;
	pthread_mutex_lock(&sender.lock);
	sender.flush_done = sender.flush_active;
	pthread_cond_broadcast(&sender.changed);
	pthread_mutex_unlock(&sender.lock);
	sender.flush_active = 0;
}

/* Whether the thread's work is over: said goodbye, or no use in going on. */
static bool stop_look(uint64_t now)
{
	if (!stopping())
		return false;
	if (now >= __atomic_load_n(&sender.stop_at_ns, __ATOMIC_ACQUIRE))
		return true;
	if (process.config.endpoint == ENDPOINT_FILE)
		return all_answered();
	if (sender.session.state == SESSION_DONE && sender.socket.fd >= 0)
		return true;
	if (all_answered() && sender.socket.fd < 0)
		return true;
	return sender.socket.fd < 0 && !sender.welcomed && !sender.patient && !endpoint_busy();
}

/* ---- The loop ------------------------------------------------------------------------------- */

/* Nothing to do until a span is published: makes sure that it is noticed. */
static bool sleep_deep(void)
{
	if (!sender.membarrier)
		return false;
	pthread_mutex_lock(&process.lock);
	__atomic_store_n(&process.idle, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&process.lock);
	bells_ring(WAFT_BELL_WAKE_);
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	return !something_waits();
}

/* Until when the loop may sleep. */
static uint64_t wait_until(uint64_t now)
{
	uint64_t age = process.config.batch_age_ms * NS_PER_MS;
	bool connected = sender.socket.fd >= 0;
	bool file = process.config.endpoint == ENDPOINT_FILE;
	bool waits = something_waits();
	uint64_t until = NEVER;
	uint64_t stop_at;

	if (waits || sender.ledger.count > 0 || sender.flush_active != 0)
		sender.busy_at_ns = now;
	if (connected && sender.session.state == SESSION_HELLO)
		until = sender.welcome_by_ns;
	else if (!connected && !file && (waits || sender.ledger.count > 0 || stopping()))
		until = sender.retry_at_ns;
	else if (file && sender.retry_at_ns > now)
		until = sender.retry_at_ns;
	else if (waits && sender.ledger.count < LEDGER_ENTRIES &&
		 (file || session_may_send(&sender.session)))
		until = sender.cut_at_ns + age;
	stop_at = __atomic_load_n(&sender.stop_at_ns, __ATOMIC_ACQUIRE);
	if (stop_at != 0 && stop_at < until)
		until = stop_at;
	if (!connected && until != NEVER && sender.wake_read.fd >= 0)
		return until;
	/* Who cannot be woken looks for himself. */
	if (now - sender.busy_at_ns < IDLE_MS * NS_PER_MS || !sender.membarrier ||
		sender.wake_read.fd < 0)
		return until < now + age ? until : now + age;
	return until;
}

static void sleep_until(uint64_t until, uint64_t now)
{
	struct pollfd files[2] = {{.fd = -1}, {.fd = -1}};
	uint64_t left = until > now ? until - now : 0;
	struct timespec timeout;

	if (left > WAIT_MOST_MS * NS_PER_MS && until != NEVER)
		left = WAIT_MOST_MS * NS_PER_MS;
	timeout.tv_sec = (time_t)(left / (1000 * NS_PER_MS));
	timeout.tv_nsec = (long)(left % (1000 * NS_PER_MS));
	files[0] = (struct pollfd){.fd = sender.wake_read.fd, .events = POLLIN};
	if (descriptor_check(&sender.socket)) {
		files[1] = (struct pollfd){.fd = sender.socket.fd, .events = POLLIN};
		if (secure_active() ? secure_blocked()
				    : sender.out.length > 0 || sender.session.out_length > 0)
			files[1].events |= POLLOUT;
	}
	(void)ppoll(files, 2, until == NEVER ? NULL : &timeout, NULL);
	wake_drain();
}

static void turn_sleep(uint64_t now)
{
	uint64_t until = wait_until(now);
	bool deep = until == NEVER;

	if (deep && !sleep_deep())
		until = now;
	sleep_until(until, now);
	if (deep) {
		__atomic_store_n(&process.idle, 0, __ATOMIC_RELEASE);
		/* The pair from before the sleep is too old to date what woke us. */
		sender.clock_at_ns = 0;
		sender.busy_at_ns = clock_monotonic_ns();
	}
}

/* What is not answered by now never will be. */
static void give_up(void)
{
	if (process.config.endpoint == ENDPOINT_FILE && all_answered())
		inbox_leave();
	inbox_close(&sender.inbox);
	ledger_forget(&sender.ledger, ledger_emitted());
	connection_close();
	clock_watch_done(&sender.watch);
	pthread_mutex_lock(&sender.wake_lock);
	wake_close();
	pthread_mutex_unlock(&sender.wake_lock);
	pthread_mutex_lock(&sender.lock);
	sender.finished = true;
	sender.flush_done = sender.flush_asked;
	pthread_cond_broadcast(&sender.changed);
	pthread_mutex_unlock(&sender.lock);
}

static void *sender_main(void *arg)
{
	uint64_t now;

	(void)arg;
	pthread_setname_np(pthread_self(), "waft-sender");
	sender.membarrier =
		syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
	sender.busy_at_ns = sender.cut_at_ns = clock_monotonic_ns();
	for (;;) {
		now = clock_monotonic_ns();
		wake_open();
		asked_take();
		clocks_look(now);
		if (process.config.endpoint == ENDPOINT_FILE)
			inbox_turn(now);
		else
			socket_turn(now);
		flush_look();
		if (stop_look(now))
			break;
		turn_sleep(now);
	}
	give_up();
	return NULL;
}

/* ---- From other threads ------------------------------------------------------------------------
 */

void sender_prepare(void)
{
	uint32_t source;
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&sender.changed, &attributes);
	pthread_condattr_destroy(&attributes);
	source = clock_watch_source(&sender.watch);
	__atomic_store_n(&process.source, source, __ATOMIC_RELEASE);
	timeline_init(&sender.clocks[WIRE_CLOCK_MONOTONIC], WIRE_CLOCK_MONOTONIC);
#if defined(__x86_64__)
	timeline_init(&sender.clocks[WIRE_CLOCK_TSC], WIRE_CLOCK_TSC);
#endif
	ledger_init(&sender.ledger);
	sender.producer_bytes = config_producer(
		&process.config, process.pid, sender.producer, sizeof(sender.producer));
	sender.retry_ms = RETRY_FIRST_MS;
	memcpy(&sender.random, process.client, sizeof(sender.random));
	sender.random |= 1;
}

void sender_fork_child(void)
{
	sender.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	sender.wake_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	sender.started = sender.finished = sender.welcomed = sender.stop_seen = false;
	sender.flush_asked = sender.flush_done = sender.flush_active = 0;
	sender.stop_at_ns = 0;
	sender.waking = 0;
	process.idle = 0;
	wake_close();
	clock_watch_done(&sender.watch);
	secure_fork_child();
	resolver_fork_child();
	connection_close();
	inbox_close(&sender.inbox);
	sender.retry_at_ns = 0;
	sender.clock_at_ns = 0;
	sender.packer.made = 0;
}

static int thread_create(void)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;
	int ret;

	if (sender.packer.frame == NULL && packer_init(&sender.packer) < 0)
		return ENOMEM;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&sender.thread, &attributes, sender_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return ret;
}

void sender_start(void)
{
	pthread_mutex_lock(&sender.lock);
	if (!sender.started && __atomic_load_n(&process.state, __ATOMIC_ACQUIRE) == STATE_RUNNING) {
		if (thread_create() == 0)
			sender.started = true;
		else
			process_complain("sender", "cannot make the sending thread: spans wait");
	}
	pthread_mutex_unlock(&sender.lock);
}

static struct timespec deadline_after(uint32_t timeout_ms)
{
	uint64_t at = clock_monotonic_ns() + timeout_ms * NS_PER_MS;

	return (struct timespec){.tv_sec = (time_t)(at / (1000 * NS_PER_MS)),
		.tv_nsec = (long)(at % (1000 * NS_PER_MS))};
}

int sender_flush(uint32_t timeout_ms)
{
	struct timespec deadline = deadline_after(timeout_ms);
	uint64_t ticket;
	int ret = 0;

	sender_start();
	pthread_mutex_lock(&sender.lock);
	ticket = ++sender.flush_asked;
	if (!sender.started || sender.finished) {
		pthread_mutex_unlock(&sender.lock);
		return sender.finished ? 0 : -ETIMEDOUT;
	}
	pthread_mutex_unlock(&sender.lock);
	sender_wake();
	pthread_mutex_lock(&sender.lock);
	while (sender.flush_done < ticket && !sender.finished && ret == 0)
		ret = pthread_cond_timedwait(&sender.changed, &sender.lock, &deadline);
	ret = sender.flush_done >= ticket ? 0 : -ETIMEDOUT;
	pthread_mutex_unlock(&sender.lock);
	return ret;
}

void sender_stop(uint32_t timeout_ms, bool patient)
{
	struct timespec deadline = deadline_after(timeout_ms);
	bool finished;
	int ret = 0;

	pthread_mutex_lock(&sender.lock);
	if (!sender.started) {
		pthread_mutex_unlock(&sender.lock);
		return;
	}
	sender.patient = patient;
	__atomic_store_n(&sender.stop_at_ns,
		(uint64_t)deadline.tv_sec * 1000 * NS_PER_MS + (uint64_t)deadline.tv_nsec,
		__ATOMIC_RELEASE);
	pthread_mutex_unlock(&sender.lock);
	sender_wake();
	/* A disk that hangs can hold the thread longer: it is not waited for. */
	deadline.tv_sec += 1;
	pthread_mutex_lock(&sender.lock);
	while (!sender.finished && ret == 0)
		ret = pthread_cond_timedwait(&sender.changed, &sender.lock, &deadline);
	finished = sender.finished;
	pthread_mutex_unlock(&sender.lock);
	if (finished)
		pthread_join(sender.thread, NULL);
}

void sender_stats(struct waft_stats *ret_stats)
{
	uint32_t state = __atomic_load_n(&process.state, __ATOMIC_ACQUIRE);
	bool finished;

	pthread_mutex_lock(&sender.lock);
	finished = sender.finished || !sender.started;
	pthread_mutex_unlock(&sender.lock);
	ledger_stats(&sender.ledger, state == STATE_STOPPED && finished, ret_stats);
	if (state == STATE_STOPPED && !finished) {
		ret_stats->unknown += ret_stats->in_flight;
		ret_stats->in_flight = 0;
	}
}
