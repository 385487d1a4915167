/*
 * /waft.v1.Admin: reload, flush, log level, clients. For those with the right `admin`.
 *
 * Unary; all but Flush are answered at once. What they do is in a table of functions, so
 * that this knows calls only. Loop thread.
 */
#ifndef WAFT_COLLECTOR_ADMIN_SERVICE_H
#define WAFT_COLLECTOR_ADMIN_SERVICE_H

#include "answers.h"
#include "connection.h"

#include <stdbool.h>

enum { ADMIN_METHODS = 4 };

struct admin_service;

/* Each fills the answer of the call with that stream id. */
struct admin_ops {
	void (*reload)(void *context, uint32_t stream_id, struct answer *ret);
	/* After the answer of reload was sent: connections may end. */
	void (*reloaded)(void *context);
	void (*log_level)(void *context, const char *level, uint32_t stream_id, struct answer *ret);
	void (*clients)(void *context, uint32_t stream_id, struct answer *ret);
	/* Begins to write all that is held now; *ret_from is for flushed. */
	void (*flush)(void *context, uint64_t *ret_from);
	/* Whether all that was held then is written, or can't be: then the answer is filled. */
	bool (*flushed)(void *context, uint64_t from, uint32_t stream_id, struct answer *ret);
};

/* Borrows ops. 0 or -ENOMEM. */
int admin_service_new(
	const struct admin_ops *ops, void *context, struct admin_service **ret) MUST_CHECK;

/* After all connections were closed. NULL is ignored. */
void admin_service_free(struct admin_service *service);

/* Its entries for connection_config's table; returns how many: ADMIN_METHODS. */
size_t admin_service_methods(struct admin_service *service, struct service_method *ret_methods);

/* Something was written, or failed: asks flushed of those who wait. */
void admin_service_on_progress(struct admin_service *service);

#endif
