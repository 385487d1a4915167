/* See delivery.h. */
#include "delivery.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uuid/uuid.h>

#include "endpoint.h"
#include "errors.h"
#include "process.h"
#include "resolver.h"
#include "secure.h"

enum {
	DUE_BYTES = 64 * 1024,
	WELCOME_MS = 5000,
	LOOKUP_MS = 20,
	RETRY_FIRST_MS = 50,
	RETRY_MOST_MS = 5000,
	RETRY_LEAVING_MS = 100,
};

#define NS_PER_MS UINT64_C(1000000)

/* ---- The end of a connection ------------------------------------------------------ */

/* xorshift64*; only the jitter depends on it. */
static uint64_t jitter(struct delivery *delivery, uint64_t most)
{
	delivery->random ^= delivery->random >> 12;
	delivery->random ^= delivery->random << 25;
	delivery->random ^= delivery->random >> 27;
	return most > 0 ? delivery->random * UINT64_C(0x2545f4914f6cdd1d) % most : 0;
}

static void connection_close(struct delivery *delivery)
{
	secure_end(&delivery->socket);
	descriptor_close(&delivery->socket);
	delivery->out = slice_of(NULL, 0);
	delivery->ledger.next = 0;
	delivery->session.out_length = 0;
}

/* Tries again between half and all of the delay later; the delay doubles. */
static void connection_fail(struct delivery *delivery, uint64_t now)
{
	uint64_t delay = delivery->retry_ms;

	if (delivery->session.retry_after_ms > delay)
		delay = delivery->session.retry_after_ms;
	delivery->session.retry_after_ms = 0;
	connection_close(delivery);
	/* The host's next address is tried at once. */
	if (endpoint_busy())
		delay = 0;
	delivery->retry_at_ns =
		now + (delay - delay / 2 + jitter(delivery, delay / 2 + 1)) * NS_PER_MS;
	delivery->retry_ms *= 2;
	if (delivery->retry_ms > (delivery->leaving ? RETRY_LEAVING_MS : RETRY_MOST_MS))
		delivery->retry_ms = delivery->leaving ? RETRY_LEAVING_MS : RETRY_MOST_MS;
}

void delivery_hurry(struct delivery *delivery)
{
	delivery->retry_at_ns = 0;
	delivery->retry_ms = RETRY_FIRST_MS;
}

/* Under a new uuid: the collector or the file no longer stands for the old one. */
static void client_renew(struct delivery *delivery)
{
	connection_close(delivery);
	ledger_forget(&delivery->ledger, ledger_emitted());
	delivery->packer.made = 0;
	delivery->renewals++;
	uuid_generate_random(process.client);
	region_renew(&process.region, process.client, delivery->ledger.said);
}

/* ---- What to send next ------------------------------------------------------------- */

bool delivery_waits(const struct delivery *delivery)
{
	return packer_waiting() > 0 || ledger_drops_waiting(&delivery->ledger);
}

/* By size, by age, or because somebody waits for it. */
static bool cut_due(struct delivery *delivery, uint64_t now)
{
	size_t waiting = packer_waiting();

	if (waiting == 0 && !ledger_drops_waiting(&delivery->ledger))
		return false;
	return waiting >= DUE_BYTES || delivery->urgent ||
	       now >= delivery->cut_at_ns + process.config.batch_age_ms * NS_PER_MS;
}

static bool entry_cut(struct delivery *delivery, uint64_t now)
{
	uint64_t emitted;
	struct entry *entry;
	struct timeline *clock;
	uint64_t first = UINT64_MAX;

	emitted = ledger_emitted();
	if (ledger_drop_next(&delivery->ledger, emitted))
		return true;
	if (!packer_cut(&delivery->packer, &delivery->ledger)) {
		delivery->cut_at_ns = now;
		return false;
	}
	entry = ledger_entry(&delivery->ledger, delivery->ledger.count - 1);
	entry->emitted = ledger_emitted() - delivery->ledger.forgotten;
	for (uint32_t i = 0; i < delivery->packer.section_count; i++)
		if (delivery->packer.sections[i].clock_base < first)
			first = delivery->packer.sections[i].clock_base;
	clock = &delivery->clocks[entry->clock.source];
	timeline_span(clock, first, &entry->clock);
	/* The next batch is held against a pair of after the step. */
	if (entry->clock.stepped)
		timeline_add(clock);
	if (packer_waiting() < DUE_BYTES)
		delivery->cut_at_ns = now;
	return true;
}

/* The frame of the next entry; empty: nothing is due. */
static struct slice frame_next(struct delivery *delivery, uint64_t now)
{
	struct ledger *ledger = &delivery->ledger;
	uint32_t cut = ledger->cut_first;
	struct slice frame;

	if (ledger->next == ledger->count && (!cut_due(delivery, now) || !entry_cut(delivery, now)))
		return slice_of(NULL, 0);
	for (uint32_t i = 0; i < ledger->next; i++)
		cut += ledger_entry(ledger, i)->cuts;
	frame = packer_frame(&delivery->packer, ledger_entry(ledger, ledger->next),
		cut % REGION_CUTS, slice_of(delivery->producer, delivery->producer_bytes));
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

bool delivery_answered(const struct delivery *delivery)
{
	return delivery->ledger.count == 0 && !delivery_waits(delivery);
}

/* ---- The socket ---------------------------------------------------------------------- */

/* Bytes with the region's descriptor; the number sent, or a negative errno. */
static ssize_t region_send(struct delivery *delivery, const uint8_t *bytes, size_t length)
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
	return sendmsg(delivery->socket.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* 1: all is sent; 0: the socket is full; or a negative errno. */
static int bytes_send(struct delivery *delivery, struct slice *bytes)
{
	if (secure_active())
		return secure_send(&delivery->socket, bytes);
	while (bytes->length > 0) {
		ssize_t sent;

		if (!descriptor_check(&delivery->socket))
			return -EBADF;
		if (delivery->region_waits)
			sent = region_send(delivery, bytes->data, bytes->length);
		else
			sent = send(delivery->socket.fd, bytes->data, bytes->length,
				MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : -errno;
		delivery->region_waits = false;
		bytes->data += sent;
		bytes->length -= (size_t)sent;
		/* Full: it says when there is room again. */
		if (bytes->length > 0)
			return 0;
	}
	return 1;
}

/* Between frames: the control frames that wait. */
static int control_send(struct delivery *delivery)
{
	struct slice bytes = slice_of(delivery->session.out, delivery->session.out_length);
	int ret = bytes_send(delivery, &bytes);

	memmove(delivery->session.out, bytes.data, bytes.length);
	delivery->session.out_length = bytes.length;
	return ret;
}

static int socket_write(struct delivery *delivery, uint64_t now)
{
	for (;;) {
		int ret = bytes_send(delivery, &delivery->out);

		if (ret <= 0)
			return ret;
		ret = control_send(delivery);
		if (ret <= 0 || !session_may_send(&delivery->session))
			return ret < 0 ? ret : 0;
		delivery->out = frame_next(delivery, now);
		if (delivery->out.length == 0)
			return 0;
		session_sent(&delivery->session, delivery->out.length);
	}
}

/* How much; -EAGAIN: nothing now; or another negative errno. */
static ssize_t socket_receive(struct delivery *delivery, uint8_t *bytes, size_t size)
{
	ssize_t got;

	if (secure_active())
		return secure_receive(&delivery->socket, bytes, size);
	if (!descriptor_check(&delivery->socket))
		return -EBADF;
	got = recv(delivery->socket.fd, bytes, size, MSG_DONTWAIT);
	if (got < 0)
		return errno == EINTR || errno == ENOTCONN ? -EAGAIN : -errno;
	return got > 0 ? got : -ECONNRESET;
}

static int socket_read(struct delivery *delivery)
{
	uint8_t bytes[4096];

	for (;;) {
		ssize_t got = socket_receive(delivery, bytes, sizeof(bytes));
		int ret;

		if (got < 0)
			return got == -EAGAIN ? 0 : (int)got;
		ret = session_receive(&delivery->session, &delivery->ledger, bytes, (size_t)got);
		if (ret < 0)
			return ret;
		/* A socket gives all it has; what comes later, or its end, wakes us. */
		if ((size_t)got < sizeof(bytes) && !secure_active())
			return 0;
	}
}

static void connection_open(struct delivery *delivery, uint64_t now)
{
	char token[CONFIG_TOKEN_BYTES];
	struct session_client self;
	int fd;

	/* The host may have taken the last one away: half a frame of it may be left. */
	connection_close(delivery);
	if (config_token(&process.config, token) < 0) {
		connection_fail(delivery, now);
		return;
	}
	fd = endpoint_connect(&process.config, now);
	if (fd == -EINPROGRESS) {
		delivery->retry_at_ns = now + LOOKUP_MS * NS_PER_MS;
		return;
	}
	if (fd < 0) {
		connection_fail(delivery, now);
		return;
	}
	descriptor_set(&delivery->socket, fd);
	if (process.config.endpoint == ENDPOINT_TLS && secure_begin(&process.config) < 0) {
		connection_fail(delivery, now);
		return;
	}
	delivery->region_waits =
		config_is_local(&process.config) && descriptor_check(&process.region.file);
	self = client_self(delivery->region_waits);
	self.token = token;
	delivery->ledger.next = 0;
	delivery->welcome_by_ns = now + WELCOME_MS * NS_PER_MS;
	session_begin(&delivery->session, &delivery->ledger, &self);
}

/* Once: it is tried again, since rules and tokens change. */
static void denial_complain(struct delivery *delivery)
{
	char text[SESSION_SAID_BYTES + 64];

	if (delivery->session.status != GRPC_UNAUTHENTICATED &&
		delivery->session.status != GRPC_PERMISSION_DENIED)
		return;
	snprintf(text, sizeof(text), "the collector takes no spans of this program: %s",
		delivery->session.said);
	process_complain("denied", text);
}

static void version_complain(struct delivery *delivery)
{
	if (delivery->session.refused_version)
		process_complain("version", "the collector speaks another version of the protocol; "
					    "spans wait for one that speaks version 1");
}

/* One turn of the connection. */
static void socket_turn(struct delivery *delivery, uint64_t now)
{
	int ret;

	if (delivery->socket.fd < 0) {
		if (now < delivery->retry_at_ns)
			return;
		connection_open(delivery, now);
		if (delivery->socket.fd < 0)
			return;
	}
	ret = socket_write(delivery, now);
	if (ret >= 0)
		ret = socket_read(delivery);
	/* Reading may have brought the handshake to where there is something to say. */
	if (ret >= 0 && secure_active())
		ret = socket_write(delivery, now);
	if (ret >= 0 && delivery->session.state == SESSION_OPEN) {
		delivery->welcomed = true;
		delivery->retry_ms = RETRY_FIRST_MS;
		if (delivery->leaving && delivery_answered(delivery))
			session_leave(&delivery->session,
				ledger_emitted() - delivery->ledger.forgotten, 0,
				ledger_not_sampled());
		ret = socket_write(delivery, now);
	}
	if (ret == -ESTALE) {
		client_renew(delivery);
		return;
	}
	if (ret < 0 ||
		(delivery->session.state == SESSION_HELLO && now >= delivery->welcome_by_ns)) {
		version_complain(delivery);
		denial_complain(delivery);
		connection_fail(delivery, now);
	}
}

/* ---- The file -------------------------------------------------------------------------- */

static int inbox_begin(struct delivery *delivery)
{
	uint8_t frame[SESSION_OUT_BYTES];
	struct session_client self = client_self(false);
	size_t length;
	int ret;

	if (delivery->inbox.file.fd >= 0)
		return 0;
	ret = inbox_open(&delivery->inbox, process.config.path, process.client);
	if (ret < 0)
		return ret;
	length = session_hello_frame(frame, sizeof(frame), &delivery->ledger, &self);
	ret = inbox_append(&delivery->inbox, slice_of(frame, length));
	if (ret < 0)
		inbox_close(&delivery->inbox);
	return ret;
}

/* All that is due, with one sync. */
static int inbox_write(struct delivery *delivery, uint64_t now)
{
	struct slice frame = frame_next(delivery, now);
	int ret;

	if (frame.length == 0)
		return 0;
	ret = inbox_begin(delivery);
	while (ret == 0 && frame.length > 0) {
		ret = inbox_append(&delivery->inbox, frame);
		if (ret == 0)
			frame = frame_next(delivery, now);
	}
	if (ret < 0)
		return ret;
	ret = inbox_sync(&delivery->inbox);
	if (ret == 0)
		ret = ledger_answer(&delivery->ledger, delivery->ledger.next_sequence - 1);
	return ret;
}

static void inbox_turn(struct delivery *delivery, uint64_t now)
{
	int ret;

	if (now < delivery->retry_at_ns)
		return;
	/* Before anything is cut for a file that the host took away. */
	if (delivery->inbox.file.fd >= 0 && !descriptor_check(&delivery->inbox.file))
		client_renew(delivery);
	ret = inbox_write(delivery, now);
	if (ret == 0) {
		delivery->retry_ms = RETRY_FIRST_MS;
		return;
	}
	/* What was not synced is written again, unless this file is not to be trusted any
	 * more, or one of this uuid stands there that we no longer hold: then under a new
	 * uuid into another. */
	if (delivery->inbox.file.fd >= 0 && delivery->inbox.written != delivery->inbox.synced) {
		inbox_close(&delivery->inbox);
		client_renew(delivery);
	} else if (delivery->inbox.file.fd < 0 &&
		   (delivery->ledger.answered > 0 || ret == -EEXIST)) {
		client_renew(delivery);
	}
	connection_fail(delivery, now);
	process_complain("inbox", "cannot write to the directory of WAFT_ENDPOINT: spans wait");
}

static void inbox_leave(struct delivery *delivery)
{
	uint8_t frame[SESSION_OUT_BYTES];
	size_t length;

	if (delivery->inbox.file.fd < 0)
		return;
	length = session_goodbye_frame(frame, sizeof(frame),
		ledger_emitted() - delivery->ledger.forgotten, 0, ledger_not_sampled());
	if (inbox_append(&delivery->inbox, slice_of(frame, length)) == 0)
		(void)inbox_sync(&delivery->inbox);
	inbox_close(&delivery->inbox);
}

/* ---- The whole -------------------------------------------------------------------------- */

void delivery_prepare(struct delivery *delivery, struct timeline *clocks)
{
	delivery->clocks = clocks;
	ledger_init(&delivery->ledger);
	delivery->producer_bytes = config_producer(
		&process.config, process.pid, delivery->producer, sizeof(delivery->producer));
	delivery->retry_ms = RETRY_FIRST_MS;
	memcpy(&delivery->random, process.client, sizeof(delivery->random));
	delivery->random |= 1;
}

int delivery_reserve(struct delivery *delivery)
{
	return delivery->packer.frame != NULL ? 0 : packer_init(&delivery->packer);
}

void delivery_fork_child(struct delivery *delivery)
{
	delivery->welcomed = delivery->urgent = delivery->leaving = false;
	secure_fork_child();
	resolver_fork_child();
	connection_close(delivery);
	inbox_close(&delivery->inbox);
	delivery->retry_at_ns = 0;
	delivery->packer.made = 0;
}

void delivery_turn(struct delivery *delivery, uint64_t now)
{
	if (process.config.endpoint == ENDPOINT_FILE)
		inbox_turn(delivery, now);
	else
		socket_turn(delivery, now);
}

bool delivery_left(const struct delivery *delivery)
{
	if (process.config.endpoint == ENDPOINT_FILE)
		return delivery_answered(delivery);
	if (delivery->session.state == SESSION_DONE && delivery->socket.fd >= 0)
		return true;
	return delivery->socket.fd < 0 && delivery_answered(delivery);
}

uint64_t delivery_until(const struct delivery *delivery, uint64_t now)
{
	bool file = process.config.endpoint == ENDPOINT_FILE;
	bool waits = delivery_waits(delivery);

	if (delivery->socket.fd >= 0 && delivery->session.state == SESSION_HELLO)
		return delivery->welcome_by_ns;
	/* Who was connected comes back even with nothing to send: a collector that began
	 * anew has to hold its region. */
	if (delivery->socket.fd < 0 && !file &&
		(waits || delivery->ledger.count > 0 || delivery->leaving ||
			(delivery->welcomed && config_is_local(&process.config))))
		return delivery->retry_at_ns;
	if (file && delivery->retry_at_ns > now)
		return delivery->retry_at_ns;
	if (waits && delivery->ledger.count < LEDGER_ENTRIES &&
		(file || session_may_send(&delivery->session)))
		return delivery->cut_at_ns + process.config.batch_age_ms * NS_PER_MS;
	return DELIVERY_NEVER;
}

int delivery_poll(struct delivery *delivery, short *ret_events)
{
	bool blocked = secure_active()
			       ? secure_blocked()
			       : delivery->out.length > 0 || delivery->session.out_length > 0;

	/* Whether it is still ours was asked in the turn before, and will be in the next. */
	*ret_events = (short)(blocked ? POLLIN | POLLOUT : POLLIN);
	return delivery->socket.fd;
}

void delivery_close(struct delivery *delivery, bool counted)
{
	if (!counted) {
		inbox_close(&delivery->inbox);
		connection_close(delivery);
		return;
	}
	region_close(&process.region);
	if (process.config.endpoint == ENDPOINT_FILE && delivery_answered(delivery))
		inbox_leave(delivery);
	inbox_close(&delivery->inbox);
	ledger_forget(&delivery->ledger, ledger_emitted());
	connection_close(delivery);
}
