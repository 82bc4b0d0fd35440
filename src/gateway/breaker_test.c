#include "gateway/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct breaker_conf conf = {.requests = 5, .failure_percent = 60, .probes = 3, .open_ms = 30000};

static void
give(struct breaker *b, const char *outcomes, uint64_t now_ms)
{
    for (const char *o = outcomes; *o; o++) {
        assert_true(breaker_allows(b, now_ms));
        breaker_result(b, &conf, *o == '+', now_ms);
    }
}

static void
opens_at_sixty_percent_of_the_last_five(void **state)
{
    struct breaker b = {0};

    (void)state;
    give(&b, "----", 0); /* four are too few to judge */
    assert_int_equal(b.state, BREAKER_CLOSED);
    give(&b, "-", 0);
    assert_int_equal(b.state, BREAKER_OPEN);
    b = (struct breaker){0};
    give(&b, "+++++++--", 0);
    assert_int_equal(b.state, BREAKER_CLOSED);
    give(&b, "-", 0);
    assert_int_equal(b.state, BREAKER_OPEN);
    b = (struct breaker){0};
    for (int i = 0; i < 100; i++)
        give(&b, "-++-+", 0); /* never three of five */
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void
stays_open_then_lets_one_probe_at_a_time(void **state)
{
    struct breaker b = {0};

    (void)state;
    give(&b, "-----", 1000);
    assert_false(breaker_allows(&b, 30999));
    assert_true(breaker_allows(&b, 31000));
    assert_int_equal(b.state, BREAKER_HALF);
    assert_false(breaker_allows(&b, 31001));
    breaker_result(&b, &conf, true, 31002);
    assert_true(breaker_allows(&b, 31003));
    breaker_forget(&b); /* cancelled: no result, the next one may try */
    give(&b, "++", 31004);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void
a_failed_probe_opens_it_again(void **state)
{
    struct breaker b = {0};

    (void)state;
    give(&b, "-----", 0);
    give(&b, "++-", 30000);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_false(breaker_allows(&b, 59999));
    give(&b, "+++", 60000);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void
can_be_tripped_and_switched_off(void **state)
{
    static const struct breaker_conf off = {0};
    struct breaker b = {0};

    (void)state;
    breaker_trip(&b, 10000, 5);
    assert_false(breaker_allows(&b, 10004));
    assert_true(breaker_allows(&b, 10005));
    breaker_reset(&b);
    for (int i = 0; i < 100; i++) {
        assert_true(breaker_allows(&b, 0));
        breaker_result(&b, &off, false, 0);
    }
    assert_string_equal(breaker_state_name(b.state), "closed");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_at_sixty_percent_of_the_last_five),
        cmocka_unit_test(stays_open_then_lets_one_probe_at_a_time),
        cmocka_unit_test(a_failed_probe_opens_it_again),
        cmocka_unit_test(can_be_tripped_and_switched_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
