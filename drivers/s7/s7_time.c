#include "s7_time.h"

#include <assert.h>

#define NS_PER_S       INT64_C(1000000000)
#define DAYS_1970_1990 7305 /* days from 1970-01-01 to 1990-01-01 */
#define DT_YEAR_FIRST  1990
#define DTL_YEAR_FIRST 1970
#define DTL_YEAR_LAST  2261 /* the last whole year that fits 64 bits of nanoseconds */

/* A moment in the parts of a calendar. */
struct parts {
    int year;
    unsigned month, day, hour, minute, second;
    unsigned ns;
};

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970 of a date, proleptic Gregorian: months counted from March, so that leap days come last. */
static int64_t
days_of(int year, unsigned month, unsigned day)
{
    int64_t y = year - (month <= 2), era = floor_div(y, 400);
    int64_t in_era = y - era * 400, in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static void
date_of(int64_t days, struct parts *out)
{
    int64_t z = days + 719468, era = floor_div(z, 146097), day = z - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t in_year = day - (365 * year + year / 4 - year / 100), month = (5 * in_year + 2) / 153;

    out->day = (unsigned)(in_year - (153 * month + 2) / 5 + 1);
    out->month = (unsigned)(month < 10 ? month + 3 : month - 9);
    out->year = (int)(year + era * 400 + (out->month <= 2));
}

static unsigned
days_in_month(int year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && is_leap);
}

static bool
parts_to_ns(const struct parts *p, int64_t *ns)
{
    if (p->month < 1 || p->month > 12 || p->day < 1 || p->day > days_in_month(p->year, p->month) || p->hour > 23 ||
        p->minute > 59 || p->second > 59 || p->ns >= NS_PER_S)
        return false;
    *ns = days_of(p->year, p->month, p->day) * S7_NS_PER_DAY +
          (p->hour * INT64_C(3600) + p->minute * INT64_C(60) + p->second) * NS_PER_S + p->ns;
    return true;
}

static struct parts
ns_to_parts(int64_t ns)
{
    int64_t days = floor_div(ns, S7_NS_PER_DAY), rest = ns - days * S7_NS_PER_DAY, s = rest / NS_PER_S;
    struct parts p = {.hour = (unsigned)(s / 3600),
                      .minute = (unsigned)(s / 60 % 60),
                      .second = (unsigned)(s % 60),
                      .ns = (unsigned)(rest % NS_PER_S)};

    date_of(days, &p);
    return p;
}

/* 1 is Sunday. 1970-01-01 was a Thursday. */
static unsigned
weekday(int64_t ns)
{
    int64_t day = floor_div(ns, S7_NS_PER_DAY) + 4;

    return (unsigned)(day - floor_div(day, 7) * 7 + 1);
}

static bool
from_bcd(unsigned byte, unsigned *out)
{
    *out = (byte >> 4) * 10 + (byte & 0xF);
    return byte >> 4 <= 9 && (byte & 0xF) <= 9;
}

static uint8_t
to_bcd(unsigned n)
{
    return (uint8_t)(n / 10 % 10 << 4 | n % 10);
}

bool
s7_counter_decode(unsigned word, int64_t *n)
{
    unsigned low, hundreds = word >> 8 & 0xF;
    bool is_good = from_bcd(word & 0xFF, &low);

    *n = hundreds * 100 + low;
    return is_good && hundreds <= 9;
}

unsigned
s7_counter_encode(unsigned n)
{
    assert(n <= 999);
    return n / 100 << 8 | to_bcd(n % 100);
}

bool
s7_s5time_decode(unsigned word, int64_t *ms)
{
    static const int64_t base_ms[] = {10, 100, 1000, 10000};
    int64_t n;

    if (!s7_counter_decode(word, &n))
        return false;
    *ms = n * base_ms[word >> 12 & 3];
    return true;
}

unsigned
s7_s5time_encode(int64_t ms)
{
    int64_t n = ms / 10;
    unsigned base = 0;

    assert(ms >= 0 && ms <= S7_S5TIME_MAX_MS);
    for (; n > 999; n /= 10)
        base++;
    return base << 12 | s7_counter_encode((unsigned)n);
}

int64_t
s7_date_decode(unsigned days)
{
    return (DAYS_1970_1990 + (int64_t)days) * S7_NS_PER_DAY;
}

bool
s7_date_encode(int64_t ns, unsigned *days)
{
    int64_t n = floor_div(ns, S7_NS_PER_DAY) - DAYS_1970_1990;

    *days = (unsigned)n;
    return n >= 0 && n <= UINT16_MAX;
}

bool
s7_dt_decode(const uint8_t p[8], int64_t *ns)
{
    struct parts t;
    unsigned year, ms;

    if (!from_bcd(p[0], &year) || !from_bcd(p[1], &t.month) || !from_bcd(p[2], &t.day) || !from_bcd(p[3], &t.hour) ||
        !from_bcd(p[4], &t.minute) || !from_bcd(p[5], &t.second) || !from_bcd(p[6], &ms) || p[7] >> 4 > 9)
        return false;
    t.year = (int)(year >= 90 ? 1900 + year : 2000 + year);
    t.ns = (ms * 10 + (p[7] >> 4)) * 1000000u;
    return parts_to_ns(&t, ns);
}

bool
s7_dt_encode(int64_t ns, uint8_t p[8])
{
    struct parts t = ns_to_parts(ns);
    unsigned ms = t.ns / 1000000u;

    if (t.year < DT_YEAR_FIRST || t.year >= DT_YEAR_FIRST + 100)
        return false;
    p[0] = to_bcd((unsigned)t.year % 100);
    p[1] = to_bcd(t.month);
    p[2] = to_bcd(t.day);
    p[3] = to_bcd(t.hour);
    p[4] = to_bcd(t.minute);
    p[5] = to_bcd(t.second);
    p[6] = to_bcd(ms / 10);
    p[7] = (uint8_t)(ms % 10 << 4 | weekday(ns));
    return true;
}

bool
s7_dtl_decode(const uint8_t p[12], int64_t *ns)
{
    struct parts t = {.year = p[0] << 8 | p[1],
                      .month = p[2],
                      .day = p[3],
                      .hour = p[5],
                      .minute = p[6],
                      .second = p[7],
                      .ns = (unsigned)p[8] << 24 | (unsigned)p[9] << 16 | (unsigned)p[10] << 8 | p[11]};

    return t.year >= DTL_YEAR_FIRST && t.year <= DTL_YEAR_LAST && parts_to_ns(&t, ns);
}

bool
s7_dtl_encode(int64_t ns, uint8_t p[12])
{
    struct parts t = ns_to_parts(ns);

    if (t.year < DTL_YEAR_FIRST || t.year > DTL_YEAR_LAST)
        return false;
    p[0] = (uint8_t)(t.year >> 8);
    p[1] = (uint8_t)t.year;
    p[2] = (uint8_t)t.month;
    p[3] = (uint8_t)t.day;
    p[4] = (uint8_t)weekday(ns);
    p[5] = (uint8_t)t.hour;
    p[6] = (uint8_t)t.minute;
    p[7] = (uint8_t)t.second;
    for (unsigned i = 0; i < 4; i++)
        p[8 + i] = (uint8_t)(t.ns >> (24 - 8 * i));
    return true;
}
