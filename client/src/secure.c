/* See secure.h. */
#include "secure.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <waft/waft.h>

#include "../tls/module.h"
#include "process.h"

enum { RECORD_BYTES = 16384, CIPHER_BYTES = 20000 };

#define MODULE_FILE "libwaft-tls.so"

static struct {
	/* Held around each call into the module: the host's exit takes it for good. */
	pthread_mutex_t lock;
	bool over; /* by lock */

	const struct tls_module *module;
	struct tls_session *session;
	const char *host;
	bool was_ready;
	size_t out_at;
	size_t out_length;
	uint8_t out[CIPHER_BYTES]; /* to be sent */
	uint8_t in[CIPHER_BYTES];
} secure = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- The module ------------------------------------------------------------------ */

/* The host's OpenSSL is about to go, before our own end: what can be sent is sent
 * now. Runs in the host's exit. */
static void before_end(void)
{
	bool connected = __atomic_load_n(&secure.was_ready, __ATOMIC_ACQUIRE);

	if (connected && process_is_running())
		(void)waft_flush(process.config.exit_timeout_ms);
	pthread_mutex_lock(&secure.lock);
	secure.over = true;
	pthread_mutex_unlock(&secure.lock);
}

static void *module_load(void)
{
	Dl_info self;
	char path[CONFIG_PATH_BYTES];
	void *handle = NULL;
	const char *slash = NULL;

	if (dladdr((void *)&secure, &self) != 0 && self.dli_fname != NULL)
		slash = strrchr(self.dli_fname, '/');
	if (slash != NULL &&
		snprintf(path, sizeof(path), "%.*s/" MODULE_FILE, (int)(slash - self.dli_fname),
			self.dli_fname) < (int)sizeof(path))
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return handle != NULL ? handle : dlopen(MODULE_FILE, RTLD_NOW | RTLD_LOCAL);
}

static int module_complain(const char *why)
{
	char text[512];

	snprintf(text, sizeof(text),
		"the endpoint is tls://, but " MODULE_FILE " can't be used, and nothing is sent: "
		"%.300s",
		why != NULL ? why : "no reason given");
	process_complain("tls module", text);
	return -ELIBACC;
}

static int module_want(void)
{
	const struct tls_module *module;
	void *handle;

	if (secure.module != NULL)
		return 0;
	handle = module_load();
	if (handle == NULL)
		return module_complain(dlerror());
	module = dlsym(handle, TLS_MODULE_SYMBOL);
	if (module == NULL || module->abi != TLS_MODULE_ABI)
		return module_complain("it is of another version");
	if (module->prepare(before_end) < 0)
		return module_complain("OpenSSL does not start");
	secure.module = module;
	return 0;
}

/* ---- A session -------------------------------------------------------------------- */

static int fail(const char *why)
{
	char text[600];

	snprintf(text, sizeof(text), "no TLS with %.200s, spans wait: %.300s", secure.host, why);
	process_complain("tls", text);
	return -EPROTO;
}

static const char *file_of(const char *path)
{
	return *path != '\0' ? path : NULL;
}

static int begin(const struct config *config)
{
	const struct tls_config files = {
		.ca_file = file_of(config->tls_ca),
		.cert_file = file_of(config->tls_cert),
		.key_file = file_of(config->tls_key),
	};
	char why[TLS_WHY_BYTES] = "";
	int ret = module_want();

	if (ret < 0)
		return ret;
	secure.out_at = secure.out_length = 0;
	ret = secure.module->open(&files, config->path, &secure.session, why);
	if (ret < 0) {
		secure.session = NULL;
		return fail(*why != '\0' ? why : "there is no memory");
	}
	return 0;
}

int secure_begin(const struct config *config)
{
	int ret;

	secure.host = config->path;
	pthread_mutex_lock(&secure.lock);
	ret = secure.over ? -ESHUTDOWN : begin(config);
	pthread_mutex_unlock(&secure.lock);
	return ret;
}

bool secure_active(void)
{
	return secure.session != NULL;
}

bool secure_blocked(void)
{
	return secure.out_at < secure.out_length;
}

/* Sends the cipher text there is: 1, 0 when the socket is full, or a negative errno. */
static int flush(struct descriptor *socket)
{
	for (;;) {
		ssize_t sent;

		if (secure.out_at == secure.out_length) {
			secure.out_at = 0;
			secure.out_length =
				secure.module->take(secure.session, secure.out, sizeof(secure.out));
			if (secure.out_length == 0)
				return 1;
		}
		if (!descriptor_check(socket))
			return -EBADF;
		sent = send(socket->fd, secure.out + secure.out_at,
			secure.out_length - secure.out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 0 : -errno;
		secure.out_at += (size_t)sent;
	}
}

static int send_locked(struct descriptor *socket, struct slice *bytes)
{
	int ret = flush(socket);

	while (ret == 1 && bytes->length > 0) {
		size_t part = bytes->length < RECORD_BYTES ? bytes->length : RECORD_BYTES;

		ret = secure.module->write(secure.session, bytes->data, part);
		if (ret == -EAGAIN)
			return 0;
		if (ret < 0)
			return fail(secure.module->why(secure.session));
		bytes->data += part;
		bytes->length -= part;
		ret = flush(socket);
	}
	return ret;
}

int secure_send(struct descriptor *socket, struct slice *bytes)
{
	int ret = -ESHUTDOWN;

	pthread_mutex_lock(&secure.lock);
	if (!secure.over)
		ret = send_locked(socket, bytes);
	pthread_mutex_unlock(&secure.lock);
	return ret;
}

static ssize_t receive_locked(struct descriptor *socket, void *ret_bytes, size_t size)
{
	for (;;) {
		long read = secure.module->read(secure.session, ret_bytes, size);
		ssize_t got;
		int ret;

		if (read == -ECONNRESET)
			return read;
		if (read < 0) {
			(void)flush(socket); /* the alert, that says why */
			return fail(secure.module->why(secure.session));
		}
		if (secure.module->ready(secure.session))
			__atomic_store_n(&secure.was_ready, true, __ATOMIC_RELEASE);
		if (read > 0)
			return read;
		if (!descriptor_check(socket))
			return -EBADF;
		got = recv(socket->fd, secure.in, sizeof(secure.in), MSG_DONTWAIT);
		if (got < 0)
			return errno == EINTR || errno == ENOTCONN ? -EAGAIN : -errno;
		if (got == 0)
			return -ECONNRESET;
		ret = secure.module->feed(secure.session, secure.in, (size_t)got);
		if (ret < 0)
			return fail("the collector sends too much");
	}
}

ssize_t secure_receive(struct descriptor *socket, void *ret_bytes, size_t size)
{
	ssize_t ret = -ESHUTDOWN;

	pthread_mutex_lock(&secure.lock);
	if (!secure.over)
		ret = receive_locked(socket, ret_bytes, size);
	pthread_mutex_unlock(&secure.lock);
	return ret;
}

void secure_end(struct descriptor *socket)
{
	if (secure.session == NULL)
		return;
	pthread_mutex_lock(&secure.lock);
	if (!secure.over) {
		secure.module->finish(secure.session);
		(void)flush(socket);
		secure.module->free(secure.session);
	}
	pthread_mutex_unlock(&secure.lock);
	secure.session = NULL;
	secure.out_at = secure.out_length = 0;
}

/* Its memory is left: freeing would take locks that another thread of the parent may
 * have held. */
void secure_fork_child(void)
{
	secure.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	secure.session = NULL;
	secure.out_at = secure.out_length = 0;
	secure.was_ready = false;
}
