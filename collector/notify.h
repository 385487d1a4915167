/*
 * Talks to the service manager, if there is one (sd_notify(3), sd_listen_fds(3)).
 * Loop thread.
 */
#ifndef WAFT_COLLECTOR_NOTIFY_H
#define WAFT_COLLECTOR_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "RELOADING=1" …; failures are nobody's concern. */
void notify_send(const char *state);

/* "STATUS=" and the text. */
void notify_status(const char *text);

/* How often the manager wants to hear "WATCHDOG=1", in ms; 0: never. */
uint64_t notify_watchdog_ms(void);

/* Sockets that the manager passed; the first is at *ret_first_fd. Their number. */
int notify_listen_fds(int *ret_first_fd);

#endif
