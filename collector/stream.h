/*
 * What a connection needs of the socket below it, as a table of functions:
 * the daemon puts uv streams in (transport.c), tests a fake.
 *
 * Loop thread. No function calls back into the connection before it returns.
 */
#ifndef WAFT_COLLECTOR_STREAM_H
#define WAFT_COLLECTOR_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;

struct stream_ops {
	/* Sends a whole frame. Takes it (malloc) in any case. A stream whose peer
	 * doesn't read closes itself when too much is queued. */
	void (*write)(struct stream *stream, uint8_t *frame, size_t length_bytes);
	/* Bytes that write took and the kernel has not. */
	size_t (*queued_bytes)(const struct stream *stream);
	/* Stops or resumes reading. */
	void (*set_reading)(struct stream *stream, bool reading);
	/* Closes after what is queued was sent, or after a while. */
	void (*close)(struct stream *stream);
	/* The descriptor that came with what was read, owned by the caller; -1: none. May
	 * be asked once; what comes later is closed. NULL: none ever comes. */
	int (*take_descriptor)(struct stream *stream);
	/* A pidfd of the peer, owned by the caller, or a negative errno. May be NULL. */
	int (*open_process)(struct stream *stream);
};

struct stream {
	const struct stream_ops *ops;
};

enum { PEER_NAME_BYTES = 256 }; /* with NUL */

/* Who is at the other end, as the collector itself found out. */
struct peer {
	bool known;   /* there is something to vouch for: see below */
	bool local;   /* at a Unix socket: uid and gid are its own */
	uint32_t pid; /* of a Unix socket; 0: none, or of another PID namespace */
	uint32_t uid;
	uint32_t gid;
	char name[PEER_NAME_BYTES]; /* of the certificate or token; "": none */
	char address[48];	    /* where a TCP peer is; "": none */
	unsigned int rights;	    /* enum access_right */
};

#endif
