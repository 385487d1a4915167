/*
 * tls.h: TLS 1.3 without a socket: cipher text in, plain text out, and back.
 *
 * Both sides use it: the collector's connections on their loop, and the module that
 * libwaft loads for tls:// endpoints. OpenSSL does the work, over memory; no call
 * blocks or touches a descriptor. TLS 1.3 only, no early data, no tickets, no
 * compression. Nothing passes before the peer is who it must be.
 *
 * A context is made once and shared by sessions of any thread; it is counted, so
 * that one that was replaced (new certificates) lives as long as its sessions. A session is used by
 * one thread at a time.
 */
#ifndef WAFT_PROTO_TLS_H
#define WAFT_PROTO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"

enum {
	TLS_WHY_BYTES = 256,
	/* What a peer may send before its handshake is done: a certificate chain
	 * and some room. */
	TLS_HANDSHAKE_LIMIT_BYTES = 65536,
};

struct tls_config {
	bool server;
	const char *ca_file;   /* PEM; whom to trust. Client, NULL: the system's */
	const char *cert_file; /* PEM chain; a server must have one */
	const char *key_file;  /* PEM */
	bool peer_cert;	       /* server: refuse a client without a certificate of ca_file's */
};

struct tls_context;
struct tls_session;

/* Reads the files. On failure ret_why says which one and why. 0, -EINVAL, -ENOMEM. */
int tls_context_new(const struct tls_config *config, struct tls_context **ret,
	char ret_why[TLS_WHY_BYTES]) MUST_CHECK;
void tls_context_free(struct tls_context *context);

/* name: client: the server's host name or address that its certificate must
 * have; server: NULL. 0 or -ENOMEM. */
int tls_session_new(
	struct tls_context *context, const char *name, struct tls_session **ret) MUST_CHECK;
void tls_session_free(struct tls_session *session);

/* Takes cipher text that came from the peer. 0; -EMSGSIZE: too much before the handshake
 * was done; -ENOMEM. Then call read. */
int tls_session_feed(struct tls_session *session, const void *data, size_t length_bytes) MUST_CHECK;

/* Goes on with the handshake and reads plain text: how many bytes, 0 when more
 * cipher text is needed, -ECONNRESET: the peer closed in order, -EPROTO: see
 * tls_session_why. Call it until it gives 0, then take. */
long tls_session_read(struct tls_session *session, void *ret_data, size_t size_bytes) MUST_CHECK;

/* Takes plain text to encrypt: all of it. -EAGAIN before the handshake is done,
 * -EPROTO, -ENOMEM. */
int tls_session_write(
	struct tls_session *session, const void *data, size_t length_bytes) MUST_CHECK;

/* Moves cipher text to send into data: how many bytes. */
size_t tls_session_take(struct tls_session *session, void *ret_data, size_t size_bytes);
/* Cipher text that waits to be taken. */
size_t tls_session_pending(const struct tls_session *session);

/* The handshake is done and the peer verified. */
bool tls_session_ready(const struct tls_session *session);
/* Says good-bye to the peer; take what is pending then. */
void tls_session_finish(struct tls_session *session);

/* Why it failed, for a person; "" when it hasn't. */
const char *tls_session_why(const struct tls_session *session);

/* The name in the peer's verified certificate: its first DNS name, else its common
 * name. false when it has none. */
bool tls_session_peer_name(const struct tls_session *session, char *ret_name, size_t size_bytes);

#endif
