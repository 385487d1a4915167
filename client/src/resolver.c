/*
 * See resolver.h. A lookup belongs to the sender and to its thread; whoever lets go
 * last frees it. One that takes too long is left to itself.
 */
#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESSES_MAX = 8, LOOKUPS_MAX = 4, STACK_BYTES = 256 * 1024, HOST_BYTES = 256 };

#define TIMEOUT_NS (UINT64_C(10) * 1000000000)

struct lookup {
	uint32_t owners; /* atomic */
	uint32_t done;	 /* atomic; what follows is set */
	int error;	 /* EAI_… */
	uint32_t count;
	struct resolver_address addresses[ADDRESSES_MAX];
	char host[HOST_BYTES];
};

static uint32_t running; /* atomic: threads that are not done */

static struct {
	struct lookup *lookup; /* that runs */
	uint64_t started_ns;
	uint32_t count;
	uint32_t next;
	struct resolver_address addresses[ADDRESSES_MAX];
	int error;
} resolver;

static void lookup_release(struct lookup *lookup)
{
	if (__atomic_sub_fetch(&lookup->owners, 1, __ATOMIC_ACQ_REL) == 0)
		free(lookup);
}

static void *lookup_main(void *arg)
{
	struct lookup *lookup = arg;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found = NULL;

	pthread_setname_np(pthread_self(), "waft-resolver");
	lookup->error = getaddrinfo(lookup->host, NULL, &hints, &found);
	if (lookup->error == 0) {
		for (struct addrinfo *at = found; at != NULL && lookup->count < ADDRESSES_MAX;
			at = at->ai_next) {
			struct resolver_address *to = &lookup->addresses[lookup->count];

			if (at->ai_addrlen > sizeof(to->address))
				continue;
			memcpy(&to->address, at->ai_addr, at->ai_addrlen);
			to->length = at->ai_addrlen;
			lookup->count++;
		}
		freeaddrinfo(found);
	}
	__atomic_store_n(&lookup->done, 1, __ATOMIC_RELEASE);
	__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL);
	lookup_release(lookup);
	return NULL;
}

static int thread_start(struct lookup *lookup)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	int ret;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attributes, lookup_main, lookup);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return ret;
}

static int lookup_start(const char *host, uint64_t now_ns)
{
	struct lookup *lookup;

	if (strlen(host) >= HOST_BYTES)
		return -ENAMETOOLONG;
	if (__atomic_add_fetch(&running, 1, __ATOMIC_ACQ_REL) > LOOKUPS_MAX) {
		__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL);
		return -EAGAIN;
	}
	lookup = calloc(1, sizeof(*lookup));
	if (lookup != NULL) {
		lookup->owners = 2;
		memcpy(lookup->host, host, strlen(host) + 1);
	}
	if (lookup == NULL || thread_start(lookup) != 0) {
		__atomic_sub_fetch(&running, 1, __ATOMIC_ACQ_REL);
		free(lookup);
		return -ENOMEM;
	}
	resolver.lookup = lookup;
	resolver.started_ns = now_ns;
	return -EINPROGRESS;
}

/* Looks whether the lookup is done. */
static int lookup_poll(uint64_t now_ns)
{
	struct lookup *lookup = resolver.lookup;
	bool done = __atomic_load_n(&lookup->done, __ATOMIC_ACQUIRE) != 0;

	if (!done && now_ns - resolver.started_ns < TIMEOUT_NS)
		return -EINPROGRESS;
	resolver.lookup = NULL;
	resolver.next = resolver.count = 0;
	resolver.error = done ? lookup->error : 0;
	if (done && lookup->error == 0) {
		resolver.count = lookup->count;
		memcpy(resolver.addresses, lookup->addresses, sizeof(resolver.addresses));
	}
	lookup_release(lookup);
	if (!done)
		return -ETIMEDOUT;
	return resolver.count > 0 ? 0 : -ENOENT;
}

/* An address as it stands: nobody is asked. */
static bool is_address(const char *host, struct resolver_address *ret_address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret_address->address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret_address->address;

	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		ret_address->length = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		ret_address->length = sizeof(*in6);
		return true;
	}
	return false;
}

static void set_port(struct resolver_address *address, uint16_t port)
{
	if (address->address.ss_family == AF_INET)
		((struct sockaddr_in *)&address->address)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)&address->address)->sin6_port = htons(port);
}

int resolver_next(
	const char *host, uint16_t port, uint64_t now_ns, struct resolver_address *ret_address)
{
	int ret = 0;

	if (!is_address(host, ret_address)) {
		if (resolver.lookup != NULL)
			ret = lookup_poll(now_ns);
		else if (resolver.next == resolver.count)
			ret = lookup_start(host, now_ns);
		if (ret < 0)
			return ret;
		*ret_address = resolver.addresses[resolver.next++];
	}
	set_port(ret_address, port);
	return 0;
}

bool resolver_busy(void)
{
	return resolver.lookup != NULL || resolver.next < resolver.count;
}

const char *resolver_problem(void)
{
	return resolver.error != 0 ? gai_strerror(resolver.error) : "it has no address";
}

void resolver_fork_child(void)
{
	resolver.lookup = NULL;
	resolver.next = resolver.count = 0;
	__atomic_store_n(&running, 0, __ATOMIC_RELEASE);
}
