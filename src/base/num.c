#include "base/num.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

static bool
digits_u64(struct slice s, unsigned base, uint64_t *out)
{
    uint64_t v = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int c = tolower(s.p[i]);
        unsigned digit = isdigit(c) ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;

        if (digit >= base || v > (UINT64_MAX - digit) / base)
            return false;
        v = v * base + digit;
    }
    *out = v;
    return true;
}

bool
num_u64(struct slice s, uint64_t *out)
{
    if (s.len > 2 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x')
        return digits_u64(slice_skip(s, 2), 16, out);
    return digits_u64(s, 10, out);
}

bool
num_i64(struct slice s, int64_t *out)
{
    bool is_negative = s.len && s.p[0] == '-';
    uint64_t v;

    if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
        s = slice_skip(s, 1);
    if (!num_u64(s, &v) || v > (uint64_t)INT64_MAX + (is_negative ? 1 : 0))
        return false;
    *out = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static locale_t
c_locale(void)
{
    static locale_t locale;

    if (!locale)
        locale = newlocale(LC_ALL_MASK, "C", NULL);
    return locale;
}

bool
num_double(struct slice s, double *out)
{
    char text[64];
    char *end;

    if (s.len == 0 || s.len >= sizeof text || !strchr("+-.0123456789", s.p[0]))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    if (strpbrk(text, "xXpPnN")) /* hexadecimal floats, nan, inf */
        return false;
    double v = strtod_l(text, &end, c_locale());
    if (*end != '\0' || end == text || !isfinite(v))
        return false;
    *out = v;
    return true;
}

bool
num_bool(struct slice s, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (size_t i = 0; i < 8; i++) {
        if (strlen(words[i]) == s.len && strncasecmp(words[i], (const char *)s.p, s.len) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

struct suffix {
    const char *text;
    double factor;
};

/* Splits "1.5m" into number and unit. */
static bool
scaled(struct slice s, const struct suffix *units, size_t n, double *out)
{
    size_t digits = 0;

    while (digits < s.len && strchr("+-.0123456789", s.p[digits]))
        digits++;
    struct slice unit = slice_skip(s, digits);
    double v;
    if (!num_double(slice(s.p, digits), &v))
        return false;
    while (unit.len && unit.p[0] == ' ')
        unit = slice_skip(unit, 1);
    for (size_t i = 0; i < n; i++) {
        if (strlen(units[i].text) == unit.len && strncasecmp(units[i].text, (const char *)unit.p, unit.len) == 0) {
            *out = v * units[i].factor;
            return true;
        }
    }
    return false;
}

bool
num_duration_ms(struct slice s, int64_t *out)
{
    static const struct suffix units[] = {{"", 1000},   {"ms", 1},      {"us", 0.001},  {"s", 1000},
                                          {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    double v;

    if (!scaled(s, units, sizeof units / sizeof units[0], &v) || v < 0 || v > 9e15)
        return false;
    *out = (int64_t)(v + 0.5);
    return true;
}

bool
num_bytes(struct slice s, uint64_t *out)
{
    static const struct suffix units[] = {{"", 1},
                                          {"B", 1},
                                          {"K", 1024.0},
                                          {"KB", 1024.0},
                                          {"KiB", 1024.0},
                                          {"M", 1048576.0},
                                          {"MB", 1048576.0},
                                          {"MiB", 1048576.0},
                                          {"G", 1073741824.0},
                                          {"GB", 1073741824.0},
                                          {"GiB", 1073741824.0},
                                          {"T", 1099511627776.0},
                                          {"TB", 1099511627776.0},
                                          {"TiB", 1099511627776.0}};
    double v;

    if (!scaled(s, units, sizeof units / sizeof units[0], &v) || v < 0 || v > 9e18)
        return false;
    *out = (uint64_t)(v + 0.5);
    return true;
}

#define DISTANCE_CAP 8u
#define WORD_CAP     64u

static unsigned
min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

unsigned
num_edit_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[WORD_CAP + 1];

    if (la > WORD_CAP || lb > WORD_CAP)
        return DISTANCE_CAP;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned cost = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]) ? 0 : 1;
            unsigned next = min3(row[j] + 1, row[j - 1] + 1, diagonal + cost);

            diagonal = row[j];
            row[j] = next;
        }
    }
    return row[lb] < DISTANCE_CAP ? row[lb] : DISTANCE_CAP;
}

const char *
num_near_miss(const char *key, const char *const *list, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = DISTANCE_CAP;

    for (size_t i = 0; i < n; i++) {
        unsigned d = num_edit_distance(key, list[i]);

        if (d < best_distance) {
            best_distance = d;
            best = list[i];
        }
    }
    size_t len = strlen(key);
    unsigned limit = len <= 3 ? 1 : len <= 6 ? 2 : 3;
    return best_distance <= limit ? best : NULL;
}

uint64_t
num_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Dull;
}

double
num_random_unit(uint64_t *state)
{
    return (double)(num_random(state) >> 11) * 0x1p-53;
}
