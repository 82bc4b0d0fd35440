/* merge_test.c -- a merged rollup is the rollup of all its points, however they lie. */
#include "historian/postgres/merge.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/num.h"

#define SEC  INT64_C(1000000)
#define HOUR (3600 * SEC)

struct kept {
    struct history_rollup r[48];
    bool has_text[48];
    unsigned n;
};

static void
keep(void *arg, const struct history_rollup *r, bool has_text)
{
    struct kept *k = arg;

    k->r[k->n] = *r;
    k->has_text[k->n++] = has_text;
}

static void
pass_on(void *arg, const struct history_rollup *r, bool has_text)
{
    merger_add(arg, r, has_text);
}

static bool
is_close(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (1 + fabs(a));
}

static void
check_same(const struct history_rollup *a, const struct history_rollup *b)
{
    assert_int_equal(a->time_us, b->time_us);
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_bad, b->n_bad);
    assert_int_equal(a->area_us, b->area_us);
    assert_true(is_close(a->sum, b->sum) && is_close(a->area, b->area));
    assert_int_equal(a->first.time_us, b->first.time_us);
    assert_int_equal(a->last.time_us, b->last.time_us);
    if (a->n > 0) {
        assert_int_equal(a->min.time_us, b->min.time_us);
        assert_int_equal(a->max.time_us, b->max.time_us);
        assert_int_equal(a->min_quality, b->min_quality);
        assert_int_equal(a->max_quality, b->max_quality);
    }
    if (a->n_bad > 0)
        assert_int_equal(a->first_bad_us, b->first_bad_us);
}

/* Random points: minutes without any, stretches of bad ones, equal extremes. */
static void
hours_of_minutes_are_hours_of_points(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct kept direct = {.n = 0}, merged = {.n = 0};
        struct roller hours = roller_init(HISTORY_LEVEL_HOUR, keep, &direct);
        struct merger merger = merger_init(HISTORY_LEVEL_HOUR, keep, &merged);
        struct roller minutes = roller_init(HISTORY_LEVEL_MINUTE, pass_on, &merger);
        uint64_t random = seed;

        for (int64_t t = 5 * HOUR; t < 9 * HOUR; t += 1 + (int64_t)(num_random_unit(&random) * 500) * SEC) {
            bool is_bad = num_random_unit(&random) < 0.2;
            struct point p = {.time_us = t,
                              .quality = is_bad ? NX_Q_BAD : NX_Q_GOOD,
                              .value =
                                  is_bad ? nx_value_none() : nx_value_double(floor(num_random_unit(&random) * 10))};

            roller_add(&hours, &p);
            roller_add(&minutes, &p);
        }
        roller_end(&hours);
        roller_end(&minutes);
        merger_end(&merger);
        assert_int_equal(direct.n, merged.n);
        for (unsigned i = 0; i < direct.n; i++)
            check_same(&direct.r[i], &merged.r[i]);
    }
}

static void
a_text_marks_the_hour(void **state)
{
    struct kept merged = {.n = 0};
    struct merger m = merger_init(HISTORY_LEVEL_HOUR, keep, &merged);
    struct history_rollup u = {.time_us = HOUR, .n = 1, .first = {.time_us = HOUR}, .last = {.time_us = HOUR}};

    (void)state;
    merger_add(&m, &u, false);
    u.time_us += 60 * SEC;
    merger_add(&m, &u, true);
    u.time_us += 60 * SEC;
    merger_add(&m, &u, false);
    u.time_us = 2 * HOUR;
    merger_add(&m, &u, false);
    merger_end(&m);
    assert_int_equal(2, merged.n);
    assert_true(merged.has_text[0]);
    assert_false(merged.has_text[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hours_of_minutes_are_hours_of_points),
        cmocka_unit_test(a_text_marks_the_hour),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
