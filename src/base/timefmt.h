/* timefmt.h -- times as text (RFC 3339, UTC). Times are microseconds since 1970-01-01T00:00:00Z. Pure. */
#ifndef BASE_TIMEFMT_H
#define BASE_TIMEFMT_H

#include "base/slice.h"

#define TIMEFMT_CAP 32

/* "2026-11-23T10:42:03.123456Z"; the fraction has 0, 3 or 6 digits as needed. Returns out. */
char *timefmt_rfc3339(int64_t time_us, char out[TIMEFMT_CAP]);
/* RFC 3339 with any offset and up to 9 digits of fraction. */
bool timefmt_parse(struct slice s, int64_t *time_us);

#endif
