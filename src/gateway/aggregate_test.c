/* aggregate_test.c -- one window (pure), and the windows of a device in virtual time. */
#include "gateway/aggregate.h"
#include "gateway/fake_slots.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S 1000000

static double
result(const struct window *w, enum tag_function f, int64_t end_us)
{
    struct nx_value v = window_result(w, f, end_us);

    return v.type == NX_TYPE_UINT ? (double)v.u : v.type == NX_TYPE_DOUBLE ? v.d : NAN;
}

static void
functions_of_a_window(void **state)
{
    static const double values[] = {2, 4, 4, 4, 5, 5, 7, 9};
    struct window w = {0};

    (void)state;
    window_begin(&w, 0);
    assert_true(window_result(&w, TAG_AVG, S).type == NX_TYPE_NONE);
    for (unsigned i = 0; i < 8; i++)
        window_add(&w, values[i], NX_Q_GOOD, (int64_t)i * S);
    assert_true(result(&w, TAG_COUNT, 8 * S) == 8 && result(&w, TAG_MIN, 8 * S) == 2 &&
                result(&w, TAG_MAX, 8 * S) == 9);
    assert_true(result(&w, TAG_AVG, 8 * S) == 5 && result(&w, TAG_FIRST, 8 * S) == 2 &&
                result(&w, TAG_LAST, 8 * S) == 9);
    assert_true(fabs(result(&w, TAG_STDDEV, 8 * S) - sqrt(32.0 / 7)) < 1e-12);
    assert_true(result(&w, TAG_TIME_AVG, 8 * S) == 5);
    assert_true(result(&w, TAG_TIME_AVG, 15 * S) == (40 + 7 * 9) / 15.0);
}

/* The sum of squares of large numbers would lose the deviation altogether. */
static void
deviation_survives_a_large_offset(void **state)
{
    struct window w = {0};

    (void)state;
    window_begin(&w, 0);
    for (unsigned i = 0; i < 1000; i++)
        window_add(&w, 1e9 + (i % 2 ? 0.001 : -0.001), NX_Q_GOOD, i);
    assert_true(fabs(result(&w, TAG_STDDEV, 1000) - 0.001) < 1e-5);
    assert_true(fabs(result(&w, TAG_AVG, 1000) - 1e9) < 1e-6);
}

static void
only_good_values_count(void **state)
{
    struct window w = {0};

    (void)state;
    window_begin(&w, 0);
    window_add(&w, 1, NX_Q_GOOD, 0);
    window_add(&w, 0, NX_Q_TIMEOUT, 2 * S);
    window_add(&w, 3, NX_Q_GOOD, 8 * S);
    assert_true(result(&w, TAG_COUNT, 10 * S) == 2 && result(&w, TAG_AVG, 10 * S) == 2);
    assert_true(result(&w, TAG_TIME_AVG, 10 * S) == (2 * 1 + 2 * 3) / 4.0);
    assert_true(w.has_gap);
    window_begin(&w, 10 * S);
    assert_false(w.has_gap); /* the last value of the old window was good and stands */
}

static struct {
    struct loop *loop;
    struct aggregates *all;
    unsigned count;
    char last[64], reason[128];
    uint16_t quality;
    struct nx_value value;
    int64_t at_us;
} t;

static void
on_window(void *arg, struct slot *slot, const struct sample *s, int64_t at_us)
{
    (void)arg;
    t.count++;
    (void)snprintf(t.last, sizeof t.last, "%s", slot->tag->id);
    (void)snprintf(t.reason, sizeof t.reason, "%s", s->reason ? s->reason : "");
    t.quality = s->quality;
    t.value = s->value;
    t.at_us = at_us;
}

static void
windows_close_on_whole_multiples(void **state)
{
    const int64_t start = 1700000003400000; /* 3.4 s after a whole ten */

    (void)state;
    memset(&t, 0, sizeof t);
    t.loop = loop_fake_new();
    loop_fake_set_wall_us(t.loop, start);
    t.all = aggregates_new(t.loop, &(struct aggregates_ops){.on_window = on_window}, NULL);
    struct nx_dev *d = fake_slots_new("{'id':'d','protocol':'fake','tags':[{'id':'a','address':'0','data_type':'int16',"
                                      "'aggregate':{'window':'10s','functions':['avg']}}]}",
                                      0);
    struct slot *a = fake_slot(d, "a");
    struct nx_value v = nx_value_int(6);
    aggregates_add_device(t.all, d);
    aggregate_take(a, &v, NX_Q_GOOD, loop_wall_us(t.loop));
    loop_fake_advance_ms(t.loop, 6500);
    assert_int_equal(t.count, 0);
    loop_fake_advance_ms(t.loop, 200);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.at_us, 1700000010000000);
    assert_true(t.value.d == 6 && t.quality == NX_Q_UNCERTAIN); /* it began in the middle */
    assert_string_equal(t.last, "a.avg");
    aggregate_take(a, &v, NX_Q_GOOD, loop_wall_us(t.loop));
    loop_fake_advance_ms(t.loop, 10000);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.at_us, 1700000020000000);
    assert_int_equal(t.quality, NX_Q_GOOD);
    a->quality = NX_Q_TIMEOUT;
    a->reason = mem_strdup("no answer");
    loop_fake_advance_ms(t.loop, 10000); /* nothing came: it is told in time all the same */
    assert_int_equal(t.count, 3);
    assert_true(t.value.type == NX_TYPE_NONE && t.quality == NX_Q_TIMEOUT);
    assert_string_equal(t.reason, "no good value in the window: no answer");
    aggregates_remove_device(t.all, d);
    loop_fake_advance_ms(t.loop, 20000);
    assert_int_equal(t.count, 3);
    fake_slots_free(&d);
    aggregates_free(&t.all);
    loop_free(&t.loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_a_window),
        cmocka_unit_test(deviation_survives_a_large_offset),
        cmocka_unit_test(only_good_values_count),
        cmocka_unit_test(windows_close_on_whole_multiples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
