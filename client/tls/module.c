/* libwaft-tls.so: see module.h. */
#include "module.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

/* The host's OpenSSL is the host's: we don't have it taken down at exit (libwaft's last
 * spans go out after that), and when the host does, we are told before. */
static int prepare(void (*before_end)(void))
{
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		return -ENOMEM;
	return OPENSSL_atexit(before_end) == 1 ? 0 : -ENOMEM;
}

static int open_session(const struct tls_config *config, const char *name, struct tls_session **ret,
	char ret_why[TLS_WHY_BYTES])
{
	struct tls_context *context;
	int status = tls_context_new(config, &context, ret_why);

	if (status < 0)
		return status;
	status = tls_session_new(context, name, ret);
	/* The session holds what it needs of it. */
	tls_context_free(context);
	return status;
}

__attribute__((visibility("default"))) extern const struct tls_module waft_tls_module;

const struct tls_module waft_tls_module = {
	.abi = TLS_MODULE_ABI,
	.prepare = prepare,
	.open = open_session,
	.free = tls_session_free,
	.feed = tls_session_feed,
	.read = tls_session_read,
	.write = tls_session_write,
	.take = tls_session_take,
	.ready = tls_session_ready,
	.finish = tls_session_finish,
	.why = tls_session_why,
};
