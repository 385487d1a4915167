/*
 * The memory region that a client hands over with its hello (docs/PROTOCOL.md, "Salvage"):
 * from the connection's descriptor to regions.h. Used by export_service.c. Loop thread.
 */
#ifndef WAFT_COLLECTOR_EXPORT_REGION_H
#define WAFT_COLLECTOR_EXPORT_REGION_H

#include "connection.h"
#include "export.h"
#include "regions.h"

#include <stdbool.h>

/* The descriptor that came along, owned by the caller, or -1; those without a use are
 * closed, and none is waited for any longer. *ret_unasked: one came and none was
 * announced. */
int export_region_take(
	struct call *call, struct regions *regions, const struct hello *hello, bool *ret_unasked);

/* Has regions hold it for the client; takes fd, which may be -1. */
void export_region_hold(
	struct call *call, struct regions *regions, const struct hello *hello, int fd);

/* Closes one that is not held; -1: none. */
void export_region_close(int fd);

#endif
