/*
 * listen.h: a listening TCP socket from HOST:PORT text.
 */
#ifndef ENGINE_LISTEN_H
#define ENGINE_LISTEN_H

#include "fault.h"

enum { LISTEN_ADDRESS_SIZE = 80 };

/* Opens the socket; the caller closes *ret_fd. ret_address: where it really is,
 * in the same form, a port of 0 filled in. */
int listen_open(const char *text, int *ret_fd, char ret_address[LISTEN_ADDRESS_SIZE],
	struct fault *fault) __attribute__((warn_unused_result));

#endif
