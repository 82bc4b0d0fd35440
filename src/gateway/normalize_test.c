#include "gateway/normalize.h"
#include "gateway/test_values.h"

#include "base/num.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct tag_enum modes[] = {{0, "stopped"}, {1, "running"}};

static const struct tag t_int = {.id = "t", .data_type = NX_DT_INT16, .scale_factor = 1};
static const struct tag t_uint64 = {.id = "t", .data_type = NX_DT_UINT64, .scale_factor = 1};
static const struct tag t_float = {.id = "t", .data_type = NX_DT_FLOAT32, .scale_factor = 1};
static const struct tag t_double = {.id = "t", .data_type = NX_DT_FLOAT64, .scale_factor = 1};
static const struct tag t_bool = {.id = "t", .data_type = NX_DT_BOOL, .scale_factor = 1};
static const struct tag t_text = {.id = "t", .data_type = NX_DT_STRING, .scale_factor = 1};
static const struct tag t_scaled = {
    .id = "t", .data_type = NX_DT_INT16, .scale_factor = 0.1, .offset = -40, .line = {1, -400, 10}, .is_scaled = true};
static const struct tag t_tenth = {
    .id = "t", .data_type = NX_DT_UINT16, .scale_factor = 0.1, .line = {1, 0, 10}, .is_scaled = true};
static const struct tag t_clamped = {.id = "t",
                                     .data_type = NX_DT_INT16,
                                     .scale_factor = 1,
                                     .has_clamp_min = true,
                                     .clamp_min = -5,
                                     .has_clamp_max = true,
                                     .clamp_max = 100};
static const struct tag t_enum = {
    .id = "t", .data_type = NX_DT_UINT16, .scale_factor = 1, .enums = modes, .enum_count = 2};

static void
check_same(const struct nx_value *got, const struct nx_value *want)
{
    assert_int_equal(got->type, want->type);
    if (want->type == NX_TYPE_STRING) {
        assert_int_equal(got->len, want->len);
        assert_memory_equal(got->s, want->s, want->len);
    } else if (want->type == NX_TYPE_DOUBLE) {
        assert_true(got->d == want->d);
    } else if (want->type == NX_TYPE_BOOL) {
        assert_int_equal(got->b, want->b);
    } else if (want->type != NX_TYPE_NONE) {
        assert_true(got->u == want->u);
    }
}

static void
raw_to_engineering(void **state)
{
    static const struct {
        const struct tag *tag;
        struct nx_value raw;
        uint16_t quality;
        struct nx_value want;
        uint16_t want_quality;
    } cases[] = {
        {&t_int, I(-7), NX_Q_GOOD, I(-7), NX_Q_GOOD},
        {&t_uint64, U(UINT64_MAX), NX_Q_GOOD, U(UINT64_MAX), NX_Q_GOOD},
        {&t_bool, B(true), NX_Q_GOOD, B(true), NX_Q_GOOD},
        {&t_text, S("abc"), NX_Q_GOOD, S("abc"), NX_Q_GOOD},
        {&t_scaled, I(615), NX_Q_GOOD, D(21.5), NX_Q_GOOD},
        {&t_tenth, U(3), NX_Q_GOOD, D(0.3), NX_Q_GOOD},
        {&t_tenth, U(0), NX_Q_GOOD, D(0), NX_Q_GOOD},
        {&t_float, D(21.299999237060547), NX_Q_GOOD, D(21.3), NX_Q_GOOD},
        {&t_float, D(-16777216), NX_Q_GOOD, D(-16777216), NX_Q_GOOD},
        {&t_double, D(21.299999237060547), NX_Q_GOOD, D(21.299999237060547), NX_Q_GOOD},
        {&t_double, D(NAN), NX_Q_GOOD, NONE, NX_Q_SENSOR_FAILURE},
        {&t_double, D(-INFINITY), NX_Q_GOOD, NONE, NX_Q_SENSOR_FAILURE},
        {&t_clamped, I(-6), NX_Q_GOOD, I(-5), NX_Q_UNCERTAIN_RANGE},
        {&t_clamped, I(101), NX_Q_GOOD, I(100), NX_Q_UNCERTAIN_RANGE},
        {&t_clamped, I(101), NX_Q_UNCERTAIN, I(100), NX_Q_UNCERTAIN},
        {&t_clamped, I(100), NX_Q_GOOD, I(100), NX_Q_GOOD},
        {&t_enum, U(1), NX_Q_GOOD, S("running"), NX_Q_GOOD},
        {&t_enum, U(9), NX_Q_GOOD, U(9), NX_Q_GOOD},
        {&t_int, I(5), NX_Q_TIMEOUT, NONE, NX_Q_TIMEOUT},
        {&t_int, NONE, NX_Q_GOOD, NONE, NX_Q_BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_value v = cases[i].raw;
        uint16_t quality = cases[i].quality;
        normalize(cases[i].tag, &v, &quality);
        check_same(&v, &cases[i].want);
        assert_int_equal(quality, cases[i].want_quality);
    }
}

static void
engineering_to_raw(void **state)
{
    static const struct {
        const struct tag *tag;
        struct nx_value value;
        enum nx_err err;
        struct nx_value want;
    } cases[] = {
        {&t_int, I(-7), NX_OK, I(-7)},
        {&t_int, I(32767), NX_OK, I(32767)},
        {&t_int, I(32768), NX_E_RANGE, NONE},
        {&t_int, I(-32769), NX_E_RANGE, NONE},
        {&t_int, D(3), NX_OK, I(3)},
        {&t_int, D(3.5), NX_E_VALUE, NONE},
        {&t_int, D(1e300), NX_E_RANGE, NONE},
        {&t_int, S("5"), NX_E_VALUE, NONE},
        {&t_int, NONE, NX_E_VALUE, NONE},
        {&t_uint64, I(-1), NX_E_RANGE, NONE},
        {&t_uint64, D(18446744073709551616.0), NX_E_RANGE, NONE},
        {&t_bool, I(1), NX_OK, B(true)},
        {&t_bool, I(2), NX_E_VALUE, NONE},
        {&t_bool, B(false), NX_OK, B(false)},
        {&t_text, S("abc"), NX_OK, S("abc")},
        {&t_text, I(1), NX_E_VALUE, NONE},
        {&t_scaled, D(21.5), NX_OK, I(615)},
        {&t_scaled, I(60), NX_OK, I(1000)},
        {&t_scaled, D(4000), NX_E_RANGE, NONE},
        {&t_float, D(1e39), NX_E_RANGE, NONE},
        {&t_float, I(2), NX_OK, D(2)},
        {&t_double, D(1e39), NX_OK, D(1e39)},
        {&t_clamped, I(101), NX_E_RANGE, NONE},
        {&t_clamped, I(-6), NX_E_RANGE, NONE},
        {&t_enum, S("RUNNING"), NX_OK, U(1)},
        {&t_enum, S("flying"), NX_E_VALUE, NONE},
        {&t_enum, I(0), NX_OK, U(0)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nx_value raw = NONE;
        struct nx_note why = {0};
        assert_int_equal(normalize_reverse(cases[i].tag, &cases[i].value, &raw, &why), cases[i].err);
        if (cases[i].err == NX_OK)
            check_same(&raw, &cases[i].want);
        else
            assert_non_null(strstr(why.text, "tag t"));
    }
}

/* Every float that has a short decimal text comes out as that text. */
static void
floats_are_tidy(void **state)
{
    (void)state;
    for (int n = -20000; n <= 20000; n++) {
        struct nx_value v = nx_value_double((double)(float)(n / 100.0));
        uint16_t quality = NX_Q_GOOD;
        normalize(&t_float, &v, &quality);
        assert_true(v.d == n / 100.0);
    }
}

static void
there_and_back(void **state)
{
    (void)state;
    for (int n = -32768; n <= 32767; n++) {
        struct nx_value v = nx_value_int(n), raw;
        uint16_t quality = NX_Q_GOOD;
        normalize(&t_scaled, &v, &quality);
        assert_int_equal(normalize_reverse(&t_scaled, &v, &raw, NULL), NX_OK);
        assert_int_equal(raw.i, n);
    }
}

/* Raw values come back from any scale and unit: all of 16 bits, samples of 32 and 64. */
static void
raw_comes_back_from_any_scale(void **state)
{
    static const enum nx_data_type types[] = {NX_DT_INT16, NX_DT_UINT16, NX_DT_INT32,  NX_DT_UINT32,
                                              NX_DT_INT64, NX_DT_UINT64, NX_DT_FLOAT32};
    uint64_t rng = 11;

    (void)state;
    for (unsigned round = 0; round < 200000; round++) {
        double scale = (double)(1 + num_random(&rng) % 99999) / (double)(1 + num_random(&rng) % 999);
        double offset = (double)(int64_t)(num_random(&rng) % 20001) - 10000;
        struct tag tag = {.id = "t", .data_type = types[round % 7], .is_scaled = true};
        struct nx_value raw, v, back;
        uint16_t quality = NX_Q_GOOD;

        tag.line = line_make(ratio_of_decimal(scale), ratio_of_decimal(offset));
        int64_t n = (int64_t)num_random(&rng) >> (16 + round % 48);
        float f = (float)((double)n / 1000);
        raw = tag.data_type == NX_DT_INT16    ? nx_value_int((int16_t)n)
              : tag.data_type == NX_DT_UINT16 ? nx_value_uint((uint16_t)n)
              : tag.data_type == NX_DT_INT32  ? nx_value_int((int32_t)n)
              : tag.data_type == NX_DT_UINT32 ? nx_value_uint((uint32_t)n)
              : tag.data_type == NX_DT_INT64  ? nx_value_int(n)
              : tag.data_type == NX_DT_UINT64 ? nx_value_uint((uint64_t)(n < 0 ? -n : n))
                                              : nx_value_double((double)f);
        v = raw;
        normalize(&tag, &v, &quality);
        assert_int_equal(normalize_reverse(&tag, &v, &back, NULL), NX_OK);
        if (raw.type == NX_TYPE_DOUBLE && fabs((double)f) < fabs(offset / scale) * 1e-6)
            continue; /* lost beside the offset: a double has 53 bits */
        bool is_same = raw.type == NX_TYPE_DOUBLE ? (float)back.d == f : back.u == raw.u;
        if (!is_same)
            fail_msg("round %u: scale %.17g offset %g type %d", round, scale, offset, (int)tag.data_type);
    }
}

/* Beyond the type is refused, whatever the scale: nothing wraps. */
static void
nothing_wraps(void **state)
{
    static const struct nx_value far[] = {D(1e19), D(-1e19), D(1e300), U(UINT64_MAX), I(INT64_MIN)};
    struct tag tag = {.id = "t", .data_type = NX_DT_INT32, .is_scaled = true, .line = {1, 0, 10}};

    (void)state;
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        struct nx_value raw;

        tag.is_scaled = false;
        assert_int_equal(normalize_reverse(&tag, &far[i], &raw, NULL), NX_E_RANGE);
        tag.is_scaled = true;
        assert_int_equal(normalize_reverse(&tag, &far[i], &raw, NULL), NX_E_RANGE);
    }
}

/* 64-bit values beyond 2^53 lose low digits in a scaled double, never more. */
static void
large_numbers_stay_near(void **state)
{
    struct tag tag = {.id = "t", .data_type = NX_DT_UINT64, .is_scaled = true, .line = {1, 0, 10}};
    struct nx_value v = nx_value_uint(UINT64_MAX - 5000), back;
    uint16_t quality = NX_Q_GOOD;

    (void)state;
    normalize(&tag, &v, &quality);
    assert_int_equal(normalize_reverse(&tag, &v, &back, NULL), NX_OK);
    assert_true(back.u > UINT64_MAX - 5000 - 4096 && back.u <= UINT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(raw_to_engineering),
                                       cmocka_unit_test(engineering_to_raw),
                                       cmocka_unit_test(floats_are_tidy),
                                       cmocka_unit_test(there_and_back),
                                       cmocka_unit_test(raw_comes_back_from_any_scale),
                                       cmocka_unit_test(nothing_wraps),
                                       cmocka_unit_test(large_numbers_stay_near)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
