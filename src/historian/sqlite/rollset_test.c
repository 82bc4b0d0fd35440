#include "historian/sqlite/rollset.h"

#include "base/mem.h"
#include "base/num.h"
#include "historian/rollup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY (INT64_C(19700) * 86400 * 1000000)

struct made {
    struct history_rollup r[ROLLSET_MAX];
    size_t n;
};

static void
keep(void *arg, const struct history_rollup *r, bool has_text)
{
    struct made *m = arg;

    assert_false(has_text);
    m->r[m->n++] = *r;
}

/* A day of values every step_us, some of them bad. */
static void
make(struct made *m, enum history_level level, int64_t step_us, uint64_t *seed)
{
    struct roller x = roller_init(level, keep, m);

    m->n = 0;
    for (int64_t at = 1000; at < INT64_C(86400) * 1000000; at += step_us + (int64_t)(num_random(seed) % 5000)) {
        struct point p = {.time_us = DAY + at, .quality = NX_Q_GOOD};

        if (num_random(seed) % 9 == 0)
            p.quality = NX_Q_TIMEOUT;
        else if (num_random(seed) % 5 == 0)
            p.value = nx_value_int((int64_t)(num_random(seed) % 100));
        else
            p.value = nx_value_double((double)(num_random(seed) % 10000) / 100);
        roller_add(&x, &p);
    }
    roller_end(&x);
}

static void
assert_same(const struct history_rollup *a, const struct history_rollup *b)
{
    assert_int_equal(a->time_us, b->time_us);
    assert_true(a->n == b->n && a->n_bad == b->n_bad && a->sum == b->sum && a->area == b->area);
    assert_int_equal(a->area_us, b->area_us);
    assert_int_equal(a->first.time_us, b->first.time_us);
    assert_int_equal(a->last.time_us, b->last.time_us);
    assert_int_equal(a->last.quality, b->last.quality);
    assert_true(value_eq(&a->last.value, &b->last.value));
    if (a->n > 0) {
        assert_true(a->min.time_us == b->min.time_us && a->min.value == b->min.value);
        assert_true(a->max.time_us == b->max.time_us && a->max.value == b->max.value);
        assert_true(a->min_quality == b->min_quality && a->max_quality == b->max_quality);
    }
    if (a->n_bad > 0)
        assert_true(a->first_bad_us == b->first_bad_us && a->first_bad_quality == b->first_bad_quality);
}

static void
rollups_come_back(void **state)
{
    static const int64_t steps[] = {3000000, 61000000, 7000000000};
    struct made *m = mem_alloc(sizeof *m);
    struct history_rollup *r = mem_calloc(ROLLSET_MAX, sizeof *r);
    uint64_t seed = 5;
    size_t n;

    (void)state;
    for (enum history_level level = HISTORY_LEVEL_MINUTE; level <= HISTORY_LEVEL_DAY; level++)
        for (unsigned s = 0; s < MEM_COUNT(steps); s++) {
            struct wbuf w = wbuf_init(0);

            make(m, level, steps[s], &seed);
            rollset_encode(&w, m->r, m->n, level);
            assert_int_equal(NX_OK, rollset_decode(wbuf_slice_of(&w), level, r, &n));
            assert_int_equal(m->n, n);
            for (size_t i = 0; i < n; i++)
                assert_same(&m->r[i], &r[i]);
            wbuf_free(&w);
        }
    free(r);
    free(m);
}

/* Cut anywhere it is refused, not misread; a flipped byte never leads outside (the sanitizer watches). */
static void
damage_is_found(void **state)
{
    struct made *m = mem_alloc(sizeof *m);
    struct history_rollup *r = mem_calloc(ROLLSET_MAX, sizeof *r);
    struct wbuf w = wbuf_init(0);
    uint64_t seed = 6;
    size_t n;

    (void)state;
    make(m, HISTORY_LEVEL_HOUR, 400000000, &seed);
    rollset_encode(&w, m->r, m->n, HISTORY_LEVEL_HOUR);
    for (size_t len = 0; len < w.len; len++)
        assert_int_equal(NX_E_CORRUPT, rollset_decode(slice(w.p, len), HISTORY_LEVEL_HOUR, r, &n));
    for (size_t i = 0; i < w.len; i++) {
        w.p[i] ^= (uint8_t)(1u << num_random(&seed) % 8);
        if (rollset_decode(wbuf_slice_of(&w), HISTORY_LEVEL_HOUR, r, &n) == NX_OK)
            assert_true(n <= 24);
    }
    wbuf_free(&w);
    free(r);
    free(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rollups_come_back), cmocka_unit_test(damage_is_found)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
