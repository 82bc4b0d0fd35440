#include "model/ratio.h"

#include "base/wbuf.h"

#include <stdlib.h>

static ratio_int
gcd(ratio_int a, ratio_int b)
{
    if (a < 0)
        a = -a;
    while (b != 0) {
        ratio_int rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static struct ratio
inexact(long double approx)
{
    return (struct ratio){.d = 0, .approx = approx};
}

static bool
is_exact(struct ratio a)
{
    return a.d != 0;
}

/* pi^exponent, as near as it gets. */
static long double
power_of_pi(int exponent)
{
    long double v = 1;

    for (int i = abs(exponent); i > 0; i--)
        v *= 3.14159265358979323846264338327950288L;
    return exponent < 0 ? 1 / v : v;
}

static struct ratio
reduced(ratio_int n, ratio_int d, int pi)
{
    ratio_int common = gcd(n, d);

    if (d < 0)
        common = -common;
    n /= common;
    d /= common;
    return (struct ratio){.n = n, .d = d, .pi = pi, .approx = (long double)n / (long double)d * power_of_pi(pi)};
}

struct ratio
ratio_of(int64_t n, int64_t d)
{
    return reduced(n, d, 0);
}

bool
ratio_is_zero(struct ratio a)
{
    return is_exact(a) ? a.n == 0 : a.approx == 0;
}

struct ratio
ratio_neg(struct ratio a)
{
    a.n = -a.n;
    a.approx = -a.approx;
    return a;
}

struct ratio
ratio_mul(struct ratio a, struct ratio b)
{
    ratio_int n, d;

    if (!is_exact(a) || !is_exact(b))
        return inexact(a.approx * b.approx);
    ratio_int x = gcd(a.n, b.d), y = gcd(b.n, a.d);
    if (x == 0 || y == 0 || __builtin_mul_overflow(a.n / x, b.n / y, &n) ||
        __builtin_mul_overflow(a.d / y, b.d / x, &d))
        return inexact(a.approx * b.approx);
    return reduced(n, d, a.pi + b.pi);
}

struct ratio
ratio_div(struct ratio a, struct ratio b)
{
    if (!is_exact(a) || !is_exact(b))
        return inexact(a.approx / b.approx);
    struct ratio turned = reduced(b.d, b.n, -b.pi);
    return ratio_mul(a, turned);
}

struct ratio
ratio_add(struct ratio a, struct ratio b)
{
    ratio_int x, y, n, d;

    if (ratio_is_zero(a))
        return b;
    if (ratio_is_zero(b))
        return a;
    if (!is_exact(a) || !is_exact(b) || a.pi != b.pi)
        return inexact(a.approx + b.approx);
    ratio_int common = gcd(a.d, b.d);
    if (__builtin_mul_overflow(a.n, b.d / common, &x) || __builtin_mul_overflow(b.n, a.d / common, &y) ||
        __builtin_add_overflow(x, y, &n) || __builtin_mul_overflow(a.d, b.d / common, &d))
        return inexact(a.approx + b.approx);
    return reduced(n, d, a.pi);
}

struct ratio
ratio_power(struct ratio a, int exponent)
{
    struct ratio r = ratio_of(1, 1);

    for (int i = abs(exponent); i > 0; i--)
        r = exponent > 0 ? ratio_mul(r, a) : ratio_div(r, a);
    return r;
}

static struct ratio
shift_decimal(struct ratio r, long exponent)
{
    if (exponent > 36 || exponent < -36)
        return inexact(r.approx * powl(10, (long double)exponent));
    return ratio_mul(r, ratio_power(ratio_of(10, 1), (int)exponent));
}

struct ratio
ratio_of_decimal(double v)
{
    struct wbuf w = wbuf_init(64);
    int64_t digits = 0;
    long exponent = 0;
    bool is_fraction = false;

    wbuf_double(&w, fabs(v));
    for (const char *p = wbuf_cstr(&w); *p; p++) {
        if (*p == 'e' || *p == 'E') {
            exponent += strtol(p + 1, NULL, 10);
            break;
        }
        if (*p == '.') {
            is_fraction = true;
        } else {
            digits = digits * 10 + (*p - '0'); /* at most 17 */
            exponent -= is_fraction;
        }
    }
    wbuf_free(&w);
    struct ratio r = shift_decimal(ratio_of(v < 0 ? -digits : digits, 1), exponent);
    r.approx = (long double)v;
    return r;
}

/* --- the line --- */

static bool
is_double(ratio_int v)
{
    const ratio_int limit = (ratio_int)1 << 100;

    return v < limit && v > -limit && (ratio_int)(double)v == v;
}

struct line
line_make(struct ratio slope, struct ratio shift)
{
    ratio_int p, n, q;
    const struct line rough = {(double)slope.approx, (double)shift.approx, 1};

    if (!is_exact(slope) || !is_exact(shift) || slope.pi != 0 || (shift.pi != 0 && shift.n != 0))
        return rough;
    ratio_int common = gcd(slope.d, shift.d);
    if (__builtin_mul_overflow(slope.n, shift.d / common, &p) ||
        __builtin_mul_overflow(shift.n, slope.d / common, &n) ||
        __builtin_mul_overflow(slope.d, shift.d / common, &q) || !is_double(p) || !is_double(n) || !is_double(q))
        return rough;
    return (struct line){(double)p, (double)n, (double)q};
}

bool
line_is_identity(const struct line *l)
{
    return l->n == 0 && l->p == l->q;
}
