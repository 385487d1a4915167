/*
 * Texts of error codes and their mapping to gRPC status codes. Pure tables,
 * used everywhere; any thread.
 */
#include "errors.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct {
	int error;
	enum grpc_status status;
	const char *text;
} own_errors[] = {
	{ERR_TRUNCATED, GRPC_INVALID_ARGUMENT, "message ends in the middle of a value"},
	{ERR_MALFORMED, GRPC_INVALID_ARGUMENT, "message is malformed"},
	{ERR_LIMIT, GRPC_INVALID_ARGUMENT, "message exceeds a limit of the protocol"},
	{ERR_NO_ROOM, GRPC_RESOURCE_EXHAUSTED, "no room left in the output buffer"},
	{ERR_MAGIC, GRPC_INVALID_ARGUMENT, "not a waft frame"},
	{ERR_VERSION, GRPC_UNIMPLEMENTED, "protocol version not spoken here"},
	{ERR_CHECKSUM, GRPC_DATA_LOSS, "checksum does not match"},
	{ERR_SHAPE, GRPC_INVALID_ARGUMENT, "shape is unknown to the batch or defined twice"},
	{ERR_CLOCK, GRPC_INVALID_ARGUMENT, "clock of the batch cannot be converted"},
	{ERR_ORDER, GRPC_FAILED_PRECONDITION, "message out of order"},
	{ERR_AMBIGUOUS, GRPC_FAILED_PRECONDITION, "id is ambiguous"},
};

static const char *const status_names[GRPC_STATUSES] = {"OK", "CANCELLED", "UNKNOWN",
	"INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};

static const char *const status_texts[GRPC_STATUSES] = {"success", "peer: cancelled",
	"peer: unknown error", "peer: invalid argument", "peer: deadline exceeded",
	"peer: not found", "peer: already exists", "peer: permission denied",
	"peer: resource exhausted", "peer: failed precondition", "peer: aborted",
	"peer: out of range", "peer: unimplemented", "peer: internal error", "peer: unavailable",
	"peer: data loss", "peer: unauthenticated"};

static const struct {
	int error;
	enum grpc_status status;
} errno_statuses[] = {
	{EINVAL, GRPC_INVALID_ARGUMENT},
	{EILSEQ, GRPC_INVALID_ARGUMENT},
	{E2BIG, GRPC_INVALID_ARGUMENT},
	{ENOENT, GRPC_NOT_FOUND},
	{EEXIST, GRPC_ALREADY_EXISTS},
	{EACCES, GRPC_PERMISSION_DENIED},
	{EPERM, GRPC_PERMISSION_DENIED},
	{ENOMEM, GRPC_RESOURCE_EXHAUSTED},
	{ENOBUFS, GRPC_RESOURCE_EXHAUSTED},
	{EMFILE, GRPC_RESOURCE_EXHAUSTED},
	{ENFILE, GRPC_RESOURCE_EXHAUSTED},
	{EDQUOT, GRPC_RESOURCE_EXHAUSTED},
	{ENOSPC, GRPC_RESOURCE_EXHAUSTED},
	{ETIMEDOUT, GRPC_DEADLINE_EXCEEDED},
	{ECANCELED, GRPC_CANCELLED},
	{ENOSYS, GRPC_UNIMPLEMENTED},
	{EOPNOTSUPP, GRPC_UNIMPLEMENTED},
	{EAGAIN, GRPC_UNAVAILABLE},
	{EBUSY, GRPC_UNAVAILABLE},
	{ECONNREFUSED, GRPC_UNAVAILABLE},
	{ECONNRESET, GRPC_UNAVAILABLE},
	{EPIPE, GRPC_UNAVAILABLE},
	{ESHUTDOWN, GRPC_UNAVAILABLE},
	{EBADMSG, GRPC_DATA_LOSS},
	{ERANGE, GRPC_OUT_OF_RANGE},
};

static int is_peer_status(int error)
{
	return error <= ERR_STATUS && error > ERR_STATUS - GRPC_STATUSES;
}

const char *error_text(int error)
{
	const char *text;

	if (error == 0)
		return "success";
	if (is_peer_status(error))
		return status_texts[ERR_STATUS - error];
	for (size_t i = 0; i < sizeof(own_errors) / sizeof(own_errors[0]); i++)
		if (own_errors[i].error == error)
			return own_errors[i].text;
	/* strerrordesc_np: constant, not translated, thread-safe. */
	text = error < 0 && error > -4096 ? strerrordesc_np(-error) : NULL;
	return text != NULL ? text : "unknown error";
}

const char *grpc_status_name(unsigned int status)
{
	return status < GRPC_STATUSES ? status_names[status] : status_names[GRPC_UNKNOWN];
}

enum grpc_status error_to_grpc(int error)
{
	if (error == 0)
		return GRPC_OK;
	if (is_peer_status(error))
		return (enum grpc_status)(ERR_STATUS - error);
	for (size_t i = 0; i < sizeof(own_errors) / sizeof(own_errors[0]); i++)
		if (own_errors[i].error == error)
			return own_errors[i].status;
	for (size_t i = 0; i < sizeof(errno_statuses) / sizeof(errno_statuses[0]); i++)
		if (errno_statuses[i].error == -error)
			return errno_statuses[i].status;
	return GRPC_INTERNAL;
}

int error_from_grpc(unsigned int status)
{
	if (status == GRPC_OK)
		return 0;
	return ERR_STATUS - (int)(status < GRPC_STATUSES ? status : GRPC_UNKNOWN);
}
