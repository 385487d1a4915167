/*
 * Host names whose addresses a test says. A program that links this has getaddrinfo and
 * freeaddrinfo of its own, also for the libraries it uses. What a name has is set by one
 * thread while nobody looks names up; lookups may come from any.
 */
#ifndef WAFT_TESTS_NAMES_H
#define WAFT_TESTS_NAMES_H

#include <netinet/in.h>
#include <stddef.h>

#define NAMES_ADDRESSES_MAX 4

/* Every name has these IPv4 addresses from now on, at that port (0: the caller's own). */
void names_have(const char *const *hosts, size_t count, in_port_t port);

/* Every lookup fails so (EAI_…); 0: none does. */
void names_fail(int error);

/* Every lookup waits until it may go on. */
void names_hold(void);
void names_release(void);

/* How many there were since names_have. */
unsigned int names_lookups(void);

#endif
