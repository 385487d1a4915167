/* The service manager, by libsystemd. Loop thread. */
#include "notify.h"

#include <stdio.h>
#include <systemd/sd-daemon.h>

void notify_send(const char *state)
{
	(void)sd_notify(0, state);
}

void notify_status(const char *text)
{
	(void)sd_notifyf(0, "STATUS=%s", text);
}

uint64_t notify_watchdog_ms(void)
{
	uint64_t period_us = 0;

	return sd_watchdog_enabled(0, &period_us) > 0 ? period_us / 1000 : 0;
}

int notify_listen_fds(int *ret_first_fd)
{
	int count = sd_listen_fds(1);

	*ret_first_fd = SD_LISTEN_FDS_START;
	return count > 0 ? count : 0;
}
