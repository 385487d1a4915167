/*
 * What the two files of the server share: server.c (accepting, time, life) and link.c
 * (one socket with its connection). Loop thread.
 */
#ifndef WAFT_COLLECTOR_SERVER_INTERNAL_H
#define WAFT_COLLECTOR_SERVER_INTERNAL_H

#include "server.h"

#define SERVER_READ_BYTES (256u * 1024)
#define SERVER_QUEUE_LIMIT (1u << 20) /* answers wait */
#define SERVER_PLAIN_BYTES 16384u     /* a TLS record */

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
	bool remote;	  /* not a Unix socket */
	char address[48]; /* of a TCP peer; "": none */
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
	char plain_buffer[SERVER_PLAIN_BYTES];
};

static inline uint64_t server_now_ms(const struct server *server)
{
	return clock_monotonic_ms(server->config.clock);
}

/* ---- server.c ------------------------------------------------------------- */

/* The link's handle is closed: frees it. */
void server_on_link_closed(struct link *link);

/* ---- link.c --------------------------------------------------------------- */

/* What a connection calls of its link. */
extern const struct stream_ops link_ops;

/* Closes at once; calls are closed when the loop comes round. */
void link_end(struct link *link);

/* Says once why a TLS peer is sent away; the peer gets its alert. */
void link_refuse_tls(struct link *link, int status);

/* Notes where a TCP peer is. */
void link_find_address(struct link *link);

#endif
