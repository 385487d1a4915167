/*
 * log.c: see log.h.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Priorities as in syslog.h; sd-daemon(3) says how stderr carries them. */
__attribute__((format(printf, 2, 0))) static void log_line(
	int priority, const char *format, va_list args)
{
	char prefix[8] = "";
	if (getenv("JOURNAL_STREAM"))
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
