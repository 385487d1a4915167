/*
 * Error codes of the tree: 0, a negative errno, or one of the codes below,
 * which lie beyond errno's range. And the canonical gRPC status codes with
 * which calls end (https://grpc.io/docs/guides/status-codes/).
 *
 * Everything here is pure and thread-safe.
 */
#ifndef WAFT_PROTO_ERRORS_H
#define WAFT_PROTO_ERRORS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum error_code {
	ERR_FIRST = -10000,
	ERR_TRUNCATED,	     /* ends in the middle of a value */
	ERR_MALFORMED,	     /* not what the format allows */
	ERR_LIMIT,	     /* larger, deeper or more than the format allows */
	ERR_NO_ROOM,	     /* the output buffer is full */
	ERR_MAGIC,	     /* a frame that does not begin with WAFT */
	ERR_VERSION,	     /* a frame of a version that is not spoken here */
	ERR_CHECKSUM,	     /* CRC-32C differs */
	ERR_SHAPE,	     /* a span names a shape that its batch does not have, or one twice */
	ERR_CLOCK,	     /* a batch whose clock cannot be converted */
	ERR_ORDER,	     /* a message or field where it must not stand */
	ERR_AMBIGUOUS,	     /* an id that could mean several */
	ERR_LAST,	     /* one more than the last of the list above */
	ERR_STATUS = -11000, /* ERR_STATUS - code: a call ended with that gRPC status */
};

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
	GRPC_STATUSES
};

/* A constant text for 0, a negative errno or a code of ours; never NULL. */
const char *error_text(int error);

/* "INVALID_ARGUMENT"; for a number that is no status, "UNKNOWN". */
const char *grpc_status_name(unsigned int status);

/* The status that tells a peer of the error; 0 is OK, what has no better one
 * is INTERNAL. */
enum grpc_status error_to_grpc(int error);

/* The error for a status a peer sent; OK is 0. error_to_grpc gives the same
 * status back. A number that is no status counts as UNKNOWN. */
int error_from_grpc(unsigned int status);

#endif
