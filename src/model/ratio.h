/* ratio.h -- exact fractions, and the one straight line that a value of a tag goes through.
 *
 * Factors of units and the decimals that people write (0.1, 9.80665) are fractions. They are put together as fractions
 * when a tag is loaded; a value then costs a multiplication, an addition and a division, and comes back the same way:
 * 100 degrees Celsius are 212 degrees Fahrenheit and not 211.99999999999997. Each step is rounded (no fused
 * multiply-add): 273.15 K times 20 is 5463, although the double next to 273.15 is a little less. Pure. */
#ifndef MODEL_RATIO_H
#define MODEL_RATIO_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

__extension__ typedef __int128 ratio_int;

/* n / d * pi^pi. What does not fit any more has d = 0 and goes on as approx alone. */
struct ratio {
    ratio_int n, d;
    int pi;
    long double approx;
};

struct ratio ratio_of(int64_t n, int64_t d);
/* The fraction that the shortest decimal text of v says: 1/10 for 0.1. v must be finite. */
struct ratio ratio_of_decimal(double v);
struct ratio ratio_mul(struct ratio a, struct ratio b);
struct ratio ratio_div(struct ratio a, struct ratio b); /* b is not 0 */
struct ratio ratio_add(struct ratio a, struct ratio b);
struct ratio ratio_neg(struct ratio a);
struct ratio ratio_power(struct ratio a, int exponent);
bool ratio_is_zero(struct ratio a);

/* y = (x * p + n) / q */
struct line {
    double p, n, q;
};

/* y = x * slope + shift, over one denominator when that is exact. */
struct line line_make(struct ratio slope, struct ratio shift);
bool line_is_identity(const struct line *l);

static inline double
line_forth(const struct line *l, double x)
{
    return (x * l->p + l->n) / l->q;
}

static inline double
line_back(const struct line *l, double y)
{
    return (y * l->q - l->n) / l->p;
}

#endif
