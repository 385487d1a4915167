/*
 * Log lines of the daemon: one a call, to stderr, with the priority prefix
 * that journald understands (sd-daemon(3)) when stderr is not a terminal.
 *
 * Lines below the level are left out; of lines of one call site, more than 10
 * in 5 s are left out and counted, so that a hostile peer can't fill a disk
 * with complaints. Control characters in arguments are printed as \xNN: a
 * peer's text can't forge lines. Any thread.
 */
#ifndef WAFT_COLLECTOR_LOG_LINE_H
#define WAFT_COLLECTOR_LOG_LINE_H

#include <stdatomic.h>
#include <stdint.h>

enum log_level {
	LOG_LINE_ERROR = 3,
	LOG_LINE_WARNING,
	LOG_LINE_NOTICE,
	LOG_LINE_INFO,
	LOG_LINE_DEBUG
};

/* One call site's allowance. Zero-initialised. */
struct log_site {
	_Atomic uint64_t window_ms; /* start of the current 5 s, monotonic */
	_Atomic uint32_t lines;	    /* printed in it */
	_Atomic uint32_t left_out;  /* not printed since the last that was */
};

/* Lines above this level are left out; LOG_LINE_INFO until it is called. */
void log_line_set_level(enum log_level level);

/* Writes to `fd` instead of stderr; -1 drops all lines. For tests. */
void log_line_set_fd(int fd);

/* Prints a line; use the macros below. */
void log_line_print(struct log_site *site, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define LOG_LINE(level, ...)                                    \
	do {                                                    \
		static struct log_site log_site_;               \
		log_line_print(&log_site_, level, __VA_ARGS__); \
	} while (0)
#define log_error(...) LOG_LINE(LOG_LINE_ERROR, __VA_ARGS__)
#define log_warning(...) LOG_LINE(LOG_LINE_WARNING, __VA_ARGS__)
#define log_notice(...) LOG_LINE(LOG_LINE_NOTICE, __VA_ARGS__)
#define log_info(...) LOG_LINE(LOG_LINE_INFO, __VA_ARGS__)
#define log_debug(...) LOG_LINE(LOG_LINE_DEBUG, __VA_ARGS__)

#endif
