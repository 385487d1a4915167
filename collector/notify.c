/* The service manager, by libsystemd. Loop thread. */
#include "notify.h"

#include <stdio.h>
#include <stdlib.h>
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

bool notify_store_fd(int fd, const char *name)
{
	char state[320];

	snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", name);
	return sd_pid_notify_with_fds(0, 0, state, &fd, 1) > 0;
}

void notify_unstore_fd(const char *name)
{
	char state[320];

	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	(void)sd_notify(0, state);
}

int notify_listen_fds(struct notify_fd **ret_fds)
{
	struct notify_fd *fds = NULL;
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);

	if (count > 0)
		fds = calloc((size_t)count, sizeof(*fds));
	for (int i = 0; i < count; i++) {
		if (fds != NULL) {
			fds[i].fd = SD_LISTEN_FDS_START + i;
			snprintf(fds[i].name, sizeof(fds[i].name), "%s", names[i]);
		}
		free(names[i]);
	}
	free((void *)names);
	*ret_fds = fds;
	return fds != NULL ? count : 0;
}
