/*
 * log.c: see log.h.
 */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The journal reads standard error when JOURNAL_STREAM is its device and inode
 * (systemd.exec(5)); elsewhere a prefix would only be in the way. */
static bool journal_reads(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat status;
	char actual[64];
	if (stream == NULL || fstat(STDERR_FILENO, &status) < 0)
		return false;
	snprintf(actual, sizeof(actual), "%ju:%ju", (uintmax_t)status.st_dev,
		(uintmax_t)status.st_ino);
	return strcmp(stream, actual) == 0;
}

/* Priorities as in syslog.h; sd-daemon(3) says how stderr carries them. */
__attribute__((format(printf, 2, 0))) static void log_line(
	int priority, const char *format, va_list args)
{
	char prefix[8] = "";
	if (journal_reads())
		snprintf(prefix, sizeof(prefix), "<%d>", priority);
	char line[1024];
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	fprintf(stderr, "%swaft-engined: %s\n", prefix, line);
}

void log_warning(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line(4, format, args);
	va_end(args);
}

void log_error(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line(3, format, args);
	va_end(args);
}

void log_mhd(const char *format, va_list args)
{
	log_line(4, format, args);
}
