/*
 * What libwaft wants of libwaft-tls.so, which it loads for tls:// endpoints only, so
 * that its hosts need no OpenSSL: one table of functions. The sender thread
 * alone calls them.
 */
#ifndef WAFT_CLIENT_TLS_MODULE_H
#define WAFT_CLIENT_TLS_MODULE_H

#include "tls.h"

/* Changes with this table; library and module must agree. */
#define TLS_MODULE_ABI 1u
#define TLS_MODULE_SYMBOL "waft_tls_module"

struct tls_module {
	uint32_t abi;
	/* Once, before all else. before_end is called when the host's OpenSSL is about
	 * to be taken down (at exit): no function may be called after it. 0 or a
	 * negative errno. */
	int (*prepare)(void (*before_end)(void));
	/* Reads the files and begins a session with the server of that name. 0,
	 * -EINVAL (ret_why), -ENOMEM. */
	int (*open)(const struct tls_config *config, const char *name, struct tls_session **ret,
		char ret_why[TLS_WHY_BYTES]);
	/* As in tls.h. */
	void (*free)(struct tls_session *session);
	int (*feed)(struct tls_session *session, const void *data, size_t length_bytes);
	long (*read)(struct tls_session *session, void *ret_data, size_t size_bytes);
	int (*write)(struct tls_session *session, const void *data, size_t length_bytes);
	size_t (*take)(struct tls_session *session, void *ret_data, size_t size_bytes);
	bool (*ready)(const struct tls_session *session);
	void (*finish)(struct tls_session *session);
	const char *(*why)(const struct tls_session *session);
};

#endif
