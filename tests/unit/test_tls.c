/* TLS without a socket: who gets through, who doesn't and why, and that plain text
 * arrives however the cipher text is cut. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/certs.h"
#include "support/program.h"
#include "tls.h"

static char *directory;

static const char *file(const char *name)
{
	static char paths[8][512];
	static unsigned int next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static int group_setup(void **state)
{
	(void)state;
	directory = scratch_new();
	struct authority *ca = authority_new(file("ca.pem"));
	struct authority *other = authority_new(file("other-ca.pem"));
	authority_issue(ca, "collector", "collector.test", "127.0.0.1", 5, file("server.pem"),
		file("server.key"));
	authority_issue(ca, "agent-7", NULL, NULL, 5, file("client.pem"), file("client.key"));
	authority_issue(ca, "old", NULL, NULL, -1, file("expired.pem"), file("expired.key"));
	authority_issue(ca, "old", "collector.test", NULL, -1, file("old-server.pem"),
		file("old-server.key"));
	authority_issue(other, "agent-7", NULL, NULL, 5, file("foreign.pem"), file("foreign.key"));
	authority_free(ca);
	authority_free(other);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	scratch_remove(directory);
	return 0;
}

struct ends {
	struct tls_session *client, *server;
	long client_result, server_result; /* of the last read that failed */
	char got[2][4096];		   /* [0] by the client, [1] by the server */
	size_t length[2];
};

static struct tls_session *start(bool server, const char *ca, const char *cert, const char *key,
	bool peer_cert, const char *name)
{
	struct tls_config config = {.server = server, .peer_cert = peer_cert};
	struct tls_context *context;
	struct tls_session *session;
	char why[TLS_WHY_BYTES];
	config.ca_file = ca;
	config.cert_file = cert;
	config.key_file = key;
	assert_int_equal(tls_context_new(&config, &context, why), 0);
	assert_int_equal(tls_session_new(context, name, &session), 0);
	tls_context_free(context);
	return session;
}

/* Reads all there is; what one end has to send goes to the other in pieces. */
static bool pump_one(
	struct tls_session *from, struct tls_session *to, size_t piece, struct ends *ends, int who)
{
	char text[512], cipher[512];
	bool moved = false;
	long n;
	while ((n = tls_session_read(from, text, sizeof(text))) > 0) {
		memcpy(ends->got[who] + ends->length[who], text, (size_t)n);
		ends->length[who] += (size_t)n;
	}
	*(who ? &ends->server_result : &ends->client_result) = n;
	size_t length;
	while ((length = tls_session_take(from, cipher, piece)) > 0) {
		assert_int_equal(tls_session_feed(to, cipher, length), 0);
		moved = true;
	}
	return moved;
}

static void pump(struct ends *ends, size_t piece)
{
	bool moved;
	do {
		moved = pump_one(ends->client, ends->server, piece, ends, 0);
		moved |= pump_one(ends->server, ends->client, piece, ends, 1);
	} while (moved);
}

static void done(struct ends *ends)
{
	tls_session_free(ends->client);
	tls_session_free(ends->server);
}

static struct ends meet(const char *client_cert, const char *client_key, bool peer_cert,
	const char *server_cert, const char *server_key, const char *ca, const char *name)
{
	struct ends ends = {0};
	ends.client = start(false, ca, client_cert, client_key, false, name);
	ends.server = start(true, file("ca.pem"), server_cert, server_key, peer_cert, NULL);
	pump(&ends, 100);
	return ends;
}

static void test_text_passes_in_any_pieces(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 300; piece += 23) {
		struct ends ends = {0};
		char name[64];
		ends.client = start(false, file("ca.pem"), file("client.pem"), file("client.key"),
			false, "collector.test");
		ends.server = start(
			true, file("ca.pem"), file("server.pem"), file("server.key"), true, NULL);
		assert_int_equal(tls_session_write(ends.client, "early", 5), -EAGAIN);
		pump(&ends, piece);
		assert_true(tls_session_ready(ends.client) && tls_session_ready(ends.server));
		assert_int_equal(tls_session_write(ends.client, "hello", 5), 0);
		assert_int_equal(tls_session_write(ends.server, "welcome", 7), 0);
		pump(&ends, piece);
		assert_int_equal(ends.length[1], 5);
		assert_memory_equal(ends.got[1], "hello", 5);
		assert_int_equal(ends.length[0], 7);
		assert_memory_equal(ends.got[0], "welcome", 7);
		assert_true(tls_session_peer_name(ends.server, name, sizeof(name)));
		assert_string_equal(name, "agent-7");
		assert_true(tls_session_peer_name(ends.client, name, sizeof(name)));
		assert_string_equal(name, "collector.test");
		tls_session_finish(ends.client);
		pump(&ends, piece);
		assert_int_equal(ends.server_result, -ECONNRESET);
		done(&ends);
	}
}

static void test_server_refuses(void **state)
{
	(void)state;
	const char *certs[][2] = {
		{NULL, NULL}, {"expired.pem", "expired.key"}, {"foreign.pem", "foreign.key"}};
	const char *reasons[] = {"peer did not return", "expired", "signature failure"};
	for (size_t i = 0; i < 3; i++) {
		struct ends ends = meet(certs[i][0] ? file(certs[i][0]) : NULL,
			certs[i][1] ? file(certs[i][1]) : NULL, true, file("server.pem"),
			file("server.key"), file("ca.pem"), "collector.test");
		assert_false(tls_session_ready(ends.server));
		assert_int_equal(ends.server_result, -EPROTO);
		assert_int_equal(ends.client_result, -EPROTO);
		if (!strstr(tls_session_why(ends.server), reasons[i]))
			fail_msg("why: %s", tls_session_why(ends.server));
		assert_int_equal(tls_session_write(ends.server, "x", 1), -EPROTO);
		done(&ends);
	}
}

static void test_client_refuses(void **state)
{
	(void)state;
	struct {
		const char *cert, *key, *ca, *name, *why;
	} cases[] = {
		{"server.pem", "server.key", "ca.pem", "elsewhere.test", "ostname mismatch"},
		{"server.pem", "server.key", "ca.pem", "127.0.0.2", "IP address mismatch"},
		{"server.pem", "server.key", "other-ca.pem", "collector.test", "certificate"},
		{"old-server.pem", "old-server.key", "ca.pem", "collector.test", "expired"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ends ends = meet(file("client.pem"), file("client.key"), true,
			file(cases[i].cert), file(cases[i].key), file(cases[i].ca), cases[i].name);
		assert_false(tls_session_ready(ends.client));
		assert_int_equal(ends.client_result, -EPROTO);
		if (!strstr(tls_session_why(ends.client), cases[i].why))
			fail_msg("why: %s", tls_session_why(ends.client));
		done(&ends);
	}
}

static void test_optional_client_certificate(void **state)
{
	(void)state;
	char name[64];
	struct ends ends = meet(NULL, NULL, false, file("server.pem"), file("server.key"),
		file("ca.pem"), "127.0.0.1");
	assert_true(tls_session_ready(ends.client) && tls_session_ready(ends.server));
	assert_false(tls_session_peer_name(ends.server, name, sizeof(name)));
	done(&ends);
}

/* A stranger can't make a server hold more than the limit. */
static void test_garbage_is_bounded(void **state)
{
	(void)state;
	struct tls_session *server =
		start(true, file("ca.pem"), file("server.pem"), file("server.key"), true, NULL);
	char garbage[1024], text[16];
	memset(garbage, 'A', sizeof(garbage));
	assert_int_equal(tls_session_feed(server, garbage, sizeof(garbage)), 0);
	assert_int_equal(tls_session_read(server, text, sizeof(text)), -EPROTO);
	size_t fed = sizeof(garbage);
	int error;
	while ((error = tls_session_feed(server, garbage, sizeof(garbage))) == 0) {
		fed += sizeof(garbage);
		assert_true(fed <= TLS_HANDSHAKE_LIMIT_BYTES);
	}
	assert_int_equal(error, -EMSGSIZE);
	tls_session_free(server);
}

static void test_configuration_errors_name_the_file(void **state)
{
	(void)state;
	struct tls_context *context = NULL;
	char why[TLS_WHY_BYTES];
	struct tls_config config = {.server = true};
	assert_int_equal(tls_context_new(&config, &context, why), -EINVAL);
	assert_non_null(strstr(why, "server needs a certificate"));
	config.cert_file = file("missing.pem");
	config.key_file = file("server.key");
	assert_int_equal(tls_context_new(&config, &context, why), -EINVAL);
	assert_non_null(strstr(why, "missing.pem"));
	config.cert_file = file("server.pem");
	config.key_file = file("client.key");
	assert_int_equal(tls_context_new(&config, &context, why), -EINVAL);
	config.key_file = file("server.key");
	config.peer_cert = true;
	assert_int_equal(tls_context_new(&config, &context, why), -EINVAL);
	assert_null(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_passes_in_any_pieces),
		cmocka_unit_test(test_server_refuses),
		cmocka_unit_test(test_client_refuses),
		cmocka_unit_test(test_optional_client_certificate),
		cmocka_unit_test(test_garbage_is_bounded),
		cmocka_unit_test(test_configuration_errors_name_the_file),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
