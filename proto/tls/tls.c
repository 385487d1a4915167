/* tls.c: see tls.h. */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_context {
	SSL_CTX *ssl;
	bool server;
};

struct tls_session {
	SSL *ssl;
	BIO *in, *out; /* of ssl */
	uint64_t fed;  /* cipher text taken in before the handshake was done */
	char why[TLS_WHY_BYTES];
};

/* ---- Contexts ----------------------------------------------------------- */

/* OpenSSL's own word for the last failure of this thread. */
static const char *last_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	return text ? text : "no reason given";
}

/* A key with a passphrase is refused: OpenSSL would ask on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return 0;
}

static int load_files(SSL_CTX *ssl, const struct tls_config *config, char *why)
{
	const char *what = NULL, *file = NULL;
	if (config->ca_file && SSL_CTX_load_verify_locations(ssl, config->ca_file, NULL) != 1) {
		what = "the trusted certificates";
		file = config->ca_file;
	} else if (!config->ca_file && !config->server &&
		   SSL_CTX_set_default_verify_paths(ssl) != 1) {
		what = "the system's trusted certificates";
		file = "(default)";
	} else if (config->cert_file &&
		   SSL_CTX_use_certificate_chain_file(ssl, config->cert_file) != 1) {
		what = "the certificate";
		file = config->cert_file;
	} else if (config->key_file &&
		   SSL_CTX_use_PrivateKey_file(ssl, config->key_file, SSL_FILETYPE_PEM) != 1) {
		what = "the private key";
		file = config->key_file;
	} else if (config->cert_file && SSL_CTX_check_private_key(ssl) != 1) {
		what = "the private key for the certificate";
		file = config->cert_file;
	}
	if (!what)
		return 0;
	snprintf(why, TLS_WHY_BYTES, "reading %s from %s: %s", what, file, last_reason());
	return -EINVAL;
}

static int check_config(const struct tls_config *config, char *why)
{
	const char *wrong = NULL;
	if (config->server && (!config->cert_file || !config->key_file))
		wrong = "a server needs a certificate and its private key";
	else if (!config->cert_file != !config->key_file)
		wrong = "a certificate and its private key go together";
	else if (config->server && config->peer_cert && !config->ca_file)
		wrong = "client certificates can't be checked without the trusted ones";
	if (!wrong)
		return 0;
	snprintf(why, TLS_WHY_BYTES, "%s", wrong);
	return -EINVAL;
}

int tls_context_new(
	const struct tls_config *config, struct tls_context **ret, char ret_why[TLS_WHY_BYTES])
{
	ret_why[0] = 0;
	int error = check_config(config, ret_why);
	if (error)
		return error;
	ERR_clear_error();
	struct tls_context *context = calloc(1, sizeof(*context));
	SSL_CTX *ssl = SSL_CTX_new(config->server ? TLS_server_method() : TLS_client_method());
	if (!context || !ssl) {
		free(context);
		SSL_CTX_free(ssl);
		return -ENOMEM;
	}
	context->ssl = ssl;
	context->server = config->server;
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(ssl, 0);
	SSL_CTX_set_max_early_data(ssl, 0);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_max_cert_list(ssl, TLS_HANDSHAKE_LIMIT_BYTES / 2);
	int verify = SSL_VERIFY_PEER;
	if (config->server)
		verify = config->ca_file ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
	if (config->server && config->peer_cert)
		verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ssl, verify, NULL);
	error = load_files(ssl, config, ret_why);
	if (error) {
		tls_context_free(context);
		return error;
	}
	*ret = context;
	return 0;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ssl); /* counted: sessions hold it too */
	free(context);
}

/* ---- Sessions ----------------------------------------------------------- */

static bool expect_name(SSL *ssl, const char *name)
{
	struct in6_addr address;
	if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int tls_session_new(struct tls_context *context, const char *name, struct tls_session **ret)
{
	struct tls_session *session = calloc(1, sizeof(*session));
	if (!session)
		return -ENOMEM;
	session->ssl = SSL_new(context->ssl);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (!session->ssl || !in || !out) {
		BIO_free(in);
		BIO_free(out);
		tls_session_free(session);
		return -ENOMEM;
	}
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(session->ssl, in, out); /* takes both */
	session->in = in;
	session->out = out;
	if (context->server) {
		SSL_set_accept_state(session->ssl);
	} else {
		SSL_set_connect_state(session->ssl);
		if (!name || !expect_name(session->ssl, name)) {
			tls_session_free(session);
			return -ENOMEM;
		}
	}
	*ret = session;
	return 0;
}

void tls_session_free(struct tls_session *session)
{
	if (!session)
		return;
	SSL_free(session->ssl);
	free(session);
}

bool tls_session_ready(const struct tls_session *session)
{
	return SSL_is_init_finished(session->ssl) && session->why[0] == 0;
}

int tls_session_feed(struct tls_session *session, const void *data, size_t length_bytes)
{
	if (!SSL_is_init_finished(session->ssl)) {
		session->fed += length_bytes;
		if (session->fed > TLS_HANDSHAKE_LIMIT_BYTES)
			return -EMSGSIZE;
	}
	size_t written;
	if (length_bytes > 0 && (BIO_write_ex(session->in, data, length_bytes, &written) != 1 ||
					written != length_bytes))
		return -ENOMEM;
	return 0;
}

/* Turns OpenSSL's answer into ours and keeps the reason. */
static int failed(struct tls_session *session, int result)
{
	int error = SSL_get_error(session->ssl, result);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return 0;
	if (error == SSL_ERROR_ZERO_RETURN)
		return -ECONNRESET;
	long verify = SSL_get_verify_result(session->ssl);
	if (session->why[0] == 0 && verify != X509_V_OK)
		snprintf(session->why, sizeof(session->why), "the peer's certificate: %s",
			X509_verify_cert_error_string(verify));
	else if (session->why[0] == 0)
		snprintf(session->why, sizeof(session->why), "%s", last_reason());
	return -EPROTO;
}

long tls_session_read(struct tls_session *session, void *ret_data, size_t size_bytes)
{
	size_t length;
	if (session->why[0] != 0)
		return -EPROTO;
	ERR_clear_error();
	int result = SSL_read_ex(session->ssl, ret_data, size_bytes, &length);
	return result == 1 ? (long)length : failed(session, result);
}

int tls_session_write(struct tls_session *session, const void *data, size_t length_bytes)
{
	size_t written;
	if (!tls_session_ready(session))
		return session->why[0] ? -EPROTO : -EAGAIN;
	if (length_bytes == 0)
		return 0;
	ERR_clear_error();
	int result = SSL_write_ex(session->ssl, data, length_bytes, &written);
	if (result == 1)
		return written == length_bytes ? 0 : -ENOMEM;
	int error = failed(session, result);
	return error ? error : -ENOMEM; /* a memory buffer wants nothing but memory */
}

size_t tls_session_pending(const struct tls_session *session)
{
	return BIO_ctrl_pending(session->out);
}

size_t tls_session_take(struct tls_session *session, void *ret_data, size_t size_bytes)
{
	size_t length;
	if (size_bytes == 0 || BIO_read_ex(session->out, ret_data, size_bytes, &length) != 1)
		return 0;
	return length;
}

void tls_session_finish(struct tls_session *session)
{
	if (!tls_session_ready(session))
		return;
	ERR_clear_error();
	SSL_shutdown(session->ssl);
}

const char *tls_session_why(const struct tls_session *session)
{
	return session->why;
}

/* Copies an ASN.1 text that is plain: no NUL inside, and it fits. */
static bool copy_name(const ASN1_STRING *text, char *ret_name, size_t size_bytes)
{
	int length = ASN1_STRING_length(text);
	const unsigned char *data = ASN1_STRING_get0_data(text);
	if (length <= 0 || (size_t)length >= size_bytes || memchr(data, 0, (size_t)length))
		return false;
	memcpy(ret_name, data, (size_t)length);
	ret_name[length] = 0;
	return true;
}

static bool first_dns_name(const X509 *certificate, char *ret_name, size_t size_bytes)
{
	bool found = false;
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && !found; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS)
			found = copy_name(name->d.dNSName, ret_name, size_bytes);
	}
	GENERAL_NAMES_free(names);
	return found;
}

bool tls_session_peer_name(const struct tls_session *session, char *ret_name, size_t size_bytes)
{
	if (!tls_session_ready(session) || SSL_get_verify_result(session->ssl) != X509_V_OK)
		return false;
	X509 *certificate = SSL_get0_peer_certificate(session->ssl);
	if (!certificate)
		return false;
	if (first_dns_name(certificate, ret_name, size_bytes))
		return true;
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0)
		return false;
	return copy_name(
		X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), ret_name, size_bytes);
}
