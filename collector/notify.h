/*
 * Talks to the service manager, if there is one (sd_notify(3), sd_listen_fds(3)).
 * Loop thread.
 */
#ifndef WAFT_COLLECTOR_NOTIFY_H
#define WAFT_COLLECTOR_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* "READY=1", "STOPPING=1", "RELOADING=1" …; failures are nobody's concern. */
void notify_send(const char *state);

/* "STATUS=" and the text. */
void notify_status(const char *text);

/* How often the manager wants to hear "WATCHDOG=1", in ms; 0: never. */
uint64_t notify_watchdog_ms(void);

/* A descriptor that the manager passed: a socket, or what it was given to keep. */
struct notify_fd {
	int fd;
	char name[256];
};

/* Those that the manager passed; owned by the caller (free). Their number. */
int notify_listen_fds(struct notify_fd **ret_fds);

/* Has the manager keep a descriptor under a name for the next start; false: there is no
 * manager. And no longer. */
bool notify_store_fd(int fd, const char *name);
void notify_unstore_fd(const char *name);

#endif
