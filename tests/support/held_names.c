/*
 * Lookups of host names that never end, for programs that are loaded with this before
 * libc (LD_PRELOAD): each opens the FIFO that HELD_NAMES names, which tells who
 * reads it that it was made, and waits from then on.
 */
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((visibility("default"))) int getaddrinfo(
	const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	const char *path = getenv("HELD_NAMES");

	(void)name;
	(void)service;
	(void)hints;
	(void)ret;
	if (path == NULL || open(path, O_WRONLY | O_CLOEXEC) < 0)
		return EAI_FAIL;
	for (;;)
		(void)pause();
}
