#include "model/point.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
words_and_numbers_agree(void **state)
{
    static const struct {
        const char *text;
        int want; /* -1: refused */
    } rows[] = {
        {"good", 192},
        {"GOOD", 192},
        {"Good", 192},
        {"192", 192},
        {"uncertain", 64},
        {"bad", 0},
        {"Not_Connected", 8},
        {"not connected", 8},
        {"config-error", 4},
        {"timeout", 24},
        {"DEVICE_FAILURE", 12},
        {"65535", 65535},
        {"0", 0},
        {"", -1},
        {"goo", -1},
        {"goodish", -1},
        {"65536", -1},
        {"-1", -1},
        {"1.5", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint16_t q = 7;
        bool ok = quality_parse(slice_str(rows[i].text), &q);

        assert_int_equal(ok, rows[i].want >= 0);
        assert_int_equal(q, ok ? rows[i].want : 7);
    }
}

static void
every_quality_has_a_word_that_reads_back(void **state)
{
    (void)state;
    for (unsigned q = 0; q <= UINT16_MAX; q++) {
        uint16_t back = 1;

        assert_true(quality_parse(slice_str(quality_word((uint16_t)q)), &back));
        assert_int_equal(nx_quality_is_good((uint16_t)q), nx_quality_is_good(back));
        assert_int_equal(nx_quality_is_bad((uint16_t)q), nx_quality_is_bad(back));
    }
    assert_string_equal(quality_word(NX_Q_TIMEOUT), "timeout");
    assert_string_equal(quality_word(NX_Q_SENSOR_FAILURE), "device_failure");
    assert_string_equal(quality_word(NX_Q_UNCERTAIN_RANGE), "uncertain");
}

static void
every_error_is_bad(void **state)
{
    (void)state;
    assert_int_equal(quality_from_err(NX_OK), NX_Q_GOOD);
    for (int e = 1; e < NX_E_COUNT; e++)
        assert_true(nx_quality_is_bad(quality_from_err((enum nx_err)e)));
    assert_int_equal(quality_from_err(NX_E_TIMEOUT), NX_Q_TIMEOUT);
    assert_int_equal(quality_from_err(NX_E_OFFLINE), NX_Q_NOT_CONNECTED);
    assert_int_equal(quality_from_err(NX_E_ADDRESS), NX_Q_CONFIG_ERROR);
}

static void
values_compare_by_type_and_content(void **state)
{
    struct nx_value v[] = {nx_value_none(),    nx_value_bool(true),     nx_value_int(1),          nx_value_uint(1),
                           nx_value_double(1), nx_value_string("1", 1), nx_value_string("12", 2), nx_value_double(2)};
    double d = 0;

    (void)state;
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
        for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
            assert_int_equal(value_eq(&v[i], &v[j]), i == j);
        assert_int_equal(value_as_double(&v[i], &d), v[i].type != NX_TYPE_NONE && v[i].type != NX_TYPE_STRING);
    }
    assert_true(value_as_double(&v[1], &d) && d == 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_numbers_agree),
        cmocka_unit_test(every_quality_has_a_word_that_reads_back),
        cmocka_unit_test(every_error_is_bad),
        cmocka_unit_test(values_compare_by_type_and_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
