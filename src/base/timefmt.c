#include "base/timefmt.h"

#include <stdio.h>

#define SECOND_US 1000000ll
#define DAY_S     86400ll

/* Days since 1970-01-01 of a civil date, proleptic Gregorian calendar, years counted from March. */
static int64_t
days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

    return era * 146097 + (int64_t)doe - 719468;
}

static void
civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;

    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

char *
timefmt_rfc3339(int64_t time_us, char out[TIMEFMT_CAP])
{
    int64_t seconds = time_us / SECOND_US;
    int64_t us = time_us % SECOND_US;
    int64_t year;
    unsigned month, day;

    if (us < 0) {
        us += SECOND_US;
        seconds--;
    }
    int64_t days = seconds / DAY_S;
    int64_t rest = seconds % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    civil_from_days(days, &year, &month, &day);
    if (year < 0 || year > 9999) { /* RFC 3339 ends there */
        year = year < 0 ? 0 : 9999;
    }
    int n = snprintf(out, TIMEFMT_CAP, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)year % 10000u, month % 100u,
                     day % 100u, (unsigned)(rest / 3600) % 100u, (unsigned)(rest / 60 % 60), (unsigned)(rest % 60));
    if (us % 1000)
        n += snprintf(out + n, TIMEFMT_CAP - (size_t)n, ".%06u", (unsigned)us % 1000000u);
    else if (us)
        n += snprintf(out + n, TIMEFMT_CAP - (size_t)n, ".%03u", (unsigned)(us / 1000) % 1000u);
    (void)snprintf(out + n, TIMEFMT_CAP - (size_t)n, "Z");
    return out;
}

/* Reads exactly n digits at *at. */
static bool
digits(struct slice s, size_t *at, unsigned n, unsigned *out)
{
    unsigned v = 0;

    for (unsigned i = 0; i < n; i++, (*at)++) {
        if (*at >= s.len || s.p[*at] < '0' || s.p[*at] > '9')
            return false;
        v = v * 10 + (unsigned)(s.p[*at] - '0');
    }
    *out = v;
    return true;
}

static bool
literal(struct slice s, size_t *at, const char *any_of)
{
    if (*at >= s.len || !strchr(any_of, s.p[*at]))
        return false;
    (*at)++;
    return true;
}

/* ".123456789" in microseconds; nothing is fine too. */
static bool
fraction(struct slice s, size_t *at, int64_t *us)
{
    int64_t unit = 100000;
    size_t first;

    *us = 0;
    if (*at >= s.len || s.p[*at] != '.')
        return true;
    for (first = ++*at; *at < s.len && s.p[*at] >= '0' && s.p[*at] <= '9'; (*at)++, unit /= 10)
        *us += (s.p[*at] - '0') * unit;
    return *at > first && *at - first <= 9;
}

static bool
offset_s(struct slice s, size_t *at, int64_t *out)
{
    unsigned hours, minutes;
    bool is_west;

    if (literal(s, at, "Zz")) {
        *out = 0;
        return true;
    }
    is_west = *at < s.len && s.p[*at] == '-';
    if (!literal(s, at, "+-") || !digits(s, at, 2, &hours) || !literal(s, at, ":") || !digits(s, at, 2, &minutes))
        return false;
    *out = (int64_t)(hours * 3600 + minutes * 60) * (is_west ? -1 : 1);
    return hours < 24 && minutes < 60;
}

bool
timefmt_parse(struct slice s, int64_t *time_us)
{
    unsigned y, mo, d, h, mi, sec;
    int64_t us, off;
    size_t at = 0;

    if (!digits(s, &at, 4, &y) || !literal(s, &at, "-") || !digits(s, &at, 2, &mo) || !literal(s, &at, "-") ||
        !digits(s, &at, 2, &d) || !literal(s, &at, "Tt ") || !digits(s, &at, 2, &h) || !literal(s, &at, ":") ||
        !digits(s, &at, 2, &mi) || !literal(s, &at, ":") || !digits(s, &at, 2, &sec) || !fraction(s, &at, &us) ||
        !offset_s(s, &at, &off) || at != s.len)
        return false;
    if (mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 || sec > 60)
        return false;
    int64_t days = days_from_civil(y, mo, d), back_y;
    unsigned back_m, back_d;
    civil_from_days(days, &back_y, &back_m, &back_d);
    if (back_m != mo || back_d != d) /* 31 February */
        return false;
    *time_us = (days * DAY_S + (int64_t)h * 3600 + mi * 60 + sec - off) * SECOND_US + us;
    return true;
}
