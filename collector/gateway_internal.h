/*
 * What the two files of the connection to a gateway share: gateway.c (states, shares,
 * answers) and gateway_socket.c (bytes). The forwarding's thread.
 */
#ifndef WAFT_COLLECTOR_GATEWAY_INTERNAL_H
#define WAFT_COLLECTOR_GATEWAY_INTERNAL_H

#include "gateway.h"

#include "address.h"
#include "frame.h"
#include "tls.h"

#include <string.h>

#define GATEWAY_PAUSE_LAST_MS 5000u
#define GATEWAY_TICK_MS 250u
#define GATEWAY_BYTES_MAX 65536u
#define GATEWAY_WHY_BYTES 320u

enum gateway_state {
	GATEWAY_WAITING,    /* for the timer → RESOLVING, CONNECTING */
	GATEWAY_RESOLVING,  /* → CONNECTING, WAITING */
	GATEWAY_CONNECTING, /* → SHAKING, GREETING, WAITING */
	GATEWAY_SHAKING,    /* → GREETING, WAITING */
	GATEWAY_GREETING,   /* → OPEN, WAITING */
	GATEWAY_OPEN,	    /* → WAITING */
	GATEWAY_CLOSING,
};

/* A socket and its watcher, which outlives it by a round of the loop. */
struct wire {
	uv_poll_t poll;
	int fd;
	struct gateway *gateway; /* NULL: it has left this one */
};

struct gateway {
	struct gateway_config config;
	enum gateway_state state;
	uv_timer_t timer;
	uv_getaddrinfo_t lookup;
	bool looking_up;
	unsigned int turn; /* whose it is of the addresses that the name has */
	struct wire *wire; /* NULL: not connected */
	struct tls_session *tls;
	struct frame_reader frames;
	/* Shares, oldest first; those before `next` were sent on this connection. */
	struct share *shares;
	struct share **shares_end;
	struct share *next;
	uint64_t first_number; /* of `shares` on this connection */
	uint64_t next_number;  /* of `next` */
	uint64_t sent_bytes;   /* of payloads behind the hello */
	uint64_t credit_bytes;
	uint64_t refused; /* on this connection */
	/* What is being written: a frame in `control`, a share's, or cipher text. */
	const uint8_t *out;
	size_t out_length;
	struct share *sending; /* the share that `out` is of */
	uint8_t control[4096];
	size_t control_length; /* waits to be written */
	uint8_t cipher[GATEWAY_BYTES_MAX];
	uint8_t in[GATEWAY_BYTES_MAX];
	uint64_t due_ms;  /* since when an answer is due; 0: none is */
	uint64_t down_ms; /* since when it is not open */
	uint64_t pause_ms;
	uint64_t wait_ms; /* asked for by a STATUS */
	uint32_t jitter;
	bool said;		/* why it is not open */
	struct address address; /* of tls:// and tcp:// */
	char why[GATEWAY_WHY_BYTES];
	struct gateway_counts counts;
	bool timer_closed;
	void (*on_closed)(void *context);
	void *closed_context;
};

static inline bool gateway_is_tls(const struct gateway *gateway)
{
	return strncmp(gateway->config.endpoint, "tls://", 6) == 0;
}

static inline uint64_t gateway_now_ms(const struct gateway *gateway)
{
	return uv_now(gateway->config.loop);
}

/* ---- gateway.c --------------------------------------------------------------- */

/* Ends the connection, or the try, and comes back later. */
void gateway_fail(struct gateway *gateway, const char *why);
void gateway_fail_errno(struct gateway *gateway, const char *what, int error);
void gateway_fail_tls(struct gateway *gateway, int error);

/* Comes back after that time. */
void gateway_wait(struct gateway *gateway, uint64_t wait_ms);
void gateway_on_timer(uv_timer_t *timer);

/* The socket, or TLS on it, is there: sends call and hello. */
void gateway_greet(struct gateway *gateway);

/* Bytes of frames came. */
void gateway_take_bytes(struct gateway *gateway, const uint8_t *bytes, size_t length);

/* Sends what can be sent, and waits for the socket. */
void gateway_go_on(struct gateway *gateway);

/* Goes on with gateway_close when a handle or a lookup has ended. */
void gateway_finish_close(struct gateway *gateway);

/* ---- gateway_socket.c ---------------------------------------------------------- */

/* Looks the address up and connects. */
void gateway_begin(struct gateway *gateway);

/* The socket can be read or written. */
void gateway_on_ready(uv_poll_t *poll, int status, int events);

/* Stops watching it; it is closed and freed when the loop comes round. */
void gateway_leave_wire(struct wire *wire);

#endif
