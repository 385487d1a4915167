/* Log lines with priority prefixes and a limit per call site. Any thread. */
#include "log_line.h"

#include "clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_MS 5000u
#define LINES_PER_WINDOW 10u
#define LINE_MAX_BYTES 1024

static _Atomic int line_level = LOG_LINE_INFO;
static _Atomic int line_fd = STDERR_FILENO;

void log_line_set_level(enum log_level level)
{
	atomic_store(&line_level, (int)level);
}

void log_line_set_fd(int fd)
{
	atomic_store(&line_fd, fd);
}

/* Whether the journal reads fd, which then takes priorities: the variable names
 * the device and inode of its stream (systemd.exec(5)). */
static int journal_reads(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	/* Too large a number only fails to match. NOLINTNEXTLINE(cert-err34-c) */
	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Whether the site may print now. */
static int site_allows(struct log_site *site)
{
	uint64_t now_ms = clock_monotonic_ms(&clock_system);
	uint64_t start = atomic_load(&site->window_ms);

	if (start == 0 || now_ms - start >= WINDOW_MS) {
		atomic_store(&site->window_ms, now_ms);
		atomic_store(&site->lines, 0);
	}
	if (atomic_fetch_add(&site->lines, 1) < LINES_PER_WINDOW)
		return 1;
	atomic_fetch_add(&site->left_out, 1);
	return 0;
}

/* Copies text with control characters made visible; returns the length. */
static size_t copy_visible(char *to, size_t room, const char *from)
{
	size_t used = 0;

	for (; *from != '\0' && used + 5 < room; from++) {
		unsigned char c = (unsigned char)*from;

		if (c < 0x20 || c == 0x7f)
			used += (size_t)snprintf(to + used, room - used, "\\x%02x", c);
		else
			to[used++] = (char)c;
	}
	return used;
}

static void __attribute__((format(printf, 4, 0)))
print_line(struct log_site *site, enum log_level level, int fd, const char *format, va_list args)
{
	char text[LINE_MAX_BYTES];
	char line[LINE_MAX_BYTES * 2];
	size_t used = 0;
	uint32_t left_out;

	vsnprintf(text, sizeof(text), format, args);
	if (journal_reads(fd))
		used += (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	used += (size_t)snprintf(line + used, sizeof(line) - used, "waft-collectord: ");
	used += copy_visible(line + used, sizeof(line) - used - 64, text);
	left_out = atomic_exchange(&site->left_out, 0);
	if (left_out > 0)
		used += (size_t)snprintf(
			line + used, sizeof(line) - used, " (%u like it left out)", left_out);
	line[used++] = '\n';
	/* A log line that can't be written has nowhere to be reported. */
	if (write(fd, line, used) < 0)
		return;
}

void log_line_print(struct log_site *site, enum log_level level, const char *format, ...)
{
	int fd = atomic_load(&line_fd);
	va_list args;

	va_start(args, format);
	if ((int)level <= atomic_load(&line_level) && fd >= 0 && site_allows(site))
		print_line(site, level, fd, format, args);
	va_end(args);
}
