/*
 * Addresses of a host name, without waiting: a thread of its own asks the
 * system, since that can take as long as it likes. The sender's alone.
 */
#ifndef WAFT_CLIENT_RESOLVER_H
#define WAFT_CLIENT_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct resolver_address {
	struct sockaddr_storage address;
	socklen_t length;
};

/* The next address of the name, each once, in the system's order; then it is looked up
 * anew. host may be an address. 0; -EINPROGRESS: ask again soon; -ENOENT: there is
 * no such host (resolver_problem); -ETIMEDOUT: no answer in 10 s; -EAGAIN: too
 * many earlier questions still wait. */
int resolver_next(
	const char *host, uint16_t port, uint64_t now_ns, struct resolver_address *ret_address);

/* A lookup runs, or there are addresses that were not given out yet. */
bool resolver_busy(void);

/* What the system said when there was no such host. */
const char *resolver_problem(void);

/* In a child of fork(): the thread is not there any more. */
void resolver_fork_child(void);

#endif
