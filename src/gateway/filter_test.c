#include "gateway/filter.h"
#include "gateway/test_values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct reading {
    struct nx_value v;
    uint16_t quality;
    uint64_t at_ms;
    bool passes;
};

#define G NX_Q_GOOD

static void
run(const struct tag *tag, const struct reading *r, size_t n)
{
    struct filter_state st = {0};

    for (size_t i = 0; i < n; i++)
        if (filter_passes(&st, tag, &r[i].v, r[i].quality, r[i].at_ms) != r[i].passes)
            fail_msg("reading %zu", i);
}

#define RUN(tag, ...)                                                                                                  \
    do {                                                                                                               \
        const struct reading r_[] = {__VA_ARGS__};                                                                     \
        run(&(tag), r_, sizeof r_ / sizeof r_[0]);                                                                     \
    } while (0)

static void
on_change(void **state)
{
    const struct tag t = {.deadband_type = DEADBAND_NONE};

    (void)state;
    RUN(t, {D(1), G, 0, true}, {D(1), G, 1, false}, {D(1.0000001), G, 2, true}, {D(1), NX_Q_UNCERTAIN, 3, true});
    RUN(t, {S("ab"), G, 0, true}, {S("ab"), G, 1, false}, {S("ac"), G, 2, true}, {S("abc"), G, 3, true},
        {S(""), G, 4, true});
    RUN(t, {I(1), G, 0, true}, {U(1), G, 1, true}, {U(1), G, 2, false});
    RUN(t, {D(0.0), G, 0, true}, {D(-0.0), G, 1, false});
}

static void
bad_readings_pass_once(void **state)
{
    const struct tag t = {.deadband_type = DEADBAND_ABSOLUTE, .deadband = 1};

    (void)state;
    RUN(t, {D(1), G, 0, true}, {NONE, NX_Q_TIMEOUT, 1, true}, {NONE, NX_Q_TIMEOUT, 2, false},
        {NONE, NX_Q_NOT_CONNECTED, 3, true}, {NONE, NX_Q_NOT_CONNECTED, 4, false}, {D(1), G, 5, true});
}

static void
absolute_deadband(void **state)
{
    const struct tag t = {.deadband_type = DEADBAND_ABSOLUTE, .deadband = 0.5};

    (void)state;
    RUN(t, {D(10), G, 0, true}, {D(10.5), G, 1, false}, {D(10.51), G, 2, true}, {D(10.1), G, 3, false},
        {D(10.0), G, 4, true});
    /* A slow drift passes: the distance counts from what was sent. */
    RUN(t, {D(0), G, 0, true}, {D(0.3), G, 1, false}, {D(0.6), G, 2, true}, {D(0.9), G, 3, false},
        {D(1.2), G, 4, true});
}

static void
percent_deadband(void **state)
{
    const struct tag t = {.deadband_type = DEADBAND_PERCENT, .deadband = 10};

    (void)state;
    RUN(t, {D(100), G, 0, true}, {D(110), G, 1, false}, {D(110.1), G, 2, true}, {D(0), G, 3, true},
        {D(0.001), G, 4, true});
    RUN(t, {I(-100), G, 0, true}, {I(-91), G, 1, false}, {I(-89), G, 2, true});
}

static void
longest_silence(void **state)
{
    const struct tag t = {.deadband_type = DEADBAND_ABSOLUTE, .deadband = 5, .max_silence_ms = 1000};

    (void)state;
    RUN(t, {D(1), G, 0, true}, {D(1), G, 999, false}, {D(1), G, 1000, true}, {D(1), G, 1999, false},
        {D(9), G, 1999, true}, {D(9), G, 2998, false}, {D(9), G, 2999, true});
    RUN(t, {NONE, NX_Q_TIMEOUT, 0, true}, {NONE, NX_Q_TIMEOUT, 1000, true});
}

static void
shortest_interval(void **state)
{
    const struct tag t = {.min_interval_ms = 1000};

    (void)state;
    RUN(t, {I(1), G, 0, true}, {I(2), G, 500, false}, {I(3), G, 999, false}, {I(3), G, 1000, true},
        {I(3), G, 1500, false}, {NONE, NX_Q_TIMEOUT, 1600, true}, {I(3), G, 1700, true});
}

static void
repeats_need_no_second_look(void **state)
{
    const struct tag t = {.min_interval_ms = 1000};
    struct filter_state st = {0};
    struct nx_value one = I(1), two = I(2), text = S("a"), none = NONE;

    (void)state;
    assert_false(filter_is_repeat(&st, &one, G));
    filter_see(&st, &one, G);
    assert_true(filter_passes(&st, &t, &one, G, 0));
    assert_true(filter_is_repeat(&st, &one, G));
    assert_false(filter_is_repeat(&st, &two, G));
    assert_false(filter_is_repeat(&st, &one, NX_Q_UNCERTAIN));
    filter_see(&st, &two, G);
    assert_false(filter_passes(&st, &t, &two, G, 1));
    assert_false(filter_is_repeat(&st, &two, G)); /* held: it must still get out */
    assert_true(filter_passes(&st, &t, &two, G, 1000));
    assert_true(filter_is_repeat(&st, &two, G));
    filter_see(&st, &text, G);
    assert_false(filter_is_repeat(&st, &text, G));
    filter_see(&st, &none, NX_Q_TIMEOUT);
    assert_true(filter_is_repeat(&st, &none, NX_Q_TIMEOUT));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(on_change),
                                       cmocka_unit_test(bad_readings_pass_once),
                                       cmocka_unit_test(absolute_deadband),
                                       cmocka_unit_test(percent_deadband),
                                       cmocka_unit_test(longest_silence),
                                       cmocka_unit_test(shortest_interval),
                                       cmocka_unit_test(repeats_need_no_second_look)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
