/*
 * when.h: moments and durations as people write and read them.
 *
 * Thread-safe, except that local time follows the TZ of the process.
 */
#ifndef WAFT_CLI_WHEN_H
#define WAFT_CLI_WHEN_H

#include "strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum { WHEN_NS_PER_SECOND = 1000000000, WHEN_NS_PER_MS = 1000000 };

/* What when_parse takes, for messages. */
#define WHEN_FORMS "10m, 2h, today, yesterday, 14:30, 2026-01-09, \"2026-01-09 14:30\" or RFC 3339"
#define WHEN_DURATION_FORMS "250us, 10ms, 1.5s, 2m or 1h; a bare number is milliseconds"

/* A moment, in ns since 1970: RFC 3339 (section 5.6; the zone may be missing, the
 * time too: then midnight), a time of today, now, today, yesterday, or how long
 * ago (10m, 1h30m, 2d). Without a zone it is local, or UTC when utc is true.
 * 0 or -EINVAL. */
int when_parse(const char *string, int64_t now_ns, bool utc, int64_t *ret_ns);

/* A duration in ns: one or more numbers with ns, us, ms, s, m, h, d or w; a
 * bare number is milliseconds. 0, -EINVAL, or -ERANGE over 292 years. */
int when_parse_duration(const char *string, uint64_t *ret_ns);

/* Appends "09:07:12", or "09:07:12.933" with milliseconds. */
void when_clock(struct strbuf *text, int64_t ns, bool utc, bool milliseconds);
/* Appends "2026-01-09". */
void when_date(struct strbuf *text, int64_t ns, bool utc);
/* Appends "+01:00", or "UTC" where that is so. */
void when_zone(struct strbuf *text, int64_t ns, bool utc);
/* Appends RFC 3339 in UTC with nine decimals. */
void when_rfc3339(struct strbuf *text, int64_t ns);
/* Appends how long something has been: "3.20s", above an hour "5h 12m", "3d 4h". */
void when_elapsed(struct strbuf *text, int64_t ns);

int64_t when_now(void);

#endif
