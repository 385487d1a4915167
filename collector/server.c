/*
 * Sockets and connections.
 *
 * The happy path: on_incoming accepts → link with a connection → on_read feeds
 * it → it writes frames (uv_try_write, what is left by uv_write) → on EOF or
 * error, or when the connection asks for it, the link closes → on_link_closed
 * frees both.
 *
 * A link that is asked to close sends what is queued first, for CLOSE_AFTER_MS at
 * most, and reads no more. A peer that has QUEUE_MAX queued and doesn't read is
 * closed at once. Frames that are not whole are counted; while they are over the
 * budget, links read small pieces, and a link that holds a large one is ended.
 *
 * A link of a TLS listener has a session (tls.h) between the socket and the
 * connection, which is made when the handshake is done and the peer verified.
 * Until then a stranger costs a descriptor, a session and at most
 * TLS_HANDSHAKE_LIMIT_BYTES, for HANDSHAKE_MS; of HANDSHAKES_MAX at once, the
 * oldest goes when another comes.
 *
 * Of max_connections, those that have not shown who they are take none from others:
 * when all places are taken, the oldest of them, or one that is leaving, goes.
 */
#include "server.h"

#include "log_line.h"
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (256u * 1024)
#define READ_BYTES_SHORT 4096u
#define QUEUE_LIMIT (1u << 20) /* answers wait */
#define QUEUE_MAX (4u << 20)   /* the peer is given up */
#define TICK_MS 100
#define CLOSE_AFTER_MS 1000
#define PLAIN_BYTES 16384u /* a TLS record */
#define CIPHER_BYTES 65536u
#define HANDSHAKE_MS 5000
#define HANDSHAKES_MAX 64

enum link_state {
	LINK_OPEN,
	LINK_FLUSHING, /* asked to close: sends what is queued */
	LINK_CLOSING,  /* uv_close was called */
};

struct link {
	struct stream stream; /* first: the connection's */
	enum link_state state;
	struct server *server;
	union {
		uv_handle_t handle;
		uv_stream_t uv;
		uv_pipe_t pipe;
		uv_tcp_t tcp;
	};
	struct connection *connection; /* NULL until a TLS handshake is done */
	int descriptor;		       /* that came and nobody took yet; -1: none */
	bool descriptor_taken;	       /* no more are wanted */
	struct tls_session *tls;       /* NULL: plain */
	uint64_t opened_ms;
	uv_shutdown_t shutdown;
	bool remote; /* not a Unix socket */
	size_t queued_bytes;
	size_t frame_bytes; /* as counted in the server */
	uint64_t close_by_ms;
	bool reading;
	struct link *next;
	struct link *previous;
};

struct acceptor {
	struct acceptor *next;
	struct server *server;
	bool is_tcp;
	bool is_tls;
	bool closing;
	bool waiting; /* a connection that there was no memory for; libuv takes no other before */
	union {
		uv_handle_t handle;
		uv_stream_t uv;
		uv_pipe_t pipe;
		uv_tcp_t tcp;
	};
};

struct server {
	struct server_config config;
	struct connection_config connections;
	struct connection_counts frames;
	struct acceptor *acceptors;
	struct link *links;
	size_t link_count;
	size_t place_count; /* links that are not LINK_CLOSING */
	uv_timer_t timer;
	size_t handles; /* that are open: acceptors, links, timer */
	bool closing;
	struct server_counts counts;
	void (*on_closed)(void *context);
	void *context;
	char *read_buffer; /* one for all: a read's bytes are fed at once */
	char plain_buffer[PLAIN_BYTES];
};

static void maybe_finish(struct server *server)
{
	if (!server->closing || server->handles > 0)
		return;
	free(server->read_buffer);
	server->on_closed(server->context);
	free(server);
}

static uint64_t now_ms(const struct server *server)
{
	return clock_monotonic_ms(server->config.clock);
}

/* ---- The end of a link ---------------------------------------------------- */

static void count_frame_bytes(struct link *link, size_t bytes)
{
	link->server->counts.frame_bytes += bytes;
	link->server->counts.frame_bytes -= link->frame_bytes;
	link->frame_bytes = bytes;
}

/* Without links, or connections to try again, there is nothing to look after. */
static void rest_timer(struct server *server)
{
	bool waiting = false;

	for (struct acceptor *acceptor = server->acceptors; acceptor; acceptor = acceptor->next)
		waiting = waiting || acceptor->waiting;
	if (server->link_count == 0 && !waiting && !server->closing)
		(void)uv_timer_stop(&server->timer);
}

static void drop_descriptor(struct link *link)
{
	if (link->descriptor < 0)
		return;
	link->server->counts.descriptors++;
	close(link->descriptor);
	link->descriptor = -1;
}

static void on_link_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;
	struct server *server = link->server;

	connection_free(link->connection);
	tls_session_free(link->tls);
	drop_descriptor(link);
	if (link->previous != NULL)
		link->previous->next = link->next;
	else
		server->links = link->next;
	if (link->next != NULL)
		link->next->previous = link->previous;
	server->handles--;
	server->link_count--;
	rest_timer(server);
	free(link);
	maybe_finish(server);
}

/* At once; calls are closed when the loop comes round. */
static void close_link(struct link *link)
{
	if (link->state == LINK_CLOSING)
		return;
	link->state = LINK_CLOSING;
	link->server->place_count--;
	if (link->tls != NULL && link->connection == NULL)
		link->server->counts.handshakes--;
	count_frame_bytes(link, 0);
	uv_close(&link->handle, on_link_closed);
}

static void send_cipher(struct link *link);
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer);
static void on_read(uv_stream_t *uv, ssize_t length, const uv_buf_t *buffer);

/* TCP throws away what the peer hasn't read yet when we close with bytes of it
 * unread: so these are read, and nothing is done with them, until it closes. */
static void linger(struct link *link)
{
	if (uv_shutdown(&link->shutdown, &link->uv, NULL) < 0)
		close_link(link);
	else if (!link->reading && uv_read_start(&link->uv, on_alloc, on_read) < 0)
		close_link(link);
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
		close_link(link);
		return;
	}
	link->state = LINK_FLUSHING;
	link->close_by_ms = now_ms(link->server) + CLOSE_AFTER_MS;
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
		close_link(link);
	else if (link->state == LINK_FLUSHING && link->queued_bytes == 0 && !link->remote)
		close_link(link);
	else if (link->state == LINK_OPEN && link->connection != NULL &&
		 link->queued_bytes < QUEUE_LIMIT / 2)
		connection_on_drained(link->connection, now_ms(link->server));
}

static void queue_rest(struct link *link, uint8_t *frame, size_t length, size_t sent)
{
	struct write *write = malloc(sizeof(*write));
	uv_buf_t buffer = uv_buf_init((char *)frame + sent, (unsigned int)(length - sent));

	if (write == NULL || link->queued_bytes + length > QUEUE_MAX) {
		link->server->counts.shed++;
		free(write);
		free(frame);
		close_link(link);
		return;
	}
	write->link = link;
	write->frame = frame;
	write->length = length;
	write->request.data = write;
	if (uv_write(&write->request, &link->uv, &buffer, 1, on_written) < 0) {
		free(write);
		free(frame);
		close_link(link);
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
		close_link(link);
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
			close_link(link);
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
		close_link(link);
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
		over_budget(link->server) ? READ_BYTES_SHORT : READ_BYTES);
}

static void take_plain(struct link *link, const char *bytes, size_t length)
{
	struct server *server = link->server;

	connection_feed(link->connection, (const uint8_t *)bytes, length, now_ms(server));
	if (link->state != LINK_OPEN)
		return;
	count_frame_bytes(link, connection_pending_bytes(link->connection));
	if (over_budget(server) && link->frame_bytes > server->config.frame_budget_bytes / 8) {
		server->counts.shed++;
		connection_shut(link->connection, GRPC_RESOURCE_EXHAUSTED,
			"too many large frames are on their way", 500);
	}
}

/* Where a peer's bytes come from, for messages. */
static const char *address_of(const struct link *link, char text[64])
{
	struct sockaddr_storage address;
	int length = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "?";

	if (uv_tcp_getpeername(&link->tcp, (struct sockaddr *)&address, &length) == 0)
		(void)uv_ip_name((struct sockaddr *)&address, host, sizeof(host));
	snprintf(text, 64, "%s", host);
	return text;
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
	if (peer.known)
		peer.rights = access_of_cert(server->config.access, peer.name);
	status = connection_new(
		&server->connections, &link->stream, &peer, now_ms(server), &link->connection);
	if (status == 0)
		server->counts.handshakes--;
	return status;
}

/* Says once why a TLS peer is sent away; the peer gets its alert. */
static void refuse_tls(struct link *link, int status)
{
	const char *why = tls_session_why(link->tls);
	char address[64];

	if (link->connection == NULL) {
		link->server->counts.tls_failed++;
		log_warning("no TLS with %s: %s", address_of(link, address),
			*why != '\0' ? why : error_text(status));
	}
	flush_and_close(link);
}

static void take_cipher(struct link *link, const char *bytes, size_t length)
{
	char *plain = link->server->plain_buffer;
	long got = tls_session_feed(link->tls, bytes, length);

	while (got == 0 && link->state == LINK_OPEN) {
		got = tls_session_read(link->tls, plain, PLAIN_BYTES);
		if (got < 0)
			break;
		if (link->connection == NULL && tls_session_ready(link->tls) && admit(link) < 0) {
			close_link(link);
			return;
		}
		if (got == 0)
			break;
		take_plain(link, plain, (size_t)got);
		got = 0;
	}
	send_cipher(link);
	if (got < 0 && link->state == LINK_OPEN)
		refuse_tls(link, (int)got);
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
		close_link(link); /* which closes what is queued on it */
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
		close_link(link);
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
		close_link(link);
}

static void link_close(struct stream *stream)
{
	flush_and_close((struct link *)stream);
}

static const struct stream_ops link_ops = {
	.write = link_write,
	.queued_bytes = link_queued_bytes,
	.set_reading = link_set_reading,
	.close = link_close,
	.take_descriptor = link_take_descriptor,
	.open_process = link_open_process,
};

/* ---- Time ------------------------------------------------------------------ */

static void on_incoming(uv_stream_t *uv, int status);

static void on_tick(uv_timer_t *timer)
{
	struct server *server = timer->data;
	struct link *next;
	uint64_t now;

	for (struct acceptor *acceptor = server->acceptors; acceptor; acceptor = acceptor->next)
		if (acceptor->waiting && !acceptor->closing)
			on_incoming(&acceptor->uv, 0);
	rest_timer(server);

	now = now_ms(server); /* not before those that were accepted just now */
	for (struct link *link = server->links; link != NULL; link = next) {
		next = link->next;
		if (link->state == LINK_OPEN && link->connection != NULL)
			connection_tick(link->connection, now);
		else if (link->state == LINK_OPEN && now - link->opened_ms >= HANDSHAKE_MS)
			refuse_tls(link, -ETIMEDOUT);
		else if (link->state == LINK_FLUSHING && now >= link->close_by_ms)
			close_link(link);
	}
}

/* ---- Accepting ------------------------------------------------------------- */

static int init_link(struct server *server, struct link *link, bool is_tcp)
{
	int status = is_tcp ? uv_tcp_init(server->config.loop, &link->tcp)
			    : uv_pipe_init(server->config.loop, &link->pipe, 1);

	if (status < 0)
		return status;
	link->descriptor = -1;
	link->handle.data = link;
	link->server = server;
	link->stream.ops = &link_ops;
	link->next = server->links;
	if (server->links != NULL)
		server->links->previous = link;
	server->links = link;
	if (server->link_count++ == 0)
		(void)uv_timer_start(&server->timer, on_tick, TICK_MS, TICK_MS);
	server->place_count++;
	server->handles++;
	return 0;
}

/* Ends the oldest handshake when there are too many. */
static void make_room(struct server *server)
{
	struct link *oldest = NULL;

	if (server->counts.handshakes < HANDSHAKES_MAX)
		return;
	/* The newest link stands first. */
	for (struct link *link = server->links; link != NULL; link = link->next)
		if (link->state == LINK_OPEN && link->tls != NULL && link->connection == NULL)
			oldest = link;
	if (oldest != NULL) {
		server->counts.tls_failed++;
		close_link(oldest);
	}
}

static int open_tls(struct server *server, struct link *link)
{
	int status;

	make_room(server);
	status = tls_session_new(server->config.tls, NULL, &link->tls);
	if (status == 0)
		server->counts.handshakes++;
	return status;
}

static int open_link(struct acceptor *acceptor, struct link *link)
{
	struct server *server = acceptor->server;
	struct peer peer;
	uv_os_fd_t fd;
	int status = uv_accept(&acceptor->uv, &link->uv);

	if (status == 0)
		status = uv_fileno(&link->handle, &fd);
	if (status < 0)
		return status;
	link->opened_ms = now_ms(server);
	link->remote = acceptor->is_tcp;
	if (acceptor->is_tcp)
		(void)uv_tcp_nodelay(&link->tcp, 1);
	if (acceptor->is_tls) {
		status = open_tls(server, link);
	} else {
		peer_of_socket(fd, server->config.access, server->config.query_gid, &peer);
		status = connection_new(&server->connections, &link->stream, &peer, link->opened_ms,
			&link->connection);
	}
	if (status < 0)
		return status;
	link_set_reading(&link->stream, true);
	return 0;
}

static bool is_stranger(const struct link *link)
{
	return link->state == LINK_FLUSHING ||
	       (link->state == LINK_OPEN &&
		       (link->connection == NULL || connection_is_stranger(link->connection)));
}

/* A link more than there are places: a stranger goes for it, else it is sent away. */
static void hold_places(struct server *server, struct link *newest)
{
	struct link *oldest = NULL;

	if (server->place_count <= server->config.max_connections)
		return;
	server->counts.refused++;
	for (struct link *link = newest->next; link != NULL; link = link->next)
		if (is_stranger(link))
			oldest = link;
	if (oldest != NULL) {
		close_link(oldest);
		return;
	}
	log_warning("refused a connection: %zu are open, as max-connections allows",
		server->place_count - 1);
	if (newest->connection == NULL)
		close_link(newest);
	else
		connection_shut(newest->connection, GRPC_RESOURCE_EXHAUSTED,
			"too many connections are open", 1000);
}

static void on_incoming(uv_stream_t *uv, int status)
{
	struct acceptor *acceptor = uv->data;
	struct server *server = acceptor->server;
	struct link *link;

	if (status < 0) {
		/* No descriptors, mostly: the backlog waits until some are free. */
		log_warning("can't accept a connection: %s", uv_strerror(status));
		return;
	}
	link = calloc(1, sizeof(*link));
	acceptor->waiting = link == NULL || init_link(server, link, acceptor->is_tcp) < 0;
	if (acceptor->waiting) {
		log_warning("can't accept a connection now: out of memory");
		free(link);
		(void)uv_timer_start(&server->timer, on_tick, TICK_MS, TICK_MS);
		return;
	}
	status = open_link(acceptor, link);
	if (status < 0) {
		log_warning("can't take a connection: %s", uv_strerror(status));
		close_link(link);
		return;
	}
	server->counts.accepted++;
	hold_places(server, link);
}

static void on_acceptor_closed(uv_handle_t *handle)
{
	struct acceptor *acceptor = handle->data;
	struct server *server = acceptor->server;
	struct acceptor **at = &server->acceptors;

	while (*at != acceptor)
		at = &(*at)->next;
	*at = acceptor->next;
	free(acceptor);
	server->handles--;
	maybe_finish(server);
}

int server_listen(struct server *server, const struct listener *listener)
{
	struct acceptor *acceptor = calloc(1, sizeof(*acceptor));
	int status;

	if (acceptor == NULL)
		return -ENOMEM;
	acceptor->server = server;
	acceptor->is_tcp = listener->tcp;
	acceptor->is_tls = listener->tls;
	status = listener->tcp ? uv_tcp_init(server->config.loop, &acceptor->tcp)
			       : uv_pipe_init(server->config.loop, &acceptor->pipe, 0);
	if (status < 0) {
		free(acceptor);
		return status;
	}
	acceptor->handle.data = acceptor;
	acceptor->next = server->acceptors;
	server->acceptors = acceptor;
	server->handles++;
	status = listener->tcp ? uv_tcp_open(&acceptor->tcp, listener->fd)
			       : uv_pipe_open(&acceptor->pipe, listener->fd);
	if (status == 0)
		status = uv_listen(&acceptor->uv, 511, on_incoming);
	if (status < 0) {
		acceptor->closing = true;
		uv_close(&acceptor->handle, on_acceptor_closed);
	}
	return status;
}

/* ---- Life ------------------------------------------------------------------ */

int server_new(const struct server_config *config, struct server **ret)
{
	struct server *server = calloc(1, sizeof(*server));
	int status;

	if (server == NULL)
		return -ENOMEM;
	server->config = *config;
	server->connections = (struct connection_config){
		.methods = config->methods,
		.method_count = config->method_count,
		.counts = &server->frames,
		.access = config->access,
		.idle_ms = config->idle_ms,
		.queue_limit_bytes = QUEUE_LIMIT,
	};
	server->timer.data = server;
	server->read_buffer = malloc(READ_BYTES);
	status =
		server->read_buffer == NULL ? -ENOMEM : uv_timer_init(config->loop, &server->timer);
	if (status < 0) {
		free(server->read_buffer);
		free(server);
		return status;
	}
	server->handles = 1;
	*ret = server;
	return 0;
}

void server_configure(
	struct server *server, uint32_t max_connections, uint64_t idle_ms, gid_t query_gid)
{
	server->config.max_connections = max_connections;
	server->config.query_gid = query_gid;
	server->connections.idle_ms = idle_ms;
}

void server_secure(
	struct server *server, const struct access *access, struct tls_context *tls, bool all)
{
	server->config.access = access;
	server->connections.access = access;
	server->config.tls = tls;
	for (struct link *link = server->links; link != NULL; link = link->next) {
		if (link->state != LINK_OPEN || (!all && !link->remote))
			continue;
		if (link->connection == NULL)
			close_link(link);
		else
			connection_shut(link->connection, GRPC_UNAVAILABLE,
				"the rules or certificates here have changed: connect again", 0);
	}
}

void server_stop_accepting(struct server *server)
{
	for (struct acceptor *at = server->acceptors; at != NULL; at = at->next) {
		if (!at->closing) {
			at->closing = true;
			uv_close(&at->handle, on_acceptor_closed);
		}
	}
}

void server_shut(struct server *server, enum grpc_status status, const char *message,
	uint32_t retry_after_ms)
{
	for (struct link *link = server->links; link != NULL; link = link->next) {
		if (link->state != LINK_OPEN)
			continue;
		if (link->connection == NULL)
			close_link(link);
		else
			connection_shut(link->connection, status, message, retry_after_ms);
	}
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	server->handles--;
	maybe_finish(server);
}

void server_close(struct server *server, void (*on_closed)(void *context), void *context)
{
	server->closing = true;
	server->on_closed = on_closed;
	server->context = context;
	server_stop_accepting(server);
	for (struct link *link = server->links; link != NULL; link = link->next)
		close_link(link);
	uv_close((uv_handle_t *)&server->timer, on_timer_closed);
}

size_t server_open_connections(const struct server *server)
{
	return server->place_count;
}

void server_count(const struct server *server, struct server_counts *ret)
{
	*ret = server->counts;
	ret->connections = server->place_count;
	ret->frames = server->frames;
}
