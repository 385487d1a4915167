/*
 * Accepting connections, and looking after them; see link.c for one of them.
 *
 * The happy path: on_incoming accepts → link with a connection → the link lives by
 * itself until it closes → server_on_link_closed frees it.
 *
 * Until the handshake of a TLS link is done a stranger costs a descriptor, a session
 * and at most TLS_HANDSHAKE_LIMIT_BYTES, for HANDSHAKE_MS; of HANDSHAKES_MAX at once,
 * the oldest of the address that has most goes when another comes.
 *
 * Of max_connections, those that have not shown who they are take none from others:
 * when all places are taken, the oldest of them, or one that is leaving, goes.
 */
#include "server_internal.h"

#include "log_line.h"
#include "peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 100
#define HANDSHAKE_MS 5000
#define HANDSHAKES_MAX 64

static void maybe_finish(struct server *server)
{
	if (!server->closing || server->handles > 0)
		return;
	free(server->read_buffer);
	server->on_closed(server->context);
	free(server);
}

/* ---- The end of a link ---------------------------------------------------- */

/* Without links, or connections to try again, there is nothing to look after. */
static void rest_timer(struct server *server)
{
	bool waiting = false;

	for (struct acceptor *acceptor = server->acceptors; acceptor; acceptor = acceptor->next)
		waiting = waiting || acceptor->waiting;
	if (server->link_count == 0 && !waiting && !server->closing)
		(void)uv_timer_stop(&server->timer);
}

void server_on_link_closed(struct link *link)
{
	struct server *server = link->server;

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

	now = server_now_ms(server); /* not before those that were accepted just now */
	for (struct link *link = server->links; link != NULL; link = next) {
		next = link->next;
		if (link->state == LINK_OPEN && link->connection != NULL)
			connection_tick(link->connection, now);
		else if (link->state == LINK_OPEN && now - link->opened_ms >= HANDSHAKE_MS)
			link_refuse_tls(link, -ETIMEDOUT);
		else if (link->state == LINK_FLUSHING && now >= link->close_by_ms)
			link_end(link);
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

static bool is_shaking_hands(const struct link *link)
{
	return link->state == LINK_OPEN && link->tls != NULL && link->connection == NULL;
}

/* Handshakes of the address of `link` that are no newer. The newest stands first. */
static size_t handshakes_from(const struct link *link)
{
	size_t count = 0;

	for (const struct link *at = link; at != NULL; at = at->next)
		count += is_shaking_hands(at) && strcmp(at->address, link->address) == 0;
	return count;
}

/* When there are too many handshakes, ends the oldest of the address that has most. */
static void make_room(struct server *server)
{
	struct link *busiest = NULL;
	struct link *oldest = NULL;
	size_t most = 0;

	if (server->counts.handshakes < HANDSHAKES_MAX)
		return;
	for (struct link *link = server->links; link != NULL; link = link->next) {
		size_t count = is_shaking_hands(link) ? handshakes_from(link) : 0;

		if (count > most) {
			most = count;
			busiest = link;
		}
	}
	for (struct link *link = busiest; link != NULL; link = link->next)
		if (is_shaking_hands(link) && strcmp(link->address, busiest->address) == 0)
			oldest = link;
	if (oldest != NULL) {
		server->counts.tls_failed++;
		link_end(oldest);
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
	link->opened_ms = server_now_ms(server);
	link->remote = acceptor->is_tcp;
	if (acceptor->is_tcp) {
		(void)uv_tcp_nodelay(&link->tcp, 1);
		link_find_address(link);
	}
	if (acceptor->is_tls) {
		status = open_tls(server, link);
	} else {
		peer_of_socket(fd, server->config.access, server->config.groups, &peer);
		snprintf(peer.address, sizeof(peer.address), "%s", link->address);
		status = connection_new(&server->connections, &link->stream, &peer, link->opened_ms,
			&link->connection);
	}
	if (status < 0)
		return status;
	link_ops.set_reading(&link->stream, true);
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
		link_end(oldest);
		return;
	}
	log_warning("refused a connection: %zu are open, as max-connections allows",
		server->place_count - 1);
	if (newest->connection == NULL)
		link_end(newest);
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
		link_end(link);
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
		.quotas = config->quotas,
		.idle_ms = config->idle_ms,
		.queue_limit_bytes = SERVER_QUEUE_LIMIT,
	};
	server->timer.data = server;
	server->read_buffer = malloc(SERVER_READ_BYTES);
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

void server_configure(struct server *server, uint32_t max_connections, uint64_t idle_ms,
	struct peer_groups groups)
{
	server->config.max_connections = max_connections;
	server->config.groups = groups;
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
			link_end(link);
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
			link_end(link);
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
		link_end(link);
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
