/*
 * One socket of the server with its connection.
 *
 * The happy path: on_read feeds the connection → it writes frames (uv_try_write, what
 * is left by uv_write) → on EOF or error, or when the connection asks for it, the link
 * closes → server_on_link_closed frees both.
 *
 * A link that is asked to close sends what is queued first, for CLOSE_AFTER_MS at
 * most, and reads no more. A peer that has QUEUE_MAX queued and doesn't read is
 * closed at once. Frames that are not whole are counted; while they are over the
 * budget, links read small pieces, and a link that holds a large one is ended.
 *
 * A link of a TLS listener has a session (tls.h) between the socket and the
 * connection, which is made when the handshake is done and the peer verified.
 */
#include "server_internal.h"

#include "log_line.h"
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES_SHORT 4096u
#define QUEUE_MAX (4u << 20) /* the peer is given up */
#define CLOSE_AFTER_MS 1000
#define CIPHER_BYTES 65536u

/* ---- The end ---------------------------------------------------- */

static void count_frame_bytes(struct link *link, size_t bytes)
{
	link->server->counts.frame_bytes += bytes;
	link->server->counts.frame_bytes -= link->frame_bytes;
	link->frame_bytes = bytes;
}

static void drop_descriptor(struct link *link)
{
	if (link->descriptor < 0)
		return;
	link->server->counts.descriptors++;
	close(link->descriptor);
	link->descriptor = -1;
}

static void on_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	connection_free(link->connection);
	tls_session_free(link->tls);
	drop_descriptor(link);
	server_on_link_closed(link);
}

void link_end(struct link *link)
{
	if (link->state == LINK_CLOSING)
		return;
	link->state = LINK_CLOSING;
	link->server->place_count--;
	if (link->tls != NULL && link->connection == NULL)
		link->server->counts.handshakes--;
	count_frame_bytes(link, 0);
	uv_close(&link->handle, on_closed);
}

static void send_cipher(struct link *link);
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer);
static void on_read(uv_stream_t *uv, ssize_t length, const uv_buf_t *buffer);

/* TCP throws away what the peer hasn't read yet when we close with bytes of it
 * unread: so these are read, and nothing is done with them, until it closes. */
static void linger(struct link *link)
{
	if (uv_shutdown(&link->shutdown, &link->uv, NULL) < 0)
		link_end(link);
	else if (!link->reading && uv_read_start(&link->uv, on_alloc, on_read) < 0)
		link_end(link);
}

static void flush_and_close(struct link *link)
{
	if (link->state != LINK_OPEN)
		return;
	if (link->tls != NULL) {
		tls_session_finish(link->tls);
		send_cipher(link);
		if (link->state != LINK_OPEN)
			return;
	}
	if (link->queued_bytes == 0 && !link->remote) {
		link_end(link);
		return;
	}
	link->state = LINK_FLUSHING;
	link->close_by_ms = server_now_ms(link->server) + CLOSE_AFTER_MS;
	if (link->remote) {
		linger(link);
		return;
	}
	link->reading = false;
	(void)uv_read_stop(&link->uv);
}

/* ---- Writing --------------------------------------------------------------- */

struct write {
	uv_write_t request;
	struct link *link;
	uint8_t *frame;
	size_t length;
};

static void on_written(uv_write_t *request, int status)
{
	struct write *write = request->data;
	struct link *link = write->link;

	link->queued_bytes -= write->length;
	link->server->counts.queued_bytes -= write->length;
	free(write->frame);
	free(write);
	if (status < 0)
		link_end(link);
	else if (link->state == LINK_FLUSHING && link->queued_bytes == 0 && !link->remote)
		link_end(link);
	else if (link->state == LINK_OPEN && link->connection != NULL &&
		 link->queued_bytes < SERVER_QUEUE_LIMIT / 2)
		connection_on_drained(link->connection, server_now_ms(link->server));
}

static void queue_rest(struct link *link, uint8_t *frame, size_t length, size_t sent)
{
	struct write *write = malloc(sizeof(*write));
	uv_buf_t buffer = uv_buf_init((char *)frame + sent, (unsigned int)(length - sent));

	if (write == NULL || link->queued_bytes + length > QUEUE_MAX) {
		link->server->counts.shed++;
		free(write);
		free(frame);
		link_end(link);
		return;
	}
	write->link = link;
	write->frame = frame;
	write->length = length;
	write->request.data = write;
	if (uv_write(&write->request, &link->uv, &buffer, 1, on_written) < 0) {
		free(write);
		free(frame);
		link_end(link);
		return;
	}
	link->queued_bytes += length;
	link->server->counts.queued_bytes += length;
}

/* Bytes as they go over the socket; takes them. */
static void send_bytes(struct link *link, uint8_t *frame, size_t length_bytes)
{
	uv_buf_t buffer = uv_buf_init((char *)frame, (unsigned int)length_bytes);
	int sent = 0;

	if (link->state != LINK_OPEN) {
		free(frame);
		return;
	}
	if (link->queued_bytes == 0) {
		sent = uv_try_write(&link->uv, &buffer, 1);
		if (sent == UV_EAGAIN)
			sent = 0;
	}
	if (sent < 0) {
		free(frame);
		link_end(link);
	} else if ((size_t)sent == length_bytes) {
		free(frame);
	} else {
		queue_rest(link, frame, length_bytes, (size_t)sent);
	}
}

/* What the TLS session has to say. */
static void send_cipher(struct link *link)
{
	size_t pending;

	while (link->state == LINK_OPEN && (pending = tls_session_pending(link->tls)) > 0) {
		size_t length = pending < CIPHER_BYTES ? pending : CIPHER_BYTES;
		uint8_t *bytes = malloc(length);

		if (bytes == NULL) {
			link_end(link);
			return;
		}
		send_bytes(link, bytes, tls_session_take(link->tls, bytes, length));
	}
}

static void link_write(struct stream *stream, uint8_t *frame, size_t length_bytes)
{
	struct link *link = (struct link *)stream;

	if (link->tls == NULL || link->state != LINK_OPEN) {
		send_bytes(link, frame, length_bytes);
		return;
	}
	if (tls_session_write(link->tls, frame, length_bytes) < 0)
		link_end(link);
	else
		send_cipher(link);
	free(frame);
}

static size_t link_queued_bytes(const struct stream *stream)
{
	return ((const struct link *)stream)->queued_bytes;
}

/* ---- Reading --------------------------------------------------------------- */

static bool over_budget(const struct server *server)
{
	return server->counts.frame_bytes > server->config.frame_budget_bytes;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
	struct link *link = handle->data;

	(void)suggested;
	*ret_buffer = uv_buf_init(link->server->read_buffer,
		over_budget(link->server) ? READ_BYTES_SHORT : SERVER_READ_BYTES);
}

static void take_plain(struct link *link, const char *bytes, size_t length)
{
	struct server *server = link->server;

	connection_feed(link->connection, (const uint8_t *)bytes, length, server_now_ms(server));
	if (link->state != LINK_OPEN)
		return;
	count_frame_bytes(link, connection_pending_bytes(link->connection));
	if (over_budget(server) && link->frame_bytes > server->config.frame_budget_bytes / 8) {
		server->counts.shed++;
		connection_shut(link->connection, GRPC_RESOURCE_EXHAUSTED,
			"too many large frames are on their way", 500);
	}
}

void link_find_address(struct link *link)
{
	struct sockaddr_storage address;
	int length = sizeof(address);

	if (uv_tcp_getpeername(&link->tcp, (struct sockaddr *)&address, &length) < 0 ||
		uv_ip_name((struct sockaddr *)&address, link->address, sizeof(link->address)) < 0)
		link->address[0] = '\0';
}

/* The name in the certificate, fit to be written anywhere. */
static void name_peer(const struct link *link, struct peer *peer)
{
	peer->known = tls_session_peer_name(link->tls, peer->name, sizeof(peer->name));
	if (!peer->known)
		peer->name[0] = '\0';
	for (char *at = peer->name; *at != '\0'; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

/* The handshake is done: the connection begins. */
static int admit(struct link *link)
{
	struct server *server = link->server;
	struct peer peer = {0};
	int status;

	name_peer(link, &peer);
	snprintf(peer.address, sizeof(peer.address), "%s", link->address);
	if (peer.known)
		peer.rights = access_of_cert(server->config.access, peer.name);
	status = connection_new(&server->connections, &link->stream, &peer, server_now_ms(server),
		&link->connection);
	if (status == 0)
		server->counts.handshakes--;
	return status;
}

void link_refuse_tls(struct link *link, int status)
{
	const char *why = tls_session_why(link->tls);

	if (link->connection == NULL) {
		link->server->counts.tls_failed++;
		log_warning("no TLS with %s: %s", link->address,
			*why != '\0' ? why : error_text(status));
	}
	flush_and_close(link);
}

static void take_cipher(struct link *link, const char *bytes, size_t length)
{
	char *plain = link->server->plain_buffer;
	long got = tls_session_feed(link->tls, bytes, length);

	while (got == 0 && link->state == LINK_OPEN) {
		got = tls_session_read(link->tls, plain, SERVER_PLAIN_BYTES);
		if (got < 0)
			break;
		if (link->connection == NULL && tls_session_ready(link->tls) && admit(link) < 0) {
			link_end(link);
			return;
		}
		if (got == 0)
			break;
		take_plain(link, plain, (size_t)got);
		got = 0;
	}
	send_cipher(link);
	if (got < 0 && link->state == LINK_OPEN)
		link_refuse_tls(link, (int)got);
}

static void on_carrier_closed(uv_handle_t *handle)
{
	free(handle);
}

/* libuv hands descriptors out as handles only; so one goes into a pipe's, is copied
 * from there, and the pipe is closed. -1: it was closed for lack of something. */
static int next_descriptor(struct link *link)
{
	uv_pipe_t *carrier = malloc(sizeof(*carrier));
	uv_os_fd_t fd;
	int copy = -1;

	if (carrier == NULL || uv_pipe_init(link->server->config.loop, carrier, 0) < 0) {
		free(carrier);
		link_end(link); /* which closes what is queued on it */
		return -1;
	}
	if (uv_accept(&link->uv, (uv_stream_t *)carrier) == 0 &&
		uv_fileno((uv_handle_t *)carrier, &fd) == 0)
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	uv_close((uv_handle_t *)carrier, on_carrier_closed);
	return copy;
}

/* One waits for the hello that it came with; all others were not asked for. */
static void take_descriptors(struct link *link)
{
	while (link->state != LINK_CLOSING && uv_pipe_pending_count(&link->pipe) > 0) {
		int fd = next_descriptor(link);

		if (fd >= 0 && link->descriptor < 0 && !link->descriptor_taken) {
			link->descriptor = fd;
			continue;
		}
		link->server->counts.descriptors++;
		if (fd >= 0)
			close(fd);
	}
}

static int link_take_descriptor(struct stream *stream)
{
	struct link *link = (struct link *)stream;
	int fd = link->descriptor;

	link->descriptor = -1;
	link->descriptor_taken = true;
	return fd;
}

static int link_open_process(struct stream *stream)
{
	struct link *link = (struct link *)stream;
	uv_os_fd_t fd;

	if (link->remote || link->connection == NULL || uv_fileno(&link->handle, &fd) < 0)
		return -ESRCH;
	return peer_pidfd(fd, connection_peer(link->connection)->pid);
}

static void on_read(uv_stream_t *uv, ssize_t length, const uv_buf_t *buffer)
{
	struct link *link = uv->data;

	if (!link->remote)
		take_descriptors(link);
	if (length < 0)
		link_end(link);
	else if (link->state != LINK_OPEN || length == 0)
		return;
	else if (link->tls != NULL)
		take_cipher(link, buffer->base, (size_t)length);
	else
		take_plain(link, buffer->base, (size_t)length);
}

static void link_set_reading(struct stream *stream, bool reading)
{
	struct link *link = (struct link *)stream;

	if (link->state != LINK_OPEN || link->reading == reading)
		return;
	link->reading = reading;
	if (!reading)
		(void)uv_read_stop(&link->uv);
	else if (uv_read_start(&link->uv, on_alloc, on_read) < 0)
		link_end(link);
}

static void link_close(struct stream *stream)
{
	flush_and_close((struct link *)stream);
}

const struct stream_ops link_ops = {
	.write = link_write,
	.queued_bytes = link_queued_bytes,
	.set_reading = link_set_reading,
	.close = link_close,
	.take_descriptor = link_take_descriptor,
	.open_process = link_open_process,
};
