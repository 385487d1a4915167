/*
 * log.h: the service's log lines, on stderr. Any thread.
 */
#ifndef ENGINE_LOG_H
#define ENGINE_LOG_H

#include <stdarg.h>

/* One line "waft-engined: …"; under systemd with the priority's prefix. */
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What libmicrohttpd has to say. */
void log_mhd(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

#endif
