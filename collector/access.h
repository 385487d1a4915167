/*
 * access.h: who may send, forward, query and administer.
 *
 * Rules are lines of a file of their own (so that tokens' hashes need not be where
 * everybody reads the configuration):
 *
 *     # kind  who                 rights
 *     uid     1000                send query
 *     gid     adm                 query
 *     cert    *.agents.example    forward
 *     token   build-7:9f86d0…     send          (name:SHA-256 of the token, in hex)
 *
 * Several lines may name the same one: rights add up, and several tokens may have
 * the same name, so that they can be changed without a gap. `*` at the beginning
 * of a certificate's name stands for any text.
 *
 * Without a rule: our own uid and root may do everything on the socket, anyone
 * else who can open it may send; nobody may do anything over TCP or TLS. Bytes in, rights out: no
 * I/O but name lookups in the user and group databases when rules are read. An
 * access object doesn't change once it is made; readers may share it.
 */
#ifndef WAFT_COLLECTOR_ACCESS_H
#define WAFT_COLLECTOR_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum access_right {
	ACCESS_SEND = 1 << 0,
	ACCESS_QUERY = 1 << 1,
	ACCESS_ADMIN = 1 << 2,
	ACCESS_FORWARD = 1 << 3, /* what others sent, vouching for who they are */
	ACCESS_ALL = ACCESS_SEND | ACCESS_QUERY | ACCESS_ADMIN | ACCESS_FORWARD,
};

enum {
	ACCESS_NAME_BYTES = 256,   /* with NUL */
	ACCESS_TOKEN_LIMIT = 1024, /* a longer one has no rights */
	ACCESS_WHY_BYTES = 256,
};

struct access;

/* Reads rules. name is for messages. On failure ret_why says file, line, fault and
 * what is allowed. 0, -EINVAL, -ENOMEM. */
__attribute__((warn_unused_result)) int access_new(const char *name, const char *text,
	size_t length_bytes, struct access **ret, char ret_why[ACCESS_WHY_BYTES]);
/* NULL is fine. */
void access_free(struct access *access);

/* Rights of the peer of a Unix socket. groups: its groups, the effective one first.
 * A NULL access has no rules. */
unsigned int access_of_socket(
	const struct access *access, uid_t uid, const gid_t *groups, size_t group_count);

/* Rights of the name in a verified certificate. */
unsigned int access_of_cert(const struct access *access, const char *name);

/* Rights of a bearer token, and the name that it goes by. Takes the same time for each
 * token of a length. */
unsigned int access_of_token(const struct access *access, const char *token, size_t length_bytes,
	char ret_name[ACCESS_NAME_BYTES]);

/* The SHA-256 of a token as it stands in a rule: 64 hex digits and NUL. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int access_hash(
	const char *token, size_t length_bytes, char ret_hex[65]);

#endif
